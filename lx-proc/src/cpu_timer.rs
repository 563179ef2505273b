//! Timers by processor time: `ITIMER_VIRTUAL`, `ITIMER_PROF`, POSIX timers on
//! `CLOCK_PROCESS_CPUTIME_ID`.
//!
//! The host tells how much processor time a process has used, but announces nothing. So a timer
//! looks again when it could have expired at the earliest, and not more often than every few
//! milliseconds. All time counts as time of the program itself.

use alloc::sync::{Arc, Weak};

use lx_core::host::Nanos;
use lx_core::sync::{Mutex, level};
use lx_core::timer::{TimerId, TimerSetting, TimerTarget};

use crate::kernel::Kernel;
use crate::thread_group::ThreadGroup;

/// Time between two looks, at least: Linux's tick.
const TICK: Nanos = 4_000_000;

/// A timer by the processor time of a thread group. Its settings mean that clock.
pub struct CpuTimer {
    id: TimerId,
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
    setting: Mutex<TimerSetting, { level::TIMERS }>,
}

/// Processor time that a thread group has used.
pub fn used(kernel: &Kernel, group: &ThreadGroup) -> Nanos {
    let task = group.any_task();
    task.map_or(0, |task| kernel.host.process_cpu_of(task.waiter().thread()))
}

impl CpuTimer {
    /// A timer that does not run.
    pub fn new(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>) -> Arc<Self> {
        Arc::new(Self {
            id: TimerId::new(),
            kernel: Arc::downgrade(kernel),
            group: Arc::downgrade(group),
            setting: Mutex::default(),
        })
    }

    /// What is set.
    pub fn get(&self) -> TimerSetting {
        *self.setting.lock()
    }

    /// Starts or stops it; what was set before. `target` hears of expirations.
    pub fn set(
        self: &Arc<Self>,
        kernel: &Kernel,
        setting: TimerSetting,
        target: &Arc<dyn TimerTarget>,
    ) -> TimerSetting {
        let old = core::mem::replace(&mut *self.setting.lock(), setting);
        if let Some(group) = self.group.upgrade() {
            self.look_later(kernel, used(kernel, &group), target);
        }
        old
    }

    /// Stops it.
    pub fn stop(&self, kernel: &Kernel) {
        *self.setting.lock() = TimerSetting::default();
        kernel.timers.stop(self.id);
    }

    /// Looks again when the deadline can be reached, with all processors at work.
    fn look_later(self: &Arc<Self>, kernel: &Kernel, used: Nanos, target: &Arc<dyn TimerTarget>) {
        let host = kernel.host;
        let left = self.get().deadline.map(|deadline| {
            let left = deadline.saturating_sub(used) / u64::from(host.cpu_count().max(1));
            host.monotonic().saturating_add(left.max(TICK))
        });
        let look: Arc<dyn TimerTarget> =
            Arc::new(Look { timer: Arc::downgrade(self), target: Arc::clone(target) });
        kernel.timers.set(host, self.id, TimerSetting { deadline: left, interval: 0 }, &look);
    }
}

/// The expirations of a timer by the time `used`, and its setting after them.
fn advance(setting: TimerSetting, used: Nanos) -> (u64, TimerSetting) {
    match setting.deadline {
        Some(deadline) if used >= deadline => match (used - deadline).checked_div(setting.interval)
        {
            None => (1, TimerSetting { deadline: None, ..setting }),
            Some(more) => {
                let expirations = more.saturating_add(1);
                let step = setting.interval.saturating_mul(expirations);
                let deadline = Some(deadline.saturating_add(step));
                (expirations, TimerSetting { deadline, ..setting })
            }
        },
        _ => (0, setting),
    }
}

/// Makes a timer look at the time used.
struct Look {
    timer: Weak<CpuTimer>,
    target: Arc<dyn TimerTarget>,
}

impl TimerTarget for Look {
    fn expired(&self, _expirations: u64) {
        let Some(timer) = self.timer.upgrade() else { return };
        let (Some(kernel), Some(group)) = (timer.kernel.upgrade(), timer.group.upgrade()) else {
            return;
        };
        let used = used(&kernel, &group);
        let expirations = {
            let mut setting = timer.setting.lock();
            let (expirations, next) = advance(*setting, used);
            *setting = next;
            expirations
        };
        if expirations > 0 {
            self.target.expired(expirations);
        }
        timer.look_later(&kernel, used, &self.target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_follow_the_time_used() {
        let setting = TimerSetting { deadline: Some(100), interval: 30 };
        assert_eq!(advance(setting, 99), (0, setting));
        let (expirations, next) = advance(setting, 165);
        assert_eq!((expirations, next.deadline), (3, Some(190)));
        let once = TimerSetting { deadline: Some(100), interval: 0 };
        assert_eq!(advance(once, 500), (1, TimerSetting::default()));
    }
}
