//! `quotactl(2)` and `quotactl_fd(2)`: no file system of lx has quotas, and none has a block device.

use lx_core::Result;
use lx_core::abi::stat::FileType;
use lx_core::abi::{DirFd, Errno, Fd, UserCStr};
use lx_proc::CurrentTask;
use lx_vfs::path::Lookup;

use super::at;

/// The command, without the kind of quota, that writes quotas to disk.
const Q_SYNC: u32 = 0x0080_0001;
/// Users, groups, projects.
const KINDS: u32 = 3;

/// `EINVAL` for a command of no kind of quota, which is its lowest byte.
fn check_kind(command: u32) -> Result<()> {
    if command & 0xff < KINDS { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

/// `quotactl(2)`: writing all quotas to disk is done at once, as there are none.
///
/// # Errors
/// `EINVAL` for an unknown kind of quota; `ENOTBLK` if the file is no block device, `ENODEV` if no
/// file system is mounted from it, or there is no file; else as `path_resolution(7)`.
pub(crate) fn sys_quotactl(
    task: &CurrentTask<'_>,
    command: u32,
    device: UserCStr,
    _id: u32,
    _data: u64,
) -> Result<()> {
    check_kind(command)?;
    if device.is_null() {
        return if command >> 8 == Q_SYNC { Ok(()) } else { Err(Errno::ENODEV.into()) };
    }
    let place = at::lookup(task, DirFd::AT_FDCWD, device, Lookup::FOLLOW)?;
    let is_device = place.dentry.file_type() == FileType::BlockDevice;
    Err(if is_device { Errno::ENODEV } else { Errno::ENOTBLK }.into())
}

/// `quotactl_fd(2)`.
///
/// # Errors
/// `EBADF`; `EINVAL` for an unknown kind of quota; `ENOSYS`, as of all file systems without quotas.
pub(crate) fn sys_quotactl_fd(
    task: &CurrentTask<'_>,
    fd: Fd,
    command: u32,
    _id: u32,
    _data: u64,
) -> Result<()> {
    task.files().get_any(fd)?;
    check_kind(command)?;
    Err(Errno::ENOSYS.into())
}
