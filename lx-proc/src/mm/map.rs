//! mmap(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::{Madvice, MapFlags};
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::file::{MapSource, OpenFile};
use lx_core::host::{Backing, Host, Prot, SharedWindow};
use lx_core::rlimit::{RLIM_INFINITY, Resource};
use lx_vfs::location::Path;
use lx_vfs::mount::MountFlags;

use super::pages::{PageMapping, SharedMemory};
use super::tree::{Window, page_down, page_up};
use super::vma::{HostMapping, Vma, VmaBacking, VmaFlags};
use super::{AddressSpace, Inner, MAX_RECYCLED_LEN, MMAP_MIN_ADDR};

/// Least and most addresses that are left free behind a file that the kernel places.
const FILE_GAPS: (u64, u64) = (16 << 10, 16 << 20);
/// Addresses for `MAP_32BIT`.
const LOW_WINDOW: Window = Window { low: 0x4000_0000, high: 0x8000_0000 };

const MADV_POPULATE_READ: i32 = 22;
const MADV_POPULATE_WRITE: i32 = 23;

/// What mmap(2) asks for, after the descriptor was looked up.
#[derive(Clone)]
pub struct MapRequest<'a> {
    /// The hint, or the address for `MAP_FIXED`.
    pub addr: u64,
    /// Length in bytes.
    pub len: u64,
    /// Rights.
    pub prot: Prot,
    /// Flags.
    pub flags: MapFlags,
    /// The file; `None` for `MAP_ANONYMOUS`.
    pub file: Option<&'a Arc<OpenFile>>,
    /// Offset in the file.
    pub offset: u64,
    /// Where stubs of text shall go, if the caller knows a good place.
    pub stubs: Option<u64>,
}

impl MapRequest<'_> {
    /// Whether this is what the recycled ranges can serve.
    fn is_small_private(&self) -> bool {
        let harmless = MapFlags::MAP_STACK | MapFlags::MAP_NORESERVE;
        self.file.is_none()
            && self.addr == 0
            && self.len > 0
            && self.len <= MAX_RECYCLED_LEN
            && self.prot == Prot::READ | Prot::WRITE
            && self.flags - harmless == MapFlags::MAP_PRIVATE | MapFlags::MAP_ANONYMOUS
    }

    fn is_fixed(&self) -> bool {
        self.flags.intersects(MapFlags::MAP_FIXED | MapFlags::MAP_FIXED_NOREPLACE)
    }
}

impl AddressSpace {
    /// mmap(2).
    ///
    /// # Errors
    /// As mmap(2).
    pub fn map(&self, caller: &Caller<'_>, request: &MapRequest<'_>) -> Result<u64> {
        if request.is_small_private()
            && let Some(addr) = self.reuse(caller, request.len)?
        {
            return Ok(addr);
        }
        if !request.offset.is_multiple_of(PAGE_SIZE) || request.len == 0 {
            return Err(Errno::EINVAL.into());
        }
        let len = page_up(request.len).ok_or(Errno::ENOMEM)?;
        let end = request.offset.checked_add(len);
        if request.file.is_some() && end.is_none_or(|end| end > i64::MAX.cast_unsigned()) {
            return Err(Errno::EOVERFLOW.into());
        }
        if request.flags.contains(MapFlags::MAP_HUGETLB) {
            // No huge pages were set aside.
            return Err(Errno::ENOMEM.into());
        }
        check_address(request, len)?;
        if request.flags.contains(MapFlags::MAP_FIXED_NOREPLACE) {
            // Whatever else is wrong with the request.
            self.inner.lock().check_free(request.addr, request.addr.saturating_add(len))?;
        }
        let (backing, flags) = backing_for(caller, request, len)?;
        self.map_backing(caller, request, len, backing, flags)
    }

    /// Maps what stands behind a request of `len` bytes.
    pub(super) fn map_backing(
        &self,
        caller: &Caller<'_>,
        request: &MapRequest<'_>,
        len: u64,
        backing: VmaBacking,
        flags: VmaFlags,
    ) -> Result<u64> {
        let mut vma = Vma { start: 0, end: len, prot: request.prot, flags, backing, policy: None };
        vma.flags |= vma.traces_of(request.prot);
        let text = request.prot.contains(Prot::EXEC)
            && request.file.is_some()
            && !flags.contains(VmaFlags::SHARED);
        let vma = self.place(caller, request, vma)?;
        let addr = vma.start;
        let map = || match text {
            true => self.map_text(caller, request, &vma),
            false => map_plain(caller.host, &vma),
        };
        let mut mapped = map();
        if mapped == Err(Errno::ENOMEM.into()) && self.release_recycled(caller.host) {
            mapped = map();
        }
        if let Err(error) = mapped {
            let _ = caller.host.unmap(addr, len);
            let removed = self.inner.lock().tree.remove(addr, vma.end);
            drop(removed);
            return Err(error);
        }
        if request.flags.contains(MapFlags::MAP_POPULATE)
            && !request.flags.contains(MapFlags::MAP_NONBLOCK)
        {
            let write = request.prot.contains(Prot::WRITE) && !flags.contains(VmaFlags::SHARED);
            let advice = if write { MADV_POPULATE_WRITE } else { MADV_POPULATE_READ };
            // A file may be shorter than its mapping; mmap succeeds all the same.
            let _ = caller.host.advise(addr, len, advice);
        }
        Ok(addr)
    }

    /// A recycled range.
    fn reuse(&self, caller: &Caller<'_>, len: u64) -> Result<Option<u64>> {
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        let mut inner = self.inner.lock();
        if inner.lock_future {
            return Ok(None);
        }
        let Some(at) = inner.recycled.iter().rposition(|&(_, have)| have == len) else {
            return Ok(None);
        };
        inner.check_limits(caller.rlimits, len)?;
        let (addr, _) = inner.recycled.remove(at);
        inner.note_small(addr, len);
        inner.tree.update(addr, addr.saturating_add(len), |vma| {
            vma.flags -= VmaFlags::RECYCLED;
        });
        drop(inner);
        if caller.host.zero(addr, len).is_err() {
            caller.host.map(addr, len, Prot::READ | Prot::WRITE, Backing::Anonymous)?;
        }
        Ok(Some(addr))
    }

    /// Chooses the address and puts the mapping into the tree; what it is there.
    fn place(&self, caller: &Caller<'_>, request: &MapRequest<'_>, vma: Vma) -> Result<Vma> {
        let mut removed = Vec::new();
        let mut inner = self.inner.lock();
        let result = inner.place(caller, request, vma, &mut removed);
        if result.is_ok() {
            inner.note_peak();
        }
        drop(inner);
        let vma = result?;
        // Stubs of text that is no longer there.
        self.drop_stubs(caller.host, &removed);
        drop(removed);
        debug_assert!(vma.end <= USER_END);
        Ok(vma)
    }
}

impl Inner {
    /// Chooses an address for `vma` (whose `end` is its length) and inserts it.
    fn place(
        &mut self,
        caller: &Caller<'_>,
        request: &MapRequest<'_>,
        vma: Vma,
        removed: &mut Vec<Vma>,
    ) -> Result<Vma> {
        let len = vma.end;
        let locked = request.flags.contains(MapFlags::MAP_LOCKED);
        if locked || self.lock_future {
            // Only who asks for it has to be allowed to lock memory at all.
            self.check_locked(caller, len).map_err(|error| match error.errno() {
                Errno::EPERM if locked => Errno::EPERM,
                _ => Errno::EAGAIN,
            })?;
        }
        let addr = if request.is_fixed() {
            let end = request.addr.saturating_add(len);
            if request.flags.contains(MapFlags::MAP_FIXED_NOREPLACE) {
                self.check_free(request.addr, end)?;
            }
            self.evict_recycled(request.addr, end);
            let covered: u64 = self
                .tree
                .overlapping(request.addr, end)
                .map(|vma| overlap(vma, request.addr, end))
                .sum();
            self.check_new(caller, &vma, len.saturating_sub(covered))?;
            *removed = self.tree.remove(request.addr, end);
            request.addr
        } else {
            self.check_new(caller, &vma, len)?;
            let gap = if request.file.is_some() { gap_behind(len) } else { 0 };
            self.choose(caller.host, request, &vma, gap)?
        };
        if request.is_small_private() {
            self.note_small(addr, len);
        }
        let mut vma = Vma { start: addr, end: addr.saturating_add(len), ..vma };
        if locked || self.lock_future {
            vma.flags |= VmaFlags::LOCKED;
            self.count_locked(&vma);
        }
        if let VmaBacking::Pages(new, _) = &mut vma.backing
            && new.file().is_some()
            && let Some(known) = self.mapping_like(new)
        {
            // So that neighbours can join. What the new one refers to, the known one does too.
            *new = known;
        }
        self.tree.insert(vma.clone());
        Ok(vma)
    }

    /// Another mapping of the same file.
    fn mapping_like(&self, new: &PageMapping) -> Option<Arc<PageMapping>> {
        self.tree.iter().find_map(|vma| match &vma.backing {
            VmaBacking::Pages(known, _) if known.is_like(new) => Some(Arc::clone(known)),
            _ => None,
        })
    }

    /// `EEXIST` if the guest has something in a range.
    pub(super) fn check_free(&mut self, start: u64, end: u64) -> Result<()> {
        self.evict_recycled(start, end);
        if self.tree.is_free(start, end) { Ok(()) } else { Err(Errno::EEXIST.into()) }
    }

    /// Limits that a new mapping with `more` new bytes must keep.
    fn check_new(&self, caller: &Caller<'_>, vma: &Vma, more: u64) -> Result<()> {
        self.check_limits(caller.rlimits, more)?;
        let limit = caller.rlimits.soft(Resource::Data);
        if limit != RLIM_INFINITY
            && vma.prot.contains(Prot::WRITE)
            && !vma.flags.intersects(VmaFlags::SHARED | VmaFlags::STACK)
            && self.data_bytes().saturating_add(more) > limit
        {
            return Err(Errno::ENOMEM.into());
        }
        Ok(())
    }

    /// Bytes that count for `RLIMIT_DATA`: private writable mappings.
    pub(super) fn data_bytes(&self) -> u64 {
        let skipped = VmaFlags::SHARED | VmaFlags::STACK | VmaFlags::INVISIBLE;
        self.tree
            .iter()
            .filter(|vma| vma.prot.contains(Prot::WRITE) && !vma.flags.intersects(skipped))
            .map(Vma::len)
            .sum()
    }

    /// An address for a mapping that may go anywhere.
    fn choose(
        &mut self,
        host: &dyn Host,
        request: &MapRequest<'_>,
        vma: &Vma,
        gap: u64,
    ) -> Result<u64> {
        let len = vma.end;
        if let Some(found) = self.find_shared(host, vma, len) {
            return found;
        }
        let hint = page_down(request.addr);
        if hint != 0 {
            let hint = hint.max(MMAP_MIN_ADDR);
            if let Some(end) = hint.checked_add(len)
                && end <= USER_END
                && self.tree.is_free(hint, end)
            {
                return Ok(hint);
            }
        }
        if request.flags.contains(MapFlags::MAP_32BIT) {
            let low = self.tree.find_free_upwards(len, LOW_WINDOW);
            return low.ok_or_else(|| Errno::ENOMEM.into());
        }
        self.find_free(len, gap).ok_or_else(|| Errno::ENOMEM.into())
    }

    /// A place for a shared mapping on a host that is particular about it.
    pub(super) fn find_shared(&self, host: &dyn Host, vma: &Vma, len: u64) -> Option<Result<u64>> {
        let (VmaBacking::Pages(_, offset) | VmaBacking::Host(_, offset)) = vma.backing else {
            return None;
        };
        if !vma.flags.contains(VmaFlags::SHARED) {
            return None;
        }
        let SharedWindow { low, high, unit } = host.shared_window()?;
        let place = offset & (unit - 1);
        let room = len.checked_add(place)?.checked_next_multiple_of(unit)?.checked_add(unit)?;
        let found = self.tree.find_free_upwards(room, Window { low, high });
        let start = found.map(|at| at.next_multiple_of(unit).saturating_add(place));
        Some(start.ok_or_else(|| Errno::ENOMEM.into()))
    }

    /// The highest free range below the stack, with `gap` free bytes behind it.
    pub(super) fn find_free(&mut self, len: u64, gap: u64) -> Option<u64> {
        let top = self.mmap_top;
        let window = Window { low: MMAP_MIN_ADDR, high: top };
        if let Some(addr) = self.tree.find_free(len.checked_add(gap)?, window, top) {
            return Some(addr);
        }
        // Above, beside the stack.
        let window = Window { low: MMAP_MIN_ADDR, high: USER_END };
        self.tree.find_free(len, window, top)
    }
}

/// Room for stubs behind a mapping of `len` bytes of a file. With enough of it the stubs are always
/// at the same distance from their text, and rewritten text is shared by all programs.
pub(super) fn gap_behind(len: u64) -> u64 {
    page_down(len / 4).clamp(FILE_GAPS.0, FILE_GAPS.1)
}

/// Bytes of `vma` in a range, as far as the guest sees them.
fn overlap(vma: &Vma, start: u64, end: u64) -> u64 {
    if vma.is_invisible() { 0 } else { vma.end.min(end).saturating_sub(vma.start.max(start)) }
}

/// Checks the address of a fixed mapping, and the length of any.
pub(super) fn check_address(request: &MapRequest<'_>, len: u64) -> Result<()> {
    if len > USER_END {
        return Err(Errno::ENOMEM.into());
    }
    if !request.is_fixed() {
        return Ok(());
    }
    match request.addr.checked_add(len) {
        Some(end) if end <= USER_END => {}
        _ => return Err(Errno::ENOMEM.into()),
    }
    if !request.addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL.into());
    }
    if request.addr < MMAP_MIN_ADDR {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// Flags that `MAP_SHARED_VALIDATE` knows.
const KNOWN_FLAGS: MapFlags = MapFlags::MAP_SHARED
    .union(MapFlags::MAP_PRIVATE)
    .union(MapFlags::MAP_FIXED)
    .union(MapFlags::MAP_ANONYMOUS)
    .union(MapFlags::MAP_32BIT)
    .union(MapFlags::MAP_ABOVE4G)
    .union(MapFlags::MAP_GROWSDOWN)
    .union(MapFlags::MAP_DENYWRITE)
    .union(MapFlags::MAP_EXECUTABLE)
    .union(MapFlags::MAP_LOCKED)
    .union(MapFlags::MAP_NORESERVE)
    .union(MapFlags::MAP_POPULATE)
    .union(MapFlags::MAP_NONBLOCK)
    .union(MapFlags::MAP_STACK)
    .union(MapFlags::MAP_HUGETLB)
    .union(MapFlags::MAP_UNINITIALIZED);

/// What stands behind the new mapping, and its flags.
fn backing_for(
    caller: &Caller<'_>,
    request: &MapRequest<'_>,
    len: u64,
) -> Result<(VmaBacking, VmaFlags)> {
    let asked = request.flags;
    let shared = match asked.map_type() {
        1 => true,
        MapFlags::MAP_SHARED_VALIDATE if request.file.is_some() => {
            if !KNOWN_FLAGS.contains(asked) {
                return Err(Errno::EOPNOTSUPP.into());
            }
            true
        }
        2 => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    let mut flags = VmaFlags::empty();
    flags.set(VmaFlags::SHARED, shared);
    flags.set(VmaFlags::NO_RESERVE, asked.contains(MapFlags::MAP_NORESERVE));
    let grows = asked.contains(MapFlags::MAP_GROWSDOWN);
    flags.set(VmaFlags::GROWS_DOWN, grows);
    let Some(file) = request.file else {
        if !shared {
            return Ok((VmaBacking::Anonymous, flags));
        }
        if grows {
            return Err(Errno::EINVAL.into());
        }
        let memory = SharedMemory::new(caller.host, len)?;
        return Ok((VmaBacking::Pages(PageMapping::of_memory(memory), 0), flags));
    };
    if !file.is_readable() || (shared && request.prot.contains(Prot::WRITE) && !file.is_writable())
    {
        return Err(Errno::EACCES.into());
    }
    if request.prot.contains(Prot::EXEC)
        && Path::of(file).is_some_and(|path| path.mount.flags().contains(MountFlags::NOEXEC))
    {
        return Err(Errno::EPERM.into());
    }
    flags.set(VmaFlags::NO_WRITE, shared && !file.is_writable());
    let source = file.ops().map_source(caller, file, shared)?;
    if grows {
        return Err(Errno::EINVAL.into());
    }
    let backing = match source {
        MapSource::Anonymous if shared => {
            let memory = SharedMemory::new(caller.host, len)?;
            VmaBacking::Pages(PageMapping::of_memory(memory), 0)
        }
        MapSource::Anonymous => VmaBacking::Anonymous,
        MapSource::Host(fd) => {
            let mapping = HostMapping { fd, file: Arc::clone(file) };
            VmaBacking::Host(Arc::new(mapping), request.offset)
        }
        MapSource::Pages(source) => {
            let mut counted = false;
            if shared && file.is_writable() {
                counted = source.map_shared(request.prot.contains(Prot::WRITE))?;
                flags.set(VmaFlags::NO_WRITE, !counted);
            }
            let mapping = PageMapping::of_file(source, Arc::clone(file), counted);
            VmaBacking::Pages(mapping, request.offset)
        }
    };
    Ok((backing, flags))
}

/// Lets the host map what the tree says.
pub(super) fn map_plain(host: &dyn Host, vma: &Vma) -> Result<()> {
    let shared = vma.flags.contains(VmaFlags::SHARED);
    let (start, len, prot) = (vma.start, vma.len(), vma.prot);
    match &vma.backing {
        VmaBacking::Anonymous | VmaBacking::Special(_) => {
            host.map(start, len, prot, Backing::Anonymous)?;
        }
        VmaBacking::Pages(pages, offset) => {
            pages.map(host, start, len, *offset, prot, shared)?;
        }
        VmaBacking::Host(mapping, offset) => {
            let backing = Backing::File { fd: &mapping.fd, offset: *offset, shared };
            host.map(start, len, prot, backing)?;
        }
        VmaBacking::Text(text, offset) => {
            let address = text.text.address(*offset);
            host.map(start, len, prot, Backing::Pages { address, shared: false })?;
        }
    }
    repeat_advice(host, vma, start, len);
    Ok(())
}

/// Tells the host once more what a part of a mapping that it maps anew is to be for a child.
pub(super) fn repeat_advice(host: &dyn Host, vma: &Vma, start: u64, len: u64) {
    let advice = [
        (VmaFlags::DONT_FORK, Madvice::MADV_DONTFORK),
        (VmaFlags::WIPE_ON_FORK, Madvice::MADV_WIPEONFORK),
    ];
    for (_, advice) in advice.into_iter().filter(|(flag, _)| vma.flags.contains(*flag)) {
        // It took the advice for the mapping as a whole. Behind the end of a file it has no pages.
        let _ = host.advise(start, len, advice.0.cast_signed());
    }
}
