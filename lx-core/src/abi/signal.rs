//! Signals: `arch/x86/include/uapi/asm/signal.h`, signal(7), sigaction(2).

use super::{Errno, FromArg, TraceArg};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A signal, 1 to 64. A value that exists is legal; see [`RawSignal`] for what the guest passes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Signal(u8);

/// What a signal does to a process that has not asked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Terminate the process.
    Terminate,
    /// Terminate and dump core.
    Core,
    /// Nothing.
    Ignore,
    /// Stop the process.
    Stop,
    /// Continue the process if it is stopped.
    Continue,
}

macro_rules! signals {
    ($($name:ident = $value:literal, $action:ident;)*) => {
        impl Signal {
            $(pub const $name: Self = Self($value);)*

            /// The name of a standard signal; `None` for the real-time signals.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The default action. That of real-time signals is to terminate.
            #[must_use]
            pub const fn default_action(self) -> DefaultAction {
                match self.0 {
                    $($value => DefaultAction::$action,)*
                    _ => DefaultAction::Terminate,
                }
            }
        }

        const _: () = {
            $(assert!(Signal::$name.0 as u32 == linux_raw_sys::general::$name);)*
        };
    };
}

signals! {
    SIGHUP = 1, Terminate;
    SIGINT = 2, Terminate;
    SIGQUIT = 3, Core;
    SIGILL = 4, Core;
    SIGTRAP = 5, Core;
    SIGABRT = 6, Core;
    SIGBUS = 7, Core;
    SIGFPE = 8, Core;
    SIGKILL = 9, Terminate;
    SIGUSR1 = 10, Terminate;
    SIGSEGV = 11, Core;
    SIGUSR2 = 12, Terminate;
    SIGPIPE = 13, Terminate;
    SIGALRM = 14, Terminate;
    SIGTERM = 15, Terminate;
    SIGSTKFLT = 16, Terminate;
    SIGCHLD = 17, Ignore;
    SIGCONT = 18, Continue;
    SIGSTOP = 19, Stop;
    SIGTSTP = 20, Stop;
    SIGTTIN = 21, Stop;
    SIGTTOU = 22, Stop;
    SIGURG = 23, Ignore;
    SIGXCPU = 24, Core;
    SIGXFSZ = 25, Core;
    SIGVTALRM = 26, Terminate;
    SIGPROF = 27, Terminate;
    SIGWINCH = 28, Ignore;
    SIGIO = 29, Terminate;
    SIGPWR = 30, Terminate;
    SIGSYS = 31, Core;
}

impl Signal {
    /// The highest signal (`_NSIG`).
    pub const MAX: Self = Self(64);
    /// The first real-time signal, as the kernel counts.
    pub const SIGRTMIN: Self = Self(32);

    /// The signal with this number, if there is one.
    #[must_use]
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 && number <= 64 { Some(Self(number as u8)) } else { None }
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// The number as an index into a table of 64.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether it queues every instance (numbers from 32).
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::SIGRTMIN.0
    }

    /// Every signal, in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=64).map(Self)
    }
}

impl fmt::Display for Signal {
    /// `SIGINT`, or `SIGRT_3` for a real-time signal, as strace prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "SIGRT_{}", self.0.saturating_sub(Self::SIGRTMIN.0)),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromArg for Signal {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Self::new(raw as i32).ok_or(Errno::EINVAL)
    }
}

impl TraceArg for Signal {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signal number from the guest: kill(2) and others also take 0, which only checks permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct RawSignal(pub i32);

impl RawSignal {
    /// `None` for 0, the signal otherwise; `EINVAL` if there is no such signal.
    pub const fn check(self) -> Result<Option<Signal>, Errno> {
        if self.0 == 0 {
            return Ok(None);
        }
        match Signal::new(self.0) {
            Some(signal) => Ok(Some(signal)),
            None => Err(Errno::EINVAL),
        }
    }
}

impl From<Signal> for RawSignal {
    fn from(signal: Signal) -> Self {
        Self(signal.number())
    }
}

impl FromArg for RawSignal {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as i32))
    }
}

impl TraceArg for RawSignal {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Signal::new(self.0) {
            Some(signal) => signal.trace(f),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A set of signals: `sigset_t` of the kernel, bit `n - 1` for signal `n`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const FULL: Self = Self(u64::MAX);
    /// The two that cannot be blocked, caught or ignored.
    pub const UNBLOCKABLE: Self = Self::EMPTY.with(Signal::SIGKILL).with(Signal::SIGSTOP);
    /// The signals whose default action stops the process.
    pub const STOPS: Self = Self::EMPTY
        .with(Signal::SIGSTOP)
        .with(Signal::SIGTSTP)
        .with(Signal::SIGTTIN)
        .with(Signal::SIGTTOU);
    /// Signals a fault raises; delivered before others.
    pub const SYNCHRONOUS: Self = Self::EMPTY
        .with(Signal::SIGSEGV)
        .with(Signal::SIGBUS)
        .with(Signal::SIGILL)
        .with(Signal::SIGTRAP)
        .with(Signal::SIGFPE)
        .with(Signal::SIGSYS);
    /// The size of the kernel's `sigset_t`, which `sigsetsize` arguments must equal.
    pub const SIZE: usize = 8;

    const fn bit(signal: Signal) -> u64 {
        1 << (signal.0 - 1)
    }

    /// The set with only `signal`.
    #[must_use]
    pub const fn only(signal: Signal) -> Self {
        Self(Self::bit(signal))
    }

    /// This set and `signal`.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::bit(signal))
    }

    /// This set without `signal`.
    #[must_use]
    pub const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !Self::bit(signal))
    }

    /// Whether `signal` is a member.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// Whether no signal is a member.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        *self = self.with(signal);
    }

    /// Removes `signal`.
    pub const fn remove(&mut self, signal: Signal) {
        *self = self.without(signal);
    }

    /// Members of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Members of this set that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The lowest member.
    #[must_use]
    pub const fn first(self) -> Option<Signal> {
        Signal::new(self.0.trailing_zeros() as i32 + 1)
    }

    /// The members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let signal = rest.first()?;
            rest.remove(signal);
            Some(signal)
        })
    }
}

impl fmt::Debug for SigSet {
    /// `[INT CHLD RT_1]`, as strace prints a set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        let mut separator = "";
        for signal in self.iter() {
            f.write_str(separator)?;
            match signal.name() {
                Some(name) => f.write_str(name.strip_prefix("SIG").unwrap_or(name))?,
                None => write!(f, "RT_{}", signal.0.saturating_sub(Signal::SIGRTMIN.0))?,
            }
            separator = " ";
        }
        f.write_str("]")
    }
}

impl TraceArg for SigSet {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

abi_flags! {
    /// `sa_flags`. Linux ignores unknown bits, and clears them in what it returns.
    pub struct SigActionFlags: u64, checked by general {
        SA_NOCLDSTOP = 0x0000_0001,
        SA_NOCLDWAIT = 0x0000_0002,
        SA_SIGINFO = 0x0000_0004,
        SA_UNSUPPORTED = 0x0000_0400,
        SA_EXPOSE_TAGBITS = 0x0000_0800,
        SA_RESTORER = 0x0400_0000,
        SA_ONSTACK = 0x0800_0000,
        SA_RESTART = 0x1000_0000,
        SA_NODEFER = 0x4000_0000,
        SA_RESETHAND = 0x8000_0000,
    }
}

trace_flags!(SigActionFlags);

/// The handler address that selects the default action.
pub const SIG_DFL: u64 = 0;
/// The handler address that ignores the signal.
pub const SIG_IGN: u64 = 1;

abi_struct! {
    /// `struct sigaction` as rt_sigaction(2) takes it.
    #[derive(PartialEq, Eq)]
    pub struct KernelSigAction [size 32] {
        /// [`SIG_DFL`], [`SIG_IGN`] or an address.
        @0 pub handler: u64,
        /// See [`SigActionFlags`].
        @8 pub flags: u64,
        @16 pub restorer: u64,
        @24 pub mask: SigSet,
    }
}

impl KernelSigAction {
    /// The flags Linux knows.
    #[must_use]
    pub const fn known_flags(&self) -> SigActionFlags {
        SigActionFlags::from_bits_truncate(self.flags)
    }
}

abi_values! {
    /// The operation of rt_sigprocmask(2).
    pub struct SigMaskHow: u32, checked by general {
        SIG_BLOCK = 0,
        SIG_UNBLOCK = 1,
        SIG_SETMASK = 2,
    }
}

abi_flags! {
    /// `ss_flags` of the alternate stack.
    pub struct StackFlags: u32, checked by general {
        SS_ONSTACK = 1,
        SS_DISABLE = 2,
        SS_AUTODISARM = 0x8000_0000,
    }
}

/// The smallest alternate stack sigaltstack(2) accepts.
pub const MINSIGSTKSZ: u64 = 2048;

abi_struct! {
    /// `stack_t`: an alternate signal stack.
    #[derive(PartialEq, Eq)]
    pub struct StackT [size 24] {
        @0 pub ss_sp: u64,
        @8 pub ss_flags: u32,
        @12 pub pad: u32,
        @16 pub ss_size: u64,
    }
}

abi_values! {
    /// How a timer or message queue notifies (`sigev_notify`).
    pub struct SigevNotify: u32, checked by general {
        SIGEV_SIGNAL = 0,
        SIGEV_NONE = 1,
        SIGEV_THREAD = 2,
        SIGEV_THREAD_ID = 4,
    }
}

abi_struct! {
    /// `struct sigevent`
    pub struct SigEvent [size 64] {
        /// `sigval`: an `int` or a pointer.
        @0 pub sigev_value: u64,
        @8 pub sigev_signo: i32,
        @12 pub sigev_notify: SigevNotify,
        /// The thread for `SIGEV_THREAD_ID`.
        @16 pub sigev_notify_thread_id: i32,
        @20 pub pad: [u32; 11],
    }
}

abi_flags! {
    /// Flags of signalfd4(2).
    pub struct SignalfdFlags: u32 and {
        SFD_NONBLOCK = 0o4000,
        SFD_CLOEXEC = 0o2_000_000,
    }
}

strict_flags_arg!(SignalfdFlags: u32);

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{DefaultAction, RawSignal, SigSet, Signal};
    use crate::abi::{Errno, FromArg};
    use std::format;
    use std::vec::Vec;

    #[test]
    fn numbers_are_checked() {
        assert_eq!(Signal::new(0), None);
        assert_eq!(Signal::new(65), None);
        assert_eq!(Signal::from_arg(9), Ok(Signal::SIGKILL));
        assert_eq!(Signal::from_arg(0), Err(Errno::EINVAL));
        assert_eq!(RawSignal(0).check(), Ok(None));
        assert_eq!(RawSignal(-1).check(), Err(Errno::EINVAL));
        assert_eq!(Signal::MAX.index(), 63);
    }

    #[test]
    fn names_and_actions() {
        assert_eq!(format!("{}", Signal::SIGCHLD), "SIGCHLD");
        assert_eq!(format!("{:?}", Signal::new(35).unwrap()), "SIGRT_3");
        assert_eq!(Signal::SIGCHLD.default_action(), DefaultAction::Ignore);
        assert_eq!(Signal::MAX.default_action(), DefaultAction::Terminate);
    }

    #[test]
    fn sets() {
        let set = SigSet::EMPTY.with(Signal::SIGINT).with(Signal::MAX);
        assert_eq!(set.0, 1 << 63 | 2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::SIGINT, Signal::MAX]);
        assert_eq!(format!("{set:?}"), "[INT RT_32]");
        assert_eq!(SigSet::EMPTY.first(), None);
        assert_eq!(SigSet::FULL.iter().count(), 64);
        assert!(!set.without(Signal::MAX).contains(Signal::MAX));
        assert_eq!(SigSet::UNBLOCKABLE.0, 1 << 8 | 1 << 18);
    }
}
