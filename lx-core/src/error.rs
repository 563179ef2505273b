//! How a handler fails.

use crate::abi::Errno;
use crate::host::{Fault, HostError};
use crate::sync::WaitEnd;

/// Why a system call does not return a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysError {
    /// The call fails with this error.
    Errno(Errno),
    /// A signal ended a wait: restart the call if the handler has `SA_RESTART` (or there is no
    /// handler), else `EINTR` (`ERESTARTSYS`).
    Restart,
    /// As [`Restart`](Self::Restart), but `EINTR` whenever a handler runs (`ERESTARTNOHAND`).
    RestartNoHandler,
    /// As [`Restart`](Self::Restart), but restart whatever the handler says (`ERESTARTNOINTR`).
    RestartAlways,
}

/// Result of an operation on behalf of a guest.
pub type Result<T> = core::result::Result<T, SysError>;

// Functions return these in registers.
const _: () = {
    assert!(size_of::<SysError>() == 8);
    assert!(size_of::<Result<()>>() == 8);
    assert!(size_of::<Result<u64>>() == 16);
};

impl From<Errno> for SysError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Fault> for SysError {
    fn from(_: Fault) -> Self {
        Self::Errno(Errno::EFAULT)
    }
}

impl From<HostError> for SysError {
    fn from(error: HostError) -> Self {
        Self::Errno(error.0)
    }
}

impl SysError {
    /// For a wait without a deadline.
    pub fn from_wait(end: WaitEnd) -> Self {
        match end {
            WaitEnd::Interrupted => Self::Restart,
            WaitEnd::TimedOut => Self::Errno(Errno::ETIMEDOUT),
        }
    }

    /// The error number as a guest could see it.
    pub fn errno(self) -> Errno {
        match self {
            Self::Errno(errno) => errno,
            Self::Restart | Self::RestartNoHandler | Self::RestartAlways => Errno::EINTR,
        }
    }
}
