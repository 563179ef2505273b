//! Blocks of the kernel's shared region for file contents.

use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};

/// Size of a [`PageBlock`] in bytes (NT maps views in units of this size).
pub const BLOCK_SIZE: usize = 65536;

/// Size of one of the pages whose use a block notes.
const PAGE: usize = 4096;

/// A zeroed block of [`BLOCK_SIZE`] bytes in the shared region: page cache, pipe buffers, shared
/// anonymous memory. Guests may have it mapped, so its contents can change at any time; it is
/// only ever copied, never borrowed as a slice.
pub struct PageBlock {
    address: u64,
    host: &'static dyn HostPages,
    /// The pages that the owner has filled, as a bit set.
    filled: AtomicU16,
}

impl PageBlock {
    /// Wraps a block that `host` has just allocated; for implementations of [`HostPages`] only.
    pub fn from_raw(address: u64, host: &'static dyn HostPages) -> Self {
        Self { address, host, filled: AtomicU16::new(0) }
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

    /// Notes that the owner has filled a range, for [`is_filled`](Self::is_filled). Returns how
    /// many pages this adds.
    pub fn note_filled(&self, offset: usize, len: usize) -> u32 {
        let pages = page_bits(offset / PAGE, offset.saturating_add(len).div_ceil(PAGE));
        // Most writes go to pages that are in use already.
        if self.filled.load(Ordering::Relaxed) & pages == pages {
            return 0;
        }
        (pages & !self.filled.fetch_or(pages, Ordering::Relaxed)).count_ones()
    }

    /// Notes that the pages which lie within a range are empty. Returns how many were not before.
    pub fn note_emptied(&self, offset: usize, len: usize) -> u32 {
        let pages = page_bits(offset.div_ceil(PAGE), offset.saturating_add(len) / PAGE);
        (pages & self.filled.fetch_and(!pages, Ordering::Relaxed)).count_ones()
    }

    /// Whether the page at `offset` is in use.
    pub fn is_filled(&self, offset: usize) -> bool {
        let page = offset / PAGE;
        self.filled.load(Ordering::Relaxed) & page_bits(page, page.saturating_add(1)) != 0
    }

    /// Zeroes a part.
    pub fn zero(&self, offset: usize, len: usize) {
        let len = len.min(BLOCK_SIZE.saturating_sub(offset));
        self.host.block_zero(self, offset, len);
    }
}

/// The bits of a range of pages.
fn page_bits(from: usize, to: usize) -> u16 {
    let below = |page: usize| match 1_u16.checked_shl(page.try_into().unwrap_or(u32::MAX)) {
        Some(bit) => bit.wrapping_sub(1),
        None => u16::MAX,
    };
    below(to) & !below(from)
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

const _: () = assert!(BLOCK_SIZE / PAGE == u16::BITS as usize);

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

#[cfg(test)]
mod tests {
    use super::page_bits;

    #[test]
    fn a_range_of_pages_is_a_range_of_bits() {
        assert_eq!(page_bits(0, 0), 0);
        assert_eq!(page_bits(0, 1), 1);
        assert_eq!(page_bits(1, 4), 0b1110);
        assert_eq!(page_bits(15, 16), 0x8000);
        assert_eq!(page_bits(0, 16), u16::MAX);
        assert_eq!(page_bits(0, 17), u16::MAX);
        assert_eq!(page_bits(3, 2), 0);
    }
}
