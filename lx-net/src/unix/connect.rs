//! Names and connections.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::any::Any;

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, SOMAXCONN, SocketKind};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::poll::PollEvents;

use super::names::{self, Key};
use super::queue::Queue;
use super::{ALL, Role, State, UnixAddress, UnixSocket, peer_cred};
use crate::options::Options;

impl UnixSocket {
    /// Two connected sockets.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn pair(
        caller: &Caller<'_>,
        kind: SocketKind,
        protocol: i32,
    ) -> Result<(Arc<Self>, Arc<Self>)> {
        let (first, second) = (Self::new(kind, protocol)?, Self::new(kind, protocol)?);
        for (end, other) in [(&first, &second), (&second, &first)] {
            let peer_name = Arc::clone(&other.state.lock().name);
            let mut state = end.state.lock();
            state.role = Role::Connected;
            state.peer = Arc::downgrade(other);
            state.peer_name = Some(peer_name);
            state.peer_cred = Some(peer_cred(caller));
        }
        Ok((first, second))
    }

    /// Whether `bind` would find a name.
    pub fn is_bound(&self) -> bool {
        self.state.lock().name.get().is_some()
    }

    fn take_name(&self, key: Key, address: UnixAddress<'_>) -> Result<()> {
        let mut state = self.state.lock();
        if state.name.get().is_some() || state.dead {
            drop(state);
            names::leave(&key, &self.me);
            return Err(Errno::EINVAL.into());
        }
        state.name.call_once(|| Arc::from(address.to_bytes()));
        state.key = Some(key);
        Ok(())
    }

    /// Binds to a node that was just made for this socket. `node` keeps it alive.
    ///
    /// # Errors
    /// `EINVAL` if it has a name.
    pub fn bind_node(
        &self,
        path: &[u8],
        (dev, ino): (u64, u64),
        node: Box<dyn Any + Send + Sync>,
    ) -> Result<()> {
        let key = Key::Node(dev, ino);
        names::enter(&key, &self.me);
        self.take_name(key, UnixAddress::Path(path))?;
        self.state.lock().node = Some(node);
        Ok(())
    }

    /// Binds to an abstract name.
    ///
    /// # Errors
    /// `EINVAL` if it has a name, `EADDRINUSE`.
    pub fn bind_abstract(&self, name: &[u8]) -> Result<()> {
        if self.is_bound() {
            return Err(Errno::EINVAL.into());
        }
        let key = Key::Abstract(self.options.kind.0, name.to_vec());
        if !names::enter(&key, &self.me) {
            return Err(Errno::EADDRINUSE.into());
        }
        self.take_name(key, UnixAddress::Abstract(name))
    }

    /// Binds to a free abstract name, unless it has a name already.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub fn bind_any(&self) -> Result<()> {
        if self.is_bound() {
            return Ok(());
        }
        let (key, name) = names::choose(self.options.kind, &self.me)?;
        // Somebody else was faster, and it has a name.
        let _ = self.take_name(key, UnixAddress::Abstract(&name));
        Ok(())
    }

    /// A socket with `SO_PASSCRED` gets a name before it looks for another one.
    ///
    /// # Errors
    /// As [`bind_any`](Self::bind_any).
    pub fn bind_if_passing(&self) -> Result<()> {
        if self.options.pass_cred() { self.bind_any() } else { Ok(()) }
    }

    /// The socket that is bound to a node.
    ///
    /// # Errors
    /// `ECONNREFUSED`; `EPROTOTYPE` if it is of another kind.
    pub fn at_node(&self, dev: u64, ino: u64) -> Result<Arc<Self>> {
        let found = names::find(&Key::Node(dev, ino)).ok_or(Errno::ECONNREFUSED)?;
        if found.options.kind == self.options.kind {
            Ok(found)
        } else {
            Err(Errno::EPROTOTYPE.into())
        }
    }

    /// The socket with an abstract name.
    ///
    /// # Errors
    /// `ECONNREFUSED`.
    pub fn at_abstract(&self, name: &[u8]) -> Result<Arc<Self>> {
        let key = Key::Abstract(self.options.kind.0, name.to_vec());
        names::find(&key).ok_or_else(|| Errno::ECONNREFUSED.into())
    }

    /// `listen(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams; `EINVAL` without a name or if it is connected.
    pub fn listen(&self, caller: &Caller<'_>, backlog: i32) -> Result<()> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let limit = backlog.cast_unsigned().min(SOMAXCONN) as usize;
        {
            let mut state = self.state.lock();
            if state.name.get().is_none() {
                return Err(Errno::EINVAL.into());
            }
            match &mut state.role {
                Role::Connected => return Err(Errno::EINVAL.into()),
                Role::Listening { backlog, .. } => *backlog = limit,
                role @ Role::Closed => {
                    *role = Role::Listening { backlog: limit, pending: VecDeque::new() };
                }
            }
            state.peer_cred = Some(peer_cred(caller));
        }
        self.wait.wake_all(PollEvents::WRITABLE.bits());
        Ok(())
    }

    /// `connect(2)` to a socket that was found by its name.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `EISCONN`, `EINVAL`, `EAGAIN`; `EPERM` if the other one takes datagrams
    /// from its own peer only.
    pub fn connect(&self, caller: &Caller<'_>, to: &Arc<Self>, nonblocking: bool) -> Result<()> {
        if self.is_datagram() {
            return self.connect_datagrams(to);
        }
        let options =
            Options::new(AddressFamily::AF_UNIX, self.options.kind, self.options.protocol);
        options.inherit(&to.options);
        let new = Self::with(options, State::default());
        {
            let name = self.state.lock().name.clone();
            let mut state = new.state.lock();
            state.role = Role::Connected;
            state.peer = Weak::clone(&self.me);
            state.peer_name = Some(name);
            state.peer_cred = Some(peer_cred(caller));
        }
        match self.try_connect(to, &new) {
            Some(result) => result?,
            None if nonblocking => return Err(Errno::EAGAIN.into()),
            None => {
                let ready = || self.try_connect(to, &new);
                self.options.wait(caller, &to.wait, PollEvents::WRITABLE, true, ready)??;
            }
        }
        to.wait.wake_all(PollEvents::READABLE.bits());
        self.wait.wake_all(ALL);
        Ok(())
    }

    /// Joins `new`, the other end, to the queue of `to`; `None` if there is no room.
    fn try_connect(&self, to: &Arc<Self>, new: &Arc<Self>) -> Option<Result<()>> {
        let (name, cred) = {
            let state = to.state.lock();
            let Role::Listening { backlog, pending } = &state.role else {
                return Some(Err(Errno::ECONNREFUSED.into()));
            };
            if state.no_receive {
                return Some(Err(Errno::ECONNREFUSED.into()));
            }
            if pending.len() > *backlog {
                return None;
            }
            (state.name.clone(), state.peer_cred)
        };
        new.state.lock().name.clone_from(&name);
        // This end first: whoever accepts may write at once.
        {
            let mut state = self.state.lock();
            match state.role {
                Role::Closed => {}
                Role::Connected => return Some(Err(Errno::EISCONN.into())),
                Role::Listening { .. } => return Some(Err(Errno::EINVAL.into())),
            }
            state.role = Role::Connected;
            state.peer = Arc::downgrade(new);
            state.peer_name = Some(name);
            state.peer_cred = cred;
        }
        let result = {
            let mut state = to.state.lock();
            match &mut state.role {
                Role::Listening { backlog, pending } if pending.len() <= *backlog => {
                    pending.push_back(Arc::clone(new));
                    return Some(Ok(()));
                }
                Role::Listening { .. } => None,
                _ => Some(Err(Errno::ECONNREFUSED.into())),
            }
        };
        let mut state = self.state.lock();
        state.role = Role::Closed;
        state.peer = Weak::new();
        state.peer_name = None;
        state.peer_cred = None;
        result
    }

    fn connect_datagrams(&self, to: &Arc<Self>) -> Result<()> {
        to.check_may_send(self)?;
        let peer_name = to.state.lock().name.clone();
        let (old, queue) = {
            let mut state = self.state.lock();
            state.role = Role::Connected;
            state.peer_name = Some(peer_name);
            let old = core::mem::replace(&mut state.peer, Arc::downgrade(to)).upgrade();
            let old = old.filter(|old| !Arc::ptr_eq(old, to));
            let queue =
                if old.is_some() { core::mem::take(&mut state.queue) } else { Queue::default() };
            (old, queue)
        };
        if let Some(old) = old {
            self.forsake(&old, queue.is_empty());
        }
        drop(queue);
        self.wait.wake_all(PollEvents::WRITABLE.bits());
        Ok(())
    }

    /// Whether this socket takes datagrams from `sender`: not if it is connected to another one.
    pub(super) fn check_may_send(&self, sender: &Self) -> Result<()> {
        let state = self.state.lock();
        if state.dead {
            return Err(Errno::ECONNREFUSED.into());
        }
        if state.is_connected() && !Weak::ptr_eq(&state.peer, &sender.me) {
            return Err(Errno::EPERM.into());
        }
        Ok(())
    }

    /// `connect(2)` with `AF_UNSPEC`: a datagram socket has no peer any more.
    ///
    /// # Errors
    /// `EINVAL` for other kinds.
    pub fn disconnect(&self) -> Result<()> {
        if !self.is_datagram() {
            return Err(Errno::EINVAL.into());
        }
        let (peer, queue) = {
            let mut state = self.state.lock();
            state.role = Role::Closed;
            let peer = core::mem::take(&mut state.peer).upgrade();
            let queue =
                if peer.is_some() { core::mem::take(&mut state.queue) } else { Queue::default() };
            (peer, queue)
        };
        if let Some(peer) = peer {
            self.forsake(&peer, queue.is_empty());
        }
        drop(queue);
        self.wait.wake_all(PollEvents::WRITABLE.bits());
        Ok(())
    }

    /// This datagram socket has no longer `peer` as its peer. Messages that it had got are lost,
    /// unless there were none: the peer hears of that if it was connected to this socket.
    fn forsake(&self, peer: &Self, was_empty: bool) {
        if was_empty {
            return;
        }
        {
            let mut state = peer.state.lock();
            if state.dead || !Weak::ptr_eq(&state.peer, &self.me) {
                return;
            }
            state.error = Some(Errno::ECONNRESET);
        }
        peer.wait.wake_all(ALL);
    }

    /// `accept(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams; `EINVAL` if it does not listen; `EAGAIN`.
    pub fn accept(&self, caller: &Caller<'_>, nonblocking: bool) -> Result<Arc<Self>> {
        if self.is_datagram() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let next = || {
            let mut state = self.state.lock();
            let ended = state.no_receive;
            match &mut state.role {
                Role::Listening { pending, .. } => match pending.pop_front() {
                    Some(socket) => Some(Ok(socket)),
                    // Who does not wait does not hear of it.
                    None if ended && !nonblocking => Some(Err(Errno::EINVAL)),
                    None => None,
                },
                _ => Some(Err(Errno::EINVAL)),
            }
        };
        let socket = match next() {
            Some(socket) => socket?,
            None if nonblocking => return Err(Errno::EAGAIN.into()),
            None => self.options.wait(caller, &self.wait, PollEvents::READABLE, false, next)??,
        };
        self.wait.wake_all(PollEvents::WRITABLE.bits());
        Ok(socket)
    }
}
