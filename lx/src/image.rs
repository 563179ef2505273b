//! The kernel image that this library carries.

/// An ELF program; empty if the library was built without it.
pub(crate) static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lx-image.bin"));

/// The program of Windows that loads it; empty if the library was built without it.
#[cfg(windows)]
pub(crate) static LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lx-host.exe"));

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use iced_x86::{Code, Decoder, DecoderOptions, EncodingKind, Instruction, Register};
    use object::{Object, ObjectSection};

    use super::IMAGE;

    /// FS belongs to the guest, and so do the upper halves of the vector registers: the entry
    /// saves neither.
    fn forbidden(instruction: &Instruction) -> bool {
        let vector = matches!(
            instruction.code().encoding(),
            EncodingKind::VEX | EncodingKind::EVEX | EncodingKind::XOP
        );
        let fs = instruction.segment_prefix() == Register::FS
            || (0..instruction.op_count())
                .any(|operand| instruction.op_register(operand) == Register::FS);
        vector || fs
    }

    #[test]
    fn the_image_leaves_fs_and_wide_vectors_to_the_guest() {
        let file = object::File::parse(IMAGE).expect("the library was built without its image");
        let text = file.section_by_name(".text").expect("the image has code");
        let code = text.data().expect("the code is in the file");
        let mut decoder = Decoder::with_ip(64, code, text.address(), DecoderOptions::NONE);
        let mut count = 0;
        let mut found = Vec::new();
        for instruction in &mut decoder {
            count += 1;
            if instruction.code() == Code::INVALID || forbidden(&instruction) {
                found.push(format!("{:#x}: {:?}", instruction.ip(), instruction.code()));
            }
        }
        assert!(count > 10_000, "only {count} instructions");
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_image_is_linked_at_the_start_of_the_region_without_relocations() {
        let file = object::File::parse(IMAGE).expect("the library was built without its image");
        let first = file.sections().filter(|s| s.address() != 0).map(|s| s.address()).min();
        assert_eq!(first, Some(0x7000_0000_0000));
        assert!(
            file.dynamic_relocations().is_none_or(|mut relocations| relocations.next().is_none())
        );
        assert!(file.section_by_name(".tdata").is_none_or(|section| section.size() == 0));
    }
}
