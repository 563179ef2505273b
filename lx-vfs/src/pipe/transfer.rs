//! Reading and writing a pipe.

use arrayvec::ArrayVec;
use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, MutexGuard, WaitQueue, WakeKey, level};

use super::PIPE_BUF;
use super::life::new_storage;
use super::ring::{Piece, Ring, Slot};

/// Transfers up to this length go through a buffer on the stack: one round of the lock.
const SMALL: usize = 128;
/// For transfers up to this length that buffer is this long, as it costs time to clear it.
const TINY: usize = 16;
/// Most bytes between two commits, so that the other side starts while a long transfer goes on.
/// At most two pieces, as the ring wraps around once in that length.
const CHUNK: usize = 16 << 10;

/// Keys on which readers sleep.
pub(super) const READER_KEY: WakeKey = PollEvents::READABLE.union(PollEvents::POLLHUP).bits();
/// Keys on which writers sleep.
pub(super) const WRITER_KEY: WakeKey = PollEvents::WRITABLE.union(PollEvents::POLLERR).bits();

pub(super) type Guard<'a> = MutexGuard<'a, Ring, { level::FILE_OBJECT }>;
type Pieces = ArrayVec<Piece, 2>;

/// A pipe.
pub struct Pipe {
    pub(super) ring: Mutex<Ring, { level::FILE_OBJECT }>,
    pub(super) queue: WaitQueue,
}

/// What a reader found.
enum Found {
    /// No bytes and no writer.
    End,
    /// These bytes were copied to the small buffer and taken, out of this slot if it is one.
    Taken(Share, Option<Slot>, WakeKey),
    /// These bytes are reserved.
    Reserved(Pieces, Share),
}

/// What one step of a read gets.
#[derive(Clone, Copy)]
struct Share {
    len: usize,
    /// The length of the packet that it is the beginning of.
    packet: Option<usize>,
    /// A packet comes behind it.
    before_packet: bool,
}

/// What a writer found.
enum Room {
    /// The ring has no memory yet.
    NoBlocks,
    /// The small write is done.
    Stored(WakeKey),
    /// This room is reserved; how many bytes of it come into the newest slot.
    Reserved(Pieces, usize, usize),
}

impl PollSource for Pipe {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// A pipe without ends.
    pub const fn new() -> Self {
        Self { ring: Mutex::new(Ring::new()), queue: WaitQueue::new() }
    }

    #[inline(always)]
    pub(super) fn wake(&self, key: WakeKey) {
        if key != 0 {
            self.queue.wake(key, 1);
        }
    }

    /// Takes one step, or sleeps until it can be taken.
    pub(super) fn wait_for<T>(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        key: WakeKey,
        mut step: impl FnMut() -> Option<Result<T>>,
    ) -> Result<T> {
        match step() {
            Some(result) => result,
            None if nonblocking => Err(Errno::EAGAIN.into()),
            None => caller.wait(&self.queue, key, step)?,
        }
    }

    /// Whether there may be pollers, with the lock held. Registration sets the flag after it has
    /// entered the queue, so clearing it while the queue is empty loses nobody.
    pub(super) fn is_polled(&self, ring: &mut Guard<'_>) -> bool {
        if ring.polled && self.queue.is_empty() {
            ring.polled = false;
        }
        ring.polled
    }

    /// Whom to wake after bytes were added.
    pub(super) fn bytes_added(&self, ring: &mut Guard<'_>) -> WakeKey {
        let sleeper = core::mem::take(&mut ring.reader_sleeps);
        // Edge-triggered pollers want to hear of every write.
        if sleeper || self.is_polled(ring) { PollEvents::READABLE.bits() } else { 0 }
    }

    /// After a write that has added nothing: as on Linux edge-triggered pollers hear of it, too.
    #[cold]
    pub(super) fn write_failed(&self) {
        let polled = self.is_polled(&mut self.ring.lock());
        if polled {
            self.wake(PollEvents::READABLE.bits());
        }
    }

    /// Whom to wake after bytes were taken; `writable` tells whether the pipe was before.
    pub(super) fn bytes_taken(&self, ring: &mut Guard<'_>, writable: bool) -> WakeKey {
        let sleeper = ring.writer_sleeps && ring.is_writable();
        if sleeper {
            ring.writer_sleeps = false;
        }
        if sleeper || (!writable && ring.is_writable() && self.is_polled(ring)) {
            PollEvents::WRITABLE.bits()
        } else {
            0
        }
    }

    /// Whom to wake after a reservation ended.
    fn released(ring: &mut Guard<'_>) -> WakeKey {
        if core::mem::take(&mut ring.contended) { READER_KEY | WRITER_KEY } else { 0 }
    }

    /// Reads what is there, at least one byte unless there is no writer any more.
    ///
    /// # Errors
    /// `EAGAIN`, `EFAULT`, `Restart`.
    pub fn read(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        if dst.remaining() <= TINY {
            self.read_small::<TINY>(caller, nonblocking, dst)
        } else {
            self.read_small::<SMALL>(caller, nonblocking, dst)
        }
    }

    /// What most reads are: a few bytes, and they are there.
    #[inline(always)]
    fn read_small<const N: usize>(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let mut buffer = [0_u8; N];
        let Some((len, slot, key)) = self.take_small(dst.remaining(), &mut buffer) else {
            return self.read_or_wait(caller, nonblocking, dst);
        };
        let result = self.put_small(dst, buffer.get(..len).unwrap_or_default(), Some(slot));
        self.wake(key);
        result
    }

    /// Takes up to `N` bytes out of one slot, if there are any and no more than that are wanted.
    #[inline(always)]
    fn take_small<const N: usize>(
        &self,
        want: usize,
        buffer: &mut [u8; N],
    ) -> Option<(usize, Slot, WakeKey)> {
        let mut ring = self.ring.lock();
        let len = want.min(ring.len());
        if ring.reading || len == 0 {
            return None;
        }
        let slot = ring.front_slot(len)?;
        let writable = ring.is_writable();
        ring.peek(0, buffer.get_mut(..len)?);
        ring.consume(len);
        let key = self.bytes_taken(&mut ring, writable);
        Some((len, slot, key))
    }

    #[inline(never)]
    fn read_or_wait(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let mut done = 0;
        let mut small = [0_u8; SMALL];
        while dst.remaining() > 0 {
            // Only the first round may sleep, or report that there is nothing.
            let found = self.wait_for(caller, nonblocking || done > 0, READER_KEY, || {
                self.find_bytes(dst.remaining(), &mut small)
            });
            let step = match found {
                Ok(Found::End) => break,
                Ok(Found::Taken(share, slot, key)) => {
                    let bytes = small.get(..share.len).unwrap_or_default();
                    let result = self.put_small(dst, bytes, slot);
                    self.wake(key);
                    result.map(|len| (len, share))
                }
                Ok(Found::Reserved(pieces, share)) => {
                    self.put_pieces(dst, &pieces, share).map(|len| (len, share))
                }
                Err(error) => Err(error),
            };
            match step {
                Ok((len, share)) => {
                    done += len;
                    let goes_on = len == CHUNK || (share.before_packet && len == share.len);
                    if share.packet.is_some() || !goes_on {
                        break;
                    }
                }
                Err(error) => return partial(done, error),
            }
        }
        Ok(done)
    }

    fn find_bytes(&self, want: usize, small: &mut [u8; SMALL]) -> Option<Result<Found>> {
        let mut ring = self.ring.lock();
        if ring.reading {
            ring.contended = true;
            return None;
        }
        let most = if ring.has_returned() { SMALL } else { CHUNK };
        let front = ring.front();
        let len = want.min(front.len).min(most);
        if len == 0 {
            if ring.writers == 0 {
                return Some(Ok(Found::End));
            }
            ring.reader_sleeps = true;
            return None;
        }
        let share = Share {
            len,
            packet: front.is_packet.then_some(front.len),
            before_packet: len == front.len && ring.has_packets(),
        };
        let slot = ring.front_slot(len);
        // What was put back is not in the blocks.
        if len <= SMALL && !front.is_packet && (slot.is_some() || ring.has_returned()) {
            let writable = ring.is_writable();
            ring.peek(0, small.get_mut(..len)?);
            ring.consume(len);
            let key = self.bytes_taken(&mut ring, writable);
            return Some(Ok(Found::Taken(share, slot, key)));
        }
        let pieces = collect_pieces(len, |skip, len| ring.filled_piece(skip, len));
        ring.reading = true;
        Some(Ok(Found::Reserved(pieces, share)))
    }

    /// Hands taken bytes over; puts them back if that fails.
    #[inline(always)]
    fn put_small(&self, dst: &mut IoDst<'_>, bytes: &[u8], slot: Option<Slot>) -> Result<usize> {
        match dst.put(bytes) {
            Ok(count) if count == bytes.len() => Ok(count),
            _ => self.undo(bytes, slot),
        }
    }

    #[cold]
    fn undo(&self, bytes: &[u8], slot: Option<Slot>) -> Result<usize> {
        self.put_back_into(bytes, slot);
        Err(Errno::EFAULT.into())
    }

    /// Hands reserved bytes over and takes them away; with the beginning of a packet, all of it: what
    /// the reader has no room for, nobody gets.
    fn put_pieces(&self, dst: &mut IoDst<'_>, pieces: &Pieces, share: Share) -> Result<usize> {
        let mut copied = 0;
        let mut error = None;
        for piece in pieces {
            let Some(block) = piece.block.get() else { break };
            match dst.put_block(block, piece.offset, piece.len) {
                Ok(count) => {
                    copied += count;
                    if count < piece.len {
                        break;
                    }
                }
                Err(fault) => {
                    error = Some(fault);
                    break;
                }
            }
        }
        debug_assert!(copied <= share.len);
        let key = {
            let mut ring = self.ring.lock();
            let writable = ring.is_writable();
            ring.reading = false;
            if copied < share.len {
                // A fault: what is left of a slot stays, all of it.
                copied = ring.whole_slots(copied);
                ring.consume_filled(copied);
            } else {
                ring.consume_filled(share.packet.unwrap_or(copied));
            }
            self.bytes_taken(&mut ring, writable) | Self::released(&mut ring)
        };
        self.wake(key);
        match error {
            Some(error) if copied == 0 => Err(error),
            None if copied == 0 => Err(Errno::EFAULT.into()),
            _ => Ok(copied),
        }
    }

    /// Writes everything, sleeping for room; with `nonblocking`, what fits.
    ///
    /// # Errors
    /// `EPIPE` without readers, `EAGAIN`, `EFAULT`, `Restart`.
    pub fn write(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<usize> {
        let total = src.remaining();
        if total <= TINY {
            self.write_small::<TINY>(caller, nonblocking, src)
        } else if total <= SMALL {
            self.write_small::<SMALL>(caller, nonblocking, src)
        } else {
            self.write_or_wait(caller, nonblocking, src, total, None)
        }
    }

    /// What most writes are: a few bytes, for which there is room.
    #[inline(always)]
    fn write_small<const N: usize>(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<usize> {
        let total = src.remaining();
        let mut buffer = [0_u8; N];
        let bytes = buffer.get_mut(..total).unwrap_or_default();
        if !src.take(bytes).is_ok_and(|count| count == total) {
            return self.bad_source(total, nonblocking);
        }
        match self.store_small(bytes) {
            Some(key) => {
                self.wake(key);
                Ok(total)
            }
            None => self.write_or_wait(caller, nonblocking, src, total, Some(bytes)),
        }
    }

    #[cold]
    pub(super) fn bad_source(&self, total: usize, nonblocking: bool) -> Result<usize> {
        let ring = self.ring.lock();
        let full = !ring.is_writable() && ring.merging(total) == 0;
        // Other errors come before a bad address.
        Err(match ring.readers {
            0 => Errno::EPIPE,
            _ if full && nonblocking => Errno::EAGAIN,
            _ => Errno::EFAULT,
        }
        .into())
    }

    /// Stores a few bytes, unless something is in the way. They need room for all of them, as
    /// writes up to [`PIPE_BUF`] are atomic.
    #[inline(always)]
    fn store_small(&self, bytes: &[u8]) -> Option<WakeKey> {
        let mut ring = self.ring.lock();
        let fits = ring.is_writable() || ring.merging(bytes.len()) > 0;
        let room = ring.readers > 0 && !ring.writing && fits;
        if bytes.is_empty() || !room || !ring.has_blocks() {
            return None;
        }
        ring.push(bytes);
        Some(self.bytes_added(&mut ring))
    }

    #[inline(never)]
    fn write_or_wait(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        src: &mut IoSrc<'_>,
        total: usize,
        small: Option<&[u8]>,
    ) -> Result<usize> {
        let mut done = 0;
        while done < total {
            let found = self
                .wait_for(caller, nonblocking, WRITER_KEY, || self.find_room(total, done, small));
            let step = match found {
                Ok(Room::NoBlocks) => self.provide_storage(caller),
                Ok(Room::Stored(key)) => {
                    self.wake(key);
                    done = total;
                    Ok(())
                }
                Ok(Room::Reserved(pieces, len, merging)) => {
                    let stored = self.take_pieces(src, &pieces, len, merging);
                    done += stored;
                    if stored < len { Err(Errno::EFAULT.into()) } else { Ok(()) }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                return partial(done, error);
            }
        }
        Ok(done)
    }

    /// Whether something can be stored: how many bytes of a write of `total` come into the newest slot,
    /// or 0 and there is a free one. `None` if that is to be waited for.
    #[inline(always)]
    pub(super) fn find_slot(ring: &mut Guard<'_>, total: usize) -> Option<Result<usize>> {
        if ring.readers == 0 {
            return Some(Err(Errno::EPIPE.into()));
        }
        if ring.writing {
            ring.contended = true;
            return None;
        }
        let merging = ring.merging(total);
        if merging == 0 && !ring.is_writable() {
            ring.writer_sleeps = true;
            return None;
        }
        Some(Ok(merging))
    }

    fn find_room(&self, total: usize, done: usize, small: Option<&[u8]>) -> Option<Result<Room>> {
        let mut ring = self.ring.lock();
        // Only the beginning of a write may go where others have written.
        let start = if done == 0 { total } else { 0 };
        let merging = match Self::find_slot(&mut ring, start)? {
            Ok(merging) => merging,
            Err(error) => return Some(Err(error)),
        };
        if !ring.has_blocks() {
            return Some(Ok(Room::NoBlocks));
        }
        if let Some(bytes) = small {
            ring.push(bytes);
            let key = self.bytes_added(&mut ring);
            return Some(Ok(Room::Stored(key)));
        }
        let pages = (ring.free_slots() * PIPE_BUF).min(CHUNK);
        let len = (total - done).min(merging + pages);
        let pieces = collect_pieces(len, |skip, len| ring.free_piece(skip, len));
        ring.writing = true;
        Some(Ok(Room::Reserved(pieces, len, merging)))
    }

    /// Copies into reserved room; less than `len` if a fault ended that, after a whole page.
    fn take_pieces(
        &self,
        src: &mut IoSrc<'_>,
        pieces: &Pieces,
        len: usize,
        merging: usize,
    ) -> usize {
        let mut copied = 0;
        for piece in pieces {
            let Some(block) = piece.block.get() else { break };
            let Ok(count) = src.take_block(block, piece.offset, piece.len) else { break };
            copied += count;
            if count < piece.len {
                break;
            }
        }
        if copied < len {
            copied = match copied.checked_sub(merging) {
                Some(pages) => merging + pages / PIPE_BUF * PIPE_BUF,
                None => 0,
            };
        }
        let key = {
            let mut ring = self.ring.lock();
            ring.writing = false;
            ring.commit(copied, merging);
            let added = if copied > 0 { self.bytes_added(&mut ring) } else { 0 };
            added | Self::released(&mut ring)
        };
        self.wake(key);
        copied
    }

    pub(super) fn provide_storage(&self, caller: &Caller<'_>) -> Result<()> {
        let capacity = self.ring.lock().capacity();
        let storage = new_storage(caller, capacity)?;
        let mut ring = self.ring.lock();
        // Another writer may have done it meanwhile, or the capacity may have changed.
        let unused = if ring.has_blocks() || ring.capacity() != capacity {
            storage
        } else {
            ring.set_storage(storage)
        };
        drop(ring);
        drop(unused);
        Ok(())
    }
}

fn collect_pieces(len: usize, piece: impl Fn(usize, usize) -> Option<Piece>) -> Pieces {
    let mut pieces = Pieces::new();
    let mut done = 0;
    while done < len
        && let Some(piece) = piece(done, len - done)
    {
        done += piece.len;
        if pieces.try_push(piece).is_err() {
            break;
        }
    }
    pieces
}
