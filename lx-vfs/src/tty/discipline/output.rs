//! Output: what programs print and what is echoed, on its way to the terminal.

use alloc::collections::VecDeque;

use lx_core::abi::tty::OutputFlags;

use super::{is_control, letters};

/// Bytes that wait for the terminal before programs have to.
const SIZE: usize = 8192 + SHOWN;
/// As many of them fit into the buffer of the terminal itself.
const SHOWN: usize = 4096;
/// Echo that waits, too, when there is no room or output is stopped.
const ECHO_SIZE: usize = 4096;
/// Distance of tabulator stops.
const TAB: usize = 8;

/// What one byte becomes.
enum Processed {
    Nothing,
    Byte(u8),
    NewLine,
    Spaces(usize),
}

/// Echo that was not shown yet. How wide it is turns out when it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Echo {
    /// A byte, as programs print it.
    Byte(u8),
    /// `^X`.
    Control(u8),
    /// The line that is being typed begins here.
    BeginLine,
    /// The cursor counts as one column further left, though nothing was shown.
    MoveBack,
    /// Back to where a tabulator began, so many columns behind the last stop or, if there is none in
    /// the line, behind the line's beginning.
    EraseTab { before: usize, after_tab: bool },
}

/// The queue, and where the cursor is.
pub(super) struct Output {
    bytes: VecDeque<u8>,
    /// How many of them the terminal has got already, in a buffer of its own.
    delivered: usize,
    /// Echo that comes behind it.
    echo: VecDeque<Echo>,
    flags: OutputFlags,
    utf8: bool,
    stopped: bool,
    column: usize,
    /// Where the line that is being typed begins.
    line_column: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            bytes: VecDeque::new(),
            delivered: 0,
            echo: VecDeque::new(),
            flags: OutputFlags::empty(),
            utf8: false,
            stopped: false,
            column: 0,
            line_column: 0,
        }
    }

    /// Sets `c_oflag`, and whether bytes are UTF-8.
    pub(super) fn set_flags(&mut self, flags: OutputFlags, utf8: bool) {
        (self.flags, self.utf8) = (flags, utf8);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    pub(super) fn has_room(&self) -> bool {
        !self.stopped && self.bytes.len() < SIZE
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The terminal gets what there is room for in its buffer.
    pub(super) fn deliver(&mut self) {
        self.delivered = self.bytes.len().min(SHOWN);
    }

    /// Throws away what the terminal has not got.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(self.delivered);
        self.echo.clear();
    }

    /// Processes bytes as `c_oflag` says, as long as there is room; how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        self.show_echo();
        let mut done = 0;
        for &byte in bytes {
            if !self.has_room() {
                break;
            }
            self.put(byte);
            done += 1;
        }
        self.deliver();
        done
    }

    /// Adds echo, which is shown by [`show_echo`](Self::show_echo).
    pub(super) fn echo(&mut self, echo: Echo) {
        if self.echo.len() < ECHO_SIZE {
            self.echo.push_back(echo);
        }
    }

    /// Shows echo as long as there is room.
    pub(super) fn show_echo(&mut self) {
        while self.has_room() {
            let Some(echo) = self.echo.pop_front() else { break };
            match echo {
                // Linux marks commands in its queue with this byte, and does not process it.
                Echo::Byte(0xff) => {
                    self.bytes.push_back(0xff);
                    self.column += 1;
                }
                Echo::Byte(byte) => self.put(byte),
                Echo::Control(byte) => {
                    self.bytes.extend([b'^', byte ^ 0o100]);
                    self.column += 2;
                }
                Echo::MoveBack => self.column = self.column.saturating_sub(1),
                Echo::BeginLine => self.line_column = self.column,
                Echo::EraseTab { before, after_tab } => {
                    let at = if after_tab { before } else { before + self.line_column };
                    let columns = TAB - at % TAB;
                    self.bytes.extend((0..columns).map(|_| 0x08));
                    self.column = self.column.saturating_sub(columns);
                }
            }
        }
    }

    fn put(&mut self, byte: u8) {
        match self.process(byte) {
            Processed::Nothing => {}
            Processed::Byte(byte) => self.bytes.push_back(byte),
            Processed::NewLine => self.bytes.extend(b"\r\n"),
            Processed::Spaces(count) => self.bytes.extend((0..count).map(|_| b' ')),
        }
    }

    fn process(&mut self, byte: u8) -> Processed {
        let (flags, utf8) = (self.flags, self.utf8);
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
                    return Processed::Byte(letters::to_upper(byte));
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
        self.show_echo();
        self.deliver();
        done
    }

    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.bytes.push_front(*byte);
        }
        self.deliver();
    }
}
