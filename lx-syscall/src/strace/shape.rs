//! Which arguments are shown otherwise than by their type.

use lx_core::abi::fcntl::{FcntlCmd, OpenFlags};
use lx_core::abi::futex::{FutexCmd, FutexOp};
use lx_core::abi::ioctl::IoctlCmd;

/// How an argument is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// By its type.
    Typed,
    /// Not at all, nor those behind it.
    Absent,
    /// A number in hexadecimal.
    Hex,
    /// A pointer that is not followed.
    Address,
    /// Text of so many bytes.
    Bytes(u64),
    /// Text of as many bytes as the result says.
    BytesOut,
    /// Random bytes.
    HexBytesOut,
    /// `argv`
    Strings,
    /// `envp`
    Environment,
    /// `struct stat`
    Stat,
    /// `struct statx`
    Statx,
    /// `struct termios`
    Termios,
    /// The same, before the call.
    TermiosIn,
    /// `struct winsize`
    WindowSize,
    /// One number that the call stores.
    IntOut,
    /// One number that the call reads.
    IntIn,
    /// Two descriptors.
    Pair,
    /// What `wait4` stores.
    Status,
    /// `struct sigaction`
    ActionIn,
    /// The same, written.
    ActionOut,
    /// `sigset_t`
    SetIn,
    /// The same, written.
    SetOut,
    /// `struct rlimit64`
    LimitIn,
    /// The same, written.
    LimitOut,
    /// Entries of a directory, of which the result says how many bytes there are.
    Entries,
    /// `struct timespec`
    TimeIn,
    /// `FD_CLOEXEC`
    DescriptorFlags,
    /// Flags of `open(2)`.
    OpenFlags,
    /// Some of the same, without an access mode.
    PipeFlags,
    /// `GRND_…`
    RandomFlags,
    /// `AT_STATX_…` and `AT_…`
    StatxFlags,
    /// `R_OK` and so on
    Access,
    /// A path that ends with a zero byte, which the result counts.
    PathOut,
}

impl Shape {
    /// Whether it is known only after the call.
    pub(super) fn is_written(self) -> bool {
        matches!(
            self,
            Self::BytesOut
                | Self::PathOut
                | Self::HexBytesOut
                | Self::Stat
                | Self::Statx
                | Self::Termios
                | Self::WindowSize
                | Self::IntOut
                | Self::Pair
                | Self::Status
                | Self::ActionOut
                | Self::SetOut
                | Self::LimitOut
                | Self::Entries
        )
    }
}

/// The shape of an argument.
pub(super) fn of(call: &str, index: usize, args: &[u64; 6]) -> Shape {
    let [_, second, third, ..] = *args;
    match (call, index) {
        ("read" | "pread64" | "readlink" | "mq_timedreceive", 1) | ("readlinkat", 2) => {
            Shape::BytesOut
        }
        ("write" | "pwrite64" | "mq_timedsend", 1) => Shape::Bytes(third),
        ("mq_timedsend" | "mq_timedreceive", 4) => Shape::TimeIn,
        ("getrandom", 0) => Shape::HexBytesOut,
        ("getrandom", 2) => Shape::RandomFlags,
        ("open" | "mq_open", 2) if !creates(second) => Shape::Absent,
        ("openat", 3) if !creates(third) => Shape::Absent,
        ("mmap", 5) | ("arch_prctl", 1) => Shape::Hex,
        ("fstat" | "stat" | "lstat", 1) | ("newfstatat", 2) => Shape::Stat,
        ("statx", 2) => Shape::StatxFlags,
        ("statx", 4) => Shape::Statx,
        ("access", 1) | ("faccessat" | "faccessat2", 2) => Shape::Access,
        ("getcwd", 0) => Shape::PathOut,
        ("pipe" | "pipe2", 0) => Shape::Pair,
        ("pipe2", 1) => Shape::PipeFlags,
        ("wait4", 1) => Shape::Status,
        ("rt_sigaction", 1) => Shape::ActionIn,
        ("rt_sigaction", 2) => Shape::ActionOut,
        ("rt_sigprocmask", 1) => Shape::SetIn,
        ("rt_sigprocmask", 2) => Shape::SetOut,
        ("execve", 1) => Shape::Strings,
        ("execve", 2) => Shape::Environment,
        ("getdents64", 1) => Shape::Entries,
        ("prlimit64", 2) => Shape::LimitIn,
        ("prlimit64", 3) | ("getrlimit", 1) => Shape::LimitOut,
        ("setrlimit", 1) => Shape::LimitIn,
        ("clone", _) => Shape::Absent,
        ("ioctl", 2) => of_ioctl(IoctlCmd(second as u32)),
        ("fcntl", 2) => of_fcntl(FcntlCmd(second as u32)),
        ("futex", 3..) => of_futex(FutexOp(second as u32), index),
        _ => Shape::Typed,
    }
}

fn creates(flags: u64) -> bool {
    let flags = OpenFlags::from_bits_retain(flags as u32);
    flags.contains(OpenFlags::O_CREAT) || flags.contains(OpenFlags::O_TMPFILE)
}

fn of_ioctl(request: IoctlCmd) -> Shape {
    match request {
        IoctlCmd::FIOCLEX | IoctlCmd::FIONCLEX => Shape::Absent,
        IoctlCmd::TCGETS => Shape::Termios,
        IoctlCmd::TCSETS | IoctlCmd::TCSETSW | IoctlCmd::TCSETSF => Shape::TermiosIn,
        IoctlCmd::TIOCGWINSZ => Shape::WindowSize,
        IoctlCmd::TIOCGPGRP | IoctlCmd::FIONREAD | IoctlCmd::TIOCGPTN => Shape::IntOut,
        IoctlCmd::TIOCSPGRP | IoctlCmd::FIONBIO | IoctlCmd::TIOCSPTLCK => Shape::IntIn,
        _ => Shape::Hex,
    }
}

fn of_fcntl(command: FcntlCmd) -> Shape {
    match command {
        FcntlCmd::F_GETFD | FcntlCmd::F_GETFL | FcntlCmd::F_GETOWN => Shape::Absent,
        FcntlCmd::F_SETFD => Shape::DescriptorFlags,
        FcntlCmd::F_SETFL => Shape::OpenFlags,
        FcntlCmd::F_DUPFD | FcntlCmd::F_DUPFD_CLOEXEC | FcntlCmd::F_SETOWN => Shape::Typed,
        _ => Shape::Address,
    }
}

fn of_futex(op: FutexOp, index: usize) -> Shape {
    match (op.cmd(), index) {
        (FutexCmd::FUTEX_WAKE, _) => Shape::Absent,
        (FutexCmd::FUTEX_WAIT | FutexCmd::FUTEX_WAIT_BITSET, 3) => Shape::TimeIn,
        (FutexCmd::FUTEX_WAIT, _) => Shape::Absent,
        _ => Shape::Typed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_for_new_files_only() {
        let with = |flags: OpenFlags| of("openat", 3, &[0, 0, flags.bits().into(), 0, 0, 0]);
        assert_eq!(with(OpenFlags::O_CLOEXEC), Shape::Absent);
        assert_eq!(with(OpenFlags::O_DIRECTORY), Shape::Absent);
        assert_eq!(with(OpenFlags::O_CREAT), Shape::Typed);
    }

    #[test]
    fn what_is_written_waits_for_the_end() {
        assert!(of("read", 1, &[0; 6]).is_written());
        assert!(!of("write", 1, &[0; 6]).is_written());
    }
}
