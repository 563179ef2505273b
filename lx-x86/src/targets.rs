//! Which addresses near syscall sites are reached by a jump from elsewhere.
//!
//! A patch destroys the instruction boundaries under its 5 bytes, so none of those may be the target
//! of a branch. Decoding all code to collect branches would be slow; instead each 4-byte field that
//! would point near a site is looked at, and its opcode checked. That over-approximates: a field
//! inside a longer immediate counts, too. It only makes the rewriter choose another place.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::decode;
use crate::scan::{CodeImage, Site, reach};

/// What is known about a file besides its code, to find jump targets that no instruction shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Addresses that may be jumped to: dynamic symbols, relative relocations, the entry point.
    pub targets: &'a [u64],
    /// Read-only data, searched for relative jump tables that the code refers to.
    pub rodata: Option<CodeImage<'a>>,
}

/// Bytes of code per bit of the filter: small enough that the filter stays in the first-level cache.
const GRANULE_SHIFT: u32 = 4;
/// No compiler emits longer jump tables next to system calls; bounds the work on crafted files.
const MAX_TABLE_ENTRIES: usize = 1024;

/// The targets near sites.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    code: CodeImage<'a>,
    near: Vec<usize>,
}

impl<'a> Targets<'a> {
    /// Collects what points near one of `sites`.
    pub(crate) fn collect(code: CodeImage<'a>, hints: &Hints<'_>, sites: &[Site]) -> Self {
        let mut filter = Filter::new(code.bytes.len());
        for site in sites {
            filter.mark(reach(site.offset));
        }
        let mut near = Vec::new();
        for &address in hints.targets {
            if let Some(offset) = code.offset(address).filter(|&offset| filter.contains(offset)) {
                near.push(offset);
            }
        }
        for range in search_ranges(sites, code.bytes.len()) {
            for_each_reference(code.bytes, range, |index, is_lea| {
                let Some(&[.., a, b, c, d]) =
                    code.bytes.get(index..).and_then(|tail| tail.first_chunk::<6>())
                else {
                    return;
                };
                let target = (index as u64)
                    .wrapping_add(6)
                    .wrapping_add_signed(i64::from(i32::from_le_bytes([a, b, c, d])))
                    as usize;
                if filter.contains(target) {
                    near.push(target);
                }
                if is_lea {
                    collect_table(&code, hints, target, &filter, &mut near);
                }
            });
        }
        near.sort_unstable();
        near.dedup();
        Self { code, near }
    }

    /// Whether something may jump to `offset`.
    pub(crate) fn contains(&self, offset: usize) -> bool {
        self.near.binary_search(&offset).is_ok() || self.short_branch_to(offset)
    }

    /// Looks for 2-byte branches. Their pattern is frequent by chance, so each find is voted on.
    fn short_branch_to(&self, offset: usize) -> bool {
        // The branch begins 126 bytes before (displacement 127 - ...) up to 129 bytes behind.
        let first = offset.saturating_sub(129);
        let last = offset.saturating_add(126);
        let Some(area) = self.code.bytes.get(first..self.code.bytes.len().min(last)) else {
            return false;
        };
        area.array_windows().enumerate().any(|(index, &[opcode, displacement])| {
            let at = first.saturating_add(index);
            matches!(opcode, 0x70..=0x7f | 0xe0..=0xe3 | 0xeb)
                && (at as i64).wrapping_add(2).wrapping_add(i64::from(displacement.cast_signed()))
                    == offset as i64
                && decode::vote(self.code.bytes, at).hits > 0
        })
    }
}

/// Where branches to the neighbourhood of sites are looked for.
///
/// Labels inside a function are only used by the function itself; functions are shorter than this.
fn search_ranges(sites: &[Site], len: usize) -> Vec<Range<usize>> {
    const DISTANCE: usize = 512 * 1024;
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for site in sites {
        let start = site.offset.saturating_sub(DISTANCE);
        let end = site.offset.saturating_add(DISTANCE).min(len);
        match ranges.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

/// Whether two bytes can be the last ones before the displacement of a near branch or a
/// RIP-relative `lea`. No branches in here, so that the compiler can use vectors.
fn is_reference(first: u8, second: u8) -> bool {
    let call_or_jmp = second & 0xfe == 0xe8;
    let jcc = (first == 0x0f) & (second & 0xf0 == 0x80);
    call_or_jmp | jcc | is_lea(first, second)
}

fn is_lea(first: u8, second: u8) -> bool {
    (first == 0x8d) & (second & 0xc7 == 0x05)
}

/// Calls `found` with the index of each pair of bytes that satisfies [`is_reference`], and whether
/// it is a `lea`.
fn for_each_reference(bytes: &[u8], range: Range<usize>, mut found: impl FnMut(usize, bool)) {
    const CHUNK: usize = 64;
    let mut start = range.start;
    while start < range.end {
        let tail = bytes.get(start..).unwrap_or_default();
        let next = tail.get(1..).unwrap_or_default();
        let mut hits = [0u8; CHUNK];
        for ((hit, &first), &second) in hits.iter_mut().zip(tail).zip(next) {
            *hit = u8::from(is_reference(first, second));
        }
        for (group, hits) in hits.as_chunks::<8>().0.iter().enumerate() {
            let mut hits = u64::from_le_bytes(*hits);
            while hits != 0 {
                let offset = group.wrapping_mul(8).wrapping_add(hits.trailing_zeros() as usize / 8);
                let lea = match (tail.get(offset), next.get(offset)) {
                    (Some(&first), Some(&second)) => is_lea(first, second),
                    _ => false,
                };
                found(start.wrapping_add(offset), lea);
                hits &= hits.wrapping_sub(1);
            }
        }
        start = start.saturating_add(CHUNK);
    }
}

/// Follows the relative jump table at `table` (an offset from the code's base, maybe outside).
fn collect_table(
    code: &CodeImage<'_>,
    hints: &Hints<'_>,
    table: usize,
    filter: &Filter,
    near: &mut Vec<usize>,
) {
    let address = code.base.wrapping_add(table as u64);
    let entries = hints
        .rodata
        .and_then(|data| data.bytes.get(data.offset(address)?..))
        .or_else(|| code.bytes.get(table..))
        .unwrap_or_default();
    for entry in entries.as_chunks::<4>().0.iter().take(MAX_TABLE_ENTRIES) {
        let target = table.wrapping_add_signed(i32::from_le_bytes(*entry) as isize);
        if target >= code.bytes.len() {
            break;
        }
        if filter.contains(target) {
            near.push(target);
        }
    }
}

/// A coarse set of offsets.
#[derive(Debug)]
struct Filter {
    bits: Vec<u64>,
    len: usize,
}

impl Filter {
    fn new(len: usize) -> Self {
        Self { bits: vec![0; (len >> (GRANULE_SHIFT + 6)).saturating_add(1)], len }
    }

    fn mark(&mut self, range: Range<usize>) {
        for granule in range.start >> GRANULE_SHIFT..=range.end >> GRANULE_SHIFT {
            if let Some(word) = self.bits.get_mut(granule >> 6) {
                *word |= 1 << (granule & 63);
            }
        }
    }

    fn contains(&self, offset: usize) -> bool {
        let granule = offset >> GRANULE_SHIFT;
        offset < self.len
            && self.bits.get(granule >> 6).is_some_and(|word| word >> (granule & 63) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrayvec::ArrayVec;

    fn targets_of(code: &[u8], site: usize, hints: &Hints<'_>) -> Vec<usize> {
        let sites = [Site { offset: site, before: ArrayVec::new(), restorer: false }];
        let targets = Targets::collect(CodeImage { bytes: code, base: 0x1000 }, hints, &sites);
        (0..code.len()).filter(|&offset| targets.contains(offset)).collect()
    }

    #[test]
    fn near_branches_and_lea_count() {
        let mut code = [0x90].repeat(600);
        code[550..555].copy_from_slice(&[0xe8, (505i32 - 555) as u8, 0xff, 0xff, 0xff]);
        code[10..17].copy_from_slice(&[0x48, 0x8d, 0x05, (507 - 17) as u8, 1, 0, 0]);
        code[520..522].copy_from_slice(&[0x75, (500i32 - 522) as u8]);
        assert_eq!(targets_of(&code, 500, &Hints::default()), [500, 505, 507]);
    }

    #[test]
    fn hints_and_jump_tables_count() {
        let mut code = [0x90].repeat(600);
        // lea rax, [rip + table], the table being 0x2000 behind the code's base.
        code[10..17].copy_from_slice(&[0x48, 0x8d, 0x05, 0, 0, 0, 0]);
        code[13..17].copy_from_slice(&(0x2000i32 - 17).to_le_bytes());
        let mut table = Vec::new();
        for entry in [510i32 - 0x2000, 503 - 0x2000, 0x7000_0000, 502 - 0x2000] {
            table.extend(entry.to_le_bytes());
        }
        let hints = Hints {
            targets: &[0x1000 + 501, 0x9999],
            rodata: Some(CodeImage { bytes: &table, base: 0x3000 }),
        };
        assert_eq!(targets_of(&code, 500, &hints), [501, 503, 510]);
    }
}
