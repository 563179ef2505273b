//! Sockets of the host: `AF_INET` and `AF_INET6`.

use alloc::vec::Vec;

use super::{Buf, BufMut, HostError, HostFd, HostResult};
use crate::abi::Errno;
use crate::abi::socket::{AddressFamily, MsgFlags, SOCKADDR_STORAGE_SIZE, ShutdownHow, SocketKind};

/// What comes with bytes that are received.
#[derive(Clone, Debug)]
pub struct NetMessage {
    /// The sender's address, as Linux lays it out.
    pub address: [u8; SOCKADDR_STORAGE_SIZE],
    /// Its length; 0 for none.
    pub address_len: usize,
    /// Control messages, as Linux lays them out. As long as there is room for before, as long as
    /// they are afterwards.
    pub control: Vec<u8>,
    /// `msg_flags`.
    pub flags: MsgFlags,
}

impl NetMessage {
    /// Nothing yet, with room for so many bytes of control messages.
    pub fn with_room(control_room: usize) -> Self {
        Self {
            address: [0; SOCKADDR_STORAGE_SIZE],
            address_len: 0,
            control: alloc::vec![0; control_room],
            flags: MsgFlags::empty(),
        }
    }
}

/// A network interface.
#[derive(Clone, Debug, Default)]
pub struct NetInterface {
    /// Index, from 1.
    pub index: u32,
    /// Name.
    pub name: Vec<u8>,
    /// `ARPHRD_*`: 772 for loopback, 1 for Ethernet.
    pub kind: u16,
    /// `IFF_*`.
    pub flags: u32,
    /// Largest packet.
    pub mtu: u32,
    /// Hardware address.
    pub hardware: Vec<u8>,
    /// Its addresses.
    pub addresses: Vec<NetAddress>,
}

/// An address of an interface.
#[derive(Clone, Debug)]
pub struct NetAddress {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// 4 or 16 bytes in network order.
    pub bytes: Vec<u8>,
    /// Length of the network's part in bits.
    pub prefix: u8,
    /// `RT_SCOPE_*`: 0 for global, 253 for a link, 254 for the host.
    pub scope: u8,
    /// `IFA_F_*`.
    pub flags: u8,
    /// The broadcast address, empty for none.
    pub broadcast: Vec<u8>,
}

const NOT_OFFERED: HostError = HostError(Errno::EAFNOSUPPORT);

/// Sockets of the host. Nothing here waits: what cannot be done now answers `EAGAIN` (`EINPROGRESS`
/// for a connection), and readiness is asked for and announced as with
/// [`HostConsole`](super::HostConsole). Addresses, options and control messages have Linux's
/// layout. A host without sockets keeps the defaults.
pub trait HostNet {
    /// A new socket.
    fn net_socket(
        &self,
        family: AddressFamily,
        kind: SocketKind,
        protocol: i32,
    ) -> HostResult<HostFd> {
        let _ = (family, kind, protocol);
        Err(NOT_OFFERED)
    }

    /// Gives it an address.
    fn net_bind(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        let _ = (fd, address);
        Err(NOT_OFFERED)
    }

    /// Takes connections.
    fn net_listen(&self, fd: &HostFd, backlog: i32) -> HostResult<()> {
        let _ = (fd, backlog);
        Err(NOT_OFFERED)
    }

    /// Begins a connection. When the socket is writable after `EINPROGRESS`, another call tells
    /// how it ended.
    fn net_connect(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        let _ = (fd, address);
        Err(NOT_OFFERED)
    }

    /// The next connection.
    fn net_accept(&self, fd: &HostFd) -> HostResult<HostFd> {
        let _ = fd;
        Err(NOT_OFFERED)
    }

    /// Sends; `address` and `control` are empty for none. Never raises a signal.
    fn net_send(
        &self,
        fd: &HostFd,
        bytes: Buf<'_>,
        flags: MsgFlags,
        address: &[u8],
        control: &[u8],
    ) -> HostResult<usize> {
        let _ = (fd, bytes, flags, address, control);
        Err(NOT_OFFERED)
    }

    /// Receives; what comes with the bytes goes to `message` if that is wanted.
    fn net_receive(
        &self,
        fd: &HostFd,
        bytes: BufMut<'_>,
        flags: MsgFlags,
        message: Option<&mut NetMessage>,
    ) -> HostResult<usize> {
        let _ = (fd, bytes, flags, message);
        Err(NOT_OFFERED)
    }

    /// Ends one or both directions.
    fn net_shutdown(&self, fd: &HostFd, how: ShutdownHow) -> HostResult<()> {
        let _ = (fd, how);
        Err(NOT_OFFERED)
    }

    /// Its address, or its peer's.
    fn net_name(&self, fd: &HostFd, peer: bool) -> HostResult<Vec<u8>> {
        let _ = (fd, peer);
        Err(NOT_OFFERED)
    }

    /// The value of an option; `value` holds what the caller gave, and its length is the room.
    fn net_option(
        &self,
        fd: &HostFd,
        level: i32,
        name: i32,
        value: &mut Vec<u8>,
    ) -> HostResult<()> {
        let _ = (fd, level, name, value);
        Err(NOT_OFFERED)
    }

    /// Sets an option.
    fn net_set_option(&self, fd: &HostFd, level: i32, name: i32, value: &[u8]) -> HostResult<()> {
        let _ = (fd, level, name, value);
        Err(NOT_OFFERED)
    }

    /// A request of `ioctl(2)` whose argument is one `int`: `FIONREAD`, `SIOCOUTQ`, `SIOCATMARK`.
    fn net_count(&self, fd: &HostFd, request: u32) -> HostResult<i32> {
        let _ = (fd, request);
        Err(NOT_OFFERED)
    }

    /// The interfaces, in the order of their indices.
    fn net_interfaces(&self) -> Vec<NetInterface> {
        Vec::new()
    }
}
