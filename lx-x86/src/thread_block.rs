//! The per-thread block that the GS base points at.
//!
//! A block belongs to one guest task for as long as the task runs on its host thread. The first
//! fields are those of [`layout`]; a host backend appends its own (`#[repr(C)]`).

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
#[cfg(not(lx_teb))]
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64};

use lx_core::abi::GuestRegs;
use lx_core::host::{FaultInfo, FaultKind, TrapHandler};

use crate::dispatch;
#[cfg(not(lx_teb))]
use crate::layout;

/// How many vector registers the entry saves, from xmm0 on: those that the kernel's code uses.
///
/// Compilers need more than eight only in vectorised loops, which the image is built without
/// (`lx/build.rs`). A build that finds others in use switches `save-all-xmm` on.
pub const SAVED_XMM: usize = if cfg!(feature = "save-all-xmm") { 16 } else { 8 };

/// What the guest's vector registers are kept in while the kernel runs, and its general registers:
/// the top of every kernel stack.
#[repr(C, align(16))]
pub struct Frame {
    /// The low vector registers. All other vector state stays in the processor.
    pub xmm: [u128; SAVED_XMM],
    /// The general registers.
    pub regs: GuestRegs,
    /// Return address into the stub, for the short way out.
    pub return_address: u64,
}

/// Why a thread enters by the trap entry instead of a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TrapCause {
    /// A `syscall` instruction that was not rewritten.
    Syscall,
    /// A fault, described in [`ThreadBlock::fault`].
    Fault,
    /// An interrupt hit guest code.
    Interrupt,
    /// First entry in a process: the kernel maps a program and sets all registers.
    Start,
}

/// Why the kernel is left by the long way.
///
/// Values are shared with the assembly in [`entry`](crate::entry).
pub(crate) mod resume_code {
    pub(crate) const RETURN: u32 = 0;
    pub(crate) const FULL: u32 = 1;
    pub(crate) const FULL_WITH_XSTATE: u32 = 2;
    pub(crate) const EXIT: u32 = 3;
}

/// The engine's part of a block.
///
/// Only the block's own thread uses the non-atomic fields, or another one while no thread runs on
/// the block.
#[repr(C)]
pub struct ThreadBlock {
    /// The guest's stack pointer while in the kernel.
    pub u_rsp: Cell<u64>,
    /// Top of the kernel stack.
    pub k_rsp: Cell<u64>,
    /// The entry that stubs call.
    pub entry: Cell<u64>,
    /// Not 0: [`TrapHandler::interrupt`] is to be called.
    pub pending: AtomicU32,
    /// Host thread id, 0 while no thread runs on the block.
    pub host_tid: AtomicU32,
    /// Where the long way out jumps to; where a trap came from.
    pub u_rip: Cell<u64>,
    /// Address of this block.
    pub this: Cell<u64>,
    /// The guest's flags at a trap.
    pub u_flags: Cell<u64>,
    /// Whether the long way out loads the xstate area.
    pub load_xstate: Cell<u32>,
    /// Cause of a trap, a [`TrapCause`].
    pub cause: Cell<u32>,
    /// The xstate area, 64-byte aligned.
    pub xstate: Cell<u64>,
    /// Components of the xstate area (XCR0).
    pub xstate_features: Cell<u64>,
    /// Host calls made by this thread.
    pub host_calls: Cell<u64>,
    /// Called on the kernel stack when the task is over; takes the block, never returns.
    pub on_exit: Cell<Option<unsafe extern "C" fn(*const ThreadBlock) -> !>>,
    /// The fault to be handled.
    pub fault: Cell<FaultInfo>,
    /// The kernel side of the task.
    pub handler: UnsafeCell<Option<Arc<dyn TrapHandler>>>,
    /// Interrupts delivered to this block's thread, for statistics.
    pub interrupts: AtomicU64,
}

// SAFETY: see the type's description; other threads touch the atomic fields only.
unsafe impl Sync for ThreadBlock {}
// SAFETY: as above.
unsafe impl Send for ThreadBlock {}

#[cfg(not(lx_teb))]
const _: () = {
    assert!(offset_of!(ThreadBlock, u_rsp) == layout::gs.u_rsp as usize);
    assert!(offset_of!(ThreadBlock, k_rsp) == layout::gs.k_rsp as usize);
    assert!(offset_of!(ThreadBlock, entry) == layout::gs.entry as usize);
    assert!(offset_of!(ThreadBlock, u_rip) == layout::gs.u_rip as usize);
    assert!(offset_of!(ThreadBlock, this) == layout::gs.this as usize);
};
// The stack is 16-byte aligned at the calls that the entry makes: see `Frame`'s size.
const _: () = assert!(size_of::<Frame>() == 176 + 16 * SAVED_XMM);

impl ThreadBlock {
    /// A block without a task, whose kernel stack ends at `stack_top` (16-byte aligned) and whose
    /// xstate area is at `xstate`.
    #[must_use]
    pub fn new(
        stack_top: u64,
        xstate: u64,
        xstate_features: u64,
        on_exit: unsafe extern "C" fn(*const ThreadBlock) -> !,
    ) -> Self {
        Self {
            u_rsp: Cell::new(0),
            k_rsp: Cell::new(stack_top),
            entry: Cell::new(crate::entry::entry_address()),
            pending: AtomicU32::new(0),
            host_tid: AtomicU32::new(0),
            u_rip: Cell::new(0),
            this: Cell::new(0),
            u_flags: Cell::new(0),
            load_xstate: Cell::new(0),
            cause: Cell::new(0),
            xstate: Cell::new(xstate),
            xstate_features: Cell::new(xstate_features),
            host_calls: Cell::new(0),
            on_exit: Cell::new(Some(on_exit)),
            fault: Cell::new(FaultInfo {
                kind: FaultKind::NotMapped,
                address: 0,
                trap_number: 0,
                error_code: 0,
            }),
            handler: UnsafeCell::new(None),
            interrupts: AtomicU64::new(0),
        }
    }

    /// The frame at the top of the kernel stack.
    #[must_use]
    pub fn frame(&self) -> *mut Frame {
        (self.k_rsp.get() as *mut Frame).wrapping_sub(1)
    }

    /// Puts a task on the block; the former one's handler is returned.
    ///
    /// # Safety
    ///
    /// Only the block's own thread, or the one that prepares a block without a thread, and not
    /// from inside a call of the present handler.
    pub unsafe fn set_handler(
        &self,
        handler: Option<Arc<dyn TrapHandler>>,
    ) -> Option<Arc<dyn TrapHandler>> {
        // SAFETY: the caller's promise makes the access unique.
        let slot = unsafe { &mut *self.handler.get() };
        core::mem::replace(slot, handler)
    }

    /// Accesses `len` bytes of guest memory for the block's own thread: `access(done)` goes on behind
    /// the first ones and says how many more it has done. What is missing the task brings in, as it
    /// does for the guest itself. Says how many bytes were done in the end.
    #[inline(always)]
    pub fn access(
        &self,
        addr: u64,
        len: usize,
        write: bool,
        access: impl Fn(usize) -> usize,
    ) -> usize {
        let done = access(0);
        if done < len { self.go_on(addr, len, write, access, done) } else { done }
    }

    #[cold]
    fn go_on(
        &self,
        addr: u64,
        len: usize,
        write: bool,
        access: impl Fn(usize) -> usize,
        done: usize,
    ) -> usize {
        let mut done = done;
        while done < len && self.user_fault(addr.wrapping_add(done as u64), write) {
            match access(done) {
                0 => break,
                more => done = done.saturating_add(more),
            }
        }
        done
    }

    /// Tells the task of an access that has failed: whether it may be tried again.
    #[cold]
    pub fn user_fault(&self, addr: u64, write: bool) -> bool {
        dispatch::handler(self).is_some_and(|handler| handler.user_fault(addr, write))
    }
}
