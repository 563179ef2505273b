//! Sockets: `socket(2)`, `socketpair(2)`, `bind(2)`, `listen(2)`, `accept(2)`, `connect(2)`, names,
//! `shutdown(2)`, `getsockopt(2)`, `setsockopt(2)`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::socket::{
    AddressFamily, SOCKADDR_STORAGE_SIZE, ShutdownHow, SocketFlags, SocketKind, SocketType,
};
use lx_core::abi::stat::FileType;
use lx_core::abi::{Errno, Fd, FromArg, TraceArg, UserPtr};
use lx_core::fd_table::ReservedFd;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_core::unsupported;
use lx_net::unix::UnixAddress;
use lx_net::{Family, InetSocket, NetlinkSocket, Socket, UnixSocket};
use lx_proc::CurrentTask;
use lx_vfs::inode::NewKind;
use lx_vfs::path::Lookup;
use lx_vfs::permission::{Access, check_path};

/// Kinds are below this (`SOCK_MAX`).
const SOCK_MAX: u32 = 11;
/// The longest value of an option that is looked at.
const MAX_OPTION: usize = 4096;

/// An address in the kernel.
pub(super) type Address = ArrayVec<u8, SOCKADDR_STORAGE_SIZE>;

fn status(flags: SocketFlags) -> OpenFlags {
    let nonblocking = flags.contains(SocketFlags::SOCK_NONBLOCK);
    if nonblocking { OpenFlags::O_NONBLOCK } else { OpenFlags::empty() }
}

fn reserve<'t>(task: &'t CurrentTask<'_>, flags: SocketFlags) -> Result<ReservedFd<'t>> {
    let limit = task.group().rlimits().soft(Resource::Nofile);
    task.files().reserve(0, limit, flags.contains(SocketFlags::SOCK_CLOEXEC))
}

fn check_kind(family: AddressFamily, kind: SocketKind) -> Result<()> {
    if !(0..AddressFamily::AF_MAX).contains(&family.0) {
        return Err(Errno::EAFNOSUPPORT.into());
    }
    if kind.0 >= SOCK_MAX { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// `socket(2)`.
///
/// # Errors
/// `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EINVAL`, `EMFILE`.
pub(crate) fn sys_socket(
    task: &CurrentTask<'_>,
    family: AddressFamily,
    kind: SocketType,
    protocol: i32,
) -> Result<Fd> {
    check_kind(family, kind.kind)?;
    let socket = match family {
        AddressFamily::AF_UNIX => Family::Unix(UnixSocket::new(kind.kind, protocol)?),
        AddressFamily::AF_INET | AddressFamily::AF_INET6 => {
            Family::Inet(InetSocket::new(&task.caller(), family, kind.kind, protocol)?)
        }
        AddressFamily::AF_NETLINK => Family::Netlink(NetlinkSocket::new(kind.kind, protocol)?),
        _ => {
            unsupported::note("socket family", u64::from(family.0.cast_unsigned()));
            return Err(Errno::EAFNOSUPPORT.into());
        }
    };
    let file = Socket::open(&task.caller(), socket, status(kind.flags));
    Ok(reserve(task, kind.flags)?.install(file))
}

/// `socketpair(2)`.
///
/// # Errors
/// `EOPNOTSUPP` for families other than `AF_UNIX`; `ESOCKTNOSUPPORT`, `EPROTONOSUPPORT`, `EMFILE`,
/// `EFAULT`.
pub(crate) fn sys_socketpair(
    task: &CurrentTask<'_>,
    family: AddressFamily,
    kind: SocketType,
    protocol: i32,
    fds: UserPtr<[Fd; 2]>,
) -> Result<()> {
    check_kind(family, kind.kind)?;
    match family {
        AddressFamily::AF_UNIX => {}
        AddressFamily::AF_INET | AddressFamily::AF_INET6 | AddressFamily::AF_NETLINK => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        _ => {
            unsupported::note("socketpair family", u64::from(family.0.cast_unsigned()));
            return Err(Errno::EAFNOSUPPORT.into());
        }
    }
    // As Linux does: the numbers are stored, though there may be no such sockets.
    let first_fd = reserve(task, kind.flags)?;
    let second_fd = reserve(task, kind.flags)?;
    task.memory().write(fds, &[first_fd.number(), second_fd.number()])?;
    let (first, second) = UnixSocket::pair(&task.caller(), kind.kind, protocol)?;
    let first = Socket::open(&task.caller(), Family::Unix(first), status(kind.flags));
    let second = Socket::open(&task.caller(), Family::Unix(second), status(kind.flags));
    first_fd.install(first);
    second_fd.install(second);
    Ok(())
}

/// The description of a socket.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`.
pub(super) fn find(task: &CurrentTask<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = task.files().get(fd)?;
    Socket::of(&file)?;
    Ok(file)
}

/// Copies an address in.
///
/// # Errors
/// `EINVAL` for a length that no address has; `EFAULT`.
pub(super) fn read_address(
    task: &CurrentTask<'_>,
    address: UserPtr<u8>,
    len: i32,
) -> Result<Address> {
    let mut bytes = Address::from([0; SOCKADDR_STORAGE_SIZE]);
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > bytes.len() {
        return Err(Errno::EINVAL.into());
    }
    bytes.truncate(len);
    if len > 0 {
        task.memory().read_bytes(address.addr(), &mut bytes)?;
    }
    Ok(bytes)
}

/// Copies an address out, as much of it as there is room for, and its whole length.
///
/// # Errors
/// `EINVAL` for a negative room; `EFAULT`.
pub(super) fn write_address(
    task: &CurrentTask<'_>,
    bytes: &[u8],
    address: UserPtr<u8>,
    len: UserPtr<i32>,
) -> Result<()> {
    let memory = task.memory();
    let room = usize::try_from(memory.read(len)?).map_err(|_| Errno::EINVAL)?;
    let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
    if !part.is_empty() {
        memory.write_bytes(address.addr(), part)?;
    }
    memory.write(len, &(bytes.len() as i32))
}

/// The `AF_UNIX` socket that an address leads to, for one of the same kind.
///
/// # Errors
/// `ECONNREFUSED`, `EPROTOTYPE`, `EINVAL`; `EACCES` and others of a path.
pub(super) fn find_unix(
    task: &CurrentTask<'_>,
    from: &UnixSocket,
    address: &[u8],
) -> Result<Arc<UnixSocket>> {
    match UnixAddress::parse(address)? {
        UnixAddress::Unnamed => Err(Errno::EINVAL.into()),
        UnixAddress::Abstract(name) => from.at_abstract(name),
        UnixAddress::Path(path) => {
            let caller = task.caller();
            let path = task.fs().lookup(&caller, None, path, Lookup::FOLLOW)?;
            check_path(caller.cred(), &path, Access::WRITE)?;
            if path.dentry.file_type() != FileType::Socket {
                return Err(Errno::ECONNREFUSED.into());
            }
            let attr = path.inode().attr(&caller)?;
            from.at_node(attr.dev, attr.ino)
        }
    }
}

/// `bind(2)`.
///
/// # Errors
/// `EADDRINUSE`, `EINVAL`; those of making a node.
pub(crate) fn sys_bind(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: i32,
) -> Result<()> {
    let file = find(task, fd)?;
    let address = read_address(task, address, address_len)?;
    match Socket::of(&file)?.family() {
        Family::Unix(socket) => match UnixAddress::parse(&address)? {
            UnixAddress::Unnamed => socket.bind_any(),
            UnixAddress::Abstract(name) => socket.bind_abstract(name),
            UnixAddress::Path(path) => bind_path(task, socket, path),
        },
        Family::Inet(socket) => socket.bind(&address),
        Family::Netlink(socket) => socket.bind(&task.caller(), &address),
    }
}

fn bind_path(task: &CurrentTask<'_>, socket: &UnixSocket, path: &[u8]) -> Result<()> {
    let caller = task.caller();
    let node = match task.fs().create(&caller, None, path, NewKind::Socket, 0o777) {
        Err(error) if error.errno() == Errno::EEXIST => return Err(Errno::EADDRINUSE.into()),
        other => other?,
    };
    let attr = node.inode().attr(&caller)?;
    let bound = socket.bind_node(path, (attr.dev, attr.ino), Box::new(node));
    if bound.is_err() {
        task.fs().unlink(&caller, None, path)?;
    }
    bound
}

/// `listen(2)`.
///
/// # Errors
/// `EOPNOTSUPP`, `EINVAL`, `EADDRINUSE`.
pub(crate) fn sys_listen(task: &CurrentTask<'_>, fd: Fd, backlog: i32) -> Result<()> {
    Socket::of(&*find(task, fd)?)?.listen(&task.caller(), backlog)
}

/// `accept(2)`.
///
/// # Errors
/// As [`sys_accept4`].
pub(crate) fn sys_accept(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<Fd> {
    sys_accept4(task, fd, address, address_len, AcceptFlags(0))
}

/// Flags of accept4(2), which are looked at after the descriptor.
pub(crate) struct AcceptFlags(u32);

impl FromArg for AcceptFlags {
    fn from_arg(raw: u64) -> core::result::Result<Self, Errno> {
        Ok(Self(raw as u32))
    }
}

impl TraceArg for AcceptFlags {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketFlags::from_bits_retain(self.0).trace(f)
    }
}

/// `accept4(2)`.
///
/// # Errors
/// `EAGAIN`, `EINVAL`, `EOPNOTSUPP`, `EMFILE`, `EFAULT`.
pub(crate) fn sys_accept4(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
    flags: AcceptFlags,
) -> Result<Fd> {
    let file = task.files().get(fd)?;
    let flags = SocketFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    Socket::of(&file)?;
    let new_fd = reserve(task, flags)?;
    let socket = Socket::of(&file)?;
    let (new, peer) = socket.accept(&task.caller(), file.is_nonblocking())?;
    let new = Socket::open(&task.caller(), new, status(flags));
    if !address.is_null() {
        write_address(task, &peer, address, address_len)?;
    }
    Ok(new_fd.install(new))
}

/// `connect(2)`.
///
/// # Errors
/// `ECONNREFUSED`, `EISCONN`, `EINPROGRESS`, `EAGAIN` and others.
pub(crate) fn sys_connect(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: i32,
) -> Result<()> {
    let file = find(task, fd)?;
    let address = read_address(task, address, address_len)?;
    match Socket::of(&file)?.family() {
        Family::Unix(socket) => {
            let family = address.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
            let family = i32::from(family.ok_or(Errno::EINVAL)?);
            if family == AddressFamily::AF_UNSPEC.0 {
                return socket.disconnect();
            }
            UnixAddress::parse_name(&address)?;
            socket.bind_if_passing()?;
            let to = find_unix(task, socket, &address)?;
            socket.connect(&task.caller(), &to, file.is_nonblocking())
        }
        Family::Inet(socket) => socket.connect(&task.caller(), &address, file.is_nonblocking()),
        Family::Netlink(socket) => socket.connect(&task.caller(), &address),
    }
}

/// `shutdown(2)`.
///
/// # Errors
/// `ENOTSOCK`, `EINVAL`, `ENOTCONN`.
pub(crate) fn sys_shutdown(task: &CurrentTask<'_>, fd: Fd, how: ShutdownHow) -> Result<()> {
    Socket::of(&*find(task, fd)?)?.shut_down(how)
}

/// `getsockname(2)`.
///
/// # Errors
/// `ENOTSOCK`, `EINVAL`, `EFAULT`.
pub(crate) fn sys_getsockname(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<()> {
    let name = Socket::of(&*find(task, fd)?)?.name()?;
    write_address(task, &name, address, address_len)
}

/// `getpeername(2)`.
///
/// # Errors
/// `ENOTSOCK`, `ENOTCONN`, `EINVAL`, `EFAULT`.
pub(crate) fn sys_getpeername(
    task: &CurrentTask<'_>,
    fd: Fd,
    address: UserPtr<u8>,
    address_len: UserPtr<i32>,
) -> Result<()> {
    let name = Socket::of(&*find(task, fd)?)?.peer_name()?;
    write_address(task, &name, address, address_len)
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
    option: i32,
    value: UserPtr<u8>,
    len: UserPtr<i32>,
) -> Result<()> {
    let file = find(task, fd)?;
    let memory = task.memory();
    let room = usize::try_from(memory.read(len)?).map_err(|_| Errno::EINVAL)?;
    let bytes = Socket::of(&file)?.option(level, option, room.min(MAX_OPTION))?;
    let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
    memory.write_bytes(value.addr(), part)?;
    memory.write(len, &(part.len() as i32))
}

/// `setsockopt(2)`.
///
/// # Errors
/// `ENOTSOCK`; `EOPNOTSUPP` or `ENOPROTOOPT` for what is not known; `EINVAL`, `EDOM`, `EPERM`,
/// `EFAULT`.
pub(crate) fn sys_setsockopt(
    task: &CurrentTask<'_>,
    fd: Fd,
    level: i32,
    option: i32,
    value: UserPtr<u8>,
    len: i32,
) -> Result<()> {
    let file = find(task, fd)?;
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?.min(MAX_OPTION);
    let value = task.memory().read_array(value, len)?;
    Socket::of(&file)?.set_option(&task.caller(), level, option, &value)
}
