//! Host threads that run guest tasks.

use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;

use super::{Fault, HostResult, Nanos, Resume, TrapHandler};
use crate::abi::GuestRegs;

/// Names a thread block of the host. Blocks are recycled, never freed: a stale id interrupts
/// another task, which finds nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct HostThreadId(pub u64);

/// The part of a thread's extended state that is not as it was at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XstateNow {
    /// Components (bits as in XCR0).
    pub components: u64,
    /// Length of an area that holds them.
    pub len: usize,
}

/// Threads, sleeping and waking.
pub trait HostThread {
    /// Starts a thread in the calling process that enters the guest with `regs` and `fs_base`.
    /// The host announces the block by [`TrapHandler::attached`] before the guest runs.
    fn spawn_thread(
        &self,
        handler: Arc<dyn TrapHandler>,
        regs: &GuestRegs,
        fs_base: u64,
    ) -> HostResult<()>;
    /// Sleeps while `*word == expected`, until woken or until the monotonic clock reaches
    /// `deadline`. May return early for no reason.
    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>);
    /// Wakes up to `count` threads that are parked on `word`, in any process.
    fn wake(&self, word: &AtomicU32, count: u32);
    /// Makes the thread enter the kernel soon if it runs guest code, so that
    /// [`TrapHandler::interrupt`] is called; if it is in the kernel, that happens on its way out.
    /// Does not end a [`park`](HostThread::park).
    fn interrupt(&self, thread: HostThreadId);
    /// The block of the calling thread.
    fn current(&self) -> HostThreadId;
    /// Gives the processor away once.
    fn yield_now(&self);
    /// Orders the memory accesses of all threads of the calling process, or of all processes if
    /// `everywhere`; `false` if the host cannot.
    fn memory_barrier(&self, everywhere: bool) -> bool {
        let _ = everywhere;
        false
    }
    /// The guest's thread pointer (FS base) of the calling thread.
    fn fs_base(&self) -> u64;
    /// Sets it.
    fn set_fs_base(&self, base: u64);
    /// The extended register state (`XSAVE` layout) that the calling guest thread has now, written
    /// to `area`; the number of bytes. Zero on hosts without real registers.
    fn save_xstate(&self, area: &mut [u8]) -> usize;
    /// Loads the extended state that the guest shall have after `Resume::FullWithXstate`.
    /// `EINVAL` for a malformed area.
    fn load_xstate(&self, area: &[u8]) -> HostResult<()>;
    /// As [`save_xstate`](HostThread::save_xstate), straight to guest memory, with `software` in the
    /// bytes of the legacy area that are software's; `now` is what
    /// [`xstate_now`](HostThread::xstate_now) has said. `None`: not offered.
    fn save_xstate_to(
        &self,
        _address: u64,
        _now: XstateNow,
        _software: &[u8],
    ) -> Option<Result<(), Fault>> {
        None
    }
    /// As [`load_xstate`](HostThread::load_xstate), straight from guest memory; says how to go on.
    /// With [`Resume::Full`] the guest has the state already. `None`: not offered.
    fn load_xstate_from(&self, _address: u64, _len: usize) -> Option<HostResult<Resume>> {
        None
    }
    /// Length of the longest area that [`save_xstate`](HostThread::save_xstate) writes.
    fn xstate_size(&self) -> usize;
    /// What [`save_xstate`](HostThread::save_xstate) needs now: components in their initial state
    /// need no room.
    fn xstate_now(&self) -> XstateNow {
        XstateNow { components: self.xstate_features(), len: self.xstate_size() }
    }
    /// The feature mask (XCR0) of that area.
    fn xstate_features(&self) -> u64;
    /// Number of processors.
    fn cpu_count(&self) -> u32;
    /// The processor that the caller runs on.
    fn current_cpu(&self) -> u32;
}
