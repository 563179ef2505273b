//! Changing attributes, with the checks that `chmod(2)`, `chown(2)`, `utimensat(2)` and
//! `truncate(2)` make; and `access(2)`.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::FallocateFlags;
use lx_core::abi::stat::{FileMode, FileType, S_IALLUGO, S_ISGID};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;

use crate::inode::SetAttr;
use crate::inode_flags::{self, check_not_append, check_not_fixed};
use crate::lease;
use crate::location::Path;
use crate::mount::MountFlags;
use crate::notify;
use crate::permission::{
    Access, check, check_path, in_group_or_capable, is_on_disk, is_owner, set_id_to_drop,
    without_set_id,
};
use crate::write_access::WriteAccess;

/// What becomes of a time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    /// It stays.
    Omit,
    /// The present time.
    Now,
    /// This time, nanoseconds since 1970.
    At(i64),
}

impl NewTime {
    fn value(self, now: i64) -> Option<i64> {
        match self {
            Self::Omit => None,
            Self::Now => Some(now),
            Self::At(time) => Some(time),
        }
    }
}

/// `chmod(2)`.
///
/// # Errors
/// `EROFS`; `EOPNOTSUPP` for symbolic links; `EPERM` if the caller does not own the file.
pub fn chmod(caller: &Caller<'_>, path: &Path, mode: u32) -> Result<()> {
    path.mount.check_writable()?;
    if path.dentry.file_type() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let (cred, file) = (caller.cred(), path.inode().permissions());
    check_not_fixed(&file)?;
    if !is_owner(cred, &file) {
        return Err(Errno::EPERM.into());
    }
    let mut mode = mode & S_IALLUGO;
    if !in_group_or_capable(cred, file.gid) {
        mode &= !S_ISGID;
    }
    let change = SetAttr { mode: Some(mode), now: caller.now(), ..SetAttr::default() };
    path.inode().set_attr(caller, &change)?;
    notify::attributes_changed(path);
    Ok(())
}

/// `chown(2)`; `None` leaves an id as it is.
///
/// # Errors
/// `EROFS`; `EPERM` unless the caller may give the file away, or the group is its own.
pub fn chown(caller: &Caller<'_>, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    path.mount.check_writable()?;
    let (cred, file) = (caller.cred(), path.inode().permissions());
    check_not_fixed(&file)?;
    let capable = cred.has(Capabilities::CHOWN);
    let owns = cred.fsuid == file.uid;
    let uid_allowed = uid.is_none_or(|uid| owns && uid == file.uid);
    let gid_allowed = gid.is_none_or(|gid| owns && (gid == file.gid || cred.in_group(gid)));
    if !(capable || uid_allowed && gid_allowed) {
        return Err(Errno::EPERM.into());
    }
    let mode = match path.dentry.file_type() {
        FileType::Directory => None,
        _ => without_set_id(cred, &file),
    };
    if mode.is_some() && !is_owner(cred, &file) {
        return Err(Errno::EPERM.into());
    }
    let change = SetAttr { mode, uid, gid, now: caller.now(), ..SetAttr::default() };
    path.inode().set_attr(caller, &change)?;
    notify::attributes_changed(path);
    Ok(())
}

/// `utimensat(2)`; the times of access and modification.
///
/// # Errors
/// `EROFS`; `EPERM` unless the caller owns the file; if both become the present time, whoever may
/// write the file may do it, else `EACCES`.
pub fn set_times(caller: &Caller<'_>, path: &Path, atime: NewTime, mtime: NewTime) -> Result<()> {
    path.mount.check_writable()?;
    let file = path.inode().permissions();
    let both_now = (atime, mtime) == (NewTime::Now, NewTime::Now);
    if both_now {
        inode_flags::check_access(&file, Access::WRITE)?;
    } else {
        check_not_fixed(&file)?;
    }
    if !is_owner(caller.cred(), &file) {
        if !both_now {
            return Err(Errno::EPERM.into());
        }
        check(caller.cred(), &file, path.dentry.file_type(), Access::WRITE)?;
    }
    let now = caller.now();
    let change =
        SetAttr { atime: atime.value(now), mtime: mtime.value(now), now, ..SetAttr::default() };
    path.inode().set_attr(caller, &change)?;
    notify::times_set(path, &change);
    Ok(())
}

/// `truncate(2)`.
///
/// # Errors
/// `EISDIR`, `EINVAL` if it is no regular file; `EROFS`, `EACCES`; `EFBIG` beyond
/// `RLIMIT_FSIZE`; `ETXTBSY` if a program runs from it.
pub fn truncate(caller: &Caller<'_>, path: &Path, len: u64) -> Result<()> {
    match path.dentry.file_type() {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    check_path(caller.cred(), path, Access::WRITE)?;
    path.mount.check_writable()?;
    check_not_append(&path.inode().permissions())?;
    let _writing = WriteAccess::get(path.inode())?;
    lease::break_for(caller, path, lease::Kind::Write, false)?;
    if caller.rlimits.soft(Resource::Fsize) < len {
        check_growth(caller, len, path.inode().attr(caller)?.size)?;
    }
    let mode = set_id_to_drop(caller, &path.inode().permissions());
    let change = SetAttr { size: Some(len), mode, now: caller.now(), ..SetAttr::default() };
    path.inode().set_attr(caller, &change)?;
    notify::modified(path);
    Ok(())
}

/// `ftruncate(2)`.
///
/// # Errors
/// `EINVAL` if it is no regular file open for writing; `EFBIG` beyond `RLIMIT_FSIZE`.
pub fn truncate_open(caller: &Caller<'_>, file: &OpenFile, len: u64) -> Result<()> {
    if !file.is_writable() {
        return Err(Errno::EINVAL.into());
    }
    if let Some(path) = Path::of(file) {
        check_not_append(&path.inode().permissions())?;
    }
    if caller.rlimits.soft(Resource::Fsize) < len {
        let size = file.ops().stat(caller, file)?.st_size.cast_unsigned();
        check_growth(caller, len, size)?;
    }
    file.ops().truncate(caller, file, len)?;
    let Some(path) = Path::of(file) else { return Ok(()) };
    if let Some(mode) = set_id_to_drop(caller, &path.inode().permissions()) {
        let change = SetAttr { mode: Some(mode), now: caller.now(), ..SetAttr::default() };
        path.inode().set_attr(caller, &change)?;
    }
    notify::modified(path);
    Ok(())
}

/// A file may always shrink.
fn check_growth(caller: &Caller<'_>, len: u64, size: u64) -> Result<()> {
    if len > size && len > caller.rlimits.soft(Resource::Fsize) {
        return Err(Errno::EFBIG.into());
    }
    Ok(())
}

/// `fallocate(2)`, after the checks of its mode.
///
/// # Errors
/// `EBADF` if not open for writing; `ESPIPE`, `EISDIR`, `ENODEV` if it is no file with blocks;
/// `EFBIG`; the file's.
pub fn allocate(
    caller: &Caller<'_>,
    file: &OpenFile,
    mode: u32,
    offset: u64,
    len: u64,
) -> Result<()> {
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    if let Some(path) = Path::of(file) {
        let file = path.inode().permissions();
        inode_flags::check_access(&file, Access::WRITE)?;
        if mode & !FallocateFlags::FALLOC_FL_KEEP_SIZE.bits() != 0 {
            check_not_append(&file)?;
        }
    }
    let stat = file.ops().stat(caller, file)?;
    match FileMode(stat.st_mode).file_type() {
        Some(FileType::Regular | FileType::BlockDevice) => {}
        Some(FileType::Fifo) => return Err(Errno::ESPIPE.into()),
        Some(FileType::Directory) => return Err(Errno::EISDIR.into()),
        _ => return Err(Errno::ENODEV.into()),
    }
    match offset.checked_add(len).map(i64::try_from) {
        Some(Ok(_)) => file.ops().allocate(caller, file, mode, offset, len),
        _ => Err(Errno::EFBIG.into()),
    }
}

/// `access(2)`: whether the caller (as it stands in `caller`) may do this with the file.
///
/// # Errors
/// `EACCES`, `EROFS`.
pub fn check_access(caller: &Caller<'_>, path: &Path, access: Access) -> Result<()> {
    if access.contains(Access::EXEC)
        && path.dentry.file_type() == FileType::Regular
        && path.mount.flags().contains(MountFlags::NOEXEC)
    {
        return Err(Errno::EACCES.into());
    }
    check_path(caller.cred(), path, access)?;
    if access.contains(Access::WRITE) && is_on_disk(path.dentry.file_type()) {
        path.mount.check_writable()?;
    }
    Ok(())
}
