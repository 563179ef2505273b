//! Names for the host: bytes with a NUL behind them, without the heap where they are short.

use alloc::vec::Vec;
use core::fmt::Write;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult};
use lx_core::text::Text;

/// Longest name that needs no heap.
const SHORT: usize = 255;

/// A path that ends with NUL.
#[expect(clippy::large_enum_variant, reason = "lives on the stack, for one call")]
pub(crate) enum Path {
    Short([u8; SHORT + 1]),
    Long(Vec<u8>),
}

impl Path {
    /// `EINVAL` for a name that contains NUL.
    pub(crate) fn new(name: &[u8]) -> HostResult<Self> {
        if name.contains(&0) {
            return Err(HostError(Errno::EINVAL));
        }
        let mut bytes = [0; SHORT + 1];
        if let Some(room) = bytes.get_mut(..name.len()).filter(|_| name.len() <= SHORT) {
            room.copy_from_slice(name);
            return Ok(Self::Short(bytes));
        }
        let mut bytes = name.to_vec();
        bytes.push(0);
        Ok(Self::Long(bytes))
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        match self {
            Self::Short(bytes) => bytes.as_ptr(),
            Self::Long(bytes) => bytes.as_ptr(),
        }
    }
}

/// A name in a directory, as an absolute path.
pub(crate) fn path_below(dir: u64, name: &[u8]) -> HostResult<Path> {
    let mut path = alloc::format!("/proc/self/fd/{dir}/").into_bytes();
    path.extend_from_slice(name);
    Path::new(&path)
}

/// The name by which a descriptor can be opened again.
pub(crate) fn descriptor_path(fd: u64) -> Path {
    let mut path = Text::new();
    // Always fits.
    let _ = write!(path, "/proc/self/fd/{fd}");
    Path::Short(path.into_array())
}
