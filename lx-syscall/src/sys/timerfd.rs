//! Timers that are read: `timerfd_create(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::time::{ClockId, Itimerspec, TimerfdFlags, TimerfdSetFlags};
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::timerfd::{self, TimerFile};

use super::timer::{report, setting};

/// `timerfd_create(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag or a clock without timerfds; `EPERM` for a clock that wakes the
/// machine; `EMFILE`.
pub(crate) fn sys_timerfd_create(
    task: &CurrentTask<'_>,
    clock: ClockId,
    flags: TimerfdFlags,
) -> Result<Fd> {
    match clock {
        ClockId::CLOCK_REALTIME | ClockId::CLOCK_MONOTONIC | ClockId::CLOCK_BOOTTIME => {}
        // lx cannot wake a machine that sleeps: they expire when it is awake again.
        ClockId::CLOCK_REALTIME_ALARM | ClockId::CLOCK_BOOTTIME_ALARM => {
            if !task.cred().has(Capabilities::WAKE_ALARM) {
                return Err(Errno::EPERM.into());
            }
        }
        _ => {
            lx_core::unsupported::note("timerfd of clock", u64::from(clock.0.cast_unsigned()));
            return Err(Errno::EINVAL.into());
        }
    }
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let cloexec = flags.contains(TimerfdFlags::TFD_CLOEXEC);
    let status = match flags.contains(TimerfdFlags::TFD_NONBLOCK) {
        true => OpenFlags::O_NONBLOCK,
        false => OpenFlags::empty(),
    };
    let fd = task.files().reserve(0, limit, cloexec)?;
    Ok(fd.install(timerfd::open(&task.kernel().timers, clock, status)))
}

/// The open timerfd; `EINVAL` for another file.
fn open_file(task: &CurrentTask<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    task.files().get(fd)
}

fn timer(file: &OpenFile) -> Result<&TimerFile> {
    file.ops_as::<TimerFile>().ok_or(Errno::EINVAL.into())
}

/// `timerfd_settime(2)`. No clock of lx is ever set, so nothing cancels a timer.
///
/// # Errors
/// `EINVAL` for an unknown flag, a malformed time or another file; `EBADF`; `EFAULT`.
pub(crate) fn sys_timerfd_settime(
    task: &CurrentTask<'_>,
    fd: Fd,
    flags: TimerfdSetFlags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<()> {
    let new = task.memory().read(new)?;
    new.it_value.to_nanos()?;
    new.it_interval.to_nanos()?;
    let file = open_file(task, fd)?;
    let timer = timer(&file)?;
    let absolute = flags.contains(TimerfdSetFlags::TFD_TIMER_ABSTIME);
    let now = task.host().monotonic();
    let setting = setting(task, timer.clock(), now, &new, absolute)?;
    let former = timer.set(task.host(), setting);
    task.memory().write_unless_null(old, &report(former, now))
}

/// `timerfd_gettime(2)`.
///
/// # Errors
/// `EINVAL` for another file; `EBADF`; `EFAULT`.
pub(crate) fn sys_timerfd_gettime(
    task: &CurrentTask<'_>,
    fd: Fd,
    value: UserPtr<Itimerspec>,
) -> Result<()> {
    let file = open_file(task, fd)?;
    let now = task.host().monotonic();
    task.memory().write(value, &report(timer(&file)?.get(), now))
}
