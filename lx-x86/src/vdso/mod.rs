//! The vDSO: the shared object that every guest finds in its memory without having loaded it.
//!
//! It answers clock calls without entering the kernel and holds the code that signal handlers
//! return to. It is mapped as
//!
//! ```text
//! image - VVAR_SIZE   data page (VvarPage), readable by the guest
//! image               the ELF image (VdsoImage::bytes), readable and executable; AT_SYSINFO_EHDR
//! ```
//!
//! at any page; nothing inside depends on the address. All that needs the kernel goes through stubs
//! like those of patched code, which are part of the image, so signal frames show addresses in the
//! image's text.

use alloc::vec::Vec;

use crate::layout::GsLayout;
use crate::rewrite::{Hints, rewrite};

mod asm;
mod code;
mod elf;
mod keeper;
mod unwind;
mod vvar;

pub use keeper::{ClockKeeper, HostClocks, INTERVAL_MS};
pub use vvar::{CLOCKS, ClockParams, SHIFT, VVAR_SIZE, VvarPage};

/// The vDSO, ready to be mapped.
#[derive(Clone, Debug)]
pub struct VdsoImage {
    /// The ELF image; a whole number of pages.
    pub bytes: Vec<u8>,
    /// Offset of the code that calls `rt_sigreturn`, to be put on the stack as the return address
    /// of signal handlers. RSP is the address of the `ucontext` there.
    pub restorer: u64,
}

const PAGE: usize = 4096;
/// Where the code starts; headers and tables are before it.
const TEXT: usize = 0x800;

/// Builds the vDSO for threads whose block is laid out as `gs` says.
pub fn build_vdso(gs: &GsLayout) -> VdsoImage {
    let assembled = code::assemble(VVAR_SIZE.wrapping_add(TEXT));
    let mut text = assembled.code.clone();
    let stubs_at = TEXT.wrapping_add(text.len()).next_multiple_of(PAGE);
    let mut stubs = Vec::new();
    rewrite(&mut text, TEXT as u64, stubs_at as u64, &mut stubs, gs, &Hints::default());
    VdsoImage {
        bytes: elf::image(&assembled, &text, TEXT, &stubs, stubs_at),
        restorer: TEXT.wrapping_add(assembled.restorer.offset) as u64,
    }
}

#[cfg(test)]
mod tests;
