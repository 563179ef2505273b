//! Filter programs of seccomp(2): classic BPF on `struct seccomp_data`.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most instructions of one program, `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Words of scratch memory, `BPF_MEMWORDS`.
const WORDS: usize = 16;

/// `struct sock_filter`: one instruction.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// `struct seccomp_data`: what a program looks at.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Data {
    /// Number of the call.
    pub(super) number: i32,
    /// `AUDIT_ARCH_X86_64`.
    pub(super) arch: u32,
    /// Address of the instruction behind the call.
    pub(super) instruction_pointer: u64,
    /// Arguments.
    pub(super) args: [u64; 6],
}

/// Codes: class, operation and operand, `linux/bpf_common.h`.
mod code {
    pub(super) const LD_ABS: u16 = 0x20;
    pub(super) const LD_LEN: u16 = 0x80;
    pub(super) const LDX_LEN: u16 = 0x81;
    pub(super) const LD_IMM: u16 = 0x00;
    pub(super) const LDX_IMM: u16 = 0x01;
    pub(super) const LD_MEM: u16 = 0x60;
    pub(super) const LDX_MEM: u16 = 0x61;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const RET_K: u16 = 0x06;
    pub(super) const RET_A: u16 = 0x16;
    pub(super) const TAX: u16 = 0x07;
    pub(super) const TXA: u16 = 0x87;
    pub(super) const NEG: u16 = 0x84;
    pub(super) const JA: u16 = 0x05;
    /// The class of arithmetic, and the bit that says that X is the operand.
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const OPERATION: u16 = 0xf0;
    pub(super) const X: u16 = 0x08;

    pub(super) const ADD: u16 = 0x00;
    pub(super) const SUB: u16 = 0x10;
    pub(super) const MUL: u16 = 0x20;
    pub(super) const DIV: u16 = 0x30;
    pub(super) const OR: u16 = 0x40;
    pub(super) const AND: u16 = 0x50;
    pub(super) const LSH: u16 = 0x60;
    pub(super) const RSH: u16 = 0x70;
    pub(super) const XOR: u16 = 0xa0;

    pub(super) const JEQ: u16 = 0x10;
    pub(super) const JGT: u16 = 0x20;
    pub(super) const JGE: u16 = 0x30;
    pub(super) const JSET: u16 = 0x40;
}

/// A program that was found to end, and to stay within its memory.
#[derive(Debug)]
pub(super) struct Program(Vec<Instruction>);

impl Program {
    /// Checks a program as Linux does.
    ///
    /// # Errors
    /// `EINVAL`.
    pub(super) fn new(instructions: Vec<Instruction>) -> Result<Self> {
        let len = instructions.len();
        if len == 0 || len > MAX_INSTRUCTIONS {
            return Err(Errno::EINVAL.into());
        }
        let all_good = instructions.iter().enumerate().all(|(at, instruction)| {
            let rest = len - at - 1;
            is_allowed(instruction) && jumps_inside(instruction, rest)
        });
        let ends =
            instructions.last().is_some_and(|last| matches!(last.code, code::RET_K | code::RET_A));
        if all_good && ends && loads_what_is_stored(&instructions) {
            Ok(Self(instructions))
        } else {
            Err(Errno::EINVAL.into())
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs the program: what it returns.
    pub(super) fn run(&self, data: &Data) -> u32 {
        let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; WORDS]);
        let mut at = 0;
        // All jumps lead forward, so it ends. What `new` has checked cannot be missing.
        while let Some(instruction) = self.0.get(at) {
            at += 1;
            let k = instruction.k;
            match instruction.code {
                code::LD_ABS => a = word(data, k),
                code::LD_LEN => a = size_of::<Data>() as u32,
                code::LDX_LEN => x = size_of::<Data>() as u32,
                code::LD_IMM => a = k,
                code::LDX_IMM => x = k,
                code::LD_MEM => a = memory.get(k as usize).copied().unwrap_or(0),
                code::LDX_MEM => x = memory.get(k as usize).copied().unwrap_or(0),
                code::ST | code::STX => {
                    let value = if instruction.code == code::ST { a } else { x };
                    if let Some(word) = memory.get_mut(k as usize) {
                        *word = value;
                    }
                }
                code::RET_K => return k,
                code::RET_A => return a,
                code::TAX => x = a,
                code::TXA => a = x,
                code::NEG => a = a.wrapping_neg(),
                code::JA => at += k as usize,
                other => {
                    let operand = if other & code::X != 0 { x } else { k };
                    let operation = other & code::OPERATION;
                    if other & code::CLASS == code::JMP {
                        let skip = if compare(operation, a, operand) {
                            instruction.jt
                        } else {
                            instruction.jf
                        };
                        at += usize::from(skip);
                    } else {
                        match calculate(operation, a, operand) {
                            Some(value) => a = value,
                            // A division by zero ends the program, as on Linux.
                            None => return 0,
                        }
                    }
                }
            }
        }
        0
    }
}

fn word(data: &Data, offset: u32) -> u32 {
    let bytes = data.as_bytes().get(offset as usize..).unwrap_or_default();
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn compare(operation: u16, a: u32, operand: u32) -> bool {
    match operation {
        code::JEQ => a == operand,
        code::JGT => a > operand,
        code::JGE => a >= operand,
        _ => a & operand != 0,
    }
}

fn calculate(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        code::ADD => a.wrapping_add(operand),
        code::SUB => a.wrapping_sub(operand),
        code::MUL => a.wrapping_mul(operand),
        code::DIV => a.checked_div(operand)?,
        code::OR => a | operand,
        code::AND => a & operand,
        code::LSH => a.wrapping_shl(operand),
        code::RSH => a.wrapping_shr(operand),
        _ => a ^ operand,
    })
}

/// Whether seccomp knows the instruction, and its constant is one.
fn is_allowed(instruction: &Instruction) -> bool {
    let k = instruction.k;
    match instruction.code {
        code::LD_ABS => k.is_multiple_of(4) && (k as usize) < size_of::<Data>(),
        code::LD_MEM | code::LDX_MEM | code::ST | code::STX => (k as usize) < WORDS,
        code::LD_LEN
        | code::LDX_LEN
        | code::LD_IMM
        | code::LDX_IMM
        | code::RET_K
        | code::RET_A
        | code::TAX
        | code::TXA
        | code::NEG
        | code::JA => true,
        other => {
            let known = other & !(code::CLASS | code::OPERATION | code::X) == 0;
            let constant = other & code::X == 0;
            match (other & code::CLASS, other & code::OPERATION) {
                (code::ALU, code::DIV) => known && !(constant && k == 0),
                (code::ALU, code::LSH | code::RSH) => known && !(constant && k >= 32),
                (
                    code::ALU,
                    code::ADD | code::SUB | code::MUL | code::OR | code::AND | code::XOR,
                ) => known,
                (code::JMP, code::JEQ | code::JGT | code::JGE | code::JSET) => known,
                _ => false,
            }
        }
    }
}

/// Whether a jump leads to one of the `rest` instructions behind it.
fn jumps_inside(instruction: &Instruction, rest: usize) -> bool {
    match instruction.code {
        code::JA => (instruction.k as usize) < rest,
        other if other & code::CLASS == code::JMP => {
            usize::from(instruction.jt) < rest && usize::from(instruction.jf) < rest
        }
        _ => true,
    }
}

/// Whether on every way a word of memory is stored before it is loaded.
fn loads_what_is_stored(instructions: &[Instruction]) -> bool {
    // For each instruction the words that are stored on all ways that lead there by jumps.
    let mut stored = alloc::vec![u16::MAX; instructions.len()];
    let mut valid = 0_u16;
    for (at, instruction) in instructions.iter().enumerate() {
        valid &= stored.get(at).copied().unwrap_or(0);
        let bit = 1_u16.checked_shl(instruction.k).unwrap_or(0);
        let mut join = |skip: usize| {
            if let Some(known) = stored.get_mut(at + 1 + skip) {
                *known &= valid;
            }
        };
        match instruction.code {
            code::ST | code::STX => valid |= bit,
            code::LD_MEM | code::LDX_MEM if valid & bit == 0 => return false,
            code::JA => {
                join(instruction.k as usize);
                valid = u16::MAX;
            }
            other if other & code::CLASS == code::JMP => {
                join(instruction.jt.into());
                join(instruction.jf.into());
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Data, Instruction, Program};

    fn op(code: u16, k: u32) -> Instruction {
        Instruction { code, jt: 0, jf: 0, k }
    }

    fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn result(instructions: &[Instruction], data: &Data) -> Option<u32> {
        Some(Program::new(instructions.to_vec()).ok()?.run(data))
    }

    #[test]
    fn programs_see_the_call() {
        let data = Data {
            number: 39,
            arch: 7,
            instruction_pointer: 1 << 40,
            args: [5, 1 << 33, 0, 0, 0, 9],
        };
        let load = |offset| result(&[op(0x20, offset), op(0x16, 0)], &data);
        assert_eq!([load(0), load(4), load(8), load(12)], [Some(39), Some(7), Some(0), Some(256)]);
        assert_eq!([load(16), load(24), load(28), load(56)], [Some(5), Some(0), Some(2), Some(9)]);
        assert_eq!([load(2), load(64)], [None, None]);
        assert_eq!(result(&[op(0x80, 0), op(0x16, 0)], &data), Some(64));
    }

    #[test]
    fn jumps_and_arithmetic() {
        let data = Data { number: 39, ..Data::default() };
        let is_39 = [op(0x20, 0), jump(0x15, 39, 0, 1), op(6, 1), op(6, 2)];
        assert_eq!(result(&is_39, &data), Some(1));
        assert_eq!(result(&is_39, &Data::default()), Some(2));
        // ((39 * 3) << 2) - 8, by way of X and the memory.
        let sums = [
            op(0x20, 0),
            op(0x24, 3),
            op(0x64, 2),
            op(0x02, 5),
            op(0x01, 8),
            op(0x60, 5),
            op(0x1c, 0),
            op(0x16, 0),
        ];
        assert_eq!(result(&sums, &data), Some(460));
        // A division by an X of zero.
        assert_eq!(result(&[op(0x00, 4), op(0x3c, 0), op(0x06, 7)], &data), Some(0));
    }

    #[test]
    fn bad_programs() {
        let bad = [
            vec![],
            vec![op(0x20, 0)],
            vec![op(0x34, 0), op(6, 0)],
            vec![op(0x64, 32), op(6, 0)],
            vec![op(0x94, 3), op(6, 0)],
            vec![op(0x28, 0), op(6, 0)],
            vec![op(0x05, 1), op(6, 0)],
            vec![jump(0x15, 0, 0, 1), op(6, 0)],
            vec![op(0x60, 3), op(6, 0)],
            vec![op(0x02, 16), op(6, 0)],
            // Stored on one of two ways only.
            vec![jump(0x15, 0, 1, 0), op(0x02, 3), op(0x60, 3), op(6, 0)],
            vec![op(6, 0); 4097],
        ];
        for program in bad {
            assert!(Program::new(program.clone()).is_err(), "{:?}", program.first());
        }
        assert!(Program::new(vec![op(6, 0); 4096]).is_ok());
    }
}
