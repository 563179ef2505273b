//! Making, removing and moving names: `mkdir(2)`, `mknod(2)`, `unlink(2)`, `rmdir(2)`,
//! `rename(2)`, `link(2)`, `symlink(2)`, `readlink(2)` and their `*at` forms.

use lx_core::Result;
use lx_core::abi::fcntl::{AtFlags, RenameFlags};
use lx_core::abi::stat::{FileMode, FileType, S_IALLUGO, S_ISVTX};
use lx_core::abi::{DirFd, Errno, UserCStr, UserPtr};
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_vfs::inode::NewKind;
use lx_vfs::path::Lookup;

use super::at;

/// `mkdir(2)`.
pub(crate) fn sys_mkdir(task: &CurrentTask<'_>, path: UserCStr, mode: FileMode) -> Result<()> {
    sys_mkdirat(task, DirFd::AT_FDCWD, path, mode)
}

/// `mkdirat(2)`.
pub(crate) fn sys_mkdirat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: FileMode,
) -> Result<()> {
    // Set-id bits come from the parent only.
    let mode = mode.0 & (0o777 | S_ISVTX);
    create(task, dirfd, path, NewKind::Directory, mode)
}

/// `mknod(2)`.
pub(crate) fn sys_mknod(
    task: &CurrentTask<'_>,
    path: UserCStr,
    mode: FileMode,
    dev: u32,
) -> Result<()> {
    sys_mknodat(task, DirFd::AT_FDCWD, path, mode, dev)
}

/// `mknodat(2)`.
pub(crate) fn sys_mknodat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: FileMode,
    dev: u32,
) -> Result<()> {
    let no_type = mode.0 & !S_IALLUGO == 0;
    let kind = match mode.file_type() {
        Some(FileType::Regular) => NewKind::Regular,
        None if no_type => NewKind::Regular,
        Some(FileType::Fifo) => NewKind::Fifo,
        Some(FileType::Socket) => NewKind::Socket,
        Some(FileType::CharDevice) => NewKind::CharDevice(u64::from(dev)),
        Some(FileType::BlockDevice) => NewKind::BlockDevice(u64::from(dev)),
        Some(FileType::Directory) => return Err(Errno::EPERM.into()),
        Some(FileType::Symlink) | None => return Err(Errno::EINVAL.into()),
    };
    create(task, dirfd, path, kind, mode.permissions())
}

/// `symlink(2)`.
pub(crate) fn sys_symlink(task: &CurrentTask<'_>, target: UserCStr, path: UserCStr) -> Result<()> {
    sys_symlinkat(task, target, DirFd::AT_FDCWD, path)
}

/// `symlinkat(2)`.
pub(crate) fn sys_symlinkat(
    task: &CurrentTask<'_>,
    target: UserCStr,
    dirfd: DirFd,
    path: UserCStr,
) -> Result<()> {
    let mut buffer = PathBuffer::new();
    let target = at::read_path(task, target, &mut buffer)?;
    create(task, dirfd, path, NewKind::Symlink(target), 0o777)
}

fn create(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    kind: NewKind<'_>,
    mode: u32,
) -> Result<()> {
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    let start = at::start(task, dirfd, path)?;
    task.fs().create(&task.caller(), start.path()?, path, kind, mode)?;
    Ok(())
}

/// `rmdir(2)`.
pub(crate) fn sys_rmdir(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    sys_unlinkat(task, DirFd::AT_FDCWD, path, AtFlags::AT_REMOVEDIR)
}

/// `unlink(2)`.
pub(crate) fn sys_unlink(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    sys_unlinkat(task, DirFd::AT_FDCWD, path, AtFlags::empty())
}

/// `unlinkat(2)`.
pub(crate) fn sys_unlinkat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: AtFlags,
) -> Result<()> {
    if !AtFlags::AT_REMOVEDIR.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    let start = at::start(task, dirfd, path)?;
    if flags.contains(AtFlags::AT_REMOVEDIR) {
        task.fs().rmdir(&task.caller(), start.path()?, path)
    } else {
        task.fs().unlink(&task.caller(), start.path()?, path)
    }
}

/// `rename(2)`.
pub(crate) fn sys_rename(task: &CurrentTask<'_>, from: UserCStr, to: UserCStr) -> Result<()> {
    sys_renameat2(task, DirFd::AT_FDCWD, from, DirFd::AT_FDCWD, to, RenameFlags::empty())
}

/// `renameat(2)`.
pub(crate) fn sys_renameat(
    task: &CurrentTask<'_>,
    from_dirfd: DirFd,
    from: UserCStr,
    to_dirfd: DirFd,
    to: UserCStr,
) -> Result<()> {
    sys_renameat2(task, from_dirfd, from, to_dirfd, to, RenameFlags::empty())
}

/// `renameat2(2)`.
pub(crate) fn sys_renameat2(
    task: &CurrentTask<'_>,
    from_dirfd: DirFd,
    from: UserCStr,
    to_dirfd: DirFd,
    to: UserCStr,
    flags: RenameFlags,
) -> Result<()> {
    let others = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_WHITEOUT;
    if flags.contains(RenameFlags::RENAME_EXCHANGE) && flags.intersects(others) {
        return Err(Errno::EINVAL.into());
    }
    let (mut from_buffer, mut to_buffer) = (PathBuffer::new(), PathBuffer::new());
    let from = at::read_path(task, from, &mut from_buffer)?;
    let from_start = at::start(task, from_dirfd, from)?;
    let from_start = from_start.path()?;
    let caller = task.caller();
    let target = at::read_path(task, to, &mut to_buffer)
        .and_then(|to| Ok((at::start(task, to_dirfd, to)?, to)));
    let renamed = target.and_then(|(start, to)| {
        let start = start.path()?;
        Ok(task.fs().rename(&caller, (from_start, from), (start, to), flags))
    });
    renamed.unwrap_or_else(|error| {
        // The new path is no path at all: an error on the way to the old name comes first.
        task.fs().lookup_parent(&caller, from_start, from)?;
        Err(error)
    })
}

/// `link(2)`.
pub(crate) fn sys_link(task: &CurrentTask<'_>, target: UserCStr, path: UserCStr) -> Result<()> {
    sys_linkat(task, DirFd::AT_FDCWD, target, DirFd::AT_FDCWD, path, AtFlags::empty())
}

/// `linkat(2)`.
pub(crate) fn sys_linkat(
    task: &CurrentTask<'_>,
    target_dirfd: DirFd,
    target: UserCStr,
    dirfd: DirFd,
    path: UserCStr,
    flags: AtFlags,
) -> Result<()> {
    if !(AtFlags::AT_SYMLINK_FOLLOW | AtFlags::AT_EMPTY_PATH).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, flags.contains(AtFlags::AT_SYMLINK_FOLLOW));
    how.set(Lookup::EMPTY, flags.contains(AtFlags::AT_EMPTY_PATH));
    let target = at::lookup(task, target_dirfd, target, how)?;
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    let start = at::start(task, dirfd, path)?;
    task.fs().link(&task.caller(), &target, start.path()?, path)
}

/// `readlink(2)`.
pub(crate) fn sys_readlink(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<u8>,
    size: i32,
) -> Result<usize> {
    sys_readlinkat(task, DirFd::AT_FDCWD, path, out, size)
}

/// `readlinkat(2)`: an empty path reads the link that the descriptor was opened on (`O_PATH`).
pub(crate) fn sys_readlinkat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    out: UserPtr<u8>,
    size: i32,
) -> Result<usize> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let mut buffer = PathBuffer::new();
    let path = task.memory().read_path(path, &mut buffer)?;
    if path.is_empty() && dirfd == DirFd::AT_FDCWD {
        return Err(Errno::ENOENT.into());
    }
    let start = at::start(task, dirfd, path)?;
    let caller = task.caller();
    let place = task.fs().lookup(&caller, start.path()?, path, Lookup::EMPTY)?;
    if place.dentry.file_type() != FileType::Symlink {
        let errno = if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL };
        return Err(errno.into());
    }
    let target = place.inode().read_link(&caller)?;
    let shown = target.get(..size).unwrap_or(&target);
    task.memory().write_bytes(out.addr(), shown)?;
    Ok(shown.len())
}
