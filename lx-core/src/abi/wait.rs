//! Waiting for children: `include/uapi/linux/wait.h`, wait4(2), waitid(2).

use super::Signal;

abi_flags! {
    /// Options of wait4(2) and waitid(2). The former takes no `WEXITED` and no `WNOWAIT`.
    pub struct WaitOptions: u32, checked by general {
        WNOHANG = 1,
        /// The same bit is `WSTOPPED` to waitid(2).
        WUNTRACED = 2,
        WEXITED = 4,
        WCONTINUED = 8,
        WNOWAIT = 0x0100_0000,
        __WNOTHREAD = 0x2000_0000,
        __WALL = 0x4000_0000,
        __WCLONE = 0x8000_0000,
    }
}

impl WaitOptions {
    /// waitid's name for [`WaitOptions::WUNTRACED`].
    pub const WSTOPPED: Self = Self::WUNTRACED;
    /// What wait4(2) accepts.
    pub const WAIT4: Self = Self::WNOHANG
        .union(Self::WUNTRACED)
        .union(Self::WCONTINUED)
        .union(Self::__WNOTHREAD)
        .union(Self::__WALL)
        .union(Self::__WCLONE);
}

// waitid(2) stores something even if it refuses the options.
retain_flags_arg!(WaitOptions: u32);

abi_values! {
    /// What waitid's `id` names.
    pub struct IdType: u32, checked by general {
        P_ALL = 0,
        P_PID = 1,
        P_PGID = 2,
        P_PIDFD = 3,
    }
}

/// A wait status, as wait4(2) stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct WaitStatus(pub u32);

impl WaitStatus {
    /// The process resumed after a stop.
    pub const CONTINUED: Self = Self(0xffff);

    /// The process called exit with this status, of which eight bits are kept.
    #[must_use]
    pub const fn exited(status: i32) -> Self {
        Self(((status & 0xff) << 8) as u32)
    }

    /// A signal killed the process.
    #[must_use]
    pub const fn signaled(signal: Signal, core_dumped: bool) -> Self {
        Self(signal.number() as u32 | if core_dumped { 0x80 } else { 0 })
    }

    /// A signal stopped the process.
    #[must_use]
    pub const fn stopped(signal: Signal) -> Self {
        Self((signal.number() as u32) << 8 | 0x7f)
    }

    /// The exit status, if the process exited by itself.
    #[must_use]
    pub const fn exit_status(self) -> Option<i32> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8 & 0xff) as i32) } else { None }
    }

    /// The signal that killed the process, if one did.
    #[must_use]
    pub const fn term_signal(self) -> Option<Signal> {
        if self.0 == Self::CONTINUED.0 || self.0 & 0x7f == 0x7f {
            None
        } else {
            Signal::new((self.0 & 0x7f) as i32)
        }
    }

    /// The signal that stopped the process, if it is stopped.
    #[must_use]
    pub const fn stop_signal(self) -> Option<Signal> {
        if self.0 & 0xff == 0x7f { Signal::new((self.0 >> 8 & 0xff) as i32) } else { None }
    }

    /// Whether the signal also dumped core.
    #[must_use]
    pub const fn core_dumped(self) -> bool {
        self.term_signal().is_some() && self.0 & 0x80 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::WaitStatus;
    use crate::abi::Signal;

    #[test]
    fn statuses() {
        assert_eq!(WaitStatus::exited(257), WaitStatus(0x0100));
        assert_eq!(WaitStatus::exited(-1).exit_status(), Some(255));
        let killed = WaitStatus::signaled(Signal::SIGSEGV, true);
        assert_eq!(killed, WaitStatus(0x8b));
        assert_eq!(killed.term_signal(), Some(Signal::SIGSEGV));
        assert!(killed.core_dumped());
        assert_eq!(killed.exit_status(), None);
        let stopped = WaitStatus::stopped(Signal::SIGTSTP);
        assert_eq!(stopped, WaitStatus(0x147f));
        assert_eq!(stopped.stop_signal(), Some(Signal::SIGTSTP));
        assert_eq!(stopped.term_signal(), None);
        assert_eq!(WaitStatus::CONTINUED.term_signal(), None);
        assert_eq!(WaitStatus::CONTINUED.stop_signal(), None);
    }
}
