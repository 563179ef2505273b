//! Machines and how they are set up.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lx_core::control::{BindMount, Configure, Root};

use crate::connection::Connection;
use crate::image::IMAGE;
use crate::users::Users;
use crate::{Command, Stats, program, transport};

/// A running Linux system with its own processes, file system and signals.
///
/// Dropping it kills everything that runs in it and waits until all is gone. The same happens,
/// without the waiting, when the calling process ends in any way.
#[derive(Debug)]
pub struct Machine {
    shared: Arc<Shared>,
}

/// What commands need of their machine.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    /// The directory that is the root, if it is not the host's.
    pub(crate) rootfs: Option<PathBuf>,
    pub(crate) hostname: OsString,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Shared {
    pub(crate) fn users(&self) -> Users {
        Users::read(self.rootfs.as_deref().unwrap_or(Path::new("/")))
    }
}

impl Machine {
    /// A machine that is to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A command to run in this machine. A name without a slash is looked up in the `PATH` of the
    /// guest.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(Arc::clone(&self.shared), program.as_ref())
    }

    /// What the machine counted so far, if [`Builder::stats`] asked for it.
    ///
    /// # Errors
    ///
    /// The machine has stopped.
    pub fn stats(&self) -> io::Result<Stats> {
        self.shared.connection.stats().map(Stats::new)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shared.connection.close();
    }
}

/// Sets up a [`Machine`].
#[derive(Debug, Default)]
pub struct Builder {
    rootfs: Option<PathBuf>,
    discard_writes: bool,
    binds: Vec<Bind>,
    env: Vec<(OsString, OsString)>,
    hostname: Option<OsString>,
    stats: bool,
    strace: Option<OwnedFd>,
}

#[derive(Debug)]
struct Bind {
    host: PathBuf,
    guest: PathBuf,
    read_only: bool,
}

impl Builder {
    /// Uses a directory of the host as root file system; writes go there.
    ///
    /// Without this, the host's own root is read through and writes are kept in memory.
    pub fn rootfs(mut self, directory: impl Into<PathBuf>) -> Self {
        self.rootfs = Some(directory.into());
        self
    }

    /// Keeps writes in memory with [`rootfs`](Self::rootfs) too, so that the directory does not
    /// change.
    pub fn discard_writes(mut self, discard: bool) -> Self {
        self.discard_writes = discard;
        self
    }

    /// Shows a file or directory of the host at the absolute path `guest`. Unless `read_only`,
    /// writes go to the host.
    pub fn bind(
        mut self,
        host: impl Into<PathBuf>,
        guest: impl Into<PathBuf>,
        read_only: bool,
    ) -> Self {
        self.binds.push(Bind { host: host.into(), guest: guest.into(), read_only });
        self
    }

    /// Sets an environment variable for all commands.
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets the host name of the guest: by default the host's own on its own root, else `lx`.
    pub fn hostname(mut self, hostname: impl Into<OsString>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// Counts system calls, see [`Machine::stats`].
    pub fn stats(mut self, count: bool) -> Self {
        self.stats = count;
        self
    }

    /// Writes every system call that a guest makes as a line of text to this file.
    pub fn strace(mut self, output: impl Into<OwnedFd>) -> Self {
        self.strace = Some(output.into());
        self
    }

    /// Starts the machine.
    ///
    /// # Errors
    ///
    /// A path that was given is unusable, or the kernel cannot be started on this host. The
    /// message is a sentence for the user.
    pub fn build(self) -> io::Result<Machine> {
        self.build_with(IMAGE)
    }

    pub(crate) fn build_with(self, image: &[u8]) -> io::Result<Machine> {
        // Complain about paths before starting anything.
        let configure = self.configure()?;
        let (socket, control) = transport::pair()?;
        let init = program::start(image, control)?;
        self.connect(configure, socket, Some(init))
    }

    /// Sets up a machine whose init is a thread of the test.
    #[cfg(test)]
    pub(crate) fn connect_to_test_init(self, socket: OwnedFd) -> io::Result<Machine> {
        let configure = self.configure()?;
        self.connect(configure, socket, None)
    }

    fn connect(
        self,
        configure: Configure,
        socket: OwnedFd,
        init: Option<std::process::Child>,
    ) -> io::Result<Machine> {
        let hostname = OsStr::from_bytes(&configure.hostname).to_owned();
        let rootfs = match &configure.root {
            Root::HostOverlay => None,
            Root::Directory { path, .. } => Some(PathBuf::from(OsStr::from_bytes(path))),
        };
        let strace = self.strace.as_ref().map(AsFd::as_fd);
        let connection = Connection::open(socket, init, configure, strace)?;
        let env = self.env;
        Ok(Machine { shared: Arc::new(Shared { connection, rootfs, hostname, env }) })
    }

    fn configure(&self) -> io::Result<Configure> {
        let root = match &self.rootfs {
            None => Root::HostOverlay,
            Some(directory) => {
                let path = absolute(directory, "use it as root file system")?;
                if !path.is_dir() {
                    let reason = "it is not a directory";
                    return Err(unusable(&path, "use it as root file system", &reason));
                }
                let writable = !self.discard_writes;
                Root::Directory { path: into_bytes(path), writable }
            }
        };
        let hostname = match (&self.hostname, &root) {
            (Some(hostname), _) => hostname.as_bytes().to_vec(),
            (None, Root::HostOverlay) => rustix::system::uname().nodename().to_bytes().to_vec(),
            (None, Root::Directory { .. }) => b"lx".to_vec(),
        };
        Ok(Configure {
            root,
            mounts: self.binds.iter().map(Bind::to_mount).collect::<io::Result<_>>()?,
            hostname,
            stats: self.stats,
            strace: self.strace.is_some(),
            host_uid: rustix::process::geteuid().as_raw(),
            host_gid: rustix::process::getegid().as_raw(),
        })
    }
}

impl Bind {
    fn to_mount(&self) -> io::Result<BindMount> {
        let purpose = "show it to the guest";
        if !self.guest.is_absolute() {
            let path = self.guest.display();
            let reason = format!("the path in the guest, '{path}', does not start with '/'");
            return Err(unusable(&self.host, purpose, &reason));
        }
        Ok(BindMount {
            host_path: into_bytes(absolute(&self.host, purpose)?),
            guest_path: self.guest.as_os_str().as_bytes().to_vec(),
            read_only: self.read_only,
        })
    }
}

fn absolute(path: &Path, purpose: &str) -> io::Result<PathBuf> {
    fs::canonicalize(path)
        .map_err(|error| io::Error::new(error.kind(), unusable(path, purpose, &error).to_string()))
}

fn unusable(path: &Path, purpose: &str, reason: &dyn std::fmt::Display) -> io::Error {
    let sentence = format!("'{}': cannot {purpose}: {reason}", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, sentence)
}

fn into_bytes(path: PathBuf) -> Vec<u8> {
    use std::os::unix::ffi::OsStringExt;
    path.into_os_string().into_vec()
}
