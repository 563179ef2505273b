//! Keeps the page from which the guests' vDSO reads the clocks: one static of the image, hence shared.
//!
//! Init compares it with the host's clocks several times a second, so it follows their rate.

use core::arch::x86_64::{__cpuid, _mm_lfence};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{CLOCKS, ClockParams, SHIFT, VvarPage};
use crate::context::read_tsc;

/// How often [`ClockKeeper::update`] wants to be called at least.
pub const INTERVAL_MS: usize = 250;

/// Nanoseconds between two corrections at least.
const MIN_INTERVAL: u64 = 20_000_000;
/// The rate is measured over at most this time, so that it follows the host's corrections.
const MAX_WINDOW: u64 = 10_000_000_000;
/// Being this much ahead of the host is corrected by going slower.
const AHEAD: u64 = 200;
/// A larger difference of the realtime clock is a step that somebody made.
const STEP: u64 = 1_000_000;

/// Clock ids that the page serves: realtime, monotonic, their coarse forms, boottime.
const SERVED: u32 = 1 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;

/// The host's clocks, in nanoseconds.
pub trait HostClocks {
    /// `CLOCK_MONOTONIC`.
    fn monotonic() -> u64;
    /// `CLOCK_REALTIME`.
    fn realtime() -> u64;
    /// `CLOCK_BOOTTIME`.
    fn boottime() -> u64;
}

/// The page, and what is needed to keep it right.
#[derive(Debug)]
pub struct ClockKeeper<C> {
    page: VvarPage,
    /// Where the rate is measured from: TSC and monotonic time.
    window_tsc: AtomicU64,
    window_ns: AtomicU64,
    /// Time of the last correction.
    last: AtomicU64,
    clocks: PhantomData<C>,
}

impl<C: HostClocks> ClockKeeper<C> {
    /// A page that serves no clock yet.
    #[expect(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        Self {
            page: VvarPage::new(),
            window_tsc: AtomicU64::new(0),
            window_ns: AtomicU64::new(0),
            last: AtomicU64::new(0),
            clocks: PhantomData,
        }
    }

    /// Address of the page, if the CPU's counter can serve as a clock.
    pub fn address(&self) -> u64 {
        (&raw const self.page) as u64
    }

    /// What guests see on a clock now; `None` if they ask the kernel. The kernel reads the same page,
    /// because a system call must not tell another time than the vDSO just did.
    pub fn now(&self, clock: usize) -> Option<u64> {
        // The counter may not be read before what the guest did so far.
        // SAFETY: every x86-64 CPU has SSE2.
        unsafe { _mm_lfence() };
        self.page.read(clock, read_tsc())
    }

    /// TSC and monotonic time of the same moment.
    fn sample() -> (u64, u64) {
        let mut best = (u64::MAX, 0, 0);
        for _ in 0..4 {
            let before = read_tsc();
            let now = C::monotonic();
            let width = read_tsc().wrapping_sub(before);
            if width < best.0 {
                best = (width, before.wrapping_add(width / 2), now);
            }
        }
        (best.1, best.2)
    }

    /// Begins to measure; the page serves clocks from then on.
    pub fn start(&self) {
        if !counter_is_steady() {
            return;
        }
        let (tsc, now) = Self::sample();
        self.window_tsc.store(tsc, Ordering::Relaxed);
        self.window_ns.store(now, Ordering::Relaxed);
        // Long enough for a first rate that is good to some 50 ppm; `update` makes it better.
        while C::monotonic() < now.saturating_add(500_000) {
            core::hint::spin_loop();
        }
        self.publish(has_rdtscp());
    }

    /// Follows the host's clocks; called by init's loop.
    pub fn update(&self) {
        let last = self.last.load(Ordering::Relaxed);
        if last != 0 && C::monotonic().saturating_sub(last) >= MIN_INTERVAL {
            self.publish(has_rdtscp_cached());
        }
    }

    fn publish(&self, cpu_in_tsc_aux: bool) {
        let (tsc, now) = Self::sample();
        let window =
            (self.window_tsc.load(Ordering::Relaxed), self.window_ns.load(Ordering::Relaxed));
        let Some(mut mult) = ClockParams::mult_from_samples(window, (tsc, now)) else { return };
        if now.saturating_sub(window.1) > MAX_WINDOW {
            self.window_tsc.store(tsc, Ordering::Relaxed);
            self.window_ns.store(now, Ordering::Relaxed);
        }
        let realtime = C::realtime().saturating_sub(C::monotonic().saturating_sub(now));
        let boottime = C::boottime().saturating_sub(C::monotonic().saturating_sub(now));
        // A clock that guests have seen must not go back.
        let shown =
            |id: usize, host: u64| self.page.read(id, tsc).map_or(host, |shown| shown.max(host));
        let monotonic = shown(1, now);
        if monotonic > now.saturating_add(AHEAD) {
            mult -= mult / 2000;
        }
        let realtime = match self.page.read(0, tsc) {
            Some(shown) if shown.abs_diff(realtime) < STEP => shown.max(realtime),
            _ => realtime,
        };
        let mut base_ns = [0; CLOCKS];
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
        self.page.publish(&ClockParams {
            clocks: SERVED,
            cycle_last: tsc,
            mult,
            shift: SHIFT,
            base_ns,
            cpu_in_tsc_aux,
        });
        self.last.store(now, Ordering::Relaxed);
    }
}

fn counter_is_steady() -> bool {
    const POWER: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & 1 << 8 != 0
}

fn has_rdtscp() -> bool {
    __cpuid(0x8000_0001).edx & 1 << 27 != 0
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
