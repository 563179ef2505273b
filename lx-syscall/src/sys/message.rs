//! Messages: `send(2)`, `recv(2)` and their forms for one and many messages.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::socket::{
    CmsgHdr, MMsgHdr, MsgFlags, MsgHdr, SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SOL_SOCKET,
    SocketKind, Ucred,
};
use lx_core::abi::time::Timespec;
use lx_core::abi::uio::UIO_MAXIOV;
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Resource;
use lx_core::unsupported;
use lx_net::socket::is_nonblocking;
use lx_net::unix::UnixAddress;
use lx_net::{Family, Incoming, Outgoing, Received, Socket, UnixSocket};
use lx_proc::CurrentTask;
use zerocopy::{FromBytes, IntoBytes};

use super::io::raise_for_write;
use super::socket::{find, find_unix, read_address, write_address};

/// The most bytes of control messages that are sent at once (`net.core.optmem_max`).
const MAX_CONTROL: u64 = 131_072;

/// Sends; `address` and `control` are empty if there are none.
fn send(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    src: &mut IoSrc<'_>,
    flags: MsgFlags,
    address: &[u8],
    control: &[u8],
) -> Result<usize> {
    let socket = Socket::of(file)?;
    let nonblocking = is_nonblocking(file, flags);
    let mut message = Outgoing { flags, nonblocking, ..Outgoing::default() };
    let sent = match socket.family() {
        Family::Unix(unix) => {
            if unix.options().kind == SocketKind::SOCK_SEQPACKET {
                // An error, and no connection, come before anything that the message holds.
                unix.check_connection()?;
            }
            read_control(task, control, &mut message)?;
            unix.check_flags(flags)?;
            let to = destination(task, unix, address)?;
            unix.send(&task.caller(), src, message, to)
        }
        Family::Inet(_) | Family::Netlink(_) => {
            message.address = address;
            message.control = control;
            socket.send(&task.caller(), src, message)
        }
    };
    if flags.contains(MsgFlags::MSG_NOSIGNAL) || !socket.is_stream() {
        sent
    } else {
        raise_for_write(task, sent)
    }
}

/// Where a message to an address goes.
fn destination(
    task: &CurrentTask<'_>,
    socket: &UnixSocket,
    address: &[u8],
) -> Result<Option<Arc<UnixSocket>>> {
    if address.is_empty() {
        return Ok(None);
    }
    match socket.options().kind {
        SocketKind::SOCK_STREAM => {
            let connected = socket.peer_name().is_ok();
            Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP }.into())
        }
        // The address of a sequenced packet counts for nothing.
        SocketKind::SOCK_SEQPACKET => Ok(None),
        _ => {
            UnixAddress::parse_name(address)?;
            socket.bind_if_passing()?;
            socket.check_send()?;
            find_unix(task, socket, address).map(Some)
        }
    }
}

/// Decodes the control messages of an `AF_UNIX` socket.
fn read_control(
    task: &CurrentTask<'_>,
    mut control: &[u8],
    message: &mut Outgoing<'_>,
) -> Result<()> {
    while let Ok((header, _)) = CmsgHdr::read_from_prefix(control) {
        let len = usize::try_from(header.cmsg_len).map_err(|_| Errno::EINVAL)?;
        let data = control.get(size_of::<CmsgHdr>()..len).ok_or(Errno::EINVAL)?;
        if header.cmsg_level == SOL_SOCKET {
            match header.cmsg_type {
                SCM_RIGHTS => read_rights(task, data, &mut message.rights)?,
                SCM_CREDENTIALS => {
                    let cred = Ucred::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                    check_cred(task, cred)?;
                    message.cred = Some(cred);
                }
                other => {
                    unsupported::note("control message", u64::from(other.cast_unsigned()));
                    return Err(Errno::EINVAL.into());
                }
            }
        }
        let next = CmsgHdr::align(header.cmsg_len);
        control = control.get(usize::try_from(next).unwrap_or(usize::MAX)..).unwrap_or_default();
    }
    Ok(())
}

fn read_rights(task: &CurrentTask<'_>, data: &[u8], rights: &mut Vec<Arc<OpenFile>>) -> Result<()> {
    let (numbers, _) = data.as_chunks::<4>();
    if rights.len() + numbers.len() > SCM_MAX_FD {
        return Err(Errno::EINVAL.into());
    }
    for number in numbers {
        rights.push(task.files().get_any(Fd(i32::from_ne_bytes(*number)))?);
    }
    Ok(())
}

/// Whether the caller may say that it is `said`.
fn check_cred(task: &CurrentTask<'_>, said: Ucred) -> Result<()> {
    let caller = task.caller();
    let cred = caller.cred();
    let pid = said.pid == caller.tgid.cast_unsigned() || cred.has(Capabilities::SYS_ADMIN);
    let uid =
        [cred.uid, cred.euid, cred.suid].contains(&said.uid) || cred.has(Capabilities::SETUID);
    let gid =
        [cred.gid, cred.egid, cred.sgid].contains(&said.gid) || cred.has(Capabilities::SETGID);
    if !(pid && uid && gid) {
        return Err(Errno::EPERM.into());
    }
    let known = task.kernel().pids.task(said.pid.cast_signed()).is_some();
    if known { Ok(()) } else { Err(Errno::ESRCH.into()) }
}

/// `sendto(2)`, `send(2)`.
///
/// # Errors
/// `ENOTSOCK`, `EPIPE`, `EAGAIN`, `EMSGSIZE`, `ENOTCONN`, `EISCONN`, `EFAULT` and others.
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
    let address_len = if address.is_null() { 0 } else { address_len };
    let address = read_address(task, address, address_len)?;
    send(task, &file, &mut src, flags, &address, &[])
}

fn send_message(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    message: &MsgHdr,
    flags: MsgFlags,
) -> Result<usize> {
    let count = usize::try_from(message.msg_iovlen).map_err(|_| Errno::EMSGSIZE)?;
    if count > UIO_MAXIOV {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut src = IoSrc::vectors(task.memory(), message.msg_iov, count)?;
    // A name that is too long for any address is cut.
    let name_len = if message.msg_name.is_null() { 0 } else { message.msg_namelen.min(128) };
    let address = read_address(task, message.msg_name, name_len)?;
    if message.msg_controllen > MAX_CONTROL {
        return Err(Errno::ENOBUFS.into());
    }
    let control_len = message.msg_controllen as usize;
    let control = task.memory().read_array(message.msg_control, control_len)?;
    send(task, file, &mut src, flags, &address, &control)
}

/// `sendmsg(2)`.
///
/// # Errors
/// As [`sys_sendto`]; `EINVAL` for control messages that are not known, `ETOOMANYREFS`, `EPERM`.
pub(crate) fn sys_sendmsg(
    task: &CurrentTask<'_>,
    fd: Fd,
    message: UserPtr<MsgHdr>,
    flags: MsgFlags,
) -> Result<usize> {
    let file = find(task, fd)?;
    let message = task.memory().read(message)?;
    send_message(task, &file, &message, flags)
}

/// `sendmmsg(2)`: how many messages were sent.
///
/// # Errors
/// As [`sys_sendmsg`], of the first message.
pub(crate) fn sys_sendmmsg(
    task: &CurrentTask<'_>,
    fd: Fd,
    messages: UserPtr<MMsgHdr>,
    count: u32,
    flags: MsgFlags,
) -> Result<u32> {
    let file = find(task, fd)?;
    let mut done = 0;
    while done < count.min(UIO_MAXIOV as u32) {
        let step = || {
            let place = messages.offset(u64::from(done))?;
            let mut message = task.memory().read(place)?;
            let sent = send_message(task, &file, &message.msg_hdr, flags)?;
            message.msg_len = u32::try_from(sent).unwrap_or(u32::MAX);
            task.memory().write(place, &message)
        };
        match step() {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `recvfrom(2)`, `recv(2)`.
///
/// # Errors
/// `ENOTSOCK`, `EAGAIN`, `ENOTCONN`, `EINVAL`, `EFAULT` and others.
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
    let how = Incoming {
        flags,
        nonblocking: is_nonblocking(&file, flags),
        wants_address: !address.is_null(),
        control_room: 0,
    };
    let received = Socket::of(&file)?.receive(&task.caller(), &mut dst, how)?;
    if !address.is_null() {
        let peer = received.address.as_deref().unwrap_or_default();
        write_address(task, peer, address, address_len)?;
    }
    Ok(received.len)
}

/// Stores control messages one after the other.
struct ControlWriter<'t, 'a> {
    task: &'t CurrentTask<'a>,
    at: UserPtr<u8>,
    room: usize,
    written: u64,
    truncated: bool,
}

impl ControlWriter<'_, '_> {
    /// Room for data of the next message.
    fn data_room(&self) -> usize {
        if self.at.is_null() { 0 } else { self.room.saturating_sub(size_of::<CmsgHdr>()) }
    }

    /// Notes that a message of `len` bytes of data was stored.
    fn finish(&mut self, kind: i32, len: usize) -> Result<()> {
        let cmsg_len = CmsgHdr::len_for(len as u64);
        let header = CmsgHdr { cmsg_len, cmsg_level: SOL_SOCKET, cmsg_type: kind };
        self.task.memory().write(self.at.cast(), &header)?;
        let space = CmsgHdr::align(cmsg_len).min(self.room as u64);
        self.at = self.at.byte_offset(space)?;
        self.room = self.room.saturating_sub(space as usize);
        self.written += space;
        Ok(())
    }

    fn data(&self) -> Result<UserPtr<u8>> {
        Ok(self.at.byte_offset(size_of::<CmsgHdr>() as u64)?)
    }

    fn put(&mut self, kind: i32, data: &[u8]) -> Result<()> {
        if self.at.is_null() || self.room < size_of::<CmsgHdr>() {
            self.truncated = true;
            return Ok(());
        }
        let part = data.get(..self.data_room().min(data.len())).unwrap_or_default();
        self.truncated |= part.len() < data.len();
        self.task.memory().write_bytes(self.data()?.addr(), part)?;
        self.finish(kind, part.len())
    }

    /// Makes descriptors of the files that were sent, as many as there is room for.
    fn put_files(&mut self, files: Vec<Arc<OpenFile>>, cloexec: bool) -> Result<()> {
        let room = self.data_room() / size_of::<Fd>();
        self.truncated |= files.len() > room;
        let limit = self.task.group().rlimits().soft(Resource::Nofile);
        let mut count = 0;
        for file in files.into_iter().take(room) {
            let place: UserPtr<Fd> = self.data()?.cast::<Fd>().offset(count as u64)?;
            let stored = self.task.files().reserve(0, limit, cloexec).and_then(|fd| {
                self.task.memory().write(place, &fd.number())?;
                Ok(fd)
            });
            let Ok(fd) = stored else {
                self.truncated = true;
                break;
            };
            fd.install(file);
            count += 1;
        }
        if count == 0 { Ok(()) } else { self.finish(SCM_RIGHTS, count * size_of::<Fd>()) }
    }
}

/// Receives into what `header` describes, and updates it.
fn receive_message(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    header: &mut MsgHdr,
    flags: MsgFlags,
) -> Result<usize> {
    let count = usize::try_from(header.msg_iovlen).map_err(|_| Errno::EMSGSIZE)?;
    if count > UIO_MAXIOV {
        return Err(Errno::EMSGSIZE.into());
    }
    let name_room = match header.msg_name.is_null() {
        true => 0,
        false => usize::try_from(header.msg_namelen).map_err(|_| Errno::EINVAL)?,
    };
    let mut dst = IoDst::vectors(task.memory(), header.msg_iov, count)?;
    let how = Incoming {
        flags,
        nonblocking: is_nonblocking(file, flags),
        wants_address: !header.msg_name.is_null(),
        control_room: usize::try_from(header.msg_controllen).unwrap_or(usize::MAX),
    };
    let Received { len, flags: mut found, address, cred, rights, control } =
        Socket::of(file)?.receive(&task.caller(), &mut dst, how)?;
    let mut writer = ControlWriter {
        task,
        at: header.msg_control,
        room: how.control_room,
        written: 0,
        truncated: false,
    };
    if !control.is_empty() {
        task.memory().write_bytes(header.msg_control.addr(), &control)?;
        writer.written = control.len() as u64;
    }
    if let Some(cred) = cred {
        writer.put(SCM_CREDENTIALS, cred.as_bytes())?;
    }
    let cloexec = flags.contains(MsgFlags::MSG_CMSG_CLOEXEC);
    if !rights.is_empty() {
        writer.put_files(rights, cloexec)?;
    }
    found.set(MsgFlags::MSG_CTRUNC, writer.truncated || found.contains(MsgFlags::MSG_CTRUNC));
    found.set(MsgFlags::MSG_CMSG_CLOEXEC, cloexec);
    let address = address.unwrap_or_default();
    if !header.msg_name.is_null() {
        let part = address.get(..name_room.min(address.len())).unwrap_or_default();
        if !part.is_empty() {
            task.memory().write_bytes(header.msg_name.addr(), part)?;
        }
        header.msg_namelen = address.len() as i32;
    }
    header.msg_controllen = writer.written;
    header.msg_flags = found.bits();
    Ok(len)
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
    let received = receive_message(task, &file, &mut header, flags)?;
    task.memory().write(message, &header)?;
    Ok(received)
}

/// `recvmmsg(2)`: how many messages were received. As on Linux, the time is looked at between
/// messages only.
///
/// # Errors
/// As [`sys_recvmsg`], of the first message.
pub(crate) fn sys_recvmmsg(
    task: &CurrentTask<'_>,
    fd: Fd,
    messages: UserPtr<MMsgHdr>,
    count: u32,
    flags: MsgFlags,
    timeout: UserPtr<Timespec>,
) -> Result<u32> {
    let host = task.caller().host;
    let deadline = match task.memory().read_unless_null(timeout)? {
        Some(span) => {
            let span = span.to_nanos()?;
            Some(host.monotonic().saturating_add(span))
        }
        None => None,
    };
    let file = find(task, fd)?;
    if let Family::Unix(unix) = Socket::of(&file)?.family() {
        // Reported even if no message is asked for.
        unix.take_error()?;
    }
    let mut flags = flags;
    let one = flags.contains(MsgFlags::MSG_WAITFORONE);
    flags.remove(MsgFlags::MSG_WAITFORONE);
    let mut done = 0;
    while done < count.min(UIO_MAXIOV as u32) {
        let step = || -> Result<()> {
            let place = messages.offset(u64::from(done))?;
            let mut message = task.memory().read(place)?;
            let received = receive_message(task, &file, &mut message.msg_hdr, flags)?;
            message.msg_len = u32::try_from(received).unwrap_or(u32::MAX);
            task.memory().write(place, &message)
        };
        match step() {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        if one {
            flags |= MsgFlags::MSG_DONTWAIT;
        }
        if deadline.is_some_and(|deadline| host.monotonic() >= deadline) {
            break;
        }
    }
    if let Some(deadline) = deadline {
        let left = deadline.saturating_sub(host.monotonic());
        task.memory().write(timeout, &Timespec::from_nanos(left))?;
    }
    Ok(done)
}
