//! The console: events, size, modes.

use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{FALSE, HANDLE, TRUE};
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
    GetConsoleCP, GetConsoleMode, GetConsoleOutputCP, GetConsoleScreenBufferInfo, GetStdHandle,
    STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetConsoleCP,
    SetConsoleCtrlHandler, SetConsoleMode, SetConsoleOutputCP,
};
use windows_sys::core::BOOL;

use crate::check;

type Handler = Box<dyn Fn(u32) + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Calls `handler` with the number of every console event, `CTRL_C_EVENT` and so on, on a thread of
/// the system, instead of ending.
///
/// # Errors
/// There is a handler already, or what Windows reports.
pub fn on_console_event(handler: impl Fn(u32) + Send + Sync + 'static) -> io::Result<()> {
    if HANDLER.set(Box::new(handler)).is_err() {
        return Err(io::Error::other("console events have a handler already"));
    }
    // SAFETY: the function has the type that the call wants and lives forever.
    check(unsafe { SetConsoleCtrlHandler(Some(handle), TRUE) })
}

unsafe extern "system" fn handle(event: u32) -> BOOL {
    let Some(handler) = HANDLER.get() else { return FALSE };
    handler(event);
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

/// What the console was like before [`prepare_console`].
struct Former {
    /// Modes of input, output and error output, where these are consoles.
    modes: [Option<u32>; 3],
    code_pages: [u32; 2],
}

static FORMER: OnceLock<Former> = OnceLock::new();
const STREAMS: [STD_HANDLE; 3] = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE];

fn standard(stream: STD_HANDLE) -> HANDLE {
    // SAFETY: the call has no preconditions.
    unsafe { GetStdHandle(stream) }
}

fn mode(stream: STD_HANDLE) -> Option<u32> {
    let mut mode = 0;
    // SAFETY: the result is stored in a variable of our own; a bad handle is an error.
    check(unsafe { GetConsoleMode(standard(stream), &raw mut mode) }).ok()?;
    Some(mode)
}

/// Makes the console, if there is one, understand what Linux programs write: UTF-8 and terminal
/// escape sequences. An old console that cannot do so stays as it is. Guests may change its modes
/// later; [`restore_console`] undoes all of that.
pub fn prepare_console() {
    const UTF_8: u32 = 65001;
    let modes = STREAMS.map(mode);
    // SAFETY: the calls have no preconditions; without a console they fail.
    let code_pages = unsafe { [GetConsoleCP(), GetConsoleOutputCP()] };
    // Called once.
    let _ = FORMER.set(Former { modes, code_pages });
    // SAFETY: the call has no preconditions; without a console it fails.
    unsafe { SetConsoleOutputCP(UTF_8) };
    for stream in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        if let Some(mode) = mode(stream) {
            let mode = mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            // SAFETY: the handle is that of a console.
            unsafe { SetConsoleMode(standard(stream), mode) };
        }
    }
}

/// Makes the console what it was before [`prepare_console`].
pub fn restore_console() {
    let Some(former) = FORMER.get() else { return };
    for (stream, mode) in STREAMS.into_iter().zip(former.modes) {
        if let Some(mode) = mode {
            // SAFETY: the handle is that of a console.
            unsafe { SetConsoleMode(standard(stream), mode) };
        }
    }
    let [input, output] = former.code_pages;
    if input != 0 {
        // SAFETY: the call has no preconditions; as the next.
        unsafe { SetConsoleCP(input) };
    }
    if output != 0 {
        // SAFETY: as above.
        unsafe { SetConsoleOutputCP(output) };
    }
}
