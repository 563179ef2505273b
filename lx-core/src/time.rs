//! Conversions between Linux's time structures and nanoseconds.

use crate::abi::Errno;
use crate::abi::time::{Timespec, Timeval};
use crate::error::Result;
use crate::host::Nanos;

/// Nanoseconds per second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A relative time; saturates at about 584 years.
///
/// # Errors
/// `EINVAL` if negative or the nanoseconds are not below a second.
pub fn from_timespec(time: Timespec) -> Result<Nanos> {
    let secs = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    match u64::try_from(time.tv_nsec) {
        Ok(nanos) if nanos < NANOS_PER_SEC => {
            Ok(secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos))
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// A relative time.
///
/// # Errors
/// `EINVAL` if negative or the microseconds are not below a second.
pub fn from_timeval(time: Timeval) -> Result<Nanos> {
    match i64::checked_mul(time.tv_usec, 1000) {
        Some(tv_nsec) => from_timespec(Timespec { tv_sec: time.tv_sec, tv_nsec }),
        None => Err(Errno::EINVAL.into()),
    }
}

/// As `timespec`.
pub fn to_timespec(nanos: Nanos) -> Timespec {
    Timespec {
        tv_sec: (nanos / NANOS_PER_SEC).cast_signed(),
        tv_nsec: (nanos % NANOS_PER_SEC).cast_signed(),
    }
}

/// As `timeval`, rounded down.
pub fn to_timeval(nanos: Nanos) -> Timeval {
    Timeval {
        tv_sec: (nanos / NANOS_PER_SEC).cast_signed(),
        tv_usec: (nanos % NANOS_PER_SEC / 1000).cast_signed(),
    }
}

/// Seconds and nanoseconds of a point in time that may lie before 1970.
pub fn split_time(nanos: i64) -> (i64, u32) {
    let per_sec = NANOS_PER_SEC.cast_signed();
    (nanos.div_euclid(per_sec), nanos.rem_euclid(per_sec) as u32)
}
