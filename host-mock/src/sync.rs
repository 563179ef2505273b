//! Services for the kernel's locks and wait queues, by the calling thread's mock host.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::host::{HostThread, HostThreadId, Nanos};
use lx_core::sync::{SyncHost, set_sync_host};

use crate::thread::{self, Current, with_current};

struct MockSync;

static SYNC: MockSync = MockSync;
static SYNC_DYN: &dyn SyncHost = &SYNC;
static INSTALL: Once = Once::new();

/// Installs the services; any number of hosts share them.
pub(crate) fn install() {
    INSTALL.call_once(|| set_sync_host(&SYNC_DYN));
}

/// Set in the word of a lock that somebody waits for; the rest is its owner.
const LOCK_PARKED: u32 = 1 << 31;

/// Whether the word is that of a lock whose owner belongs to another host: the kernel's statics
/// are shared by all hosts of a process, whose tests run side by side. Such an owner runs now.
fn is_foreign_lock(current: &Current, word: u32) -> bool {
    word & LOCK_PARKED != 0 && !current.host.has_os_thread(word & !LOCK_PARKED)
}

impl SyncHost for MockSync {
    fn owner_id(&self) -> u32 {
        thread::os_thread_id()
    }
    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        let parked = with_current(|current| {
            if is_foreign_lock(current, expected) {
                std::thread::yield_now();
            } else {
                current.host.park(word, expected, deadline);
            }
        });
        if parked.is_none() && word.load(Ordering::SeqCst) == expected {
            // A thread of a plain unit test.
            std::thread::yield_now();
        }
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
