//! Queues of pending signals, of a task and of a thread group.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::abi::siginfo::{SI_TIMER, SigInfo};
use lx_core::abi::{SigSet, Signal};
use lx_core::sync::{Mutex, level};

/// What became of a signal that was put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is pending now.
    Added,
    /// A standard signal that was pending already.
    Merged,
    /// A real-time signal that found the queue full.
    Full,
}

/// A queue. Standard signals are pending once, real-time signals as often as they are sent. That of a
/// timer has a place of its own, whatever else is pending.
#[derive(Default)]
pub struct PendingQueue {
    /// The signals in the queue, so that looking needs no lock. Written under the lock only.
    bits: AtomicU64,
    queue: Mutex<VecDeque<SigInfo>, { level::SIGNAL_PENDING }>,
}

impl PendingQueue {
    /// The pending signals.
    pub fn set(&self) -> SigSet {
        SigSet(self.bits.load(Ordering::Acquire))
    }

    /// Adds a signal; at most `limit` real-time signals are kept.
    pub fn push(&self, signal: Signal, info: SigInfo, limit: usize) -> Queued {
        let mut queue = self.queue.lock();
        if info.si_code == SI_TIMER {
            // Its timer puts none into the queue while there is one.
        } else if !signal.is_realtime() {
            if self.set().contains(signal) {
                return Queued::Merged;
            }
        } else if queue.len() >= limit {
            return Queued::Full;
        }
        queue.push_back(info);
        // An exchange, as the sender looks at masks next: see `TaskSignals::set_blocked`.
        self.bits.fetch_or(SigSet::only(signal).0, Ordering::SeqCst);
        Queued::Added
    }

    /// Counts `more` expirations of a POSIX timer in its signal, if that is in the queue.
    pub fn add_overrun(&self, timer: i32, more: i32) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut queue = self.queue.lock();
        let of_timer =
            |info: &&mut SigInfo| info.si_code == SI_TIMER && info.timer_fields().timer_id == timer;
        let Some(info) = queue.iter_mut().find(of_timer) else { return false };
        let Some(signal) = info.signal() else { return false };
        let fields = info.timer_fields();
        *info = SigInfo::timer(signal, timer, fields.overrun.saturating_add(more), fields.value);
        true
    }

    /// Takes the next signal that is not in `blocked`: one that a fault raised before others, low
    /// numbers before high ones, `signal(7)`.
    pub fn take(&self, blocked: SigSet) -> Option<(Signal, SigInfo)> {
        if self.set().difference(blocked).is_empty() {
            return None;
        }
        let mut queue = self.queue.lock();
        let signal = next(self.set().difference(blocked))?;
        let info = match queue.len() {
            1 => queue.pop_front(),
            _ => {
                let at = queue.iter().position(|info| info.si_signo == signal.number());
                at.and_then(|at| queue.remove(at))
            }
        };
        let more = queue.iter().any(|info| info.si_signo == signal.number());
        if !more {
            self.bits.store(self.set().0 & !SigSet::only(signal).0, Ordering::Release);
        }
        let lost = SigInfo { si_signo: signal.number(), ..SigInfo::default() };
        Some((signal, info.unwrap_or(lost)))
    }

    /// Forgets signals.
    pub fn flush(&self, which: SigSet) {
        if self.set().intersection(which).is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        queue.retain(|info| info.signal().is_some_and(|signal| !which.contains(signal)));
        self.bits.store(self.set().0 & !which.0, Ordering::Release);
    }

    /// Number of queued signals.
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.set().is_empty()
    }
}

/// The signal to be delivered first.
fn next(set: SigSet) -> Option<Signal> {
    set.intersection(SigSet::SYNCHRONOUS).first().or_else(|| set.first())
}

#[cfg(test)]
mod tests {
    use super::{PendingQueue, Queued};
    use lx_core::abi::siginfo::{SI_QUEUE, SigInfo};
    use lx_core::abi::{SigSet, Signal};

    fn push(queue: &PendingQueue, signal: Signal, value: u64) -> Queued {
        queue.push(signal, SigInfo::queue(signal, SI_QUEUE, 1, 0, value), 3)
    }

    #[test]
    fn standard_signals_merge_and_realtime_signals_queue() {
        let queue = PendingQueue::default();
        let rt = Signal::new(40).unwrap();
        assert_eq!(push(&queue, Signal::SIGUSR1, 1), Queued::Added);
        assert_eq!(push(&queue, Signal::SIGUSR1, 2), Queued::Merged);
        assert_eq!(push(&queue, rt, 3), Queued::Added);
        assert_eq!(push(&queue, rt, 4), Queued::Added);
        assert_eq!(push(&queue, rt, 5), Queued::Full);
        assert_eq!(push(&queue, Signal::SIGSEGV, 6), Queued::Added);

        let mut order = [0; 4];
        for slot in &mut order {
            *slot = queue.take(SigSet::EMPTY).unwrap().1.queue_fields().value;
        }
        assert_eq!(order, [6, 1, 3, 4]);
        assert!(queue.take(SigSet::EMPTY).is_none() && queue.is_empty());
    }

    #[test]
    fn a_timer_has_a_place_of_its_own() {
        let queue = PendingQueue::default();
        push(&queue, Signal::SIGUSR1, 1);
        let expired = SigInfo::timer(Signal::SIGUSR1, 7, 0, 2);
        assert_eq!(queue.push(Signal::SIGUSR1, expired, 0), Queued::Added);
        assert_eq!(push(&queue, Signal::SIGUSR1, 3), Queued::Merged);
        assert_eq!(queue.take(SigSet::EMPTY).unwrap().1.queue_fields().value, 1);
        assert_eq!(queue.take(SigSet::EMPTY).unwrap().1.timer_fields().timer_id, 7);
        assert!(queue.is_empty());
    }

    #[test]
    fn blocked_signals_stay() {
        let queue = PendingQueue::default();
        push(&queue, Signal::SIGINT, 1);
        push(&queue, Signal::SIGTERM, 2);
        let blocked = SigSet::only(Signal::SIGINT);
        assert_eq!(queue.take(blocked).unwrap().0, Signal::SIGTERM);
        assert!(queue.take(blocked).is_none());
        assert_eq!(queue.set(), blocked);
        queue.flush(blocked);
        assert!(queue.is_empty());
    }
}
