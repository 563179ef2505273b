//! Where a read's bytes go and a write's bytes come from.
//!
//! [`IoDst`] and [`IoSrc`] hide whether that is guest memory (one range or an `iovec` list) or a
//! kernel buffer. A fault after some bytes makes a transfer short; a fault before the first byte
//! is `EFAULT`.

use alloc::vec::Vec;

use crate::abi::uio::{Iovec, MAX_RW_COUNT, UIO_MAXIOV};
use crate::abi::{Errno, UserPtr};
use crate::error::{Result, SysError};
use crate::host::{BLOCK_SIZE, Buf, BufMut, Fault, Host, PageBlock};
use crate::user_memory::{UserMemory, check_range};

/// A cursor over guest ranges.
struct Segments {
    memory: UserMemory,
    addr: u64,
    len: usize,
    /// Segments after the present one, last first.
    rest: Vec<Iovec>,
    remaining: usize,
}

impl Segments {
    fn one(memory: UserMemory, addr: u64, len: usize) -> Result<Self> {
        check_range(addr, len as u64)?;
        let len = len.min(MAX_RW_COUNT);
        Ok(Self { memory, addr, len, rest: Vec::new(), remaining: len })
    }

    fn list(memory: UserMemory, iov: UserPtr<Iovec>, count: usize) -> Result<Self> {
        if count > UIO_MAXIOV {
            return Err(Errno::EINVAL.into());
        }
        let mut rest = memory.read_array(iov, count)?;
        let mut total = 0_usize;
        for segment in &mut rest {
            let len = isize::try_from(segment.iov_len).map_err(|_| Errno::EINVAL)?.cast_unsigned();
            check_range(segment.iov_base.addr(), segment.iov_len)?;
            let len = len.min(MAX_RW_COUNT - total);
            segment.iov_len = len as u64;
            total += len;
        }
        rest.reverse();
        let mut segments = Self { memory, addr: 0, len: 0, rest, remaining: total };
        segments.settle();
        Ok(segments)
    }

    /// Moves on to the next segment that has bytes left.
    #[inline(always)]
    fn settle(&mut self) {
        if !self.rest.is_empty() {
            self.settle_in_rest();
        }
    }

    #[inline(never)]
    fn settle_in_rest(&mut self) {
        while self.len == 0 {
            let Some(next) = self.rest.pop() else { return };
            self.addr = next.iov_base.addr();
            self.len = next.iov_len as usize;
        }
    }

    fn advance(&mut self, count: usize) {
        self.addr = self.addr.wrapping_add(count as u64);
        self.len = self.len.saturating_sub(count);
        self.remaining = self.remaining.saturating_sub(count);
        self.settle();
    }

    /// Runs `step(host, addr, len, done)` over the ranges until `len` bytes are done or it stops
    /// short.
    #[inline(always)]
    fn transfer(
        &mut self,
        len: usize,
        mut step: impl FnMut(&dyn Host, u64, usize, usize) -> usize,
    ) -> Result<usize> {
        let len = len.min(self.remaining);
        if len == 0 {
            return Ok(0);
        }
        let mut done = 0;
        loop {
            // Nearly always the whole of it: then the first round is all there is.
            let part = self.len.min(len - done);
            let copied = step(self.memory.host(), self.addr, part, done);
            self.advance(copied);
            done += copied;
            if copied < part || done == len {
                break;
            }
        }
        if done == 0 { Err(Fault.into()) } else { Ok(done) }
    }
}

enum Dst<'a> {
    Kernel(&'a mut [u8]),
    Guest(Segments),
}

/// Destination of a read.
pub struct IoDst<'a> {
    to: Dst<'a>,
    done: usize,
}

impl<'a> IoDst<'a> {
    /// A kernel buffer.
    pub fn kernel(buffer: &'a mut [u8]) -> Self {
        Self { to: Dst::Kernel(buffer), done: 0 }
    }

    /// One guest range.
    ///
    /// # Errors
    /// `EFAULT` if it leaves the guest's part of the address space.
    pub fn guest(memory: UserMemory, addr: u64, len: usize) -> Result<Self> {
        Ok(Self { to: Dst::Guest(Segments::one(memory, addr, len)?), done: 0 })
    }

    /// An `iovec` list.
    ///
    /// # Errors
    /// `EINVAL`, `EFAULT` as `readv(2)`.
    pub fn vectors(memory: UserMemory, iov: UserPtr<Iovec>, count: usize) -> Result<Self> {
        Ok(Self { to: Dst::Guest(Segments::list(memory, iov, count)?), done: 0 })
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        match &self.to {
            Dst::Kernel(buffer) => buffer.len(),
            Dst::Guest(segments) => segments.remaining,
        }
    }

    /// Bytes stored so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Stores bytes; how many were stored.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = match &mut self.to {
            Dst::Kernel(buffer) => {
                let count = bytes.len().min(buffer.len());
                let (head, tail) = core::mem::take(buffer).split_at_mut(count);
                head.copy_from_slice(bytes.get(..count).unwrap_or_default());
                *buffer = tail;
                count
            }
            Dst::Guest(segments) => segments.transfer(bytes.len(), |host, addr, len, done| {
                host.copy_out_partial(addr, bytes.get(done..done + len).unwrap_or_default())
            })?,
        };
        self.done += count;
        Ok(count)
    }

    /// Stores what lies behind `offset` in a text; how many bytes.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be stored.
    pub fn put_behind(&mut self, offset: u64, text: &[u8]) -> Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match text.get(start..) {
            Some(rest) if !rest.is_empty() && self.remaining() > 0 => self.put(rest),
            _ => Ok(0),
        }
    }

    /// Stores `len` bytes of a page block.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be stored.
    pub fn put_block(&mut self, block: &PageBlock, offset: usize, len: usize) -> Result<usize> {
        let len = len.min(BLOCK_SIZE.saturating_sub(offset));
        let count = match &mut self.to {
            Dst::Kernel(buffer) => {
                let count = len.min(buffer.len());
                let (head, tail) = core::mem::take(buffer).split_at_mut(count);
                block.read(offset, head);
                *buffer = tail;
                count
            }
            Dst::Guest(segments) => segments.transfer(len, |host, addr, len, done| {
                host.copy_pages_out(addr, block, offset + done, len)
            })?,
        };
        self.done += count;
        Ok(count)
    }

    /// Stores zeros.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be stored.
    pub fn put_zeros(&mut self, len: usize) -> Result<usize> {
        const ZEROS: [u8; 1024] = [0; 1024];
        let mut done = 0;
        while done < len && self.remaining() > 0 {
            let part = (len - done).min(ZEROS.len());
            match self.put(ZEROS.get(..part).unwrap_or_default()) {
                Ok(count) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Lets the host store: `read(buffer, done)` is called for each range and returns how many
    /// bytes it stored; fewer than fit ends the transfer.
    ///
    /// # Errors
    /// The callback's, if nothing was stored before.
    pub fn fill(
        &mut self,
        mut read: impl FnMut(BufMut<'_>, usize) -> Result<usize>,
    ) -> Result<usize> {
        let start = self.done;
        while self.remaining() > 0 {
            let (part, result) = match &mut self.to {
                Dst::Kernel(buffer) => {
                    let part = buffer.len();
                    (part, read(BufMut::Kernel(buffer), self.done - start))
                }
                Dst::Guest(segments) => {
                    let (addr, len) = (segments.addr, segments.len);
                    (len, read(BufMut::Guest { addr, len }, self.done - start))
                }
            };
            match result {
                Ok(count) => {
                    let count = count.min(part);
                    match &mut self.to {
                        Dst::Kernel(buffer) => {
                            *buffer = core::mem::take(buffer).split_at_mut(count).1;
                        }
                        Dst::Guest(segments) => segments.advance(count),
                    }
                    self.done += count;
                    if count < part {
                        break;
                    }
                }
                Err(error) if self.done == start => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.done - start)
    }
}

enum Src<'a> {
    Kernel(&'a [u8]),
    Guest(Segments),
}

/// Source of a write.
pub struct IoSrc<'a> {
    from: Src<'a>,
    done: usize,
}

impl<'a> IoSrc<'a> {
    /// A kernel buffer.
    pub fn kernel(buffer: &'a [u8]) -> Self {
        Self { from: Src::Kernel(buffer), done: 0 }
    }

    /// One guest range.
    ///
    /// # Errors
    /// `EFAULT` if it leaves the guest's part of the address space.
    pub fn guest(memory: UserMemory, addr: u64, len: usize) -> Result<Self> {
        Ok(Self { from: Src::Guest(Segments::one(memory, addr, len)?), done: 0 })
    }

    /// An `iovec` list.
    ///
    /// # Errors
    /// `EINVAL`, `EFAULT` as `writev(2)`.
    pub fn vectors(memory: UserMemory, iov: UserPtr<Iovec>, count: usize) -> Result<Self> {
        Ok(Self { from: Src::Guest(Segments::list(memory, iov, count)?), done: 0 })
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        match &self.from {
            Src::Kernel(buffer) => buffer.len(),
            Src::Guest(segments) => segments.remaining,
        }
    }

    /// Bytes taken so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Takes bytes into `dst`; how many.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be read.
    pub fn take(&mut self, dst: &mut [u8]) -> Result<usize> {
        let count = match &mut self.from {
            Src::Kernel(buffer) => {
                let count = dst.len().min(buffer.len());
                let (head, tail) = buffer.split_at(count);
                if let Some(dst) = dst.get_mut(..count) {
                    dst.copy_from_slice(head);
                }
                *buffer = tail;
                count
            }
            Src::Guest(segments) => segments.transfer(dst.len(), |host, addr, len, done| {
                dst.get_mut(done..done + len).map_or(0, |dst| host.copy_in_partial(addr, dst))
            })?,
        };
        self.done += count;
        Ok(count)
    }

    /// Takes up to `len` bytes into a page block.
    ///
    /// # Errors
    /// `EFAULT` if not even one could be read.
    pub fn take_block(&mut self, block: &PageBlock, offset: usize, len: usize) -> Result<usize> {
        let len = len.min(BLOCK_SIZE.saturating_sub(offset));
        let count = match &mut self.from {
            Src::Kernel(buffer) => {
                let (head, tail) = buffer.split_at(len.min(buffer.len()));
                block.write(offset, head);
                *buffer = tail;
                head.len()
            }
            Src::Guest(segments) => segments.transfer(len, |host, addr, len, done| {
                host.copy_pages_in(block, offset + done, addr, len)
            })?,
        };
        self.done += count;
        Ok(count)
    }

    /// Lets the host take: as [`IoDst::fill`].
    ///
    /// # Errors
    /// The callback's, if nothing was taken before.
    pub fn drain(
        &mut self,
        mut write: impl FnMut(Buf<'_>, usize) -> Result<usize>,
    ) -> Result<usize> {
        let start = self.done;
        while self.remaining() > 0 {
            let (part, buffer) = match &self.from {
                Src::Kernel(buffer) => (buffer.len(), Buf::Kernel(buffer)),
                Src::Guest(Segments { addr, len, .. }) => {
                    (*len, Buf::Guest { addr: *addr, len: *len })
                }
            };
            match write(buffer, self.done - start) {
                Ok(count) => {
                    let count = count.min(part);
                    self.advance(count);
                    if count < part {
                        break;
                    }
                }
                Err(error) if self.done == start => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.done - start)
    }

    /// Drops bytes, as `/dev/null` does.
    pub fn advance(&mut self, count: usize) {
        match &mut self.from {
            Src::Kernel(buffer) => *buffer = buffer.get(count..).unwrap_or_default(),
            Src::Guest(segments) => {
                let mut left = count.min(segments.remaining);
                while left > 0 {
                    let part = segments.len.min(left);
                    segments.advance(part);
                    left -= part;
                }
            }
        }
        self.done += count;
    }
}

/// Turns "some bytes, then an error" into what the call returns: the bytes if there are any.
pub fn partial(done: usize, error: SysError) -> Result<usize> {
    if done > 0 { Ok(done) } else { Err(error) }
}
