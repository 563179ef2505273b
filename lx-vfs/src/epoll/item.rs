//! One watched file.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use lx_core::Caller;
use lx_core::abi::Fd;
use lx_core::abi::poll::EpollEvents;
use lx_core::file::OpenFile;
use lx_core::poll::PollEvents;
use lx_core::sync::{Wake, WakeKey};

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
}

/// A file on the interest list.
pub(super) struct Item {
    epoll: Weak<Epoll>,
    key: Key,
    file: Weak<OpenFile>,
    /// [`EpollEvents`]; without events after a one-shot report or removal.
    events: AtomicU32,
    data: AtomicU64,
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
            events: AtomicU32::new(events.bits()),
            data: AtomicU64::new(data),
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

    pub(super) fn events(&self) -> EpollEvents {
        EpollEvents::from_bits_retain(self.events.load(Ordering::Acquire))
    }

    pub(super) fn data(&self) -> u64 {
        self.data.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, events: EpollEvents, data: u64) {
        self.data.store(data, Ordering::Relaxed);
        self.events.store(events.bits(), Ordering::Release);
    }

    /// Switches a removed item off. It keeps its data: who has asked the file before reports it yet.
    pub(super) fn switch_off(&self) {
        self.events.store(EpollEvents::empty().bits(), Ordering::Release);
    }

    /// Switches a one-shot item off, unless its events were `reported` no more.
    pub(super) fn disarm(&self, reported: EpollEvents) {
        let off = reported & EpollEvents::OPTIONS;
        let _ = self.events.compare_exchange(
            reported.bits(),
            off.bits(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// The item as what wait queues wake.
    pub(super) fn target(&self) -> Arc<dyn Wake> {
        match self.me.upgrade() {
            Some(me) => me,
            // Not reached while a reference to the item exists.
            None => Arc::new(Nobody),
        }
    }

    /// What it waits for, `None` if it is switched off.
    pub(super) fn mask(&self) -> Option<PollEvents> {
        let events = self.events().poll_events();
        if events.is_empty() { None } else { Some(events | PollEvents::ALWAYS) }
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
        if self.mask().is_some_and(|mask| file.poll(caller).intersects(mask)) {
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
        if self.mask().is_some_and(|mask| mask.bits() & key != 0) {
            self.announce();
        }
    }
}

/// Wakes nothing.
struct Nobody;

impl Wake for Nobody {
    fn wake_by(&self, _key: WakeKey) {}
}
