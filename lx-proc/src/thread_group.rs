//! A process: the tasks that share a thread group id.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::rlimit::Rlimits;
use lx_core::sync::{Mutex, level};

/// A thread group.
pub struct ThreadGroup {
    tgid: i32,
    pgid: AtomicI32,
    sid: AtomicI32,
    parent_tgid: AtomicI32,
    rlimits: Rlimits,
    state: Mutex<GroupState, { level::THREAD_GROUP }>,
}

#[derive(Default)]
struct GroupState {
    parent: Weak<ThreadGroup>,
}

impl ThreadGroup {
    /// A group without members.
    pub fn new(
        tgid: i32,
        pgid: i32,
        sid: i32,
        parent: &Weak<ThreadGroup>,
        rlimits: Rlimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            pgid: AtomicI32::new(pgid),
            sid: AtomicI32::new(sid),
            parent_tgid: AtomicI32::new(parent.upgrade().map_or(0, |parent| parent.tgid)),
            rlimits,
            state: Mutex::new(GroupState { parent: parent.clone() }),
        })
    }

    /// Its id.
    pub fn tgid(&self) -> i32 {
        self.tgid
    }

    /// Its process group.
    pub fn pgid(&self) -> i32 {
        self.pgid.load(Ordering::Relaxed)
    }

    /// Its session.
    pub fn sid(&self) -> i32 {
        self.sid.load(Ordering::Relaxed)
    }

    /// Its resource limits.
    pub fn rlimits(&self) -> &Rlimits {
        &self.rlimits
    }

    /// Its parent's id, `getppid(2)`.
    pub fn parent_tgid(&self) -> i32 {
        self.parent_tgid.load(Ordering::Relaxed)
    }

    /// Its parent, unless that is gone (then init adopts it).
    pub fn parent(&self) -> Option<Arc<ThreadGroup>> {
        self.state.lock().parent.upgrade()
    }
}
