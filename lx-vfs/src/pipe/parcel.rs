//! Moving bytes between pipes, and from files, without breaking them up otherwise: `splice(2)`,
//! `tee(2)`.

use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::error::Result;
use lx_core::io::partial;

use super::ring::Slot;
use super::transfer::{READER_KEY, WRITER_KEY};
use super::{PIPE_BUF, Pipe};

/// Bytes on their way into a pipe, with the slots that they will have there.
#[derive(Default)]
pub struct Parcel {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Parcel {
    /// Bytes of a file's pages, the first of which has `offset` others before them.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn of_pages(bytes: Vec<u8>, offset: usize) -> Result<Self> {
        let mut slots = Vec::new();
        let (mut offset, mut left) = (offset % PIPE_BUF, bytes.len());
        slots.try_reserve(left / PIPE_BUF + 2).map_err(|_| Errno::ENOMEM)?;
        while left > 0 {
            let len = left.min(PIPE_BUF - offset);
            // Both are at most a page.
            slots.push(Slot::of_file(offset, len));
            left -= len;
            offset = 0;
        }
        Ok(Self { bytes, slots })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Pipe {
    /// Waits until a slot is free; how many are.
    ///
    /// # Errors
    /// `EPIPE` without readers, `EAGAIN`, `Restart`.
    pub fn wait_slots(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<usize> {
        self.wait_for(caller, nonblocking, WRITER_KEY, || {
            let mut ring = self.ring.lock();
            if ring.readers == 0 {
                return Some(Err(Errno::EPIPE.into()));
            }
            if !ring.is_writable() {
                ring.writer_sleeps = true;
                return None;
            }
            Some(Ok(ring.free_slots()))
        })
    }

    /// Waits until there are bytes; whether there are, or else no writer.
    ///
    /// # Errors
    /// `EAGAIN`, `Restart`.
    pub fn wait_bytes(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<bool> {
        self.wait_for(caller, nonblocking, READER_KEY, || {
            let mut ring = self.ring.lock();
            let any = ring.len() > 0;
            if !any && ring.writers > 0 {
                ring.reader_sleeps = true;
                return None;
            }
            Some(Ok(any))
        })
    }

    /// Takes up to `len` bytes of up to `slots` slots; with `keep` they are copied. What was not
    /// whole, or stays here too, takes no more bytes where it comes.
    ///
    /// # Errors
    /// `ENOMEM`, `Restart`.
    pub fn pack(
        &self,
        caller: &Caller<'_>,
        len: usize,
        slots: usize,
        keep: bool,
    ) -> Result<Parcel> {
        let mut parcel = Parcel::default();
        let most = len.min(self.len()).min(slots.saturating_mul(PIPE_BUF));
        parcel.bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
        parcel.slots.try_reserve_exact(slots).map_err(|_| Errno::ENOMEM)?;
        parcel.bytes.resize(most, 0);
        let key = self.wait_for(caller, false, READER_KEY, || {
            let mut ring = self.ring.lock();
            if ring.reading {
                ring.contended = true;
                return None;
            }
            let mut left = most;
            while parcel.slots.len() < slots
                && left > 0
                && let Some(mut slot) = ring.slot(parcel.slots.len(), left)
            {
                slot.merges &= !keep;
                left -= usize::from(slot.len);
                parcel.slots.push(slot);
            }
            parcel.bytes.truncate(most - left);
            ring.peek(0, &mut parcel.bytes);
            let writable = ring.is_writable();
            if keep {
                return Some(Ok(0));
            }
            ring.consume(parcel.bytes.len());
            Some(Ok(self.bytes_taken(&mut ring, writable)))
        })?;
        self.wake(key);
        Ok(parcel)
    }

    /// Adds all bytes of a parcel. Normally there is room; another writer may have been faster.
    ///
    /// # Errors
    /// `ENOMEM`; `EPIPE` or `Restart` if there was no room for any.
    pub fn unpack(&self, caller: &Caller<'_>, parcel: &Parcel) -> Result<usize> {
        let (mut done, mut slots) = (0, parcel.slots.iter().peekable());
        while slots.peek().is_some() {
            let step = self.wait_slots(caller, false).and_then(|_| {
                if self.ring.lock().has_blocks() { Ok(()) } else { self.provide_storage(caller) }
            });
            if let Err(error) = step {
                return partial(done, error);
            }
            let key = self.wait_for(caller, false, WRITER_KEY, || {
                let mut ring = self.ring.lock();
                if ring.writing {
                    ring.contended = true;
                    return None;
                }
                while ring.is_writable()
                    && ring.has_blocks()
                    && let Some(slot) = slots.next()
                {
                    let end = done + usize::from(slot.len);
                    ring.push_slot(*slot, parcel.bytes.get(done..end).unwrap_or_default());
                    done = end;
                }
                Some(Ok(self.bytes_added(&mut ring)))
            });
            match key {
                Ok(key) => self.wake(key),
                Err(error) => return partial(done, error),
            }
        }
        Ok(done)
    }

    /// Puts bytes back that have just been read; `false` if there is no memory for that.
    pub fn put_back(&self, bytes: &[u8]) -> bool {
        self.put_back_into(bytes, None)
    }

    /// As [`put_back`](Self::put_back), of bytes that were the beginning of the slot `of`.
    pub(super) fn put_back_into(&self, bytes: &[u8], of: Option<Slot>) -> bool {
        let (done, key) = {
            let mut ring = self.ring.lock();
            let done = ring.unread(bytes, of);
            (done, self.bytes_added(&mut ring))
        };
        self.wake(key);
        done
    }
}
