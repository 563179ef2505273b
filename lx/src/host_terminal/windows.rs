//! The console is made raw, so that every key reaches the guest's terminal, and shows what that one
//! shows. `main` restores it, as it does after guests that have the console itself; the machine does
//! so if lx was killed.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::windows::io::AsHandle;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use lx::{Child, Command, Machine, Signaller, Stdio, Terminal, TerminalSettings};
use lx_windows::{Keyboard, Screen, console_size, is_console, open_console};

use super::NONE;
use super::letters::Letters;

/// Where keys go while a guest's terminal is shown.
static KEYS: Mutex<Option<PipeWriter>> = Mutex::new(None);

fn keys() -> MutexGuard<'static, Option<PipeWriter>> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Types Ctrl-C, which the console has taken for an event: what that means is for the guest's terminal
/// to say. `false` if none is shown.
pub(crate) fn type_interrupt() -> bool {
    const CTRL_C: u8 = 3;
    keys().as_mut().is_some_and(|keys| keys.write_all(&[CTRL_C]).is_ok())
}

/// The console that lx was started in.
pub(crate) struct HostTerminal {
    keyboard: Keyboard,
    screen: Screen,
}

/// A guest's terminal that is shown there.
pub(crate) struct Shown {
    screen: JoinHandle<()>,
}

impl HostTerminal {
    /// The console, if a standard stream is one.
    ///
    /// # Errors
    ///
    /// None is.
    pub(crate) fn find() -> io::Result<Self> {
        let streams =
            [is_console(&io::stdin()), is_console(&io::stdout()), is_console(&io::stderr())];
        let console = streams.contains(&true).then(open_console).flatten();
        let (keyboard, screen) = console.ok_or_else(|| io::Error::other(NONE))?;
        Ok(Self { keyboard, screen })
    }

    /// Gives a command a terminal as large as this one. Streams that lead elsewhere do so for the
    /// guest.
    pub(crate) fn give_to(&self, machine: &Machine, command: &mut Command) -> io::Result<()> {
        let (rows, columns) = console_size().unwrap_or_default();
        command.terminal(Terminal::new(rows, columns));
        if !is_console(&io::stdin()) {
            command.stdin(Stdio::inherit());
        }
        if !is_console(&io::stdout()) {
            command.stdout(Stdio::inherit());
        }
        if !is_console(&io::stderr()) {
            command.stderr(Stdio::inherit());
        }
        let [input, output, control, local] = lx_windows::former_console();
        let settings = TerminalSettings { input, output, control, local, characters: Vec::new() };
        machine.guard_terminal(self.keyboard.as_handle().try_clone_to_owned()?, settings)
    }

    /// Makes the console raw and shows the terminal of the command there.
    pub(crate) fn show(self, child: &mut Child) -> io::Result<Shown> {
        let (typed, shown) = (child.terminal_input.take(), child.terminal_output.take());
        let (typed, shown) = typed
            .zip(shown)
            .ok_or_else(|| io::Error::other("the command has no terminal of its own"))?;
        let Self { keyboard, screen } = self;
        keyboard.set_raw()?;
        screen.set_raw()?;
        let signaller = child.signaller();
        *keys() = Some(typed.try_clone()?);
        thread::Builder::new().name("lx-keyboard".to_owned()).spawn(move || {
            // At the end the console is gone, or the command.
            let _ = type_into(typed, keyboard, &signaller);
            *keys() = None;
        })?;
        let screen = thread::Builder::new().name("lx-screen".to_owned()).spawn(move || {
            // A console that is gone shows nothing.
            let _ = show_on(&screen, shown);
        })?;
        Ok(Shown { screen })
    }
}

impl Shown {
    /// The command has ended: waits until all that it has printed is shown.
    pub(crate) fn finish(self) {
        // An error means that the thread has panicked, which was reported.
        let _ = self.screen.join();
    }
}

/// Hands keys on, and new sizes: no event tells of every one.
fn type_into(mut to: impl Write, mut from: Keyboard, guest: &Signaller) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut known = console_size();
    loop {
        from.read(&mut bytes)?;
        let size = console_size();
        if let Some((rows, columns)) = size.filter(|_| size != known) {
            guest.resize_terminal(rows, columns)?;
            known = size;
        }
        to.write_all(&bytes)?;
        bytes.clear();
    }
}

fn show_on(screen: &Screen, mut from: PipeReader) -> io::Result<()> {
    let mut letters = Letters::default();
    let mut bytes = [0; 8192];
    loop {
        let count = from.read(&mut bytes)?;
        let Some(bytes) = bytes.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return screen.write(&letters.finish());
        };
        screen.write(&letters.take(bytes))?;
    }
}
