//! Sockets.
//!
//! [`Socket`] is the file behind a descriptor: it joins a family's object to what files do
//! ([`FileOps`](lx_core::file::FileOps)). `AF_UNIX` lives wholly in the kernel ([`unix`]); `AF_INET` and
//! `AF_INET6` are sockets of the host ([`inet`]); `AF_NETLINK` shows the host's interfaces ([`netlink`]). A handler
//! finds the socket behind a descriptor by [`Socket::of`].
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod inet;
mod interface;
pub mod message;
pub mod netlink;
pub mod options;
pub mod socket;
pub mod unix;
mod view;

pub use inet::InetSocket;
pub use message::{Incoming, Outgoing, Received};
pub use netlink::NetlinkSocket;
pub use socket::{Family, Socket};
pub use unix::UnixSocket;
