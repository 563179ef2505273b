//! What a task waits for futexes with.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use lx_core::sync::{Mutex, Waiter, level};

/// How far a task is on the way to its end, for those who want a lock that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Phase {
    /// It will unlock what it holds.
    Alive = 0,
    /// It is giving up what it holds.
    Ending = 1,
    /// It has given up all that it was known to hold.
    Dead = 2,
}

/// A task's ability to wait for one futex; every task owns one. As the owner of locks with
/// priority inheritance it stands for the task.
pub struct FutexSlot {
    pub(super) waiter: Arc<Waiter>,
    /// Taken out of its bucket by a wake. Written under the bucket's lock.
    pub(super) woken: AtomicBool,
    /// The bucket it is in, or [`MOVING`](super::MOVING). Written under the lock of the bucket that
    /// it leaves or enters.
    pub(super) bucket: AtomicU32,
    tid: AtomicI32,
    /// Real-time priority of the task, 0 for the other policies.
    rank: AtomicI32,
    phase: AtomicU32,
    /// Somebody has waited for a lock that the task held.
    pub(super) contended: AtomicBool,
    /// It has the lock of a task that has died, and must write that into the word.
    pub(super) inherited: AtomicBool,
    /// Who holds the lock that the task waits for. Written under the lock of its PI bucket.
    owner: Mutex<Option<Arc<FutexSlot>>, { level::CACHE }>,
}

impl FutexSlot {
    /// The slot of the task with this waiter and id.
    pub fn new(waiter: Arc<Waiter>, tid: i32) -> Arc<Self> {
        Arc::new(Self {
            waiter,
            woken: AtomicBool::new(false),
            bucket: AtomicU32::new(0),
            tid: AtomicI32::new(tid),
            rank: AtomicI32::new(0),
            phase: AtomicU32::new(Phase::Alive as u32),
            contended: AtomicBool::new(false),
            inherited: AtomicBool::new(false),
            owner: Mutex::new(None),
        })
    }

    /// The task's id as it stands in a futex word.
    pub(super) fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed).cast_unsigned()
    }

    pub(crate) fn set_tid(&self, tid: i32) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    pub(super) fn rank(&self) -> i32 {
        self.rank.load(Ordering::Relaxed)
    }

    /// The task has a real-time priority now, or 0 for none.
    pub fn set_rank(&self, priority: i32) {
        self.rank.store(priority, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Alive,
            1 => Phase::Ending,
            _ => Phase::Dead,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::SeqCst);
    }

    pub(super) fn owner(&self) -> Option<Arc<Self>> {
        self.owner.lock().clone()
    }

    pub(super) fn set_owner(&self, owner: Option<Arc<Self>>) {
        let old = core::mem::replace(&mut *self.owner.lock(), owner);
        drop(old);
    }

    /// Whether `owner` holds the lock that the task waits for.
    pub(super) fn waits_for(&self, owner: &Arc<Self>) -> bool {
        self.owner.lock().as_ref().is_some_and(|it| Arc::ptr_eq(it, owner))
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}
