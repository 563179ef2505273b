//! Sleeping for a time, and going on with a sleep that a signal without a handler has interrupted.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{Host, Nanos};
use lx_core::sync::WaitEnd;

use crate::task::Task;

/// Where a task keeps the end of a sleep over its restart, so that the restarted call sleeps for
/// the rest and not anew.
#[derive(Default)]
pub struct SleepState {
    /// The deadline of the interrupted call, 0 for none.
    restart_deadline: AtomicU64,
}

impl Task {
    /// Deadline of a call that sleeps for `duration`: the former one if the call is being
    /// restarted.
    ///
    /// Call it first in every handler that gives up with `RestartNoHandler` after
    /// [`keep_deadline`](Self::keep_deadline): the first call after that is the restarted one.
    pub fn sleep_deadline(&self, host: &dyn Host, duration: Nanos) -> Nanos {
        match self.sleep.restart_deadline.load(Ordering::Relaxed) {
            0 => host.monotonic().saturating_add(duration),
            deadline => {
                self.forget_deadline();
                deadline
            }
        }
    }

    /// Keeps the deadline for the restart of the present call.
    pub fn keep_deadline(&self, deadline: Nanos) {
        self.sleep.restart_deadline.store(deadline.max(1), Ordering::Relaxed);
    }

    /// Forgets the kept deadline: the call will not be restarted, because a signal handler runs.
    pub fn forget_deadline(&self) {
        self.sleep.restart_deadline.store(0, Ordering::Relaxed);
    }

    /// Sleeps until the monotonic clock reaches `deadline`.
    ///
    /// # Errors
    /// `Interrupted` when a signal arrived before.
    pub fn sleep_until(&self, host: &dyn Host, deadline: Nanos) -> Result<(), WaitEnd> {
        let never = || None::<()>;
        match self.waiter().wait_for(Some(deadline), || host.monotonic(), true, never) {
            Err(WaitEnd::Interrupted) => Err(WaitEnd::Interrupted),
            _ => Ok(()),
        }
    }
}
