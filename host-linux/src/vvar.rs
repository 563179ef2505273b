//! The page from which the guests' vDSO reads the clocks: one static of the image, hence shared.
//!
//! Init compares it with the host's clocks several times a second, so it follows their rate.

use core::arch::x86_64::{__cpuid, _mm_lfence};
use core::sync::atomic::{AtomicU64, Ordering};

use lx_x86::context::read_tsc;
use lx_x86::vdso::{ClockParams, SHIFT, VvarPage};

use crate::clock;

/// How often init's loop comes by at least.
pub(crate) const INTERVAL_MS: usize = 250;

static PAGE: VvarPage = VvarPage::new();

/// Nanoseconds between two corrections at least.
const MIN_INTERVAL: u64 = 20_000_000;
/// The rate is measured over at most this time, so that it follows the host's corrections.
const MAX_WINDOW: u64 = 10_000_000_000;
/// Being this much ahead of the host is corrected by going slower.
const AHEAD: u64 = 200;
/// A larger difference of the realtime clock is a step that somebody made.
const STEP: u64 = 1_000_000;

/// Where the rate is measured from: TSC and monotonic time.
static WINDOW_TSC: AtomicU64 = AtomicU64::new(0);
static WINDOW_NS: AtomicU64 = AtomicU64::new(0);
/// Time of the last correction.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Clock ids that the page serves: realtime, monotonic, their coarse forms, boottime.
const SERVED: u32 = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;

/// Address of the page, if the CPU's counter can serve as a clock.
pub(crate) fn address() -> u64 {
    (&raw const PAGE) as u64
}

/// What guests see on a clock now; `None` if they ask the kernel. The kernel reads the same page,
/// because a system call must not tell another time than the vDSO just did.
pub(crate) fn now(clock: usize) -> Option<u64> {
    // The counter may not be read before what the guest did so far.
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { _mm_lfence() };
    PAGE.read(clock, read_tsc())
}

/// TSC and monotonic time of the same moment.
fn sample() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..4 {
        let before = read_tsc();
        let now = clock::monotonic();
        let width = read_tsc().wrapping_sub(before);
        if width < best.0 {
            best = (width, before.wrapping_add(width / 2), now);
        }
    }
    (best.1, best.2)
}

fn counter_is_steady() -> bool {
    const POWER: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & 1 << 8 != 0
}

fn has_rdtscp() -> bool {
    __cpuid(0x8000_0001).edx & 1 << 27 != 0
}

/// Begins to measure; the page serves clocks from then on.
pub(crate) fn start() {
    if !counter_is_steady() {
        return;
    }
    let (tsc, now) = sample();
    WINDOW_TSC.store(tsc, Ordering::Relaxed);
    WINDOW_NS.store(now, Ordering::Relaxed);
    // Long enough for a first rate that is good to some 50 ppm; `update` makes it better.
    while clock::monotonic() < now.saturating_add(500_000) {
        core::hint::spin_loop();
    }
    publish(has_rdtscp());
}

/// Follows the host's clocks; called by init's loop.
pub(crate) fn update() {
    let last = LAST.load(Ordering::Relaxed);
    if last != 0 && clock::monotonic().saturating_sub(last) >= MIN_INTERVAL {
        publish(has_rdtscp_cached());
    }
}

/// `cpuid` is slow under a hypervisor: ask once.
fn has_rdtscp_cached() -> bool {
    static KNOWN: AtomicU64 = AtomicU64::new(2);
    match KNOWN.load(Ordering::Relaxed) {
        2 => {
            let has = has_rdtscp();
            KNOWN.store(u64::from(has), Ordering::Relaxed);
            has
        }
        known => known == 1,
    }
}

fn publish(cpu_in_tsc_aux: bool) {
    let (tsc, now) = sample();
    let window = (WINDOW_TSC.load(Ordering::Relaxed), WINDOW_NS.load(Ordering::Relaxed));
    let Some(mut mult) = ClockParams::mult_from_samples(window, (tsc, now)) else { return };
    if now.saturating_sub(window.1) > MAX_WINDOW {
        WINDOW_TSC.store(tsc, Ordering::Relaxed);
        WINDOW_NS.store(now, Ordering::Relaxed);
    }
    let realtime = clock::realtime().saturating_sub(clock::monotonic().saturating_sub(now));
    let boottime = clock::boottime().saturating_sub(clock::monotonic().saturating_sub(now));
    // A clock that guests have seen must not go back.
    let shown = |id: usize, host: u64| PAGE.read(id, tsc).map_or(host, |shown| shown.max(host));
    let monotonic = shown(1, now);
    if monotonic > now.saturating_add(AHEAD) {
        mult -= mult / 2000;
    }
    let realtime = match PAGE.read(0, tsc) {
        Some(shown) if shown.abs_diff(realtime) < STEP => shown.max(realtime),
        _ => realtime,
    };
    let mut base_ns = [0; lx_x86::vdso::CLOCKS];
    for (slot, value) in base_ns.iter_mut().zip([
        realtime,
        monotonic,
        0,
        0,
        0,
        realtime,
        monotonic,
        shown(7, boottime),
    ]) {
        *slot = value;
    }
    PAGE.publish(&ClockParams {
        clocks: SERVED,
        cycle_last: tsc,
        mult,
        shift: SHIFT,
        base_ns,
        cpu_in_tsc_aux,
    });
    LAST.store(now, Ordering::Relaxed);
}
