//! Reports of kernel bugs: a clear message, then the machine stops.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_core::text::Text;

use crate::nt::{self, nt};
use crate::thread;

/// Init's handle of the error output.
static OUTPUT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_output(handle: usize) {
    OUTPUT.store(handle, Ordering::Relaxed);
}

/// Longest report, in bytes.
const LONGEST: usize = 2048;

/// Prints a report, from anywhere.
fn print(report: fmt::Arguments<'_>) {
    let mut text = Text::<LONGEST>::new();
    let _ = writeln!(text, "{report}");
    let handle = OUTPUT.load(Ordering::Relaxed);
    if thread::is_init() {
        write(handle, text.as_bytes());
    } else if let Ok(handle) = nt::take_from_init(handle) {
        write(handle, text.as_bytes());
        nt::close(handle);
    }
}

fn write(handle: usize, bytes: &[u8]) {
    let mut io = lx_nt::IoStatus::default();
    // SAFETY: the call reads the text.
    let _ = unsafe {
        nt!(
            write_file,
            handle,
            0,
            0,
            0,
            &mut io,
            bytes.as_ptr(),
            bytes.len() as u32,
            core::ptr::null(),
            0
        )
    };
}

/// Prints a report and stops the machine.
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    print(format_args!("lx: kernel bug: {message}"));
    kill_machine(134)
}

/// Prints what the user should know of, and goes on.
pub(crate) fn note(message: fmt::Arguments<'_>) {
    print(format_args!("lx: {message}"));
}

/// Ends init, and with it every process of the machine, without a word.
pub(crate) fn kill_machine(status: i32) -> ! {
    loop {
        // SAFETY: ends processes, touches no memory.
        unsafe {
            let _ = nt!(terminate, nt::init_process(), status);
            let _ = nt!(terminate, lx_nt::CURRENT_PROCESS, status);
        }
    }
}

/// The image's panic handler.
pub fn report_panic(info: &PanicInfo<'_>) -> ! {
    stop(format_args!("{info}"))
}
