//! Contents of a tmpfs file.

mod allocate;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::file::Shortened;
use lx_core::host::{BLOCK_SIZE, Host, PageBlock};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::sync::{Mutex, MutexGuard, level};
use spin::Once;

use super::blocks::Blocks;
use super::limits::{PagesInUse, Quota};

/// Longest contents that are kept in a buffer of their own.
const SMALL_MAX: usize = 4096;
/// The first blocks of a file can be reached without a lock.
const FIRST_BLOCKS: usize = 4;
const BLOCK: u64 = BLOCK_SIZE as u64;
/// Largest size of a file.
pub(super) const MAX_SIZE: u64 = i64::MAX as u64;

enum Contents {
    /// Less than a page. Without a byte, no page is in use; past the file's size there may be
    /// zeros.
    Small(Vec<u8>),
    Blocks(Blocks),
}

/// What a read finds at an offset.
enum Found {
    /// Small contents, which were copied.
    Bytes,
    Block(Arc<PageBlock>),
    Hole,
}

/// Contents and length of a file.
///
/// Writers exclude each other for the whole of a write ([`FileData::lock_for_writing`]), so that
/// appends do not mix; readers look blocks up under the inner lock and copy without it.
///
/// The first few blocks stay with the file once they are made: where the contents have a hole,
/// they are zeroed. That is why they can be read without a lock.
pub(super) struct FileData {
    contents: Mutex<Contents, { level::INODE_DATA }>,
    writing: Mutex<(), { level::INODE }>,
    size: AtomicU64,
    shortened: Shortened,
    first: [Once<Arc<PageBlock>>; FIRST_BLOCKS],
    /// Which of the first blocks are in use and not holes, as a bit set.
    present: AtomicU8,
    /// There are no blocks because the contents are small.
    is_small: AtomicBool,
    pages: PagesInUse,
}

/// Proof that the caller is the one writer.
pub(super) struct WriteGuard<'a> {
    data: &'a FileData,
    _writing: MutexGuard<'a, (), { level::INODE }>,
}

impl FileData {
    /// Empty contents, whose pages `quota` counts.
    pub(super) fn new(quota: Option<Arc<Quota>>) -> Self {
        Self {
            contents: Mutex::new(Contents::Small(Vec::new())),
            writing: Mutex::new(()),
            size: AtomicU64::new(0),
            shortened: Shortened::default(),
            first: [const { Once::new() }; FIRST_BLOCKS],
            present: AtomicU8::new(0),
            is_small: AtomicBool::new(true),
            pages: PagesInUse::new(quota),
        }
    }

    /// One of the first blocks, if it was ever made.
    fn first(&self, index: u64) -> Option<&Arc<PageBlock>> {
        self.first.get(usize::try_from(index).ok()?)?.get()
    }

    /// To be called with the contents locked, whenever blocks came or went.
    fn note_blocks(&self, contents: &Contents) {
        let (is_small, present) = match contents {
            Contents::Small(_) => (true, 0),
            Contents::Blocks(blocks) => {
                let first = (0..FIRST_BLOCKS).filter(|&index| blocks.get(index as u64).is_some());
                (false, first.map(|index| 1 << index).sum())
            }
        };
        self.is_small.store(is_small, Ordering::Relaxed);
        self.present.store(present, Ordering::Relaxed);
    }

    /// One of the first blocks, if it is in use. Only a writer may rely on that it stays so.
    fn present(&self, index: u64) -> Option<&Arc<PageBlock>> {
        let block = self.first(index)?;
        (self.present.load(Ordering::Relaxed) >> index & 1 != 0).then_some(block)
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// When it lost pages last.
    pub(super) fn shortened(&self) -> u64 {
        self.shortened.latest()
    }

    /// 512-byte units in use.
    pub(super) fn used(&self) -> u64 {
        self.pages.count().saturating_mul(super::PAGE / 512)
    }

    /// What lies at `offset`, for `len` bytes at most, all within the file.
    fn find(&self, offset: u64, len: usize, copy: &mut ArrayVec<u8, SMALL_MAX>) -> Found {
        match &*self.contents.lock() {
            Contents::Small(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(start..).unwrap_or_default();
                let part = rest.get(..len.min(rest.len())).unwrap_or_default();
                match copy.try_extend_from_slice(part) {
                    Ok(()) if !part.is_empty() => Found::Bytes,
                    _ => Found::Hole,
                }
            }
            Contents::Blocks(blocks) => match blocks.get(offset / BLOCK) {
                Some(block) => Found::Block(Arc::clone(block)),
                None => Found::Hole,
            },
        }
    }

    pub(super) fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> Result<usize> {
        let mut offset = offset;
        let mut total = 0_usize;
        loop {
            let left = self.size().saturating_sub(offset);
            let inside = (offset % BLOCK) as usize;
            let room = dst.remaining().min(BLOCK_SIZE.saturating_sub(inside));
            let len = room.min(usize::try_from(left).unwrap_or(usize::MAX));
            if len == 0 {
                return Ok(total);
            }
            let stored = match self.first(offset / BLOCK) {
                Some(block) => dst.put_block(block, inside, len),
                None => self.read_part(offset, len, dst),
            };
            match stored {
                Ok(count) => {
                    total = total.saturating_add(count);
                    offset = offset.saturating_add(count as u64);
                    if count == 0 || dst.remaining() == 0 {
                        return Ok(total);
                    }
                }
                Err(error) => return partial(total, error),
            }
        }
    }

    /// Reads within one block, or from small contents. Not in line, because of its large buffer.
    #[inline(never)]
    fn read_part(&self, offset: u64, len: usize, dst: &mut IoDst<'_>) -> Result<usize> {
        let mut copy = ArrayVec::new();
        match self.find(offset, len, &mut copy) {
            Found::Bytes => dst.put(&copy),
            Found::Block(block) => dst.put_block(&block, (offset % BLOCK) as usize, len),
            Found::Hole => dst.put_zeros(len),
        }
    }

    /// The block with index `index`, made if it is missing.
    pub(super) fn block(&self, host: &dyn Host, index: u64) -> Result<Arc<PageBlock>> {
        if let Contents::Blocks(blocks) = &*self.contents.lock()
            && let Some(block) = blocks.get(index)
        {
            return Ok(Arc::clone(block));
        }
        self.use_blocks(host)?;
        // Made without the lock; somebody else may be faster.
        let block = self.make_block(host, index)?;
        let mut contents = self.contents.lock();
        let Contents::Blocks(blocks) = &mut *contents else { return Err(Errno::EIO.into()) };
        if let Some(existing) = blocks.get(index) {
            return Ok(Arc::clone(existing));
        }
        blocks.insert(index, Arc::clone(&block));
        self.note_blocks(&contents);
        Ok(block)
    }

    /// As [`block`](Self::block), for a mapping: what is stored through it cannot be seen, so that
    /// all of the block that lies in the file counts as in use.
    pub(super) fn mapped_block(&self, host: &dyn Host, index: u64) -> Result<Arc<PageBlock>> {
        let block = self.block(host, index)?;
        let len = self.size().saturating_sub(index.saturating_mul(BLOCK)).min(BLOCK);
        if self.pages.free() == 0 && !block.is_filled(0) {
            return Err(Errno::ENOSPC.into());
        }
        self.pages.filled(&block, 0, len as usize);
        Ok(block)
    }

    /// A zeroed block for `index`.
    fn make_block(&self, host: &dyn Host, index: u64) -> Result<Arc<PageBlock>> {
        if let Some(block) = self.first(index) {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(host.alloc_block().ok_or(Errno::ENOSPC)?);
        let first = usize::try_from(index).ok().and_then(|index| self.first.get(index));
        Ok(match first {
            Some(first) => Arc::clone(first.call_once(|| block)),
            None => block,
        })
    }

    /// Makes small contents at least `len` long.
    fn grow_small(&self, small: &mut Vec<u8>, len: usize) -> Result<()> {
        if small.len() < len {
            small.try_reserve(len.saturating_sub(small.len())).map_err(|_| Errno::ENOSPC)?;
            if small.is_empty() {
                self.pages.fill_first()?;
            }
            small.resize(len, 0);
        }
        Ok(())
    }

    /// Moves the contents to page blocks, because they grow or somebody maps them.
    pub(super) fn use_blocks(&self, host: &dyn Host) -> Result<()> {
        if matches!(&*self.contents.lock(), Contents::Blocks(_)) {
            return Ok(());
        }
        let block = Arc::new(host.alloc_block().ok_or(Errno::ENOSPC)?);
        let mut contents = self.contents.lock();
        if let Contents::Small(bytes) = &*contents {
            let mut blocks = Blocks::default();
            block.write(0, bytes);
            // Its page, if there is one, was counted before.
            block.note_filled(0, bytes.len());
            // Filled before others can see it.
            let block = match &self.first {
                [first, ..] => Arc::clone(first.call_once(|| block)),
            };
            blocks.insert(0, block);
            *contents = Contents::Blocks(blocks);
            self.note_blocks(&contents);
        }
        Ok(())
    }

    pub(super) fn lock_for_writing(&self) -> WriteGuard<'_> {
        WriteGuard { data: self, _writing: self.writing.lock() }
    }

    /// `SEEK_DATA` (`data`) and `SEEK_HOLE`: the next position at or after `offset`.
    pub(super) fn seek_data(&self, offset: u64, data: bool) -> Result<u64> {
        let size = self.size();
        if offset >= size {
            return Err(Errno::ENXIO.into());
        }
        let contents = self.contents.lock();
        let blocks = match &*contents {
            Contents::Small(bytes) => {
                let found = if bytes.is_empty() == data { size } else { offset };
                return if data && found == size { Err(Errno::ENXIO.into()) } else { Ok(found) };
            }
            Contents::Blocks(blocks) => blocks,
        };
        let mut at = offset;
        while at < size {
            let index = at / BLOCK;
            let block = blocks.get(index);
            let filled = block.is_some_and(|block| block.is_filled((at % BLOCK) as usize));
            if filled == data {
                return Ok(at);
            }
            at = match block {
                Some(_) => next_multiple(at, super::PAGE),
                None => blocks.from(index).next().map_or(size, |index| index.saturating_mul(BLOCK)),
            };
        }
        if data { Err(Errno::ENXIO.into()) } else { Ok(size) }
    }
}

/// The first multiple of `unit` behind `offset`.
fn next_multiple(offset: u64, unit: u64) -> u64 {
    offset.saturating_add(1).checked_next_multiple_of(unit).unwrap_or(u64::MAX)
}

impl WriteGuard<'_> {
    pub(super) fn size(&self) -> u64 {
        self.data.size()
    }

    /// Writes `src` at `offset`, as far as memory and `limit` (a size) allow.
    pub(super) fn write(
        &self,
        host: &dyn Host,
        offset: u64,
        limit: u64,
        src: &mut IoSrc<'_>,
    ) -> Result<usize> {
        let mut offset = offset;
        let mut total = 0_usize;
        while src.remaining() > 0 {
            let room = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
            let len = src.remaining().min(room);
            let part = match self.write_part(host, offset, len, src) {
                Ok(0) => return Ok(total),
                Ok(count) => count,
                Err(error) => return partial(total, error),
            };
            total = total.saturating_add(part);
            offset = offset.saturating_add(part as u64);
            self.data.size.fetch_max(offset, Ordering::AcqRel);
        }
        Ok(total)
    }

    fn write_part(
        &self,
        host: &dyn Host,
        offset: u64,
        len: usize,
        src: &mut IoSrc<'_>,
    ) -> Result<usize> {
        let end = offset.saturating_add(len as u64);
        if end <= SMALL_MAX as u64 && self.data.is_small.load(Ordering::Relaxed) {
            let mut buffer = [0_u8; SMALL_MAX];
            let Some(buffer) = buffer.get_mut(..len) else { return Ok(0) };
            let count = src.take(buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if !self.write_small(offset as usize, bytes)? {
                // Somebody mapped the file meanwhile.
                let block = self.data.block(host, 0)?;
                self.data.pages.fill(&block, offset as usize, count)?;
                block.write(offset as usize, bytes);
            }
            return Ok(count);
        }
        let (index, inside) = (offset / BLOCK, (offset % BLOCK) as usize);
        let made;
        let block = match self.data.present(index) {
            Some(block) => block,
            None => {
                made = self.data.block(host, index)?;
                &made
            }
        };
        let pages = &self.data.pages;
        if pages.are_limited() {
            // Page by page, as not all of them may find room.
            const PAGE: usize = super::PAGE as usize;
            let len = len.min(PAGE.saturating_sub(inside % PAGE));
            pages.fill(block, inside, len)?;
            return src.take_block(block, inside, len);
        }
        let count = src.take_block(block, inside, len)?;
        pages.filled(block, inside, count);
        Ok(count)
    }

    fn write_small(&self, offset: usize, bytes: &[u8]) -> Result<bool> {
        let mut contents = self.data.contents.lock();
        let Contents::Small(small) = &mut *contents else { return Ok(false) };
        let end = offset.saturating_add(bytes.len());
        self.data.grow_small(small, end)?;
        if let Some(place) = small.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        Ok(true)
    }

    pub(super) fn truncate(&self, host: &dyn Host, len: u64) -> Result<()> {
        let old = self.size();
        if len > old && len > SMALL_MAX as u64 {
            let mut contents = self.data.contents.lock();
            match &mut *contents {
                // A sparse file: nothing to move.
                Contents::Small(bytes) if bytes.is_empty() => {
                    *contents = Contents::Blocks(Blocks::default());
                    self.data.note_blocks(&contents);
                }
                _ => {
                    drop(contents);
                    self.data.use_blocks(host)?;
                }
            }
        }
        self.data.size.store(len, Ordering::Release);
        if len.div_ceil(PAGE_SIZE) < old.div_ceil(PAGE_SIZE) {
            self.data.shortened.note();
        }
        if len <= old {
            // To the end of what may be allocated behind the file too.
            self.zero_within(len, u64::MAX, old);
        }
        Ok(())
    }

    /// Makes a range read as zeros and frees what it can. Blocks that somebody else holds are
    /// zeroed instead, so that mappings stay coherent.
    pub(super) fn zero(&self, from: u64, to: u64) {
        self.zero_within(from, to, self.size());
    }

    /// As [`zero`](Self::zero), in a file that has been `size` long.
    fn zero_within(&self, from: u64, to: u64, size: u64) {
        // What lies behind the last page was never written.
        let used = size.checked_next_multiple_of(super::PAGE).unwrap_or(u64::MAX);
        let mut kept: Vec<(Arc<PageBlock>, usize, usize)> = Vec::new();
        let mut dropped = Vec::new();
        let mut contents = self.data.contents.lock();
        match &mut *contents {
            Contents::Small(bytes) => {
                if from == 0 && to >= super::PAGE {
                    *bytes = Vec::new();
                    self.data.pages.clear();
                }
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                let end = usize::try_from(to).unwrap_or(usize::MAX).min(bytes.len());
                if let Some(range) = bytes.get_mut(start..end) {
                    range.fill(0);
                }
            }
            Contents::Blocks(blocks) => {
                let last = to.div_ceil(BLOCK);
                let indices: Vec<u64> =
                    blocks.from(from / BLOCK).take_while(|&index| index < last).collect();
                for index in indices {
                    let base = index.saturating_mul(BLOCK);
                    let start = from.saturating_sub(base).min(BLOCK);
                    let end = to.saturating_sub(base).min(BLOCK);
                    let whole = start == 0 && end == BLOCK;
                    let Some(block) = blocks.get(index) else { continue };
                    let range = end.saturating_sub(start) as usize;
                    self.data.pages.emptied(block, start as usize, range);
                    let is_first = self.data.first(index).is_some();
                    if !whole || is_first || Arc::strong_count(block) > 1 {
                        let end = end.min(used.saturating_sub(base));
                        let len = end.saturating_sub(start) as usize;
                        kept.push((Arc::clone(block), start as usize, len));
                    }
                    if whole && (is_first || Arc::strong_count(block) == 1) {
                        dropped.extend(blocks.remove(index));
                    }
                }
            }
        }
        self.data.note_blocks(&contents);
        drop(contents);
        for (block, start, len) in kept {
            block.zero(start, len);
        }
        drop(dropped);
    }
}
