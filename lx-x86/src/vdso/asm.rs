//! A minimal assembler: bytes and labels.

use alloc::vec::Vec;

/// A place in the code, maybe not yet known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// Code in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<u8>,
    labels: Vec<Option<usize>>,
    /// 4-byte fields to fill: where, and the label they are relative to.
    fields: Vec<(usize, Label)>,
}

/// Second opcode byte of near conditional jumps.
pub(super) mod jump_if {
    pub(in crate::vdso) const NOT_BELOW: u8 = 0x83;
    pub(in crate::vdso) const EQUAL: u8 = 0x84;
    pub(in crate::vdso) const NOT_EQUAL: u8 = 0x85;
}

impl Assembler {
    /// Offset of the next byte.
    pub(super) fn position(&self) -> usize {
        self.code.len()
    }

    /// Appends the bytes of an instruction.
    pub(super) fn op(&mut self, bytes: &[u8]) {
        self.code.extend(bytes);
    }

    /// Appends the bytes of an instruction that ends with a 32-bit field.
    pub(super) fn op32(&mut self, bytes: &[u8], field: u32) {
        self.op(bytes);
        self.op(&field.to_le_bytes());
    }

    /// Fills up with `int3` to a multiple of 16.
    pub(super) fn align(&mut self) {
        self.code.resize(self.code.len().next_multiple_of(16), crate::stub::INT3);
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len().saturating_sub(1))
    }

    /// Puts `label` here.
    pub(super) fn bind(&mut self, label: Label) {
        if let Some(slot) = self.labels.get_mut(label.0) {
            *slot = Some(self.code.len());
        }
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.op(&[0xe9]);
        self.field(label);
    }

    /// A conditional jump, see [`jump_if`].
    pub(super) fn jump_if(&mut self, condition: u8, label: Label) {
        self.op(&[0x0f, condition]);
        self.field(label);
    }

    fn field(&mut self, label: Label) {
        self.fields.push((self.code.len(), label));
        self.op(&[0; 4]);
    }

    /// The code with all jumps resolved. Labels that were never put anywhere count as offset 0.
    pub(super) fn finish(mut self) -> Vec<u8> {
        for (at, label) in self.fields {
            let target = self.labels.get(label.0).copied().flatten().unwrap_or_default();
            let distance = target.wrapping_sub(at.wrapping_add(4)) as u32;
            if let Some(field) = self.code.get_mut(at..).and_then(|tail| tail.first_chunk_mut()) {
                *field = distance.to_le_bytes();
            }
        }
        self.code
    }
}
