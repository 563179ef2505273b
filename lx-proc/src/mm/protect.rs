//! mprotect(2).

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::ProtFlags;
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::host::{Backing, Prot};
use lx_core::rlimit::{RLIM_INFINITY, Resource};

use super::advise::on_present;
use super::text::KernelPages;
use super::tree::page_up;
use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner};

/// The host's form of protection bits.
pub(super) fn host_prot(prot: ProtFlags) -> Prot {
    Prot::from_bits_truncate(prot.bits())
}

impl AddressSpace {
    /// mprotect(2).
    ///
    /// # Errors
    /// As mprotect(2).
    pub fn protect(&self, caller: &Caller<'_>, addr: u64, len: u64, prot: ProtFlags) -> Result<()> {
        let directions = ProtFlags::PROT_GROWSDOWN | ProtFlags::PROT_GROWSUP;
        if prot.contains(directions) || !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        if len == 0 {
            return Ok(());
        }
        let end = page_up(len).and_then(|len| addr.checked_add(len)).ok_or(Errno::ENOMEM)?;
        if end > USER_END {
            return Err(Errno::ENOMEM.into());
        }
        let new = host_prot(prot);
        let inner = self.inner.lock();
        let start = inner.direction(addr, prot)?;
        // What lies before the first obstacle is changed all the same.
        let (end, obstacle) = inner.reach(start, end, new);
        let result = obstacle.map_or(Ok(()), |errno| Err(errno.into()));
        let fresh_text = inner.check_protect(caller, start, end, new)?;
        drop(inner);
        let Some(fresh_text) = fresh_text else { return result };
        for vma in &fresh_text {
            self.rewrite_in_place(caller, vma)?;
        }
        let protect = |start, len| Ok(caller.host.protect(start, len, new)?);
        if let Err(error) = protect(start, end - start) {
            let (parts, _) = self.parts(start, end);
            // One failure is forgiven: see `on_present`.
            if error != Errno::ENOMEM.into()
                || !parts.iter().any(|part| matches!(part.backing, VmaBacking::Pages(..)))
            {
                return Err(error);
            }
            for part in &parts {
                on_present(part, protect)?;
            }
        }
        let mut copied = Vec::new();
        let mut inner = self.inner.lock();
        inner.tree.update(start, end, |vma| {
            if !vma.is_invisible() {
                let locked = vma.flags & (VmaFlags::LOCKED | VmaFlags::SHARED) == VmaFlags::LOCKED;
                if locked && !vma.prot.contains(Prot::WRITE) && new.contains(Prot::WRITE) {
                    copied.push((vma.start, vma.end));
                }
                vma.prot = new;
                vma.flags |= vma.traces_of(new);
            }
        });
        drop(inner);
        for (start, end) in copied {
            self.copy_locked(caller.host, start, end);
        }
        result
    }

    /// Rewrites the sites of a file mapping that becomes executable only now: its bytes may have
    /// been changed since it was mapped, so they are taken from memory. It stays writable.
    fn rewrite_in_place(&self, caller: &Caller<'_>, vma: &Vma) -> Result<()> {
        let host = caller.host;
        on_present(vma, |start, len| Ok(host.protect(start, len, Prot::READ | Prot::WRITE)?))?;
        let mut text = KernelPages::new(vma.len())?;
        let present = host.copy_in_partial(vma.start, text.bytes_mut());
        let present = present & !(PAGE_SIZE as usize - 1);
        let Some(bytes) = text.bytes_mut().get_mut(..present) else { return Ok(()) };
        let room = host.stub_room(bytes);
        let Some(room) = page_up(room as u64).filter(|&room| room > 0) else { return Ok(()) };
        let Some(stubs) = self.reserve_stubs(vma, vma.end, room, None) else { return Ok(()) };
        let done = self.patch_memory(caller, vma, bytes, stubs, room);
        if done != Ok(true) {
            let _ = host.unmap(stubs, room);
            let removed = self.inner.lock().tree.remove(stubs, stubs.saturating_add(room));
            drop(removed);
        }
        done.map(drop)
    }

    /// Puts rewritten text and stubs in their places; `false` if nothing was rewritten.
    fn patch_memory(
        &self,
        caller: &Caller<'_>,
        vma: &Vma,
        text: &mut [u8],
        stubs: u64,
        room: u64,
    ) -> Result<bool> {
        let host = caller.host;
        let mut original = Vec::new();
        original.try_reserve_exact(text.len()).map_err(|_| Errno::ENOMEM)?;
        original.extend_from_slice(text);
        let Some(rewritten) = host.rewrite(text, vma.start, stubs) else { return Ok(false) };
        if rewritten.patched == 0 {
            return Ok(false);
        }
        host.map(stubs, room, Prot::READ | Prot::WRITE, Backing::Anonymous)?;
        host.copy_out(stubs, &rewritten.stubs)?;
        host.protect(stubs, room, Prot::READ | Prot::EXEC)?;
        let mut addr = vma.start;
        for (old, new) in original.chunks(PAGE_SIZE as usize).zip(text.chunks(PAGE_SIZE as usize)) {
            if old != new {
                host.copy_out(addr, new)?;
            }
            addr = addr.saturating_add(PAGE_SIZE);
        }
        Ok(true)
    }
}

impl Inner {
    /// Where the change begins: `PROT_GROWSDOWN` extends it to the start of the mapping.
    fn direction(&self, addr: u64, prot: ProtFlags) -> Result<u64> {
        if prot.contains(ProtFlags::PROT_GROWSUP) {
            return Err(Errno::EINVAL.into());
        }
        if !prot.contains(ProtFlags::PROT_GROWSDOWN) {
            return Ok(addr);
        }
        let vma = self.tree.find(addr).filter(|vma| !vma.is_invisible()).ok_or(Errno::ENOMEM)?;
        if !vma.flags.intersects(VmaFlags::GROWS_DOWN | VmaFlags::STACK) {
            return Err(Errno::EINVAL.into());
        }
        Ok(vma.start)
    }

    /// How far a change reaches, and why no farther: a hole, or a mapping that refuses it.
    fn reach(&self, start: u64, end: u64, prot: Prot) -> (u64, Option<Errno>) {
        let mut at = start;
        for vma in self.tree.overlapping(start, end) {
            if vma.start > at || vma.is_invisible() {
                return (at, Some(Errno::ENOMEM));
            }
            if prot.contains(Prot::WRITE) && vma.flags.contains(VmaFlags::NO_WRITE) {
                return (at, Some(Errno::EACCES));
            }
            at = vma.end.min(end);
        }
        (at, (at < end).then_some(Errno::ENOMEM))
    }

    /// Checks a change; the mappings whose sites must be rewritten first, or `None` if nothing
    /// changes at all.
    fn check_protect(
        &self,
        caller: &Caller<'_>,
        start: u64,
        end: u64,
        prot: Prot,
    ) -> Result<Option<Vec<Vma>>> {
        let mut fresh_text = Vec::new();
        let mut more_data = 0_u64;
        let mut changes = false;
        for vma in self.tree.overlapping(start, end) {
            changes |= vma.prot != prot;
            let shared = vma.flags.contains(VmaFlags::SHARED);
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            if prot.contains(Prot::WRITE) && !vma.prot.contains(Prot::WRITE) && !shared {
                more_data = more_data.saturating_add(to.saturating_sub(from));
            }
            let is_file = matches!(vma.backing, VmaBacking::Host(..) | VmaBacking::Pages(..));
            if prot.contains(Prot::EXEC)
                && is_file
                && !shared
                && !vma.flags.contains(VmaFlags::REWRITTEN)
            {
                let backing = vma.backing.advance(from.saturating_sub(vma.start));
                fresh_text.push(Vma { start: from, end: to, backing, ..vma.clone() });
            }
        }
        let limit = caller.rlimits.soft(Resource::Data);
        if more_data > 0
            && limit != RLIM_INFINITY
            && self.data_bytes().saturating_add(more_data) > limit
        {
            return Err(Errno::ENOMEM.into());
        }
        Ok(changes.then_some(fresh_text))
    }
}
