//! Descriptor numbers as arguments.

use super::{Errno, FromArg, IntoReturn, TraceArg};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A file descriptor number, as the guest wrote it.
///
/// It may be negative or closed: only the descriptor table can tell, and it answers `EBADF`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct Fd(pub i32);

impl Fd {
    /// Standard input.
    pub const STDIN: Self = Self(0);
    /// Standard output.
    pub const STDOUT: Self = Self(1);
    /// Standard error.
    pub const STDERR: Self = Self(2);

    /// The number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The number as an index into a table; `EBADF` if it is negative.
    pub const fn index(self) -> Result<usize, Errno> {
        if self.0 < 0 { Err(Errno::EBADF) } else { Ok(self.0 as usize) }
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromArg for Fd {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as i32))
    }
}

impl IntoReturn for Fd {
    fn into_return(self) -> u64 {
        self.0 as u64
    }
}

impl TraceArg for Fd {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where a relative path starts: a descriptor, or [`DirFd::AT_FDCWD`].
///
/// Not looked at when the path is absolute, so an invalid number is no error by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct DirFd(pub i32);

impl DirFd {
    /// The current working directory.
    pub const AT_FDCWD: Self = Self(-100);

    /// The descriptor, or `None` for the current directory.
    #[must_use]
    pub const fn fd(self) -> Option<Fd> {
        if self.0 == Self::AT_FDCWD.0 { None } else { Some(Fd(self.0)) }
    }
}

impl From<Fd> for DirFd {
    fn from(fd: Fd) -> Self {
        Self(fd.0)
    }
}

impl FromArg for DirFd {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as i32))
    }
}

impl TraceArg for DirFd {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fd() {
            None => f.write_str("AT_FDCWD"),
            Some(fd) => fd.trace(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DirFd, Fd};
    use crate::abi::{Errno, FromArg, IntoReturn};

    #[test]
    fn numbers() {
        assert_eq!(Fd::from_arg(0xffff_ffff), Ok(Fd(-1)));
        assert_eq!(Fd(-1).index(), Err(Errno::EBADF));
        assert_eq!(Fd(3).into_return(), 3);
        assert_eq!(DirFd::from_arg(-100i64 as u64).map(DirFd::fd), Ok(None));
        assert_eq!(DirFd(-5).fd(), Some(Fd(-5)));
    }
}
