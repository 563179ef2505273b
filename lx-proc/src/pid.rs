//! The pid table: every thread id, process group and session that exists.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::sync::{Mutex, level};

use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// Largest id, `/proc/sys/kernel/pid_max` - 1.
pub const PID_MAX: i32 = 4_194_303;

#[derive(Default)]
struct Ids {
    tasks: BTreeMap<i32, Arc<Task>>,
    groups: BTreeMap<i32, Arc<ThreadGroup>>,
    last: i32,
}

/// The table.
#[derive(Default)]
pub struct PidTable {
    ids: Mutex<Ids, { level::PID_TABLE }>,
}

impl PidTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new id: the next one that names no task, thread group, process group or session.
    ///
    /// # Errors
    /// `EAGAIN` if all are in use.
    pub fn allocate(&self) -> Result<i32> {
        let mut ids = self.ids.lock();
        for _ in 0..PID_MAX {
            let next = if ids.last >= PID_MAX { 300 } else { ids.last + 1 };
            ids.last = next;
            let used = ids.tasks.contains_key(&next)
                || ids.groups.contains_key(&next)
                || ids.groups.values().any(|group| group.pgid() == next || group.sid() == next);
            if !used {
                return Ok(next);
            }
        }
        Err(Errno::EAGAIN.into())
    }

    /// Makes a task findable.
    pub fn insert(&self, task: &Arc<Task>) {
        let mut ids = self.ids.lock();
        ids.tasks.insert(task.tid(), Arc::clone(task));
        ids.groups.entry(task.tgid()).or_insert_with(|| Arc::clone(task.group()));
    }

    /// Forgets a task.
    pub fn remove_task(&self, tid: i32) -> Option<Arc<Task>> {
        self.ids.lock().tasks.remove(&tid)
    }

    /// Forgets a thread group, when it has been reaped.
    pub fn remove_group(&self, tgid: i32) -> Option<Arc<ThreadGroup>> {
        self.ids.lock().groups.remove(&tgid)
    }

    /// The task with this thread id.
    pub fn task(&self, tid: i32) -> Option<Arc<Task>> {
        self.ids.lock().tasks.get(&tid).cloned()
    }

    /// The thread group with this id.
    pub fn group(&self, tgid: i32) -> Option<Arc<ThreadGroup>> {
        self.ids.lock().groups.get(&tgid).cloned()
    }

    /// All thread groups, by id.
    pub fn groups(&self) -> Vec<Arc<ThreadGroup>> {
        self.ids.lock().groups.values().cloned().collect()
    }

    /// The members of a process group.
    pub fn process_group(&self, pgid: i32) -> Vec<Arc<ThreadGroup>> {
        let ids = self.ids.lock();
        ids.groups.values().filter(|group| group.pgid() == pgid).cloned().collect()
    }
}
