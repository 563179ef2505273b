//! Sleeping, waking, interrupting.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::host::{HostThread, HostThreadId, Nanos};
use lx_core::sync::{LOCK_PARKED, SyncHost, lock_sleep};
use lx_x86::context::spin_until;

use crate::LinuxHost;
use crate::report;
use crate::sys::{self, sys};
use crate::thread;

/// The host signal that makes guest code enter the kernel. Ignored by default, so that one that
/// comes too late hurts nobody.
pub(crate) const INTERRUPT_SIGNAL: i32 = 23; // SIGURG

/// How long a thread spins before it sleeps, in ticks of the processor's counter: some 20 microseconds,
/// as long as it takes to wake a thread on a processor that has nothing to do.
const SPIN_TICKS: u64 = 60_000;

/// Spins while `*word == expected`; whether the word has changed.
pub(crate) fn spin(word: &AtomicU32, expected: u32) -> bool {
    LinuxHost.cpu_count() > 1 && spin_until(SPIN_TICKS, || word.load(Ordering::Acquire) != expected)
}

/// Sleeps while `*word == expected`.
pub(crate) fn park(word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
    let block = thread::current();
    block.check_stack();
    block.park_word.store(word.as_ptr() as u64, Ordering::Relaxed);
    block.park_value.store(expected, Ordering::Relaxed);
    block.parked.swap(1, Ordering::SeqCst);
    let _ = sys::futex_wait(word.as_ptr(), expected, deadline);
    // Ordered before the look at `PENDING` on the way out: see `interrupt`.
    block.parked.swap(0, Ordering::SeqCst);
}

/// Wakes up to `count` sleepers.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    sys::futex_wake(word.as_ptr(), count);
}

/// Makes a thread enter the kernel soon.
///
/// The signal is needed only if the thread may be in guest code. One that is seen `parked` is in
/// the kernel, and will look at `PENDING` on its way out after it has cleared `parked`.
pub(crate) fn interrupt(id: HostThreadId) {
    let Some(block) = thread::by_id(id) else { return };
    if block.engine.pending.swap(1, Ordering::SeqCst) != 0 {
        return;
    }
    if core::ptr::eq(block, thread::current()) || block.parked.load(Ordering::SeqCst) != 0 {
        return;
    }
    let tid = block.engine.host_tid.load(Ordering::SeqCst);
    if tid != 0 {
        // SAFETY: a signal to one of our threads.
        let _ = unsafe { sys!(sys::__NR_tkill, tid, INTERRUPT_SIGNAL) };
    }
}

/// What locks and wait queues use.
pub(crate) struct LinuxSync;

impl SyncHost for LinuxSync {
    fn owner_id(&self) -> u32 {
        thread::current().owner_id()
    }

    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        park(word, expected, deadline);
    }

    fn spin(&self, word: &AtomicU32, expected: u32) -> bool {
        spin(word, expected)
    }

    fn park_for_lock(&self, word: &AtomicU32, expected: u32, round: u32) {
        let limit = crate::clock::monotonic().saturating_add(lock_sleep(round));
        park(word, expected, Some(limit));
        // The supervisor looks for dead owners, too, but it may be the one that waits here.
        if word.load(Ordering::Relaxed) == expected {
            crate::init::check_owner(expected & !LOCK_PARKED);
        }
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        wake(word, count);
    }

    fn interrupt(&self, thread: HostThreadId) {
        interrupt(thread);
    }

    fn held_levels(&self) -> &AtomicU64 {
        &thread::current().held_levels
    }

    fn lock_order_broken(&self, held: u64, wanted: u8) -> ! {
        report::stop(format_args!("lock order: level {wanted} wanted while holding {held:#x}"))
    }
}
