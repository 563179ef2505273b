//! Exceptions: faults of guest code, and of the kernel's accesses to guest memory.
//!
//! The handler runs on the stack of the code that failed, below what that code may have in its red
//! zone, which is why nothing harmless may fault in guest code. It never calls the kernel: it
//! changes the registers, so that the thread continues in the image.

use core::arch::naked_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{FaultInfo, FaultKind};
use lx_nt::{CURRENT_PROCESS, Context, ExceptionPointers, ExceptionRecord, MemoryBasicInformation};
use lx_x86::context::{read_fs_base, read_tsc, write_fs_base};
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

/// As [`resume`], for a thread that runs guest code: the guest's stack stays as it is, and the slot
/// for its stack pointer is free.
#[unsafe(naked)]
unsafe extern "C" fn resume_guest() {
    naked_asm!(
        "mov gs:[{free}], rax",
        "mov rax, gs:[{this}]",
        "mov rax, [rax + {guest_fs}]",
        "wrfsbase rax",
        "mov rax, gs:[{free}]",
        "jmp qword ptr gs:[{target}]",
        free = const gs.u_rsp,
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

/// Stands where a `syscall` instruction could not be rewritten: on this host that would call Windows.
/// No processor knows this instruction, and no program has it.
const MARK: [u8; 2] = [0x0f, 0x04];

/// Guest calls that came by an exception.
static TRAPPED: AtomicU64 = AtomicU64::new(0);

/// Guest calls that were not rewritten and came by an exception.
pub(crate) fn trapped_calls() -> u64 {
    TRAPPED.load(Ordering::Relaxed)
}

/// Lost FS bases that threads have got back.
static REPAIRED: AtomicU64 = AtomicU64::new(0);

/// How often a thread has got its FS base back.
pub(crate) fn repaired() -> u64 {
    REPAIRED.load(Ordering::Relaxed)
}

/// Puts the mark at the sites with these offsets.
pub(crate) fn mark_sites(text: &mut [u8], sites: &[usize]) {
    for &site in sites {
        if let Some(bytes) = text.get_mut(site..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = MARK;
        }
    }
}

/// Reads guest code. A failure is an exception inside this one, behind which FS is the guest's.
fn read_code(address: u64, bytes: &mut [u8]) -> bool {
    let good = user_copy::read_code(address, bytes);
    if let Some(block) = thread::current_or_none() {
        // SAFETY: the host's code goes on after the handler.
        unsafe { write_fs_base(block.host_fs.get()) };
    }
    good
}

/// Whether the instruction is a marked site.
fn is_marked(rip: u64) -> bool {
    let mut bytes = [0; 2];
    read_code(rip, &mut bytes) && bytes == MARK
}

unsafe extern "win64" fn handle(pointers: *const ExceptionPointers) -> i32 {
    let Some(block) = thread::current_or_none() else { return CONTINUE_SEARCH };
    // SAFETY: only reads.
    let fs = unsafe { read_fs_base() };
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
    let stub = classify_stub_rip(rip, read_code);
    if block.on_kernel_stack(context.rsp) && stub.is_none() {
        // The host's own code, which handles its exceptions.
        return CONTINUE_SEARCH;
    }
    let in_guest = matches!(stub.map(|stub| stub.side), None | Some(Side::Guest));
    if !in_guest {
        kernel_fault(record, context, block);
    }
    if record.code == ACCESS_VIOLATION
        && (has_lost_fs(block, fs, context) || is_allowed_now(block, record, context))
    {
        continue_at(context, rip);
        context.rip = resume_guest as *const () as u64;
        return CONTINUE_EXECUTION;
    }
    if let Some(stub) = stub {
        context.rip = stub.original_rip;
    }
    if record.code == ILLEGAL_INSTRUCTION && stub.is_none() && is_marked(rip) {
        TRAPPED.fetch_add(1, Ordering::Relaxed);
        context.rip = rip.wrapping_add(MARK.len() as u64);
        enter_kernel(block, context, TrapCause::Syscall);
        return continue_at(context, entry::trap_resume_address());
    }
    block.engine.fault.set(fault_info(record, context));
    if record.code == BREAKPOINT {
        context.rip = context.rip.wrapping_add(1);
    }
    enter_kernel(block, context, TrapCause::Fault);
    continue_at(context, entry::trap_resume_address())
}

/// Whether an access failed because the FS base was not the guest's: Windows may set it to zero
/// when it switches threads. `fs` is what the handler has found, which under Wine is Wine's own.
///
/// The instruction is tried again with the right base. One that fails again at once fails by itself.
fn has_lost_fs(block: &Block, fs: u64, context: &Context) -> bool {
    let guest = block.guest_fs.get();
    if guest == 0 || fs == guest || !names_fs(context.rip) || !may_try_again(block, context) {
        return false;
    }
    REPAIRED.fetch_add(1, Ordering::Relaxed);
    true
}

/// Whether another thread has made the access possible since it failed.
fn is_allowed_now(block: &Block, record: &ExceptionRecord, context: &Context) -> bool {
    const WRITABLE: [u32; 4] = [0x04, 0x08, 0x40, 0x80];
    const EXECUTABLE: [u32; 4] = [0x10, 0x20, 0x40, 0x80];
    const READABLE: [u32; 7] = [0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80];
    let [access, address, ..] = record.parameters;
    let Some(protection) = protection_at(address) else { return false };
    let allowed = match access {
        1 => WRITABLE.contains(&protection),
        8 => EXECUTABLE.contains(&protection),
        _ => READABLE.contains(&protection),
    };
    allowed && may_try_again(block, context)
}

/// Whether an instruction whose failure has another reason than the guest is run again. One that
/// makes no progress fails by itself in the end.
fn may_try_again(block: &Block, context: &Context) -> bool {
    /// Tries without progress, each within so many ticks of the last.
    const IN_A_ROW: u32 = 3;
    const TICKS: u64 = 1_000_000;
    let now = read_tsc();
    let state = digest(context);
    let (last_state, last_time, count) = block.repaired.get();
    let again = last_state == state && now.wrapping_sub(last_time) < TICKS;
    let count = if again { count + 1 } else { 1 };
    block.repaired.set((state, now, count));
    count <= IN_A_ROW
}

/// Tells states of a thread apart: one that makes no progress has the same registers.
fn digest(context: &Context) -> u64 {
    let registers = [
        context.rip,
        context.rsp,
        context.rax,
        context.rcx,
        context.rdx,
        context.rbx,
        context.rbp,
        context.rsi,
        context.rdi,
    ];
    registers.iter().chain(&context.r8_to_r15).fold(0, |digest: u64, &register| {
        (digest.rotate_left(5) ^ register).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// Whether the instruction has the prefix that makes it use FS.
fn names_fs(rip: u64) -> bool {
    const FS: u8 = 0x64;
    const OTHERS: [u8; 10] = [0x26, 0x2e, 0x36, 0x3e, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];
    let mut byte = [0];
    for at in rip..rip.saturating_add(4) {
        if !read_code(at, &mut byte) {
            return false;
        }
        match byte[0] {
            FS => return true,
            other if OTHERS.contains(&other) => {}
            _ => return false,
        }
    }
    false
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
const ILLEGAL_INSTRUCTION: u32 = 0xc000_001d;

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
            match protection_at(address).is_some() {
                true => (FaultKind::Access, address, PAGE_FAULT, USER | write | PRESENT),
                false => (FaultKind::NotMapped, address, PAGE_FAULT, USER | write),
            }
        }
        IN_PAGE_ERROR => (FaultKind::Bus, address, PAGE_FAULT, 4),
        BREAKPOINT => (FaultKind::Breakpoint, 0, 3, 0),
        0x8000_0004 => (FaultKind::Step, context.rip, 1, 0),
        0x8000_0002 => (FaultKind::Bus, 0, 17, 0),
        ILLEGAL_INSTRUCTION => (FaultKind::Illegal, context.rip, 6, 0),
        0xc000_0094 | 0xc000_0095 => (FaultKind::Divide, context.rip, 0, 0),
        0xc000_008d..=0xc000_0093 => (FaultKind::Float, context.rip, 16, 0),
        0xc000_02b4 | 0xc000_02b5 => (FaultKind::Float, context.rip, 19, 0),
        _ => (FaultKind::Protection, 0, GENERAL_PROTECTION, 0),
    };
    FaultInfo { kind, address, trap_number, error_code }
}

/// How the page at an address is protected (`PAGE_…`), if there is one.
fn protection_at(address: u64) -> Option<u32> {
    const MEM_COMMIT: u32 = 0x1000;
    const MEM_MAPPED: u32 = 0x4_0000;
    const PAGE_NOACCESS: u32 = 1;
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
    // What belongs to a unit of a view and was not asked for is as good as absent.
    let absent = found.kind == MEM_MAPPED && found.protect == PAGE_NOACCESS;
    (status >= 0 && found.state == MEM_COMMIT && !absent).then_some(found.protect)
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
        block.held_levels.load(Ordering::Relaxed),
        engine.u_rip.get(),
        engine.u_rsp.get(),
    ))
}
