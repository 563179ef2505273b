//! The guest part of the address space of the calling host process.

use super::{HostFd, HostResult};

bitflags::bitflags! {
    /// Access rights of a mapping.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Prot: u32 {
        /// Readable.
        const READ = 1;
        /// Writable.
        const WRITE = 2;
        /// Executable.
        const EXEC = 4;
    }
}

/// An access to guest memory failed: the address is unmapped or does not allow the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// What stands behind a new mapping.
#[derive(Clone, Copy, Debug)]
pub enum Backing<'a> {
    /// Private zeroed memory.
    Anonymous,
    /// Pages of the kernel's shared region, starting at this kernel address (page aligned);
    /// `shared` = writes go to the region, else private copies on write.
    Pages {
        /// Address in the region.
        address: u64,
        /// `MAP_SHARED`.
        shared: bool,
    },
    /// A host file; `offset` is page aligned.
    File {
        /// The file.
        fd: &'a HostFd,
        /// Offset in bytes.
        offset: u64,
        /// `MAP_SHARED`.
        shared: bool,
    },
}

/// Where shared mappings of region pages have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedWindow {
    /// Lowest address.
    pub low: u64,
    /// End of the addresses.
    pub high: u64,
    /// Mappings share no unit of this size with others, and a page has the same place in its unit
    /// as in a unit of the region. A power of two.
    pub unit: u64,
}

/// Mapping of guest memory and fault-safe access to it.
///
/// Addresses and lengths are page aligned except in the access methods; the kernel chooses all
/// addresses. A mapping replaces whatever was there.
pub trait HostMemory {
    /// Maps `len` bytes at `addr`.
    fn map(&self, addr: u64, len: u64, prot: Prot, backing: Backing<'_>) -> HostResult<()>;
    /// Where the kernel has to put shared mappings of pages whose address it chooses; `None` if they
    /// may be anywhere.
    fn shared_window(&self) -> Option<SharedWindow> {
        None
    }
    /// Removes all mappings in the range; holes are no error.
    fn unmap(&self, addr: u64, len: u64) -> HostResult<()>;
    /// Changes the access rights of what is mapped in the range; holes are no error.
    fn protect(&self, addr: u64, len: u64, prot: Prot) -> HostResult<()>;
    /// Drops private pages: they read as zeros (or as the file) afterwards, `MADV_DONTNEED`.
    fn discard(&self, addr: u64, len: u64) -> HostResult<()>;
    /// Whether [`discard`](Self::discard) makes pages of a file read as zeros, because the host does
    /// not know what was mapped: the kernel then maps the file once more instead.
    fn forgets_files(&self) -> bool {
        false
    }
    /// Passes other advice (`madvise(2)` value) on to the host where it has such a thing.
    /// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` are `ENOMEM` if something of the range is not
    /// mapped; only then, on a host that knows them.
    fn advise(&self, addr: u64, len: u64, advice: i32) -> HostResult<()>;
    /// Moves `old_len` bytes of mappings to `new`, `new_len` long; the contents go along.
    fn relocate(&self, old: u64, old_len: u64, new: u64, new_len: u64) -> HostResult<()>;
    /// Writes a shared file mapping back, `msync(2)`.
    fn sync(&self, addr: u64, len: u64, flags: i32) -> HostResult<()>;
    /// Removes every guest mapping of this process.
    fn reset(&self) -> HostResult<()>;
    /// Makes the instructions at the range visible to execution after a change (no-op on x86).
    fn code_changed(&self, _addr: u64, _len: u64) {}

    /// Copies from guest memory; on a fault the first bytes of `dst` may have been written.
    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault>;
    /// Copies to guest memory; on a fault the first bytes may have been written.
    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault>;
    /// Copies to guest memory and says how many bytes arrived before a fault.
    fn copy_out_partial(&self, dst: u64, src: &[u8]) -> usize;
    /// Copies from guest memory and says how many bytes arrived before a fault.
    fn copy_in_partial(&self, src: u64, dst: &mut [u8]) -> usize;
    /// Zeroes guest memory.
    fn zero(&self, dst: u64, len: u64) -> Result<(), Fault>;
    /// Copies up to and without the first NUL byte; the length, or `None` if `dst` is full before.
    fn copy_in_str(&self, src: u64, dst: &mut [u8]) -> Result<Option<usize>, Fault>;
    /// Loads an aligned 32-bit word atomically.
    fn load_u32(&self, addr: u64) -> Result<u32, Fault>;
    /// Compares and exchanges an aligned 32-bit word; the value found before.
    fn compare_exchange_u32(&self, addr: u64, current: u32, new: u32) -> Result<u32, Fault>;
    /// Copies from a page block (at `offset` in it) to guest memory; bytes copied before a fault.
    fn copy_pages_out(
        &self,
        dst: u64,
        block: &super::PageBlock,
        offset: usize,
        len: usize,
    ) -> usize;
    /// Copies from guest memory to a page block; bytes copied before a fault.
    fn copy_pages_in(&self, block: &super::PageBlock, offset: usize, src: u64, len: usize)
    -> usize;
}
