//! `AF_UNIX` sockets, `unix(7)`.
//!
//! A message lies in the queue of the socket that receives it ([`queue`]). Whoever takes something
//! out wakes those who wait for room: the peer of a connected pair, and senders of datagrams.
//! Sockets know each other weakly; the file behind the descriptors is what keeps one alive, and
//! its end is [`UnixSocket::release`]. No two sockets are locked at the same time.

mod connect;
mod garbage;
mod names;
mod options;
mod queue;
mod receive;
mod rights;
mod send;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, ShutdownHow, SocketKind, Ucred};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitQueue, level};
use spin::Once;

use crate::options::Options;
use names::Key;
pub use names::UnixAddress;
use queue::Queue;

/// Messages that a datagram socket queues from senders that it is not connected to
/// (`net.unix.max_dgram_qlen`).
const MAX_DATAGRAMS: usize = 10;

/// Wakes everybody.
const ALL: u32 = u32::MAX;

/// Whether a socket is connected.
#[derive(Default)]
enum Role {
    #[default]
    Closed,
    Listening {
        backlog: usize,
        pending: VecDeque<Arc<UnixSocket>>,
    },
    Connected,
}

/// A socket's name, as `getsockname` shows it.
type Name = Once<Arc<[u8]>>;

/// A name's bytes; those of no name as long as there is none.
fn shown(name: &Name) -> Vec<u8> {
    name.get().map_or_else(|| UnixAddress::Unnamed.to_bytes(), |name| name.to_vec())
}

#[derive(Default)]
struct State {
    role: Role,
    /// Its name, once it has one.
    name: Arc<Name>,
    /// What it was entered with.
    key: Option<Key>,
    /// Keeps the node of a path alive, so that its inode number is not used again.
    node: Option<Box<dyn Any + Send + Sync>>,
    peer: Weak<UnixSocket>,
    /// The peer's name, which outlives it and may come after the connection.
    peer_name: Option<Arc<Name>>,
    peer_cred: Option<Ucred>,
    /// Reported once by the next call.
    error: Option<Errno>,
    /// Nothing can be received any more, beyond what is in the queue.
    no_receive: bool,
    /// Nothing can be sent any more.
    no_send: bool,
    /// The last descriptor is closed.
    dead: bool,
    queue: Queue,
    /// Senders that found the queue full and poll.
    crowded_out: Vec<Weak<UnixSocket>>,
}

impl State {
    fn is_connected(&self) -> bool {
        matches!(self.role, Role::Connected)
    }
}

/// A socket.
pub struct UnixSocket {
    me: Weak<UnixSocket>,
    options: Options,
    state: Mutex<State, { level::FILE_OBJECT }>,
    wait: WaitQueue,
}

impl PollSource for UnixSocket {
    fn wait_queue(&self) -> &WaitQueue {
        &self.wait
    }
}

/// What `SO_PEERCRED` shows of the caller.
fn peer_cred(caller: &Caller<'_>) -> Ucred {
    let cred = caller.cred();
    Ucred { pid: caller.tgid.cast_unsigned(), uid: cred.euid, gid: cred.egid }
}

impl UnixSocket {
    /// A socket that is not connected.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`; `ESOCKTNOSUPPORT` for other kinds than stream, datagram and sequenced
    /// packets.
    pub fn new(kind: SocketKind, protocol: i32) -> Result<Arc<Self>> {
        if protocol != 0 && protocol != AddressFamily::AF_UNIX.0 {
            return Err(Errno::EPROTONOSUPPORT.into());
        }
        let kind = match kind {
            // As Linux does.
            SocketKind::SOCK_RAW => SocketKind::SOCK_DGRAM,
            SocketKind::SOCK_STREAM | SocketKind::SOCK_DGRAM | SocketKind::SOCK_SEQPACKET => kind,
            _ => return Err(Errno::ESOCKTNOSUPPORT.into()),
        };
        Ok(Self::with(Options::new(AddressFamily::AF_UNIX, kind, 0), State::default()))
    }

    fn with(options: Options, state: State) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            options,
            state: Mutex::new(state),
            wait: WaitQueue::new(),
        })
    }

    /// Its options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    fn is_datagram(&self) -> bool {
        self.options.kind == SocketKind::SOCK_DGRAM
    }

    fn is_stream(&self) -> bool {
        self.options.kind == SocketKind::SOCK_STREAM
    }

    /// Whether it takes connections.
    pub fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening { .. })
    }

    /// As `getsockname(2)` shows it.
    pub fn name(&self) -> Vec<u8> {
        shown(&self.state.lock().name)
    }

    /// As `getpeername(2)` shows it.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn peer_name(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        if !state.is_connected() {
            return Err(Errno::ENOTCONN.into());
        }
        let name = state.peer_name.as_ref();
        Ok(name.map_or_else(|| UnixAddress::Unnamed.to_bytes(), |name| shown(name)))
    }

    /// `shutdown(2)`.
    pub fn shut_down(&self, how: ShutdownHow) {
        let receive = how != ShutdownHow::SHUT_WR;
        let send = how != ShutdownHow::SHUT_RD;
        let peer = {
            let mut state = self.state.lock();
            state.no_receive |= receive;
            state.no_send |= send;
            state.peer.upgrade().filter(|_| !self.is_datagram() && state.is_connected())
        };
        self.wait.wake_all(ALL);
        if let Some(peer) = peer {
            {
                let mut state = peer.state.lock();
                state.no_receive |= send;
                state.no_send |= receive;
            }
            peer.wait.wake_all(ALL);
        }
    }

    /// The last descriptor is closed. `refused` if it was never accepted.
    pub fn release(&self, refused: bool) {
        let (role, key, node, peer, unread, queue, crowded_out) = {
            let mut state = self.state.lock();
            state.dead = true;
            state.no_receive = true;
            state.no_send = true;
            let queue = core::mem::take(&mut state.queue);
            (
                core::mem::take(&mut state.role),
                state.key.take(),
                state.node.take(),
                core::mem::take(&mut state.peer),
                // Packets without bytes do not count.
                refused || queue.is_missed(),
                queue,
                core::mem::take(&mut state.crowded_out),
            )
        };
        if let Some(key) = key {
            names::leave(&key, &self.me);
        }
        drop(node);
        match role {
            Role::Listening { pending, .. } => {
                for socket in pending {
                    socket.release(true);
                }
            }
            Role::Connected if !self.is_datagram() => {
                if let Some(peer) = peer.upgrade() {
                    {
                        let mut state = peer.state.lock();
                        state.no_receive = true;
                        state.no_send = true;
                        if unread {
                            state.error = Some(Errno::ECONNRESET);
                        }
                    }
                    peer.wait.wake_all(ALL);
                }
            }
            _ => {}
        }
        drop(queue);
        self.wait.wake_all(ALL);
        for sender in crowded_out {
            if let Some(sender) = sender.upgrade() {
                sender.wait.wake_all(ALL);
            }
        }
        garbage::collect();
    }

    /// What it is ready for.
    pub fn poll(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        let peer = {
            let state = self.state.lock();
            let pending = match &state.role {
                Role::Listening { pending, .. } => !pending.is_empty(),
                _ => false,
            };
            events.set(PollEvents::POLLERR, state.error.is_some());
            events.set(PollEvents::POLLHUP, state.no_receive && state.no_send);
            events.set(PollEvents::POLLRDHUP, state.no_receive);
            let readable = pending || !state.queue.is_empty() || state.no_receive;
            events.set(PollEvents::READABLE, readable);
            if matches!(state.role, Role::Closed) && !self.is_datagram() {
                events |= PollEvents::POLLHUP;
            }
            if matches!(state.role, Role::Listening { .. }) {
                return events;
            }
            if state.no_send && !self.is_datagram() {
                return events | PollEvents::WRITABLE_SOCKET;
            }
            Weak::clone(&state.peer)
        };
        let has_room = match peer.upgrade() {
            Some(peer) => peer.has_room_for(self),
            None => true,
        };
        events.set(PollEvents::WRITABLE_SOCKET, has_room);
        events
    }

    /// Whether `sender` may send to this socket without waiting; if not, it will be woken.
    fn has_room_for(&self, sender: &Self) -> bool {
        let mut state = self.state.lock();
        if state.dead || state.no_receive {
            return true;
        }
        let mutual = Weak::ptr_eq(&state.peer, &sender.me);
        if mutual {
            return state.queue.charge().saturating_mul(4) <= sender.options.send_buffer();
        }
        if state.queue.packets() <= MAX_DATAGRAMS {
            return true;
        }
        state.crowded_out.retain(|known| known.strong_count() > 0);
        if !state.crowded_out.iter().any(|known| Weak::ptr_eq(known, &sender.me)) {
            state.crowded_out.push(Weak::clone(&sender.me));
        }
        false
    }

    /// After something was taken out of the queue: wakes those who wait for room.
    fn made_room(&self, peer: &Weak<Self>, crowded_out: Vec<Weak<Self>>) {
        let key = PollEvents::WRITABLE.bits();
        if let Some(peer) = peer.upgrade() {
            peer.wait.wake_all(key);
        }
        if self.is_datagram() {
            self.wait.wake_all(key);
        }
        for sender in crowded_out {
            if let Some(sender) = sender.upgrade() {
                sender.wait.wake_all(key);
            }
        }
    }

    /// `FIONREAD`.
    ///
    /// # Errors
    /// `EINVAL` if it listens.
    pub fn readable_bytes(&self) -> Result<usize> {
        let state = self.state.lock();
        match state.role {
            Role::Listening { .. } => Err(Errno::EINVAL.into()),
            _ if self.is_datagram() => Ok(state.queue.first_len()),
            _ => Ok(state.queue.len()),
        }
    }

    /// Reports an error once.
    ///
    /// # Errors
    /// The error, if there is one.
    pub fn take_error(&self) -> Result<()> {
        match self.state.lock().error.take() {
            Some(errno) => Err(errno.into()),
            None => Ok(()),
        }
    }

    /// `SIOCOUTQ`.
    pub fn unread_by_peer(&self) -> usize {
        let peer = self.state.lock().peer.upgrade();
        peer.map_or(0, |peer| peer.state.lock().queue.charge())
    }
}
