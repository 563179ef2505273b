//! File systems.

pub mod devpts;
pub mod drvfs;
pub mod hostfs;
pub mod layers;
pub(crate) mod meta;
pub mod mqueue;
pub mod overlay;
pub mod pseudo;
pub mod tmpfs;
pub(crate) mod xattr;

use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::stat::makedev;

/// Lower minor numbers have a fixed meaning (pipes, anonymous inodes).
static NEXT_DEV: AtomicU32 = AtomicU32::new(32);

/// A device number for a file system without a device.
pub fn new_dev() -> u64 {
    makedev(0, NEXT_DEV.fetch_add(1, Ordering::Relaxed))
}
