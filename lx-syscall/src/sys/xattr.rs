//! Extended attributes: `setxattr(2)`, `getxattr(2)`, `listxattr(2)`, `removexattr(2)`, with the
//! forms for links and for descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::xattr::{XATTR_NAME_MAX, XATTR_SIZE_MAX, XattrFlags};
use lx_core::abi::{DirFd, Errno, Fd, UserCStr, UserPtr};
use lx_core::file::OpenFile;
use lx_proc::CurrentTask;
use lx_vfs::location::Path;
use lx_vfs::path::Lookup;
use lx_vfs::xattr;

use super::at;

/// A name and a value, which are copied in before the file is looked for.
struct Attribute {
    name: Vec<u8>,
    value: Vec<u8>,
}

fn read_name(task: &CurrentTask<'_>, name: UserCStr) -> Result<Vec<u8>> {
    let name = task.memory().read_string(name, XATTR_NAME_MAX, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE.into()) } else { Ok(name) }
}

fn read_attribute(
    task: &CurrentTask<'_>,
    name: UserCStr,
    value: UserPtr<u8>,
    size: usize,
) -> Result<Attribute> {
    let name = read_name(task, name)?;
    if size > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(size, 0);
    task.memory().read_bytes(value.addr(), &mut bytes)?;
    Ok(Attribute { name, value: bytes })
}

/// Copies a value or a list out; without room the caller only wants to know the length.
fn write_result(
    task: &CurrentTask<'_>,
    result: &[u8],
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    if size > 0 {
        if result.len() > size {
            return Err(Errno::ERANGE.into());
        }
        task.memory().write_bytes(out.addr(), result)?;
    }
    Ok(result.len())
}

fn lookup(task: &CurrentTask<'_>, path: UserCStr, how: Lookup) -> Result<Path> {
    at::lookup(task, DirFd::AT_FDCWD, path, how)
}

fn open_file(task: &CurrentTask<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    task.files().get(fd)
}

/// `setxattr(2)`.
pub(crate) fn sys_setxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    value: UserPtr<u8>,
    size: usize,
    flags: XattrFlags,
) -> Result<()> {
    let new = read_attribute(task, name, value, size)?;
    let place = lookup(task, path, Lookup::FOLLOW)?;
    xattr::set(&task.caller(), &place, &new.name, &new.value, flags)
}

/// `lsetxattr(2)`.
pub(crate) fn sys_lsetxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    value: UserPtr<u8>,
    size: usize,
    flags: XattrFlags,
) -> Result<()> {
    let new = read_attribute(task, name, value, size)?;
    let place = lookup(task, path, Lookup::empty())?;
    xattr::set(&task.caller(), &place, &new.name, &new.value, flags)
}

/// `fsetxattr(2)`.
pub(crate) fn sys_fsetxattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    name: UserCStr,
    value: UserPtr<u8>,
    size: usize,
    flags: XattrFlags,
) -> Result<()> {
    let new = read_attribute(task, name, value, size)?;
    let file = open_file(task, fd)?;
    xattr::set(&task.caller(), at::place_of(&file)?, &new.name, &new.value, flags)
}

/// `getxattr(2)`.
pub(crate) fn sys_getxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let name = read_name(task, name)?;
    let place = lookup(task, path, Lookup::FOLLOW)?;
    let value = xattr::get(&task.caller(), &place, &name)?;
    write_result(task, &value, out, size)
}

/// `lgetxattr(2)`.
pub(crate) fn sys_lgetxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let name = read_name(task, name)?;
    let place = lookup(task, path, Lookup::empty())?;
    let value = xattr::get(&task.caller(), &place, &name)?;
    write_result(task, &value, out, size)
}

/// `fgetxattr(2)`.
pub(crate) fn sys_fgetxattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let name = read_name(task, name)?;
    let file = open_file(task, fd)?;
    let value = xattr::get(&task.caller(), at::place_of(&file)?, &name)?;
    write_result(task, &value, out, size)
}

/// `listxattr(2)`.
pub(crate) fn sys_listxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let place = lookup(task, path, Lookup::FOLLOW)?;
    write_result(task, &xattr::list(&task.caller(), &place)?, out, size)
}

/// `llistxattr(2)`.
pub(crate) fn sys_llistxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let place = lookup(task, path, Lookup::empty())?;
    write_result(task, &xattr::list(&task.caller(), &place)?, out, size)
}

/// `flistxattr(2)`: a file without a place in the tree has no attributes.
pub(crate) fn sys_flistxattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let file = open_file(task, fd)?;
    let Some(place) = Path::of(&file) else { return Ok(0) };
    write_result(task, &xattr::list(&task.caller(), place)?, out, size)
}

/// `removexattr(2)`.
pub(crate) fn sys_removexattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
) -> Result<()> {
    let name = read_name(task, name)?;
    xattr::remove(&task.caller(), &lookup(task, path, Lookup::FOLLOW)?, &name)
}

/// `lremovexattr(2)`.
pub(crate) fn sys_lremovexattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
) -> Result<()> {
    let name = read_name(task, name)?;
    xattr::remove(&task.caller(), &lookup(task, path, Lookup::empty())?, &name)
}

/// `fremovexattr(2)`.
pub(crate) fn sys_fremovexattr(task: &CurrentTask<'_>, fd: Fd, name: UserCStr) -> Result<()> {
    let name = read_name(task, name)?;
    let file = open_file(task, fd)?;
    xattr::remove(&task.caller(), at::place_of(&file)?, &name)
}
