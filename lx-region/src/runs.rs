//! Runs of blocks.
//!
//! A run's first and last table entry say how long it is, so that neighbours merge when a run is
//! freed. Blocks are known by their numbers; what a number stands for is the caller's business.

/// Free runs of up to this many blocks have a list for each length.
const EXACT: usize = 32;

/// One entry of the table.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Entry {
    /// Length of the run that begins or ends here.
    len: u32,
    /// Whether that run is free.
    free: u32,
    /// Neighbours in the list of free runs, as block numbers plus one.
    next: u32,
    prev: u32,
}

/// The table: one entry for each block.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    entries: u64,
    count: u32,
}

impl Table {
    /// A table of `count` entries at the address `entries`.
    ///
    /// # Safety
    ///
    /// From the first use on the table is memory of zeros that nobody else uses, except by copies of
    /// this value; whoever reads or writes an entry holds the lock of the list it belongs to.
    pub const unsafe fn new(entries: u64, count: u32) -> Self {
        Self { entries, count }
    }

    /// Bytes of the table.
    pub const fn size(self) -> u64 {
        self.count as u64 * size_of::<Entry>() as u64
    }

    fn read(self, block: u32) -> Entry {
        debug_assert!(block < self.count);
        // SAFETY: block numbers stay below `count`, for which the table has room; see `new`.
        unsafe { *((self.entries as *const Entry).add(block as usize)) }
    }

    fn write(self, block: u32, entry: Entry) {
        debug_assert!(block < self.count);
        // SAFETY: as in `read`.
        unsafe { *((self.entries as *mut Entry).add(block as usize)) = entry }
    }

    fn mark_used(self, block: u32, len: u32) {
        let entry = Entry { len, free: 0, next: 0, prev: 0 };
        self.write(block + len - 1, entry);
        self.write(block, entry);
    }
}

/// Single blocks that are free but do not go back to the runs.
#[derive(Debug)]
pub struct BlockList {
    table: Table,
    head: u32,
    len: usize,
}

impl BlockList {
    /// An empty list.
    pub const fn new(table: Table) -> Self {
        Self { table, head: 0, len: 0 }
    }

    /// How many blocks it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.head == 0
    }

    /// Adds a block, a run of one that is in use.
    pub fn push(&mut self, block: u32) {
        self.table.write(block, Entry { len: 1, free: 0, next: self.head, prev: 0 });
        self.head = block + 1;
        self.len += 1;
    }

    /// Takes a block, which is a run of one again.
    pub fn pop(&mut self) -> Option<u32> {
        let block = self.head.checked_sub(1)?;
        self.head = self.table.read(block).next;
        self.len -= 1;
        self.table.mark_used(block, 1);
        Some(block)
    }
}

/// Which runs are in use and which are free.
#[derive(Debug)]
pub struct Runs {
    table: Table,
    /// Blocks from here on have never been used.
    top: u32,
    /// Heads of the lists, by length; the last for all that are longer.
    heads: [u32; EXACT + 1],
}

impl Runs {
    /// Nothing was taken yet.
    pub const fn new(table: Table) -> Self {
        Self { table, top: 0, heads: [0; EXACT + 1] }
    }

    /// A block that was never used.
    pub fn take_fresh(&mut self) -> Option<u32> {
        let block = self.top;
        if block >= self.table.count {
            return None;
        }
        self.top = block + 1;
        self.table.mark_used(block, 1);
        Some(block)
    }

    /// Length in blocks of the run that begins here.
    pub fn len_of(&self, block: u32) -> u32 {
        self.table.read(block).len
    }

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
            let mut entry = self.table.read(next - 1);
            entry.prev = block + 1;
            self.table.write(next - 1, entry);
        }
        self.table.write(block + len - 1, Entry { len, free: 1, next: 0, prev: 0 });
        self.table.write(block, Entry { len, free: 1, next, prev: 0 });
    }

    fn unlink(&mut self, block: u32) -> u32 {
        let entry = self.table.read(block);
        if entry.next != 0 {
            let mut next = self.table.read(entry.next - 1);
            next.prev = entry.prev;
            self.table.write(entry.next - 1, next);
        }
        if entry.prev != 0 {
            let mut prev = self.table.read(entry.prev - 1);
            prev.next = entry.next;
            self.table.write(entry.prev - 1, prev);
        } else if let Some(head) = self.head(Self::list(entry.len)) {
            *head = entry.next;
        }
        entry.len
    }

    /// Takes the first free run that is long enough, or fresh blocks. `None` if there are none.
    pub fn take(&mut self, len: u32) -> Option<u32> {
        for list in Self::list(len)..=EXACT {
            let mut at = *self.heads.get(list)?;
            while at != 0 {
                let block = at - 1;
                let entry = self.table.read(block);
                if entry.len >= len {
                    self.unlink(block);
                    if entry.len > len {
                        self.link(block + len, entry.len - len);
                    }
                    self.table.mark_used(block, len);
                    return Some(block);
                }
                at = entry.next;
            }
        }
        let block = self.top;
        if self.table.count - block < len {
            return None;
        }
        self.top = block + len;
        self.table.mark_used(block, len);
        Some(block)
    }

    /// Takes a run back, and merges it with its free neighbours.
    pub fn give(&mut self, block: u32) {
        let mut first = block;
        let mut len = self.table.read(block).len;
        let after = block + len;
        if after < self.top && self.table.read(after).free == 1 {
            len += self.unlink(after);
        }
        if block > 0 {
            let before = self.table.read(block - 1);
            if before.free == 1 {
                first = block - before.len;
                len += self.unlink(first);
            }
        }
        self.link(first, len);
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockList, Entry, Runs, Table};
    use std::vec::Vec;

    /// The entries stay in the vector, which the test keeps.
    fn table(entries: &mut Vec<Entry>) -> Table {
        entries.resize(50_000, Entry::default());
        // SAFETY: the vector is not used while the table is.
        unsafe { Table::new(entries.as_mut_ptr() as u64, entries.len() as u32) }
    }

    #[test]
    fn runs_tile_the_region_and_merge_when_freed() {
        let mut entries = Vec::new();
        let mut runs = Runs::new(table(&mut entries));
        let mut live = Vec::new();
        let mut random = 12345u32;
        for round in 0..20_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if live.len() < 50 || (random >> 8).is_multiple_of(2) && round < 15_000 {
                let len = 1 + (random >> 16) % 70;
                let Some(block) = runs.take(len) else { continue };
                assert_eq!(runs.len_of(block), len);
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
    }

    #[test]
    fn a_full_region_gives_nothing() {
        let mut entries = Vec::new();
        let mut runs = Runs::new(table(&mut entries));
        assert_eq!(runs.take(50_001), None);
        assert_eq!(runs.take(49_999), Some(0));
        assert_eq!(runs.take(2), None);
        assert_eq!(runs.take_fresh(), Some(49_999));
        assert_eq!(runs.take_fresh(), None);
        runs.give(0);
        assert_eq!(runs.take(49_999), Some(0));
    }

    #[test]
    fn a_list_gives_back_what_it_was_given() {
        let mut entries = Vec::new();
        let table = table(&mut entries);
        let (mut runs, mut list) = (Runs::new(table), BlockList::new(table));
        assert_eq!(list.pop(), None);
        let (Some(one), Some(two)) = (runs.take(1), runs.take(1)) else { panic!("no blocks") };
        list.push(one);
        list.push(two);
        assert_eq!((list.len(), list.is_empty()), (2, false));
        assert_eq!((list.pop(), list.pop(), list.pop()), (Some(two), Some(one), None));
        assert_eq!(runs.len_of(one), 1);
    }
}
