//! The mappings of an address space, ordered by address.
//!
//! Pure bookkeeping: nothing here asks the host. What is taken out is handed to the caller, who
//! drops it when the lock is free, because that may close files.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::abi::PAGE_SIZE;

use super::vma::{Vma, VmaFlags};

/// Where a search for free addresses may end up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Lowest address.
    pub(crate) low: u64,
    /// First address behind.
    pub(crate) high: u64,
}

/// The tree. No two mappings overlap; neighbours that become alike by a change are joined.
#[derive(Clone, Default)]
pub(crate) struct VmaTree {
    vmas: BTreeMap<u64, Vma>,
    /// Bytes of the mappings that the guest sees.
    mapped: u64,
    /// Searches for free addresses start below this one,
    search_top: u64,
    /// unless they may fit a gap above it: no gap there is longer.
    longest_skipped: u64,
}

impl VmaTree {
    /// Bytes of the mappings that the guest sees.
    pub(crate) fn mapped(&self) -> u64 {
        self.mapped
    }

    /// Number of mappings, invisible ones included.
    pub(crate) fn len(&self) -> usize {
        self.vmas.len()
    }

    /// All mappings, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.vmas.values()
    }

    /// The mapping with this address, invisible ones included.
    pub(crate) fn find(&self, addr: u64) -> Option<&Vma> {
        let (_, vma) = self.vmas.range(..=addr).next_back()?;
        vma.contains(addr).then_some(vma)
    }

    /// The first mapping that ends above `addr`.
    pub(crate) fn find_from(&self, addr: u64) -> Option<&Vma> {
        self.find(addr).or_else(|| self.vmas.range(addr..).next().map(|(_, vma)| vma))
    }

    /// The last mapping that begins below `addr`.
    pub(crate) fn find_below(&self, addr: u64) -> Option<&Vma> {
        self.vmas.range(..addr).next_back().map(|(_, vma)| vma)
    }

    /// The mappings that lie wholly or partly in a range, ascending.
    pub(crate) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Vma> {
        let first = match self.find(start) {
            Some(vma) => vma.start,
            None => start,
        };
        self.vmas.range(first..end.max(first)).map(|(_, vma)| vma)
    }

    /// Whether nothing lies in a range.
    pub(crate) fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// Whether the guest sees mappings everywhere in a range.
    pub(crate) fn is_covered(&self, start: u64, end: u64) -> bool {
        self.covered_until(start, end) >= end
    }

    /// Where the first hole of a range begins, or its end.
    pub(crate) fn covered_until(&self, start: u64, end: u64) -> u64 {
        let mut at = start;
        for vma in self.overlapping(start, end) {
            if vma.start > at || vma.is_invisible() {
                return at;
            }
            at = vma.end;
        }
        at.min(end)
    }

    /// Adds a mapping in a free range and joins it with its neighbours.
    pub(crate) fn insert(&mut self, vma: Vma) {
        debug_assert!(!vma.is_empty() && self.is_free(vma.start, vma.end));
        if !vma.is_invisible() {
            self.mapped = self.mapped.saturating_add(vma.len());
        }
        let mut vma = vma;
        // Dropping a joined neighbour drops a reference that is not the last: `vma` has one too.
        if let Some((&at, below)) = self.vmas.range(..vma.start).next_back()
            && below.joins(&vma)
        {
            if let Some(below) = self.vmas.get_mut(&at) {
                below.end = vma.end;
            }
            self.join_above(at);
            return;
        }
        if let Some(above) = self.vmas.get(&vma.end)
            && vma.joins(above)
        {
            let above_start = above.start;
            vma.end = above.end;
            self.vmas.remove(&above_start);
        }
        self.vmas.insert(vma.start, vma);
    }

    /// Joins the mapping that starts at `at` with the one behind it, if possible.
    fn join_above(&mut self, at: u64) {
        let Some(vma) = self.vmas.get(&at) else { return };
        let Some(above) = self.vmas.get(&vma.end) else { return };
        if !vma.joins(above) {
            return;
        }
        let (above_start, end) = (above.start, above.end);
        self.vmas.remove(&above_start);
        if let Some(vma) = self.vmas.get_mut(&at) {
            vma.end = end;
        }
    }

    /// Makes `at` a border between mappings.
    fn cut(&mut self, at: u64) {
        let Some(start) = self.find(at).map(|vma| vma.start) else { return };
        if start == at {
            return;
        }
        if let Some(lower) = self.vmas.get_mut(&start) {
            let upper = lower.split_off(at);
            self.vmas.insert(at, upper);
        }
    }

    /// Takes everything out of a range; the parts taken, ascending.
    pub(crate) fn remove(&mut self, start: u64, end: u64) -> Vec<Vma> {
        self.cut(start);
        self.cut(end);
        let mut removed = Vec::new();
        while let Some((&at, _)) = self.vmas.range(start..end.max(start)).next() {
            if let Some(vma) = self.vmas.remove(&at) {
                if !vma.is_invisible() {
                    self.mapped = self.mapped.saturating_sub(vma.len());
                }
                removed.push(vma);
            }
        }
        if !removed.is_empty() {
            self.note_free(start, end);
        }
        removed
    }

    /// Changes the mappings of a range, which are split at its borders and joined afterwards.
    pub(crate) fn update(&mut self, start: u64, end: u64, mut change: impl FnMut(&mut Vma)) {
        self.cut(start);
        self.cut(end);
        let mut seen = 0_u64;
        let mut gone = 0_u64;
        for (_, vma) in self.vmas.range_mut(start..end.max(start)) {
            if !vma.is_invisible() {
                gone = gone.saturating_add(vma.len());
            }
            change(vma);
            if !vma.is_invisible() {
                seen = seen.saturating_add(vma.len());
            }
        }
        self.mapped = self.mapped.saturating_add(seen).saturating_sub(gone);
        // Join from below the range to its end.
        let mut at = match self.find_below(start) {
            Some(vma) => vma.start,
            None => start,
        };
        while at <= end
            && let Some((&next, _)) = self.vmas.range(at..=end).next()
        {
            let before = self.vmas.len();
            self.join_above(next);
            if self.vmas.len() == before {
                at = next.saturating_add(1);
            } else {
                at = next;
            }
        }
    }

    /// Takes flags from all mappings. Neighbours that differed in them stay apart, as on Linux.
    pub(crate) fn clear_flags(&mut self, flags: VmaFlags) {
        for vma in self.vmas.values_mut() {
            vma.flags -= flags;
        }
    }

    /// Remembers that a gap has come into being.
    fn note_free(&mut self, start: u64, end: u64) {
        if end <= self.search_top {
            return;
        }
        let low = self.find_below(start).map_or(0, |vma| vma.end);
        let high = self.find_from(end).map_or(u64::MAX, |vma| vma.start);
        self.longest_skipped = self.longest_skipped.max(high.saturating_sub(low));
    }

    /// The highest free range of `len` bytes in the window; `top` is where ordinary searches start.
    pub(crate) fn find_free(&mut self, len: u64, window: Window, top: u64) -> Option<u64> {
        let ordinary = window.high == top;
        let hinted = ordinary && self.search_top != 0 && len > self.longest_skipped;
        if hinted {
            let (found, skipped) = self.scan(len, window.low, self.search_top);
            if let Some(start) = found {
                self.search_top = start.saturating_add(len);
                self.longest_skipped = self.longest_skipped.max(skipped);
                return found;
            }
        }
        let (found, skipped) = self.scan(len, window.low, window.high);
        if let Some(start) = found
            && ordinary
        {
            self.search_top = start.saturating_add(len);
            self.longest_skipped = skipped;
        }
        found
    }

    /// The highest gap of `len` bytes in `low..high`, and the longest gap that was passed.
    fn scan(&self, len: u64, low: u64, high: u64) -> (Option<u64>, u64) {
        let mut skipped = 0;
        let mut end = high;
        for (_, vma) in self.vmas.range(..high).rev() {
            if vma.end < end {
                let gap = end.saturating_sub(vma.end.max(low));
                if gap >= len && end >= low.saturating_add(len) {
                    return (Some(end.saturating_sub(len)), skipped);
                }
                skipped = skipped.max(gap);
            }
            end = end.min(vma.start);
            if end < low.saturating_add(len) {
                return (None, skipped);
            }
        }
        let fits = end >= low.saturating_add(len);
        (fits.then(|| end.saturating_sub(len)), skipped)
    }

    /// The lowest free range of `len` bytes in a window.
    pub(crate) fn find_free_upwards(&self, len: u64, window: Window) -> Option<u64> {
        let mut at = window.low;
        for vma in self.overlapping(window.low, window.high) {
            if vma.start >= at.checked_add(len)? {
                break;
            }
            at = at.max(vma.end);
        }
        (at.checked_add(len)? <= window.high).then_some(at)
    }

    /// Marks a mapping as recycled: the guest sees it no more. It is one of its own.
    pub(crate) fn recycle(&mut self, start: u64, end: u64) {
        self.update(start, end, |vma| vma.flags |= VmaFlags::RECYCLED);
    }
}

/// Rounds up to whole pages; `None` past the end of the address space.
pub(crate) fn page_up(len: u64) -> Option<u64> {
    Some(len.checked_add(PAGE_SIZE - 1)? & !(PAGE_SIZE - 1))
}

/// Rounds down to whole pages.
pub(crate) fn page_down(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

#[cfg(test)]
mod tests;
