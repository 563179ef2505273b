//! Seals of a file, `fcntl(2)`.

use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::memfd::Seals;

/// The seals of one file, and the mappings that matter to them. An ordinary file has one seal that
/// forbids to add others.
pub(crate) struct FileSeals {
    seals: AtomicU32,
    /// Shared mappings through which the file may be changed.
    mappings: AtomicU32,
    /// How many there have been.
    ever: AtomicU32,
}

impl FileSeals {
    pub(super) fn new() -> Self {
        let seals = AtomicU32::new(Seals::F_SEAL_SEAL.bits());
        Self { seals, mappings: AtomicU32::new(0), ever: AtomicU32::new(0) }
    }

    /// The seals.
    pub(crate) fn get(&self) -> Seals {
        Seals::from_bits_retain(self.seals.load(Ordering::SeqCst))
    }

    /// Sets them, for a file that nobody else knows yet.
    pub(crate) fn replace(&self, seals: Seals) {
        self.seals.store(seals.bits(), Ordering::Release);
    }

    /// `F_ADD_SEALS`.
    pub(super) fn add(&self, more: Seals) -> Result<()> {
        let add = |old: u32| {
            let sealed = Seals::from_bits_retain(old).contains(Seals::F_SEAL_SEAL);
            (!sealed).then_some(old | more.bits())
        };
        let order = Ordering::SeqCst;
        let old = self.seals.fetch_update(order, order, add).map_err(|_| Errno::EPERM)?;
        // A mapping that is made now sees the seal, or is seen here.
        if more.contains(Seals::F_SEAL_WRITE) && self.mappings.load(order) > 0 {
            self.seals.fetch_and(old | !more.bits(), order);
            return Err(Errno::EBUSY.into());
        }
        Ok(())
    }

    /// Counts a shared mapping that may be written, unless seals forbid it.
    pub(super) fn map_shared(&self, write: bool) -> Result<bool> {
        self.mappings.fetch_add(1, Ordering::SeqCst);
        match self.check_write() {
            Ok(()) => {
                self.ever.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) => {
                self.unmap_shared();
                if write { Err(error) } else { Ok(false) }
            }
        }
    }

    /// A counted mapping is gone.
    pub(super) fn unmap_shared(&self) {
        self.mappings.fetch_sub(1, Ordering::SeqCst);
    }

    /// A number that changes when the contents may have been changed through a mapping; `None` as
    /// long as they may change at any time.
    pub(super) fn mapped_changes(&self) -> Option<u32> {
        let unmapped = self.mappings.load(Ordering::SeqCst) == 0;
        unmapped.then(|| self.ever.load(Ordering::Relaxed))
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
