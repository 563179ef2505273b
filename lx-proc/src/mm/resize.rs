//! Mapped files of the kernel that change their length.

use alloc::vec::Vec;

use lx_core::host::Host;

use super::AddressSpace;
use super::vma::{Vma, VmaBacking, VmaFlags};

impl AddressSpace {
    /// After a file's length was changed: pages behind its end vanish from the address space, new
    /// ones appear. Other processes see new pages when they touch them; old ones stay visible to
    /// them.
    pub fn files_resized(&self, host: &dyn Host) {
        let inner = self.inner.lock();
        let affected: Vec<Vma> =
            inner.tree.iter().filter(|vma| is_out_of_date(vma)).cloned().collect();
        drop(inner);
        for vma in &affected {
            let VmaBacking::Pages(pages, offset) = &vma.backing else { continue };
            let (before, now) = pages.ends();
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
        }
        for vma in &affected {
            if let VmaBacking::Pages(pages, _) = &vma.backing {
                let (before, now) = pages.ends();
                pages.set_mapped_end(before.min(now));
            }
        }
    }
}

fn is_out_of_date(vma: &Vma) -> bool {
    let VmaBacking::Pages(pages, offset) = &vma.backing else { return false };
    let (before, now) = pages.ends();
    before != now && pages.file().is_some() && before.max(now) > *offset
}
