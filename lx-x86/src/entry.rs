//! The way between guest and kernel.
//!
//! **Short way.** A stub changes to the kernel stack and calls `lx_entry`, which stores the
//! general registers and the low vector registers ([`SAVED_XMM`]) in the [`Frame`] at the top of the
//! stack, calls the task's
//! [`TrapHandler`](lx_core::host::TrapHandler), and returns into the stub with only `rax` changed.
//! FS, the upper halves of the vector registers, the x87 state and MXCSR are never touched by
//! kernel code. Flags are not kept: `syscall` is opaque to compilers, which assume that it
//! clobbers them.
//!
//! **Long way.** `lx_full_exit` loads everything from the frame: after a signal frame was built,
//! after `execve`, for a new thread, and after every trap.
//!
//! **Traps.** A host signal handler that found guest code interrupted stores RIP, RSP and flags in
//! the block and continues at `lx_trap_entry` with all other registers live.
//!
//! **No lost interrupt.** Both ways out look at `PENDING` last. An interrupt that arrives between
//! that look and the first guest instruction is found by the signal handler from RIP alone; it
//! rewinds to the look ([`rewind_target`]), because everything up to the last instruction only
//! reads from the frame.

use core::arch::global_asm;
use core::mem::offset_of;

use lx_core::abi::GuestRegs;
use lx_core::host::Resume;

use crate::dispatch::{code, on_exit, on_pending, on_syscall, on_trap, prepare_full_exit};
use crate::layout;
use crate::thread_block::{Frame, SAVED_XMM, ThreadBlock, TrapCause, resume_code};

/// Offset of the guest registers in the frame.
const REGS: usize = offset_of!(Frame, regs);
/// Offset of the return address in the frame: how much of it the entry pushes itself.
const RET: usize = offset_of!(Frame, return_address);

/// Where a stub keeps the distance from its call's return address to the instruction behind the
/// original `syscall`, seen from that return address: behind a 9-byte `mov` and 3 bytes of `nop`.
const RIP_DISPLACEMENT: usize = 12;

macro_rules! reg {
    ($name:ident) => {
        REGS + offset_of!(GuestRegs, $name)
    };
}

/// Makes rcx point at the block, where GS does not.
#[cfg(not(lx_teb))]
macro_rules! load_block {
    () => {
        ""
    };
}
#[cfg(lx_teb)]
macro_rules! load_block {
    () => {
        "mov rcx, gs:[{THIS}]"
    };
}

/// An instruction with a field of the block as operand, behind `load_block`.
#[cfg(not(lx_teb))]
macro_rules! on_block {
    ($before:literal, $field:literal, $after:literal) => {
        concat!($before, "gs:[{", $field, "}]", $after)
    };
}
#[cfg(lx_teb)]
macro_rules! on_block {
    ($before:literal, $field:literal, $after:literal) => {
        concat!($before, "[rcx + {", $field, "}]", $after)
    };
}

/// Brings the address that the long way out jumps to where the jump finds it; changes rax.
#[cfg(not(lx_teb))]
macro_rules! place_target {
    () => {
        ""
    };
}
#[cfg(lx_teb)]
macro_rules! place_target {
    () => {
        "mov rax, [rcx + {BLOCK_U_RIP}]\nmov gs:[{U_RIP}], rax"
    };
}

global_asm!(
    ".pushsection .text.lx_entry, \"ax\", @progbits",

    // The low vector registers, to and from the frame at rsp.
    ".macro lx_store_xmm",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    ".if \\n < {SAVED_XMM}",
    "movaps [rsp + \\n * 16], xmm\\n",
    ".endif",
    ".endr",
    ".endm",
    ".macro lx_load_xmm",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    ".if \\n < {SAVED_XMM}",
    "movaps xmm\\n, [rsp + \\n * 16]",
    ".endif",
    ".endr",
    ".endm",

    // Stores the registers that every way in stores alike; rsp is the frame.
    ".macro lx_store_frame",
    "mov [rsp + {R15}], r15",
    "mov [rsp + {R14}], r14",
    "mov [rsp + {R13}], r13",
    "mov [rsp + {R12}], r12",
    "mov [rsp + {RBP}], rbp",
    "mov [rsp + {RBX}], rbx",
    "mov [rsp + {R10}], r10",
    "mov [rsp + {R9}], r9",
    "mov [rsp + {R8}], r8",
    "mov [rsp + {RAX}], rax",
    "mov [rsp + {RDX}], rdx",
    "mov [rsp + {RSI}], rsi",
    "mov [rsp + {RDI}], rdi",
    "lx_store_xmm",
    ".endm",
    ".macro lx_load_callee_saved",
    "mov r15, [rsp + {R15}]",
    "mov r14, [rsp + {R14}]",
    "mov r13, [rsp + {R13}]",
    "mov r12, [rsp + {R12}]",
    "mov rbp, [rsp + {RBP}]",
    "mov rbx, [rsp + {RBX}]",
    ".endm",
    ".macro lx_load_caller_saved",
    "mov r10, [rsp + {R10}]",
    "mov r9, [rsp + {R9}]",
    "mov r8, [rsp + {R8}]",
    "mov rax, [rsp + {RAX}]",
    "mov rdx, [rsp + {RDX}]",
    "mov rsi, [rsp + {RSI}]",
    "mov rdi, [rsp + {RDI}]",
    ".endm",

    // The short way: called by stubs with the return address on the kernel stack.
    ".balign 64",
    ".globl lx_entry",
    "lx_entry:",
    "sub rsp, {RET}",
    "lx_store_frame",
    "mov [rsp + {ORIG_RAX}], rax",
    "mov rcx, [rsp + {RET}]",
    "movsxd rdx, dword ptr [rcx + {RIP_DISPLACEMENT}]",
    "add rcx, rdx",
    "mov [rsp + {RIP}], rcx",
    "mov [rsp + {RCX}], rcx",
    "mov rcx, gs:[{U_RSP}]",
    "mov [rsp + {RSP}], rcx",
    "mov ecx, 0x202",
    "mov [rsp + {EFLAGS}], rcx",
    "mov [rsp + {R11}], rcx",
    "mov rdi, rsp",
    "mov rsi, gs:[{THIS}]",
    "cld",
    "call {on_syscall}",
    "test eax, eax",
    "jnz lx_slow",
    ".globl lx_fast_exit",
    "lx_fast_exit:",
    load_block!(),
    on_block!("cmp dword ptr ", "PENDING", ", 0"),
    "jne lx_fast_pending",
    // Callee-saved registers have come back from the handler unchanged, except when the signal
    // handler rewound to here out of guest state: then they are the guest's anyway.
    "lx_load_xmm",
    "lx_load_caller_saved",
    "mov rcx, [rsp + {RCX}]",
    "mov r11, [rsp + {R11}]",
    "lea rsp, [rsp + {RET}]",
    "ret",
    ".globl lx_fast_exit_end",
    "lx_fast_exit_end:",

    "lx_fast_pending:",
    "mov rdi, rsp",
    "mov rsi, gs:[{THIS}]",
    "call {on_pending}",
    "test eax, eax",
    "jz lx_fast_exit",
    // Falls into the slow way with the code in eax.
    "lx_slow:",
    "cmp eax, {EXIT}",
    "je lx_exit",
    "mov rdi, rsp",
    "mov rsi, gs:[{THIS}]",
    "mov edx, eax",
    "call {prepare_full_exit}",

    // The long way out; rsp is the frame.
    ".globl lx_full_exit",
    "lx_full_exit:",
    load_block!(),
    on_block!("cmp dword ptr ", "PENDING", ", 0"),
    "jne lx_full_pending",
    place_target!(),
    on_block!("cmp dword ptr ", "LOAD_XSTATE", ", 0"),
    "je 2f",
    on_block!("mov eax, ", "XFEATURES", ""),
    on_block!("mov edx, ", "XFEATURES_HIGH", ""),
    on_block!("mov rcx, ", "XSTATE", ""),
    "xrstor64 [rcx]",
    "jmp 3f",
    "2:",
    "lx_load_xmm",
    "3:",
    "mov rcx, [rsp + {RSP}]",
    "mov gs:[{U_RSP}], rcx",
    "push qword ptr [rsp + {EFLAGS}]",
    "popfq",
    "lx_load_callee_saved",
    "lx_load_caller_saved",
    "mov rcx, [rsp + {RCX}]",
    "mov r11, [rsp + {R11}]",
    "mov rsp, gs:[{U_RSP}]",
    "jmp qword ptr gs:[{U_RIP}]",
    ".globl lx_full_exit_end",
    "lx_full_exit_end:",

    // The extended state has to be in the registers and the frame before a handler may look.
    "lx_full_pending:",
    on_block!("cmp dword ptr ", "LOAD_XSTATE", ", 0"),
    "je 2f",
    on_block!("mov dword ptr ", "LOAD_XSTATE", ", 0"),
    on_block!("mov eax, ", "XFEATURES", ""),
    on_block!("mov edx, ", "XFEATURES_HIGH", ""),
    on_block!("mov rcx, ", "XSTATE", ""),
    "xrstor64 [rcx]",
    "lx_store_xmm",
    "2:",
    "mov rdi, rsp",
    "mov rsi, gs:[{THIS}]",
    "call {on_pending}",
    "test eax, eax",
    "jz lx_full_exit",
    "jmp lx_slow",

    // The trap entry: rsp is the top of the kernel stack, RIP, RSP and flags are in the block.
    ".balign 16",
    ".globl lx_trap_entry",
    "lx_trap_entry:",
    "sub rsp, {RET} + 8",
    "lx_store_frame",
    "mov [rsp + {RCX}], rcx",
    "mov [rsp + {R11}], r11",
    load_block!(),
    on_block!("mov rax, ", "BLOCK_U_RIP", ""),
    "mov [rsp + {RIP}], rax",
    on_block!("mov rax, ", "BLOCK_U_RSP", ""),
    "mov [rsp + {RSP}], rax",
    on_block!("mov rax, ", "U_FLAGS", ""),
    "mov [rsp + {EFLAGS}], rax",
    ".globl lx_trap_resume",
    "lx_trap_resume:",
    "mov qword ptr [rsp + {RET}], 0",
    "mov rdi, rsp",
    "mov rsi, gs:[{THIS}]",
    "cld",
    "call {on_trap}",
    "jmp lx_slow",

    "lx_exit:",
    "mov rdi, gs:[{THIS}]",
    "call {on_exit}",
    "ud2",

    // lx_enter_guest(frame, code): leaves by the long way.
    ".globl lx_enter_guest",
    "lx_enter_guest:",
    "mov rsp, rdi",
    "mov eax, esi",
    "jmp lx_slow",

    // lx_enter_trap(frame): calls the handler for the cause in the block.
    ".globl lx_enter_trap",
    "lx_enter_trap:",
    "mov rsp, rdi",
    "jmp lx_trap_resume",

    // lx_borrow(frame, code, saved_rsp): enters the guest on another block's stack and returns
    // when somebody calls lx_end_borrow with what was stored at saved_rsp.
    ".globl lx_borrow",
    "lx_borrow:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdx], rsp",
    "jmp lx_enter_guest",
    ".globl lx_end_borrow",
    "lx_end_borrow:",
    "mov rsp, rdi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".popsection",

    R15 = const reg!(r15),
    R14 = const reg!(r14),
    R13 = const reg!(r13),
    R12 = const reg!(r12),
    RBP = const reg!(rbp),
    RBX = const reg!(rbx),
    R11 = const reg!(r11),
    R10 = const reg!(r10),
    R9 = const reg!(r9),
    R8 = const reg!(r8),
    RAX = const reg!(rax),
    RCX = const reg!(rcx),
    RDX = const reg!(rdx),
    RSI = const reg!(rsi),
    RDI = const reg!(rdi),
    ORIG_RAX = const reg!(orig_rax),
    RIP = const reg!(rip),
    EFLAGS = const reg!(eflags),
    RSP = const reg!(rsp),
    RET = const RET,
    SAVED_XMM = const SAVED_XMM,
    RIP_DISPLACEMENT = const RIP_DISPLACEMENT,
    U_RSP = const layout::gs.u_rsp,
    U_RIP = const layout::gs.u_rip,
    THIS = const layout::gs.this,
    PENDING = const offset_of!(ThreadBlock, pending),
    BLOCK_U_RSP = const offset_of!(ThreadBlock, u_rsp),
    BLOCK_U_RIP = const offset_of!(ThreadBlock, u_rip),
    U_FLAGS = const offset_of!(ThreadBlock, u_flags),
    LOAD_XSTATE = const offset_of!(ThreadBlock, load_xstate),
    XSTATE = const offset_of!(ThreadBlock, xstate),
    XFEATURES = const offset_of!(ThreadBlock, xstate_features),
    XFEATURES_HIGH = const offset_of!(ThreadBlock, xstate_features) + 4,
    EXIT = const resume_code::EXIT,
    on_syscall = sym on_syscall,
    on_pending = sym on_pending,
    on_trap = sym on_trap,
    on_exit = sym on_exit,
    prepare_full_exit = sym prepare_full_exit,
);

unsafe extern "C" {
    fn lx_entry();
    fn lx_fast_exit();
    fn lx_fast_exit_end();
    fn lx_full_exit();
    fn lx_full_exit_end();
    fn lx_trap_entry();
    fn lx_trap_resume();
    fn lx_enter_guest(frame: *mut Frame, code: u32) -> !;
    fn lx_enter_trap(frame: *mut Frame) -> !;
    fn lx_borrow(frame: *mut Frame, code: u32, saved_rsp: *mut u64);
    fn lx_end_borrow(saved_rsp: u64) -> !;
}

/// Address of the entry that stubs call.
#[must_use]
pub fn entry_address() -> u64 {
    lx_entry as *const () as u64
}

/// Where a signal handler continues a thread whose guest state it has put into the block, with
/// RSP at the top of the kernel stack.
#[must_use]
pub fn trap_entry_address() -> u64 {
    lx_trap_entry as *const () as u64
}

/// Where a signal handler continues a thread whose complete frame shall be handled by the cause in
/// the block, with RSP at the frame.
#[must_use]
pub fn trap_resume_address() -> u64 {
    lx_trap_resume as *const () as u64
}

/// If `rip` is on a way out behind the last look at `PENDING`: where to look again, with RSP at
/// [`ThreadBlock::frame`].
#[must_use]
pub fn rewind_target(rip: u64) -> Option<u64> {
    let fast = lx_fast_exit as *const () as u64;
    let full = lx_full_exit as *const () as u64;
    if (fast..lx_fast_exit_end as *const () as u64).contains(&rip) {
        Some(fast)
    } else if on_full_exit(rip) {
        Some(full)
    } else {
        None
    }
}

/// Whether `rip` is on the long way out, where loading a guest's state can fail.
#[must_use]
pub fn on_full_exit(rip: u64) -> bool {
    let full = lx_full_exit as *const () as u64;
    (full..lx_full_exit_end as *const () as u64).contains(&rip)
}

/// Enters the guest with the registers in the block's frame.
///
/// # Safety
///
/// The GS base is `block`, its frame is complete, and nothing on the present stack is needed.
pub unsafe fn enter_guest(block: &ThreadBlock, how: Resume) -> ! {
    let frame = block.frame();
    // SAFETY: the caller's promise.
    unsafe { lx_enter_guest(frame, code(how)) }
}

/// Calls the block's handler for `cause` on its kernel stack and enters the guest.
///
/// # Safety
///
/// As [`enter_guest`].
pub unsafe fn enter_trap(block: &ThreadBlock, cause: TrapCause) -> ! {
    block.cause.set(cause as u32);
    let frame = block.frame();
    // SAFETY: the caller's promise.
    unsafe { lx_enter_trap(frame) }
}

/// Enters the guest on another block's kernel stack; returns when [`end_borrow`] is called with
/// the stack pointer that was stored at `saved_rsp`.
///
/// # Safety
///
/// The GS base is `block` already, and its frame is complete.
pub unsafe fn borrow_thread(block: &ThreadBlock, how: Resume, saved_rsp: &core::cell::Cell<u64>) {
    let frame = block.frame();
    // SAFETY: the caller's promise.
    unsafe { lx_borrow(frame, code(how), saved_rsp.as_ptr()) }
}

/// Lets [`borrow_thread`] return.
///
/// # Safety
///
/// `saved_rsp` was stored by a `borrow_thread` that has not returned, on this host thread, and the
/// GS base is again what it was before.
pub unsafe fn end_borrow(saved_rsp: u64) -> ! {
    // SAFETY: the caller's promise.
    unsafe { lx_end_borrow(saved_rsp) }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{RIP_DISPLACEMENT, entry_address, on_full_exit, rewind_target};
    use crate::layout::gs;
    use crate::rewrite::{Hints, rewrite};

    #[test]
    fn the_entry_finds_the_original_rip_in_the_stub() {
        // Some code, then: mov eax, 39; syscall; ret
        let mut code = [0x48, 0x8b, 0x44, 0x24, 0x08, 0x85, 0xc0].repeat(20);
        code.extend([0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]);
        let behind_the_call = code.len() as u64 - 1;
        let (base, stub_base) = (0x1000u64, 0x2000u64);
        let mut stubs = Vec::new();
        let report = rewrite(&mut code, base, stub_base, &mut stubs, &gs, &Hints::default());
        assert_eq!(report.patched.len(), 1);
        let call = [0x65, 0xff, 0x14, 0x25];
        let at = stubs.windows(4).position(|bytes| bytes == call).unwrap() + 8;
        let field = stubs[at + RIP_DISPLACEMENT..][..4].try_into().unwrap();
        let rip = (stub_base + at as u64).wrapping_add_signed(i32::from_le_bytes(field).into());
        assert_eq!(rip, base + behind_the_call);
    }

    #[test]
    fn only_the_ways_out_are_rewound() {
        assert_eq!(rewind_target(entry_address()), None);
        let fast = super::lx_fast_exit as *const () as u64;
        assert_eq!(rewind_target(fast + 9), Some(fast));
        assert!(!on_full_exit(fast));
        assert_eq!(rewind_target(super::lx_fast_exit_end as *const () as u64), None);
    }
}
