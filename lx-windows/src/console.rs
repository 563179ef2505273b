//! The console: events, size, modes.

use std::fs::File;
use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle};
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
    /// Handles of standard streams that are consoles, and the console's input and screen even if
    /// none is, each with its mode.
    modes: Vec<(Source, u32)>,
    code_pages: [u32; 2],
}

static FORMER: OnceLock<Former> = OnceLock::new();

/// A handle of the console.
pub(crate) enum Source {
    Standard(STD_HANDLE),
    Own(File),
}

impl Source {
    /// The console's input or screen; nothing if this process has no console.
    pub(crate) fn open(name: &str) -> Option<Self> {
        File::options().read(true).write(true).open(name).ok().map(Self::Own)
    }

    pub(crate) fn handle(&self) -> HANDLE {
        match self {
            // SAFETY: the call has no preconditions.
            Self::Standard(stream) => unsafe { GetStdHandle(*stream) },
            Self::Own(file) => file.as_raw_handle(),
        }
    }

    /// Its mode, if it is the console.
    pub(crate) fn mode(&self) -> Option<u32> {
        let mut mode = 0;
        // SAFETY: the result is stored in a variable of our own; a bad handle is an error.
        check(unsafe { GetConsoleMode(self.handle(), &raw mut mode) }).ok()?;
        Some(mode)
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        // SAFETY: a handle that is no console's is an error.
        check(unsafe { SetConsoleMode(self.handle(), mode) })
    }
}

/// Name of the console's input, whatever standard input is.
pub(crate) const INPUT: &str = "CONIN$";
/// Name of the console's screen.
pub(crate) const SCREEN: &str = "CONOUT$";

/// Whether a standard stream is the console.
pub fn is_console(stream: &impl AsHandle) -> bool {
    let mut mode = 0;
    let handle = stream.as_handle().as_raw_handle();
    // SAFETY: the result is stored in a variable of our own; a bad handle is an error.
    unsafe { GetConsoleMode(handle, &raw mut mode) != 0 }
}

/// Makes the console, if there is one, understand what Linux programs write: UTF-8 and terminal
/// escape sequences. An old console that cannot do so stays as it is. Guests may change its modes
/// later; [`restore_console`] undoes all of that.
pub fn prepare_console() {
    const UTF_8: u32 = 65001;
    let standard = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(Source::Standard);
    let own = [INPUT, SCREEN].into_iter().filter_map(Source::open);
    let modes = standard.into_iter().chain(own).filter_map(|source| {
        let mode = source.mode()?;
        Some((source, mode))
    });
    // SAFETY: the calls have no preconditions; without a console they fail.
    let code_pages = unsafe { [GetConsoleCP(), GetConsoleOutputCP()] };
    // Called once.
    let _ = FORMER.set(Former { modes: modes.collect(), code_pages });
    // SAFETY: the call has no preconditions; without a console it fails.
    unsafe { SetConsoleOutputCP(UTF_8) };
    for source in [STD_OUTPUT_HANDLE, STD_ERROR_HANDLE].map(Source::Standard) {
        if let Some(mode) = source.mode() {
            let mode = mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            // One that cannot do so stays as it is.
            let _ = source.set_mode(mode);
        }
    }
}

/// Makes the console what it was before [`prepare_console`].
pub fn restore_console() {
    let Some(former) = FORMER.get() else { return };
    for (source, mode) in &former.modes {
        // A console that cannot be set is gone.
        let _ = source.set_mode(*mode);
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

/// Modes of the console's input and screen and its two code pages before [`prepare_console`], for a
/// process that restores them if this one cannot.
pub fn former_console() -> [u32; 4] {
    let Some(former) = FORMER.get() else { return [0; 4] };
    let mut own = former.modes.iter().filter(|(source, _)| matches!(source, Source::Own(_)));
    let mut mode = || own.next().map_or(0, |(_, mode)| *mode);
    let [input, output] = former.code_pages;
    [mode(), mode(), input, output]
}
