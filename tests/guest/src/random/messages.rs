//! Messages with ancillary data.

use std::mem::size_of;
use std::ptr::{null, null_mut};

use super::pick;
use super::unix::show;
use crate::{Called, call};

/// The header of a control message and the start of its data.
const HEADER: usize = size_of::<libc::cmsghdr>();

/// Descriptors that are sent: no sockets, as those that nobody can receive any more vanish when the
/// kernel finds the time. The last one is not open.
pub(super) const PASSED: &[i32] = &[190, 191, 192];

/// A control message, padded.
fn control(kind: i32, data: &[u8]) -> Vec<u8> {
    let len = HEADER + data.len();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(len.next_multiple_of(8), 0);
    bytes
}

fn rights(fds: &[i32]) -> Vec<u8> {
    let data: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    control(libc::SCM_RIGHTS, &data)
}

fn own(uid: u32, gid: u32, pid: u32) -> Vec<u8> {
    let data: Vec<u8> = [pid, uid, gid].into_iter().flat_map(u32::to_ne_bytes).collect();
    control(libc::SCM_CREDENTIALS, &data)
}

/// Ancillary data, right or wrong.
fn ancillary(number: u32) -> Vec<u8> {
    let fd = pick(number / 16, PASSED);
    let pid = std::process::id();
    match number % 16 {
        0..=3 => Vec::new(),
        4..=6 => rights(&[fd]),
        7 => rights(&[fd, pick(number / 256, PASSED)]),
        8 => own(0, 0, pid),
        9 => [rights(&[fd]), own(0, 0, pid)].concat(),
        10 => own(12, 34, pid),
        11 => own(0, 0, 0x3fff_fff0),
        12 => rights(&[]),
        13 => [rights(&[fd]), rights(&[fd])].concat(),
        14 => control(99, &[0; 4]),
        _ => {
            let mut short = rights(&[fd]);
            short[0] = pick(number / 16, &[12, 17, 200]);
            short
        }
    }
}

/// `sendmsg(2)`, or `sendmmsg(2)` of so many messages.
pub(super) fn send(
    fd: i32,
    bytes: &[u8],
    to: Option<(*const libc::sockaddr, u32)>,
    number: u32,
    count: Option<u32>,
) -> Called {
    let mut ancillary = ancillary(number);
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    let mut parts = [head, tail]
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    let (name, len) = to.unwrap_or((null(), 0));
    // SAFETY: zeroes are a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.cast_mut().cast();
    message.msg_namelen = len;
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = 2;
    if !ancillary.is_empty() {
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = ancillary.len();
    }
    let flags = libc::MSG_NOSIGNAL;
    match count {
        None => call!(sendmsg(fd, &message, flags)),
        Some(count) => {
            let mut list: Vec<_> =
                (0..count).map(|_| libc::mmsghdr { msg_hdr: message, msg_len: 0 }).collect();
            call!(sendmmsg(fd, list.as_mut_ptr(), count, flags as _))
        }
    }
}

/// Credentials, of which the process id is only told if it is the own one.
pub(super) fn credentials(cred: &libc::ucred) -> String {
    let pid = match cred.pid.cast_unsigned() {
        0 => "none",
        pid if pid == std::process::id() => "own",
        _ => "other",
    };
    format!("{pid} {} {}", cred.uid.cast_signed(), cred.gid.cast_signed())
}

/// Room for a message.
pub(super) struct Received {
    name: libc::sockaddr_un,
    bytes: Vec<u8>,
    control: [u64; 16],
    part: libc::iovec,
}

impl Received {
    fn new(len: usize) -> Box<Self> {
        let mut new = Box::new(Self {
            name: libc::sockaddr_un { sun_family: 77, sun_path: [0; 108] },
            bytes: vec![0; len],
            control: [0; 16],
            part: libc::iovec { iov_base: null_mut(), iov_len: len },
        });
        new.part.iov_base = new.bytes.as_mut_ptr().cast();
        new
    }

    fn message(&mut self, number: u32) -> libc::msghdr {
        // SAFETY: zeroes are a valid message.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut self.name).cast();
        message.msg_namelen = size_of::<libc::sockaddr_un>() as u32;
        message.msg_iov = &raw mut self.part;
        message.msg_iovlen = 1;
        message.msg_control = self.control.as_mut_ptr().cast();
        message.msg_controllen = pick(number, &[128, 0, 24, 20, 16, 10, 32, 30, 56]);
        message
    }

    /// `recvmsg(2)` with one of several lengths of the room for ancillary data.
    pub(super) fn one(fd: i32, len: usize, number: u32, flags: i32) -> String {
        let mut place = Self::new(len);
        let mut message = place.message(number);
        let cloexec = pick(number / 16, &[0, libc::MSG_CMSG_CLOEXEC]);
        let done = call!(recvmsg(fd, &mut message, flags | cloexec));
        let count = done.unwrap_or(0) as usize;
        match done {
            Ok(_) => format!("{done:?} {}", place.show(&message, count)),
            Err(_) => format!("{done:?}"),
        }
    }

    /// `recvmmsg(2)`.
    pub(super) fn several(fd: i32, len: usize, count: u32, flags: i32) -> String {
        let mut places: Vec<_> = (0..count).map(|_| Self::new(len)).collect();
        let mut list: Vec<_> = places
            .iter_mut()
            .map(|place| libc::mmsghdr { msg_hdr: place.message(0), msg_len: 0 })
            .collect();
        let done = call!(recvmmsg(fd, list.as_mut_ptr(), count, flags as _, null_mut()));
        let mut text = format!("{done:?}");
        for (place, message) in places.iter().zip(&list).take(done.unwrap_or(0) as usize) {
            let shown = place.show(&message.msg_hdr, message.msg_len as usize);
            text += &format!(" [{} {shown}]", message.msg_len);
        }
        text
    }

    fn show(&self, message: &libc::msghdr, count: usize) -> String {
        let bytes = &self.bytes[..count.min(self.bytes.len())];
        let room = size_of::<libc::sockaddr_un>() as u32;
        let name = match message.msg_namelen {
            0 => String::new(),
            len => show(&self.name, room, len),
        };
        let (flags, len) = (message.msg_flags, message.msg_controllen);
        let sum = super::pipes::checksum(bytes);
        format!("sum {sum} flags {flags:x} from {name} control {len}{}", self.show_control(len))
    }

    fn show_control(&self, len: usize) -> String {
        let bytes: Vec<u8> = self.control.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let bytes = &bytes[..len.min(bytes.len())];
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map_or(0, i32::from_ne_bytes)
        };
        let (mut text, mut at) = (String::new(), 0);
        while at + HEADER <= bytes.len() {
            let (len, kind) = (word(at) as usize, word(at + 12));
            let words: Vec<i32> =
                (at + HEADER..(at + len).min(bytes.len())).step_by(4).map(word).collect();
            text += &format!(" {}/{kind} {len} ", word(at + 8));
            text += &match (kind, words.as_slice()) {
                (libc::SCM_RIGHTS, fds) => {
                    format!("{:?}", fds.iter().map(flags_of).collect::<Vec<_>>())
                }
                (libc::SCM_CREDENTIALS, &[pid, uid, gid]) => {
                    let [uid, gid] = [uid, gid].map(i32::cast_unsigned);
                    credentials(&libc::ucred { pid, uid, gid })
                }
                // Cut off in its middle.
                (_, words) => format!("{} words", words.len()),
            };
            if len < HEADER {
                break;
            }
            at += len.next_multiple_of(8);
        }
        text
    }
}

/// A received descriptor and its flags.
fn flags_of(fd: &i32) -> (i32, Called) {
    (*fd, call!(fcntl(*fd, libc::F_GETFD)))
}
