//! Echo of what is typed.

use lx_core::abi::tty::{InputFlags, LocalFlags, OutputFlags};

use super::{Discipline, is_control};

impl Discipline {
    /// Echoes bytes that are no input, as programs would print them.
    pub(super) fn echo_raw(&mut self, bytes: &[u8]) {
        let flags = self.settings.output();
        let utf8 = self.has_input(InputFlags::IUTF8);
        self.output.echo(bytes, flags, utf8);
    }

    /// Echoes a byte, control characters as `^X` with `ECHOCTL`.
    pub(super) fn echo(&mut self, byte: u8) {
        if self.has(LocalFlags::ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.output.push_echo(b'^');
            self.output.push_echo(byte ^ 0o100);
            self.output.move_on(2);
        } else {
            self.echo_raw(&[byte]);
        }
    }

    /// The same of a byte that enters the line.
    pub(super) fn echo_input(&mut self, byte: u8) {
        if self.input.line_is_empty() {
            self.output.begin_line();
        }
        self.echo(byte);
    }

    /// Wipes out so many columns.
    pub(super) fn echo_wipe(&mut self, columns: usize) {
        for _ in 0..columns {
            self.echo_raw(b"\x08 \x08");
        }
    }

    /// Moves back to where a tabulator began, `before` columns behind the last stop or, if there is
    /// none in the line, behind the line's beginning.
    pub(super) fn echo_erase_tab(&mut self, before: usize, after_tab: bool) {
        let at = if after_tab { before } else { before + self.output.line_column() };
        let columns = super::output::TAB - at % super::output::TAB;
        for _ in 0..columns {
            self.output.push_echo(0x08);
        }
        self.output.move_back(columns.min(self.output.column()));
    }

    /// Closes what `ECHOPRT` has opened.
    pub(super) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b"/");
        }
    }

    /// Whether output is processed, so that columns are known.
    pub(super) fn knows_columns(&self) -> bool {
        self.settings.output().contains(OutputFlags::OPOST)
    }
}
