//! Where a trap enters the kernel: system calls, faults, interrupts.

use alloc::sync::Arc;

use lx_core::abi::{Errno, GuestRegs};
use lx_core::error::SysError;
use lx_core::host::{FaultInfo, HostThreadId, Resume, TrapHandler};
use lx_proc::signal::{self, Outcome, Restart};
use lx_proc::{CurrentTask, Task, seccomp};

use crate::strace::Line;
use crate::table::{Call, call_of};

/// The kernel side of one guest thread.
pub struct TaskTrap {
    task: Arc<Task>,
}

/// The handler that the host calls for `task`; given to [`lx_proc::Kernel`] at boot.
pub fn trap_handler(task: Arc<Task>) -> Arc<dyn TrapHandler> {
    Arc::new(TaskTrap { task })
}

impl TrapHandler for TaskTrap {
    fn attached(&self, thread: HostThreadId) {
        let waiter = self.task.waiter();
        waiter.set_thread(thread);
        // A signal that was sent before found no thread to interrupt.
        if waiter.is_interrupted() || waiter.is_asked() || self.task.mm().shows_too_much() {
            waiter.interrupt();
        }
    }

    fn syscall(&self, regs: &mut GuestRegs) -> Resume {
        let number = regs.rax;
        regs.orig_rax = number;
        let current = CurrentTask::new(&self.task, regs);
        self.make_call(&current, number);
        current.resume()
    }

    fn fault(&self, info: &FaultInfo, regs: &mut GuestRegs) -> Resume {
        regs.orig_rax = GuestRegs::NO_SYSCALL;
        let current = CurrentTask::new(&self.task, regs);
        current.set_resume(Resume::Full);
        signal::fault(&current, info);
        let _ = signal::deliver(&current, None);
        current.resume()
    }

    fn user_fault(&self, address: u64, write: bool) -> bool {
        let mut regs = GuestRegs::default();
        let current = CurrentTask::new(&self.task, &mut regs);
        current.mm().user_fault(&current.caller(), address, write)
    }

    fn interrupt(&self, regs: &mut GuestRegs) -> Resume {
        let current = CurrentTask::new(&self.task, regs);
        current.mm().forget_shortened(current.host());
        self.task.waiter().do_work();
        let _ = signal::deliver(&current, None);
        current.resume()
    }

    fn start(&self, regs: &mut GuestRegs) -> Resume {
        let current = CurrentTask::new(&self.task, regs);
        current.set_resume(Resume::Full);
        lx_proc::exec::start(&current);
        if current.resume() != Resume::Exit && self.task.waiter().is_interrupted() {
            let _ = signal::deliver(&current, None);
        }
        current.resume()
    }
}

impl TaskTrap {
    /// Makes a call, again as long as a signal has ended it without running a handler.
    #[inline(always)]
    fn make_call(&self, current: &CurrentTask<'_>, number: u64) {
        let call: Call = if self.task.kernel().observe.is_on() {
            observed_call
        } else if self.task.seccomp().is_on() {
            checked_call
        } else {
            call_of(number)
        };
        loop {
            let (value, restart) = match call(current) {
                Ok(value) => (value, None),
                Err(SysError::Errno(errno)) => (errno.as_return(), None),
                Err(SysError::Restart) => (0, Some(Restart::UnlessHandlerRefuses)),
                Err(SysError::RestartNoHandler) => (0, Some(Restart::WithoutHandler)),
                Err(SysError::RestartAlways) => (0, Some(Restart::Always)),
            };
            if restart.is_none() {
                current.set_return(value);
                if !self.task.waiter().is_interrupted() {
                    return;
                }
            }
            // The task may run on another thread already.
            if current.resume() == Resume::Exit {
                return;
            }
            if signal::deliver(current, restart) == Outcome::Done {
                return;
            }
        }
    }
}

/// A call that seccomp decides about, if the task has asked for that.
#[cold]
fn checked_call(current: &CurrentTask<'_>) -> Result<u64, SysError> {
    let number = current.regs().orig_rax;
    if current.task().seccomp().is_on()
        && let Some(value) = seccomp::check(current, number)
    {
        // Filters may return errnos that there are not.
        return Errno::from_return(value).map_or(Ok(value), |errno| Err(errno.into()));
    }
    call_of(number)(current)
}

/// A call that is counted, and printed if tracing is on.
#[cold]
fn observed_call(current: &CurrentTask<'_>) -> Result<u64, SysError> {
    let regs = current.regs();
    let (number, args) = (regs.orig_rax, &regs.args());
    let kernel = current.kernel();
    let mut line = kernel.observe.is_tracing().then(|| Line::begin(current, number, args));
    // When the process has ended, the machine may end before a line is written.
    if let Some(last) = line.take_if(|line| line.is_last()) {
        kernel.trace_line(&last.end(current, number, Ok(0)));
    }
    let before = kernel.host.host_calls();
    let result = checked_call(current);
    let after = kernel.host.host_calls();
    kernel.observe.count(number, result.is_err(), after.saturating_sub(before));
    if let Some(line) = line {
        kernel.trace_line(&line.end(current, number, result));
    }
    result
}
