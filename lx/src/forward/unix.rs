//! Hands signals that lx gets on to the guest.
//!
//! Only lx is in the session of the host's terminal, so the signals of its keys arrive here.

use std::fs;
use std::io;
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread;

use lx::Signaller;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook::iterator::Signals;

use crate::host_terminal;

const FORWARDED: [i32; 9] =
    [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH];

/// Catches signals from its start on, and forwards them once it knows to whom.
pub(crate) struct Forwarder {
    target: Arc<OnceLock<Signaller>>,
    ignored: u64,
}

impl Forwarder {
    /// Starts to catch signals, except those that lx was started to ignore.
    pub(crate) fn start() -> io::Result<Self> {
        let ignored = ignored_signals();
        let signals = FORWARDED.into_iter().filter(|signal| ignored & bit(*signal) == 0);
        let mut signals = Signals::new(signals)?;
        let target = Arc::new(OnceLock::new());
        let shared = Arc::clone(&target);
        thread::Builder::new().name("lx-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                match shared.get() {
                    // An error means that the machine has stopped, which the waiter reports.
                    Some(target) => drop(forward(target, signal)),
                    None => before_start(signal),
                }
            }
        })?;
        Ok(Self { target, ignored })
    }

    /// Forwards signals to this command from now on.
    pub(crate) fn forward_to(&self, command: Signaller) {
        // Called once.
        let _ = self.target.set(command);
    }

    /// Signals that lx was started to ignore, as by `nohup`, for the guest to ignore too.
    pub(crate) fn ignored_signals(&self) -> impl Iterator<Item = u32> {
        let ignored = self.ignored;
        (1..=64).filter(move |signal| ignored & (1 << (signal - 1)) != 0)
    }
}

/// The guest was stopped: stop too, so that the shell that started lx takes over. Forwarding its
/// `SIGCONT` continues the guest.
pub(crate) fn guest_stopped(_: &Signaller) -> io::Result<()> {
    stop_self()
}

/// Stops this process, as the terminal's suspend key does.
fn stop_self() -> io::Result<()> {
    host_terminal::restore();
    Ok(kill_process(getpid(), Signal::STOP)?)
}

fn forward(target: &Signaller, signal: i32) -> io::Result<()> {
    let number = signal.cast_unsigned();
    match signal {
        // Keys of the terminal mean the foreground group.
        SIGINT | SIGQUIT | SIGTSTP => target.signal_foreground(number),
        // What stopped lx had stopped the command's group before.
        SIGCONT => {
            let shown = host_terminal::continued();
            target.signal_group(number)?;
            // lx was in the background, which does not hear of a new size.
            if shown { resize(target) } else { Ok(()) }
        }
        SIGWINCH => resize(target),
        // The others are sent with kill to the one process that lx stands for.
        _ => target.signal(number),
    }
}

/// While there is no guest, lx itself is what the signal means.
fn before_start(signal: i32) {
    match signal {
        SIGCONT | SIGWINCH => {}
        SIGTSTP => drop(stop_self()),
        _ => process::exit(128 + signal),
    }
}

fn resize(target: &Signaller) -> io::Result<()> {
    match host_terminal::size() {
        Some((rows, columns)) => target.resize_terminal(rows, columns),
        None => Ok(()),
    }
}

/// The signals that this process ignores: bit `n - 1` for signal `n`. Without `SIGPIPE`, which
/// Rust's runtime ignores in every program.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.unwrap_or(0) & !bit(SIGPIPE)
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}
