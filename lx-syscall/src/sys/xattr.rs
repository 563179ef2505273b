//! Extended attributes: `setxattr(2)`, `getxattr(2)`, `listxattr(2)`, `removexattr(2)`, with the
//! forms for links and for descriptors.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::fcntl::AtFlags;
use lx_core::abi::xattr::{XATTR_NAME_MAX, XATTR_SIZE_MAX, XattrArgs, XattrFlags};
use lx_core::abi::{DirFd, Errno, Fd, UserCStr, UserPtr};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
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

/// Whose attributes.
#[derive(Clone, Copy)]
enum Subject {
    /// Of a file, found through links.
    Path(UserCStr),
    /// Of a file that may be a link.
    Link(UserCStr),
    /// Of an open file.
    File(Fd),
    /// Of a file below a directory, or of what a descriptor stands for.
    At(DirFd, UserCStr, AtFlags),
}

impl Subject {
    /// What the arguments of the `*at` calls mean.
    ///
    /// # Errors
    /// `EINVAL` for an unknown flag.
    fn at(dirfd: DirFd, path: UserCStr, flags: u32) -> Result<Self> {
        let flags = AtFlags::from_bits_retain(flags);
        let known = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
        if known.contains(flags) {
            Ok(Self::At(dirfd, path, flags))
        } else {
            lx_core::unsupported::note("flags of extended attributes", flags.bits().into());
            Err(Errno::EINVAL.into())
        }
    }

    /// Calls `f` with the place.
    ///
    /// # Errors
    /// Of a file without a place in the tree, `forbidden` for an attribute `name` of a namespace
    /// that is for files and directories only, or for administrators; `EOPNOTSUPP` for others.
    fn with<T>(
        self,
        task: &CurrentTask<'_>,
        name: &[u8],
        forbidden: Errno,
        f: impl FnOnce(&Caller<'_>, &Path) -> Result<T>,
    ) -> Result<T> {
        let lookup = |path, how| at::lookup(task, DirFd::AT_FDCWD, path, how);
        match self {
            Self::Path(path) => f(&task.caller(), &lookup(path, Lookup::FOLLOW)?),
            Self::Link(path) => f(&task.caller(), &lookup(path, Lookup::empty())?),
            Self::At(dirfd, path, flags) => match at::descriptor_itself(task, dirfd, path, flags) {
                Some(fd) => Self::File(fd).with(task, name, forbidden, f),
                None => {
                    let how = at::follow_unless_told(flags);
                    f(&task.caller(), &at::lookup(task, dirfd, path, how)?)
                }
            },
            Self::File(fd) => {
                let file = task.files().get(fd)?;
                let is_forbidden = name.starts_with(b"user.")
                    || name.starts_with(b"trusted.") && !task.cred().has(Capabilities::SYS_ADMIN);
                let errno = if is_forbidden { forbidden } else { Errno::EOPNOTSUPP };
                f(&task.caller(), Path::of(&file).ok_or(errno)?)
            }
        }
    }
}

fn set(
    task: &CurrentTask<'_>,
    subject: Subject,
    name: UserCStr,
    value: (UserPtr<u8>, usize),
    flags: XattrFlags,
) -> Result<()> {
    let new = read_attribute(task, name, value.0, value.1)?;
    subject.with(task, &new.name, Errno::EPERM, |caller, place| {
        xattr::set(caller, place, &new.name, &new.value, flags)
    })
}

fn get(
    task: &CurrentTask<'_>,
    subject: Subject,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let name = read_name(task, name)?;
    let value = subject
        .with(task, &name, Errno::ENODATA, |caller, place| xattr::get(caller, place, &name))?;
    write_result(task, &value, out, size)
}

fn list(task: &CurrentTask<'_>, subject: Subject, out: UserPtr<u8>, size: usize) -> Result<usize> {
    let names = subject.with(task, b"", Errno::EOPNOTSUPP, xattr::list)?;
    write_result(task, &names, out, size)
}

fn remove(task: &CurrentTask<'_>, subject: Subject, name: UserCStr) -> Result<()> {
    let name = read_name(task, name)?;
    subject.with(task, &name, Errno::EPERM, |caller, place| xattr::remove(caller, place, &name))
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
    set(task, Subject::Path(path), name, (value, size), flags)
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
    set(task, Subject::Link(path), name, (value, size), flags)
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
    set(task, Subject::File(fd), name, (value, size), flags)
}

/// `getxattr(2)`.
pub(crate) fn sys_getxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    get(task, Subject::Path(path), name, out, size)
}

/// `lgetxattr(2)`.
pub(crate) fn sys_lgetxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    get(task, Subject::Link(path), name, out, size)
}

/// `fgetxattr(2)`.
pub(crate) fn sys_fgetxattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    name: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    get(task, Subject::File(fd), name, out, size)
}

/// `listxattr(2)`.
pub(crate) fn sys_listxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    list(task, Subject::Path(path), out, size)
}

/// `llistxattr(2)`.
pub(crate) fn sys_llistxattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    list(task, Subject::Link(path), out, size)
}

/// `flistxattr(2)`: a file without a place in the tree has no attributes.
pub(crate) fn sys_flistxattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    if Path::of(&*task.files().get(fd)?).is_none() {
        return Ok(0);
    }
    list(task, Subject::File(fd), out, size)
}

/// `removexattr(2)`.
pub(crate) fn sys_removexattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
) -> Result<()> {
    remove(task, Subject::Path(path), name)
}

/// `lremovexattr(2)`.
pub(crate) fn sys_lremovexattr(
    task: &CurrentTask<'_>,
    path: UserCStr,
    name: UserCStr,
) -> Result<()> {
    remove(task, Subject::Link(path), name)
}

/// `fremovexattr(2)`.
pub(crate) fn sys_fremovexattr(task: &CurrentTask<'_>, fd: Fd, name: UserCStr) -> Result<()> {
    remove(task, Subject::File(fd), name)
}

/// `setxattrat(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag or arguments that are too short; `E2BIG` for ones with more than lx
/// knows; else as `setxattr(2)`.
pub(crate) fn sys_setxattrat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    name: UserCStr,
    args: UserPtr<XattrArgs>,
    args_size: usize,
) -> Result<()> {
    let args = at::read_extensible(task, args, args_size)?;
    let subject = Subject::at(dirfd, path, flags)?;
    let flags = XattrFlags::from_bits(args.flags).ok_or(Errno::EINVAL)?;
    set(task, subject, name, (UserPtr::new(args.value), args.size as usize), flags)
}

/// `getxattrat(2)`.
///
/// # Errors
/// As [`sys_setxattrat`]; there are no flags of the value.
pub(crate) fn sys_getxattrat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    name: UserCStr,
    args: UserPtr<XattrArgs>,
    args_size: usize,
) -> Result<usize> {
    let args = at::read_extensible(task, args, args_size)?;
    if args.flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let subject = Subject::at(dirfd, path, flags)?;
    get(task, subject, name, UserPtr::new(args.value), args.size as usize)
}

/// `listxattrat(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag; else as `listxattr(2)`.
pub(crate) fn sys_listxattrat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    out: UserPtr<u8>,
    size: usize,
) -> Result<usize> {
    let subject = Subject::at(dirfd, path, flags)?;
    if let Some(fd) = at::descriptor_itself(task, dirfd, path, AtFlags::from_bits_retain(flags)) {
        return sys_flistxattr(task, fd, out, size);
    }
    list(task, subject, out, size)
}

/// `removexattrat(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag; else as `removexattr(2)`.
pub(crate) fn sys_removexattrat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: u32,
    name: UserCStr,
) -> Result<()> {
    remove(task, Subject::at(dirfd, path, flags)?, name)
}
