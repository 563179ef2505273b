//! A task: one thread of a Linux process.

use alloc::sync::Arc;

use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::sync::{Mutex, Waiter, level};
use lx_vfs::fs_context::FsContext;

use crate::futex::FutexSlot;
use crate::kernel::Kernel;
use crate::mm::AddressSpace;
use crate::sched::Scheduling;
use crate::sleep::SleepState;
use crate::thread_group::ThreadGroup;

/// A task.
pub struct Task {
    tid: i32,
    kernel: Arc<Kernel>,
    group: Arc<ThreadGroup>,
    waiter: Arc<Waiter>,
    shared: Mutex<Shared, { level::TASK }>,
    futex: Arc<FutexSlot>,
    scheduling: Scheduling,
    pub(crate) sleep: SleepState,
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
        Arc::new(Self {
            tid,
            kernel,
            group,
            futex: FutexSlot::new(Arc::clone(&waiter)),
            scheduling: Scheduling::default(),
            sleep: SleepState::default(),
            waiter,
            shared: Mutex::new(shared),
        })
    }

    /// Thread id.
    pub fn tid(&self) -> i32 {
        self.tid
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

    /// Its scheduling attributes.
    pub fn scheduling(&self) -> &Scheduling {
        &self.scheduling
    }

    /// Identity.
    pub fn cred(&self) -> Arc<Credentials> {
        Arc::clone(&self.shared.lock().cred)
    }

    /// Replaces the identity.
    pub fn set_cred(&self, cred: Arc<Credentials>) {
        let old = core::mem::replace(&mut self.shared.lock().cred, cred);
        drop(old);
    }

    /// Its memory.
    pub fn mm(&self) -> Arc<AddressSpace> {
        Arc::clone(&self.shared.lock().mm)
    }

    /// Replaces its memory, at exec; the former one is returned.
    pub(crate) fn set_mm(&self, mm: Arc<AddressSpace>) -> Arc<AddressSpace> {
        core::mem::replace(&mut self.shared.lock().mm, mm)
    }

    /// Descriptor table.
    pub fn files(&self) -> Arc<FdTable> {
        Arc::clone(&self.shared.lock().files)
    }

    /// Working directory, root and umask.
    pub fn fs(&self) -> Arc<FsContext> {
        Arc::clone(&self.shared.lock().fs)
    }
}
