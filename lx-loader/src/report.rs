//! Messages when a machine cannot start, and the panic handler.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::api;

/// Exit status when lx itself fails.
const FAILED: u32 = 125;

struct ErrorOutput;

impl Write for ErrorOutput {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const STD_ERROR_HANDLE: u32 = -12i32 as u32;
        let mut done = 0;
        // SAFETY: the call reads the text.
        unsafe {
            let output = api::GetStdHandle(STD_ERROR_HANDLE);
            api::WriteFile(output, text.as_ptr(), text.len() as u32, &mut done, 0);
        }
        Ok(())
    }
}

/// Says why and ends the process.
pub(crate) fn fail(what: &str) -> ! {
    // SAFETY: reads the thread's last error.
    let error = unsafe { api::GetLastError() };
    let _ = writeln!(ErrorOutput, "lx: cannot start: {what} (error {error})");
    // SAFETY: ends the process.
    unsafe { api::ExitProcess(FAILED) }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(ErrorOutput, "lx: loader bug: {info}");
    // SAFETY: ends the process.
    unsafe { api::ExitProcess(FAILED) }
}
