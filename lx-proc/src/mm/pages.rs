//! Mappings of page blocks: shared anonymous memory, files of the kernel.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_core::Result;
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::file::{OpenFile, PageSource};
use lx_core::host::{BLOCK_SIZE, Backing, Host, PageBlock, Prot};
use lx_core::sync::{Mutex, level};

use super::tree::page_up;

const BLOCK: u64 = BLOCK_SIZE as u64;
/// The longest piece of shared anonymous memory: its blocks are all allocated at once.
const MAX_SHARED: u64 = 8 << 30;

/// Mappings of files that there are.
static OF_FILES: AtomicUsize = AtomicUsize::new(0);

/// Blocks by their index in the file.
type Blocks = Mutex<BTreeMap<u64, Arc<PageBlock>>, { level::CACHE }>;

/// Shared anonymous memory: what processes see that inherit a `MAP_SHARED` mapping.
pub struct SharedMemory {
    host: &'static dyn Host,
    len: u64,
    blocks: Blocks,
}

impl SharedMemory {
    /// Zeroed memory.
    ///
    /// # Errors
    /// `ENOMEM` if it is too much.
    pub fn new(host: &'static dyn Host, len: u64) -> Result<Arc<Self>> {
        if len > MAX_SHARED {
            return Err(Errno::ENOMEM.into());
        }
        Ok(Arc::new(Self { host, len, blocks: Mutex::default() }))
    }

    /// Zeroes a part, `MADV_REMOVE`.
    pub(crate) fn zero(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let inside = at % BLOCK;
            let part = (BLOCK - inside).min(end - at);
            let block = self.blocks.lock().get(&(at / BLOCK)).cloned();
            if let Some(block) = block {
                block.zero(inside as usize, part as usize);
            }
            at = at.saturating_add(part);
        }
    }
}

impl PageSource for SharedMemory {
    fn block(&self, index: u64) -> Result<Arc<PageBlock>> {
        if let Some(block) = self.blocks.lock().get(&index) {
            return Ok(Arc::clone(block));
        }
        let new = Arc::new(self.host.alloc_block().ok_or(Errno::ENOMEM)?);
        // Another one may have been faster; then ours is dropped after the lock is free.
        let mut blocks = self.blocks.lock();
        let block = Arc::clone(blocks.entry(index).or_insert_with(|| Arc::clone(&new)));
        drop(blocks);
        Ok(block)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// What an address space has mapped of a file, or a piece of shared anonymous memory. It holds the
/// blocks, so that they stay as long as a guest has them mapped, even if the file gives them up.
pub struct PageMapping {
    source: Arc<dyn PageSource>,
    file: Option<Arc<OpenFile>>,
    /// Shared anonymous memory, if it is that.
    anonymous: Option<Arc<SharedMemory>>,
    held: Mutex<Held, { level::CACHE }>,
    /// The file counts it as one through which it may be changed.
    counted: bool,
}

#[derive(Default)]
struct Held {
    blocks: BTreeMap<u64, Arc<PageBlock>>,
    /// Blocks that the file has replaced (it was shortened and grew again).
    replaced: Vec<Arc<PageBlock>>,
}

impl PageMapping {
    /// A mapping of a file.
    pub(crate) fn of_file(
        source: Arc<dyn PageSource>,
        file: Arc<OpenFile>,
        counted: bool,
    ) -> Arc<Self> {
        OF_FILES.fetch_add(1, Ordering::SeqCst);
        Self::new(source, Some(file), None, counted)
    }

    /// Whether anybody has mapped a file of the kernel.
    pub(super) fn any_of_files() -> bool {
        OF_FILES.load(Ordering::SeqCst) > 0
    }

    /// A mapping of shared anonymous memory.
    pub(crate) fn of_memory(memory: Arc<SharedMemory>) -> Arc<Self> {
        Self::new(Arc::clone(&memory) as Arc<dyn PageSource>, None, Some(memory), false)
    }

    fn new(
        source: Arc<dyn PageSource>,
        file: Option<Arc<OpenFile>>,
        anonymous: Option<Arc<SharedMemory>>,
        counted: bool,
    ) -> Arc<Self> {
        Arc::new(Self { source, file, anonymous, held: Mutex::default(), counted })
    }

    /// The file.
    pub(crate) fn file(&self) -> Option<&Arc<OpenFile>> {
        self.file.as_ref()
    }

    /// Whether both are of one file and counted alike.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same_file = match (&self.file, &other.file) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_file && self.counted == other.counted
    }

    /// Bytes that there are to map.
    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    /// The shared anonymous memory.
    pub(crate) fn memory(&self) -> Option<&Arc<SharedMemory>> {
        self.anonymous.as_ref()
    }

    fn block(&self, index: u64) -> Result<Arc<PageBlock>> {
        let block = self.source.block(index)?;
        let mut held = self.held.lock();
        if let Some(old) = held.blocks.insert(index, Arc::clone(&block))
            && !Arc::ptr_eq(&old, &block)
        {
            held.replaced.push(old);
        }
        Ok(block)
    }

    /// Where the file's pages end.
    pub(crate) fn end(&self) -> u64 {
        page_up(self.source.len()).unwrap_or(!(PAGE_SIZE - 1))
    }

    /// Which event took pages from the file last; 0 if none did.
    pub(super) fn shortened(&self) -> u64 {
        self.source.shortened()
    }

    /// An address of the region that stands for the byte at `offset`: equal for everyone who maps
    /// it.
    pub(crate) fn region_address(&self, offset: u64) -> Result<u64> {
        Ok(self.block(offset / BLOCK)?.address().wrapping_add(offset % BLOCK))
    }

    /// Lets the host map `len` bytes from `offset` at `addr`. What lies behind the file's last page
    /// stays unmapped.
    pub(crate) fn map(
        &self,
        host: &dyn Host,
        addr: u64,
        len: u64,
        offset: u64,
        prot: Prot,
        shared: bool,
    ) -> Result<()> {
        let present = self.end().saturating_sub(offset).min(len);
        let mut done = 0;
        // Neighbouring blocks that are neighbours in the region too take one call together.
        let mut run: Option<(u64, u64, u64)> = None;
        while done < present {
            let at = offset.saturating_add(done);
            let inside = at % BLOCK;
            let part = (BLOCK - inside).min(present - done);
            let address = self.block(at / BLOCK)?.address().wrapping_add(inside);
            run = match run {
                Some((to, from, run_len)) if from.wrapping_add(run_len) == address => {
                    Some((to, from, run_len.saturating_add(part)))
                }
                other => {
                    if let Some((to, from, run_len)) = other {
                        host.map(to, run_len, prot, Backing::Pages { address: from, shared })?;
                    }
                    Some((addr.saturating_add(done), address, part))
                }
            };
            done = done.saturating_add(part);
        }
        if let Some((to, from, run_len)) = run {
            host.map(to, run_len, prot, Backing::Pages { address: from, shared })?;
        }
        if present < len {
            host.unmap(addr.saturating_add(present), len - present)?;
        }
        Ok(())
    }
}

impl Drop for PageMapping {
    fn drop(&mut self) {
        if self.file.is_some() {
            OF_FILES.fetch_sub(1, Ordering::SeqCst);
        }
        if self.counted {
            self.source.unmap_shared();
        }
    }
}
