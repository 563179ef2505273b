//! Unix sockets: names, connections, messages and what comes with them.

use std::mem::{offset_of, size_of};

use super::messages::{self, Received};
use super::{Area, World, pick};
use crate::{Called, call};

/// Random use of unix sockets by one process.
pub(super) const AREA: Area = Area {
    name: "unix",
    steps: &[
        ("socket", 5),
        ("pair", 4),
        ("bind", 4),
        ("listen", 4),
        ("connect", 6),
        ("accept", 5),
        ("send", 8),
        ("sendto", 3),
        ("sendmsg", 6),
        ("sendmmsg", 1),
        ("recv", 8),
        ("recvfrom", 3),
        ("recvmsg", 6),
        ("recvmmsg", 1),
        ("write", 2),
        ("read", 2),
        ("shutdown", 2),
        ("close", 3),
        ("dup", 1),
        ("names", 2),
        ("set", 3),
        ("get", 3),
        ("queued", 2),
        ("poll", 5),
        ("unlink", 1),
    ],
    length: 50,
    cases: 350,
    world: || {
        // SAFETY: sets a disposition.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let (read, write) = crate::pipe();
        for (fd, place) in [read, write].into_iter().zip(messages::PASSED) {
            let _ = call!(dup2(fd, *place));
            let _ = call!(close(fd));
        }
        let limit = libc::rlimit { rlim_cur: DESCRIPTORS.into(), rlim_max: DESCRIPTORS.into() };
        let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
        Box::new(Unix { serial: 0 })
    },
};

/// As many descriptors as there may be.
const DESCRIPTORS: u32 = 16;
const TYPES: &[i32] = &[
    libc::SOCK_STREAM,
    libc::SOCK_DGRAM,
    libc::SOCK_SEQPACKET,
    libc::SOCK_STREAM,
    libc::SOCK_DGRAM,
    libc::SOCK_RAW,
    libc::SOCK_RDM,
];
/// Small ones: how much a socket holds depends on how the kernel keeps it.
const LENGTHS: &[usize] = &[5, 1, 0, 10, 100, 300];
const FLAGS: &[i32] = &[0, libc::MSG_PEEK, libc::MSG_TRUNC, libc::MSG_WAITALL];
/// Options that are integers and say nothing about sizes.
const OPTIONS: &[i32] = &[
    libc::SO_PASSCRED,
    libc::SO_TYPE,
    libc::SO_ACCEPTCONN,
    libc::SO_ERROR,
    libc::SO_DOMAIN,
    libc::SO_PROTOCOL,
    libc::SO_REUSEADDR,
    libc::SO_KEEPALIVE,
    libc::SO_BROADCAST,
    libc::SO_RCVLOWAT,
    libc::SO_PRIORITY,
    libc::SO_OOBINLINE,
    999,
];

struct Unix {
    serial: u32,
}

/// A descriptor.
fn descriptor(number: u32) -> i32 {
    super::descriptor(number, DESCRIPTORS)
}

/// An address: its bytes and length.
#[derive(Clone, Copy)]
struct Address {
    bytes: libc::sockaddr_un,
    len: u32,
}

const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);

/// The part of abstract names that only this process uses.
fn prefix() -> String {
    format!("\0lx-{:08}-", std::process::id())
}

impl Address {
    fn new(number: u32) -> Self {
        let prefix = prefix();
        let (family, name) = match number % 10 {
            0 => (libc::AF_UNIX, "a\0".to_owned()),
            1 => (libc::AF_UNIX, "b".to_owned()),
            2 => (libc::AF_UNIX, prefix + "x"),
            3 => (libc::AF_UNIX, prefix + "y"),
            4 => (libc::AF_UNIX, String::new()),
            5 => (libc::AF_INET, "a".to_owned()),
            6 => (libc::AF_UNIX, "no/where".to_owned()),
            7 => (libc::AF_UNIX, "\0".to_owned() + &prefix),
            8 => (libc::AF_UNIX, "a\0junk".to_owned()),
            _ => (libc::AF_UNIX, "b\0".to_owned()),
        };
        let mut bytes = libc::sockaddr_un { sun_family: family as u16, sun_path: [0; 108] };
        for (place, byte) in bytes.sun_path.iter_mut().zip(name.bytes()) {
            *place = byte as libc::c_char;
        }
        Self { bytes, len: (PATH + name.len()) as u32 }
    }

    fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.bytes).cast()
    }
}

/// An address that the kernel stored, of which it said that it has `len` bytes.
pub(super) fn show(bytes: &libc::sockaddr_un, room: u32, len: u32) -> String {
    let stored = (len.min(room) as usize).saturating_sub(PATH).min(bytes.sun_path.len());
    let name: Vec<u8> = bytes.sun_path[..stored].iter().map(|byte| *byte as u8).collect();
    let name = match name.strip_prefix(prefix().as_bytes()) {
        Some(own) => format!("@{}", own.escape_ascii()),
        None if name.len() == 6 && name[0] == 0 => "auto".to_owned(),
        None if name.len() < prefix().len() && name.first() == Some(&0) => "@…".to_owned(),
        None => name.escape_ascii().to_string().replace(&prefix()[1..], "…"),
    };
    let family = if room >= 2 && len >= 2 { bytes.sun_family } else { 0 };
    format!("{family} {len} {name:?}")
}

impl Unix {
    fn bytes(&self, len: usize) -> Vec<u8> {
        (0..len).map(|at| (at as u32 * 7 + self.serial) as u8).collect()
    }

    fn send(&self, name: &str, [a, b, c, d]: [u32; 4]) -> Called {
        let fd = descriptor(a);
        let bytes = self.bytes(pick(b, LENGTHS));
        let flags = libc::MSG_NOSIGNAL
            | pick(c, &[0, 0, libc::MSG_DONTWAIT, libc::MSG_EOR, libc::MSG_MORE]);
        let (start, len) = (bytes.as_ptr().cast(), bytes.len());
        match name {
            "write" if d % 7 == 1 => call!(write(fd, crate::NOWHERE as *const _, 5)),
            "write" => crate::write(fd, &bytes),
            "send" => call!(send(fd, start, len, flags)),
            _ => {
                let to = Address::new(d);
                call!(sendto(fd, start, len, flags, to.pointer(), to.len))
            }
        }
    }

    fn receive(&self, name: &str, [a, b, c, d]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let mut bytes = vec![0u8; pick(b, LENGTHS)];
        let flags = pick(c, FLAGS) | pick(d, &[0, 0, libc::MSG_PEEK]);
        let (start, len) = (bytes.as_mut_ptr().cast(), bytes.len());
        let mut from = libc::sockaddr_un { sun_family: 77, sun_path: [0; 108] };
        let room = pick(d / 3, &[110, 2, 0, 5]);
        let mut from_len = room;
        let done = match name {
            "read" if d % 7 == 1 => call!(read(fd, crate::NOWHERE as *mut _, 5)),
            "read" => call!(read(fd, start, len)),
            "recv" => call!(recv(fd, start, len, flags)),
            _ => call!(recvfrom(fd, start, len, flags, (&raw mut from).cast(), &mut from_len)),
        };
        // With MSG_TRUNC the result is the message's length.
        bytes.truncate(done.unwrap_or(0) as usize);
        let from = match name {
            "recvfrom" if done.is_ok() => show(&from, room, from_len),
            _ => String::new(),
        };
        format!("{done:?} {} {from}", bytes.escape_ascii().to_string().get(..8).unwrap_or("…"))
            + &format!(" sum {}", super::pipes::checksum(&bytes))
    }

    fn option(&self, name: &str, [a, b, c, d]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let option = pick(b, OPTIONS);
        let mut value = pick(c, &[1i32, 0, -1, 5]);
        let mut len = pick(d, &[4u32, 4, 4, 2, 8, 0]);
        // Never more than the value has.
        len = if name == "set" { len.min(4) } else { len.min(4 + 4 * (d % 2)) };
        let mut place = [value, 0x5555_5555];
        if name == "set" {
            if option == libc::SO_RCVLOWAT {
                value = value.clamp(0, 5);
                place[0] = value;
            }
            let value = place.as_ptr().cast();
            return format!("{:?}", call!(setsockopt(fd, libc::SOL_SOCKET, option, value, len)));
        }
        if c % 4 == 3 {
            // SAFETY: zeroes are a valid structure.
            let mut peer: libc::ucred = unsafe { std::mem::zeroed() };
            let mut len = size_of::<libc::ucred>() as u32;
            let place = (&raw mut peer).cast();
            let done = call!(getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, place, &mut len));
            return format!("{done:?} {len} {}", messages::credentials(&peer));
        }
        let into = place.as_mut_ptr().cast();
        let done = call!(getsockopt(fd, libc::SOL_SOCKET, option, into, &mut len));
        format!("{done:?} {len} {place:x?}")
    }

    fn names(&self, [a, b, c, _]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let mut name = libc::sockaddr_un { sun_family: 77, sun_path: [0; 108] };
        let room = pick(b, &[110, 2, 0, 6]);
        let mut len = room;
        let place = (&raw mut name).cast();
        let done = match c % 2 {
            0 => call!(getsockname(fd, place, &mut len)),
            _ => call!(getpeername(fd, place, &mut len)),
        };
        format!("{done:?} {}", if done.is_ok() { show(&name, room, len) } else { String::new() })
    }

    fn accept(&self, [a, b, c, _]: [u32; 4]) -> String {
        let mut name = libc::sockaddr_un { sun_family: 77, sun_path: [0; 108] };
        let mut len = pick(b, &[110, 2, 0]);
        let room = len;
        let flags = libc::SOCK_NONBLOCK | pick(c, &[0, libc::SOCK_CLOEXEC, 0, 1]);
        let place = (&raw mut name).cast();
        let done = call!(accept4(descriptor(a), place, &mut len, flags));
        format!("{done:?} {}", if done.is_ok() { show(&name, room, len) } else { String::new() })
    }

    fn poll(&self) -> String {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI;
        let mut list: Vec<_> =
            (0..DESCRIPTORS as i32).map(|fd| libc::pollfd { fd, events, revents: 0 }).collect();
        let ready = call!(poll(list.as_mut_ptr(), list.len() as u64, 0));
        let ready_for: Vec<_> = list.iter().map(|entry| entry.revents).collect();
        format!("{ready:?} {ready_for:x?}")
    }
}

impl World for Unix {
    fn step(&mut self, name: &str, args @ [a, b, c, d]: [u32; 4]) -> String {
        self.serial += 1;
        let fd = descriptor(a);
        let address = Address::new(b);
        match name {
            "socket" => {
                let kind = pick(a, TYPES) | libc::SOCK_NONBLOCK;
                let protocol = pick(b, &[0, 0, 0, libc::AF_UNIX, 5]);
                format!("{:?}", call!(socket(libc::AF_UNIX, kind, protocol)))
            }
            "pair" => {
                let mut pair = [-1; 2];
                let kind = pick(a, TYPES) | libc::SOCK_NONBLOCK;
                let made = call!(socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()));
                format!("{made:?} {pair:?}")
            }
            "bind" => format!("{:?}", call!(bind(fd, address.pointer(), address.len))),
            "listen" => format!("{:?}", call!(listen(fd, pick(b, &[5, 0, 1, -1])))),
            "connect" if c % 11 == 10 => {
                let unspecified = libc::sockaddr_un { sun_family: 0, sun_path: [0; 108] };
                format!("{:?}", call!(connect(fd, (&raw const unspecified).cast(), 2)))
            }
            "connect" => format!("{:?}", call!(connect(fd, address.pointer(), address.len))),
            "accept" => self.accept(args),
            "send" | "sendto" | "write" => format!("{:?}", self.send(name, args)),
            "recv" | "recvfrom" | "read" => self.receive(name, args),
            "sendmsg" | "sendmmsg" => {
                let bytes = self.bytes(pick(b, LENGTHS));
                let to = Address::new(d / 8);
                let to = (d % 8 == 7).then_some((to.pointer(), to.len));
                let count = if name == "sendmsg" { None } else { Some(c % 4) };
                format!("{:?}", messages::send(fd, &bytes, to, c, count))
            }
            "recvmsg" => Received::one(fd, pick(b, LENGTHS), c, pick(d, FLAGS)),
            "recvmmsg" => Received::several(fd, pick(b, LENGTHS), c % 4, pick(d, FLAGS)),
            "shutdown" => format!("{:?}", call!(shutdown(fd, pick(b, &[0, 1, 2, 3])))),
            "close" => format!("{:?}", call!(close(fd))),
            "dup" => format!("{:?}", call!(dup(fd))),
            "names" => self.names(args),
            "set" | "get" => self.option(name, args),
            "queued" => {
                let (mut input, mut output) = (-1_i32, -1_i32);
                let done = [
                    call!(ioctl(fd, libc::FIONREAD, &mut input)),
                    call!(ioctl(fd, libc::TIOCOUTQ, &mut output)),
                ];
                // What is on its way counts with all that the kernel keeps about it.
                format!("{done:?} {input}")
            }
            "poll" => self.poll(),
            "unlink" => {
                let path = crate::c(pick(a, &["a", "b"]));
                format!("{:?}", call!(unlink(path.as_ptr())))
            }
            other => format!("no step {other}"),
        }
    }
}
