//! Register context beyond the general registers: segment bases, `XSAVE` state, time stamp.

use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, _rdtsc};

use crate::thread_block::Frame;

/// Room for the extended state of one thread: everything but AMX tiles, which are not offered.
pub const XSTATE_SIZE: usize = 4096;
/// Components that are saved and loaded: x87, SSE, AVX, AVX-512, PKRU.
const WANTED_FEATURES: u64 = 0b10_1110_0111;
/// The part of the area that `FXSAVE` defines.
const LEGACY_SIZE: usize = 512;
/// `xstate_bv` follows the legacy part.
const XSTATE_BV: usize = 512;
/// `mxcsr` in the legacy part.
const MXCSR: usize = 24;
/// The part of the legacy area that is left to software, 48 bytes.
pub const SOFTWARE_BYTES: usize = 464;
/// The 16-byte slots of xmm0-15.
const XMM: usize = 160;
/// Component bits of x87 and SSE.
const SSE: u64 = 2;
/// Default MXCSR: all exceptions masked.
const MXCSR_DEFAULT: u32 = 0x1f80;
/// Bits of MXCSR that may be set.
const MXCSR_MASK: u32 = 0xffff;

/// An extended state area.
#[repr(C, align(64))]
pub struct Xstate(pub [u8; XSTATE_SIZE]);

/// The components that are kept (a subset of XCR0).
#[must_use]
pub fn xstate_features() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: XGETBV of XCR0 only reads; every CPU with AVX has it, and x86-64 kernels enable
    // XSAVE wherever there is one.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    (u64::from(low) | u64::from(high) << 32) & WANTED_FEATURES
}

/// Highest component number plus one.
pub const COMPONENTS: usize = 10;
/// The legacy part and the header: what every area has.
pub const XSTATE_MIN: usize = LEGACY_SIZE + 64;

/// Where each component of `features` ends in an area of the standard format. Slow under a
/// hypervisor, which emulates `cpuid`: ask once.
#[must_use]
pub fn xstate_ends(features: u64) -> [usize; COMPONENTS] {
    let mut ends = [XSTATE_MIN; COMPONENTS];
    for (component, end) in (0u32..).zip(&mut ends).skip(2) {
        if features >> component & 1 == 1 {
            let leaf = __cpuid_count(0xd, component);
            *end = (leaf.eax as usize).saturating_add(leaf.ebx as usize).min(XSTATE_SIZE);
        }
    }
    ends
}

/// Whether [`xstate_in_use`] works on this CPU. As slow as [`xstate_ends`].
#[must_use]
pub fn can_tell_xstate_in_use() -> bool {
    const XGETBV_1: u32 = 1 << 2;
    __cpuid_count(0xd, 1).eax & XGETBV_1 != 0
}

/// The components that are not in their initial state.
///
/// # Safety
///
/// [`can_tell_xstate_in_use`].
#[must_use]
pub unsafe fn xstate_in_use() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's promise; the instruction only reads.
    unsafe {
        asm!("xgetbv", in("ecx") 1, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(low) | u64::from(high) << 32
}

/// Stores the components `features` of the running thread's extended state, taking xmm0-15 from `frame`, because the kernel's
/// code has used them since.
///
/// # Safety
///
/// Nobody else uses `area`; `frame` is the one that the thread entered the kernel with.
pub unsafe fn save_xstate(area: &mut Xstate, frame: &Frame, features: u64) {
    if let Some(header) = area.0.get_mut(LEGACY_SIZE..LEGACY_SIZE + 64) {
        header.fill(0);
    }
    // SAFETY: the area is aligned, large enough for the components of `features`, and its header
    // is clean.
    unsafe {
        asm!(
            "xsave64 [{area}]",
            area = in(reg) area.0.as_mut_ptr(),
            in("eax") features as u32,
            in("edx") (features >> 32) as u32,
            options(nostack),
        );
    }
    for (slot, value) in frame.xmm.iter().enumerate() {
        let at = XMM + slot * 16;
        if let Some(bytes) = area.0.get_mut(at..at + 16) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }
    if let Some(bits) = area.0.get_mut(XSTATE_BV) {
        *bits |= SSE as u8;
    }
}

/// Makes an area loadable whose first `len` bytes came from a guest; `false` if it is malformed.
#[must_use]
pub fn sanitize_xstate(area: &mut Xstate, len: usize, features: u64) -> bool {
    if len < LEGACY_SIZE {
        return false;
    }
    let extended = len >= XSTATE_MIN;
    let header: Option<&mut [u8; 64]> =
        area.0.get_mut(LEGACY_SIZE..XSTATE_MIN).and_then(|header| header.try_into().ok());
    let Some(header) = header else { return false };
    let mut components = [0; 8];
    components.copy_from_slice(header.get(..8).unwrap_or(&[0; 8]));
    // Without the extended part: x87 and SSE from the legacy part, the others as they start.
    let components = if extended { u64::from_le_bytes(components) } else { 3 };
    header.fill(0);
    if components & !features != 0 {
        return false;
    }
    if let Some(bytes) = header.get_mut(..8) {
        bytes.copy_from_slice(&components.to_le_bytes());
    }
    if let Some(mxcsr) = area.0.get_mut(MXCSR..MXCSR + 4) {
        let value = mxcsr.try_into().map_or(MXCSR_DEFAULT, u32::from_le_bytes);
        mxcsr.copy_from_slice(&(value & MXCSR_MASK).to_le_bytes());
    }
    true
}

/// Makes `area` the state of a fresh program.
pub fn init_xstate(area: &mut Xstate) {
    // Components that the header does not name start afresh.
    if let Some(start) = area.0.get_mut(..XSTATE_MIN) {
        start.fill(0);
    }
    if let Some(mxcsr) = area.0.get_mut(MXCSR..MXCSR + 4) {
        mxcsr.copy_from_slice(&MXCSR_DEFAULT.to_le_bytes());
    }
}

/// The FS base.
///
/// # Safety
///
/// The host allows FSGSBASE instructions.
#[must_use]
pub unsafe fn read_fs_base() -> u64 {
    let base;
    // SAFETY: the caller's promise.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the FS base.
///
/// # Safety
///
/// As [`read_fs_base`], and no kernel code uses FS.
pub unsafe fn write_fs_base(base: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
}

/// Sets the GS base.
///
/// # Safety
///
/// As [`read_fs_base`]; `base` is the address of a block that belongs to the calling thread.
pub unsafe fn write_gs_base(base: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nostack, preserves_flags)) };
}

/// The time stamp counter.
#[must_use]
pub fn read_tsc() -> u64 {
    // SAFETY: user code may read it unless the host took that away, which no Linux program survives.
    unsafe { _rdtsc() }
}

/// Loads an extended state into the running thread.
///
/// # Safety
///
/// `area` was made by [`save_xstate`], [`sanitize_xstate`] or [`init_xstate`]; the caller has no value
/// in a vector register.
pub unsafe fn load_xstate(area: &Xstate, features: u64) {
    // SAFETY: the caller's promise; the compiler is told that all registers change.
    unsafe {
        asm!(
            "xrstor64 [{area}]",
            area = in(reg) area.0.as_ptr(),
            in("eax") features as u32,
            in("edx") (features >> 32) as u32,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
}
