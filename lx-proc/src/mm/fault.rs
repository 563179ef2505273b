//! Faults of guest code and of accesses for it, and where futex words lie.

use lx_core::Result;
use lx_core::abi::mman::Madvice;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::host::{Backing, FaultInfo, FaultKind, HostError, Prot};
use lx_core::rlimit::Resource;

use super::AddressSpace;
use super::map::repeat_advice;
use super::tree::page_down;
use super::vma::{Vma, VmaBacking, VmaFlags};

/// Free bytes that must remain between a stack and the mapping below it.
const STACK_GUARD_GAP: u64 = 1 << 20;

/// What becomes of a memory fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The memory is there now: run the instruction again.
    Retry,
    /// `SIGSEGV` with `SEGV_MAPERR`.
    NotMapped,
    /// `SIGSEGV` with `SEGV_ACCERR`.
    NoAccess,
    /// `SIGBUS` with `BUS_ADRERR`.
    Bus,
}

/// What a futex word is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordLocation {
    /// Private memory: the word is named by address space and address.
    Private,
    /// Kernel pages that several processes may have mapped: their address in the shared region.
    Region(u64),
    /// A host file: device, inode and offset.
    File(u64, u64, u64),
}

impl AddressSpace {
    /// Handles a fault of guest code at a memory address.
    pub fn fault(&self, caller: &Caller<'_>, info: &FaultInfo) -> FaultOutcome {
        match info.kind {
            FaultKind::Bus => FaultOutcome::Bus,
            // The host may have kept a page there of what was mapped before.
            FaultKind::Access if self.maps(info.address) => {
                match is_present(caller, page_down(info.address)) {
                    Some(false) => self.bring_in(caller, info.address, wanted(info)),
                    _ => FaultOutcome::NoAccess,
                }
            }
            _ => self.bring_in(caller, info.address, wanted(info)),
        }
    }

    /// Handles a fault of the kernel's access to guest memory; whether the memory is there now.
    pub fn user_fault(&self, caller: &Caller<'_>, addr: u64, write: bool) -> bool {
        let wanted = if write { Prot::WRITE } else { Prot::empty() };
        self.bring_in(caller, addr, wanted) == FaultOutcome::Retry
    }

    fn maps(&self, addr: u64) -> bool {
        self.inner.lock().tree.find(addr).is_some_and(|vma| !vma.is_invisible())
    }

    /// Maps what an access with the right `wanted` has missed at an address.
    fn bring_in(&self, caller: &Caller<'_>, addr: u64, wanted: Prot) -> FaultOutcome {
        let inner = self.inner.lock();
        let vma = inner.tree.find(addr).filter(|vma| !vma.is_invisible()).cloned();
        drop(inner);
        match vma {
            None if self.grow_stack(caller, addr) => FaultOutcome::Retry,
            None => FaultOutcome::NotMapped,
            Some(vma) if vma.prot.is_empty() || !vma.prot.contains(wanted) => {
                FaultOutcome::NoAccess
            }
            Some(vma) => self.fill_in(caller, &vma, addr),
        }
    }

    /// A fault inside a mapping: a file that ended before the address when it was mapped may have
    /// grown since.
    fn fill_in(&self, caller: &Caller<'_>, vma: &Vma, addr: u64) -> FaultOutcome {
        let VmaBacking::Pages(pages, offset) = &vma.backing else {
            return match vma.backing {
                VmaBacking::Host(..) => FaultOutcome::Bus,
                _ => FaultOutcome::NotMapped,
            };
        };
        let page = page_down(addr);
        let at = offset.wrapping_add(page.saturating_sub(vma.start));
        if at >= pages.len() {
            return FaultOutcome::Bus;
        }
        let shared = vma.flags.contains(VmaFlags::SHARED);
        let filling = (!shared).then(|| self.filling.lock());
        if filling.is_some() && is_present(caller, page) == Some(true) {
            // Another thread has touched it, and may have written to its copy already.
            return FaultOutcome::Retry;
        }
        match pages.map(caller.host, page, PAGE_SIZE, at, vma.prot, shared) {
            Ok(()) => {
                repeat_advice(caller.host, vma, page, PAGE_SIZE);
                FaultOutcome::Retry
            }
            Err(_) => FaultOutcome::Bus,
        }
    }

    /// Maps the pages of a part that are not mapped yet.
    pub(super) fn bring_in_absent(&self, caller: &Caller<'_>, part: &Vma) {
        let mut at = part.start;
        while at < part.end {
            if is_present(caller, at) == Some(false) {
                self.bring_in(caller, at, Prot::empty());
            }
            at = at.saturating_add(PAGE_SIZE);
        }
    }

    /// Extends the stack-like mapping above `addr` down to it; whether there is one.
    fn grow_stack(&self, caller: &Caller<'_>, addr: u64) -> bool {
        let start = page_down(addr);
        let mut inner = self.inner.lock();
        let Some(stack) = inner.tree.find_from(start).cloned() else { return false };
        if !stack.flags.contains(VmaFlags::GROWS_DOWN) || stack.start <= start {
            return false;
        }
        let grow = stack.start - start;
        let below = inner.tree.find_below(start).map_or(0, |vma| vma.end);
        let limit = caller.rlimits.soft(Resource::Stack);
        if stack.len().saturating_add(grow) > limit
            || start < below.saturating_add(STACK_GUARD_GAP)
            || inner.check_limits(caller.rlimits, grow).is_err()
        {
            return false;
        }
        inner.tree.insert(Vma { start, end: stack.start, ..stack.clone() });
        drop(inner);
        if caller.host.map(start, grow, stack.prot, Backing::Anonymous).is_ok() {
            return true;
        }
        // Anonymous memory: dropping it calls nobody.
        drop(self.inner.lock().tree.remove(start, stack.start));
        false
    }

    /// What a word of guest memory is part of.
    ///
    /// # Errors
    /// `EFAULT` if nothing is mapped there.
    pub fn locate_word(&self, addr: u64) -> Result<WordLocation> {
        let inner = self.inner.lock();
        let vma = inner.tree.find(addr).filter(|vma| !vma.is_invisible()).ok_or(Errno::EFAULT)?;
        if !vma.flags.contains(VmaFlags::SHARED) {
            return Ok(WordLocation::Private);
        }
        let backing = vma.backing.advance(addr.saturating_sub(vma.start));
        drop(inner);
        match &backing {
            VmaBacking::Pages(pages, offset) => {
                Ok(WordLocation::Region(pages.region_address(*offset)?))
            }
            VmaBacking::Host(host, offset) => {
                let identity = host.file.ops().identity().ok_or(Errno::EFAULT)?;
                Ok(WordLocation::File(identity.dev, identity.ino, *offset))
            }
            _ => Ok(WordLocation::Private),
        }
    }
}

/// Whether the host has something mapped at an address of a page, if it can say.
fn is_present(caller: &Caller<'_>, page: u64) -> Option<bool> {
    let advice = Madvice::MADV_POPULATE_READ.0.cast_signed();
    match caller.host.advise(page, PAGE_SIZE, advice) {
        Ok(()) => Some(true),
        Err(HostError(Errno::ENOMEM)) => Some(false),
        Err(_) => None,
    }
}

/// The right that an access needs, from the x86 error code: any for a read, as what may be written
/// may be read.
fn wanted(info: &FaultInfo) -> Prot {
    const WRITE: u64 = 1 << 1;
    const FETCH: u64 = 1 << 4;
    match info.error_code {
        code if code & FETCH != 0 => Prot::EXEC,
        code if code & WRITE != 0 => Prot::WRITE,
        _ => Prot::empty(),
    }
}
