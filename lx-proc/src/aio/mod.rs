//! Native asynchronous I/O, `io_setup(2)`.
//!
//! A [`Context`] has a ring that the guest has mapped, too; completions are stored there, so that a
//! guest may read them without a call. Reads, writes and `fsync` are done by whoever submits them,
//! as on Linux those of files that are not opened with `O_DIRECT`; the handlers do that. Only
//! [`polls`](poll) are ever in flight: whoever makes a file ready completes them, in whatever
//! process. That is why the ring is a file of the kernel, which it can reach from everywhere.
//!
//! Contexts belong to an address space ([`Contexts`]): threads share them, a child of `fork` has
//! none, and `execve` and the end of a process destroy them.

mod context;
mod poll;
mod ring;
mod table;

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;

pub use context::{Context, Operation, signal};
pub use table::Contexts;

/// Operations that all contexts together may have at first.
const DEFAULT_MAX: u64 = 65_536;

/// How many operations the contexts may have, `/proc/sys/fs/aio-max-nr`.
pub struct AioLimits {
    max: AtomicU64,
    used: AtomicU64,
}

impl Default for AioLimits {
    fn default() -> Self {
        Self { max: AtomicU64::new(DEFAULT_MAX), used: AtomicU64::new(0) }
    }
}

impl AioLimits {
    /// `aio-max-nr`.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Sets `aio-max-nr`. Contexts that there are keep what they have.
    pub fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// `aio-nr`.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes room for a context.
    ///
    /// # Errors
    /// `EAGAIN` if there is not enough.
    fn take(&self, requests: u64) -> Result<()> {
        let more = |used: u64| used.checked_add(requests).filter(|sum| *sum <= self.max());
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| Errno::EAGAIN.into())
    }

    fn give_back(&self, requests: u64) {
        self.used.fetch_sub(requests, Ordering::Relaxed);
    }
}
