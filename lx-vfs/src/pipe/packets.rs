//! Packets through a pipe, `O_DIRECT` in `pipe(2)`: each has a slot to itself.

use lx_core::Caller;
use lx_core::error::Result;
use lx_core::io::{IoSrc, partial};
use lx_core::sync::WakeKey;

use super::ring::Slot;
use super::transfer::{READER_KEY, WRITER_KEY};
use super::{PIPE_BUF, Pipe};

/// What the writer of a packet found.
enum Place {
    /// The ring has no memory yet.
    NoBlocks,
    /// This many bytes were stored.
    Stored(usize, WakeKey),
}

impl Pipe {
    /// Writes packets of [`PIPE_BUF`] bytes and one of the rest, as `O_DIRECT` asks for.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_packets(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<usize> {
        let total = src.remaining();
        let mut buffer = [0_u8; PIPE_BUF];
        let mut held = 0;
        let mut done = 0;
        while done < total {
            let room = buffer.get_mut(held..PIPE_BUF.min(total - done)).unwrap_or_default();
            let wanted = room.len();
            if wanted > 0 && !src.take(room).is_ok_and(|count| count == wanted) {
                return self.bad_source(total, nonblocking).or_else(|error| partial(done, error));
            }
            held += wanted;
            let bytes = buffer.get(..held).unwrap_or_default();
            // Only the beginning of a write may go where others have written.
            let start = if done == 0 { total } else { 0 };
            let step = self.wait_for(caller, nonblocking, WRITER_KEY, || self.place(bytes, start));
            match step {
                Ok(Place::NoBlocks) => self.provide_storage(caller)?,
                Ok(Place::Stored(count, key)) => {
                    self.wake(key);
                    buffer.copy_within(count..held, 0);
                    held -= count;
                    done += count;
                }
                Err(error) => return partial(done, error),
            }
        }
        Ok(done)
    }

    /// Stores a packet; or as much of a write of `total` bytes as is added to what is there.
    fn place(&self, bytes: &[u8], total: usize) -> Option<Result<Place>> {
        let mut ring = self.ring.lock();
        let merging = match Self::find_slot(&mut ring, total)? {
            Ok(merging) => merging,
            Err(error) => return Some(Err(error)),
        };
        if !ring.has_blocks() {
            return Some(Ok(Place::NoBlocks));
        }
        let count = if merging > 0 {
            ring.push(bytes.get(..merging)?);
            merging
        } else {
            ring.push_slot(Slot::packet(bytes.len()), bytes);
            bytes.len()
        };
        let key = self.bytes_added(&mut ring);
        Some(Ok(Place::Stored(count, key)))
    }

    /// Takes bytes of one kind, for another file: of a packet what `dst` has no room for stays. 0
    /// means that there is no writer.
    ///
    /// # Errors
    /// `EAGAIN`, `Restart`.
    pub fn take(&self, caller: &Caller<'_>, nonblocking: bool, dst: &mut [u8]) -> Result<usize> {
        let (taken, key) = self.wait_for(caller, nonblocking, READER_KEY, || {
            let mut ring = self.ring.lock();
            if ring.reading {
                ring.contended = true;
                return None;
            }
            let taken = ring.front().len.min(dst.len());
            if taken == 0 && ring.writers > 0 {
                ring.reader_sleeps = true;
                return None;
            }
            let writable = ring.is_writable();
            ring.peek(0, dst.get_mut(..taken)?);
            ring.consume(taken);
            Some(Ok((taken, self.bytes_taken(&mut ring, writable))))
        })?;
        self.wake(key);
        Ok(taken)
    }
}
