//! Spin locks that outlive their owners.
//!
//! A host process can be killed at any instant, by the user too. A lock that the whole machine needs
//! all the time must not stay held then: the word names the owner, and whoever finds it dead takes
//! the lock over. What the lock protects must be consistent, or possible to repair, after every
//! single store.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_nt::ClientId;

use crate::nt::{self, nt};
use crate::thread::{self, state};

/// In a word: an owner without a block, who cannot be looked up.
const NAMELESS: u32 = u32::MAX;
/// Tries between two yields of the processor, and between two looks at the owner.
const TRIES: u32 = 100;
const TRIES_BEFORE_LOOK: u32 = 2000;

/// 0, or the owner id of the thread that holds it.
pub(crate) struct OwnedLock(AtomicU32);

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// It was free, or has become so.
    Free,
    /// Its owner was killed while it held it.
    Inherited,
}

impl OwnedLock {
    /// A free one.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Got {
        let me = thread::current_or_none().map_or(NAMELESS, thread::Block::owner_id);
        match self.replace(0, me) {
            Ok(()) => Got::Free,
            Err(_) => self.lock_slowly(me),
        }
    }

    #[cold]
    fn lock_slowly(&self, me: u32) -> Got {
        let mut tries = 0u32;
        loop {
            let Err(owner) = self.replace(0, me) else { return Got::Free };
            tries = tries.wrapping_add(1);
            if tries.is_multiple_of(TRIES) {
                // SAFETY: touches no memory.
                let _ = unsafe { nt!(yield_now) };
            }
            // Only one of those who find the owner dead succeeds in naming itself.
            if tries.is_multiple_of(TRIES_BEFORE_LOOK)
                && is_dead(owner)
                && self.replace(owner, me).is_ok()
            {
                return Got::Inherited;
            }
            spin_loop();
        }
    }

    fn replace(&self, owner: u32, new: u32) -> Result<(), u32> {
        self.0.compare_exchange(owner, new, Ordering::SeqCst, Ordering::SeqCst).map(drop)
    }

    /// Gives the lock back.
    #[inline]
    pub(crate) fn unlock(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Whether the thread of a block holds it.
    pub(crate) fn is_held_by(&self, block: &thread::Block) -> bool {
        self.0.load(Ordering::SeqCst) == block.owner_id()
    }
}

/// Whether the thread with this owner id was killed. Init may not know yet; it may even be init
/// that asks.
fn is_dead(owner: u32) -> bool {
    let Some(block) = thread::by_owner(owner) else { return false };
    if block.state.load(Ordering::SeqCst) == state::DEAD {
        return true;
    }
    let pid = block.pid.load(Ordering::SeqCst);
    // A block that was given back in order has lost its process before that has ended: if it has
    // not, it was not given back, and it will not be used again.
    pid != 0 && has_ended(pid) && block.pid.load(Ordering::SeqCst) == pid
}

fn has_ended(pid: u32) -> bool {
    const SYNCHRONIZE: u32 = 0x10_0000;
    const INVALID_ID: [u32; 2] = [0xc000_000b, 0xc000_000d];
    let id = ClientId { process: pid as usize, thread: 0 };
    let attributes = nt::no_attributes();
    let mut process = 0;
    // SAFETY: the call reads the structures and writes the handle.
    let status = unsafe { nt!(open_process, &mut process, SYNCHRONIZE, &attributes, &id) };
    if status < 0 {
        return INVALID_ID.contains(&(status as u32));
    }
    let at_once = 0;
    // SAFETY: the call reads the timeout.
    let ended = unsafe { nt!(wait, process, 0, &at_once) } == 0;
    nt::close(process);
    ended
}
