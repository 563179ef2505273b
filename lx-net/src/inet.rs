//! `AF_INET` and `AF_INET6`: sockets of the host.
//!
//! The host's sockets never wait. What has to wait sleeps on this socket's queue, after asking the
//! host to announce readiness ([`host_ready`]).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::socket::{
    AddressFamily, MsgFlags, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP, ShutdownHow,
    SocketKind, SocketOption,
};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::host::{Host, HostFd, NetMessage, ReadyToken};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitQueue, level};

use crate::message::{Incoming, Outgoing, Received};
use crate::options::Options;

/// Tokens of sockets have this bit, those of other host descriptors have not.
const TOKEN: ReadyToken = 1 << 62;
/// Events that can be waited for.
const WAITABLE: PollEvents =
    PollEvents::POLLIN.union(PollEvents::POLLOUT).union(PollEvents::POLLPRI);
/// The longest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// Who gets the host's announcements.
static SOCKETS: Mutex<BTreeMap<ReadyToken, Weak<InetSocket>>, { level::CACHE }> =
    Mutex::new(BTreeMap::new());
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(TOKEN);

/// For [`Supervisor::host_ready`](lx_core::host::Supervisor::host_ready): what was armed with
/// `token` became ready. `false` if the token is not one of a socket.
pub fn host_ready(token: ReadyToken, events: PollEvents) -> bool {
    if token & TOKEN == 0 {
        return false;
    }
    let socket = SOCKETS.lock().get(&token).and_then(Weak::upgrade);
    if let Some(socket) = socket {
        socket.announced(events);
    }
    true
}

/// A socket of the host.
pub struct InetSocket {
    options: Options,
    host: &'static dyn Host,
    fd: HostFd,
    token: ReadyToken,
    /// What the host was asked to announce and has not announced yet ([`PollEvents`]).
    armed: AtomicU32,
    /// What pollers are interested in, since the wait queue was last found empty.
    watched: AtomicU32,
    queue: WaitQueue,
}

impl PollSource for InetSocket {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Drop for InetSocket {
    fn drop(&mut self) {
        self.host.disarm(&self.fd);
        let entry = SOCKETS.lock().remove(&self.token);
        drop(entry);
    }
}

/// The options that are handed to the host: those whose values hold no pointers or descriptors.
fn is_known(level: i32, name: i32) -> bool {
    match level {
        SOL_SOCKET => matches!(
            name,
            1..=13 | 15 | 17..=19 | 25 | 27 | 29 | 30 | 32 | 33 | 35..=42 | 46..=49 | 56 | 57 | 62
        ),
        SOL_IP => matches!(name, 1..=15 | 19..=24 | 32..=40 | 42..=47 | 49..=51),
        SOL_IPV6 => matches!(name, 1..=33 | 36 | 42..=47 | 49..=63 | 66..=79),
        SOL_TCP => matches!(name, 1..=13 | 16..=18 | 23..=27 | 30 | 33 | 34 | 36 | 37),
        SOL_UDP => matches!(name, 1 | 100..=104),
        _ => false,
    }
}

fn check_option(level: i32, name: i32) -> Result<()> {
    if is_known(level, name) {
        return Ok(());
    }
    let value = (u64::from(level.cast_unsigned()) << 32) | u64::from(name.cast_unsigned());
    lx_core::unsupported::note("socket option (level, name)", value);
    Err(Errno::ENOPROTOOPT.into())
}

impl InetSocket {
    /// A new socket of the host.
    ///
    /// # Errors
    /// `EPERM` for a raw one without privilege; the host's: `EAFNOSUPPORT` if it offers none.
    pub fn new(
        caller: &Caller<'_>,
        family: AddressFamily,
        kind: SocketKind,
        protocol: i32,
    ) -> Result<Arc<Self>> {
        // The host looks at its own user, who may be another one than the guest's.
        if kind == SocketKind::SOCK_RAW && !caller.cred().has(Capabilities::NET_RAW) {
            return Err(Errno::EPERM.into());
        }
        let fd = caller.host.net_socket(family, kind, protocol)?;
        Ok(Self::with(caller.host, Options::new(family, kind, protocol), fd))
    }

    fn with(host: &'static dyn Host, options: Options, fd: HostFd) -> Arc<Self> {
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        let socket = Arc::new(Self {
            options,
            host,
            fd,
            token,
            armed: AtomicU32::new(0),
            watched: AtomicU32::new(0),
            queue: WaitQueue::new(),
        });
        SOCKETS.lock().insert(token, Arc::downgrade(&socket));
        socket
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn is_stream(&self) -> bool {
        self.options.kind == SocketKind::SOCK_STREAM
    }

    /// `bind(2)`.
    ///
    /// # Errors
    /// The host's.
    pub fn bind(&self, address: &[u8]) -> Result<()> {
        Ok(self.host.net_bind(&self.fd, address)?)
    }

    /// `listen(2)`.
    ///
    /// # Errors
    /// The host's.
    pub fn listen(&self, backlog: i32) -> Result<()> {
        Ok(self.host.net_listen(&self.fd, backlog)?)
    }

    /// `connect(2)`.
    ///
    /// # Errors
    /// `EINPROGRESS` if it is not to wait or `SO_SNDTIMEO` is over; the host's.
    pub fn connect(&self, caller: &Caller<'_>, address: &[u8], nonblocking: bool) -> Result<()> {
        loop {
            let Err(error) = self.host.net_connect(&self.fd, address) else { return Ok(()) };
            let pending = matches!(error.0, Errno::EINPROGRESS | Errno::EALREADY);
            if !pending || nonblocking {
                self.rearm(PollEvents::POLLOUT);
                return Err(error.into());
            }
            match self.wait_ready(caller, PollEvents::POLLOUT, true) {
                Err(error) if error.errno() == Errno::EAGAIN => {
                    return Err(Errno::EINPROGRESS.into());
                }
                other => other?,
            }
        }
    }

    /// `accept(2)`: the new socket and its peer's address.
    ///
    /// # Errors
    /// `EAGAIN`, and the host's.
    pub fn accept(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<(Arc<Self>, Vec<u8>)> {
        let fd = self.retry(caller, PollEvents::POLLIN, nonblocking, || {
            Ok(self.host.net_accept(&self.fd)?)
        })?;
        let peer = self.host.net_name(&fd, true).unwrap_or_default();
        let Options { family, kind, protocol, .. } = self.options;
        Ok((Self::with(self.host, Options::new(family, kind, protocol), fd), peer))
    }

    /// `getsockname(2)`, or `getpeername(2)` if `peer`.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn name(&self, peer: bool) -> Result<Vec<u8>> {
        Ok(self.host.net_name(&self.fd, peer)?)
    }

    /// `shutdown(2)`.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shut_down(&self, how: ShutdownHow) -> Result<()> {
        let result = self.host.net_shutdown(&self.fd, how);
        // The host announces it to those who have asked; all look again.
        self.queue.wake_all(u32::MAX);
        Ok(result?)
    }

    /// `getsockopt(2)`.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, and the host's.
    pub fn option(&self, level: i32, name: i32, room: usize) -> Result<Vec<u8>> {
        if level == SOL_SOCKET && matches!(name, 20 | 21 | 66 | 67) {
            return self.options.get(SocketOption(name)).ok_or(Errno::ENOPROTOOPT.into());
        }
        check_option(level, name)?;
        let mut value = alloc::vec![0; room];
        self.host.net_option(&self.fd, level, name, &mut value)?;
        Ok(value)
    }

    /// `setsockopt(2)`.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, and the host's.
    pub fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<()> {
        if level == SOL_SOCKET
            && let Some(result) = self.options.set_timeout(SocketOption(name), value)
        {
            return result;
        }
        check_option(level, name)?;
        Ok(self.host.net_set_option(&self.fd, level, name, value)?)
    }

    /// An `ioctl(2)` request that asks for one number.
    ///
    /// # Errors
    /// The host's.
    pub fn count(&self, request: u32) -> Result<i32> {
        Ok(self.host.net_count(&self.fd, request)?)
    }

    /// Makes a call of the host again and again, waiting in between, until it does not answer
    /// `EAGAIN`.
    fn retry<T>(
        &self,
        caller: &Caller<'_>,
        interest: PollEvents,
        nonblocking: bool,
        mut call: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        loop {
            match call() {
                Err(error) if error.errno() == Errno::EAGAIN => {
                    if nonblocking {
                        self.rearm(interest);
                        return Err(error);
                    }
                    self.wait_ready(caller, interest, interest == PollEvents::POLLOUT)?;
                }
                other => return other,
            }
        }
    }

    /// Sends to the peer or to `message.address`.
    ///
    /// # Errors
    /// `EAGAIN`, and the host's.
    pub fn send(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: &Outgoing<'_>,
    ) -> Result<usize> {
        let flags = message.flags;
        if flags.contains(MsgFlags::MSG_ZEROCOPY) {
            // Without SO_ZEROCOPY it means nothing.
            lx_core::unsupported::note("send MSG_ZEROCOPY", flags.bits().into());
        }
        let flags = flags - MsgFlags::MSG_ZEROCOPY;
        let plain = message.address.is_empty() && message.control.is_empty();
        if self.is_stream() && plain {
            return self.send_stream(caller, src, flags, message.nonblocking);
        }
        let mut bytes = alloc::vec![0; src.remaining().min(MAX_DATAGRAM * 4)];
        let taken = src.take(&mut bytes)?;
        if taken < bytes.len() {
            return Err(Errno::EFAULT.into());
        }
        let out = PollEvents::POLLOUT;
        self.retry(caller, out, message.nonblocking, || {
            let bytes = lx_core::host::Buf::Kernel(&bytes);
            let (address, control) = (message.address, message.control);
            Ok(self.host.net_send(&self.fd, bytes, flags, address, control)?)
        })
    }

    fn send_stream(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        flags: MsgFlags,
        nonblocking: bool,
    ) -> Result<usize> {
        let mut sent = 0;
        while src.remaining() > 0 {
            let step = self.retry(caller, PollEvents::POLLOUT, nonblocking, || {
                src.drain(|bytes, _| Ok(self.host.net_send(&self.fd, bytes, flags, &[], &[])?))
            });
            match step {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(error) => return partial(sent, error),
            }
        }
        Ok(sent)
    }

    /// Receives.
    ///
    /// # Errors
    /// `EAGAIN`, and the host's.
    pub fn receive(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        let ours = MsgFlags::MSG_WAITALL | MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITFORONE;
        let flags = how.flags - ours;
        let nonblocking = how.nonblocking || flags.contains(MsgFlags::MSG_ERRQUEUE);
        let special = MsgFlags::MSG_PEEK | MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_OOB;
        if !self.is_stream() || how.control_room > 0 || flags.intersects(special) {
            return self.receive_message(caller, dst, how, flags, nonblocking);
        }
        let all = how.flags.contains(MsgFlags::MSG_WAITALL);
        let mut len = 0;
        while dst.remaining() > 0 {
            let asked = dst.remaining();
            let step = self.retry(caller, PollEvents::POLLIN, nonblocking, || {
                dst.fill(|bytes, _| Ok(self.host.net_receive(&self.fd, bytes, flags, None)?))
            });
            match step {
                Ok(0) => break,
                Ok(count) => {
                    len += count;
                    if count < asked {
                        // Whoever watches for edges will not read again before the next one.
                        self.rearm(PollEvents::POLLIN);
                    }
                }
                Err(error) if len == 0 => return Err(error),
                Err(_) => break,
            }
            if !all {
                break;
            }
        }
        Ok(Received { len, ..Received::default() })
    }

    fn receive_message(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
        flags: MsgFlags,
        nonblocking: bool,
    ) -> Result<Received> {
        let mut bytes = alloc::vec![0; dst.remaining().min(MAX_DATAGRAM)];
        let interest = if flags.contains(MsgFlags::MSG_OOB) {
            PollEvents::POLLPRI
        } else {
            PollEvents::POLLIN
        };
        let (count, message) = self.retry(caller, interest, nonblocking, || {
            let mut message = NetMessage::with_room(how.control_room.min(MAX_DATAGRAM));
            let into = lx_core::host::BufMut::Kernel(&mut bytes);
            let count = self.host.net_receive(&self.fd, into, flags, Some(&mut message))?;
            Ok((count, message))
        })?;
        self.rearm(PollEvents::POLLIN);
        let stored = bytes.get(..count.min(bytes.len())).unwrap_or_default();
        if !stored.is_empty() && dst.put(stored)? < stored.len() {
            return Err(Errno::EFAULT.into());
        }
        let address = message.address.get(..message.address_len).unwrap_or_default();
        Ok(Received {
            len: count,
            flags: message.flags - MsgFlags::MSG_CMSG_CLOEXEC,
            address: Some(address.to_vec()),
            control: message.control,
            ..Received::default()
        })
    }

    fn is_ready(&self, interest: PollEvents) -> bool {
        !self.host.ready(&self.fd, interest | PollEvents::ALWAYS).is_empty()
    }

    /// Sleeps until one of `interest` (or an error or hang-up) holds.
    fn wait_ready(&self, caller: &Caller<'_>, interest: PollEvents, sending: bool) -> Result<()> {
        self.options.wait(caller, &self.queue, interest, sending, || {
            if self.is_ready(interest) {
                return Some(Ok(()));
            }
            // What becomes ready between the question and this is announced at once.
            self.arm(interest).err().map(Err)
        })?
    }

    /// Asks the host to announce `interest`, unless that is asked already.
    fn arm(&self, interest: PollEvents) -> Result<()> {
        let mut all = self.armed.fetch_or(interest.bits(), Ordering::AcqRel);
        if all & interest.bits() == interest.bits() {
            return Ok(());
        }
        all |= interest.bits();
        loop {
            if let Err(error) =
                self.host.arm(&self.fd, PollEvents::from_bits_retain(all), self.token)
            {
                self.armed.store(0, Ordering::Release);
                return Err(error.into());
            }
            // Somebody else may have asked for more, and been overtaken.
            let now = self.armed.load(Ordering::Acquire);
            if now & !all == 0 {
                return Ok(());
            }
            all = now;
        }
    }

    fn announced(&self, events: PollEvents) {
        let armed = PollEvents::from_bits_retain(self.armed.swap(0, Ordering::AcqRel));
        // An announcement ends all that was asked for.
        let rest = armed & WAITABLE & !events;
        if !rest.is_empty() && !self.queue.is_empty() && !events.intersects(PollEvents::ALWAYS) {
            let _ = self.arm(rest);
        }
        self.queue.wake_all(events.bits());
    }

    /// Readiness; whatever somebody waits for and is not there will be announced.
    pub fn poll(&self) -> PollEvents {
        let asked = WAITABLE | PollEvents::POLLRDHUP | PollEvents::ALWAYS;
        let mut ready = self.host.ready(&self.fd, asked);
        let watched = PollEvents::from_bits_retain(self.watched.load(Ordering::Acquire));
        let missing = watched & WAITABLE & !ready;
        if !missing.is_empty() {
            self.rearm(missing);
        }
        if ready.contains(PollEvents::POLLIN) {
            ready |= PollEvents::POLLRDNORM;
        }
        if ready.contains(PollEvents::POLLOUT) {
            ready |= PollEvents::POLLWRNORM;
            ready.set(PollEvents::POLLWRBAND, !self.is_stream());
        }
        ready
    }

    /// Notes what a poller, who has just registered, is interested in.
    pub fn watch(&self, interest: PollEvents) {
        let mut events = interest & WAITABLE;
        if interest.intersects(PollEvents::POLLRDNORM | PollEvents::POLLRDHUP) {
            events |= PollEvents::POLLIN;
        }
        if interest.intersects(PollEvents::WRITABLE_SOCKET) {
            events |= PollEvents::POLLOUT;
        }
        // Hang-ups are announced along with anything else.
        if events.is_empty() {
            events = PollEvents::POLLPRI;
        }
        self.watched.fetch_or(events.bits(), Ordering::AcqRel);
    }

    /// Asks for an announcement if there are pollers.
    fn rearm(&self, interest: PollEvents) {
        if self.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.queue.is_empty() {
            self.watched.store(0, Ordering::Release);
            return;
        }
        // A descriptor that cannot be armed is reported by using it.
        let _ = self.arm(interest & self.watched());
    }

    fn watched(&self) -> PollEvents {
        PollEvents::from_bits_retain(self.watched.load(Ordering::Acquire))
    }
}
