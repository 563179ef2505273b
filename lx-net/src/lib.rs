//! Sockets.
//!
//! [`Socket`] is the file behind a descriptor: it joins a family's object to what files do
//! ([`FileOps`](lx_core::file::FileOps)). `AF_UNIX` lives wholly in the kernel ([`unix`]). A handler
//! finds the socket behind a descriptor by [`Socket::of`].
#![no_std]

extern crate alloc;

pub mod message;
pub mod options;
pub mod socket;
pub mod unix;

pub use message::{Incoming, Outgoing, Received};
pub use socket::{Family, Socket};
pub use unix::UnixSocket;
