//! Whether to spin before a sleep.

use core::sync::atomic::{AtomicU32, Ordering};

/// What a thread has learnt from its waits about spinning before it sleeps.
///
/// To wake a thread that sleeps takes some 20 microseconds where its processor has nothing else to do
/// and must be woken, too; for two threads that take turns that is all of their time. If the wait is
/// over before a sleep would have begun, neither has to. But a spin that fails is time lost, the more
/// so where both threads have one processor. So a thread spins after waits for which it was worth
/// while, and tries again now and then, at ever longer intervals while it is not.
///
/// Used by its own thread only.
#[derive(Debug)]
pub struct SpinHabit {
    /// Spins while it is not 0. A spin that succeeds adds 1, one that fails takes [`FAILED`] away.
    credit: AtomicU32,
    /// Waits without a spin until the next try.
    left: AtomicU32,
    /// As many came before the present try.
    interval: AtomicU32,
}

/// Most credit there can be.
const MOST: u32 = 8;
/// What a spin costs that fails: two of three must succeed.
const FAILED: u32 = 2;
/// First and longest interval between tries.
const INTERVALS: (u32, u32) = (16, 1024);

impl SpinHabit {
    /// That of a thread which has not waited yet.
    pub const fn new() -> Self {
        Self {
            credit: AtomicU32::new(0),
            left: AtomicU32::new(INTERVALS.0),
            interval: AtomicU32::new(INTERVALS.0),
        }
    }

    /// Calls `spin` if that is worth while, which says whether the wait is over; learns from it.
    pub fn spin(&self, spin: impl FnOnce() -> bool) -> bool {
        let credit = self.credit.load(Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if credit == 0 && left != 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            return false;
        }
        let over = spin();
        if over {
            self.credit.store((credit + 1).min(MOST), Ordering::Relaxed);
            self.interval.store(INTERVALS.0, Ordering::Relaxed);
        } else {
            let interval = match credit {
                0 => (self.interval.load(Ordering::Relaxed) * 2).min(INTERVALS.1),
                _ => INTERVALS.0,
            };
            self.credit.store(credit.saturating_sub(FAILED), Ordering::Relaxed);
            self.interval.store(interval, Ordering::Relaxed);
            self.left.store(interval, Ordering::Relaxed);
        }
        over
    }
}

impl Default for SpinHabit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `waits` waits were spun for, when a spin ends as `succeeds` says.
    fn spins(habit: &SpinHabit, waits: u32, succeeds: bool) -> u32 {
        let mut spins = 0;
        for _ in 0..waits {
            habit.spin(|| {
                spins += 1;
                succeeds
            });
        }
        spins
    }

    #[test]
    fn spins_that_fail_become_rare() {
        let habit = SpinHabit::new();
        assert_eq!(spins(&habit, 16, false), 0);
        assert_eq!(spins(&habit, 1, false), 1);
        assert!(spins(&habit, 10_000, false) < 16);
    }

    #[test]
    fn after_one_that_succeeds_all_are_spun_for_until_they_fail() {
        let habit = SpinHabit::new();
        spins(&habit, 16, true);
        assert_eq!(spins(&habit, 100, true), 100);
        assert_eq!(spins(&habit, 20, false), MOST / FAILED);
        // The next try comes soon.
        assert_eq!(spins(&habit, 100, true), 100 - (INTERVALS.0 - 16));
    }
}
