//! Sockets: `include/linux/socket.h`, `uapi/linux/{un,in,in6,netlink}.h`; socket(2), send(2).

use super::uio::Iovec;
use super::{Errno, FromArg, TraceArg, UserPtr};
use core::fmt;

abi_values! {
    /// An address family.
    pub struct AddressFamily: i32, checked by net {
        AF_UNSPEC = 0,
        AF_UNIX = 1,
        AF_INET = 2,
        AF_AX25 = 3,
        AF_IPX = 4,
        AF_APPLETALK = 5,
        AF_X25 = 9,
        AF_INET6 = 10,
        AF_KEY = 15,
        AF_NETLINK = 16,
        AF_PACKET = 17,
        AF_RDS = 21,
        AF_PPPOX = 24,
        AF_LLC = 26,
        AF_CAN = 29,
        AF_TIPC = 30,
        AF_BLUETOOTH = 31,
        AF_ALG = 38,
        AF_VSOCK = 40,
        AF_KCM = 41,
        AF_XDP = 44,
    }
}

impl AddressFamily {
    /// One more than the highest family.
    pub const AF_MAX: i32 = linux_raw_sys::net::AF_MAX as i32;
}

abi_values! {
    /// A socket's type, without the flags of socket(2).
    pub struct SocketKind: u32, checked by net {
        SOCK_STREAM = 1,
        SOCK_DGRAM = 2,
        SOCK_RAW = 3,
        SOCK_RDM = 4,
        SOCK_SEQPACKET = 5,
    }
}

abi_flags! {
    /// Flags of socket(2) and accept4(2).
    pub struct SocketFlags: u32 and {
        SOCK_NONBLOCK = 0o4000,
        SOCK_CLOEXEC = 0o2_000_000,
    }
}

strict_flags_arg!(SocketFlags: u32);

/// The type argument of socket(2): kind and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketType {
    /// The kind.
    pub kind: SocketKind,
    /// The flags.
    pub flags: SocketFlags,
}

impl FromArg for SocketType {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        const KIND: u32 = 0xf;
        let raw = raw as u32;
        let flags = SocketFlags::from_bits(raw & !KIND).ok_or(Errno::EINVAL)?;
        Ok(Self { kind: SocketKind(raw & KIND), flags })
    }
}

impl TraceArg for SocketType {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.trace(f)?;
        if self.flags.is_empty() {
            return Ok(());
        }
        f.write_str("|")?;
        self.flags.trace(f)
    }
}

abi_flags! {
    /// Flags of send(2) and recv(2). Linux ignores unknown bits.
    pub struct MsgFlags: u32, checked by net {
        MSG_OOB = 0x01,
        MSG_PEEK = 0x02,
        MSG_DONTROUTE = 0x04,
        MSG_CTRUNC = 0x08,
        MSG_PROBE = 0x10,
        MSG_TRUNC = 0x20,
        MSG_DONTWAIT = 0x40,
        MSG_EOR = 0x80,
        MSG_WAITALL = 0x100,
        MSG_FIN = 0x200,
        MSG_SYN = 0x400,
        MSG_CONFIRM = 0x800,
        MSG_RST = 0x1000,
        MSG_ERRQUEUE = 0x2000,
        MSG_NOSIGNAL = 0x4000,
        MSG_MORE = 0x8000,
        MSG_CMSG_CLOEXEC = 0x4000_0000,
    } and {
        /// recvmmsg: do not wait after the first message.
        MSG_WAITFORONE = 0x1_0000,
        MSG_ZEROCOPY = 0x400_0000,
        MSG_FASTOPEN = 0x2000_0000,
    }
}

truncate_flags_arg!(MsgFlags: u32);

abi_values! {
    /// What shutdown(2) ends.
    pub struct ShutdownHow: u32, checked by net {
        SHUT_RD = 0,
        SHUT_WR = 1,
        SHUT_RDWR = 2,
    }
}

abi_consts!(i32, checked by net {
    SOL_SOCKET = 1,
    SOL_IP = 0,
    SOL_TCP = 6,
    SOL_UDP = 17,
    SOL_IPV6 = 41,
    SOL_NETLINK = 270,
    /// Control message: descriptors.
    SCM_RIGHTS = 1,
    /// Control message: [`Ucred`].
    SCM_CREDENTIALS = 2,
});

abi_values! {
    /// An option of level `SOL_SOCKET`.
    pub struct SocketOption: i32, checked by net {
        SO_DEBUG = 1,
        SO_REUSEADDR = 2,
        SO_TYPE = 3,
        SO_ERROR = 4,
        SO_DONTROUTE = 5,
        SO_BROADCAST = 6,
        SO_SNDBUF = 7,
        SO_RCVBUF = 8,
        SO_KEEPALIVE = 9,
        SO_OOBINLINE = 10,
        SO_NO_CHECK = 11,
        SO_PRIORITY = 12,
        SO_LINGER = 13,
        SO_REUSEPORT = 15,
        SO_PASSCRED = 16,
        SO_PEERCRED = 17,
        SO_RCVLOWAT = 18,
        SO_SNDLOWAT = 19,
        SO_RCVTIMEO_OLD = 20,
        SO_SNDTIMEO_OLD = 21,
        SO_BINDTODEVICE = 25,
        SO_ATTACH_FILTER = 26,
        SO_DETACH_FILTER = 27,
        SO_PEERNAME = 28,
        SO_TIMESTAMP_OLD = 29,
        SO_ACCEPTCONN = 30,
        SO_PEERSEC = 31,
        SO_SNDBUFFORCE = 32,
        SO_RCVBUFFORCE = 33,
        SO_PASSSEC = 34,
        SO_MARK = 36,
        SO_PROTOCOL = 38,
        SO_DOMAIN = 39,
        SO_PEEK_OFF = 42,
        SO_INCOMING_CPU = 49,
        SO_COOKIE = 57,
        SO_PEERGROUPS = 59,
        SO_BINDTOIFINDEX = 62,
        SO_PASSPIDFD = 76,
        SO_PEERPIDFD = 77,
    }
}

/// The largest address any call takes (`struct sockaddr_storage`).
pub const SOCKADDR_STORAGE_SIZE: usize = 128;
/// The largest backlog of listen(2) (`/proc/sys/net/core/somaxconn`).
pub const SOMAXCONN: u32 = 4096;
/// The most descriptors in one message.
pub const SCM_MAX_FD: usize = 253;
/// The longest path of a Unix-domain address.
pub const UNIX_PATH_MAX: usize = 108;

abi_struct! {
    /// `struct sockaddr_un`. Its length says how much of the path counts.
    pub struct SockaddrUn [size 110] {
        @0 pub sun_family: u16,
        @2 pub sun_path: [u8; UNIX_PATH_MAX],
    }
}

abi_struct! {
    /// `struct sockaddr_in`. Port and address are in network byte order.
    #[derive(PartialEq, Eq)]
    pub struct SockaddrIn [size 16] {
        @0 pub sin_family: u16,
        @2 pub sin_port: [u8; 2],
        @4 pub sin_addr: [u8; 4],
        @8 pub pad: [u8; 8],
    }
}

abi_struct! {
    /// `struct sockaddr_in6`. Port, flow and address are in network byte order.
    #[derive(PartialEq, Eq)]
    pub struct SockaddrIn6 [size 28] {
        @0 pub sin6_family: u16,
        @2 pub sin6_port: [u8; 2],
        @4 pub sin6_flowinfo: [u8; 4],
        @8 pub sin6_addr: [u8; 16],
        @24 pub sin6_scope_id: u32,
    }
}

abi_struct! {
    /// `struct sockaddr_nl`
    pub struct SockaddrNl [size 12] {
        @0 pub nl_family: u16,
        @2 pub nl_pad: u16,
        @4 pub nl_pid: u32,
        @8 pub nl_groups: u32,
    }
}

abi_struct! {
    /// `struct msghdr`
    pub struct MsgHdr [size 56] {
        @0 pub msg_name: UserPtr<u8>,
        @8 pub msg_namelen: i32,
        @12 pub pad0: u32,
        @16 pub msg_iov: UserPtr<Iovec>,
        @24 pub msg_iovlen: u64,
        @32 pub msg_control: UserPtr<u8>,
        @40 pub msg_controllen: u64,
        @48 pub msg_flags: u32,
        @52 pub pad1: u32,
    }
}

abi_struct! {
    /// `struct mmsghdr` of sendmmsg(2) and recvmmsg(2)
    pub struct MMsgHdr [size 64] {
        @0 pub msg_hdr: MsgHdr,
        @56 pub msg_len: u32,
        @60 pub pad: u32,
    }
}

abi_struct! {
    /// `struct cmsghdr`; the data follow, padded to a multiple of 8
    pub struct CmsgHdr [size 16] {
        /// The length of header and data, without the padding.
        @0 pub cmsg_len: u64,
        @8 pub cmsg_level: i32,
        @12 pub cmsg_type: i32,
    }
}

impl CmsgHdr {
    /// `CMSG_ALIGN`: `len` rounded up to where the next message starts; saturates.
    #[must_use]
    pub const fn align(len: u64) -> u64 {
        len.saturating_add(7) & !7
    }

    /// `CMSG_LEN`: the `cmsg_len` of a message with this much data; saturates.
    #[must_use]
    pub const fn len_for(data: u64) -> u64 {
        data.saturating_add(size_of::<Self>() as u64)
    }
}

abi_struct! {
    /// `struct ucred`: the sender or peer
    #[derive(PartialEq, Eq)]
    pub struct Ucred = linux_raw_sys::net::ucred {
        pub pid: u32,
        pub uid: u32,
        pub gid: u32,
    }
}

abi_struct! {
    /// `struct linger` of `SO_LINGER`
    pub struct Linger = linux_raw_sys::net::linger {
        pub l_onoff: i32,
        pub l_linger: i32,
    }
}

const _: () = {
    use core::mem::{offset_of, size_of};
    use linux_raw_sys::net as sys;
    assert!(size_of::<SockaddrUn>() == size_of::<sys::sockaddr_un>());
    assert!(size_of::<SockaddrIn>() == size_of::<sys::sockaddr_in>());
    assert!(size_of::<SockaddrIn6>() == size_of::<sys::sockaddr_in6>());
    assert!(size_of::<MsgHdr>() == size_of::<sys::msghdr>());
    assert!(offset_of!(MsgHdr, msg_control) == offset_of!(sys::msghdr, msg_control));
    assert!(offset_of!(MsgHdr, msg_flags) == offset_of!(sys::msghdr, msg_flags));
    assert!(size_of::<CmsgHdr>() == size_of::<sys::cmsghdr>());
};

#[cfg(test)]
mod tests {
    use super::{CmsgHdr, SocketFlags, SocketKind, SocketType};
    use crate::abi::{Errno, FromArg};

    #[test]
    fn socket_types_carry_flags() {
        let kind = SocketKind::SOCK_STREAM;
        let flags = SocketFlags::SOCK_CLOEXEC;
        assert_eq!(SocketType::from_arg(0o2_000_001), Ok(SocketType { kind, flags }));
        assert_eq!(SocketType::from_arg(0x11), Err(Errno::EINVAL));
    }

    #[test]
    fn control_messages_are_padded() {
        assert_eq!(CmsgHdr::len_for(4), 20);
        assert_eq!(CmsgHdr::align(20), 24);
        assert_eq!(CmsgHdr::align(u64::MAX), !7);
    }
}
