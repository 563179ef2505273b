//! `execve(2)`, `execveat(2)`.

use alloc::format;

use lx_core::Result;
use lx_core::abi::fcntl::AtFlags;
use lx_core::abi::{DirFd, Errno, UserCStr, UserPtr};
use lx_core::user_memory::PathBuffer;
use lx_proc::exec::{self, ExecTarget, Strings};
use lx_proc::{CurrentTask, clone};
use lx_vfs::path::Lookup;

use super::at;

/// `execve(2)`.
///
/// # Errors
/// As [`clone::check_task_limit_of_exec`], [`exec::prepare`] and [`exec::execute`].
pub(crate) fn sys_execve(
    task: &CurrentTask<'_>,
    path: UserCStr,
    argv: UserPtr<u64>,
    envp: UserPtr<u64>,
) -> Result<()> {
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    let target =
        ExecTarget { start: None, path, lookup: Lookup::FOLLOW, name: path, unreachable: false };
    execute(task, &target, argv, envp)
}

/// `execveat(2)`.
///
/// # Errors
/// `EINVAL` for other flags than `AT_EMPTY_PATH` and `AT_SYMLINK_NOFOLLOW`, else as `execve(2)`.
pub(crate) fn sys_execveat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    argv: UserPtr<u64>,
    envp: UserPtr<u64>,
    flags: AtFlags,
) -> Result<()> {
    if !(AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = PathBuffer::new();
    let path: &[u8] = match flags.contains(AtFlags::AT_EMPTY_PATH) {
        true => task.memory().read_path(path, &mut buffer)?,
        false => at::read_path(task, path, &mut buffer)?,
    };
    let start = at::start(task, dirfd, path)?;
    let mut target = ExecTarget {
        start: start.path()?,
        path,
        lookup: at::follow_unless_told(flags),
        name: path,
        unreachable: false,
    };
    // The program sees a descriptor as a path below /dev/fd.
    let name;
    if let Some(fd) = dirfd.fd()
        && path.first() != Some(&b'/')
    {
        let prefix = format!("/dev/fd/{fd}");
        let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
        name = [prefix.as_bytes(), slash, path].concat();
        target.name = &name;
        target.unreachable = task.files().cloexec(fd)?;
    }
    execute(task, &target, argv, envp)
}

fn execute(
    task: &CurrentTask<'_>,
    target: &ExecTarget<'_>,
    argv: UserPtr<u64>,
    envp: UserPtr<u64>,
) -> Result<()> {
    clone::check_task_limit_of_exec(task)?;
    let args = Strings::Guest(task.memory(), argv);
    let env = Strings::Guest(task.memory(), envp);
    let no_new_privs = task.task().no_new_privs();
    let image = exec::prepare(&task.caller(), task.fs(), no_new_privs, target, args, env)?;
    exec::execute(task, image)
}
