//! Unwind tables of the vDSO: `.eh_frame` and `.eh_frame_hdr`.
//!
//! Debuggers and C++ runtimes walk the stack through signal frames. They find the restorer's
//! address on the stack and need to be told that this frame's caller is described by the `ucontext`
//! at RSP.

use alloc::vec::Vec;

use super::code::{Code, Function};

/// Where the saved registers are in the `ucontext`, by DWARF register number (16 is RIP).
const SAVED: [u16; 17] =
    [144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168];

const DW_CFA_NOP: u8 = 0x00;
const DW_CFA_DEF_CFA: u8 = 0x0c;
const DW_CFA_DEF_CFA_EXPRESSION: u8 = 0x0f;
const DW_CFA_EXPRESSION: u8 = 0x10;
const DW_CFA_OFFSET: u8 = 0x80;
const DW_OP_BREG7: u8 = 0x77;
const DW_OP_DEREF: u8 = 0x06;
const RSP: u8 = 7;
const RIP: u8 = 16;
/// Data alignment factor -8, as SLEB128.
const MINUS_8: u8 = 0x78;
/// Addresses relative to their own place, signed 32 bits.
const PCREL_SDATA4: u8 = 0x1b;
const UDATA4: u8 = 0x03;
const DATAREL_SDATA4: u8 = 0x3b;

/// The two tables, with the header first.
#[derive(Debug)]
pub(super) struct Unwind {
    /// `.eh_frame_hdr` followed by `.eh_frame`.
    pub(super) bytes: Vec<u8>,
    /// Length of the header table.
    pub(super) header_len: usize,
}

/// Builds the tables for an image where they start at `at` and the code at `text`.
pub(super) fn build(code: &Code, at: usize, text: usize) -> Unwind {
    let header_len = 12 + 8 * 2;
    let mut frames = Frames { bytes: Vec::new(), at: at.wrapping_add(header_len) };

    // All functions are leaves that leave the stack alone.
    let functions_len = code.functions.iter().map(|f| f.offset.saturating_add(f.len)).max();
    let plain = frames.cie(b"zR\0", &[DW_CFA_DEF_CFA, RSP, 8, DW_CFA_OFFSET | RIP, 1]);
    let functions = Function { name: "", offset: 0, len: functions_len.unwrap_or_default() };
    let functions = (functions.offset, frames.fde(plain, text, &functions, &[]));

    let signal = frames.cie(b"zRS\0", &[]);
    // From the no-op before it on.
    let range = Function {
        name: "",
        offset: code.restorer.offset.saturating_sub(1),
        len: code.restorer.len.saturating_add(1),
    };
    let restorer = (range.offset, frames.fde(signal, text, &range, &restorer_program()));
    frames.bytes.extend([0; 4]);

    let mut bytes = alloc::vec![1, PCREL_SDATA4, UDATA4, DATAREL_SDATA4];
    bytes.extend(((header_len - 4) as u32).to_le_bytes());
    bytes.extend(2u32.to_le_bytes());
    for (start, fde) in [functions, restorer] {
        bytes.extend((text.wrapping_add(start).wrapping_sub(at) as u32).to_le_bytes());
        bytes.extend((header_len.wrapping_add(fde) as u32).to_le_bytes());
    }
    bytes.extend(frames.bytes);
    Unwind { bytes, header_len }
}

/// CFA and registers are what the `ucontext` at RSP says.
fn restorer_program() -> Vec<u8> {
    let mut program = Vec::new();
    let mut cfa = breg7(160);
    cfa.push(DW_OP_DEREF);
    program.extend([DW_CFA_DEF_CFA_EXPRESSION, cfa.len() as u8]);
    program.extend(cfa);
    for (register, offset) in (0u8..).zip(SAVED) {
        let expression = breg7(offset);
        program.extend([DW_CFA_EXPRESSION, register, expression.len() as u8]);
        program.extend(expression);
    }
    program
}

/// `RSP + offset`
fn breg7(offset: u16) -> Vec<u8> {
    let low = (offset & 0x7f) as u8;
    let high = (offset >> 7) as u8;
    // SLEB128: a second byte wherever bit 6 would be taken for a sign.
    if low & 0x40 == 0 && high == 0 {
        alloc::vec![DW_OP_BREG7, low]
    } else {
        alloc::vec![DW_OP_BREG7, low | 0x80, high]
    }
}

struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    fn cie(&mut self, augmentation: &[u8], program: &[u8]) -> usize {
        let mut body = alloc::vec![0, 0, 0, 0, 1];
        body.extend(augmentation);
        body.extend([1, MINUS_8, RIP, 1, PCREL_SDATA4]);
        body.extend(program);
        self.entry(body)
    }

    fn fde(&mut self, cie: usize, text: usize, range: &Function, program: &[u8]) -> usize {
        // The CIE pointer counts back from its own place, the address from its own.
        let here = self.bytes.len().saturating_add(4);
        let mut body = (here.wrapping_sub(cie) as u32).to_le_bytes().to_vec();
        let place = self.at.wrapping_add(here).wrapping_add(4);
        let start = text.wrapping_add(range.offset);
        body.extend((start.wrapping_sub(place) as u32).to_le_bytes());
        body.extend((range.len as u32).to_le_bytes());
        body.push(0);
        body.extend(program);
        self.entry(body)
    }

    fn entry(&mut self, mut body: Vec<u8>) -> usize {
        let start = self.bytes.len();
        let len = body.len().saturating_add(4).next_multiple_of(8).saturating_sub(4);
        body.resize(len, DW_CFA_NOP);
        self.bytes.extend((body.len() as u32).to_le_bytes());
        self.bytes.extend(body);
        start
    }
}
