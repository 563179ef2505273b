//! Clocks. What guests see is computed from the page that init keeps up to date ([`ClockKeeper`]), which
//! needs no call; the host's own clocks have a coarse grain or cost a call.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{HostClock, HostThreadId, Nanos};
use lx_nt::ClientId;
use lx_x86::vdso::{ClockKeeper, HostClocks, VvarPage};

use crate::WindowsHost;
use crate::nt::{self, nt};
use crate::{init, thread};

const CLOCK_REALTIME: usize = 0;
const CLOCK_MONOTONIC: usize = 1;
const CLOCK_BOOTTIME: usize = 7;
/// From 1601 to 1970, in units of 100 ns.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// What the guests' vDSO reads: a page that never tells the time, so that guests ask the kernel.
/// A page that changes would have to be mapped shared, in a unit of 64 KB of its own.
static GUEST_PAGE: VvarPage = VvarPage::new();

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

/// Deadline of the kernel's timer; `u64::MAX` if there is none.
static TIMER: AtomicU64 = AtomicU64::new(u64::MAX);

/// Address of the page that guests have mapped.
pub(crate) fn guest_page() -> u64 {
    (&raw const GUEST_PAGE) as u64
}

/// The host's monotonic clock.
pub(crate) fn monotonic() -> Nanos {
    let (mut count, mut frequency) = (0i64, 0i64);
    // SAFETY: the call writes the numbers.
    let _ = unsafe { nt!(counter, &mut count, &mut frequency) };
    let (count, frequency) = (count.max(0) as u128, frequency.max(1) as u128);
    (count * 1_000_000_000 / frequency) as Nanos
}

/// The host's clock of the time of day.
pub(crate) fn realtime() -> Nanos {
    let mut time = 0i64;
    // SAFETY: the call writes the number.
    let _ = unsafe { nt!(system_time, &mut time) };
    (time.saturating_sub(UNIX_EPOCH).max(0) as u64).saturating_mul(100)
}

/// Windows' counter goes on while the machine sleeps.
pub(crate) fn boottime() -> Nanos {
    monotonic()
}

/// The monotonic clock, as the kernel sees it.
pub(crate) fn now() -> Nanos {
    KEEPER.now(CLOCK_MONOTONIC).unwrap_or_else(monotonic)
}

/// `KERNEL_USER_TIMES`: creation, exit, kernel, user.
fn processor_time(times: &[u64; 4]) -> Nanos {
    let [_, _, kernel, user] = times;
    kernel.wrapping_add(*user).saturating_mul(100)
}

/// Processor time of the calling host thread since it began.
pub(crate) fn thread_cpu_raw() -> Nanos {
    const THREAD_TIMES: u32 = 1;
    let mut times = [0u64; 4];
    let len = size_of_val(&times) as u32;
    // SAFETY: the call writes the numbers.
    let _ = unsafe {
        nt!(
            query_thread,
            lx_nt::CURRENT_THREAD,
            THREAD_TIMES,
            times.as_mut_ptr().cast(),
            len,
            core::ptr::null_mut()
        )
    };
    processor_time(&times)
}

fn process_cpu_by_handle(process: lx_nt::Handle) -> Nanos {
    const PROCESS_TIMES: u32 = 4;
    let mut times = [0u64; 4];
    let len = size_of_val(&times) as u32;
    // SAFETY: the call writes the numbers.
    let _ = unsafe {
        nt!(
            query_process,
            process,
            PROCESS_TIMES,
            times.as_mut_ptr().cast(),
            len,
            core::ptr::null_mut()
        )
    };
    processor_time(&times)
}

/// When init has to call the kernel.
pub(crate) fn timer() -> Nanos {
    TIMER.load(Ordering::Acquire)
}

/// The timer has fired.
pub(crate) fn clear_timer(deadline: Nanos) {
    let _ = TIMER.compare_exchange(deadline, u64::MAX, Ordering::AcqRel, Ordering::Relaxed);
}

impl HostClock for WindowsHost {
    fn monotonic(&self) -> Nanos {
        now()
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
        process_cpu_by_handle(lx_nt::CURRENT_PROCESS)
    }

    fn process_cpu_of(&self, thread: HostThreadId) -> Nanos {
        const QUERY_LIMITED: u32 = 0x1000;
        let pid = thread::by_id(thread).map_or(0, |block| block.pid.load(Ordering::Acquire));
        if pid == 0 {
            return 0;
        }
        let mut process = 0;
        let id = ClientId { process: pid as usize, thread: 0 };
        let attributes = nt::no_attributes();
        // SAFETY: the call reads the structures and writes the handle.
        let status = unsafe { nt!(open_process, &mut process, QUERY_LIMITED, &attributes, &id) };
        if status < 0 {
            return 0;
        }
        let time = process_cpu_by_handle(process);
        nt::close(process);
        time
    }

    fn resolution(&self) -> Nanos {
        1
    }

    fn set_timer(&self, deadline: Option<Nanos>) {
        let deadline = deadline.unwrap_or(u64::MAX);
        let before = TIMER.swap(deadline, Ordering::AcqRel);
        if deadline < before {
            init::wake();
        }
    }

    fn vdso_clock_page(&self) -> Option<u64> {
        Some(guest_page())
    }
}
