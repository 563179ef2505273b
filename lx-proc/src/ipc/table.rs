//! Objects by id and by key.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::ipc::{IPC_PRIVATE, IpcFlags};
use lx_core::cred::Credentials;
use lx_core::sync::{Mutex, level};

use super::{Permissions, READ};

/// Ids are a sequence number times this plus an index.
const SEQUENCE: i32 = 1 << 15;
/// Indices that are given before the first is given again.
const SHORTEST_ROUND: usize = 64;
/// Highest sequence number.
const MAX_SEQUENCE: i32 = i32::MAX / SEQUENCE;

/// Something with an id.
pub trait Object {
    /// Its id, key, owners and mode.
    fn permissions(&self) -> &Permissions;

    /// Whether it has gone by itself, as a removed segment does with its last attachment.
    fn is_gone(&self) -> bool {
        false
    }
}

/// All objects of one kind.
pub struct Table<T> {
    inner: Mutex<Inner<T>, { level::IPC_IDS }>,
    limit: usize,
}

struct Inner<T> {
    slots: Vec<Option<Arc<T>>>,
    /// The index that was given last.
    last: Option<usize>,
    sequence: i32,
}

/// The sequence number in an id.
pub(super) fn sequence(id: i32) -> u16 {
    (id / SEQUENCE) as u16
}

impl<T: Object> Table<T> {
    pub(super) fn new(limit: usize) -> Self {
        let inner = Inner { slots: Vec::new(), last: None, sequence: 0 };
        Self { inner: Mutex::new(inner), limit }
    }

    /// The object with an id.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn get(&self, id: i32) -> Result<Arc<T>> {
        let object = self.at((id % SEQUENCE) as usize)?;
        if object.permissions().id() == id { Ok(object) } else { Err(Errno::EINVAL.into()) }
    }

    /// The object with an index, for the `*_STAT` commands.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn at(&self, index: usize) -> Result<Arc<T>> {
        let object = self.inner.lock().slots.get(index).cloned().flatten();
        object.filter(|object| !object.is_gone()).ok_or_else(|| Errno::EINVAL.into())
    }

    /// The object that a command shows: with that id, or at that index. Unless anybody may see it,
    /// `cred` has to be permitted to read it.
    ///
    /// # Errors
    /// `EINVAL`, `EACCES`.
    pub fn shown(
        &self,
        cred: &Credentials,
        id: i32,
        by_index: bool,
        to_anybody: bool,
    ) -> Result<Arc<T>> {
        let object = match by_index {
            true => self.at(id.unsigned_abs() as usize)?,
            false => self.get(id)?,
        };
        if !to_anybody {
            object.permissions().check(cred, READ)?;
        }
        Ok(object)
    }

    /// The object with an id that `cred` may change or remove.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`.
    pub fn owned(&self, cred: &Credentials, id: i32) -> Result<Arc<T>> {
        let object = self.get(id)?;
        object.permissions().check_owner(cred)?;
        Ok(object)
    }

    /// `shmget(2)`, `semget(2)`, `msgget(2)`: the id of the object with `key`, which `make` makes
    /// if there shall be one and is none. `fits` tells whether one that there is will do.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `EACCES`; `ENOSPC` at the limit; what the two functions fail with.
    pub fn find_or_make(
        &self,
        cred: &Credentials,
        key: i32,
        flags: IpcFlags,
        fits: impl FnOnce(&T) -> Result<()>,
        make: impl FnOnce(Permissions) -> Result<T>,
    ) -> Result<i32> {
        let mut inner = self.inner.lock();
        let gone = inner.sweep();
        let found = match key {
            IPC_PRIVATE => None,
            key => inner.objects().find(|object| object.permissions().key() == key).cloned(),
        };
        let result = match &found {
            Some(_) if flags.contains(IpcFlags::IPC_CREAT | IpcFlags::IPC_EXCL) => {
                Err(Errno::EEXIST.into())
            }
            Some(found) => fits(found)
                .and_then(|()| found.permissions().check(cred, flags.bits()))
                .map(|()| found.permissions().id()),
            None if key != IPC_PRIVATE && !flags.contains(IpcFlags::IPC_CREAT) => {
                Err(Errno::ENOENT.into())
            }
            None => inner.add(self.limit, |id| make(Permissions::new(id, key, cred, flags.bits()))),
        };
        drop(inner);
        drop(gone);
        result
    }

    /// Takes an object out; `false` if that has been done before.
    pub(super) fn remove(&self, object: &T) -> bool {
        let mut inner = self.inner.lock();
        let slot = inner.slots.iter_mut().find(|slot| {
            slot.as_ref().is_some_and(|other| core::ptr::eq(Arc::as_ptr(other), object))
        });
        let removed = slot.and_then(Option::take);
        drop(inner);
        removed.is_some()
    }

    /// All objects, by index.
    pub fn list(&self) -> Vec<Arc<T>> {
        let mut inner = self.inner.lock();
        let gone = inner.sweep();
        let all = inner.objects().cloned().collect();
        drop(inner);
        drop(gone);
        all
    }

    /// The highest index in use, 0 if there is none.
    pub fn highest_index(&self) -> usize {
        let mut inner = self.inner.lock();
        let gone = inner.sweep();
        let highest = inner.slots.iter().rposition(Option::is_some);
        drop(inner);
        drop(gone);
        highest.unwrap_or(0)
    }
}

impl<T: Object> Inner<T> {
    fn objects(&self) -> impl Iterator<Item = &Arc<T>> {
        self.slots.iter().flatten()
    }

    /// Takes out what has gone by itself; dropped by the caller, without the lock.
    fn sweep(&mut self) -> Vec<Arc<T>> {
        let gone = |slot: &mut Option<Arc<T>>| slot.take_if(|object| object.is_gone());
        self.slots.iter_mut().filter_map(gone).collect()
    }

    /// Adds an object. As on Linux indices go round, within more than are in use, and each round
    /// begins the next sequence, so that ids are not used again soon.
    fn add(&mut self, limit: usize, make: impl FnOnce(i32) -> Result<T>) -> Result<i32> {
        let used = self.objects().count();
        let round = (used + used / 2).max(SHORTEST_ROUND).min(limit);
        let next = self.last.map_or(0, |last| last + 1);
        let is_free = |index: &usize| self.slots.get(*index).is_none_or(Option::is_none);
        let index = (next..round).chain(0..round.min(next)).find(is_free);
        let index = index.ok_or(Errno::ENOSPC)?;
        let mut sequence = self.sequence;
        if self.last.is_some_and(|last| index <= last) {
            sequence = if sequence == MAX_SEQUENCE { 0 } else { sequence + 1 };
        }
        let id = sequence * SEQUENCE + index as i32;
        let object = Arc::new(make(id)?);
        (self.sequence, self.last) = (sequence, Some(index));
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(object);
        }
        Ok(id)
    }
}
