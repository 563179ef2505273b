//! The root object.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Signal;
use lx_core::cred::Credentials;
use lx_core::error::Result;
use lx_core::host::{Host, HostThreadId, Nanos, TrapHandler};
use lx_core::rlimit::Rlimits;
use lx_core::timer::TimerQueue;
use lx_vfs::fs::mqueue::MessageQueues;

use crate::aio::AioLimits;
use crate::exec::VdsoCache;
use crate::exit;
use crate::futex::FutexTable;
use crate::ipc::Ipc;
use crate::keys::Keys;
use crate::mm::text::TextCache;
use crate::observe::Observe;
use crate::pid::PidTable;
use crate::report::Reports;
use crate::session::INIT_TGID;
use crate::signal::{SignalActions, SignalQueue};
use crate::task::{Shared, Task};
use crate::thread_group::ThreadGroup;
use crate::uts::UtsNames;

/// How the layer above makes the trap handler of a task.
pub type HandlerFactory = fn(Arc<Task>) -> Arc<dyn TrapHandler>;

/// One running Linux.
pub struct Kernel {
    /// The host.
    pub host: &'static dyn Host,
    /// All tasks.
    pub pids: PidTable,
    /// Who waits for which futex.
    pub futexes: FutexTable,
    /// System V IPC.
    pub ipc: Ipc,
    /// POSIX message queues.
    pub mqueues: MessageQueues,
    /// Keys.
    pub keys: Arc<Keys>,
    /// Limits of asynchronous I/O.
    pub aio: Arc<AioLimits>,
    /// Timers that run.
    pub timers: Arc<TimerQueue>,
    /// Names of the system.
    pub uts: UtsNames,
    /// What is observed.
    pub observe: Observe,
    /// Who hears of init's children.
    pub reports: Reports,
    /// Program text with rewritten system-call sites.
    pub text: Arc<TextCache>,
    /// The vDSO of all programs.
    pub vdso: VdsoCache,
    handler_factory: HandlerFactory,
    init: Arc<ThreadGroup>,
}

impl Kernel {
    /// A kernel with no process but internal init.
    pub fn new(host: &'static dyn Host, handler_factory: HandlerFactory) -> Self {
        let pids = PidTable::new();
        let actions = Arc::new(SignalActions::new());
        let queue = Arc::new(SignalQueue::default());
        let limits = Rlimits::new();
        let init = ThreadGroup::new(INIT_TGID, INIT_TGID, INIT_TGID, 0, limits, actions, &queue);
        init.set_last_cred(Arc::new(Credentials::new(0, 0, Vec::new())));
        pids.adopt_init(&init);
        Self {
            host,
            pids,
            futexes: FutexTable::new(),
            ipc: Ipc::default(),
            mqueues: MessageQueues::new(host),
            keys: Keys::new(host),
            aio: Arc::default(),
            timers: Arc::default(),
            uts: UtsNames::default(),
            observe: Observe::default(),
            reports: Reports::default(),
            text: Arc::default(),
            vdso: VdsoCache::default(),
            handler_factory,
            init,
        }
    }

    /// Internal init, process 1: it has no task, adopts orphans and reaps its children at once.
    pub fn init(&self) -> &Arc<ThreadGroup> {
        &self.init
    }

    /// A new child of init, leader of a session of its own, that does not run yet. The caller
    /// prepares its program and lets the host start it ([`Task::start`]).
    ///
    /// # Errors
    /// `EAGAIN` without a free id.
    pub fn spawn_first(self: &Arc<Self>, shared: Shared, rlimits: Rlimits) -> Result<Arc<Task>> {
        let tid = self.pids.allocate()?;
        let actions = Arc::new(SignalActions::new());
        let queue = self.init.signal_queue();
        let group = ThreadGroup::new(tid, tid, tid, INIT_TGID, rlimits, actions, queue);
        group.set_exit_signal(Signal::SIGCHLD.number());
        let task = Task::new(tid, Arc::clone(self), group, shared);
        // Nothing can have ended a group that nobody knows.
        let _ = task.group().add_task(&task);
        self.pids.insert(&task);
        Ok(task)
    }

    /// Undoes [`spawn_first`](Self::spawn_first) for a task that the host could not start.
    pub fn discard(&self, task: &Arc<Task>) {
        crate::clone::forget(task);
    }

    /// The monotonic clock has reached the deadline of the host's timer.
    pub fn timer_expired(&self, now: Nanos) {
        self.timers.run(self.host, now);
    }

    /// The host process under a task died without telling the kernel.
    pub fn host_thread_died(self: &Arc<Self>, thread: HostThreadId, signal: u8) {
        let signal = Signal::new(signal.into());
        exit::host_thread_died(self, thread, signal.unwrap_or(Signal::SIGKILL));
    }

    /// Hands a line of `--strace` to whoever collects them.
    pub fn trace_line(&self, line: &str) {
        self.reports.trace_line(self.host, line);
    }

    /// The trap handler of a task, for the host.
    pub fn handler(&self, task: Arc<Task>) -> Arc<dyn TrapHandler> {
        (self.handler_factory)(task)
    }
}
