//! Process groups and sessions, `setpgid(2)`, `setsid(2)`, `credentials(7)`.

use lx_core::abi::Errno;
use lx_core::error::Result;

use crate::current::CurrentTask;
use crate::kernel::Kernel;
use crate::pid::Tree;
use crate::thread_group::ThreadGroup;

/// Internal init: parent of all that have lost theirs.
pub const INIT_TGID: i32 = 1;

/// `setpgid(2)`; 0 stands for the caller, and for the process itself as group.
///
/// # Errors
/// `EINVAL` for a negative group or a thread that is no leader, `ESRCH` if the process is neither
/// the caller nor its child, `EACCES` if the child has called `execve`, `EPERM` if sessions forbid
/// it.
pub fn setpgid(current: &CurrentTask<'_>, pid: i32, pgid: i32) -> Result<()> {
    let caller = current.group();
    let pid = if pid == 0 { caller.tgid() } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut tree = current.kernel().pids.lock();
    let Some(group) = tree.group(pid).cloned() else {
        let is_thread = tree.task(pid).is_some();
        return Err(if is_thread { Errno::EINVAL } else { Errno::ESRCH }.into());
    };
    if group.tgid() != caller.tgid() {
        if group.parent_tgid() != caller.tgid() {
            return Err(Errno::ESRCH.into());
        }
        if group.sid() != caller.sid() {
            return Err(Errno::EPERM.into());
        }
        if group.has_execed() {
            return Err(Errno::EACCES.into());
        }
    }
    if group.is_session_leader() {
        return Err(Errno::EPERM.into());
    }
    if pgid != pid && !tree.members(pgid).any(|member| member.sid() == caller.sid()) {
        return Err(Errno::EPERM.into());
    }
    if group.pgid() != pgid {
        tree.move_to_process_group(&group, pgid);
    }
    Ok(())
}

/// `getpgid(2)`; 0 stands for the caller.
///
/// # Errors
/// `ESRCH`.
pub fn getpgid(current: &CurrentTask<'_>, pid: i32) -> Result<i32> {
    if pid == 0 {
        return Ok(current.group().pgid());
    }
    Ok(current.kernel().pids.group_of(pid).ok_or(Errno::ESRCH)?.pgid())
}

/// `getsid(2)`; 0 stands for the caller.
///
/// # Errors
/// `ESRCH`.
pub fn getsid(current: &CurrentTask<'_>, pid: i32) -> Result<i32> {
    if pid == 0 {
        return Ok(current.group().sid());
    }
    Ok(current.kernel().pids.group_of(pid).ok_or(Errno::ESRCH)?.sid())
}

/// `setsid(2)`: the caller leads a new session and a new process group.
///
/// # Errors
/// `EPERM` if a process group has its id.
pub fn setsid(current: &CurrentTask<'_>) -> Result<i32> {
    let group = current.group();
    let mut tree = current.kernel().pids.lock();
    if group.is_session_leader() || tree.members(group.tgid()).next().is_some() {
        return Err(Errno::EPERM.into());
    }
    tree.start_session(group);
    Ok(group.sid())
}

/// Whether no member of the process group has a parent that could continue it: one in the same
/// session, but in another group.
pub fn is_orphaned(kernel: &Kernel, pgid: i32) -> bool {
    is_orphaned_without(&kernel.pids.lock(), pgid, None)
}

/// As [`is_orphaned`], after `leaving` has ended.
pub(crate) fn is_orphaned_without(tree: &Tree, pgid: i32, leaving: Option<&ThreadGroup>) -> bool {
    !tree.members(pgid).any(|member| {
        if leaving.is_some_and(|leaving| leaving.tgid() == member.tgid()) || member.is_zombie() {
            return false;
        }
        match tree.group(member.parent_tgid()) {
            Some(parent) if parent.tgid() != INIT_TGID => {
                parent.pgid() != pgid && parent.sid() == member.sid()
            }
            _ => false,
        }
    })
}

/// Whether a member of the process group is stopped, and not by now about to end.
pub(crate) fn has_stopped(tree: &Tree, pgid: i32) -> bool {
    tree.members(pgid).any(|member| member.job().is_stopped() && !member.is_exiting())
}
