//! One context: its ring, and the operations that are under way.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::aio::IoEvent;
use lx_core::abi::{Errno, UserPtr};
use lx_core::caller::Caller;
use lx_core::error::SysError;
use lx_core::file::OpenFile;
use lx_core::host::Host;
use lx_core::rlimit::Rlimits;
use lx_core::sync::{Mutex, WaitEnd, WaitQueue, Waiter, Wake, level};
use lx_core::timer::TimerQueue;
use lx_vfs::eventfd::EventFile;
use lx_vfs::poll::Timeout;

use super::AioLimits;
use super::poll::Poll;
use super::ring::Ring;
use crate::kernel::Kernel;
use crate::mm::PageMapping;

/// What a ring may have in slots: they are to be less than 256 MiB.
const MAX_EVENTS: u32 = (256 << 20) / size_of::<IoEvent>() as u32;
/// Completions that are copied to the guest at once.
const BATCH: usize = 32;
/// All waiters of a context are woken alike.
const ANY: u32 = u32::MAX;

/// What names an operation in its completion, and whom that is told.
#[derive(Clone)]
pub struct Operation {
    /// The guest's own number.
    pub data: u64,
    /// Address of the `struct iocb`.
    pub iocb: u64,
    /// The eventfd that counts the completion.
    pub eventfd: Option<Arc<OpenFile>>,
}

/// A context of `io_setup(2)`.
pub struct Context {
    pub(super) host: &'static dyn Host,
    pub(super) timers: Arc<TimerQueue>,
    limits: Arc<AioLimits>,
    /// What counts for [`AioLimits`].
    requests: u32,
    ring: Ring,
    state: Mutex<State, { level::FILE_OBJECT }>,
    queue: WaitQueue,
    /// On whose behalf files are asked whether they are ready.
    pub(super) waiter: Arc<Waiter>,
    pub(super) rlimits: Rlimits,
}

#[derive(Default)]
struct State {
    /// The slot of the next completion. What the guest reads in the ring is a copy.
    tail: u32,
    /// Operations that have not completed.
    in_flight: u32,
    /// It is being destroyed.
    dead: bool,
    polls: Vec<Arc<Poll>>,
}

impl Context {
    /// A context for this many operations at a time.
    pub(super) fn new(kernel: &Kernel, caller: &Caller<'_>, requests: u32) -> Result<Arc<Self>> {
        // Linux hands slots to processors in portions, and takes care that each can have some.
        let portions = caller.host.cpu_count().saturating_mul(4);
        let events = requests.max(portions).wrapping_mul(2);
        if events > MAX_EVENTS {
            return Err(Errno::EINVAL.into());
        }
        if events == 0 || u64::from(requests) > kernel.aio.max() {
            return Err(Errno::EAGAIN.into());
        }
        let ring = Ring::new(caller, events)?;
        kernel.aio.take(requests.into())?;
        Ok(Arc::new(Self {
            host: caller.host,
            timers: Arc::clone(&kernel.timers),
            limits: Arc::clone(&kernel.aio),
            requests,
            ring,
            state: Mutex::default(),
            queue: WaitQueue::new(),
            waiter: Arc::new(Waiter::new()),
            rlimits: Rlimits::new(),
        }))
    }

    /// Enters the context into a table by `add`, and the index that it gets into the ring.
    pub(super) fn start(self: Arc<Self>, add: impl FnOnce(Arc<Self>) -> u32) {
        let index = add(Arc::clone(&self));
        self.ring.start(index);
    }

    pub(super) fn mapping(&self) -> &Arc<PageMapping> {
        self.ring.mapping()
    }

    /// Slots of the ring: more operations are not submitted by one call.
    pub fn slots(&self) -> u32 {
        self.ring.slots()
    }

    /// Takes a slot for an operation that is about to begin.
    ///
    /// # Errors
    /// `EAGAIN` if all are in use, by operations or by completions that nobody has read; `EINVAL`
    /// if the context is being destroyed.
    pub fn reserve(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL.into());
        }
        let unread = self.ring.distance(self.ring.head(), state.tail);
        if state.in_flight.saturating_add(unread) >= self.ring.slots().saturating_sub(1) {
            return Err(Errno::EAGAIN.into());
        }
        state.in_flight = state.in_flight.saturating_add(1);
        Ok(())
    }

    /// Gives a slot back: the operation has not begun.
    pub fn give_back(&self) {
        self.state.lock().in_flight -= 1;
        self.queue.wake_all(ANY);
    }

    /// An operation that has a slot has ended with this result.
    pub fn complete(&self, operation: &Operation, res: i64) {
        let event = IoEvent { data: operation.data, obj: operation.iocb, res, res2: 0 };
        let mut state = self.state.lock();
        let tail = self.ring.next(state.tail);
        self.ring.set_event(state.tail, &event);
        self.ring.set_tail(tail);
        state.tail = tail;
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.queue.wake_all(ANY);
    }

    /// Remembers a poll that has a slot.
    ///
    /// # Errors
    /// `EINVAL` if the context is being destroyed.
    pub(super) fn add_poll(&self, poll: &Arc<Poll>) -> Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL.into());
        }
        state.polls.push(Arc::clone(poll));
        Ok(())
    }

    /// Forgets a poll that is about to complete.
    pub(super) fn remove_poll(&self, poll: &Poll) {
        let mut state = self.state.lock();
        let at = state.polls.iter().position(|known| core::ptr::eq(&raw const **known, poll));
        let removed = at.map(|at| state.polls.swap_remove(at));
        drop(state);
        drop(removed);
    }

    /// `io_cancel(2)`: the operation, whose address this is, completes with the result 0.
    ///
    /// # Errors
    /// `EINPROGRESS` when that is done; `EINVAL` if there is no such operation.
    pub fn cancel(&self, iocb: u64) -> Result<()> {
        let state = self.state.lock();
        let found = state.polls.iter().find(|poll| poll.iocb() == iocb).cloned();
        drop(state);
        if found.is_some_and(|poll| poll.finish(self, 0)) {
            return Err(Errno::EINPROGRESS.into());
        }
        Err(Errno::EINVAL.into())
    }

    /// Nothing begins any more, what is in flight is cancelled, who waits is told.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        if state.dead {
            return;
        }
        state.dead = true;
        let polls = core::mem::take(&mut state.polls);
        drop(state);
        for poll in polls {
            poll.finish(self, 0);
        }
        self.limits.give_back(self.requests.into());
        self.queue.wake_all(ANY);
    }

    /// Waits until the threads are ready that submit something.
    pub(super) fn wait_for_operations(&self, caller: &Caller<'_>) {
        let target: Arc<dyn Wake> = Arc::clone(caller.waiter) as Arc<dyn Wake>;
        self.queue.add(Arc::clone(&target), ANY, false);
        let ready = || (self.state.lock().in_flight == 0).then_some(());
        // Only the end of the process ends this wait.
        let _ = caller.waiter.wait_for(None, || caller.host.monotonic(), false, ready);
        self.queue.remove(&target);
    }

    /// `io_getevents(2)`: copies at least `min` and at most `max` completions to `events`, fewer if
    /// the time runs out or a signal comes; how many.
    ///
    /// # Errors
    /// If there were none: `Restart` when a signal arrived, `EFAULT`, `EINVAL` if the context is
    /// being destroyed.
    pub fn get_events(
        &self,
        caller: &Caller<'_>,
        min: usize,
        max: usize,
        events: UserPtr<IoEvent>,
        timeout: Timeout,
    ) -> Result<usize> {
        let mut done = 0;
        let mut step = || match self.copy_events(caller, max, events, &mut done) {
            Err(error) => Some(Err(error)),
            Ok(()) if self.state.lock().dead => Some(Err(Errno::EINVAL.into())),
            Ok(()) => (done >= min).then_some(Ok(())),
        };
        let end = match step() {
            Some(end) => end,
            None if timeout == Timeout::Now => Ok(()),
            None => match caller.wait_until(&self.queue, ANY, timeout.deadline(), step) {
                Ok(end) => end,
                Err(WaitEnd::TimedOut | WaitEnd::Interrupted) => Ok(()),
            },
        };
        if done > 0 {
            return Ok(done);
        }
        end?;
        // Also if there was no wait, as of a signal that the mask of the call lets through.
        if caller.waiter.is_interrupted() { Err(SysError::Restart) } else { Ok(0) }
    }

    /// Copies what there is, up to `max` completions with those that are `done`.
    fn copy_events(
        &self,
        caller: &Caller<'_>,
        max: usize,
        events: UserPtr<IoEvent>,
        done: &mut usize,
    ) -> Result<()> {
        let mut batch = [IoEvent::default(); BATCH];
        while *done < max {
            let room = max.saturating_sub(*done).min(BATCH);
            let (from, to, count) = self.take_events(batch.get_mut(..room).unwrap_or_default());
            let Some(taken) = batch.get(..count).filter(|taken| !taken.is_empty()) else { break };
            let place = events.offset(*done as u64).map_err(SysError::from);
            let stored = place.and_then(|place| caller.memory().write_array(place, taken));
            if let Err(error) = stored {
                self.put_back(from, to);
                return Err(error);
            }
            *done = done.saturating_add(count);
        }
        Ok(())
    }

    /// Takes completions out of the ring: the head before and after it, and how many.
    fn take_events(&self, batch: &mut [IoEvent]) -> (u32, u32, usize) {
        let state = self.state.lock();
        let from = self.ring.head();
        let (mut head, mut count) = (from, 0_usize);
        for event in batch {
            if head == state.tail {
                break;
            }
            *event = self.ring.event(head);
            head = self.ring.next(head);
            count = count.saturating_add(1);
        }
        if count > 0 {
            self.ring.set_head(head);
        }
        (from, head, count)
    }

    /// The guest has not got what was taken: it stays, unless somebody has read on.
    fn put_back(&self, from: u32, to: u32) {
        let state = self.state.lock();
        if self.ring.head() == to {
            self.ring.set_head(from);
        }
        drop(state);
    }
}

/// Counts a completion in the operation's eventfd, and wakes those who wait there. Not to be called
/// by a wake, which it could be the reason of.
pub fn signal(operation: &Operation) {
    if let Some(event) = operation.eventfd.as_ref().and_then(|file| file.ops_as::<EventFile>()) {
        event.count();
        event.announce();
    }
}
