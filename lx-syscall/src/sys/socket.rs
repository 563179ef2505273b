//! Sockets: `socketpair(2)`, `send(2)`, `recv(2)`, `getsockopt(2)` and relatives.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::socket::{
    AddressFamily, MsgFlags, MsgHdr, SOCKADDR_STORAGE_SIZE, SOL_SOCKET, ShutdownHow, SocketFlags,
    SocketKind, SocketOption, SocketType,
};
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Resource;
use lx_core::unsupported;
use lx_net::{StreamSocket, stream};
use lx_proc::CurrentTask;

use super::io::raise_for_write;

/// What `getsockopt(SO_SNDBUF)` reports, Linux's default.
const BUFFER_SIZE: i32 = 212_992;

/// `socket(2)`: no family can be opened yet but by [`sys_socketpair`].
///
/// # Errors
/// `EAFNOSUPPORT`, as for a family that the kernel was built without.
pub(crate) fn sys_socket(
    _task: &CurrentTask<'_>,
    family: AddressFamily,
    kind: SocketType,
    protocol: i32,
) -> Result<Fd> {
    let _ = (kind, protocol);
    unsupported::note("socket family", u64::from(family.0.cast_unsigned()));
    Err(Errno::EAFNOSUPPORT.into())
}

/// `socketpair(2)`.
///
/// # Errors
/// `EAFNOSUPPORT` for a family other than `AF_UNIX`; `ESOCKTNOSUPPORT` for other kinds than
/// streams and sequenced packets; `EPROTONOSUPPORT`, `EMFILE`, `EFAULT`.
pub(crate) fn sys_socketpair(
    task: &CurrentTask<'_>,
    family: AddressFamily,
    kind: SocketType,
    protocol: i32,
    fds: UserPtr<[Fd; 2]>,
) -> Result<()> {
    if family != AddressFamily::AF_UNIX {
        unsupported::note("socketpair family", u64::from(family.0.cast_unsigned()));
        return Err(Errno::EAFNOSUPPORT.into());
    }
    if protocol != 0 && protocol != AddressFamily::AF_UNIX.0 {
        return Err(Errno::EPROTONOSUPPORT.into());
    }
    let packets = kind.kind == SocketKind::SOCK_SEQPACKET;
    if kind.kind != SocketKind::SOCK_STREAM && !packets {
        unsupported::note("socketpair type", kind.kind.0.into());
        return Err(Errno::ESOCKTNOSUPPORT.into());
    }
    let nonblocking = kind.flags.contains(SocketFlags::SOCK_NONBLOCK);
    let status = if nonblocking { OpenFlags::O_NONBLOCK } else { OpenFlags::empty() };
    let (first, second) = stream::new_pair(&task.caller(), status, packets);
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let cloexec = kind.flags.contains(SocketFlags::SOCK_CLOEXEC);
    let first_fd = task.files().reserve(0, limit, cloexec)?;
    let second_fd = task.files().reserve(0, limit, cloexec)?;
    task.memory().write(fds, &[first_fd.number(), second_fd.number()])?;
    first_fd.install(first);
    second_fd.install(second);
    Ok(())
}

fn find(task: &CurrentTask<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = task.files().get(fd)?;
    StreamSocket::of(&file)?;
    Ok(file)
}

fn send(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    src: &mut IoSrc<'_>,
    flags: MsgFlags,
) -> Result<usize> {
    let sent = StreamSocket::of(file)?.send(&task.caller(), file, src, flags);
    if flags.contains(MsgFlags::MSG_NOSIGNAL) { sent } else { raise_for_write(task, sent) }
}

/// Reads an address as far as it can be wrong.
fn check_address(task: &CurrentTask<'_>, address: UserPtr<u8>, len: i32) -> Result<()> {
    let mut storage = [0; SOCKADDR_STORAGE_SIZE];
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let part = storage.get_mut(..len).ok_or(Errno::EINVAL)?;
    task.memory().read_bytes(address.addr(), part)
}

/// `sendto(2)`, `send(2)`.
///
/// # Errors
/// `ENOTSOCK`; `EISCONN` with an address; else as [`StreamSocket::send`].
pub(crate) fn sys_sendto(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    len: usize,
    flags: MsgFlags,
    address: UserPtr<u8>,
    address_len: i32,
) -> Result<usize> {
    let file = find(task, fd)?;
    let mut src = IoSrc::guest(task.memory(), buf.addr(), len)?;
    if !address.is_null() && address_len != 0 {
        check_address(task, address, address_len)?;
        return Err(Errno::EISCONN.into());
    }
    send(task, &file, &mut src, flags)
}

/// `recvfrom(2)`, `recv(2)`: the peer has no address.
///
/// # Errors
/// `ENOTSOCK`; else as [`StreamSocket::receive`].
pub(crate) fn sys_recvfrom(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    len: usize,
    flags: MsgFlags,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<usize> {
    let file = find(task, fd)?;
    let mut dst = IoDst::guest(task.memory(), buf.addr(), len)?;
    let count = StreamSocket::of(&file)?.receive(&task.caller(), &file, &mut dst, flags)?;
    if !address.is_null() {
        task.memory().write(address_len, &0)?;
    }
    Ok(count)
}

/// `sendmsg(2)`; control messages are not carried.
///
/// # Errors
/// `EINVAL` with control messages; else as [`sys_sendto`].
pub(crate) fn sys_sendmsg(
    task: &CurrentTask<'_>,
    fd: Fd,
    message: UserPtr<MsgHdr>,
    flags: MsgFlags,
) -> Result<usize> {
    let file = find(task, fd)?;
    let message = task.memory().read(message)?;
    if message.msg_controllen != 0 {
        unsupported::note("sendmsg with control messages", message.msg_controllen);
        return Err(Errno::EINVAL.into());
    }
    let count = usize::try_from(message.msg_iovlen).map_err(|_| Errno::EMSGSIZE)?;
    let mut src = IoSrc::vectors(task.memory(), message.msg_iov, count)?;
    if !message.msg_name.is_null() && message.msg_namelen != 0 {
        check_address(task, message.msg_name, message.msg_namelen)?;
        return Err(Errno::EISCONN.into());
    }
    send(task, &file, &mut src, flags)
}

/// `recvmsg(2)`.
///
/// # Errors
/// As [`sys_recvfrom`].
pub(crate) fn sys_recvmsg(
    task: &CurrentTask<'_>,
    fd: Fd,
    message: UserPtr<MsgHdr>,
    flags: MsgFlags,
) -> Result<usize> {
    let file = find(task, fd)?;
    let mut header = task.memory().read(message)?;
    let count = usize::try_from(header.msg_iovlen).map_err(|_| Errno::EMSGSIZE)?;
    let mut dst = IoDst::vectors(task.memory(), header.msg_iov, count)?;
    let received = StreamSocket::of(&file)?.receive(&task.caller(), &file, &mut dst, flags)?;
    header.msg_namelen = 0;
    header.msg_controllen = 0;
    header.msg_flags = 0;
    task.memory().write(message, &header)?;
    Ok(received)
}

/// `shutdown(2)`.
///
/// # Errors
/// `ENOTSOCK`, `EINVAL`.
pub(crate) fn sys_shutdown(task: &CurrentTask<'_>, fd: Fd, how: ShutdownHow) -> Result<()> {
    StreamSocket::of(&*find(task, fd)?)?.shut_down(how)
}

/// `getsockname(2)` and `getpeername(2)`: sockets of a pair have no name.
///
/// # Errors
/// `ENOTSOCK`, `EINVAL`, `EFAULT`.
pub(crate) fn sys_getsockname(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<()> {
    find(task, fd)?;
    let memory = task.memory();
    let room = usize::try_from(memory.read(address_len)?).map_err(|_| Errno::EINVAL)?;
    let family = (AddressFamily::AF_UNIX.0 as u16).to_le_bytes();
    memory.write_bytes(address.addr(), family.get(..room.min(2)).unwrap_or_default())?;
    memory.write(address_len, &2)
}

/// `getsockopt(2)`.
///
/// # Errors
/// `ENOTSOCK`; `EOPNOTSUPP` for another level, `ENOPROTOOPT` for an unknown option; `EINVAL`,
/// `EFAULT`.
pub(crate) fn sys_getsockopt(
    task: &CurrentTask<'_>,
    fd: Fd,
    level: i32,
    option: SocketOption,
    value: UserPtr<u8>,
    len: UserPtr<i32>,
) -> Result<()> {
    let file = find(task, fd)?;
    let memory = task.memory();
    if level != SOL_SOCKET {
        unsupported::note("getsockopt level", u64::from(level.cast_unsigned()));
        return Err(Errno::EOPNOTSUPP.into());
    }
    let room = usize::try_from(memory.read(len)?).map_err(|_| Errno::EINVAL)?;
    let number = match option {
        SocketOption::SO_TYPE => {
            let packets = StreamSocket::of(&file)?.keeps_packets();
            let kind = if packets { SocketKind::SOCK_SEQPACKET } else { SocketKind::SOCK_STREAM };
            kind.0.cast_signed()
        }
        SocketOption::SO_DOMAIN => AddressFamily::AF_UNIX.0,
        SocketOption::SO_ERROR
        | SocketOption::SO_PROTOCOL
        | SocketOption::SO_ACCEPTCONN
        | SocketOption::SO_PASSCRED => 0,
        SocketOption::SO_SNDBUF | SocketOption::SO_RCVBUF => BUFFER_SIZE,
        SocketOption::SO_PEERCRED => {
            let peer = StreamSocket::of(&file)?.peer();
            let bytes = zerocopy::IntoBytes::as_bytes(&peer);
            let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            memory.write_bytes(value.addr(), part)?;
            return memory.write(len, &(part.len() as i32));
        }
        _ => {
            unsupported::note("getsockopt", u64::from(option.0.cast_unsigned()));
            return Err(Errno::ENOPROTOOPT.into());
        }
    };
    let bytes = number.to_le_bytes();
    let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
    memory.write_bytes(value.addr(), part)?;
    memory.write(len, &(part.len() as i32))
}
