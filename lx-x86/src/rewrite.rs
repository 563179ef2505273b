//! Patches syscall sites: replaces each with a jump to a stub that calls the kernel.
//!
//! A `jmp rel32` has 5 bytes, a `syscall` 2, so neighbours must move into the stub. In order of
//! preference:
//!
//! 1. The jump covers only instructions before the `syscall`, most often `mov eax, number`. The
//!    `syscall` itself stays, so whoever jumps right to it meets the host's trap, which is slow but
//!    correct.
//! 2. The jump starts at the `syscall` and covers what follows, most often `cmp rax, -4096`.
//! 3. It covers something on both sides.
//!
//! An instruction boundary under the jump must not be a branch target; bytes of moved instructions
//! behind the jump keep their old values for the same reason.
//!
//! # Position independence
//!
//! Code and stubs refer to each other only by distances. The result therefore depends on the
//! difference `stub_base - base` alone and can be cached per file: compute it with link-time
//! addresses, then map code and stubs at any bias, as long as their distance stays the same.
//! `stub_base` is a multiple of the page size, less than 2 GiB from the code and from all that the
//! code refers to relative to RIP.

use alloc::vec::Vec;

use iced_x86::Mnemonic;

use crate::decode::{self, Movable};
use crate::layout::GsLayout;
use crate::scan::{CodeImage, SYSCALL, Site, find_sites};
use crate::stub::{self, JMP, Stub};
use crate::targets::Targets;

pub use crate::targets::Hints;

const JMP_LEN: usize = JMP as usize;

/// A site that now jumps to a stub. All addresses are in terms of the given bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchedSite {
    /// Address of the `syscall` in the original code.
    pub site: u64,
    /// Address of the jump; at most the site's.
    pub jump: u64,
    /// Where the jump goes.
    pub stub: u64,
}

/// What [`rewrite`] did.
#[derive(Clone, Debug, Default)]
pub struct RewriteReport {
    /// Sites that no longer trap, ascending.
    pub patched: Vec<PatchedSite>,
    /// Addresses of `syscall` instructions that had to stay.
    pub unpatched: Vec<u64>,
    /// Addresses of the `syscall` in copies of libc's `__restore_rt`.
    ///
    /// Their bytes are a signature that unwinders and debuggers compare, so they stay. They are not
    /// reached if the kernel puts the restorer of its own vDSO into signal frames.
    pub restorers: Vec<u64>,
}

/// Rewrites all sites in `code`, whose first byte has the address `base`.
///
/// The stubs are appended to `stub_out`, whose first byte has the address `stub_base`; several
/// pieces of code can share it. See the [module's documentation](self) for the rules on addresses.
pub fn rewrite(
    code: &mut [u8],
    base: u64,
    stub_base: u64,
    stub_out: &mut Vec<u8>,
    gs: &GsLayout,
    hints: &Hints<'_>,
) -> RewriteReport {
    let mut report = RewriteReport::default();
    let image = CodeImage { bytes: code, base };
    let mut sites = find_sites(&image);
    sites.retain(|site| {
        if site.restorer {
            report.restorers.push(image.address(site.offset));
        }
        !site.restorer
    });
    if sites.is_empty() {
        return report;
    }
    let windows = Planner::new(image, hints, &sites).plan(&sites);
    let mut mover = Mover { code, base, stub_base, stub_out, gs };
    for (site, window) in sites.iter().zip(windows) {
        match window.and_then(|window| mover.patch(site.offset, &window)) {
            Some(patched) => report.patched.push(patched),
            None => report.unpatched.push(base.wrapping_add(site.offset as u64)),
        }
    }
    report
}

/// The original code that one patch moves or overwrites.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: usize,
    /// Where the stub jumps back to.
    end: usize,
}

/// Chooses the windows.
struct Planner<'a> {
    image: CodeImage<'a>,
    targets: Targets<'a>,
    /// Windows chosen so far, by site.
    chosen: Vec<Option<Window>>,
}

impl<'a> Planner<'a> {
    fn new(image: CodeImage<'a>, hints: &Hints<'_>, sites: &[Site]) -> Self {
        let targets = Targets::collect(image, hints, sites);
        Self { image, targets, chosen: alloc::vec![None; sites.len()] }
    }

    fn plan(mut self, sites: &[Site]) -> Vec<Option<Window>> {
        // First all that keep their `syscall`; the others then take what is left.
        for (index, site) in sites.iter().enumerate() {
            let window = self.window_before(site).filter(|window| self.is_free(index, window));
            self.choose(index, window);
        }
        for (index, site) in sites.iter().enumerate() {
            if self.chosen.get(index).is_some_and(Option::is_none) {
                let window = (0..=site.before.len())
                    .filter_map(|before| self.window_across(site, before))
                    .find(|window| self.is_free(index, window));
                self.choose(index, window);
            }
        }
        self.chosen
    }

    fn choose(&mut self, index: usize, window: Option<Window>) {
        if let Some(slot) = self.chosen.get_mut(index) {
            *slot = window;
        }
    }

    /// Whether no chosen window of a neighbour overlaps.
    fn is_free(&self, index: usize, window: &Window) -> bool {
        // Windows are short and so are the gaps between sites: a few neighbours suffice.
        let first = index.saturating_sub(8);
        self.chosen
            .iter()
            .skip(first)
            .take(17)
            .flatten()
            .all(|other| other.end <= window.start || window.end <= other.start)
    }

    /// Rule 1: a window that ends at the `syscall`.
    fn window_before(&self, site: &Site) -> Option<Window> {
        // A jump that is known to go to the `syscall` would trap each time.
        if self.targets.contains(site.offset) {
            return None;
        }
        let mut start = site.offset;
        for &length in &site.before {
            start = self.step_back(start, length)?;
            if site.offset.saturating_sub(start) >= JMP_LEN {
                let window = Window { start, end: site.offset };
                return self.inner_boundaries_are_free(site, window).then_some(window);
            }
        }
        None
    }

    /// Rules 2 and 3: a window over the `syscall` with `before` instructions in front of it.
    fn window_across(&self, site: &Site, before: usize) -> Option<Window> {
        let mut start = site.offset;
        for &length in site.before.iter().take(before) {
            start = self.step_back(start, length)?;
        }
        let mut end = site.offset.saturating_add(SYSCALL.len());
        let mut open = true;
        while end.saturating_sub(start) < JMP_LEN {
            let instruction = decode::decode_at(self.image.bytes, self.image.base, end)?;
            if !open {
                // Behind a jump or return only padding may be overwritten.
                let padding = matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
                if !padding {
                    return None;
                }
            } else {
                match decode::movability(&instruction) {
                    Movable::Straight => {}
                    Movable::Terminal | Movable::Jump => open = false,
                    Movable::ConditionalJump => {
                        // Encoded longer in the stub, so it must be the last one there.
                        let next = end.saturating_add(instruction.len());
                        if next.saturating_sub(start) < JMP_LEN {
                            return None;
                        }
                    }
                    Movable::No => return None,
                }
            }
            end = end.saturating_add(instruction.len());
        }
        let window = Window { start, end };
        self.inner_boundaries_are_free(site, window).then_some(window)
    }

    /// The start of the instruction of `length` bytes that ends at `end`, if it can be moved.
    fn step_back(&self, end: usize, length: u8) -> Option<usize> {
        let start = end.checked_sub(usize::from(length))?;
        let instruction = decode::decode_at(self.image.bytes, self.image.base, start)?;
        // A long no-op aligns what follows it, which then is a branch target.
        let aligns = instruction.mnemonic() == Mnemonic::Nop;
        (decode::movability(&instruction) == Movable::Straight && !aligns).then_some(start)
    }

    /// Whether nothing jumps to the instructions whose first byte the patch destroys.
    fn inner_boundaries_are_free(&self, site: &Site, window: Window) -> bool {
        let mut at = window.start;
        while at < window.start.saturating_add(JMP_LEN).min(window.end) {
            let length = if at == site.offset {
                SYSCALL.len()
            } else {
                match decode::decode_at(self.image.bytes, self.image.base, at) {
                    Some(instruction) => instruction.len(),
                    None => return false,
                }
            };
            if at != window.start && self.targets.contains(at) {
                return false;
            }
            at = at.saturating_add(length);
        }
        true
    }
}

/// Moves instructions into stubs.
struct Mover<'a> {
    code: &'a mut [u8],
    base: u64,
    stub_base: u64,
    stub_out: &'a mut Vec<u8>,
    gs: &'a GsLayout,
}

impl Mover<'_> {
    /// Writes the stub and the jump; `None`, with nothing changed in the code, if a distance does
    /// not fit.
    fn patch(&mut self, site: usize, window: &Window) -> Option<PatchedSite> {
        let after = site.saturating_add(SYSCALL.len());
        let before_len = site.checked_sub(window.start)?;
        // The length of the moved instructions is known once they are moved; only distances depend
        // on the address, so move them twice if the stub had to go to another page.
        let guess = stub::reserve(self.stub_out, self.stub_base, before_len, 0);
        let moved = self.relocate(after, window.end, stub::after_address(guess, before_len))?;
        let entry = stub::reserve(self.stub_out, self.stub_base, before_len, moved.len());
        let moved = self.relocate(after, window.end, stub::after_address(entry, before_len))?;
        let before = self.relocate(window.start, site, entry)?;

        let jump = self.base.wrapping_add(window.start as u64);
        let distance = stub::distance(jump.wrapping_add(JMP), entry)?;
        let stub = Stub {
            before: &before,
            after: &moved,
            original_after: u8::try_from(window.end.saturating_sub(after)).ok()?,
            original_rip: self.base.wrapping_add(after as u64),
        };
        stub::emit(self.stub_out, entry, &stub, self.gs)?;

        let [opcode, displacement @ ..] =
            self.code.get_mut(window.start..)?.first_chunk_mut::<JMP_LEN>()?;
        *opcode = 0xe9;
        *displacement = distance.to_le_bytes();
        Some(PatchedSite { site: self.base.wrapping_add(site as u64), jump, stub: entry })
    }

    /// The instructions from `start` to `end`, for execution at `address`.
    fn relocate(&self, start: usize, end: usize, address: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = start;
        while at < end {
            let (instruction, displacement) =
                decode::decode_with_displacement(self.code, self.base, at)?;
            let next = at.saturating_add(instruction.len());
            let bytes = self.code.get(at..next)?;
            let here = address.wrapping_add(out.len() as u64);
            match decode::movability(&instruction) {
                Movable::Jump => {
                    let target = instruction.near_branch_target();
                    let field = stub::distance(here.wrapping_add(5), target)?;
                    stub::push(&mut out, &[0xe9], field.to_le_bytes());
                    return Some(out);
                }
                Movable::ConditionalJump => {
                    let target = instruction.near_branch_target();
                    let field = stub::distance(here.wrapping_add(6), target)?;
                    let opcode = 0x80 | condition_bits(instruction.condition_code())?;
                    stub::push(&mut out, &[0x0f, opcode], field.to_le_bytes());
                    return Some(out);
                }
                kind @ (Movable::Straight | Movable::Terminal) => {
                    let first = out.len();
                    out.extend(bytes);
                    if instruction.is_ip_rel_memory_operand() {
                        let target = instruction.ip_rel_memory_address();
                        let end = here.wrapping_add(bytes.len() as u64);
                        let field = first.checked_add(displacement?)?;
                        let field = out.get_mut(field..)?.first_chunk_mut::<4>()?;
                        *field = stub::distance(end, target)?.to_le_bytes();
                    }
                    if kind == Movable::Terminal {
                        return Some(out);
                    }
                }
                Movable::No => return None,
            }
            at = next;
        }
        Some(out)
    }
}

/// The low half of the opcode of a conditional jump.
fn condition_bits(condition: iced_x86::ConditionCode) -> Option<u8> {
    use iced_x86::ConditionCode as Is;
    Some(match condition {
        Is::None => return None,
        Is::o => 0x0,
        Is::no => 0x1,
        Is::b => 0x2,
        Is::ae => 0x3,
        Is::e => 0x4,
        Is::ne => 0x5,
        Is::be => 0x6,
        Is::a => 0x7,
        Is::s => 0x8,
        Is::ns => 0x9,
        Is::p => 0xa,
        Is::np => 0xb,
        Is::l => 0xc,
        Is::ge => 0xd,
        Is::le => 0xe,
        Is::g => 0xf,
    })
}

#[cfg(test)]
mod tests;
