//! What came with a signal: `include/uapi/asm-generic/siginfo.h`, sigaction(2), signalfd(2).

use super::{SigSet, Signal};
use zerocopy::{FromBytes, Immutable, IntoBytes};

abi_consts!(i32, checked by general {
    /// From kill(2).
    SI_USER = 0,
    /// From the kernel.
    SI_KERNEL = 0x80,
    /// From rt_sigqueueinfo(2).
    SI_QUEUE = -1,
    /// From a POSIX timer.
    SI_TIMER = -2,
    SI_MESGQ = -3,
    SI_ASYNCIO = -4,
    SI_SIGIO = -5,
    /// From tkill(2) and tgkill(2).
    SI_TKILL = -6,
    ILL_ILLOPC = 1,
    ILL_ILLOPN = 2,
    ILL_ILLADR = 3,
    ILL_ILLTRP = 4,
    ILL_PRVOPC = 5,
    ILL_PRVREG = 6,
    ILL_COPROC = 7,
    ILL_BADSTK = 8,
    FPE_INTDIV = 1,
    FPE_INTOVF = 2,
    FPE_FLTDIV = 3,
    FPE_FLTOVF = 4,
    FPE_FLTUND = 5,
    FPE_FLTRES = 6,
    FPE_FLTINV = 7,
    FPE_FLTSUB = 8,
    /// The address is not mapped.
    SEGV_MAPERR = 1,
    /// The mapping does not permit the access.
    SEGV_ACCERR = 2,
    SEGV_BNDERR = 3,
    SEGV_PKUERR = 4,
    BUS_ADRALN = 1,
    /// The page lies beyond the end of the mapped file.
    BUS_ADRERR = 2,
    BUS_OBJERR = 3,
    TRAP_BRKPT = 1,
    TRAP_TRACE = 2,
    CLD_EXITED = 1,
    CLD_KILLED = 2,
    CLD_DUMPED = 3,
    CLD_TRAPPED = 4,
    CLD_STOPPED = 5,
    CLD_CONTINUED = 6,
    POLL_IN = 1,
    POLL_OUT = 2,
    POLL_MSG = 3,
    POLL_ERR = 4,
    POLL_PRI = 5,
    POLL_HUP = 6,
    SYS_SECCOMP = 1,
    SYS_USER_DISPATCH = 2,
});

/// Which of the union's members a [`SigInfo`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigInfoLayout {
    /// Sender: [`KillFields`].
    Kill,
    /// POSIX timer: [`TimerFields`].
    Timer,
    /// Readiness of a descriptor: [`PollFields`].
    Poll,
    /// Address of a fault: [`FaultFields`].
    Fault,
    /// A child's change of state: [`ChildFields`].
    Child,
    /// Sender and a value: [`QueueFields`].
    Queue,
    /// A trapped system call: [`SysFields`].
    Sys,
}

abi_struct! {
    /// Who sent the signal.
    #[derive(PartialEq, Eq)]
    pub struct KillFields [size 8] {
        @0 pub pid: i32,
        @4 pub uid: u32,
    }
}

abi_struct! {
    /// Who sent the signal, and the value sent along (`sigval`: an `int` or a pointer).
    #[derive(PartialEq, Eq)]
    pub struct QueueFields [size 16] {
        @0 pub pid: i32,
        @4 pub uid: u32,
        @8 pub value: u64,
    }
}

abi_struct! {
    /// Which timer expired, and how many expirations the signal stands for besides the first.
    #[derive(PartialEq, Eq)]
    pub struct TimerFields [size 24] {
        @0 pub timer_id: i32,
        @4 pub overrun: i32,
        @8 pub value: u64,
        @16 pub private: i32,
        @20 pub pad: u32,
    }
}

abi_struct! {
    /// Which child changed, and how. Times are in ticks of [`super::time::USER_HZ`].
    #[derive(PartialEq, Eq)]
    pub struct ChildFields [size 32] {
        @0 pub pid: i32,
        @4 pub uid: u32,
        /// The exit status or the signal's number, according to the code.
        @8 pub status: i32,
        @12 pub pad: u32,
        @16 pub utime: i64,
        @24 pub stime: i64,
    }
}

abi_struct! {
    /// Where the fault happened.
    #[derive(PartialEq, Eq)]
    pub struct FaultFields [size 16] {
        @0 pub addr: u64,
        @8 pub addr_lsb: u16,
        @10 pub pad: [u16; 3],
    }
}

abi_struct! {
    /// Which descriptor became ready for what.
    #[derive(PartialEq, Eq)]
    pub struct PollFields [size 16] {
        @0 pub band: i64,
        @8 pub fd: i32,
        @12 pub pad: u32,
    }
}

abi_struct! {
    /// Which system call was trapped.
    #[derive(PartialEq, Eq)]
    pub struct SysFields [size 16] {
        @0 pub call_addr: u64,
        @8 pub syscall: i32,
        @12 pub arch: u32,
    }
}

abi_struct! {
    /// `siginfo_t`. Unused bytes are always zero.
    #[derive(PartialEq, Eq)]
    pub struct SigInfo [size 128] {
        @0 pub si_signo: i32,
        @4 pub si_errno: i32,
        @8 pub si_code: i32,
        @12 pub pad: u32,
        /// The union; see [`SigInfo::layout`].
        @16 pub fields: [u64; 14],
    }
}

impl SigInfo {
    fn with_fields<T: IntoBytes + Immutable>(signal: Signal, code: i32, fields: &T) -> Self {
        let mut info = Self { si_signo: signal.number(), si_code: code, ..Self::default() };
        // Every member is smaller than the union, so the copy cannot fail.
        let _ = fields.write_to_prefix(info.fields.as_mut_bytes());
        info
    }

    fn fields_as<T: FromBytes + Default>(&self) -> T {
        T::read_from_prefix(self.fields.as_bytes())
            .map_or_else(|_| T::default(), |(fields, _)| fields)
    }

    /// A signal without sender, from the kernel itself.
    #[must_use]
    pub fn kernel(signal: Signal) -> Self {
        Self::with_fields(signal, SI_KERNEL, &KillFields::default())
    }

    /// A signal from kill(2).
    #[must_use]
    pub fn kill(signal: Signal, pid: i32, uid: u32) -> Self {
        Self::with_fields(signal, SI_USER, &KillFields { pid, uid })
    }

    /// A signal from tkill(2) or tgkill(2).
    #[must_use]
    pub fn tkill(signal: Signal, pid: i32, uid: u32) -> Self {
        Self::with_fields(signal, SI_TKILL, &KillFields { pid, uid })
    }

    /// A signal with a value; `code` is usually [`SI_QUEUE`].
    #[must_use]
    pub fn queue(signal: Signal, code: i32, pid: i32, uid: u32, value: u64) -> Self {
        Self::with_fields(signal, code, &QueueFields { pid, uid, value })
    }

    /// `SIGCHLD`, or whatever signal the child was created with.
    #[must_use]
    pub fn child(signal: Signal, code: i32, fields: ChildFields) -> Self {
        Self::with_fields(signal, code, &fields)
    }

    /// A fault at `addr`.
    #[must_use]
    pub fn fault(signal: Signal, code: i32, addr: u64) -> Self {
        Self::with_fields(signal, code, &FaultFields { addr, ..FaultFields::default() })
    }

    /// An expired POSIX timer.
    #[must_use]
    pub fn timer(signal: Signal, timer_id: i32, overrun: i32, value: u64) -> Self {
        let fields = TimerFields { timer_id, overrun, value, ..TimerFields::default() };
        Self::with_fields(signal, SI_TIMER, &fields)
    }

    /// A system call that was not made; `data` is the filter's.
    #[must_use]
    pub fn sys(code: i32, data: i32, fields: SysFields) -> Self {
        Self { si_errno: data, ..Self::with_fields(Signal::SIGSYS, code, &fields) }
    }

    /// A descriptor that became ready (`O_ASYNC`).
    #[must_use]
    pub fn poll(signal: Signal, code: i32, band: i64, fd: i32) -> Self {
        Self::with_fields(signal, code, &PollFields { band, fd, pad: 0 })
    }

    /// The signal, if the number is one. Always, unless the guest wrote this structure.
    #[must_use]
    pub const fn signal(&self) -> Option<Signal> {
        Signal::new(self.si_signo)
    }

    /// Which member the signal and code select (`siginfo_layout` in `kernel/signal.c`).
    #[must_use]
    pub fn layout(&self) -> SigInfoLayout {
        match self.si_code {
            code if code > SI_USER && code < SI_KERNEL => {
                let (limit, layout) = match self.signal() {
                    Some(Signal::SIGILL) => (11, SigInfoLayout::Fault),
                    Some(Signal::SIGFPE) => (15, SigInfoLayout::Fault),
                    Some(Signal::SIGSEGV) => (10, SigInfoLayout::Fault),
                    Some(Signal::SIGBUS) => (5, SigInfoLayout::Fault),
                    Some(Signal::SIGTRAP) => (6, SigInfoLayout::Fault),
                    Some(Signal::SIGCHLD) => (6, SigInfoLayout::Child),
                    Some(Signal::SIGIO) => (6, SigInfoLayout::Poll),
                    Some(Signal::SIGSYS) => (2, SigInfoLayout::Sys),
                    _ => (0, SigInfoLayout::Kill),
                };
                if code <= limit {
                    layout
                } else if code <= POLL_HUP {
                    SigInfoLayout::Poll
                } else {
                    SigInfoLayout::Kill
                }
            }
            SI_TIMER => SigInfoLayout::Timer,
            SI_SIGIO => SigInfoLayout::Poll,
            code if code < 0 => SigInfoLayout::Queue,
            _ => SigInfoLayout::Kill,
        }
    }

    /// The union as sender.
    #[must_use]
    pub fn kill_fields(&self) -> KillFields {
        self.fields_as()
    }

    /// The union as sender and value.
    #[must_use]
    pub fn queue_fields(&self) -> QueueFields {
        self.fields_as()
    }

    /// The union as timer.
    #[must_use]
    pub fn timer_fields(&self) -> TimerFields {
        self.fields_as()
    }

    /// The union as child.
    #[must_use]
    pub fn child_fields(&self) -> ChildFields {
        self.fields_as()
    }

    /// The union as fault.
    #[must_use]
    pub fn fault_fields(&self) -> FaultFields {
        self.fields_as()
    }

    /// The union as descriptor.
    #[must_use]
    pub fn poll_fields(&self) -> PollFields {
        self.fields_as()
    }

    /// The union as system call.
    #[must_use]
    pub fn sys_fields(&self) -> SysFields {
        self.fields_as()
    }

    /// Whether a fault of the running instruction raised it, so that blocking cannot delay it.
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        self.si_code > SI_USER
            && self.si_code < SI_KERNEL
            && self.signal().is_some_and(|signal| SigSet::SYNCHRONOUS.contains(signal))
    }
}

abi_struct! {
    /// `struct signalfd_siginfo`: what a signalfd yields.
    pub struct SignalfdSiginfo [size 128] {
        @0 pub ssi_signo: u32,
        @4 pub ssi_errno: i32,
        @8 pub ssi_code: i32,
        @12 pub ssi_pid: u32,
        @16 pub ssi_uid: u32,
        @20 pub ssi_fd: i32,
        @24 pub ssi_tid: u32,
        @28 pub ssi_band: u32,
        @32 pub ssi_overrun: u32,
        @36 pub ssi_trapno: u32,
        @40 pub ssi_status: i32,
        @44 pub ssi_int: i32,
        @48 pub ssi_ptr: u64,
        @56 pub ssi_utime: u64,
        @64 pub ssi_stime: u64,
        @72 pub ssi_addr: u64,
        @80 pub ssi_addr_lsb: u16,
        @82 pub pad2: u16,
        @84 pub ssi_syscall: i32,
        @88 pub ssi_call_addr: u64,
        @96 pub ssi_arch: u32,
        @100 pub pad: [u32; 7],
    }
}

impl From<&SigInfo> for SignalfdSiginfo {
    fn from(info: &SigInfo) -> Self {
        let mut out = Self {
            ssi_signo: info.si_signo as u32,
            ssi_errno: info.si_errno,
            ssi_code: info.si_code,
            ..Self::default()
        };
        match info.layout() {
            SigInfoLayout::Kill => {
                let fields = info.kill_fields();
                (out.ssi_pid, out.ssi_uid) = (fields.pid as u32, fields.uid);
            }
            SigInfoLayout::Queue => {
                let fields = info.queue_fields();
                (out.ssi_pid, out.ssi_uid) = (fields.pid as u32, fields.uid);
                (out.ssi_ptr, out.ssi_int) = (fields.value, fields.value as i32);
            }
            SigInfoLayout::Timer => {
                let fields = info.timer_fields();
                (out.ssi_tid, out.ssi_overrun) = (fields.timer_id as u32, fields.overrun as u32);
                (out.ssi_ptr, out.ssi_int) = (fields.value, fields.value as i32);
            }
            SigInfoLayout::Poll => {
                let fields = info.poll_fields();
                (out.ssi_band, out.ssi_fd) = (fields.band as u32, fields.fd);
            }
            SigInfoLayout::Fault => {
                let fields = info.fault_fields();
                (out.ssi_addr, out.ssi_addr_lsb) = (fields.addr, fields.addr_lsb);
            }
            SigInfoLayout::Child => {
                let fields = info.child_fields();
                (out.ssi_pid, out.ssi_uid) = (fields.pid as u32, fields.uid);
                out.ssi_status = fields.status;
                (out.ssi_utime, out.ssi_stime) = (fields.utime as u64, fields.stime as u64);
            }
            SigInfoLayout::Sys => {
                let fields = info.sys_fields();
                out.ssi_call_addr = fields.call_addr;
                (out.ssi_syscall, out.ssi_arch) = (fields.syscall, fields.arch);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_select_their_layout() {
        let info = SigInfo::kill(Signal::SIGTERM, 7, 1000);
        assert_eq!(info.layout(), SigInfoLayout::Kill);
        assert_eq!(info.kill_fields(), KillFields { pid: 7, uid: 1000 });

        let info = SigInfo::fault(Signal::SIGSEGV, SEGV_MAPERR, 0xdead_beef);
        assert_eq!(info.layout(), SigInfoLayout::Fault);
        assert_eq!(info.fault_fields().addr, 0xdead_beef);
        assert!(info.is_synchronous());
        assert!(!SigInfo::kill(Signal::SIGSEGV, 7, 0).is_synchronous());

        let child = ChildFields { pid: 9, status: 3, ..ChildFields::default() };
        let info = SigInfo::child(Signal::SIGCHLD, CLD_EXITED, child);
        assert_eq!(info.layout(), SigInfoLayout::Child);
        assert_eq!(info.child_fields(), child);

        let info = SigInfo::timer(Signal::SIGALRM, 4, 2, 77);
        assert_eq!(info.layout(), SigInfoLayout::Timer);
        assert_eq!(SignalfdSiginfo::from(&info).ssi_ptr, 77);

        let info = SigInfo::queue(Signal::MAX, SI_QUEUE, 1, 2, 3);
        assert_eq!(info.layout(), SigInfoLayout::Queue);
        assert_eq!(SigInfo::kernel(Signal::SIGINT).layout(), SigInfoLayout::Kill);
    }
}
