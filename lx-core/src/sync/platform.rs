//! The few host services that locks and wait queues need, reachable without an argument because
//! a lock is taken and released (`Drop`) where no host is at hand.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::host::{HostThreadId, Nanos};

/// Services for locks and wait queues.
pub trait SyncHost: Sync {
    /// A non-zero id below 2^30 of the calling thread, recorded in the locks that it owns.
    fn owner_id(&self) -> u32;
    /// Sleeps while `*word == expected`; see [`HostThread::park`](crate::host::HostThread::park).
    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>);
    /// Spins while `*word == expected`, about as long as it takes to wake a sleeping thread; whether
    /// the word has changed. Hosts without a second processor do not spin.
    fn spin(&self, word: &AtomicU32, expected: u32) -> bool {
        let _ = (word, expected);
        false
    }
    /// Sleeps likewise on the word of a lock, for [`lock_sleep`] at the longest. `round` says how
    /// often the thread has slept for the lock already.
    fn park_for_lock(&self, word: &AtomicU32, expected: u32, round: u32) {
        let _ = round;
        self.park(word, expected, None);
    }
    /// Wakes threads parked on `word`.
    fn wake(&self, word: &AtomicU32, count: u32);
    /// Interrupts guest code; see [`HostThread::interrupt`](crate::host::HostThread::interrupt).
    fn interrupt(&self, thread: HostThreadId);
    /// Bit set of the lock levels that the calling thread holds (debug builds only).
    fn held_levels(&self) -> &AtomicU64;
    /// Whether [`held_levels`](Self::held_levels) is kept per thread, so that the lock order can
    /// be checked.
    fn checks_order(&self) -> bool {
        true
    }
    /// Reports a broken lock order and stops.
    fn lock_order_broken(&self, held: u64, wanted: u8) -> !;
}

/// Set in the word of a lock while a thread may be parked on it; the rest is the owner's id.
pub const LOCK_PARKED: u32 = 1 << 31;

/// Longest sleep on a lock, in nanoseconds, after which it is looked at again: its wake may have been
/// lost, or its owner killed. The first sleeps are short. Later ones are not, because thousands of
/// threads that wait for one lock would do nothing but wake up; one of them that comes in time is
/// enough, as it wakes the next when it has had the lock.
pub const fn lock_sleep(round: u32) -> Nanos {
    const FIRST: Nanos = 5_000_000;
    const MOST_DOUBLED: u32 = 6;
    let doubled = if round < MOST_DOUBLED { round } else { MOST_DOUBLED };
    FIRST << doubled
}

static SYNC_HOST: AtomicPtr<&'static dyn SyncHost> = AtomicPtr::new(core::ptr::null_mut());

/// Installs the services, once, before the first contended lock.
pub fn set_sync_host(host: &'static &'static dyn SyncHost) {
    SYNC_HOST.store(core::ptr::from_ref(host).cast_mut(), Ordering::Release);
}

struct Unset;

impl SyncHost for Unset {
    fn owner_id(&self) -> u32 {
        1
    }
    fn park(&self, _word: &AtomicU32, _expected: u32, _deadline: Option<Nanos>) {
        core::hint::spin_loop();
    }
    fn wake(&self, _word: &AtomicU32, _count: u32) {}
    fn interrupt(&self, _thread: HostThreadId) {}
    fn held_levels(&self) -> &AtomicU64 {
        static NONE: AtomicU64 = AtomicU64::new(0);
        &NONE
    }
    fn checks_order(&self) -> bool {
        false
    }
    #[expect(clippy::panic, reason = "a programming error, found in debug builds only")]
    fn lock_order_broken(&self, held: u64, wanted: u8) -> ! {
        panic!("lock order: level {wanted} wanted while holding {held:#x}")
    }
}

/// Whether services were installed. Without them nothing tells threads apart.
pub(crate) fn has_sync_host() -> bool {
    !SYNC_HOST.load(Ordering::Relaxed).is_null()
}

/// The installed services, if there are any.
#[inline(always)]
fn installed() -> Option<&'static dyn SyncHost> {
    let host = SYNC_HOST.load(Ordering::Acquire);
    // SAFETY: `set_sync_host` stored a pointer made from a `&'static &'static dyn SyncHost`.
    unsafe { host.as_ref() }.copied()
}

/// The installed services; before that, ones that spin (tests of pure data structures).
pub(crate) fn sync_host() -> &'static dyn SyncHost {
    installed().unwrap_or(&Unset)
}

/// The calling thread's id, if threads have ids: `None` before services were installed.
#[inline(always)]
pub(crate) fn thread_id() -> Option<u32> {
    installed().map(SyncHost::owner_id)
}

/// [`SyncHost::owner_id`]. A branch of its own, and not a choice between two services to call: as
/// only one place stores services, a compiler that sees the whole kernel calls that one directly
/// and puts the few instructions in line.
#[inline(always)]
pub(crate) fn owner_id() -> u32 {
    match thread_id() {
        Some(id) => id,
        None => Unset.owner_id(),
    }
}
