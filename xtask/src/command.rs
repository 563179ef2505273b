//! Commands that a task runs.

use std::env;
use std::ffi::OsStr;
use std::process::{Child, Command, Output, Stdio};

use crate::Failure;

/// A command, and the words that name it in a report.
#[derive(Debug)]
pub(crate) struct Task {
    command: Command,
    name: String,
}

/// The cargo that runs this task.
pub(crate) fn cargo(args: &[&str]) -> Task {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args);
    Task { command, name: format!("cargo {}", args.join(" ")) }
}

/// A program that runs as long as the value lives.
#[derive(Debug)]
pub(crate) struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended by itself, which nobody minds.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Task {
    /// Any program.
    pub(crate) fn new(program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = Command::new(&program);
        command.args(args);
        let name = format!("{} {}", program.as_ref().display(), args.join(" "));
        Self { command, name }
    }

    /// Adds arguments that the name leaves out.
    pub(crate) fn args(mut self, args: &[impl AsRef<OsStr>]) -> Self {
        self.command.args(args);
        self
    }

    /// Adds one.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes an environment variable.
    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Runs with the terminal's own input and output.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{}: {status}", self.name)),
            Err(error) => Err(format!("{} cannot be run: {error}", self.name)),
        }
    }

    /// Starts it, silently, with a standard input that never has anything and ends with the value.
    pub(crate) fn start_waiting(mut self) -> Result<Waiting, Failure> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.command.spawn();
        child.map(Waiting).map_err(|error| format!("{} cannot be run: {error}", self.name))
    }

    /// Runs silently; the failure holds everything that it printed.
    pub(crate) fn output(mut self) -> Result<Vec<u8>, Failure> {
        match self.command.output() {
            Ok(Output { status, stdout, .. }) if status.success() => Ok(stdout),
            Ok(Output { status, stdout, stderr }) => Err(format!(
                "{}: {status}\n{}{}",
                self.name,
                String::from_utf8_lossy(&stdout),
                String::from_utf8_lossy(&stderr)
            )),
            Err(error) => Err(format!("{} cannot be run: {error}", self.name)),
        }
    }
}
