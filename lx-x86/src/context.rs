//! Register context beyond the general registers: segment bases, time stamp.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

/// The FS base.
///
/// # Safety
///
/// The host allows FSGSBASE instructions.
#[must_use]
pub unsafe fn read_fs_base() -> u64 {
    let base;
    // SAFETY: the caller's promise.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the FS base.
///
/// # Safety
///
/// As [`read_fs_base`], and no kernel code uses FS.
pub unsafe fn write_fs_base(base: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// Sets the GS base.
///
/// # Safety
///
/// As [`read_fs_base`]; `base` is the address of a block that belongs to the calling thread.
pub unsafe fn write_gs_base(base: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nostack, preserves_flags)) };
}

/// Spins until `done`, for so many ticks of the time stamp counter at the longest; whether it is.
pub fn spin_until(ticks: u64, done: impl Fn() -> bool) -> bool {
    let start = read_tsc();
    while read_tsc().wrapping_sub(start) < ticks {
        if done() {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// The time stamp counter.
#[must_use]
pub fn read_tsc() -> u64 {
    // SAFETY: user code may read it unless the host took that away, which no Linux program survives.
    unsafe { _rdtsc() }
}
