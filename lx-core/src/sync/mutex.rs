//! The kernel's mutual exclusion lock.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use super::level::Level;
use super::{LOCK_PARKED, has_sync_host, owner_id, sync_host};

/// Rounds of spinning before parking: about as long as a short critical section.
const SPINS: u32 = 100;

/// A lock around a value. `LEVEL` is its place in the lock order ([`level`](super::level)).
///
/// The word holds the owner's id, so that a supervisor can tell which locks a dead thread held.
pub struct Mutex<T: ?Sized, const LEVEL: Level> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out one reference at a time, so sharing it moves `T` between threads,
// which `T: Send` allows.
unsafe impl<T: ?Sized + Send, const LEVEL: Level> Sync for Mutex<T, LEVEL> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: ?Sized + Send, const LEVEL: Level> Send for Mutex<T, LEVEL> {}

impl<T, const LEVEL: Level> Mutex<T, LEVEL> {
    /// A lock that is free.
    pub const fn new(value: T) -> Self {
        Self { word: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// The value, when nobody else can hold the lock any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized, const LEVEL: Level> Mutex<T, LEVEL> {
    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, LEVEL> {
        check_order::<LEVEL>();
        let id = owner_id();
        if self.word.compare_exchange(0, id, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_slow(id);
        }
        MutexGuard { lock: self }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, LEVEL>> {
        let id = owner_id();
        self.word.compare_exchange(0, id, Ordering::Acquire, Ordering::Relaxed).ok()?;
        note_held::<LEVEL>();
        Some(MutexGuard { lock: self })
    }

    /// The value, through the exclusive reference.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Owner id of the present holder, 0 if free.
    pub fn owner(&self) -> u32 {
        self.word.load(Ordering::Relaxed) & !LOCK_PARKED
    }

    #[cold]
    fn lock_slow(&self, id: u32) {
        for _ in 0..SPINS {
            if self.word.load(Ordering::Relaxed) == 0
                && self.word.compare_exchange(0, id, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            core::hint::spin_loop();
        }
        let mut round = 0;
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word == 0 {
                // Others may still sleep: keep the bit, at the price of one needless wake.
                if self
                    .word
                    .compare_exchange(0, id | LOCK_PARKED, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return;
                }
                continue;
            }
            if word & LOCK_PARKED == 0
                && self
                    .word
                    .compare_exchange(
                        word,
                        word | LOCK_PARKED,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    )
                    .is_err()
            {
                continue;
            }
            sync_host().park_for_lock(&self.word, word | LOCK_PARKED, round);
            round = round.saturating_add(1);
        }
    }
}

impl<T: Default, const LEVEL: Level> Default for Mutex<T, LEVEL> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug, const LEVEL: Level> fmt::Debug for Mutex<T, LEVEL> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutex(owner {})", self.owner())
    }
}

/// Access to a locked value; releases the lock when dropped.
#[must_use]
pub struct MutexGuard<'a, T: ?Sized, const LEVEL: Level> {
    lock: &'a Mutex<T, LEVEL>,
}

impl<T: ?Sized, const LEVEL: Level> Deref for MutexGuard<'_, T, LEVEL> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard's thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized, const LEVEL: Level> DerefMut for MutexGuard<'_, T, LEVEL> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard's thread holds the lock, and `&mut self` makes the access unique.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized, const LEVEL: Level> Drop for MutexGuard<'_, T, LEVEL> {
    #[inline]
    fn drop(&mut self) {
        note_released::<LEVEL>();
        // No atomic exchange, which would cost as much as taking the lock. Only sleepers change the
        // word of a lock that is held, to set the bit. If one does so between these two lines, the
        // word differs from what it is about to wait for, and it does not sleep; the store could
        // only be seen too late if it were delayed for longer than the host takes to put a thread
        // to sleep, and then the limit of that sleep (`SyncHost::park`) ends it.
        let word = self.lock.word.load(Ordering::Relaxed);
        self.lock.word.store(0, Ordering::Release);
        if word & LOCK_PARKED != 0 {
            wake_one(&self.lock.word);
        }
    }
}

#[cold]
#[inline(never)]
fn wake_one(word: &AtomicU32) {
    sync_host().wake(word, 1);
}

/// Debug builds: stops if the calling thread holds a lock of this level or a higher one.
fn check_order<const LEVEL: Level>() {
    if cfg!(debug_assertions) && has_sync_host() {
        let host = sync_host();
        let held = host.held_levels().load(Ordering::Relaxed);
        if held >> LEVEL != 0 && host.checks_order() {
            host.lock_order_broken(held, LEVEL);
        }
        note_held::<LEVEL>();
    }
}

fn note_held<const LEVEL: Level>() {
    if cfg!(debug_assertions) && has_sync_host() {
        sync_host().held_levels().fetch_or(1 << LEVEL, Ordering::Relaxed);
    }
}

fn note_released<const LEVEL: Level>() {
    if cfg!(debug_assertions) && has_sync_host() {
        sync_host().held_levels().fetch_and(!(1 << LEVEL), Ordering::Relaxed);
    }
}
