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
