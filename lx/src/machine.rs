//! Machines and how they are set up.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lx_core::control::{BindMount, Configure, Request, Root, TerminalSettings};

use crate::archive::Archive;
use crate::connection::Connection;
use crate::names::os_string;
use crate::sys::{self, Link, OwnedHandle};
use crate::users::Users;
use crate::{Command, Stats};

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
    pub(crate) root: RootFs,
    pub(crate) hostname: OsString,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Shared {
    pub(crate) fn users(&self) -> Users {
        match &self.root {
            RootFs::Host => Users::read(Path::new("/")),
            RootFs::Directory(path) => Users::read(path),
            RootFs::Archive(users) => users.clone(),
        }
    }
}

/// Where the root file system comes from.
#[derive(Debug)]
pub(crate) enum RootFs {
    Host,
    Directory(PathBuf),
    /// With the user database that was in the archive.
    Archive(Users),
}

impl RootFs {
    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Host)
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

    /// Has a terminal of the host looked after, which the caller is about to make raw as
    /// `cfmakeraw(3)` does, to show a [`Terminal`](crate::Terminal) there: if the calling process
    /// dies before it has restored the terminal, the machine gives it these settings. For the console
    /// of Windows the four numbers of the settings are the modes of its input and of its screen, and
    /// the code pages of both.
    ///
    /// # Errors
    ///
    /// The machine has stopped.
    pub fn guard_terminal(
        &self,
        terminal: impl Into<OwnedHandle>,
        settings: TerminalSettings,
    ) -> io::Result<()> {
        self.shared.connection.let_init_end()?;
        let request = Request::GuardTerminal(settings);
        self.shared.connection.send(&request, &[sys::handle(&terminal.into())])
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
    strace: Option<OwnedHandle>,
}

#[derive(Debug)]
struct Bind {
    host: PathBuf,
    guest: PathBuf,
    read_only: bool,
}

impl Builder {
    /// Uses a directory of the host as root file system, and writes go there; or a tar archive,
    /// plain or compressed by gzip, xz or zstd, which is unpacked into memory.
    ///
    /// Without this, the host's own root is read through and writes are kept in memory.
    pub fn rootfs(mut self, path: impl Into<PathBuf>) -> Self {
        self.rootfs = Some(path.into());
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
    pub fn strace(mut self, output: impl Into<OwnedHandle>) -> Self {
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
        self.build_on(Link::start)
    }

    pub(crate) fn build_on(
        self,
        start: impl FnOnce() -> io::Result<(Link, std::process::Child)>,
    ) -> io::Result<Machine> {
        // Complain about paths before starting anything.
        let setup = self.setup()?;
        let (link, init) = start()?;
        self.connect(setup, link, Some(init))
    }

    /// Sets up a machine whose init is a thread of the test.
    #[cfg(test)]
    #[cfg(unix)]
    pub(crate) fn connect_to_test_init(self, socket: OwnedHandle) -> io::Result<Machine> {
        let setup = self.setup()?;
        self.connect(setup, Link::to_test_init(socket), None)
    }

    fn connect(
        self,
        Setup { configure, root }: Setup,
        link: Link,
        init: Option<std::process::Child>,
    ) -> io::Result<Machine> {
        let hostname = os_string(&configure.hostname);
        let strace = self.strace.as_ref().map(sys::handle);
        let connection = Connection::start(link, init)?;
        let root = match root {
            Source::Host => RootFs::Host,
            Source::Directory(path) => RootFs::Directory(path),
            Source::Archive(archive) => RootFs::Archive(connection.populate(archive)?),
        };
        connection.configure(configure, strace)?;
        let env = self.env;
        Ok(Machine { shared: Arc::new(Shared { connection, root, hostname, env }) })
    }

    fn setup(&self) -> io::Result<Setup> {
        let source = self.source()?;
        let root = match &source {
            Source::Host => Root::HostOverlay,
            Source::Archive(_) => Root::Memory,
            Source::Directory(path) => Root::Directory {
                path: sys::host_path(path.as_os_str()),
                writable: !self.discard_writes,
            },
        };
        let hostname = match (&self.hostname, &root) {
            (Some(hostname), _) => hostname.as_encoded_bytes().to_vec(),
            (None, Root::HostOverlay) => sys::host_name(),
            (None, _) => b"lx".to_vec(),
        };
        let configure = Configure {
            root,
            mounts: self.binds.iter().map(Bind::to_mount).collect::<io::Result<_>>()?,
            hostname,
            stats: self.stats,
            strace: self.strace.is_some(),
        };
        Ok(Setup { configure, root: source })
    }

    fn source(&self) -> io::Result<Source> {
        let Some(path) = &self.rootfs else {
            if sys::HAS_HOST_ROOT {
                return Ok(Source::Host);
            }
            let reason = "say which root file system to use, as in `lx run --rootfs debian.tar.xz \
                          /bin/bash`; this host has none of its own";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        };
        let found = absolute(path, "use it as root file system")?;
        if found.is_dir() {
            return Ok(Source::Directory(found));
        }
        // Messages name it as the user did.
        Archive::open(path).map(Source::Archive)
    }
}

/// What was asked for, checked.
struct Setup {
    configure: Configure,
    root: Source,
}

/// What the root file system is made of.
enum Source {
    Host,
    Directory(PathBuf),
    Archive(Archive),
}

impl Bind {
    fn to_mount(&self) -> io::Result<BindMount> {
        let purpose = "show it to the guest";
        // A path of the guest: Windows would ask for a drive.
        let guest = self.guest.as_os_str().as_encoded_bytes();
        if !guest.starts_with(b"/") {
            let path = self.guest.display();
            let reason = format!("the path in the guest, '{path}', does not start with '/'");
            return Err(unusable(&self.host, purpose, &reason));
        }
        let path = absolute(&self.host, purpose)?;
        let (folder, file) = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) if !path.is_dir() => (folder, name),
            _ => (&*path, OsStr::new("")),
        };
        Ok(BindMount {
            host_path: sys::host_path(folder.as_os_str()),
            file_name: file.as_encoded_bytes().to_vec(),
            guest_path: guest.to_vec(),
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
