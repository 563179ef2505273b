//! Sleeping and waking across processes.
//!
//! Windows has no futex that works between processes. Sleepers enter themselves into lists by the
//! word they sleep on, and each waits for an event of its own block.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::host::{HostThreadId, Nanos};
use lx_core::sync::{LOCK_PARKED, SyncHost, lock_sleep};
use lx_x86::context::spin_until;

use crate::nt::{self, nt};
use crate::owned_lock::{Got, OwnedLock};
use crate::thread::{self, Block};
use crate::{clock, interrupt, process, report};

/// Lists of sleepers.
const BUCKETS: usize = 256;
/// How long a sleeper looks before it asks the host to wait, in ticks of the time stamp counter.
const SPIN_TICKS: u64 = 20_000;

/// Sleepers on the words of one hash value.
struct Bucket {
    /// Held while somebody works on the list; the work is a few loads and stores.
    lock: OwnedLock,
    /// The first sleeper: index plus one.
    head: AtomicU32,
}

static TABLE: [Bucket; BUCKETS] =
    [const { Bucket { lock: OwnedLock::new(), head: AtomicU32::new(0) } }; BUCKETS];

fn bucket(word: u64) -> &'static Bucket {
    let hash = (word >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    // The hash has 8 bits.
    TABLE.get(hash as usize).unwrap_or(&TABLE[0])
}

impl Bucket {
    fn lock(&self) {
        if self.lock.lock() == Got::Inherited {
            self.repair();
        }
    }

    fn unlock(&self) {
        self.lock.unlock();
    }

    fn has(&self, wanted: &Block) -> bool {
        let at = |link: &AtomicU32| thread::by_index(link.load(Ordering::Relaxed).checked_sub(1)?);
        core::iter::successors(at(&self.head), |block| at(&block.next_parked))
            .any(|block| core::ptr::eq(block, wanted))
    }

    /// Wakes the sleepers that somebody has taken off the list and not told, because he was killed.
    /// The list itself is sound after every store.
    fn repair(&self) {
        let lost = |block: &&Block| {
            block.parked.load(Ordering::SeqCst) != 0
                && block.woken.load(Ordering::SeqCst) == 0
                && core::ptr::eq(self, bucket(block.park_word.load(Ordering::SeqCst)))
                && !self.has(block)
        };
        for block in thread::all().filter(lost) {
            block.woken.store(1, Ordering::Release);
            set_event(block);
        }
    }

    /// Takes sleepers off the list for which `wanted` holds, as many as fit into `out`. Locked, as
    /// one that has seen `woken` may enter another list at once.
    fn take(&self, out: &mut [Option<&'static Block>], wanted: impl Fn(&Block) -> bool) {
        let mut slots = out.iter_mut();
        let mut link = &self.head;
        while let Some(block) =
            link.load(Ordering::Relaxed).checked_sub(1).and_then(thread::by_index)
        {
            if !wanted(block) {
                link = &block.next_parked;
                continue;
            }
            let Some(slot) = slots.next() else { return };
            link.store(block.next_parked.load(Ordering::Relaxed), Ordering::Release);
            block.woken.store(1, Ordering::Release);
            *slot = Some(block);
        }
    }
}

/// Sleeps while `*word == expected`.
pub(crate) fn park(word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
    let block = thread::current();
    block.check_stack();
    let address = word.as_ptr() as u64;
    block.park_value.store(expected, Ordering::Relaxed);
    block.parked.swap(1, Ordering::SeqCst);
    let bucket = bucket(address);
    bucket.lock();
    let same = word.load(Ordering::SeqCst) == expected;
    if same {
        block.park_word.store(address, Ordering::Relaxed);
        block.woken.store(0, Ordering::Relaxed);
        block.next_parked.store(bucket.head.load(Ordering::Relaxed), Ordering::Relaxed);
        // In this order: see `repair`.
        bucket.head.store(block.index + 1, Ordering::Release);
    }
    bucket.unlock();
    if same && !wait(block, deadline) {
        // Too late, unless somebody has just taken us off the list.
        let mut out = [None];
        bucket.lock();
        bucket.take(&mut out, |sleeper| core::ptr::eq(sleeper, block));
        bucket.unlock();
    }
    // Ordered before the look at `PENDING` on the way out: see `interrupt`.
    block.parked.swap(0, Ordering::SeqCst);
}

/// Waits until the block is taken off its list; `false` at the deadline.
fn wait(block: &Block, deadline: Option<Nanos>) -> bool {
    let woken = || block.woken.load(Ordering::Acquire) != 0;
    if spin_until(SPIN_TICKS, woken) {
        return true;
    }
    while !woken() {
        let timeout = match deadline.map(|deadline| deadline.saturating_sub(clock::now())) {
            Some(0) => return false,
            Some(span) => Some(nt::relative(span)),
            None => None,
        };
        let pointer = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        // SAFETY: the call reads the timeout.
        let status = process::with_event(block, |event| unsafe { nt!(wait, event, 0, pointer) });
        if status < 0 {
            report::stop(format_args!("cannot wait for the event of block {}", block.index));
        }
    }
    true
}

/// Wakes up to `count` sleepers.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    const AT_ONCE: usize = 16;
    let address = word.as_ptr() as u64;
    let bucket = bucket(address);
    let mut left = count as usize;
    while left > 0 {
        let mut found = [None; AT_ONCE];
        let room = left.min(AT_ONCE);
        bucket.lock();
        if let Some(out) = found.get_mut(..room) {
            bucket.take(out, |sleeper| sleeper.park_word.load(Ordering::Relaxed) == address);
        }
        bucket.unlock();
        let mut woken = 0;
        for block in found.into_iter().flatten() {
            woken += 1;
            set_event(block);
        }
        if woken < room {
            return;
        }
        left -= woken;
    }
}

/// Wakes the thread of a block that waits for its event.
pub(crate) fn set_event(block: &Block) {
    process::with_event(block, |event| {
        // SAFETY: touches no memory of ours.
        let _ = unsafe { nt!(set_event, event, core::ptr::null_mut()) };
    });
}

/// Takes a thread that was killed out of everything here, and does what it was about to do.
pub(crate) fn bury(dead: &'static Block) {
    for bucket in TABLE.iter().filter(|bucket| bucket.lock.is_held_by(dead)) {
        bucket.lock();
        bucket.unlock();
    }
    // Whoever wakes one sleeper must not find this one.
    let bucket = bucket(dead.park_word.load(Ordering::SeqCst));
    bucket.lock();
    bucket.take(&mut [None], |sleeper| core::ptr::eq(sleeper, dead));
    bucket.unlock();
    // It may have taken sleepers off their lists, and not set their events yet.
    let told = |block: &&Block| {
        block.parked.load(Ordering::SeqCst) != 0 && block.woken.load(Ordering::SeqCst) != 0
    };
    thread::all().filter(told).for_each(set_event);
}

/// What locks and wait queues use.
pub(crate) struct WindowsSync;

impl SyncHost for WindowsSync {
    fn owner_id(&self) -> u32 {
        thread::current().owner_id()
    }

    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        park(word, expected, deadline);
    }

    fn park_for_lock(&self, word: &AtomicU32, expected: u32, round: u32) {
        let limit = clock::now().saturating_add(lock_sleep(round));
        park(word, expected, Some(limit));
        if word.load(Ordering::Relaxed) == expected {
            crate::init::check_owner(expected & !LOCK_PARKED);
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        wake(word, count);
    }

    fn interrupt(&self, thread: HostThreadId) {
        interrupt::interrupt(thread);
    }

    fn held_levels(&self) -> &AtomicU64 {
        &thread::current().held_levels
    }

    fn lock_order_broken(&self, held: u64, wanted: u8) -> ! {
        report::stop(format_args!("lock order: level {wanted} wanted while holding {held:#x}"))
    }
}
