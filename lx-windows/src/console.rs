//! The console: events, size, modes.

use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{FALSE, TRUE};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, CTRL_BREAK_EVENT, CTRL_C_EVENT, ENABLE_PROCESSED_OUTPUT,
    ENABLE_VIRTUAL_TERMINAL_PROCESSING, GetConsoleMode, GetConsoleScreenBufferInfo, GetStdHandle,
    STD_ERROR_HANDLE, STD_OUTPUT_HANDLE, SetConsoleCtrlHandler, SetConsoleMode, SetConsoleOutputCP,
};
use windows_sys::core::BOOL;

use crate::check;

/// What the console, or the system by way of it, asks of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleEvent {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Break.
    Break,
    /// The console was closed, the user logs off, or the system shuts down.
    End,
}

type Handler = Box<dyn Fn(ConsoleEvent) + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Calls `handler` for every console event, on a thread of the system, instead of ending.
///
/// # Errors
/// There is a handler already, or what Windows reports.
pub fn on_console_event(handler: impl Fn(ConsoleEvent) + Send + Sync + 'static) -> io::Result<()> {
    if HANDLER.set(Box::new(handler)).is_err() {
        return Err(io::Error::other("console events have a handler already"));
    }
    // SAFETY: the function has the type that the call wants and lives forever.
    check(unsafe { SetConsoleCtrlHandler(Some(handle), TRUE) })
}

unsafe extern "system" fn handle(event: u32) -> BOOL {
    let Some(handler) = HANDLER.get() else { return FALSE };
    handler(match event {
        CTRL_C_EVENT => ConsoleEvent::Interrupt,
        CTRL_BREAK_EVENT => ConsoleEvent::Break,
        _ => ConsoleEvent::End,
    });
    TRUE
}

/// Lines and columns of the console's window, if there is one.
pub fn console_size() -> Option<(u16, u16)> {
    // SAFETY: all fields are integers.
    let mut info: CONSOLE_SCREEN_BUFFER_INFO = unsafe { mem::zeroed() };
    [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].into_iter().find_map(|stream| {
        // SAFETY: the call has no preconditions.
        let handle = unsafe { GetStdHandle(stream) };
        // SAFETY: the result is stored in a variable of our own; a bad handle is an error.
        check(unsafe { GetConsoleScreenBufferInfo(handle, ptr::from_mut(&mut info)) }).ok()?;
        let window = info.srWindow;
        let rows = u16::try_from(window.Bottom - window.Top + 1).ok()?;
        Some((rows, u16::try_from(window.Right - window.Left + 1).ok()?))
    })
}

/// Makes the console, if there is one, understand what Linux programs write: UTF-8 and terminal
/// escape sequences. An old console that cannot do so stays as it is.
pub fn prepare_console() {
    const UTF_8: u32 = 65001;
    // SAFETY: the call has no preconditions; without a console it fails.
    unsafe { SetConsoleOutputCP(UTF_8) };
    for stream in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        let mut mode = 0;
        // SAFETY: the call has no preconditions.
        let handle = unsafe { GetStdHandle(stream) };
        // SAFETY: the result is stored in a variable of our own; a bad handle is an error.
        if check(unsafe { GetConsoleMode(handle, &raw mut mode) }).is_ok() {
            let mode = mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            // SAFETY: the handle is that of a console.
            unsafe { SetConsoleMode(handle, mode) };
        }
    }
}
