//! The steps of one process.

use std::ptr::null;

use libc::{
    F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_CLOEXEC, c_int, off_t,
};

use super::LIMIT;
use super::channels::{limit, mailbox};
use crate::random::pick;
use crate::{Called, c, call};

/// A descriptor, mostly one of those in use.
fn descriptor(number: u32) -> c_int {
    pick(number, &[0, 1, 2, 0, 1, 3, 2, 4, 5])
}

/// Where a lock starts and how long it is; few neighbours, so that they meet.
const STARTS: &[off_t] = &[0, 10, 5, 20, 15, 30, 0, 10, -5, off_t::MAX - 5];
const LENGTHS: &[off_t] = &[10, 5, 0, 20, 1, -5, 15, 10, off_t::MAX];

/// Performs a step. The processes' ids are what a lock's owner is found by.
pub(super) fn perform(name: &str, args: [u32; 4], processes: &[i32; 3]) -> String {
    let [a, b, c, d] = args;
    let fd = descriptor(b);
    let done = match name {
        "open" => {
            let access = pick(c, &[libc::O_RDWR, libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR]);
            let rest = pick(d, &[0, O_CLOEXEC, libc::O_APPEND, libc::O_PATH, libc::O_NONBLOCK]);
            call!(open(pick(b, &[c"f", c"g"]).as_ptr(), access | rest))
        }
        "dup" => dup(fd, c, d),
        "close" => call!(close(fd)),
        "close_range" => {
            let flags = pick(d, &[0, libc::CLOSE_RANGE_CLOEXEC, libc::CLOSE_RANGE_UNSHARE, 1]);
            // The channels must stay.
            let last = pick(c, &[fd, fd + 1, fd + 3, (fd - 1).max(0), LIMIT as c_int - 1]);
            call!(syscall(libc::SYS_close_range, fd, last, flags))
        }
        "cloexec" => call!(fcntl(fd, libc::F_SETFD, pick(c, &[1, 0, 2, 3]))),
        "flags" => {
            let flags = pick(c, &[0, libc::O_APPEND, libc::O_NONBLOCK, libc::O_NOATIME, 1, -1]);
            // Of the rest some are about devices and signals.
            let flags = flags & !(libc::O_ASYNC | libc::O_DIRECT);
            call!(fcntl(fd, libc::F_SETFL, flags))
        }
        "state" => return state(),
        "seek" => {
            let whence = pick(d, &[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END]);
            // How far a position may be depends on the file system.
            call!(lseek(fd, pick(c, &[0, 5, 10, -5, 20, 35]), whence))
        }
        "read" => {
            let bytes = crate::read::<8>(fd);
            return format!(
                "{:?}",
                bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            );
        }
        "write" => crate::write(fd, &[b'a' + (c % 26) as u8; 5][..(d % 6) as usize]),
        "flock" => call!(flock(fd, pick(c, &FLOCKS) | LOCK_NB)),
        "lock" => {
            let command = pick(d, &[libc::F_SETLK, libc::F_SETLK, libc::F_OFD_SETLK]);
            set_lock(fd, command, c)
        }
        "wait" => match pick(d, &[libc::F_SETLKW, libc::F_SETLKW, libc::F_OFD_SETLKW, 0]) {
            0 => call!(flock(fd, pick(c, &FLOCKS))),
            command => set_lock(fd, command, c),
        },
        "ask" => return ask(fd, c, d, processes),
        "send" => send(b, descriptor(c)),
        "receive" => receive(b, d),
        "exec" => return execute(a),
        _ => Err(-1),
    };
    format!("{done:?}")
}

const FLOCKS: [c_int; 5] = [LOCK_SH, LOCK_EX, LOCK_UN, LOCK_EX, LOCK_SH | LOCK_EX];

/// One of the ways to another number.
fn dup(fd: c_int, c: u32, d: u32) -> Called {
    let place = (c % 8) as c_int;
    match d % 6 {
        0 => call!(dup(fd)),
        1 => call!(dup2(fd, place)),
        2 => call!(dup3(fd, place, pick(d / 6, &[O_CLOEXEC, 0, 1]))),
        3 => call!(fcntl(fd, libc::F_DUPFD, pick(d / 6, &[place, 20, -1]))),
        4 => call!(fcntl(fd, libc::F_DUPFD_CLOEXEC, place)),
        _ => call!(dup2(fd, pick(d / 6, &[fd, LIMIT as c_int, LIMIT as c_int - 1, -1]))),
    }
}

/// All descriptors: flags of each, flags and position of its description.
fn state() -> String {
    let one = |fd: c_int| {
        let own = call!(fcntl(fd, libc::F_GETFD));
        let Ok(own) = own else { return "-".to_owned() };
        let flags = call!(fcntl(fd, libc::F_GETFL)).unwrap_or(-1);
        let position = call!(lseek(fd, 0, libc::SEEK_CUR));
        format!("{own},{flags:o},{position:?}")
    };
    (0..LIMIT as c_int).map(one).collect::<Vec<_>>().join(" ")
}

/// A lock by the digits of a number.
fn lock(number: u32) -> libc::flock {
    let kinds = [F_WRLCK, F_RDLCK, F_UNLCK, F_WRLCK, F_RDLCK, F_UNLCK, F_WRLCK, 7];
    let whence = [0, 0, 0, 0, libc::SEEK_CUR, libc::SEEK_END, 0, 3];
    let digits = [number, number / 8, number / 80, number / 800];
    let odd = digits[3] % 8 == 7;
    libc::flock {
        l_type: pick(digits[0], &kinds[..if odd { 8 } else { 7 }]) as i16,
        l_whence: pick(digits[3], &whence) as i16,
        l_start: pick(digits[1], STARTS),
        l_len: pick(digits[2], LENGTHS),
        l_pid: 0,
    }
}

fn set_lock(fd: c_int, command: c_int, number: u32) -> Called {
    let lock = lock(number);
    call!(fcntl(fd, command, &lock))
}

/// The lock that is in the way.
fn ask(fd: c_int, c: u32, d: u32, processes: &[i32; 3]) -> String {
    let mut lock = lock(c);
    let done = call!(fcntl(fd, pick(d, &[libc::F_GETLK, libc::F_OFD_GETLK]), &mut lock));
    let owner = match lock.l_pid {
        // A description's lock has no process, and nor does an answer without a lock.
        none @ (0 | -1) => none.to_string(),
        pid => match processes.iter().position(|process| *process == pid) {
            Some(number) => format!("process {number}"),
            None => "a stranger".to_owned(),
        },
    };
    let libc::flock { l_type, l_whence, l_start, l_len, .. } = lock;
    format!("{done:?} type {l_type} whence {l_whence} {l_start}+{l_len} {owner}")
}

/// Room for one descriptor's control message.
type Control = [u64; 3];

/// A message of one byte, and of the control data.
fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: zeroes are a valid header without address and data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>();
    header
}

/// The head of a control message with one descriptor: its length, level and type.
const HEAD: [u64; 2] = [20, (libc::SCM_RIGHTS as u64) << 32 | libc::SOL_SOCKET as u64];

/// Puts a descriptor into a mailbox.
fn send(to: u32, fd: c_int) -> Called {
    let mut byte = [0u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [HEAD[0], HEAD[1], fd as u32 as u64];
    let header = message(&mut part, &mut control);
    call!(sendmsg(mailbox(to)[1], &header, libc::MSG_DONTWAIT))
}

/// Takes a descriptor out of one's mailbox.
fn receive(own: u32, d: u32) -> Called {
    let mut byte = [0u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0; 3];
    let mut header = message(&mut part, &mut control);
    let flags = libc::MSG_DONTWAIT | pick(d, &[0, libc::MSG_CMSG_CLOEXEC]);
    call!(recvmsg(mailbox(own)[0], &mut header, flags))?;
    // Without room for one more descriptor there is none, and the message says so.
    match header.msg_controllen {
        0 => Err(1000 + header.msg_flags),
        _ => Ok(i64::from(control[2] as u32)),
    }
}

/// Executes this program anew; only a failure comes back. [`resume`](super::resume) goes on.
fn execute(number: u32) -> String {
    // The dynamic linker needs descriptors.
    limit(1024);
    let words =
        [c"random".to_owned(), c"locks".to_owned(), c"resume".to_owned(), c(&number.to_string())];
    let mut list: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    list.push(null());
    let done = call!(execv(c"/proc/self/exe".as_ptr(), list.as_ptr()));
    format!("{done:?}")
}
