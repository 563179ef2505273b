//! Clocks and sleeping: `clock_gettime(2)`, `nanosleep(2)`, `gettimeofday(2)`, `times(2)`.

use lx_core::Result;
use lx_core::SysError;
use lx_core::abi::time::{ClockId, TimerFlags, Timespec, Timeval, Timezone, Tms, USER_HZ};
use lx_core::abi::{Errno, UserPtr};
use lx_core::host::{Host, Nanos};
use lx_core::time::{NANOS_PER_SEC, to_timespec, to_timeval};
use lx_core::timer::realtime_deadline;
use lx_proc::CurrentTask;

/// Resolution of the coarse clocks: the tick of a Linux built with 250 Hz.
const COARSE_RESOLUTION: Nanos = 4_000_000;
/// Nanoseconds per tick of `clock_t`.
const NANOS_PER_TICK: u64 = NANOS_PER_SEC / USER_HZ.unsigned_abs();

/// Reads a clock.
fn read_clock(task: &CurrentTask<'_>, clock: ClockId) -> Result<Nanos> {
    let host = task.host();
    match clock {
        ClockId::CLOCK_REALTIME
        | ClockId::CLOCK_REALTIME_COARSE
        | ClockId::CLOCK_REALTIME_ALARM
        | ClockId::CLOCK_TAI => Ok(host.realtime()),
        ClockId::CLOCK_MONOTONIC
        | ClockId::CLOCK_MONOTONIC_RAW
        | ClockId::CLOCK_MONOTONIC_COARSE => Ok(host.monotonic()),
        ClockId::CLOCK_BOOTTIME | ClockId::CLOCK_BOOTTIME_ALARM => Ok(host.boottime()),
        _ => match cpu_clock(task, clock)? {
            CpuClock::Process => Ok(host.process_cpu()),
            CpuClock::Thread => Ok(host.thread_cpu()),
        },
    }
}

enum CpuClock {
    Process,
    Thread,
}

/// A clock of processor time: by name, or with the complement of an id in the upper bits. Only
/// those of the caller exist.
fn cpu_clock(task: &CurrentTask<'_>, clock: ClockId) -> Result<CpuClock> {
    match clock {
        ClockId::CLOCK_PROCESS_CPUTIME_ID => return Ok(CpuClock::Process),
        ClockId::CLOCK_THREAD_CPUTIME_ID => return Ok(CpuClock::Thread),
        ClockId(number) if number < 0 && number & 3 != 3 => {
            let id = !(number >> 3);
            let own = task.task();
            if number & 4 != 0 && (id == 0 || id == own.tid()) {
                return Ok(CpuClock::Thread);
            }
            if number & 4 == 0 && (id == 0 || id == own.tgid()) {
                return Ok(CpuClock::Process);
            }
            lx_core::unsupported::note("clock of another process", u64::from(id.unsigned_abs()));
        }
        _ => {}
    }
    Err(Errno::EINVAL.into())
}

/// `clock_gettime(2)`.
///
/// # Errors
/// `EINVAL` for a clock that does not exist; `EFAULT`.
pub(crate) fn sys_clock_gettime(
    task: &CurrentTask<'_>,
    clock: ClockId,
    time: UserPtr<Timespec>,
) -> Result<()> {
    let now = read_clock(task, clock)?;
    task.memory().write(time, &to_timespec(now))
}

/// `clock_getres(2)`.
///
/// # Errors
/// `EINVAL` for a clock that does not exist; `EFAULT`.
pub(crate) fn sys_clock_getres(
    task: &CurrentTask<'_>,
    clock: ClockId,
    resolution: UserPtr<Timespec>,
) -> Result<()> {
    let nanos = match clock {
        ClockId::CLOCK_REALTIME_COARSE | ClockId::CLOCK_MONOTONIC_COARSE => COARSE_RESOLUTION,
        _ => {
            read_clock(task, clock)?;
            task.host().resolution().max(1)
        }
    };
    task.memory().write_unless_null(resolution, &to_timespec(nanos))
}

/// `clock_settime(2)`: the clocks are the host's, and nobody in the guest may set them.
///
/// # Errors
/// `EINVAL` for a clock that cannot be set or a malformed time; `EFAULT`; else `EPERM`.
pub(crate) fn sys_clock_settime(
    task: &CurrentTask<'_>,
    clock: ClockId,
    time: UserPtr<Timespec>,
) -> Result<()> {
    match clock {
        ClockId::CLOCK_REALTIME => {}
        _ => {
            cpu_clock(task, clock)?;
        }
    }
    task.memory().read(time)?.to_nanos()?;
    Err(Errno::EPERM.into())
}

/// `gettimeofday(2)`; the time zone is UTC.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_gettimeofday(
    task: &CurrentTask<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result<()> {
    task.memory().write_unless_null(time, &to_timeval(task.host().realtime()))?;
    task.memory().write_unless_null(zone, &Timezone::default())
}

/// `settimeofday(2)`, as [`sys_clock_settime`].
///
/// # Errors
/// `EINVAL`, `EFAULT`, else `EPERM`.
pub(crate) fn sys_settimeofday(
    task: &CurrentTask<'_>,
    time: UserPtr<Timeval>,
    zone: UserPtr<Timezone>,
) -> Result<()> {
    if let Some(time) = task.memory().read_unless_null(time)? {
        time.to_nanos()?;
    }
    task.memory().read_unless_null(zone)?;
    Err(Errno::EPERM.into())
}

/// Length of `struct timex`.
const TIMEX_LEN: usize = 208;
/// `STA_UNSYNC`: nobody has synchronised the clock.
const STA_UNSYNC: i32 = 0x40;
/// Result of `adjtimex(2)` for a clock that is not synchronised.
const TIME_ERROR: i32 = 5;

/// `adjtimex(2)`: shows the state of a clock that nobody adjusts.
///
/// # Errors
/// `EFAULT`; `EPERM` if something shall be changed.
pub(crate) fn sys_adjtimex(task: &CurrentTask<'_>, timex: UserPtr<u32>) -> Result<i32> {
    if task.memory().read(timex)? != 0 {
        return Err(Errno::EPERM.into());
    }
    let now = to_timeval(task.host().realtime());
    let mut state = [0_u8; TIMEX_LEN];
    let mut put = |at: usize, value: i64| {
        if let Some(field) = state.get_mut(at..at.saturating_add(8)) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
    };
    // maxerror, esterror, status, constant, precision, tolerance, time, tick.
    put(24, 16_000_000);
    put(32, 16_000_000);
    put(40, i64::from(STA_UNSYNC));
    put(48, 2);
    put(56, 1);
    put(64, 32_768_000);
    put(72, now.tv_sec);
    put(80, now.tv_usec);
    put(88, 10_000);
    task.memory().write_bytes(timex.addr(), &state)?;
    Ok(TIME_ERROR)
}

/// `clock_adjtime(2)`, as [`sys_adjtimex`].
///
/// # Errors
/// `EINVAL` for a clock that does not exist; `EOPNOTSUPP` for others than `CLOCK_REALTIME`.
pub(crate) fn sys_clock_adjtime(
    task: &CurrentTask<'_>,
    clock: ClockId,
    timex: UserPtr<u32>,
) -> Result<i32> {
    match clock {
        ClockId::CLOCK_REALTIME => sys_adjtimex(task, timex),
        _ => {
            read_clock(task, clock)?;
            Err(Errno::EOPNOTSUPP.into())
        }
    }
}

/// `time(2)`.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_time(task: &CurrentTask<'_>, time: UserPtr<i64>) -> Result<i64> {
    let now = (task.host().realtime() / NANOS_PER_SEC).cast_signed();
    task.memory().write_unless_null(time, &now)?;
    Ok(now)
}

/// `times(2)`: all processor time counts as user time.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_times(task: &CurrentTask<'_>, buffer: UserPtr<Tms>) -> Result<i64> {
    let ticks = |nanos: Nanos| (nanos / NANOS_PER_TICK).cast_signed();
    let host = task.host();
    if !buffer.is_null() {
        let times = Tms {
            tms_utime: ticks(host.process_cpu()),
            tms_cutime: ticks(task.group().children_cpu()),
            ..Tms::default()
        };
        task.memory().write(buffer, &times)?;
    }
    Ok(ticks(host.boottime()))
}

/// `nanosleep(2)`.
///
/// # Errors
/// `EFAULT`; `EINVAL` for a malformed time; `EINTR` when a signal handler ran.
pub(crate) fn sys_nanosleep(
    task: &CurrentTask<'_>,
    duration: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> Result<()> {
    let duration = task.memory().read(duration)?.to_nanos()?;
    sleep_for(task, duration, remaining)
}

/// `clock_nanosleep(2)`.
///
/// # Errors
/// `EINVAL` for a clock that does not exist or a malformed time; `EOPNOTSUPP` for a clock that one
/// cannot sleep by; `EFAULT`; `EINTR` when a signal handler ran.
pub(crate) fn sys_clock_nanosleep(
    task: &CurrentTask<'_>,
    clock: ClockId,
    flags: TimerFlags,
    time: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> Result<()> {
    match clock {
        ClockId::CLOCK_REALTIME
        | ClockId::CLOCK_TAI
        | ClockId::CLOCK_MONOTONIC
        | ClockId::CLOCK_BOOTTIME => {}
        _ => {
            read_clock(task, clock)?;
            return Err(Errno::EOPNOTSUPP.into());
        }
    }
    let time = task.memory().read(time)?.to_nanos()?;
    if !flags.contains(TimerFlags::TIMER_ABSTIME) {
        return sleep_for(task, time, remaining);
    }
    let deadline = absolute_deadline(task.host(), clock, time);
    let slept = task.task().sleep_until(task.host(), deadline);
    slept.map_err(|_| SysError::RestartNoHandler)
}

/// The moment on the monotonic clock at which `clock` shows `time`.
pub(crate) fn absolute_deadline(host: &dyn Host, clock: ClockId, time: Nanos) -> Nanos {
    match clock {
        ClockId::CLOCK_REALTIME | ClockId::CLOCK_TAI | ClockId::CLOCK_REALTIME_ALARM => {
            realtime_deadline(host, time)
        }
        ClockId::CLOCK_BOOTTIME | ClockId::CLOCK_BOOTTIME_ALARM => {
            let ahead = time.saturating_sub(host.boottime());
            host.monotonic().saturating_add(ahead)
        }
        _ => time,
    }
}

/// Sleeps for a time. An interrupted sleep goes on until its first deadline if no handler runs.
fn sleep_for(task: &CurrentTask<'_>, duration: Nanos, remaining: UserPtr<Timespec>) -> Result<()> {
    let host = task.host();
    let deadline = task.task().sleep_deadline(host, duration);
    if task.task().sleep_until(host, deadline).is_ok() {
        return Ok(());
    }
    let left = deadline.saturating_sub(host.monotonic());
    if left == 0 {
        return Ok(());
    }
    task.memory().write_unless_null(remaining, &to_timespec(left))?;
    task.task().keep_deadline(deadline);
    Err(SysError::RestartNoHandler)
}
