//! The locked state of a pipe.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::host::{BLOCK_SIZE, PageBlock};

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

/// The part of a page that holds neighbouring bytes. A pipe on Linux is a ring of such pages: it
/// is full when all are in use, however little is in them. Here the bytes lie one behind the other,
/// and the slots only count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Bytes of the page before these: read already.
    pub(super) offset: u16,
    pub(super) len: u16,
    /// Whether a write may add to it: bytes that were spliced may be somebody else's.
    pub(super) merges: bool,
    /// The bytes are a packet (`O_DIRECT`), or the rest of one.
    pub(super) is_packet: bool,
}

impl Slot {
    /// Bytes that were written, at most a page.
    fn plain(len: usize) -> Self {
        Self { offset: 0, len: len as u16, merges: true, is_packet: false }
    }

    /// Bytes of a page of a file, `offset` of which come before them.
    pub(super) fn of_file(offset: usize, len: usize) -> Self {
        Self { offset: offset as u16, merges: false, ..Self::plain(len) }
    }

    /// A packet of at most a page.
    pub(super) fn packet(len: usize) -> Self {
        Self { is_packet: true, merges: false, ..Self::plain(len) }
    }
}

/// The oldest bytes of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    pub(super) len: usize,
    /// They are a packet, or the rest of one.
    pub(super) is_packet: bool,
}

/// What a ring needs for its capacity.
#[derive(Default)]
pub(super) struct Storage {
    blocks: Vec<Arc<RingBlock>>,
    slots: VecDeque<Slot>,
}

impl Storage {
    /// Storage in these blocks; `None` if there is no memory for the slots.
    pub(super) fn new(blocks: Vec<Arc<RingBlock>>, capacity: usize) -> Option<Self> {
        let mut slots = VecDeque::new();
        slots.try_reserve_exact(capacity / PIPE_BUF).ok()?;
        Some(Self { blocks, slots })
    }

    pub(super) fn block(&self, index: usize) -> Option<&PageBlock> {
        self.blocks.get(index)?.get()
    }
}

/// A ring of bytes, the counts of its users, and who sleeps.
pub(super) struct Ring {
    /// As many as the capacity needs; empty until the first write.
    blocks: Vec<Arc<RingBlock>>,
    /// How all bytes are divided, [`returned`](Self::returned) ones included.
    slots: VecDeque<Slot>,
    /// How many of them are packets.
    packets: usize,
    capacity: usize,
    /// Position of the next byte to be read.
    tail: usize,
    /// Bytes in the blocks.
    len: usize,
    /// Bytes before those: readers have put them back when the ring had no room for them.
    returned: Vec<u8>,
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
    /// A writer sleeps until a slot is free.
    pub(super) writer_sleeps: bool,
    /// There may be pollers.
    pub(super) polled: bool,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            slots: VecDeque::new(),
            packets: 0,
            capacity: DEFAULT_CAPACITY,
            tail: 0,
            len: 0,
            returned: Vec::new(),
            readers: 0,
            writers: 0,
            readers_opened: 0,
            writers_opened: 0,
            reading: false,
            writing: false,
            contended: false,
            reader_sleeps: false,
            writer_sleeps: false,
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

    /// How many slots are not in use.
    pub(super) fn free_slots(&self) -> usize {
        (self.capacity / PIPE_BUF).saturating_sub(self.slots.len())
    }

    /// How many slots are in use.
    pub(super) fn used_slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are packets, which reads may not run together.
    #[inline(always)]
    pub(super) fn has_packets(&self) -> bool {
        self.packets > 0
    }

    /// The oldest bytes: a packet, or those before the first one.
    pub(super) fn front(&self) -> Front {
        if !self.has_packets() {
            return Front { len: self.len(), is_packet: false };
        }
        match self.slots.front() {
            Some(slot) if slot.is_packet => Front { len: slot.len.into(), is_packet: true },
            _ => {
                let plain = self.slots.iter().take_while(|slot| !slot.is_packet);
                Front { len: plain.map(|slot| usize::from(slot.len)).sum(), is_packet: false }
            }
        }
    }

    /// Whether `poll(2)` says that the pipe can be written.
    pub(super) fn is_writable(&self) -> bool {
        self.free_slots() > 0
    }

    /// How many bytes of a write of `len` come into the newest slot: what is more than whole pages,
    /// if all of that has room there.
    pub(super) fn merging(&self, len: usize) -> usize {
        let part = len % PIPE_BUF;
        match self.slots.back() {
            Some(slot) if slot.merges && Self::end(slot) + part <= PIPE_BUF => part,
            _ => 0,
        }
    }

    fn end(slot: &Slot) -> usize {
        usize::from(slot.offset) + usize::from(slot.len)
    }

    /// Counts added bytes, of which so many come into the newest slot.
    fn fill_slots(&mut self, len: usize, merging: usize) {
        let mut rest = len;
        if merging > 0
            && let Some(slot) = self.slots.back_mut()
            && slot.merges
            && Self::end(slot) + merging.min(len) <= PIPE_BUF
        {
            // At most a page.
            slot.len += merging.min(len) as u16;
            rest -= merging.min(len);
        }
        while rest > 0 {
            let part = rest.min(PIPE_BUF);
            self.slots.push_back(Slot::plain(part));
            rest -= part;
        }
    }

    /// Counts taken bytes.
    fn drain_slots(&mut self, mut len: usize) {
        while len > 0
            && let Some(slot) = self.slots.front_mut()
        {
            let part = len.min(slot.len.into());
            slot.offset += part as u16;
            slot.len -= part as u16;
            len -= part;
            if slot.len == 0 {
                self.packets -= usize::from(slot.is_packet);
                self.slots.pop_front();
            }
        }
    }

    /// Counts bytes that are put back, which were the beginning of `of` if that is known; `false` if
    /// there is no memory for that.
    fn refill_slots(&mut self, mut len: usize, of: Option<Slot>) -> bool {
        if let Some(whole) = of.filter(|slot| usize::from(slot.len) == len) {
            let has_room = self.slots.try_reserve(1).is_ok();
            if has_room {
                self.slots.push_front(whole);
            }
            return has_room;
        }
        if let Some(slot) = self.slots.front_mut() {
            let part = len.min(slot.offset.into());
            slot.offset -= part as u16;
            slot.len += part as u16;
            len -= part;
        }
        if self.slots.try_reserve(len.div_ceil(PIPE_BUF)).is_err() {
            return false;
        }
        while len > 0 {
            let part = len.min(PIPE_BUF);
            self.slots.push_front(Slot::plain(part));
            len -= part;
        }
        true
    }

    /// The oldest slot, if it has `len` bytes and is no packet.
    #[inline(always)]
    pub(super) fn front_slot(&self, len: usize) -> Option<Slot> {
        self.slots.front().filter(|slot| usize::from(slot.len) >= len && !slot.is_packet).copied()
    }

    /// Bytes of the oldest slots that have no more than `len` together.
    pub(super) fn whole_slots(&self, len: usize) -> usize {
        let mut whole = 0;
        for slot in &self.slots {
            let next = whole + usize::from(slot.len);
            if next > len {
                break;
            }
            whole = next;
        }
        whole
    }

    /// The oldest slot, cut off at `len` bytes, which come `skip` slots after the oldest.
    pub(super) fn slot(&self, skip: usize, len: usize) -> Option<Slot> {
        let mut slot = *self.slots.get(skip)?;
        if len < slot.len.into() {
            slot.len = len as u16;
            slot.merges = false;
        }
        Some(slot)
    }

    /// Appends bytes as a slot that is free.
    pub(super) fn push_slot(&mut self, slot: Slot, bytes: &[u8]) {
        self.store(bytes);
        self.packets += usize::from(slot.is_packet);
        self.slots.push_back(slot);
    }

    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// How many blocks a capacity needs.
    pub(super) fn blocks_for(capacity: usize) -> usize {
        capacity.div_ceil(BLOCK_SIZE)
    }

    /// Provides the memory for the present capacity.
    pub(super) fn set_storage(&mut self, mut storage: Storage) -> Storage {
        storage.slots.extend(self.slots.drain(..));
        Storage {
            blocks: core::mem::replace(&mut self.blocks, storage.blocks),
            slots: core::mem::replace(&mut self.slots, storage.slots),
        }
    }

    /// Changes the capacity of an idle ring; `storage` suffices for it, and holds what was in the
    /// ring, from its start.
    pub(super) fn resize(&mut self, capacity: usize, storage: Storage) -> Storage {
        self.capacity = capacity;
        self.tail = 0;
        self.len = self.len();
        self.returned = Vec::new();
        self.set_storage(storage)
    }

    /// Forgets the bytes and the capacity, when the last end of a FIFO is gone; its memory.
    pub(super) fn reset(&mut self) -> Storage {
        self.len = 0;
        self.returned = Vec::new();
        self.slots.clear();
        self.packets = 0;
        self.resize(DEFAULT_CAPACITY, Storage::default())
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

    /// Appends less than a page, for which there is room.
    #[inline(always)]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let merging = self.merging(bytes.len());
        self.fill_slots(bytes.len(), merging);
        self.store(bytes);
    }

    /// Puts bytes behind the newest.
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

    /// Adds bytes that were stored in free pieces, of which so many come into the newest slot.
    pub(super) fn commit(&mut self, len: usize, merging: usize) {
        self.fill_slots(len, merging);
        self.len = (self.len + len).min(self.capacity);
    }

    /// Takes the oldest bytes away.
    pub(super) fn consume(&mut self, len: usize) {
        self.drain_slots(len);
        let returned = len.min(self.returned.len());
        if returned > 0 {
            self.returned.drain(..returned);
        }
        self.release(len - returned);
    }

    /// Takes the oldest bytes in the blocks away: those of a [`filled_piece`](Self::filled_piece).
    pub(super) fn consume_filled(&mut self, len: usize) {
        self.drain_slots(len);
        self.release(len);
    }

    fn release(&mut self, len: usize) {
        let len = len.min(self.len);
        self.len -= len;
        // An empty ring starts over, so that a pipe of short messages stays in the same few lines
        // of the cache. A writer that copies right now has its place already.
        self.tail = if self.len == 0 && !self.writing { 0 } else { self.wrap(self.tail + len) };
    }

    /// Puts bytes back in front of the others, which were the beginning of `of` if that is known;
    /// `false` if there is no memory for that.
    pub(super) fn unread(&mut self, bytes: &[u8], of: Option<Slot>) -> bool {
        if !self.refill_slots(bytes.len(), of) {
            return false;
        }
        let busy = self.writing || self.reading || !self.returned.is_empty();
        if busy || self.capacity.saturating_sub(self.len) < bytes.len() {
            if self.returned.try_reserve(bytes.len()).is_err() {
                self.drain_slots(bytes.len());
                return false;
            }
            self.returned.splice(0..0, bytes.iter().copied());
            return true;
        }
        let len = self.len;
        self.tail = self.wrap(self.tail + self.capacity - bytes.len());
        self.len = 0;
        self.store(bytes);
        self.len += len;
        true
    }
}
