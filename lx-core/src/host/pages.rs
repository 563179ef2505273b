//! Blocks of the kernel's shared region for file contents.

use core::fmt;

/// Size of a [`PageBlock`] in bytes (NT maps views in units of this size).
pub const BLOCK_SIZE: usize = 65536;

/// A zeroed block of [`BLOCK_SIZE`] bytes in the shared region: page cache, pipe buffers, shared
/// anonymous memory. Guests may have it mapped, so its contents can change at any time; it is
/// only ever copied, never borrowed as a slice.
pub struct PageBlock {
    address: u64,
    host: &'static dyn HostPages,
}

impl PageBlock {
    /// Wraps a block that `host` has just allocated; for implementations of [`HostPages`] only.
    pub fn from_raw(address: u64, host: &'static dyn HostPages) -> Self {
        Self { address, host }
    }

    /// Address in the region: the same in every process.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Copies `dst.len()` bytes from `offset`; bytes past the block's end are left alone.
    pub fn read(&self, offset: usize, dst: &mut [u8]) {
        let len = dst.len().min(BLOCK_SIZE.saturating_sub(offset));
        if let Some(dst) = dst.get_mut(..len) {
            self.host.block_read(self, offset, dst);
        }
    }

    /// Copies `src` to `offset`; bytes past the block's end are dropped.
    pub fn write(&self, offset: usize, src: &[u8]) {
        let len = src.len().min(BLOCK_SIZE.saturating_sub(offset));
        if let Some(src) = src.get(..len) {
            self.host.block_write(self, offset, src);
        }
    }

    /// Zeroes a part.
    pub fn zero(&self, offset: usize, len: usize) {
        let len = len.min(BLOCK_SIZE.saturating_sub(offset));
        self.host.block_zero(self, offset, len);
    }
}

impl Drop for PageBlock {
    fn drop(&mut self) {
        self.host.free_block(self.address);
    }
}

impl fmt::Debug for PageBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageBlock({:#x})", self.address)
    }
}

/// Allocation of page blocks and access to them from the kernel.
///
/// `offset + len` never exceeds [`BLOCK_SIZE`] in the access methods.
pub trait HostPages: Send + Sync {
    /// A zeroed block, or `None` when the region is full.
    fn alloc_block(&self) -> Option<PageBlock>;
    /// Takes a block back; called by [`PageBlock`]'s `Drop`.
    fn free_block(&self, address: u64);
    /// Copies out of a block.
    fn block_read(&self, block: &PageBlock, offset: usize, dst: &mut [u8]);
    /// Copies into a block.
    fn block_write(&self, block: &PageBlock, offset: usize, src: &[u8]);
    /// Zeroes a part of a block.
    fn block_zero(&self, block: &PageBlock, offset: usize, len: usize);
    /// `(bytes in use, bytes the region can hold)`.
    fn region_usage(&self) -> (u64, u64);
}
