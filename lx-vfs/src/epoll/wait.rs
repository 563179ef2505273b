//! The ready list: `epoll_wait(2)`.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::poll::{EpollEvent, EpollEvents};
use lx_core::error::Result;
use lx_core::poll::PollEvents;
use lx_core::sync::{WaitEnd, Wake};

use super::Epoll;
use super::item::{Item, Settings};
use crate::poll::Timeout;

/// Most events that one call reports, however many the guest asks for.
pub const EVENTS_AT_ONCE: usize = 128;

/// Events to be reported.
pub type Events = ArrayVec<EpollEvent, EVENTS_AT_ONCE>;

impl Epoll {
    /// Puts an item on the ready list and wakes those who wait.
    pub(super) fn announce(&self, item: Arc<Item>) {
        if item.set_queued() {
            self.ready.lock().push_back(item);
        }
        self.queue.wake(PollEvents::READABLE.bits(), 1);
        self.pollers.wake(PollEvents::READABLE.bits(), 1);
    }

    fn next_ready(&self) -> Option<Arc<Item>> {
        let item = self.ready.lock().pop_front()?;
        item.clear_queued();
        Some(item)
    }

    fn ready_len(&self) -> usize {
        self.ready.lock().len()
    }

    /// What an item has to report, of what these settings of its ask for.
    fn ask(&self, caller: &Caller<'_>, item: &Arc<Item>, settings: &Settings) -> PollEvents {
        let Some(mask) = settings.mask() else { return PollEvents::empty() };
        match item.file() {
            Some(file) => file.poll(caller) & mask,
            None => {
                self.forget(item);
                PollEvents::empty()
            }
        }
    }

    /// Moves up to `max` events to `out`; each item of the list is asked once.
    fn collect(&self, caller: &Caller<'_>, max: usize, out: &mut Events) {
        let mut left = self.ready_len();
        while left > 0
            && out.len() < max
            && !out.is_full()
            && let Some(item) = self.next_ready()
        {
            left -= 1;
            let settings = item.settings();
            let found = self.ask(caller, &item, &settings);
            if found.is_empty() {
                continue;
            }
            out.push(EpollEvent { events: found.bits(), data: settings.data });
            if settings.events.contains(EpollEvents::EPOLLONESHOT) {
                item.disarm(&settings);
            } else if !settings.events.contains(EpollEvents::EPOLLET) && item.set_queued() {
                self.ready.lock().push_back(item);
            }
        }
    }

    /// Wakes another one if there is something left for him.
    fn pass_on(&self) {
        if !self.queue.is_empty() && self.ready_len() > 0 {
            self.queue.wake(PollEvents::READABLE.bits(), 1);
        }
    }

    /// Waits for events, up to `max` (at least 1) or [`EVENTS_AT_ONCE`].
    ///
    /// # Errors
    /// `EINTR`: this wait is never restarted.
    pub fn wait(
        &self,
        caller: &Caller<'_>,
        max: usize,
        timeout: Timeout,
        out: &mut Events,
    ) -> Result<()> {
        self.collect(caller, max, out);
        if !out.is_empty() || timeout == Timeout::Now {
            self.pass_on();
            return Ok(());
        }
        let target: Arc<dyn Wake> = Arc::clone(caller.waiter) as Arc<dyn Wake>;
        // Exclusive: one event wakes one thread of a pool.
        self.queue.add(Arc::clone(&target), PollEvents::READABLE.bits(), true);
        let result = caller.waiter.wait_for(
            timeout.deadline(),
            || caller.host.monotonic(),
            true,
            || {
                self.collect(caller, max, out);
                (!out.is_empty()).then_some(())
            },
        );
        self.queue.remove(&target);
        // Also after a failed wait: the wake may have been meant for somebody who can use it.
        self.pass_on();
        match result {
            Ok(()) | Err(WaitEnd::TimedOut) => Ok(()),
            Err(WaitEnd::Interrupted) => Err(Errno::EINTR.into()),
        }
    }

    /// Whether `epoll_wait` would report something.
    pub(super) fn has_ready(&self, caller: &Caller<'_>) -> bool {
        for _ in 0..self.ready_len() {
            let Some(item) = self.next_ready() else { return false };
            if !self.ask(caller, &item, &item.settings()).is_empty() {
                if item.set_queued() {
                    self.ready.lock().push_front(item);
                }
                return true;
            }
        }
        false
    }
}
