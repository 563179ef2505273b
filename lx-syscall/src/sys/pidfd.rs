//! Descriptors of processes: `pidfd_open(2)`, `pidfd_send_signal(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::{Errno, Fd, RawSignal, UserPtr};
use lx_core::rlimit::Resource;
use lx_core::unsupported;
use lx_proc::CurrentTask;
use lx_proc::pidfd::PidFile;

use super::signal;

/// `PIDFD_SIGNAL_THREAD_GROUP`, which is the default.
const SIGNAL_THREAD_GROUP: u32 = 2;

/// `pidfd_open(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown flag, or the id is not that of a process.
/// - `ESRCH`: no such process.
/// - `EMFILE`: no descriptor is free.
pub(crate) fn sys_pidfd_open(task: &CurrentTask<'_>, pid: i32, flags: u32) -> Result<Fd> {
    let flags = OpenFlags::from_bits_retain(flags);
    let unknown = flags - OpenFlags::O_NONBLOCK;
    if !unknown.is_empty() {
        unsupported::note("pidfd_open flags", unknown.bits().into());
        return Err(Errno::EINVAL.into());
    }
    if pid <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let pids = &task.kernel().pids;
    let group = match pids.group(pid) {
        Some(group) => group,
        None if pids.task(pid).is_some() => return Err(Errno::EINVAL.into()),
        None => return Err(Errno::ESRCH.into()),
    };
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, true)?;
    Ok(fd.install(PidFile::open(&group, flags)))
}

/// `pidfd_send_signal(2)`.
///
/// # Errors
///
/// - `EBADF`: no pidfd.
/// - `EINVAL`: an unknown flag, no such signal, or `info` is for another one.
/// - `EPERM`: the caller may not.
/// - `ESRCH`: the process has been waited for.
/// - `EFAULT`.
pub(crate) fn sys_pidfd_send_signal(
    task: &CurrentTask<'_>,
    pidfd: Fd,
    signal: RawSignal,
    info: UserPtr<SigInfo>,
    flags: u32,
) -> Result<()> {
    if flags & !SIGNAL_THREAD_GROUP != 0 {
        unsupported::note("pidfd_send_signal flags", flags.into());
        return Err(Errno::EINVAL.into());
    }
    let file = task.files().get(pidfd)?;
    let group = PidFile::group_of(&file)?;
    let exists = task.kernel().pids.group(group.tgid());
    let known = exists.is_some_and(|found| Arc::ptr_eq(&found, group));
    let info = match info.is_null() {
        true => None,
        false => {
            if task.memory().read::<i32>(info.cast())? != signal.0 {
                return Err(Errno::EINVAL.into());
            }
            Some(signal::read_info(task, info, signal, group.tgid())?)
        }
    };
    if !known {
        return Err(Errno::ESRCH.into());
    }
    signal::send_to_group(task, group, group.tgid(), signal, |task, signal| {
        info.unwrap_or_else(|| signal::kill_info(task, signal))
    })
}
