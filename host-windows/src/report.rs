//! Reports of kernel bugs: a clear message, then the machine stops.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::nt::{self, nt};
use crate::thread;

/// Init's handle of the error output.
static OUTPUT: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_output(handle: usize) {
    OUTPUT.store(handle, Ordering::Relaxed);
}

/// Text without a heap, for reports from anywhere.
pub(crate) struct Text {
    bytes: [u8; 2048],
    len: usize,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 2048], len: 0 }
    }

    pub(crate) fn print(&self) {
        let handle = OUTPUT.load(Ordering::Relaxed);
        if thread::is_init() {
            self.write(handle);
        } else if let Ok(handle) = nt::take_from_init(handle) {
            self.write(handle);
            nt::close(handle);
        }
    }

    fn write(&self, handle: usize) {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
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
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let len = text.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), text.as_bytes().get(..len)) {
            to.copy_from_slice(from);
        }
        self.len += len;
        Ok(())
    }
}

/// Prints a report and stops the machine.
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    let mut text = Text::new();
    let _ = writeln!(text, "lx: kernel bug: {message}");
    text.print();
    kill_machine(134)
}

/// Prints what the user should know of, and goes on.
pub(crate) fn note(message: fmt::Arguments<'_>) {
    let mut text = Text::new();
    let _ = writeln!(text, "lx: {message}");
    text.print();
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
