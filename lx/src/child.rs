//! Commands that have been started.

use std::fmt;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;
use std::thread;

use lx_core::control::{Request, SignalTarget, WindowSize};

use crate::connection::{Connection, Outcome};

const SIGKILL: u32 = 9;

/// A command that has been started by [`Command::spawn`](crate::Command::spawn).
///
/// Dropping it neither ends the command nor waits for it; when the machine goes, the command does.
#[derive(Debug)]
pub struct Child {
    /// The pipe to standard input, if it is [`Stdio::piped`](crate::Stdio::piped).
    pub stdin: Option<PipeWriter>,
    /// The pipe from standard output, if it is piped.
    pub stdout: Option<PipeReader>,
    /// The pipe from standard error, if it is piped.
    pub stderr: Option<PipeReader>,
    /// The keyboard of the command's own [`Terminal`](crate::Terminal), if it has one. To close it
    /// is to hang the terminal up.
    pub terminal_input: Option<PipeWriter>,
    /// The screen of that terminal. It ends when the command has ended and all is read.
    pub terminal_output: Option<PipeReader>,
    id: u64,
    pid: u32,
    connection: Arc<Connection>,
}

impl Child {
    pub(crate) fn new(connection: Arc<Connection>, id: u64, pid: u32) -> Self {
        let (stdin, stdout, stderr) = (None, None, None);
        let (terminal_input, terminal_output) = (None, None);
        Self { stdin, stdout, stderr, terminal_input, terminal_output, id, pid, connection }
    }

    /// The process id inside the guest.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Closes the pipe to standard input and waits until the command has ended.
    ///
    /// # Errors
    ///
    /// The machine stopped before the command ended.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        loop {
            if let Outcome::Exited(status) = self.connection.wait(self.id, false)? {
                return Ok(ExitStatus(status));
            }
        }
    }

    /// Waits until the command has ended or was stopped by a signal, as a shell does. The pipe to
    /// standard input stays open.
    ///
    /// # Errors
    ///
    /// The machine stopped before the command ended.
    pub fn wait_change(&mut self) -> io::Result<Change> {
        Ok(match self.connection.wait(self.id, true)? {
            Outcome::Stopped(signal) => Change::Stopped(signal),
            Outcome::Exited(status) => Change::Exited(ExitStatus(status)),
        })
    }

    /// The exit status if the command has ended.
    ///
    /// # Errors
    ///
    /// The machine stopped before the command ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        Ok(match self.connection.try_wait(self.id)? {
            Some(Outcome::Exited(status)) => Some(ExitStatus(status)),
            _ => None,
        })
    }

    /// Reads what is piped to its end, then waits until the command has ended. What is shown on a
    /// [`Terminal`](crate::Terminal) is read as standard output, if that is not piped.
    ///
    /// # Errors
    ///
    /// Reading failed, or the machine stopped before the command ended.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let stdout = stdout.or_else(|| self.terminal_output.take());
        // Both at once, as a command may fill either pipe first.
        let (stdout, stderr) = thread::scope(|scope| {
            let stderr = scope.spawn(|| read_all(stderr));
            let stdout = read_all(stdout);
            let failed = |_| Err(io::Error::other("the thread that reads standard error failed"));
            (stdout, stderr.join().unwrap_or_else(failed))
        });
        Ok(Output { stdout: stdout?, stderr: stderr?, status: self.wait()? })
    }

    /// Sends `SIGKILL` to the process. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// The machine has stopped.
    pub fn kill(&mut self) -> io::Result<()> {
        self.signal(SIGKILL)
    }

    /// Sends a signal, by its Linux number, to the process. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// The machine has stopped.
    pub fn signal(&self, signal: u32) -> io::Result<()> {
        self.signaller().signal(signal)
    }

    /// Something that sends signals to this command while another thread waits for it.
    pub fn signaller(&self) -> Signaller {
        Signaller { id: self.id, connection: Arc::clone(&self.connection) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.connection.detach(self.id);
    }
}

fn read_all(pipe: Option<PipeReader>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Sends signals to a command, see [`Child::signaller`].
#[derive(Clone, Debug)]
pub struct Signaller {
    id: u64,
    connection: Arc<Connection>,
}

impl Signaller {
    /// Sends a signal to the command's process.
    ///
    /// # Errors
    ///
    /// The machine has stopped; so for the other functions.
    pub fn signal(&self, signal: u32) -> io::Result<()> {
        self.send(SignalTarget::Process(self.id), signal)
    }

    /// Sends a signal to the command's process group.
    pub fn signal_group(&self, signal: u32) -> io::Result<()> {
        self.send(SignalTarget::Group(self.id), signal)
    }

    /// Sends a signal to the foreground process group of the command's terminal; if it has no
    /// terminal, to the command's process group.
    pub fn signal_foreground(&self, signal: u32) -> io::Result<()> {
        self.send(SignalTarget::Foreground(self.id), signal)
    }

    /// Tells the command the new size of its terminal, in lines and characters.
    pub fn resize_terminal(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = WindowSize { rows, columns, x_pixels: 0, y_pixels: 0 };
        self.connection.send(&Request::WindowSize { id: self.id, size }, &[])
    }

    fn send(&self, target: SignalTarget, signal: u32) -> io::Result<()> {
        self.connection.send(&Request::Signal { target, signal }, &[])
    }
}

/// What became of a command, see [`Child::wait_change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was stopped by this signal and may be continued.
    Stopped(u32),
    /// It has ended.
    Exited(ExitStatus),
}

/// What a command wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(i32);

impl ExitStatus {
    /// From a wait status in Linux's encoding.
    pub fn from_raw(status: i32) -> Self {
        Self(status)
    }

    /// It exited with status 0.
    pub fn success(self) -> bool {
        self.code() == Some(0)
    }

    /// The exit status, unless a signal ended it.
    pub fn code(self) -> Option<i32> {
        self.signal().is_none().then_some((self.0 >> 8) & 0xff)
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<i32> {
        Some(self.0 & 0x7f).filter(|&signal| signal != 0)
    }

    /// A signal ended it that makes a core dump.
    pub fn core_dumped(self) -> bool {
        self.signal().is_some() && self.0 & 0x80 != 0
    }

    /// The number by which shells tell it: the exit status, or 128 and the signal.
    pub fn shell_code(self) -> u8 {
        let code = self.code().or(self.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit status: {code}"),
            (_, Some(signal)) if self.core_dumped() => write!(f, "signal: {signal} (core dumped)"),
            (_, signal) => write!(f, "signal: {}", signal.unwrap_or_default()),
        }
    }
}
