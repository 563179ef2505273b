//! The calling task, as handlers see it.

use alloc::sync::Arc;
use core::cell::{Cell, OnceCell};

use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::{Errno, Fd, GuestRegs, SigSet, Signal};
use lx_core::caller::{Caller, Identity, JobControl};
use lx_core::cred::Credentials;
use lx_core::error::{Result, SysError};
use lx_core::fd_cache::CachedFile;
use lx_core::fd_table::FdTable;
use lx_core::host::{Host, Resume};
use lx_core::user_memory::UserMemory;
use lx_vfs::fs_context::FsContext;

use crate::kernel::Kernel;
use crate::mm::AddressSpace;
use crate::signal;
use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// The extended register state that the guest will have, if it is no longer what the processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Xstate {
    /// Still in the registers.
    Live,
    /// That of a fresh program.
    Initial,
    /// Loaded from this place in guest memory, by `rt_sigreturn`.
    Loaded {
        /// Address.
        address: u64,
        /// Length in bytes.
        len: usize,
    },
}

/// A task on its own thread, for the time of one trap.
pub struct CurrentTask<'a> {
    task: &'a Arc<Task>,
    regs: &'a Cell<GuestRegs>,
    resume: Cell<Resume>,
    xstate: Cell<Xstate>,
    /// In one cell, as most calls need none of it.
    held: OnceCell<Held>,
}

/// References that the task has taken for the time of the trap.
#[derive(Default)]
struct Held {
    cred: OnceCell<Arc<Credentials>>,
    files: OnceCell<Arc<FdTable>>,
    fs: OnceCell<Arc<FsContext>>,
    mm: OnceCell<Arc<AddressSpace>>,
}

impl<'a> CurrentTask<'a> {
    /// The task whose guest has just trapped with `regs`.
    pub fn new(task: &'a Arc<Task>, regs: &'a mut GuestRegs) -> Self {
        Self {
            task,
            regs: Cell::from_mut(regs),
            resume: Cell::new(Resume::Return),
            xstate: Cell::new(Xstate::Live),
            held: OnceCell::new(),
        }
    }

    fn held(&self) -> &Held {
        self.held.get_or_init(Held::default)
    }

    /// The task.
    pub fn task(&self) -> &'a Arc<Task> {
        self.task
    }

    /// The process.
    pub fn group(&self) -> &'a Arc<ThreadGroup> {
        self.task.group()
    }

    /// The kernel.
    pub fn kernel(&self) -> &'a Arc<Kernel> {
        self.task.kernel()
    }

    /// The host.
    pub fn host(&self) -> &'static dyn Host {
        self.task.kernel().host
    }

    /// Guest memory.
    pub fn memory(&self) -> UserMemory {
        UserMemory::new(self.host())
    }

    /// Identity, as it was when first asked for in this call.
    pub fn cred(&self) -> &Arc<Credentials> {
        self.held().cred.get_or_init(|| self.task.cred())
    }

    /// Descriptor table.
    pub fn files(&self) -> &Arc<FdTable> {
        match self.task.first_files() {
            Some(files) => files,
            None => self.held().files.get_or_init(|| self.task.files()),
        }
    }

    /// The file behind a descriptor, for the time of this call.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn file(&self, fd: Fd) -> Result<CachedFile<'_>> {
        self.cached_file(fd).ok_or(Errno::EBADF.into())
    }

    /// As [`file`](Self::file); `None` stands for `EBADF`.
    #[inline(always)]
    pub fn cached_file(&self, fd: Fd) -> Option<CachedFile<'_>> {
        self.task.fd_cache().get(self.files(), fd)
    }

    /// Working directory, root and umask.
    pub fn fs(&self) -> &Arc<FsContext> {
        self.held().fs.get_or_init(|| self.task.fs())
    }

    /// Its memory, as it was when first asked for in this call.
    pub fn mm(&self) -> &Arc<AddressSpace> {
        self.held().mm.get_or_init(|| self.task.mm())
    }

    /// Whether this call has fetched the memory, and so holds a reference to it.
    pub(crate) fn has_mm(&self) -> bool {
        self.held.get().is_some_and(|held| held.mm.get().is_some())
    }

    /// The task as lx-vfs and lx-net see it.
    pub fn caller(&self) -> Caller<'_> {
        Caller {
            host: self.host(),
            identity: self,
            waiter: self.task.waiter(),
            rlimits: self.task.group().rlimits(),
            tid: self.task.tid(),
            tgid: self.task.tgid(),
        }
    }

    /// The guest's registers at the trap.
    pub fn regs(&self) -> GuestRegs {
        self.regs.get()
    }

    /// Argument `index` of the system call.
    #[inline(always)]
    pub fn arg(&self, index: usize) -> u64 {
        let regs = self.regs.get();
        match index {
            0 => regs.rdi,
            1 => regs.rsi,
            2 => regs.rdx,
            3 => regs.r10,
            4 => regs.r8,
            _ => regs.r9,
        }
    }

    /// Sets the result of the call.
    pub fn set_return(&self, value: u64) {
        let mut regs = self.regs.get();
        regs.rax = value;
        self.regs.set(regs);
    }

    /// Replaces the registers but leaves the way out as it is.
    pub(crate) fn replace_regs(&self, regs: GuestRegs) {
        self.regs.set(regs);
    }

    /// Where the guest's extended state is.
    pub(crate) fn xstate(&self) -> Xstate {
        self.xstate.get()
    }

    /// The host has been given an extended state for the guest.
    pub(crate) fn set_xstate(&self, xstate: Xstate) {
        self.xstate.set(xstate);
    }

    /// Replaces the registers; with `resume` at least [`Resume::Full`] they are all loaded.
    pub fn set_regs(&self, regs: GuestRegs, resume: Resume) {
        self.regs.set(regs);
        self.resume.set(resume);
    }

    /// Ends the task's stay on this thread, or loads all registers on return.
    pub fn set_resume(&self, resume: Resume) {
        self.resume.set(resume);
    }

    /// How to go on after the handler.
    pub fn resume(&self) -> Resume {
        self.resume.get()
    }

    /// Makes a call with another signal mask, if one is given, as `ppoll` and its relatives do. If
    /// a signal ends the call, the old mask comes back when that has been delivered, else at once.
    ///
    /// # Errors
    /// Those of `call`.
    pub fn with_signal_mask<R>(
        &self,
        mask: Option<SigSet>,
        call: impl FnOnce(&Self) -> Result<R>,
    ) -> Result<R> {
        let Some(mask) = mask else { return call(self) };
        let signals = self.task.signals();
        let old = signals.blocked();
        signal::change_mask(self, mask);
        let result = call(self);
        match result {
            Err(
                SysError::Restart
                | SysError::RestartNoHandler
                | SysError::RestartAlways
                | SysError::Errno(Errno::EINTR),
            ) => signals.save_mask(old),
            _ => signal::change_mask(self, old),
        }
        result
    }

    /// Sends the calling task a signal on behalf of the kernel: `SIGPIPE`, `SIGXFSZ`.
    pub fn send_self(&self, signal: Signal) {
        let info = SigInfo::kill(signal, self.task.tgid(), self.task.uid());
        // A standard signal always finds room.
        let _ = signal::send_to_task(self.kernel(), self.task, signal, info, Some(self.task));
    }
}

impl Identity for CurrentTask<'_> {
    fn credentials(&self) -> &Credentials {
        self.cred()
    }

    fn forget_files(&self) {
        self.task.fd_cache().clear();
    }

    fn jobs(&self) -> Option<&dyn JobControl> {
        Some(self)
    }
}
