//! A socket as the tables of `/proc/net` show it.

use alloc::vec::Vec;

use crate::abi::socket::{AddressFamily, SocketKind};

/// What is to be seen of a socket from outside.
#[derive(Clone, Debug)]
pub struct SocketView {
    /// Number of its node.
    pub ino: u64,
    /// Who made it.
    pub uid: u32,
    /// Its family.
    pub family: AddressFamily,
    /// Its kind.
    pub kind: SocketKind,
    /// Its protocol.
    pub protocol: i32,
    /// State, as a TCP socket's is numbered (`TCP_ESTABLISHED` is 1).
    pub state: u8,
    /// `getsockname(2)`; empty if there is none.
    pub name: Vec<u8>,
    /// `getpeername(2)`; empty if there is none.
    pub peer: Vec<u8>,
    /// Bytes that were sent and are not acknowledged, or not taken out of the queue.
    pub unsent: u32,
    /// Bytes that can be received; of a listening TCP socket, connections.
    pub unread: u32,
}

impl SocketView {
    /// Connected.
    pub const ESTABLISHED: u8 = 1;
    /// Neither connected nor listening.
    pub const CLOSE: u8 = 7;
    /// Takes connections.
    pub const LISTEN: u8 = 10;
}
