//! What the programs that test futexes share: raw calls, threads that are known to sleep, shared words.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use crate::{Called, call, pause, until};

/// `FUTEX_PRIVATE_FLAG`.
pub const PRIVATE: i32 = 128;
/// `FUTEX_CLOCK_REALTIME`.
pub const REALTIME: i32 = 256;

/// The calling thread's id.
pub fn tid() -> u32 {
    call!(gettid()).unwrap_or(0) as u32
}

/// futex(2).
pub fn futex(
    word: &AtomicU32,
    operation: i32,
    value: u32,
    fourth: usize,
    second: usize,
    third: u32,
) -> Called {
    call!(syscall(libc::SYS_futex, word.as_ptr(), operation, value, fourth, second, third))
}

/// An address as an argument of a call.
pub fn address<T>(of: &T) -> usize {
    &raw const *of as usize
}

/// `milliseconds` from now on this clock.
pub fn later(clock: i32, milliseconds: i64) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = call!(clock_gettime(clock, &mut now));
    let nanos = now.tv_nsec + milliseconds % 1000 * 1_000_000;
    libc::timespec {
        tv_sec: now.tv_sec + milliseconds / 1000 + nanos / 1_000_000_000,
        tv_nsec: nanos % 1_000_000_000,
    }
}

/// Whether the task sleeps, as its state in `/proc` says.
pub fn sleeps(tid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// Whether a thread that has told its id sleeps in the kernel, and not just for want of a page.
pub fn asleep(id: &AtomicU32) -> bool {
    until(|| id.load(Ordering::SeqCst) != 0)
        && until(|| {
            (0..3).all(|_| {
                pause(2);
                sleeps(id.load(Ordering::SeqCst))
            })
        })
}

/// A thread that tells its id and runs `body`.
pub fn start<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> (JoinHandle<T>, Arc<AtomicU32>) {
    let id = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&id);
    let thread = thread::spawn(move || {
        told.store(tid(), Ordering::SeqCst);
        body()
    });
    (thread, id)
}

/// What the thread returned, or `otherwise` if it panicked.
pub fn join<T>(thread: JoinHandle<T>, otherwise: T) -> T {
    thread.join().unwrap_or(otherwise)
}

/// Zeroed words in memory that children share.
pub fn shared_words() -> &'static [AtomicU32; 16] {
    let at = call!(mmap(
        null_mut(),
        4096,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        -1,
        0
    ));
    // SAFETY: a page of zeroes that stays mapped.
    unsafe { &*(at.unwrap_or(0) as *const [AtomicU32; 16]) }
}
