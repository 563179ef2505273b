//! Rings of asynchronous I/O, `io_setup(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::mman::MapFlags;
use lx_core::caller::Caller;
use lx_core::host::Prot;

use super::AddressSpace;
use super::map::MapRequest;
use super::pages::PageMapping;
use super::vma::{VmaBacking, VmaFlags};
use crate::aio::Contexts;

impl AddressSpace {
    /// The contexts whose rings it shows.
    pub(crate) fn contexts(&self) -> &Contexts {
        &self.contexts
    }

    /// Maps a ring; the address.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub(crate) fn map_ring(&self, caller: &Caller<'_>, ring: Arc<PageMapping>) -> Result<u64> {
        let (len, prot) = (ring.len(), Prot::READ | Prot::WRITE);
        let flags = MapFlags::MAP_SHARED;
        let request = MapRequest { addr: 0, len, prot, flags, file: None, offset: 0, stubs: None };
        let properties = VmaFlags::SHARED | VmaFlags::DONT_EXPAND;
        self.map_backing(caller, &request, len, VmaBacking::Pages(ring, 0), properties)
    }

    /// Whether `mapping` begins at an address.
    pub(crate) fn shows_start(&self, address: u64, mapping: &Arc<PageMapping>) -> bool {
        let inner = self.inner.lock();
        inner.tree.find(address).is_some_and(|vma| match &vma.backing {
            VmaBacking::Pages(shown, 0) => vma.start == address && Arc::ptr_eq(shown, mapping),
            _ => false,
        })
    }
}
