//! The shared region: one sparse memory file that every host process of a machine maps at the same
//! address.
//!
//! ```text
//! 0x7000_0000_0000  the image: text, data, bss
//!          + 32 MB  the table of blocks
//!          + 64 MB  blocks of 64 KB: heap, thread blocks, page cache
//!          + 64 GB  end
//! ```
//!
//! Blocks are handed out in runs; see [`lx_region`].

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use lx_core::host::BLOCK_SIZE;
use lx_core::sync::Mutex;
use lx_region::{BlockList, Magazine, Region, Runs, Table};

use crate::sys::{self, sys};
use crate::thread;

/// First address of the region and of the image; the guests' addresses end here.
pub const REGION_BASE: u64 = 0x7000_0000_0000;
/// Size of the region: what one machine can hold in shared memory.
pub const REGION_SIZE: u64 = 64 << 30;
/// First address behind the region.
pub(crate) const REGION_END: u64 = REGION_BASE + REGION_SIZE;

// SAFETY: this part of the region is the table's alone, and is mapped before anything is allocated;
// runs and page blocks have locks.
const TABLE: Table = unsafe { Table::new(REGION_BASE + (32 << 20), BLOCK_COUNT) };
const BLOCKS: u64 = REGION_BASE + (64 << 20);
const BLOCK: u64 = BLOCK_SIZE as u64;
const BLOCK_COUNT: u32 = ((REGION_END - BLOCKS) / BLOCK) as u32;

/// Free page blocks that keep their memory, so that reusing one costs no page faults.
const KEPT_BLOCKS: usize = 512;

/// Lock level of the region's lists: below it nothing is taken.
const LEVEL: u8 = 62;

/// The memory file's descriptor, valid in every host process.
static REGION_FD: AtomicI32 = AtomicI32::new(-1);
/// Bytes in runs that are in use.
static IN_USE: AtomicU64 = AtomicU64::new(0);

static RUNS: Mutex<Runs, LEVEL> = Mutex::new(Runs::new(TABLE));

/// Free page blocks.
struct PageBlocks {
    /// Hold old data, have memory.
    dirty: BlockList,
    /// Read as zeros, have no memory.
    clean: BlockList,
}

static PAGE_BLOCKS: Mutex<PageBlocks, LEVEL> =
    Mutex::new(PageBlocks { dirty: BlockList::new(TABLE), clean: BlockList::new(TABLE) });

/// The region's memory file.
pub(crate) fn region_fd() -> i32 {
    REGION_FD.load(Ordering::Relaxed)
}

/// Remembers the memory file, once, at boot.
pub(crate) fn set_region_fd(fd: i32) {
    REGION_FD.store(fd, Ordering::Relaxed);
}

/// `(bytes in use, bytes there are)`.
pub(crate) fn usage() -> (u64, u64) {
    (IN_USE.load(Ordering::Relaxed), REGION_END - BLOCKS)
}

fn address(block: u32) -> u64 {
    BLOCKS + u64::from(block) * BLOCK
}

fn number(address: u64) -> u32 {
    ((address - BLOCKS) / BLOCK) as u32
}

/// A run of at least `bytes` bytes, aligned to [`BLOCK_SIZE`], with arbitrary contents.
pub(crate) fn alloc_run(bytes: usize) -> Option<u64> {
    let len = u32::try_from(bytes.div_ceil(BLOCK_SIZE)).ok()?.max(1);
    let block = RUNS.lock().take(len)?;
    IN_USE.fetch_add(u64::from(len) * BLOCK, Ordering::Relaxed);
    Some(address(block))
}

/// Length in bytes of the run that begins at `address`.
pub(crate) fn run_size(address: u64) -> usize {
    RUNS.lock().len_of(number(address)) as usize * BLOCK_SIZE
}

/// Takes a run back. Large ones give their memory back to the host.
pub(crate) fn free_run(address: u64) {
    let block = number(address);
    let bytes = run_size(address);
    if bytes > 4 * BLOCK_SIZE {
        punch(address, bytes);
    }
    IN_USE.fetch_sub(bytes as u64, Ordering::Relaxed);
    RUNS.lock().give(block);
}

/// Gives memory back to the host; it reads as zeros afterwards.
fn punch(address: u64, bytes: usize) -> bool {
    // SAFETY: nobody uses this part of the region.
    unsafe { sys!(sys::__NR_madvise, address, bytes, sys::MADV_REMOVE) }.is_ok()
}

/// A zeroed page block.
pub(crate) fn alloc_block() -> Option<u64> {
    let mut lists = PAGE_BLOCKS.lock();
    let dirty = lists.dirty.pop();
    let clean = if dirty.is_none() { lists.clean.pop() } else { None };
    drop(lists);
    if let Some(block) = dirty {
        let at = address(block);
        // SAFETY: the block has just become ours.
        unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
        return Some(at);
    }
    if let Some(block) = clean {
        return Some(address(block));
    }
    // Never used, so zero.
    let fresh = RUNS.lock().take_fresh();
    if let Some(block) = fresh {
        IN_USE.fetch_add(BLOCK, Ordering::Relaxed);
        return Some(address(block));
    }
    let at = alloc_run(BLOCK_SIZE)?;
    // SAFETY: the block has just become ours.
    unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
    Some(at)
}

/// Takes a page block back.
///
/// Page blocks do not go back to the runs: a machine that has used page cache uses it again.
pub(crate) fn free_block(at: u64) {
    let block = number(at);
    let mut lists = PAGE_BLOCKS.lock();
    if lists.dirty.len() < KEPT_BLOCKS {
        lists.dirty.push(block);
        return;
    }
    drop(lists);
    if !punch(at, BLOCK_SIZE) {
        // SAFETY: nobody uses the block any more.
        unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
    }
    PAGE_BLOCKS.lock().clean.push(block);
}

/// The kernel's heap, in runs of the region.
pub type RegionAllocator = lx_region::Heap<Memory>;

/// The region as the heap sees it.
#[derive(Debug)]
pub struct Memory;

// SAFETY: runs are the region's, disjoint, aligned to blocks; magazines are in the thread's block.
unsafe impl Region for Memory {
    fn alloc_run(bytes: usize) -> Option<u64> {
        alloc_run(bytes)
    }

    fn run_size(address: u64) -> usize {
        run_size(address)
    }

    fn free_run(address: u64) {
        free_run(address);
    }

    unsafe fn magazine(class: usize) -> Option<&'static mut Magazine> {
        // SAFETY: the caller's promise; no signal handler allocates.
        unsafe { thread::magazine(class) }
    }
}
