//! munmap(2), and what has to go along with text.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::host::{Host, Prot};

use super::map::map_plain;
use super::text::TextMapping;
use super::tree::page_up;
use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner, MAX_RECYCLED_LEN};

/// How a small range leaves the guest's view.
enum Recycling {
    /// Not at all: it must be unmapped.
    No,
    /// It waits for reuse now; the range that had to make room for it must be unmapped.
    Done(Option<(u64, u64)>),
}

impl AddressSpace {
    /// munmap(2).
    ///
    /// # Errors
    /// `EINVAL`; the host's.
    pub fn unmap(&self, caller: &Caller<'_>, addr: u64, len: u64) -> Result<()> {
        if !addr.is_multiple_of(PAGE_SIZE) || len == 0 || len > USER_END || addr > USER_END - len {
            return Err(Errno::EINVAL.into());
        }
        let len = page_up(len).ok_or(Errno::EINVAL)?;
        let end = addr.saturating_add(len);
        let mut inner = self.inner.lock();
        if let Recycling::Done(evicted) = inner.recycle(addr, end) {
            drop(inner);
            if let Some((start, end)) = evicted {
                caller.host.unmap(start, end.saturating_sub(start))?;
                // Recycled memory has no file: nobody is called.
                drop(self.inner.lock().tree.remove(start, end));
            }
            return Ok(());
        }
        let ranges = inner.visible_ranges(addr, end);
        drop(inner);
        for &(start, end) in &ranges {
            caller.host.unmap(start, end.saturating_sub(start))?;
        }
        let mut removed = Vec::new();
        let mut inner = self.inner.lock();
        for (start, end) in ranges {
            let parts = inner.tree.remove(start, end);
            inner.forget_locked(&parts);
            if removed.is_empty() {
                removed = parts;
            } else {
                removed.extend(parts);
            }
        }
        drop(inner);
        self.drop_stubs(caller.host, &removed);
        Ok(())
    }

    /// After text was taken out of the tree: its stubs go too. After stubs were (by a mapping at
    /// their place): their text is mapped as it was, so that its sites trap.
    pub(super) fn drop_stubs(&self, host: &dyn Host, removed: &[Vma]) {
        for vma in removed {
            let VmaBacking::Text(mapping, _) = &vma.backing else { continue };
            if vma.flags.contains(VmaFlags::HIDDEN) {
                self.restore_text(host, mapping);
            } else {
                self.drop_orphaned_stubs(host, mapping);
            }
        }
    }

    fn drop_orphaned_stubs(&self, host: &dyn Host, mapping: &Arc<TextMapping>) {
        let (start, len) = (mapping.stubs, mapping.text.stub_len());
        let inner = self.inner.lock();
        let is_used = inner
            .tree
            .iter()
            .any(|vma| is_part_of(vma, mapping) && !vma.flags.contains(VmaFlags::HIDDEN));
        let has_stubs = inner.tree.find(start).is_some_and(|vma| is_part_of(vma, mapping));
        drop(inner);
        if is_used || !has_stubs || host.unmap(start, len).is_err() {
            return;
        }
        let parts = self.inner.lock().tree.remove(start, start.saturating_add(len));
        drop(parts);
    }

    fn restore_text(&self, host: &dyn Host, mapping: &Arc<TextMapping>) {
        let mut plain = Vec::new();
        let mut inner = self.inner.lock();
        let parts: Vec<(u64, u64)> = inner
            .tree
            .iter()
            .filter(|vma| is_part_of(vma, mapping) && !vma.flags.contains(VmaFlags::HIDDEN))
            .map(|vma| (vma.start, vma.end))
            .collect();
        let mut old = Vec::new();
        for (start, end) in parts {
            inner.tree.update(start, end, |vma| {
                if let VmaBacking::Text(_, offset) = vma.backing {
                    let original = mapping.original().advance(offset);
                    old.push(core::mem::replace(&mut vma.backing, original));
                    plain.push(vma.clone());
                }
            });
        }
        drop(inner);
        for vma in &plain {
            // If the host refuses, the sites lead nowhere; the guest asked for the address.
            let _ = map_plain(host, vma);
        }
    }
}

fn is_part_of(vma: &Vma, mapping: &Arc<TextMapping>) -> bool {
    matches!(&vma.backing, VmaBacking::Text(other, _) if Arc::ptr_eq(other, mapping))
}

impl Inner {
    /// Keeps a small range for reuse if it is fit for that.
    fn recycle(&mut self, start: u64, end: u64) -> Recycling {
        let len = end.saturating_sub(start);
        if len > MAX_RECYCLED_LEN {
            return Recycling::No;
        }
        let Some(at) = self.small.iter().rposition(|&small| small == (start, len)) else {
            return Recycling::No;
        };
        self.small.remove(at);
        let fits = self.tree.find(start).is_some_and(|vma| {
            end <= vma.end
                && vma.is_private_anonymous()
                && vma.prot == Prot::READ | Prot::WRITE
                && vma.policy.is_none()
                && (vma.flags - VmaFlags::NO_RESERVE).is_empty()
        });
        if !fits {
            return Recycling::No;
        }
        self.tree.recycle(start, end);
        let evicted = if self.recycled.is_full() { self.recycled.pop_at(0) } else { None };
        let _ = self.recycled.try_push((start, len));
        Recycling::Done(evicted.map(|(start, len)| (start, start.saturating_add(len))))
    }

    /// The parts of a range where the guest sees mappings; neighbours are joined.
    pub(super) fn visible_ranges(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for vma in self.tree.overlapping(start, end).filter(|vma| !vma.is_invisible()) {
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            match ranges.last_mut() {
                Some(last) if last.1 == from => last.1 = to,
                _ => ranges.push((from, to)),
            }
        }
        ranges
    }

    /// A mapping that is locked counts against the limit.
    pub(super) fn count_locked(&mut self, vma: &Vma) {
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked = self.locked.saturating_add(vma.len());
        }
    }

    /// Memory locks end with the mapping.
    pub(super) fn forget_locked(&mut self, parts: &[Vma]) {
        let locked = parts.iter().filter(|vma| vma.flags.contains(VmaFlags::LOCKED));
        let bytes: u64 = locked.map(Vma::len).sum();
        self.locked = self.locked.saturating_sub(bytes);
    }
}
