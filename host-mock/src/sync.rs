//! Services for the kernel's locks and wait queues, by the calling thread's mock host.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::host::{HostThread, HostThreadId, Nanos};
use lx_core::sync::{LOCK_PARKED, SyncHost, set_sync_host};

use crate::thread::{self, Current, with_current};

struct MockSync;

static SYNC: MockSync = MockSync;
static SYNC_DYN: &dyn SyncHost = &SYNC;
static INSTALL: Once = Once::new();

/// Installs the services; any number of hosts share them.
pub(crate) fn install() {
    INSTALL.call_once(|| set_sync_host(&SYNC_DYN));
}

/// Whether the owner of a lock belongs to another host: the kernel's statics are shared by all hosts
/// of a process, whose tests run side by side. Such an owner runs now.
fn is_foreign(current: &Current, owner: u32) -> bool {
    !current.host.has_os_thread(owner)
}

/// Sleeps on the calling thread's host, or gives others a chance where it has none or shall not sleep.
fn park(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Nanos>,
    sleeps: impl Fn(&Current) -> bool,
) {
    let parked = with_current(|current| {
        if sleeps(current) {
            current.host.park(word, expected, deadline);
        } else {
            std::thread::yield_now();
        }
    });
    if parked.is_none() && word.load(Ordering::SeqCst) == expected {
        // A thread of a plain unit test.
        std::thread::yield_now();
    }
}

impl SyncHost for MockSync {
    fn owner_id(&self) -> u32 {
        thread::os_thread_id()
    }
    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        park(word, expected, deadline, |_| true);
    }
    fn park_for_lock(&self, word: &AtomicU32, expected: u32, _round: u32) {
        park(word, expected, None, |current| !is_foreign(current, expected & !LOCK_PARKED));
    }
    fn wake(&self, word: &AtomicU32, count: u32) {
        with_current(|current| current.host.wake(word, count));
    }
    fn interrupt(&self, thread: HostThreadId) {
        with_current(|current| current.host.interrupt(thread));
    }
    fn held_levels(&self) -> &AtomicU64 {
        thread::held_levels()
    }
    fn lock_order_broken(&self, held: u64, wanted: u8) -> ! {
        panic!("lock order: level {wanted} wanted while holding {held:#x}")
    }
}
