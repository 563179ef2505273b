//! Futexes, `futex(7)`: keys, waiting, waking, requeueing.
//!
//! The table is an array of buckets, each a lock around the waiters whose keys fall into it, oldest
//! first. A waiter enters its bucket *before* the futex word is loaded, because guest memory is not
//! touched under a lock: whoever changes the word and then wakes either finds the waiter, or made
//! its change early enough for the waiter to see it. A bucket keeps its storage, so that neither
//! waiting nor waking allocates once the bucket has been in use.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::futex::FUTEX_BITSET_MATCH_ANY;
use lx_core::abi::{Errno, UserPtr};
use lx_core::error::SysError;
use lx_core::host::{Host, Nanos};
use lx_core::sync::{Mutex, WaitEnd, level};
use lx_core::user_memory::check_range;

use crate::current::CurrentTask;
use crate::mm::WordLocation;

pub mod many;
pub mod pi;
pub mod pi_requeue;
mod slot;

use pi::PiTable;
pub use slot::FutexSlot;
pub(crate) use slot::Phase;

/// Number of buckets, a power of two.
const BUCKETS: usize = 256;
/// How many waiters are taken out of a bucket at a time, so that waking allocates nothing.
const BATCH: usize = 16;
/// In [`FutexSlot::bucket`]: in no bucket, because a requeue is carrying the waiter over.
const MOVING: u32 = u32::MAX;

/// What a futex is: two addresses with the same key name the same futex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexKey {
    /// A word in memory that only one address space sees.
    Private {
        /// The address space.
        space: u64,
        /// The address.
        addr: u64,
    },
    /// A word in pages of the kernel.
    Region {
        /// Its address in the shared region.
        address: u64,
    },
    /// A word in a host file.
    File {
        /// Device.
        dev: u64,
        /// Inode.
        ino: u64,
        /// Offset.
        offset: u64,
    },
}

impl FutexKey {
    fn bucket(&self) -> u32 {
        let (a, b) = match *self {
            Self::Private { space, addr } => (space, addr),
            Self::Region { address } => (0, address),
            Self::File { dev, ino, offset } => (dev.rotate_left(16) ^ ino, offset),
        };
        // Words are aligned to 4, mostly to 8; the multiplier spreads neighbours over the table.
        let mixed = (a.rotate_left(32) ^ b >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as u32 % BUCKETS as u32
    }
}

/// The key of the futex at `word` in the caller's memory; `private` if the guest says that no other
/// process uses it.
///
/// # Errors
/// `EINVAL` if the address is not aligned, `EFAULT` if it is not the guest's.
pub fn key(current: &CurrentTask<'_>, word: UserPtr<u32>, private: bool) -> Result<FutexKey> {
    let addr = word.addr();
    if addr & 3 != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_range(addr, 4)?;
    let location = if private { WordLocation::Private } else { current.mm().locate_word(addr)? };
    match location {
        WordLocation::Private => Ok(FutexKey::Private { space: current.task().mm_id(), addr }),
        WordLocation::Region(address) => Ok(FutexKey::Region { address }),
        WordLocation::File(dev, ino, offset) => Ok(FutexKey::File { dev, ino, offset }),
    }
}

/// Wakes one waiter of the word at `addr` in the caller's memory, which other processes may share.
pub fn wake_one(current: &CurrentTask<'_>, addr: u64) {
    // A bad address has no waiters.
    if let Ok(key) = key(current, UserPtr::new(addr), false) {
        // Those who wait for it as a lock hear of the end of its owner in another way.
        let _ = current.kernel().futexes.wake(key, 1, FUTEX_BITSET_MATCH_ANY);
    }
}

struct Entry {
    key: FutexKey,
    bitset: u32,
    /// The lock with priority inheritance that the waiter shall be moved to: `FUTEX_WAIT_REQUEUE_PI`.
    lock: Option<FutexKey>,
    /// Its number among those that have come to the bucket.
    number: u64,
    slot: Arc<FutexSlot>,
}

/// What [`Bucket::take`] does with an entry.
enum Verdict {
    Take,
    Leave,
    /// The waiter is of another kind than the caller: the rest is left alone.
    Stop,
}

/// Takes the plain waiters that wait for `key` with a bit of `bitset`. `mixed` is set when one is
/// met that only a requeue to its lock may wake.
fn plain(key: FutexKey, bitset: u32, mixed: &mut bool) -> impl FnMut(&Entry) -> Verdict {
    move |entry| {
        if entry.key != key {
            return Verdict::Leave;
        }
        *mixed |= entry.lock.is_some();
        match entry.lock {
            Some(_) => Verdict::Stop,
            None if entry.bitset & bitset != 0 => Verdict::Take,
            None => Verdict::Leave,
        }
    }
}

/// Aligned so that two buckets share no cache line.
#[repr(align(64))]
#[derive(Default)]
struct Bucket {
    /// Number of entries, so that waking a futex without waiters costs one load.
    len: AtomicU32,
    entries: Mutex<Vec<Entry>, { level::FUTEX }>,
    /// How many waiters have come; changed under the lock.
    arrived: AtomicU64,
}

impl Bucket {
    fn is_empty(&self) -> bool {
        // Pairs with the waiter, which enters the bucket and then loads the word; the waker has
        // changed the word before this load.
        fence(Ordering::SeqCst);
        self.len.load(Ordering::SeqCst) == 0
    }

    /// Publishes the number of entries; called before the lock is released.
    fn publish(&self, entries: &[Entry]) {
        self.len.store(entries.len() as u32, Ordering::SeqCst);
    }

    /// Adds a waiter behind those of its own rank and above: real-time tasks are woken first.
    fn insert(&self, entries: &mut Vec<Entry>, mut entry: Entry) {
        entry.number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let rank = entry.slot.rank();
        let at = match rank {
            0 => entries.len(),
            _ => entries.iter().position(|it| it.slot.rank() < rank).unwrap_or(entries.len()),
        };
        entries.insert(at, entry);
        self.publish(entries);
    }

    /// Takes out up to `max` waiters (at most one batch) that match, oldest first. The first batch
    /// sets `end`, so that the next ones leave those alone that have come meanwhile: they may be
    /// the same tasks, back for the next wake.
    fn take(
        &self,
        max: usize,
        end: &mut Option<u64>,
        mut judge: impl FnMut(&Entry) -> Verdict,
        mark: impl Fn(&FutexSlot),
    ) -> ArrayVec<Entry, BATCH> {
        let mut taken = ArrayVec::new();
        let mut entries = self.entries.lock();
        let end = *end.get_or_insert(self.arrived.load(Ordering::Relaxed));
        let mut at = 0;
        while taken.len() < max.min(BATCH)
            && let Some(entry) = entries.get(at)
        {
            let verdict = if entry.number < end { judge(entry) } else { Verdict::Leave };
            match verdict {
                Verdict::Take => {
                    let entry = entries.remove(at);
                    mark(&entry.slot);
                    taken.push(entry);
                }
                Verdict::Leave => at += 1,
                Verdict::Stop => break,
            }
        }
        self.publish(&entries);
        taken
    }
}

/// All futexes that somebody waits for.
pub struct FutexTable {
    buckets: Box<[Bucket]>,
    pub(crate) pi: PiTable,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FutexTable {
    /// A table without waiters.
    pub fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(), pi: PiTable::new() }
    }

    fn bucket(&self, at: u32) -> Option<&Bucket> {
        self.buckets.get(at as usize)
    }

    /// `FUTEX_WAIT_BITSET`: sleeps until a wake with a bit of `bitset`, if `unchanged` says that
    /// the word still has the expected value once this waiter can be found.
    ///
    /// # Errors
    /// `EAGAIN` if the word has changed; how the wait ended; what `unchanged` fails with.
    pub fn wait(
        &self,
        slot: &Arc<FutexSlot>,
        key: FutexKey,
        bitset: u32,
        deadline: Option<Nanos>,
        host: &dyn Host,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        self.enqueue(slot, key, bitset, None);
        let end = match unchanged() {
            Ok(true) => {
                let woken = || slot.is_woken().then_some(());
                match slot.waiter.wait_for(deadline, || host.monotonic(), true, woken) {
                    Ok(()) => return Ok(()),
                    Err(WaitEnd::TimedOut) => Errno::ETIMEDOUT.into(),
                    Err(WaitEnd::Interrupted) => SysError::Restart,
                }
            }
            Ok(false) => Errno::EAGAIN.into(),
            Err(error) => error,
        };
        // A wake that came meanwhile was spent on this waiter, so that it must count.
        if self.cancel(slot) { Err(end) } else { Ok(()) }
    }

    fn enqueue(&self, slot: &Arc<FutexSlot>, key: FutexKey, bitset: u32, lock: Option<FutexKey>) {
        let at = key.bucket();
        let Some(bucket) = self.bucket(at) else { return };
        slot.woken.store(false, Ordering::Relaxed);
        let mut entries = bucket.entries.lock();
        slot.bucket.store(at, Ordering::Relaxed);
        let entry = Entry { key, bitset, lock, number: 0, slot: Arc::clone(slot) };
        bucket.insert(&mut entries, entry);
        drop(entries);
        // The word is loaded after the waiter can be found; see `Bucket::is_empty`.
        fence(Ordering::SeqCst);
    }

    /// Takes the waiter out of its bucket; `false` if a wake did that before.
    fn cancel(&self, slot: &Arc<FutexSlot>) -> bool {
        loop {
            let at = slot.bucket.load(Ordering::Acquire);
            let Some(bucket) = self.bucket(at) else {
                // Being moved between two buckets: a matter of nanoseconds.
                core::hint::spin_loop();
                continue;
            };
            let mut entries = bucket.entries.lock();
            if slot.is_woken() {
                return false;
            }
            if let Some(at) = entries.iter().position(|entry| Arc::ptr_eq(&entry.slot, slot)) {
                let entry = entries.remove(at);
                bucket.publish(&entries);
                drop(entries);
                drop(entry);
                return true;
            }
        }
    }

    /// `FUTEX_WAKE_BITSET`: wakes up to `max` waiters with a bit of `bitset`; how many.
    ///
    /// # Errors
    /// `EINVAL` if somebody waits there who must be woken by other means: for a lock with priority
    /// inheritance, or to be moved to one.
    pub fn wake(&self, key: FutexKey, max: usize, bitset: u32) -> Result<usize> {
        let Some(bucket) = self.bucket(key.bucket()) else { return Ok(0) };
        // The fence in `is_empty` serves both looks.
        let empty = bucket.is_empty();
        if self.pi.has_waiters(key) {
            return Err(Errno::EINVAL.into());
        }
        if empty {
            return Ok(0);
        }
        let mut woken = 0;
        let (mut end, mut mixed) = (None, false);
        while woken < max {
            let batch =
                bucket.take(max - woken, &mut end, plain(key, bitset, &mut mixed), |slot| {
                    slot.woken.store(true, Ordering::Release)
                });
            for entry in &batch {
                entry.slot.waiter.wake();
            }
            woken += batch.len();
            if batch.len() < BATCH {
                break;
            }
        }
        if mixed { Err(Errno::EINVAL.into()) } else { Ok(woken) }
    }

    /// `FUTEX_REQUEUE`: wakes up to `max_wake` waiters of `from` and lets up to `max_move` of the
    /// others wait for `to`; how many were woken and moved.
    ///
    /// # Errors
    /// As [`wake`](Self::wake).
    pub fn requeue(
        &self,
        from: FutexKey,
        to: FutexKey,
        max_wake: usize,
        max_move: usize,
    ) -> Result<usize> {
        let woken = self.wake(from, max_wake, FUTEX_BITSET_MATCH_ANY)?;
        let to_at = to.bucket();
        let (Some(source), Some(target)) = (self.bucket(from.bucket()), self.bucket(to_at)) else {
            return Ok(woken);
        };
        if source.is_empty() {
            return Ok(woken);
        }
        if from == to {
            let waiting = source.entries.lock().iter().filter(|entry| entry.key == from).count();
            return Ok(woken + waiting.min(max_move));
        }
        let mut moved = 0;
        let (mut end, mut mixed) = (None, false);
        while moved < max_move {
            let batch = source.take(
                max_move - moved,
                &mut end,
                plain(from, FUTEX_BITSET_MATCH_ANY, &mut mixed),
                |slot| slot.bucket.store(MOVING, Ordering::Release),
            );
            let count = batch.len();
            if count > 0 {
                let mut entries = target.entries.lock();
                for mut entry in batch {
                    entry.key = to;
                    entry.slot.bucket.store(to_at, Ordering::Release);
                    target.insert(&mut entries, entry);
                }
            }
            moved += count;
            if count < BATCH {
                break;
            }
        }
        if mixed { Err(Errno::EINVAL.into()) } else { Ok(woken + moved) }
    }

    /// Whether anybody waits for `key` who waits for no lock with priority inheritance.
    fn has_plain_waiters(&self, key: FutexKey) -> bool {
        self.bucket(key.bucket()).is_some_and(|bucket| {
            !bucket.is_empty() && bucket.entries.lock().iter().any(|entry| entry.key == key)
        })
    }

    /// The first who waits for `key` to be moved to `lock`.
    ///
    /// # Errors
    /// `EINVAL` if the first waiter waits for something else.
    fn first_to_move(&self, key: FutexKey, lock: FutexKey) -> Result<Option<Arc<FutexSlot>>> {
        let Some(bucket) = self.bucket(key.bucket()) else { return Ok(None) };
        let entries = bucket.entries.lock();
        match entries.iter().find(|entry| entry.key == key) {
            None => Ok(None),
            Some(entry) if entry.lock == Some(lock) => Ok(Some(Arc::clone(&entry.slot))),
            Some(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Takes a waiter out wherever it is: its task runs no more.
    pub(crate) fn forget(&self, slot: &Arc<FutexSlot>) {
        // Whoever is about to move it takes it for woken.
        slot.woken.store(true, Ordering::Release);
        for bucket in &self.buckets {
            let mut entries = bucket.entries.lock();
            // Not the slot: a task that waits for several futexes has more than one.
            entries.retain(|entry| !Arc::ptr_eq(&entry.slot.waiter, &slot.waiter));
            bucket.publish(&entries);
        }
        self.pi.forget(slot);
        self.pi.release_owned(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lx_core::sync::Waiter;

    fn slot() -> Arc<FutexSlot> {
        FutexSlot::new(Arc::new(Waiter::new()), 1)
    }

    fn key(addr: u64) -> FutexKey {
        FutexKey::Private { space: 1, addr }
    }

    fn is_woken(slot: &FutexSlot) -> bool {
        slot.woken.load(Ordering::Relaxed)
    }

    #[test]
    fn wakes_the_oldest_first_and_only_its_key() {
        let table = FutexTable::new();
        let slots: Vec<_> = (0..40).map(|_| slot()).collect();
        for slot in &slots {
            table.enqueue(slot, key(64), u32::MAX, None);
        }
        let other = slot();
        table.enqueue(&other, key(128), u32::MAX, None);
        assert_eq!(table.wake(key(64), 1, u32::MAX), Ok(1));
        assert!(is_woken(&slots[0]) && !is_woken(&slots[1]));
        assert_eq!(table.wake(key(64), usize::MAX, u32::MAX), Ok(39));
        assert_eq!(table.wake(key(64), 1, u32::MAX), Ok(0));
        assert!(!is_woken(&other));
        assert!(table.cancel(&other));
        assert!(!table.cancel(&slots[3]));
    }

    #[test]
    fn a_wake_does_not_reach_those_who_come_meanwhile() {
        let table = FutexTable::new();
        let (early, late) = (slot(), slot());
        table.enqueue(&early, key(64), u32::MAX, None);
        let bucket = table.bucket(key(64).bucket()).unwrap();
        let (mut end, mut mixed) = (None, false);
        let taken = bucket.take(1, &mut end, plain(key(64), 1, &mut mixed), |_| ());
        assert!(Arc::ptr_eq(&taken[0].slot, &early));
        table.enqueue(&late, key(64), u32::MAX, None);
        assert!(bucket.take(1, &mut end, plain(key(64), 1, &mut mixed), |_| ()).is_empty());
        assert!(!bucket.take(1, &mut None, plain(key(64), 1, &mut mixed), |_| ()).is_empty());
    }

    #[test]
    fn bitsets_select() {
        let table = FutexTable::new();
        let (a, b) = (slot(), slot());
        table.enqueue(&a, key(64), 1, None);
        table.enqueue(&b, key(64), 2, None);
        assert_eq!(table.wake(key(64), 1, 4), Ok(0));
        assert_eq!(table.wake(key(64), 1, 2), Ok(1));
        assert!(is_woken(&b) && !is_woken(&a));
    }

    #[test]
    fn requeued_waiters_hear_the_other_futex() {
        let table = FutexTable::new();
        let slots: Vec<_> = (0..50).map(|_| slot()).collect();
        for slot in &slots {
            table.enqueue(slot, key(64), u32::MAX, None);
        }
        assert_eq!(table.requeue(key(64), key(4096), 1, 30), Ok(31));
        assert_eq!(table.wake(key(64), usize::MAX, u32::MAX), Ok(19));
        assert!(table.cancel(&slots[5]));
        assert_eq!(table.wake(key(4096), usize::MAX, u32::MAX), Ok(29));
    }

    #[test]
    fn private_and_shared_keys_differ() {
        assert_ne!(key(64), FutexKey::Private { space: 2, addr: 64 });
        assert_ne!(key(64), FutexKey::Region { address: 64 });
    }
}
