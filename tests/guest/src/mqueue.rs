//! What the programs that test POSIX message queues share: the calls themselves, with names as the
//! kernel takes them, without a slash.

use std::time::{Duration, SystemTime};

use crate::files::{address, at, sys};
use crate::{Called, c};

/// For reading and writing, to be made.
pub const NEW: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
/// As [`NEW`], and never waiting.
pub const NONBLOCK: i32 = NEW | libc::O_NONBLOCK;

/// `struct mq_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr {
    /// `O_NONBLOCK` or nothing.
    pub flags: i64,
    /// Messages that there is room for.
    pub maxmsg: i64,
    /// Bytes of a message.
    pub msgsize: i64,
    /// Messages in the queue.
    pub curmsgs: i64,
    /// Nothing.
    pub reserved: [i64; 4],
}

/// A name that no other process uses.
pub fn name(what: &str) -> String {
    format!("lx-guest-{}-{what}", std::process::id())
}

/// Opens a queue; what is not said of room is left to the defaults.
pub fn open(name: &str, flags: i32, mode: i64, room: Option<(i64, i64)>) -> Called {
    let mut attr = room.map(|(maxmsg, msgsize)| Attr { maxmsg, msgsize, ..Attr::default() });
    let attr = attr.as_mut().map_or(0, address);
    sys(libc::SYS_mq_open, [at(&c(name)), flags.into(), mode, attr])
}

/// Removes a name.
pub fn unlink(name: &str) -> Called {
    sys(libc::SYS_mq_unlink, [at(&c(name))])
}

/// Sends, until a time if there is one.
pub fn send_until(fd: i64, text: &str, priority: i64, until: Option<libc::timespec>) -> Called {
    let mut until = until;
    let timeout = until.as_mut().map_or(0, address);
    let len = text.len() as i64;
    sys(libc::SYS_mq_timedsend, [fd, text.as_ptr() as i64, len, priority, timeout])
}

/// Sends.
pub fn send(fd: i64, text: &str, priority: i64) -> Called {
    send_until(fd, text, priority, None)
}

/// Priority and text of the message that is received, until a time if there is one.
pub fn receive_until(fd: i64, until: Option<libc::timespec>) -> Result<(u32, String), i32> {
    let (mut text, mut priority, mut until) = ([0_u8; 8192], 0_u32, until);
    let timeout = until.as_mut().map_or(0, address);
    let (room, to) = (text.len() as i64, address(&mut text));
    let call = [fd, to, room, address(&mut priority), timeout];
    let len = sys(libc::SYS_mq_timedreceive, call)?;
    Ok((priority, String::from_utf8_lossy(&text[..len as usize]).into_owned()))
}

/// Receives.
pub fn receive(fd: i64) -> Result<(u32, String), i32> {
    receive_until(fd, None)
}

/// The attributes.
pub fn attr(fd: i64) -> Result<Attr, i32> {
    let mut attr = Attr::default();
    sys(libc::SYS_mq_getsetattr, [fd, 0, address(&mut attr)]).map(|_| attr)
}

/// The time so many milliseconds from now.
pub fn soon(milliseconds: u64) -> Option<libc::timespec> {
    let at = SystemTime::now() + Duration::from_millis(milliseconds);
    let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(libc::timespec { tv_sec: at.as_secs() as i64, tv_nsec: at.subsec_nanos().into() })
}
