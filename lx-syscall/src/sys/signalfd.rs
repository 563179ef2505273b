//! `signalfd(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::signal::SignalfdFlags;
use lx_core::abi::{Errno, Fd, SigSet, UserPtr};
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_proc::signal::SignalFile;

/// `signalfd(2)` without flags.
///
/// # Errors
///
/// As `signalfd4`.
pub(crate) fn sys_signalfd(
    task: &CurrentTask<'_>,
    fd: Fd,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<Fd> {
    sys_signalfd4(task, fd, mask, size, SignalfdFlags::empty())
}

/// `signalfd4(2)`: a new signalfd if `fd` is -1, else another mask for an old one.
///
/// # Errors
///
/// - `EINVAL`: an unknown flag, another size of `sigset_t`, or `fd` is no signalfd.
/// - `EBADF`: `fd` is not open.
/// - `EMFILE`: no descriptor is free.
/// - `EFAULT`.
pub(crate) fn sys_signalfd4(
    task: &CurrentTask<'_>,
    fd: Fd,
    mask: UserPtr<SigSet>,
    size: usize,
    flags: SignalfdFlags,
) -> Result<Fd> {
    if size != SigSet::SIZE {
        return Err(Errno::EINVAL.into());
    }
    let mask = task.memory().read(mask)?;
    if fd.0 != -1 {
        let file = task.files().get(fd)?;
        let signals = file.ops_as::<SignalFile>().ok_or(Errno::EINVAL)?;
        signals.set_mask(mask);
        return Ok(fd);
    }
    let status = if flags.contains(SignalfdFlags::SFD_NONBLOCK) {
        OpenFlags::O_NONBLOCK
    } else {
        OpenFlags::empty()
    };
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, flags.contains(SignalfdFlags::SFD_CLOEXEC))?;
    Ok(fd.install(SignalFile::open(task.kernel(), mask, status)))
}
