//! Data of one thread at a time, without a lock.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use super::platform::thread_id;

/// Set in the owner word while the owner looks at the value, so that it does not do so twice.
const BUSY: u32 = 1 << 31;

/// A value that belongs to the thread that asked for it first, until that thread
/// [releases](Self::release) it. Access costs no atomic exchange; other threads get nothing.
pub struct ThreadCell<T> {
    /// Lock id of the owner, 0 for none.
    owner: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: only the owner reaches the value, so sharing the cell moves `T` between threads at most,
// and the owner word is handed on with release and acquire.
unsafe impl<T: Send> Sync for ThreadCell<T> {}

impl<T> ThreadCell<T> {
    /// A cell without owner.
    pub const fn new(value: T) -> Self {
        Self { owner: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Looks at the value, unless it is another thread's (or the caller is looking already).
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        // Without services threads have no ids yet.
        let me = thread_id()?;
        let owner = self.owner.load(Ordering::Relaxed);
        if owner != me {
            let free = owner == 0;
            let (order, failed) = (Ordering::Acquire, Ordering::Relaxed);
            if !free || self.owner.compare_exchange(0, me, order, failed).is_err() {
                return None;
            }
        }
        // Only the owner changes the word of a cell that has one.
        self.owner.store(me | BUSY, Ordering::Relaxed);
        // SAFETY: the calling thread is the owner, as ids are those of threads, and the mark shows
        // that no other reference exists.
        let result = look(unsafe { &mut *self.value.get() });
        self.owner.store(me, Ordering::Relaxed);
        Some(result)
    }

    /// Gives the value up, so that another thread can own it. Only the owner can do that.
    pub fn release(&self) {
        if thread_id().is_some_and(|me| self.owner.load(Ordering::Relaxed) == me) {
            self.owner.store(0, Ordering::Release);
        }
    }
}

impl<T: Default> Default for ThreadCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
