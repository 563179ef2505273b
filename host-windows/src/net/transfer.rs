//! Sending and receiving.

use alloc::vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::MsgFlags;
use lx_core::host::{Buf, BufMut, HostError, HostFd, HostResult, NetMessage};
use lx_nt::{Handle, NetTransfer};

use super::address::{self, Address, Use};
use super::state::{self, Phase, State};
use super::{control, errors, poll, setting};
use crate::memory::in_guest;
use crate::nt::nt;

/// Flags whose numbers are the same.
const SAME: MsgFlags = MsgFlags::MSG_OOB.union(MsgFlags::MSG_PEEK).union(MsgFlags::MSG_DONTROUTE);
/// The longest datagram.
const MAX_DATAGRAM: usize = 65_536;
/// Room for control messages, as Windows has them.
const CONTROL_ROOM: usize = 512;
/// Most bytes of one call.
const MOST: usize = 1 << 30;
/// Datagrams that were not delivered are told one by one.
const MOST_ERRORS: usize = 64;

fn fail<T>(error: Errno) -> HostResult<T> {
    Err(HostError(error))
}

fn source(bytes: Buf<'_>) -> HostResult<(*mut u8, usize)> {
    match bytes {
        Buf::Kernel(bytes) => Ok((bytes.as_ptr().cast_mut(), bytes.len())),
        Buf::Guest { addr, len } if in_guest(addr, len) => Ok((addr as *mut u8, len)),
        Buf::Guest { .. } => fail(Errno::EFAULT),
    }
}

fn target(bytes: BufMut<'_>) -> HostResult<(*mut u8, usize)> {
    match bytes {
        BufMut::Kernel(bytes) => Ok((bytes.as_mut_ptr(), bytes.len())),
        BufMut::Guest { addr, len } if in_guest(addr, len) => Ok((addr as *mut u8, len)),
        BufMut::Guest { .. } => fail(Errno::EFAULT),
    }
}

fn transfer((bytes, len): (*mut u8, usize), flags: MsgFlags) -> NetTransfer {
    NetTransfer {
        bytes,
        len: len.min(MOST) as u32,
        flags: (flags & SAME).bits(),
        address: core::ptr::null_mut(),
        address_len: 0,
        control_len: 0,
        control: core::ptr::null_mut(),
    }
}

/// See [`HostNet::net_send`](lx_core::host::HostNet::net_send).
pub(super) fn send(
    fd: &HostFd,
    bytes: Buf<'_>,
    flags: MsgFlags,
    address: &[u8],
    control: &[u8],
) -> HostResult<usize> {
    let known = state::get(fd.raw())?;
    if flags.contains(MsgFlags::MSG_FASTOPEN) {
        lx_core::unsupported::note("send MSG_FASTOPEN", flags.bits().into());
        return fail(Errno::EOPNOTSUPP);
    }
    if flags.contains(MsgFlags::MSG_MORE) && !known.is_stream() {
        // It would hold the datagram back until its rest comes. To a stream it is only a hint.
        lx_core::unsupported::note("send MSG_MORE of datagrams", flags.bits().into());
        return fail(Errno::EOPNOTSUPP);
    }
    let mut transfer = transfer(source(bytes)?, flags);
    let to;
    if known.is_stream() {
        check_stream(fd, &known)?;
    } else {
        if known.write_shut {
            return fail(Errno::EPIPE);
        }
        if !address.is_empty() {
            to = Address::of_linux(address, known.family, Use::Peer, true)?;
            transfer.address = to.bytes().as_ptr().cast_mut();
            transfer.address_len = to.bytes().len() as u32;
        } else if known.phase != Phase::Connected {
            return fail(Errno::EDESTADDRREQ);
        }
    }
    let converted;
    if !control.is_empty() && !known.is_stream() {
        let Some(bytes) = control::to_windows(control) else {
            lx_core::unsupported::note("control message to send", control.len() as u64);
            return fail(Errno::EINVAL);
        };
        converted = bytes;
        transfer.control = converted.as_ptr().cast_mut();
        transfer.control_len = converted.len() as u32;
    }
    let handle = super::local(fd)?;
    for _ in 0..MOST_ERRORS {
        let mut now = transfer;
        // SAFETY: Winsock reads the bytes, which `source` has checked, and what else the structure
        // points to, which is there until the call returns.
        let error = unsafe { nt!(net_send, handle, &raw mut now) };
        if error == 0 {
            if !known.bound {
                state::update(fd.raw(), |state| state.bound = true);
            }
            return Ok(now.len as usize);
        }
        match failed(fd.raw(), &known, error, Errno::EPIPE) {
            Failed::Again => {}
            Failed::Ended => return fail(Errno::EPIPE),
            Failed::With(error) => return fail(error),
        }
    }
    fail(Errno::EAGAIN)
}

/// Whether a stream can send.
fn check_stream(fd: &HostFd, known: &State) -> HostResult<()> {
    match known.phase {
        _ if known.write_shut => fail(Errno::EPIPE),
        Phase::Connected | Phase::Arrived => Ok(()),
        Phase::Connecting => {
            poll::look(super::local(fd)?, fd.raw())?;
            match state::get(fd.raw())?.phase {
                Phase::Connecting => fail(Errno::EAGAIN),
                Phase::Arrived | Phase::Connected => Ok(()),
                _ => fail(take_error(fd.raw()).unwrap_or(Errno::EPIPE)),
            }
        }
        _ => fail(take_error(fd.raw()).unwrap_or(Errno::EPIPE)),
    }
}

/// The error that waits to be told.
pub(super) fn take_error(raw: u64) -> Option<Errno> {
    state::update(raw, |state| state.error.take()).flatten()
}

/// What an error of a transfer comes to.
enum Failed {
    With(Errno),
    /// Nothing comes, or goes, any more.
    Ended,
    /// It was about something else.
    Again,
}

/// Looks into an error; `closed` is what a connection that is not there answers.
fn failed(raw: u64, known: &State, error: u32, closed: Errno) -> Failed {
    if !known.is_stream() {
        return match error {
            // A datagram from this socket was refused. Linux tells only those that have one peer.
            errors::CONNECTION_RESET | errors::NET_RESET if known.phase != Phase::Connected => {
                Failed::Again
            }
            errors::CONNECTION_RESET | errors::NET_RESET => Failed::With(Errno::ECONNREFUSED),
            errors::NOT_CONNECTED => Failed::With(Errno::EDESTADDRREQ),
            error => Failed::With(errors::errno(error)),
        };
    }
    match error {
        errors::SHUT_DOWN => Failed::Ended,
        errors::CONNECTION_RESET | errors::CONNECTION_ABORTED => {
            let told = state::update(raw, |state| {
                let over = state.phase == Phase::Over;
                state.fail(Errno::ECONNRESET);
                (over, state.error.take())
            });
            match told {
                Some((true, None)) => Failed::Ended,
                Some((_, Some(error))) => Failed::With(error),
                _ => Failed::With(Errno::ECONNRESET),
            }
        }
        errors::NOT_CONNECTED | errors::INVALID => match (take_error(raw), known.phase) {
            (Some(error), _) => Failed::With(error),
            (None, Phase::Connecting) => Failed::With(Errno::EAGAIN),
            (None, Phase::Over) => Failed::Ended,
            (None, _) => Failed::With(closed),
        },
        errors::WOULD_BLOCK if known.phase == Phase::Over => match take_error(raw) {
            Some(error) => Failed::With(error),
            None => Failed::Ended,
        },
        error => Failed::With(errors::errno(error)),
    }
}

/// See [`HostNet::net_receive`](lx_core::host::HostNet::net_receive).
pub(super) fn receive(
    fd: &HostFd,
    bytes: BufMut<'_>,
    flags: MsgFlags,
    message: Option<&mut NetMessage>,
) -> HostResult<usize> {
    let known = state::get(fd.raw())?;
    if flags.contains(MsgFlags::MSG_ERRQUEUE) {
        return fail(Errno::EAGAIN);
    }
    if known.is_stream() {
        let count = receive_stream(fd, &known, bytes, flags)?;
        if let Some(message) = message {
            message.address_len = 0;
            message.control.clear();
            message.flags = flags & MsgFlags::MSG_OOB;
        }
        return Ok(count);
    }
    if !known.bound {
        // Nobody can have sent anything. Binding it now would be seen by the guest.
        return fail(Errno::EAGAIN);
    }
    if flags.contains(MsgFlags::MSG_TRUNC)
        && let BufMut::Kernel(bytes) = bytes
    {
        // Windows does not tell how much it has cut off.
        let mut all = vec![0; MAX_DATAGRAM];
        let place = target(BufMut::Kernel(&mut all))?;
        let count = receive_datagram(fd, &known, place, flags, message)?;
        for (to, from) in bytes.iter_mut().zip(all.iter().take(count)) {
            *to = *from;
        }
        return Ok(count);
    }
    receive_datagram(fd, &known, target(bytes)?, flags, message)
}

fn receive_stream(
    fd: &HostFd,
    known: &State,
    bytes: BufMut<'_>,
    flags: MsgFlags,
) -> HostResult<usize> {
    match known.phase {
        Phase::Fresh | Phase::Failed => {
            return fail(take_error(fd.raw()).unwrap_or(Errno::ENOTCONN));
        }
        Phase::Listening => return fail(Errno::ENOTCONN),
        _ => {}
    }
    let mut transfer = transfer(target(bytes)?, flags);
    let handle = super::local(fd)?;
    // SAFETY: Winsock writes the bytes, which `target` has checked.
    let error = unsafe { nt!(net_receive, handle, &raw mut transfer) };
    match error {
        0 if transfer.len == 0 => end(fd, handle, known),
        0 => Ok(transfer.len as usize),
        errors::WOULD_BLOCK if known.read_shut => Ok(0),
        errors::INVALID if flags.contains(MsgFlags::MSG_OOB) => fail(Errno::EINVAL),
        error => match failed(fd.raw(), known, error, Errno::ENOTCONN) {
            Failed::With(error) => fail(error),
            Failed::Ended | Failed::Again => Ok(0),
        },
    }
}

/// A stream has ended, which may be because it was reset: the driver knows, even if Winsock does not
/// say so.
fn end(fd: &HostFd, handle: Handle, known: &State) -> HostResult<usize> {
    if known.phase != Phase::Over {
        poll::look(handle, fd.raw())?;
    }
    take_error(fd.raw()).map_or(Ok(0), fail)
}

fn receive_datagram(
    fd: &HostFd,
    known: &State,
    place: (*mut u8, usize),
    flags: MsgFlags,
    message: Option<&mut NetMessage>,
) -> HostResult<usize> {
    let mut from = [0u8; address::INET6 + 4];
    let mut control = vec![0u8; if known.control { CONTROL_ROOM } else { 0 }];
    let mut asked = transfer(place, flags);
    asked.address = from.as_mut_ptr();
    asked.address_len = from.len() as u32;
    asked.control = control.as_mut_ptr();
    asked.control_len = control.len() as u32;
    let handle = super::local(fd)?;
    let (error, done) = receive_one(fd, handle, known, asked)?;
    let Some(done) = done else { return Ok(0) };
    let cut = error == errors::MESSAGE_SIZE;
    let count = if cut { asked.len } else { done.len } as usize;
    let Some(message) = message else { return Ok(count) };
    message.flags = if cut { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
    let len = address::to_linux(&mut from, done.address_len as usize);
    for (to, from) in message.address.iter_mut().zip(from.iter().take(len)) {
        *to = *from;
    }
    message.address_len = len;
    let used = if known.control { done.control_len as usize } else { 0 };
    let control = control::to_linux(control.get(..used).unwrap_or_default());
    if control.len() > message.control.len() {
        message.flags |= MsgFlags::MSG_CTRUNC;
    }
    message.control.truncate(control.len());
    for (to, from) in message.control.iter_mut().zip(&control) {
        *to = *from;
    }
    Ok(count)
}

/// One datagram: how the call ended, and what it brought; nothing if nothing comes any more.
fn receive_one(
    fd: &HostFd,
    handle: Handle,
    known: &State,
    asked: NetTransfer,
) -> HostResult<(u32, Option<NetTransfer>)> {
    for _ in 0..MOST_ERRORS {
        let mut now = asked;
        // SAFETY: Winsock writes the bytes, which the caller has checked, and the caller's
        // variables.
        let error = unsafe { nt!(net_receive, handle, &raw mut now) };
        match error {
            0 | errors::MESSAGE_SIZE => return Ok((error, Some(now))),
            errors::WOULD_BLOCK if known.read_shut => return Ok((error, None)),
            // That a datagram was refused may be told in this way only.
            errors::WOULD_BLOCK if known.phase == Phase::Connected => {
                return fail(match setting::pending_error(handle) {
                    Some(Errno::ECONNRESET) => Errno::ECONNREFUSED,
                    other => other.unwrap_or(Errno::EAGAIN),
                });
            }
            error => match failed(fd.raw(), known, error, Errno::ENOTCONN) {
                Failed::Again => {}
                Failed::Ended => return Ok((error, None)),
                Failed::With(error) => return fail(error),
            },
        }
    }
    fail(Errno::EAGAIN)
}

/// Length of the datagram that comes next; 0 if there is none.
pub(super) fn next_len(fd: &HostFd) -> HostResult<i32> {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    match receive(fd, BufMut::Kernel(&mut []), flags, None) {
        Err(HostError(Errno::EAGAIN)) => Ok(0),
        result => result.map(|len| len as i32),
    }
}
