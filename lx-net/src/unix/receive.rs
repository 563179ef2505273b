//! Receiving.

use alloc::sync::Weak;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::{MsgFlags, Ucred};
use lx_core::caller::Caller;
use lx_core::error::{Result, SysError};
use lx_core::io::IoDst;
use lx_core::poll::PollEvents;

use super::queue::{Packet, Part};
use super::{State, UnixSocket};
use crate::message::{Incoming, Received};

const CHUNK: usize = 4096;

/// Who sent a message that does not say it.
const NOBODY: Ucred = Ucred { pid: 0, uid: 65_534, gid: 65_534 };

/// What an attempt to receive found.
enum Found<T> {
    Some(T),
    /// Nothing will come any more.
    End,
    Error(Errno),
}

impl State {
    /// What there is if the queue is empty; `None` if one has to wait.
    fn empty<T>(&mut self) -> Option<Found<T>> {
        if let Some(errno) = self.error.take() {
            return Some(Found::Error(errno));
        }
        self.no_receive.then_some(Found::End)
    }
}

impl UnixSocket {
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
        if how.flags.contains(MsgFlags::MSG_OOB) {
            lx_core::unsupported::note("recv MSG_OOB", how.flags.bits().into());
            let errno = if self.is_stream() { Errno::EINVAL } else { Errno::EOPNOTSUPP };
            return Err(errno.into());
        }
        if !self.is_datagram() && !self.state.lock().is_connected() {
            let errno = if self.is_stream() { Errno::EINVAL } else { Errno::ENOTCONN };
            return Err(errno.into());
        }
        let mut received = if self.is_stream() {
            self.receive_stream(caller, dst, how)?
        } else {
            self.receive_packet(caller, dst, how)?
        };
        // A stream shows its peer's name, if there is one, with what it has sent.
        let found = received.cred.is_some();
        if !self.options.pass_cred() {
            received.cred = None;
        } else if self.is_stream() && !found {
            // The end of a stream comes with credentials that say nothing.
            received.cred = Some(Ucred { pid: 0, uid: 0, gid: 0 });
        }
        if self.is_stream() && how.wants_address && found {
            received.address = self.peer_name().ok().filter(|name| name.len() > 2);
        }
        Ok(received)
    }

    /// Waits for `attempt` as the call says.
    fn wait_for<T>(
        &self,
        caller: &Caller<'_>,
        nonblocking: bool,
        mut attempt: impl FnMut() -> Option<Found<T>>,
    ) -> Result<Found<T>> {
        match attempt() {
            Some(found) => Ok(found),
            None if nonblocking => Err(Errno::EAGAIN.into()),
            None => self.options.wait(caller, &self.wait, PollEvents::READABLE, false, attempt),
        }
    }

    fn receive_stream(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        let mut received = Received::default();
        if how.flags.contains(MsgFlags::MSG_PEEK) {
            return self.peek_stream(caller, dst, how);
        }
        let one_sender = self.options.pass_cred();
        let all = how.flags.contains(MsgFlags::MSG_WAITALL);
        let mut chunk = [0_u8; CHUNK];
        let mut sender: Option<Option<Ucred>> = None;
        // A call for no bytes waits for some, and takes the files that come with them.
        while dst.remaining() > 0 || received.len == 0 {
            let nothing = dst.remaining() == 0;
            let len = dst.remaining().min(CHUNK);
            let part = chunk.get_mut(..len).unwrap_or_default();
            let only = sender.filter(|_| one_sender);
            // What is there already ends the call unless all of the buffer shall be filled. A
            // message of somebody else ends it in any case.
            let stop = received.len > 0 && !all;
            let attempt = || self.take_stream(part, only, stop);
            let found = match self.wait_for(caller, how.nonblocking, attempt) {
                Ok(Found::Some(Some(found))) => found,
                Ok(Found::Some(None) | Found::End) => break,
                Ok(Found::Error(_)) | Err(_) if received.len > 0 => break,
                Ok(Found::Error(errno)) => return Err(errno.into()),
                Err(error) => return Err(error),
            };
            let (mut part, peer, crowded_out) = found;
            let bytes = chunk.get(..part.bytes).unwrap_or_default();
            let stored = match dst.put(bytes) {
                Ok(stored) => stored,
                Err(error) => {
                    self.state.lock().queue.put_back(bytes, part);
                    return if received.len > 0 { Ok(received) } else { Err(error) };
                }
            };
            received.len += stored;
            sender.get_or_insert(part.cred);
            received.cred = Some(sender.flatten().unwrap_or(NOBODY));
            let carried = !part.rights.is_empty();
            received.rights.extend(part.rights.take());
            if stored < bytes.len() {
                let rest = bytes.get(stored..).unwrap_or_default();
                self.state.lock().queue.put_back(rest, part);
                break;
            }
            self.made_room(&peer, crowded_out);
            if carried || nothing {
                break;
            }
        }
        Ok(received)
    }

    /// The head of a stream; `Found::Some(None)` if the call ends here.
    #[expect(clippy::type_complexity, reason = "used in one place")]
    fn take_stream(
        &self,
        part: &mut [u8],
        only: Option<Option<Ucred>>,
        stop: bool,
    ) -> Option<Found<Option<(Part, Weak<Self>, Vec<Weak<Self>>)>>> {
        let mut state = self.state.lock();
        if state.queue.is_empty() {
            return if stop { Some(Found::Some(None)) } else { state.empty() };
        }
        let Some(part) = state.queue.take_stream(part, only) else {
            return Some(Found::Some(None));
        };
        let crowded_out = core::mem::take(&mut state.crowded_out);
        Some(Found::Some(Some((part, Weak::clone(&state.peer), crowded_out))))
    }

    fn peek_stream(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        let max = dst.remaining();
        let all = how.flags.contains(MsgFlags::MSG_WAITALL);
        let one_sender = self.options.pass_cred();
        let found = self.wait_for(caller, how.nonblocking, || {
            let mut state = self.state.lock();
            let enough = !all || how.nonblocking || state.queue.len() >= max || state.no_receive;
            match state.queue.peek_stream(max, one_sender) {
                Some(found) => enough.then_some(Found::Some(found)),
                None => state.empty(),
            }
        })?;
        match found {
            Found::Some((bytes, head)) => Ok(Received {
                len: dst.put(&bytes)?,
                cred: Some(head.cred.unwrap_or(NOBODY)),
                rights: head.files,
                ..Received::default()
            }),
            Found::End => Ok(Received::default()),
            Found::Error(errno) => Err(errno.into()),
        }
    }

    fn receive_packet(
        &self,
        caller: &Caller<'_>,
        dst: &mut IoDst<'_>,
        how: Incoming,
    ) -> Result<Received> {
        let keep = how.flags.contains(MsgFlags::MSG_PEEK);
        let room = dst.remaining();
        let attempt = || {
            let mut state = self.state.lock();
            if let Some(errno) = state.error.take() {
                // An error comes before what is there, unlike with streams.
                return Some(Found::Error(errno));
            }
            match state.queue.packet(room, keep) {
                Some(packet) => {
                    let crowded_out = core::mem::take(&mut state.crowded_out);
                    let peer = Weak::clone(&state.peer);
                    Some(Found::Some((packet, peer, crowded_out)))
                }
                // Without waiting, a datagram socket that is shut down is merely empty.
                None if how.nonblocking && self.is_datagram() && state.error.is_none() => None,
                None => state.empty(),
            }
        };
        let (Packet { bytes, head, from }, peer, crowded_out) =
            match self.wait_for(caller, how.nonblocking, attempt)? {
                Found::Some(found) => found,
                Found::End => return Ok(Received::default()),
                Found::Error(errno) => return Err(errno.into()),
            };
        self.made_room(&peer, crowded_out);
        if !bytes.is_empty() && dst.put(&bytes)? < bytes.len() {
            return Err(SysError::Errno(Errno::EFAULT));
        }
        let mut flags = MsgFlags::empty();
        flags.set(MsgFlags::MSG_TRUNC, bytes.len() < head.bytes);
        let whole = how.flags.contains(MsgFlags::MSG_TRUNC);
        Ok(Received {
            len: if whole { head.bytes } else { bytes.len() },
            flags,
            // A sender without a name has an address of no length at all.
            address: Some(
                from.map(|from| from.name()).filter(|name| name.len() > 2).unwrap_or_default(),
            ),
            cred: Some(head.cred.unwrap_or(NOBODY)),
            rights: head.files,
            control: Vec::new(),
        })
    }
}
