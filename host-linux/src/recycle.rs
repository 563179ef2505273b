//! Small private anonymous ranges without host calls.
//!
//! A host call to map, the page faults and a host call to unmap cost some sixty times as much as
//! zeroing a few pages. So a small anonymous range that the guest unmaps stays mapped in the host
//! process, and the next request for the same addresses gets it zeroed. The kernel chooses
//! addresses, so the same ones soon come again.
//!
//! Until then the range is *kept*: the kernel's own accesses fail there as they must, but the
//! guest's own instructions would not fault. Every other operation on addresses that overlap a kept
//! range first gives it back to the host.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::sync::Mutex;
use lx_x86::user_copy;

use crate::sys::{self, sys};

/// Larger ranges are left to the host: zeroing what was never touched would cost memory.
const LARGEST: u64 = 128 * 1024;
/// Ranges that are known at a time.
const KNOWN: usize = 128;
/// Bytes kept at a time.
const KEPT: u64 = 4 << 20;
/// Lock level: nothing is taken below it but the heap's.
const LEVEL: u8 = 58;

#[derive(Clone, Copy)]
struct Range {
    start: u64,
    len: u64,
    kept: bool,
}

impl Range {
    fn overlaps(&self, start: u64, len: u64) -> bool {
        start < self.start + self.len && self.start < start.saturating_add(len)
    }
}

#[derive(Clone, Default)]
struct Ranges {
    known: Vec<Range>,
    kept: u64,
}

/// The ranges of one address space.
#[derive(Default)]
pub(crate) struct Recycler {
    ranges: Mutex<Ranges, LEVEL>,
    /// All kept ranges lie between these two.
    low: AtomicU64,
    high: AtomicU64,
}

impl Ranges {
    fn remove(&mut self, at: usize) -> Range {
        let range = self.known.swap_remove(at);
        if range.kept {
            self.kept -= range.len;
        }
        range
    }
}

impl Recycler {
    /// What a twin of the process begins with: its memory is a copy.
    pub(crate) fn duplicate(&self) -> Self {
        let ranges = self.ranges.lock().clone();
        Self {
            ranges: Mutex::new(ranges),
            low: AtomicU64::new(self.low.load(Ordering::Relaxed)),
            high: AtomicU64::new(self.high.load(Ordering::Relaxed)),
        }
    }

    fn find_bounds(&self, ranges: &Ranges) {
        let kept = || ranges.known.iter().filter(|range| range.kept);
        let low = kept().map(|range| range.start).min().unwrap_or(0);
        let high = kept().map(|range| range.start + range.len).max().unwrap_or(0);
        self.low.store(low, Ordering::Relaxed);
        self.high.store(high, Ordering::Relaxed);
    }

    /// Before the guest's range is mapped as private anonymous memory, readable and writable:
    /// whether that is already done.
    pub(crate) fn take(&self, start: u64, len: u64) -> bool {
        if len > LARGEST {
            self.release(start, len);
            return false;
        }
        let mut ranges = self.ranges.lock();
        let found = ranges
            .known
            .iter_mut()
            .find(|range| range.kept && range.start == start && range.len == len);
        let Some(range) = found else {
            drop(ranges);
            self.release(start, len);
            return false;
        };
        range.kept = false;
        ranges.kept -= len;
        self.find_bounds(&ranges);
        drop(ranges);
        // SAFETY: guest memory, and the guest does not have it now.
        if unsafe { user_copy::zero(start, len as usize) } == len as usize {
            return true;
        }
        self.release(start, len);
        false
    }

    /// After the host has mapped such a range.
    pub(crate) fn note(&self, start: u64, len: u64) {
        if len > LARGEST {
            return;
        }
        let mut ranges = self.ranges.lock();
        if ranges.known.len() == KNOWN {
            // The oldest that is in use; kept ones are worth more.
            let Some(at) = ranges.known.iter().position(|range| !range.kept) else { return };
            ranges.remove(at);
        }
        ranges.known.push(Range { start, len, kept: false });
    }

    /// Before the guest's range is unmapped: whether nothing more is to be done.
    pub(crate) fn keep(&self, start: u64, len: u64) -> bool {
        if len <= LARGEST {
            let mut ranges = self.ranges.lock();
            let room = ranges.kept + len <= KEPT;
            let found = ranges
                .known
                .iter_mut()
                .find(|range| !range.kept && range.start == start && range.len == len);
            if let Some(range) = found
                && room
            {
                range.kept = true;
                ranges.kept += len;
                self.find_bounds(&ranges);
                return true;
            }
        }
        self.release(start, len);
        false
    }

    /// Before anything else happens to the addresses: forgets what is known about them, and gives
    /// kept memory back to the host.
    pub(crate) fn release(&self, start: u64, len: u64) {
        loop {
            let mut ranges = self.ranges.lock();
            let Some(at) = ranges.known.iter().position(|range| range.overlaps(start, len)) else {
                return;
            };
            let range = ranges.remove(at);
            self.find_bounds(&ranges);
            drop(ranges);
            if range.kept {
                // SAFETY: guest memory that the guest does not have.
                let _ = unsafe { sys!(sys::__NR_munmap, range.start, range.len) };
            }
        }
    }

    /// Forgets everything: all guest memory has been unmapped.
    pub(crate) fn clear(&self) {
        let mut ranges = self.ranges.lock();
        ranges.known.clear();
        ranges.kept = 0;
        self.find_bounds(&ranges);
    }

    /// Whether the guest has unmapped a part of these addresses although the host has them.
    #[inline]
    pub(crate) fn hides(&self, start: u64, len: usize) -> bool {
        let high = self.high.load(Ordering::Relaxed);
        start < high
            && start.saturating_add(len as u64) > self.low.load(Ordering::Relaxed)
            && self.hides_slow(start, len as u64)
    }

    #[cold]
    fn hides_slow(&self, start: u64, len: u64) -> bool {
        self.ranges.lock().known.iter().any(|range| range.kept && range.overlaps(start, len))
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LARGEST, Recycler};
    use crate::sys::{self, sys};

    const PAGE: u64 = 4096;

    fn map(pages: u64) -> u64 {
        let flags = sys::MAP_PRIVATE | sys::MAP_ANONYMOUS;
        // SAFETY: a new mapping.
        let address =
            unsafe { sys!(sys::__NR_mmap, 0usize, pages * PAGE, 3usize, flags, -1isize, 0usize) };
        address.unwrap() as u64
    }

    fn is_mapped(address: u64) -> bool {
        let mut resident = 0u8;
        // SAFETY: the kernel writes one byte.
        unsafe { sys!(sys::__NR_mincore, address, PAGE, &raw mut resident) }.is_ok()
    }

    #[test]
    fn a_range_that_was_unmapped_comes_back_zeroed() {
        let recycler = Recycler::default();
        let at = map(1);
        assert!(!recycler.take(at, PAGE));
        recycler.note(at, PAGE);
        // SAFETY: mapped above.
        unsafe { (at as *mut u64).write(7) };
        assert!(recycler.keep(at, PAGE));
        assert!(recycler.hides(at + 8, 8));
        assert!(!recycler.hides(at - 8, 8));
        assert!(recycler.take(at, PAGE));
        assert!(!recycler.hides(at + 8, 8));
        // SAFETY: mapped above.
        assert_eq!(unsafe { (at as *const u64).read() }, 0);
    }

    #[test]
    fn any_other_use_of_the_addresses_gives_a_kept_range_back() {
        let recycler = Recycler::default();
        let at = map(2);
        recycler.note(at, 2 * PAGE);
        assert!(!recycler.keep(at, PAGE), "a part of a range is the host's matter");
        recycler.note(at, 2 * PAGE);
        assert!(recycler.keep(at, 2 * PAGE));
        recycler.release(at + PAGE, PAGE);
        assert!(!is_mapped(at));
        assert!(!recycler.take(at, 2 * PAGE));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let recycler = Recycler::default();
        let start = map((KEPT + LARGEST) / PAGE);
        let mut at = start;
        while at < start + KEPT {
            recycler.note(at, LARGEST);
            assert!(recycler.keep(at, LARGEST));
            at += LARGEST;
        }
        recycler.note(at, LARGEST);
        assert!(!recycler.keep(at, LARGEST));
        let twin = recycler.duplicate();
        assert!(twin.hides(start, 1));
        recycler.clear();
        assert!(!recycler.hides(start, 1));
    }
}
