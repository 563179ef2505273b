//! The guest's part of the address space: `HostMemory` and `HostPages`.

use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::host::{
    Backing, Fault, HostError, HostMemory, HostPages, HostResult, PageBlock, Prot,
};
use lx_x86::guest_memory::GuestMemory;
use lx_x86::user_copy;

use crate::region::{self, REGION_BASE, region_fd};
use crate::sys::{self, sys};
use crate::{LinuxHost, host, thread};

/// First address that a guest can use: the host does not map lower ones for ordinary users.
const GUEST_BASE: u64 = 0x1_0000;

/// Checks that a range belongs to the guest; a wrong one would be the kernel's own bug.
fn guest_range(addr: u64, len: u64) -> HostResult<()> {
    match addr.checked_add(len) {
        Some(end) if end <= REGION_BASE => Ok(()),
        _ => Err(HostError(Errno::ENOMEM)),
    }
}

/// Whether the kernel may try to access these addresses for the guest.
pub(crate) fn in_guest(addr: u64, len: usize) -> bool {
    addr.checked_add(len as u64).is_some_and(|end| end <= REGION_BASE)
}

/// Drops the value of a call.
fn done(result: sys::SysResult) -> HostResult<()> {
    result.map(drop).map_err(HostError)
}

/// Removes every guest mapping of the calling process.
pub(crate) fn reset() {
    // SAFETY: the range is the guest's.
    let _ = unsafe { sys!(sys::__NR_munmap, GUEST_BASE, REGION_BASE - GUEST_BASE) };
}

/// Changes the access rights of what is mapped in a range. One that has holes is halved until they
/// are left out.
fn protect_parts(addr: u64, len: u64, prot: Prot) -> HostResult<()> {
    // SAFETY: the range is the guest's, whose memory no Rust object lives in.
    let result = done(unsafe { sys!(sys::__NR_mprotect, addr, len, prot.bits()) });
    if result != Err(HostError(Errno::ENOMEM)) {
        return result;
    }
    if len <= PAGE_SIZE {
        let mut resident = 0_u8;
        // SAFETY: the call writes one byte, for the one page.
        let mapped = unsafe { sys!(sys::__NR_mincore, addr, PAGE_SIZE, &raw mut resident) };
        // There are too many mappings then.
        return if mapped.is_ok() { result } else { Ok(()) };
    }
    let half = (len / 2).next_multiple_of(PAGE_SIZE);
    protect_parts(addr, half, prot)?;
    protect_parts(addr.saturating_add(half), len.saturating_sub(half), prot)
}

/// The memory of the running task.
#[inline(always)]
fn guest() -> GuestMemory<'static> {
    GuestMemory::new(&thread::current().engine, REGION_BASE)
}

impl HostMemory for LinuxHost {
    fn map(&self, addr: u64, len: u64, prot: Prot, backing: Backing<'_>) -> HostResult<()> {
        guest_range(addr, len)?;
        let (flags, fd, offset) = match backing {
            Backing::Anonymous => {
                (sys::MAP_PRIVATE | sys::MAP_ANONYMOUS | sys::MAP_NORESERVE, -1, 0)
            }
            Backing::Pages { address, shared } => {
                (sharing(shared), region_fd(), address.wrapping_sub(REGION_BASE))
            }
            Backing::File { fd, offset, shared } => (sharing(shared), fd.raw() as i32, offset),
        };
        // SAFETY: the range is the guest's, whose memory no Rust object lives in.
        done(unsafe {
            sys!(sys::__NR_mmap, addr, len, prot.bits(), flags | sys::MAP_FIXED, fd, offset)
        })
    }

    fn unmap(&self, addr: u64, len: u64) -> HostResult<()> {
        guest_range(addr, len)?;
        // SAFETY: as in `map`.
        done(unsafe { sys!(sys::__NR_munmap, addr, len) })
    }

    fn protect(&self, addr: u64, len: u64, prot: Prot) -> HostResult<()> {
        guest_range(addr, len)?;
        protect_parts(addr, len, prot)
    }

    fn discard(&self, addr: u64, len: u64) -> HostResult<()> {
        self.advise(addr, len, sys::MADV_DONTNEED as i32)
    }

    fn advise(&self, addr: u64, len: u64, advice: i32) -> HostResult<()> {
        guest_range(addr, len)?;
        // SAFETY: as in `map`.
        done(unsafe { sys!(sys::__NR_madvise, addr, len, advice) })
    }

    fn relocate(&self, old: u64, old_len: u64, new: u64, new_len: u64) -> HostResult<()> {
        guest_range(old, old_len)?;
        guest_range(new, new_len)?;
        let flags = if old == new { 0 } else { sys::MREMAP_MAYMOVE | sys::MREMAP_FIXED };
        // SAFETY: as in `map`.
        done(unsafe { sys!(sys::__NR_mremap, old, old_len, new_len, flags, new) })
    }

    fn sync(&self, addr: u64, len: u64, flags: i32) -> HostResult<()> {
        guest_range(addr, len)?;
        // SAFETY: writing back changes no memory.
        done(unsafe { sys!(sys::__NR_msync, addr, len, flags) })
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

fn sharing(shared: bool) -> u32 {
    if shared { sys::MAP_SHARED } else { sys::MAP_PRIVATE | sys::MAP_NORESERVE }
}

impl HostPages for LinuxHost {
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
