//! Scheduling attributes, `sched(7)`. lx keeps and reports them; which thread runs is decided by
//! the host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::resource::{MAX_NICE, MIN_NICE};
use lx_core::abi::sched::SchedPolicy;
use lx_core::cred::Credentials;

use crate::pid::PidTable;
use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// Words of an affinity mask.
pub const AFFINITY_WORDS: usize = 16;

/// The attributes of a task.
pub struct Scheduling {
    nice: AtomicI32,
    policy: AtomicI32,
    priority: AtomicI32,
    reset_on_fork: AtomicBool,
    io_priority: AtomicU32,
    oom_score_adj: AtomicI32,
    /// All ones until `sched_setaffinity`.
    affinity: [AtomicU64; AFFINITY_WORDS],
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            nice: AtomicI32::new(0),
            policy: AtomicI32::new(SchedPolicy::SCHED_NORMAL.0),
            priority: AtomicI32::new(0),
            reset_on_fork: AtomicBool::new(false),
            io_priority: AtomicU32::new(0),
            oom_score_adj: AtomicI32::new(0),
            affinity: [const { AtomicU64::new(u64::MAX) }; AFFINITY_WORDS],
        }
    }
}

impl Scheduling {
    /// Takes over all of another task's.
    pub(crate) fn copy(&self, other: &Self) {
        self.set_nice(other.nice());
        self.set_policy(other.policy(), other.priority(), other.reset_on_fork());
        self.set_io_priority(other.io_priority());
        self.set_oom_score_adj(other.oom_score_adj());
        self.set_affinity(&other.affinity());
    }

    /// What a child or thread made by a task with these attributes begins with.
    pub fn inherit(&self, parent: &Self) {
        let reset = parent.reset_on_fork.load(Ordering::Relaxed);
        if !reset || parent.nice() > 0 {
            self.set_nice(parent.nice());
        }
        if !reset {
            self.set_policy(parent.policy(), parent.priority(), false);
        }
        self.set_io_priority(parent.io_priority());
        self.set_oom_score_adj(parent.oom_score_adj());
        self.set_affinity(&parent.affinity());
    }

    /// Nice value, -20 to 19.
    pub fn nice(&self) -> i32 {
        self.nice.load(Ordering::Relaxed)
    }

    /// Sets the nice value, brought into its range.
    pub fn set_nice(&self, nice: i32) {
        self.nice.store(nice.clamp(MIN_NICE, MAX_NICE), Ordering::Relaxed);
    }

    /// Policy.
    pub fn policy(&self) -> SchedPolicy {
        SchedPolicy(self.policy.load(Ordering::Relaxed))
    }

    /// Real-time priority, 0 for the other policies.
    pub fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Its place among all tasks, as `/proc/PID/stat` shows it: the lowest comes first.
    pub fn rank(&self) -> i32 {
        match self.priority() {
            0 => 20 + self.nice(),
            priority => -1 - priority,
        }
    }

    /// Whether children begin with the normal policy.
    pub fn reset_on_fork(&self) -> bool {
        self.reset_on_fork.load(Ordering::Relaxed)
    }

    /// Sets policy, priority and whether children inherit them.
    pub fn set_policy(&self, policy: SchedPolicy, priority: i32, reset_on_fork: bool) {
        self.policy.store(policy.0, Ordering::Relaxed);
        self.priority.store(priority, Ordering::Relaxed);
        self.reset_on_fork.store(reset_on_fork, Ordering::Relaxed);
    }

    /// `ioprio_get(2)`.
    pub fn io_priority(&self) -> u32 {
        self.io_priority.load(Ordering::Relaxed)
    }

    /// `ioprio_set(2)`.
    pub fn set_io_priority(&self, priority: u32) {
        self.io_priority.store(priority, Ordering::Relaxed);
    }

    /// `/proc/PID/oom_score_adj`; lx kills nobody for want of memory.
    pub fn oom_score_adj(&self) -> i32 {
        self.oom_score_adj.load(Ordering::Relaxed)
    }

    /// Sets `/proc/PID/oom_score_adj`.
    pub fn set_oom_score_adj(&self, value: i32) {
        self.oom_score_adj.store(value, Ordering::Relaxed);
    }

    /// The processors that it may run on, bit 0 of word 0 being the first.
    pub fn affinity(&self) -> [u64; AFFINITY_WORDS] {
        core::array::from_fn(|at| {
            self.affinity.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
        })
    }

    /// Sets the processors that it may run on.
    pub fn set_affinity(&self, mask: &[u64; AFFINITY_WORDS]) {
        for (word, value) in self.affinity.iter().zip(mask) {
            word.store(*value, Ordering::Relaxed);
        }
    }
}

/// Who has attributes: a task, or the leader of a thread group that has ended, but whose id is still
/// known.
pub enum Scheduled {
    /// A task.
    Task(Arc<Task>),
    /// The ended leader of this group.
    Ended(Arc<ThreadGroup>),
}

impl Scheduled {
    /// The one with a thread id.
    pub fn find(pids: &PidTable, tid: i32) -> Option<Self> {
        let ended = || pids.group(tid).map(Self::Ended);
        pids.task(tid).map(Self::Task).or_else(ended)
    }

    /// All of a thread group.
    pub fn of_group(group: &Arc<ThreadGroup>) -> Vec<Self> {
        let tasks = group.tasks();
        let leads = tasks.first().is_some_and(|task| task.tid() == group.tgid());
        let ended = (!leads).then(|| Self::Ended(Arc::clone(group)));
        ended.into_iter().chain(tasks.into_iter().map(Self::Task)).collect()
    }

    /// The attributes.
    pub fn scheduling(&self) -> &Scheduling {
        match self {
            Self::Task(task) => task.scheduling(),
            Self::Ended(group) => group.leader_scheduling(),
        }
    }

    /// The thread group.
    pub fn group(&self) -> &Arc<ThreadGroup> {
        match self {
            Self::Task(task) => task.group(),
            Self::Ended(group) => group,
        }
    }

    /// Identity, which internal init has none of.
    pub fn cred(&self) -> Option<Arc<Credentials>> {
        match self {
            Self::Task(task) => Some(task.cred()),
            Self::Ended(group) => group.cred(),
        }
    }

    /// Sets policy, priority and whether children inherit them.
    pub fn set_policy(&self, policy: SchedPolicy, priority: i32, reset_on_fork: bool) {
        self.scheduling().set_policy(policy, priority, reset_on_fork);
        if let Self::Task(task) = self {
            task.futex().set_rank(priority);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inheritance() {
        let parent = Scheduling::default();
        parent.set_nice(-40);
        assert_eq!(parent.nice(), -20);
        parent.set_policy(SchedPolicy::SCHED_FIFO, 5, true);
        let child = Scheduling::default();
        child.inherit(&parent);
        assert_eq!((child.nice(), child.policy()), (0, SchedPolicy::SCHED_NORMAL));
        parent.set_policy(SchedPolicy::SCHED_BATCH, 0, false);
        child.inherit(&parent);
        assert_eq!((child.nice(), child.policy()), (-20, SchedPolicy::SCHED_BATCH));
    }
}
