//! The line discipline `N_TTY`, `termios(3)`: what becomes of bytes on their way between a terminal
//! and its programs.
//!
//! Plain state without locks: [`receive`](Discipline::receive) takes what was typed, [`write`]
//! what programs print, [`read`] gives programs their input and [`take_output`] the terminal
//! what it shows, echo included.
//!
//! [`write`]: Discipline::write
//! [`read`]: Discipline::read
//! [`take_output`]: Discipline::take_output

mod echo;
mod edit;
mod input;
mod letters;
mod output;
#[cfg(test)]
mod tests;

use lx_core::abi::Signal;
use lx_core::abi::tty::{
    InputFlags, LocalFlags, POSIX_VDISABLE, Termios, VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL,
    VLNEXT, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

pub(super) use input::{Cell, Input};
use output::Output;

/// What a byte of input does besides entering the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// For the foreground process group.
    pub(super) signal: Option<Signal>,
    /// What the queues held was thrown away with it.
    pub(super) flushed: bool,
}

/// Both directions of one terminal.
pub(super) struct Discipline {
    settings: Termios,
    input: Input,
    output: Output,
    /// The next byte of input has no special meaning.
    literal_next: bool,
    /// With `ECHOPRT`: a deletion is being shown between `\` and `/`.
    erasing: bool,
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

impl Discipline {
    pub(super) fn new() -> Self {
        let mut discipline = Self {
            settings: Termios::INITIAL,
            input: Input::new(),
            output: Output::new(),
            literal_next: false,
            erasing: false,
        };
        discipline.set_settings(Termios::INITIAL);
        discipline
    }

    pub(super) fn settings(&self) -> &Termios {
        &self.settings
    }

    /// Changes the settings. A line that was begun before it became canonical counts as finished.
    pub(super) fn set_settings(&mut self, settings: Termios) {
        let changed = self.settings.local() ^ settings.local();
        self.settings = settings;
        self.output.set_flags(settings.output(), self.has_input(InputFlags::IUTF8));
        if changed.intersects(LocalFlags::ICANON | LocalFlags::EXTPROC) {
            self.input.mode_changed(self.is_canonical());
            self.erasing = false;
            self.literal_next = false;
        }
        if !self.has_input(InputFlags::IXON) {
            self.output.set_stopped(false);
        }
    }

    fn has(&self, flag: LocalFlags) -> bool {
        self.settings.local().contains(flag)
    }

    fn has_input(&self, flag: InputFlags) -> bool {
        self.settings.input().contains(flag)
    }

    /// Whether programs read lines.
    pub(super) fn is_canonical(&self) -> bool {
        self.has(LocalFlags::ICANON)
    }

    /// Whether the byte is the special character at one of the `V*` indices.
    fn is(&self, byte: u8, index: usize) -> bool {
        byte != POSIX_VDISABLE && byte == self.settings.cc(index)
    }

    /// The same of one of those that need `IEXTEN`.
    fn is_extended(&self, byte: u8, index: usize) -> bool {
        self.has(LocalFlags::IEXTEN) && self.is(byte, index)
    }

    /// Whether the byte continues a character of UTF-8.
    fn is_continuation(&self, byte: u8) -> bool {
        self.has_input(InputFlags::IUTF8) && byte & 0xc0 == 0x80
    }

    /// Whether there is room for a byte of input. A line that is too long is accepted, and its end
    /// overwritten, so that it can still be finished or erased.
    pub(super) fn accepts(&self) -> bool {
        self.input.has_room() || (self.is_canonical() && !self.input.has_line())
    }

    /// Takes a byte that was typed; only if it [`accepts`](Self::accepts) one.
    pub(super) fn receive(&mut self, byte: u8) -> Effect {
        let mut byte = byte;
        if self.has_input(InputFlags::ISTRIP) {
            byte &= 0x7f;
        }
        if self.has_input(InputFlags::IUCLC) && self.has(LocalFlags::IEXTEN) {
            byte = letters::to_lower(byte);
        }
        if self.has(LocalFlags::EXTPROC) {
            self.put(byte);
        } else if core::mem::take(&mut self.literal_next) {
            self.receive_plain(byte, false);
        } else {
            return self.receive_special(byte);
        }
        Effect::default()
    }

    /// A byte that may be special; the order is Linux's.
    fn receive_special(&mut self, byte: u8) -> Effect {
        if self.has_input(InputFlags::IXON) {
            if self.is(byte, VSTART) {
                self.output.set_stopped(false);
                self.output.show_echo();
                return Effect::default();
            }
            if self.is(byte, VSTOP) {
                self.output.set_stopped(true);
                return Effect::default();
            }
        }
        if self.has(LocalFlags::ISIG) {
            let keys =
                [(VINTR, Signal::SIGINT), (VQUIT, Signal::SIGQUIT), (VSUSP, Signal::SIGTSTP)];
            if let Some((_, signal)) = keys.into_iter().find(|&(index, _)| self.is(byte, index)) {
                return self.receive_signal(byte, signal);
            }
        }
        let mut byte = byte;
        let special = byte == b'\r';
        if special {
            if self.has_input(InputFlags::IGNCR) {
                self.restart_by_any();
                return Effect::default();
            }
            if self.has_input(InputFlags::ICRNL) {
                byte = b'\n';
            }
        } else if byte == b'\n' && self.has_input(InputFlags::INLCR) {
            byte = b'\r';
        }
        let made_new_line = special && byte == b'\n';
        if self.is_canonical() && self.receive_line_key(byte) {
            return Effect::default();
        }
        self.receive_plain(byte, made_new_line);
        Effect::default()
    }

    /// With `IXANY`, any byte lets output go on.
    fn restart_by_any(&mut self) {
        let any = InputFlags::IXON | InputFlags::IXANY;
        if self.has_input(any) && self.output.is_stopped() {
            self.output.set_stopped(false);
            self.output.show_echo();
        }
    }

    fn receive_signal(&mut self, byte: u8, signal: Signal) -> Effect {
        let flushed = !self.has(LocalFlags::NOFLSH);
        if flushed {
            self.output.clear();
            self.flush_input();
        }
        if self.has_input(InputFlags::IXON) {
            self.output.set_stopped(false);
        }
        if self.has(LocalFlags::ECHO) {
            self.echo(byte);
        } else {
            self.output.show_echo();
        }
        Effect { signal: Some(signal), flushed }
    }

    /// Keys that edit or end a line; whether it was one.
    fn receive_line_key(&mut self, byte: u8) -> bool {
        self.restart_by_any();
        if self.is(byte, VERASE) {
            self.erase(edit::What::Character);
        } else if self.is(byte, VKILL) {
            self.kill_line(byte);
        } else if self.is_extended(byte, VWERASE) {
            self.erase(edit::What::Word);
        } else if self.is_extended(byte, VLNEXT) {
            self.literal_next = true;
            if self.has(LocalFlags::ECHO) {
                self.finish_erasing();
                if self.has(LocalFlags::ECHOCTL) {
                    self.echo_raw(b"^\x08");
                }
            }
        } else if self.has(LocalFlags::ECHO) && self.is_extended(byte, VREPRINT) {
            self.reprint(byte);
        } else if byte == b'\n' {
            if self.has(LocalFlags::ECHO) || self.has(LocalFlags::ECHONL) {
                self.echo_raw(b"\n");
            }
            self.end_line(byte);
        } else if self.is(byte, VEOF) {
            self.end_line(POSIX_VDISABLE);
        } else if self.is(byte, VEOL) || self.is_extended(byte, VEOL2) {
            if self.has(LocalFlags::ECHO) {
                self.echo_input(byte);
            }
            self.double_mark(byte);
            self.end_line(byte);
        } else {
            return false;
        }
        true
    }

    /// A byte that enters the queue as it is. A new line that was typed as one is echoed like other
    /// control characters.
    fn receive_plain(&mut self, byte: u8, made_new_line: bool) {
        self.restart_by_any();
        if self.has(LocalFlags::ECHO) {
            self.finish_erasing();
            if made_new_line {
                self.echo_raw(b"\n");
            } else {
                self.echo_input(byte);
            }
        }
        self.double_mark(byte);
        self.put(byte);
    }

    /// With `PARMRK`, 0xff marks errors, and stands for itself when it is doubled.
    fn double_mark(&mut self, byte: u8) {
        if byte == 0xff && self.has_input(InputFlags::PARMRK) {
            self.put(byte);
        }
    }

    fn put(&mut self, byte: u8) {
        self.input.push(Cell { byte, ends_line: false });
    }

    fn end_line(&mut self, byte: u8) {
        self.input.push(Cell { byte, ends_line: true });
        self.input.finish_line();
    }

    /// The input, for readers.
    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// Takes input into `cells`, in canonical mode no more than the rest of a line; how many.
    /// `exact`: nobody has room for more, so an end of file that comes next is taken along.
    pub(super) fn read(&mut self, cells: &mut [Cell], exact: bool) -> usize {
        self.input.take(cells, self.is_canonical(), exact)
    }

    /// Puts back what could not be handed over.
    pub(super) fn unread(&mut self, cells: &[Cell]) {
        self.input.put_back(cells, self.is_canonical());
    }

    /// Throws the input away.
    pub(super) fn flush_input(&mut self) {
        self.input.clear();
        self.erasing = false;
        self.literal_next = false;
    }

    /// Throws the output away.
    pub(super) fn flush_output(&mut self) {
        self.output.clear();
    }

    /// Stops output, or lets it go on, `TCXONC`.
    pub(super) fn set_stopped(&mut self, stopped: bool) {
        self.output.set_stopped(stopped);
    }

    /// Whether output is stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.output.is_stopped()
    }

    /// Processes what a program prints; how many bytes of it were taken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        self.output.write(bytes)
    }

    /// Whether programs can print.
    pub(super) fn can_write(&self) -> bool {
        self.output.has_room()
    }

    /// Bytes that the terminal can show.
    pub(super) fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Takes bytes for the terminal; how many.
    pub(super) fn take_output(&mut self, bytes: &mut [u8]) -> usize {
        self.output.take(bytes)
    }

    /// Puts back what could not be handed over.
    pub(super) fn untake_output(&mut self, bytes: &[u8]) {
        self.output.put_back(bytes);
    }
}
