//! The keyrings of a task.

use alloc::sync::Arc;

use lx_core::sync::{Mutex, level};

use super::Key;

/// The keyrings of a task, which Linux keeps with its credentials.
#[derive(Default)]
pub struct TaskRings(Mutex<Rings, { level::TASK }>);

/// What [`TaskRings`] refers to.
#[derive(Clone, Default)]
pub(super) struct Rings {
    pub(super) thread: Option<Arc<Key>>,
    pub(super) process: Option<Arc<Key>>,
    pub(super) session: Option<Arc<Key>>,
    /// `KEYCTL_SET_REQKEY_KEYRING`
    pub(super) default: i32,
}

impl TaskRings {
    pub(super) fn get(&self) -> Rings {
        self.0.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Rings)) {
        let mut rings = self.get();
        change(&mut rings);
        self.set(rings);
    }

    /// The former ones end here, where no lock is held. Only the task itself changes its keyrings.
    fn set(&self, rings: Rings) {
        let old = core::mem::replace(&mut *self.0.lock(), rings);
        drop(old);
    }

    /// Takes over what a thread or a child gets from the task that makes it.
    pub(crate) fn inherit(&self, parent: &Self, is_thread: bool) {
        let mut rings = parent.get();
        rings.thread = None;
        if !is_thread {
            rings.process = None;
        }
        self.set(rings);
    }

    /// Another program begins.
    pub(crate) fn reset_for_program(&self) {
        self.change(|rings| {
            rings.thread = None;
            rings.process = None;
        });
    }
}
