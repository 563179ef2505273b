//! What the calls with paths have in common: copying a path in and finding where it starts.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::AtFlags;
use lx_core::abi::{DirFd, Errno, Fd, PAGE_SIZE, UserCStr, UserPtr};
use lx_core::file::OpenFile;
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_vfs::location::Path;
use lx_vfs::path::Lookup;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Where a relative path starts: a descriptor's place, or the working directory.
pub(super) struct Start(Option<Arc<OpenFile>>);

impl Start {
    /// For a path that does not depend on a descriptor.
    pub(super) const CWD: Self = Self(None);

    /// The place, `None` for the working directory.
    ///
    /// # Errors
    /// `ENOTDIR` if the descriptor's file has no place in the tree (a pipe, for example).
    pub(super) fn path(&self) -> Result<Option<&Path>> {
        match &self.0 {
            None => Ok(None),
            Some(file) => Ok(Some(Path::of(file).ok_or(Errno::ENOTDIR)?)),
        }
    }
}

/// Finds the start of `path`. An absolute path has none, so that its descriptor is not looked at.
///
/// # Errors
/// `EBADF`.
pub(super) fn start(task: &CurrentTask<'_>, dirfd: DirFd, path: &[u8]) -> Result<Start> {
    if path.first() == Some(&b'/') {
        return Ok(Start::CWD);
    }
    start_of_any(task, dirfd)
}

/// As [`start`], also for absolute paths: those of `RESOLVE_IN_ROOT` start at the descriptor.
///
/// # Errors
/// `EBADF`.
pub(super) fn start_of_any(task: &CurrentTask<'_>, dirfd: DirFd) -> Result<Start> {
    match dirfd.fd() {
        None => Ok(Start::CWD),
        Some(fd) => Ok(Start(Some(task.files().get_any(fd)?))),
    }
}

/// Copies a path in.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`; `ENOENT` if it is empty.
pub(super) fn read_path<'b>(
    task: &CurrentTask<'_>,
    path: UserCStr,
    buffer: &'b mut PathBuffer,
) -> Result<&'b [u8]> {
    let path = task.memory().read_path(path, buffer)?;
    if path.is_empty() { Err(Errno::ENOENT.into()) } else { Ok(path) }
}

/// Copies a path in and resolves it.
///
/// # Errors
/// As `path_resolution(7)`; `EBADF`, `EFAULT`.
pub(super) fn lookup(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    how: Lookup,
) -> Result<Path> {
    let mut buffer = PathBuffer::new();
    let path = if how.contains(Lookup::EMPTY) {
        task.memory().read_path(path, &mut buffer)?
    } else {
        read_path(task, path, &mut buffer)?
    };
    let start = start(task, dirfd, path)?;
    task.fs().lookup(&task.caller(), start.path()?, path, how)
}

/// For calls that follow links unless `AT_SYMLINK_NOFOLLOW` is given.
pub(super) fn follow_unless_told(flags: AtFlags) -> Lookup {
    let mut how = Lookup::empty();
    how.set(Lookup::FOLLOW, !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW));
    how.set(Lookup::EMPTY, flags.contains(AtFlags::AT_EMPTY_PATH));
    how
}

/// The descriptor, if `AT_EMPTY_PATH` with an empty path (or none) says that its own file is
/// meant. A path that cannot be read is none of these: resolving it fails, later.
pub(super) fn descriptor_itself(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: AtFlags,
) -> Option<Fd> {
    if !flags.contains(AtFlags::AT_EMPTY_PATH) {
        return None;
    }
    let fd = dirfd.fd().filter(|fd| fd.raw() >= 0)?;
    let is_empty =
        path.is_null() || task.memory().read(path.as_ptr()).is_ok_and(|first| first == 0);
    is_empty.then_some(fd)
}

/// Where the file of a descriptor lies, for calls that change its attributes.
///
/// # Errors
/// `EOPNOTSUPP` if it has no place in the tree, as Linux answers for anonymous inodes.
pub(super) fn place_of(file: &OpenFile) -> Result<&Path> {
    Path::of(file).ok_or(Errno::EOPNOTSUPP.into())
}

/// Copies a structure in that the caller may know longer than we do, as long as what we do not know
/// is zero.
///
/// # Errors
/// `EFAULT`; `EINVAL` if it is too short; `E2BIG` if it is longer than a page or has more.
pub(super) fn read_extensible<T: FromBytes + FromZeros + IntoBytes>(
    task: &CurrentTask<'_>,
    from: UserPtr<T>,
    size: usize,
) -> Result<T> {
    let known = size_of::<T>();
    if size < known {
        return Err(Errno::EINVAL.into());
    }
    if size as u64 > PAGE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let mut addr = from.addr().wrapping_add(known as u64);
    let mut rest = size.saturating_sub(known);
    let mut chunk = [0_u8; 64];
    while rest > 0 {
        let len = rest.min(chunk.len());
        let part = chunk.get_mut(..len).unwrap_or_default();
        task.memory().read_bytes(addr, part)?;
        if part.iter().any(|&byte| byte != 0) {
            return Err(Errno::E2BIG.into());
        }
        addr = addr.wrapping_add(len as u64);
        rest = rest.saturating_sub(len);
    }
    task.memory().read(from)
}
