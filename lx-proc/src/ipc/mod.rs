//! System V IPC, `sysvipc(7)`: shared memory, semaphores, message queues.
//!
//! Each kind has a [`Table`] of objects with ids, keys and permissions. Limits are Linux's defaults.

mod msg;
mod operations;
mod perm;
mod sem;
mod shm;
mod table;
mod undo;

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::sync::Waiter;

use crate::mm::PageMapping;

pub use msg::{MSGMAX, MSGMNB, MSGMNI, Message, MessageQueue, Wanted};
pub use operations::Operations;
pub use perm::{Permissions, READ, WRITE};
pub use sem::{SEMMNI, SEMMNS, SEMMSL, SEMOPM, SEMVMX, SemaphoreSet};
pub use shm::{SHMALL, SHMMAX, SHMMNI, Segment};
pub use table::{Object, Table};
pub use undo::UndoList;

/// The objects of a system, Linux's IPC namespace.
pub struct Ipc {
    /// Segments of shared memory.
    pub segments: Table<Segment>,
    /// Sets of semaphores.
    pub semaphores: Table<SemaphoreSet>,
    /// Message queues.
    pub queues: Table<MessageQueue>,
}

impl Default for Ipc {
    fn default() -> Self {
        Self {
            segments: Table::new(SHMMNI),
            semaphores: Table::new(SEMMNI),
            queues: Table::new(MSGMNI),
        }
    }
}

/// Seconds since 1970.
fn seconds(caller: &Caller<'_>) -> i64 {
    caller.now().div_euclid(1_000_000_000)
}

impl Ipc {
    /// A thread will never wait again, as its host process has died.
    pub(crate) fn forget(&self, waiter: &Arc<Waiter>) {
        for set in self.semaphores.list() {
            set.forget(waiter);
        }
    }

    /// The segment that a mapping shows.
    pub fn segment_of(&self, mapping: &Arc<PageMapping>) -> Option<Arc<Segment>> {
        self.segments.list().into_iter().find(|segment| segment.is_shown_by(mapping))
    }
}
