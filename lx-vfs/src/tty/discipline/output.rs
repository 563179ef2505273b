//! Output: what programs print and what is echoed, on its way to the terminal.

use alloc::collections::VecDeque;

use lx_core::abi::tty::OutputFlags;

use super::is_control;

/// Bytes that wait for the terminal before programs have to.
const SIZE: usize = 8192 + SHOWN;
/// As many of them the terminal has got already.
const SHOWN: usize = 4096;
/// Echo that waits, too, when there is no room or output is stopped.
const ECHO_SIZE: usize = 4096;
/// Distance of tabulator stops.
pub(super) const TAB: usize = 8;

/// What one byte becomes.
pub(super) enum Processed {
    Nothing,
    Byte(u8),
    NewLine,
    Spaces(usize),
}

/// The queue, and where the cursor is.
pub(super) struct Output {
    bytes: VecDeque<u8>,
    /// Echo that comes behind it.
    echo: VecDeque<u8>,
    stopped: bool,
    column: usize,
    /// Where the line that is being typed begins.
    line_column: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        let (bytes, echo) = (VecDeque::new(), VecDeque::new());
        Self { bytes, echo, stopped: false, column: 0, line_column: 0 }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
        self.release_echo();
    }

    pub(super) fn has_room(&self) -> bool {
        !self.stopped && self.bytes.len() < SIZE
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Throws away what the terminal has not got: it has a buffer of its own, which stays.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(SHOWN);
        self.echo.clear();
    }

    pub(super) fn column(&self) -> usize {
        self.column
    }

    pub(super) fn line_column(&self) -> usize {
        self.line_column
    }

    /// The line that is being typed begins here.
    pub(super) fn begin_line(&mut self) {
        self.line_column = self.column;
    }

    /// The cursor has moved back.
    pub(super) fn move_back(&mut self, columns: usize) {
        self.column = self.column.saturating_sub(columns);
    }

    /// The cursor has moved on.
    pub(super) fn move_on(&mut self, columns: usize) {
        self.column += columns;
    }

    /// Processes bytes as `c_oflag` says, as long as there is room; how many.
    pub(super) fn write(&mut self, bytes: &[u8], flags: OutputFlags, utf8: bool) -> usize {
        let mut done = 0;
        for &byte in bytes {
            if !self.has_room() {
                break;
            }
            match self.process(byte, flags, utf8) {
                Processed::Nothing => {}
                Processed::Byte(byte) => self.bytes.push_back(byte),
                Processed::NewLine => self.bytes.extend(b"\r\n"),
                Processed::Spaces(count) => self.bytes.extend((0..count).map(|_| b' ')),
            }
            done += 1;
        }
        done
    }

    /// The same for echo, which waits by itself.
    pub(super) fn echo(&mut self, bytes: &[u8], flags: OutputFlags, utf8: bool) {
        for &byte in bytes {
            match self.process(byte, flags, utf8) {
                Processed::Nothing => {}
                Processed::Byte(byte) => self.push_echo(byte),
                Processed::NewLine => b"\r\n".iter().for_each(|&byte| self.push_echo(byte)),
                Processed::Spaces(count) => (0..count).for_each(|_| self.push_echo(b' ')),
            }
        }
    }

    /// Adds echo as it is.
    pub(super) fn push_echo(&mut self, byte: u8) {
        if self.has_room() && self.echo.is_empty() {
            self.bytes.push_back(byte);
        } else if self.echo.len() < ECHO_SIZE {
            self.echo.push_back(byte);
        }
    }

    fn release_echo(&mut self) {
        while self.has_room() {
            let Some(byte) = self.echo.pop_front() else { break };
            self.bytes.push_back(byte);
        }
    }

    fn process(&mut self, byte: u8, flags: OutputFlags, utf8: bool) -> Processed {
        if !flags.contains(OutputFlags::OPOST) {
            return Processed::Byte(byte);
        }
        match byte {
            b'\n' => {
                if flags.intersects(OutputFlags::ONLRET | OutputFlags::ONLCR) {
                    self.column = 0;
                }
                self.line_column = self.column;
                if flags.contains(OutputFlags::ONLCR) {
                    return Processed::NewLine;
                }
            }
            b'\r' => {
                if flags.contains(OutputFlags::ONOCR) && self.column == 0 {
                    return Processed::Nothing;
                }
                if flags.contains(OutputFlags::OCRNL) {
                    if flags.contains(OutputFlags::ONLRET) {
                        self.column = 0;
                        self.line_column = 0;
                    }
                    return Processed::Byte(b'\n');
                }
                self.column = 0;
                self.line_column = 0;
            }
            b'\t' => {
                let spaces = TAB - self.column % TAB;
                self.column += spaces;
                if flags.contains(OutputFlags::XTABS) {
                    return Processed::Spaces(spaces);
                }
            }
            0x08 => self.column = self.column.saturating_sub(1),
            byte if !is_control(byte) => {
                if !(utf8 && byte & 0xc0 == 0x80) {
                    self.column += 1;
                }
                if flags.contains(OutputFlags::OLCUC) {
                    return Processed::Byte(byte.to_ascii_uppercase());
                }
            }
            _ => {}
        }
        Processed::Byte(byte)
    }

    /// Takes bytes for the terminal; how many.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        for (place, byte) in bytes.iter_mut().zip(self.bytes.iter()) {
            *place = *byte;
            done += 1;
        }
        self.bytes.drain(..done);
        self.release_echo();
        done
    }

    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.bytes.push_front(*byte);
        }
    }
}
