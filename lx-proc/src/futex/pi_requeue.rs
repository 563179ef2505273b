//! Waiting for a condition whose lock is one with priority inheritance: who is woken has the lock, or
//! waits for it.
//!
//! Such a waiter sits among those of plain futexes until it is moved, which is done under the lock
//! of the bucket that it is moved to.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use lx_core::abi::futex::FUTEX_BITSET_MATCH_ANY;
use lx_core::abi::{Errno, UserPtr};
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;

use super::pi::{Attempt, PiWaiter, attempt, enqueue, is_deadlock, lock_at, own, remove, sleep};
use super::{FutexKey, FutexSlot, FutexTable, key};
use crate::current::CurrentTask;

/// `FUTEX_WAIT_REQUEUE_PI`: waits at `word` to be moved to the lock at `lock_word`, and for that
/// lock.
///
/// # Errors
/// `EAGAIN` if the word has changed, or a signal came after the move; `ETIMEDOUT`; `EINVAL` if both
/// words are one.
pub fn wait(
    current: &CurrentTask<'_>,
    word: UserPtr<u32>,
    lock_word: UserPtr<u32>,
    private: bool,
    value: u32,
    deadline: Option<Nanos>,
) -> Result<()> {
    let lock = lock_at(current, lock_word, private)?;
    let from = key(current, word, private)?;
    let futexes = &current.kernel().futexes;
    let bucket = futexes.pi.bucket(lock.key)?;
    let slot = current.task().futex();
    let memory = current.memory();
    slot.inherited.store(false, Ordering::Relaxed);
    futexes.enqueue(slot, from, FUTEX_BITSET_MATCH_ANY, Some(lock.key));
    let mut waited = match memory.load_u32(word) {
        Ok(found) if found != value => Err(Errno::EAGAIN.into()),
        Ok(_) if from == lock.key => Err(Errno::EINVAL.into()),
        Ok(_) => sleep(current, deadline),
        Err(error) => Err(error),
    };
    if waited.is_err() {
        // Who moves this waiter has locked the bucket of its lock.
        let mut waiters = bucket.waiters.lock();
        if slot.is_woken() {
            waited = Ok(());
        } else if let Some(entry) = remove(&mut waiters, slot) {
            bucket.publish(&waiters);
            drop(waiters);
            drop(entry);
            // Made again, the call would find the word changed.
            if waited == Err(SysError::RestartAlways) {
                waited = Err(Errno::EAGAIN.into());
            }
        } else {
            futexes.cancel(slot);
        }
    }
    waited?;
    own(current, &lock)
}

/// `FUTEX_CMP_REQUEUE_PI`: gives the lock at `lock_word` to the first waiter of `word`, if it is
/// free, and lets up to `max_move` others wait for it; how many waiters that were.
///
/// # Errors
/// `EAGAIN` if `word` is not `expected`; `EINVAL` if a waiter did not call for this; what
/// [`lock`](super::pi::lock) fails with.
pub fn requeue(
    current: &CurrentTask<'_>,
    word: UserPtr<u32>,
    lock_word: UserPtr<u32>,
    private: bool,
    max_move: usize,
    expected: u32,
) -> Result<usize> {
    let from = key(current, word, private)?;
    let lock = lock_at(current, lock_word, private)?;
    if from == lock.key {
        return Err(Errno::EINVAL.into());
    }
    let memory = current.memory();
    let futexes = &current.kernel().futexes;
    let bucket = futexes.pi.bucket(lock.key)?;
    let mut known = None;
    loop {
        let mut waiters = bucket.waiters.lock();
        // As in `Bucket::is_empty`: who waits has entered its bucket before it looks at the word.
        fence(Ordering::SeqCst);
        if memory.load_u32(word)? != expected {
            return Err(Errno::EAGAIN.into());
        }
        let Some(first) = futexes.first_to_move(from, lock.key)? else { return Ok(0) };
        let again = match attempt(futexes, &waiters, &lock, &first, &known, max_move > 0)? {
            Attempt::Taken => {
                futexes.cancel(&first);
                first.woken.store(true, Ordering::Release);
                let moved = move_waiters(futexes, &mut waiters, from, lock.key, &first, max_move);
                bucket.publish(&waiters);
                drop(waiters);
                first.waiter.wake();
                return moved.map(|moved| moved + 1);
            }
            Attempt::HeldBy(owner) => {
                let max = max_move.saturating_add(1);
                let moved = move_waiters(futexes, &mut waiters, from, lock.key, &owner, max);
                bucket.publish(&waiters);
                return moved;
            }
            Attempt::Again(again) => again,
        };
        drop(waiters);
        again.prepare(current, &mut known)?;
    }
}

/// Lets up to `max` waiters of `from` wait for the lock that `owner` holds.
fn move_waiters(
    futexes: &FutexTable,
    waiters: &mut Vec<PiWaiter>,
    from: FutexKey,
    lock: FutexKey,
    owner: &Arc<FutexSlot>,
    max: usize,
) -> Result<usize> {
    let mut moved = 0;
    while moved < max
        && let Some(slot) = futexes.first_to_move(from, lock)?
    {
        if is_deadlock(owner, &slot) {
            return Err(Errno::EDEADLK.into());
        }
        if futexes.cancel(&slot) {
            enqueue(waiters, lock, &slot, owner);
            moved += 1;
        }
    }
    Ok(moved)
}
