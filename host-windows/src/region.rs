//! The shared region: one section that every host process of a machine maps at the same
//! address.
//!
//! ```text
//! 0x7000_0000_0000  the image: text, data, bss
//!          + 32 MB  the table of blocks
//!          + 64 MB  blocks of 64 KB: heap, thread blocks, page cache
//!          + 16 GB  end
//! ```
//!
//! Blocks are handed out in runs; see [`lx_region`]. The section's pages are committed as the blocks
//! are first used.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::BLOCK_SIZE;
use lx_core::sync::Mutex;
pub(crate) use lx_nt::REGION_BASE;
use lx_nt::REGION_SIZE;
use lx_region::{BlockList, Magazine, Region, Runs, Table};

use crate::nt::nt;
use crate::thread;

/// First address behind the region.
pub(crate) const REGION_END: u64 = REGION_BASE + REGION_SIZE;

const TABLE_AT: u64 = REGION_BASE + (32 << 20);
// SAFETY: this part of the region is the table's alone, and is committed before anything is
// allocated; runs and page blocks have locks.
const TABLE: Table = unsafe { Table::new(TABLE_AT, BLOCK_COUNT) };
const BLOCKS: u64 = REGION_BASE + (64 << 20);
const BLOCK: u64 = BLOCK_SIZE as u64;
const BLOCK_COUNT: u32 = ((REGION_END - BLOCKS) / BLOCK) as u32;
/// The host is asked for memory in pieces of this size.
const COMMIT_STEP: u64 = 1 << 20;
/// Large runs, which are copies of processes mostly, leave so much for the kernel's small objects: a
/// guest that runs out of memory gets an error, the kernel does not.
const RESERVE: u64 = 8 << 20;
/// Files leave so much: when they have filled the memory, programs can still be started.
const FILE_RESERVE: u64 = 32 << 20;
/// Runs up to this size are the kernel's own, and may take the reserve.
const SMALL: usize = 256 << 10;

/// Lock level of the region's lists: below it nothing is taken.
const LEVEL: u8 = 62;

/// Bytes in runs that are in use.
static IN_USE: AtomicU64 = AtomicU64::new(0);

static RUNS: Mutex<Runs, LEVEL> = Mutex::new(Runs::new(TABLE));

/// Free page blocks; they hold old data.
static PAGE_BLOCKS: Mutex<BlockList, LEVEL> = Mutex::new(BlockList::new(TABLE));

/// Blocks below this address have memory. It only grows: what a section has committed stays.
static COMMITTED: AtomicU64 = AtomicU64::new(BLOCKS);
/// Where the region ends: a test may have it end early.
static LIMIT: AtomicU64 = AtomicU64::new(REGION_END);

/// Lets the region end after so many megabytes, for tests; 0 for all there is.
pub(crate) fn limit(megabytes: u32) {
    if megabytes > 0 {
        LIMIT.store(BLOCKS + (u64::from(megabytes) << 20), Ordering::Relaxed);
    }
}

/// Gives a part of the region memory; doing so twice keeps the contents.
fn commit(start: u64, end: u64) -> bool {
    const MEM_COMMIT: u32 = 0x1000;
    const PAGE_EXECUTE_READWRITE: u32 = 0x40;
    let (mut base, mut size) = (start, end - start);
    // SAFETY: part of the region.
    let status = unsafe {
        nt!(
            allocate,
            lx_nt::CURRENT_PROCESS,
            &mut base,
            0,
            &mut size,
            MEM_COMMIT,
            PAGE_EXECUTE_READWRITE
        )
    };
    status >= 0
}

/// Commits the pages of a buffer once more, in the calling process. Wine lets calls that its server
/// answers, as those on pipes, fill only memory that the caller itself has committed.
pub(crate) fn commit_here(buffer: *const u8, len: usize) {
    const PAGE: u64 = 4096;
    let start = buffer as u64 & !(PAGE - 1);
    let end = (buffer as u64 + len as u64).next_multiple_of(PAGE);
    if start >= lx_nt::REGION_BASE && end <= REGION_END {
        commit(start, end);
    }
}

/// Makes the table usable, once, at boot.
pub(crate) fn set_up() -> bool {
    commit(TABLE_AT, TABLE_AT + TABLE.size())
}

/// Makes sure that the region has memory up to `end`.
fn commit_to(end: u64) -> bool {
    let start = COMMITTED.load(Ordering::Acquire);
    if end <= start {
        return true;
    }
    let limit = LIMIT.load(Ordering::Relaxed).min(REGION_END);
    if end > limit {
        return false;
    }
    let end = end.next_multiple_of(COMMIT_STEP).min(limit);
    if !commit(start, end) {
        return false;
    }
    COMMITTED.fetch_max(end, Ordering::AcqRel);
    true
}

/// `(bytes in use, bytes there are)`.
pub(crate) fn usage() -> (u64, u64) {
    (IN_USE.load(Ordering::Relaxed), LIMIT.load(Ordering::Relaxed) - BLOCKS)
}

fn address(block: u32) -> u64 {
    BLOCKS + u64::from(block) * BLOCK
}

fn number(address: u64) -> u32 {
    ((address - BLOCKS) / BLOCK) as u32
}

/// A run of at least `bytes` bytes, aligned to [`BLOCK_SIZE`], with arbitrary contents.
pub(crate) fn alloc_run(bytes: usize) -> Option<u64> {
    take_run(bytes, if bytes > SMALL { RESERVE } else { 0 })
}

/// A run behind which so many bytes more could be used.
fn take_run(bytes: usize, spare: u64) -> Option<u64> {
    let len = u32::try_from(bytes.div_ceil(BLOCK_SIZE)).ok()?.max(1);
    try_run(len, spare).or_else(|| {
        // What files have given back may do.
        merge_page_blocks();
        try_run(len, spare)
    })
}

fn try_run(len: u32, spare: u64) -> Option<u64> {
    let block = RUNS.lock().take(len)?;
    let at = address(block);
    if !commit_to(at + u64::from(len) * BLOCK + spare) {
        RUNS.lock().give(block);
        return None;
    }
    IN_USE.fetch_add(u64::from(len) * BLOCK, Ordering::Relaxed);
    Some(at)
}

/// Gives all free page blocks back to the runs.
fn merge_page_blocks() {
    loop {
        let Some(block) = PAGE_BLOCKS.lock().pop() else { return };
        free_run(address(block));
    }
}

/// Length in bytes of the run that begins at `address`.
pub(crate) fn run_size(address: u64) -> usize {
    RUNS.lock().len_of(number(address)) as usize * BLOCK_SIZE
}

/// Takes a run back.
pub(crate) fn free_run(address: u64) {
    let bytes = run_size(address);
    IN_USE.fetch_sub(bytes as u64, Ordering::Relaxed);
    RUNS.lock().give(number(address));
}

/// A zeroed page block.
pub(crate) fn alloc_block() -> Option<u64> {
    let free = PAGE_BLOCKS.lock().pop();
    let at = match free {
        Some(block) => address(block),
        None => take_run(BLOCK_SIZE, FILE_RESERVE)?,
    };
    // SAFETY: the block has just become ours.
    unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
    Some(at)
}

/// Takes a page block back.
///
/// Page blocks do not go back to the runs while there is memory: a machine that has used page
/// cache uses it again.
pub(crate) fn free_block(at: u64) {
    PAGE_BLOCKS.lock().push(number(at));
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
        // SAFETY: the caller's promise; no exception handler allocates.
        unsafe { thread::magazine(class) }
    }
}
