//! Sending.

use alloc::sync::{Arc, Weak};

use lx_core::abi::Errno;
use lx_core::abi::socket::{MsgFlags, Ucred};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::io::{IoSrc, partial};
use lx_core::poll::PollEvents;

use super::queue::{Attached, OVERHEAD};
use super::rights::Rights;
use super::{MAX_DATAGRAMS, UnixSocket};
use crate::message::Outgoing;

/// Bytes that are copied at once: they pass over the stack, because guest memory is not touched
/// while a queue is locked.
const CHUNK: usize = 4096;

impl UnixSocket {
    /// Refuses flags that no message may have. Comes before its address is looked at.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for bytes out of band.
    pub fn check_flags(&self, flags: MsgFlags) -> Result<()> {
        if !flags.contains(MsgFlags::MSG_OOB) {
            return Ok(());
        }
        if self.is_stream() {
            lx_core::unsupported::note("send MSG_OOB", flags.bits().into());
        }
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Sends a message, to `to` if it is given.
    ///
    /// # Errors
    /// As `send(2)`.
    pub fn send(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: Outgoing<'_>,
        to: Option<Arc<Self>>,
    ) -> Result<usize> {
        if self.is_stream() {
            if to.is_some() {
                let connected = self.state.lock().is_connected();
                let errno = if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP };
                return Err(errno.into());
            }
            return self.send_stream(caller, src, message);
        }
        // One that cannot send gets no name for it.
        if self.is_datagram() || self.state.lock().is_connected() {
            self.bind_if_passing()?;
        }
        self.send_packet(caller, src, message, to)
    }

    /// The other end of a connection.
    fn connected_peer(&self) -> Result<Arc<Self>> {
        let state = self.state.lock();
        if !state.is_connected() {
            return Err(Errno::ENOTCONN.into());
        }
        if state.no_send {
            return Err(Errno::EPIPE.into());
        }
        state.peer.upgrade().ok_or_else(|| Errno::EPIPE.into())
    }

    /// The sender of a message as the receiver may see it: what it says, or who it is if one of
    /// them asks for that.
    fn sender(&self, caller: &Caller<'_>, peer: &Self, said: Option<Ucred>) -> Option<Ucred> {
        if said.is_some() || !(self.options.pass_cred() || peer.options.pass_cred()) {
            return said;
        }
        let cred = caller.cred();
        Some(Ucred { pid: caller.tgid.cast_unsigned(), uid: cred.uid, gid: cred.gid })
    }

    fn send_stream(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: Outgoing<'_>,
    ) -> Result<usize> {
        let peer = self.connected_peer()?;
        let cred = self.sender(caller, &peer, message.cred);
        let mut rights = Rights::new(caller, message.rights)?;
        let limit = self.options.send_buffer();
        let mut chunk = [0_u8; CHUNK];
        let mut sent = 0;
        while src.remaining() > 0 {
            let len = src.remaining().min(CHUNK);
            let taken = match src.take(chunk.get_mut(..len).unwrap_or_default()) {
                Ok(taken) => taken,
                Err(error) => return partial(sent, error),
            };
            let mut rest = chunk.get(..taken).unwrap_or_default();
            while !rest.is_empty() {
                let mut put = || {
                    if self.state.lock().no_send {
                        return Some(Err(Errno::EPIPE.into()));
                    }
                    peer.put_stream(rest, limit, cred, &mut rights)
                };
                let result = match put() {
                    Some(result) => result,
                    None if message.nonblocking => Err(Errno::EAGAIN.into()),
                    None => self
                        .options
                        .wait(caller, &self.wait, PollEvents::WRITABLE, true, put)
                        .and_then(|put| put),
                };
                match result {
                    Ok(count) => {
                        sent += count;
                        rest = rest.get(count..).unwrap_or_default();
                        peer.wait.wake_all(PollEvents::READABLE.bits());
                    }
                    Err(error) => return partial(sent, error),
                }
            }
        }
        Ok(sent)
    }

    /// Puts what fits of `bytes` into this socket's queue; `None` if it is full.
    fn put_stream(
        &self,
        bytes: &[u8],
        limit: usize,
        cred: Option<Ucred>,
        rights: &mut Rights,
    ) -> Option<Result<usize>> {
        let mut state = self.state.lock();
        if state.dead || state.no_receive {
            return Some(Err(Errno::EPIPE.into()));
        }
        let room = limit.saturating_sub(state.queue.charge()).min(bytes.len());
        if room == 0 {
            return None;
        }
        let attached = Attached { cred, rights: core::mem::take(rights), from: None };
        state.queue.push_stream(bytes.get(..room).unwrap_or_default(), attached);
        Some(Ok(room))
    }

    /// What is reported before it matters where a packet goes: an error, that nothing can be sent.
    ///
    /// # Errors
    /// The socket's; `EPIPE`.
    pub fn check_send(&self) -> Result<()> {
        self.take_error()?;
        if self.state.lock().no_send { Err(Errno::EPIPE.into()) } else { Ok(()) }
    }

    /// Whether packets can be sent over a connection.
    ///
    /// # Errors
    /// The socket's; `ENOTCONN`.
    pub fn check_connection(&self) -> Result<()> {
        self.take_error()?;
        if self.state.lock().is_connected() { Ok(()) } else { Err(Errno::ENOTCONN.into()) }
    }

    /// Where a packet goes.
    fn destination(&self, to: Option<Arc<Self>>) -> Result<Arc<Self>> {
        if !self.is_datagram() {
            return self.connected_peer();
        }
        let (peer, connected, no_send) = {
            let state = self.state.lock();
            (Weak::clone(&state.peer), state.is_connected(), state.no_send)
        };
        let to = match to {
            Some(to) => to,
            None if !connected => return Err(Errno::ENOTCONN.into()),
            None => match peer.upgrade() {
                Some(peer) if !peer.state.lock().dead => peer,
                _ => {
                    self.disconnect()?;
                    return Err(Errno::ECONNREFUSED.into());
                }
            },
        };
        if no_send {
            return Err(Errno::EPIPE.into());
        }
        Ok(to)
    }

    fn send_packet(
        &self,
        caller: &Caller<'_>,
        src: &mut IoSrc<'_>,
        message: Outgoing<'_>,
        to: Option<Arc<Self>>,
    ) -> Result<usize> {
        let len = src.remaining();
        if !self.is_datagram() {
            self.check_connection()?;
        }
        if len > self.options.send_buffer().saturating_sub(32) {
            return Err(Errno::EMSGSIZE.into());
        }
        self.check_send()?;
        let mut packet = alloc::vec![0_u8; len];
        let taken = src.take(&mut packet)?;
        if taken < len {
            return Err(Errno::EFAULT.into());
        }
        let to = self.destination(to)?;
        let cred = self.sender(caller, &to, message.cred);
        let from = self.me.upgrade();
        let rights = Rights::new(caller, message.rights)?;
        let mut attached = Some(Attached { cred, rights, from });
        if self.is_datagram() {
            to.check_may_send(self)?;
        }
        let mut put = || to.put_packet(self, &packet, &mut attached);
        match put() {
            Some(result) => result?,
            None if message.nonblocking => return Err(Errno::EAGAIN.into()),
            None => {
                // Room is announced to the sockets of a pair each, else to those who wait here.
                let queue = if self.is_datagram() { &to.wait } else { &self.wait };
                self.options.wait(caller, queue, PollEvents::WRITABLE, true, put)??;
            }
        }
        to.wait.wake_all(PollEvents::READABLE.bits());
        Ok(len)
    }

    /// Puts a packet into this socket's queue; `None` if there is no room.
    fn put_packet(
        &self,
        sender: &Self,
        packet: &[u8],
        attached: &mut Option<Attached>,
    ) -> Option<Result<()>> {
        let mut state = self.state.lock();
        if state.dead {
            let errno = if self.is_datagram() { Errno::ECONNREFUSED } else { Errno::EPIPE };
            return Some(Err(errno.into()));
        }
        if state.no_receive {
            return Some(Err(Errno::EPIPE.into()));
        }
        let itself = core::ptr::eq(self, sender);
        let mutual = Weak::ptr_eq(&state.peer, &sender.me);
        if !mutual && !itself && state.queue.packets() > MAX_DATAGRAMS {
            return None;
        }
        let limit = sender.options.send_buffer();
        let charge = state.queue.charge();
        if charge > 0 && charge.saturating_add(packet.len()).saturating_add(OVERHEAD) > limit {
            return None;
        }
        state.queue.push_packet(packet, attached.take().unwrap_or_default());
        Some(Ok(()))
    }
}
