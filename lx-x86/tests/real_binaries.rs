//! Rewrites the code of real programs and checks every patch. Executes none of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind};
use lx_x86::layout::gs;
use lx_x86::rewrite::{Hints, PatchedSite, RewriteReport, rewrite};
use lx_x86::stub::{Side, classify_stub_rip, original_rip, resume_rip};
use object::{Object, ObjectSegment, ObjectSymbol, SegmentFlags};

/// One executable segment before and after.
struct Rewritten {
    base: u64,
    original: Vec<u8>,
    code: Vec<u8>,
    stub_base: u64,
    stubs: Vec<u8>,
    report: RewriteReport,
}

impl Rewritten {
    fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        [(self.base, &self.code), (self.stub_base, &self.stubs)].iter().any(|(base, data)| {
            let Some(offset) = address.checked_sub(*base) else { return false };
            let Some(data) = data.get(offset as usize..) else { return false };
            let Some(data) = data.get(..bytes.len()) else { return false };
            bytes.copy_from_slice(data);
            true
        })
    }
}

/// Rewrites the executable segments of a file; `None` if this machine has no such file.
fn rewrite_file(path: &str) -> Option<Vec<Rewritten>> {
    if !Path::new(path).exists() {
        eprintln!("{path}: not here");
        return None;
    }
    let data = std::fs::read(path).expect("readable");
    let file = object::File::parse(&*data).expect("an ELF file");
    let end = file.segments().map(|s| s.address() + s.size()).max().expect("has segments");
    let targets: Vec<u64> = file.dynamic_symbols().map(|symbol| symbol.address()).collect();
    let mut all = vec![];
    for segment in file.segments() {
        let SegmentFlags::Elf { p_flags, .. } = segment.flags() else { panic!("not ELF") };
        if p_flags.0 & object::elf::PF_X.0 == 0 {
            continue;
        }
        let original = segment.data().expect("in the file").to_vec();
        let base = segment.address();
        let stub_base = end.next_multiple_of(4096) + 4096;
        let hints = Hints { targets: &targets, rodata: None };
        let (mut code, mut stubs) = (original.clone(), vec![]);
        let start = Instant::now();
        let report = rewrite(&mut code, base, stub_base, &mut stubs, &gs, &hints);
        eprintln!(
            "{path}: {} KB, {} patched, {} unpatched, {} restorers, {:?}",
            code.len() / 1024,
            report.patched.len(),
            report.unpatched.len(),
            report.restorers.len(),
            start.elapsed()
        );
        all.push(Rewritten { base, original, code, stub_base, stubs, report });
    }
    Some(all)
}

fn decode(bytes: &[u8], base: u64, address: u64) -> Instruction {
    let tail = &bytes[(address - base) as usize..];
    Decoder::with_ip(64, tail, address, DecoderOptions::NONE).decode()
}

/// What an instruction means apart from where it stands and how long it is.
fn meaning(instruction: &Instruction) -> String {
    let mut plain = *instruction;
    let target = plain.near_branch_target();
    if plain.op0_kind() == OpKind::NearBranch64 {
        return format!("{:?} to {target:x}", plain.mnemonic());
    }
    let memory = plain.is_ip_rel_memory_operand().then(|| plain.ip_rel_memory_address());
    plain.set_ip(0);
    plain.set_next_ip(0);
    format!("{plain:?} {memory:x?}")
}

fn check_patch(file: &Rewritten, patch: &PatchedSite) {
    let read = |address, bytes: &mut [u8]| file.read(address, bytes);
    let original = |address| decode(&file.original, file.base, address);
    let in_stub = |address| decode(&file.stubs, file.stub_base, address);

    let jump = decode(&file.code, file.base, patch.jump);
    assert_eq!(jump.near_branch_target(), patch.stub);
    assert_eq!((jump.len(), jump.flow_control()), (5, FlowControl::UnconditionalBranch));

    // Each moved instruction means the same, and both addresses lead to each other.
    let (mut old, mut new) = (patch.jump, patch.stub);
    let check = |old: u64, new: u64| {
        assert_eq!(meaning(&original(old)), meaning(&in_stub(new)));
        let position = classify_stub_rip(new, read).expect("in a stub");
        assert_eq!((position.side, position.original_rip), (Side::Guest, old));
        if old != patch.jump {
            assert_eq!(resume_rip(old, read), Some(new));
        }
    };
    while old < patch.site {
        check(old, new);
        (old, new) = (original(old).next_ip(), in_stub(new).next_ip());
    }
    assert_eq!(old, patch.site);
    assert_eq!(original(old).mnemonic(), iced_x86::Mnemonic::Syscall);
    if old != patch.jump {
        assert_eq!(resume_rip(old, read), Some(new));
    }
    for expected in [
        (Side::Guest, patch.site),
        (Side::Guest, patch.site),
        (Side::BeforeCall, patch.site),
        (Side::AfterCall, patch.site + 2),
        (Side::Guest, patch.site + 2),
    ] {
        let position = classify_stub_rip(new, read).expect("in a stub");
        assert_eq!((position.side, position.original_rip), expected);
        if position.side == Side::AfterCall {
            assert_eq!(original_rip(new, read), Some(patch.site + 2));
        }
        new = in_stub(new).next_ip();
    }
    old += 2;
    loop {
        let instruction = in_stub(new);
        let position = classify_stub_rip(new, read).expect("in a stub");
        if instruction.near_branch_target() == position.original_rip
            && instruction.mnemonic() == iced_x86::Mnemonic::Jmp
        {
            // Back behind everything that moved, never into the middle of the jump.
            assert!(position.original_rip >= patch.jump + 5);
            break;
        }
        check(old, new);
        (old, new) = (original(old).next_ip(), instruction.next_ip());
    }
}

fn check_file(path: &str, at_least: usize) {
    let Some(segments) = rewrite_file(path) else { return };
    let mut sites = 0;
    for file in &segments {
        assert_eq!(file.report.unpatched, [0u64; 0], "{path}");
        sites += file.report.patched.len();
        let mut jumps = HashMap::new();
        for patch in &file.report.patched {
            check_patch(file, patch);
            assert_eq!(jumps.insert(patch.jump, patch.stub), None);
        }
        // Only the jumps changed.
        let mut code = file.code.clone();
        for jump in jumps.keys() {
            let offset = (jump - file.base) as usize;
            code[offset..offset + 5].copy_from_slice(&file.original[offset..offset + 5]);
        }
        assert!(code == file.original, "{path}");
    }
    assert!(sites >= at_least, "{path}: {sites}");
}

#[test]
fn libc_is_patched_completely() {
    check_file("/lib/x86_64-linux-gnu/libc.so.6", 400);
}

#[test]
fn dynamic_linker_is_patched_completely() {
    check_file("/lib64/ld-linux-x86-64.so.2", 30);
}

#[test]
fn static_busybox_is_patched_completely() {
    check_file("/bin/busybox", 200);
}

#[test]
fn musl_is_patched_completely() {
    check_file("/lib/ld-musl-x86_64.so.1", 300);
}

#[test]
fn programs_without_sites_stay_as_they_are() {
    check_file("/bin/bash", 0);
    check_file("/usr/bin/python3", 0);
    check_file("/lib/x86_64-linux-gnu/libcrypto.so.3", 0);
}

#[test]
fn result_depends_on_distances_only() {
    let Some(segments) = rewrite_file("/lib64/ld-linux-x86-64.so.2") else { return };
    for file in segments {
        let (mut code, mut stubs) = (file.original.clone(), vec![]);
        let bias = 0x7f12_3456_7000u64;
        rewrite(
            &mut code,
            file.base + bias,
            file.stub_base + bias,
            &mut stubs,
            &gs,
            &Hints::default(),
        );
        assert!(code == file.code && stubs == file.stubs);
    }
}
