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
use lx_proc::timer::{self, Notify};

use super::time::absolute_deadline;

/// A timer that first expires after `value`, 0 for never.
fn after(task: &CurrentTask<'_>, value: Nanos, interval: Nanos) -> TimerSetting {
    let deadline = (value > 0).then(|| task.host().monotonic().saturating_add(value));
    TimerSetting { deadline, interval }
}

/// The setting that a `struct itimerspec` asks for on `clock`.
pub(crate) fn setting(
    task: &CurrentTask<'_>,
    clock: ClockId,
    spec: &Itimerspec,
    absolute: bool,
) -> Result<TimerSetting> {
    let (value, interval) = (spec.it_value.to_nanos()?, spec.it_interval.to_nanos()?);
    if !absolute || value == 0 {
        return Ok(after(task, value, interval));
    }
    let deadline = Some(absolute_deadline(task.host(), clock, value));
    Ok(TimerSetting { deadline, interval })
}

/// A setting as `timer_gettime(2)` and `timerfd_gettime(2)` report it.
pub(crate) fn report(task: &CurrentTask<'_>, setting: TimerSetting) -> Itimerspec {
    Itimerspec {
        it_interval: to_timespec(setting.interval),
        it_value: to_timespec(setting.remaining(task.host().monotonic())),
    }
}

/// `alarm(2)`: the seconds that were left, rounded as Linux does, never down to 0.
pub(crate) fn sys_alarm(task: &CurrentTask<'_>, seconds: u32) -> Result<u64> {
    let old = timer::set_real(task, after(task, u64::from(seconds) * NANOS_PER_SEC, 0));
    let left = old.remaining(task.host().monotonic());
    let rounded = left.saturating_add(NANOS_PER_SEC / 2) / NANOS_PER_SEC;
    Ok(if left > 0 { rounded.max(1) } else { 0 })
}

/// What a `struct itimerval` shows of a setting.
fn to_itimerval(task: &CurrentTask<'_>, setting: TimerSetting) -> Itimerval {
    // A timer that runs does not show 0.
    let left = match setting.remaining(task.host().monotonic()) {
        0 => 0,
        left => left.max(1000),
    };
    Itimerval { it_interval: to_timeval(setting.interval), it_value: to_timeval(left) }
}

/// `getitimer(2)`; the timers of processor time never run.
///
/// # Errors
/// `EINVAL` for an unknown timer; `EFAULT`.
pub(crate) fn sys_getitimer(
    task: &CurrentTask<'_>,
    which: ItimerWhich,
    value: UserPtr<Itimerval>,
) -> Result<()> {
    let setting = match which {
        ItimerWhich::ITIMER_REAL => timer::real(task),
        ItimerWhich::ITIMER_VIRTUAL | ItimerWhich::ITIMER_PROF => TimerSetting::default(),
        _ => return Err(Errno::EINVAL.into()),
    };
    task.memory().write(value, &to_itimerval(task, setting))
}

/// `setitimer(2)`.
///
/// # Errors
/// `EINVAL` for a malformed time, an unknown timer, or one of processor time that shall run;
/// `EFAULT`.
pub(crate) fn sys_setitimer(
    task: &CurrentTask<'_>,
    which: ItimerWhich,
    new: UserPtr<Itimerval>,
    old: UserPtr<Itimerval>,
) -> Result<()> {
    let new = task.memory().read_unless_null(new)?.unwrap_or_default();
    let (value, interval) = (new.it_value.to_nanos()?, new.it_interval.to_nanos()?);
    let former = match which {
        ItimerWhich::ITIMER_REAL => timer::set_real(task, after(task, value, interval)),
        ItimerWhich::ITIMER_VIRTUAL | ItimerWhich::ITIMER_PROF if value == 0 => {
            TimerSetting::default()
        }
        _ => {
            lx_core::unsupported::note("interval timer", u64::from(which.0.cast_unsigned()));
            return Err(Errno::EINVAL.into());
        }
    };
    task.memory().write_unless_null(old, &to_itimerval(task, former))
}

/// `timer_create(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown clock, a clock of processor time, a malformed event.
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
    let setting = setting(task, timer.clock(), &new, absolute)?;
    let former = timer.set(task.kernel(), setting);
    task.memory().write_unless_null(old, &report(task, former))
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
    let setting = timer::find(task.group(), id)?.get(task.kernel());
    task.memory().write(value, &report(task, setting))
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
