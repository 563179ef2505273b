//! Interval timers and POSIX timers, `setitimer(2)`, `timer_create(2)`. They run on the kernel's
//! [`TimerQueue`](lx_core::timer::TimerQueue) and send signals.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Result;
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::time::ClockId;
use lx_core::abi::{Errno, Signal};
use lx_core::host::Nanos;
use lx_core::rlimit::{RLIM_INFINITY, Resource};
use lx_core::sync::{Mutex, level};
use lx_core::time::NANOS_PER_SEC;
use lx_core::timer::{TimerId, TimerSetting, TimerTarget};

use crate::cpu_timer::{self, CpuTimer};
use crate::current::CurrentTask;
use crate::kernel::Kernel;
use crate::signal::{send_to_group, send_to_task};
use crate::task::Task;
use crate::thread_group::ThreadGroup;

/// Most POSIX timers of a thread group.
const MAX_TIMERS: usize = 4096;

/// The timers of a thread group.
#[derive(Default)]
pub struct GroupTimers {
    real: TimerId,
    /// `ITIMER_VIRTUAL` and `ITIMER_PROF`, once they are used.
    cpu: Mutex<CpuTimers, { level::TIMERS }>,
    /// Watches `RLIMIT_CPU`, if that is set.
    limit: Mutex<Option<Arc<CpuTimer>>, { level::TIMERS }>,
    posix: Mutex<PosixTimers, { level::TIMERS }>,
}

type CpuTimers = (Option<Arc<CpuTimer>>, Option<Arc<CpuTimer>>);

#[derive(Default)]
struct PosixTimers {
    timers: BTreeMap<i32, Arc<PosixTimer>>,
    next: i32,
}

/// What an interval timer sends.
struct IntervalSignal {
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
    signal: Signal,
}

impl TimerTarget for IntervalSignal {
    fn expired(&self, _expirations: u64) {
        let (Some(kernel), Some(group)) = (self.kernel.upgrade(), self.group.upgrade()) else {
            return;
        };
        // A standard signal always finds room.
        let info = SigInfo::kernel(self.signal);
        let _ = send_to_group(&kernel, &group, self.signal, info, None);
    }
}

/// An interval timer, `setitimer(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// `ITIMER_REAL`, which `alarm(2)` uses too.
    Real,
    /// `ITIMER_VIRTUAL`.
    Virtual,
    /// `ITIMER_PROF`.
    Prof,
}

/// Time left until a timer expires, 0 if it does not run, and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Time left.
    pub left: Nanos,
    /// Interval.
    pub interval: Nanos,
}

impl Left {
    fn new(setting: TimerSetting, now: Nanos) -> Self {
        Self { left: setting.remaining(now), interval: setting.interval }
    }
}

impl Interval {
    fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::SIGALRM,
            Self::Virtual => Signal::SIGVTALRM,
            Self::Prof => Signal::SIGPROF,
        }
    }

    /// The timer of processor time, if there is one yet.
    fn cpu_timer(self, timers: &GroupTimers) -> Option<Arc<CpuTimer>> {
        let slots = timers.cpu.lock();
        match self {
            Self::Real => None,
            Self::Virtual => slots.0.clone(),
            Self::Prof => slots.1.clone(),
        }
    }

    fn now(self, kernel: &Kernel, group: &ThreadGroup) -> Nanos {
        match self {
            Self::Real => kernel.host.monotonic(),
            Self::Virtual | Self::Prof => cpu_timer::used(kernel, group),
        }
    }

    /// Starts it, or stops it if `value` is 0; what was set before.
    pub fn set(self, current: &CurrentTask<'_>, value: Nanos, interval: Nanos) -> Left {
        let (kernel, group) = (current.kernel(), current.group());
        let now = self.now(kernel, group);
        let deadline = (value > 0).then(|| now.saturating_add(value));
        let setting = TimerSetting { deadline, interval };
        let target: Arc<dyn TimerTarget> = Arc::new(IntervalSignal {
            kernel: Arc::downgrade(kernel),
            group: Arc::downgrade(group),
            signal: self.signal(),
        });
        let timers = group.timers();
        let old = match self {
            Self::Real => kernel.timers.set(kernel.host, timers.real, setting, &target),
            _ => {
                let new = CpuTimer::new(kernel, group);
                let timer = {
                    let mut slots = timers.cpu.lock();
                    let slot = if self == Self::Virtual { &mut slots.0 } else { &mut slots.1 };
                    Arc::clone(slot.get_or_insert(new))
                };
                timer.set(kernel, setting, &target)
            }
        };
        Left::new(old, now)
    }

    /// What is set.
    pub fn get(self, current: &CurrentTask<'_>) -> Left {
        let (kernel, timers) = (current.kernel(), current.group().timers());
        let setting = match self {
            Self::Real => kernel.timers.get(timers.real),
            _ => self.cpu_timer(timers).map(|timer| timer.get()).unwrap_or_default(),
        };
        Left::new(setting, self.now(kernel, current.group()))
    }
}

/// Says that `RLIMIT_CPU` is exceeded: `SIGXCPU` every second, `SIGKILL` at the hard limit.
struct CpuLimit {
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
}

impl TimerTarget for CpuLimit {
    fn expired(&self, _expirations: u64) {
        let (Some(kernel), Some(group)) = (self.kernel.upgrade(), self.group.upgrade()) else {
            return;
        };
        let hard = group.rlimits().get(Resource::Cpu).1;
        let killed = cpu_timer::used(&kernel, &group) / NANOS_PER_SEC >= hard;
        let signal = if killed { Signal::SIGKILL } else { Signal::SIGXCPU };
        // A standard signal always finds room.
        let _ = send_to_group(&kernel, &group, signal, SigInfo::kernel(signal), None);
    }
}

/// Watches `RLIMIT_CPU` of a group; called when it is set or inherited.
pub fn watch_cpu_limit(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>) {
    let (soft, hard) = group.rlimits().get(Resource::Cpu);
    let first = soft.min(hard);
    let slot = &group.timers().limit;
    if first == RLIM_INFINITY && slot.lock().is_none() {
        return;
    }
    let new = CpuTimer::new(kernel, group);
    let timer = Arc::clone(slot.lock().get_or_insert(new));
    let deadline = (first != RLIM_INFINITY).then(|| first.max(1).saturating_mul(NANOS_PER_SEC));
    let target: Arc<dyn TimerTarget> =
        Arc::new(CpuLimit { kernel: Arc::downgrade(kernel), group: Arc::downgrade(group) });
    timer.set(kernel, TimerSetting { deadline, interval: NANOS_PER_SEC }, &target);
}

/// Ends the POSIX timers of a group, at `execve`; its interval timer goes on.
pub fn delete_all(kernel: &Kernel, group: &ThreadGroup) {
    let timers = core::mem::take(&mut group.timers().posix.lock().timers);
    for timer in timers.values() {
        timer.stop(kernel);
    }
}

/// Ends all timers of a group, at its end.
pub fn release(kernel: &Kernel, group: &ThreadGroup) {
    kernel.timers.stop(group.timers().real);
    for which in [Interval::Virtual, Interval::Prof] {
        if let Some(timer) = which.cpu_timer(group.timers()) {
            timer.stop(kernel);
        }
    }
    let limit = group.timers().limit.lock().take();
    if let Some(timer) = limit {
        timer.stop(kernel);
    }
    delete_all(kernel, group);
}

/// What a POSIX timer does when it expires.
pub enum Notify {
    /// Nothing.
    Nobody,
    /// Sends a signal to the thread group.
    Group(Signal),
    /// Sends a signal to a task.
    Task(Weak<Task>, Signal),
}

/// A POSIX timer.
pub struct PosixTimer {
    id: TimerId,
    /// Instead of `id`, for a clock of processor time.
    cpu: Option<Arc<CpuTimer>>,
    number: i32,
    clock: ClockId,
    notify: Notify,
    value: u64,
    /// Expirations that the last signal stands for, besides the first.
    overrun: AtomicI32,
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
}

impl PosixTimer {
    /// The clock that it was made for.
    pub fn clock(&self) -> ClockId {
        self.clock
    }

    /// `timer_getoverrun(2)`.
    pub fn overrun(&self) -> i32 {
        self.overrun.load(Ordering::Relaxed)
    }

    /// What it is set to.
    pub fn get(&self, kernel: &Kernel) -> TimerSetting {
        match &self.cpu {
            Some(cpu) => cpu.get(),
            None => kernel.timers.get(self.id),
        }
    }

    /// The time by which its settings are meant: processor time or the monotonic clock.
    pub fn now(&self, kernel: &Kernel) -> Nanos {
        match (&self.cpu, self.group.upgrade()) {
            (Some(_), Some(group)) => cpu_timer::used(kernel, &group),
            _ => kernel.host.monotonic(),
        }
    }

    fn stop(&self, kernel: &Kernel) {
        match &self.cpu {
            Some(cpu) => cpu.stop(kernel),
            None => kernel.timers.stop(self.id),
        }
    }

    /// Starts or stops it; what was set before.
    pub fn set(self: &Arc<Self>, kernel: &Kernel, setting: TimerSetting) -> TimerSetting {
        let target = Arc::clone(self) as Arc<dyn TimerTarget>;
        self.overrun.store(0, Ordering::Relaxed);
        match &self.cpu {
            Some(cpu) => cpu.set(kernel, setting, &target),
            None => kernel.timers.set(kernel.host, self.id, setting, &target),
        }
    }

    fn add_overrun(&self, more: i32) {
        let _ = self.overrun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |overrun| {
            Some(overrun.saturating_add(more))
        });
    }
}

impl TimerTarget for PosixTimer {
    fn expired(&self, expirations: u64) {
        let (Some(kernel), Some(group)) = (self.kernel.upgrade(), self.group.upgrade()) else {
            return;
        };
        let task = match &self.notify {
            Notify::Task(task, _) => task.upgrade(),
            _ => None,
        };
        let expirations = i32::try_from(expirations).unwrap_or(i32::MAX);
        // A timer has one signal in the queue at most; what comes meanwhile is counted in it.
        let pending = match &task {
            Some(task) => task.signals().pending(),
            None => group.pending(),
        };
        if pending.add_overrun(self.number, expirations) {
            self.add_overrun(expirations);
            return;
        }
        let overrun = expirations.saturating_sub(1);
        self.overrun.store(overrun, Ordering::Relaxed);
        let info = |signal| SigInfo::timer(signal, self.number, overrun, self.value);
        // Its place in the queue is its own: there is always room.
        let _ = match (&self.notify, task) {
            (Notify::Group(signal), _) => {
                send_to_group(&kernel, &group, *signal, info(*signal), None)
            }
            (Notify::Task(_, signal), Some(task)) => {
                send_to_task(&kernel, &task, *signal, info(*signal), None)
            }
            _ => Ok(()),
        };
    }
}

/// Makes a POSIX timer; its number. Without `value` the signal carries the number.
///
/// # Errors
/// `EAGAIN` if the group has too many: each one keeps a place in the queue of signals.
pub fn create(
    current: &CurrentTask<'_>,
    clock: ClockId,
    notify: Notify,
    value: Option<u64>,
) -> Result<i32> {
    let group = current.group();
    let cpu = (clock == ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .then(|| CpuTimer::new(current.kernel(), group));
    let room = usize::try_from(group.rlimits().soft(Resource::Sigpending)).unwrap_or(MAX_TIMERS);
    let mut posix = group.timers().posix.lock();
    if posix.timers.len() >= room.min(MAX_TIMERS) {
        return Err(Errno::EAGAIN.into());
    }
    let mut number = posix.next;
    while posix.timers.contains_key(&number) {
        number = number.checked_add(1).unwrap_or(0);
    }
    posix.next = number.checked_add(1).unwrap_or(0);
    let timer = PosixTimer {
        id: TimerId::new(),
        cpu,
        number,
        clock,
        notify,
        value: value.unwrap_or(number.cast_unsigned().into()),
        overrun: AtomicI32::new(0),
        kernel: Arc::downgrade(current.kernel()),
        group: Arc::downgrade(group),
    };
    posix.timers.insert(number, Arc::new(timer));
    Ok(number)
}

/// The POSIX timer with this number.
///
/// # Errors
/// `EINVAL` if there is none.
pub fn find(group: &ThreadGroup, number: i32) -> Result<Arc<PosixTimer>> {
    group.timers().posix.lock().timers.get(&number).cloned().ok_or(Errno::EINVAL.into())
}

/// Ends a POSIX timer.
///
/// # Errors
/// `EINVAL` if there is none with this number.
pub fn delete(kernel: &Kernel, group: &ThreadGroup, number: i32) -> Result<()> {
    let timer = group.timers().posix.lock().timers.remove(&number).ok_or(Errno::EINVAL)?;
    timer.stop(kernel);
    Ok(())
}
