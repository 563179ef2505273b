//! When files lost pages that somebody may have mapped.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::sync::{Mutex, level};

/// How often any file has lost pages.
static COUNT: Mutex<u64, { level::STATS }> = Mutex::new(0);

/// When a file lost pages last: which of all such events that was, from 1 on.
#[derive(Debug, Default)]
pub struct Shortened(AtomicU64);

impl Shortened {
    /// The file has lost pages; its length says so already.
    pub fn note(&self) {
        // Stored with the lock held: who knows of an event finds its file marked.
        let mut count = COUNT.lock();
        *count = count.saturating_add(1);
        self.0.store(*count, Ordering::Release);
    }

    /// Its last event; 0 if there was none.
    pub fn latest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The last event of all files; 0 if there was none.
pub fn latest_shortening() -> u64 {
    *COUNT.lock()
}
