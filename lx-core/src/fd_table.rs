//! The file descriptor table of a task.
//!
//! New descriptors are *reserved*, told to the guest, then *installed*: a reserved number is
//! invisible to others that share the table, and dropping the [`ReservedFd`] frees it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::abi::{Errno, Fd};
use crate::error::Result;
use crate::file::OpenFile;
use crate::sync::{Mutex, level};

#[derive(Clone)]
enum Slot {
    Free,
    Reserved,
    Open { file: Arc<OpenFile>, cloexec: bool },
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    /// No slot below this is free.
    lowest_free: usize,
}

impl Slots {
    /// Index of the lowest free slot that is at least `from`; the table grows as needed.
    fn lowest_free(&mut self, from: usize, limit: usize) -> Result<usize> {
        let start = from.max(self.lowest_free);
        let at = self
            .slots
            .iter()
            .enumerate()
            .skip(start)
            .find(|(_, slot)| matches!(slot, Slot::Free))
            .map_or(self.slots.len().max(start), |(at, _)| at);
        if at >= limit {
            return Err(Errno::EMFILE.into());
        }
        self.grow(at)?;
        if from <= self.lowest_free {
            self.lowest_free = at + 1;
        }
        Ok(at)
    }

    fn grow(&mut self, at: usize) -> Result<()> {
        if at >= self.slots.len() {
            let more = at + 1 - self.slots.len();
            self.slots.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(at + 1, Slot::Free);
        }
        Ok(())
    }

    fn replace(&mut self, at: usize, slot: Slot) -> Slot {
        if matches!(slot, Slot::Free) {
            self.lowest_free = self.lowest_free.min(at);
        }
        match self.slots.get_mut(at) {
            Some(place) => core::mem::replace(place, slot),
            None => Slot::Free,
        }
    }
}

/// The table.
pub struct FdTable {
    slots: Mutex<Slots, { level::FD_TABLE }>,
    /// Another number after each removal of a descriptor, different in all tables.
    generation: AtomicU64,
    /// Tasks that use it. Not the number of references, which looks at other tasks add to.
    users: AtomicU32,
}

impl Default for FdTable {
    fn default() -> Self {
        Self::with(Slots::default())
    }
}

/// Tables made so far; each has 2^32 generations of its own.
static TABLES: AtomicU64 = AtomicU64::new(1);

fn index(fd: Fd) -> Result<usize> {
    usize::try_from(fd.0).map_err(|_| Errno::EBADF.into())
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(slots: Slots) -> Self {
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        Self {
            slots: Mutex::new(slots),
            generation: AtomicU64::new(number << 32),
            users: AtomicU32::new(0),
        }
    }

    /// A number that changes whenever a descriptor is removed or replaced.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A descriptor was removed or replaced; called with the table locked.
    fn removed(&self) {
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        self.generation.store(next, Ordering::Release);
    }

    /// A task begins to use the table.
    pub fn join(&self) {
        self.users.fetch_add(1, Ordering::AcqRel);
    }

    /// A task uses the table no more; `true` if it was the last one, which closes what is open.
    #[must_use]
    pub fn leave(&self) -> bool {
        self.users.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether several tasks use it.
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// The description behind a descriptor, for calls that work on the file itself: not one that
    /// was opened with `O_PATH`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        let file = self.get_any(fd)?;
        if file.is_path_only() { Err(Errno::EBADF.into()) } else { Ok(file) }
    }

    /// The description behind a descriptor, for the calls that take an `O_PATH` one too: those of
    /// the descriptor (`dup`, `fcntl`) and of the place (`fstat`, `fchdir`, the `*at` calls).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get_any(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        match self.slots.lock().slots.get(index(fd)?) {
            Some(Slot::Open { file, .. }) => Ok(Arc::clone(file)),
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// Whether the descriptor closes on exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn cloexec(&self, fd: Fd) -> Result<bool> {
        match self.slots.lock().slots.get(index(fd)?) {
            Some(Slot::Open { cloexec, .. }) => Ok(*cloexec),
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// Sets close-on-exec.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_cloexec(&self, fd: Fd, on: bool) -> Result<()> {
        match self.slots.lock().slots.get_mut(index(fd)?) {
            Some(Slot::Open { cloexec, .. }) => {
                *cloexec = on;
                Ok(())
            }
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// Reserves the lowest free number that is at least `from` and below `limit`
    /// (`RLIMIT_NOFILE`).
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn reserve(&self, from: usize, limit: u64, cloexec: bool) -> Result<ReservedFd<'_>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 20);
        let mut slots = self.slots.lock();
        let at = slots.lowest_free(from, limit)?;
        slots.replace(at, Slot::Reserved);
        Ok(ReservedFd { table: self, at, cloexec, installed: false })
    }

    /// Puts `file` at `fd`, replacing what is there (which the caller then closes). `dup2(2)`.
    ///
    /// # Errors
    /// `EBADF` if `fd` is not below `limit`; `EBUSY` if it is just being opened.
    pub fn replace(
        &self,
        fd: Fd,
        limit: u64,
        file: Arc<OpenFile>,
        cloexec: bool,
    ) -> Result<Option<Arc<OpenFile>>> {
        let at = index(fd)?;
        if at as u64 >= limit.min(1 << 20) {
            return Err(Errno::EBADF.into());
        }
        let mut slots = self.slots.lock();
        slots.grow(at)?;
        match slots.slots.get(at) {
            Some(Slot::Reserved) => Err(Errno::EBUSY.into()),
            _ => match slots.replace(at, Slot::Open { file, cloexec }) {
                Slot::Open { file, .. } => {
                    self.removed();
                    Ok(Some(file))
                }
                _ => Ok(None),
            },
        }
    }

    /// Frees a descriptor; the caller drops the description after its lock is released.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn remove(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        let at = index(fd)?;
        let mut slots = self.slots.lock();
        if !matches!(slots.slots.get(at), Some(Slot::Open { .. })) {
            return Err(Errno::EBADF.into());
        }
        match slots.replace(at, Slot::Free) {
            Slot::Open { file, .. } => {
                self.removed();
                Ok(file)
            }
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// Frees all descriptors for which `which(fd, cloexec)` holds.
    pub fn remove_where(&self, which: impl Fn(Fd, bool) -> bool) -> Vec<Arc<OpenFile>> {
        let mut removed = Vec::new();
        let mut slots = self.slots.lock();
        for at in 0..slots.slots.len() {
            let hit = matches!(slots.slots.get(at),
                Some(Slot::Open { cloexec, .. }) if which(Fd(at as i32), *cloexec));
            if hit && let Slot::Open { file, .. } = slots.replace(at, Slot::Free) {
                self.removed();
                removed.push(file);
            }
        }
        removed
    }

    /// Sets close-on-exec for all open descriptors in a range, `close_range(2)`.
    pub fn set_cloexec_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.lock();
        for (at, slot) in slots.slots.iter_mut().enumerate().skip(first as usize) {
            if at > last as usize {
                break;
            }
            if let Slot::Open { cloexec, .. } = slot {
                *cloexec = true;
            }
        }
    }

    /// A copy for a child that does not share the table. Reserved numbers are free in the copy.
    pub fn duplicate(&self) -> Self {
        let slots = self.slots.lock();
        let copy: Vec<Slot> = slots
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Open { .. } => slot.clone(),
                _ => Slot::Free,
            })
            .collect();
        let lowest_free =
            copy.iter().position(|slot| matches!(slot, Slot::Free)).unwrap_or(copy.len());
        Self::with(Slots { slots: copy, lowest_free })
    }

    /// All open descriptors, lowest first.
    pub fn list(&self) -> Vec<Fd> {
        let slots = self.slots.lock();
        let open = slots.slots.iter().enumerate();
        open.filter(|(_, slot)| matches!(slot, Slot::Open { .. }))
            .map(|(at, _)| Fd(at as i32))
            .collect()
    }
}

/// A number that will become a descriptor. Dropping it frees the number.
#[must_use]
pub struct ReservedFd<'a> {
    table: &'a FdTable,
    at: usize,
    cloexec: bool,
    installed: bool,
}

impl ReservedFd<'_> {
    /// The number.
    pub fn number(&self) -> Fd {
        Fd(self.at as i32)
    }

    /// Makes it a descriptor of `file`.
    pub fn install(mut self, file: Arc<OpenFile>) -> Fd {
        let cloexec = self.cloexec;
        self.table.slots.lock().replace(self.at, Slot::Open { file, cloexec });
        self.installed = true;
        self.number()
    }
}

impl Drop for ReservedFd<'_> {
    fn drop(&mut self) {
        if !self.installed {
            self.table.slots.lock().replace(self.at, Slot::Free);
        }
    }
}
