//! The signal state of one task.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::SigSet;
use lx_core::abi::signal::{StackFlags, StackT};

use super::PendingQueue;

/// Pending and blocked signals and the alternate stack of a task. All but the queue is written by
/// the task itself only.
#[derive(Default)]
pub struct TaskSignals {
    pending: PendingQueue,
    blocked: AtomicU64,
    /// Signals that `sigtimedwait` has unblocked for its time: they are not thrown away, even if
    /// their action is to be ignored.
    awaited: AtomicU64,
    /// The mask to come back after a delivery, while a call has replaced it.
    saved: AtomicU64,
    has_saved: AtomicBool,
    stack_base: AtomicU64,
    stack_size: AtomicU64,
    stack_flags: AtomicU32,
    /// The last fault, for `sigcontext`: `cr2`, trap number, error code.
    fault_address: AtomicU64,
    trap_number: AtomicU64,
    error_code: AtomicU64,
    /// The vDSO's restorer in the task's memory, 0 while nobody has asked.
    restorer: AtomicU64,
}

impl TaskSignals {
    /// Signals that were sent to this task alone.
    pub fn pending(&self) -> &PendingQueue {
        &self.pending
    }

    /// The vDSO's restorer; `find` looks it up for the first time.
    pub(crate) fn restorer(&self, find: impl FnOnce() -> u64) -> u64 {
        let known = self.restorer.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let found = find();
        self.restorer.store(found, Ordering::Relaxed);
        found
    }

    /// The task has got other memory.
    pub(crate) fn forget_restorer(&self) {
        self.restorer.store(0, Ordering::Relaxed);
    }

    /// The signal mask.
    pub fn blocked(&self) -> SigSet {
        SigSet(self.blocked.load(Ordering::Acquire))
    }

    /// Replaces the mask without looking at what that unblocks; see
    /// [`change_mask`](super::change_mask).
    pub(crate) fn set_blocked(&self, mask: SigSet) {
        // An exchange, as a mere store could become visible after the caller has looked for pending
        // signals. A sender who adds one between the two would find it blocked and interrupt nobody.
        self.blocked.swap(mask.difference(SigSet::UNBLOCKABLE).0, Ordering::SeqCst);
    }

    /// Signals that a `sigtimedwait` of the task waits for.
    pub(crate) fn awaited(&self) -> SigSet {
        SigSet(self.awaited.load(Ordering::Acquire))
    }

    pub(crate) fn set_awaited(&self, set: SigSet) {
        self.awaited.store(set.0, Ordering::Release);
    }

    /// Keeps a mask that comes back after the next delivery.
    pub(crate) fn save_mask(&self, mask: SigSet) {
        self.saved.store(mask.0, Ordering::Relaxed);
        self.has_saved.store(true, Ordering::Relaxed);
    }

    /// The kept mask, once.
    pub(crate) fn take_saved_mask(&self) -> Option<SigSet> {
        if !self.has_saved.load(Ordering::Relaxed) {
            return None;
        }
        self.has_saved.store(false, Ordering::Relaxed);
        Some(SigSet(self.saved.load(Ordering::Relaxed)))
    }

    /// The alternate stack as it was set; [`StackFlags::SS_DISABLE`] if there is none.
    pub(crate) fn alternate_stack(&self) -> StackT {
        let size = self.stack_size.load(Ordering::Relaxed);
        let mut flags = self.stack_flags.load(Ordering::Relaxed);
        if size == 0 {
            flags |= StackFlags::SS_DISABLE.bits();
        }
        StackT {
            ss_sp: self.stack_base.load(Ordering::Relaxed),
            ss_flags: flags,
            ss_size: size,
            ..StackT::default()
        }
    }

    pub(crate) fn set_alternate_stack(&self, stack: &StackT) {
        self.stack_base.store(stack.ss_sp, Ordering::Relaxed);
        self.stack_size.store(stack.ss_size, Ordering::Relaxed);
        self.stack_flags.store(stack.ss_flags, Ordering::Relaxed);
    }

    /// Copies the alternate stack of the parent, in a child with its own memory.
    pub(crate) fn inherit_stack(&self, parent: &Self) {
        self.set_alternate_stack(&parent.alternate_stack());
    }

    pub(crate) fn set_fault(&self, address: Option<u64>, trap_number: u64, error_code: u64) {
        if let Some(address) = address {
            self.fault_address.store(address, Ordering::Relaxed);
        }
        self.trap_number.store(trap_number, Ordering::Relaxed);
        self.error_code.store(error_code, Ordering::Relaxed);
    }

    /// `(cr2, trap number, error code)`.
    pub(crate) fn fault(&self) -> (u64, u64, u64) {
        (
            self.fault_address.load(Ordering::Relaxed),
            self.trap_number.load(Ordering::Relaxed),
            self.error_code.load(Ordering::Relaxed),
        )
    }
}
