//! Pages that are made before something is written to them.

use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::host::Host;

use super::super::PAGE;
use super::{BLOCK, Contents, FileData, SMALL_MAX, WriteGuard};

impl WriteGuard<'_> {
    /// `fallocate(2)`: makes the blocks of a range, and the file long enough unless `keep_size`.
    pub(in crate::fs::tmpfs) fn allocate(
        &self,
        host: &dyn Host,
        from: u64,
        to: u64,
        keep_size: bool,
    ) -> Result<()> {
        let (used, total) = host.region_usage();
        if to.saturating_sub(from) > total.saturating_sub(used) {
            return Err(Errno::ENOSPC.into());
        }
        if self.data.pages.are_limited() && self.data.missing(from, to) > self.data.pages.free() {
            return Err(Errno::ENOSPC.into());
        }
        if !self.allocate_small(to)? {
            for index in from / BLOCK..to.div_ceil(BLOCK) {
                let base = index.saturating_mul(BLOCK);
                let start = from.saturating_sub(base);
                let len = to.saturating_sub(base).min(BLOCK).saturating_sub(start);
                let block = self.data.block(host, index)?;
                self.data.pages.filled(&block, start as usize, len as usize);
            }
        }
        if !keep_size {
            self.data.size.fetch_max(to, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Allocates the page of small contents; `false` if they have blocks, or need them.
    fn allocate_small(&self, to: u64) -> Result<bool> {
        match &mut *self.data.contents.lock() {
            Contents::Small(bytes) if to <= SMALL_MAX as u64 => {
                self.data.grow_small(bytes, to as usize)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl FileData {
    /// How many pages of a range are not in use, as far as that can be more than are free.
    fn missing(&self, from: u64, to: u64) -> u64 {
        let contents = self.contents.lock();
        let pages = from / PAGE..to.div_ceil(PAGE);
        if pages.end.saturating_sub(pages.start)
            > self.pages.free().saturating_add(self.pages.count())
        {
            return u64::MAX;
        }
        let in_use = |page: &u64| {
            let offset = page.saturating_mul(PAGE);
            match &*contents {
                Contents::Small(bytes) => *page == 0 && !bytes.is_empty(),
                Contents::Blocks(blocks) => blocks
                    .get(offset / BLOCK)
                    .is_some_and(|block| block.is_filled((offset % BLOCK) as usize)),
            }
        };
        pages.filter(|page| !in_use(page)).count() as u64
    }
}
