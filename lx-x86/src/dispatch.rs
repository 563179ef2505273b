//! What the entry's assembly calls: from a trap to the task's handler and back.

use core::sync::atomic::Ordering;

use lx_core::abi::GuestRegs;
use lx_core::host::{Resume, TrapHandler};

use crate::thread_block::{Frame, ThreadBlock, TrapCause, resume_code};

/// Flags that a program may set: arithmetic, direction, alignment check, identification.
const USER_FLAGS: u64 = 0x24_0cd5;

/// The assembly's code for a way out.
pub(crate) const fn code(resume: Resume) -> u32 {
    match resume {
        Resume::Return => resume_code::RETURN,
        Resume::Full => resume_code::FULL,
        Resume::FullWithXstate => resume_code::FULL_WITH_XSTATE,
        Resume::Exit => resume_code::EXIT,
    }
}

/// The handler of the task that runs on `block`.
pub(crate) fn handler(block: &ThreadBlock) -> Option<&dyn TrapHandler> {
    // SAFETY: only `set_handler` writes, and not while the handler runs.
    unsafe { &*block.handler.get() }.as_deref()
}

/// SAFETY of the four functions below: the assembly passes the frame on the running kernel stack
/// and the block that GS points at; both stay valid during the call, and nobody else has them.
pub(crate) unsafe extern "C" fn on_syscall(frame: *mut Frame, block: *const ThreadBlock) -> u32 {
    // SAFETY: see above.
    let (frame, block) = unsafe { (&mut *frame, &*block) };
    match handler(block) {
        Some(handler) => code(handler.syscall(&mut frame.regs)),
        None => resume_code::EXIT,
    }
}

pub(crate) unsafe extern "C" fn on_pending(frame: *mut Frame, block: *const ThreadBlock) -> u32 {
    // SAFETY: see `on_syscall`.
    let (frame, block) = unsafe { (&mut *frame, &*block) };
    block.pending.swap(0, Ordering::SeqCst);
    match handler(block) {
        Some(handler) => code(handler.interrupt(&mut frame.regs)),
        None => resume_code::EXIT,
    }
}

pub(crate) unsafe extern "C" fn on_trap(frame: *mut Frame, block: *const ThreadBlock) -> u32 {
    // SAFETY: see `on_syscall`.
    let (frame, block) = unsafe { (&mut *frame, &*block) };
    let Some(handler) = handler(block) else { return resume_code::EXIT };
    let regs = &mut frame.regs;
    regs.cs = GuestRegs::USER_CS;
    regs.ss = GuestRegs::USER_SS;
    regs.orig_rax = GuestRegs::NO_SYSCALL;
    code(match block.cause.get() {
        cause if cause == TrapCause::Syscall as u32 => {
            regs.orig_rax = regs.rax;
            regs.rcx = regs.rip;
            regs.r11 = regs.eflags;
            handler.syscall(regs)
        }
        cause if cause == TrapCause::Fault as u32 => {
            let fault = block.fault.get();
            handler.fault(&fault, regs)
        }
        cause if cause == TrapCause::Interrupt as u32 => {
            block.pending.swap(0, Ordering::SeqCst);
            handler.interrupt(regs)
        }
        _ => handler.start(regs),
    })
}

/// Before the long way out: finds where RIP really leads, as instructions may have moved into a
/// stub, and whether the extended state is to be loaded.
pub(crate) unsafe extern "C" fn prepare_full_exit(
    frame: *mut Frame,
    block: *const ThreadBlock,
    code: u32,
) {
    // SAFETY: see `on_syscall`.
    let (frame, block) = unsafe { (&mut *frame, &*block) };
    let rip = frame.regs.rip;
    // Flags that are not for programs, or that would act on our own last instructions.
    frame.regs.eflags = frame.regs.eflags & USER_FLAGS | GuestRegs::INITIAL_EFLAGS;
    block.load_xstate.set(u32::from(code == resume_code::FULL_WITH_XSTATE));
    block.u_rip.set(crate::user_copy::resume_rip(rip).unwrap_or(rip));
}

pub(crate) unsafe extern "C" fn on_exit(block: *const ThreadBlock) -> ! {
    // SAFETY: see `on_syscall`.
    let exit = unsafe { &*block }.on_exit.get();
    match exit {
        // SAFETY: the host's function, called on the block's own stack as it expects.
        Some(exit) => unsafe { exit(block) },
        // Only a block without a host: nothing can be done.
        None => loop {
            core::hint::spin_loop();
        },
    }
}
