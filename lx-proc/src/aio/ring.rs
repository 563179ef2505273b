//! The ring of completions that a context shares with its guest.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::aio::{AioRing, IoEvent};
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::caller::Caller;
use lx_core::file::MapSource;
use lx_core::host::{BLOCK_SIZE, PageBlock};
use lx_vfs::memfd;
use zerocopy::{FromBytes, IntoBytes};

use crate::mm::PageMapping;

const HEADER: usize = size_of::<AioRing>();
const SLOT: usize = size_of::<IoEvent>();
const HEAD: usize = core::mem::offset_of!(AioRing, head);
const TAIL: usize = core::mem::offset_of!(AioRing, tail);

// No slot lies in two blocks, and each word is copied as one.
const _: () = assert!(BLOCK_SIZE.is_multiple_of(SLOT) && HEADER.is_multiple_of(SLOT));

/// The memory of a ring. Whatever the guest stores there, reading it gives a number in range.
pub(super) struct Ring {
    /// The file's one mapping: that of the guest.
    mapping: Arc<PageMapping>,
    blocks: Vec<Arc<PageBlock>>,
    slots: u32,
}

impl Ring {
    /// A ring with room for `events` completions; it has as many slots as fit into its pages.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(super) fn new(caller: &Caller<'_>, events: u32) -> Result<Self> {
        // One slot is always empty, and Linux adds one for good measure.
        let bytes = (events as usize).saturating_add(2).saturating_mul(SLOT).saturating_add(HEADER);
        let len = (bytes as u64).next_multiple_of(PAGE_SIZE);
        let slots = (len as usize).saturating_sub(HEADER) / SLOT;
        let file = memfd::ring(caller)?;
        file.ops().truncate(caller, &file, len)?;
        let MapSource::Pages(source) = file.ops().map_source(caller, &file, true)? else {
            return Err(Errno::ENOMEM.into());
        };
        let count = len.div_ceil(BLOCK_SIZE as u64);
        let blocks: Result<Vec<_>> = (0..count).map(|index| source.block(index)).collect();
        let blocks = blocks.map_err(|_| Errno::ENOMEM)?;
        let mapping = PageMapping::of_file(source, file, false);
        Ok(Self { mapping, blocks, slots: u32::try_from(slots).map_err(|_| Errno::ENOMEM)? })
    }

    /// Fills the header in.
    pub(super) fn start(&self, id: u32) {
        let header = AioRing {
            id,
            nr: self.slots,
            head: 0,
            tail: 0,
            magic: AioRing::MAGIC,
            compat_features: AioRing::COMPAT_FEATURES,
            incompat_features: 0,
            header_length: HEADER as u32,
        };
        self.write(0, header.as_bytes());
    }

    pub(super) fn mapping(&self) -> &Arc<PageMapping> {
        &self.mapping
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// The slot after this one.
    pub(super) fn next(&self, slot: u32) -> u32 {
        let next = slot.saturating_add(1);
        if next >= self.slots { 0 } else { next }
    }

    /// Where the reader is.
    pub(super) fn head(&self) -> u32 {
        let mut word = [0; 4];
        self.read(HEAD, &mut word);
        u32::from_ne_bytes(word).checked_rem(self.slots).unwrap_or(0)
    }

    pub(super) fn set_head(&self, slot: u32) {
        self.write(HEAD, &slot.to_ne_bytes());
    }

    pub(super) fn set_tail(&self, slot: u32) {
        self.write(TAIL, &slot.to_ne_bytes());
    }

    /// Completions between two slots.
    pub(super) fn distance(&self, head: u32, tail: u32) -> u32 {
        if tail >= head {
            tail - head
        } else {
            self.slots.saturating_sub(head).saturating_add(tail)
        }
    }

    pub(super) fn event(&self, slot: u32) -> IoEvent {
        let mut bytes = [0; SLOT];
        self.read(place(slot), &mut bytes);
        IoEvent::read_from_bytes(&bytes).unwrap_or_default()
    }

    pub(super) fn set_event(&self, slot: u32, event: &IoEvent) {
        self.write(place(slot), event.as_bytes());
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        if let Some(block) = self.blocks.get(offset / BLOCK_SIZE) {
            block.read(offset % BLOCK_SIZE, bytes);
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(block) = self.blocks.get(offset / BLOCK_SIZE) {
            block.write(offset % BLOCK_SIZE, bytes);
        }
    }
}

/// Offset of a slot in the memory.
fn place(slot: u32) -> usize {
    HEADER.saturating_add((slot as usize).saturating_mul(SLOT))
}
