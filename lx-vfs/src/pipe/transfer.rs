//! Reading and writing a pipe.

use arrayvec::ArrayVec;
use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, MutexGuard, WaitQueue, WakeKey, level};

use super::PIPE_BUF;
use super::life::new_blocks;
use super::ring::{Piece, Ring};

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
    /// These bytes were copied to the small buffer and taken.
    Taken(Share, WakeKey),
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
    /// This room is reserved.
    Reserved(Pieces, usize),
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
    fn is_polled(&self, ring: &mut Guard<'_>) -> bool {
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

    /// Whom to wake after bytes were taken; `writable` tells whether the pipe was before.
    pub(super) fn bytes_taken(&self, ring: &mut Guard<'_>, writable: bool) -> WakeKey {
        let sleeper = ring.room() >= ring.room_wanted;
        if sleeper {
            ring.room_wanted = usize::MAX;
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
        let Some((len, key)) = self.take_small(dst.remaining(), &mut buffer) else {
            return self.read_or_wait(caller, nonblocking, dst);
        };
        let result = self.put_small(dst, buffer.get(..len).unwrap_or_default());
        self.wake(key);
        result
    }

    /// Takes up to `N` bytes, if there are any and no more than that are wanted.
    #[inline(always)]
    fn take_small<const N: usize>(
        &self,
        want: usize,
        buffer: &mut [u8; N],
    ) -> Option<(usize, WakeKey)> {
        let mut ring = self.ring.lock();
        let len = want.min(ring.len());
        if ring.reading || len == 0 || ring.has_packets() {
            return None;
        }
        let writable = ring.is_writable();
        ring.peek(0, buffer.get_mut(..len)?);
        ring.consume(len);
        let key = self.bytes_taken(&mut ring, writable);
        Some((len, key))
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
                Ok(Found::Taken(share, key)) => {
                    let result = self.put_small(dst, small.get(..share.len).unwrap_or_default());
                    self.wake(key);
                    result.map(|len| (len, share))
                }
                Ok(Found::Reserved(pieces, share)) => {
                    // What the reader has no room for of a packet, nobody gets.
                    let taken = share.packet.unwrap_or(share.len);
                    self.put_pieces(dst, &pieces, share, taken).map(|len| (len, share))
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
        let front = ring.at(0);
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
        if len <= SMALL && !front.is_packet {
            let writable = ring.is_writable();
            ring.peek(0, small.get_mut(..len)?);
            ring.consume(len);
            let key = self.bytes_taken(&mut ring, writable);
            return Some(Ok(Found::Taken(share, key)));
        }
        let pieces = collect_pieces(len, |skip, len| ring.filled_piece(skip, len));
        ring.reading = true;
        Some(Ok(Found::Reserved(pieces, share)))
    }

    /// Hands taken bytes over; puts them back if that fails.
    #[inline(always)]
    fn put_small(&self, dst: &mut IoDst<'_>, bytes: &[u8]) -> Result<usize> {
        match dst.put(bytes) {
            Ok(count) if count == bytes.len() => Ok(count),
            _ => self.undo(bytes),
        }
    }

    #[cold]
    fn undo(&self, bytes: &[u8]) -> Result<usize> {
        self.put_back(bytes);
        Err(Errno::EFAULT.into())
    }

    /// Hands reserved bytes over and takes `whole`, if all of them arrive. A packet that does not
    /// arrive stays.
    fn put_pieces(
        &self,
        dst: &mut IoDst<'_>,
        pieces: &Pieces,
        share: Share,
        whole: usize,
    ) -> Result<usize> {
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
        let taken = match share.packet {
            _ if copied == share.len => whole,
            Some(_) => {
                copied = 0;
                error = Some(error.unwrap_or(Errno::EFAULT.into()));
                0
            }
            None => copied,
        };
        let key = {
            let mut ring = self.ring.lock();
            let writable = ring.is_writable();
            ring.reading = false;
            ring.consume_filled(taken);
            self.bytes_taken(&mut ring, writable) | Self::released(&mut ring)
        };
        self.wake(key);
        match error {
            Some(error) if copied == 0 => Err(error),
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
            return self.bad_source();
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
    pub(super) fn bad_source(&self) -> Result<usize> {
        // Nobody reads: that error comes before a bad address.
        let errno = if self.ring.lock().readers == 0 { Errno::EPIPE } else { Errno::EFAULT };
        Err(errno.into())
    }

    /// Stores a few bytes, unless something is in the way. They need room for all of them, as
    /// writes up to [`PIPE_BUF`] are atomic.
    #[inline(always)]
    fn store_small(&self, bytes: &[u8]) -> Option<WakeKey> {
        let mut ring = self.ring.lock();
        let room = ring.readers > 0 && !ring.writing && ring.room() >= bytes.len();
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
                .wait_for(caller, nonblocking, WRITER_KEY, || self.find_room(total - done, small));
            let step = match found {
                Ok(Room::NoBlocks) => self.provide_blocks(caller).map(|()| 0),
                Ok(Room::Stored(key)) => {
                    self.wake(key);
                    Ok(total)
                }
                Ok(Room::Reserved(pieces, len)) => {
                    self.take_pieces(src, &pieces, len, total <= PIPE_BUF)
                }
                Err(error) => Err(error),
            };
            match step {
                Ok(len) => done += len,
                Err(error) => return partial(done, error),
            }
        }
        Ok(done)
    }

    fn find_room(&self, want: usize, small: Option<&[u8]>) -> Option<Result<Room>> {
        let mut ring = self.ring.lock();
        if ring.readers == 0 {
            return Some(Err(Errno::EPIPE.into()));
        }
        if ring.writing {
            ring.contended = true;
            return None;
        }
        // Writes up to PIPE_BUF are atomic; of a longer one, no less than that at a time.
        let need = want.min(PIPE_BUF);
        if ring.room() < need {
            ring.room_wanted = ring.room_wanted.min(need);
            return None;
        }
        if !ring.has_blocks() {
            return Some(Ok(Room::NoBlocks));
        }
        if let Some(bytes) = small {
            ring.push(bytes);
            let key = self.bytes_added(&mut ring);
            return Some(Ok(Room::Stored(key)));
        }
        let len = want.min(ring.room()).min(CHUNK);
        let pieces = collect_pieces(len, |skip, len| ring.free_piece(skip, len));
        ring.writing = true;
        Some(Ok(Room::Reserved(pieces, len)))
    }

    fn take_pieces(
        &self,
        src: &mut IoSrc<'_>,
        pieces: &Pieces,
        len: usize,
        atomic: bool,
    ) -> Result<usize> {
        let mut copied = 0;
        for piece in pieces {
            let Some(block) = piece.block.get() else { break };
            let Ok(count) = src.take_block(block, piece.offset, piece.len) else { break };
            copied += count;
            if count < piece.len {
                break;
            }
        }
        let fault = copied < len;
        if fault && atomic {
            copied = 0;
        }
        let key = {
            let mut ring = self.ring.lock();
            ring.writing = false;
            ring.commit(copied);
            let added = if copied > 0 { self.bytes_added(&mut ring) } else { 0 };
            added | Self::released(&mut ring)
        };
        self.wake(key);
        if fault && copied == 0 { Err(Errno::EFAULT.into()) } else { Ok(copied) }
    }

    /// Waits until there is room; how much.
    ///
    /// # Errors
    /// `EPIPE` without readers, `EAGAIN`, `Restart`.
    pub fn wait_room(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<usize> {
        self.wait_for(caller, nonblocking, WRITER_KEY, || {
            let mut ring = self.ring.lock();
            if ring.readers == 0 {
                return Some(Err(Errno::EPIPE.into()));
            }
            if !ring.is_writable() {
                ring.room_wanted = ring.room_wanted.min(PIPE_BUF);
                return None;
            }
            Some(Ok(ring.room()))
        })
    }

    /// Puts bytes back that have just been read; `false` if there is no memory for that.
    pub fn put_back(&self, bytes: &[u8]) -> bool {
        let (done, key) = {
            let mut ring = self.ring.lock();
            let done = ring.unread(bytes);
            (done, self.bytes_added(&mut ring))
        };
        self.wake(key);
        done
    }

    pub(super) fn provide_blocks(&self, caller: &Caller<'_>) -> Result<()> {
        let capacity = self.ring.lock().capacity();
        let blocks = new_blocks(caller, capacity)?;
        let mut ring = self.ring.lock();
        // Another writer may have done it meanwhile, or the capacity may have changed.
        let unused = if ring.has_blocks() || ring.capacity() != capacity {
            blocks
        } else {
            ring.set_blocks(blocks)
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
