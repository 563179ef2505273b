//! Futexes with priority inheritance: locks whose word holds the owner's thread id, so that the
//! kernel knows who has to give it up, `futex(2)` under "Priority-inheritance futexes".
//!
//! As long as nobody waits, the word says all there is to know, and the kernel knows nothing. Each
//! waiter is in the bucket of its lock and knows the owner. A bucket stays locked while a word is
//! changed ([decision 0018](../../../docs/decisions/0018-pi-word-under-a-lock.md)), so that the word
//! and the list of waiters tell the same at all times.
//!
//! The host decides which thread runs, so an owner does not run with the priority of its waiters;
//! the order in which they get the lock is that of their priorities.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use lx_core::abi::{Errno, UserPtr};
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, WaitEnd, level};
use lx_core::user_memory::UserMemory;

use super::{FutexKey, FutexSlot, FutexTable, Phase, key};
use crate::current::CurrentTask;

/// Number of buckets, a divisor of that of the other futexes.
const BUCKETS: u32 = 64;
/// How many locks a search for a deadlock follows, as on Linux.
const MAX_CHAIN: usize = 1024;

/// Somebody who waits for a lock.
pub(super) struct PiWaiter {
    key: FutexKey,
    slot: Arc<FutexSlot>,
    /// The owner has died and left it the lock, which the word does not say yet.
    heir: bool,
}

#[repr(align(64))]
#[derive(Default)]
pub(super) struct PiBucket {
    /// Number of waiters, so that a wake of another futex costs one load.
    len: AtomicU32,
    pub(super) waiters: Mutex<Vec<PiWaiter>, { level::FUTEX_PI }>,
}

impl PiBucket {
    pub(super) fn publish(&self, waiters: &[PiWaiter]) {
        self.len.store(waiters.len() as u32, Ordering::SeqCst);
    }
}

/// All locks that somebody waits for.
pub(crate) struct PiTable {
    buckets: Box<[PiBucket]>,
}

/// A word in the caller's memory that is a lock.
#[derive(Clone, Copy)]
pub(super) struct Lock {
    pub(super) key: FutexKey,
    word: UserPtr<u32>,
    memory: UserMemory,
}

impl Lock {
    fn load(&self) -> Result<u32> {
        self.memory.load_u32(self.word)
    }

    /// Changes the word if it is `old`; the value found.
    fn change(&self, old: u32, new: u32) -> Result<u32> {
        self.memory.compare_exchange_u32(self.word, old, new)
    }
}

/// What an attempt to take a lock led to.
pub(super) enum Attempt {
    /// The word names the task now.
    Taken,
    /// This task holds it.
    HeldBy(Arc<FutexSlot>),
    /// Nothing is decided.
    Again(Again),
}

/// What to do before the next attempt.
pub(super) enum Again {
    /// The word has changed.
    Now,
    /// Find the task with this id.
    Find(u32),
    /// The owner is ending.
    After(Arc<FutexSlot>),
}

/// The task that was last looked for, and whether it was there.
pub(super) type Known = Option<(u32, Option<Arc<FutexSlot>>)>;

impl Again {
    /// Does it; nothing is locked.
    pub(super) fn prepare(self, current: &CurrentTask<'_>, known: &mut Known) -> Result<()> {
        if current.task().waiter().is_interrupted() {
            return Err(SysError::RestartAlways);
        }
        *known = match self {
            Self::Now => return Ok(()),
            Self::Find(tid) => {
                let task = current.kernel().pids.task(tid.cast_signed());
                Some((tid, task.map(|task| Arc::clone(task.futex()))))
            }
            Self::After(owner) => {
                if owner.phase() == Phase::Ending {
                    current.host().yield_now();
                }
                None
            }
        };
        Ok(())
    }
}

/// The owner of a lock that somebody waits for, and whether the word has yet to tell.
fn owner(waiters: &[PiWaiter], key: FutexKey) -> Option<(Arc<FutexSlot>, bool)> {
    let of_key = || waiters.iter().filter(|waiter| waiter.key == key);
    if let Some(heir) = of_key().find(|waiter| waiter.heir) {
        return Some((Arc::clone(&heir.slot), true));
    }
    of_key().find_map(|waiter| waiter.slot.owner()).map(|owner| (owner, false))
}

/// Where the waiter is that gets the lock next: the first of those with the highest priority.
fn next(waiters: &[PiWaiter], key: FutexKey) -> Option<usize> {
    let mut best: Option<(usize, i32)> = None;
    for (at, waiter) in waiters.iter().enumerate().filter(|(_, waiter)| waiter.key == key) {
        let rank = waiter.slot.rank();
        if best.is_none_or(|(_, highest)| rank > highest) {
            best = Some((at, rank));
        }
    }
    best.map(|(at, _)| at)
}

/// Makes `owner` the one that the waiters of `key` wait for; it does not wait itself.
fn set_owner(waiters: &[PiWaiter], key: FutexKey, owner: &Arc<FutexSlot>) {
    owner.set_owner(None);
    for waiter in waiters.iter().filter(|waiter| waiter.key == key) {
        if !Arc::ptr_eq(&waiter.slot, owner) {
            owner.contended.store(true, Ordering::SeqCst);
            waiter.slot.set_owner(Some(Arc::clone(owner)));
        }
    }
}

/// Whether `owner` is `waiter`, or waits for what `waiter` holds, through any number of others.
pub(super) fn is_deadlock(owner: &Arc<FutexSlot>, waiter: &Arc<FutexSlot>) -> bool {
    let mut at = Arc::clone(owner);
    for _ in 0..MAX_CHAIN {
        if Arc::ptr_eq(&at, waiter) {
            return true;
        }
        let Some(next) = at.owner() else { return false };
        at = next;
    }
    true
}

pub(super) fn enqueue(
    waiters: &mut Vec<PiWaiter>,
    key: FutexKey,
    slot: &Arc<FutexSlot>,
    owner: &Arc<FutexSlot>,
) {
    owner.contended.store(true, Ordering::SeqCst);
    slot.set_owner(Some(Arc::clone(owner)));
    waiters.push(PiWaiter { key, slot: Arc::clone(slot), heir: false });
}

/// Takes `slot` out of the list.
pub(super) fn remove(waiters: &mut Vec<PiWaiter>, slot: &Arc<FutexSlot>) -> Option<PiWaiter> {
    let at = waiters.iter().position(|waiter| Arc::ptr_eq(&waiter.slot, slot))?;
    slot.set_owner(None);
    Some(waiters.remove(at))
}

/// Tries to write `me` into the word of a lock, or else marks it as waited for and finds the owner.
/// The bucket is locked. With `more`, others wait behind `me`.
pub(super) fn attempt(
    futexes: &FutexTable,
    waiters: &[PiWaiter],
    lock: &Lock,
    me: &Arc<FutexSlot>,
    known: &Known,
    more: bool,
) -> Result<Attempt> {
    let value = lock.load()?;
    let tid = value & FUTEX_TID_MASK;
    if tid == me.tid() {
        return Err(Errno::EDEADLK.into());
    }
    if let Some((owner, heir)) = owner(waiters, lock.key) {
        // An owner that is ending has cleared its id before it gives the lock away.
        let orphaned = value & FUTEX_OWNER_DIED != 0 && tid == 0;
        if heir || orphaned || tid == owner.tid() {
            return Ok(Attempt::HeldBy(owner));
        }
        // The guest has written something else into the word.
        return Err(Errno::EINVAL.into());
    }
    if futexes.has_plain_waiters(lock.key) {
        return Err(Errno::EINVAL.into());
    }
    if tid == 0 {
        let waited_for = if more { FUTEX_WAITERS } else { 0 };
        let new = value & FUTEX_OWNER_DIED | me.tid() | waited_for;
        return Ok(match lock.change(value, new)? {
            found if found == value => Attempt::Taken,
            _ => Attempt::Again(Again::Now),
        });
    }
    let marked = value | FUTEX_WAITERS;
    if lock.change(value, marked)? != value {
        return Ok(Attempt::Again(Again::Now));
    }
    let found = match known {
        Some((id, found)) if *id == tid => found,
        _ => return Ok(Attempt::Again(Again::Find(tid))),
    };
    if let Some(owner) = found {
        // Before the phase is looked at: the owner looks for waiters after it has changed it.
        owner.contended.store(true, Ordering::SeqCst);
        match owner.phase() {
            Phase::Alive => return Ok(Attempt::HeldBy(Arc::clone(owner))),
            Phase::Ending => return Ok(Attempt::Again(Again::After(Arc::clone(owner)))),
            Phase::Dead => {}
        }
    }
    // It may have let go before it ended.
    if lock.load()? != marked {
        return Ok(Attempt::Again(Again::Now));
    }
    Err(Errno::ESRCH.into())
}

impl PiTable {
    pub(super) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| PiBucket::default()).collect() }
    }

    /// # Errors
    /// Never: every key has a bucket.
    pub(super) fn bucket(&self, key: FutexKey) -> Result<&PiBucket> {
        let at = (key.bucket() % BUCKETS) as usize;
        Ok(self.buckets.get(at).ok_or(Errno::EINVAL)?)
    }

    /// Whether anybody waits for this lock.
    pub(super) fn has_waiters(&self, key: FutexKey) -> bool {
        self.bucket(key).is_ok_and(|bucket| {
            bucket.len.load(Ordering::SeqCst) != 0
                && bucket.waiters.lock().iter().any(|waiter| waiter.key == key)
        })
    }

    /// Takes a waiter out wherever it is.
    pub(super) fn forget(&self, slot: &Arc<FutexSlot>) {
        for bucket in &self.buckets {
            let mut waiters = bucket.waiters.lock();
            let gone = remove(&mut waiters, slot);
            bucket.publish(&waiters);
            drop(waiters);
            drop(gone);
        }
    }

    /// What a task does at its end: each lock that it holds and somebody waits for goes to the
    /// next one, who will see that the owner has died.
    pub(crate) fn release_owned(&self, slot: &Arc<FutexSlot>) {
        if !slot.contended.swap(false, Ordering::SeqCst) {
            return;
        }
        for bucket in &self.buckets {
            loop {
                let heir = bequeath(&mut bucket.waiters.lock(), slot);
                let Some(heir) = heir else { break };
                heir.waiter.wake();
            }
        }
    }
}

/// Gives one lock of a task that has died to the next waiter. It stays in the list until it has
/// written its id into the word, which only it can reach for certain.
fn bequeath(waiters: &mut [PiWaiter], dead: &Arc<FutexSlot>) -> Option<Arc<FutexSlot>> {
    let key = waiters.iter().find(|waiter| waiter.slot.waits_for(dead))?.key;
    let at = next(waiters, key)?;
    let chosen = waiters.get_mut(at)?;
    chosen.heir = true;
    let heir = Arc::clone(&chosen.slot);
    set_owner(waiters, key, &heir);
    heir.inherited.store(true, Ordering::Relaxed);
    heir.woken.store(true, Ordering::Release);
    Some(heir)
}

/// The lock at `word` of the caller's memory.
pub(super) fn lock_at(
    current: &CurrentTask<'_>,
    word: UserPtr<u32>,
    private: bool,
) -> Result<Lock> {
    Ok(Lock { key: key(current, word, private)?, word, memory: current.memory() })
}

/// `FUTEX_LOCK_PI`, and with `try_only` `FUTEX_TRYLOCK_PI`.
///
/// # Errors
/// `EDEADLK` if the caller holds it or makes a ring of waiters; `ESRCH` if no task has the id in the
/// word; `EINVAL` if word and waiters contradict each other; `EAGAIN` with `try_only`; `ETIMEDOUT`.
pub fn lock(
    current: &CurrentTask<'_>,
    word: UserPtr<u32>,
    private: bool,
    deadline: Option<Nanos>,
    try_only: bool,
) -> Result<()> {
    let lock = lock_at(current, word, private)?;
    let futexes = &current.kernel().futexes;
    let bucket = futexes.pi.bucket(lock.key)?;
    let slot = current.task().futex();
    let mut known = None;
    loop {
        let mut waiters = bucket.waiters.lock();
        let again = match attempt(futexes, &waiters, &lock, slot, &known, false)? {
            Attempt::Taken => return Ok(()),
            Attempt::HeldBy(_) if try_only => return Err(Errno::EAGAIN.into()),
            Attempt::HeldBy(owner) => {
                slot.woken.store(false, Ordering::Relaxed);
                slot.inherited.store(false, Ordering::Relaxed);
                // Before the ring is looked for: of two that close it, one sees the other.
                enqueue(&mut waiters, lock.key, slot, &owner);
                if is_deadlock(&owner, slot) {
                    drop(remove(&mut waiters, slot));
                    return Err(Errno::EDEADLK.into());
                }
                bucket.publish(&waiters);
                break;
            }
            Attempt::Again(again) => again,
        };
        drop(waiters);
        again.prepare(current, &mut known)?;
    }
    match sleep(current, deadline) {
        Ok(()) => own(current, &lock),
        Err(end) => {
            let mut waiters = bucket.waiters.lock();
            if slot.is_woken() {
                drop(waiters);
                return own(current, &lock);
            }
            let gone = remove(&mut waiters, slot);
            bucket.publish(&waiters);
            drop(waiters);
            drop(gone);
            Err(end)
        }
    }
}

/// Sleeps until somebody gives the lock to the task.
pub(super) fn sleep(current: &CurrentTask<'_>, deadline: Option<Nanos>) -> Result<()> {
    let slot = current.task().futex();
    let woken = || slot.is_woken().then_some(());
    let waited =
        current.task().waiter().wait_for(deadline, || current.host().monotonic(), true, woken);
    waited.map_err(|end| match end {
        WaitEnd::TimedOut => Errno::ETIMEDOUT.into(),
        WaitEnd::Interrupted => SysError::RestartAlways,
    })
}

/// The task has been given the lock. If the former owner has died, the word does not say so yet.
pub(super) fn own(current: &CurrentTask<'_>, lock: &Lock) -> Result<()> {
    let slot = current.task().futex();
    if !slot.inherited.load(Ordering::Relaxed) {
        return Ok(());
    }
    let bucket = current.kernel().futexes.pi.bucket(lock.key)?;
    let mut waiters = bucket.waiters.lock();
    let written = take_over(lock, slot.tid());
    let entry = remove(&mut waiters, slot);
    bucket.publish(&waiters);
    drop(waiters);
    drop(entry);
    written
}

/// Writes `tid` into the word of a lock whose owner has died.
fn take_over(lock: &Lock, tid: u32) -> Result<()> {
    let mut value = lock.load()?;
    loop {
        let found = lock.change(value, tid | FUTEX_WAITERS | FUTEX_OWNER_DIED)?;
        if found == value {
            return Ok(());
        }
        value = found;
    }
}

/// `FUTEX_UNLOCK_PI`: the lock goes to the next waiter.
///
/// # Errors
/// `EPERM` if the caller does not hold it; `EINVAL` if word and waiters contradict each other;
/// `EAGAIN` if the word changes though nobody waits.
pub fn unlock(current: &CurrentTask<'_>, word: UserPtr<u32>, private: bool) -> Result<()> {
    let slot = current.task().futex();
    let memory = current.memory();
    loop {
        let value = memory.read(word)?;
        if value & FUTEX_TID_MASK != slot.tid() {
            return Err(Errno::EPERM.into());
        }
        let lock = lock_at(current, word, private)?;
        let futexes = &current.kernel().futexes;
        let bucket = futexes.pi.bucket(lock.key)?;
        let mut waiters = bucket.waiters.lock();
        let Some(at) = next(&waiters, lock.key) else {
            if futexes.has_plain_waiters(lock.key) {
                return Err(Errno::EINVAL.into());
            }
            return match lock.change(value, 0)? {
                found if found == value => Ok(()),
                _ => Err(Errno::EAGAIN.into()),
            };
        };
        let holds = |(owner, heir): (Arc<FutexSlot>, bool)| !heir && Arc::ptr_eq(&owner, slot);
        if !owner(&waiters, lock.key).is_some_and(holds) {
            return Err(Errno::EINVAL.into());
        }
        let Some(heir) = waiters.get(at).map(|waiter| Arc::clone(&waiter.slot)) else {
            return Err(Errno::EINVAL.into());
        };
        let found = lock.change(value, heir.tid() | FUTEX_WAITERS)?;
        if found != value {
            // Somebody who comes to wait has marked the word, or the guest has spoilt it.
            if found & FUTEX_TID_MASK == value {
                continue;
            }
            return Err(Errno::EINVAL.into());
        }
        let entry = waiters.remove(at);
        set_owner(&waiters, lock.key, &heir);
        bucket.publish(&waiters);
        heir.woken.store(true, Ordering::Release);
        drop(waiters);
        drop(entry);
        heir.waiter.wake();
        return Ok(());
    }
}
