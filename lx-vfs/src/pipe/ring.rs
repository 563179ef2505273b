//! The locked state of a pipe.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::host::{BLOCK_SIZE, PageBlock};

use super::packets::{Packets, Segment};
use super::{DEFAULT_CAPACITY, PIPE_BUF};

/// A block of the ring; goes back to the pool with its last reference.
pub(super) struct RingBlock(Option<PageBlock>);

impl RingBlock {
    pub(super) fn new(block: PageBlock) -> Self {
        Self(Some(block))
    }

    pub(super) fn get(&self) -> Option<&PageBlock> {
        self.0.as_ref()
    }
}

impl Drop for RingBlock {
    fn drop(&mut self) {
        if let Some(block) = self.0.take() {
            super::pool::give_back(block);
        }
    }
}

/// A contiguous part of one block.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) block: Arc<RingBlock>,
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// A ring of bytes, the counts of its users, and who sleeps.
pub(super) struct Ring {
    /// As many as the capacity needs; empty until the first write.
    blocks: Vec<Arc<RingBlock>>,
    capacity: usize,
    /// Position of the next byte to be read.
    tail: usize,
    /// Bytes in the blocks.
    len: usize,
    /// Bytes before those: readers have put them back when the ring had no room for them.
    returned: Vec<u8>,
    packets: Packets,
    pub(super) readers: u32,
    pub(super) writers: u32,
    /// How many ends were ever opened: FIFO opens wait for these to change.
    pub(super) readers_opened: u32,
    pub(super) writers_opened: u32,
    /// The oldest bytes are being copied out.
    pub(super) reading: bool,
    /// The free room is being filled.
    pub(super) writing: bool,
    /// Somebody sleeps because of `reading` or `writing`.
    pub(super) contended: bool,
    /// A reader sleeps until there are bytes.
    pub(super) reader_sleeps: bool,
    /// A writer sleeps until there is this much room.
    pub(super) room_wanted: usize,
    /// There may be pollers.
    pub(super) polled: bool,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            capacity: DEFAULT_CAPACITY,
            tail: 0,
            len: 0,
            returned: Vec::new(),
            packets: Packets::new(),
            readers: 0,
            writers: 0,
            readers_opened: 0,
            writers_opened: 0,
            reading: false,
            writing: false,
            contended: false,
            reader_sleeps: false,
            room_wanted: usize::MAX,
            polled: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.returned.len() + self.len
    }

    /// Whether the oldest bytes are not in the blocks.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// What counts against the capacity.
    pub(super) fn used(&self) -> usize {
        self.len() + self.packets.padding()
    }

    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.used())
    }

    /// Whether there are packets, which reads may not run together.
    #[inline(always)]
    pub(super) fn has_packets(&self) -> bool {
        !self.packets.is_empty()
    }

    /// The bytes of one kind that come `skip` bytes after the oldest.
    pub(super) fn at(&self, skip: usize) -> Segment {
        let all = Segment { len: self.len().saturating_sub(skip), is_packet: false };
        if self.has_packets() { self.packets.at(skip).unwrap_or(all) } else { all }
    }

    /// How much of `len` bytes of packets Linux would add to plain bytes before them.
    pub(super) fn merged(&self, len: usize) -> usize {
        self.packets.merged(self.len(), len)
    }

    /// Whether `poll(2)` says that the pipe can be written.
    pub(super) fn is_writable(&self) -> bool {
        self.room() >= PIPE_BUF
    }

    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// How many blocks a capacity needs.
    pub(super) fn blocks_for(capacity: usize) -> usize {
        capacity.div_ceil(BLOCK_SIZE)
    }

    /// Provides the memory for the present capacity.
    pub(super) fn set_blocks(&mut self, blocks: Vec<Arc<RingBlock>>) -> Vec<Arc<RingBlock>> {
        core::mem::replace(&mut self.blocks, blocks)
    }

    /// Changes the capacity of an idle ring; `blocks` suffice for it, and hold what was in the
    /// ring, from their start.
    pub(super) fn resize(
        &mut self,
        capacity: usize,
        blocks: Vec<Arc<RingBlock>>,
    ) -> Vec<Arc<RingBlock>> {
        self.capacity = capacity;
        self.tail = 0;
        self.len = self.len();
        self.returned = Vec::new();
        self.set_blocks(blocks)
    }

    /// Forgets the bytes and the capacity, when the last end of a FIFO is gone; its memory.
    pub(super) fn reset(&mut self) -> Vec<Arc<RingBlock>> {
        self.len = 0;
        self.returned = Vec::new();
        self.packets = Packets::new();
        self.resize(DEFAULT_CAPACITY, Vec::new())
    }

    fn wrap(&self, position: usize) -> usize {
        // The capacity is a power of two.
        position & (self.capacity - 1)
    }

    /// The place of up to `len` bytes from `position` on, as long as they are contiguous.
    fn contiguous(&self, position: usize, len: usize) -> Option<(&Arc<RingBlock>, usize, usize)> {
        let offset = position % BLOCK_SIZE;
        let end = BLOCK_SIZE.min(self.capacity);
        let block = self.blocks.get(position / BLOCK_SIZE)?;
        Some((block, offset, len.min(end - offset)))
    }

    fn piece(&self, position: usize, len: usize) -> Option<Piece> {
        let (block, offset, len) = self.contiguous(self.wrap(position), len)?;
        Some(Piece { block: Arc::clone(block), offset, len })
    }

    /// Where the bytes lie that come `skip` bytes after the oldest.
    pub(super) fn filled_piece(&self, skip: usize, len: usize) -> Option<Piece> {
        self.piece(self.tail + skip, len)
    }

    /// Where the room begins that comes `skip` bytes after the newest byte.
    pub(super) fn free_piece(&self, skip: usize, len: usize) -> Option<Piece> {
        self.piece(self.tail + self.len + skip, len)
    }

    /// Appends bytes for which there is room.
    #[inline(always)]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.has_packets() {
            self.packets.push_plain(bytes.len());
        }
        self.store(bytes);
    }

    /// Appends a packet, for which there is a page of room; `false` if there is no memory.
    pub(super) fn push_packet(&mut self, bytes: &[u8]) -> bool {
        let noted = self.packets.push(self.len(), bytes.len());
        if noted {
            self.store(bytes);
        }
        noted
    }

    #[inline(always)]
    fn store(&mut self, bytes: &[u8]) {
        match self.contiguous(self.wrap(self.tail + self.len), bytes.len()) {
            Some((block, offset, part)) if part == bytes.len() => {
                if let Some(block) = block.get() {
                    block.write(offset, bytes);
                }
                self.len += part;
            }
            _ => self.store_parts(bytes),
        }
    }

    #[inline(never)]
    fn store_parts(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let position = self.wrap(self.tail + self.len);
            let Some((block, offset, part)) = self.contiguous(position, bytes.len()) else {
                return;
            };
            let Some((head, rest)) = bytes.split_at_checked(part) else { return };
            if let Some(block) = block.get() {
                block.write(offset, head);
            }
            self.len += part;
            bytes = rest;
        }
    }

    /// Copies the oldest bytes without taking them.
    #[inline(always)]
    pub(super) fn peek(&self, skip: usize, dst: &mut [u8]) {
        match self.contiguous(self.wrap(self.tail + skip), dst.len()) {
            Some((block, offset, part)) if part == dst.len() && self.returned.is_empty() => {
                if let Some(block) = block.get() {
                    block.read(offset, dst);
                }
            }
            _ => self.peek_parts(skip, dst),
        }
    }

    #[inline(never)]
    fn peek_parts(&self, skip: usize, dst: &mut [u8]) {
        let returned = self.returned.get(skip..).unwrap_or_default();
        let mut done = returned.len().min(dst.len());
        if let (Some(dst), Some(bytes)) = (dst.get_mut(..done), returned.get(..done)) {
            dst.copy_from_slice(bytes);
        }
        // From here on in the blocks.
        let before = self.returned.len();
        while done < dst.len() {
            let skip = (skip + done).saturating_sub(before);
            let position = self.wrap(self.tail + skip);
            let Some((block, offset, part)) = self.contiguous(position, dst.len() - done) else {
                return;
            };
            if let (Some(block), Some(dst)) = (block.get(), dst.get_mut(done..done + part)) {
                block.read(offset, dst);
            }
            done += part;
        }
    }

    /// Adds bytes that were stored in free pieces.
    pub(super) fn commit(&mut self, len: usize) {
        if self.has_packets() && len > 0 {
            self.packets.push_plain(len);
        }
        self.len = (self.len + len).min(self.capacity);
    }

    /// Takes the oldest bytes away.
    pub(super) fn consume(&mut self, len: usize) {
        if self.has_packets() {
            self.packets.consume(len);
        }
        let returned = len.min(self.returned.len());
        if returned > 0 {
            self.returned.drain(..returned);
        }
        self.advance(len - returned);
    }

    /// Takes the oldest bytes in the blocks away: those of a [`filled_piece`](Self::filled_piece).
    pub(super) fn consume_filled(&mut self, len: usize) {
        if self.has_packets() {
            self.packets.consume(len);
        }
        self.advance(len);
    }

    fn advance(&mut self, len: usize) {
        let len = len.min(self.len);
        self.len -= len;
        // An empty ring starts over, so that a pipe of short messages stays in the same few lines
        // of the cache. A writer that copies right now has its place already.
        self.tail = if self.len == 0 && !self.writing { 0 } else { self.wrap(self.tail + len) };
    }

    /// Puts bytes back in front of the others; `false` if there is no memory for that.
    pub(super) fn unread(&mut self, bytes: &[u8]) -> bool {
        let busy = self.writing || self.reading || !self.returned.is_empty();
        if busy || self.room() < bytes.len() {
            if self.returned.try_reserve(bytes.len()).is_err() {
                return false;
            }
            self.returned.splice(0..0, bytes.iter().copied());
            if self.has_packets() {
                self.packets.unread_plain(bytes.len());
            }
            return true;
        }
        let len = self.len;
        self.tail = self.wrap(self.tail + self.capacity - bytes.len());
        self.len = 0;
        self.store(bytes);
        self.len += len;
        if self.has_packets() {
            self.packets.unread_plain(bytes.len());
        }
        true
    }
}
