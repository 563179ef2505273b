//! The kernel image that this library carries.

/// An ELF program; empty if the library was built without it.
pub(crate) static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lx-image.bin"));

/// The program of Windows that loads it; empty if the library was built without it.
#[cfg(windows)]
pub(crate) static LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lx-host.exe"));

#[cfg(all(test, unix))]
mod rules;

#[cfg(all(test, unix))]
mod tests {
    use object::{Object, ObjectSection};

    use super::IMAGE;
    use super::rules::examine;

    #[test]
    fn the_image_leaves_fs_and_wide_vectors_to_the_guest() {
        let found = examine(IMAGE).expect("the library was built without its image");
        assert!(found.instructions > 10_000, "only {} instructions", found.instructions);
        assert!(found.forbidden.is_empty(), "{:#?}", found.forbidden);
    }

    #[test]
    fn the_image_uses_no_vector_register_that_the_entry_does_not_save() {
        let found = examine(IMAGE).expect("the library was built without its image");
        assert!(found.high_xmm.is_empty(), "calls get slower by these: {:#?}", found.high_xmm);
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
