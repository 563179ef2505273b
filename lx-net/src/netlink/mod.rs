//! `AF_NETLINK` sockets, `netlink(7)`: only `NETLINK_ROUTE`, only what shows interfaces and their
//! addresses. `mq_notify(3)` uses one to tell the C library of messages.

mod answer;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::{
    AddressFamily, MsgFlags, SOL_NETLINK, SOL_SOCKET, SockaddrNl, SocketKind, SocketOption,
};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitQueue, level};
use zerocopy::{FromBytes, IntoBytes};

use crate::message::{Incoming, Outgoing, Received};
use crate::options::{Options, int};

const NETLINK_ROUTE: i32 = 0;
/// Messages that nobody has asked for and nobody has received: about as many as Linux has room for
/// in a receive buffer of the default size.
const MAX_WAITING: usize = 256;
/// The longest request that is read.
const MAX_REQUEST: usize = 65_536;

/// Ports in use.
static PORTS: Mutex<BTreeSet<u32>, { level::CACHE }> = Mutex::new(BTreeSet::new());

#[derive(Default)]
struct State {
    port: Option<u32>,
    groups: u32,
    replies: VecDeque<Vec<u8>>,
}

/// A socket to the kernel.
pub struct NetlinkSocket {
    options: Options,
    state: Mutex<State, { level::FILE_OBJECT }>,
    queue: WaitQueue,
}

impl PollSource for NetlinkSocket {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        let port = self.state.lock().port.take();
        if let Some(port) = port {
            PORTS.lock().remove(&port);
        }
    }
}

fn name(port: u32, groups: u32) -> Vec<u8> {
    let family = AddressFamily::AF_NETLINK.0 as u16;
    SockaddrNl { nl_family: family, nl_pad: 0, nl_pid: port, nl_groups: groups }.as_bytes().to_vec()
}

fn parse(address: &[u8]) -> Result<SockaddrNl> {
    let (address, _) = SockaddrNl::read_from_prefix(address).map_err(|_| Errno::EINVAL)?;
    if i32::from(address.nl_family) == AddressFamily::AF_NETLINK.0 {
        Ok(address)
    } else {
        Err(Errno::EINVAL.into())
    }
}

impl NetlinkSocket {
    /// A new one.
    ///
    /// # Errors
    /// `ESOCKTNOSUPPORT`; `EPROTONOSUPPORT` for what is not `NETLINK_ROUTE`.
    pub fn new(kind: SocketKind, protocol: i32) -> Result<Arc<Self>> {
        if !matches!(kind, SocketKind::SOCK_RAW | SocketKind::SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT.into());
        }
        if protocol != NETLINK_ROUTE {
            lx_core::unsupported::note("netlink protocol", protocol.cast_unsigned().into());
            return Err(Errno::EPROTONOSUPPORT.into());
        }
        Ok(Arc::new(Self {
            options: Options::new(AddressFamily::AF_NETLINK, kind, protocol),
            state: Mutex::new(State::default()),
            queue: WaitQueue::new(),
        }))
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The port, chosen now if it has none.
    fn port(&self, caller: &Caller<'_>) -> u32 {
        let known = self.state.lock().port;
        if let Some(port) = known {
            return port;
        }
        let port = {
            let mut ports = PORTS.lock();
            let mut port = caller.tgid.cast_unsigned();
            // The process id for its first socket, then from the top.
            let mut next = u32::MAX - 4096;
            while !ports.insert(port) {
                port = next;
                next = next.wrapping_sub(1);
            }
            port
        };
        let mut state = self.state.lock();
        match state.port {
            Some(other) => {
                drop(state);
                PORTS.lock().remove(&port);
                other
            }
            None => {
                state.port = Some(port);
                port
            }
        }
    }

    /// `bind(2)`.
    ///
    /// # Errors
    /// `EINVAL` for another port than it has, `EADDRINUSE`.
    pub fn bind(&self, caller: &Caller<'_>, address: &[u8]) -> Result<()> {
        let address = parse(address)?;
        let known = self.state.lock().port;
        match known {
            _ if address.nl_pid == 0 => {
                self.port(caller);
            }
            Some(port) if port == address.nl_pid => {}
            Some(_) => return Err(Errno::EINVAL.into()),
            None => {
                if !PORTS.lock().insert(address.nl_pid) {
                    return Err(Errno::EADDRINUSE.into());
                }
                self.state.lock().port = Some(address.nl_pid);
            }
        }
        self.state.lock().groups = address.nl_groups;
        Ok(())
    }

    /// `connect(2)`: to the kernel.
    ///
    /// # Errors
    /// `EINVAL`; `ECONNREFUSED` for another port than the kernel's.
    pub fn connect(&self, caller: &Caller<'_>, address: &[u8]) -> Result<()> {
        if parse(address)?.nl_pid != 0 {
            return Err(Errno::ECONNREFUSED.into());
        }
        self.port(caller);
        Ok(())
    }

    /// As `getsockname(2)` shows it.
    pub fn name(&self) -> Vec<u8> {
        let state = self.state.lock();
        name(state.port.unwrap_or(0), state.groups)
    }

    /// As `getpeername(2)` shows it: the kernel.
    pub fn peer_name(&self) -> Vec<u8> {
        name(0, 0)
    }

    /// Takes requests; the answers wait to be received.
    ///
    /// # Errors
    /// `ECONNREFUSED` for another destination than the kernel; `EMSGSIZE`, `EFAULT`.
    pub fn send(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: &Outgoing<'_>,
    ) -> Result<usize> {
        if !message.address.is_empty() && parse(message.address)?.nl_pid != 0 {
            return Err(Errno::ECONNREFUSED.into());
        }
        let port = self.port(caller);
        if src.remaining() > MAX_REQUEST {
            return Err(Errno::EMSGSIZE.into());
        }
        let mut bytes = alloc::vec![0; src.remaining()];
        if src.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT.into());
        }
        let replies = answer::answers(caller.host, &bytes, port);
        self.state.lock().replies.extend(replies);
        self.queue.wake_all(PollEvents::READABLE.bits());
        Ok(bytes.len())
    }

    /// Puts a message of the kernel's into the queue; it is lost if too many wait there already.
    pub fn deliver(&self, message: &[u8]) {
        let mut state = self.state.lock();
        if state.replies.len() >= MAX_WAITING {
            return;
        }
        state.replies.push_back(message.into());
        drop(state);
        self.queue.wake_all(PollEvents::READABLE.bits());
    }

    /// Receives one answer.
    ///
    /// # Errors
    /// `EAGAIN`, `EFAULT`.
    pub fn receive(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        let keep = how.flags.contains(MsgFlags::MSG_PEEK);
        let next = || {
            let mut state = self.state.lock();
            if keep { state.replies.front().cloned() } else { state.replies.pop_front() }
        };
        let reply = match next() {
            Some(reply) => reply,
            None if how.nonblocking => return Err(Errno::EAGAIN.into()),
            None => self.options.wait(caller, &self.queue, PollEvents::READABLE, false, next)?,
        };
        let part = reply.get(..dst.remaining().min(reply.len())).unwrap_or_default();
        let stored = if part.is_empty() { 0 } else { dst.put(part)? };
        let mut flags = MsgFlags::empty();
        flags.set(MsgFlags::MSG_TRUNC, stored < reply.len());
        let whole = how.flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Received {
            len: if whole { reply.len() } else { stored },
            flags,
            address: Some(name(0, 0)),
            ..Received::default()
        })
    }

    /// What it is ready for.
    pub fn poll(&self) -> PollEvents {
        let mut events = PollEvents::WRITABLE_SOCKET;
        events.set(PollEvents::READABLE, !self.state.lock().replies.is_empty());
        events
    }

    /// `getsockopt(2)`.
    ///
    /// # Errors
    /// `ENOPROTOOPT`.
    pub fn option(&self, level: i32, name: i32) -> Result<Vec<u8>> {
        if level == SOL_SOCKET {
            if name == SocketOption::SO_ERROR.0 {
                return Ok(0_i32.to_ne_bytes().to_vec());
            }
            if let Some(value) = self.options.get(SocketOption(name)) {
                return Ok(value);
            }
        }
        lx_core::unsupported::note("getsockopt of netlink", u64::from(name.cast_unsigned()));
        Err(Errno::ENOPROTOOPT.into())
    }

    /// `setsockopt(2)`.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, `EINVAL`.
    pub fn set_option(
        &self,
        caller: &Caller<'_>,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<()> {
        /// Groups: no news ever come.
        const MEMBERSHIPS: [i32; 2] = [1, 2];
        /// `NETLINK_NO_ENOBUFS`, `NETLINK_CAP_ACK`, `NETLINK_EXT_ACK`, `NETLINK_GET_STRICT_CHK`:
        /// they make answers to failures longer or failures more frequent.
        const TOLERATED: [i32; 4] = [5, 10, 11, 12];
        if level == SOL_SOCKET {
            return self.options.set(caller, SocketOption(name), value);
        }
        if level == SOL_NETLINK && (MEMBERSHIPS.contains(&name) || TOLERATED.contains(&name)) {
            return int(value).map(drop);
        }
        lx_core::unsupported::note("setsockopt of netlink", u64::from(name.cast_unsigned()));
        Err(Errno::ENOPROTOOPT.into())
    }
}
