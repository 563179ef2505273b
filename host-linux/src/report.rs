//! Reports of kernel bugs: a clear message, then the machine stops.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::text::Text;

use crate::sys;

/// Host process id of init, which takes everything along when it dies.
static INIT_PID: AtomicU32 = AtomicU32::new(0);

pub(crate) fn set_init_pid(pid: u32) {
    INIT_PID.store(pid, Ordering::Relaxed);
}

pub(crate) fn init_pid() -> u32 {
    INIT_PID.load(Ordering::Relaxed)
}

/// Longest report, in bytes.
const LONGEST: usize = 2048;

/// Prints a report, from anywhere.
pub(crate) fn print(report: fmt::Arguments<'_>) {
    let mut text = Text::<LONGEST>::new();
    let _ = writeln!(text, "{report}");
    sys::write_all(2, text.as_bytes());
}

/// Prints a report and stops the machine.
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    print(format_args!("lx: kernel bug: {message}"));
    kill_machine(134)
}

/// Ends init, and with it every process of the machine, without a word.
pub(crate) fn kill_machine(status: i32) -> ! {
    const SIGKILL: usize = 9;
    // SAFETY: signals and exits touch no memory.
    unsafe {
        let me = sys::call_uncounted(sys::__NR_getpid, [0; 6]).unwrap_or(0);
        let init = init_pid() as usize;
        if init != 0 && init != me {
            let _ = sys::call_uncounted(sys::__NR_kill, [init, SIGKILL, 0, 0, 0, 0]);
        }
        loop {
            let _ = sys::call_uncounted(sys::__NR_exit_group, [status as usize, 0, 0, 0, 0, 0]);
        }
    }
}

/// The image's panic handler.
pub fn report_panic(info: &PanicInfo<'_>) -> ! {
    stop(format_args!("{info}"))
}
