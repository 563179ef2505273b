//! `epoll(7)`.
//!
//! An instance has an *interest list*, under one lock, and a *ready list*, under another that
//! wakers may take wherever they are. An [`Item`] sits in the wait queues of its file. A wake puts
//! it on the ready list, and `epoll_wait` asks the files of that list what they are ready for: a
//! level-triggered item goes back to the list's end as long as it is.
//!
//! Items do not keep their file open. One whose last descriptor was closed disappears when it is
//! met next.

mod graph;
mod item;
#[cfg(test)]
mod tests;
mod wait;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::poll::EpollEvents;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, Fd};
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::{Mutex, WaitQueue, Wake, level};

use crate::anon::anon_stat;
use item::{Item, Key};

pub use wait::{EVENTS_AT_ONCE, Events};

/// Dead items tolerated before they are looked for.
const SWEEP_AT_LEAST: usize = 64;

/// An item and its places in the wait queues.
struct Entry {
    item: Arc<Item>,
    /// Dropping it leaves the wait queues; the queues and the item refer to each other.
    table: PollTable,
}

#[derive(Default)]
struct Interest {
    entries: BTreeMap<Key, Entry>,
    /// Sweep for dead items when there are this many.
    sweep_at: usize,
}

/// An epoll instance.
pub struct Epoll {
    interest: Mutex<Interest, { level::EPOLL }>,
    ready: Mutex<VecDeque<Arc<Item>>, { level::EPOLL_READY }>,
    /// Those in `epoll_wait`.
    queue: WaitQueue,
    /// Whoever polls the instance itself. They hear of files that become ready, not of those that
    /// one call leaves to the next: an edge is reported once.
    pollers: WaitQueue,
    me: Weak<Self>,
}

impl PollSource for Epoll {
    fn wait_queue(&self) -> &WaitQueue {
        &self.pollers
    }
}

/// The file of an epoll instance.
pub struct EpollFile {
    epoll: Arc<Epoll>,
}

/// A new epoll instance.
pub fn open() -> Arc<OpenFile> {
    let epoll = Arc::new_cyclic(|me| Epoll {
        interest: Mutex::default(),
        ready: Mutex::default(),
        queue: WaitQueue::new(),
        pollers: WaitQueue::new(),
        me: Weak::clone(me),
    });
    OpenFile::new(Arc::new(EpollFile { epoll }), OpenFlags::O_RDWR, None)
}

/// Whether instances take a file: its readiness must be able to change.
///
/// # Errors
/// `EPERM`.
pub fn check_watchable(file: &OpenFile) -> Result<()> {
    if file.ops().can_poll() { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// The instance behind a description.
///
/// # Errors
/// `EINVAL` if it is another file.
pub fn instance(file: &OpenFile) -> Result<Arc<Epoll>> {
    let file = file.ops_as::<EpollFile>().ok_or(Errno::EINVAL)?;
    Ok(Arc::clone(&file.epoll))
}

impl Epoll {
    /// `EPOLL_CTL_ADD`.
    ///
    /// # Errors
    /// `EEXIST`, `ELOOP`, and `EINVAL` for the instance
    /// itself or a wrong use of `EPOLLEXCLUSIVE`.
    pub fn add(
        &self,
        caller: &Caller<'_>,
        fd: Fd,
        file: &Arc<OpenFile>,
        events: EpollEvents,
        data: u64,
    ) -> Result<()> {
        let nested = self.check_target(file)?;
        let exclusive = events.contains(EpollEvents::EPOLLEXCLUSIVE);
        if exclusive && (nested.is_some() || !events.difference(item::WITH_EXCLUSIVE).is_empty()) {
            return Err(Errno::EINVAL.into());
        }
        let key = Key::new(fd, file);
        let item = Item::new(Weak::clone(&self.me), key, file, events, data);
        let mut table = PollTable::new(Arc::clone(&item) as Arc<dyn Wake>);
        if exclusive {
            // Other items hear of everything and choose, as their events may change.
            table.set_interest(events.poll_events());
            table.set_exclusive(true);
        }
        let entry = match nested {
            Some(target) => {
                let mut graph = graph::lock();
                graph.check(self, &target)?;
                let rejected = self.insert(key, Entry { item: Arc::clone(&item), table });
                if rejected.is_none() {
                    graph.add(&self.me, &target);
                }
                rejected
            }
            None => self.insert(key, Entry { item: Arc::clone(&item), table }),
        };
        if let Some(rejected) = entry {
            drop(rejected);
            return Err(Errno::EEXIST.into());
        }
        self.register(&item, file);
        self.sweep();
        item.check(caller, file);
        Ok(())
    }

    /// Puts an entry into the interest list, or gives it back if there is one with this key.
    fn insert(&self, key: Key, entry: Entry) -> Option<Entry> {
        let mut interest = self.interest.lock();
        if interest.entries.contains_key(&key) {
            return Some(entry);
        }
        interest.entries.insert(key, entry)
    }

    /// Enters an item into its file's wait queues.
    fn register(&self, item: &Item, file: &Arc<OpenFile>) {
        // The table is taken out meanwhile, as files take locks of their own to register.
        let fresh = || PollTable::new(item.target());
        let taken = {
            let mut interest = self.interest.lock();
            let entry = interest.entries.get_mut(&item.key());
            entry.map(|entry| core::mem::replace(&mut entry.table, fresh()))
        };
        let Some(mut table) = taken else { return };
        file.ops().poll_register(file, item.settings().events.poll_events(), &mut table);
        let unused = {
            let mut interest = self.interest.lock();
            match interest.entries.get_mut(&item.key()) {
                Some(entry) if core::ptr::eq(&*entry.item, item) => {
                    core::mem::replace(&mut entry.table, table)
                }
                // Removed meanwhile: dropping the table leaves the queues.
                _ => table,
            }
        };
        drop(unused);
    }

    /// `EPOLL_CTL_MOD`.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` if `EPOLLEXCLUSIVE` is or was set.
    pub fn modify(
        &self,
        caller: &Caller<'_>,
        fd: Fd,
        file: &Arc<OpenFile>,
        events: EpollEvents,
        data: u64,
    ) -> Result<()> {
        self.check_target(file)?;
        if events.contains(EpollEvents::EPOLLEXCLUSIVE) {
            return Err(Errno::EINVAL.into());
        }
        let item = {
            let interest = self.interest.lock();
            let entry = interest.entries.get(&Key::new(fd, file)).ok_or(Errno::ENOENT)?;
            Arc::clone(&entry.item)
        };
        if item.settings().events.contains(EpollEvents::EPOLLEXCLUSIVE) {
            return Err(Errno::EINVAL.into());
        }
        item.set(events, data);
        item.check(caller, file);
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn remove(&self, fd: Fd, file: &Arc<OpenFile>) -> Result<()> {
        let nested = self.check_target(file)?;
        let removed = self.interest.lock().entries.remove(&Key::new(fd, file));
        match removed {
            Some(entry) => {
                entry.item.switch_off();
                if let Some(target) = nested {
                    graph::lock().remove(&self.me, &target);
                }
                Ok(())
            }
            None => Err(Errno::ENOENT.into()),
        }
    }

    /// Address of the description that is watched as `fd`, for comparisons; as several may be, the
    /// first `skipped` are left out.
    pub fn watched(&self, fd: Fd, skipped: usize) -> Option<usize> {
        let interest = self.interest.lock();
        let living = interest.entries.iter().filter(|(_, entry)| !entry.item.is_dead());
        living.filter_map(|(key, _)| key.file_of(fd)).nth(skipped)
    }

    /// The instance behind a target, if it is one; never this one.
    fn check_target(&self, file: &OpenFile) -> Result<Option<Arc<Self>>> {
        match file.ops_as::<EpollFile>() {
            Some(target) if core::ptr::eq(&*target.epoll, self) => Err(Errno::EINVAL.into()),
            Some(target) => Ok(Some(Arc::clone(&target.epoll))),
            None => Ok(None),
        }
    }

    /// Forgets items whose file is closed, now and then.
    fn sweep(&self) {
        let dead: Vec<Entry> = {
            let mut interest = self.interest.lock();
            if interest.entries.len() < interest.sweep_at.max(SWEEP_AT_LEAST) {
                return;
            }
            let dead = interest.entries.extract_if(.., |_, entry| entry.item.is_dead());
            let dead = dead.map(|(_, entry)| entry).collect();
            interest.sweep_at = interest.entries.len() * 2;
            dead
        };
        drop(dead);
    }

    /// Forgets one item.
    fn forget(&self, item: &Arc<Item>) {
        let removed = {
            let mut interest = self.interest.lock();
            match interest.entries.get(&item.key()) {
                Some(entry) if Arc::ptr_eq(&entry.item, item) => {
                    interest.entries.remove(&item.key())
                }
                _ => None,
            }
        };
        drop(removed);
    }
}

impl FileOps for EpollFile {
    fn ioctl(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _request: u32,
        _arg: u64,
    ) -> Result<u64> {
        // Not ENOTTY, as it would be of other files.
        Err(Errno::EINVAL.into())
    }

    fn ignores_positions(&self) -> bool {
        true
    }

    fn poll(&self, caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        if self.epoll.has_ready(caller) { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.epoll) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }
}
