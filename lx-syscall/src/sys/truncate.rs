//! Lengths of files: `truncate(2)`, `ftruncate(2)`, `fallocate(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::FallocateFlags;
use lx_core::abi::{DirFd, Errno, Fd, UserCStr};
use lx_proc::CurrentTask;
use lx_proc::mm::files_resized;
use lx_vfs::attr;
use lx_vfs::path::Lookup;

use super::at;
use super::io::raise_for_write;

/// `truncate(2)`.
pub(crate) fn sys_truncate(task: &CurrentTask<'_>, path: UserCStr, len: i64) -> Result<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let place = at::lookup(task, DirFd::AT_FDCWD, path, Lookup::FOLLOW)?;
    raise_for_write(task, attr::truncate(&task.caller(), &place, len))?;
    files_resized(task);
    Ok(())
}

/// `ftruncate(2)`.
pub(crate) fn sys_ftruncate(task: &CurrentTask<'_>, fd: Fd, len: i64) -> Result<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = task.files().get(fd)?;
    raise_for_write(task, attr::truncate_open(&task.caller(), &file, len))?;
    files_resized(task);
    Ok(())
}

/// `fallocate(2)`.
pub(crate) fn sys_fallocate(
    task: &CurrentTask<'_>,
    fd: Fd,
    mode: FallocateFlags,
    offset: i64,
    len: i64,
) -> Result<()> {
    let file = task.files().get(fd)?;
    let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let len = u64::try_from(len).ok().filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    check_mode(mode)?;
    raise_for_write(task, attr::allocate(&task.caller(), &file, mode.bits(), offset, len))?;
    files_resized(task);
    Ok(())
}

/// One operation at a time, and the size kept or changed as the operation wants it.
fn check_mode(mode: FallocateFlags) -> Result<()> {
    let keep_size = mode.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE);
    let operation = mode - FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let allowed = if operation == FallocateFlags::FALLOC_FL_PUNCH_HOLE {
        keep_size
    } else if operation == FallocateFlags::FALLOC_FL_COLLAPSE_RANGE
        || operation == FallocateFlags::FALLOC_FL_INSERT_RANGE
        || operation == FallocateFlags::FALLOC_FL_WRITE_ZEROES
    {
        !keep_size
    } else {
        operation.is_empty()
            || operation == FallocateFlags::FALLOC_FL_ZERO_RANGE
            || operation == FallocateFlags::FALLOC_FL_UNSHARE_RANGE
    };
    if allowed { Ok(()) } else { Err(Errno::EOPNOTSUPP.into()) }
}
