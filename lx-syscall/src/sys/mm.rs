//! Memory: `mmap(2)`, `munmap(2)`, `mprotect(2)`, `mremap(2)`, `brk(2)`, `madvise(2)`, `msync(2)`,
//! `mincore(2)`, `mlock(2)` and relatives.

use core::fmt;

use lx_core::Result;
use lx_core::abi::mman::{
    Madvice, MapFlags, MlockFlags, MlockallFlags, MremapFlags, MsyncFlags, ProtFlags,
};
use lx_core::abi::{Errno, Fd, FromArg, PAGE_SIZE, TraceArg, UserPtr};
use lx_core::host::Prot;
use lx_proc::CurrentTask;
use lx_proc::mm::MapRequest;

/// Protection as mmap(2) reads it: unknown bits mean nothing.
pub(crate) struct MmapProt(ProtFlags);

impl FromArg for MmapProt {
    fn from_arg(raw: u64) -> core::result::Result<Self, Errno> {
        Ok(Self(ProtFlags::from_bits_truncate(raw as u32)))
    }
}

impl TraceArg for MmapProt {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trace(f)
    }
}

/// `mmap(2)`.
///
/// # Errors
/// `EBADF` if `fd` is none and the mapping is not anonymous, else as
/// [`AddressSpace::map`](lx_proc::mm::AddressSpace::map).
pub(crate) fn sys_mmap(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    prot: MmapProt,
    flags: MapFlags,
    fd: Fd,
    offset: u64,
) -> Result<u64> {
    let file = match flags.contains(MapFlags::MAP_ANONYMOUS) {
        true => None,
        false => Some(task.files().get(fd)?),
    };
    let request = MapRequest {
        addr: addr.addr(),
        len,
        prot: Prot::from_bits_truncate(prot.0.bits()),
        flags,
        file: file.as_ref(),
        offset,
        stubs: None,
    };
    task.mm().map(&task.caller(), &request)
}

/// `munmap(2)`.
pub(crate) fn sys_munmap(task: &CurrentTask<'_>, addr: UserPtr<u8>, len: u64) -> Result<()> {
    task.mm().unmap(&task.caller(), addr.addr(), len)
}

/// `mprotect(2)`.
pub(crate) fn sys_mprotect(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    prot: ProtFlags,
) -> Result<()> {
    task.mm().protect(&task.caller(), addr.addr(), len, prot)
}

/// `pkey_mprotect(2)`: without a key as `mprotect(2)`; no key is ever allocated.
///
/// # Errors
/// `EINVAL` for a key; else as `mprotect(2)`.
pub(crate) fn sys_pkey_mprotect(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    prot: ProtFlags,
    key: i32,
) -> Result<()> {
    if key == -1 || len == 0 {
        return sys_mprotect(task, addr, len, prot);
    }
    // The range is looked at before the key.
    let end = addr.addr().checked_add(len);
    let ends = end.is_some_and(|end| end <= u64::MAX - (PAGE_SIZE - 1));
    let misplaced = !addr.addr().is_multiple_of(PAGE_SIZE);
    Err(if misplaced || ends { Errno::EINVAL } else { Errno::ENOMEM }.into())
}

/// `pkey_alloc(2)`: a processor without protection keys cannot be given the rights of one, of
/// which Linux says the same as of wrong arguments.
///
/// # Errors
/// `EINVAL`.
pub(crate) fn sys_pkey_alloc(_task: &CurrentTask<'_>, _flags: u64, _rights: u64) -> Result<i32> {
    Err(Errno::EINVAL.into())
}

/// `pkey_free(2)`.
///
/// # Errors
/// `EINVAL`: no key is allocated.
pub(crate) fn sys_pkey_free(_task: &CurrentTask<'_>, _key: i32) -> Result<()> {
    Err(Errno::EINVAL.into())
}

/// `mremap(2)`.
pub(crate) fn sys_mremap(
    task: &CurrentTask<'_>,
    old: UserPtr<u8>,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    new: UserPtr<u8>,
) -> Result<u64> {
    task.mm().remap(&task.caller(), old.addr(), old_len, new_len, flags, new.addr())
}

/// `brk(2)`: the end of the heap, new or, if it cannot be moved, old.
pub(crate) fn sys_brk(task: &CurrentTask<'_>, addr: UserPtr<u8>) -> Result<u64> {
    Ok(task.mm().brk(&task.caller(), addr.addr()))
}

/// `madvise(2)`.
pub(crate) fn sys_madvise(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    advice: Madvice,
) -> Result<()> {
    task.mm().advise(&task.caller(), addr.addr(), len, advice)
}

/// `msync(2)`.
pub(crate) fn sys_msync(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    flags: MsyncFlags,
) -> Result<()> {
    task.mm().sync(task.host(), addr.addr(), len, flags)
}

/// `mincore(2)`.
pub(crate) fn sys_mincore(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    vec: UserPtr<u8>,
) -> Result<()> {
    const PRESENT: [u8; 256] = [1; 256];
    let mut pages = task.mm().residency(addr.addr(), len)?;
    let mut at = vec.addr();
    while pages > 0 {
        let part = pages.min(PRESENT.len() as u64);
        task.memory().write_bytes(at, PRESENT.get(..part as usize).unwrap_or_default())?;
        at = at.wrapping_add(part);
        pages -= part;
    }
    Ok(())
}

/// `mlock(2)`.
pub(crate) fn sys_mlock(task: &CurrentTask<'_>, addr: UserPtr<u8>, len: u64) -> Result<()> {
    task.mm().lock_memory(&task.caller(), addr.addr(), len, true)
}

/// `mlock2(2)`.
pub(crate) fn sys_mlock2(
    task: &CurrentTask<'_>,
    addr: UserPtr<u8>,
    len: u64,
    _flags: MlockFlags,
) -> Result<()> {
    // With MLOCK_ONFAULT pages are locked once they are touched: the accounting is the same.
    task.mm().lock_memory(&task.caller(), addr.addr(), len, true)
}

/// `munlock(2)`.
pub(crate) fn sys_munlock(task: &CurrentTask<'_>, addr: UserPtr<u8>, len: u64) -> Result<()> {
    task.mm().lock_memory(&task.caller(), addr.addr(), len, false)
}

/// `mlockall(2)`.
///
/// # Errors
/// `EINVAL` without flags.
pub(crate) fn sys_mlockall(task: &CurrentTask<'_>, flags: MlockallFlags) -> Result<()> {
    if flags.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    task.mm().lock_all(&task.caller(), Some(flags))
}

/// `munlockall(2)`.
pub(crate) fn sys_munlockall(task: &CurrentTask<'_>) -> Result<()> {
    task.mm().lock_all(&task.caller(), None)
}
