//! Program text: the engine's part of mapping executable pages.

use alloc::vec::Vec;

/// Text after its system-call sites were found.
#[derive(Clone, Debug, Default)]
pub struct Rewritten {
    /// Code that the patched sites jump to; to be mapped executable at the stub address.
    pub stubs: Vec<u8>,
    /// Number of patched sites.
    pub patched: usize,
    /// Sites that could not be patched; they reach the kernel by a trap.
    pub unpatched: usize,
}

/// The vDSO that every program gets.
#[derive(Clone, Debug)]
pub struct VdsoImage {
    /// An ELF shared object, a whole number of pages.
    pub image: Vec<u8>,
    /// Length of the data area that must be mapped, readable, directly before the image: the pages
    /// at [`HostClock::vdso_clock_page`](super::HostClock::vdso_clock_page), shared.
    pub data_len: u64,
    /// Offset of a signal restorer (`rt_sigreturn`) in the image.
    pub restorer: u64,
}

/// Engine services for program text.
pub trait HostCode {
    /// Rewrites the system-call sites in `text`, which will run at `text_addr`, into jumps to
    /// stubs that will be mapped at `stub_addr`. The result depends on the distance of the two
    /// addresses only. `None` if the engine needs no rewriting (a host that interprets guests).
    fn rewrite(&self, text: &mut [u8], text_addr: u64, stub_addr: u64) -> Option<Rewritten>;
    /// Upper bound of the stubs' length for this text, to find room for them; 0 if it has no
    /// sites.
    fn stub_room(&self, text: &[u8]) -> usize;
    /// The vDSO, if the engine has one.
    fn vdso(&self) -> Option<VdsoImage>;
}
