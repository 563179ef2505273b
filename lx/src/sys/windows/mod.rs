//! Windows: init is reached by two pipes, streams are handles, names are Unicode.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use lx_core::control::{HostVariable, User};

use super::Standard;

mod link;
mod program;

pub(crate) use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

pub(crate) use link::Link;

/// Whether a machine can have the host's own root file system.
pub(crate) const HAS_HOST_ROOT: bool = false;

/// Borrows the handle of something.
pub(crate) fn handle(of: &impl AsHandle) -> BorrowedHandle<'_> {
    of.as_handle()
}

/// A standard stream of this process; nothing if it has none, as a program without console.
pub(crate) fn standard(stream: Standard) -> io::Result<OwnedHandle> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let handle = match stream {
        Standard::Input => stdin.as_handle(),
        Standard::Output => stdout.as_handle(),
        Standard::Error => stderr.as_handle(),
    };
    if handle.as_raw_handle().is_null() {
        return null();
    }
    handle.try_clone_to_owned()
}

/// A file from which nothing comes and in which everything disappears.
pub(crate) fn null() -> io::Result<OwnedHandle> {
    Ok(fs::File::options().read(true).write(true).open("NUL")?.into())
}

/// Who a command runs as when nobody says it.
pub(crate) fn caller() -> User {
    User { uid: 0, gid: 0, groups: vec![0] }
}

/// The file mode creation mask of new commands.
pub(crate) fn umask() -> u32 {
    0o022
}

/// The host's name.
pub(crate) fn host_name() -> Vec<u8> {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "lx".to_owned()).to_lowercase().into_bytes()
}

/// Environment variables that a command gets in a root of its own, if the caller has them.
pub(crate) fn terminal_type() -> Option<OsString> {
    // Windows' console understands this one's sequences, and sets no variable.
    Some(std::env::var_os("TERM").unwrap_or_else(|| "xterm-256color".into()))
}

/// Variables of this process for guests.
pub(crate) fn host_variables() -> Vec<HostVariable> {
    let text = |name: &str| std::env::var_os(name)?.into_string().ok();
    crate::host_env::variables(text)
}

/// A host path as init understands it: an NT path.
pub(crate) fn host_path(path: &OsStr) -> Vec<u8> {
    let bytes = path.as_encoded_bytes();
    match bytes.strip_prefix(br"\\?\UNC\") {
        Some(share) => [br"\??\UNC\", share].concat(),
        None => [br"\??\", bytes.strip_prefix(br"\\?\").unwrap_or(bytes)].concat(),
    }
}

/// The contents of a file inside a root file system; empty if there is no such file.
pub(crate) fn read_inside(root: &Path, path: &str) -> Vec<u8> {
    fs::read(root.join(path)).unwrap_or_default()
}
