//! Opening files by path: `open(2)`, `openat(2)`, `creat(2)`, `openat2(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::{OpenFlags, OpenHow as RawOpenHow, ResolveFlags};
use lx_core::abi::stat::{FileMode, S_IALLUGO};
use lx_core::abi::{DirFd, Errno, Fd, UserCStr, UserPtr};
use lx_core::rlimit::Resource;
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_proc::mm::files_resized;
use lx_vfs::open::OpenHow;

use super::at;

/// `open(2)`.
pub(crate) fn sys_open(
    task: &CurrentTask<'_>,
    path: UserCStr,
    flags: OpenFlags,
    mode: FileMode,
) -> Result<Fd> {
    sys_openat(task, DirFd::AT_FDCWD, path, flags, mode)
}

/// `creat(2)`.
pub(crate) fn sys_creat(task: &CurrentTask<'_>, path: UserCStr, mode: FileMode) -> Result<Fd> {
    let flags = OpenFlags::O_CREAT | OpenFlags::O_WRONLY | OpenFlags::O_TRUNC;
    sys_openat(task, DirFd::AT_FDCWD, path, flags, mode)
}

/// `openat(2)`.
pub(crate) fn sys_openat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: OpenFlags,
    mode: FileMode,
) -> Result<Fd> {
    let how = OpenHow::new(flags, mode.permissions(), ResolveFlags::empty())?;
    open(task, dirfd, path, &how)
}

/// `openat2(2)`: what `openat` drops is an error here.
pub(crate) fn sys_openat2(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    how: UserPtr<RawOpenHow>,
    size: usize,
) -> Result<Fd> {
    let raw = at::read_extensible(task, how, size)?;
    // Only the lower half has flags; a bit above it is unknown like any other.
    let flags = u32::try_from(raw.flags).ok().and_then(OpenFlags::from_bits);
    let flags = flags.ok_or(Errno::EINVAL)?;
    let resolve = ResolveFlags::from_bits(raw.resolve).ok_or(Errno::EINVAL)?;
    if resolve.contains(ResolveFlags::RESOLVE_BENEATH | ResolveFlags::RESOLVE_IN_ROOT) {
        return Err(Errno::EINVAL.into());
    }
    let creates = flags.intersects(OpenFlags::O_CREAT) || flags.contains(OpenFlags::O_TMPFILE);
    let permitted = if creates { S_IALLUGO } else { 0 };
    if raw.mode & !u64::from(permitted) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path_flags =
        OpenFlags::O_PATH | OpenFlags::O_DIRECTORY | OpenFlags::O_NOFOLLOW | OpenFlags::O_CLOEXEC;
    if flags.contains(OpenFlags::O_PATH) && !path_flags.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let how = OpenHow::new(flags, raw.mode as u32, resolve)?;
    if resolve.contains(ResolveFlags::RESOLVE_CACHED) {
        // "Not in the cache" is what Linux may answer at any time; callers then ask without it.
        return Err(Errno::EAGAIN.into());
    }
    open(task, dirfd, path, &how)
}

fn open(task: &CurrentTask<'_>, dirfd: DirFd, path: UserCStr, how: &OpenHow) -> Result<Fd> {
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    // Before the file is made: without a free number nothing may happen.
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let cloexec = how.flags.contains(OpenFlags::O_CLOEXEC);
    let fd = task.files().reserve(0, limit, cloexec)?;
    let start = if how.resolve.contains(ResolveFlags::RESOLVE_IN_ROOT) {
        at::start_of_any(task, dirfd)?
    } else {
        at::start(task, dirfd, path)?
    };
    let file = task.fs().open(&task.caller(), start.path()?, path, how)?;
    if how.flags.contains(OpenFlags::O_TRUNC) {
        files_resized(task);
    }
    Ok(fd.install(file))
}
