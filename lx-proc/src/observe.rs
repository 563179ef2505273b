//! Counters and switches for `--stats` and `--strace`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Number of system-call numbers that are counted.
pub const SYSCALL_SLOTS: usize = 512;

/// What is observed. When nothing is, a system call looks at one flag.
pub struct Observe {
    any: AtomicBool,
    trace: AtomicBool,
    calls: [Counters; SYSCALL_SLOTS],
    /// Calls of numbers beyond the table.
    beyond: AtomicU64,
}

/// Counters of one call.
#[derive(Default)]
struct Counters {
    made: AtomicU64,
    failed: AtomicU64,
    host: AtomicU64,
}

/// What was counted of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// Number of the call.
    pub number: usize,
    /// How often it was made.
    pub made: u64,
    /// How often it failed.
    pub failed: u64,
    /// Host calls that it made.
    pub host: u64,
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            trace: AtomicBool::new(false),
            calls: core::array::from_fn(|_| Counters::default()),
            beyond: AtomicU64::new(0),
        }
    }
}

impl Observe {
    /// Switches counting and tracing.
    pub fn enable(&self, stats: bool, trace: bool) {
        self.trace.store(trace, Ordering::Relaxed);
        self.any.store(stats || trace, Ordering::Relaxed);
    }

    /// Whether anything is observed.
    pub fn is_on(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether calls are printed.
    pub fn is_tracing(&self) -> bool {
        self.trace.load(Ordering::Relaxed)
    }

    /// Counts one call and the host calls that it made.
    pub fn count(&self, number: u64, failed: bool, host: u64) {
        match usize::try_from(number).ok().and_then(|at| self.calls.get(at)) {
            Some(counters) => {
                counters.made.fetch_add(1, Ordering::Relaxed);
                counters.failed.fetch_add(failed.into(), Ordering::Relaxed);
                counters.host.fetch_add(host, Ordering::Relaxed);
            }
            None => {
                self.beyond.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Every call that was made.
    pub fn counts(&self) -> Vec<CallCount> {
        let all = self.calls.iter().enumerate().map(|(number, counters)| CallCount {
            number,
            made: counters.made.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            host: counters.host.load(Ordering::Relaxed),
        });
        all.filter(|count| count.made > 0).collect()
    }

    /// Calls of numbers beyond the table.
    pub fn beyond(&self) -> u64 {
        self.beyond.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{CallCount, Observe};

    #[test]
    fn calls_are_counted_by_number() {
        let observe = Observe::default();
        observe.count(39, false, 0);
        observe.count(39, true, 2);
        observe.count(1 << 40, true, 0);
        assert_eq!(observe.counts(), [CallCount { number: 39, made: 2, failed: 1, host: 2 }]);
        assert_eq!(observe.beyond(), 1);
    }
}
