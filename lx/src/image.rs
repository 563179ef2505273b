//! The kernel image that this library carries.

/// An ELF program; empty if the library was built without it.
pub(crate) static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/lx-image.bin"));
