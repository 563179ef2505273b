//! A signal that is sent while the handler for the one before returns is not lost.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lx_guest_tests::{Checks, Ended, call, fork, wait};

/// How long signals are sent, each as soon as the handler of the one before has begun, and how
/// many at most.
const SENDING: Duration = Duration::from_millis(700);
const MOST: u32 = 50_000;
/// Longer than any handler takes to begin.
const LONG: Duration = Duration::from_secs(10);

/// Shared between the two processes: how many handlers have begun.
static mut BEGUN: *const AtomicU32 = std::ptr::null();

fn begun() -> &'static AtomicU32 {
    // SAFETY: `main` sets it to a mapping that lives as long as the program, before anyone asks.
    unsafe { &*BEGUN }
}

extern "C" fn handler(_: i32) {
    begun().fetch_add(1, Ordering::SeqCst);
}

/// Sends the signals; whether a handler has begun for each one.
fn none_is_lost(to: i32, signal: i32) -> bool {
    let start = Instant::now();
    for count in 1..=MOST {
        let _ = call!(kill(to, signal));
        let sent = Instant::now();
        while begun().load(Ordering::SeqCst) < count {
            if sent.elapsed() > LONG {
                return false;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > SENDING {
            break;
        }
    }
    true
}

fn main() {
    let mut t = Checks::new();
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let shared = call!(mmap(null_mut(), 4096, protection, flags, -1, 0));
    let shared = t.works("shared memory", shared) as usize as *const AtomicU32;
    // SAFETY: nobody else runs yet.
    unsafe { BEGUN = shared };
    for (what, signal) in
        [("a standard signal", libc::SIGUSR1), ("a real-time one", libc::SIGRTMIN())]
    {
        begun().store(0, Ordering::SeqCst);
        let _ = call!(signal(signal, handler as *const () as usize));
        let busy = fork(|| {
            #[expect(clippy::empty_loop, reason = "no system call may be made")]
            loop {}
        });
        t.ok(what, none_is_lost(busy, signal));
        let _ = call!(kill(busy, libc::SIGKILL));
        t.is("it ends", wait(busy), Ended::Signal(libc::SIGKILL));
    }
    t.end();
}
