//! Editing of the line that is being typed.

use lx_core::abi::tty::{LocalFlags, VERASE};

use super::output::Echo;
use super::{Discipline, is_control, letters};

/// What is erased at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Character,
    Word,
    Line,
}

impl Discipline {
    /// `VKILL`.
    pub(super) fn kill_line(&mut self, key: u8) {
        if self.input.line_is_empty() {
            return;
        }
        let visibly = LocalFlags::ECHOK | LocalFlags::ECHOKE | LocalFlags::ECHOE;
        if self.has(LocalFlags::ECHO) && self.has(visibly) {
            return self.erase(What::Line);
        }
        self.input.erase(usize::MAX);
        if self.has(LocalFlags::ECHO) {
            self.finish_erasing();
            self.echo(key);
            if self.has(LocalFlags::ECHOK) {
                self.echo_raw(b"\n");
            }
        }
    }

    /// `VERASE`, `VWERASE`, and `VKILL` if it is shown.
    pub(super) fn erase(&mut self, what: What) {
        if self.input.line_is_empty() {
            return;
        }
        let mut in_word = false;
        while let Some((first, len)) = self.last_character() {
            if what == What::Word {
                // As BSD's ALTWERASE.
                let is_word = letters::is_alphanumeric(first) || first == b'_';
                if !is_word && in_word {
                    break;
                }
                in_word |= is_word;
            }
            let tail = self.last_bytes(len);
            self.input.erase(len);
            if self.has(LocalFlags::ECHO) {
                self.echo_erasure(what, first, tail.get(..len).unwrap_or_default());
            }
            if what == What::Character {
                break;
            }
        }
        if self.input.line_is_empty() && self.has(LocalFlags::ECHO) {
            self.finish_erasing();
        }
    }

    /// First byte and length of the line's last character; none if the line has none that is
    /// whole.
    fn last_character(&self) -> Option<(u8, usize)> {
        for (at, byte) in self.input.line().rev().enumerate() {
            if !self.is_continuation(byte) {
                return Some((byte, at + 1));
            }
        }
        None
    }

    /// Copies the last bytes of the line, as many as a character has at most.
    fn last_bytes(&self, len: usize) -> [u8; 8] {
        let mut bytes = [0; 8];
        let len = len.min(bytes.len());
        for (place, byte) in bytes.iter_mut().take(len).rev().zip(self.input.line().rev()) {
            *place = byte;
        }
        bytes
    }

    fn echo_erasure(&mut self, what: What, first: u8, character: &[u8]) {
        if self.has(LocalFlags::ECHOPRT) {
            if !self.erasing {
                self.echo_raw(b"\\");
                self.erasing = true;
            }
            self.echo(first);
            for &byte in character.get(1..).unwrap_or_default() {
                self.output.echo(Echo::Byte(byte));
                self.output.echo(Echo::MoveBack);
            }
        } else if what == What::Character && !self.has(LocalFlags::ECHOE) {
            let key = self.settings.cc(VERASE);
            self.echo(key);
        } else if first == b'\t' {
            self.erase_tab();
        } else {
            let columns = match (is_control(first), self.has(LocalFlags::ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            self.echo_wipe(columns);
        }
    }

    /// Finds out how wide the tabulator was from what stands before it.
    fn erase_tab(&mut self) {
        let shows_controls = self.has(LocalFlags::ECHOCTL);
        let (mut columns, mut after_tab) = (0, false);
        for byte in self.input.line().rev() {
            if byte == b'\t' {
                after_tab = true;
                break;
            }
            columns += match is_control(byte) {
                true if shows_controls => 2,
                true => 0,
                false => usize::from(!self.is_continuation(byte)),
            };
        }
        self.output.echo(Echo::EraseTab { before: columns, after_tab });
    }

    /// `VREPRINT`.
    pub(super) fn reprint(&mut self, key: u8) {
        self.finish_erasing();
        self.echo(key);
        self.echo_raw(b"\n");
        let line: alloc::vec::Vec<u8> = self.input.line().collect();
        line.into_iter().for_each(|byte| self.echo(byte));
    }
}
