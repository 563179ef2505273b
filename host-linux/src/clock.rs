//! Clocks, by the host's own vDSO: it is mapped in every process at the address where init found
//! it, and its code needs neither TLS nor vector registers. What guests see is computed from the
//! page of their own vDSO instead ([`ClockKeeper`]).

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use lx_core::host::{HostClock, HostThreadId, Nanos};
use lx_x86::vdso::{ClockKeeper, HostClocks};

use crate::LinuxHost;
use crate::sys::{self, sys};
use crate::thread;

const CLOCK_REALTIME: usize = 0;
const CLOCK_MONOTONIC: usize = 1;
const CLOCK_PROCESS_CPUTIME: usize = 2;
const CLOCK_THREAD_CPUTIME: usize = 3;
const CLOCK_BOOTTIME: usize = 7;

/// What guests see of the clocks; init keeps it right.
pub(crate) static KEEPER: ClockKeeper<Clocks> = ClockKeeper::new();

/// The host's clocks.
#[derive(Debug)]
pub(crate) struct Clocks;

impl HostClocks for Clocks {
    fn monotonic() -> u64 {
        monotonic()
    }

    fn realtime() -> u64 {
        realtime()
    }

    fn boottime() -> u64 {
        boottime()
    }
}

/// Address of `__vdso_clock_gettime`, or 0.
static VDSO_CLOCK: AtomicU64 = AtomicU64::new(0);
/// The timer that init's loop waits on.
static TIMER_FD: AtomicI32 = AtomicI32::new(-1);

type ClockGettime = unsafe extern "C" fn(usize, *mut sys::__kernel_timespec) -> i32;

fn nanos(time: &sys::__kernel_timespec) -> Nanos {
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

fn by_call(clock: usize) -> Nanos {
    let mut time = sys::__kernel_timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure.
    let _ = unsafe { sys!(sys::__NR_clock_gettime, clock, &raw mut time) };
    nanos(&time)
}

pub(crate) fn realtime() -> Nanos {
    read(CLOCK_REALTIME)
}

pub(crate) fn boottime() -> Nanos {
    read(CLOCK_BOOTTIME)
}

fn read(clock: usize) -> Nanos {
    let address = VDSO_CLOCK.load(Ordering::Relaxed);
    if address == 0 {
        return by_call(clock);
    }
    let mut time = sys::__kernel_timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the address is that of the vDSO's function of this type.
    unsafe {
        let function: ClockGettime = core::mem::transmute(address as *const ());
        function(clock, &raw mut time);
    }
    nanos(&time)
}

pub(crate) fn monotonic() -> Nanos {
    read(CLOCK_MONOTONIC)
}

/// Processor time of the calling host thread since it began.
pub(crate) fn thread_cpu_raw() -> Nanos {
    by_call(CLOCK_THREAD_CPUTIME)
}

/// Looks the function up in the vDSO that the host has mapped at `base`.
pub(crate) fn find_vdso(base: u64) {
    if base != 0
        && let Some(address) = find_symbol(base, b"__vdso_clock_gettime")
    {
        VDSO_CLOCK.store(address, Ordering::Relaxed);
    }
}

/// Address of a dynamic symbol of an ELF image that is mapped at `base` and linked at 0.
fn find_symbol(base: u64, name: &[u8]) -> Option<u64> {
    const PT_DYNAMIC: u32 = 2;
    const DT_HASH: u64 = 4;
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    const DT_GNU_HASH: u64 = 0x6fff_fef5;
    // SAFETY: the host maps a complete, well-formed ELF image there; offsets stay inside it.
    let word = |at: u64| unsafe { (at as *const u64).read_unaligned() };
    // SAFETY: as above.
    let half = |at: u64| unsafe { (at as *const u32).read_unaligned() };
    // SAFETY: as above.
    let byte = |at: u64| unsafe { (at as *const u8).read() };
    let headers = base + word(base + 32);
    let header_count = u64::from(half(base + 56) & 0xffff);
    let dynamic = (0..header_count)
        .map(|index| headers + index * 56)
        .find(|&header| half(header) == PT_DYNAMIC)
        .map(|header| base + word(header + 16))?;
    let (mut strings, mut symbols, mut hash, mut gnu_hash) = (0, 0, 0, 0);
    for index in 0..64 {
        let (tag, value) = (word(dynamic + index * 16), word(dynamic + index * 16 + 8));
        match tag {
            0 => break,
            DT_STRTAB => strings = base + value,
            DT_SYMTAB => symbols = base + value,
            DT_HASH => hash = base + value,
            DT_GNU_HASH => gnu_hash = base + value,
            _ => {}
        }
    }
    if strings == 0 || symbols == 0 {
        return None;
    }
    // The vDSO has a dozen symbols; without the classic table, a bound that is never reached.
    let count = if hash != 0 {
        u64::from(half(hash + 4))
    } else if gnu_hash != 0 {
        24
    } else {
        0
    };
    (1..count).find_map(|index| {
        let symbol = symbols + index * 24;
        let at = strings + u64::from(half(symbol));
        let same = name.iter().zip(at..).all(|(&wanted, at)| byte(at) == wanted)
            && byte(at + name.len() as u64) == 0;
        let value = word(symbol + 8);
        (same && value != 0).then_some(base + value)
    })
}

/// Makes the timer for [`HostClock::set_timer`]; its descriptor.
pub(crate) fn create_timer() -> i32 {
    const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o2000000;
    // SAFETY: touches no memory.
    let fd = unsafe { sys!(sys::__NR_timerfd_create, CLOCK_MONOTONIC, NONBLOCK_CLOEXEC) };
    let fd = fd.map_or(-1, |fd| fd as i32);
    TIMER_FD.store(fd, Ordering::Relaxed);
    fd
}

impl HostClock for LinuxHost {
    fn monotonic(&self) -> Nanos {
        KEEPER.now(CLOCK_MONOTONIC).unwrap_or_else(monotonic)
    }

    fn realtime(&self) -> Nanos {
        KEEPER.now(CLOCK_REALTIME).unwrap_or_else(realtime)
    }

    fn boottime(&self) -> Nanos {
        KEEPER.now(CLOCK_BOOTTIME).unwrap_or_else(boottime)
    }

    fn thread_cpu(&self) -> Nanos {
        thread_cpu_raw().saturating_sub(thread::current().cpu_base.get())
    }

    fn process_cpu(&self) -> Nanos {
        by_call(CLOCK_PROCESS_CPUTIME)
    }

    fn process_cpu_of(&self, thread: HostThreadId) -> Nanos {
        let pid = thread::by_id(thread).map_or(0, |block| block.pid.load(Ordering::Acquire));
        if pid == 0 {
            return 0;
        }
        // The clock of a process's scheduled time, `CPUCLOCK_SCHED`.
        by_call((!pid << 3 | 2) as i32 as usize)
    }

    fn resolution(&self) -> Nanos {
        1
    }

    fn set_timer(&self, deadline: Option<Nanos>) {
        const ABSOLUTE: usize = 1;
        let value = sys::__kernel_itimerspec {
            it_interval: sys::timespec(0),
            // Zero would disarm the timer.
            it_value: sys::timespec(deadline.map_or(0, |deadline| deadline.max(1))),
        };
        let fd = TIMER_FD.load(Ordering::Relaxed);
        // SAFETY: the kernel reads the structure.
        let _ = unsafe { sys!(sys::__NR_timerfd_settime, fd, ABSOLUTE, &raw const value, 0usize) };
    }

    fn vdso_clock_page(&self) -> Option<u64> {
        Some(KEEPER.address())
    }
}
