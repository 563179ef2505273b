//! Making, ending and waiting for processes: `fork(2)`, `clone(2)`, `exit(2)`, `wait4(2)`,
//! `waitid(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::resource::Rusage;
use lx_core::abi::sched::{CLONE_ARGS_SIZE_VER0, CloneArgs, CloneFlags};
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::time::Timeval;
use lx_core::abi::wait::{IdType, WaitOptions, WaitStatus};
use lx_core::abi::{Errno, Fd, PAGE_SIZE, Signal, USER_END, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::host::Nanos;
use lx_core::unsupported;
use lx_proc::clone::{self, CloneRequest};
use lx_proc::pidfd::PidFile;
use lx_proc::wait::{self, Change, Selector};
use lx_proc::{CurrentTask, exit, task_exec};
use zerocopy::IntoBytes;

/// How deep namespaces of ids may be nested, and so how many ids a task may have.
const MAX_PID_NAMESPACES: u64 = 32;

/// `fork(2)`.
pub(crate) fn sys_fork(task: &CurrentTask<'_>) -> Result<i32> {
    clone::clone(task, &CloneRequest::fork())
}

/// `vfork(2)`.
pub(crate) fn sys_vfork(task: &CurrentTask<'_>) -> Result<i32> {
    clone::clone(task, &CloneRequest::vfork())
}

/// `clone(2)` with the argument order of x86-64.
pub(crate) fn sys_clone(
    task: &CurrentTask<'_>,
    flags: u64,
    stack: u64,
    parent_tid: UserPtr<i32>,
    child_tid: UserPtr<i32>,
    tls: u64,
) -> Result<i32> {
    let (flags, exit_signal) = CloneFlags::from_clone_arg(flags);
    // Both use the same pointer.
    if flags.contains(CloneFlags::CLONE_PIDFD | CloneFlags::CLONE_PARENT_SETTID) {
        return Err(Errno::EINVAL.into());
    }
    let request = CloneRequest {
        flags,
        exit_signal: exit_signal.0,
        stack,
        parent_tid: parent_tid.addr(),
        child_tid: child_tid.addr(),
        tls,
        pidfd: parent_tid.addr(),
    };
    clone::clone(task, &request)
}

/// `clone3(2)`.
///
/// # Errors
///
/// - `E2BIG`: the structure is longer than a page, or has fields that are not known here.
/// - `EINVAL`: it is shorter than its first version, or a field is out of range.
/// - `EPERM`: `set_tid`, which only checkpointing programs may use.
pub(crate) fn sys_clone3(
    task: &CurrentTask<'_>,
    args: UserPtr<CloneArgs>,
    size: u64,
) -> Result<i32> {
    let args = read_clone_args(task, args, size)?;
    let flags = CloneFlags::from_bits(args.flags).ok_or(Errno::EINVAL)?;
    let exit_signal = i32::try_from(args.exit_signal).map_err(|_| Errno::EINVAL)?;
    if exit_signal != 0 && Signal::new(exit_signal).is_none() {
        return Err(Errno::EINVAL.into());
    }
    let sibling = CloneFlags::CLONE_THREAD | CloneFlags::CLONE_PARENT;
    if flags.intersects(sibling) && exit_signal != 0
        || flags.contains(CloneFlags::CLONE_DETACHED)
        || (args.stack == 0) != (args.stack_size == 0)
    {
        return Err(Errno::EINVAL.into());
    }
    if args.set_tid_size > MAX_PID_NAMESPACES || (args.set_tid == 0) != (args.set_tid_size == 0) {
        return Err(Errno::EINVAL.into());
    }
    if args.set_tid != 0 {
        unsupported::note("clone3 set_tid", args.set_tid_size);
        return Err(Errno::EPERM.into());
    }
    let stack = args.stack.checked_add(args.stack_size).filter(|&top| top <= USER_END);
    let request = CloneRequest {
        flags,
        exit_signal,
        stack: stack.ok_or(Errno::EINVAL)?,
        parent_tid: args.parent_tid,
        child_tid: args.child_tid,
        tls: args.tls,
        pidfd: args.pidfd,
    };
    clone::clone(task, &request)
}

fn read_clone_args(
    task: &CurrentTask<'_>,
    args: UserPtr<CloneArgs>,
    size: u64,
) -> Result<CloneArgs> {
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    if size < CLONE_ARGS_SIZE_VER0 {
        return Err(Errno::EINVAL.into());
    }
    let memory = task.memory();
    let known = size_of::<CloneArgs>();
    let mut copy = CloneArgs::default();
    let len = known.min(size as usize);
    memory.read_bytes(args.addr(), copy.as_mut_bytes().get_mut(..len).unwrap_or_default())?;
    // What is not known here must not be used.
    let mut at = known as u64;
    while at < size {
        let byte: u8 = memory.read(args.byte_offset(at)?.cast())?;
        if byte != 0 {
            return Err(Errno::E2BIG.into());
        }
        at += 1;
    }
    Ok(copy)
}

/// `unshare(2)`: descriptors and working directory. What a process with one thread does not share
/// anyway is accepted.
///
/// # Errors
///
/// - `EINVAL`: an unknown flag, a namespace, or memory or dispositions that threads share.
/// - `EPERM`: a namespace, without `CAP_SYS_ADMIN`.
pub(crate) fn sys_unshare(task: &CurrentTask<'_>, flags: CloneFlags) -> Result<()> {
    let own = CloneFlags::CLONE_FILES | CloneFlags::CLONE_FS | CloneFlags::CLONE_SYSVSEM;
    let alone = CloneFlags::CLONE_THREAD | CloneFlags::CLONE_SIGHAND | CloneFlags::CLONE_VM;
    if flags.intersects(CloneFlags::NAMESPACES) {
        unsupported::note("unshare flags", flags.bits());
        let privileged = task.cred().has(Capabilities::SYS_ADMIN);
        return Err(if privileged { Errno::EINVAL } else { Errno::EPERM }.into());
    }
    let shares =
        flags.intersects(alone) && (task.group().task_count() > 1 || task.group().borrows_memory());
    if shares || !(own | alone).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(CloneFlags::CLONE_SYSVSEM) {
        task.task().leave_undo_list();
    }
    if flags.contains(CloneFlags::CLONE_FS) {
        task.task().set_fs(Arc::new(task.fs().duplicate()));
    }
    if flags.contains(CloneFlags::CLONE_FILES) {
        task_exec::unshare_files(task);
    }
    Ok(())
}

/// `restart_syscall(2)`: nothing is ever waiting to be restarted this way.
///
/// # Errors
///
/// - `EINTR`, always.
pub(crate) fn sys_restart_syscall(_task: &CurrentTask<'_>) -> Result<()> {
    Err(Errno::EINTR.into())
}

/// `exit(2)`: ends the calling thread.
pub(crate) fn sys_exit(task: &CurrentTask<'_>, status: i32) -> Result<()> {
    exit::exit_task(task, status);
    Ok(())
}

/// `exit_group(2)`: ends the process.
pub(crate) fn sys_exit_group(task: &CurrentTask<'_>, status: i32) -> Result<()> {
    exit::exit_group(task, WaitStatus::exited(status));
    Ok(())
}

/// `set_tid_address(2)`.
pub(crate) fn sys_set_tid_address(task: &CurrentTask<'_>, tidptr: UserPtr<i32>) -> Result<i32> {
    task.task().set_clear_child_tid(tidptr.addr());
    Ok(task.task().tid())
}

fn usage(cpu: Nanos) -> Rusage {
    Rusage { ru_utime: Timeval::from_nanos(cpu), ..Rusage::default() }
}

/// `wait4(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown option.
/// - `ESRCH`: `pid` is the smallest integer.
/// - `ECHILD`: no such child.
pub(crate) fn sys_wait4(
    task: &CurrentTask<'_>,
    pid: i32,
    status: UserPtr<u32>,
    options: WaitOptions,
    rusage: UserPtr<Rusage>,
) -> Result<i32> {
    if !WaitOptions::WAIT4.contains(options) {
        return Err(Errno::EINVAL.into());
    }
    let selector = match pid {
        i32::MIN => return Err(Errno::ESRCH.into()),
        -1 => Selector::Any,
        0 => Selector::ProcessGroup(task.group().pgid()),
        1.. => Selector::Pid(pid),
        _ => Selector::ProcessGroup(pid.wrapping_neg()),
    };
    let Some(change) = wait::wait(task, selector, options | WaitOptions::WEXITED)? else {
        return Ok(0);
    };
    task.memory().write_unless_null(status, &change.status.0)?;
    task.memory().write_unless_null(rusage, &usage(change.cpu))?;
    Ok(change.pid)
}

/// `waitid(2)`.
///
/// # Errors
///
/// - `EINVAL`: nothing or something unknown to wait for, a bad id.
/// - `EBADF`: a descriptor that names no process.
/// - `ECHILD`: no such child.
pub(crate) fn sys_waitid(
    task: &CurrentTask<'_>,
    which: IdType,
    id: i32,
    info: UserPtr<SigInfo>,
    options: WaitOptions,
    rusage: UserPtr<Rusage>,
) -> Result<()> {
    let result = wait_by_id(task, which, id, options);
    let memory = task.memory();
    if let Ok(Some(change)) = &result {
        memory.write_unless_null(rusage, &usage(change.cpu))?;
    }
    if !info.is_null() {
        // Linux stores these fields even if the call fails, and no others.
        let change = result.as_ref().ok().and_then(Option::as_ref);
        let (head, fields) = child_fields(change);
        memory.write(info.cast(), &head)?;
        memory.write(info.byte_offset(16)?.cast(), &fields)?;
    }
    result.map(|_| ())
}

/// The change that `waitid(2)` finds.
fn wait_by_id(
    task: &CurrentTask<'_>,
    which: IdType,
    id: i32,
    options: WaitOptions,
) -> Result<Option<Change>> {
    let states = WaitOptions::WEXITED | WaitOptions::WUNTRACED | WaitOptions::WCONTINUED;
    if !options.intersects(states) || !WaitOptions::all().contains(options) {
        return Err(Errno::EINVAL.into());
    }
    let mut nonblocking = WaitOptions::empty();
    let selector = match which {
        IdType::P_ALL => Selector::Any,
        IdType::P_PID if id > 0 => Selector::Pid(id),
        IdType::P_PGID if id == 0 => Selector::ProcessGroup(task.group().pgid()),
        IdType::P_PGID if id > 0 => Selector::ProcessGroup(id),
        IdType::P_PIDFD if id >= 0 => {
            let file = task.files().get(Fd(id))?;
            if file.is_nonblocking() {
                nonblocking = WaitOptions::WNOHANG - options;
            }
            Selector::Pid(PidFile::group_of(&file)?.tgid())
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let result = wait::wait(task, selector, options | nonblocking);
    if result == Ok(None) && !nonblocking.is_empty() {
        return Err(Errno::EAGAIN.into());
    }
    result
}

/// `si_signo`, `si_errno`, `si_code`; `si_pid`, `si_uid`, `si_status`.
fn child_fields(change: Option<&Change>) -> ([i32; 3], [i32; 3]) {
    let Some(change) = change else { return ([0; 3], [0; 3]) };
    let (code, status) = change.code();
    let head = [Signal::SIGCHLD.number(), 0, code];
    (head, [change.pid, change.uid.cast_signed(), status])
}

#[cfg(test)]
mod tests {
    use super::child_fields;
    use lx_core::abi::Signal;
    use lx_core::abi::siginfo::{CLD_EXITED, CLD_STOPPED};
    use lx_core::abi::wait::WaitStatus;
    use lx_proc::wait::Change;

    #[test]
    fn what_waitid_stores() {
        let exited = Change { pid: 7, uid: 1, status: WaitStatus::exited(3), cpu: 0 };
        assert_eq!(child_fields(Some(&exited)), ([17, 0, CLD_EXITED], [7, 1, 3]));
        let stopped = Change { status: WaitStatus::stopped(Signal::SIGSTOP), ..exited };
        assert_eq!(child_fields(Some(&stopped)), ([17, 0, CLD_STOPPED], [7, 1, 19]));
        assert_eq!(child_fields(None), ([0; 3], [0; 3]));
    }
}
