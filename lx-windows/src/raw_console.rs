//! The console as a terminal that only shows bytes and only takes keys.

use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::ptr;

use lx_nt::KeyEvent;
use lx_nt::keys::Keys;
use windows_sys::Win32::Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Console::{
    DISABLE_NEWLINE_AUTO_RETURN, ENABLE_EXTENDED_FLAGS, ENABLE_INSERT_MODE,
    ENABLE_PROCESSED_OUTPUT, ENABLE_QUICK_EDIT_MODE, ENABLE_VIRTUAL_TERMINAL_INPUT,
    ENABLE_VIRTUAL_TERMINAL_PROCESSING, ENABLE_WINDOW_INPUT, ENABLE_WRAP_AT_EOL_OUTPUT,
    INPUT_RECORD, KEY_EVENT, KEY_EVENT_RECORD, ReadConsoleInputW, WriteConsoleW,
};
use windows_sys::Win32::System::Threading::WaitForSingleObject;

use crate::check;
use crate::console::{INPUT, SCREEN, Source, former_console};

/// How long to wait for a key at most: consoles do not tell of every change of their size.
const WAIT_MS: u32 = 200;
/// Events that are taken at once.
const MOST: usize = 64;
/// Halves of letters that are written at once; old consoles take 64 KB.
const CHUNK: usize = 8192;

/// The console's input.
pub struct Keyboard {
    source: Source,
    keys: Keys,
}

/// The console's screen.
pub struct Screen(Source);

/// Both sides of the console; nothing if this process has none.
pub fn open_console() -> Option<(Keyboard, Screen)> {
    let keyboard = Keyboard { source: Source::open(INPUT)?, keys: Keys::new() };
    Some((keyboard, Screen(Source::open(SCREEN)?)))
}

impl Keyboard {
    /// Has every key arrive as such, Ctrl-C too. What the user has set of the mouse and of inserting
    /// stays.
    ///
    /// # Errors
    /// The console is gone.
    pub fn set_raw(&self) -> io::Result<()> {
        let users = ENABLE_EXTENDED_FLAGS | ENABLE_QUICK_EDIT_MODE | ENABLE_INSERT_MODE;
        let [input_mode, ..] = former_console();
        let mode = input_mode & users | ENABLE_WINDOW_INPUT;
        // Those before Windows 10 make no sequences; `Keys` does.
        let with_sequences = self.source.set_mode(mode | ENABLE_VIRTUAL_TERMINAL_INPUT);
        with_sequences.or_else(|_| self.source.set_mode(mode))
    }

    /// Waits a moment for keys and appends the bytes that they make; there may be none.
    ///
    /// # Errors
    /// The console is gone.
    pub fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        // SAFETY: the handle is open.
        match unsafe { WaitForSingleObject(self.source.handle(), WAIT_MS) } {
            WAIT_OBJECT_0 => {}
            WAIT_TIMEOUT => return Ok(()),
            _ => return Err(io::Error::last_os_error()),
        }
        let mut records = [INPUT_RECORD::default(); MOST];
        let mut count = 0;
        let room = u32::try_from(MOST).unwrap_or_default();
        // SAFETY: the call writes at most as many records as there is room for.
        check(unsafe {
            ReadConsoleInputW(self.source.handle(), records.as_mut_ptr(), room, &raw mut count)
        })?;
        let count = usize::try_from(count).unwrap_or_default();
        for record in records.iter().take(count) {
            if u32::from(record.EventType) == KEY_EVENT {
                // SAFETY: the type says which of them it is; all are integers.
                let event = key(unsafe { &record.Event.KeyEvent });
                self.keys.take(&event, bytes);
            }
        }
        Ok(())
    }
}

fn key(record: &KEY_EVENT_RECORD) -> KeyEvent {
    KeyEvent {
        key: record.wVirtualKeyCode,
        // SAFETY: both of the union are integers, and of the calls that are used here the wide ones.
        letter: unsafe { record.uChar.UnicodeChar },
        repeat: record.wRepeatCount,
        down: u16::from(record.bKeyDown != 0),
        state: record.dwControlKeyState,
    }
}

impl AsHandle for Keyboard {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        // SAFETY: the handle is open as long as `self` is there.
        unsafe { BorrowedHandle::borrow_raw(self.source.handle()) }
    }
}

impl Screen {
    /// Has it follow terminal escape sequences and nothing else.
    ///
    /// # Errors
    /// The console is gone.
    pub fn set_raw(&self) -> io::Result<()> {
        let mode = ENABLE_PROCESSED_OUTPUT | ENABLE_WRAP_AT_EOL_OUTPUT;
        let sequences = ENABLE_VIRTUAL_TERMINAL_PROCESSING;
        let raw = self.0.set_mode(mode | sequences | DISABLE_NEWLINE_AUTO_RETURN);
        raw.or_else(|_| self.0.set_mode(mode | sequences)).or_else(|_| self.0.set_mode(mode))
    }

    /// Shows text.
    ///
    /// # Errors
    /// The console is gone.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut rest = units.as_slice();
        while !rest.is_empty() {
            let mut count = 0;
            let len = u32::try_from(rest.len().min(CHUNK)).unwrap_or_default();
            // SAFETY: the call reads that many.
            check(unsafe {
                WriteConsoleW(self.0.handle(), rest.as_ptr(), len, &raw mut count, ptr::null())
            })?;
            let done = usize::try_from(count).unwrap_or_default().max(1);
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(())
    }
}
