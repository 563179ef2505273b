//! The data page of the vDSO: clock parameters that the guest's own code reads.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Size of the data page; it is mapped right before the vDSO's image.
pub const VVAR_SIZE: usize = 4096;

/// Clock ids below this have a base in the page.
pub const CLOCKS: usize = 8;

/// [`ClockParams::shift`] as [`ClockParams::mult_from_samples`] means it.
pub const SHIFT: u32 = 32;

/// The page that the kernel writes and the vDSO reads, without locks.
///
/// A clock shows `base_ns[clock] + ((tsc - cycle_last) * mult >> shift)`. The sequence number is odd
/// while the kernel writes; a reader that sees it odd or changed starts again. One writer at a time.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct VvarPage {
    sequence: AtomicU32,
    /// Bit n: clock id n may be computed from the TSC. 0: all go to the kernel.
    clocks: AtomicU32,
    cycle_last: AtomicU64,
    mult: AtomicU64,
    shift: AtomicU32,
    flags: AtomicU32,
    base_ns: [AtomicU64; CLOCKS],
}

/// Bit of the flags: TSC_AUX holds `cpu | node << 12`, as Linux hosts set it.
const CPU_IN_TSC_AUX: u32 = 1;

pub(super) const SEQUENCE: usize = offset_of!(VvarPage, sequence);
pub(super) const CLOCK_MASK: usize = offset_of!(VvarPage, clocks);
pub(super) const CYCLE_LAST: usize = offset_of!(VvarPage, cycle_last);
pub(super) const MULT: usize = offset_of!(VvarPage, mult);
pub(super) const SHIFT_COUNT: usize = offset_of!(VvarPage, shift);
pub(super) const FLAGS: usize = offset_of!(VvarPage, flags);
pub(super) const BASE_NS: usize = offset_of!(VvarPage, base_ns);

/// One consistent set of clock parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockParams {
    /// Bit n: clock id n may be computed from the TSC; meaningful for ids below [`CLOCKS`]. 0 where
    /// the TSC is unusable: then every call enters the kernel.
    pub clocks: u32,
    /// The TSC at which the clocks showed `base_ns`.
    pub cycle_last: u64,
    /// Nanoseconds per TSC cycle, times 2 to the power of `shift`.
    pub mult: u64,
    /// Less than 64.
    pub shift: u32,
    /// Nanoseconds by clock id (0 is `CLOCK_REALTIME`, 1 `CLOCK_MONOTONIC`, 7 `CLOCK_BOOTTIME`).
    pub base_ns: [u64; CLOCKS],
    /// TSC_AUX holds `cpu | node << 12`, so `getcpu` needs no kernel.
    pub cpu_in_tsc_aux: bool,
}

impl ClockParams {
    /// The multiplier for [`SHIFT`] from two readings `(tsc, ns)` of the same clock.
    ///
    /// `None` if the second is not later.
    pub fn mult_from_samples(first: (u64, u64), second: (u64, u64)) -> Option<u64> {
        let cycles = second.0.checked_sub(first.0)?;
        let nanoseconds = second.1.checked_sub(first.1)?;
        let mult = (u128::from(nanoseconds) << SHIFT).checked_div(u128::from(cycles))?;
        u64::try_from(mult).ok().filter(|&mult| mult > 0)
    }
}

impl VvarPage {
    /// A page that sends every call to the kernel.
    pub const fn new() -> Self {
        Self {
            sequence: AtomicU32::new(0),
            clocks: AtomicU32::new(0),
            cycle_last: AtomicU64::new(0),
            mult: AtomicU64::new(0),
            shift: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            base_ns: [const { AtomicU64::new(0) }; CLOCKS],
        }
    }

    /// Publishes new parameters. The caller keeps other writers away.
    ///
    /// A clock that must not go back needs a base at least as high as what the old parameters give
    /// at the new `cycle_last`.
    pub fn publish(&self, params: &ClockParams) {
        let sequence = self.sequence.load(Ordering::Relaxed) & !1;
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.clocks.store(params.clocks & ((1 << CLOCKS) - 1), Ordering::Relaxed);
        self.cycle_last.store(params.cycle_last, Ordering::Relaxed);
        self.mult.store(params.mult, Ordering::Relaxed);
        self.shift.store(params.shift & 63, Ordering::Relaxed);
        let flags = if params.cpu_in_tsc_aux { CPU_IN_TSC_AUX } else { 0 };
        self.flags.store(flags, Ordering::Relaxed);
        for (slot, &base) in self.base_ns.iter().zip(&params.base_ns) {
            slot.store(base, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// What `clock` shows at `tsc`, as the vDSO computes it; `None` if it would ask the kernel.
    pub fn read(&self, clock: usize, tsc: u64) -> Option<u64> {
        loop {
            let sequence = self.sequence.load(Ordering::Acquire);
            let served = 1u32.checked_shl(u32::try_from(clock).ok()?)?;
            if self.clocks.load(Ordering::Relaxed) & served == 0 {
                return None;
            }
            let cycles = tsc.saturating_sub(self.cycle_last.load(Ordering::Relaxed));
            let product = u128::from(cycles) * u128::from(self.mult.load(Ordering::Relaxed));
            let passed = (product >> self.shift.load(Ordering::Relaxed)) as u64;
            let base = self.base_ns.get(clock)?.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if sequence & 1 == 0 && sequence == self.sequence.load(Ordering::Relaxed) {
                return Some(base.wrapping_add(passed));
            }
            core::hint::spin_loop();
        }
    }
}

impl Default for VvarPage {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_shows_what_was_published() {
        let page = VvarPage::new();
        assert_eq!(page.read(0, 5), None);
        let mult = ClockParams::mult_from_samples((1000, 0), (4000, 1000)).unwrap();
        let mut params =
            ClockParams { clocks: 3, cycle_last: 1000, mult, shift: SHIFT, ..Default::default() };
        params.base_ns[1] = 77;
        page.publish(&params);
        assert_eq!(page.read(1, 1000), Some(77));
        assert_eq!(page.read(1, 3_001_000), Some(77 + 999_999));
        // A TSC that is a little behind on another CPU shows no time travel.
        assert_eq!(page.read(1, 990), Some(77));
        assert_eq!(page.read(2, 1000), None);
        assert_eq!(ClockParams::mult_from_samples((5, 5), (5, 9)), None);
    }
}
