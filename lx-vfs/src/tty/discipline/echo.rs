//! Echo of what is typed.

use lx_core::abi::tty::LocalFlags;

use super::output::Echo;
use super::{Discipline, is_control};

impl Discipline {
    /// Echoes bytes as programs would print them.
    pub(super) fn echo_raw(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.output.echo(Echo::Byte(byte)));
    }

    /// Echoes a byte, control characters as `^X` with `ECHOCTL`.
    pub(super) fn echo(&mut self, byte: u8) {
        let as_control = self.has(LocalFlags::ECHOCTL) && is_control(byte) && byte != b'\t';
        self.output.echo(if as_control { Echo::Control(byte) } else { Echo::Byte(byte) });
    }

    /// The same of a byte that enters the line.
    pub(super) fn echo_input(&mut self, byte: u8) {
        if self.input.begins_line(self.is_canonical()) {
            self.output.echo(Echo::BeginLine);
        }
        self.echo(byte);
    }

    /// Wipes out so many columns.
    pub(super) fn echo_wipe(&mut self, columns: usize) {
        for _ in 0..columns {
            self.echo_raw(b"\x08 \x08");
        }
    }

    /// Closes what `ECHOPRT` has opened.
    pub(super) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b"/");
        }
    }

    /// All input that has come was taken: what was echoed is shown. Until then a key that sends a
    /// signal takes it back.
    pub(in crate::tty) fn input_ends(&mut self) {
        self.output.show_echo();
        self.output.deliver();
    }
}
