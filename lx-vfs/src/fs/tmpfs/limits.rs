//! How much a tmpfs may hold, and how much of it is in use.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::host::PageBlock;

use super::PAGE;

/// Something that is used up to a limit, if there is one.
#[derive(Debug)]
pub(super) struct Quota {
    /// `u64::MAX` if memory is the only limit.
    limit: u64,
    used: AtomicU64,
}

impl Quota {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.unwrap_or(u64::MAX), used: AtomicU64::new(0) }
    }

    pub(super) fn limit(&self) -> Option<u64> {
        (self.limit != u64::MAX).then_some(self.limit)
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// `ENOSPC` beyond the limit.
    pub(super) fn take(&self, count: u64) -> Result<()> {
        let take = |used: u64| used.checked_add(count).filter(|&sum| sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| Errno::ENOSPC.into())
    }

    /// Takes what cannot be refused.
    pub(super) fn take_anyway(&self, count: u64) {
        self.used.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}

/// The pages that one file uses: those that were written, or allocated, or whose block somebody
/// has mapped.
pub(super) struct PagesInUse {
    count: AtomicU64,
    /// Of the file system, if its pages are limited.
    quota: Option<Arc<Quota>>,
}

impl PagesInUse {
    pub(super) fn new(quota: Option<Arc<Quota>>) -> Self {
        Self { count: AtomicU64::new(0), quota }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What the file system has left.
    pub(super) fn free(&self) -> u64 {
        self.quota.as_ref().map_or(u64::MAX, |quota| quota.free())
    }

    /// Whether the file system may run out of pages while there is memory.
    pub(super) fn are_limited(&self) -> bool {
        self.quota.is_some()
    }

    /// Within one page, a range of a block is about to be in use.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(super) fn fill(&self, block: &PageBlock, offset: usize, len: usize) -> Result<()> {
        let added = block.note_filled(offset, len);
        if added == 0 {
            return Ok(());
        }
        if let Some(quota) = &self.quota
            && let Err(error) = quota.take(added.into())
        {
            block.note_emptied(offset.saturating_sub(offset % PAGE as usize), PAGE as usize);
            return Err(error);
        }
        self.count.fetch_add(added.into(), Ordering::Relaxed);
        Ok(())
    }

    /// A range of a block is in use, whatever the limit.
    pub(super) fn filled(&self, block: &PageBlock, offset: usize, len: usize) {
        let added = block.note_filled(offset, len).into();
        if added > 0 {
            self.count.fetch_add(added, Ordering::Relaxed);
            if let Some(quota) = &self.quota {
                quota.take_anyway(added);
            }
        }
    }

    /// The pages within a range of a block are not in use any more.
    pub(super) fn emptied(&self, block: &PageBlock, offset: usize, len: usize) {
        self.give_back(block.note_emptied(offset, len).into());
    }

    /// The one page of small contents is about to be in use.
    pub(super) fn fill_first(&self) -> Result<()> {
        if let Some(quota) = &self.quota {
            quota.take(1)?;
        }
        self.count.store(1, Ordering::Relaxed);
        Ok(())
    }

    /// No page is in use any more.
    pub(super) fn clear(&self) {
        self.give_back(self.count());
    }

    fn give_back(&self, count: u64) {
        self.count.fetch_sub(count, Ordering::Relaxed);
        if let Some(quota) = &self.quota {
            quota.give_back(count);
        }
    }
}

impl Drop for PagesInUse {
    fn drop(&mut self) {
        self.clear();
    }
}
