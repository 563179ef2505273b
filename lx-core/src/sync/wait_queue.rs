//! Sleeping until a condition holds, a signal arrives or time runs out.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::work::{TaskWork, WorkList};
use super::{Mutex, SpinHabit, level, sync_host};
use crate::host::{HostThreadId, Nanos};

/// What a waiter waits for, as a bit set that a waker matches (`PollEvents` bits, or all ones).
pub type WakeKey = u32;

/// Why a wait ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// A signal (or the end of the task) wants attention.
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// Nothing noted, the thread runs.
const EMPTY: u32 = 0;
/// A wake has come and was not consumed yet.
const WOKEN: u32 = 1;
/// The thread sleeps or is about to.
const PARKED: u32 = 2;

/// Something that a wait queue can wake: a thread's [`Waiter`], or an epoll item.
pub trait Wake: Send + Sync {
    /// Something happened; `key` says what. Called without any lock of the queue.
    fn wake_by(&self, key: WakeKey);
}

impl Wake for Waiter {
    fn wake_by(&self, _key: WakeKey) {
        self.wake();
    }
}

/// One thread's ability to sleep: its wake word, and whether something wants its attention.
///
/// A task owns one for all its life; wait queues hold references.
#[derive(Debug, Default)]
pub struct Waiter {
    /// [`EMPTY`], [`WOKEN`] or [`PARKED`]; the host futex of the thread.
    word: AtomicU32,
    /// An interruptible wait shall end.
    interrupted: AtomicBool,
    /// A killable wait shall end.
    killed: AtomicBool,
    /// Thread block that the task runs on now ([`HostThreadId`]).
    thread: AtomicU64,
    /// Whether it spins before it sleeps.
    habit: SpinHabit,
    /// What it is to do for others.
    work: WorkList,
}

impl Waiter {
    /// A new one, tied to no thread yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ties the waiter to the thread block that its task now runs on.
    pub fn set_thread(&self, thread: HostThreadId) {
        // An exchange, as the caller looks next at what was asked of the thread before: who asks
        // now finds it.
        self.thread.swap(thread.0, Ordering::SeqCst);
    }

    /// The thread block.
    pub fn thread(&self) -> HostThreadId {
        HostThreadId(self.thread.load(Ordering::Acquire))
    }

    /// Ends the present or next park.
    pub fn wake(&self) {
        self.unpark();
    }

    /// Likewise; whether the thread was parked.
    fn unpark(&self) -> bool {
        let parked = self.word.swap(WOKEN, Ordering::Release) == PARKED;
        if parked {
            sync_host().wake(&self.word, 1);
        }
        parked
    }

    /// Asks for attention: ends interruptible waits and makes guest code enter the kernel.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.wake();
        sync_host().interrupt(self.thread());
    }

    /// As [`interrupt`](Self::interrupt), by the task itself: the way out of the present trap looks
    /// at the mark, so nobody has to be woken or interrupted.
    pub fn interrupt_self(&self) {
        self.interrupted.store(true, Ordering::Release);
    }

    /// Asks the thread to do something, which it does in its waits and on its way back to the guest:
    /// neither the guest nor its call notices. `false` if the task has ended.
    pub fn ask(&self, work: Arc<dyn TaskWork>) -> bool {
        if !self.work.add(work) {
            return false;
        }
        if !self.unpark() {
            // On its way back to the guest.
            sync_host().interrupt(self.thread());
        }
        true
    }

    /// Whether somebody has asked for something.
    pub fn is_asked(&self) -> bool {
        self.work.any()
    }

    /// Does what others have asked for; to be called by the thread itself.
    #[inline]
    pub fn do_work(&self) {
        if self.work.any() {
            self.work.run();
        }
    }

    /// The task has ended: it does nothing more for anybody.
    pub fn refuse_work(&self) {
        self.work.close();
    }

    /// As [`interrupt`](Self::interrupt), and ends killable waits too.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.interrupt();
    }

    /// Whether interruptible waits shall end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    /// Whether killable waits shall end.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Called before the signals are looked at: what comes from then on sets the mark again.
    pub fn clear_interrupt(&self) {
        // An exchange, as a mere store could become visible after the caller has looked, and then
        // wipe out the mark of a signal that it has not seen. A mark that is not there cannot.
        if self.is_interrupted() {
            self.interrupted.swap(false, Ordering::SeqCst);
        }
    }

    /// Whether the thread sleeps.
    pub fn is_parked(&self) -> bool {
        self.word.load(Ordering::Relaxed) == PARKED
    }

    /// Sleeps until woken, interrupted or timed out. Consumes one wake.
    fn park(&self, deadline: Option<Nanos>) {
        // Who waits for a time only is woken by nobody.
        let woken = deadline.is_none()
            && self.word.load(Ordering::Relaxed) == EMPTY
            && self.habit.spin(|| sync_host().spin(&self.word, EMPTY));
        if !woken
            && self
                .word
                .compare_exchange(EMPTY, PARKED, Ordering::Acquire, Ordering::Acquire)
                .is_ok()
        {
            sync_host().park(&self.word, PARKED, deadline);
        }
        // An exchange, for the same reason as in `clear_interrupt`: what the caller looks at next
        // was changed before the wake that this consumes, or its wake comes after.
        self.word.swap(EMPTY, Ordering::SeqCst);
    }

    /// Sleeps until `ready` gives a value; whoever makes it true must [`wake`](Self::wake) this
    /// waiter. `now` reads the monotonic clock and is only used with a deadline.
    ///
    /// # Errors
    /// [`WaitEnd`]; `ready` has been asked once more after it.
    pub fn wait_for<T>(
        &self,
        deadline: Option<Nanos>,
        now: impl Fn() -> Nanos,
        interruptible: bool,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitEnd> {
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if self.is_killed() || (interruptible && self.is_interrupted()) {
                return Err(WaitEnd::Interrupted);
            }
            if deadline.is_some_and(|deadline| now() >= deadline) {
                return Err(WaitEnd::TimedOut);
            }
            self.park(deadline);
            self.do_work();
        }
    }
}

struct Entry {
    target: Arc<dyn Wake>,
    key: WakeKey,
    /// Woken alone: a `wake` with a limit counts it.
    exclusive: bool,
}

impl Entry {
    fn is(&self, target: &Arc<dyn Wake>) -> bool {
        core::ptr::addr_eq(Arc::as_ptr(&self.target), Arc::as_ptr(target))
    }
}

/// How many are woken at once without allocating.
const FEW: usize = 8;

/// The threads that wait for one object.
#[derive(Default)]
pub struct WaitQueue {
    /// Number of entries, so that waking an empty queue costs one load.
    len: AtomicU32,
    entries: Mutex<Vec<Entry>, { level::WAIT_QUEUE }>,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { len: AtomicU32::new(0), entries: Mutex::new(Vec::new()) }
    }

    /// Adds a waiter; it is woken by wakes whose key shares a bit with `key`.
    pub fn add(&self, target: Arc<dyn Wake>, key: WakeKey, exclusive: bool) {
        let mut entries = self.entries.lock();
        entries.push(Entry { target, key, exclusive });
        self.len.store(entries.len() as u32, Ordering::SeqCst);
    }

    /// Removes one registration.
    pub fn remove(&self, target: &Arc<dyn Wake>) {
        let mut entries = self.entries.lock();
        if let Some(at) = entries.iter().position(|entry| entry.is(target)) {
            entries.remove(at);
        }
        self.len.store(entries.len() as u32, Ordering::SeqCst);
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        // Pairs with the registration: the waker changed its object before this load, the waiter
        // registers before it looks at the object.
        core::sync::atomic::fence(Ordering::SeqCst);
        self.len.load(Ordering::SeqCst) == 0
    }

    /// Wakes the waiters whose key matches: all shared ones, and up to `exclusive` exclusive ones.
    pub fn wake(&self, key: WakeKey, exclusive: usize) {
        if self.is_empty() {
            return;
        }
        let mut left = exclusive;
        // The targets are woken after the lock is released, as they take locks of their own. They
        // are all chosen before, as those who wake leave the queue.
        let mut few: ArrayVec<Arc<dyn Wake>, FEW> = ArrayVec::new();
        let mut more: Vec<Arc<dyn Wake>> = Vec::new();
        {
            let entries = self.entries.lock();
            for entry in entries.iter() {
                if entry.key & key == 0 || (entry.exclusive && left == 0) {
                    continue;
                }
                if entry.exclusive {
                    left -= 1;
                }
                let target = Arc::clone(&entry.target);
                if few.is_full() {
                    more.push(target);
                } else {
                    few.push(target);
                }
            }
        }
        for target in few.iter().chain(&more) {
            target.wake_by(key);
        }
    }

    /// Wakes everybody who waits for `key`.
    pub fn wake_all(&self, key: WakeKey) {
        self.wake(key, usize::MAX);
    }

    /// Sleeps until `ready` gives a value, being registered here with `key`.
    ///
    /// # Errors
    /// [`WaitEnd`], as [`Waiter::wait_for`].
    pub fn wait<T>(
        &self,
        waiter: &Arc<Waiter>,
        key: WakeKey,
        deadline: Option<Nanos>,
        now: impl Fn() -> Nanos,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitEnd> {
        if let Some(value) = ready() {
            return Ok(value);
        }
        let target: Arc<dyn Wake> = Arc::clone(waiter) as Arc<dyn Wake>;
        self.add(Arc::clone(&target), key, false);
        let result = waiter.wait_for(deadline, now, true, ready);
        self.remove(&target);
        result
    }
}

impl core::fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "WaitQueue({})", self.len.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Target(Arc<WaitQueue>, AtomicU32);

    impl Wake for Target {
        fn wake_by(&self, _key: WakeKey) {
            self.1.fetch_add(1, Ordering::Relaxed);
            // As a waiter does that has got what it waited for: somebody leaves the queue.
            let mut entries = self.0.entries.lock();
            if !entries.is_empty() {
                entries.remove(0);
            }
        }
    }

    #[test]
    fn all_are_woken_though_some_leave_meanwhile() {
        let queue = Arc::new(WaitQueue::new());
        let target = || Arc::new(Target(Arc::clone(&queue), AtomicU32::new(0)));
        let targets: Vec<Arc<Target>> = (0..20).map(|_| target()).collect();
        for target in &targets {
            queue.add(Arc::clone(target) as Arc<dyn Wake>, 1, false);
        }
        queue.wake_all(1);
        assert!(targets.iter().all(|target| target.1.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn an_exclusive_wake_takes_the_first_that_matches() {
        let queue = Arc::new(WaitQueue::new());
        let target = || Arc::new(Target(Arc::clone(&queue), AtomicU32::new(0)));
        let targets: Vec<Arc<Target>> = (0..4).map(|_| target()).collect();
        for (target, (key, exclusive)) in
            targets.iter().zip([(2, true), (1, true), (1, true), (1, false)])
        {
            queue.add(Arc::clone(target) as Arc<dyn Wake>, key, exclusive);
        }
        queue.wake(1, 1);
        let woken: Vec<u32> =
            targets.iter().map(|target| target.1.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [0, 1, 0, 1]);
    }
}
