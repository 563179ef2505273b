//! Ends, capacity and readiness of a pipe.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::poll::PollEvents;
use lx_core::sync::WakeKey;

use super::ring::{Ring, RingBlock, Storage};
use super::transfer::{READER_KEY, WRITER_KEY};
use super::{MAX_CAPACITY, PIPE_BUF, Pipe, pool};

/// Key on which FIFO opens sleep; no bit of `poll(2)`.
const OPEN_KEY: WakeKey = 1 << 30;

impl Pipe {
    /// Bytes in the pipe, `FIONREAD`.
    pub fn len(&self) -> usize {
        self.ring.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `F_GETPIPE_SZ`.
    pub fn capacity(&self) -> usize {
        self.ring.lock().capacity()
    }

    /// `F_SETPIPE_SZ`: the capacity rounded up to a power of two of pages.
    ///
    /// # Errors
    /// `EINVAL` for sizes past 2^31, `EPERM` for more than before and beyond the limit without
    /// `CAP_SYS_RESOURCE`, `EBUSY` if the contents do not fit.
    pub fn set_capacity(&self, caller: &Caller<'_>, wanted: usize) -> Result<usize> {
        if wanted > 1 << 31 {
            return Err(Errno::EINVAL.into());
        }
        let capacity = wanted.max(PIPE_BUF).next_power_of_two();
        let grows = capacity > self.capacity();
        if grows && capacity > MAX_CAPACITY && !caller.cred().has(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM.into());
        }
        let mut storage = Some(new_storage(caller, capacity)?);
        let old = self.wait_for(caller, false, READER_KEY | WRITER_KEY, || {
            let mut ring = self.ring.lock();
            if ring.reading || ring.writing {
                ring.contended = true;
                return None;
            }
            if ring.used_slots() > capacity / PIPE_BUF {
                return Some(Err(Errno::EBUSY.into()));
            }
            let storage = storage.take()?;
            copy_contents(&ring, &storage);
            Some(Ok(ring.resize(capacity, storage)))
        })?;
        drop(old);
        self.queue.wake_all(PollEvents::WRITABLE.bits());
        Ok(capacity)
    }

    /// Readiness of an end; `seen_writers` is the count of writers ever opened that a reader of a
    /// FIFO found when it was opened: no hang-up before the first writer came.
    pub(super) fn poll(&self, reads: bool, writes: bool, seen_writers: u32) -> PollEvents {
        let ring = self.ring.lock();
        let mut events = PollEvents::empty();
        if reads {
            if ring.len() > 0 {
                events |= PollEvents::READABLE;
            }
            if ring.writers == 0 && ring.writers_opened != seen_writers {
                events |= PollEvents::POLLHUP;
            }
        }
        if writes {
            if ring.is_writable() {
                events |= PollEvents::WRITABLE;
            }
            if ring.readers == 0 {
                events |= PollEvents::POLLERR;
            }
        }
        events
    }

    /// Notes that somebody has registered with the wait queue.
    pub(super) fn poll_registered(&self) {
        self.ring.lock().polled = true;
    }

    /// Adds ends; what was there before.
    pub(super) fn attach(&self, reads: bool, writes: bool) -> Before {
        let before = {
            let mut ring = self.ring.lock();
            let before = Before {
                readers_opened: ring.readers_opened,
                writers_opened: ring.writers_opened,
                // Decided here: a writer that was waiting may have written and gone by the time
                // the reader that let it in looks again.
                other_side: if reads { ring.writers > 0 } else { ring.readers > 0 },
            };
            if reads {
                ring.readers += 1;
                ring.readers_opened = ring.readers_opened.wrapping_add(1);
            }
            if writes {
                ring.writers += 1;
                ring.writers_opened = ring.writers_opened.wrapping_add(1);
            }
            before
        };
        self.queue.wake_all(OPEN_KEY);
        before
    }

    /// Takes ends away.
    pub(super) fn detach(&self, reads: bool, writes: bool) {
        let (unused, alone) = {
            let mut ring = self.ring.lock();
            ring.readers = ring.readers.saturating_sub(reads.into());
            ring.writers = ring.writers.saturating_sub(writes.into());
            let (readers, writers) = (ring.readers > 0, ring.writers > 0);
            let unused = if readers || writers { Storage::default() } else { ring.reset() };
            (unused, readers != writers)
        };
        drop(unused);
        if alone {
            // Whoever is left hears of it, and of each further close.
            self.queue.wake_all(READER_KEY | WRITER_KEY);
        }
    }

    /// How many readers and writers there are now.
    pub(super) fn users(&self) -> (u32, u32) {
        let ring = self.ring.lock();
        (ring.readers, ring.writers)
    }

    /// Sleeps until there is a reader, or more than `seen` have ever been.
    pub(super) fn wait_for_reader(&self, caller: &Caller<'_>, seen: u32) -> Result<()> {
        caller.wait(&self.queue, OPEN_KEY, || {
            let ring = self.ring.lock();
            (ring.readers > 0 || ring.readers_opened != seen).then_some(())
        })
    }

    /// As [`wait_for_reader`](Self::wait_for_reader), for writers.
    pub(super) fn wait_for_writer(&self, caller: &Caller<'_>, seen: u32) -> Result<()> {
        caller.wait(&self.queue, OPEN_KEY, || {
            let ring = self.ring.lock();
            (ring.writers > 0 || ring.writers_opened != seen).then_some(())
        })
    }
}

/// The users of a pipe when an end was added.
pub(super) struct Before {
    /// Readers ever opened.
    pub(super) readers_opened: u32,
    /// Writers ever opened.
    pub(super) writers_opened: u32,
    /// Whether the other side was open.
    pub(super) other_side: bool,
}

/// Storage for a capacity.
pub(super) fn new_storage(caller: &Caller<'_>, capacity: usize) -> Result<Storage> {
    let count = Ring::blocks_for(capacity);
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for _ in 0..count {
        blocks.push(Arc::new(RingBlock::new(pool::take(caller.host)?)));
    }
    Ok(Storage::new(blocks, capacity).ok_or(Errno::ENOMEM)?)
}

/// Copies the bytes of a ring to the start of other storage, kernel memory both.
fn copy_contents(ring: &Ring, storage: &Storage) {
    let mut buffer = [0_u8; 1024];
    let mut done = 0;
    let block_size = lx_core::host::BLOCK_SIZE;
    while done < ring.len() {
        let part = buffer.len().min(ring.len() - done);
        let Some(bytes) = buffer.get_mut(..part) else { return };
        ring.peek(done, bytes);
        if let Some(block) = storage.block(done / block_size) {
            block.write(done % block_size, bytes);
        }
        done += part;
    }
}
