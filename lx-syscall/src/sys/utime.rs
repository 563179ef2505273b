//! Time stamps of files: `utime(2)`, `utimes(2)`, `futimesat(2)`, `utimensat(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::AtFlags;
use lx_core::abi::time::{NSEC_PER_SEC, Timespec, Timeval, USEC_PER_SEC, Utimbuf};
use lx_core::abi::{DirFd, Errno, UserCStr, UserPtr};
use lx_proc::CurrentTask;
use lx_vfs::attr::{self, NewTime};

use super::at;

/// Times of access and modification; they are looked at only when the file is found.
type Times = [Timespec; 2];

/// What a null pointer means.
const NOW: Times = [Timespec { tv_sec: 0, tv_nsec: Timespec::UTIME_NOW }; 2];

/// `utime(2)`.
pub(crate) fn sys_utime(
    task: &CurrentTask<'_>,
    path: UserCStr,
    times: UserPtr<Utimbuf>,
) -> Result<()> {
    let times = task.memory().read_unless_null(times)?.map_or(NOW, |times| {
        [times.actime, times.modtime].map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 })
    });
    set(task, DirFd::AT_FDCWD, path, times, AtFlags::empty())
}

/// `utimes(2)`.
pub(crate) fn sys_utimes(
    task: &CurrentTask<'_>,
    path: UserCStr,
    times: UserPtr<Timeval>,
) -> Result<()> {
    sys_futimesat(task, DirFd::AT_FDCWD, path, times)
}

/// `futimesat(2)`.
pub(crate) fn sys_futimesat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    times: UserPtr<Timeval>,
) -> Result<()> {
    let times = if times.is_null() {
        NOW
    } else {
        let times = [task.memory().read(times)?, task.memory().read(times.offset(1)?)?];
        // Microseconds out of range must not be taken for `UTIME_NOW`.
        if times.iter().any(|time| !(0..USEC_PER_SEC).contains(&time.tv_usec)) {
            return Err(Errno::EINVAL.into());
        }
        times.map(|time| Timespec {
            tv_sec: time.tv_sec,
            tv_nsec: time.tv_usec.saturating_mul(1000),
        })
    };
    set(task, dirfd, path, times, AtFlags::empty())
}

/// `utimensat(2)`; without a path it is the C library's `futimens`.
pub(crate) fn sys_utimensat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    times: UserPtr<Timespec>,
    flags: AtFlags,
) -> Result<()> {
    let times = if times.is_null() {
        NOW
    } else {
        let times = [task.memory().read(times)?, task.memory().read(times.offset(1)?)?];
        // Nothing to do: Linux does not even look for the file.
        if times.iter().all(|time| time.tv_nsec == Timespec::UTIME_OMIT) {
            return Ok(());
        }
        times
    };
    set(task, dirfd, path, times, flags)
}

fn set(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    times: Times,
    flags: AtFlags,
) -> Result<()> {
    let caller = task.caller();
    if path.is_null()
        && let Some(fd) = dirfd.fd()
    {
        if !flags.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        let file = task.files().get(fd)?;
        let [atime, mtime] = new_times(times)?;
        return attr::set_times(&caller, at::place_of(&file)?, atime, mtime);
    }
    if !(AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let place = at::lookup(task, dirfd, path, at::follow_unless_told(flags))?;
    let [atime, mtime] = new_times(times)?;
    attr::set_times(&caller, &place, atime, mtime)
}

fn new_times(times: Times) -> Result<[NewTime; 2]> {
    let [atime, mtime] = times;
    Ok([new_time(atime)?, new_time(mtime)?])
}

/// Seconds may be negative, and are held to what fits the nanoseconds of an inode.
fn new_time(time: Timespec) -> Result<NewTime> {
    match time.tv_nsec {
        Timespec::UTIME_NOW => Ok(NewTime::Now),
        Timespec::UTIME_OMIT => Ok(NewTime::Omit),
        0..NSEC_PER_SEC => {
            let nanos = time.tv_sec.saturating_mul(NSEC_PER_SEC);
            Ok(NewTime::At(nanos.saturating_add(time.tv_nsec)))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}
