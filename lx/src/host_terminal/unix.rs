//! The host's terminal is made raw, so that every key reaches the guest's. It is restored whenever
//! lx ends or stops: here as long as lx lives, by the machine if lx was killed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, JoinHandle};

use lx::{Child, Command, Machine, Stdio, Terminal, TerminalSettings};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The terminal that was made raw, and its settings before.
static RAW: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// In Linux's order.
const CHARACTERS: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// The terminal that lx was started at.
pub(crate) struct HostTerminal {
    terminal: OwnedFd,
    usual: Termios,
}

/// A guest's terminal that is shown there.
pub(crate) struct Shown {
    screen: JoinHandle<()>,
}

impl HostTerminal {
    /// The terminal among the standard streams.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn find() -> io::Result<Self> {
        let streams = [stdin(), stdout(), stderr()];
        let Some(terminal) = streams.into_iter().find(|fd| isatty(fd)) else {
            return Err(io::Error::other(super::NONE));
        };
        let terminal = terminal.try_clone_to_owned()?;
        let usual = tcgetattr(&terminal)?;
        Ok(Self { terminal, usual })
    }

    /// Gives a command a terminal like this one. Streams that lead elsewhere do so for the guest.
    pub(crate) fn give_to(&self, machine: &Machine, command: &mut Command) -> io::Result<()> {
        let (rows, columns) = size().unwrap_or_default();
        let settings = settings(&self.usual);
        command.terminal(Terminal::new(rows, columns).settings(settings.clone()));
        if !isatty(stdin()) {
            command.stdin(Stdio::inherit());
        }
        if !isatty(stdout()) {
            command.stdout(Stdio::inherit());
        }
        if !isatty(stderr()) {
            command.stderr(Stdio::inherit());
        }
        machine.guard_terminal(self.terminal.try_clone()?, settings)
    }

    /// Makes the terminal raw and shows that of the command there.
    pub(crate) fn show(self, child: &mut Child) -> io::Result<Shown> {
        let (keyboard, screen) = (child.terminal_input.take(), child.terminal_output.take());
        let mut keys = File::from(self.terminal.try_clone()?);
        let mut shown = File::from(self.terminal.try_clone()?);
        restore_if_lx_panics();
        set_raw(&self.terminal, &self.usual)?;
        *raw() = Some((self.terminal, self.usual));
        let keyboard = keyboard.ok_or_else(|| io::Error::other("the command has no keyboard"))?;
        thread::Builder::new().name("lx-keyboard".to_owned()).spawn(move || {
            let mut keyboard = keyboard;
            // At the end the terminal is gone, or the command.
            let _ = io::copy(&mut keys, &mut keyboard);
        })?;
        let screen = thread::Builder::new().name("lx-screen".to_owned()).spawn(move || {
            // A terminal that is gone shows nothing.
            let _ = screen.map(|mut screen| io::copy(&mut screen, &mut shown));
        })?;
        Ok(Shown { screen })
    }
}

impl Shown {
    /// The command has ended: waits until all that it has printed is shown.
    pub(crate) fn finish(self) {
        // An error means that the thread has panicked, which was reported.
        let _ = self.screen.join();
        restore();
    }
}

/// Restores the terminal, if it was made raw.
pub(crate) fn restore() {
    if let Some((terminal, usual)) = &*raw() {
        // A terminal that cannot be set is gone.
        let _ = tcsetattr(terminal, OptionalActions::Now, usual);
    }
}

/// lx goes on after a stop, and others had the terminal meanwhile. Whether one is shown.
pub(crate) fn continued() -> bool {
    // In the background this stops lx again, so the lock is not held.
    let terminal = raw().as_ref().map(|(terminal, usual)| (terminal.try_clone(), usual.clone()));
    match terminal {
        Some((Ok(terminal), usual)) => set_raw(terminal, &usual).is_ok(),
        _ => false,
    }
}

/// Lines and characters of the terminal among the standard streams.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = [stdin(), stdout(), stderr()].into_iter().find_map(|fd| tcgetwinsize(fd).ok())?;
    Some((size.ws_row, size.ws_col))
}

fn raw() -> MutexGuard<'static, Option<(OwnedFd, Termios)>> {
    RAW.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set_raw(terminal: impl AsFd, usual: &Termios) -> io::Result<()> {
    let mut settings = usual.clone();
    settings.make_raw();
    // What was typed already is for the guest.
    Ok(tcsetattr(terminal, OptionalActions::Drain, &settings)?)
}

/// Before the message, which a raw terminal would garble.
fn restore_if_lx_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}

fn settings(of: &Termios) -> TerminalSettings {
    TerminalSettings {
        input: of.input_modes.bits(),
        output: of.output_modes.bits(),
        control: of.control_modes.bits(),
        local: of.local_modes.bits(),
        characters: CHARACTERS.into_iter().map(|index| of.special_codes[index]).collect(),
    }
}
