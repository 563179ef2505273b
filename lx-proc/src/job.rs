//! Job control of one thread group: stopped or running, and what its parent has not been told.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lx_core::abi::Signal;
use lx_core::abi::wait::WaitStatus;

/// Whether a group is stopped. Changed under the group's lock; the report to the parent under the
/// lock of the pid table.
#[derive(Debug, Default)]
pub struct JobState {
    /// The signal that stops the group, 0 while it runs.
    stop_signal: AtomicI32,
    /// Counts stops: a task parks once for each.
    generation: AtomicU32,
    /// Tasks that have not parked yet since the stop began; 0 with a stop signal: stopped.
    to_stop: AtomicU32,
    /// Counts `SIGCONT`: a stop signal that was taken from the queue before one is void.
    continues: AtomicU32,
    /// A [`WaitStatus`] that nobody has waited for, 0 for none.
    report: AtomicU32,
}

impl JobState {
    /// Whether its tasks shall not run.
    pub fn is_stopping(&self) -> bool {
        self.stop_signal.load(Ordering::Acquire) != 0
    }

    /// Whether all of its tasks are stopped.
    pub fn is_stopped(&self) -> bool {
        self.is_stopping() && self.to_stop.load(Ordering::Acquire) == 0
    }

    /// The signal that stopped the group.
    pub fn stop_signal(&self) -> Option<Signal> {
        Signal::new(self.stop_signal.load(Ordering::Acquire))
    }

    /// The present stop, while [`is_stopping`](Self::is_stopping). Never 0.
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// How often the group was continued, for [`begin_stop`](Self::begin_stop).
    pub(crate) fn continues(&self) -> u32 {
        self.continues.load(Ordering::Acquire)
    }

    /// Begins a stop of `tasks` tasks, unless one is under way or the group was continued since
    /// `continues` was read.
    pub(crate) fn begin_stop(&self, signal: Signal, tasks: usize, continues: u32) -> bool {
        if self.is_stopping() || self.continues() != continues {
            return false;
        }
        self.to_stop.store(u32::try_from(tasks).unwrap_or(u32::MAX), Ordering::Release);
        let next = self.generation().wrapping_add(1).max(1);
        self.generation.store(next, Ordering::Release);
        self.stop_signal.store(signal.number(), Ordering::Release);
        true
    }

    /// One task has parked (or ended); `true` if it was the last one.
    pub(crate) fn task_stopped(&self) -> bool {
        let counted = |left: u32| left.checked_sub(1);
        self.to_stop.fetch_update(Ordering::AcqRel, Ordering::Acquire, counted) == Ok(1)
    }

    /// Ends a stop; whether it was complete, so that the parent has to be told.
    pub(crate) fn resume(&self) -> bool {
        self.continues.fetch_add(1, Ordering::AcqRel);
        let complete = self.to_stop.swap(0, Ordering::AcqRel) == 0;
        self.stop_signal.swap(0, Ordering::AcqRel) != 0 && complete
    }

    /// What the parent may wait for.
    pub fn report(&self) -> Option<WaitStatus> {
        match self.report.load(Ordering::Acquire) {
            0 => None,
            status => Some(WaitStatus(status)),
        }
    }

    /// Sets or clears what the parent may wait for.
    pub(crate) fn set_report(&self, status: Option<WaitStatus>) {
        self.report.store(status.map_or(0, |status| status.0), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::JobState;
    use lx_core::abi::Signal;

    #[test]
    fn a_stop_is_complete_when_all_tasks_have_parked() {
        let job = JobState::default();
        assert!(!job.resume());
        assert!(job.begin_stop(Signal::SIGTSTP, 2, 1));
        assert!(job.is_stopping() && !job.is_stopped());
        assert!(!job.begin_stop(Signal::SIGSTOP, 2, 1));
        assert!(!job.task_stopped());
        assert!(job.task_stopped() && job.is_stopped());
        assert!(!job.task_stopped());
        assert!(job.resume() && !job.is_stopping());
    }

    #[test]
    fn a_continue_voids_stops_before_it() {
        let job = JobState::default();
        let before = job.continues();
        job.resume();
        assert!(!job.begin_stop(Signal::SIGTSTP, 1, before));
        assert!(job.begin_stop(Signal::SIGTSTP, 1, job.continues()));
        assert!(!job.resume());
    }
}
