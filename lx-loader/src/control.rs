//! Bytes from `lx` on their way to the image.
//!
//! The pipe is read by a thread of its own, because waiting for it cannot be combined with init's
//! other sources. One buffer goes back and forth.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_nt::{Handle, port_key};

use crate::api;
use crate::report::fail;

const SIZE: usize = 64 * 1024;

struct Buffer(UnsafeCell<[u8; SIZE]>);
// SAFETY: the reader thread fills it, then the image reads it, never both: see `taken`.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; SIZE]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PIPE: AtomicUsize = AtomicUsize::new(0);
static PORT: AtomicUsize = AtomicUsize::new(0);

/// Starts the thread.
pub(crate) fn start(pipe: Handle, port: Handle) {
    PIPE.store(pipe, Ordering::Relaxed);
    PORT.store(port, Ordering::Relaxed);
    // SAFETY: the thread's function takes no argument.
    unsafe {
        let event = api::CreateEventW(0, 0, 0, 0);
        TAKEN.store(event, Ordering::Relaxed);
        let thread = api::CreateThread(0, 0, run, core::ptr::null_mut(), 0, core::ptr::null_mut());
        if event == 0 || thread == 0 {
            fail("control thread");
        }
    }
}

/// The image has taken the bytes of the last packet.
pub(crate) unsafe extern "win64" fn taken() {
    // SAFETY: our own event.
    unsafe { api::SetEvent(TAKEN.load(Ordering::Relaxed)) };
}

unsafe extern "system" fn run(_: *mut c_void) -> u32 {
    const INFINITE: u32 = u32::MAX;
    let (pipe, port) = (PIPE.load(Ordering::Relaxed), PORT.load(Ordering::Relaxed));
    let buffer = BUFFER.0.get().cast::<u8>();
    loop {
        let mut len = 0;
        // SAFETY: the image is done with the buffer.
        let good = unsafe { api::ReadFile(pipe, buffer, SIZE as u32, &mut len, 0) };
        let len = if good == 0 { 0 } else { len };
        // SAFETY: our own handles.
        unsafe {
            api::PostQueuedCompletionStatus(port, len, port_key::CONTROL, buffer as usize);
            if len == 0 {
                return 0;
            }
            api::WaitForSingleObject(TAKEN.load(Ordering::Relaxed), INFINITE);
        }
    }
}
