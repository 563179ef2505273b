//! Permission checks of files.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::{FileType, S_ISGID, S_ISUID, S_ISVTX, S_IXGRP};
use lx_core::caller::Caller;
use lx_core::cred::{Capabilities, Credentials};

use crate::inode::Permissions;
use crate::inode_flags;
use crate::location::Path;

bitflags::bitflags! {
    /// What is to be done with a file; the bits are those of `access(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Execute a file, search a directory.
        const EXEC = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// Whether `cred` may access a file with its `fsuid`, groups and capabilities.
///
/// # Errors
/// `EACCES`.
pub fn check(
    cred: &Credentials,
    file: &Permissions,
    file_type: FileType,
    access: Access,
) -> Result<()> {
    let class = if file.uid == cred.fsuid {
        file.mode >> 6
    } else if cred.in_group(file.gid) {
        file.mode >> 3
    } else {
        file.mode
    };
    let missing = access.bits() & !class & 7;
    if missing == 0 {
        return Ok(());
    }
    if cred.has(Capabilities::DAC_OVERRIDE)
        && (file_type == FileType::Directory
            || missing & Access::EXEC.bits() == 0
            || file.mode & 0o111 != 0)
    {
        return Ok(());
    }
    let read_only = match file_type {
        FileType::Directory => Access::READ.union(Access::EXEC),
        _ => Access::READ,
    };
    // What else is wanted counts, even if the mode allows it.
    if cred.has(Capabilities::DAC_READ_SEARCH) && read_only.contains(access) {
        return Ok(());
    }
    Err(Errno::EACCES.into())
}

/// As [`check`], of a place; writing also needs a file system that allows it, except for special
/// files, and a file that may change. What the mount forbids is another matter: some calls look at
/// it before, others after this.
///
/// # Errors
/// `EACCES`, `EROFS`, `EPERM`.
pub fn check_path(cred: &Credentials, path: &Path, access: Access) -> Result<()> {
    let file_type = path.dentry.file_type();
    if access.contains(Access::WRITE) && is_on_disk(file_type) && path.mount.is_fs_read_only() {
        return Err(Errno::EROFS.into());
    }
    let file = path.inode().permissions();
    inode_flags::check_access(&file, access)?;
    check(cred, &file, file_type, access)
}

/// Whether writing such a file changes its file system.
pub(crate) fn is_on_disk(file_type: FileType) -> bool {
    matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink)
}

/// Whether `cred` owns the file or may act as if it did.
pub fn is_owner(cred: &Credentials, file: &Permissions) -> bool {
    cred.fsuid == file.uid || cred.has(Capabilities::FOWNER)
}

/// Whether an entry may be removed from a directory that may be written: the sticky bit.
///
/// # Errors
/// `EPERM`.
pub fn check_sticky(cred: &Credentials, dir: &Permissions, file: &Permissions) -> Result<()> {
    if dir.mode & S_ISVTX != 0
        && cred.fsuid != file.uid
        && cred.fsuid != dir.uid
        && !cred.has(Capabilities::FOWNER)
    {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// Mode and group of an inode made in `dir`: set-group-id directories hand on their group, and to
/// directories the bit as well.
pub fn inherit(
    cred: &Credentials,
    dir: &Permissions,
    file_type: FileType,
    mode: u32,
) -> (u32, u32) {
    if dir.mode & S_ISGID == 0 {
        return (mode, cred.fsgid);
    }
    let mode = if file_type == FileType::Directory {
        mode | S_ISGID
    } else if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
        && !cred.in_group(dir.gid)
        && !cred.has(Capabilities::FSETID)
    {
        mode & !S_ISGID
    } else {
        mode
    };
    (mode, dir.gid)
}

/// Whether `cred` may give files the set-group-id bit of a group.
pub fn in_group_or_capable(cred: &Credentials, gid: u32) -> bool {
    cred.in_group(gid) || cred.has(Capabilities::FSETID)
}

/// The mode of a file that changes hands, even by the hand of root: set-id bits go. Without execute
/// permission the set-group-id bit means mandatory locking, and may stay for members of the group.
/// `None` if nothing changes.
pub fn without_set_id(cred: &Credentials, file: &Permissions) -> Option<u32> {
    let mut mode = file.mode & !S_ISUID;
    if mode & S_IXGRP != 0 || !in_group_or_capable(cred, file.gid) {
        mode &= !S_ISGID;
    }
    (mode != file.mode).then_some(mode)
}

/// The mode of a file whose contents change: as [`without_set_id`], without `CAP_FSETID`.
pub fn set_id_to_drop(caller: &Caller<'_>, file: &Permissions) -> Option<u32> {
    // Most files have no such bit: no look at the credentials then.
    if file.mode & (S_ISUID | S_ISGID) == 0 || caller.cred().has(Capabilities::FSETID) {
        return None;
    }
    without_set_id(caller.cred(), file)
}
