//! A process: the tasks that share a thread group id.
//!
//! Who is whose child, and who has ended, is decided under the lock of the
//! [`PidTable`](crate::pid::PidTable); the atomic fields here that say so are written under it and
//! read without.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::wait::WaitStatus;
use lx_core::cred::Credentials;
use lx_core::host::Nanos;
use lx_core::rlimit::Rlimits;
use lx_core::sync::{Mutex, WaitQueue, level};
use lx_vfs::write_access::WriteAccess;

use crate::core_dump::CoreDump;
use crate::job::JobState;
use crate::sched::Scheduling;
use crate::signal::{PendingQueue, SignalActions, SignalQueue};
use crate::task::{NAME_LEN, Task};
use crate::timer::GroupTimers;

/// Key with which waits for children and waits of `execve` for threads are registered.
pub(crate) const ANY_CHANGE: u32 = u32::MAX;

/// A thread group.
pub struct ThreadGroup {
    tgid: i32,
    pgid: AtomicI32,
    sid: AtomicI32,
    parent_tgid: AtomicI32,
    /// The task of the parent that has made it, which signals about it are meant for first.
    parent_tid: AtomicI32,
    rlimits: Rlimits,
    /// What the parent gets when the group ends, 0 for nothing.
    exit_signal: AtomicI32,
    /// `PR_SET_PDEATHSIG`: what the group gets when its parent ends.
    parent_death_signal: AtomicI32,
    /// `PR_SET_CHILD_SUBREAPER`.
    subreaper: AtomicBool,
    /// `PR_SET_DUMPABLE`.
    dumpable: AtomicU32,
    /// `PR_SET_THP_DISABLE`.
    no_huge_pages: AtomicBool,
    /// How many programs it has executed, after the first of which its parent may not move it to
    /// another process group.
    programs: AtomicU32,
    /// How many its parent had executed when it was made.
    parent_programs: AtomicU32,
    /// It runs in the host process and the memory of another group (`CLONE_VM`).
    borrows_memory: AtomicBool,
    /// The group is ending: every task leaves at the next occasion.
    exiting: AtomicBool,
    /// It has no task any more; [`status`](Self::status) is valid.
    zombie: AtomicBool,
    /// Nobody can wait for it any more.
    released: AtomicBool,
    status: AtomicU32,
    /// Credentials of the last task: a zombie's.
    last_cred: Mutex<Option<Arc<Credentials>>, { level::TASK }>,
    /// Name of the last task, for what is said of a zombie.
    last_name: Mutex<[u8; NAME_LEN], { level::TASK }>,
    /// What its leader's attributes were when that ended.
    leader_scheduling: Scheduling,
    /// Keeps writers away from the program's file until the group ends.
    executable: Mutex<Option<Arc<WriteAccess>>, { level::TASK }>,
    /// Processor time of tasks that have ended.
    dead_cpu: AtomicU64,
    /// Processor time of children that were waited for.
    children_cpu: AtomicU64,
    actions: Arc<SignalActions>,
    /// Dispositions instead of those, after an `execve` of a group that shared them: so rare that
    /// all others get by without a lock.
    own_actions: Mutex<Option<Arc<SignalActions>>, { level::SIGNAL_HANDLERS }>,
    has_own_actions: AtomicBool,
    pending: PendingQueue,
    signal_queue: Arc<SignalQueue>,
    changes: WaitQueue,
    ended: WaitQueue,
    job: JobState,
    timers: GroupTimers,
    core_dump: CoreDump,
    state: Mutex<GroupState, { level::THREAD_GROUP }>,
}

/// What the group's lock protects.
#[derive(Default)]
pub(crate) struct GroupState {
    /// The living tasks, oldest first.
    pub(crate) tasks: Vec<Arc<Task>>,
    /// The task whose turn it is to take a signal of the group that the task it was meant for does
    /// not take.
    pub(crate) turn: i32,
    /// How the group ends, once that is decided.
    pub(crate) exit: Option<WaitStatus>,
    /// How the leader ended, if others live on.
    pub(crate) leader_status: Option<WaitStatus>,
    /// A task waits in `execve` for all others to end.
    pub(crate) exec_pending: bool,
}

impl GroupState {
    /// Takes a task out.
    pub(crate) fn remove(&mut self, task: &Task) {
        let Some(at) = self.tasks.iter().position(|other| core::ptr::eq(&**other, task)) else {
            return;
        };
        self.tasks.remove(at);
        if self.turn == task.tid() {
            self.turn =
                self.tasks.get(at).or_else(|| self.tasks.first()).map_or(0, |next| next.tid());
        }
    }
}

impl ThreadGroup {
    /// A group without members. `signal_queue` is the one of its kernel.
    pub fn new(
        tgid: i32,
        pgid: i32,
        sid: i32,
        parent_tgid: i32,
        rlimits: Rlimits,
        actions: Arc<SignalActions>,
        signal_queue: &Arc<SignalQueue>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            pgid: AtomicI32::new(pgid),
            sid: AtomicI32::new(sid),
            parent_tgid: AtomicI32::new(parent_tgid),
            parent_tid: AtomicI32::new(parent_tgid),
            rlimits,
            exit_signal: AtomicI32::new(0),
            parent_death_signal: AtomicI32::new(0),
            subreaper: AtomicBool::new(false),
            dumpable: AtomicU32::new(1),
            no_huge_pages: AtomicBool::new(false),
            programs: AtomicU32::new(0),
            parent_programs: AtomicU32::new(0),
            borrows_memory: AtomicBool::new(false),
            exiting: AtomicBool::new(false),
            zombie: AtomicBool::new(false),
            released: AtomicBool::new(false),
            status: AtomicU32::new(0),
            last_cred: Mutex::new(None),
            last_name: Mutex::new([0; NAME_LEN]),
            leader_scheduling: Scheduling::default(),
            executable: Mutex::new(None),
            dead_cpu: AtomicU64::new(0),
            children_cpu: AtomicU64::new(0),
            actions,
            own_actions: Mutex::new(None),
            has_own_actions: AtomicBool::new(false),
            pending: PendingQueue::default(),
            signal_queue: Arc::clone(signal_queue),
            changes: WaitQueue::new(),
            ended: WaitQueue::new(),
            job: JobState::default(),
            timers: GroupTimers::default(),
            core_dump: CoreDump::default(),
            state: Mutex::new(GroupState::default()),
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

    pub(crate) fn set_pgid(&self, pgid: i32) {
        self.pgid.store(pgid, Ordering::Relaxed);
    }

    /// Its session.
    pub fn sid(&self) -> i32 {
        self.sid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sid(&self, sid: i32) {
        self.sid.store(sid, Ordering::Relaxed);
    }

    /// Whether it leads its session.
    pub fn is_session_leader(&self) -> bool {
        self.sid() == self.tgid
    }

    /// What keeps writers away from the program's file.
    pub(crate) fn executable(&self) -> Option<Arc<WriteAccess>> {
        self.executable.lock().clone()
    }

    /// Replaces what keeps writers away, or lets them.
    pub(crate) fn set_executable(&self, denial: Option<Arc<WriteAccess>>) {
        let old = core::mem::replace(&mut *self.executable.lock(), denial);
        drop(old);
    }

    /// Its resource limits.
    pub fn rlimits(&self) -> &Rlimits {
        &self.rlimits
    }

    /// Its parent's id, `getppid(2)`.
    pub fn parent_tgid(&self) -> i32 {
        self.parent_tgid.load(Ordering::Relaxed)
    }

    /// Changes the parent, to one that has not made it.
    pub(crate) fn set_parent_tgid(&self, tgid: i32) {
        self.parent_tgid.store(tgid, Ordering::Relaxed);
        self.set_parent_tid(tgid);
    }

    /// The task of the parent that learns of the group's changes first.
    pub(crate) fn parent_tid(&self) -> i32 {
        self.parent_tid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_parent_tid(&self, tid: i32) {
        self.parent_tid.store(tid, Ordering::Relaxed);
    }

    /// Number of the signal that tells the parent of the group's end, 0 for none.
    pub fn exit_signal(&self) -> i32 {
        self.exit_signal.load(Ordering::Relaxed)
    }

    /// Sets the signal that tells the parent of the group's end.
    pub fn set_exit_signal(&self, number: i32) {
        self.exit_signal.store(number, Ordering::Relaxed);
    }

    /// `PR_GET_PDEATHSIG`, 0 for none.
    pub fn parent_death_signal(&self) -> i32 {
        self.parent_death_signal.load(Ordering::Relaxed)
    }

    /// `PR_SET_PDEATHSIG`.
    pub fn set_parent_death_signal(&self, number: i32) {
        self.parent_death_signal.store(number, Ordering::Relaxed);
    }

    /// Whether orphaned descendants become its children.
    pub fn is_subreaper(&self) -> bool {
        self.subreaper.load(Ordering::Relaxed)
    }

    /// `PR_SET_CHILD_SUBREAPER`.
    pub fn set_subreaper(&self, on: bool) {
        self.subreaper.store(on, Ordering::Relaxed);
    }

    /// `PR_GET_DUMPABLE`.
    pub fn dumpable(&self) -> u32 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// `PR_SET_DUMPABLE`.
    pub fn set_dumpable(&self, value: u32) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// `PR_GET_THP_DISABLE`: whether the group declines transparent huge pages, which it never gets.
    pub fn has_no_huge_pages(&self) -> bool {
        self.no_huge_pages.load(Ordering::Relaxed)
    }

    /// `PR_SET_THP_DISABLE`.
    pub fn set_no_huge_pages(&self, on: bool) {
        self.no_huge_pages.store(on, Ordering::Relaxed);
    }

    /// Whether it has called `execve`.
    pub fn has_execed(&self) -> bool {
        self.programs() != 0
    }

    pub(crate) fn set_execed(&self) {
        self.programs.fetch_add(1, Ordering::Relaxed);
    }

    /// How many programs it has executed.
    pub(crate) fn programs(&self) -> u32 {
        self.programs.load(Ordering::Relaxed)
    }

    /// How many programs its parent had executed when the group was made: to another one the child's
    /// exit signal means nothing.
    pub(crate) fn parent_programs(&self) -> u32 {
        self.parent_programs.load(Ordering::Relaxed)
    }

    pub(crate) fn set_parent_programs(&self, programs: u32) {
        self.parent_programs.store(programs, Ordering::Relaxed);
    }

    /// Whether it runs in the memory of another group: after `vfork`, until `execve`.
    pub fn borrows_memory(&self) -> bool {
        self.borrows_memory.load(Ordering::Relaxed)
    }

    pub(crate) fn set_borrows_memory(&self, on: bool) {
        self.borrows_memory.store(on, Ordering::Relaxed);
    }

    /// Whether it is ending.
    pub fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }

    /// Whether it has ended and nobody has waited for it.
    pub fn is_zombie(&self) -> bool {
        self.zombie.load(Ordering::Acquire)
    }

    /// Whether its end has been told, and its id is free.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// Its end has been told.
    pub(crate) fn set_released(&self) {
        self.released.store(true, Ordering::Release);
        self.ended().wake_all(ANY_CHANGE);
    }

    /// How it ended, once it is a zombie.
    pub fn status(&self) -> WaitStatus {
        WaitStatus(self.status.load(Ordering::Relaxed))
    }

    pub(crate) fn set_zombie(&self, status: WaitStatus) {
        self.status.store(status.0, Ordering::Relaxed);
        self.zombie.store(true, Ordering::Release);
    }

    /// Real user id of its tasks; of the last one when it is a zombie.
    pub fn uid(&self) -> u32 {
        self.cred().map_or(0, |cred| cred.uid)
    }

    /// The credentials of its oldest task, or of the one that ended last.
    pub fn cred(&self) -> Option<Arc<Credentials>> {
        match self.any_task() {
            Some(task) => Some(task.cred()),
            None => self.last_cred.lock().clone(),
        }
    }

    pub(crate) fn set_last_cred(&self, cred: Arc<Credentials>) {
        *self.last_cred.lock() = Some(cred);
    }

    /// Name of the last task that ended.
    pub fn last_name(&self) -> [u8; NAME_LEN] {
        *self.last_name.lock()
    }

    pub(crate) fn set_last_name(&self, name: [u8; NAME_LEN]) {
        *self.last_name.lock() = name;
    }

    /// The scheduling attributes of its leader, once that has ended.
    pub fn leader_scheduling(&self) -> &Scheduling {
        &self.leader_scheduling
    }

    /// Processor time of tasks that have ended.
    pub fn dead_cpu(&self) -> Nanos {
        self.dead_cpu.load(Ordering::Relaxed)
    }

    pub(crate) fn add_dead_cpu(&self, time: Nanos) {
        self.dead_cpu.fetch_add(time, Ordering::Relaxed);
    }

    /// Processor time of children that were waited for, and of theirs.
    pub fn children_cpu(&self) -> Nanos {
        self.children_cpu.load(Ordering::Relaxed)
    }

    pub(crate) fn add_children_cpu(&self, time: Nanos) {
        self.children_cpu.fetch_add(time, Ordering::Relaxed);
    }

    /// The dispositions.
    pub fn actions(&self) -> Arc<SignalActions> {
        if self.has_own_actions.load(Ordering::Acquire)
            && let Some(own) = &*self.own_actions.lock()
        {
            return Arc::clone(own);
        }
        Arc::clone(&self.actions)
    }

    /// Looks at the dispositions without counting a reference.
    pub fn with_actions<R>(&self, look: impl FnOnce(&SignalActions) -> R) -> R {
        if self.has_own_actions.load(Ordering::Acquire) {
            return look(&self.actions());
        }
        look(&self.actions)
    }

    /// Makes the dispositions the group's own if others share them.
    pub(crate) fn unshare_actions(&self) {
        let actions = self.actions();
        // Besides this reference there is the group's.
        if Arc::strong_count(&actions) > 2 {
            let own = Arc::new(actions.duplicate());
            let old = self.own_actions.lock().replace(own);
            drop(old);
            self.has_own_actions.store(true, Ordering::Release);
        }
    }

    /// Signals that are pending for the group.
    pub fn pending(&self) -> &PendingQueue {
        &self.pending
    }

    /// Woken when a signal becomes pending for the group or one of its tasks: `signalfd(2)`.
    pub fn signal_queue(&self) -> &Arc<SignalQueue> {
        &self.signal_queue
    }

    /// Woken when the group has ended: `pidfd_open(2)`.
    pub fn ended(&self) -> &WaitQueue {
        &self.ended
    }

    /// Woken when a child changes its state or a task of the group ends.
    pub fn changes(&self) -> &WaitQueue {
        &self.changes
    }

    /// Whether it is stopped, and what its parent does not know yet.
    pub fn job(&self) -> &JobState {
        &self.job
    }

    /// Its interval timers and POSIX timers.
    pub fn timers(&self) -> &GroupTimers {
        &self.timers
    }

    /// What its threads note for a core file.
    pub(crate) fn core_dump(&self) -> &CoreDump {
        &self.core_dump
    }

    pub(crate) fn state(
        &self,
    ) -> lx_core::sync::MutexGuard<'_, GroupState, { level::THREAD_GROUP }> {
        self.state.lock()
    }

    /// The living tasks, oldest first.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.state.lock().tasks.clone()
    }

    /// Number of living tasks.
    pub fn task_count(&self) -> usize {
        self.state.lock().tasks.len()
    }

    /// The oldest living task: the leader, as long as that lives.
    pub fn any_task(&self) -> Option<Arc<Task>> {
        self.state.lock().tasks.first().cloned()
    }

    /// Adds a task that is about to run; `false` if the group is ending.
    #[must_use]
    pub fn add_task(&self, task: &Arc<Task>) -> bool {
        let mut state = self.state.lock();
        if state.exit.is_some() || state.exec_pending {
            return false;
        }
        state.tasks.push(Arc::clone(task));
        true
    }

    /// Lets the whole group end with `status`, unless its end was decided before. All tasks but
    /// `except` are told.
    pub(crate) fn begin_exit(&self, status: WaitStatus, except: Option<&Task>) -> WaitStatus {
        let mut state = self.state.lock();
        let status = *state.exit.get_or_insert(status);
        self.exiting.store(true, Ordering::Release);
        for task in &state.tasks {
            if !except.is_some_and(|except| core::ptr::eq(except, &**task)) {
                task.waiter().kill();
            }
        }
        status
    }
}
