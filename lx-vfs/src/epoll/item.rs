//! One watched file.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::Caller;
use lx_core::abi::Fd;
use lx_core::abi::poll::EpollEvents;
use lx_core::file::OpenFile;
use lx_core::poll::PollEvents;
use lx_core::sync::{Mutex, Wake, WakeKey, level};

use super::Epoll;

/// What may be combined with `EPOLLEXCLUSIVE`.
pub(super) const WITH_EXCLUSIVE: EpollEvents = EpollEvents::EPOLLIN
    .union(EpollEvents::EPOLLOUT)
    .union(EpollEvents::EPOLLERR)
    .union(EpollEvents::EPOLLHUP)
    .union(EpollEvents::EPOLLWAKEUP)
    .union(EpollEvents::EPOLLET)
    .union(EpollEvents::EPOLLEXCLUSIVE);

/// What names an item: the descriptor and the description it had then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    fd: i32,
    /// Address of the description. The item's weak reference keeps it from being reused.
    file: usize,
}

impl Key {
    pub(super) fn new(fd: Fd, file: &Arc<OpenFile>) -> Self {
        Self { fd: fd.raw(), file: Arc::as_ptr(file).addr() }
    }

    /// Address of the description, if this is a key of `fd`.
    pub(super) fn file_of(&self, fd: Fd) -> Option<usize> {
        (self.fd == fd.raw()).then_some(self.file)
    }
}

/// What a guest asked for: read and changed as a whole, so that no report mixes two settings.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// Without events after a one-shot report or removal.
    pub(super) events: EpollEvents,
    pub(super) data: u64,
    /// How often the guest has changed them: the same values again arm a one-shot item again.
    changes: u64,
}

impl Settings {
    /// What is waited for, `None` if the item is switched off.
    pub(super) fn mask(&self) -> Option<PollEvents> {
        let events = self.events.poll_events();
        if events.is_empty() { None } else { Some(events | PollEvents::ALWAYS) }
    }
}

/// A file on the interest list.
pub(super) struct Item {
    epoll: Weak<Epoll>,
    key: Key,
    file: Weak<OpenFile>,
    settings: Mutex<Settings, { level::EPOLL_ITEM }>,
    /// Whether it is on the ready list.
    queued: AtomicBool,
    me: Weak<Self>,
}

impl Item {
    pub(super) fn new(
        epoll: Weak<Epoll>,
        key: Key,
        file: &Arc<OpenFile>,
        events: EpollEvents,
        data: u64,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            epoll,
            key,
            file: Arc::downgrade(file),
            settings: Mutex::new(Settings { events, data, changes: 0 }),
            queued: AtomicBool::new(false),
            me: Weak::clone(me),
        })
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.file.strong_count() == 0
    }

    pub(super) fn settings(&self) -> Settings {
        *self.settings.lock()
    }

    pub(super) fn set(&self, events: EpollEvents, data: u64) {
        let mut settings = self.settings.lock();
        let changes = settings.changes + 1;
        *settings = Settings { events, data, changes };
    }

    /// Switches a removed item off. It keeps its data: who has asked the file before reports it yet.
    pub(super) fn switch_off(&self) {
        self.settings.lock().events = EpollEvents::empty();
    }

    /// Switches a one-shot item off, unless it was armed again since its settings were `reported`.
    pub(super) fn disarm(&self, reported: &Settings) {
        let mut settings = self.settings.lock();
        if settings.changes == reported.changes {
            settings.events &= EpollEvents::OPTIONS;
        }
    }

    /// The item as what wait queues wake.
    pub(super) fn target(&self) -> Arc<dyn Wake> {
        match self.me.upgrade() {
            Some(me) => me,
            // Not reached while a reference to the item exists.
            None => Arc::new(Nobody),
        }
    }

    /// Marks it as on the ready list; whether it was not.
    pub(super) fn set_queued(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// Marks it as taken off the list. Wakes from now on put it there again.
    pub(super) fn clear_queued(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    /// Puts it on the ready list if its file is ready now.
    pub(super) fn check(&self, caller: &Caller<'_>, file: &OpenFile) {
        let ready = self.settings().mask().is_some_and(|mask| file.poll(caller).intersects(mask));
        // One that is known to be ready is no news.
        if ready && !self.queued.load(Ordering::Acquire) {
            self.announce();
        }
    }

    fn announce(&self) {
        if let (Some(epoll), Some(me)) = (self.epoll.upgrade(), self.me.upgrade()) {
            epoll.announce(me);
        }
    }
}

impl Wake for Item {
    fn wake_by(&self, key: WakeKey) {
        // Queues without keys wake with all bits set.
        if self.settings().mask().is_some_and(|mask| mask.bits() & key != 0) {
            self.announce();
        }
    }
}

/// Wakes nothing.
struct Nobody;

impl Wake for Nobody {
    fn wake_by(&self, _key: WakeKey) {}
}
