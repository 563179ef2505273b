//! The contract between the engine and the kernel.

use super::HostThreadId;
use crate::abi::GuestRegs;

/// How to go on with a guest thread after the kernel has handled a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Resume {
    /// Only `rax` has changed: the short way out of a system call.
    Return,
    /// Load all general registers, `rip` and flags from the `GuestRegs`.
    Full,
    /// As `Full`, and the state given to
    /// [`load_xstate`](super::HostThread::load_xstate).
    FullWithXstate,
    /// The task is over (or lives on in another host process): take the host thread back.
    Exit,
}

/// What went wrong in guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Address not mapped.
    NotMapped,
    /// Mapped, but the access is not allowed.
    Access,
    /// A mapped file ended before the address, or its storage failed.
    Bus,
    /// Illegal or privileged instruction.
    Illegal,
    /// Privileged instruction or non-canonical address: `SIGSEGV` without an address.
    Protection,
    /// Integer division error or overflow.
    Divide,
    /// Floating-point exception.
    Float,
    /// `int3`.
    Breakpoint,
    /// Single step.
    Step,
}

/// A true fault of guest code.
#[derive(Clone, Copy, Debug)]
pub struct FaultInfo {
    /// What happened.
    pub kind: FaultKind,
    /// The address concerned; for instruction faults that of the instruction.
    pub address: u64,
    /// x86 trap number, for `sigcontext`.
    pub trap_number: u64,
    /// x86 error code, for `sigcontext`.
    pub error_code: u64,
}

/// The kernel side of one guest thread: what the engine calls on the thread's kernel stack.
pub trait TrapHandler: Send + Sync {
    /// The host has tied this task to a thread block; called before anything else, and again when
    /// the task moves to another one. It may call [`HostThread::interrupt`](super::HostThread) for
    /// `thread`, which must not be lost.
    fn attached(&self, thread: HostThreadId);
    /// The guest executed a system call: number in `rax`, arguments in `rdi rsi rdx r10 r8 r9`.
    fn syscall(&self, regs: &mut GuestRegs) -> Resume;
    /// The guest's own instruction failed. All registers are exact.
    fn fault(&self, info: &FaultInfo, regs: &mut GuestRegs) -> Resume;
    /// The kernel's own access to guest memory has failed at an address, amid a call for the guest:
    /// whether the memory is there now, so that it may be tried again. The address itself is absent,
    /// or does not allow the access.
    fn user_fault(&self, address: u64, write: bool) -> bool;
    /// An interrupt was requested while the guest ran, or found on the way out of a system call.
    /// After a system call `regs.rax` holds its result.
    fn interrupt(&self, regs: &mut GuestRegs) -> Resume;
    /// First entry in an empty host process: map the program, set the registers.
    fn start(&self, regs: &mut GuestRegs) -> Resume;
}
