//! The signal frame: `arch/x86/include/uapi/asm/sigcontext.h`, `ucontext.h`, `asm/sigframe.h`.

use super::siginfo::SigInfo;
use super::signal::{SigSet, StackT};

/// `FpxSwBytes::magic1` of a frame with extended state.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// The word after the extended state.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// The size of the word after the extended state.
pub const FP_XSTATE_MAGIC2_SIZE: usize = 4;

/// `uc_flags`: the frame has extended state.
pub const UC_FP_XSTATE: u64 = 1;
/// `uc_flags`: `ss` in the frame is valid.
pub const UC_SIGCONTEXT_SS: u64 = 2;
/// `uc_flags`: restore `ss` exactly.
pub const UC_STRICT_RESTORE_SS: u64 = 4;

/// The area below the stack pointer that a leaf function may use; a frame must not touch it.
pub const REDZONE_SIZE: u64 = 128;

abi_struct! {
    /// `struct _fpx_sw_bytes`: what software stores in the legacy area's last 48 bytes.
    pub struct FpxSwBytes [size 48] {
        /// [`FP_XSTATE_MAGIC1`], or 0 if there is only the legacy area.
        @0 pub magic1: u32,
        /// The size of everything, with the closing [`FP_XSTATE_MAGIC2`].
        @4 pub extended_size: u32,
        @8 pub xfeatures: u64,
        /// The size of the XSAVE area, without the closing word.
        @16 pub xstate_size: u32,
        @20 pub padding: [u32; 7],
    }
}

abi_struct! {
    /// `struct _fpstate_64`: the FXSAVE area.
    pub struct FpState [size 512] {
        @0 pub cwd: u16,
        @2 pub swd: u16,
        @4 pub twd: u16,
        @6 pub fop: u16,
        @8 pub rip: u64,
        @16 pub rdp: u64,
        @24 pub mxcsr: u32,
        @28 pub mxcsr_mask: u32,
        @32 pub st_space: [u32; 32],
        @160 pub xmm_space: [u32; 64],
        @416 pub reserved2: [u32; 12],
        @464 pub sw_reserved: FpxSwBytes,
    }
}

abi_struct! {
    /// `struct _header`: what follows the FXSAVE area in an XSAVE area.
    pub struct XstateHeader [size 64] {
        @0 pub xfeatures: u64,
        @8 pub xcomp_bv: u64,
        @16 pub reserved: [u64; 6],
    }
}

abi_struct! {
    /// `struct sigcontext_64`
    pub struct SigContext [size 256] {
        @0 pub r8: u64,
        @8 pub r9: u64,
        @16 pub r10: u64,
        @24 pub r11: u64,
        @32 pub r12: u64,
        @40 pub r13: u64,
        @48 pub r14: u64,
        @56 pub r15: u64,
        @64 pub rdi: u64,
        @72 pub rsi: u64,
        @80 pub rbp: u64,
        @88 pub rbx: u64,
        @96 pub rdx: u64,
        @104 pub rax: u64,
        @112 pub rcx: u64,
        @120 pub rsp: u64,
        @128 pub rip: u64,
        @136 pub eflags: u64,
        @144 pub cs: u16,
        @146 pub gs: u16,
        @148 pub fs: u16,
        @150 pub ss: u16,
        @152 pub err: u64,
        @160 pub trapno: u64,
        @168 pub oldmask: u64,
        @176 pub cr2: u64,
        /// The address of the [`FpState`], or 0.
        @184 pub fpstate: u64,
        @192 pub reserved1: [u64; 8],
    }
}

abi_struct! {
    /// `struct ucontext`
    pub struct UContext [size 304] {
        @0 pub uc_flags: u64,
        @8 pub uc_link: u64,
        @16 pub uc_stack: StackT,
        @40 pub uc_mcontext: SigContext,
        @296 pub uc_sigmask: SigSet,
    }
}

abi_struct! {
    /// `struct rt_sigframe`: what the handler finds on its stack, lowest address first.
    ///
    /// `rsp` at the handler's entry points here, and is 8 below a multiple of 16.
    pub struct RtSigFrame [size 440] {
        /// The return address: the action's restorer.
        @0 pub pretcode: u64,
        @8 pub uc: UContext,
        @312 pub info: SigInfo,
    }
}
