//! Values between registers and types: decoding arguments, encoding results, tracing both.

use super::Errno;
use core::fmt;

/// A type that can be an argument of a system call handler.
///
/// Decoding is what Linux does by declaring the parameter's C type: an `int` drops the upper half
/// of its register. It fails only where the type admits fewer values than its register.
pub trait FromArg: Sized {
    /// Whether the register holds an address of guest memory that the handler follows.
    const POINTER: bool = false;

    /// Decodes the register's value.
    fn from_arg(raw: u64) -> Result<Self, Errno>;
}

/// A type that can be the successful result of a system call handler.
pub trait IntoReturn {
    /// The value for `rax`.
    fn into_return(self) -> u64;
}

/// A type that can be shown on a trace line, in the notation of strace(1).
pub trait TraceArg {
    /// Writes the value.
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Shows a [`TraceArg`] through `Display`: `write!(out, "{}", Traced(&arg))`.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a, T: ?Sized>(pub &'a T);

impl<T: TraceArg + ?Sized> fmt::Display for Traced<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trace(f)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl FromArg for $t {
            fn from_arg(raw: u64) -> Result<Self, Errno> {
                Ok(raw as Self)
            }
        }

        impl IntoReturn for $t {
            // Signed results are sign-extended, as the C return type `long` does.
            fn into_return(self) -> u64 {
                self as u64
            }
        }

        impl TraceArg for $t {
            fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, usize, i32, i64, isize);

impl IntoReturn for () {
    fn into_return(self) -> u64 {
        0
    }
}

impl TraceArg for () {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0")
    }
}

impl IntoReturn for bool {
    fn into_return(self) -> u64 {
        u64::from(self)
    }
}

impl TraceArg for bool {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self { "1" } else { "0" })
    }
}

/// Writes the names of the set bits joined by `|`, then unnamed bits in hex; `0` if none is set.
pub(in crate::abi) fn trace_flags<F>(flags: &F, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    F: bitflags::Flags,
    F::Bits: fmt::LowerHex,
{
    let mut names = flags.iter_names();
    let mut separator = "";
    for (name, _) in &mut names {
        write!(f, "{separator}{name}")?;
        separator = "|";
    }
    let rest = names.remaining();
    if !rest.is_empty() {
        return write!(f, "{separator}{:#x}", rest.bits());
    }
    if separator.is_empty() { f.write_str("0") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{FromArg, IntoReturn, Traced};
    use crate::abi::fcntl::{AtFlags, FcntlCmd, OpenFlags};
    use crate::abi::{DirFd, Errno, Signal, UserPtr};
    use std::string::ToString;

    #[test]
    fn integers_truncate_and_extend() {
        assert_eq!(u32::from_arg(0xffff_ffff_0000_0001), Ok(1));
        assert_eq!(i32::from_arg(0x0000_0000_ffff_ffff), Ok(-1));
        assert_eq!((-1i32).into_return(), u64::MAX);
        assert_eq!(().into_return(), 0);
    }

    #[test]
    fn unknown_flags_are_rejected() {
        assert_eq!(AtFlags::from_arg(0x100), Ok(AtFlags::AT_SYMLINK_NOFOLLOW));
        assert_eq!(AtFlags::from_arg(0x0200_0000), Err(Errno::EINVAL));
    }

    #[test]
    fn traces_as_strace_does() {
        let flags = OpenFlags::from_arg(0o2_000_000).unwrap();
        assert_eq!(Traced(&flags).to_string(), "O_RDONLY|O_CLOEXEC");
        assert_eq!(Traced(&Signal::SIGINT).to_string(), "SIGINT");
        assert_eq!(Traced(&DirFd::AT_FDCWD).to_string(), "AT_FDCWD");
        assert_eq!(Traced(&UserPtr::<u8>::new(0)).to_string(), "NULL");
        assert_eq!(Traced(&UserPtr::<u8>::new(0x1000)).to_string(), "0x1000");
        assert_eq!(Traced(&FcntlCmd::F_GETFL).to_string(), "F_GETFL");
        assert_eq!(Traced(&FcntlCmd(9999)).to_string(), "0x270f");
        assert_eq!(Traced(&AtFlags::empty()).to_string(), "0");
        assert_eq!(
            Traced(&AtFlags::from_bits_retain(0x4000_0100)).to_string(),
            "AT_SYMLINK_NOFOLLOW|0x40000000"
        );
    }
}
