//! Guest memory: the only way to follow a guest pointer.
//!
//! A pointer is a claim ([`UserPtr`]); these methods are where it is put to the test. Every access
//! is fault-safe and stays below [`USER_END`].

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use crate::abi::{Errno, USER_END, UserCStr, UserPtr};
use crate::error::Result;
use crate::host::{Fault, Host};

/// Longest path with its NUL, `PATH_MAX`.
pub const PATH_MAX: usize = 4096;

/// A path as read from guest memory, without its NUL.
pub type PathBuffer = ArrayVec<u8, PATH_MAX>;

/// Guest memory of the calling process.
#[derive(Clone, Copy)]
pub struct UserMemory {
    host: &'static dyn Host,
}

/// Checks that a range lies in the part of the address space that guests may use.
pub fn check_range(addr: u64, len: u64) -> core::result::Result<(), Fault> {
    match addr.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Fault),
    }
}

impl UserMemory {
    /// Memory of the process that runs on `host` now.
    pub fn new(host: &'static dyn Host) -> Self {
        Self { host }
    }

    /// The host.
    pub fn host(&self) -> &'static dyn Host {
        self.host
    }

    /// Copies a value in.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read<T: FromBytes + FromZeros + IntoBytes>(&self, ptr: UserPtr<T>) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(ptr.addr(), value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value out.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write<T: IntoBytes + Immutable>(&self, ptr: UserPtr<T>, value: &T) -> Result<()> {
        self.write_bytes(ptr.addr(), value.as_bytes())
    }

    /// Copies a value out unless the pointer is null.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write_unless_null<T: IntoBytes + Immutable>(
        &self,
        ptr: UserPtr<T>,
        value: &T,
    ) -> Result<()> {
        if ptr.is_null() { Ok(()) } else { self.write(ptr, value) }
    }

    /// Copies a value in unless the pointer is null.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_unless_null<T: FromBytes + FromZeros + IntoBytes>(
        &self,
        ptr: UserPtr<T>,
    ) -> Result<Option<T>> {
        if ptr.is_null() { Ok(None) } else { self.read(ptr).map(Some) }
    }

    /// Copies `count` values in.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` if the size overflows.
    pub fn read_array<T: FromBytes + FromZeros + IntoBytes + Clone>(
        &self,
        ptr: UserPtr<T>,
        count: usize,
    ) -> Result<Vec<T>> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or(Errno::EINVAL)?;
        check_range(ptr.addr(), bytes as u64)?;
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        values.resize(count, T::new_zeroed());
        for (at, value) in values.iter_mut().enumerate() {
            let addr = ptr.addr().wrapping_add((at * size_of::<T>()) as u64);
            self.read_bytes(addr, value.as_mut_bytes())?;
        }
        Ok(values)
    }

    /// Copies values out, one after the other.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write_array<T: IntoBytes + Immutable>(
        &self,
        ptr: UserPtr<T>,
        values: &[T],
    ) -> Result<()> {
        self.write_bytes(ptr.addr(), values.as_bytes())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_bytes(&self, addr: u64, dst: &mut [u8]) -> Result<()> {
        check_range(addr, dst.len() as u64)?;
        Ok(self.host.copy_in(addr, dst)?)
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write_bytes(&self, addr: u64, src: &[u8]) -> Result<()> {
        check_range(addr, src.len() as u64)?;
        Ok(self.host.copy_out(addr, src)?)
    }

    /// Zeroes a range.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn zero(&self, addr: u64, len: u64) -> Result<()> {
        check_range(addr, len)?;
        Ok(self.host.zero(addr, len)?)
    }

    /// Copies a path in.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG` if it has no NUL within `PATH_MAX` bytes.
    pub fn read_path<'b>(&self, path: UserCStr, buffer: &'b mut PathBuffer) -> Result<&'b [u8]> {
        buffer.clear();
        // The buffer is an array already: filling it with zeros would cost more than the copy.
        let mut chunk = [0_u8; 256];
        let mut addr = path.addr();
        loop {
            match self.read_str_chunk(addr, &mut chunk)? {
                (bytes, true) => {
                    buffer.try_extend_from_slice(bytes).map_err(|_| Errno::ENAMETOOLONG)?;
                    return Ok(buffer.as_slice());
                }
                (bytes, false) => {
                    buffer.try_extend_from_slice(bytes).map_err(|_| Errno::ENAMETOOLONG)?;
                    if buffer.is_full() {
                        return Err(Errno::ENAMETOOLONG.into());
                    }
                    addr = addr.wrapping_add(bytes.len() as u64);
                }
            }
        }
    }

    /// Copies a string of at most `max` bytes in.
    ///
    /// # Errors
    /// `EFAULT`; `too_long` if it has no NUL in that length.
    pub fn read_string(&self, string: UserCStr, max: usize, too_long: Errno) -> Result<Vec<u8>> {
        let mut result = Vec::new();
        let mut chunk = [0_u8; 256];
        let mut addr = string.addr();
        loop {
            let (bytes, last) = self.read_str_chunk(addr, &mut chunk)?;
            if result.len() + bytes.len() > max {
                return Err(too_long.into());
            }
            result.try_reserve(bytes.len()).map_err(|_| Errno::ENOMEM)?;
            result.extend_from_slice(bytes);
            if last {
                return Ok(result);
            }
            addr = addr.wrapping_add(bytes.len() as u64);
        }
    }

    /// The next part of a string, and whether its NUL was found.
    fn read_str_chunk<'b>(&self, addr: u64, chunk: &'b mut [u8; 256]) -> Result<(&'b [u8], bool)> {
        let room = USER_END.saturating_sub(addr).min(chunk.len() as u64) as usize;
        let part = chunk.get_mut(..room).ok_or(Fault)?;
        if part.is_empty() {
            return Err(Fault.into());
        }
        match self.host.copy_in_str(addr, part)? {
            Some(len) => Ok((chunk.get(..len).ok_or(Fault)?, true)),
            None => Ok((chunk.get(..room).ok_or(Fault)?, false)),
        }
    }

    /// Loads a futex word.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` if it is not aligned.
    pub fn load_u32(&self, ptr: UserPtr<u32>) -> Result<u32> {
        self.check_word(ptr)?;
        Ok(self.host.load_u32(ptr.addr())?)
    }

    /// Compares and exchanges a futex word; the value found before.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` if it is not aligned.
    pub fn compare_exchange_u32(&self, ptr: UserPtr<u32>, current: u32, new: u32) -> Result<u32> {
        self.check_word(ptr)?;
        Ok(self.host.compare_exchange_u32(ptr.addr(), current, new)?)
    }

    fn check_word(&self, ptr: UserPtr<u32>) -> Result<()> {
        if ptr.addr() & 3 != 0 {
            return Err(Errno::EINVAL.into());
        }
        Ok(check_range(ptr.addr(), 4)?)
    }
}
