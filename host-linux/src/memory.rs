//! The guest's part of the address space: `HostMemory` and `HostPages`.

use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::host::{
    Backing, Fault, HostError, HostMemory, HostPages, HostResult, PageBlock, Prot,
};
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

/// An access of the running task: see [`ThreadBlock::access`](lx_x86::thread_block::ThreadBlock).
#[inline(always)]
fn access(addr: u64, len: usize, write: bool, access: impl Fn(usize) -> usize) -> usize {
    thread::current().engine.access(addr, len, write, access)
}

/// Whether an access of the running task that has failed may be tried again.
fn may_retry(addr: u64, write: bool) -> bool {
    thread::current().engine.user_fault(addr, write)
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
        if self.copy_in_partial(src, dst) == dst.len() { Ok(()) } else { Err(Fault) }
    }

    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault> {
        if self.copy_out_partial(dst, src) == src.len() { Ok(()) } else { Err(Fault) }
    }

    fn copy_out_partial(&self, dst: u64, src: &[u8]) -> usize {
        if !in_guest(dst, src.len()) {
            return 0;
        }
        access(dst, src.len(), true, |done| {
            let rest = src.get(done..).unwrap_or_default();
            // SAFETY: one side is a slice, the other the guest's.
            unsafe { user_copy::copy(dst + done as u64, rest.as_ptr() as u64, rest.len()) }
        })
    }

    fn copy_in_partial(&self, src: u64, dst: &mut [u8]) -> usize {
        if !in_guest(src, dst.len()) {
            return 0;
        }
        let (to, len) = (dst.as_mut_ptr() as u64, dst.len());
        access(src, len, false, |done| {
            let at = done as u64;
            // SAFETY: one side is the rest of a slice, the other the guest's.
            unsafe { user_copy::copy(to + at, src + at, len - done) }
        })
    }

    fn zero(&self, dst: u64, len: u64) -> Result<(), Fault> {
        let len = usize::try_from(len).map_err(|_| Fault)?;
        if !in_guest(dst, len) {
            return Err(Fault);
        }
        let done = access(dst, len, true, |done| {
            // SAFETY: the memory is the guest's.
            unsafe { user_copy::zero(dst + done as u64, len - done) }
        });
        if done == len { Ok(()) } else { Err(Fault) }
    }

    fn copy_in_str(&self, src: u64, dst: &mut [u8]) -> Result<Option<usize>, Fault> {
        let room = REGION_BASE.checked_sub(src).ok_or(Fault)?;
        let len = dst.len().min(usize::try_from(room).map_err(|_| Fault)?);
        let all = len == dst.len();
        let dst = dst.get_mut(..len).ok_or(Fault)?;
        // SAFETY: reading stops before the end of the guest's addresses.
        let mut found = unsafe { user_copy::copy_str(dst, src) };
        if found.is_err() && self.copy_in_partial(src, dst) == len {
            // SAFETY: as above.
            found = unsafe { user_copy::copy_str(dst, src) };
        }
        match found {
            Ok(None) if !all => Err(Fault),
            found => found,
        }
    }

    fn load_u32(&self, addr: u64) -> Result<u32, Fault> {
        if !in_guest(addr, 4) {
            return Err(Fault);
        }
        // SAFETY: the memory is the guest's.
        let load = || unsafe { user_copy::load_u32(addr) };
        let found = load();
        let found = if found.is_none() && may_retry(addr, false) { load() } else { found };
        found.ok_or(Fault)
    }

    fn compare_exchange_u32(&self, addr: u64, current: u32, new: u32) -> Result<u32, Fault> {
        if !in_guest(addr, 4) {
            return Err(Fault);
        }
        // SAFETY: the memory is the guest's.
        let exchange = || unsafe { user_copy::compare_exchange_u32(addr, current, new) };
        let found = exchange();
        let found = if found.is_none() && may_retry(addr, true) { exchange() } else { found };
        found.ok_or(Fault)
    }

    fn copy_pages_out(&self, dst: u64, block: &PageBlock, offset: usize, len: usize) -> usize {
        if !in_guest(dst, len) {
            return 0;
        }
        let from = block.address().wrapping_add(offset as u64);
        access(dst, len, true, |done| {
            let at = done as u64;
            // SAFETY: the block is region memory that is only ever copied; the other side is the
            // guest's.
            unsafe { user_copy::copy(dst + at, from + at, len - done) }
        })
    }

    fn copy_pages_in(&self, block: &PageBlock, offset: usize, src: u64, len: usize) -> usize {
        if !in_guest(src, len) {
            return 0;
        }
        let to = block.address().wrapping_add(offset as u64);
        access(src, len, false, |done| {
            let at = done as u64;
            // SAFETY: as above.
            unsafe { user_copy::copy(to + at, src + at, len - done) }
        })
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
