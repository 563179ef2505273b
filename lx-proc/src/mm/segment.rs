//! Attachments of System V shared memory, `shmat(2)` and `shmdt(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::MapFlags;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::host::Prot;

use super::AddressSpace;
use super::map::{MapRequest, check_address};
use super::pages::PageMapping;
use super::vma::{VmaBacking, VmaFlags};

impl AddressSpace {
    /// Maps a segment as a whole; the address.
    ///
    /// # Errors
    /// `EINVAL` for an address that cannot be or is in use, else as [`map`](Self::map).
    pub(crate) fn attach_segment(
        &self,
        caller: &Caller<'_>,
        segment: Arc<PageMapping>,
        addr: u64,
        prot: Prot,
        flags: MapFlags,
    ) -> Result<u64> {
        let len = segment.len();
        let request = MapRequest { addr, len, prot, flags, file: None, offset: 0, stubs: None };
        check_address(&request, len)?;
        if flags.contains(MapFlags::MAP_FIXED_NOREPLACE) {
            let free = self.inner.lock().check_free(addr, addr.saturating_add(len));
            free.map_err(|_| Errno::EINVAL)?;
        }
        let mut properties = VmaFlags::SHARED | VmaFlags::SEGMENT;
        properties.set(VmaFlags::NO_WRITE, !prot.contains(Prot::WRITE));
        self.map_backing(caller, &request, len, VmaBacking::Pages(segment, 0), properties)
    }

    /// Unmaps the attachment that begins at `addr`, as far as it is still there; its mapping.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn detach_segment(&self, caller: &Caller<'_>, addr: u64) -> Result<Arc<PageMapping>> {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let mut found: Option<Arc<PageMapping>> = None;
        let mut parts: Vec<(u64, u64)> = Vec::new();
        let inner = self.inner.lock();
        for vma in inner.tree.iter().filter(|vma| vma.flags.contains(VmaFlags::SEGMENT)) {
            let VmaBacking::Pages(segment, offset) = &vma.backing else { continue };
            if vma.start.wrapping_sub(*offset) != addr {
                continue;
            }
            // Another segment may have been mapped over the end of the first one.
            if Arc::ptr_eq(found.get_or_insert_with(|| Arc::clone(segment)), segment) {
                parts.push((vma.start, vma.len()));
            }
        }
        drop(inner);
        let segment = found.ok_or(Errno::EINVAL)?;
        for (start, len) in parts {
            self.unmap(caller, start, len)?;
        }
        Ok(segment)
    }
}
