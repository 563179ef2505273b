//! What a handler leaves behind, in one register.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::error::SysError;
use lx_proc::signal::Restart;

/// A call's result as dispatch passes it on: what `rax` shall be, or one of two numbers for calls
/// that want to be restarted. A `Result` would go through memory, on every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer(u64);

impl Answer {
    /// No call returns these: they are neither errors nor counts nor addresses.
    const RESTART: Self = Self(1 << 63 | 1);
    const RESTART_NO_HANDLER: Self = Self(1 << 63 | 2);

    /// The value for `rax`, unless the call wants to be restarted.
    #[inline(always)]
    pub fn value(self) -> core::result::Result<u64, Restart> {
        match self {
            Self::RESTART => Err(Restart::UnlessHandlerRefuses),
            Self::RESTART_NO_HANDLER => Err(Restart::WithoutHandler),
            Self(value) => Ok(value),
        }
    }

    /// As the guest would see it if the call were not restarted.
    pub fn result(self) -> core::result::Result<u64, Errno> {
        match self.value() {
            Ok(value) => match Errno::from_return(value) {
                Some(errno) => Err(errno),
                None => Ok(value),
            },
            Err(_) => Err(Errno::EINTR),
        }
    }
}

impl From<Result<u64>> for Answer {
    #[inline(always)]
    fn from(result: Result<u64>) -> Self {
        match result {
            Ok(value) => Self(value),
            Err(SysError::Errno(errno)) => Self(errno.as_return()),
            Err(SysError::Restart) => Self::RESTART,
            Err(SysError::RestartNoHandler) => Self::RESTART_NO_HANDLER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use lx_core::abi::Errno;
    use lx_core::error::SysError;
    use lx_proc::signal::Restart;

    #[test]
    fn every_result_comes_back() {
        for value in [0, 1, u64::MAX, -512_i64 as u64, i64::MAX as u64, 0x7fff_ffff_f000] {
            assert_eq!(Answer::from(Ok(value)).value(), Ok(value));
        }
        let failed = Answer::from(Err(SysError::Errno(Errno::EFAULT)));
        assert_eq!(failed.value(), Ok(-14_i64 as u64));
        assert_eq!(failed.result(), Err(Errno::EFAULT));
        assert_eq!(Answer::from(Ok(5)).result(), Ok(5));
        for (error, restart) in [
            (SysError::Restart, Restart::UnlessHandlerRefuses),
            (SysError::RestartNoHandler, Restart::WithoutHandler),
        ] {
            assert_eq!(Answer::from(Err(error)).value(), Err(restart));
            assert_eq!(Answer::from(Err(error)).result(), Err(Errno::EINTR));
        }
    }
}
