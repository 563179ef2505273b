//! The vDSO, made once for all programs.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::caller::Caller;
use lx_core::host::{Backing, Host, Prot};
use lx_core::sync::{Mutex, level};

use crate::mm::AddressSpace;
use crate::mm::text::KernelPages;

/// The image in kernel memory.
struct Vdso {
    image: KernelPages,
    data_len: u64,
    restorer: u64,
}

/// Holds the image once it was made.
#[derive(Default)]
pub struct VdsoCache {
    vdso: Mutex<Option<Option<Arc<Vdso>>>, { level::CACHE }>,
}

/// Where a program finds it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VdsoPlace {
    /// Address of the ELF header.
    pub(crate) base: u64,
    /// Address of the signal restorer.
    pub(crate) restorer: u64,
}

impl VdsoCache {
    fn get(&self, host: &dyn Host) -> Result<Option<Arc<Vdso>>> {
        if let Some(vdso) = &*self.vdso.lock() {
            return Ok(vdso.clone());
        }
        let made = match host.vdso() {
            Some(made) => {
                let mut image = KernelPages::new(made.image.len() as u64)?;
                if let Some(to) = image.bytes_mut().get_mut(..made.image.len()) {
                    to.copy_from_slice(&made.image);
                }
                Some(Arc::new(Vdso { image, data_len: made.data_len, restorer: made.restorer }))
            }
            None => None,
        };
        // A second one that was made at the same time is as good.
        let old = self.vdso.lock().replace(made.clone());
        drop(old);
        Ok(made)
    }

    /// Maps it; `None` if the host has none.
    pub(crate) fn map(
        &self,
        caller: &Caller<'_>,
        space: &AddressSpace,
    ) -> Result<Option<VdsoPlace>> {
        let host = caller.host;
        let Some(vdso) = self.get(host)? else { return Ok(None) };
        let Some(clock) = host.vdso_clock_page() else { return Ok(None) };
        let image_len = vdso.image.len();
        let data = space.reserve_special("[vvar]", "[vdso]", vdso.data_len, image_len)?;
        let base = data.saturating_add(vdso.data_len);
        let backing = Backing::Pages { address: clock, shared: true };
        host.map(data, vdso.data_len, Prot::READ, backing)?;
        let backing = Backing::Pages { address: vdso.image.address(), shared: false };
        host.map(base, image_len, Prot::READ | Prot::EXEC, backing)?;
        Ok(Some(VdsoPlace { base, restorer: base.saturating_add(vdso.restorer) }))
    }
}
