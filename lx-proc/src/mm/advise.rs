//! madvise(2), msync(2), mincore(2), mlock(2) and relatives.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::{Madvice, MlockallFlags, MsyncFlags};
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::host::{Host, Prot};
use lx_core::rlimit::{RLIM_INFINITY, Resource};
use lx_vfs::location::Path;

use super::map::map_plain;
use super::tree::{page_down, page_up};
use super::vma::{Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner};

const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;

/// Does something to the pages of a mapping. The host has none where a file of the kernel has
/// ended.
pub(super) fn on_present(vma: &Vma, act: impl Fn(u64, u64) -> Result<()>) -> Result<()> {
    let nothing = Err(Errno::ENOMEM.into());
    let result = act(vma.start, vma.len());
    if result != nothing || !matches!(vma.backing, VmaBacking::Pages(..)) {
        return result;
    }
    let mut at = vma.start;
    while at < vma.end {
        match act(at, PAGE_SIZE) {
            result if result == nothing => {}
            result => result?,
        }
        at = at.saturating_add(PAGE_SIZE);
    }
    Ok(())
}

/// Forgets what was written to a private mapping.
fn drop_private(host: &dyn Host, vma: &Vma) -> Result<()> {
    if vma.is_private_anonymous() || !host.forgets_files() {
        return on_present(vma, |start, len| Ok(host.discard(start, len)?));
    }
    match vma.backing {
        // Pages of the kernel, which nobody writes.
        VmaBacking::Special(_) => Ok(()),
        VmaBacking::Text(..) => map_plain(host, vma),
        // The rewriting would be lost.
        _ if vma.flags.contains(VmaFlags::REWRITTEN) => Ok(()),
        _ => map_plain(host, vma),
    }
}

/// Makes one part of neighbours that are forgotten alike, such as a stack and its guard page: each
/// part is a call of the host.
fn join_anonymous(parts: &mut Vec<Vma>) {
    let plain = |vma: &Vma| vma.is_private_anonymous() && !vma.flags.contains(VmaFlags::LOCKED);
    parts.dedup_by(|next, last| {
        let joined = last.end == next.start && plain(last) && plain(next);
        if joined {
            last.end = next.end;
        }
        joined
    });
}

/// Where a range ends that advice is given for.
fn advised_end(addr: u64, len: u64) -> Result<u64> {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    let end = page_up(len).and_then(|len| addr.checked_add(len)).ok_or(Errno::EINVAL)?;
    if end > addr && end > USER_END { Err(Errno::ENOMEM.into()) } else { Ok(end) }
}

impl AddressSpace {
    /// The visible parts of a range, and whether the range has holes.
    pub(super) fn parts(&self, start: u64, end: u64) -> (Vec<Vma>, bool) {
        let inner = self.inner.lock();
        let covered = inner.tree.is_covered(start, end);
        let parts = inner
            .tree
            .overlapping(start, end)
            .filter(|vma| !vma.is_invisible())
            .map(|vma| {
                let (from, to) = (vma.start.max(start), vma.end.min(end));
                let backing = vma.backing.advance(from.saturating_sub(vma.start));
                Vma { start: from, end: to, backing, ..vma.clone() }
            })
            .collect();
        (parts, !covered)
    }

    /// madvise(2). With holes in the range the rest gets the advice all the same.
    ///
    /// # Errors
    /// As madvise(2).
    pub fn advise(&self, caller: &Caller<'_>, addr: u64, len: u64, advice: Madvice) -> Result<()> {
        let known = matches!(
            advice,
            Madvice::MADV_NORMAL
                | Madvice::MADV_RANDOM
                | Madvice::MADV_SEQUENTIAL
                | Madvice::MADV_WILLNEED
                | Madvice::MADV_DONTNEED
                | Madvice::MADV_FREE
                | Madvice::MADV_REMOVE
                | Madvice::MADV_DONTFORK
                | Madvice::MADV_DOFORK
                | Madvice::MADV_MERGEABLE
                | Madvice::MADV_UNMERGEABLE
                | Madvice::MADV_HUGEPAGE
                | Madvice::MADV_NOHUGEPAGE
                | Madvice::MADV_DONTDUMP
                | Madvice::MADV_DODUMP
                | Madvice::MADV_WIPEONFORK
                | Madvice::MADV_KEEPONFORK
                | Madvice::MADV_COLD
                | Madvice::MADV_PAGEOUT
                | Madvice::MADV_POPULATE_READ
                | Madvice::MADV_POPULATE_WRITE
                | Madvice::MADV_DONTNEED_LOCKED
        );
        if !known {
            return Err(Errno::EINVAL.into());
        }
        let end = advised_end(addr, len)?;
        if end == addr {
            return Ok(());
        }
        let (mut parts, holes) = self.parts(addr, end);
        if advice == Madvice::MADV_DONTNEED {
            join_anonymous(&mut parts);
        }
        let populates =
            matches!(advice, Madvice::MADV_POPULATE_READ | Madvice::MADV_POPULATE_WRITE);
        let mut at = addr;
        for vma in &parts {
            if populates && vma.start > at {
                // Others go on behind a hole.
                return Err(Errno::ENOMEM.into());
            }
            self.advise_part(caller, vma, advice)?;
            at = vma.end;
        }
        if holes { Err(Errno::ENOMEM.into()) } else { Ok(()) }
    }

    /// Whether process_madvise(2) may advise of a range of another process's memory.
    ///
    /// # Errors
    /// As madvise(2).
    pub fn check_advice(&self, addr: u64, len: u64) -> Result<()> {
        let end = advised_end(addr, len)?;
        if end == addr || !self.parts(addr, end).1 { Ok(()) } else { Err(Errno::ENOMEM.into()) }
    }

    fn advise_part(&self, caller: &Caller<'_>, vma: &Vma, advice: Madvice) -> Result<()> {
        let host = caller.host;
        let (start, len) = (vma.start, vma.len());
        let shared = vma.flags.contains(VmaFlags::SHARED);
        let locked = vma.flags.contains(VmaFlags::LOCKED);
        match advice {
            Madvice::MADV_DONTNEED | Madvice::MADV_FREE if locked => {
                return Err(Errno::EINVAL.into());
            }
            // Pages of a shared mapping stay with the file.
            Madvice::MADV_DONTNEED | Madvice::MADV_DONTNEED_LOCKED if !shared => {
                drop_private(host, vma)?;
            }
            Madvice::MADV_FREE => {
                if !vma.is_private_anonymous() {
                    return Err(Errno::EINVAL.into());
                }
                host.advise(start, len, advice.0.cast_signed())?;
            }
            Madvice::MADV_REMOVE => remove_pages(caller, vma)?,
            Madvice::MADV_WIPEONFORK if !vma.is_private_anonymous() => {
                return Err(Errno::EINVAL.into());
            }
            Madvice::MADV_DONTFORK
            | Madvice::MADV_DOFORK
            | Madvice::MADV_WIPEONFORK
            | Madvice::MADV_KEEPONFORK => {
                on_present(vma, |start, len| {
                    Ok(host.advise(start, len, advice.0.cast_signed())?)
                })?;
                self.set_advised_flags(vma, advice);
            }
            Madvice::MADV_DONTDUMP | Madvice::MADV_DODUMP => self.set_advised_flags(vma, advice),
            Madvice::MADV_POPULATE_READ | Madvice::MADV_POPULATE_WRITE => {
                let done = populate(caller, vma, advice);
                if done != Err(Errno::ENOMEM.into()) {
                    return done;
                }
                // The file has grown, and its new pages are not mapped here yet.
                self.bring_in_absent(caller, vma);
                populate(caller, vma, advice)?;
            }
            Madvice::MADV_HUGEPAGE | Madvice::MADV_NOHUGEPAGE if vma.is_private_anonymous() => {
                // A hint: a host that does not know it need not.
                let _ = host.advise(start, len, advice.0.cast_signed());
            }
            // Hints about access patterns and core dumps.
            _ => {}
        }
        Ok(())
    }

    fn set_advised_flags(&self, part: &Vma, advice: Madvice) {
        let mut inner = self.inner.lock();
        inner.tree.update(part.start, part.end, |vma| match advice {
            Madvice::MADV_DONTFORK => vma.flags |= VmaFlags::DONT_FORK,
            Madvice::MADV_DOFORK => vma.flags -= VmaFlags::DONT_FORK,
            Madvice::MADV_DONTDUMP => vma.flags |= VmaFlags::DONT_DUMP,
            Madvice::MADV_DODUMP => vma.flags -= VmaFlags::DONT_DUMP,
            Madvice::MADV_WIPEONFORK => vma.flags |= VmaFlags::WIPE_ON_FORK,
            _ => vma.flags -= VmaFlags::WIPE_ON_FORK,
        });
    }

    /// msync(2).
    ///
    /// # Errors
    /// As msync(2).
    pub fn sync(&self, host: &dyn Host, addr: u64, len: u64, flags: MsyncFlags) -> Result<()> {
        let both = MsyncFlags::MS_ASYNC | MsyncFlags::MS_SYNC;
        if flags.contains(both) || !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let end = page_up(len).and_then(|len| addr.checked_add(len)).ok_or(Errno::ENOMEM)?;
        if end == addr {
            return Ok(());
        }
        let (parts, holes) = self.parts(addr, end);
        for vma in &parts {
            if flags.contains(MsyncFlags::MS_INVALIDATE) && vma.flags.contains(VmaFlags::LOCKED) {
                return Err(Errno::EBUSY.into());
            }
            let shared = vma.flags.contains(VmaFlags::SHARED);
            if shared && matches!(vma.backing, VmaBacking::Host(..)) {
                host.sync(vma.start, vma.len(), flags.bits().cast_signed())?;
            }
        }
        if holes { Err(Errno::ENOMEM.into()) } else { Ok(()) }
    }

    /// mincore(2): one byte for each page. What is mapped counts as present.
    ///
    /// # Errors
    /// `EINVAL`, `ENOMEM` as mincore(2).
    pub fn residency(&self, addr: u64, len: u64) -> Result<u64> {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let end = page_up(len).and_then(|len| addr.checked_add(len)).ok_or(Errno::ENOMEM)?;
        if end > USER_END || !self.inner.lock().tree.is_covered(addr, end) {
            return Err(Errno::ENOMEM.into());
        }
        Ok((end - addr) / PAGE_SIZE)
    }

    /// mlock(2) and munlock(2): accounting, and what guests see. The host's memory is the host's
    /// business.
    ///
    /// # Errors
    /// As mlock(2).
    pub fn lock_memory(&self, caller: &Caller<'_>, addr: u64, len: u64, lock: bool) -> Result<()> {
        let start = page_down(addr);
        let end = addr.checked_add(len).and_then(page_up).ok_or(Errno::EINVAL)?;
        if len == 0 {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        // What lies before a hole is locked all the same, but no page is brought in.
        let hole = inner.tree.covered_until(start, end) < end;
        let end = inner.tree.covered_until(start, end);
        let absent = inner.tree.overlapping(start, end).any(|vma| lacks_pages(vma, end));
        let changing: u64 = inner
            .tree
            .overlapping(start, end)
            .filter(|vma| vma.flags.contains(VmaFlags::LOCKED) != lock)
            .map(|vma| vma.end.min(end).saturating_sub(vma.start.max(start)))
            .sum();
        if lock {
            inner.check_locked(caller, changing)?;
            inner.locked = inner.locked.saturating_add(changing);
        } else {
            inner.locked = inner.locked.saturating_sub(changing);
        }
        inner.tree.update(start, end, |vma| vma.flags.set(VmaFlags::LOCKED, lock));
        drop(inner);
        if lock && !hole {
            self.copy_locked(caller.host, start, end);
        }
        if hole || (lock && absent) { Err(Errno::ENOMEM.into()) } else { Ok(()) }
    }

    /// Locked pages of a file that may be written privately are copied at once: they no longer
    /// follow the file.
    pub(super) fn copy_locked(&self, host: &dyn Host, start: u64, end: u64) {
        let (parts, _) = self.parts(start, end);
        let copied = |part: &&Vma| {
            let shared = part.flags.contains(VmaFlags::SHARED);
            !shared && !part.is_private_anonymous() && part.prot.contains(Prot::WRITE)
        };
        let advice = Madvice::MADV_POPULATE_WRITE.0.cast_signed();
        for part in parts.iter().filter(copied) {
            // A host that cannot copies later.
            let _ = on_present(part, |start, len| Ok(host.advise(start, len, advice)?));
        }
    }

    /// mlockall(2), or munlockall(2) with `None`.
    ///
    /// # Errors
    /// As mlockall(2).
    pub fn lock_all(&self, caller: &Caller<'_>, flags: Option<MlockallFlags>) -> Result<()> {
        let mut inner = self.inner.lock();
        let flags = flags.unwrap_or_default();
        if flags == MlockallFlags::MCL_ONFAULT {
            return Err(Errno::EINVAL.into());
        }
        let current = flags.contains(MlockallFlags::MCL_CURRENT);
        if current {
            let all = inner.tree.mapped().saturating_sub(inner.locked);
            inner.check_locked(caller, all)?;
        }
        inner.lock_future = flags.contains(MlockallFlags::MCL_FUTURE);
        if current || flags.is_empty() {
            inner.tree.update(0, USER_END, |vma| {
                if !vma.is_invisible() {
                    vma.flags.set(VmaFlags::LOCKED, current);
                }
            });
            inner.locked = if current { inner.tree.mapped() } else { 0 };
        }
        Ok(())
    }
}

impl Inner {
    /// Checks `RLIMIT_MEMLOCK` for `more` bytes.
    pub(super) fn check_locked(&self, caller: &Caller<'_>, more: u64) -> Result<()> {
        let limit = caller.rlimits.soft(Resource::Memlock);
        if limit == RLIM_INFINITY
            || self.locked.saturating_add(more) <= limit
            || caller.cred().has(Capabilities::IPC_LOCK)
        {
            return Ok(());
        }
        Err(if limit == 0 { Errno::EPERM } else { Errno::ENOMEM }.into())
    }
}

/// `MADV_POPULATE_READ`, `MADV_POPULATE_WRITE`: makes pages present. Behind the end of a file there
/// are none.
fn populate(caller: &Caller<'_>, vma: &Vma, advice: Madvice) -> Result<()> {
    let needed = if advice == Madvice::MADV_POPULATE_WRITE { Prot::WRITE } else { Prot::READ };
    if !vma.prot.contains(needed) {
        return Err(Errno::EINVAL.into());
    }
    let size = match (&vma.backing, vma.backing.file().and_then(|file| Path::of(file))) {
        (VmaBacking::Pages(pages, _), _) => Some(pages.len()),
        (_, Some(place)) => Some(place.inode().attr(caller)?.size),
        _ => None,
    };
    let mut len = vma.len();
    if let Some(size) = size {
        let end = page_up(size).unwrap_or(u64::MAX);
        len = len.min(end.saturating_sub(vma.backing.file_offset()));
    }
    if len > 0 {
        caller.host.advise(vma.start, len, advice.0.cast_signed())?;
    }
    if len < vma.len() { Err(Errno::EFAULT.into()) } else { Ok(()) }
}

/// Whether a part of a mapping, up to `end`, cannot be brought into memory: it may not be accessed,
/// or its file has ended.
fn lacks_pages(vma: &Vma, end: u64) -> bool {
    let mapped = vma.end.min(end).saturating_sub(vma.start);
    let behind = match &vma.backing {
        VmaBacking::Pages(pages, offset) => offset.saturating_add(mapped) > pages.end(),
        _ => false,
    };
    vma.prot.is_empty() || behind
}

/// `MADV_REMOVE`: a hole in the file.
fn remove_pages(caller: &Caller<'_>, vma: &Vma) -> Result<()> {
    let shared = vma.flags.contains(VmaFlags::SHARED);
    let is_file = shared || vma.backing.file().is_some();
    if vma.flags.contains(VmaFlags::LOCKED) || !is_file {
        return Err(Errno::EINVAL.into());
    }
    if !shared {
        return Err(Errno::EACCES.into());
    }
    if let VmaBacking::Pages(pages, offset) = &vma.backing
        && let Some(memory) = pages.memory()
    {
        memory.zero(*offset, vma.len());
        return Ok(());
    }
    let file = vma.backing.file().ok_or(Errno::EINVAL)?;
    if vma.flags.contains(VmaFlags::NO_WRITE) {
        return Err(Errno::EACCES.into());
    }
    let mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
    file.ops().allocate(caller, file, mode, vma.backing.file_offset(), vma.len())
}
