//! NUMA policies of mappings, `mbind(2)`.

use lx_core::Result;
use lx_core::abi::Errno;

use super::AddressSpace;
use crate::mempolicy::MemPolicy;

impl AddressSpace {
    /// Gives the mappings of a range a policy. Whoever takes a policy away may leave holes.
    ///
    /// # Errors
    /// `EFAULT` if the range has a hole, or nothing is mapped there.
    pub fn set_policy(&self, start: u64, end: u64, policy: Option<MemPolicy>) -> Result<()> {
        let mut inner = self.inner.lock();
        let ranges = inner.visible_ranges(start, end);
        if ranges.is_empty() || policy.is_some() && !inner.tree.is_covered(start, end) {
            return Err(Errno::EFAULT.into());
        }
        for (start, end) in ranges {
            inner.tree.update(start, end, |vma| vma.policy = policy);
        }
        Ok(())
    }

    /// Gives the policies of a range a home node, `set_mempolicy_home_node(2)`.
    ///
    /// # Errors
    /// `ENOENT` if there is no policy; `EOPNOTSUPP` at the first one that has no home: those before
    /// it are changed.
    pub fn set_home_node(&self, start: u64, end: u64) -> Result<()> {
        let mut inner = self.inner.lock();
        let mut result = Err(Errno::ENOENT.into());
        let mut until = start;
        for vma in inner.tree.overlapping(start, end) {
            match vma.policy.map(MemPolicy::with_home) {
                None => {}
                Some(Ok(_)) => result = Ok(()),
                Some(Err(errno)) => {
                    result = Err(errno.into());
                    break;
                }
            }
            until = vma.end.min(end);
        }
        for (start, end) in inner.visible_ranges(start, until) {
            inner.tree.update(start, end, |vma| {
                if let Some(Ok(policy)) = vma.policy.map(MemPolicy::with_home) {
                    vma.policy = Some(policy);
                }
            });
        }
        result
    }

    /// The policy of the mapping with an address.
    ///
    /// # Errors
    /// `EFAULT` if nothing is mapped there.
    pub fn policy_at(&self, addr: u64) -> Result<Option<MemPolicy>> {
        let inner = self.inner.lock();
        let vma = inner.tree.find(addr).filter(|vma| !vma.is_invisible());
        Ok(vma.ok_or(Errno::EFAULT)?.policy)
    }
}
