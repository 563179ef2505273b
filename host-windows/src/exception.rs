//! Exceptions: faults of guest code, and of the kernel's accesses to guest memory.
//!
//! The handler runs on the stack of the code that failed, below what that code may have in its red
//! zone, which is why nothing harmless may fault in guest code. It never calls the kernel: it
//! changes the registers, so that the thread continues in the image.

use core::arch::naked_asm;
use core::mem::offset_of;

use lx_core::host::{FaultInfo, FaultKind};
use lx_nt::{CURRENT_PROCESS, Context, ExceptionPointers, ExceptionRecord, MemoryBasicInformation};
use lx_x86::context::write_fs_base;
use lx_x86::layout::gs;
use lx_x86::stub::{Side, classify_stub_rip};
use lx_x86::thread_block::TrapCause;
use lx_x86::{entry, user_copy};

use crate::nt::{self, nt};
use crate::thread::{self, Block};
use crate::{boot, report};

const CONTINUE_EXECUTION: i32 = -1;
const CONTINUE_SEARCH: i32 = 0;

/// Trap and direction flags: not for the kernel.
pub(crate) const FLAGS_CLEARED: u32 = 0x500;

/// Installs the handler in the calling process.
pub(crate) fn install() {
    let handler = handle as *const () as u64;
    // SAFETY: the handler has the type that is expected.
    let _ = unsafe { nt!(add_exception_handler, 1, handler) };
}

/// Where a thread continues after an exception: it gets the guest's FS base back, which the host's
/// code must not have, then goes to the target in the TEB's slot.
#[unsafe(naked)]
unsafe extern "C" fn resume() {
    naked_asm!(
        "push rax",
        "mov rax, gs:[{this}]",
        "mov rax, [rax + {guest_fs}]",
        "wrfsbase rax",
        "pop rax",
        "jmp qword ptr gs:[{target}]",
        this = const gs.this,
        guest_fs = const offset_of!(Block, guest_fs),
        target = const gs.u_rip,
    )
}

/// Lets the thread continue at `target` in the image.
fn continue_at(context: &mut Context, target: u64) -> i32 {
    // SAFETY: the slot is ours; the kernel does not use it now.
    unsafe {
        core::arch::asm!(
            "mov gs:[{slot}], {target}",
            slot = const gs.u_rip,
            target = in(reg) target,
            options(nostack, preserves_flags),
        );
    }
    context.rip = resume as *const () as u64;
    CONTINUE_EXECUTION
}

unsafe extern "win64" fn handle(pointers: *const ExceptionPointers) -> i32 {
    let Some(block) = thread::current_or_none() else { return CONTINUE_SEARCH };
    // SAFETY: the host's code goes on after this.
    unsafe { write_fs_base(block.host_fs.get()) };
    // SAFETY: the host passes both; they live on the running stack.
    let (record, context) = unsafe { (&*(*pointers).record, &mut *(*pointers).context) };
    let rip = context.rip;
    if let Some(target) = user_copy::fixup(rip) {
        return continue_at(context, target);
    }
    if entry::on_full_exit(rip) {
        // The guest's own RIP or state cannot be loaded: it fails there, not we.
        block.engine.fault.set(fault_info(record, context));
        block.engine.cause.set(TrapCause::Fault as u32);
        context.rsp = block.engine.frame() as u64;
        context.eflags &= !FLAGS_CLEARED;
        return continue_at(context, entry::trap_resume_address());
    }
    if boot::in_image(rip) {
        kernel_fault(record, context, block);
    }
    let stub = classify_stub_rip(rip, user_copy::read_code);
    if block.on_kernel_stack(context.rsp) && stub.is_none() {
        // The host's own code, which handles its exceptions.
        return CONTINUE_SEARCH;
    }
    let in_guest = matches!(stub.map(|stub| stub.side), None | Some(Side::Guest));
    if !in_guest {
        kernel_fault(record, context, block);
    }
    if let Some(stub) = stub {
        context.rip = stub.original_rip;
    }
    block.engine.fault.set(fault_info(record, context));
    if record.code == BREAKPOINT {
        context.rip = context.rip.wrapping_add(1);
    }
    enter_kernel(block, context, TrapCause::Fault);
    continue_at(context, entry::trap_resume_address())
}

/// Puts the guest's registers into the frame, and the kernel's stack into RSP. `context` has the
/// guest's own RIP and RSP.
pub(crate) fn enter_kernel(block: &Block, context: &mut Context, cause: TrapCause) {
    // SAFETY: the thread runs guest code, so nobody uses the frame.
    let frame = unsafe { &mut *block.engine.frame() };
    frame.xmm.iter_mut().zip(context.xmm).for_each(|(to, from)| *to = from);
    let regs = &mut frame.regs;
    [regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15] =
        context.r8_to_r15;
    regs.rax = context.rax;
    regs.rcx = context.rcx;
    regs.rdx = context.rdx;
    regs.rbx = context.rbx;
    regs.rsp = context.rsp;
    regs.rbp = context.rbp;
    regs.rsi = context.rsi;
    regs.rdi = context.rdi;
    regs.rip = context.rip;
    regs.eflags = u64::from(context.eflags);
    block.engine.cause.set(cause as u32);
    context.rsp = block.engine.frame() as u64;
    context.eflags &= !FLAGS_CLEARED;
}

const ACCESS_VIOLATION: u32 = 0xc000_0005;
const IN_PAGE_ERROR: u32 = 0xc000_0006;
const BREAKPOINT: u32 = 0x8000_0003;

fn fault_info(record: &ExceptionRecord, context: &Context) -> FaultInfo {
    const PAGE_FAULT: u64 = 14;
    const GENERAL_PROTECTION: u64 = 13;
    let [access, address, ..] = record.parameters;
    let (kind, address, trap_number, error_code) = match record.code {
        // Addresses that are none have no number of their own.
        ACCESS_VIOLATION if address == u64::MAX => {
            (FaultKind::Protection, 0, GENERAL_PROTECTION, 0)
        }
        ACCESS_VIOLATION => {
            const USER: u64 = 4;
            const PRESENT: u64 = 1;
            let write = match access {
                1 => 2,
                8 => 0x10,
                _ => 0,
            };
            match is_committed(address) {
                true => (FaultKind::Access, address, PAGE_FAULT, USER | write | PRESENT),
                false => (FaultKind::NotMapped, address, PAGE_FAULT, USER | write),
            }
        }
        IN_PAGE_ERROR => (FaultKind::Bus, address, PAGE_FAULT, 4),
        BREAKPOINT => (FaultKind::Breakpoint, 0, 3, 0),
        0x8000_0004 => (FaultKind::Step, context.rip, 1, 0),
        0x8000_0002 => (FaultKind::Bus, 0, 17, 0),
        0xc000_001d => (FaultKind::Illegal, context.rip, 6, 0),
        0xc000_0094 | 0xc000_0095 => (FaultKind::Divide, context.rip, 0, 0),
        0xc000_008d..=0xc000_0093 => (FaultKind::Float, context.rip, 16, 0),
        0xc000_02b4 | 0xc000_02b5 => (FaultKind::Float, context.rip, 19, 0),
        _ => (FaultKind::Protection, 0, GENERAL_PROTECTION, 0),
    };
    FaultInfo { kind, address, trap_number, error_code }
}

/// Whether there is a page at the address.
fn is_committed(address: u64) -> bool {
    const MEM_COMMIT: u32 = 0x1000;
    let mut found = MemoryBasicInformation::default();
    let len = size_of::<MemoryBasicInformation>();
    // SAFETY: the call writes the structure. The thread is on the host's side already.
    let status = unsafe {
        (nt::services().query_memory)(
            CURRENT_PROCESS,
            address,
            0,
            &mut found,
            len,
            core::ptr::null_mut(),
        )
    };
    status >= 0 && found.state == MEM_COMMIT
}

/// The kernel itself failed.
fn kernel_fault(record: &ExceptionRecord, context: &Context, block: &Block) -> ! {
    let engine = &block.engine;
    report::stop(format_args!(
        "exception {:#x} at {:#x}, parameters {:#x} {:#x}\n\
         rsp {:#x} rbp {:#x} rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x}\n\
         r8-r15 {:#x?}\n\
         thread block {} (lock owner {}), lock levels {:#x}\n\
         guest: rip {:#x} rsp {:#x}",
        record.code,
        context.rip,
        record.parameters[0],
        record.parameters[1],
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
        block.held_levels.load(core::sync::atomic::Ordering::Relaxed),
        engine.u_rip.get(),
        engine.u_rsp.get(),
    ))
}
