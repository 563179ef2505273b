//! Commands that are to be started.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lx_core::control::{HostVariable, Spawn, SpawnTerminal};

use crate::machine::{RootFs, Shared};
use crate::names::os_string;
use crate::sys::{self, BorrowedHandle, OwnedHandle, Standard};
use crate::users::Users;
use crate::{Child, ExitStatus, Output, SpawnError, Terminal};

/// What docker and Debian's login give to root.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Environment = BTreeMap<OsString, OsString>;

/// A command to be started in a [`Machine`](crate::Machine), in the manner of
/// [`std::process::Command`]. What it starts with by default is told [here](crate#defaults).
#[derive(Debug)]
pub struct Command {
    shared: Arc<Shared>,
    program: OsString,
    args: Vec<OsString>,
    arg0: Option<OsString>,
    env_clear: bool,
    /// Variables that were set, or removed.
    env: BTreeMap<OsString, Option<OsString>>,
    directory: Option<PathBuf>,
    user: Option<OsString>,
    ignored_signals: u64,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    terminal: Option<Terminal>,
}

impl Command {
    pub(crate) fn new(shared: Arc<Shared>, program: &OsStr) -> Self {
        Self {
            shared,
            program: program.to_owned(),
            args: Vec::new(),
            arg0: None,
            env_clear: false,
            env: BTreeMap::new(),
            directory: None,
            user: None,
            ignored_signals: 0,
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: None,
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets the zeroth argument, which is the program as it was given by default.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.arg0 = Some(arg.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.insert(key.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    pub fn envs(
        &mut self,
        vars: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        for (key, value) in vars {
            self.env(key, value);
        }
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.env.insert(key.as_ref().to_owned(), None);
        self
    }

    /// Starts with an empty environment, without the defaults and what the machine sets.
    pub fn env_clear(&mut self) -> &mut Self {
        self.env_clear = true;
        self.env.clear();
        self
    }

    /// Sets the working directory in the guest. A relative path starts at the default one.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Runs as `USER` or `USER:GROUP`, each a number or a name in the guest's `/etc/passwd` or
    /// `/etc/group`.
    pub fn user(&mut self, user: impl AsRef<OsStr>) -> &mut Self {
        self.user = Some(user.as_ref().to_owned());
        self
    }

    /// Starts with this signal ignored, as `nohup` does with `SIGHUP`.
    pub fn ignore_signal(&mut self, signal: u32) -> &mut Self {
        if let 1..=64 = signal {
            self.ignored_signals |= 1 << (signal - 1);
        }
        self
    }

    /// Sets standard input; by default it is inherited, and null for [`output`](Self::output).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Sets standard output; by default it is inherited, and piped for [`output`](Self::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Sets standard error; by default it is inherited, and piped for [`output`](Self::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// Gives the command a terminal of its own, which is those of its standard streams that are not
    /// set. [`Child`] has the keyboard and the screen.
    pub fn terminal(&mut self, terminal: Terminal) -> &mut Self {
        self.terminal = Some(terminal);
        self
    }

    /// Starts the command.
    ///
    /// # Errors
    ///
    /// If the program cannot be run, the error holds a [`SpawnError`]. Else the user is unknown,
    /// an argument has a zero byte, or the machine has stopped.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with(&Kind::Inherit, &Kind::Inherit)
    }

    /// Starts the command and waits until it has ended.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn), and the machine stopped before the command ended.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Runs the command to its end and collects what it writes.
    ///
    /// # Errors
    ///
    /// As for [`status`](Self::status), and reading failed.
    pub fn output(&mut self) -> io::Result<Output> {
        self.spawn_with(&Kind::Null, &Kind::Piped)?.wait_with_output()
    }

    fn spawn_with(&mut self, input: &Kind, output: &Kind) -> io::Result<Child> {
        let request = self.request()?;
        // What stands for a stream of the terminal is not used.
        let own = self.terminal.is_some();
        let (input, output) = if own { (&Kind::Null, &Kind::Null) } else { (input, output) };
        let (stdin, write_stdin) = kind(&self.stdin, input).input(Standard::Input)?;
        let (stdout, read_stdout) = kind(&self.stdout, output).output(Standard::Output)?;
        let (stderr, read_stderr) = kind(&self.stderr, output).output(Standard::Error)?;

        let (typed, terminal_input) = own.then(io::pipe).transpose()?.unzip();
        let (terminal_output, shown) = own.then(io::pipe).transpose()?.unzip();

        let directory = os_string(&request.cwd);
        let mut stdio = vec![stdin.handle(), stdout.handle(), stderr.handle()];
        stdio.extend(typed.as_ref().map(sys::handle));
        stdio.extend(shown.as_ref().map(sys::handle));
        let connection = &self.shared.connection;
        let (id, pid) = connection
            .spawn(request, &stdio)?
            .map_err(|failed| SpawnError::new(self.program.clone(), directory, failed))?;
        let mut child = Child::new(Arc::clone(connection), id, pid);
        (child.stdin, child.stdout, child.stderr) = (write_stdin, read_stdout, read_stderr);
        (child.terminal_input, child.terminal_output) = (terminal_input, terminal_output);
        Ok(child)
    }

    fn request(&self) -> io::Result<Spawn> {
        let users = self.shared.users();
        let user = match &self.user {
            Some(spec) => users.resolve(spec)?,
            None if self.shared.root.is_host() => sys::caller(),
            None => users.resolve(OsStr::new("0"))?,
        };
        let arg0 = self.arg0.as_ref().unwrap_or(&self.program);
        let (env, host_env) = self.environment(&users, user.uid);
        Ok(Spawn {
            id: 0,
            program: c_bytes(&self.program)?,
            search_path: !self.program.as_encoded_bytes().contains(&b'/'),
            argv: std::iter::once(arg0)
                .chain(&self.args)
                .map(|a| c_bytes(a))
                .collect::<io::Result<_>>()?,
            env: env.iter().map(|(key, value)| variable(key, value)).collect::<io::Result<_>>()?,
            host_env,
            cwd: self.working_directory()?,
            user,
            umask: sys::umask(),
            ignored_signals: self.ignored_signals,
            terminal: self.terminal.as_ref().map_or(SpawnTerminal::Standard, |terminal| {
                let streams = [&self.stdin, &self.stdout, &self.stderr];
                terminal.for_streams(streams.map(Option::is_none))
            }),
        })
    }

    /// Paths of the guest are bytes with slashes, whatever the host's paths look like.
    fn working_directory(&self) -> io::Result<Vec<u8>> {
        let given = self.directory.as_ref().map(|directory| c_bytes(directory.as_os_str()));
        let given = given.transpose()?.unwrap_or_default();
        if given.starts_with(b"/") {
            return Ok(given);
        }
        let mut path = match self.shared.root {
            RootFs::Host => c_bytes(std::env::current_dir()?.as_os_str())?,
            _ => b"/".to_vec(),
        };
        if !given.is_empty() {
            if !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend(given);
        }
        Ok(path)
    }

    /// The variables, and those of the host that the kernel translates.
    fn environment(&self, users: &Users, uid: u32) -> (Environment, Vec<HostVariable>) {
        let mut env = BTreeMap::new();
        if !self.env_clear {
            if self.shared.root.is_host() {
                env.extend(std::env::vars_os());
            } else {
                env.insert("PATH".into(), DEFAULT_PATH.into());
                env.insert("HOME".into(), users.home(uid));
                env.insert("HOSTNAME".into(), self.shared.hostname.clone());
                env.extend(sys::terminal_type().map(|term| ("TERM".into(), term)));
            }
            env.extend(self.shared.env.iter().cloned());
        }
        for (key, value) in &self.env {
            match value {
                Some(value) => env.insert(key.clone(), value.clone()),
                None => env.remove(key),
            };
        }
        let host_env = if self.env_clear { Vec::new() } else { self.host_variables() };
        (env, host_env)
    }

    /// What guests get of the caller's variables, except for those that were set or removed.
    fn host_variables(&self) -> Vec<HostVariable> {
        let mut variables = sys::host_variables();
        let is_set = |name: &[u8]| {
            let same = |key: &OsString| key.as_encoded_bytes() == name;
            self.env.keys().chain(self.shared.env.iter().map(|(key, _)| key)).any(same)
        };
        variables.retain(|variable| !is_set(&variable.name));
        variables
    }
}

fn c_bytes(text: &OsStr) -> io::Result<Vec<u8>> {
    let bytes = text.as_encoded_bytes();
    if bytes.contains(&0) {
        let sentence = format!("'{}' has a zero byte in it", text.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
    }
    Ok(bytes.to_vec())
}

fn variable(key: &OsStr, value: &OsStr) -> io::Result<Vec<u8>> {
    let mut variable = c_bytes(key)?;
    variable.push(b'=');
    variable.extend(c_bytes(value)?);
    Ok(variable)
}

/// Where a standard stream of a command leads. Files and pipes convert into it; they stay open
/// as long as the [`Command`] that they were given to.
#[derive(Debug)]
pub struct Stdio(Kind);

#[derive(Debug)]
enum Kind {
    Inherit,
    Null,
    Piped,
    Handle(OwnedHandle),
}

impl Stdio {
    /// The same stream of the calling process.
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// `/dev/null`.
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// A new pipe, whose other end is in the [`Child`].
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }
}

macro_rules! stdio_from {
    ($($from:ty),*) => {$(
        impl From<$from> for Stdio {
            fn from(from: $from) -> Self {
                Self(Kind::Handle(from.into()))
            }
        }
    )*};
}
stdio_from!(File, OwnedHandle, PipeReader, PipeWriter);

fn kind<'a>(stdio: &'a Option<Stdio>, default: &'a Kind) -> &'a Kind {
    stdio.as_ref().map_or(default, |stdio| &stdio.0)
}

/// A handle to be sent to init.
enum Stream<'a> {
    Borrowed(BorrowedHandle<'a>),
    Owned(OwnedHandle),
}

impl Stream<'_> {
    fn handle(&self) -> BorrowedHandle<'_> {
        match self {
            Self::Borrowed(handle) => *handle,
            Self::Owned(handle) => sys::handle(handle),
        }
    }
}

impl Kind {
    fn input(&self, inherited: Standard) -> io::Result<(Stream<'_>, Option<PipeWriter>)> {
        if let Self::Piped = self {
            let (reader, writer) = io::pipe()?;
            return Ok((Stream::Owned(reader.into()), Some(writer)));
        }
        Ok((self.existing(inherited)?, None))
    }

    fn output(&self, inherited: Standard) -> io::Result<(Stream<'_>, Option<PipeReader>)> {
        if let Self::Piped = self {
            let (reader, writer) = io::pipe()?;
            return Ok((Stream::Owned(writer.into()), Some(reader)));
        }
        Ok((self.existing(inherited)?, None))
    }

    fn existing(&self, inherited: Standard) -> io::Result<Stream<'_>> {
        Ok(match self {
            Self::Inherit => Stream::Owned(sys::standard(inherited)?),
            Self::Null | Self::Piped => Stream::Owned(sys::null()?),
            Self::Handle(handle) => Stream::Borrowed(sys::handle(handle)),
        })
    }
}
