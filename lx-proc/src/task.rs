//! A task: one thread of a Linux process.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::sched::CloneFlags;
use lx_core::cred::Credentials;
use lx_core::error::Result;
use lx_core::fd_cache::FdCache;
use lx_core::fd_table::FdTable;
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, Waiter, level};
use lx_vfs::fs_context::FsContext;

use crate::exec::ExecImage;
use crate::futex::FutexSlot;
use crate::ipc::UndoList;
use crate::kernel::Kernel;
use crate::keys::TaskRings;
use crate::mempolicy::MemPolicy;
use crate::mm::AddressSpace;
use crate::sched::Scheduling;
use crate::seccomp::TaskSeccomp;
use crate::signal::TaskSignals;
use crate::sleep::SleepState;
use crate::thread_group::ThreadGroup;

/// Length of a task's name with its NUL, `TASK_COMM_LEN`.
pub const NAME_LEN: usize = 16;

/// `PR_GET_TIMERSLACK` of the first task, nanoseconds.
const DEFAULT_TIMER_SLACK: u64 = 50_000;

/// A task.
pub struct Task {
    /// Changes once at most: when a thread other than the leader calls `execve`.
    tid: AtomicI32,
    kernel: Arc<Kernel>,
    group: Arc<ThreadGroup>,
    waiter: Arc<Waiter>,
    shared: Mutex<Shared, { level::TASK_REFERENCES }>,
    /// [`AddressSpace::id`] of its memory, for keys of private futexes.
    mm_id: AtomicU64,
    /// The real user id of its identity, which its signals tell.
    uid: AtomicU32,
    futex: Arc<FutexSlot>,
    scheduling: Scheduling,
    /// When it was made, on the clock that counts from the start of the machine.
    started: Nanos,
    pub(crate) sleep: SleepState,
    rings: TaskRings,
    signals: TaskSignals,
    name: Mutex<[u8; NAME_LEN], { level::TASK }>,
    /// `set_mempolicy(2)`.
    mem_policy: Mutex<Option<MemPolicy>, { level::TASK }>,
    /// `set_tid_address(2)`.
    clear_child_tid: AtomicU64,
    /// Where the task stores its id before it first runs, 0 for nowhere.
    set_child_tid: AtomicU64,
    /// Head of the list of robust futexes, `set_robust_list(2)`.
    robust_list: AtomicU64,
    /// `PR_SET_NO_NEW_PRIVS`.
    no_new_privs: AtomicBool,
    seccomp: TaskSeccomp,
    /// Its user had too many tasks when it became that user.
    over_task_limit: AtomicBool,
    /// `personality(2)`.
    personality: AtomicU32,
    /// `PR_SET_TIMERSLACK`, nanoseconds. It is kept; the host has its own.
    timer_slack: AtomicU64,
    /// Another thread of the group wants this one to end: it calls `execve`.
    dismissed: AtomicBool,
    /// The end of the task has begun.
    ended: AtomicBool,
    /// The descriptor table that it began with: as long as it has not been replaced, the task finds
    /// its table here without a lock.
    first_files: Arc<FdTable>,
    files_replaced: AtomicBool,
    fd_cache: FdCache,
    /// The last stop of its group that it was counted in.
    stop_seen: AtomicU32,
    /// The program that the task will run once it has a host process of its own.
    prepared: Mutex<Option<Box<ExecImage>>, { level::TASK }>,
    /// Who waits in `clone(CLONE_VFORK)` for the task to leave the parent alone.
    vfork_parent: Mutex<Option<Arc<VforkWait>>, { level::TASK }>,
}

/// What a parent waits for that gave its child a copy of its memory and `CLONE_VFORK`.
pub(crate) struct VforkWait {
    pub(crate) done: AtomicBool,
    pub(crate) parent: Arc<Waiter>,
}

/// What a task shares with others or not, `clone(2)`.
#[derive(Clone)]
pub struct Shared {
    /// Identity.
    pub cred: Arc<Credentials>,
    /// Open descriptors.
    pub files: Arc<FdTable>,
    /// Working directory, root and umask.
    pub fs: Arc<FsContext>,
    /// Memory.
    pub mm: Arc<AddressSpace>,
    /// What its end undoes to semaphores, if there has been a reason to have a list.
    pub undo: Option<Arc<UndoList>>,
}

impl Shared {
    /// What a child made with `flags` gets.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn for_child(&self, flags: CloneFlags) -> Result<Self> {
        let mut child = self.clone();
        if !flags.contains(CloneFlags::CLONE_SYSVSEM) {
            child.undo = None;
        }
        if !flags.contains(CloneFlags::CLONE_FILES) {
            child.files = Arc::new(self.files.duplicate());
        }
        if !flags.contains(CloneFlags::CLONE_FS) {
            child.fs = Arc::new(self.fs.duplicate());
        }
        if !flags.contains(CloneFlags::CLONE_VM) {
            child.mm = self.mm.duplicate();
        }
        Ok(child)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // A task that has ended has left its descriptors already; one that never ran drops them.
        let _ = self.shared.get_mut().files.leave();
        self.leave_undo_list();
    }
}

impl Task {
    /// A task that does not run yet.
    pub fn new(
        tid: i32,
        kernel: Arc<Kernel>,
        group: Arc<ThreadGroup>,
        shared: Shared,
    ) -> Arc<Self> {
        let waiter = Arc::new(Waiter::new());
        shared.files.join();
        if let Some(undo) = &shared.undo {
            undo.join();
        }
        Arc::new(Self {
            first_files: Arc::clone(&shared.files),
            files_replaced: AtomicBool::new(false),
            fd_cache: FdCache::default(),
            tid: AtomicI32::new(tid),
            started: kernel.host.boottime(),
            kernel,
            group,
            futex: FutexSlot::new(Arc::clone(&waiter), tid),
            scheduling: Scheduling::default(),
            sleep: SleepState::default(),
            rings: TaskRings::default(),
            waiter,
            mm_id: AtomicU64::new(shared.mm.id()),
            uid: AtomicU32::new(shared.cred.uid),
            shared: Mutex::new(shared),
            signals: TaskSignals::default(),
            name: Mutex::new([0; NAME_LEN]),
            mem_policy: Mutex::new(None),
            clear_child_tid: AtomicU64::new(0),
            set_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            no_new_privs: AtomicBool::new(false),
            seccomp: TaskSeccomp::default(),
            over_task_limit: AtomicBool::new(false),
            personality: AtomicU32::new(0),
            timer_slack: AtomicU64::new(DEFAULT_TIMER_SLACK),
            dismissed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stop_seen: AtomicU32::new(0),
            prepared: Mutex::new(None),
            vfork_parent: Mutex::new(None),
        })
    }

    /// Takes over what a new thread or process inherits besides [`Shared`].
    pub(crate) fn inherit(&self, parent: &Self) {
        *self.name.lock() = parent.name();
        self.set_mem_policy(parent.mem_policy());
        self.no_new_privs.store(parent.no_new_privs(), Ordering::Relaxed);
        self.seccomp.inherit(&parent.seccomp);
        self.personality.store(parent.personality(), Ordering::Relaxed);
        self.set_timer_slack(parent.timer_slack());
        self.signals.set_blocked(parent.signals.blocked());
        self.scheduling.inherit(&parent.scheduling);
        self.futex.set_rank(self.scheduling.priority());
        self.rings.inherit(&parent.rings, self.tgid() == parent.tgid());
    }

    /// Its keyrings.
    pub(crate) fn rings(&self) -> &TaskRings {
        &self.rings
    }

    /// Starts a task of [`Kernel::spawn_first`] in an empty host process, where
    /// [`TrapHandler::start`](lx_core::host::TrapHandler::start) is called.
    ///
    /// # Errors
    /// The host's.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let handler = self.kernel.handler(Arc::clone(self));
        Ok(self.kernel.host.spawn_process(handler)?)
    }

    /// Thread id.
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Gives the task the id of its group's leader, which has ended.
    pub(crate) fn become_leader(&self) {
        self.tid.store(self.tgid(), Ordering::Relaxed);
        self.futex.set_tid(self.tgid());
    }

    /// Thread group id: what `getpid(2)` returns.
    pub fn tgid(&self) -> i32 {
        self.group.tgid()
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The process.
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// Its ability to sleep.
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// Its ability to wait for a futex.
    pub fn futex(&self) -> &Arc<FutexSlot> {
        &self.futex
    }

    /// When it was made, on `CLOCK_BOOTTIME`.
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// Its scheduling attributes.
    pub fn scheduling(&self) -> &Scheduling {
        &self.scheduling
    }

    /// Its signals.
    pub fn signals(&self) -> &TaskSignals {
        &self.signals
    }

    /// Identity.
    pub fn cred(&self) -> Arc<Credentials> {
        Arc::clone(&self.shared.lock().cred)
    }

    /// Real user id, without the reference that [`cred`](Self::cred) takes.
    pub fn uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    /// Replaces the identity.
    pub fn set_cred(&self, cred: Arc<Credentials>) {
        self.uid.store(cred.uid, Ordering::Relaxed);
        let old = core::mem::replace(&mut self.shared.lock().cred, cred);
        drop(old);
    }

    /// Its memory.
    pub fn mm(&self) -> Arc<AddressSpace> {
        Arc::clone(&self.shared.lock().mm)
    }

    /// Sets the program that the task will run once it has a host process of its own.
    pub(crate) fn set_prepared(&self, image: Option<Box<ExecImage>>) {
        let old = core::mem::replace(&mut *self.prepared.lock(), image);
        drop(old);
    }

    /// The program that waits to be run.
    pub(crate) fn take_prepared(&self) -> Option<Box<ExecImage>> {
        self.prepared.lock().take()
    }

    /// Replaces its memory, at exec; the former one is returned.
    pub(crate) fn set_mm(&self, mm: Arc<AddressSpace>) -> Arc<AddressSpace> {
        self.mm_id.store(mm.id(), Ordering::Relaxed);
        self.signals.forget_restorer();
        core::mem::replace(&mut self.shared.lock().mm, mm)
    }

    /// [`AddressSpace::id`] of its memory.
    pub fn mm_id(&self) -> u64 {
        self.mm_id.load(Ordering::Relaxed)
    }

    /// Descriptor table.
    pub fn files(&self) -> Arc<FdTable> {
        Arc::clone(&self.shared.lock().files)
    }

    /// The files that the task used last.
    pub(crate) fn fd_cache(&self) -> &FdCache {
        &self.fd_cache
    }

    /// Descriptor table, if it is the one that the task began with.
    pub(crate) fn first_files(&self) -> Option<&Arc<FdTable>> {
        (!self.files_replaced.load(Ordering::Acquire)).then_some(&self.first_files)
    }

    /// Replaces the descriptor table. The former one is returned if nobody else uses it: what is
    /// open there has to be closed.
    pub fn set_files(&self, files: Arc<FdTable>) -> Option<Arc<FdTable>> {
        self.fd_cache.clear();
        files.join();
        let old = core::mem::replace(&mut self.shared.lock().files, files);
        self.files_replaced.store(true, Ordering::Release);
        old.leave().then_some(old)
    }

    /// What its end undoes to semaphores.
    pub fn undo_list(&self) -> Arc<UndoList> {
        if let Some(undo) = &self.shared.lock().undo {
            return Arc::clone(undo);
        }
        let new = Arc::new(UndoList::default());
        new.join();
        // Only the task itself gets itself a list.
        self.shared.lock().undo = Some(Arc::clone(&new));
        new
    }

    /// Gives up what is undone to semaphores; if nobody shares it, it is undone now.
    pub fn leave_undo_list(&self) {
        let undo = self.shared.lock().undo.take();
        if let Some(undo) = undo {
            let now = self.kernel.host.realtime() / 1_000_000_000;
            undo.leave(&self.kernel.ipc, self.tgid(), now.cast_signed());
        }
    }

    /// Working directory, root and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.shared.lock().fs)
    }

    /// Replaces working directory, root and umask.
    pub fn set_fs(&self, fs: Arc<FsContext>) {
        let old = core::mem::replace(&mut self.shared.lock().fs, fs);
        drop(old);
    }

    /// All that it may share.
    pub fn shared(&self) -> Shared {
        self.shared.lock().clone()
    }

    /// Its name, `PR_GET_NAME`; NUL-padded.
    pub fn name(&self) -> [u8; NAME_LEN] {
        *self.name.lock()
    }

    /// Sets its name, of which 15 bytes are kept.
    pub fn set_name(&self, name: &[u8]) {
        let mut new = [0; NAME_LEN];
        let text = name.split(|&byte| byte == 0).next().unwrap_or_default();
        for (to, from) in new.iter_mut().zip(text.iter().take(NAME_LEN - 1)) {
            *to = *from;
        }
        *self.name.lock() = new;
    }

    /// `set_mempolicy(2)`; `None` is the default.
    pub fn mem_policy(&self) -> Option<MemPolicy> {
        *self.mem_policy.lock()
    }

    /// `set_mempolicy(2)`.
    pub fn set_mem_policy(&self, policy: Option<MemPolicy>) {
        *self.mem_policy.lock() = policy;
    }

    /// Where the task's end is announced, `set_tid_address(2)`.
    pub fn clear_child_tid(&self) -> u64 {
        self.clear_child_tid.load(Ordering::Relaxed)
    }

    /// Sets where the task's end is announced.
    pub fn set_clear_child_tid(&self, address: u64) {
        self.clear_child_tid.store(address, Ordering::Relaxed);
    }

    /// Makes the task store its id at `address` before its guest runs.
    pub(crate) fn set_set_child_tid(&self, address: u64) {
        self.set_child_tid.store(address, Ordering::Relaxed);
    }

    /// Where the task has yet to store its id; asked once.
    pub(crate) fn take_set_child_tid(&self) -> Option<u64> {
        if self.set_child_tid.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.set_child_tid.swap(0, Ordering::Relaxed))
    }

    /// Address of the `struct robust_list_head`, 0 for none.
    pub fn robust_list(&self) -> u64 {
        self.robust_list.load(Ordering::Relaxed)
    }

    /// `set_robust_list(2)`.
    pub fn set_robust_list(&self, head: u64) {
        self.robust_list.store(head, Ordering::Relaxed);
    }

    /// Whether `execve` may not raise privileges, `PR_GET_NO_NEW_PRIVS`.
    pub fn no_new_privs(&self) -> bool {
        self.no_new_privs.load(Ordering::Relaxed)
    }

    /// Which calls it may make.
    #[inline(always)]
    pub fn seccomp(&self) -> &TaskSeccomp {
        &self.seccomp
    }

    /// `PR_SET_NO_NEW_PRIVS`, for ever.
    pub fn set_no_new_privs(&self) {
        self.no_new_privs.store(true, Ordering::Relaxed);
    }

    /// Whether its user had too many tasks when it became that user.
    pub(crate) fn is_over_task_limit(&self) -> bool {
        self.over_task_limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_over_task_limit(&self, over: bool) {
        self.over_task_limit.store(over, Ordering::Relaxed);
    }

    /// `personality(2)`.
    pub fn personality(&self) -> u32 {
        self.personality.load(Ordering::Relaxed)
    }

    /// `personality(2)`.
    pub fn set_personality(&self, personality: u32) {
        self.personality.store(personality, Ordering::Relaxed);
    }

    /// `PR_GET_TIMERSLACK`.
    pub fn timer_slack(&self) -> u64 {
        self.timer_slack.load(Ordering::Relaxed)
    }

    /// `PR_SET_TIMERSLACK`; 0 stands for the default.
    pub fn set_timer_slack(&self, nanos: u64) {
        let nanos = if nanos == 0 { DEFAULT_TIMER_SLACK } else { nanos };
        self.timer_slack.store(nanos, Ordering::Relaxed);
    }

    /// Asks the task to end, alone: another thread of its group calls `execve`.
    pub(crate) fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
        self.waiter.kill();
    }

    /// Whether it shall end alone.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Whether its end has begun.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Begins its end; `false` if that was done before.
    pub(crate) fn begin_end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Counts the task in the present stop of its group, once; `true` if all are stopped now.
    pub(crate) fn count_stopped(&self) -> bool {
        let job = self.group.job();
        let generation = job.generation();
        self.stop_seen.swap(generation, Ordering::AcqRel) != generation && job.task_stopped()
    }

    pub(crate) fn set_vfork_parent(&self, wait: Arc<VforkWait>) {
        *self.vfork_parent.lock() = Some(wait);
    }

    /// Lets a parent go on that waits in `clone(CLONE_VFORK)`: the task has ended, or has a program
    /// of its own. A parent whose thread the task borrowed goes on when the host takes that thread
    /// back.
    pub fn vfork_release(&self) {
        let wait = self.vfork_parent.lock().take();
        if let Some(wait) = wait {
            wait.done.store(true, Ordering::Release);
            wait.parent.wake();
        }
    }
}
