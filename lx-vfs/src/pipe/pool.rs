//! A few page blocks kept for new pipes: their memory is warm, and taking one asks no allocator.

use arrayvec::ArrayVec;
use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::host::{Host, PageBlock};
use lx_core::sync::{Mutex, level};

/// Most blocks kept (1 MB).
const KEPT: usize = 16;

static POOL: Mutex<ArrayVec<PageBlock, KEPT>, { level::CACHE }> = Mutex::new(ArrayVec::new_const());

/// A block with arbitrary contents.
pub(super) fn take(host: &dyn Host) -> Result<PageBlock> {
    let pooled = POOL.lock().pop();
    match pooled {
        Some(block) => Ok(block),
        None => Ok(host.alloc_block().ok_or(Errno::ENOMEM)?),
    }
}

/// Keeps the block for another pipe, or frees it.
pub(super) fn give_back(block: PageBlock) {
    // The guard ends with the statement: a block that does not fit is freed without the lock.
    let result = POOL.lock().try_push(block);
    drop(result);
}
