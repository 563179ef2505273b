//! What a program loader does with an address space besides mapping files.

use lx_core::Result;
use lx_core::abi::{Errno, USER_END};
use lx_core::caller::Caller;
use lx_core::host::{Backing, Prot};

use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, MMAP_TOP, STACK_TOP};

/// Stacks may grow up to here, whatever their limit.
const LARGEST_STACK: u64 = USER_END / 16;

impl AddressSpace {
    /// Keeps enough room between mappings and the top for a stack of this size.
    pub(crate) fn set_stack_limit(&self, limit: u64) {
        let stack = limit.min(LARGEST_STACK);
        let top = STACK_TOP.saturating_sub(stack).saturating_sub(2 << 20) & !0xfff;
        self.inner.lock().mmap_top = top.min(MMAP_TOP);
    }

    /// Maps the main stack, `len` bytes below [`STACK_TOP`].
    pub(crate) fn map_stack(&self, caller: &Caller<'_>, len: u64, prot: Prot) -> Result<()> {
        let start = STACK_TOP.checked_sub(len).ok_or(Errno::ENOMEM)?;
        let mut inner = self.inner.lock();
        if !inner.tree.is_free(start, STACK_TOP) {
            return Err(Errno::ENOMEM.into());
        }
        inner.tree.insert(Vma {
            start,
            end: STACK_TOP,
            prot,
            flags: VmaFlags::STACK | VmaFlags::GROWS_DOWN,
            backing: VmaBacking::Anonymous,
            policy: None,
        });
        drop(inner);
        Ok(caller.host.map(start, len, prot, Backing::Anonymous)?)
    }

    /// A free range for a program that may go anywhere.
    pub(crate) fn find_room(&self, len: u64) -> Result<u64> {
        let gap = super::map::gap_behind(len);
        self.inner.lock().find_free(len, gap).ok_or_else(|| Errno::ENOMEM.into())
    }

    /// End of the mappings that follow `addr` without a hole, the kernel's own included.
    pub(crate) fn end_of_run(&self, addr: u64) -> u64 {
        let inner = self.inner.lock();
        let mut end = addr;
        while let Some(vma) = inner.tree.find(end) {
            end = vma.end;
        }
        end
    }

    /// Reserves two neighbouring ranges for things of the kernel: data that may be read, and code.
    pub(crate) fn reserve_special(
        &self,
        data: &'static str,
        code: &'static str,
        data_len: u64,
        code_len: u64,
    ) -> Result<u64> {
        let mut inner = self.inner.lock();
        let len = data_len.checked_add(code_len).ok_or(Errno::ENOMEM)?;
        let start = inner.find_free(len, 0).ok_or(Errno::ENOMEM)?;
        let middle = start.saturating_add(data_len);
        inner.tree.insert(Vma {
            start,
            end: middle,
            prot: Prot::READ,
            flags: VmaFlags::empty(),
            backing: VmaBacking::Special(data),
            policy: None,
        });
        inner.tree.insert(Vma {
            start: middle,
            end: start.saturating_add(len),
            prot: Prot::READ | Prot::EXEC,
            flags: VmaFlags::empty(),
            backing: VmaBacking::Special(code),
            policy: None,
        });
        Ok(start)
    }
}
