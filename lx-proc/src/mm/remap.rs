//! mremap(2).

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::MremapFlags;
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::host::{Host, Prot};

use super::map::map_plain;
use super::tree::page_up;
use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner, MMAP_MIN_ADDR};

/// The arguments of mremap(2), lengths rounded up to pages.
#[derive(Clone, Copy)]
struct Request {
    old: u64,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    new: u64,
}

impl Request {
    fn old_end(&self) -> u64 {
        self.old.saturating_add(self.old_len)
    }

    fn new_end(&self) -> u64 {
        self.new.saturating_add(self.new_len)
    }

    fn has(&self, flag: MremapFlags) -> bool {
        self.flags.contains(flag)
    }
}

impl AddressSpace {
    /// mremap(2).
    ///
    /// # Errors
    /// As mremap(2).
    pub fn remap(
        &self,
        caller: &Caller<'_>,
        old: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        new: u64,
    ) -> Result<u64> {
        let request = check(old, old_len, new_len, flags, new)?;
        let fixed = request.has(MremapFlags::MREMAP_FIXED);
        let moves = request.has(MremapFlags::MREMAP_MAYMOVE);
        if request.has(MremapFlags::MREMAP_DONTUNMAP) || fixed || (request.old_len == 0 && moves) {
            return self.relocate(caller, request);
        }
        if request.new_len <= request.old_len {
            // What is unmapped may lie in other mappings, or nowhere.
            self.inner.lock().source(&Request { old_len: PAGE_SIZE, ..request })?;
            if request.new_len < request.old_len {
                let start = request.old.saturating_add(request.new_len);
                self.unmap(caller, start, request.old_len - request.new_len)?;
            }
            return Ok(request.old);
        }
        if self.grow(caller, &request)? {
            return Ok(request.old);
        }
        if !moves {
            return Err(Errno::ENOMEM.into());
        }
        self.relocate(caller, request)
    }

    /// Extends a mapping where it is; `false` if there is no room.
    fn grow(&self, caller: &Caller<'_>, request: &Request) -> Result<bool> {
        let end = request.old_end();
        let new_end = request.old.saturating_add(request.new_len);
        let mut inner = self.inner.lock();
        let vma = inner.source(request)?;
        check_expansion(request, &vma)?;
        if request.old_len == 0 {
            return Ok(false);
        }
        inner.check_growth(caller, &vma, request.new_len - request.old_len)?;
        inner.evict_recycled(end, new_end);
        let at_end = inner.tree.find(request.old).is_some_and(|vma| vma.end == end);
        let extends = !matches!(vma.backing, VmaBacking::Text(..) | VmaBacking::Special(_));
        if !at_end || !extends || new_end > USER_END || !inner.tree.is_free(end, new_end) {
            return Ok(false);
        }
        let backing = vma.backing.advance(request.old_len);
        let more = Vma { start: end, end: new_end, backing, ..vma };
        inner.tree.insert(more.clone());
        inner.count_locked(&more);
        inner.note_peak();
        drop(inner);
        if let Err(error) = map_plain(caller.host, &more) {
            self.give_up(end, new_end);
            return Err(error);
        }
        Ok(true)
    }

    /// Takes a mapping out again that the host could not make.
    fn give_up(&self, start: u64, end: u64) {
        let mut inner = self.inner.lock();
        let removed = inner.tree.remove(start, end);
        inner.forget_locked(&removed);
        drop(inner);
        drop(removed);
    }

    /// Moves a mapping to another address, or shows shared memory there a second time.
    fn relocate(&self, caller: &Caller<'_>, request: Request) -> Result<u64> {
        let mut request = request;
        let fixed = request.has(MremapFlags::MREMAP_FIXED);
        let kept = request.old_len.min(request.new_len);
        // Nothing is unmapped for what must fail.
        self.inner.lock().source(&Request { old_len: kept, ..request })?;
        if fixed {
            self.unmap(caller, request.new, request.new_len)?;
        }
        if request.old_len > request.new_len {
            let start = request.old.saturating_add(request.new_len);
            self.unmap(caller, start, request.old_len - request.new_len)?;
            request.old_len = request.new_len;
        }
        let keep = request.has(MremapFlags::MREMAP_DONTUNMAP) || request.old_len == 0;
        let mut inner = self.inner.lock();
        let vma = inner.source(&request)?;
        check_expansion(&request, &vma)?;
        let more = request.new_len.saturating_sub(if keep { 0 } else { request.old_len });
        inner.check_growth(caller, &vma, more)?;
        if fixed {
            inner.evict_recycled(request.new, request.new_end());
            if !inner.tree.is_free(request.new, request.new_end()) {
                // The kernel's own mappings lie there.
                return Err(Errno::ENOMEM.into());
            }
        } else {
            let wish = request.new;
            request.new = match inner.find_shared(caller.host, &vma, request.new_len) {
                Some(found) => found?,
                None if inner.grants(&request) => wish,
                None => inner.find_free(request.new_len, 0).ok_or(Errno::ENOMEM)?,
            };
        }
        let mut target = Vma { start: request.new, end: request.new_end(), ..vma.clone() };
        if let VmaBacking::Text(text, offset) = &vma.backing {
            // The stubs stay where they are: at the new place the sites trap.
            target.backing = text.original().advance(*offset);
        }
        inner.tree.insert(target.clone());
        inner.count_locked(&target);
        inner.note_peak();
        drop(inner);
        if let Err(error) = move_memory(caller.host, &request, &vma, &target) {
            let _ = caller.host.unmap(target.start, target.len());
            self.give_up(target.start, target.end);
            return Err(error);
        }
        if request.old_len == 0 {
            return Ok(request.new);
        }
        if keep {
            let left = Vma { end: request.old_end(), ..vma };
            map_plain(caller.host, &left)?;
            // What is locked has gone, and its place is a mapping like any other.
            self.inner.lock().unlock_around(request.old);
            return Ok(request.new);
        }
        let mut inner = self.inner.lock();
        let parts = inner.tree.remove(request.old, request.old_end());
        inner.forget_locked(&parts);
        drop(inner);
        self.drop_stubs(caller.host, &parts);
        Ok(request.new)
    }
}

/// Checks what can be checked without the tree.
fn check(old: u64, old_len: u64, new_len: u64, flags: MremapFlags, new: u64) -> Result<Request> {
    let moves = flags.contains(MremapFlags::MREMAP_MAYMOVE);
    let needs_move = flags.intersects(MremapFlags::MREMAP_FIXED | MremapFlags::MREMAP_DONTUNMAP);
    if (needs_move && !moves) || !old.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
    let new_len = page_up(new_len).ok_or(Errno::EINVAL)?;
    if new_len == 0
        || (flags.contains(MremapFlags::MREMAP_DONTUNMAP) && old_len != new_len)
        || old.checked_add(old_len).is_none_or(|end| end > USER_END)
    {
        return Err(Errno::EINVAL.into());
    }
    let request = Request { old, old_len, new_len, flags, new };
    if new_len > USER_END {
        return Err(Errno::ENOMEM.into());
    }
    // What stays mapped moves as well; its new address is only a wish, but checked alike.
    if needs_move {
        let inside = new.checked_add(new_len).is_some_and(|end| end <= USER_END);
        let overlaps = new < request.old_end() && old < new.saturating_add(new_len);
        if !new.is_multiple_of(PAGE_SIZE) || !inside || overlaps {
            return Err(Errno::EINVAL.into());
        }
        if flags.contains(MremapFlags::MREMAP_FIXED) && new < MMAP_MIN_ADDR {
            return Err(Errno::EPERM.into());
        }
    }
    Ok(request)
}

/// Refuses more of a mapping that is whole.
fn check_expansion(request: &Request, vma: &Vma) -> Result<()> {
    let expands = request.old_len == 0 || request.new_len > request.old_len;
    if expands && vma.flags.contains(VmaFlags::DONT_EXPAND) {
        return Err(Errno::EFAULT.into());
    }
    Ok(())
}

impl Inner {
    /// The part of a mapping that is to be changed.
    fn source(&self, request: &Request) -> Result<Vma> {
        let vma = self.tree.find(request.old).filter(|vma| !vma.is_invisible());
        let vma = vma.ok_or(Errno::EFAULT)?;
        if request.old_len == 0 && !vma.flags.contains(VmaFlags::SHARED) {
            return Err(Errno::EINVAL.into());
        }
        let end = match request.old_len {
            0 => vma.end,
            _ => request.old_end(),
        };
        if end > vma.end {
            return Err(Errno::EFAULT.into());
        }
        if matches!(vma.backing, VmaBacking::Special(_)) && request.new_len != request.old_len {
            return Err(Errno::EFAULT.into());
        }
        let backing = vma.backing.advance(request.old.saturating_sub(vma.start));
        Ok(Vma { start: request.old, end, backing, ..vma.clone() })
    }

    /// The whole mapping at an address is locked no longer. It goes on counting against the limit,
    /// as on Linux.
    fn unlock_around(&mut self, addr: u64) {
        if let Some((start, end)) = self.tree.find(addr).map(|vma| (vma.start, vma.end)) {
            self.tree.update(start, end, |vma| vma.flags.remove(VmaFlags::LOCKED));
        }
    }

    /// Whether a mapping that keeps its old place goes where the caller wished.
    fn grants(&mut self, request: &Request) -> bool {
        let wish = request.new;
        if !request.has(MremapFlags::MREMAP_DONTUNMAP) || wish < MMAP_MIN_ADDR {
            return false;
        }
        self.evict_recycled(wish, request.new_end());
        self.tree.is_free(wish, request.new_end())
    }

    fn check_growth(&self, caller: &Caller<'_>, vma: &Vma, more: u64) -> Result<()> {
        self.check_limits(caller.rlimits, more)?;
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.check_locked(caller, more).map_err(|_| Errno::EAGAIN)?;
        }
        Ok(())
    }
}

/// Lets the host move the memory of `vma` to `target`, which may be longer.
fn move_memory(host: &dyn Host, request: &Request, vma: &Vma, target: &Vma) -> Result<()> {
    let shared = vma.flags.contains(VmaFlags::SHARED);
    if shared || request.old_len == 0 {
        map_plain(host, target)?;
        if request.old_len != 0 && !request.has(MremapFlags::MREMAP_DONTUNMAP) {
            host.unmap(request.old, request.old_len)?;
        }
        return Ok(());
    }
    if matches!(vma.backing, VmaBacking::Text(..)) {
        map_plain(host, target)?;
        return Ok(host.unmap(request.old, request.old_len)?);
    }
    if let VmaBacking::Pages(pages, offset) = &vma.backing {
        move_pages(host, request, target)?;
        let more = target.len() - request.old_len;
        if more == 0 {
            return Ok(());
        }
        let (end, offset) = (request.old_len, offset.saturating_add(request.old_len));
        return pages.map(host, target.start.saturating_add(end), more, offset, vma.prot, false);
    }
    if host.relocate(request.old, request.old_len, target.start, target.len()).is_ok() {
        return Ok(());
    }
    // The host has the range in several pieces: copy it.
    copy_memory(host, request, target)?;
    Ok(host.unmap(request.old, request.old_len)?)
}

/// Moves the pages of a private mapping of a file of the kernel. The host has none behind the end
/// of the file, and may have them in several pieces.
fn move_pages(host: &dyn Host, request: &Request, target: &Vma) -> Result<()> {
    let (old, len) = (request.old, request.old_len);
    if host.relocate(old, len, target.start, len).is_ok() {
        return Ok(());
    }
    let mut done = 0;
    while done < len {
        let (from, to) = (old.saturating_add(done), target.start.saturating_add(done));
        if host.relocate(from, PAGE_SIZE, to, PAGE_SIZE).is_err()
            && host.copy_in(from, &mut [0]).is_ok()
        {
            let page = Vma { start: to, end: to.saturating_add(PAGE_SIZE), ..target.clone() };
            let page = Vma { backing: target.backing.advance(done), ..page };
            let part = Request { old: from, old_len: PAGE_SIZE, ..*request };
            copy_memory(host, &part, &page)?;
            host.unmap(from, PAGE_SIZE)?;
        }
        done = done.saturating_add(PAGE_SIZE);
    }
    Ok(())
}

fn copy_memory(host: &dyn Host, request: &Request, target: &Vma) -> Result<()> {
    const CHUNK: usize = 64 << 10;
    let writable = Vma { prot: Prot::READ | Prot::WRITE, ..target.clone() };
    map_plain(host, &writable)?;
    let readable = target.prot | Prot::READ;
    if readable != target.prot {
        host.protect(request.old, request.old_len, readable)?;
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(CHUNK).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(CHUNK, 0);
    let mut done = 0;
    while done < request.old_len {
        let part = (request.old_len - done).min(CHUNK as u64) as usize;
        let Some(chunk) = buffer.get_mut(..part) else { break };
        host.copy_in(request.old.saturating_add(done), chunk)?;
        host.copy_out(target.start.saturating_add(done), chunk)?;
        done = done.saturating_add(part as u64);
    }
    if target.prot != writable.prot {
        host.protect(target.start, target.len(), target.prot)?;
    }
    Ok(())
}
