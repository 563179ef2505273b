//! What is undone to semaphores when a process ends, `SEM_UNDO`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_core::sync::{Mutex, level};

use super::Ipc;

/// The adjustments of one process, or of several tasks that `clone(2)` let share them with
/// `CLONE_SYSVSEM`: for each set by its id, what is added to each semaphore in the end.
#[derive(Default)]
pub struct UndoList {
    users: AtomicUsize,
    adjustments: Mutex<BTreeMap<i32, Vec<i16>>, { level::IPC_UNDO }>,
}

impl UndoList {
    /// One more task has the list.
    pub(crate) fn join(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A task has the list no more; with the last one all that stands there is done.
    pub(crate) fn leave(&self, ipc: &Ipc, tgid: i32, now: i64) {
        if self.users.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let adjustments = core::mem::take(&mut *self.adjustments.lock());
        for (id, adjustments) in adjustments {
            // A set that has been removed has nothing to undo.
            if let Ok(set) = ipc.semaphores.get(id) {
                set.adjust(&adjustments, tgid, now);
            }
        }
    }

    /// Looks at, and may change, the adjustments of a set with `count` semaphores.
    pub(super) fn with<R>(&self, id: i32, count: usize, body: impl FnOnce(&mut [i16]) -> R) -> R {
        let mut adjustments = self.adjustments.lock();
        body(adjustments.entry(id).or_insert_with(|| alloc::vec![0; count]))
    }

    /// Forgets the adjustments of one semaphore of a set, or of all.
    pub(super) fn forget(&self, id: i32, number: Option<usize>) {
        let mut adjustments = self.adjustments.lock();
        match number {
            None => drop(adjustments.remove(&id)),
            Some(number) => {
                let of_set = adjustments.get_mut(&id).and_then(|set| set.get_mut(number));
                if let Some(adjustment) = of_set {
                    *adjustment = 0;
                }
            }
        }
    }
}
