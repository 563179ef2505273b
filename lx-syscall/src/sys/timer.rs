//! Timers: `alarm(2)`, `setitimer(2)`, `timer_create(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::signal::{SigEvent, SigevNotify};
use lx_core::abi::time::{ClockId, ItimerWhich, Itimerspec, Itimerval, TimerFlags};
use lx_core::abi::{Errno, RawSignal, Signal, UserPtr};
use lx_core::host::Nanos;
use lx_core::time::{NANOS_PER_SEC, to_timespec, to_timeval};
use lx_core::timer::TimerSetting;
use lx_proc::CurrentTask;
use lx_proc::timer::{self, Interval, Left, Notify};

use super::time::absolute_deadline;

/// The setting that a `struct itimerspec` asks for on `clock`, whose settings are meant by `now`.
pub(crate) fn setting(
    task: &CurrentTask<'_>,
    clock: ClockId,
    now: Nanos,
    spec: &Itimerspec,
    absolute: bool,
) -> Result<TimerSetting> {
    let (value, interval) = (spec.it_value.to_nanos()?, spec.it_interval.to_nanos()?);
    let deadline = match value {
        0 => None,
        value if absolute => Some(absolute_deadline(task.host(), clock, value)),
        value => Some(now.saturating_add(value)),
    };
    Ok(TimerSetting { deadline, interval })
}

/// A setting as `timer_gettime(2)` and `timerfd_gettime(2)` report it at the time `now`.
pub(crate) fn report(setting: TimerSetting, now: Nanos) -> Itimerspec {
    Itimerspec {
        it_interval: to_timespec(setting.interval),
        it_value: to_timespec(setting.remaining(now)),
    }
}

/// `alarm(2)`: the seconds that were left, rounded as Linux does, never down to 0.
pub(crate) fn sys_alarm(task: &CurrentTask<'_>, seconds: u32) -> Result<u64> {
    let left = Interval::Real.set(task, u64::from(seconds) * NANOS_PER_SEC, 0).left;
    let rounded = left.saturating_add(NANOS_PER_SEC / 2) / NANOS_PER_SEC;
    Ok(if left > 0 { rounded.max(1) } else { 0 })
}

fn interval(which: ItimerWhich) -> Result<Interval> {
    match which {
        ItimerWhich::ITIMER_REAL => Ok(Interval::Real),
        ItimerWhich::ITIMER_VIRTUAL => Ok(Interval::Virtual),
        ItimerWhich::ITIMER_PROF => Ok(Interval::Prof),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn to_itimerval(left: Left) -> Itimerval {
    // A timer that runs does not show 0.
    let value = if left.left == 0 { 0 } else { left.left.max(1000) };
    Itimerval { it_interval: to_timeval(left.interval), it_value: to_timeval(value) }
}

/// `getitimer(2)`.
///
/// # Errors
/// `EINVAL` for an unknown timer; `EFAULT`.
pub(crate) fn sys_getitimer(
    task: &CurrentTask<'_>,
    which: ItimerWhich,
    value: UserPtr<Itimerval>,
) -> Result<()> {
    let left = interval(which)?.get(task);
    task.memory().write(value, &to_itimerval(left))
}

/// `setitimer(2)`.
///
/// # Errors
/// `EINVAL` for a malformed time or an unknown timer; `EFAULT`.
pub(crate) fn sys_setitimer(
    task: &CurrentTask<'_>,
    which: ItimerWhich,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> Result<()> {
    let new = task.memory().read_unless_null(new)?.unwrap_or_default();
    let (value, period) = (new.it_value.to_nanos()?, new.it_interval.to_nanos()?);
    let former = interval(which)?.set(task, value, period);
    task.memory().write_unless_null(old, &to_itimerval(former))
}

/// `timer_create(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown clock, the processor time of a thread, a malformed event.
/// - `EOPNOTSUPP`: a clock without timers.
/// - `EAGAIN`: too many timers.
/// - `EFAULT`.
pub(crate) fn sys_timer_create(
    task: &CurrentTask<'_>,
    clock: ClockId,
    event: UserPtr<SigEvent>,
    id: UserPtr<i32>,
) -> Result<()> {
    match clock {
        ClockId::CLOCK_REALTIME
        | ClockId::CLOCK_MONOTONIC
        | ClockId::CLOCK_BOOTTIME
        | ClockId::CLOCK_PROCESS_CPUTIME_ID
        | ClockId::CLOCK_TAI => {}
        ClockId::CLOCK_MONOTONIC_RAW
        | ClockId::CLOCK_REALTIME_COARSE
        | ClockId::CLOCK_MONOTONIC_COARSE
        | ClockId::CLOCK_REALTIME_ALARM
        | ClockId::CLOCK_BOOTTIME_ALARM => return Err(Errno::EOPNOTSUPP.into()),
        _ => {
            lx_core::unsupported::note("timer of clock", u64::from(clock.0.cast_unsigned()));
            return Err(Errno::EINVAL.into());
        }
    }
    let (notify, value) = match task.memory().read_unless_null(event)? {
        None => (Notify::Group(Signal::SIGALRM), None),
        Some(event) => (notify(task, &event)?, Some(event.sigev_value)),
    };
    let number = timer::create(task, clock, notify, value)?;
    task.memory().write(id, &number).inspect_err(|_| {
        // Nobody will know of it.
        let _ = timer::delete(task.kernel(), task.group(), number);
    })
}

fn notify(task: &CurrentTask<'_>, event: &SigEvent) -> Result<Notify> {
    let signal = || RawSignal(event.sigev_signo).check()?.ok_or(Errno::EINVAL);
    match event.sigev_notify {
        SigevNotify::SIGEV_NONE => Ok(Notify::Nobody),
        // The thread of SIGEV_THREAD is the C library's affair.
        SigevNotify::SIGEV_SIGNAL | SigevNotify::SIGEV_THREAD => Ok(Notify::Group(signal()?)),
        SigevNotify::SIGEV_THREAD_ID => {
            let target = task.kernel().pids.task(event.sigev_notify_thread_id);
            let target = target.filter(|target| target.tgid() == task.task().tgid());
            let target = target.ok_or(Errno::EINVAL)?;
            Ok(Notify::Task(Arc::downgrade(&target), signal()?))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `timer_settime(2)`.
///
/// # Errors
/// `EINVAL` for an unknown timer, a malformed time or no time at all; `EFAULT`.
pub(crate) fn sys_timer_settime(
    task: &CurrentTask<'_>,
    id: i32,
    flags: TimerFlags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<()> {
    if new.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let new = task.memory().read(new)?;
    let absolute = flags.contains(TimerFlags::TIMER_ABSTIME);
    // A malformed time comes before an unknown timer.
    new.it_value.to_nanos()?;
    new.it_interval.to_nanos()?;
    let timer = timer::find(task.group(), id)?;
    let now = timer.now(task.kernel());
    let setting = setting(task, timer.clock(), now, &new, absolute)?;
    let former = timer.set(task.kernel(), setting);
    task.memory().write_unless_null(old, &report(former, now))
}

/// `timer_gettime(2)`.
///
/// # Errors
/// `EINVAL` for an unknown timer; `EFAULT`.
pub(crate) fn sys_timer_gettime(
    task: &CurrentTask<'_>,
    id: i32,
    value: UserPtr<Itimerspec>,
) -> Result<()> {
    let timer = timer::find(task.group(), id)?;
    let now = timer.now(task.kernel());
    task.memory().write(value, &report(timer.get(task.kernel()), now))
}

/// `timer_getoverrun(2)`.
///
/// # Errors
/// `EINVAL` for an unknown timer.
pub(crate) fn sys_timer_getoverrun(task: &CurrentTask<'_>, id: i32) -> Result<i32> {
    Ok(timer::find(task.group(), id)?.overrun())
}

/// `timer_delete(2)`.
///
/// # Errors
/// `EINVAL` for an unknown timer.
pub(crate) fn sys_timer_delete(task: &CurrentTask<'_>, id: i32) -> Result<()> {
    timer::delete(task.kernel(), task.group(), id)
}
