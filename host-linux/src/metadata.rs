//! Extended attributes, and what an ordinary user keeps in them: `docs/decisions/0017-kept-owners.md`.
//!
//! The calls for attributes take paths only; names are relative to a directory all the same, by the
//! directory's descriptor.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;
use core::str;

use lx_core::abi::Errno;
use lx_core::abi::stat::{major, makedev, minor};
use lx_core::host::{HostError, HostFd, HostMetadata, HostResult};
use lx_core::text::Text;

use crate::path::{Path, descriptor_path, path_below};
use crate::sys::{self, SysResult, sys};

/// `UID:GID:MODE`, with `:MAJOR:MINOR` of a device; the mode is octal and has the type.
const NAME: &[u8] = b"user.lx.stat";
/// In front of a link's name: `UID:GID`, an attribute of the folder.
const LINK: &[u8] = b"user.lx.link.";
/// Longer than any value of ours.
const MOST: usize = 64;

/// A file's path, and whether the last name may be followed: that of a descriptor has to be.
fn place(dir: &HostFd, name: &[u8]) -> HostResult<(Path, bool)> {
    match name {
        [] => Ok((descriptor_path(dir.raw()), true)),
        name => Ok((path_below(dir.raw(), name)?, false)),
    }
}

fn failed<T>(result: Result<T, Errno>) -> HostResult<T> {
    result.map_err(|errno| match errno {
        // What Linux says of file systems that know no attributes.
        Errno::ENOSYS => HostError(Errno::EOPNOTSUPP),
        errno => HostError(errno),
    })
}

/// Reads into `out`; without room the length is told.
fn get_into(dir: &HostFd, name: &[u8], attribute: &[u8], out: &mut [u8]) -> HostResult<usize> {
    let ((path, follow), attribute) = (place(dir, name)?, Path::new(attribute)?);
    let number = if follow { sys::__NR_getxattr } else { sys::__NR_lgetxattr };
    // SAFETY: the kernel reads both names and writes the buffer.
    failed(unsafe { sys!(number, path.as_ptr(), attribute.as_ptr(), out.as_mut_ptr(), out.len()) })
}

/// Asks for the length, then for the bytes; once more if there are more by then.
fn sized(mut call: impl FnMut(&mut [u8]) -> HostResult<usize>) -> HostResult<Vec<u8>> {
    loop {
        let mut bytes = vec![0; call(&mut [])?];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        match call(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Ok(bytes);
            }
            Err(HostError(Errno::ERANGE)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Value of an attribute.
pub(crate) fn get(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<Vec<u8>> {
    sized(|out| get_into(dir, name, attribute, out))
}

/// Names of the attributes.
pub(crate) fn list(dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
    let (path, follow) = place(dir, name)?;
    let number = if follow { sys::__NR_listxattr } else { sys::__NR_llistxattr };
    sized(|out| {
        // SAFETY: the kernel reads the path and writes the buffer.
        failed(unsafe { sys!(number, path.as_ptr(), out.as_mut_ptr(), out.len()) })
    })
}

/// Sets an attribute.
pub(crate) fn set(
    dir: &HostFd,
    name: &[u8],
    attribute: &[u8],
    value: &[u8],
    flags: u32,
) -> HostResult<()> {
    let ((path, follow), attribute) = (place(dir, name)?, Path::new(attribute)?);
    let number = if follow { sys::__NR_setxattr } else { sys::__NR_lsetxattr };
    // SAFETY: the kernel reads both names and the value.
    let result = unsafe {
        sys!(number, path.as_ptr(), attribute.as_ptr(), value.as_ptr(), value.len(), flags)
    };
    failed(result.map(drop))
}

/// Removes an attribute.
pub(crate) fn remove(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
    let ((path, follow), attribute) = (place(dir, name)?, Path::new(attribute)?);
    let number = if follow { sys::__NR_removexattr } else { sys::__NR_lremovexattr };
    // SAFETY: the kernel reads both names.
    let result: SysResult = unsafe { sys!(number, path.as_ptr(), attribute.as_ptr()) };
    failed(result.map(drop))
}

/// The name of the record of a link in its folder.
fn record(name: &[u8]) -> Vec<u8> {
    [LINK, name].concat()
}

fn read(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<HostMetadata> {
    let mut value = [0; MOST];
    match get_into(dir, name, attribute, &mut value) {
        Ok(len) => Ok(parse(value.get(..len).unwrap_or_default())),
        // Nothing is kept, or nothing of ours.
        Err(HostError(Errno::ENODATA | Errno::ERANGE)) => Ok(HostMetadata::default()),
        Err(error) => Err(error),
    }
}

fn forget(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
    match remove(dir, name, attribute) {
        // There was none, or there cannot be.
        Err(HostError(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ERANGE)) => Ok(()),
        result => result,
    }
}

/// What is kept of a file or directory.
pub(crate) fn of_file(dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
    read(dir, name, NAME)
}

/// Keeps what is given of a file or directory.
pub(crate) fn keep(dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
    let values = match values {
        HostMetadata { uid: Some(_), gid: Some(_), mode: Some(_), .. } => *values,
        part => {
            let old = of_file(dir, name)?;
            HostMetadata {
                uid: part.uid.or(old.uid),
                gid: part.gid.or(old.gid),
                mode: part.mode.or(old.mode),
                rdev: part.rdev.or(old.rdev),
            }
        }
    };
    set(dir, name, NAME, text_of(&values).as_bytes(), 0)
}

/// Keeps nothing of it any more.
pub(crate) fn forget_file(dir: &HostFd, name: &[u8]) -> HostResult<()> {
    forget(dir, name, NAME)
}

/// What is kept of a symbolic link.
pub(crate) fn of_link(dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
    read(dir, b"", &record(name))
}

/// Keeps the owner of a symbolic link.
pub(crate) fn keep_link(dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
    set(dir, b"", &record(name), text_of(values).as_bytes(), 0)
}

/// Keeps nothing of it any more.
pub(crate) fn forget_link(dir: &HostFd, name: &[u8]) -> HostResult<()> {
    forget(dir, b"", &record(name))
}

/// What is kept, as it is written.
fn text_of(values: &HostMetadata) -> Text<MOST> {
    let mut text = Text::new();
    let (uid, gid) = (values.uid.unwrap_or(0), values.gid.unwrap_or(0));
    // Always fits.
    let _ = write!(text, "{uid}:{gid}");
    if let Some(mode) = values.mode {
        let _ = write!(text, ":{mode:06o}");
    }
    if let Some(rdev) = values.rdev {
        let _ = write!(text, ":{}:{}", major(rdev), minor(rdev));
    }
    text
}

/// Reads what [`text_of`] writes; nothing of what is written otherwise.
fn parse(value: &[u8]) -> HostMetadata {
    let Ok(text) = str::from_utf8(value) else { return HostMetadata::default() };
    let mut parts = text.split(':');
    let mut next = |radix| parts.next().map(|part| u32::from_str_radix(part, radix));
    match (next(10), next(10), next(8), next(10), next(10)) {
        (Some(Ok(uid)), Some(Ok(gid)), mode @ (None | Some(Ok(_))), major, minor) => HostMetadata {
            uid: Some(uid),
            gid: Some(gid),
            mode: mode.and_then(Result::ok),
            rdev: match (major, minor) {
                (Some(Ok(major)), Some(Ok(minor))) => Some(makedev(major, minor)),
                _ => None,
            },
        },
        _ => HostMetadata::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, text_of};
    use lx_core::abi::stat::makedev;
    use lx_core::host::HostMetadata;

    #[test]
    fn what_is_kept_is_read() {
        let rdev = Some(makedev(259, 70_000));
        let values = HostMetadata { uid: Some(0), gid: Some(5), mode: Some(0o060_660), rdev };
        assert_eq!(text_of(&values).as_bytes(), b"0:5:060660:259:70000");
        let link = HostMetadata { mode: None, rdev: None, ..values };
        assert_eq!(text_of(&link).as_bytes(), b"0:5");
        for values in [values, link, HostMetadata { rdev: None, ..values }] {
            assert_eq!(parse(text_of(&values).as_bytes()), values);
        }
        for wrong in ["", "0", "0:", "0:x", "0:0:9", "-1:0"] {
            assert_eq!(parse(wrong.as_bytes()), HostMetadata::default(), "{wrong}");
        }
    }
}
