//! Guest addresses. Each is a claim by the guest, not a reference: nothing here can read memory.
//!
//! Only the user-memory module turns a claim into bytes, and it checks the range at that moment.

use super::{Errno, FromArg, IntoReturn, TraceArg};
use core::fmt;
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first address beyond the guest's range; the kernel's shared region starts here.
pub const USER_END: u64 = 0x7000_0000_0000;

/// The size of a page, the unit of all mappings.
pub const PAGE_SIZE: u64 = 4096;

/// The address of a `T` in guest memory. It may be null, misaligned or unmapped.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct UserPtr<T> {
    addr: u64,
    of: PhantomData<fn() -> T>,
}

impl<T> UserPtr<T> {
    /// The null pointer.
    pub const NULL: Self = Self::new(0);

    /// A pointer to `addr`.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self { addr, of: PhantomData }
    }

    /// The address.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.addr
    }

    /// Whether the address is zero.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.addr == 0
    }

    /// `None` if the pointer is null: the usual reading of an optional argument.
    #[must_use]
    pub const fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }

    /// The pointer `count` elements further on; `EFAULT` if that wraps around.
    pub const fn offset(self, count: u64) -> Result<Self, Errno> {
        match count.checked_mul(size_of::<T>() as u64) {
            Some(bytes) => self.byte_offset(bytes),
            None => Err(Errno::EFAULT),
        }
    }

    /// The pointer `bytes` further on; `EFAULT` if that wraps around.
    pub const fn byte_offset(self, bytes: u64) -> Result<Self, Errno> {
        match self.addr.checked_add(bytes) {
            Some(addr) => Ok(Self::new(addr)),
            None => Err(Errno::EFAULT),
        }
    }

    /// The same address, taken as one of another type.
    #[must_use]
    pub const fn cast<U>(self) -> UserPtr<U> {
        UserPtr::new(self.addr)
    }

    /// The bytes of `count` elements; `EFAULT` if their size overflows.
    pub const fn slice(self, count: u64) -> Result<UserSlice, Errno> {
        match count.checked_mul(size_of::<T>() as u64) {
            Some(len) => Ok(UserSlice::new(self.addr, len)),
            None => Err(Errno::EFAULT),
        }
    }
}

// Derives would ask for `T: Clone` and so on; an address is plain data whatever it points to.
impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> PartialEq for UserPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl<T> Eq for UserPtr<T> {}

impl<T> Default for UserPtr<T> {
    fn default() -> Self {
        Self::NULL
    }
}

impl<T> fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace_address(self.addr, f)
    }
}

impl<T> FromArg for UserPtr<T> {
    const POINTER: bool = true;

    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self::new(raw))
    }
}

impl<T> IntoReturn for UserPtr<T> {
    fn into_return(self) -> u64 {
        self.addr
    }
}

impl<T> TraceArg for UserPtr<T> {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace_address(self.addr, f)
    }
}

/// A range of guest memory, in bytes. Built from two arguments, so it is not a `FromArg` itself.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct UserSlice {
    addr: u64,
    len: u64,
}

impl UserSlice {
    /// The `len` bytes from `addr`. The range may wrap; using it then gives `EFAULT`.
    #[must_use]
    pub const fn new(addr: u64, len: u64) -> Self {
        Self { addr, len }
    }

    /// The first address.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.addr
    }

    /// The length in bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// Whether the length is zero.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The address after the last byte; `EFAULT` if the range leaves the guest's address space.
    pub const fn end(self) -> Result<u64, Errno> {
        match self.addr.checked_add(self.len) {
            Some(end) if end <= USER_END => Ok(end),
            _ => Err(Errno::EFAULT),
        }
    }

    /// The first `len` bytes, or all if there are fewer.
    #[must_use]
    pub const fn truncate(self, len: u64) -> Self {
        Self { addr: self.addr, len: if len < self.len { len } else { self.len } }
    }

    /// What is left after the first `count` bytes; empty if there are fewer.
    #[must_use]
    pub const fn skip(self, count: u64) -> Self {
        let count = if count < self.len { count } else { self.len };
        Self { addr: self.addr.wrapping_add(count), len: self.len.wrapping_sub(count) }
    }
}

impl fmt::Debug for UserSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace(f)
    }
}

impl TraceArg for UserSlice {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace_address(self.addr, f)?;
        write!(f, ", {}", self.len)
    }
}

/// The address of a NUL-terminated string in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct UserCStr(u64);

impl UserCStr {
    /// A string at `addr`.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self(addr)
    }

    /// The address of the first byte.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.0
    }

    /// Whether the address is zero.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The string as a pointer to its bytes.
    #[must_use]
    pub const fn as_ptr(self) -> UserPtr<u8> {
        UserPtr::new(self.0)
    }
}

impl fmt::Debug for UserCStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace_address(self.0, f)
    }
}

impl FromArg for UserCStr {
    const POINTER: bool = true;

    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw))
    }
}

impl TraceArg for UserCStr {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace_address(self.0, f)
    }
}

fn trace_address(addr: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if addr == 0 { f.write_str("NULL") } else { write!(f, "{addr:#x}") }
}

#[cfg(test)]
mod tests {
    use super::{USER_END, UserPtr, UserSlice};
    use crate::abi::Errno;

    #[test]
    fn offsets_count_elements() {
        let p = UserPtr::<u32>::new(0x1000);
        assert_eq!(p.offset(3).map(UserPtr::addr), Ok(0x100c));
        assert_eq!(p.offset(u64::MAX / 2), Err(Errno::EFAULT));
        assert_eq!(UserPtr::<u32>::new(u64::MAX).offset(1), Err(Errno::EFAULT));
        assert_eq!(p.cast::<u64>().offset(1).map(UserPtr::addr), Ok(0x1008));
    }

    #[test]
    fn slices_end_below_the_limit() {
        assert_eq!(UserSlice::new(USER_END - 8, 8).end(), Ok(USER_END));
        assert_eq!(UserSlice::new(USER_END - 8, 9).end(), Err(Errno::EFAULT));
        assert_eq!(UserSlice::new(u64::MAX, 2).end(), Err(Errno::EFAULT));
        assert_eq!(UserSlice::new(0x10, 4).skip(9), UserSlice::new(0x14, 0));
        assert_eq!(UserSlice::new(0x10, 4).truncate(2), UserSlice::new(0x10, 2));
    }
}
