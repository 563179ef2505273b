//! The guest's vector state, moved between registers and a signal frame by ordinary moves.
//!
//! `xsave` and `xrstor` cost 43 and 100 ns on a processor where the same moves cost 20, and a signal
//! frame needs both. So the usual case is done by hand: x87 state and protection keys as they start,
//! and any of SSE, AVX and AVX-512. For everything else there is `xsave`
//! ([`xstate`](crate::xstate)).
//!
//! The routines read and write guest memory: a fault inside makes them return an error
//! ([`fixup`](crate::user_copy::fixup)). They are the image's only code with wide vector
//! instructions; what they change is the guest's own state.

use core::arch::global_asm;
use core::mem::offset_of;

use lx_core::host::Fault;

use crate::thread_block::{Frame, SAVED_XMM};

/// Component bits.
const X87: u64 = 1;
const SSE: u64 = 1 << 1;
const AVX: u64 = 1 << 2;
const OPMASK: u64 = 1 << 5;
const ZMM_HIGH_HALVES: u64 = 1 << 6;
const HIGH_ZMM: u64 = 1 << 7;
const AVX512: u64 = OPMASK | ZMM_HIGH_HALVES | HIGH_ZMM;

/// Where each component lies in an area, and what the processor can do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    avx: u64,
    opmask: u64,
    zmm_high_halves: u64,
    high_zmm: u64,
    /// The bits of MXCSR that exist, as `fxsave` stores them.
    mxcsr_mask: u32,
    _pad: u32,
    /// Components that can be moved by hand.
    components: u64,
}

global_asm!(
    ".pushsection .text.lx_vectors, \"ax\", @progbits",
    // lx_vectors_save(area, frame, components, layout) -> 0
    ".balign 64",
    ".globl lx_vectors_save",
    "lx_vectors_save:",
    // Control words as they start, MXCSR, no x87 registers.
    "mov qword ptr [rdi], 0x37f",
    "mov qword ptr [rdi + 8], 0",
    "mov qword ptr [rdi + 16], 0",
    "stmxcsr [rdi + 24]",
    "mov eax, [rcx + {MXCSR_MASK}]",
    "mov [rdi + 28], eax",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    ".if \\n < {SAVED_XMM}",
    "movaps xmm0, [rsi + \\n * 16]",
    "movups [rdi + 160 + \\n * 16], xmm0",
    ".else",
    "movups [rdi + 160 + \\n * 16], xmm\\n",
    ".endif",
    ".endr",
    "xorps xmm0, xmm0",
    ".irp n, 2, 3, 4, 5, 6, 7, 8, 9, 26, 27, 28, 32, 33, 34, 35",
    "movups [rdi + \\n * 16], xmm0",
    ".endr",
    "or rdx, {SSE}",
    "mov [rdi + 512], rdx",
    "test edx, {AVX}",
    "jz 2f",
    "mov rax, [rcx + {AVX_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vextractf128 [rax + \\n * 16], ymm\\n, 1",
    ".endr",
    "2:",
    "test edx, {OPMASK}",
    "jz 2f",
    "mov rax, [rcx + {OPMASK_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
    "kmovq [rax + \\n * 8], k\\n",
    ".endr",
    "2:",
    "test edx, {ZMM_HIGH_HALVES}",
    "jz 2f",
    "mov rax, [rcx + {ZMM_HIGH_HALVES_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vextractf64x4 [rax + \\n * 32], zmm\\n, 1",
    ".endr",
    "2:",
    "test edx, {HIGH_ZMM}",
    "jz 2f",
    "mov rax, [rcx + {HIGH_ZMM_AT}]",
    "add rax, rdi",
    ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "vmovdqu64 [rax + (\\n - 16) * 64], zmm\\n",
    ".endr",
    "2:",
    "xor eax, eax",
    "ret",

    // lx_vectors_load(area, frame, components, layout, in use) -> 0. Components that the area has
    // not, but the processor has, become zero.
    ".balign 64",
    ".globl lx_vectors_load",
    "lx_vectors_load:",
    "mov eax, [rdi + 24]",
    "and eax, [rcx + {MXCSR_MASK}]",
    "mov [rsp - 8], eax",
    "ldmxcsr [rsp - 8]",
    // AVX first: its instructions clear what is above 256 bits.
    "test edx, {AVX}",
    "jz 3f",
    "mov rax, [rcx + {AVX_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vinsertf128 ymm\\n, ymm\\n, [rax + \\n * 16], 1",
    ".endr",
    "jmp 2f",
    "3:",
    "test r8d, {AVX} | {ZMM_HIGH_HALVES}",
    "jz 2f",
    "vzeroupper",
    "2:",
    "test edx, {ZMM_HIGH_HALVES}",
    "jz 2f",
    "mov rax, [rcx + {ZMM_HIGH_HALVES_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vinsertf64x4 zmm\\n, zmm\\n, [rax + \\n * 32], 1",
    ".endr",
    "2:",
    "test edx, {OPMASK}",
    "jz 3f",
    "mov rax, [rcx + {OPMASK_AT}]",
    "add rax, rdi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
    "kmovq k\\n, [rax + \\n * 8]",
    ".endr",
    "jmp 2f",
    "3:",
    "test r8d, {OPMASK}",
    "jz 2f",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
    "kxorq k\\n, k\\n, k\\n",
    ".endr",
    "2:",
    "test edx, {HIGH_ZMM}",
    "jz 3f",
    "mov rax, [rcx + {HIGH_ZMM_AT}]",
    "add rax, rdi",
    ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "vmovdqu64 zmm\\n, [rax + (\\n - 16) * 64]",
    ".endr",
    "jmp 2f",
    "3:",
    "test r8d, {HIGH_ZMM}",
    "jz 2f",
    ".irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
    "vpxorq zmm\\n, zmm\\n, zmm\\n",
    ".endr",
    "2:",
    // Legacy moves keep what is above 128 bits. The low registers are loaded on the way out.
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    ".if \\n < {SAVED_XMM}",
    "movups xmm0, [rdi + 160 + \\n * 16]",
    "movaps [rsi + \\n * 16], xmm0",
    ".else",
    "movups xmm\\n, [rdi + 160 + \\n * 16]",
    ".endif",
    ".endr",
    "xor eax, eax",
    "ret",
    ".globl lx_vectors_end",
    "lx_vectors_end:",
    ".globl lx_vectors_failed",
    "lx_vectors_failed:",
    "mov eax, 1",
    "ret",
    ".popsection",
    SAVED_XMM = const SAVED_XMM,
    SSE = const SSE,
    AVX = const AVX,
    OPMASK = const OPMASK,
    ZMM_HIGH_HALVES = const ZMM_HIGH_HALVES,
    HIGH_ZMM = const HIGH_ZMM,
    AVX_AT = const offset_of!(Layout, avx),
    OPMASK_AT = const offset_of!(Layout, opmask),
    ZMM_HIGH_HALVES_AT = const offset_of!(Layout, zmm_high_halves),
    HIGH_ZMM_AT = const offset_of!(Layout, high_zmm),
    MXCSR_MASK = const offset_of!(Layout, mxcsr_mask),
);

// The save writes the frame's registers first: they are its first field.
const _: () = assert!(offset_of!(Frame, xmm) == 0);

unsafe extern "C" {
    fn lx_vectors_save(area: u64, frame: *const Frame, components: u64, layout: &Layout) -> u32;
    fn lx_vectors_load(
        area: u64,
        frame: *mut Frame,
        components: u64,
        layout: &Layout,
        in_use: u64,
    ) -> u32;
    fn lx_vectors_end();
    fn lx_vectors_failed();
}

/// First byte of the two routines.
pub(crate) fn start() -> u64 {
    lx_vectors_save as *const () as u64
}

/// End of the two routines.
pub(crate) fn end() -> u64 {
    lx_vectors_end as *const () as u64
}

/// Where they go on after a fault.
pub(crate) fn failed() -> u64 {
    lx_vectors_failed as *const () as u64
}

impl Layout {
    /// The layout on this processor, of which `features` are kept. `starts` says where each
    /// component starts in an area; `avx512bw` whether there are 64-bit mask registers.
    pub(crate) fn new(
        features: u64,
        starts: &[usize; 10],
        mxcsr_mask: u32,
        avx512bw: bool,
    ) -> Self {
        let [_, _, avx, _, _, opmask, zmm_high_halves, high_zmm, ..] = starts.map(|at| at as u64);
        let by_hand = SSE | AVX | if avx512bw { AVX512 } else { 0 };
        let components = features & by_hand;
        Self { avx, opmask, zmm_high_halves, high_zmm, mxcsr_mask, _pad: 0, components }
    }

    /// Whether a state of `components` can be moved by hand.
    pub(crate) fn covers(&self, components: u64) -> bool {
        components & !self.components == 0 && components & X87 == 0
    }
}

/// Stores the guest's state in a frame's area, but for the 48 bytes that are software's.
///
/// # Errors
/// A fault: some of it may have been written.
///
/// # Safety
///
/// `address` belongs to the guest; `frame` is the one that the thread entered the kernel with;
/// `layout` covers `in_use`, the components that are in use.
pub(crate) unsafe fn save(
    address: u64,
    frame: &Frame,
    in_use: u64,
    layout: &Layout,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let failed = unsafe { lx_vectors_save(address, frame, in_use, layout) };
    if failed == 0 { Ok(()) } else { Err(Fault) }
}

/// Loads the guest's state from an area with `components`, which have SSE among them.
///
/// # Errors
/// A fault: some of it may have been loaded.
///
/// # Safety
///
/// As [`save`]; `layout` covers `components` too.
pub(crate) unsafe fn load(
    address: u64,
    frame: &mut Frame,
    components: u64,
    in_use: u64,
    layout: &Layout,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let failed = unsafe { lx_vectors_load(address, frame, components, layout, in_use) };
    if failed == 0 { Ok(()) } else { Err(Fault) }
}
