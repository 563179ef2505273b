//! Record locks on ranges of bytes.

use alloc::vec::Vec;

/// Who holds a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process, by its thread group id.
    Process(i32),
    /// An open file description, by an id that is unique while it lives.
    Description(usize),
}

/// Kind of a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared, `F_RDLCK`.
    Read,
    /// Exclusive, `F_WRLCK`.
    Write,
}

/// A range of bytes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Last byte; [`Range::END`] for all that may ever come.
    pub end: u64,
}

impl Range {
    /// The largest offset, `OFFSET_MAX`.
    pub const END: u64 = i64::MAX as u64;

    fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether they overlap or are neighbours.
    fn touches(self, other: Self) -> bool {
        self.start <= other.end.saturating_add(1) && other.start <= self.end.saturating_add(1)
    }
}

/// A record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it.
    pub owner: Owner,
    /// Its kind.
    pub kind: Kind,
    /// What it covers.
    pub range: Range,
}

/// The first lock of `owner` that covers some of the range.
pub(super) fn own(records: &[Record], owner: Owner, range: Range) -> Option<Record> {
    records.iter().find(|record| record.owner == owner && record.range.overlaps(range)).copied()
}

/// The first lock of somebody else that forbids one like this.
pub(super) fn conflict(
    records: &[Record],
    owner: Owner,
    kind: Kind,
    range: Range,
) -> Option<Record> {
    let conflicts = |record: &&Record| {
        record.owner != owner
            && record.range.overlaps(range)
            && (kind == Kind::Write || record.kind == Kind::Write)
    };
    records.iter().find(conflicts).copied()
}

/// Replaces what `owner` holds in `range` by a lock of `kind`, or by nothing. Parts of its locks
/// outside of the range stay; neighbours of the same kind become one lock.
///
/// The locks are in Linux's order, which `F_GETLK` shows: owners by their first lock, and then by
/// its start.
pub(super) fn set(records: &mut Vec<Record>, owner: Owner, kind: Option<Kind>, range: Range) {
    let mut new = range;
    let place = records.iter().position(|record| record.owner == owner);
    let mut own: Vec<Record> = records.extract_if(.., |record| record.owner == owner).collect();
    let mut rest = Vec::new();
    own.retain(|record| {
        if Some(record.kind) == kind && record.range.touches(range) {
            new.start = new.start.min(record.range.start);
            new.end = new.end.max(record.range.end);
            return false;
        }
        if !record.range.overlaps(range) {
            return true;
        }
        if let Some(end) = range.start.checked_sub(1)
            && record.range.start <= end
        {
            rest.push(Record { range: Range { start: record.range.start, end }, ..*record });
        }
        if let Some(start) = range.end.checked_add(1)
            && start <= record.range.end
        {
            rest.push(Record { range: Range { start, end: record.range.end }, ..*record });
        }
        false
    });
    own.append(&mut rest);
    if let Some(kind) = kind {
        own.push(Record { owner, kind, range: new });
    }
    own.sort_by_key(|record| record.range.start);
    let place = place.unwrap_or(records.len());
    records.splice(place..place, own);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Owner = Owner::Process(7);
    const OTHER: Owner = Owner::Process(8);

    fn range(start: u64, end: u64) -> Range {
        Range { start, end }
    }

    fn held(records: &[Record]) -> Vec<(Kind, u64, u64)> {
        let mut list: Vec<_> =
            records.iter().map(|r| (r.kind, r.range.start, r.range.end)).collect();
        list.sort_by_key(|entry| entry.1);
        list
    }

    #[test]
    fn unlocking_the_middle_splits_a_lock() {
        let mut records = Vec::new();
        set(&mut records, ME, Some(Kind::Write), range(0, 99));
        set(&mut records, ME, None, range(40, 59));
        assert_eq!(held(&records), [(Kind::Write, 0, 39), (Kind::Write, 60, 99)]);
    }

    #[test]
    fn neighbours_of_the_same_kind_become_one() {
        let mut records = Vec::new();
        set(&mut records, ME, Some(Kind::Read), range(0, 9));
        set(&mut records, ME, Some(Kind::Read), range(20, 29));
        set(&mut records, ME, Some(Kind::Read), range(10, 19));
        assert_eq!(held(&records), [(Kind::Read, 0, 29)]);
        set(&mut records, ME, Some(Kind::Write), range(10, Range::END));
        assert_eq!(held(&records), [(Kind::Read, 0, 9), (Kind::Write, 10, Range::END)]);
    }

    #[test]
    fn only_writers_conflict_and_never_with_themselves() {
        let mut records = Vec::new();
        set(&mut records, ME, Some(Kind::Read), range(10, 19));
        assert_eq!(conflict(&records, ME, Kind::Write, range(0, 99)), None);
        assert_eq!(conflict(&records, OTHER, Kind::Read, range(0, 99)), None);
        assert_eq!(conflict(&records, OTHER, Kind::Write, range(0, 9)), None);
        let found = conflict(&records, OTHER, Kind::Write, range(0, 10));
        assert_eq!(found.map(|record| record.owner), Some(ME));
    }
}
