//! Instruction lengths, local resynchronisation, and what may be moved.
//!
//! x86 code cannot be decoded backwards, and decoding a whole file is slow. But decoding that starts
//! at a wrong byte falls into step with the real instruction stream after a few instructions. So a
//! candidate is judged by a vote: decode from many starts a little before it and count how many
//! streams have an instruction boundary exactly there. A `0f 05` inside an immediate gets almost no
//! votes, a real `syscall` nearly all.

use arrayvec::ArrayVec;
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register,
};

/// How far before a candidate the streams start, in bytes: nearest and farthest.
const NEAREST_START: usize = 32;
const FARTHEST_START: usize = 96;
/// One start every so many bytes: 22 starts, odd against the even alignment of functions.
const START_STEP: usize = 3;
/// How many instructions before a site are looked at.
pub(crate) const MAX_BEFORE: usize = 12;
/// Bytes decoded before a site, so also the size of the tables below.
const SPAN: usize = FARTHEST_START + 1;

/// What the vote found out about one position.
#[derive(Clone, Debug)]
pub(crate) struct Vote {
    /// Streams that have an instruction boundary at the position.
    pub(crate) hits: usize,
    /// Streams that passed or reached the position.
    pub(crate) streams: usize,
    /// Lengths of the instructions that end at the position, nearest first; cut where the streams
    /// disagree.
    pub(crate) before: ArrayVec<u8, MAX_BEFORE>,
}

impl Vote {
    /// Whether the position is an instruction boundary.
    pub(crate) fn is_boundary(&self) -> bool {
        self.streams == 0 || self.hits.saturating_mul(2) > self.streams
    }
}

/// Decodes the instruction at `offset` of `code`, as if `code` were at address `base`.
///
/// Gives `None` where the bytes are no instruction or are cut off.
pub(crate) fn decode_at(code: &[u8], base: u64, offset: usize) -> Option<Instruction> {
    decode_with_displacement(code, base, offset).map(|(instruction, _)| instruction)
}

/// Like [`decode_at`], and gives the offset of the displacement field inside the instruction when it
/// has one of 4 bytes.
pub(crate) fn decode_with_displacement(
    code: &[u8],
    base: u64,
    offset: usize,
) -> Option<(Instruction, Option<usize>)> {
    let tail = code.get(offset..)?;
    let tail = tail.get(..tail.len().min(15))?;
    let mut decoder =
        Decoder::with_ip(64, tail, base.wrapping_add(offset as u64), DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let constants = decoder.get_constant_offsets(&instruction);
    let displacement = (constants.has_displacement() && constants.displacement_size() == 4)
        .then(|| constants.displacement_offset());
    Some((instruction, displacement))
}

/// Lets the streams that start before `offset` vote on whether an instruction begins there.
pub(crate) fn vote(code: &[u8], offset: usize) -> Vote {
    let start = offset.saturating_sub(FARTHEST_START);
    let span = offset.saturating_sub(start);
    // Lengths by distance from `start`; each offset is decoded once, as the streams soon merge.
    let mut lengths: [Option<u8>; SPAN] = [None; SPAN];
    let mut through = [0u16; SPAN];
    let mut hits = 0usize;
    let mut streams = 0usize;

    // Close to the beginning of the code every offset serves as a start.
    let last_start = if span > NEAREST_START { span.saturating_sub(NEAREST_START) } else { span };
    let step = if span > NEAREST_START { START_STEP } else { 1 };
    for first in (0..last_start).step_by(step) {
        let mut at = first;
        let mut path: ArrayVec<usize, SPAN> = ArrayVec::new();
        let lands = loop {
            if at >= span {
                break Some(at == span);
            }
            let Some(length) = lengths.get_mut(at) else { break None };
            let length = *length.get_or_insert_with(|| {
                decode_at(code, 0, start.saturating_add(at)).map_or(0, |i| i.len() as u8)
            });
            if length == 0 || path.try_push(at).is_err() {
                break None;
            }
            at = at.saturating_add(usize::from(length));
        };
        // A stream that ran into invalid bytes never was in step: it has no say.
        let Some(lands) = lands else { continue };
        streams = streams.saturating_add(1);
        if lands {
            hits = hits.saturating_add(1);
            for at in path {
                if let Some(count) = through.get_mut(at) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    let mut before = ArrayVec::new();
    let mut end = span;
    while !before.is_full() {
        let candidates = (1..=15usize.min(end)).filter_map(|back| {
            let at = end.checked_sub(back)?;
            let length = (*lengths.get(at)?)?;
            let count = *through.get(at)?;
            (usize::from(length) == back && count > 0).then_some((count, back))
        });
        let total = candidates.clone().map(|(count, _)| usize::from(count)).sum::<usize>();
        let Some((count, back)) = candidates.max() else { break };
        // Far from the position the streams have not merged yet: trust no minority and no loner.
        let count = usize::from(count);
        if count.saturating_mul(2) <= total || count < hits.min(3) {
            break;
        }
        if before.try_push(back as u8).is_err() {
            break;
        }
        end = end.saturating_sub(back);
    }
    Vote { hits, streams, before }
}

/// How control leaves an instruction that is considered for moving into a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movable {
    /// Goes on to the next instruction: bytes are copied, a RIP-relative displacement is corrected.
    Straight,
    /// Never goes on (`ret`, `jmp reg`, `hlt`, `ud2`): copied in the same way.
    Terminal,
    /// Direct jump: encoded anew with a 4-byte displacement. Never goes on.
    Jump,
    /// Conditional direct jump: encoded anew with a 4-byte displacement.
    ConditionalJump,
    /// Must stay where it is.
    No,
}

/// Classifies an instruction for moving.
pub(crate) fn movability(instruction: &Instruction) -> Movable {
    if !is_plausible(instruction) {
        return Movable::No;
    }
    if instruction.is_ip_rel_memory_operand() && instruction.memory_base() != Register::RIP {
        // EIP-relative wraps at 4 GiB; compilers never emit it.
        return Movable::No;
    }
    // Legacy prefixes on branches (notrack, bnd, hints) would be lost by the new encoding.
    match instruction.flow_control() {
        FlowControl::Next => match instruction.code() {
            Code::Syscall | Code::Sysenter | Code::Endbr64 | Code::Endbr32 => Movable::No,
            _ => Movable::Straight,
        },
        FlowControl::Return | FlowControl::IndirectBranch => Movable::Terminal,
        FlowControl::Exception => Movable::Terminal,
        FlowControl::UnconditionalBranch if is_near_direct(instruction) => Movable::Jump,
        FlowControl::ConditionalBranch if instruction.is_jcc_short_or_near() => {
            Movable::ConditionalJump
        }
        _ => Movable::No,
    }
}

fn is_near_direct(instruction: &Instruction) -> bool {
    instruction.is_jmp_short_or_near()
}

/// Whether an instruction can be expected in a user program, near a system call.
///
/// Data between functions decodes to something, too; port access and the like betray it.
pub(crate) fn is_plausible(instruction: &Instruction) -> bool {
    // `hlt` stands behind calls that do not return.
    if instruction.is_privileged() && instruction.mnemonic() != Mnemonic::Hlt {
        return false;
    }
    // `add [rax], al` is what a run of zero bytes decodes to.
    let zeros = instruction.code() == Code::Add_rm8_r8
        && instruction.memory_base() == Register::RAX
        && instruction.len() == 2;
    if zeros || instruction.cpuid_features().contains(&CpuidFeature::FPU) {
        return false;
    }
    !matches!(
        instruction.mnemonic(),
        Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Insb
            | Mnemonic::Insd
            | Mnemonic::Insw
            | Mnemonic::Outsb
            | Mnemonic::Outsd
            | Mnemonic::Outsw
            | Mnemonic::Cli
            | Mnemonic::Sti
            | Mnemonic::Cmc
            | Mnemonic::Iret
            | Mnemonic::Iretd
            | Mnemonic::Iretq
            | Mnemonic::Retf
            | Mnemonic::Lgs
            | Mnemonic::Lfs
            | Mnemonic::Lss
            | Mnemonic::Int
            | Mnemonic::Int1
            | Mnemonic::Enter
            | Mnemonic::Xlatb
            | Mnemonic::Rcl
            | Mnemonic::Rcr
            | Mnemonic::Loop
            | Mnemonic::Loope
            | Mnemonic::Loopne
            | Mnemonic::Jrcxz
            | Mnemonic::Lodsb
            | Mnemonic::Lodsd
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundary_wins_and_the_inside_of_an_immediate_loses() {
        // 20 times `mov rax, [rsp+8]; test eax, eax`, then `mov ecx, 0x050f1122; nop`.
        let mut code = [0x48, 0x8b, 0x44, 0x24, 0x08, 0x85, 0xc0].repeat(20);
        let immediate = code.len();
        code.extend([0xb9, 0x22, 0x11, 0x0f, 0x05, 0x90]);
        assert!(vote(&code, immediate).is_boundary());
        assert_eq!(vote(&code, immediate).before[..6], [2, 5, 2, 5, 2, 5]);
        assert!(!vote(&code, immediate + 3).is_boundary());
    }

    #[test]
    fn first_byte_is_a_boundary() {
        assert!(vote(&[0x0f, 0x05], 0).is_boundary());
    }
}
