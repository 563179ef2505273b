//! What a host process has mapped for its guest, page by page.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::host::Prot;

/// What stands behind a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Private memory.
    Private,
    /// Private memory that was never accessible and has no pages yet.
    Reserved,
    /// A view of the shared region, from this address on.
    View(u64),
    /// A view of a host file.
    File {
        /// The number of its descriptor.
        raw: u64,
        /// The place in the file.
        offset: u64,
    },
}

impl Kind {
    /// Whether it is mapped by views, unit by unit.
    pub(crate) fn has_views(self) -> bool {
        matches!(self, Self::View(_) | Self::File { .. })
    }

    /// What stands behind the range `offset` bytes further on.
    pub(crate) fn advance(self, offset: u64) -> Self {
        match self {
            Self::View(address) => Self::View(address + offset),
            Self::File { raw, offset: at } => Self::File { raw, offset: at + offset },
            other => other,
        }
    }
}

/// Neighbouring pages with the same attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) prot: Prot,
    pub(crate) kind: Kind,
}

impl Range {
    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// The part between two addresses.
    fn clip(self, start: u64, end: u64) -> Self {
        let (from, to) = (self.start.max(start), self.end.min(end));
        Self { start: from, end: to, kind: self.kind.advance(from - self.start), ..self }
    }

    fn continues(&self, before: &Self) -> bool {
        before.end == self.start
            && before.prot == self.prot
            && before.kind.advance(before.end - before.start) == self.kind
    }
}

/// Ranges by their start; they do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    map: BTreeMap<u64, Range>,
}

impl Ranges {
    /// The parts of all ranges between two addresses.
    pub(crate) fn overlapping(&self, start: u64, end: u64) -> Vec<Range> {
        let first = self.map.range(..start).next_back().map(|(_, range)| *range);
        first
            .into_iter()
            .chain(self.map.range(start..end).map(|(_, range)| *range))
            .filter(|range| range.end > start)
            .map(|range| range.clip(start, end))
            .collect()
    }

    /// All ranges.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Range> {
        self.map.values()
    }

    /// The range that holds an address.
    pub(crate) fn find(&self, address: u64) -> Option<Range> {
        let (_, range) = self.map.range(..=address).next_back()?;
        (range.end > address).then_some(*range)
    }

    /// Removes what is between two addresses: the parts that were there.
    pub(crate) fn remove(&mut self, start: u64, end: u64) -> Vec<Range> {
        let removed = self.overlapping(start, end);
        for part in &removed {
            let Some(whole) = self.find(part.start) else { continue };
            self.map.remove(&whole.start);
            if whole.start < part.start {
                self.map.insert(whole.start, whole.clip(whole.start, part.start));
            }
            if whole.end > part.end {
                self.map.insert(part.end, whole.clip(part.end, whole.end));
            }
        }
        removed
    }

    /// Adds a range where nothing is.
    pub(crate) fn insert(&mut self, mut range: Range) {
        if range.start >= range.end {
            return;
        }
        if let Some((_, &before)) = self.map.range(..range.start).next_back()
            && range.continues(&before)
        {
            let kind = before.kind;
            range = Range { start: before.start, kind, ..range };
        }
        if let Some(&after) = self.map.get(&range.end)
            && after.continues(&range)
        {
            self.map.remove(&after.start);
            range.end = after.end;
        }
        self.map.insert(range.start, range);
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        self.map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Range, Ranges};
    use lx_core::host::Prot;

    fn range(start: u64, end: u64, kind: Kind) -> Range {
        Range { start, end, prot: Prot::READ, kind }
    }

    #[test]
    fn neighbours_merge_and_come_apart() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20, Kind::Private));
        ranges.insert(range(30, 40, Kind::Private));
        ranges.insert(range(20, 30, Kind::Private));
        assert_eq!(ranges.overlapping(0, 100), [range(10, 40, Kind::Private)]);
        assert_eq!(ranges.remove(15, 35), [range(15, 35, Kind::Private)]);
        assert_eq!(
            ranges.overlapping(0, 100),
            [range(10, 15, Kind::Private), range(35, 40, Kind::Private)]
        );
    }

    #[test]
    fn views_know_their_address() {
        let mut ranges = Ranges::default();
        ranges.insert(range(10, 20, Kind::View(110)));
        ranges.insert(range(20, 30, Kind::View(150)));
        assert_eq!(ranges.iter().count(), 2);
        assert_eq!(ranges.find(25), Some(range(20, 30, Kind::View(150))));
        assert_eq!(ranges.remove(15, 18), [range(15, 18, Kind::View(115))]);
        assert_eq!(ranges.find(19), Some(range(18, 20, Kind::View(118))));
    }
}
