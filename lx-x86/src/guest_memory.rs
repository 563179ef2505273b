//! Guest memory, as the kernel gets at it on the thread of a task.

use lx_core::host::{Fault, PageBlock};

use crate::thread_block::ThreadBlock;
use crate::user_copy;

/// The memory of the process whose task is on a thread block: all addresses below `end`. What is
/// missing there the task brings in, as it does for the guest itself.
///
/// Other addresses are a [`Fault`], or are not copied.
#[derive(Clone, Copy)]
pub struct GuestMemory<'a> {
    block: &'a ThreadBlock,
    end: u64,
}

impl<'a> GuestMemory<'a> {
    /// The memory below `end` of the task on `block`, which is the calling thread's own.
    #[inline(always)]
    #[must_use]
    pub fn new(block: &'a ThreadBlock, end: u64) -> Self {
        Self { block, end }
    }

    /// Whether the kernel may try to access these addresses for the guest.
    #[inline(always)]
    fn holds(&self, addr: u64, len: usize) -> bool {
        addr.checked_add(len as u64).is_some_and(|end| end <= self.end)
    }

    /// Copies out, and says how many bytes arrived before a fault.
    #[inline(always)]
    #[must_use]
    pub fn copy_out(&self, dst: u64, src: &[u8]) -> usize {
        if !self.holds(dst, src.len()) {
            return 0;
        }
        self.block.access(dst, src.len(), true, |done| {
            let rest = src.get(done..).unwrap_or_default();
            // SAFETY: one side is a slice, the other the guest's.
            unsafe { user_copy::copy(dst + done as u64, rest.as_ptr() as u64, rest.len()) }
        })
    }

    /// Copies in, and says how many bytes arrived before a fault.
    #[inline(always)]
    #[must_use]
    pub fn copy_in(&self, src: u64, dst: &mut [u8]) -> usize {
        if !self.holds(src, dst.len()) {
            return 0;
        }
        let (to, len) = (dst.as_mut_ptr() as u64, dst.len());
        self.block.access(src, len, false, |done| {
            let at = done as u64;
            // SAFETY: one side is the rest of a slice, the other the guest's.
            unsafe { user_copy::copy(to + at, src + at, len - done) }
        })
    }

    /// Zeroes a range.
    ///
    /// # Errors
    /// [`Fault`]: the first bytes may have been zeroed.
    #[inline(always)]
    pub fn zero(&self, dst: u64, len: u64) -> Result<(), Fault> {
        let len = usize::try_from(len).map_err(|_| Fault)?;
        if !self.holds(dst, len) {
            return Err(Fault);
        }
        let done = self.block.access(dst, len, true, |done| {
            // SAFETY: the memory is the guest's.
            unsafe { user_copy::zero(dst + done as u64, len - done) }
        });
        if done == len { Ok(()) } else { Err(Fault) }
    }

    /// Copies a string in up to its NUL: its length, or `None` if `dst` is too short for it.
    ///
    /// # Errors
    /// [`Fault`] before the end of the string.
    pub fn copy_in_str(&self, src: u64, dst: &mut [u8]) -> Result<Option<usize>, Fault> {
        let room = self.end.checked_sub(src).ok_or(Fault)?;
        let len = dst.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let all = len == dst.len();
        let dst = dst.get_mut(..len).ok_or(Fault)?;
        // SAFETY: reading stops before the end of the guest's addresses.
        let mut found = unsafe { user_copy::copy_str(dst, src) };
        if found.is_err() && self.copy_in(src, dst) == len {
            // SAFETY: as above.
            found = unsafe { user_copy::copy_str(dst, src) };
        }
        match found {
            Ok(None) if !all => Err(Fault),
            found => found,
        }
    }

    /// Loads a word.
    ///
    /// # Errors
    /// [`Fault`].
    #[inline(always)]
    pub fn load_u32(&self, addr: u64) -> Result<u32, Fault> {
        if !self.holds(addr, 4) {
            return Err(Fault);
        }
        // SAFETY: the memory is the guest's.
        let load = || unsafe { user_copy::load_u32(addr) };
        let found = load();
        let again = found.is_none() && self.block.user_fault(addr, false);
        if again { load() } else { found }.ok_or(Fault)
    }

    /// Stores `new` if the word is `current`, and says what it was.
    ///
    /// # Errors
    /// [`Fault`].
    #[inline(always)]
    pub fn compare_exchange_u32(&self, addr: u64, current: u32, new: u32) -> Result<u32, Fault> {
        if !self.holds(addr, 4) {
            return Err(Fault);
        }
        // SAFETY: the memory is the guest's.
        let exchange = || unsafe { user_copy::compare_exchange_u32(addr, current, new) };
        let found = exchange();
        let again = found.is_none() && self.block.user_fault(addr, true);
        if again { exchange() } else { found }.ok_or(Fault)
    }

    /// Copies a part of a page block out, and says how many bytes arrived before a fault.
    #[inline(always)]
    #[must_use]
    pub fn copy_pages_out(&self, dst: u64, block: &PageBlock, offset: usize, len: usize) -> usize {
        if !self.holds(dst, len) {
            return 0;
        }
        let from = block.address().wrapping_add(offset as u64);
        self.block.access(dst, len, true, |done| {
            let at = done as u64;
            // SAFETY: the block is region memory that is only ever copied; the other side is the
            // guest's.
            unsafe { user_copy::copy(dst + at, from + at, len - done) }
        })
    }

    /// Copies into a part of a page block, and says how many bytes arrived before a fault.
    #[inline(always)]
    #[must_use]
    pub fn copy_pages_in(&self, block: &PageBlock, offset: usize, src: u64, len: usize) -> usize {
        if !self.holds(src, len) {
            return 0;
        }
        let to = block.address().wrapping_add(offset as u64);
        self.block.access(src, len, false, |done| {
            let at = done as u64;
            // SAFETY: as above.
            unsafe { user_copy::copy(to + at, src + at, len - done) }
        })
    }
}
