//! The file behind a descriptor of a socket.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::UserPtr;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::socket::{AddressFamily, MsgFlags, ShutdownHow, SocketKind};
use lx_core::abi::stat::{S_IFSOCK, Stat, makedev};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile, SocketView};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};

use crate::inet::InetSocket;
use crate::message::{Incoming, Outgoing, Received};
use crate::netlink::NetlinkSocket;
use crate::options::Options;
use crate::unix::UnixSocket;

/// Device number of sockets (Linux: `sockfs`).
const SOCKET_DEV: u64 = makedev(0, 8);

static NEXT_INO: AtomicU64 = AtomicU64::new(32_768);

/// What a socket is.
pub enum Family {
    /// `AF_UNIX`.
    Unix(Arc<UnixSocket>),
    /// `AF_INET` or `AF_INET6`.
    Inet(Arc<InetSocket>),
    /// `AF_NETLINK`.
    Netlink(Arc<NetlinkSocket>),
}

/// A socket as a file.
pub struct Socket {
    ino: u64,
    /// User and group of whoever made it.
    owner: (u32, u32),
    family: Family,
}

impl Socket {
    /// An open file description of a socket; `flags` may hold `O_NONBLOCK`.
    pub fn open(caller: &Caller<'_>, family: Family, flags: OpenFlags) -> Arc<OpenFile> {
        let cred = caller.cred();
        let ino = NEXT_INO.fetch_add(1, Ordering::Relaxed);
        let status = OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK);
        OpenFile::new(Arc::new(Self { ino, owner: (cred.fsuid, cred.fsgid), family }), status, None)
    }

    /// The socket behind an open file description.
    ///
    /// # Errors
    /// `ENOTSOCK`.
    pub fn of(file: &OpenFile) -> Result<&Self> {
        file.ops_as::<Self>().ok_or_else(|| Errno::ENOTSOCK.into())
    }

    /// What it is.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        match &self.family {
            Family::Unix(socket) => socket.options(),
            Family::Inet(socket) => socket.options(),
            Family::Netlink(socket) => socket.options(),
        }
    }

    /// Whether a failed write raises `SIGPIPE`.
    pub fn is_stream(&self) -> bool {
        self.options().kind == SocketKind::SOCK_STREAM
    }

    /// Sends a message to where the socket is connected to, or to `message.address`.
    ///
    /// # Errors
    /// As `send(2)`.
    pub fn send(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: Outgoing<'_>,
    ) -> Result<usize> {
        match &self.family {
            Family::Unix(socket) => socket.send(caller, src, message, None),
            Family::Inet(socket) => socket.send(caller, src, &message),
            Family::Netlink(socket) => socket.send(caller, src, &message),
        }
    }

    /// Receives a message.
    ///
    /// # Errors
    /// As `recv(2)`.
    pub fn receive(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        match &self.family {
            Family::Unix(socket) => socket.receive(caller, dst, how),
            Family::Inet(socket) => socket.receive(caller, dst, how),
            Family::Netlink(socket) => socket.receive(caller, dst, how),
        }
    }

    /// `listen(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EINVAL`.
    pub fn listen(&self, caller: &Caller<'_>, backlog: i32) -> Result<()> {
        match &self.family {
            Family::Unix(socket) => socket.listen(caller, backlog),
            Family::Inet(socket) => socket.listen(backlog),
            Family::Netlink(_) => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// `accept(2)`: the new socket and the address of its peer.
    ///
    /// # Errors
    /// `EAGAIN`, `EOPNOTSUPP`, `EINVAL`.
    pub fn accept(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<(Family, Vec<u8>)> {
        match &self.family {
            Family::Unix(socket) => {
                let new = socket.accept(caller, nonblocking)?;
                let peer = new.peer_name().unwrap_or_default();
                Ok((Family::Unix(new), peer))
            }
            Family::Inet(socket) => {
                let (new, peer) = socket.accept(caller, nonblocking)?;
                Ok((Family::Inet(new), peer))
            }
            Family::Netlink(_) => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// `getsockname(2)`.
    ///
    /// # Errors
    /// The host's.
    pub fn name(&self) -> Result<Vec<u8>> {
        match &self.family {
            Family::Unix(socket) => Ok(socket.name()),
            Family::Inet(socket) => socket.name(false),
            Family::Netlink(socket) => Ok(socket.name()),
        }
    }

    /// `getpeername(2)`.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn peer_name(&self) -> Result<Vec<u8>> {
        match &self.family {
            Family::Unix(socket) => socket.peer_name(),
            Family::Inet(socket) => socket.name(true),
            Family::Netlink(socket) => Ok(socket.peer_name()),
        }
    }

    /// `shutdown(2)`.
    ///
    /// # Errors
    /// `EINVAL` for an unknown `how`; `ENOTCONN`.
    pub fn shut_down(&self, how: ShutdownHow) -> Result<()> {
        if how.0 > ShutdownHow::SHUT_RDWR.0 {
            return Err(Errno::EINVAL.into());
        }
        match &self.family {
            Family::Unix(socket) => {
                socket.shut_down(how);
                Ok(())
            }
            Family::Inet(socket) => socket.shut_down(how),
            Family::Netlink(_) => Err(Errno::EOPNOTSUPP.into()),
        }
    }

    /// `getsockopt(2)`; at most `room` bytes are wanted.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EOPNOTSUPP`.
    pub fn option(&self, level: i32, name: i32, room: usize) -> Result<Vec<u8>> {
        match &self.family {
            Family::Unix(socket) => socket.option(level, name),
            Family::Inet(socket) => socket.option(level, name, room),
            Family::Netlink(socket) => socket.option(level, name),
        }
    }

    /// `setsockopt(2)`.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EOPNOTSUPP`, `EINVAL`, `EPERM`.
    pub fn set_option(
        &self,
        caller: &Caller<'_>,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<()> {
        match &self.family {
            Family::Unix(socket) => socket.set_option(caller, level, name, value),
            Family::Inet(socket) => socket.set_option(level, name, value),
            Family::Netlink(socket) => socket.set_option(caller, level, name, value),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        match &self.family {
            Family::Unix(socket) => socket.release(false),
            Family::Inet(_) | Family::Netlink(_) => {}
        }
    }
}

impl FileOps for Socket {
    fn can_skip_waiting(&self, _writes: bool) -> bool {
        true
    }

    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        if dst.remaining() == 0 {
            // Unlike recv(2), and whatever the state of the socket is.
            return Ok(0);
        }
        let how = Incoming { nonblocking: file.is_nonblocking(), ..Incoming::default() };
        self.receive(caller, dst, how).map(|received| received.len)
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let message = Outgoing { nonblocking: file.is_nonblocking(), ..Outgoing::default() };
        self.send(caller, src, message)
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        match &self.family {
            Family::Unix(socket) => socket.poll(),
            Family::Inet(socket) => socket.poll(),
            Family::Netlink(socket) => socket.poll(),
        }
    }

    fn poll_register(&self, _file: &OpenFile, interest: PollEvents, table: &mut PollTable) {
        match &self.family {
            Family::Unix(socket) => table.register(Arc::clone(socket) as Arc<dyn PollSource>),
            Family::Inet(socket) => {
                table.register(Arc::clone(socket) as Arc<dyn PollSource>);
                socket.watch(interest);
            }
            Family::Netlink(socket) => {
                table.register(Arc::clone(socket) as Arc<dyn PollSource>);
            }
        }
    }

    fn ioctl(&self, caller: &Caller<'_>, _file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        if let Some(result) = crate::interface::request(caller, request, arg) {
            return result;
        }
        match (&self.family, IoctlCmd(request)) {
            (Family::Unix(socket), IoctlCmd::TIOCOUTQ) => {
                let count = i32::try_from(socket.unread_by_peer()).unwrap_or(i32::MAX);
                caller.memory().write(UserPtr::new(arg), &count)?;
                Ok(0)
            }
            (Family::Inet(socket), IoctlCmd::TIOCOUTQ | IoctlCmd::SIOCATMARK) => {
                let count = socket.count(request)?;
                caller.memory().write(UserPtr::new(arg), &count)?;
                Ok(0)
            }
            _ => {
                lx_core::unsupported::note("ioctl of a socket", request.into());
                Err(Errno::ENOTTY.into())
            }
        }
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        let (st_uid, st_gid) = self.owner;
        Ok(Stat {
            st_dev: SOCKET_DEV,
            st_ino: self.ino,
            st_nlink: 1,
            st_mode: S_IFSOCK | 0o777,
            st_uid,
            st_gid,
            st_blksize: 4096,
            ..Stat::default()
        })
    }

    fn socket_view(&self, wanted: AddressFamily) -> Option<SocketView> {
        let Options { family, kind, protocol, .. } = *self.options();
        if family != wanted {
            return None;
        }
        let mut view = SocketView {
            ino: self.ino,
            uid: self.owner.0,
            family,
            kind,
            protocol,
            state: SocketView::CLOSE,
            name: Vec::new(),
            peer: Vec::new(),
            unsent: 0,
            unread: 0,
        };
        match &self.family {
            Family::Unix(socket) => socket.show(&mut view),
            Family::Inet(socket) => socket.show(&mut view),
            Family::Netlink(socket) => socket.show(&mut view),
        }
        Some(view)
    }

    fn raises_sigpipe(&self) -> bool {
        self.is_stream()
    }

    fn readable_bytes(&self) -> Result<usize> {
        match &self.family {
            Family::Unix(socket) => socket.readable_bytes(),
            Family::Inet(socket) => {
                Ok(usize::try_from(socket.count(IoctlCmd::FIONREAD.0)?).unwrap_or(0))
            }
            Family::Netlink(_) => Err(Errno::ENOTTY.into()),
        }
    }
}

/// Whether a call that waits shall not: by its own flag or the description's.
pub fn is_nonblocking(file: &OpenFile, flags: MsgFlags) -> bool {
    file.is_nonblocking() || flags.contains(MsgFlags::MSG_DONTWAIT)
}
