//! Flags of an inode, `FS_IOC_SETFLAGS` of `ioctl_iflags(2)`: what `chattr` sets.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;

use crate::inode::Permissions;
use crate::location::Path;
use crate::notify;
use crate::permission::{Access, is_owner};

bitflags::bitflags! {
    /// The flags that a file in memory can have.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InodeFlags: u32 {
        /// Neither contents nor attributes nor names change.
        const IMMUTABLE = 0x10;
        /// It only grows, and keeps its attributes and names.
        const APPEND = 0x20;
        /// Not for backups.
        const NODUMP = 0x40;
        /// Its access time stays.
        const NOATIME = 0x80;
    }
}

impl InodeFlags {
    /// Those that keep attributes and names as they are.
    pub const FIXED: Self = Self::IMMUTABLE.union(Self::APPEND);
}

/// Whether a file's flags allow an access; to be asked before its mode.
///
/// # Errors
/// `EPERM`.
pub fn check_access(file: &Permissions, access: Access) -> Result<()> {
    if access.contains(Access::WRITE) && file.flags.contains(InodeFlags::IMMUTABLE) {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// Whether a file's flags allow that its attributes or names change.
///
/// # Errors
/// `EPERM`.
pub fn check_not_fixed(file: &Permissions) -> Result<()> {
    if file.flags.intersects(InodeFlags::FIXED) { Err(Errno::EPERM.into()) } else { Ok(()) }
}

/// Whether a file's flags allow what would lose some of its contents.
///
/// # Errors
/// `EPERM`.
pub fn check_not_append(file: &Permissions) -> Result<()> {
    if file.flags.contains(InodeFlags::APPEND) { Err(Errno::EPERM.into()) } else { Ok(()) }
}

/// The flags of an open file.
///
/// # Errors
/// `ENOTTY` if it has none.
pub fn get(path: &Path) -> Result<InodeFlags> {
    check_type(path)?;
    path.inode().flags()
}

/// Changes the flags of an open file.
///
/// # Errors
/// `ENOTTY` if it has none; `EROFS`; `EPERM` unless the caller owns the file, and may change the
/// flags that bind everybody; `EOPNOTSUPP` for flags that files in memory do not have.
pub fn set(caller: &Caller<'_>, path: &Path, flags: u32) -> Result<()> {
    check_type(path)?;
    path.mount.check_writable()?;
    let (inode, cred) = (path.inode(), caller.cred());
    let old = inode.flags()?;
    if !is_owner(cred, &inode.permissions()) {
        return Err(Errno::EPERM.into());
    }
    let changed = old.symmetric_difference(InodeFlags::from_bits_retain(flags));
    if changed.intersects(InodeFlags::FIXED) && !cred.has(Capabilities::LINUX_IMMUTABLE) {
        return Err(Errno::EPERM.into());
    }
    let flags = InodeFlags::from_bits(flags).ok_or(Errno::EOPNOTSUPP)?;
    inode.set_flags(caller, flags)?;
    notify::attributes_changed(path);
    Ok(())
}

/// What is opened as a device, a pipe or a place does not reach its file system.
fn check_type(path: &Path) -> Result<()> {
    match path.dentry.file_type() {
        FileType::Regular | FileType::Directory => Ok(()),
        _ => Err(Errno::ENOTTY.into()),
    }
}
