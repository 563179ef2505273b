//! Raw system calls of the host.
//!
//! Every call of a host process that runs guests is made from the image's text, the only code that
//! syscall user dispatch lets through. No libc, no errno variable: results are [`SysResult`].

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lx_core::abi::Errno;

pub(crate) use linux_raw_sys::general::*;

/// Result of a raw call.
pub(crate) type SysResult = Result<usize, Errno>;

/// Highest host call number that is counted by kind.
const COUNTED: usize = 512;
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNTS: [AtomicU64; COUNTED] = [const { AtomicU64::new(0) }; COUNTED];

/// Switches counting by kind on.
pub(crate) fn count_host_calls(on: bool) {
    COUNTING.store(on, Ordering::Relaxed);
}

/// How often each host call was made while counting was on: `(number, count)`.
pub(crate) fn host_call_counts() -> impl Iterator<Item = (usize, u64)> {
    COUNTS.iter().enumerate().filter_map(|(number, count)| {
        let count = count.load(Ordering::Relaxed);
        (count != 0).then_some((number, count))
    })
}

/// The result of a call from its return register.
fn result(value: usize) -> SysResult {
    if value > usize::MAX - 4095 {
        // An error number is at most 4095.
        Err(Errno::from_number(value.wrapping_neg() as u16).unwrap_or(Errno::EIO))
    } else {
        Ok(value)
    }
}

/// Counts a call that is made by hand-written code.
#[inline]
pub(crate) fn note_call(number: u32) {
    if COUNTING.load(Ordering::Relaxed) {
        if let Some(count) = COUNTS.get(number as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        crate::thread::count_host_call();
    }
}

/// Makes a host call.
///
/// # Safety
///
/// The call must not break memory that Rust code relies on: pointers in `args` are valid for what
/// the host does with them, mappings of the image and region are left alone.
#[inline]
pub(crate) unsafe fn call(number: u32, args: [usize; 6]) -> SysResult {
    note_call(number);
    // SAFETY: the caller's promise.
    unsafe { call_uncounted(number, args) }
}

/// As [`call`], also before the calling thread has a block.
///
/// # Safety
///
/// As [`call`].
#[inline]
pub(crate) unsafe fn call_uncounted(number: u32, args: [usize; 6]) -> SysResult {
    let [a, b, c, d, e, f] = args;
    let value: usize;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => value,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result(value)
}

/// A call by name with up to six arguments: `sys!(__NR_close, fd)`.
///
/// Expands to an unsafe call: see [`call`].
macro_rules! sys {
    ($number:expr $(,)?) => { $crate::sys::call($number, [0; 6]) };
    ($number:expr, $a:expr $(,)?) => {
        $crate::sys::call($number, [$a as usize, 0, 0, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr $(,)?) => {
        $crate::sys::call($number, [$a as usize, $b as usize, 0, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr $(,)?) => {
        $crate::sys::call($number, [$a as usize, $b as usize, $c as usize, 0, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr $(,)?) => {
        $crate::sys::call($number, [$a as usize, $b as usize, $c as usize, $d as usize, 0, 0])
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr $(,)?) => {
        $crate::sys::call(
            $number,
            [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0],
        )
    };
    ($number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(,)?) => {
        $crate::sys::call(
            $number,
            [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, $f as usize],
        )
    };
}
pub(crate) use sys;

/// Sleeps while `*word == expected`; `deadline` is absolute monotonic time in nanoseconds.
pub(crate) fn futex_wait(word: *const u32, expected: u32, deadline: Option<u64>) -> SysResult {
    let time = deadline.map(timespec);
    let time_ptr = time.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the word lives in the shared region and the time on the stack.
    unsafe {
        sys!(
            __NR_futex,
            word,
            FUTEX_WAIT_BITSET,
            expected,
            time_ptr,
            0usize,
            FUTEX_BITSET_MATCH_ANY
        )
    }
}

/// Wakes up to `count` sleepers of `word`, in any process.
pub(crate) fn futex_wake(word: *const u32, count: u32) {
    // SAFETY: waking touches no memory.
    let _ = unsafe { sys!(__NR_futex, word, FUTEX_WAKE, count.min(i32::MAX as u32)) };
}

/// Nanoseconds as the host's structure.
pub(crate) fn timespec(nanos: u64) -> __kernel_timespec {
    __kernel_timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    }
}

/// Closes a descriptor.
pub(crate) fn close(fd: i32) {
    // SAFETY: descriptors are no memory.
    let _ = unsafe { sys!(__NR_close, fd) };
}

/// Writes to a descriptor, for reports; errors have nowhere to go.
pub(crate) fn write_all(fd: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads `bytes` only.
        match unsafe {
            call_uncounted(__NR_write, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
        } {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            _ => return,
        }
    }
}
