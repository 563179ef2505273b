//! Host signals: faults, trapped system calls, interrupts.
//!
//! A handler runs on the block's signal stack, never calls the kernel, and decides from RIP alone.
//! If guest code was interrupted, it notes RIP, RSP and flags in the block and lets the thread
//! continue at the trap entry, on its kernel stack, with all other registers as they were.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{FaultInfo, FaultKind};
use lx_x86::stub::{Side, classify_stub_rip};
use lx_x86::thread_block::TrapCause;
use lx_x86::{entry, user_copy};

use crate::park::INTERRUPT_SIGNAL;
use crate::region::REGION_BASE;
use crate::report;
use crate::sys::{self, sys};
use crate::thread::{self, Block};

const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;

const SA_SIGINFO: u64 = 4;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESTORER: u64 = 0x0400_0000;

/// Trap and direction flags: not for the kernel.
const FLAGS_CLEARED: u64 = 0x500;

/// Guest calls that came by the trap.
static TRAPPED: AtomicU64 = AtomicU64::new(0);

/// Guest calls that were not rewritten and came by the trap.
pub(crate) fn trapped_calls() -> u64 {
    TRAPPED.load(Ordering::Relaxed)
}

/// The part of `siginfo_t` that is used.
#[repr(C)]
struct SignalInfo {
    signal: i32,
    errno: i32,
    code: i32,
    _pad: i32,
    /// Of a fault; of the instruction, for `SIGSYS`.
    address: u64,
    /// `SIGSYS` only.
    _number: i32,
    /// `SIGSYS` only: which instruction set's call it was.
    arch: u32,
}

/// `ucontext_t` up to what is used.
#[repr(C)]
pub(crate) struct Context {
    flags: u64,
    link: u64,
    stack: [u64; 3],
    r8_to_r15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    eflags: u64,
    segments: u64,
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
}

#[repr(C)]
struct SignalAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

#[unsafe(naked)]
unsafe extern "C" fn restorer() {
    naked_asm!("mov eax, 15", "syscall", "ud2")
}

type Handler = unsafe extern "C" fn(i32, *const SignalInfo, *mut Context);

/// Installs the handlers; they are inherited by every process.
pub(crate) fn install() {
    let handlers: [(i32, Handler); 7] = [
        (SIGSEGV, on_fault),
        (SIGBUS, on_fault),
        (SIGILL, on_fault),
        (SIGFPE, on_fault),
        (SIGTRAP, on_fault),
        (SIGSYS, on_trapped_call),
        (INTERRUPT_SIGNAL, on_interrupt),
    ];
    for (signal, handler) in handlers {
        // A handler may fault itself while it looks at the guest's code.
        let action = SignalAction {
            handler: handler as *const () as u64,
            flags: SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESTORER,
            restorer: restorer as *const () as u64,
            mask: if signal == INTERRUPT_SIGNAL { 0 } else { 1 << (INTERRUPT_SIGNAL - 1) },
        };
        // SAFETY: the handlers are written for what the kernel passes them.
        let _ = unsafe { sys!(sys::__NR_rt_sigaction, signal, &raw const action, 0usize, 8usize) };
    }
    // Writing to a closed pipe shall be an error.
    let ignore = SignalAction {
        handler: 1,
        flags: SA_RESTORER,
        restorer: restorer as *const () as u64,
        mask: 0,
    };
    // SAFETY: as above.
    let _ = unsafe { sys!(sys::__NR_rt_sigaction, 13usize, &raw const ignore, 0usize, 8usize) };
}

/// Lets only the image's own code make host calls from this thread on; anything else gets `SIGSYS`.
pub(crate) fn arm_call_trap() {
    const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
    const PR_SYS_DISPATCH_ON: usize = 1;
    let (start, end) = crate::boot::text_range();
    // SAFETY: the range covers all code of the image.
    let _ = unsafe {
        sys!(
            sys::__NR_prctl,
            PR_SET_SYSCALL_USER_DISPATCH,
            PR_SYS_DISPATCH_ON,
            start,
            end - start,
            0usize
        )
    };
}

/// Blocks every signal for the calling thread, which is about to end.
pub(crate) fn block_all() {
    let all = u64::MAX;
    // SAFETY: the kernel reads the mask.
    let _ = unsafe { sys!(sys::__NR_rt_sigprocmask, 0usize, &raw const all, 0usize, 8usize) };
}

/// Whether the code at `rip` belongs to the image.
fn in_image(rip: u64) -> bool {
    let (start, end) = crate::boot::text_range();
    (start..end).contains(&rip)
}

/// Where the guest stands, as it knows it: RIP and RSP.
fn guest_position(block: &Block, context: &Context) -> (u64, u64) {
    match classify_stub_rip(context.rip, user_copy::read_code) {
        None => (context.rip, context.rsp),
        Some(position) => match position.side {
            Side::Guest => (position.original_rip, context.rsp),
            Side::BeforeCall | Side::AfterCall => (position.original_rip, block.engine.u_rsp.get()),
        },
    }
}

/// Lets the thread go on at the trap entry.
fn redirect(block: &Block, context: &mut Context, cause: TrapCause) {
    let (rip, rsp) = guest_position(block, context);
    let engine = &block.engine;
    engine.u_rip.set(rip);
    engine.u_rsp.set(rsp);
    engine.u_flags.set(context.eflags);
    engine.cause.set(cause as u32);
    context.rip = entry::trap_entry_address();
    context.rsp = engine.k_rsp.get();
    context.eflags &= !FLAGS_CLEARED;
}

unsafe extern "C" fn on_interrupt(_: i32, _: *const SignalInfo, context: *mut Context) {
    // SAFETY: the kernel passes a context that lives on the signal stack.
    let context = unsafe { &mut *context };
    let block = thread::current();
    block.engine.interrupts.fetch_add(1, Ordering::Relaxed);
    if context.rip < REGION_BASE {
        if block.engine.pending.load(Ordering::SeqCst) != 0 {
            redirect(block, context, TrapCause::Interrupt);
        }
    } else if let Some(target) = entry::rewind_target(context.rip) {
        context.rip = target;
        context.rsp = block.engine.frame() as u64;
    }
}

unsafe extern "C" fn on_trapped_call(_: i32, info: *const SignalInfo, context: *mut Context) {
    const X86_64: u32 = 0xc000_003e;
    // SAFETY: the kernel passes both; they live on the signal stack.
    let (info, context) = unsafe { (&*info, &mut *context) };
    let block = thread::current();
    if info.arch != X86_64 {
        // `int 0x80`: as on a kernel without the 32-bit calls.
        const GENERAL_PROTECTION: u64 = 13;
        const VECTOR_IN_TABLE: u64 = 0x80 << 3 | 2;
        context.rip = context.rip.wrapping_sub(2);
        block.engine.fault.set(FaultInfo {
            kind: FaultKind::Protection,
            address: 0,
            trap_number: GENERAL_PROTECTION,
            error_code: VECTOR_IN_TABLE,
        });
        redirect(block, context, TrapCause::Fault);
        return;
    }
    if context.rip >= REGION_BASE {
        // The host's vDSO, which the kernel reads clocks with, asks its kernel now and then.
        let [r8, r9, r10, ..] = context.r8_to_r15;
        let args = [context.rdi, context.rsi, context.rdx, r10, r8, r9].map(|arg| arg as usize);
        // SAFETY: the call that the host's own code wanted to make.
        let result = unsafe { sys::call(context.rax as u32, args) };
        context.rax = match result {
            Ok(value) => value as u64,
            Err(errno) => errno.as_return(),
        };
        return;
    }
    TRAPPED.fetch_add(1, Ordering::Relaxed);
    redirect(block, context, TrapCause::Syscall);
}

fn fault_info(signal: i32, info: &SignalInfo, context: &Context) -> FaultInfo {
    const ACCESS: i32 = 2;
    const SI_KERNEL: i32 = 0x80;
    const INTEGER_FAULTS: [i32; 2] = [1, 2];
    const BREAKPOINT_TRAP: u64 = 3;
    let kind = match signal {
        SIGBUS => FaultKind::Bus,
        SIGILL => FaultKind::Illegal,
        SIGFPE if INTEGER_FAULTS.contains(&info.code) => FaultKind::Divide,
        SIGFPE => FaultKind::Float,
        SIGTRAP if context.trap == BREAKPOINT_TRAP => FaultKind::Breakpoint,
        SIGTRAP => FaultKind::Step,
        _ if info.code == ACCESS => FaultKind::Access,
        _ if info.code == SI_KERNEL => FaultKind::Protection,
        _ => FaultKind::NotMapped,
    };
    let address = match kind {
        FaultKind::Protection | FaultKind::Breakpoint => 0,
        _ => info.address,
    };
    FaultInfo { kind, address, trap_number: context.trap, error_code: context.error }
}

unsafe extern "C" fn on_fault(signal: i32, info: *const SignalInfo, context: *mut Context) {
    // SAFETY: the kernel passes both; they live on the signal stack.
    let (info, context) = unsafe { (&*info, &mut *context) };
    let rip = context.rip;
    if let Some(target) = user_copy::fixup(rip) {
        context.rip = target;
        return;
    }
    let block = thread::current();
    let fault = fault_info(signal, info, context);
    if entry::on_full_exit(rip) {
        // The guest's own RIP or state cannot be loaded: it fails there, not we.
        block.engine.fault.set(fault);
        block.engine.cause.set(TrapCause::Fault as u32);
        context.rip = entry::trap_resume_address();
        context.rsp = block.engine.frame() as u64;
        context.eflags &= !FLAGS_CLEARED;
        return;
    }
    if rip < REGION_BASE || (!in_image(rip) && !block.on_kernel_stack(context.rsp)) {
        block.engine.fault.set(fault);
        redirect(block, context, TrapCause::Fault);
        return;
    }
    kernel_fault(signal, info, context, block)
}

/// The kernel itself failed.
fn kernel_fault(signal: i32, info: &SignalInfo, context: &Context, block: &Block) -> ! {
    let engine = &block.engine;
    report::stop(format_args!(
        "host signal {signal} code {} at {:#x}, address {:#x}\n\
         rsp {:#x} rbp {:#x} rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x}\n\
         r8-r15 {:#x?}\n\
         thread block {} (lock owner {}), host process {}, lock levels {:#x}\n\
         guest: rip {:#x} rsp {:#x}",
        info.code,
        context.rip,
        info.address,
        context.rsp,
        context.rbp,
        context.rax,
        context.rbx,
        context.rcx,
        context.rdx,
        context.rsi,
        context.rdi,
        context.r8_to_r15,
        block.index,
        block.owner_id(),
        block.pid.load(Ordering::Relaxed),
        block.held_levels.load(Ordering::Relaxed),
        engine.u_rip.get(),
        engine.u_rsp.get(),
    ))
}
