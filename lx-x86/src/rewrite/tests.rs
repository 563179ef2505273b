//! One hand-made piece of code per pattern.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::layout::gs;

const BASE: u64 = 0x1000;
const STUBS: u64 = 0x20000;
/// Instructions of the stub between the moved parts.
const CORE: usize = 42;

struct Result {
    code: Vec<u8>,
    stubs: Vec<u8>,
    report: RewriteReport,
}

/// Rewrites `code` between plain instructions, so that the vote has something to decode.
fn run_with(code: &[u8], hints: &Hints<'_>) -> Result {
    let mut all = lead();
    all.extend(code);
    all.extend(tail());
    let mut stubs = vec![];
    let report = rewrite(&mut all, BASE, STUBS, &mut stubs, &gs, hints);
    let code = all[lead().len()..][..code.len()].to_vec();
    Result { code, stubs, report }
}

fn run(code: &[u8]) -> Result {
    run_with(code, &Hints::default())
}

/// `mov rax, [rsp+8]; test eax, eax`, many times.
fn lead() -> Vec<u8> {
    [0x48, 0x8b, 0x44, 0x24, 0x08, 0x85, 0xc0].repeat(20)
}

fn tail() -> Vec<u8> {
    [0x48, 0x8b, 0x44, 0x24, 0x08].repeat(10)
}

/// Address of the first byte of the code given to [`run`].
fn start() -> u64 {
    BASE + lead().len() as u64
}

impl Result {
    /// The moved bytes before and behind the core of the first stub.
    fn moved(&self) -> (&[u8], &[u8]) {
        let (before, after) = (usize::from(self.stubs[4]), usize::from(self.stubs[5]));
        let stub = &self.stubs[8..];
        (&stub[..before], &stub[before + CORE..][..after])
    }

    fn jump_target(&self, offset: usize) -> u64 {
        assert_eq!(self.code[offset], 0xe9);
        let field = self.code[offset + 1..][..4].try_into().unwrap();
        let next = start() + offset as u64 + 5;
        next.wrapping_add_signed(i64::from(i32::from_le_bytes(field)))
    }

    fn assert_patched_at(&self, offset: usize) {
        assert_eq!(self.report.unpatched, []);
        assert_eq!(self.report.patched[0].jump, start() + offset as u64);
        assert_eq!(self.jump_target(offset), STUBS + 8);
    }
}

#[test]
fn number_load_moves_and_the_syscall_stays() {
    let result = run(&[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]);
    result.assert_patched_at(0);
    assert_eq!(result.code[5..], [0x0f, 0x05, 0xc3]);
    assert_eq!(result.moved(), (&[0xb8, 39, 0, 0, 0][..], &[][..]));
}

#[test]
fn several_instructions_before_move_in_order() {
    // mov r10, rcx; mov eax, edi; syscall; cmp eax, eax
    let result = run(&[0x49, 0x89, 0xca, 0x89, 0xf8, 0x0f, 0x05, 0x39, 0xc0]);
    result.assert_patched_at(0);
    assert_eq!(result.code[5..], [0x0f, 0x05, 0x39, 0xc0]);
    assert_eq!(result.moved().0, [0x49, 0x89, 0xca, 0x89, 0xf8]);
}

#[test]
fn instruction_behind_moves_when_nothing_before_can() {
    // call rbx; syscall; cmp rax, -4096; ja +0
    let code = [0xff, 0xd3, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 0];
    let result = run(&code);
    result.assert_patched_at(2);
    assert_eq!(result.moved(), (&[][..], &[0x48, 0x3d, 0, 0xf0, 0xff, 0xff][..]));
    assert_eq!(result.code[10..], [0x77, 0]);
}

#[test]
fn rip_relative_operand_keeps_its_target() {
    // xor eax, eax; mov rdi, [rip + 0x100]; syscall
    let result = run(&[0x31, 0xc0, 0x48, 0x8b, 0x3d, 0, 1, 0, 0, 0x0f, 0x05]);
    result.assert_patched_at(2);
    let (before, _) = result.moved();
    assert_eq!(before[..3], [0x48, 0x8b, 0x3d]);
    let field = i32::from_le_bytes(before[3..7].try_into().unwrap());
    let target = start() + 9 + 0x100;
    assert_eq!((STUBS + 8 + 7).wrapping_add_signed(i64::from(field)), target);
}

#[test]
fn destroyed_branch_target_is_refused() {
    // mov r10, rcx; L: mov eax, edi; syscall; cmp rax, -4096; jne L
    let code =
        [0x49, 0x89, 0xca, 0x89, 0xf8, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x75, 0xf4];
    let result = run(&code);
    result.assert_patched_at(5);
}

#[test]
fn branch_to_the_syscall_makes_the_jump_start_there() {
    // mov eax, 39; L: syscall; cmp rax, -4096; jne L
    let code = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x75, 0xf6];
    run(&code).assert_patched_at(5);
}

#[test]
fn hinted_target_is_refused() {
    // mov r10, rcx; mov eax, edi; syscall; cmp rax, -4096
    let code = [0x49, 0x89, 0xca, 0x89, 0xf8, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff];
    let targets = [start() + 3];
    run_with(&code, &Hints { targets: &targets, rodata: None }).assert_patched_at(5);
}

#[test]
fn return_and_padding_behind_are_covered() {
    // call rbx; mov eax, edi; syscall; ret; nops: with the first `mov` not enough before.
    let code = [0xff, 0xd3, 0x89, 0xf8, 0x0f, 0x05, 0xc3, 0x66, 0x90, 0x90];
    let result = run(&code);
    // Two moved bytes before, or padding behind: the site itself comes first in the search.
    result.assert_patched_at(4);
    assert_eq!(result.moved(), (&[][..], &[0xc3][..]));
}

#[test]
fn short_conditional_jump_becomes_near() {
    // call rbx; mov eax, edi; syscall; je +2
    let code = [0xff, 0xd3, 0x89, 0xf8, 0x0f, 0x05, 0x74, 0x02, 0xff, 0xd3, 0xff, 0xd3];
    let result = run(&code);
    result.assert_patched_at(2);
    let (before, after) = result.moved();
    assert_eq!((before, &after[..2]), (&[0x89, 0xf8][..], &[0x0f, 0x84][..]));
    let field = i32::from_le_bytes(after[2..6].try_into().unwrap());
    let end = STUBS + 8 + 2 + CORE as u64 + 6;
    assert_eq!(end.wrapping_add_signed(i64::from(field)), start() + 10);
}

#[test]
fn site_without_room_is_reported() {
    // call rbx; mov eax, edi; syscall; call rbx
    let code = [0xff, 0xd3, 0x89, 0xf8, 0x0f, 0x05, 0xff, 0xd3];
    let result = run(&code);
    assert_eq!(result.report.unpatched, [start() + 4]);
    assert_eq!((result.code, result.stubs.len() % 64), (code.to_vec(), 0));
}

#[test]
fn restorer_stays_and_is_reported() {
    let code = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
    let result = run(&code);
    assert_eq!(result.report.restorers, [start() + 7]);
    assert_eq!(result.code, code);
}

#[test]
fn close_sites_do_not_share_instructions() {
    // call rbx; mov eax, edi; mov edi, esi; syscall; mov eax, 60; syscall; ret
    let code = [
        0xff, 0xd3, 0x89, 0xf8, 0x89, 0xf7, 0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x90,
        0x90,
    ];
    let result = run(&code);
    assert_eq!(result.report.unpatched, []);
    let jumps: Vec<_> = result.report.patched.iter().map(|p| p.jump - start()).collect();
    // Not the `mov eax, 60`: it belongs to the second.
    assert_eq!(jumps, [2, 8]);
}

#[test]
fn far_stubs_leave_everything_as_it_was() {
    let mut code = lead();
    code.extend([0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]);
    let original = code.clone();
    let mut stubs = vec![];
    let hints = Hints::default();
    let report = rewrite(&mut code, BASE, BASE + (3 << 30), &mut stubs, &gs, &hints);
    assert_eq!((report.patched.len(), report.unpatched.len()), (0, 1));
    assert_eq!(code, original);
}

#[test]
fn truncated_and_random_code_is_harmless() {
    let mut state = 7u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    for round in 0..500 {
        let mut code: Vec<u8> = (0..round).map(|_| random()).collect();
        for _ in 0..round / 20 {
            // Many sites, so that windows meet and overlap the ends.
            let at = usize::from(random()) * round / 256;
            let snippet = [0xb8, 39, 0, 0, 0, 0x0f, 0x05];
            let len = snippet.len().min(round - at);
            code[at..at + len].copy_from_slice(&snippet[..len]);
        }
        let mut stubs = vec![];
        let report = rewrite(&mut code, BASE, STUBS, &mut stubs, &gs, &Hints::default());
        let mut jumps: Vec<_> = report.patched.iter().map(|patch| patch.jump).collect();
        jumps.sort_unstable();
        assert!(jumps.is_sorted_by(|a, b| a + 5 <= *b));
    }
}
