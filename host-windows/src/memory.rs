//! The guest's part of the address space: `HostMemory` and `HostPages`.

use alloc::vec;

use lx_core::abi::Errno;
use lx_core::host::{
    Backing, BufMut, Fault, HostError, HostFd, HostMemory, HostPages, HostResult, HostStorage,
    PageBlock, Prot, SharedWindow,
};
use lx_x86::guest_memory::GuestMemory;
use lx_x86::user_copy;

use crate::ranges::{Kind, Range};
use crate::region::{self, REGION_BASE};
use crate::space::{Space, UNIT};
use crate::views::Source;
use crate::{WindowsHost, clock, host, process, thread};

const PAGE: u64 = 4096;

/// Checks that a range belongs to the guest; a wrong one would be the kernel's own bug.
fn guest_range(addr: u64, len: u64) -> HostResult<u64> {
    match addr.checked_add(len) {
        Some(end) if end <= REGION_BASE => Ok(end),
        _ => Err(HostError(Errno::ENOMEM)),
    }
}

/// Whether the kernel may try to access these addresses for the guest.
pub(crate) fn in_guest(addr: u64, len: usize) -> bool {
    addr.checked_add(len as u64).is_some_and(|end| end <= REGION_BASE)
}

/// Calls `act` with the calling process's mappings.
fn with_space<T>(act: impl FnOnce(&mut Space) -> HostResult<T>) -> HostResult<T> {
    let process = process::current().ok_or(HostError(Errno::ENOMEM))?;
    act(&mut process.space.lock())
}

/// Removes every guest mapping of the calling process.
pub(crate) fn reset() {
    if let Some(process) = process::current() {
        process.space.lock().reset();
    }
}

/// Fills mapped memory from a file, behind whose end it is zero.
fn fill_from_file(addr: u64, len: u64, fd: &HostFd, offset: u64) -> HostResult<()> {
    const STEP: usize = 256 * 1024;
    let mut buffer = vec![0u8; STEP.min(len as usize)];
    let mut done = 0u64;
    while done < len {
        let part = buffer.len().min((len - done) as usize);
        let Some(part) = buffer.get_mut(..part) else { break };
        let count = host().read_at(fd, offset + done, BufMut::Kernel(part))?;
        if count == 0 {
            break;
        }
        host()
            .copy_out(addr + done, part.get(..count).unwrap_or_default())
            .map_err(|_| HostError(Errno::EFAULT))?;
        done += count as u64;
    }
    let (end, last) = (addr + len, (addr + done).next_multiple_of(PAGE));
    host().zero(addr + done, last - addr - done).map_err(|_| HostError(Errno::EFAULT))?;
    with_space(|space| space.map_private(last, end, Prot::READ | Prot::WRITE))
}

/// The memory of the running task.
#[inline(always)]
fn guest() -> GuestMemory<'static> {
    GuestMemory::new(&thread::current().engine, REGION_BASE)
}

impl HostMemory for WindowsHost {
    fn map(&self, addr: u64, len: u64, prot: Prot, backing: Backing<'_>) -> HostResult<()> {
        let end = guest_range(addr, len)?;
        match backing {
            Backing::Anonymous => with_space(|space| space.map_private(addr, end, prot)),
            // Every process has the clock page, which does not change.
            Backing::Pages { address, shared: true } if address == clock::guest_page() => {
                self.map(addr, len, prot, Backing::Pages { address, shared: false })
            }
            Backing::Pages { address, shared: true } => {
                with_space(|space| space.map_views(addr, end, prot, address))
            }
            Backing::Pages { address, shared: false } => {
                with_space(|space| space.map_overwritten(addr, end))?;
                // SAFETY: region memory that is only ever copied; the other side is the guest's.
                let copied = unsafe { user_copy::copy(addr, address, len as usize) };
                if copied as u64 != len {
                    return Err(HostError(Errno::EFAULT));
                }
                self.protect(addr, len, prot)
            }
            Backing::File { fd, offset, shared: false } => {
                with_space(|space| space.map_overwritten(addr, end))?;
                fill_from_file(addr, len, fd, offset)?;
                self.protect(addr, len, prot)
            }
            // The descriptors of files do not allow execution.
            Backing::File { shared: true, .. } if prot.contains(Prot::EXEC) => {
                Err(HostError(Errno::ENODEV))
            }
            Backing::File { fd, offset, shared: true } => {
                let source = Source::file(fd.raw())?;
                with_space(|space| space.map_file(&source, (addr, end), prot, fd.raw(), offset))
            }
        }
    }

    fn shared_window(&self) -> Option<SharedWindow> {
        // Away from private memory: no view fits into an arena.
        Some(SharedWindow { low: 0x4000_0000_0000, high: 0x5000_0000_0000, unit: UNIT })
    }

    fn unmap(&self, addr: u64, len: u64) -> HostResult<()> {
        let end = guest_range(addr, len)?;
        with_space(|space| space.unmap(addr, end))
    }

    fn protect(&self, addr: u64, len: u64, prot: Prot) -> HostResult<()> {
        let end = guest_range(addr, len)?;
        with_space(|space| space.protect(addr, end, prot))
    }

    fn discard(&self, addr: u64, len: u64) -> HostResult<()> {
        let end = guest_range(addr, len)?;
        with_space(|space| space.discard(addr, end))
    }

    fn forgets_files(&self) -> bool {
        true
    }

    fn advise(&self, addr: u64, len: u64, advice: i32) -> HostResult<()> {
        const DONTFORK: i32 = 10;
        const WIPEONFORK: i32 = 18;
        const POPULATE_READ: i32 = 22;
        const POPULATE_WRITE: i32 = 23;
        let end = guest_range(addr, len)?;
        match advice {
            // A twin gets all that there is.
            DONTFORK | WIPEONFORK => Err(HostError(Errno::EINVAL)),
            POPULATE_READ | POPULATE_WRITE => with_space(|space| {
                let parts = space.ranges.overlapping(addr, end);
                let mapped: u64 = parts.iter().map(Range::len).sum();
                if mapped == end - addr { Ok(()) } else { Err(HostError(Errno::ENOMEM)) }
            }),
            // The host has no such hints.
            _ => Ok(()),
        }
    }

    fn relocate(&self, old: u64, old_len: u64, new: u64, new_len: u64) -> HostResult<()> {
        let old_end = guest_range(old, old_len)?;
        let new_end = guest_range(new, new_len)?;
        with_space(|space| {
            let parts = space.ranges.overlapping(old, old_end.min(old + new_len));
            // Views of files are made from their descriptors only.
            if parts.iter().any(|part| matches!(part.kind, Kind::File { .. })) {
                return Err(HostError(Errno::ENOMEM));
            }
            let last = parts.last().copied().ok_or(HostError(Errno::EFAULT))?;
            if old != new {
                space.unmap(new, new_end)?;
                for part in parts {
                    move_part(space, &part, new + (part.start - old))?;
                }
                space.unmap(old, old_end)?;
            } else if new_len < old_len {
                space.unmap(new_end, old_end)?;
            }
            if new_len > old_len {
                space.map_private(new + old_len, new_end, last.prot)?;
            }
            Ok(())
        })
    }

    fn sync(&self, addr: u64, len: u64, _flags: i32) -> HostResult<()> {
        let end = guest_range(addr, len)?;
        with_space(|space| space.flush(addr, end))
    }

    fn reset(&self) -> HostResult<()> {
        reset();
        Ok(())
    }

    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault> {
        if guest().copy_in(src, dst) == dst.len() { Ok(()) } else { Err(Fault) }
    }

    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault> {
        if guest().copy_out(dst, src) == src.len() { Ok(()) } else { Err(Fault) }
    }

    fn copy_out_partial(&self, dst: u64, src: &[u8]) -> usize {
        guest().copy_out(dst, src)
    }

    fn copy_in_partial(&self, src: u64, dst: &mut [u8]) -> usize {
        guest().copy_in(src, dst)
    }

    fn zero(&self, dst: u64, len: u64) -> Result<(), Fault> {
        guest().zero(dst, len)
    }

    fn copy_in_str(&self, src: u64, dst: &mut [u8]) -> Result<Option<usize>, Fault> {
        guest().copy_in_str(src, dst)
    }

    fn load_u32(&self, addr: u64) -> Result<u32, Fault> {
        guest().load_u32(addr)
    }

    fn compare_exchange_u32(&self, addr: u64, current: u32, new: u32) -> Result<u32, Fault> {
        guest().compare_exchange_u32(addr, current, new)
    }

    fn copy_pages_out(&self, dst: u64, block: &PageBlock, offset: usize, len: usize) -> usize {
        guest().copy_pages_out(dst, block, offset, len)
    }

    fn copy_pages_in(&self, block: &PageBlock, offset: usize, src: u64, len: usize) -> usize {
        guest().copy_pages_in(block, offset, src, len)
    }
}

/// Maps at `new` what is at `part`, with its contents.
fn move_part(space: &mut Space, part: &Range, new: u64) -> HostResult<()> {
    let len = part.end - part.start;
    match part.kind {
        Kind::View(address) => space.map_views(new, new + len, part.prot, address),
        Kind::File { .. } => Err(HostError(Errno::ENOMEM)),
        Kind::Reserved => space.map_private(new, new + len, part.prot),
        Kind::Private => {
            space.map_private(new, new + len, Prot::READ | Prot::WRITE)?;
            if !part.prot.contains(Prot::READ) {
                space.protect(part.start, part.end, Prot::READ)?;
            }
            // SAFETY: both are the guest's, and were made accessible.
            if unsafe { user_copy::copy(new, part.start, len as usize) } as u64 != len {
                return Err(HostError(Errno::EFAULT));
            }
            space.protect(new, new + len, part.prot)
        }
    }
}

impl HostPages for WindowsHost {
    fn alloc_block(&self) -> Option<PageBlock> {
        region::alloc_block().map(|address| PageBlock::from_raw(address, host()))
    }

    fn free_block(&self, address: u64) {
        region::free_block(address);
    }

    fn block_read(&self, block: &PageBlock, offset: usize, dst: &mut [u8]) {
        // SAFETY: callers keep inside the block. Guests may write at the same time, which a copy
        // by instructions that the compiler does not see can bear.
        unsafe {
            user_copy::copy(
                dst.as_mut_ptr() as u64,
                block.address().wrapping_add(offset as u64),
                dst.len(),
            );
        }
    }

    fn block_write(&self, block: &PageBlock, offset: usize, src: &[u8]) {
        // SAFETY: as above.
        unsafe {
            user_copy::copy(
                block.address().wrapping_add(offset as u64),
                src.as_ptr() as u64,
                src.len(),
            );
        }
    }

    fn block_zero(&self, block: &PageBlock, offset: usize, len: usize) {
        // SAFETY: as above.
        unsafe { user_copy::zero(block.address().wrapping_add(offset as u64), len) };
    }

    fn region_usage(&self) -> (u64, u64) {
        region::usage()
    }
}
