//! Unix: init is reached by a socket, streams are file descriptors, names are bytes.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use lx_core::control::{HostVariable, User};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::Standard;

mod link;
mod program;
#[cfg(not(test))]
mod transport;
#[cfg(test)]
pub(crate) mod transport;

pub(crate) use std::os::fd::{
    AsFd as AsHandle, BorrowedFd as BorrowedHandle, OwnedFd as OwnedHandle,
};

pub(crate) use link::Link;

/// Whether a machine can have the host's own root file system.
pub(crate) const HAS_HOST_ROOT: bool = true;

/// Borrows the handle of something.
pub(crate) fn handle(of: &impl AsHandle) -> BorrowedHandle<'_> {
    of.as_fd()
}

/// A standard stream of this process.
pub(crate) fn standard(stream: Standard) -> io::Result<OwnedHandle> {
    match stream {
        Standard::Input => rustix::stdio::stdin(),
        Standard::Output => rustix::stdio::stdout(),
        Standard::Error => rustix::stdio::stderr(),
    }
    .try_clone_to_owned()
}

/// A file from which nothing comes and in which everything disappears.
pub(crate) fn null() -> io::Result<OwnedHandle> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// The calling process's own ids.
pub(crate) fn caller() -> User {
    let groups = rustix::process::getgroups().unwrap_or_default();
    User {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: groups.into_iter().map(|group| group.as_raw()).collect(),
    }
}

/// The calling process's file mode creation mask, which can only be read without changing it
/// from procfs.
pub(crate) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok()).unwrap_or(0o022)
}

/// The host's name.
pub(crate) fn host_name() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

/// Environment variables that a command gets in a root of its own, if the caller has them.
pub(crate) fn terminal_type() -> Option<OsString> {
    std::env::var_os("TERM")
}

/// Variables of this process for guests, in the host's form: there are none, the host speaks the
/// guests' language.
pub(crate) fn host_variables() -> Vec<HostVariable> {
    Vec::new()
}

/// A host path as init understands it.
pub(crate) fn host_path(path: &OsStr) -> Vec<u8> {
    path.as_encoded_bytes().to_vec()
}

/// The contents of a file inside a root file system; empty if there is no such file. Absolute
/// links start at `root`, as in the guest.
pub(crate) fn read_inside(root: &Path, path: &str) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(mut file) = open_inside(root, path)
        && file.read_to_end(&mut text).is_err()
    {
        text.clear();
    }
    text
}

fn open_inside(root: &Path, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let root_fd = File::open(root)?;
    match rustix::fs::openat2(&root_fd, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => File::open(root.join(path)),
        Err(errno) => Err(errno.into()),
    }
}
