//! What `sendmsg(2)` and `recvmsg(2)` carry besides the bytes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::socket::{MsgFlags, Ucred};
use lx_core::file::OpenFile;

/// What goes with a message that is sent.
#[derive(Default)]
pub struct Outgoing<'a> {
    /// Flags of the call.
    pub flags: MsgFlags,
    /// Not to wait: `O_NONBLOCK` or `MSG_DONTWAIT`.
    pub nonblocking: bool,
    /// Files of `SCM_RIGHTS`.
    pub rights: Vec<Arc<OpenFile>>,
    /// `SCM_CREDENTIALS`, checked.
    pub cred: Option<Ucred>,
    /// The destination as the guest gave it, empty for none; not for `AF_UNIX`.
    pub address: &'a [u8],
    /// Control messages as the guest gave them; not for `AF_UNIX`.
    pub control: &'a [u8],
}

/// How a message is received.
#[derive(Clone, Copy, Default)]
pub struct Incoming {
    /// Flags of the call.
    pub flags: MsgFlags,
    /// Not to wait: `O_NONBLOCK` or `MSG_DONTWAIT`.
    pub nonblocking: bool,
    /// The sender's address is wanted.
    pub wants_address: bool,
    /// Room for control messages.
    pub control_room: usize,
}

/// What came with a message.
#[derive(Default)]
pub struct Received {
    /// Bytes that were stored; with `MSG_TRUNC`, the length of the packet.
    pub len: usize,
    /// Flags for `msg_flags`.
    pub flags: MsgFlags,
    /// The sender's address; `None` leaves the caller's buffer alone, as for streams.
    pub address: Option<Vec<u8>>,
    /// Who sent it, if the receiver asked for that (`SO_PASSCRED`).
    pub cred: Option<Ucred>,
    /// Files of `SCM_RIGHTS`.
    pub rights: Vec<Arc<OpenFile>>,
    /// Control messages, ready to be copied out.
    pub control: Vec<u8>,
}
