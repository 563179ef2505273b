//! Checks of the image as bytes; `tests/vdso.rs` runs it.

use alloc::vec::Vec;

use object::{Object, ObjectSection, ObjectSymbol};

use super::*;
use crate::layout::gs;
use crate::stub::classify_stub_rip;

#[test]
fn image_is_an_elf_file_with_the_functions() {
    let image = build_vdso(&gs);
    assert!(image.bytes.len().is_multiple_of(PAGE));
    let file = object::File::parse(&*image.bytes).unwrap();
    let names: Vec<_> = file.dynamic_symbols().map(|symbol| symbol.name().unwrap()).collect();
    for name in ["clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"] {
        assert!(names.contains(&name), "{names:?}");
        let long = alloc::format!("__vdso_{name}");
        assert!(names.contains(&&*long), "{names:?}");
    }
    let text = file.section_by_name(".text").unwrap();
    assert_eq!(text.address(), TEXT as u64);
    for symbol in file.dynamic_symbols() {
        assert_eq!(symbol.section_index(), Some(text.index()));
        let start = image.bytes.get(symbol.address() as usize..).unwrap();
        assert!(start.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]));
    }
    let stubs = file.section_by_name(".text.stubs").unwrap();
    assert!(stubs.address() >= text.address() + text.size());
}

#[test]
fn every_kernel_call_goes_through_a_stub() {
    let assembled = code::assemble(VVAR_SIZE + TEXT);
    let mut text = assembled.code.clone();
    let report = rewrite(&mut text, 0, 0x1000, &mut Vec::new(), &gs, &Hints::default());
    assert_eq!(report.patched.len(), 6);
    assert_eq!((report.unpatched, report.restorers), (Vec::new(), Vec::new()));
    assert!(TEXT + text.len() <= PAGE);
}

#[test]
fn restorer_jumps_to_a_stub_with_an_address_in_the_text() {
    let image = build_vdso(&gs);
    let read = |address: u64, bytes: &mut [u8]| {
        let source = image.bytes.get(address as usize..).and_then(|tail| tail.get(..bytes.len()));
        source.is_some_and(|source| {
            bytes.copy_from_slice(source);
            true
        })
    };
    let mut jump = [0; 5];
    assert!(read(image.restorer, &mut jump) && jump[0] == 0xe9);
    let field = i32::from_le_bytes(jump[1..].try_into().unwrap());
    let stub = (image.restorer + 5).wrapping_add_signed(i64::from(field));
    let position = classify_stub_rip(stub, read).unwrap();
    assert_eq!(position.original_rip, image.restorer);
}
