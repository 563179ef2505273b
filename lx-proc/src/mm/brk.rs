//! brk(2).

use lx_core::abi::{PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::host::{Backing, Prot};
use lx_core::rlimit::{RLIM_INFINITY, Resource};

use super::AddressSpace;
use super::tree::page_up;
use super::vma::{Vma, VmaBacking, VmaFlags};

impl AddressSpace {
    /// Sets where the heap begins, when a program is loaded.
    pub(crate) fn set_brk_start(&self, addr: u64) {
        let mut inner = self.inner.lock();
        inner.brk_start = addr;
        inner.brk = addr;
    }

    /// brk(2): the new end of the heap, or the old one if it cannot be moved.
    pub fn brk(&self, caller: &Caller<'_>, addr: u64) -> u64 {
        let mut inner = self.inner.lock();
        let old = inner.brk;
        if addr < inner.brk_start || addr > USER_END - PAGE_SIZE {
            return old;
        }
        let (Some(old_end), Some(new_end)) = (page_up(old), page_up(addr)) else { return old };
        if new_end <= old_end {
            inner.brk = addr;
            drop(inner);
            if new_end < old_end {
                let _ = self.unmap(caller, new_end, old_end - new_end);
            }
            return addr;
        }
        let grow = new_end - old_end;
        let limit = caller.rlimits.soft(Resource::Data);
        if limit != RLIM_INFINITY && inner.data_bytes().saturating_add(grow) > limit {
            return old;
        }
        inner.evict_recycled(old_end, new_end);
        if inner.check_limits(caller.rlimits, grow).is_err()
            || !inner.tree.is_free(old_end, new_end.saturating_add(PAGE_SIZE))
        {
            return old;
        }
        let prot = Prot::READ | Prot::WRITE;
        inner.tree.insert(Vma {
            start: old_end,
            end: new_end,
            prot,
            flags: VmaFlags::HEAP,
            backing: VmaBacking::Anonymous,
            policy: None,
        });
        inner.brk = addr;
        inner.note_peak();
        drop(inner);
        if caller.host.map(old_end, grow, prot, Backing::Anonymous).is_ok() {
            return addr;
        }
        let mut inner = self.inner.lock();
        inner.brk = old;
        // Anonymous memory: dropping it calls nobody.
        drop(inner.tree.remove(old_end, new_end));
        old
    }
}
