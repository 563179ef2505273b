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
//! Blocks are handed out in runs. A run's first and last table entry say how long it is, so that
//! neighbours merge when a run is freed. The section's pages are committed as the blocks are first used.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::BLOCK_SIZE;
use lx_core::sync::Mutex;
pub(crate) use lx_nt::REGION_BASE;
use lx_nt::REGION_SIZE;

use crate::nt::nt;

/// First address behind the region.
pub(crate) const REGION_END: u64 = REGION_BASE + REGION_SIZE;

const TABLE: u64 = REGION_BASE + (32 << 20);
const BLOCKS: u64 = REGION_BASE + (64 << 20);
const BLOCK: u64 = BLOCK_SIZE as u64;
const BLOCK_COUNT: u32 = ((REGION_END - BLOCKS) / BLOCK) as u32;
/// The host is asked for memory in pieces of this size.
const COMMIT_STEP: u64 = 1 << 20;

/// Free runs of up to this many blocks have a list for each length.
const EXACT: usize = 32;

/// Lock level of the region's lists: below it nothing is taken.
const LEVEL: u8 = 62;

/// Bytes in runs that are in use.
static IN_USE: AtomicU64 = AtomicU64::new(0);

/// One entry of the table.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Entry {
    /// Length of the run that begins or ends here.
    len: u32,
    /// Whether that run is free.
    free: u32,
    /// Neighbours in the list of free runs, as block numbers plus one.
    next: u32,
    prev: u32,
}

struct Runs {
    /// Blocks from here on have never been used.
    top: u32,
    /// Heads of the lists, by length; the last for all that are longer.
    heads: [u32; EXACT + 1],
}

static RUNS: Mutex<Runs, LEVEL> = Mutex::new(Runs { top: 0, heads: [0; EXACT + 1] });

/// Free page blocks, a list through their table entries; they hold old data.
static PAGE_BLOCKS: Mutex<u32, LEVEL> = Mutex::new(0);

/// Blocks below this address have memory. It only grows: what a section has committed stays.
static COMMITTED: AtomicU64 = AtomicU64::new(BLOCKS);

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
    commit(TABLE, TABLE + u64::from(BLOCK_COUNT) * size_of::<Entry>() as u64)
}

/// Makes sure that the region has memory up to `end`.
fn commit_to(end: u64) -> bool {
    let start = COMMITTED.load(Ordering::Acquire);
    if end <= start {
        return true;
    }
    let end = end.next_multiple_of(COMMIT_STEP).min(REGION_END);
    if !commit(start, end) {
        return false;
    }
    COMMITTED.fetch_max(end, Ordering::AcqRel);
    true
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

fn read(block: u32) -> Entry {
    // SAFETY: block numbers stay below BLOCK_COUNT, for which the table has room; the caller holds
    // the lock of the list that the entry belongs to.
    unsafe { *((TABLE as *const Entry).add(block as usize)) }
}

fn write(block: u32, entry: Entry) {
    // SAFETY: as in `read`.
    unsafe { *((TABLE as *mut Entry).add(block as usize)) = entry }
}

impl Runs {
    fn list(len: u32) -> usize {
        (len as usize).min(EXACT + 1).saturating_sub(1)
    }

    fn head(&mut self, list: usize) -> Option<&mut u32> {
        self.heads.get_mut(list)
    }

    fn link(&mut self, block: u32, len: u32) {
        let list = Self::list(len);
        let next = self.head(list).map_or(0, |head| core::mem::replace(head, block + 1));
        if next != 0 {
            let mut entry = read(next - 1);
            entry.prev = block + 1;
            write(next - 1, entry);
        }
        write(block + len - 1, Entry { len, free: 1, next: 0, prev: 0 });
        write(block, Entry { len, free: 1, next, prev: 0 });
    }

    fn unlink(&mut self, block: u32) -> u32 {
        let entry = read(block);
        if entry.next != 0 {
            let mut next = read(entry.next - 1);
            next.prev = entry.prev;
            write(entry.next - 1, next);
        }
        if entry.prev != 0 {
            let mut prev = read(entry.prev - 1);
            prev.next = entry.next;
            write(entry.prev - 1, prev);
        } else if let Some(head) = self.head(Self::list(entry.len)) {
            *head = entry.next;
        }
        entry.len
    }

    fn mark_used(block: u32, len: u32) {
        let entry = Entry { len, free: 0, next: 0, prev: 0 };
        write(block + len - 1, entry);
        write(block, entry);
    }

    fn take(&mut self, len: u32) -> Option<u32> {
        for list in Self::list(len)..=EXACT {
            let mut at = *self.heads.get(list)?;
            while at != 0 {
                let block = at - 1;
                let entry = read(block);
                if entry.len >= len {
                    self.unlink(block);
                    if entry.len > len {
                        self.link(block + len, entry.len - len);
                    }
                    Self::mark_used(block, len);
                    return Some(block);
                }
                at = entry.next;
            }
        }
        let block = self.top;
        if BLOCK_COUNT - block < len {
            return None;
        }
        self.top = block + len;
        Self::mark_used(block, len);
        Some(block)
    }

    fn give(&mut self, block: u32) {
        let mut first = block;
        let mut len = read(block).len;
        let after = block + len;
        if after < self.top && read(after).free == 1 {
            len += self.unlink(after);
        }
        if block > 0 {
            let before = read(block - 1);
            if before.free == 1 {
                first = block - before.len;
                len += self.unlink(first);
            }
        }
        self.link(first, len);
    }
}

/// A run of at least `bytes` bytes, aligned to [`BLOCK_SIZE`], with arbitrary contents.
pub(crate) fn alloc_run(bytes: usize) -> Option<u64> {
    let len = u32::try_from(bytes.div_ceil(BLOCK_SIZE)).ok()?.max(1);
    let block = RUNS.lock().take(len)?;
    let at = address(block);
    if !commit_to(at + u64::from(len) * BLOCK) {
        RUNS.lock().give(block);
        return None;
    }
    IN_USE.fetch_add(u64::from(len) * BLOCK, Ordering::Relaxed);
    Some(at)
}

/// Length in bytes of the run that begins at `address`.
pub(crate) fn run_size(address: u64) -> usize {
    let _runs = RUNS.lock();
    read(number(address)).len as usize * BLOCK_SIZE
}

/// Takes a run back.
pub(crate) fn free_run(address: u64) {
    let bytes = run_size(address);
    IN_USE.fetch_sub(bytes as u64, Ordering::Relaxed);
    RUNS.lock().give(number(address));
}

/// A zeroed page block.
pub(crate) fn alloc_block() -> Option<u64> {
    let mut free = PAGE_BLOCKS.lock();
    let at = if *free != 0 {
        let block = *free - 1;
        *free = read(block).next;
        Runs::mark_used(block, 1);
        drop(free);
        address(block)
    } else {
        drop(free);
        alloc_run(BLOCK_SIZE)?
    };
    // SAFETY: the block has just become ours.
    unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
    Some(at)
}

/// Takes a page block back.
///
/// Page blocks do not go back to the runs: a machine that has used page cache uses it again.
pub(crate) fn free_block(at: u64) {
    let block = number(at);
    let mut free = PAGE_BLOCKS.lock();
    write(block, Entry { len: 1, free: 0, next: *free, prev: 0 });
    *free = block + 1;
}
