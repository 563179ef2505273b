//! Mapped files of the kernel that get shorter.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::file::latest_shortening;
use lx_core::host::Host;

use super::AddressSpace;
use super::pages::PageMapping;
use super::vma::{Vma, VmaBacking};
use crate::CurrentTask;

/// After the length of a file was changed: pages behind its end vanish from all address spaces.
/// What a file gains appears where it is touched.
///
/// Only a host process itself can unmap something of its own, so that the tasks of other processes
/// are interrupted: those that run guest code do it at once, those in the kernel before they
/// return. The caller does not wait for that.
pub fn files_resized(current: &CurrentTask<'_>) {
    if !PageMapping::any_of_files() {
        return;
    }
    for task in current.kernel().pids.tasks() {
        if task.mm_id() != current.mm().id() && task.mm().look_for_shortened() {
            current.host().interrupt(task.waiter().thread());
        }
    }
    current.mm().look_for_shortened();
    current.mm().forget_shortened(current.host());
}

impl AddressSpace {
    /// Whether [`forget_shortened`](Self::forget_shortened) has something to do, by what is mapped.
    pub fn look_for_shortened(&self) -> bool {
        let latest = latest_shortening();
        let known = self.shortening.load(Ordering::SeqCst);
        if self.shows_too_much() || latest == known {
            return self.shows_too_much();
        }
        let affected = |vma: &Vma| match &vma.backing {
            VmaBacking::Pages(pages, _) => {
                pages.shortened() > known && behind_end(vma, pages).is_some()
            }
            _ => false,
        };
        if self.inner.lock().tree.iter().any(affected) {
            self.shows_too_much.store(true, Ordering::SeqCst);
            return true;
        }
        self.shortening.fetch_max(latest, Ordering::SeqCst);
        false
    }

    /// Whether [`forget_shortened`](Self::forget_shortened) has something to do.
    pub fn shows_too_much(&self) -> bool {
        self.shows_too_much.load(Ordering::SeqCst)
    }

    /// Lets go of pages behind the ends of files that were shortened.
    pub fn forget_shortened(&self, host: &dyn Host) {
        if !self.shows_too_much() || !self.shows_too_much.swap(false, Ordering::SeqCst) {
            return;
        }
        let latest = latest_shortening();
        let inner = self.inner.lock();
        let is_paged = |vma: &&Vma| matches!(vma.backing, VmaBacking::Pages(..));
        let paged: Vec<Vma> = inner.tree.iter().filter(is_paged).cloned().collect();
        drop(inner);
        for vma in &paged {
            if let VmaBacking::Pages(pages, _) = &vma.backing
                && let Some(len) = behind_end(vma, pages)
            {
                // What fails here, the guest may go on to see.
                let _ = host.unmap(vma.end.saturating_sub(len), len);
            }
        }
        self.shortening.fetch_max(latest, Ordering::SeqCst);
    }
}

/// Bytes of a mapping that lie behind the last page of its file.
fn behind_end(vma: &Vma, pages: &PageMapping) -> Option<u64> {
    let present = pages.end().saturating_sub(vma.backing.file_offset());
    vma.len().checked_sub(present).filter(|&len| len > 0)
}
