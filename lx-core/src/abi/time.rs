//! Times and timers: `include/uapi/linux/time.h`, `time_types.h`, `times.h`, `timerfd.h`.

use super::Errno;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;
/// Microseconds in a second.
pub const USEC_PER_SEC: i64 = 1_000_000;
/// Ticks per second of `clock_t` values and of `/proc` (`AT_CLKTCK`).
pub const USER_HZ: i64 = 100;

abi_struct! {
    /// `struct __kernel_timespec`
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    pub struct Timespec = linux_raw_sys::general::__kernel_timespec {
        pub tv_sec: i64,
        pub tv_nsec: i64,
    }
}

impl Timespec {
    /// `tv_nsec` that stands for the current time (utimensat).
    pub const UTIME_NOW: i64 = linux_raw_sys::general::UTIME_NOW as i64;
    /// `tv_nsec` that leaves the time unchanged (utimensat).
    pub const UTIME_OMIT: i64 = linux_raw_sys::general::UTIME_OMIT as i64;

    /// This many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 }
    }

    /// Whether Linux accepts it: no negative seconds, nanoseconds below a second.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.tv_sec >= 0 && self.tv_nsec >= 0 && self.tv_nsec < NSEC_PER_SEC
    }

    /// The nanoseconds, saturating; `EINVAL` if it is not valid.
    pub const fn to_nanos(self) -> Result<u64, Errno> {
        if !self.is_valid() {
            return Err(Errno::EINVAL);
        }
        Ok((self.tv_sec as u64)
            .saturating_mul(NSEC_PER_SEC as u64)
            .saturating_add(self.tv_nsec as u64))
    }
}

abi_struct! {
    /// `struct __kernel_old_timeval`
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    pub struct Timeval = linux_raw_sys::general::__kernel_old_timeval {
        pub tv_sec: i64,
        pub tv_usec: i64,
    }
}

impl Timeval {
    /// This many nanoseconds, rounded down.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_usec: (nanos % 1_000_000_000 / 1000) as i64,
        }
    }

    /// The nanoseconds, saturating; `EINVAL` for negative seconds or microseconds out of range.
    pub const fn to_nanos(self) -> Result<u64, Errno> {
        if self.tv_sec < 0 || self.tv_usec < 0 || self.tv_usec >= USEC_PER_SEC {
            return Err(Errno::EINVAL);
        }
        Ok((self.tv_sec as u64)
            .saturating_mul(NSEC_PER_SEC as u64)
            .saturating_add((self.tv_usec as u64).saturating_mul(1000)))
    }
}

abi_struct! {
    /// `struct timezone` of gettimeofday(2)
    pub struct Timezone = linux_raw_sys::general::timezone {
        pub tz_minuteswest: i32,
        pub tz_dsttime: i32,
    }
}

abi_struct! {
    /// `struct __kernel_old_itimerval` of setitimer(2)
    #[derive(PartialEq, Eq)]
    pub struct Itimerval = linux_raw_sys::general::__kernel_old_itimerval {
        pub it_interval: Timeval,
        pub it_value: Timeval,
    }
}

abi_struct! {
    /// `struct __kernel_itimerspec` of timer_settime(2) and timerfd_settime(2)
    #[derive(PartialEq, Eq)]
    pub struct Itimerspec = linux_raw_sys::general::__kernel_itimerspec {
        pub it_interval: Timespec,
        pub it_value: Timespec,
    }
}

abi_struct! {
    /// `struct tms` of times(2), in ticks of [`USER_HZ`]
    pub struct Tms [size 32] {
        @0 pub tms_utime: i64,
        @8 pub tms_stime: i64,
        @16 pub tms_cutime: i64,
        @24 pub tms_cstime: i64,
    }
}

abi_struct! {
    /// `struct utimbuf` of utime(2)
    pub struct Utimbuf [size 16] {
        @0 pub actime: i64,
        @8 pub modtime: i64,
    }
}

abi_values! {
    /// A clock. Negative values are the CPU-time clocks of processes and threads.
    pub struct ClockId: i32, checked by general {
        CLOCK_REALTIME = 0,
        CLOCK_MONOTONIC = 1,
        CLOCK_PROCESS_CPUTIME_ID = 2,
        CLOCK_THREAD_CPUTIME_ID = 3,
        CLOCK_MONOTONIC_RAW = 4,
        CLOCK_REALTIME_COARSE = 5,
        CLOCK_MONOTONIC_COARSE = 6,
        CLOCK_BOOTTIME = 7,
        CLOCK_REALTIME_ALARM = 8,
        CLOCK_BOOTTIME_ALARM = 9,
        CLOCK_TAI = 11,
    }
}

abi_values! {
    /// The timer of setitimer(2).
    pub struct ItimerWhich: i32, checked by general {
        ITIMER_REAL = 0,
        ITIMER_VIRTUAL = 1,
        ITIMER_PROF = 2,
    }
}

abi_flags! {
    /// Flags of clock_nanosleep(2) and timer_settime(2), which ignore unknown bits.
    pub struct TimerFlags: u32, checked by general { TIMER_ABSTIME = 1 }
}

abi_flags! {
    /// Flags of timerfd_create(2).
    pub struct TimerfdFlags: u32, checked by general {
        TFD_NONBLOCK = 0o4000,
        TFD_CLOEXEC = 0o2_000_000,
    }
}

abi_flags! {
    /// Flags of timerfd_settime(2).
    pub struct TimerfdSetFlags: u32, checked by general {
        TFD_TIMER_ABSTIME = 1,
        TFD_TIMER_CANCEL_ON_SET = 2,
    }
}

truncate_flags_arg!(TimerFlags: u32);
strict_flags_arg!(TimerfdFlags: u32, TimerfdSetFlags: u32);

#[cfg(test)]
mod tests {
    use super::{Timespec, Timeval};
    use crate::abi::Errno;

    #[test]
    fn nanoseconds() {
        let t = Timespec { tv_sec: 2, tv_nsec: 5 };
        assert_eq!(t.to_nanos(), Ok(2_000_000_005));
        assert_eq!(Timespec::from_nanos(2_000_000_005), t);
        assert_eq!(Timespec { tv_sec: -1, tv_nsec: 0 }.to_nanos(), Err(Errno::EINVAL));
        assert_eq!(Timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }.to_nanos(), Err(Errno::EINVAL));
        assert_eq!(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }.to_nanos(), Ok(u64::MAX));
        assert_eq!(Timeval { tv_sec: 1, tv_usec: 7 }.to_nanos(), Ok(1_000_007_000));
        assert_eq!(Timeval::from_nanos(1_000_007_999), Timeval { tv_sec: 1, tv_usec: 7 });
    }
}
