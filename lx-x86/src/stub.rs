//! The stubs that patched sites jump to: their shape, and how to read one back.
//!
//! ```text
//!         header: ud2, 'l', 'x', length of "before", of "after", of the original "after", 0
//!         <instructions moved from before the site>
//! core:   mov  gs:[U_RSP], rsp
//!         mov  rsp, gs:[K_RSP]
//!         call gs:[ENTRY]
//!         mov  rsp, gs:[U_RSP]
//!         nop  [rax + displacement]
//!         <instructions moved from behind the site>
//!         jmp  back
//! ```
//!
//! The guest must never see an address inside a stub: signal frames and comparisons of RIP need the
//! address in the original code. So the no-op after the call carries the distance from the return
//! address to the instruction after the `syscall`, the header tells the length of the moved parts,
//! and every stub begins at a multiple of [`SLOT`] and stays inside one 4 KiB page: whoever has an
//! address in a stub finds all of it without a table, and without touching another page.

use alloc::vec::Vec;

use crate::layout::GsLayout;

/// Stubs begin at multiples of this; most have this size.
pub const SLOT: u64 = 64;
/// No stub is longer.
pub const MAX_STUB: u64 = 3 * SLOT;

const PAGE: u64 = 4096;
const MAGIC: [u8; 4] = [0x0f, 0x0b, b'l', b'x'];
const HEADER: u64 = 8;
/// Bytes of `jmp rel32`.
pub(crate) const JMP: u64 = 5;
/// Fills what nobody executes.
pub(crate) const INT3: u8 = 0xcc;

// Offsets of the core's instructions.
const SWITCH: u64 = 9;
const CALL: u64 = 18;
const RETURN: u64 = 26;
const NOP: u64 = 35;
const CORE: u64 = 42;

const MOV_TO_GS_FROM_RSP: [u8; 5] = [0x65, 0x48, 0x89, 0x24, 0x25];
const MOV_TO_RSP_FROM_GS: [u8; 5] = [0x65, 0x48, 0x8b, 0x24, 0x25];
const CALL_GS: [u8; 4] = [0x65, 0xff, 0x14, 0x25];
const NOP_DISPLACEMENT: [u8; 3] = [0x0f, 0x1f, 0x80];

/// What goes into one stub, moved instructions already corrected for their new address.
#[derive(Debug)]
pub(crate) struct Stub<'a> {
    /// Moved from before the site.
    pub(crate) before: &'a [u8],
    /// Moved from behind the site.
    pub(crate) after: &'a [u8],
    /// How many bytes the site had where `after` came from, with overwritten padding.
    pub(crate) original_after: u8,
    /// Address of the instruction behind the `syscall`.
    pub(crate) original_rip: u64,
}

/// Address of the first instruction of the next stub, when `out` (at `stub_base`) is filled so far.
///
/// Fills `out` up to there, less the header.
pub(crate) fn reserve(out: &mut Vec<u8>, stub_base: u64, before: usize, after: usize) -> u64 {
    let len = HEADER + CORE + JMP + before as u64 + after as u64;
    let mut address = stub_base.wrapping_add(out.len() as u64).next_multiple_of(SLOT);
    if (address % PAGE) + len > PAGE {
        address = address.next_multiple_of(PAGE);
    }
    out.resize(address.wrapping_sub(stub_base) as usize, INT3);
    address.wrapping_add(HEADER)
}

/// Address of the instructions moved from behind the site, in a stub whose first instruction is at
/// `entry`.
pub(crate) fn after_address(entry: u64, before: usize) -> u64 {
    entry.wrapping_add(before as u64).wrapping_add(CORE)
}

/// Appends a stub whose first instruction gets the address `entry` from [`reserve`].
///
/// Gives `None`, and appends nothing, if a distance does not fit into 32 bits.
pub(crate) fn emit(out: &mut Vec<u8>, entry: u64, stub: &Stub<'_>, gs: &GsLayout) -> Option<()> {
    let core = entry.wrapping_add(stub.before.len() as u64);
    let displacement = distance(core.wrapping_add(RETURN), stub.original_rip)?;
    let jmp_end = after_address(entry, stub.before.len())
        .wrapping_add(stub.after.len() as u64)
        .wrapping_add(JMP);
    let back = distance(jmp_end, stub.original_rip.wrapping_add(u64::from(stub.original_after)))?;
    let before = u8::try_from(stub.before.len()).ok()?;
    let after = u8::try_from(stub.after.len()).ok()?;

    out.extend(MAGIC);
    out.extend([before, after, stub.original_after, 0]);
    out.extend(stub.before);
    push(out, &MOV_TO_GS_FROM_RSP, gs.u_rsp.to_le_bytes());
    push(out, &MOV_TO_RSP_FROM_GS, gs.k_rsp.to_le_bytes());
    push(out, &CALL_GS, gs.entry.to_le_bytes());
    push(out, &MOV_TO_RSP_FROM_GS, gs.u_rsp.to_le_bytes());
    push(out, &NOP_DISPLACEMENT, displacement.to_le_bytes());
    out.extend(stub.after);
    push(out, &[0xe9], back.to_le_bytes());
    Some(())
}

/// Appends an instruction that ends with a 4-byte field.
pub(crate) fn push(out: &mut Vec<u8>, opcode: &[u8], field: [u8; 4]) {
    out.extend(opcode);
    out.extend(field);
}

/// The signed 32-bit distance between two addresses.
pub(crate) fn distance(from: u64, to: u64) -> Option<i32> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).ok()
}

/// The address the guest returns to, as it knows it, from the return address of the stub's `call`.
///
/// `read` copies code bytes from an address and tells whether all of them were readable.
pub fn original_rip(return_address: u64, read: impl Fn(u64, &mut [u8]) -> bool) -> Option<u64> {
    let bytes: [u8; 7] = fetch(return_address.wrapping_add(NOP - RETURN), &read)?;
    let [a, b, c, displacement @ ..] = bytes;
    ([a, b, c] == NOP_DISPLACEMENT).then(|| apply(return_address, i32::from_le_bytes(displacement)))
}

/// Where a thread stands inside a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// All registers are the guest's, as they would be at the original address.
    Guest,
    /// About to call the kernel. RSP is the kernel's, the guest's is in `gs:[U_RSP]`.
    BeforeCall,
    /// Back from the kernel, the call's result in RAX. RSP is the kernel's, the guest's is in
    /// `gs:[U_RSP]`.
    AfterCall,
}

/// An address in a stub, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubPosition {
    /// Whose registers they are.
    pub side: Side,
    /// The address to show to the guest. With [`Side::BeforeCall`] that of the `syscall`.
    pub original_rip: u64,
}

/// Explains `rip` if it is the address of an instruction in a stub; `None` if it is anything else.
///
/// Reads only from the page that holds `rip`.
pub fn classify_stub_rip(rip: u64, read: impl Fn(u64, &mut [u8]) -> bool) -> Option<StubPosition> {
    let slot = rip & !(SLOT - 1);
    let page = rip & !(PAGE - 1);
    let mut start = slot;
    let (found, offset) = loop {
        if let Some(found) = Found::at(start, &read) {
            let offset = rip.checked_sub(found.entry)?;
            break (found, offset);
        }
        start = start.checked_sub(SLOT)?;
        if start < page || slot.wrapping_sub(start) >= MAX_STUB {
            return None;
        }
    };
    let at_syscall = found.original_rip.wrapping_sub(2);
    let position = |side, original_rip| Some(StubPosition { side, original_rip });
    if offset < found.before {
        return position(Side::Guest, at_syscall.wrapping_sub(found.before).wrapping_add(offset));
    }
    match offset.wrapping_sub(found.before) {
        0 | SWITCH => position(Side::Guest, at_syscall),
        CALL => position(Side::BeforeCall, at_syscall),
        RETURN => position(Side::AfterCall, found.original_rip),
        NOP => position(Side::Guest, found.original_rip),
        offset if offset >= CORE => {
            let moved = offset.wrapping_sub(CORE);
            if moved < found.after {
                // Only the last moved instruction may have changed its length.
                position(Side::Guest, found.original_rip.wrapping_add(moved))
            } else if moved == found.after {
                position(Side::Guest, found.original_rip.wrapping_add(found.original_after))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Where to really continue when the guest's registers say `rip`.
///
/// The inverse of [`classify_stub_rip`], for returning from signals: an address whose instruction
/// was moved away leads to the same instruction in the stub, the `syscall` to the entry sequence.
/// `None`: no patch is there, continue at `rip`.
pub fn resume_rip(rip: u64, read: impl Fn(u64, &mut [u8]) -> bool) -> Option<u64> {
    (1..=MAX_WINDOW).find_map(|back| {
        let jump = rip.checked_sub(back)?;
        let bytes: [u8; 5] = fetch(jump, &read)?;
        resume_behind(jump, bytes, rip, &read)
    })
}

/// [`resume_rip`] if the bytes at `jump` are those of the patch in question.
pub(crate) fn resume_behind(
    jump: u64,
    bytes: [u8; 5],
    rip: u64,
    read: &impl Fn(u64, &mut [u8]) -> bool,
) -> Option<u64> {
    let [opcode, displacement @ ..] = bytes;
    let entry = apply(jump.wrapping_add(JMP), i32::from_le_bytes(displacement));
    if opcode != 0xe9 || entry % SLOT != HEADER {
        return None;
    }
    let found = Found::at(entry.wrapping_sub(HEADER), read)?;
    let site = found.original_rip.wrapping_sub(2);
    if site.wrapping_sub(found.before) != jump {
        return None;
    }
    resume_in(&found, rip)
}

/// No instruction that was moved begins farther behind the jump.
pub(crate) const MAX_WINDOW: u64 = 32;

fn resume_in(found: &Found, rip: u64) -> Option<u64> {
    let offset = rip.wrapping_sub(found.original_rip.wrapping_sub(2).wrapping_sub(found.before));
    if offset <= found.before {
        return Some(found.entry.wrapping_add(offset));
    }
    let after = rip.checked_sub(found.original_rip)?;
    let start = found.entry.wrapping_add(found.before);
    (after < found.original_after).then(|| start.wrapping_add(CORE).wrapping_add(after))
}

/// A stub that was read back.
#[derive(Debug)]
struct Found {
    entry: u64,
    before: u64,
    after: u64,
    original_after: u64,
    original_rip: u64,
}

impl Found {
    fn at(start: u64, read: &impl Fn(u64, &mut [u8]) -> bool) -> Option<Self> {
        let [a, b, c, d, before, after, original_after, 0] = fetch::<8>(start, read)? else {
            return None;
        };
        if [a, b, c, d] != MAGIC {
            return None;
        }
        let entry = start.wrapping_add(HEADER);
        let core = entry.wrapping_add(u64::from(before));
        let switch: [u8; 5] = fetch(core, read)?;
        if switch != MOV_TO_GS_FROM_RSP {
            return None;
        }
        Some(Self {
            entry,
            before: u64::from(before),
            after: u64::from(after),
            original_after: u64::from(original_after),
            original_rip: original_rip(core.wrapping_add(RETURN), read)?,
        })
    }
}

fn apply(from: u64, displacement: i32) -> u64 {
    from.wrapping_add_signed(i64::from(displacement))
}

fn fetch<const N: usize>(address: u64, read: &impl Fn(u64, &mut [u8]) -> bool) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    read(address, &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::gs;
    use alloc::vec;

    const STUBS: u64 = 0x5000;

    /// Original code at 0x1000: `mov r10, rcx` `syscall` `jne +2` patched at 0x1000.
    fn memory() -> (Vec<u8>, Vec<u8>) {
        let mut out = vec![];
        let entry = reserve(&mut out, STUBS, 3, 6);
        assert_eq!(entry, STUBS + 8);
        let stub = Stub {
            before: &[0x49, 0x89, 0xca],
            after: &[0x0f, 0x85, 0, 0, 0, 0],
            original_after: 2,
            original_rip: 0x1005,
        };
        emit(&mut out, entry, &stub, &gs).unwrap();
        let mut code = vec![0xe9];
        code.extend(distance(0x1005, entry).unwrap().to_le_bytes());
        code.extend([0x75, 0x02]);
        (code, out)
    }

    fn reader<'a>(memory: &'a (Vec<u8>, Vec<u8>)) -> impl Fn(u64, &mut [u8]) -> bool + 'a {
        |address, bytes| {
            for (base, data) in [(0x1000, &memory.0), (STUBS, &memory.1)] {
                let Some(offset) = address.checked_sub(base) else { continue };
                let Some(data) = data.get(offset as usize..) else { continue };
                let Some(data) = data.get(..bytes.len()) else { continue };
                bytes.copy_from_slice(data);
                return true;
            }
            false
        }
    }

    #[test]
    fn every_instruction_of_a_stub_is_classified() {
        let memory = memory();
        let entry = STUBS + 8;
        let core = entry + 3;
        let expected = [
            (entry, Side::Guest, 0x1000),
            (core, Side::Guest, 0x1003),
            (core + SWITCH, Side::Guest, 0x1003),
            (core + CALL, Side::BeforeCall, 0x1003),
            (core + RETURN, Side::AfterCall, 0x1005),
            (core + NOP, Side::Guest, 0x1005),
            (core + CORE, Side::Guest, 0x1005),
            (core + CORE + 6, Side::Guest, 0x1007),
        ];
        for (rip, side, original_rip) in expected {
            assert_eq!(
                classify_stub_rip(rip, reader(&memory)),
                Some(StubPosition { side, original_rip }),
                "{rip:x}"
            );
        }
        assert_eq!(classify_stub_rip(0x1000, reader(&memory)), None);
        assert_eq!(classify_stub_rip(STUBS, reader(&memory)), None);
    }

    #[test]
    fn original_rip_is_read_behind_the_return_address() {
        let memory = memory();
        assert_eq!(original_rip(STUBS + 8 + 3 + RETURN, reader(&memory)), Some(0x1005));
        assert_eq!(original_rip(STUBS + 8, reader(&memory)), None);
    }

    #[test]
    fn moved_addresses_resume_in_the_stub() {
        let memory = memory();
        let entry = STUBS + 8;
        assert_eq!(resume_rip(0x1000, reader(&memory)), None);
        assert_eq!(resume_rip(0x1003, reader(&memory)), Some(entry + 3));
        assert_eq!(resume_rip(0x1005, reader(&memory)), Some(entry + 3 + CORE));
        assert_eq!(resume_rip(0x1007, reader(&memory)), None);
    }

    #[test]
    fn stubs_do_not_cross_pages() {
        let mut out = vec![0; 4096 - 64];
        assert_eq!(reserve(&mut out, STUBS, 5, 0), STUBS + 4096 - 64 + 8);
        assert_eq!(reserve(&mut out, STUBS, 5, 6), STUBS + 4096 + 8);
    }
}
