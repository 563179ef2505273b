//! Scatter/gather I/O: `include/uapi/linux/uio.h`, readv(2).

use super::{UserPtr, UserSlice};

abi_struct! {
    /// `struct iovec`: one piece of a vector.
    pub struct Iovec = linux_raw_sys::general::iovec {
        pub iov_base: UserPtr<u8>,
        pub iov_len: u64,
    }
}

impl Iovec {
    /// The piece as a range.
    #[must_use]
    pub const fn slice(&self) -> UserSlice {
        UserSlice::new(self.iov_base.addr(), self.iov_len)
    }
}

/// The longest vector a call accepts (`UIO_MAXIOV`).
pub const UIO_MAXIOV: usize = 1024;

/// What one read or write transfers at most: `MAX_RW_COUNT`, `INT_MAX` rounded down to a page.
pub const MAX_RW_COUNT: usize = 0x7fff_f000;
