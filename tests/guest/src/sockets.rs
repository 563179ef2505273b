//! Addresses and messages for the tests of sockets.

use std::mem::{size_of, zeroed};

use crate::{Called, called};

/// An address in bytes, as calls take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub Vec<u8>);

impl Address {
    /// A path.
    pub fn path(path: &str) -> Self {
        Self::unix(&[path.as_bytes(), &[0]].concat())
    }

    /// An abstract name.
    pub fn hidden(name: &str) -> Self {
        Self::unix(&[&[0], name.as_bytes()].concat())
    }

    /// `AF_UNIX` with these bytes after the family.
    pub fn unix(bytes: &[u8]) -> Self {
        Self([&(libc::AF_UNIX as u16).to_ne_bytes(), bytes].concat())
    }

    /// A port of 127.0.0.1; 0 lets the kernel choose.
    pub fn loopback(port: u16) -> Self {
        let family = (libc::AF_INET as u16).to_ne_bytes();
        Self([&family[..], &port.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]].concat())
    }

    /// The port of an `AF_INET` or `AF_INET6` address.
    pub fn port(&self) -> u16 {
        self.0.get(2..4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]))
    }
}

/// `bind`, `connect`: the call with an address.
pub fn bind(fd: i32, address: &Address) -> Called {
    // SAFETY: the address is as long as it says.
    called(unsafe { libc::bind(fd, address.0.as_ptr().cast(), address.0.len() as u32) }.into())
}

/// `connect`.
pub fn connect(fd: i32, address: &Address) -> Called {
    // SAFETY: the address is as long as it says.
    called(unsafe { libc::connect(fd, address.0.as_ptr().cast(), address.0.len() as u32) }.into())
}

/// `sendto`.
pub fn send_to(fd: i32, bytes: &[u8], address: &Address) -> Called {
    let (at, len) = (address.0.as_ptr().cast(), address.0.len() as u32);
    // SAFETY: buffer and address are as long as they say.
    called(unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, at, len) } as i64)
}

/// `recvfrom`: the bytes, and who sent them.
pub fn receive_from(fd: i32, room: usize, flags: i32) -> Result<(Vec<u8>, Address), i32> {
    let mut bytes = vec![0; room];
    let mut address = vec![0; 128];
    let mut len = 128;
    // SAFETY: buffers are as long as they say.
    let count = called(unsafe {
        libc::recvfrom(
            fd,
            bytes.as_mut_ptr().cast(),
            room,
            flags,
            address.as_mut_ptr().cast(),
            &raw mut len,
        )
    } as i64)?;
    bytes.truncate(count as usize);
    address.truncate(len as usize);
    Ok((bytes, Address(address)))
}

/// `getsockname`, or `getpeername` if `peer`.
pub fn name(fd: i32, peer: bool) -> Result<Address, i32> {
    let mut address = vec![0; 128];
    let mut len = 128;
    let at = address.as_mut_ptr().cast();
    // SAFETY: the buffer is as long as it says.
    called(i64::from(unsafe {
        if peer {
            libc::getpeername(fd, at, &raw mut len)
        } else {
            libc::getsockname(fd, at, &raw mut len)
        }
    }))?;
    address.truncate(len as usize);
    Ok(Address(address))
}

/// `getsockopt` of an `int`.
pub fn option(fd: i32, level: i32, name: i32) -> Result<i32, i32> {
    let (mut value, mut len) = (0, 4);
    // SAFETY: a live variable as long as it says.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
    called(result.into()).map(|_| value)
}

/// `setsockopt` of an `int`.
pub fn set_option(fd: i32, level: i32, name: i32, value: i32) -> Called {
    // SAFETY: a live variable as long as it says.
    called(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), 4) }.into())
}

/// `setsockopt` of a time in milliseconds.
pub fn set_timeout(fd: i32, name: i32, milliseconds: i64) -> Called {
    let time = libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
    let (at, len) = ((&raw const time).cast(), size_of::<libc::timeval>() as u32);
    // SAFETY: a live variable as long as it says.
    called(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, at, len) }.into())
}

/// What `poll` finds at once, out of `events`.
pub fn ready(fd: i32, events: i16) -> i16 {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one live entry.
    unsafe { libc::poll(&raw mut entry, 1, 0) };
    entry.revents
}

/// One control message: level `SOL_SOCKET`, this type and data.
pub fn control(kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = ((16 + data.len()) as u64).to_ne_bytes().to_vec();
    bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A message that was received.
#[derive(Debug, Default)]
pub struct Message {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `msg_flags`.
    pub flags: i32,
    /// Control messages: type and data.
    pub control: Vec<(i32, Vec<u8>)>,
}

impl Message {
    /// The descriptors that came with it.
    pub fn descriptors(&self) -> Vec<i32> {
        let data = |kind| self.control.iter().find(|(found, _)| *found == kind);
        data(libc::SCM_RIGHTS).map_or(vec![], |(_, data)| {
            data.chunks_exact(4)
                .map(|chunk| i32::from_ne_bytes(chunk.try_into().unwrap_or_default()))
                .collect()
        })
    }
}

/// `sendmsg`.
pub fn send_message(fd: i32, bytes: &[u8], control: &[u8], flags: i32) -> Called {
    let mut part = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
    // SAFETY: all zeros are valid.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_ptr() as *mut _;
        header.msg_controllen = control.len();
    }
    // SAFETY: the header describes live buffers.
    called(unsafe { libc::sendmsg(fd, &raw const header, flags) } as i64)
}

/// `recvmsg` with room for so many bytes and control bytes.
pub fn receive_message(
    fd: i32,
    room: usize,
    control_room: usize,
    flags: i32,
) -> Result<Message, i32> {
    let mut bytes = vec![0_u8; room];
    let mut control = vec![0_u8; control_room];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
    // SAFETY: all zeros are valid.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control_room;
    // SAFETY: the header describes live buffers.
    let count = called(unsafe { libc::recvmsg(fd, &raw mut header, flags) } as i64)?;
    bytes.truncate(count as usize);
    let mut message = Message { bytes, flags: header.msg_flags, control: vec![] };
    let mut left = control.get(..header.msg_controllen).unwrap_or_default();
    while left.len() >= 16 {
        let len = u64::from_ne_bytes(left[..8].try_into().unwrap_or_default()) as usize;
        let kind = i32::from_ne_bytes(left[12..16].try_into().unwrap_or_default());
        let data = left.get(16..len).unwrap_or_default().to_vec();
        message.control.push((kind, data));
        left = left.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(message)
}
