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
use crate::error::Result;
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

/// What the cache has for a descriptor.
enum Found {
    File(Arc<OpenFile>),
    Nothing,
    /// It is of an older generation of the table.
    Stale,
}

/// The shortcut, part of a task and only of use on that task's thread.
#[derive(Default)]
pub struct FdCache {
    entries: ThreadCell<Entries>,
}

impl FdCache {
    /// As [`FdTable::get`], for the time of a call.
    ///
    /// # Errors
    /// `EBADF`.
    // In line, as a result that lives in registers: moving it through memory costs more than the
    // look-up.
    #[inline(always)]
    pub fn get<'a>(&'a self, table: &'a FdTable, fd: Fd) -> Result<CachedFile<'a>> {
        let generation = table.generation();
        let kept = if table.is_shared() { None } else { self.take(fd, generation) };
        let file = match kept {
            Some(file) => file,
            None => table.get(fd)?,
        };
        Ok(CachedFile { file: Some(file), fd, generation, table, cache: self })
    }

    #[inline(always)]
    fn take(&self, fd: Fd, generation: u64) -> Option<Arc<OpenFile>> {
        let found = self.entries.with(|entries| {
            if entries.generation != generation {
                return Found::Stale;
            }
            match entries.slot(fd) {
                Some(slot) if slot.as_ref().is_some_and(|(kept, _)| *kept == fd) => {
                    slot.take().map_or(Found::Nothing, |(_, file)| Found::File(file))
                }
                _ => Found::Nothing,
            }
        });
        match found {
            Some(Found::File(file)) => Some(file),
            Some(Found::Stale) => {
                self.renew(generation);
                None
            }
            Some(Found::Nothing) | None => None,
        }
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
    #[inline]
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.table.is_shared() || self.table.generation() != self.generation {
            return;
        }
        let mut entry = Some((self.fd, file));
        // What is swapped out is dropped afterwards: it may be a file's last reference.
        self.cache.entries.with(|entries| {
            if entries.generation == self.generation
                && let Some(slot) = entries.slot(self.fd)
            {
                core::mem::swap(slot, &mut entry);
            }
        });
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_thread_ids_nothing_is_kept() {
        let (cache, table) = (FdCache::default(), FdTable::new());
        assert!(cache.get(&table, Fd(0)).is_err());
        cache.clear();
        cache.release();
    }
}
