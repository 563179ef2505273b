//! Finds the `syscall` instructions in a piece of code.

use alloc::vec::Vec;
use core::ops::Range;

use arrayvec::ArrayVec;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::decode::{self, MAX_BEFORE};

/// The bytes of `syscall`.
pub const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// `mov $15, %rax` as libc's `__restore_rt` has it, right before its `syscall`.
const RESTORER_MOV: [u8; 7] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0];

/// Linux numbers its calls from 0 to about 470.
const MAX_NUMBER: u32 = 1023;

/// Code together with its address.
#[derive(Clone, Copy, Debug)]
pub struct CodeImage<'a> {
    /// The bytes, from the first to the last mapped one.
    pub bytes: &'a [u8],
    /// Address of `bytes[0]`. Only differences of addresses matter: link-time addresses do.
    pub base: u64,
}

impl CodeImage<'_> {
    /// The address at `offset`.
    pub fn address(&self, offset: usize) -> u64 {
        self.base.wrapping_add(offset as u64)
    }

    /// The offset of `address`, if it is inside.
    pub fn offset(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.base)?).ok()?;
        (offset < self.bytes.len()).then_some(offset)
    }
}

/// One `syscall` instruction.
#[derive(Clone, Debug)]
pub struct Site {
    /// Offset of the instruction in the code.
    pub offset: usize,
    /// Lengths of the instructions that run before it, nearest first, as far as they are known.
    pub(crate) before: ArrayVec<u8, MAX_BEFORE>,
    /// It belongs to libc's `__restore_rt`, whose bytes debuggers and unwinders compare.
    pub restorer: bool,
}

/// Finds all `syscall` instructions in `code`, in ascending order.
///
/// A `0f 05` that is part of another instruction, or that lies in data, is left out. Whatever is
/// missed here is caught by the host's trap, so doubtful places are left out, too.
pub fn find_sites(code: &CodeImage<'_>) -> Vec<Site> {
    let bytes = code.bytes;
    memchr::memmem::find_iter(bytes, &SYSCALL).filter_map(|offset| confirm(bytes, offset)).collect()
}

fn confirm(bytes: &[u8], offset: usize) -> Option<Site> {
    if follows(bytes, offset, &RESTORER_MOV) {
        return Some(Site { offset, before: ArrayVec::new(), restorer: true });
    }
    if let Some(before) = loads_number(bytes, offset).or_else(|| copies_number(bytes, offset)) {
        return Some(Site { offset, before, restorer: false });
    }
    let vote = decode::vote(bytes, offset);
    let after = offset.saturating_add(SYSCALL.len());
    let looks_like_code = (checks_result(bytes, after)
        || prepares_call(bytes, offset, &vote.before)
        || is_common_code(bytes, offset, &vote.before))
        && plausible_after(bytes, after);
    (vote.is_boundary() && looks_like_code).then_some(Site {
        offset,
        before: vote.before,
        restorer: false,
    })
}

/// The common case, told by its bytes alone: `mov eax, imm32` with a small number before `syscall`.
fn loads_number(bytes: &[u8], offset: usize) -> Option<ArrayVec<u8, MAX_BEFORE>> {
    let start = offset.checked_sub(6)?;
    let &[prefix, 0xb8, _, high, 0, 0] = bytes.get(start..offset)? else { return None };
    // With one of these in front it may be another instruction (`mov r8d, imm32`): let the vote tell.
    let maybe_prefix = matches!(prefix, 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let certain =
        u32::from(high) <= MAX_NUMBER >> 8 && !maybe_prefix && !in_immediate(bytes, offset);
    certain.then(|| ArrayVec::from_iter([5]))
}

/// Also told by its bytes: `mov rax, r64` before `syscall`, as in wrappers that take the number.
fn copies_number(bytes: &[u8], offset: usize) -> Option<ArrayVec<u8, MAX_BEFORE>> {
    const REGISTERS_TO_RAX: [u8; 8] = [0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8, 0xf0, 0xf8];
    let start = offset.checked_sub(3)?;
    let &[0x48 | 0x4c, 0x89, registers] = bytes.get(start..offset)? else { return None };
    (REGISTERS_TO_RAX.contains(&registers) && !in_immediate(bytes, offset))
        .then(|| ArrayVec::from_iter([3]))
}

/// Code that writes code (`movabs rax, imm64`) may hold a whole site in one immediate.
fn in_immediate(bytes: &[u8], offset: usize) -> bool {
    (3..=8).any(|back| {
        let opcode = offset.checked_sub(back).and_then(|at| bytes.get(at..at + 2));
        matches!(opcode, Some(&[0x48..=0x4f, 0xb8..=0xbf]))
    })
}

/// Whether `pattern` ends right before `offset`.
fn follows(bytes: &[u8], offset: usize, pattern: &[u8]) -> bool {
    bytes.get(..offset).is_some_and(|head| head.ends_with(pattern))
}

/// Whether the code behind a site compares the result with the range of error numbers.
fn checks_result(bytes: &[u8], after: usize) -> bool {
    // cmp rax, -4096 or -4095
    bytes.get(after..).is_some_and(|tail| {
        tail.starts_with(&[0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff])
            || tail.starts_with(&[0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff])
    })
}

/// Whether the instructions before the site look like code that sets up a system call.
///
/// Executable segments hold tables and strings, too, and data decodes to something. But a program
/// must load RAX before each call, as the last one left its result there.
fn prepares_call(bytes: &[u8], offset: usize, before: &[u8]) -> bool {
    let mut at = offset;
    for &length in before {
        at = at.saturating_sub(usize::from(length));
        let Some(instruction) = plausible_at(bytes, at) else { return false };
        match writes_rax(&instruction) {
            None => {}
            Some(loads_number) => return loads_number,
        }
    }
    // Nothing known in front: only at the very start of the code.
    offset < 16
}

/// Whether enough instructions before the site are of the kinds that most code consists of.
///
/// For the rare site whose number is loaded far away or in another block.
fn is_common_code(bytes: &[u8], offset: usize, before: &[u8]) -> bool {
    const ENOUGH: usize = 8;
    let mut at = offset;
    before.len() >= ENOUGH
        && before.iter().take(ENOUGH).all(|&length| {
            at = at.saturating_sub(usize::from(length));
            plausible_at(bytes, at).is_some_and(|instruction| is_common(&instruction))
        })
}

fn is_common(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::ConditionalBranch
        | FlowControl::UnconditionalBranch
        | FlowControl::Call
        | FlowControl::Return => return true,
        FlowControl::Next => {}
        _ => return false,
    }
    match instruction.mnemonic() {
        Mnemonic::Mov
        | Mnemonic::Movaps
        | Mnemonic::Movups
        | Mnemonic::Movdqa
        | Mnemonic::Movdqu
        | Mnemonic::Movsxd
        | Mnemonic::Movzx
        | Mnemonic::Lea
        | Mnemonic::Cmp
        | Mnemonic::Test
        | Mnemonic::Nop
        | Mnemonic::Pop => true,
        Mnemonic::Xor => instruction.op0_register() == instruction.op1_register(),
        // With a memory operand these are what tables of small numbers decode to.
        Mnemonic::Add | Mnemonic::Sub => {
            instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_gpr64()
        }
        _ => false,
    }
}

/// Whether an instruction sets RAX, and then whether it may set it to the number of a call.
fn writes_rax(instruction: &Instruction) -> Option<bool> {
    if !matches!(instruction.op0_register(), Register::RAX | Register::EAX) {
        // A load of AL completes one of EAX (`xor eax, eax; mov al, 39`).
        return None;
    }
    match instruction.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Bt => None,
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Immediate32 => {
            Some(instruction.immediate32() <= MAX_NUMBER)
        }
        Mnemonic::Xor => Some(instruction.op1_register() == instruction.op0_register()),
        Mnemonic::Mov
        | Mnemonic::Movsxd
        | Mnemonic::Movzx
        | Mnemonic::Movsx
        | Mnemonic::Lea
        | Mnemonic::Pop
        | Mnemonic::Inc
        | Mnemonic::Cmove
        | Mnemonic::Cmovne => Some(true),
        _ => Some(false),
    }
}

/// Looks at what runs after the site. Data rarely decodes for long.
fn plausible_after(bytes: &[u8], offset: usize) -> bool {
    let mut at = offset;
    for _ in 0..8 {
        if at >= bytes.len() {
            return true;
        }
        let Some(instruction) = plausible_at(bytes, at) else { return false };
        if !matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call
        ) {
            return true;
        }
        at = at.saturating_add(instruction.len());
    }
    true
}

fn plausible_at(bytes: &[u8], offset: usize) -> Option<Instruction> {
    let instruction = decode::decode_at(bytes, 0, offset)?;
    let is_branch = instruction.op0_kind() == OpKind::NearBranch64;
    let stays_inside = !is_branch || instruction.near_branch_target() <= bytes.len() as u64;
    (stays_inside && decode::is_plausible(&instruction)).then_some(instruction)
}

/// The bytes of the code around a site that a patch could overwrite.
pub(crate) fn reach(offset: usize) -> Range<usize> {
    offset.saturating_sub(24)..offset.saturating_add(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(bytes: &[u8]) -> Vec<usize> {
        find_sites(&CodeImage { bytes, base: 0x1000 }).iter().map(|site| site.offset).collect()
    }

    #[test]
    fn number_load_is_recognised_by_its_bytes() {
        // ret; mov eax, 39; syscall; ret
        assert_eq!(offsets(&[0xc3, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]), [6]);
    }

    #[test]
    fn number_copy_is_recognised_among_long_instructions() {
        // Sixteen of vmovdqu64 zmm31, [r12 + 64 * n], between which streams of decoding differ.
        let load = [0x62, 0x41, 0xfe, 0x48, 0x6f, 0xbc, 0x24, 0xc0, 0x07, 0, 0];
        let store = [0x62, 0xd1, 0xfe, 0x48, 0x7f, 0x85, 0, 0, 0, 0];
        let mut code = load.repeat(16);
        // mov rax, r9; syscall
        code.extend([0x4c, 0x89, 0xc8, 0x0f, 0x05]);
        code.extend(store.repeat(16));
        assert_eq!(offsets(&code), [16 * load.len() + 3]);
    }

    #[test]
    fn false_site_inside_an_immediate_is_left_out() {
        let mut code = [0x48, 0x8b, 0x44, 0x24, 0x08, 0x85, 0xc0].repeat(20);
        // mov ecx, 0x50f1122; jmp rel32 with 0f 05 inside; ret
        code.extend([0xb9, 0x22, 0x11, 0x0f, 0x05, 0xe9, 0x0f, 0x05, 0, 0, 0xc3]);
        assert_eq!(offsets(&code), [0usize; 0]);
    }

    #[test]
    fn code_that_writes_code_is_left_alone() {
        let mut code = [0x48, 0x8b, 0x44, 0x24, 0x08, 0x85, 0xc0].repeat(20);
        // movabs rax, "mov eax, 110; syscall; ret"; mov [rdi], rax; ret
        code.extend([0x48, 0xb8, 0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3]);
        code.extend([0x48, 0x89, 0x07, 0xc3]);
        assert_eq!(offsets(&code), [0usize; 0]);
    }

    #[test]
    fn prefixed_number_load_goes_to_the_vote() {
        // nops; mov eax, edi; mov r8d, 39; syscall; ret
        let mut code = [0x90].repeat(100);
        code.extend([0x89, 0xf8]);
        code.extend([0x41, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]);
        let sites = find_sites(&CodeImage { bytes: &code, base: 0 });
        assert_eq!(sites.len(), 1);
        assert_eq!(sites[0].before[0], 6);
    }

    #[test]
    fn site_in_data_is_left_out() {
        // Zeros on both sides, as in a relocation table; text, as in a string table.
        let mut table = [0].repeat(200);
        table[100..102].copy_from_slice(&SYSCALL);
        assert_eq!(offsets(&table), [0usize; 0]);
        let mut text = b"a string table, by chance with the two bytes inside. ".repeat(4);
        text[100..102].copy_from_slice(&SYSCALL);
        assert_eq!(offsets(&text), [0usize; 0]);
    }

    #[test]
    fn random_data_is_left_out() {
        let mut state = 0x0123_4567_89ab_cdef_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let mut found = 0;
        for _ in 0..2000 {
            let mut data: Vec<u8> = (0..256).map(|_| random()).collect();
            data[128..130].copy_from_slice(&SYSCALL);
            found += usize::from(confirm(&data, 128).is_some());
        }
        // 2 of 20000 in a long run.
        assert!(found <= 2, "{found}");
    }

    #[test]
    fn restorer_is_marked() {
        let sites = find_sites(&CodeImage {
            bytes: &[0x90, 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05, 0x90],
            base: 0,
        });
        assert!(sites.len() == 1 && sites[0].restorer);
    }
}
