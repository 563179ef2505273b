//! On the way out of a trap: acting on pending signals, and the fate of an interrupted call.
//!
//! **Restart.** A call that a signal ended is called again inside the kernel when no handler runs
//! ([`Outcome::Again`]); the guest's registers still hold its number and arguments. When a handler
//! runs and the call is to be restarted, the frame shows what Linux shows: `rip` at the `syscall`
//! instruction and its number in `rax`, so that returning from the handler makes the call again.
//! The engine knows where an instruction went that it has moved.

use lx_core::abi::siginfo::{
    BUS_ADRERR, FPE_FLTINV, FPE_INTDIV, ILL_ILLOPN, SEGV_ACCERR, SEGV_MAPERR, SigInfo, TRAP_TRACE,
};
use lx_core::abi::signal::{DefaultAction, KernelSigAction, SIG_IGN, SigActionFlags};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, GuestRegs, SigSet, Signal, UserPtr};
use lx_core::host::{FaultInfo, FaultKind};

use super::action::{Effect, effect};
use super::{frame, mask, wait};
use crate::core_dump;
use crate::current::CurrentTask;
use crate::exit;
use crate::mm::FaultOutcome;
use crate::session;
use crate::task::Task;

/// Length of the `syscall` instruction.
const SYSCALL_LEN: u64 = 2;

/// How a call that a signal ended wants to be restarted, `signal(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Unless a handler without `SA_RESTART` runs (`ERESTARTSYS`).
    UnlessHandlerRefuses,
    /// Only if no handler runs (`ERESTARTNOHAND`).
    WithoutHandler,
    /// Whatever runs: the restart was decided before.
    Always,
}

/// How the trap goes on after delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Back to the guest, or to the end of the task, as [`CurrentTask::resume`] says.
    Done,
    /// The call is to be made again, with the number and arguments in the registers.
    Again,
}

/// Whether a call is made again although a handler with `flags` runs before.
fn restarts(restart: Restart, flags: SigActionFlags) -> bool {
    match restart {
        Restart::Always => true,
        Restart::UnlessHandlerRefuses => flags.contains(SigActionFlags::SA_RESTART),
        Restart::WithoutHandler => false,
    }
}

/// Delivers what is pending before the guest goes on; `restart` if the call just made wants to be
/// restarted.
pub fn deliver(current: &CurrentTask<'_>, restart: Option<Restart>) -> Outcome {
    let task = current.task();
    let group = current.group();
    let mut restart = restart;
    if let Some(address) = task.take_set_child_tid() {
        // As on Linux, a bad address is not reported to anybody.
        let _ = current.memory().write(UserPtr::new(address), &task.tid());
    }
    loop {
        // What arrives from here on marks the task again.
        task.waiter().clear_interrupt();
        if group.is_exiting() {
            exit::end_with_group(current);
            return Outcome::Done;
        }
        if task.is_dismissed() {
            exit::end_dismissed(current);
            return Outcome::Done;
        }
        if group.job().is_stopping() {
            stay_stopped(current);
            continue;
        }
        let continues = group.job().continues();
        if let Some((signal, info)) = next(task) {
            let action = group.with_actions(|actions| actions.take_for_delivery(signal));
            match effect(signal, action) {
                Effect::None => {}
                Effect::Kill => {
                    let status = match signal.default_action() {
                        DefaultAction::Core => core_dump::die(current, signal, &info),
                        _ => WaitStatus::signaled(signal, false),
                    };
                    exit::exit_group(current, status);
                    return Outcome::Done;
                }
                Effect::Stop => stop(current, signal, continues),
                Effect::Handle(action) => {
                    if let Some(restart) = restart.take() {
                        settle(current, restart, action);
                    }
                    if frame::push(current, signal, &action, &info).is_err() {
                        bad_frame(current, signal);
                    }
                }
            }
            continue;
        }
        let Some(saved) = task.signals().take_saved_mask() else { break };
        // No handler has run. A signal that only now becomes deliverable comes after the call.
        mask::change_mask(current, saved);
        if !mask::has_deliverable(task) {
            break;
        }
        restart = restart.map(|_| Restart::Always);
    }
    if restart.is_some() { Outcome::Again } else { Outcome::Done }
}

/// Takes the next signal to deliver.
fn next(task: &Task) -> Option<(Signal, SigInfo)> {
    wait::take(task, SigSet::FULL.difference(task.signals().blocked()))
}

/// Sets the registers of an interrupted call to what the frame of the handler shall show.
fn settle(current: &CurrentTask<'_>, restart: Restart, action: KernelSigAction) {
    let mut regs = current.regs();
    current.task().forget_deadline();
    if restarts(restart, action.known_flags()) {
        regs.rax = regs.orig_rax;
        regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
    } else {
        regs.rax = Errno::EINTR.as_return();
    }
    current.replace_regs(regs);
}

/// The frame of a handler does not fit on its stack.
#[cold]
fn bad_frame(current: &CurrentTask<'_>, signal: Signal) {
    let group = current.group();
    if signal == Signal::SIGSEGV {
        group.with_actions(|actions| actions.set(signal, KernelSigAction::default()));
    }
    force(current, Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV));
}

/// Begins a stop of the whole group.
#[cold]
fn stop(current: &CurrentTask<'_>, signal: Signal, continues: u32) {
    let group = current.group();
    if signal != Signal::SIGSTOP && session::is_orphaned(current.kernel(), group.pgid()) {
        // Nobody could continue it.
        return;
    }
    let state = group.state();
    if state.exit.is_some() || !group.job().begin_stop(signal, state.tasks.len(), continues) {
        return;
    }
    for task in &state.tasks {
        if !core::ptr::eq(&**task, &**current.task()) {
            task.waiter().interrupt();
        }
    }
}

/// Parks the task until its group runs again or the task has to end.
#[cold]
fn stay_stopped(current: &CurrentTask<'_>) {
    let task = current.task();
    let group = current.group();
    let job = group.job();
    let generation = job.generation();
    if task.count_stopped()
        && let Some(signal) = job.stop_signal()
    {
        exit::report_job_change(current.kernel(), group, WaitStatus::stopped(signal));
    }
    let over = || !job.is_stopping() || job.generation() != generation;
    // It ends early only when the task is killed, which the caller finds out itself.
    let _ = task.waiter().wait_for(None, || 0, false, || over().then_some(()));
}

/// Makes the calling task take a signal now, even if it is blocked or ignored; a handler runs only
/// if it was neither.
pub fn force(current: &CurrentTask<'_>, signal: Signal, info: SigInfo) {
    let task = current.task();
    let signals = task.signals();
    let blocked = signals.blocked();
    current.group().with_actions(|actions| {
        if blocked.contains(signal) || actions.get(signal).handler == SIG_IGN {
            actions.set(signal, KernelSigAction::default());
        }
    });
    signals.set_blocked(blocked.without(signal));
    signals.pending().push(signal, info, usize::MAX);
    task.waiter().interrupt_self();
}

/// Turns a fault of guest code into its signal, unless the address space can mend it.
pub fn fault(current: &CurrentTask<'_>, info: &FaultInfo) {
    let mut info = *info;
    let page_fault = matches!(info.kind, FaultKind::NotMapped | FaultKind::Access | FaultKind::Bus);
    if page_fault {
        info.kind = match current.mm().fault(&current.caller(), &info) {
            FaultOutcome::Retry => return,
            FaultOutcome::NotMapped => FaultKind::NotMapped,
            FaultOutcome::NoAccess => FaultKind::Access,
            FaultOutcome::Bus => FaultKind::Bus,
        };
    }
    current.task().signals().set_fault(
        page_fault.then_some(info.address),
        info.trap_number,
        info.error_code,
    );
    let (signal, info) = fault_signal(&info, &current.regs());
    force(current, signal, info);
}

fn fault_signal(info: &FaultInfo, regs: &GuestRegs) -> (Signal, SigInfo) {
    let (signal, code, address) = match info.kind {
        FaultKind::NotMapped => (Signal::SIGSEGV, SEGV_MAPERR, info.address),
        FaultKind::Access => (Signal::SIGSEGV, SEGV_ACCERR, info.address),
        FaultKind::Bus => (Signal::SIGBUS, BUS_ADRERR, info.address),
        FaultKind::Illegal => (Signal::SIGILL, ILL_ILLOPN, regs.rip),
        FaultKind::Divide => (Signal::SIGFPE, FPE_INTDIV, regs.rip),
        FaultKind::Float => (Signal::SIGFPE, FPE_FLTINV, regs.rip),
        FaultKind::Step => (Signal::SIGTRAP, TRAP_TRACE, regs.rip),
        FaultKind::Protection => return (Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV)),
        FaultKind::Breakpoint => return (Signal::SIGTRAP, SigInfo::kernel(Signal::SIGTRAP)),
    };
    (signal, SigInfo::fault(signal, code, address))
}

#[cfg(test)]
mod tests {
    use super::{Restart, fault_signal, restarts};
    use lx_core::abi::siginfo::{SEGV_ACCERR, SI_KERNEL};
    use lx_core::abi::signal::SigActionFlags;
    use lx_core::abi::{GuestRegs, Signal};
    use lx_core::host::{FaultInfo, FaultKind};

    #[test]
    fn who_restarts() {
        let none = SigActionFlags::empty();
        let sa_restart = SigActionFlags::SA_RESTART;
        assert!(restarts(Restart::UnlessHandlerRefuses, sa_restart));
        assert!(!restarts(Restart::UnlessHandlerRefuses, none));
        assert!(!restarts(Restart::WithoutHandler, sa_restart));
        assert!(restarts(Restart::Always, none));
    }

    #[test]
    fn faults_become_signals() {
        let fault = |kind| FaultInfo { kind, address: 0x1234, trap_number: 14, error_code: 6 };
        let regs = GuestRegs { rip: 0x4000, ..GuestRegs::default() };
        let (signal, info) = fault_signal(&fault(FaultKind::Access), &regs);
        assert_eq!((signal, info.si_code), (Signal::SIGSEGV, SEGV_ACCERR));
        assert_eq!(info.fault_fields().addr, 0x1234);
        let (signal, info) = fault_signal(&fault(FaultKind::Divide), &regs);
        assert_eq!((signal, info.fault_fields().addr), (Signal::SIGFPE, 0x4000));
        let (signal, info) = fault_signal(&fault(FaultKind::Breakpoint), &regs);
        assert_eq!((signal, info.si_code), (Signal::SIGTRAP, SI_KERNEL));
    }
}
