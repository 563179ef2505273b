//! Ids of processes, users and groups: `getpid(2)`, `getuid(2)`, `setpgid(2)` and relatives.

use lx_core::Result;
use lx_proc::CurrentTask;

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

/// `getuid(2)`.
pub(crate) fn sys_getuid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().uid)
}

/// `geteuid(2)`.
pub(crate) fn sys_geteuid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().euid)
}

/// `getgid(2)`.
pub(crate) fn sys_getgid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().gid)
}

/// `getegid(2)`.
pub(crate) fn sys_getegid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().egid)
}
