//! Signals: `kill(2)`, `sigaction(2)`, `sigprocmask(2)`, `sigsuspend(2)`, `sigaltstack(2)` and
//! relatives.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::siginfo::{SI_TKILL, SigInfo};
use lx_core::abi::signal::{KernelSigAction, SigMaskHow, StackT};
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, RawSignal, SigSet, Signal, UserPtr};
use lx_core::error::SysError;
use lx_proc::signal::{self, ToWake};
use lx_proc::{CurrentTask, Task, ThreadGroup};

/// Checks a `sigsetsize` argument.
fn check_set_size(size: usize) -> Result<()> {
    if size == SigSet::SIZE { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

/// `kill(2)`.
///
/// # Errors
///
/// - `EINVAL`: no such signal.
/// - `ESRCH`: no such process or process group.
/// - `EPERM`: the caller may not signal it, or any member of the group.
pub(crate) fn sys_kill(task: &CurrentTask<'_>, pid: i32, signal: RawSignal) -> Result<()> {
    let pids = &task.kernel().pids;
    match pid {
        1.. if pid == task.task().tgid() => {
            send_to_group(task, task.group(), pid, signal, kill_info)
        }
        1.. => {
            let group = pids.group_of(pid).ok_or(Errno::ESRCH)?;
            send_to_group(task, &group, pid, signal, kill_info)
        }
        0 => send_to_many(task, &pids.process_group(task.group().pgid()), signal),
        -1 => {
            let mut groups = pids.groups();
            groups.retain(|group| group.tgid() > 1 && !Arc::ptr_eq(group, task.group()));
            send_to_all(task, &groups, signal)
        }
        i32::MIN => Err(Errno::ESRCH.into()),
        _ => send_to_many(task, &pids.process_group(pid.wrapping_neg()), signal),
    }
}

/// What `kill(2)` sends along.
pub(super) fn kill_info(task: &CurrentTask<'_>, signal: Signal) -> SigInfo {
    SigInfo::kill(signal, task.task().tgid(), task.task().uid())
}

fn tkill_info(task: &CurrentTask<'_>, signal: Signal) -> SigInfo {
    SigInfo::tkill(signal, task.task().tgid(), task.task().uid())
}

/// Sends to each group; succeeds if one of them gets the signal.
fn send_to_many(
    task: &CurrentTask<'_>,
    groups: &[Arc<ThreadGroup>],
    signal: RawSignal,
) -> Result<()> {
    let mut result = Err(Errno::ESRCH.into());
    let mut to_wake = ToWake::default();
    for group in groups {
        let sent = send_to_one(task, group, signal, &mut to_wake);
        if result.is_err() {
            result = sent;
        }
    }
    to_wake.wake();
    result
}

/// Sends to each group that the caller may signal. As on Linux, and unlike the manual page has it,
/// it is no error if there is none among those.
fn send_to_all(
    task: &CurrentTask<'_>,
    groups: &[Arc<ThreadGroup>],
    signal: RawSignal,
) -> Result<()> {
    let mut result = if groups.is_empty() { Err(Errno::ESRCH.into()) } else { Ok(()) };
    let mut to_wake = ToWake::default();
    for group in groups {
        let sent = send_to_one(task, group, signal, &mut to_wake);
        if sent != Err(Errno::EPERM.into()) {
            result = sent;
        }
    }
    to_wake.wake();
    result
}

/// Sends to one of the groups that `kill(2)` means.
fn send_to_one(
    task: &CurrentTask<'_>,
    group: &Arc<ThreadGroup>,
    signal: RawSignal,
    to_wake: &mut ToWake,
) -> Result<()> {
    let Some(signal) = allowed(task, group, signal)? else { return Ok(()) };
    let info = kill_info(task, signal);
    let sender = Some(&**task.task());
    signal::send_to_one_of_many(task.kernel(), group, signal, info, sender, to_wake)
}

/// The signal, if the caller may send it; `None` for signal 0.
fn allowed(
    task: &CurrentTask<'_>,
    group: &Arc<ThreadGroup>,
    signal: RawSignal,
) -> Result<Option<Signal>> {
    let signal = signal.check()?;
    if signal::may_signal(task, group, signal) { Ok(signal) } else { Err(Errno::EPERM.into()) }
}

/// Sends to the group of the task `tid`; for signal 0 only the permission is checked.
pub(super) fn send_to_group(
    task: &CurrentTask<'_>,
    group: &Arc<ThreadGroup>,
    tid: i32,
    signal: RawSignal,
    info: impl FnOnce(&CurrentTask<'_>, Signal) -> SigInfo,
) -> Result<()> {
    let Some(signal) = allowed(task, group, signal)? else { return Ok(()) };
    let info = info(task, signal);
    signal::send_to_group_by(task.kernel(), group, tid, signal, info, Some(task.task()))
}

/// Sends to one task, which must belong to the group `tgid` if that is given.
fn send_to_task(
    task: &CurrentTask<'_>,
    tgid: Option<i32>,
    tid: i32,
    signal: RawSignal,
    info: impl FnOnce(&CurrentTask<'_>, Signal) -> SigInfo,
) -> Result<()> {
    let found;
    let target: &Arc<Task> = if tid == task.task().tid() {
        task.task()
    } else {
        match task.kernel().pids.task(tid) {
            Some(other) => found = other,
            None => return send_to_ended(task, tgid, tid, signal),
        }
        &found
    };
    if tgid.is_some_and(|tgid| tgid != target.tgid()) {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal.check()?;
    if !signal::may_signal(task, target.group(), signal) {
        return Err(Errno::EPERM.into());
    }
    let Some(signal) = signal else { return Ok(()) };
    let info = info(task, signal);
    signal::send_to_task(task.kernel(), target, signal, info, Some(task.task()))
}

/// Sends to a thread that is no more, but whose id stays known as that of its process: the process
/// has not been waited for, or has other threads.
#[cold]
fn send_to_ended(
    task: &CurrentTask<'_>,
    tgid: Option<i32>,
    tid: i32,
    signal: RawSignal,
) -> Result<()> {
    let group = task.kernel().pids.group(tid).ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|tgid| tgid != tid) {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal.check()?;
    if !signal::may_signal(task, &group, signal) {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// `tkill(2)`.
///
/// # Errors
///
/// - `EINVAL`: a bad id, no such signal.
/// - `ESRCH`: no such thread.
/// - `EPERM`: the caller may not signal it.
pub(crate) fn sys_tkill(task: &CurrentTask<'_>, tid: i32, signal: RawSignal) -> Result<()> {
    if tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_task(task, None, tid, signal, tkill_info)
}

/// `tgkill(2)`.
///
/// # Errors
///
/// As `tkill`; `ESRCH` also if the thread belongs to another process.
pub(crate) fn sys_tgkill(
    task: &CurrentTask<'_>,
    tgid: i32,
    tid: i32,
    signal: RawSignal,
) -> Result<()> {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    send_to_task(task, Some(tgid), tid, signal, tkill_info)
}

/// Reads what a program sends along. Only to itself may a thread pretend to be the kernel or `kill`.
pub(super) fn read_info(
    task: &CurrentTask<'_>,
    info: UserPtr<SigInfo>,
    signal: RawSignal,
    to: i32,
) -> Result<SigInfo> {
    let mut info = task.memory().read(info)?;
    info.si_signo = signal.0;
    if (info.si_code >= 0 || info.si_code == SI_TKILL) && to != task.task().tid() {
        return Err(Errno::EPERM.into());
    }
    Ok(info)
}

/// `rt_sigqueueinfo(2)`.
///
/// # Errors
///
/// As `kill`; `EPERM` also for a faked `si_code`; `EAGAIN`: too many signals are queued.
pub(crate) fn sys_rt_sigqueueinfo(
    task: &CurrentTask<'_>,
    tgid: i32,
    signal: RawSignal,
    info: UserPtr<SigInfo>,
) -> Result<()> {
    let info = read_info(task, info, signal, tgid)?;
    let group = task.kernel().pids.group_of(tgid).ok_or(Errno::ESRCH)?;
    send_to_group(task, &group, tgid, signal, |_, _| info)
}

/// `rt_tgsigqueueinfo(2)`.
///
/// # Errors
///
/// As `tgkill`; `EPERM` also for a faked `si_code`; `EAGAIN`: too many signals are queued.
pub(crate) fn sys_rt_tgsigqueueinfo(
    task: &CurrentTask<'_>,
    tgid: i32,
    tid: i32,
    signal: RawSignal,
    info: UserPtr<SigInfo>,
) -> Result<()> {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = read_info(task, info, signal, tid)?;
    send_to_task(task, Some(tgid), tid, signal, |_, _| info)
}

/// `rt_sigaction(2)`.
///
/// # Errors
///
/// - `EINVAL`: no such signal, one that cannot be caught, or another size of `sigset_t`.
/// - `EFAULT`.
pub(crate) fn sys_rt_sigaction(
    task: &CurrentTask<'_>,
    signal: RawSignal,
    act: UserPtr<KernelSigAction>,
    oldact: UserPtr<KernelSigAction>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let new = task.memory().read_unless_null(act)?;
    let signal = signal.check()?.ok_or(Errno::EINVAL)?;
    let old = match new {
        Some(_) if SigSet::UNBLOCKABLE.contains(signal) => return Err(Errno::EINVAL.into()),
        Some(mut new) => {
            new.mask = new.mask.difference(SigSet::UNBLOCKABLE);
            new.flags = new.known_flags().bits();
            signal::set_action(task, signal, new)
        }
        None => task.group().with_actions(|actions| actions.get(signal)),
    };
    task.memory().write_unless_null(oldact, &old)
}

/// `rt_sigprocmask(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown operation, or another size of `sigset_t`.
/// - `EFAULT`.
pub(crate) fn sys_rt_sigprocmask(
    task: &CurrentTask<'_>,
    how: SigMaskHow,
    set: UserPtr<SigSet>,
    oldset: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let old = task.task().signals().blocked();
    if let Some(set) = task.memory().read_unless_null(set)? {
        let new = match how {
            SigMaskHow::SIG_BLOCK => old.union(set),
            SigMaskHow::SIG_UNBLOCK => old.difference(set),
            SigMaskHow::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        signal::change_mask(task, new);
    }
    task.memory().write_unless_null(oldset, &old)
}

/// `rt_sigpending(2)`.
///
/// # Errors
///
/// - `EINVAL`: a longer `sigset_t`.
/// - `EFAULT`.
pub(crate) fn sys_rt_sigpending(
    task: &CurrentTask<'_>,
    set: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    if size > SigSet::SIZE {
        return Err(Errno::EINVAL.into());
    }
    let signals = task.task().signals();
    let pending = signals.pending().set().union(task.group().pending().set());
    let blocked = pending.intersection(signals.blocked()).0.to_le_bytes();
    task.memory().write_bytes(set.addr(), blocked.get(..size).unwrap_or_default())
}

/// `rt_sigsuspend(2)`.
///
/// # Errors
///
/// - `EINTR`: a handler has run.
/// - `EINVAL`: another size of `sigset_t`.
/// - `EFAULT`.
pub(crate) fn sys_rt_sigsuspend(
    task: &CurrentTask<'_>,
    set: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    check_set_size(size)?;
    let set = task.memory().read(set)?;
    signal::suspend(task, set)
}

/// `rt_sigtimedwait(2)`.
///
/// # Errors
///
/// - `EAGAIN`: the time is over.
/// - `EINTR`: a handler for another signal has run.
/// - `EINVAL`: a bad time, or another size of `sigset_t`.
/// - `EFAULT`.
pub(crate) fn sys_rt_sigtimedwait(
    task: &CurrentTask<'_>,
    set: UserPtr<SigSet>,
    info: UserPtr<SigInfo>,
    timeout: UserPtr<Timespec>,
    size: usize,
) -> Result<i32> {
    check_set_size(size)?;
    let set = task.memory().read(set)?;
    let deadline = match task.memory().read_unless_null(timeout)? {
        Some(timeout) => Some(task.host().monotonic().saturating_add(timeout.to_nanos()?)),
        None => None,
    };
    let taken = signal::timed_wait(task, set, deadline)?;
    task.memory().write_unless_null(info, &taken)?;
    Ok(taken.si_signo)
}

/// `rt_sigreturn(2)`: the result is whatever was in `rax` when the signal arrived.
pub(crate) fn sys_rt_sigreturn(task: &CurrentTask<'_>) -> Result<u64> {
    Ok(signal::sigreturn(task))
}

/// `sigaltstack(2)`.
///
/// # Errors
///
/// - `EPERM`: the caller runs on the alternate stack.
/// - `EINVAL`: bad flags.
/// - `ENOMEM`: it is too small.
/// - `EFAULT`.
pub(crate) fn sys_sigaltstack(
    task: &CurrentTask<'_>,
    stack: UserPtr<StackT>,
    old: UserPtr<StackT>,
) -> Result<()> {
    let new = task.memory().read_unless_null(stack)?;
    let before = signal::set_alternate_stack(task.task().signals(), new.as_ref(), task.regs().rsp)?;
    task.memory().write_unless_null(old, &before)
}

/// `pause(2)`.
///
/// # Errors
///
/// - `EINTR`: a handler has run.
pub(crate) fn sys_pause(task: &CurrentTask<'_>) -> Result<()> {
    let never = || None::<()>;
    match task.task().waiter().wait_for(None, || 0, true, never) {
        Ok(()) | Err(_) => Err(SysError::RestartNoHandler),
    }
}
