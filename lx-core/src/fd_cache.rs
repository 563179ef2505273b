//! A task's shortcut to the files that it used last.
//!
//! Looking a descriptor up costs three atomic exchanges: the table's lock, and the count of
//! references up and down. As long as a table has one user, only that task changes it, and can as
//! well keep the references that it used last. A call takes one out and puts it back when it is
//! done with it.
//!
//! A reference that is kept must not keep a closed file open: whoever takes descriptors out of a
//! table, or begins to share it, calls [`FdCache::clear`].

use alloc::sync::Arc;
use core::ops::Deref;

use crate::abi::Fd;
use crate::fd_table::FdTable;
use crate::file::OpenFile;
use crate::sync::ThreadCell;

/// Number of files kept; a power of two.
const KEPT: usize = 4;

type Slots = [Option<(Fd, Arc<OpenFile>)>; KEPT];

#[derive(Default)]
struct Entries {
    /// The table's generation for which the entries hold.
    generation: u64,
    slots: Slots,
}

impl Entries {
    fn slot(&mut self, fd: Fd) -> Option<&mut Option<(Fd, Arc<OpenFile>)>> {
        self.slots.get_mut(fd.0.cast_unsigned() as usize % KEPT)
    }
}

/// The shortcut, part of a task and only of use on that task's thread.
#[derive(Default)]
pub struct FdCache {
    entries: ThreadCell<Entries>,
}

impl FdCache {
    /// As [`FdTable::get`], for the time of a call; `None` stands for `EBADF`.
    // In line, and no `Result`, so that what is found lives in registers: moving it through memory
    // costs more than the look-up.
    #[inline(always)]
    pub fn get<'a>(&'a self, table: &'a FdTable, fd: Fd) -> Option<CachedFile<'a>> {
        let generation = table.generation();
        let kept = if table.is_shared() { None } else { self.take(fd, generation) };
        let file = match kept {
            Some(file) => file,
            None => self.look_up(table, fd, generation)?,
        };
        Some(CachedFile { file: Some(file), fd, generation, table, cache: self })
    }

    #[inline(always)]
    fn take(&self, fd: Fd, generation: u64) -> Option<Arc<OpenFile>> {
        let slot_of = |entries: &mut Entries| {
            if entries.generation != generation {
                return None;
            }
            let slot = entries.slot(fd)?;
            match slot {
                Some((kept, _)) if *kept == fd => slot.take().map(|(_, file)| file),
                _ => None,
            }
        };
        self.entries.with(slot_of).flatten()
    }

    /// The table's answer, when nothing is kept.
    #[inline(never)]
    fn look_up(&self, table: &FdTable, fd: Fd, generation: u64) -> Option<Arc<OpenFile>> {
        if !table.is_shared()
            && self.entries.with(|entries| entries.generation != generation) == Some(true)
        {
            self.renew(generation);
        }
        table.get(fd).ok()
    }

    /// Keeps a file for the next call; what has no place any more is returned.
    #[inline(always)]
    fn put(&self, fd: Fd, file: Arc<OpenFile>, generation: u64) -> Option<Arc<OpenFile>> {
        let mut file = Some(file);
        let former = self.entries.with(|entries| {
            if entries.generation != generation {
                return None;
            }
            let slot = entries.slot(fd)?;
            let entry = file.take().map(|file| (fd, file));
            core::mem::replace(slot, entry).map(|(_, former)| former)
        });
        former.flatten().or(file)
    }

    /// Begins anew with another generation of the table.
    #[cold]
    fn renew(&self, generation: u64) {
        let dropped = self.entries.with(|entries| {
            entries.generation = generation;
            core::mem::take(&mut entries.slots)
        });
        drop(dropped);
    }

    /// Forgets all files.
    pub fn clear(&self) {
        let dropped = self.entries.with(|entries| core::mem::take(&mut entries.slots));
        drop(dropped);
    }

    /// Forgets all files, and that they were those of the calling thread: the task moves to another
    /// one.
    pub fn release(&self) {
        self.clear();
        self.entries.release();
    }
}

/// A file for the time of a call.
pub struct CachedFile<'a> {
    /// Taken when it is dropped.
    file: Option<Arc<OpenFile>>,
    fd: Fd,
    generation: u64,
    table: &'a FdTable,
    cache: &'a FdCache,
}

impl CachedFile<'_> {
    /// The description, shared.
    pub fn file(&self) -> Option<&Arc<OpenFile>> {
        self.file.as_ref()
    }
}

impl Deref for CachedFile<'_> {
    type Target = OpenFile;
    #[expect(clippy::expect_used, reason = "the file is there until it is dropped")]
    fn deref(&self) -> &OpenFile {
        self.file.as_ref().expect("a file in use")
    }
}

impl Drop for CachedFile<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let keep = !self.table.is_shared() && self.table.generation() == self.generation;
        let left = if keep { self.cache.put(self.fd, file, self.generation) } else { Some(file) };
        if let Some(file) = left {
            discard(file);
        }
    }
}

/// Drops a reference, which may be a file's last one.
#[cold]
#[inline(never)]
fn discard(file: Arc<OpenFile>) {
    drop(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_thread_ids_nothing_is_kept() {
        let (cache, table) = (FdCache::default(), FdTable::new());
        assert!(cache.get(&table, Fd(0)).is_none());
        cache.clear();
        cache.release();
    }
}
