//! `lx run`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lx::{Change, Machine, SpawnError};

use crate::OWN_FAILURE;
use crate::cli::RunOptions;
use crate::forward::{Forwarder, guest_stopped};
use crate::host_terminal::HostTerminal;
use crate::names::os_string;

const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why there is no exit status of the guest.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) sentence: String,
    pub(crate) status: u8,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let spawn = error.get_ref().and_then(|inner| inner.downcast_ref::<SpawnError>());
        let status = match spawn {
            Some(error) if error.is_not_found() => NOT_FOUND,
            Some(error) if error.is_not_executable() => NOT_EXECUTABLE,
            _ => OWN_FAILURE,
        };
        Self { sentence: error.to_string(), status }
    }
}

/// Runs the program and returns the exit status for lx.
pub(crate) fn run(options: &RunOptions) -> Result<u8, Failure> {
    let Some((program, args)) = options.command.split_first() else {
        return Err(io::Error::other("no program was given").into());
    };
    let terminal = options.terminal.then(HostTerminal::find).transpose()?;
    let forwarder = Forwarder::start()?;
    let mut stats_output =
        options.stats.as_ref().map(|file| output(file.as_deref())).transpose()?;

    let machine = machine(options)?;
    let mut command = machine.command(program);
    command.args(args);
    for signal in forwarder.ignored_signals() {
        command.ignore_signal(signal);
    }
    for variable in &options.env {
        set_variable(&mut command, variable);
    }
    if let Some(directory) = &options.workdir {
        command.current_dir(directory);
    }
    if let Some(user) = &options.user {
        command.user(user);
    }
    if let Some(terminal) = &terminal {
        terminal.give_to(&machine, &mut command)?;
    }
    let mut child = command.spawn()?;
    forwarder.forward_to(child.signaller());
    let shown = terminal.map(|terminal| terminal.show(&mut child)).transpose()?;

    let status = loop {
        match child.wait_change()? {
            Change::Stopped(_) => guest_stopped(&child.signaller())?,
            Change::Exited(status) => break status,
        }
    };
    if let Some(shown) = shown {
        shown.finish();
    }
    if let Some(output) = &mut stats_output {
        let text = machine.stats()?.to_string();
        let result = output.write_all(text.as_bytes());
        result.map_err(|error| unwritable(options.stats.as_ref(), &error))?;
    }
    if options.strace.is_some()
        && let Some(lost) = machine.stats()?.lost_trace_lines()
    {
        let reason = io::Error::other(format!("{lost} lines are lost"));
        return Err(unwritable(options.strace.as_ref(), &reason));
    }
    // Kills what the program left running and waits until it is gone.
    drop(machine);
    Ok(status.shell_code())
}

fn machine(options: &RunOptions) -> Result<Machine, Failure> {
    let mut builder = Machine::builder().stats(options.stats.is_some());
    if let Some(directory) = &options.rootfs {
        builder = builder.rootfs(directory);
    }
    for volume in &options.volume {
        builder = builder.bind(&volume.host, &volume.guest, volume.read_only);
    }
    if let Some(file) = &options.strace {
        builder = builder.strace(output(file.as_deref())?);
    }
    Ok(builder.build()?)
}

/// A file that is made anew, or standard error.
fn output(file: Option<&Path>) -> Result<File, Failure> {
    let Some(path) = file else {
        return Ok(standard_error()?.into());
    };
    File::create(path).map_err(|error| unwritable(Some(&Some(path.to_owned())), &error))
}

/// Why there is not all in a file, or on standard error, that was asked for.
fn unwritable(file: Option<&Option<PathBuf>>, error: &io::Error) -> Failure {
    let sentence = match file {
        Some(Some(path)) => format!("cannot write '{}': {error}", path.display()),
        _ => format!("cannot write to standard error: {error}"),
    };
    Failure { sentence, status: OWN_FAILURE }
}

#[cfg(unix)]
fn standard_error() -> io::Result<std::os::fd::OwnedFd> {
    std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()
}

#[cfg(windows)]
fn standard_error() -> io::Result<std::os::windows::io::OwnedHandle> {
    std::os::windows::io::AsHandle::as_handle(&io::stderr()).try_clone_to_owned()
}

/// Takes `NAME=VALUE`, or `NAME` for the caller's value if it has one.
fn set_variable(command: &mut lx::Command, variable: &OsStr) {
    let bytes = variable.as_encoded_bytes();
    if let Some(at) = bytes.iter().position(|&byte| byte == b'=') {
        let (name, value) = bytes.split_at(at);
        let value = value.strip_prefix(b"=").unwrap_or(value);
        command.env(os_string(name), os_string(value));
    } else if let Some(value) = std::env::var_os(variable) {
        command.env(variable, value);
    }
}
