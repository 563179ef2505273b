//! Errands that one task does for another, on its own thread: nobody else can get at its memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use super::{Mutex, level};

/// Something that is done by another task's thread.
pub trait TaskWork: Send + Sync {
    /// Does it. The thread may be in the middle of a wait, with the locks that it holds there.
    fn run(&self);
    /// The task has ended before.
    fn cancel(&self);
}

/// What a thread is to do for others.
#[derive(Default)]
pub(super) struct WorkList {
    any: AtomicBool,
    state: Mutex<State, { level::WAIT_QUEUE }>,
}

#[derive(Default)]
struct State {
    works: Vec<Arc<dyn TaskWork>>,
    /// Nobody will look here any more.
    closed: bool,
}

impl WorkList {
    /// Adds something; `false` if the list is closed.
    pub(super) fn add(&self, work: Arc<dyn TaskWork>) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.works.push(work);
        self.any.store(true, Ordering::Release);
        true
    }

    /// Whether there is anything.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Does all that there is, the oldest first.
    #[cold]
    pub(super) fn run(&self) {
        let works = {
            let mut state = self.state.lock();
            self.any.store(false, Ordering::Relaxed);
            core::mem::take(&mut state.works)
        };
        for work in works {
            work.run();
        }
    }

    /// Takes nothing more, and cancels what is left.
    pub(super) fn close(&self) {
        let works = {
            let mut state = self.state.lock();
            state.closed = true;
            self.any.store(false, Ordering::Relaxed);
            core::mem::take(&mut state.works)
        };
        for work in works {
            work.cancel();
        }
    }
}

impl core::fmt::Debug for WorkList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "WorkList({})", self.any())
    }
}
