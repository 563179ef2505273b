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
//! Blocks are handed out in runs. A run's first and last table entry say how long it is, so that
//! neighbours merge when a run is freed.

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use lx_core::host::BLOCK_SIZE;
use lx_core::sync::Mutex;

use crate::sys::{self, sys};

/// First address of the region and of the image; the guests' addresses end here.
pub const REGION_BASE: u64 = 0x7000_0000_0000;
/// Size of the region: what one machine can hold in shared memory.
pub const REGION_SIZE: u64 = 64 << 30;
/// First address behind the region.
pub(crate) const REGION_END: u64 = REGION_BASE + REGION_SIZE;

const TABLE: u64 = REGION_BASE + (32 << 20);
const BLOCKS: u64 = REGION_BASE + (64 << 20);
const BLOCK: u64 = BLOCK_SIZE as u64;
const BLOCK_COUNT: u32 = ((REGION_END - BLOCKS) / BLOCK) as u32;

/// Free runs of up to this many blocks have a list for each length.
const EXACT: usize = 32;
/// Free page blocks that keep their memory, so that reusing one costs no page faults.
const KEPT_BLOCKS: usize = 512;

/// Lock level of the region's lists: below it nothing is taken.
const LEVEL: u8 = 62;

/// The memory file's descriptor, valid in every host process.
static REGION_FD: AtomicI32 = AtomicI32::new(-1);
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

/// Free page blocks, as lists through their table entries.
struct PageBlocks {
    /// Hold old data, have memory.
    dirty: u32,
    dirty_len: usize,
    /// Read as zeros, have no memory.
    clean: u32,
}

static PAGE_BLOCKS: Mutex<PageBlocks, LEVEL> =
    Mutex::new(PageBlocks { dirty: 0, dirty_len: 0, clean: 0 });

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
    IN_USE.fetch_add(u64::from(len) * BLOCK, Ordering::Relaxed);
    Some(address(block))
}

/// Length in bytes of the run that begins at `address`.
pub(crate) fn run_size(address: u64) -> usize {
    let _runs = RUNS.lock();
    read(number(address)).len as usize * BLOCK_SIZE
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
    if lists.dirty != 0 {
        let block = lists.dirty - 1;
        lists.dirty = read(block).next;
        lists.dirty_len -= 1;
        Runs::mark_used(block, 1);
        drop(lists);
        let at = address(block);
        // SAFETY: the block has just become ours.
        unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
        return Some(at);
    }
    if lists.clean != 0 {
        let block = lists.clean - 1;
        lists.clean = read(block).next;
        Runs::mark_used(block, 1);
        return Some(address(block));
    }
    drop(lists);
    let mut runs = RUNS.lock();
    if runs.top < BLOCK_COUNT {
        // Never used, so zero.
        let block = runs.top;
        runs.top += 1;
        Runs::mark_used(block, 1);
        drop(runs);
        IN_USE.fetch_add(BLOCK, Ordering::Relaxed);
        return Some(address(block));
    }
    drop(runs);
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
    if lists.dirty_len < KEPT_BLOCKS {
        write(block, Entry { len: 1, free: 0, next: lists.dirty, prev: 0 });
        lists.dirty = block + 1;
        lists.dirty_len += 1;
        return;
    }
    drop(lists);
    if !punch(at, BLOCK_SIZE) {
        // SAFETY: nobody uses the block any more.
        unsafe { core::ptr::write_bytes(at as *mut u8, 0, BLOCK_SIZE) };
    }
    let mut lists = PAGE_BLOCKS.lock();
    write(block, Entry { len: 1, free: 0, next: lists.clean, prev: 0 });
    lists.clean = block + 1;
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_SIZE, BLOCKS, EXACT, REGION_BASE, REGION_SIZE, Runs, read};
    use crate::sys::{self, sys};

    /// The table at its place, as in a machine.
    fn map_region() {
        let flags = sys::MAP_PRIVATE | sys::MAP_ANONYMOUS | sys::MAP_NORESERVE | sys::MAP_FIXED;
        // SAFETY: nothing else is there.
        unsafe { sys!(sys::__NR_mmap, REGION_BASE, REGION_SIZE, 3usize, flags, -1isize, 0usize) }
            .unwrap();
    }

    #[test]
    fn runs_tile_the_region_and_merge_when_freed() {
        map_region();
        let mut runs = Runs { top: 0, heads: [0; EXACT + 1] };
        let mut live = std::vec::Vec::new();
        let mut random = 12345u32;
        for round in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if live.len() < 50 || (random >> 8).is_multiple_of(2) && round < 15_000 {
                let len = 1 + (random >> 16) % 70;
                let block = runs.take(len).unwrap();
                assert_eq!(read(block).len, len);
                for &(other, other_len) in &live {
                    assert!(block + len <= other || other + other_len <= block);
                }
                live.push((block, len));
            } else {
                let at = (random >> 4) as usize % live.len();
                runs.give(live.swap_remove(at).0);
            }
        }
        for (block, _) in live {
            runs.give(block);
        }
        // All of it is one free run again.
        let top = runs.top;
        assert_eq!(runs.take(top), Some(0));
        assert_eq!(runs.top, top);
        assert_eq!(BLOCKS % BLOCK_SIZE as u64, 0);
    }
}
