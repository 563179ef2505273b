//! Mapped files of the kernel that change their length.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::host::Host;

use super::AddressSpace;
use super::map::repeat_advice;
use super::pages::PageMapping;
use super::vma::{Vma, VmaBacking, VmaFlags};
use crate::CurrentTask;

/// After the length of a file was changed: pages behind its end vanish from all address spaces, and
/// new ones appear in the caller's. Others get those when they touch them.
///
/// Only a host process itself can unmap something of its own, so that the tasks of other processes
/// are interrupted: those that run guest code do it at once, those in the kernel before they
/// return. The caller does not wait for that.
pub fn files_resized(current: &CurrentTask<'_>) {
    if !PageMapping::any_of_files() {
        return;
    }
    for task in current.kernel().pids.tasks() {
        if task.mm_id() == current.mm().id() {
            continue;
        }
        let mm = task.mm();
        if mm.shows_too_much.load(Ordering::SeqCst) || mm.has_shortened_files() {
            mm.shows_too_much.store(true, Ordering::SeqCst);
            current.host().interrupt(task.waiter().thread());
        }
    }
    current.mm().map_anew(current.host());
}

impl AddressSpace {
    /// Whether some of what its process has mapped lies behind the end of the file now.
    fn has_shortened_files(&self) -> bool {
        self.inner.lock().tree.iter().any(|vma| match &vma.backing {
            VmaBacking::Pages(pages, offset) if pages.file().is_some() => {
                let (before, now) = pages.ends();
                now < before && before > *offset
            }
            _ => false,
        })
    }

    /// Whether [`forget_shortened`](Self::forget_shortened) has something to do.
    pub fn shows_too_much(&self) -> bool {
        self.shows_too_much.load(Ordering::SeqCst)
    }

    /// Lets go of pages behind the ends of files that another process has shortened.
    pub fn forget_shortened(&self, host: &dyn Host) {
        if !self.shows_too_much() || !self.shows_too_much.swap(false, Ordering::SeqCst) {
            return;
        }
        for vma in self.file_mappings() {
            let VmaBacking::Pages(pages, offset) = &vma.backing else { continue };
            let (before, now) = pages.ends();
            // A child shares its parent's notes of what is mapped, and may have been here before.
            let len = vma.len().saturating_sub(now.saturating_sub(*offset));
            if len > 0 {
                // What fails here, the guest may go on to see.
                let _ = host.unmap(vma.end.saturating_sub(len), len);
            }
            pages.set_mapped_end(before.min(now));
        }
    }

    /// The mappings of files of the kernel.
    fn file_mappings(&self) -> Vec<Vma> {
        let inner = self.inner.lock();
        let of_file = |vma: &&Vma| match &vma.backing {
            VmaBacking::Pages(pages, _) => pages.file().is_some(),
            _ => false,
        };
        inner.tree.iter().filter(of_file).cloned().collect()
    }

    /// Brings the mappings of the calling process up to date.
    fn map_anew(&self, host: &dyn Host) {
        let mut affected = Vec::new();
        for vma in self.file_mappings() {
            let VmaBacking::Pages(pages, offset) = &vma.backing else { continue };
            let (before, now) = pages.ends();
            if before != now && before.max(now) > *offset {
                affected.push((vma, before, now));
            }
        }
        for (vma, before, now) in &affected {
            let VmaBacking::Pages(pages, offset) = &vma.backing else { continue };
            let (from, to) = (before.min(now), before.max(now));
            let start = from.saturating_sub(*offset).min(vma.len());
            let len = to.saturating_sub(*offset).min(vma.len()).saturating_sub(start);
            if len == 0 {
                continue;
            }
            let addr = vma.start.saturating_add(start);
            // What fails here is done when the guest touches the page.
            let _ = if now < before {
                host.unmap(addr, len).map_err(Into::into)
            } else {
                let shared = vma.flags.contains(VmaFlags::SHARED);
                pages.map(host, addr, len, offset.saturating_add(start), vma.prot, shared)
            };
            repeat_advice(host, vma, addr, len);
        }
        for (vma, before, now) in &affected {
            if let VmaBacking::Pages(pages, _) = &vma.backing
                && now < before
            {
                pages.set_mapped_end(*now);
            }
        }
    }
}
