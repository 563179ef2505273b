//! Extended attributes with the permissions that `xattr(7)` asks for.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::{FileType, S_ISVTX};
use lx_core::abi::xattr::XattrFlags;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;

use crate::inode_flags::check_not_fixed;
use crate::location::Path;
use crate::notify;
use crate::permission::{Access, check, is_owner};

/// `CAP_SETFCAP`, which file capabilities ask for.
const CAP_SETFCAP: Capabilities = Capabilities::from_bits_retain(1 << 31);

/// The value of an attribute.
///
/// # Errors
/// `ENODATA`, `EOPNOTSUPP`, `EACCES`.
pub fn get(caller: &Caller<'_>, path: &Path, name: &[u8]) -> Result<Vec<u8>> {
    check_name(caller, path, name, Access::READ)?;
    path.inode().get_xattr(caller, name)
}

/// Sets an attribute.
///
/// # Errors
/// `EROFS`, `EPERM`, `EACCES`; `EEXIST`, `ENODATA` as the flags ask; `EOPNOTSUPP`.
pub fn set(
    caller: &Caller<'_>,
    path: &Path,
    name: &[u8],
    value: &[u8],
    flags: XattrFlags,
) -> Result<()> {
    path.mount.check_writable()?;
    check_name(caller, path, name, Access::WRITE)?;
    path.inode().set_xattr(caller, name, value, flags.bits())?;
    notify::attributes_changed(path);
    Ok(())
}

/// Removes an attribute.
///
/// # Errors
/// As [`set`].
pub fn remove(caller: &Caller<'_>, path: &Path, name: &[u8]) -> Result<()> {
    path.mount.check_writable()?;
    check_name(caller, path, name, Access::WRITE)?;
    path.inode().remove_xattr(caller, name)?;
    notify::attributes_changed(path);
    Ok(())
}

/// The names that the caller may see, each with a NUL after it.
///
/// # Errors
/// The file system's.
pub fn list(caller: &Caller<'_>, path: &Path) -> Result<Vec<u8>> {
    let mut names = path.inode().list_xattr(caller)?;
    if !caller.cred().has(Capabilities::SYS_ADMIN) {
        let mut seen = Vec::with_capacity(names.len());
        for name in names.split_inclusive(|&byte| byte == 0) {
            if !name.starts_with(b"trusted.") {
                seen.extend_from_slice(name);
            }
        }
        names = seen;
    }
    Ok(names)
}

/// Each namespace has rules of its own.
fn check_name(caller: &Caller<'_>, path: &Path, name: &[u8], access: Access) -> Result<()> {
    check_namespace(caller, path, name, access)?;
    let namespaces = [&b"user."[..], b"trusted.", b"security."];
    match namespaces.iter().find(|namespace| name.starts_with(namespace)) {
        // A namespace alone is no name.
        Some(namespace) if *namespace == name => Err(Errno::EINVAL.into()),
        Some(_) => Ok(()),
        None => Err(Errno::EOPNOTSUPP.into()),
    }
}

fn check_namespace(caller: &Caller<'_>, path: &Path, name: &[u8], access: Access) -> Result<()> {
    let writing = access.contains(Access::WRITE);
    if writing {
        check_not_fixed(&path.inode().permissions())?;
    }
    // What a caller may not read does not exist for it.
    let forbidden = if writing { Errno::EPERM } else { Errno::ENODATA };
    let cred = caller.cred();
    if name.starts_with(b"security.") {
        let needed =
            if name == b"security.capability" { CAP_SETFCAP } else { Capabilities::SYS_ADMIN };
        return if writing && !cred.has(needed) { Err(Errno::EPERM.into()) } else { Ok(()) };
    }
    if name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"trusted.") {
        return if cred.has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(forbidden.into()) };
    }
    let (file, file_type) = (path.inode().permissions(), path.dentry.file_type());
    if name.starts_with(b"user.") {
        match file_type {
            FileType::Regular => {}
            FileType::Directory => {
                if writing && file.mode & S_ISVTX != 0 && !is_owner(cred, &file) {
                    return Err(Errno::EPERM.into());
                }
            }
            _ => return Err(forbidden.into()),
        }
    }
    check(cred, &file, file_type, access)
}
