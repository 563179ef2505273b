//! Telling that open files are used, for `inotify(7)`.
//!
//! While nobody watches anything, that costs one look at a counter.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::OpenFile;
use crate::sync::{Mutex, level};

/// What was done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// Bytes or entries were read.
    Read,
    /// Bytes were written.
    Written,
    /// The description has ended.
    Closed,
}

/// Who is told.
pub type Listener = fn(&OpenFile, FileUse);

/// How many watches there are.
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static LISTENER: Mutex<Option<Listener>, { level::STATS }> = Mutex::new(None);

/// There is one more watch; `listener` is told of what happens from now on.
pub fn watch_added(listener: Listener) {
    *LISTENER.lock() = Some(listener);
    WATCHES.fetch_add(1, Ordering::AcqRel);
}

/// There is one watch less.
pub fn watch_removed() {
    let _ =
        WATCHES.fetch_update(Ordering::AcqRel, Ordering::Acquire, |watches| watches.checked_sub(1));
}

/// Whether anybody watches anything.
#[inline(always)]
pub fn is_watched() -> bool {
    WATCHES.load(Ordering::Relaxed) != 0
}

impl OpenFile {
    /// Tells of a use.
    #[inline(always)]
    pub(super) fn used(&self, how: FileUse) {
        if is_watched() {
            self.tell(how);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell(&self, how: FileUse) {
        let listener = *LISTENER.lock();
        if let Some(listener) = listener.filter(|_| !self.is_path_only()) {
            listener(self, how);
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.used(FileUse::Closed);
    }
}
