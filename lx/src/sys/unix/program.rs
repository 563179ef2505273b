//! Starts the kernel image as a child process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

/// Starts init from an ELF image with `control` as its standard input, which is where the protocol wants it: that
/// number survives exec without further help.
///
/// Standard error is inherited and takes reports of kernel bugs; the environment is empty.
pub(crate) fn start(image: &[u8], control: OwnedFd) -> io::Result<Child> {
    if image.is_empty() {
        let reason = "this build of lx carries no kernel image";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    let mut file = File::from(executable_memfd()?);
    file.write_all(image)?;
    // The path is resolved in the child before exec closes the descriptor.
    Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .arg0("lx-init")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("cannot start the kernel image: {error}"))
        })
}

fn executable_memfd() -> io::Result<OwnedFd> {
    // Hosts may be set up to make memory files not executable unless asked; before Linux 6.3
    // the flag for asking is unknown.
    let flags = MemfdFlags::CLOEXEC;
    match rustix::fs::memfd_create("lx-init", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create("lx-init", flags)?),
        result => Ok(result?),
    }
}
