//! Getting and setting options.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::{SOL_IP, SOL_IPV6, SOL_TCP};
use lx_core::host::{HostError, HostFd, HostResult};
use lx_nt::Handle;

use super::options::{self, LEVEL_SOCKET, Plan, Value};
use super::state::{self, Phase, State};
use super::{errors, poll, transfer};
use crate::nt::nt;

const LEAST_SEND_BUFFER: i32 = 4608;
const LEAST_RECEIVE_BUFFER: i32 = 2304;
/// Values of `IP_MTU_DISCOVER`.
const WANT: i32 = 1;
const DO: i32 = 2;
const MOST_DISCOVER: i32 = 5;

fn fail<T>(error: Errno) -> HostResult<T> {
    Err(HostError(error))
}

/// What Windows says of one of its options.
fn ask(handle: Handle, level: u32, name: u32) -> HostResult<i32> {
    let mut value = [0u8; 32];
    let mut len = 4;
    // SAFETY: Winsock writes no more than the length says, and the length.
    errors::check(unsafe { nt!(net_option, handle, level, name, value.as_mut_ptr(), &mut len) })
        .map_err(unknown)?;
    Ok(value.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes)))
}

fn tell(handle: Handle, level: u32, name: u32, value: &[u8]) -> HostResult<()> {
    // SAFETY: Winsock reads the value.
    errors::check(unsafe {
        nt!(net_set_option, handle, level, name, value.as_ptr(), value.len() as u32)
    })
    .map_err(unknown)
}

/// An option that this Windows does not know.
fn unknown(error: HostError) -> HostError {
    match error.0 {
        Errno::EOPNOTSUPP => HostError(Errno::ENOPROTOOPT),
        _ => error,
    }
}

/// Whether the option belongs to the kind of socket; Linux knows no others.
fn fits(known: &State, level: i32) -> bool {
    match level {
        SOL_TCP => known.is_stream(),
        SOL_IPV6 => known.family == lx_core::abi::socket::AddressFamily::AF_INET6,
        _ => true,
    }
}

fn nothing_like_it<T>(level: i32, name: i32) -> HostResult<T> {
    let value = u64::from(level.cast_unsigned()) << 32 | u64::from(name.cast_unsigned());
    lx_core::unsupported::note("socket option (level, name)", value);
    fail(Errno::ENOPROTOOPT)
}

/// See [`HostNet::net_option`](lx_core::host::HostNet::net_option).
pub(super) fn get(fd: &HostFd, level: i32, name: i32, value: &mut Vec<u8>) -> HostResult<()> {
    let known = state::get(fd.raw())?;
    if !fits(&known, level) {
        return fail(Errno::EOPNOTSUPP);
    }
    let handle = super::local(fd)?;
    let number = match options::plan(level, name, known.is_stream()) {
        Plan::Windows(_, _, Value::Group | Value::Source | Value::Group6) => {
            return fail(Errno::ENOPROTOOPT);
        }
        Plan::Windows(at, number, kind) => kind.to_linux(ask(handle, at, number)?),
        Plan::Kept(option) => i32::from(known.kept & option.bit() != 0),
        Plan::Error => error(fd, handle)?,
        Plan::Linger => {
            let [on, seconds] = known.linger;
            return give(value, &[on.to_ne_bytes(), seconds.to_ne_bytes()].concat());
        }
        Plan::SendBuffer if known.send_buffer != 0 => known.send_buffer,
        Plan::ReceiveBuffer if known.receive_buffer != 0 => known.receive_buffer,
        Plan::SendBuffer => ask(handle, LEVEL_SOCKET, options::SEND_BUFFER)?,
        Plan::ReceiveBuffer => ask(handle, LEVEL_SOCKET, options::RECEIVE_BUFFER)?,
        Plan::Kind => known.kind.0.cast_signed(),
        Plan::Domain => known.family.0,
        Plan::Protocol => known.protocol,
        Plan::Accepts => i32::from(known.phase == Phase::Listening),
        Plan::Discover => known.discover.unwrap_or(WANT),
        Plan::None => return nothing_like_it(level, name),
    };
    let bytes = number.to_ne_bytes();
    let short = level == SOL_IP && (1..4).contains(&value.len()) && (0..256).contains(&number);
    give(value, if short { bytes.get(..1).unwrap_or_default() } else { &bytes })
}

/// Stores as much of an answer as there is room for.
fn give(value: &mut Vec<u8>, answer: &[u8]) -> HostResult<()> {
    value.truncate(answer.len());
    value.iter_mut().zip(answer).for_each(|(to, from)| *to = *from);
    Ok(())
}

/// The error that Winsock has for the next one who asks.
pub(super) fn pending_error(handle: Handle) -> Option<Errno> {
    let error = ask(handle, LEVEL_SOCKET, options::ERROR).ok()?.cast_unsigned();
    (error != 0).then(|| errors::errno(error))
}

/// `SO_ERROR`, which is told once.
fn error(fd: &HostFd, handle: Handle) -> HostResult<i32> {
    if state::get(fd.raw())?.phase == Phase::Connecting {
        poll::look(handle, fd.raw())?;
    }
    let theirs = pending_error(handle);
    let known = state::get(fd.raw())?;
    let ours = transfer::take_error(fd.raw());
    let datagrams = !known.is_stream() && known.phase != Phase::Connected;
    Ok(match ours.or(theirs) {
        // As with receiving: nobody is told whose datagram was refused.
        Some(Errno::ECONNRESET) if datagrams => 0,
        Some(error) => i32::from(error.number()),
        None => 0,
    })
}

/// See [`HostNet::net_set_option`](lx_core::host::HostNet::net_set_option).
pub(super) fn set(fd: &HostFd, level: i32, name: i32, value: &[u8]) -> HostResult<()> {
    let known = state::get(fd.raw())?;
    if !fits(&known, level) {
        return fail(Errno::ENOPROTOOPT);
    }
    let handle = super::local(fd)?;
    let number = || options::number(level, value).ok_or(HostError(Errno::EINVAL));
    match options::plan(level, name, known.is_stream()) {
        Plan::Windows(at, windows, kind) => {
            let Some((bytes, len)) = kind.to_windows(level, value) else {
                return fail(Errno::EINVAL);
            };
            tell(handle, at, windows, bytes.get(..len).unwrap_or_default())?;
            if brings_messages(level, name) {
                state::update(fd.raw(), |state| state.control = true);
            }
        }
        Plan::Kept(option) => {
            let on = number()? != 0;
            state::update(fd.raw(), |state| {
                state.kept &= !option.bit();
                state.kept |= if on { option.bit() } else { 0 };
            });
        }
        Plan::Linger => linger(fd, handle, value)?,
        Plan::SendBuffer => {
            let size = options::buffer_size(number()?, LEAST_SEND_BUFFER);
            tell(handle, LEVEL_SOCKET, options::SEND_BUFFER, &size.to_ne_bytes())?;
            state::update(fd.raw(), |state| state.send_buffer = size);
        }
        Plan::ReceiveBuffer => {
            let size = options::buffer_size(number()?, LEAST_RECEIVE_BUFFER);
            tell(handle, LEVEL_SOCKET, options::RECEIVE_BUFFER, &size.to_ne_bytes())?;
            state::update(fd.raw(), |state| state.receive_buffer = size);
        }
        Plan::Discover => {
            let mode = number()?;
            if !(0..=MOST_DISCOVER).contains(&mode) {
                return fail(Errno::EINVAL);
            }
            let (at, windows) = options::DONT_FRAGMENT;
            tell(handle, at, windows, &i32::from(mode >= DO).to_ne_bytes())?;
            state::update(fd.raw(), |state| state.discover = Some(mode));
        }
        Plan::Error | Plan::Kind | Plan::Domain | Plan::Protocol | Plan::Accepts => {
            return fail(Errno::ENOPROTOOPT);
        }
        Plan::None => return nothing_like_it(level, name),
    }
    Ok(())
}

/// Options that make control messages come with datagrams.
fn brings_messages(level: i32, name: i32) -> bool {
    match level {
        SOL_IP => matches!(name, 8 | 12 | 13),
        SOL_IPV6 => matches!(name, 49 | 51 | 66),
        _ => false,
    }
}

/// Windows' `closesocket` fails where it would have to wait, so it learns of lingering only when
/// that means to reset the connection.
fn linger(fd: &HostFd, handle: Handle, value: &[u8]) -> HostResult<()> {
    let number = |at: usize| {
        let bytes = value.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(HostError(Errno::EINVAL))
    };
    let (on, seconds) = (i32::from(number(0)? != 0), number(4)?);
    let reset = u16::from(on != 0 && seconds == 0);
    let windows = [reset.to_ne_bytes(), [0; 2]].concat();
    tell(handle, LEVEL_SOCKET, options::LINGER, &windows)?;
    state::update(fd.raw(), |state| state.linger = [on, seconds]);
    Ok(())
}
