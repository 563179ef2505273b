//! Ids of processes, process groups and sessions: `getpid(2)`, `setpgid(2)`, `setsid(2)`.

use lx_core::Result;
use lx_proc::{CurrentTask, session};

/// `getpid(2)`: the thread group id.
pub(crate) fn sys_getpid(task: &CurrentTask<'_>) -> Result<i32> {
    Ok(task.task().tgid())
}

/// `gettid(2)`.
pub(crate) fn sys_gettid(task: &CurrentTask<'_>) -> Result<i32> {
    Ok(task.task().tid())
}

/// `getppid(2)`: 0 for a process whose parent is outside of its view.
pub(crate) fn sys_getppid(task: &CurrentTask<'_>) -> Result<i32> {
    Ok(task.group().parent_tgid())
}

/// `getpgrp(2)`.
pub(crate) fn sys_getpgrp(task: &CurrentTask<'_>) -> Result<i32> {
    Ok(task.group().pgid())
}

/// `getpgid(2)`.
///
/// # Errors
///
/// - `ESRCH`: no such process.
pub(crate) fn sys_getpgid(task: &CurrentTask<'_>, pid: i32) -> Result<i32> {
    session::getpgid(task, pid)
}

/// `setpgid(2)`.
///
/// # Errors
///
/// - `EINVAL`: a negative process group.
/// - `ESRCH`: neither the caller nor one of its children.
/// - `EACCES`: the child has called `execve`.
/// - `EPERM`: a session leader, or a process group of another session.
pub(crate) fn sys_setpgid(task: &CurrentTask<'_>, pid: i32, pgid: i32) -> Result<()> {
    session::setpgid(task, pid, pgid)
}

/// `getsid(2)`.
///
/// # Errors
///
/// - `ESRCH`: no such process.
pub(crate) fn sys_getsid(task: &CurrentTask<'_>, pid: i32) -> Result<i32> {
    session::getsid(task, pid)
}

/// `setsid(2)`.
///
/// # Errors
///
/// - `EPERM`: the caller leads a process group.
pub(crate) fn sys_setsid(task: &CurrentTask<'_>) -> Result<i32> {
    session::setsid(task)
}
