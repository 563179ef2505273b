//! Sockets.
//!
//! So far: connected pairs of `AF_UNIX` stream sockets ([`stream`]), which event loops use to wake
//! themselves. A handler finds the socket behind a descriptor by [`StreamSocket::of`].
#![no_std]

extern crate alloc;

mod channel;
pub mod stream;

pub use stream::StreamSocket;
