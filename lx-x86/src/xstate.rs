//! The extended state of a guest thread: x87, vectors, protection keys, in the layout of `XSAVE`.
//!
//! While the kernel runs, the low vector registers are in the [`Frame`] and all other state is in
//! the processor. Signal frames hold the whole of it; the usual state gets there and back by
//! [`vectors`], any other by `xsave` and `xrstor` through an [`Xstate`] area of the thread.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;

use lx_core::abi::Errno;
use lx_core::host::{Fault, HostError, HostResult, Resume, XstateNow};

use crate::thread_block::{Frame, SAVED_XMM};
use crate::{user_copy, vectors};

/// Room for the extended state of one thread: everything but AMX tiles, which are not offered.
pub const XSTATE_SIZE: usize = 4096;
/// Components that are saved and loaded: x87, SSE, AVX, AVX-512, PKRU.
const WANTED_FEATURES: u64 = 0b10_1110_0111;
/// The part of the area that `FXSAVE` defines.
const LEGACY_SIZE: usize = 512;
/// `xstate_bv` follows the legacy part; the rest of the header is 0 in this format.
const XSTATE_BV: usize = 512;
/// `mxcsr` in the legacy part, and the mask of its bits.
const MXCSR: usize = 24;
/// The part of the legacy area that is left to software, 48 bytes.
const SOFTWARE_BYTES: usize = 464;
/// The 16-byte slots of xmm0-15.
const XMM: usize = 160;
/// Component bits of x87 and SSE.
const LEGACY: u64 = 3;
const SSE: u64 = 2;
/// Default MXCSR: all exceptions masked.
const MXCSR_DEFAULT: u32 = 0x1f80;
/// Bits of MXCSR that every processor has.
const MXCSR_MASK: u32 = 0xffbf;

/// Highest component number plus one.
const COMPONENTS: usize = 10;
/// The legacy part and the header: what every area has.
pub const XSTATE_MIN: usize = LEGACY_SIZE + 64;

/// An extended state area.
#[repr(C, align(64))]
pub struct Xstate([u8; XSTATE_SIZE]);

/// What this processor's extended state looks like.
#[derive(Debug)]
pub struct XstateLayout {
    features: u64,
    /// Where each component ends in an area of the standard format.
    ends: [usize; COMPONENTS],
    size: usize,
    /// Whether the processor tells which components are in use.
    tells_use: bool,
    mxcsr_mask: u32,
    vectors: vectors::Layout,
}

/// The components that are kept (a subset of XCR0).
fn features() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: XGETBV of XCR0 only reads; every CPU with AVX has it, and x86-64 kernels enable
    // XSAVE wherever there is one.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    (u64::from(low) | u64::from(high) << 32) & WANTED_FEATURES
}

/// The bits of MXCSR that this processor has.
fn mxcsr_mask() -> u32 {
    #[repr(C, align(16))]
    struct Legacy([u8; LEGACY_SIZE]);
    let mut area = Legacy([0; LEGACY_SIZE]);
    // SAFETY: the area is as large and aligned as the instruction wants it.
    unsafe { asm!("fxsave64 [{}]", in(reg) area.0.as_mut_ptr(), options(nostack)) };
    match area.0.get(MXCSR + 4..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes) {
        // Very old processors do not tell.
        Some(0) | None => MXCSR_MASK,
        Some(mask) => mask,
    }
}

impl XstateLayout {
    /// Asks the processor. Slow under a hypervisor, which emulates `cpuid`: ask once.
    #[must_use]
    pub fn probe() -> Self {
        const XGETBV_1: u32 = 1 << 2;
        const AVX512BW: u32 = 1 << 30;
        let features = features();
        let mut starts = [0; COMPONENTS];
        let mut ends = [XSTATE_MIN; COMPONENTS];
        for (component, (start, end)) in (0u32..).zip(starts.iter_mut().zip(&mut ends)).skip(2) {
            if features >> component & 1 == 1 {
                let leaf = __cpuid_count(0xd, component);
                *start = leaf.ebx as usize;
                *end = start.saturating_add(leaf.eax as usize).min(XSTATE_SIZE);
            }
        }
        let mxcsr_mask = mxcsr_mask();
        let avx512bw = __cpuid_count(7, 0).ebx & AVX512BW != 0;
        Self {
            features,
            size: ends.into_iter().max().unwrap_or(XSTATE_MIN),
            ends,
            tells_use: __cpuid_count(0xd, 1).eax & XGETBV_1 != 0,
            mxcsr_mask,
            vectors: vectors::Layout::new(features, &starts, mxcsr_mask, avx512bw),
        }
    }

    /// Components that are kept.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Length of an area with all of them, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The components of the calling thread that are not in their initial state.
    fn in_use(&self) -> u64 {
        if !self.tells_use {
            return self.features;
        }
        let (low, high): (u32, u32);
        // SAFETY: checked; the instruction only reads.
        unsafe {
            asm!("xgetbv", in("ecx") 1, out("eax") low, out("edx") high, options(nomem, nostack));
        }
        self.features & (u64::from(low) | u64::from(high) << 32)
    }

    /// What the calling thread's state needs now, in an area of at most `len` bytes.
    #[must_use]
    pub fn now(&self, len: usize) -> XstateNow {
        let mut components = self.in_use();
        let mut needed = XSTATE_MIN;
        for (component, &end) in self.ends.iter().enumerate() {
            if components >> component & 1 == 1 {
                if end > len {
                    components &= !(1 << component);
                } else {
                    needed = needed.max(end);
                }
            }
        }
        XstateNow { components, len: needed }
    }

    /// Stores the calling thread's state in a signal frame, with `software` in the bytes that are
    /// software's.
    ///
    /// # Errors
    /// A fault: some of it may have been written.
    ///
    /// # Safety
    ///
    /// `address` belongs to the guest; `frame` and `area` are the thread's, and nobody else uses
    /// them; `now` was its state's.
    pub unsafe fn save_to_guest(
        &self,
        address: u64,
        now: XstateNow,
        software: &[u8],
        frame: &Frame,
        area: &mut Xstate,
    ) -> Result<(), Fault> {
        let place = SOFTWARE_BYTES..SOFTWARE_BYTES + software.len();
        if self.vectors.covers(now.components) {
            let at = address.wrapping_add(SOFTWARE_BYTES as u64);
            // SAFETY: the caller's promise.
            unsafe { vectors::save(address, frame, now.components, &self.vectors) }?;
            return copy_out(at, software);
        }
        // SAFETY: the caller's promise.
        unsafe { area.save(frame, now.components | LEGACY) };
        if let Some(bytes) = area.0.get_mut(place) {
            bytes.copy_from_slice(software);
        }
        copy_out(address, area.0.get(..now.len).ok_or(Fault)?)
    }

    /// Gives the thread the state that is in the first `len` bytes of a signal frame: at once, or on
    /// the way out through `area`, as the answer says.
    ///
    /// # Errors
    /// `EFAULT` for a fault, `EINVAL` for a malformed state.
    ///
    /// # Safety
    ///
    /// As [`save_to_guest`](XstateLayout::save_to_guest).
    pub unsafe fn load_from_guest(
        &self,
        address: u64,
        len: usize,
        frame: &mut Frame,
        area: &mut Xstate,
    ) -> HostResult<Resume> {
        const FAULT: HostError = HostError(Errno::EFAULT);
        let in_use = self.in_use();
        if len >= XSTATE_MIN && self.vectors.covers(in_use) {
            let mut header = [0; 24];
            copy_in(address.wrapping_add(XSTATE_BV as u64), &mut header).map_err(|_| FAULT)?;
            let mut words = header.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let components = words.next().unwrap_or_default();
            let inside =
                |(component, &end): (usize, &usize)| components >> component & 1 == 0 || end <= len;
            // The processor wants the rest of the header to be 0: `xrstor` shall say so.
            if components & SSE != 0
                && self.vectors.covers(components)
                && self.ends.iter().enumerate().all(inside)
                && words.all(|word| word == 0)
            {
                // SAFETY: the caller's promise; the layout covers both.
                unsafe { vectors::load(address, frame, components, in_use, &self.vectors) }
                    .map_err(|_| FAULT)?;
                return Ok(Resume::Full);
            }
        }
        let len = len.min(self.size);
        copy_in(address, area.0.get_mut(..len).ok_or(FAULT)?).map_err(|_| FAULT)?;
        self.sanitize(area, len)?;
        Ok(Resume::FullWithXstate)
    }

    /// Copies the calling thread's state to kernel memory; the number of bytes.
    ///
    /// # Safety
    ///
    /// As [`save_to_guest`](XstateLayout::save_to_guest).
    pub unsafe fn save(&self, to: &mut [u8], frame: &Frame, area: &mut Xstate) -> usize {
        let now = self.now(to.len());
        // SAFETY: the caller's promise.
        unsafe { area.save(frame, now.components | LEGACY) };
        let len = now.len.min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..len), area.0.get(..len)) {
            to.copy_from_slice(from);
        }
        len
    }

    /// Prepares `area` to be loaded on the way out, from an area of the guest's or, if that is
    /// empty, as the state of a fresh program.
    ///
    /// # Errors
    /// `EINVAL` for a malformed state.
    pub fn load(&self, from: &[u8], area: &mut Xstate) -> HostResult<()> {
        if from.is_empty() {
            area.init();
            return Ok(());
        }
        let len = from.len().min(self.size);
        if let (Some(to), Some(from)) = (area.0.get_mut(..len), from.get(..len)) {
            to.copy_from_slice(from);
        }
        self.sanitize(area, len)
    }

    /// Makes an area loadable whose first `len` bytes came from a guest.
    fn sanitize(&self, area: &mut Xstate, len: usize) -> HostResult<()> {
        const MALFORMED: HostError = HostError(Errno::EINVAL);
        if len < LEGACY_SIZE {
            return Err(MALFORMED);
        }
        let extended = len >= XSTATE_MIN;
        let header = area.0.get_mut(XSTATE_BV..XSTATE_MIN).ok_or(MALFORMED)?;
        let components = header.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // Without the extended part: x87 and SSE from the legacy part, the others as they start.
        let components = if extended { components } else { LEGACY };
        header.fill(0);
        if components & !self.features != 0 {
            return Err(MALFORMED);
        }
        if let Some(bytes) = header.first_chunk_mut() {
            *bytes = components.to_le_bytes();
        }
        if let Some(mxcsr) = area.0.get_mut(MXCSR..).and_then(<[u8]>::first_chunk_mut) {
            *mxcsr = (u32::from_le_bytes(*mxcsr) & self.mxcsr_mask).to_le_bytes();
        }
        Ok(())
    }
}

impl Xstate {
    /// Stores the components `features` of the running thread, taking the low vector registers from
    /// `frame`, because the kernel's code has used them since.
    ///
    /// # Safety
    ///
    /// `frame` is the one that the thread entered the kernel with.
    pub unsafe fn save(&mut self, frame: &Frame, features: u64) {
        if let Some(header) = self.0.get_mut(XSTATE_BV..XSTATE_MIN) {
            header.fill(0);
        }
        // SAFETY: the area is aligned, large enough for the components that are kept, and its
        // header is clean.
        unsafe {
            asm!(
                "xsave64 [{area}]",
                area = in(reg) self.0.as_mut_ptr(),
                in("eax") features as u32,
                in("edx") (features >> 32) as u32,
                options(nostack),
            );
        }
        let slots = self.0.get_mut(XMM..XMM + 16 * SAVED_XMM).unwrap_or_default();
        for (slot, value) in slots.as_chunks_mut::<16>().0.iter_mut().zip(&frame.xmm) {
            *slot = value.to_le_bytes();
        }
        if let Some(bits) = self.0.get_mut(XSTATE_BV) {
            *bits |= SSE as u8;
        }
    }

    /// Makes this the state of a fresh program.
    pub fn init(&mut self) {
        // Components that the header does not name start afresh.
        if let Some(start) = self.0.get_mut(..XSTATE_MIN) {
            start.fill(0);
        }
        if let Some(mxcsr) = self.0.get_mut(MXCSR..).and_then(<[u8]>::first_chunk_mut) {
            *mxcsr = MXCSR_DEFAULT.to_le_bytes();
        }
    }

    /// Loads the state into the running thread.
    ///
    /// # Safety
    ///
    /// This was made by [`save`](Xstate::save), [`init`](Xstate::init) or an [`XstateLayout`]; the
    /// caller has no value in a vector register.
    pub unsafe fn load(&self, features: u64) {
        // SAFETY: the caller's promise; the compiler is told that all registers change.
        unsafe {
            asm!(
                "xrstor64 [{area}]",
                area = in(reg) self.0.as_ptr(),
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
}

fn copy_out(address: u64, bytes: &[u8]) -> Result<(), Fault> {
    // SAFETY: the address is a guest's, says the only caller's caller.
    let copied = unsafe { user_copy::copy(address, bytes.as_ptr() as u64, bytes.len()) };
    if copied == bytes.len() { Ok(()) } else { Err(Fault) }
}

fn copy_in(address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
    // SAFETY: as above.
    let copied = unsafe { user_copy::copy(bytes.as_mut_ptr() as u64, address, bytes.len()) };
    if copied == bytes.len() { Ok(()) } else { Err(Fault) }
}
