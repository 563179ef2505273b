//! When files lost pages that somebody may have mapped.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::sync::{Mutex, level};

/// How often any file has lost pages. It moves when the file that did is marked.
static LATEST: AtomicU64 = AtomicU64::new(0);
/// Held by who counts, so that the files are marked in order.
static COUNTING: Mutex<(), { level::STATS }> = Mutex::new(());

/// When a file lost pages last: which of all such events that was, from 1 on.
#[derive(Debug, Default)]
pub struct Shortened(AtomicU64);

impl Shortened {
    /// The file has lost pages; its length says so already.
    pub fn note(&self) {
        let counting = COUNTING.lock();
        let event = LATEST.load(Ordering::Relaxed).saturating_add(1);
        self.0.store(event, Ordering::Release);
        LATEST.store(event, Ordering::Release);
        drop(counting);
    }

    /// Its last event; 0 if there was none.
    pub fn latest(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The last event of all files; 0 if there was none. Who knows of an event finds its file marked.
pub fn latest_shortening() -> u64 {
    LATEST.load(Ordering::Acquire)
}
