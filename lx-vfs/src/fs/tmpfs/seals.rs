//! Seals of a file, `fcntl(2)`.

use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::memfd::Seals;

/// The seals of one file. An ordinary file has one that forbids to add others.
pub(crate) struct FileSeals(AtomicU32);

impl FileSeals {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(Seals::F_SEAL_SEAL.bits()))
    }

    /// The seals.
    pub(crate) fn get(&self) -> Seals {
        Seals::from_bits_retain(self.0.load(Ordering::Acquire))
    }

    /// Sets them, for a file that nobody else knows yet.
    pub(crate) fn replace(&self, seals: Seals) {
        self.0.store(seals.bits(), Ordering::Release);
    }

    /// `F_ADD_SEALS`.
    pub(super) fn add(&self, more: Seals) -> Result<()> {
        let add = |old: u32| {
            let sealed = Seals::from_bits_retain(old).contains(Seals::F_SEAL_SEAL);
            (!sealed).then_some(old | more.bits())
        };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::EPERM.into()),
        }
    }

    /// Whether the contents may be changed.
    pub(super) fn check_write(&self) -> Result<()> {
        if self.get().intersects(Seals::F_SEAL_WRITE | Seals::F_SEAL_FUTURE_WRITE) {
            return Err(Errno::EPERM.into());
        }
        Ok(())
    }

    /// Whether the length may change from `old` to `new`.
    pub(super) fn check_resize(&self, old: u64, new: u64) -> Result<()> {
        let seals = self.get();
        if (new < old && seals.contains(Seals::F_SEAL_SHRINK))
            || (new > old && seals.contains(Seals::F_SEAL_GROW))
        {
            return Err(Errno::EPERM.into());
        }
        Ok(())
    }

    /// The largest length that a write may give a file of `size` bytes.
    pub(super) fn write_limit(&self, size: u64, limit: u64) -> u64 {
        if self.get().contains(Seals::F_SEAL_GROW) { limit.min(size) } else { limit }
    }
}
