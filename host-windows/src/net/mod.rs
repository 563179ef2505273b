//! Sockets of the host, by Winsock.
//!
//! A socket is made by one process and used by all: each takes a duplicate of the handle from init,
//! as of any file. What Winsock calls otherwise than Linux is translated here; what Windows does not
//! remember of a socket is in `state`.

mod address;
mod control;
mod errors;
mod events;
mod interfaces;
mod options;
mod poll;
mod setting;
mod state;
mod transfer;

pub(crate) use poll::{arm, complete, disarm, ready, serve};

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::socket::{AddressFamily, MsgFlags, ShutdownHow, SocketKind};
use lx_core::host::{
    Buf, BufMut, HostError, HostFd, HostNet, HostResult, NetInterface, NetMessage,
};
use lx_nt::Handle;

use crate::WindowsHost;
use crate::files::{self, Kind};
use crate::nt::nt;
use crate::thread;
use address::{Address, Use};
use state::{Phase, State};

/// Room for any address.
const ADDRESS_ROOM: usize = 32;

fn fail<T>(error: Errno) -> HostResult<T> {
    Err(HostError(error))
}

/// The calling process's handle of a socket, for calls of Winsock.
fn local(fd: &HostFd) -> HostResult<Handle> {
    thread::current().commit_stack();
    files::local(fd)
}

/// Closes the calling process's handle of a socket as Winsock wants it, or else Winsock would take
/// another socket with this handle for the same one.
pub(crate) fn close_handle(handle: Handle) {
    // SAFETY: nobody uses the handle any more.
    let _ = unsafe { nt!(net_close, handle) };
}

/// Makes a duplicate of another process's socket known to Winsock.
pub(crate) fn adopt_handle(handle: Handle) -> HostResult<()> {
    // SAFETY: touches no memory.
    errors::check(unsafe { nt!(net_adopt, handle) })
}

/// The last descriptor of a socket is closed. Whether its connection is to be reset, which only
/// Winsock's own `closesocket` does.
pub(crate) fn forget(raw: u64) -> bool {
    state::remove(raw).is_some_and(|state| state.linger == [1, 0])
}

/// Gives a socket an address of the system's choice, as Linux does where it needs one.
fn bind_anywhere(handle: Handle, raw: u64, family: AddressFamily) -> HostResult<()> {
    let any = Address::any(family);
    // SAFETY: Winsock reads the address.
    errors::check(unsafe {
        nt!(net_bind, handle, any.bytes().as_ptr(), any.bytes().len() as u32)
    })?;
    state::update(raw, |state| state.bound = true);
    Ok(())
}

/// The protocol of a new socket, as Linux chooses or refuses it.
fn protocol_of(kind: SocketKind, protocol: i32) -> HostResult<i32> {
    let usual = match kind {
        SocketKind::SOCK_STREAM => 6,
        SocketKind::SOCK_DGRAM => 17,
        SocketKind::SOCK_RAW if protocol != 0 => return Ok(protocol),
        SocketKind::SOCK_RAW => return fail(Errno::EPROTONOSUPPORT),
        _ => return fail(Errno::ESOCKTNOSUPPORT),
    };
    if protocol == 0 || protocol == usual { Ok(usual) } else { fail(Errno::EPROTONOSUPPORT) }
}

/// Begins a connection, or sets the peer of datagrams.
fn begin(fd: &HostFd, handle: Handle, address: &Address) -> HostResult<()> {
    let bytes = address.bytes();
    // SAFETY: Winsock reads the address.
    let error = unsafe { nt!(net_connect, handle, bytes.as_ptr(), bytes.len() as u32) };
    let phase = match error {
        0 => Phase::Connected,
        errors::WOULD_BLOCK => Phase::Connecting,
        error => return fail(errors::errno(error)),
    };
    state::update(fd.raw(), |state| {
        state.phase = phase;
        state.bound = true;
        state.error = None;
    });
    if error == 0 { Ok(()) } else { fail(Errno::EINPROGRESS) }
}

/// `connect(2)` of a stream.
fn connect_stream(fd: &HostFd, known: &State, address: &[u8]) -> HostResult<()> {
    let handle = local(fd)?;
    let mut phase = known.phase;
    if phase == Phase::Connecting {
        poll::look(handle, fd.raw())?;
        phase = state::get(fd.raw())?.phase;
    }
    let told = |phase| {
        state::update(fd.raw(), |state| {
            state.phase = phase;
            state.error.take()
        })
    };
    match phase {
        Phase::Fresh => {
            let address = Address::of_linux(address, known.family, Use::Peer, false)?;
            begin(fd, handle, &address)
        }
        Phase::Connecting => fail(Errno::EALREADY),
        Phase::Arrived => {
            told(Phase::Connected);
            Ok(())
        }
        Phase::Failed => fail(told(Phase::Fresh).flatten().unwrap_or(Errno::ECONNABORTED)),
        Phase::Connected | Phase::Listening | Phase::Over => fail(Errno::EISCONN),
    }
}

/// `connect(2)` of a socket for datagrams.
fn connect_datagrams(fd: &HostFd, known: &State, address: &[u8]) -> HostResult<()> {
    let handle = local(fd)?;
    let given = address::family(address).ok_or(HostError(Errno::EINVAL))?;
    if given != AddressFamily::AF_UNSPEC {
        let address = Address::of_linux(address, known.family, Use::Peer, true)?;
        return begin(fd, handle, &address);
    }
    if known.phase == Phase::Connected {
        // An address of zeros takes the peer away.
        let none = Address::any(known.family);
        begin(fd, handle, &none)?;
        state::update(fd.raw(), |state| state.phase = Phase::Fresh);
    }
    Ok(())
}

impl HostNet for WindowsHost {
    fn net_socket(
        &self,
        family: AddressFamily,
        kind: SocketKind,
        protocol: i32,
    ) -> HostResult<HostFd> {
        let protocol = protocol_of(kind, protocol)?;
        thread::current().commit_stack();
        let number = u32::from(address::windows_family(family));
        let mut handle = 0;
        // SAFETY: the loader writes the handle.
        errors::check(unsafe {
            nt!(net_socket, number, kind.0, protocol.cast_unsigned(), &mut handle)
        })
        .map_err(|error| match error.0 {
            // Raw sockets are for administrators.
            Errno::EACCES => HostError(Errno::EPERM),
            _ => error,
        })?;
        if family == AddressFamily::AF_INET6 {
            let off = 0_u32.to_ne_bytes();
            let (level, name) = options::V6_ONLY;
            // SAFETY: Winsock reads the value. Where there is no IPv4 it does not matter.
            let _ = unsafe { nt!(net_set_option, handle, level, name, off.as_ptr(), 4) };
        }
        let fd = files::register(handle, Kind::Socket)?;
        state::insert(fd.raw(), State::new(family, kind, protocol));
        Ok(fd)
    }

    fn net_bind(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        let known = state::get(fd.raw())?;
        let address = Address::of_linux(address, known.family, Use::Own, false)?;
        if known.bound {
            return fail(Errno::EINVAL);
        }
        let handle = local(fd)?;
        let bytes = address.bytes();
        // SAFETY: Winsock reads the address.
        let error = unsafe { nt!(net_bind, handle, bytes.as_ptr(), bytes.len() as u32) };
        errors::check(error).map_err(|error| match error.0 {
            // Somebody else has the port for himself.
            Errno::EACCES => HostError(Errno::EADDRINUSE),
            _ => error,
        })?;
        state::update(fd.raw(), |state| state.bound = true);
        Ok(())
    }

    fn net_listen(&self, fd: &HostFd, backlog: i32) -> HostResult<()> {
        /// Windows takes more than this only as a negative number.
        const MANY: u32 = 200;
        const MOST: u32 = 65_535;
        let known = state::get(fd.raw())?;
        if !known.is_stream() {
            return fail(Errno::EOPNOTSUPP);
        }
        if !matches!(known.phase, Phase::Fresh | Phase::Listening) {
            return fail(Errno::EINVAL);
        }
        let handle = local(fd)?;
        if !known.bound {
            bind_anywhere(handle, fd.raw(), known.family)?;
        }
        let wanted = backlog.cast_unsigned().clamp(1, MOST);
        let wanted = if wanted < MANY { wanted } else { wanted.wrapping_neg() };
        // SAFETY: touches no memory.
        errors::check(unsafe { nt!(net_listen, handle, wanted) })?;
        state::update(fd.raw(), |state| state.phase = Phase::Listening);
        Ok(())
    }

    fn net_connect(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        let known = state::get(fd.raw())?;
        if !known.is_stream() {
            return connect_datagrams(fd, &known, address);
        }
        if address::family(address) == Some(AddressFamily::AF_UNSPEC) {
            if known.phase == Phase::Fresh {
                return Ok(());
            }
            lx_core::unsupported::note("connect AF_UNSPEC of a stream", 0);
            return fail(Errno::EAFNOSUPPORT);
        }
        connect_stream(fd, &known, address)
    }

    fn net_accept(&self, fd: &HostFd) -> HostResult<HostFd> {
        let known = state::get(fd.raw())?;
        if !known.is_stream() {
            return fail(Errno::EOPNOTSUPP);
        }
        if known.phase != Phase::Listening {
            return fail(Errno::EINVAL);
        }
        let mut new = 0;
        // SAFETY: the loader writes the handle.
        let error = unsafe { nt!(net_accept, local(fd)?, &mut new) };
        match errors::check(error) {
            // The peer has gone already.
            Err(HostError(Errno::ECONNRESET)) => return fail(Errno::ECONNABORTED),
            result => result?,
        }
        let new = files::register(new, Kind::Socket)?;
        state::insert(new.raw(), known.accepted());
        Ok(new)
    }

    fn net_send(
        &self,
        fd: &HostFd,
        bytes: Buf<'_>,
        flags: MsgFlags,
        address: &[u8],
        control: &[u8],
    ) -> HostResult<usize> {
        transfer::send(fd, bytes, flags, address, control)
    }

    fn net_receive(
        &self,
        fd: &HostFd,
        bytes: BufMut<'_>,
        flags: MsgFlags,
        message: Option<&mut NetMessage>,
    ) -> HostResult<usize> {
        transfer::receive(fd, bytes, flags, message)
    }

    fn net_shutdown(&self, fd: &HostFd, how: ShutdownHow) -> HostResult<()> {
        /// `SD_SEND`
        const SEND: u32 = 1;
        let known = state::get(fd.raw())?;
        let read = how != ShutdownHow::SHUT_WR;
        let write = how != ShutdownHow::SHUT_RD;
        match known.phase {
            Phase::Listening => {
                if read {
                    // Nobody can make Windows stop listening, but nothing is accepted any more.
                    state::update(fd.raw(), |state| {
                        (state.phase, state.read_shut) = (Phase::Fresh, true);
                    });
                }
                return Ok(());
            }
            Phase::Connected | Phase::Arrived => {}
            _ => return fail(Errno::ENOTCONN),
        }
        if write && !known.write_shut {
            // SAFETY: touches no memory.
            errors::check(unsafe { nt!(net_shutdown, local(fd)?, SEND) })?;
        }
        // Windows would refuse what the peer sends after that; Linux takes it and throws it away.
        state::update(fd.raw(), |state| {
            state.read_shut |= read;
            state.write_shut |= write;
        });
        Ok(())
    }

    fn net_name(&self, fd: &HostFd, peer: bool) -> HostResult<Vec<u8>> {
        let mut known = state::get(fd.raw())?;
        let handle = local(fd)?;
        if peer && known.phase == Phase::Connecting {
            poll::look(handle, fd.raw())?;
            known = state::get(fd.raw())?;
        }
        if peer && !matches!(known.phase, Phase::Connected | Phase::Arrived) {
            return fail(Errno::ENOTCONN);
        }
        let mut bytes = [0; ADDRESS_ROOM];
        let mut len = ADDRESS_ROOM as u32;
        let any = Address::any(known.family);
        if !known.bound {
            len = any.bytes().len() as u32;
            bytes.iter_mut().zip(any.bytes()).for_each(|(to, from)| *to = *from);
        } else {
            // SAFETY: Winsock writes no more than the length says, and the length.
            errors::check(unsafe {
                nt!(net_name, handle, u32::from(peer), bytes.as_mut_ptr(), &mut len)
            })?;
        }
        let len = address::to_linux(&mut bytes, len as usize);
        Ok(bytes.iter().copied().take(len).collect())
    }

    fn net_option(
        &self,
        fd: &HostFd,
        level: i32,
        name: i32,
        value: &mut Vec<u8>,
    ) -> HostResult<()> {
        setting::get(fd, level, name, value)
    }

    fn net_set_option(&self, fd: &HostFd, level: i32, name: i32, value: &[u8]) -> HostResult<()> {
        setting::set(fd, level, name, value)
    }

    fn net_count(&self, fd: &HostFd, request: u32) -> HostResult<i32> {
        const READABLE: u32 = 0x4004_667f;
        const AT_MARK: u32 = 0x4004_7307;
        let known = state::get(fd.raw())?;
        let handle = local(fd)?;
        let request = match IoctlCmd(request) {
            IoctlCmd::FIONREAD if known.phase == Phase::Listening => return fail(Errno::EINVAL),
            IoctlCmd::FIONREAD if !known.is_stream() => return transfer::next_len(fd),
            IoctlCmd::FIONREAD => READABLE,
            IoctlCmd::SIOCATMARK => {
                // Without urgent bytes Windows says yes.
                if poll::look(handle, fd.raw())? & events::afd::RECEIVE_EXPEDITED == 0 {
                    return Ok(0);
                }
                AT_MARK
            }
            _ => {
                lx_core::unsupported::note("ioctl of a socket", request.into());
                return fail(Errno::EINVAL);
            }
        };
        let mut count = 0;
        // SAFETY: Winsock writes the number.
        errors::check(unsafe { nt!(net_control, handle, request, &mut count) })?;
        Ok(count.cast_signed())
    }

    fn net_interfaces(&self) -> Vec<NetInterface> {
        interfaces::list()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_belong_to_kinds() {
        assert_eq!(protocol_of(SocketKind::SOCK_STREAM, 0), Ok(6));
        assert_eq!(protocol_of(SocketKind::SOCK_DGRAM, 17), Ok(17));
        let refused = Err(HostError(Errno::EPROTONOSUPPORT));
        assert_eq!(protocol_of(SocketKind::SOCK_STREAM, 17), refused);
        assert_eq!(protocol_of(SocketKind::SOCK_RAW, 0), refused);
        let unknown = Err(HostError(Errno::ESOCKTNOSUPPORT));
        assert_eq!(protocol_of(SocketKind::SOCK_RDM, 0), unknown);
    }
}
