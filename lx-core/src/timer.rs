//! The kernel's timers: what shall happen at which time.
//!
//! A task that sleeps parks with a deadline of its own; this queue serves what expires without a
//! task waiting for it: interval timers, POSIX timers, timerfds. The host is asked for one timer,
//! the earliest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::host::{Host, HostClock, Nanos};
use crate::sync::{Mutex, level};

/// Names a timer of a [`TimerQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(u64);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl TimerId {
    /// A new timer, which does not run.
    #[must_use]
    pub fn new() -> Self {
        Self(NEXT_ID.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for TimerId {
    fn default() -> Self {
        Self::new()
    }
}

/// What a timer does.
pub trait TimerTarget: Send + Sync {
    /// The timer has expired, `expirations` times since the last call. Called without a lock, by
    /// any thread.
    fn expired(&self, expirations: u64);
}

/// When a timer expires, on the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// The next expiration; `None` for a timer that does not run.
    pub deadline: Option<Nanos>,
    /// Time between expirations, 0 for a single one.
    pub interval: Nanos,
}

impl TimerSetting {
    /// Time left until the next expiration, at least 1 for a timer that runs, 0 for one that does
    /// not.
    pub fn remaining(&self, now: Nanos) -> Nanos {
        self.deadline.map_or(0, |deadline| deadline.saturating_sub(now).max(1))
    }
}

struct Running {
    deadline: Nanos,
    interval: Nanos,
    target: Arc<dyn TimerTarget>,
}

impl Running {
    fn setting(&self) -> TimerSetting {
        TimerSetting { deadline: Some(self.deadline), interval: self.interval }
    }
}

#[derive(Default)]
struct State {
    running: BTreeMap<TimerId, Running>,
    order: BTreeSet<(Nanos, TimerId)>,
    /// What the host was last asked for and has not announced yet.
    armed: Option<Nanos>,
    /// A thread is about to ask the host; it looks here again afterwards.
    arming: bool,
}

impl State {
    fn insert(&mut self, id: TimerId, timer: Running) {
        self.order.insert((timer.deadline, id));
        self.running.insert(id, timer);
    }

    fn remove(&mut self, id: TimerId) -> Option<Running> {
        let timer = self.running.remove(&id)?;
        self.order.remove(&(timer.deadline, id));
        Some(timer)
    }

    /// What the host has to be asked for, if that is earlier than what it knows. A timer of the
    /// host that comes too early does no harm.
    fn to_arm(&self) -> Option<Nanos> {
        let &(earliest, _) = self.order.first()?;
        self.armed.is_none_or(|armed| earliest < armed).then_some(earliest)
    }
}

/// All timers that run.
#[derive(Default)]
pub struct TimerQueue {
    state: Mutex<State, { level::TIMERS }>,
}

impl TimerQueue {
    /// A queue without timers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts, changes or (without a deadline) stops a timer; what was set before.
    pub fn set(
        &self,
        host: &dyn Host,
        id: TimerId,
        setting: TimerSetting,
        target: &Arc<dyn TimerTarget>,
    ) -> TimerSetting {
        let old = self.replace(id, setting, target);
        self.arm(host);
        old
    }

    fn replace(
        &self,
        id: TimerId,
        setting: TimerSetting,
        target: &Arc<dyn TimerTarget>,
    ) -> TimerSetting {
        let mut state = self.state.lock();
        let old = state.remove(id);
        if let Some(deadline) = setting.deadline {
            let interval = setting.interval;
            state.insert(id, Running { deadline, interval, target: Arc::clone(target) });
        }
        drop(state);
        // The former target is dropped only now: that may take other locks.
        old.map_or_else(TimerSetting::default, |old| old.setting())
    }

    /// When a timer expires.
    pub fn get(&self, id: TimerId) -> TimerSetting {
        let state = self.state.lock();
        state.running.get(&id).map_or_else(TimerSetting::default, Running::setting)
    }

    /// Stops a timer.
    pub fn stop(&self, id: TimerId) {
        let old = self.state.lock().remove(id);
        drop(old);
    }

    /// The host's timer has expired: runs what is due and asks the host for the next one.
    pub fn run(&self, host: &dyn Host, now: Nanos) {
        for (target, expirations) in self.take_due(now) {
            target.expired(expirations);
        }
        self.arm(host);
    }

    /// Takes what is due, in order of time; periodic timers go on.
    fn take_due(&self, now: Nanos) -> Vec<(Arc<dyn TimerTarget>, u64)> {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        state.armed = None;
        while let Some(&(deadline, id)) = state.order.first()
            && deadline <= now
            && let Some(timer) = state.remove(id)
        {
            let late = now - deadline;
            let expirations = match late.checked_div(timer.interval) {
                None => 1,
                Some(more) => {
                    let expirations = more.saturating_add(1);
                    let step = timer.interval.saturating_mul(expirations);
                    let deadline = deadline.saturating_add(step);
                    let target = Arc::clone(&timer.target);
                    state.insert(id, Running { deadline, interval: timer.interval, target });
                    expirations
                }
            };
            due.push((timer.target, expirations));
        }
        due
    }

    /// Tells the host the earliest deadline. One thread at a time does so, because the lock is not
    /// held meanwhile; it looks again afterwards.
    fn arm(&self, host: &dyn Host) {
        let mut state = self.state.lock();
        if state.arming {
            return;
        }
        while let Some(deadline) = state.to_arm() {
            state.armed = Some(deadline);
            state.arming = true;
            drop(state);
            host.set_timer(Some(deadline));
            state = self.state.lock();
        }
        state.arming = false;
    }
}

/// The moment on the monotonic clock at which `CLOCK_REALTIME` reaches `time`; lx never sets that
/// clock, and does not follow when the host's is set.
pub fn realtime_deadline(clock: &(impl HostClock + ?Sized), time: Nanos) -> Nanos {
    let ahead = time.saturating_sub(clock.realtime());
    clock.monotonic().saturating_add(ahead)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::sync::Mutex as StdMutex;

    struct Log(u64, Arc<StdMutex<Vec<(u64, u64)>>>);

    impl TimerTarget for Log {
        fn expired(&self, expirations: u64) {
            self.1.lock().unwrap().push((self.0, expirations));
        }
    }

    fn run(queue: &TimerQueue, now: Nanos) {
        for (target, expirations) in queue.take_due(now) {
            target.expired(expirations);
        }
    }

    #[test]
    fn expire_in_order_of_time() {
        let log = Arc::new(StdMutex::new(Vec::new()));
        let queue = TimerQueue::new();
        let ids: Vec<_> = (0..4).map(|_| TimerId::new()).collect();
        for (at, (deadline, interval)) in [(30, 0), (10, 0), (20, 4), (10, 0)].iter().enumerate() {
            let target: Arc<dyn TimerTarget> = Arc::new(Log(at as u64, Arc::clone(&log)));
            let setting = TimerSetting { deadline: Some(*deadline), interval: *interval };
            queue.replace(ids[at], setting, &target);
        }
        assert_eq!(queue.state.lock().to_arm(), Some(10));
        run(&queue, 9);
        assert!(log.lock().unwrap().is_empty());
        run(&queue, 29);
        assert_eq!(*log.lock().unwrap(), [(1, 1), (3, 1), (2, 3)]);
        assert_eq!(queue.get(ids[2]), TimerSetting { deadline: Some(32), interval: 4 });
        assert_eq!(queue.get(ids[1]), TimerSetting::default());
        queue.stop(ids[2]);
        assert_eq!(queue.state.lock().to_arm(), Some(30));
        queue.state.lock().armed = Some(30);
        assert_eq!(queue.state.lock().to_arm(), None);
    }

    #[test]
    fn remaining_time() {
        let setting = TimerSetting { deadline: Some(100), interval: 0 };
        assert_eq!((setting.remaining(40), setting.remaining(200)), (60, 1));
        assert_eq!(TimerSetting::default().remaining(40), 0);
    }
}
