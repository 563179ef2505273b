//! The stack frame of a signal handler on x86-64, and the way back: `rt_sigreturn(2)`.
//!
//! From high to low addresses: the extended state (64-byte aligned, followed by
//! `FP_XSTATE_MAGIC2`), then `struct rt_sigframe`, whose first word is the return address. All of
//! it lies below the red zone of the interrupted function, or on the alternate stack.

use alloc::vec;
use core::mem::offset_of;

use lx_core::abi::sigframe::{
    FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, FP_XSTATE_MAGIC2_SIZE, FpState, FpxSwBytes, REDZONE_SIZE,
    RtSigFrame, SigContext, UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS, UContext,
};
use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::signal::{KernelSigAction, SigActionFlags, StackFlags, StackT};
use lx_core::abi::{Errno, GuestRegs, SigSet, Signal, USER_END, UserPtr};
use lx_core::error::Result;
use lx_core::host::{Resume, XstateNow};
use zerocopy::IntoBytes;

use super::altstack::{self, set_alternate_stack};
use super::{deliver, mask};
use crate::current::{CurrentTask, Xstate};

/// Flags that a frame may set: arithmetic, direction, trap, resume, alignment check.
const RESTORED_FLAGS: u64 = 0x5_0dd5;
/// Flags that user code always has: interrupts on, and the bit that is always set.
const FIXED_FLAGS: u64 = GuestRegs::INITIAL_EFLAGS;
/// Direction, resume and trap flag, which are clear when a handler starts.
const CLEARED_FLAGS: u64 = 0x400 | 0x1_0000 | 0x100;
/// Extended state of every usual processor fits into this; it is kept on the kernel stack.
const SMALL_XSTATE: usize = 1024;
const LARGE_XSTATE: usize = 4096;
/// Alignment of the extended state, required by `xrstor`.
const XSTATE_ALIGN: u64 = 64;
/// Where the software bytes lie in the legacy area.
const SW_RESERVED: usize = offset_of!(FpState, sw_reserved);
/// The legacy area and the header: the least that a processor with `xsave` stores.
const XSTATE_MIN: usize = 512 + 64;
/// `MXCSR` after reset: all exceptions masked.
const MXCSR_DEFAULT: u32 = 0x1f80;
/// x87 control word after reset.
const FCW_DEFAULT: u16 = 0x37f;

/// What every libc has for a restorer: `mov $15, %rax; syscall`. Unwinders and debuggers know these
/// bytes.
const LIBC_RESTORER: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];

/// Addresses of a frame's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    frame: u64,
    /// 0 if there is no extended state.
    xstate: u64,
}

/// Where a frame goes whose stack ends at `top`.
fn place(top: u64, xstate_len: usize) -> Place {
    let mut at = top;
    let mut xstate = 0;
    if xstate_len > 0 {
        let len = (xstate_len as u64).wrapping_add(FP_XSTATE_MAGIC2_SIZE as u64);
        at = at.wrapping_sub(len) & !(XSTATE_ALIGN - 1);
        xstate = at;
    }
    // As after a call: 8 below a multiple of 16.
    let frame = (at.wrapping_sub(size_of::<RtSigFrame>() as u64) & !15).wrapping_sub(8);
    Place { frame, xstate }
}

/// Where the frame of an action goes, and whether that is on the alternate stack.
fn choose_stack(
    stack: &StackT,
    flags: SigActionFlags,
    sp: u64,
    xstate_len: usize,
) -> Result<Place> {
    let mut top = sp.wrapping_sub(REDZONE_SIZE);
    let mut on_alternate = altstack::is_on(stack, top);
    if flags.contains(SigActionFlags::SA_ONSTACK) && stack.ss_size > 0 && !on_alternate {
        top = stack.ss_sp.wrapping_add(stack.ss_size);
        on_alternate = true;
    }
    let place = place(top, xstate_len);
    // A handler shall not run past the end of the alternate stack into other data.
    if on_alternate && !altstack::contains(stack, place.frame) {
        return Err(Errno::EFAULT.into());
    }
    Ok(place)
}

/// Where the handler returns to. libc's own restorer is a site that is not rewritten, so the call
/// would trap there; the vDSO's does the same by a stub, and has unwind tables.
fn restorer(current: &CurrentTask<'_>, given: u64) -> u64 {
    let own = current.task().signals().restorer(|| current.mm().restorer());
    let mut code = [0; LIBC_RESTORER.len()];
    let is_libc =
        own != 0 && current.memory().read_bytes(given, &mut code).is_ok() && code == LIBC_RESTORER;
    if is_libc { own } else { given }
}

/// Makes the guest run the handler of `action` next.
///
/// # Errors
/// `EFAULT` if the frame cannot be written.
pub(super) fn push(
    current: &CurrentTask<'_>,
    signal: Signal,
    action: &KernelSigAction,
    info: &SigInfo,
) -> Result<()> {
    let flags = action.known_flags();
    if !flags.contains(SigActionFlags::SA_RESTORER) {
        return Err(Errno::EFAULT.into());
    }
    let host = current.host();
    let memory = current.memory();
    let signals = current.task().signals();
    let regs = current.regs();
    let stack = signals.alternate_stack();
    let now = match (host.xstate_size(), current.xstate()) {
        (0, _) => XstateNow { components: 0, len: 0 },
        (_, Xstate::Live) => host.xstate_now(),
        (_, Xstate::Initial) => XstateNow { components: 0, len: XSTATE_MIN },
        (_, Xstate::Loaded { len, .. }) => XstateNow { components: 0, len: len.max(XSTATE_MIN) },
    };
    let xstate_len = now.len;
    let place = choose_stack(&stack, flags, regs.rsp, xstate_len)?;
    if place.xstate != 0 {
        write_xstate(current, place.xstate, now)?;
    }

    let blocked = signals.blocked();
    let saved = signals.take_saved_mask();
    let (cr2, trapno, err) = signals.fault();
    let mut uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    if place.xstate != 0 {
        uc_flags |= UC_FP_XSTATE;
    }
    let sigmask = saved.unwrap_or(blocked);
    let frame = RtSigFrame {
        pretcode: restorer(current, action.restorer),
        uc: UContext {
            uc_flags,
            uc_link: 0,
            uc_stack: stack,
            uc_mcontext: SigContext {
                err,
                trapno,
                cr2,
                oldmask: sigmask.0,
                fpstate: place.xstate,
                ..context(&regs)
            },
            uc_sigmask: sigmask,
        },
        info: *info,
    };
    let written = if flags.contains(SigActionFlags::SA_SIGINFO) {
        memory.write(UserPtr::new(place.frame), &frame)
    } else {
        let len = offset_of!(RtSigFrame, info);
        memory.write_bytes(place.frame, frame.as_bytes().get(..len).unwrap_or_default())
    };
    if let Err(error) = written {
        if let Some(saved) = saved {
            signals.save_mask(saved);
        }
        return Err(error);
    }

    if StackFlags::from_bits_retain(stack.ss_flags).contains(StackFlags::SS_AUTODISARM) {
        signals.set_alternate_stack(&StackT {
            ss_flags: StackFlags::SS_DISABLE.bits(),
            ..StackT::default()
        });
    }
    let mut mask = blocked.union(action.mask);
    if !flags.contains(SigActionFlags::SA_NODEFER) {
        mask.insert(signal);
    }
    mask::change_mask(current, mask);
    let handler = GuestRegs {
        rdi: signal.number() as u64,
        rsi: place.frame.wrapping_add(offset_of!(RtSigFrame, info) as u64),
        rdx: place.frame.wrapping_add(offset_of!(RtSigFrame, uc) as u64),
        rax: 0,
        rip: action.handler,
        rsp: place.frame,
        eflags: regs.eflags & !CLEARED_FLAGS,
        ..regs
    };
    // Inside a call the vector registers hold nothing that a handler could stumble over.
    let mut resume = Resume::Full;
    if regs.orig_rax == GuestRegs::NO_SYSCALL
        && xstate_len >= XSTATE_MIN
        && load_initial_xstate(current)
    {
        resume = Resume::FullWithXstate;
    }
    current.set_regs(GuestRegs { orig_rax: GuestRegs::NO_SYSCALL, ..handler }, resume);
    Ok(())
}

fn context(regs: &GuestRegs) -> SigContext {
    SigContext {
        r8: regs.r8,
        r9: regs.r9,
        r10: regs.r10,
        r11: regs.r11,
        r12: regs.r12,
        r13: regs.r13,
        r14: regs.r14,
        r15: regs.r15,
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: regs.rip,
        eflags: regs.eflags,
        cs: GuestRegs::USER_CS as u16,
        ss: GuestRegs::USER_SS as u16,
        ..SigContext::default()
    }
}

/// Lends a buffer of `len` bytes, from the stack if that is not too much.
fn with_buffer<R>(len: usize, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut small = [0; SMALL_XSTATE];
    if let Some(buffer) = small.get_mut(..len) {
        return use_it(buffer);
    }
    with_large_buffer(len, use_it)
}

#[inline(never)]
fn with_large_buffer<R>(len: usize, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut large = [0; LARGE_XSTATE];
    match large.get_mut(..len) {
        Some(buffer) => use_it(buffer),
        None => use_it(&mut vec![0; len]),
    }
}

/// Copies the extended state that the guest has now.
pub(crate) fn copy_xstate(current: &CurrentTask<'_>, area: &mut [u8]) -> Result<()> {
    match current.xstate() {
        Xstate::Live => {
            current.host().save_xstate(area);
        }
        Xstate::Initial => fill_initial(area),
        Xstate::Loaded { address, len } => {
            if let Some(part) = area.get_mut(..len) {
                current.memory().read_bytes(address, part)?;
            }
            // An area without a header holds x87 and SSE state.
            if let Some(components) = area.get_mut(len).filter(|_| len < XSTATE_MIN) {
                *components = 3;
            }
        }
    }
    Ok(())
}

/// Stores the extended state with the marks by which its size can be found.
fn write_xstate(current: &CurrentTask<'_>, address: u64, now: XstateNow) -> Result<()> {
    let host = current.host();
    let len = now.len;
    let memory = current.memory();
    let end = address.wrapping_add(len as u64);
    let software = FpxSwBytes {
        magic1: FP_XSTATE_MAGIC1,
        extended_size: len.wrapping_add(FP_XSTATE_MAGIC2_SIZE) as u32,
        xfeatures: host.xstate_features(),
        xstate_size: len as u32,
        ..FpxSwBytes::default()
    };
    if let Xstate::Live = current.xstate()
        && let Some(saved) = host.save_xstate_to(address, now, software.as_bytes())
    {
        saved?;
        return memory.write_bytes(end, &FP_XSTATE_MAGIC2.to_le_bytes());
    }
    with_buffer(len, |area| {
        // The old frame may lie where the new one goes: it is read completely before.
        copy_xstate(current, area)?;
        let bytes = software.as_bytes();
        if let Some(place) = area.get_mut(SW_RESERVED..SW_RESERVED.wrapping_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
        memory.write_bytes(address, area)
    })?;
    memory.write_bytes(end, &FP_XSTATE_MAGIC2.to_le_bytes())
}

/// Makes a zeroed area that of a fresh program.
fn fill_initial(area: &mut [u8]) {
    let legacy = FpState { cwd: FCW_DEFAULT, mxcsr: MXCSR_DEFAULT, ..FpState::default() };
    for (to, from) in area.iter_mut().zip(legacy.as_bytes()) {
        *to = *from;
    }
}

/// Gives the guest the extended state of a fresh program.
fn load_initial_xstate(current: &CurrentTask<'_>) -> bool {
    let mut area = [0; XSTATE_MIN];
    fill_initial(&mut area);
    let loaded = current.host().load_xstate(&area).is_ok();
    if loaded {
        current.set_xstate(Xstate::Initial);
    }
    loaded
}

/// `rt_sigreturn(2)`: back to what the frame at the stack pointer describes. A bad frame raises
/// `SIGSEGV`. The result is what `rax` shall hold.
pub fn sigreturn(current: &CurrentTask<'_>) -> u64 {
    let regs = current.regs();
    // The handler's `ret` has taken the return address, the first field of the frame.
    match restore(current, UserPtr::new(regs.rsp)) {
        Ok(rax) => rax,
        Err(_) => {
            deliver::force(current, Signal::SIGSEGV, SigInfo::kernel(Signal::SIGSEGV));
            regs.rax
        }
    }
}

fn restore(current: &CurrentTask<'_>, context: UserPtr<UContext>) -> Result<u64> {
    let context = current.memory().read(context)?;
    let saved = &context.uc_mcontext;
    let resume = if saved.fpstate == 0 {
        let loaded = current.host().xstate_size() >= XSTATE_MIN && load_initial_xstate(current);
        if loaded { Resume::FullWithXstate } else { Resume::Full }
    } else {
        read_xstate(current, saved.fpstate)?
    };
    if saved.rip >= USER_END {
        return Err(Errno::EFAULT.into());
    }
    let regs = GuestRegs {
        r8: saved.r8,
        r9: saved.r9,
        r10: saved.r10,
        r11: saved.r11,
        r12: saved.r12,
        r13: saved.r13,
        r14: saved.r14,
        r15: saved.r15,
        rdi: saved.rdi,
        rsi: saved.rsi,
        rbp: saved.rbp,
        rbx: saved.rbx,
        rdx: saved.rdx,
        rax: saved.rax,
        rcx: saved.rcx,
        rsp: saved.rsp,
        rip: saved.rip,
        eflags: (saved.eflags & RESTORED_FLAGS) | FIXED_FLAGS,
        orig_rax: GuestRegs::NO_SYSCALL,
        ..current.regs()
    };
    current.set_regs(regs, resume);
    mask::change_mask(current, context.uc_sigmask.difference(SigSet::UNBLOCKABLE));
    // As on Linux, a frame with a bad stack description is accepted.
    let _ = set_alternate_stack(current.task().signals(), Some(&context.uc_stack), regs.rsp);
    Ok(saved.rax)
}

/// Loads the extended state of a frame; only the legacy area if the marks are not there.
fn read_xstate(current: &CurrentTask<'_>, address: u64) -> Result<Resume> {
    let host = current.host();
    let memory = current.memory();
    let size = host.xstate_size();
    let legacy = size.min(size_of::<FpState>());
    if size == 0 {
        return Ok(Resume::Full);
    }
    let software: FpxSwBytes =
        memory.read(UserPtr::new(address.wrapping_add(SW_RESERVED as u64)))?;
    let stored = software.xstate_size as usize;
    let plausible = software.magic1 == FP_XSTATE_MAGIC1
        && (XSTATE_MIN..=size).contains(&stored)
        && stored < software.extended_size as usize;
    let extended = plausible && {
        let end = address.wrapping_add(stored as u64);
        memory.read(UserPtr::<u32>::new(end))? == FP_XSTATE_MAGIC2
    };
    let len = if extended { stored } else { legacy };
    if let Some(loaded) = host.load_xstate_from(address, len) {
        let resume = loaded?;
        if resume == Resume::FullWithXstate {
            current.set_xstate(Xstate::Loaded { address, len });
        }
        return Ok(resume);
    }
    with_buffer(len, |area| {
        memory.read_bytes(address, area)?;
        host.load_xstate(area)?;
        current.set_xstate(Xstate::Loaded { address, len });
        Ok(Resume::FullWithXstate)
    })
}

#[cfg(test)]
mod tests {
    use super::{Place, choose_stack, place};
    use lx_core::abi::Errno;
    use lx_core::abi::signal::{SigActionFlags, StackT};

    #[test]
    fn alignment() {
        for top in 0x10_0000..0x10_0080 {
            let Place { frame, xstate } = place(top, 832);
            assert_eq!(frame % 16, 8);
            assert_eq!(xstate % 64, 0);
            assert!(xstate + 836 <= top && frame + 440 <= xstate);
        }
        assert_eq!(place(0x1000, 0).xstate, 0);
    }

    #[test]
    fn alternate_stack() {
        let stack = StackT { ss_sp: 0x10000, ss_size: 0x2000, ..StackT::default() };
        let on = SigActionFlags::SA_ONSTACK;
        let normal = choose_stack(&stack, SigActionFlags::empty(), 0x8_0000, 832).unwrap();
        assert!(normal.frame > 0x7_0000 && normal.xstate + 836 <= 0x8_0000 - 128);
        let switched = choose_stack(&stack, on, 0x8_0000, 832).unwrap();
        assert!(switched.xstate + 836 <= 0x1_2000 && switched.frame > 0x1_1000);
        // A second handler continues where the first one is.
        let nested = choose_stack(&stack, on, 0x1_1000, 832).unwrap();
        assert!(nested.frame < 0x1_1000 - 128);
        assert_eq!(choose_stack(&stack, on, 0x1_0200, 832), Err(Errno::EFAULT.into()));
    }
}
