//! Pipes, FIFOs and the descriptors without files: what is in them, and what poll, select and
//! epoll say of them.

use std::mem::offset_of;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Area, World, pick};
use crate::{Called, c, call, called};

/// Random use of pipes and the like by one process.
pub(super) const AREA: Area = Area {
    name: "pipes",
    steps: &[
        ("pipe", 4),
        ("fifo", 2),
        ("open", 3),
        ("write", 8),
        ("read", 8),
        ("writev", 2),
        ("readv", 2),
        ("splice", 4),
        ("tee", 2),
        ("memfd", 1),
        ("close", 3),
        ("dup", 2),
        ("size", 2),
        ("misc", 2),
        ("eventfd", 2),
        ("add", 2),
        ("timerfd", 1),
        ("settime", 2),
        ("gettime", 1),
        ("signalfd", 1),
        ("raise", 2),
        ("poll", 4),
        ("select", 2),
        ("epoll", 2),
        ("ctl", 8),
        ("wait", 6),
    ],
    length: 50,
    cases: 350,
    world: || {
        extern "C" fn count(_: libc::c_int) {
            BROKEN.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler only counts.
        unsafe { libc::signal(libc::SIGPIPE, count as *const () as usize) };
        let _ = call!(sigprocmask(libc::SIG_BLOCK, &set(&SIGNALS), null_mut()));
        let limit = libc::rlimit { rlim_cur: DESCRIPTORS.into(), rlim_max: DESCRIPTORS.into() };
        let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
        Box::new(Pipes { serial: 0, epolls: Vec::new(), lent: false })
    },
};

/// How many `SIGPIPE`s came.
static BROKEN: AtomicU32 = AtomicU32::new(0);
/// As many descriptors as there may be.
const DESCRIPTORS: u32 = 16;
/// Signals that are blocked, for signalfds.
const SIGNALS: [i32; 3] = [libc::SIGUSR1, libc::SIGUSR2, 40];
/// Lengths around the sizes at which pipes behave otherwise.
const LENGTHS: &[usize] =
    &[1, 0, 7, 8, 100, 4095, 4096, 4097, 10_000, 65535, 65536, 65537, 200_000];
/// Lengths of the parts of vectors.
const PARTS: &[usize] = &[1, 0, 100, 4096, 5000];
const SIZES: &[u32] = &[4096, 0, 1, 4097, 8192, 20_000, 65536, 65537, 1 << 20, 0x8000_0001];
/// What epoll is asked for; two can be combined.
const INTEREST: &[i32] = &[
    libc::EPOLLIN,
    libc::EPOLLOUT,
    0,
    libc::EPOLLIN | libc::EPOLLOUT,
    libc::EPOLLET | libc::EPOLLIN,
    libc::EPOLLET | libc::EPOLLOUT,
    libc::EPOLLONESHOT | libc::EPOLLIN,
    libc::EPOLLRDHUP | libc::EPOLLPRI,
    libc::EPOLLEXCLUSIVE | libc::EPOLLIN,
    libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLIN | libc::EPOLLOUT,
];

struct Pipes {
    serial: u32,
    /// Where instances of epoll were made.
    epolls: Vec<i32>,
    /// Bytes of a file were spliced into a pipe. Linux lends the file's pages, so that what is
    /// written to the file shows in the pipe; who reads the pipe may not rely on that, and callers
    /// must not do it (sendfile(2)). lx copies. Files stay as they are from then on.
    lent: bool,
}

/// A descriptor.
fn descriptor(number: u32) -> i32 {
    super::descriptor(number, DESCRIPTORS)
}

/// A set of signals.
fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: zeroes are an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in signals {
        let _ = call!(sigaddset(&mut set, *signal));
    }
    set
}

/// Whether it is a file with pages of its own.
fn is_file(fd: i32) -> bool {
    // SAFETY: zeroes are a valid structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    call!(fstat(fd, &mut stat)).is_ok() && stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// A number that depends on all bytes and their order.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
}

/// Whether a file ends before its position. Linux 6.18 makes it longer even by a write that fails at
/// once, which lx does not.
fn is_behind_end(fd: i32) -> bool {
    let mut bytes = 0;
    is_file(fd) && call!(ioctl(fd, libc::FIONREAD, &mut bytes)).is_ok() && bytes < 0
}

/// Takes the process id out of what was read from a signalfd.
fn hide_sender(bytes: &mut [u8]) {
    let own = std::process::id().to_ne_bytes();
    for info in bytes.chunks_exact_mut(size_of::<libc::signalfd_siginfo>()) {
        let sender = &mut info[offset_of!(libc::signalfd_siginfo, ssi_pid)..][..4];
        if sender == own {
            sender.fill(0);
        }
    }
}

impl Pipes {
    /// Bytes that no other step writes.
    fn bytes(&self, len: usize) -> Vec<u8> {
        (0..len).map(|at| (at as u32 * 7 + self.serial) as u8).collect()
    }

    fn transfer(&self, name: &str, [a, b, c, d]: [u32; 4]) -> String {
        let fd = descriptor(a);
        // A vector of nothing is another thing than a buffer of no length.
        let lengths = [pick(b, PARTS), pick(c, PARTS)];
        let lengths = if lengths == [0, 0] { [1, 0] } else { lengths };
        let len = pick(b, LENGTHS);
        let bad = d % 13 == 1;
        let nowhere = crate::NOWHERE as *mut libc::c_void;
        match name {
            "write" if bad && is_behind_end(fd) => "left out".into(),
            "write" if bad => format!("{:?}", call!(write(fd, nowhere, len))),
            "read" if bad => format!("{:?}", call!(read(fd, nowhere, len))),
            "write" => format!("{:?}", crate::write(fd, &self.bytes(len))),
            "read" => {
                let mut bytes = vec![0u8; len];
                let count = call!(read(fd, bytes.as_mut_ptr().cast(), bytes.len()));
                bytes.truncate(count.unwrap_or(0) as usize);
                hide_sender(&mut bytes);
                format!("{count:?} sum {}", checksum(&bytes))
            }
            _ => {
                let mut parts = lengths.map(|len| self.bytes(len));
                let writes = name == "writev";
                let mut list = parts.each_mut().map(|part| libc::iovec {
                    iov_base: part.as_mut_ptr().cast(),
                    iov_len: part.len(),
                });
                if bad {
                    list[0].iov_base = nowhere;
                }
                let list = list.as_ptr();
                let done =
                    if writes { call!(writev(fd, list, 2)) } else { call!(readv(fd, list, 2)) };
                let mut bytes = if writes { Vec::new() } else { parts.concat() };
                bytes.truncate(done.unwrap_or(0) as usize);
                hide_sender(&mut bytes);
                format!("{done:?} sum {}", checksum(&bytes))
            }
        }
    }

    fn splice(&mut self, name: &str, [a, b, c, d]: [u32; 4]) -> Called {
        self.lent |= is_file(descriptor(a));
        let (from, to, len) = (descriptor(a), descriptor(b), pick(c, LENGTHS));
        let flags = libc::SPLICE_F_NONBLOCK | if d % 17 == 1 { 16 } else { 0 };
        let mut offset = 4000;
        let offset = if d % 5 == 1 { &raw mut offset } else { null_mut() };
        match (name, d % 2) {
            ("tee", _) => call!(tee(from, to, len, flags)),
            (_, 0) => call!(splice(from, offset, to, null_mut(), len, flags)),
            _ => call!(splice(from, null_mut(), to, offset, len, flags)),
        }
    }

    fn misc(&self, [a, b, c, _]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let result = match b % 8 {
            0 => call!(lseek(fd, 0, libc::SEEK_CUR)),
            1 => call!(fcntl(fd, libc::F_SETFD, (c % 2) as i32)),
            2 => call!(fdatasync(fd)),
            3 => call!(fsync(fd)),
            4 => call!(fcntl(fd, libc::F_GETFL)),
            5 => call!(fcntl(fd, libc::F_GETFD)),
            6 => call!(ftruncate(fd, i64::from(pick(c, SIZES) & 0xffff))),
            _ => {
                // SAFETY: zeroes are a valid structure.
                let mut stat: libc::stat = unsafe { std::mem::zeroed() };
                let done = call!(fstat(fd, &mut stat));
                return format!("{done:?} mode {:o} size {}", stat.st_mode, stat.st_size);
            }
        };
        format!("{result:?}")
    }

    fn size(&self, [a, b, c, _]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let mut bytes = -1;
        let ready = call!(ioctl(fd, libc::FIONREAD, &mut bytes));
        // A file has as many as lie behind its position, other descriptors none.
        if c % 2 == 0 {
            return format!("{ready:?} {bytes} {:?}", call!(fcntl(fd, libc::F_GETPIPE_SZ)));
        }
        format!("{ready:?} {bytes} {:?}", call!(fcntl(fd, libc::F_SETPIPE_SZ, pick(b, SIZES))))
    }

    fn settime(&self, [a, b, c, _]: [u32; 4]) -> String {
        let fd = descriptor(a);
        let time = |tv_sec, tv_nsec| libc::timespec { tv_sec, tv_nsec };
        let (flags, value) = pick(
            b,
            &[
                (0, time(0, 1)),
                (libc::TFD_TIMER_ABSTIME, time(0, 1)),
                (0, time(1000, 0)),
                (0, time(0, 0)),
                (0, time(0, 1_000_000_000)),
                (0, time(-1, 0)),
                (64, time(1000, 0)),
            ],
        );
        // Since the clock began there have been many intervals.
        let interval = if flags == 0 { pick(c, &[0, 2000]) } else { 0 };
        let it_interval = time(interval, 0);
        let new = libc::itimerspec { it_interval, it_value: value };
        let mut old = libc::itimerspec { it_interval: time(0, 0), it_value: time(0, 0) };
        let done = call!(timerfd_settime(fd, flags, &new, &mut old));
        if done.is_ok() && value.tv_nsec == 1 {
            // Its time has come, but the next step must see that.
            let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let _ = call!(poll(&mut entry, 1, 2000));
        }
        format!("{done:?} old {}", about(&old))
    }

    fn poll(&self, [a, ..]: [u32; 4]) -> String {
        let all = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI;
        let events = pick(a, &[libc::POLLIN | libc::POLLOUT, all, libc::POLLIN, libc::POLLOUT, 0]);
        let mut list: Vec<_> =
            (0..DESCRIPTORS as i32).map(|fd| libc::pollfd { fd, events, revents: 0 }).collect();
        let ready = call!(poll(list.as_mut_ptr(), list.len() as u64, 0));
        format!("{ready:?} {:?}", list.iter().map(|entry| entry.revents).collect::<Vec<_>>())
    }

    fn select(&self, [a, ..]: [u32; 4]) -> String {
        let mut sets = [0u64; 3];
        for fd in 0..DESCRIPTORS as i32 {
            // One that is not open fails the call.
            if a % 5 == 1 || call!(fcntl(fd, libc::F_GETFD)).is_ok() {
                sets = sets.map(|set| set | 1 << fd);
            }
        }
        let time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let [r, w, e] = sets.each_mut().map(|set| (&raw mut *set).cast::<libc::fd_set>());
        let number = libc::SYS_pselect6;
        // SAFETY: the kernel touches the words of the sets that hold `DESCRIPTORS` bits.
        let ready = called(unsafe { libc::syscall(number, DESCRIPTORS, r, w, e, &time, 0usize) });
        format!("{ready:?} {sets:x?}")
    }

    /// An instance of epoll, or once in a while any descriptor.
    fn epoll(&self, number: u32) -> i32 {
        let instance = self.epolls.get(number as usize % (self.epolls.len() + 1));
        instance.copied().unwrap_or_else(|| descriptor(number))
    }

    fn ctl(&self, [a, b, c, d]: [u32; 4]) -> Called {
        let operation = pick(
            b,
            &[
                libc::EPOLL_CTL_ADD,
                libc::EPOLL_CTL_ADD,
                libc::EPOLL_CTL_MOD,
                libc::EPOLL_CTL_DEL,
                9,
            ],
        );
        let events = (pick(d, INTEREST) | pick(d / 16, INTEREST)) as u32;
        let mut event = libc::epoll_event { events, u64: self.serial.into() };
        call!(epoll_ctl(self.epoll(a), operation, descriptor(c), &mut event))
    }

    fn wait(&self, [a, b, ..]: [u32; 4]) -> String {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
        // The order is the kernel's affair, and so is which ones come when there are too many.
        let most = if b % 19 == 1 { 0 } else { 32 };
        let done = call!(epoll_wait(self.epoll(a), events.as_mut_ptr(), most, 0));
        let events = &events[..done.unwrap_or(0) as usize];
        let mut events: Vec<_> = events.iter().map(|event| (event.u64, event.events)).collect();
        events.sort_unstable();
        format!("{done:?} {events:x?}")
    }
}

/// What a timer has left, without the exact time.
fn about(timer: &libc::itimerspec) -> String {
    let left = timer.it_value.tv_sec as f64 + timer.it_value.tv_nsec as f64 / 1e9;
    // Of 1000 or 2000 seconds hardly any have passed.
    format!("{} every {}", (left / 100.0).round() * 100.0, timer.it_interval.tv_sec)
}

impl World for Pipes {
    fn step(&mut self, name: &str, args @ [a, b, c, d]: [u32; 4]) -> String {
        self.serial += 1;
        let fd = descriptor(a);
        let path = self::c(pick(a, &["f", "g"]));
        let target = match name {
            "splice" => descriptor(b),
            _ => fd,
        };
        let line = match name {
            "write" | "writev" | "add" | "splice" | "misc" if self.lent && is_file(target) => {
                "left out".into()
            }
            "pipe" => {
                let mut ends = [-1; 2];
                let flags = pick(b, &[0, libc::O_CLOEXEC, 0x8000_0000_u32.cast_signed()]);
                let made = call!(pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | flags));
                format!("{made:?} {ends:?}")
            }
            "fifo" if b % 4 == 3 => format!("{:?}", call!(unlink(path.as_ptr()))),
            "fifo" => format!("{:?}", call!(mkfifo(path.as_ptr(), 0o600))),
            "open" => {
                let access = pick(b, &[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR]);
                format!("{:?}", call!(open(path.as_ptr(), libc::O_NONBLOCK | access)))
            }
            "write" | "read" | "writev" | "readv" => self.transfer(name, args),
            "splice" | "tee" => format!("{:?}", self.splice(name, args)),
            "memfd" => {
                let made = call!(memfd_create(c"m".as_ptr(), 0));
                let filled = made.and_then(|fd| crate::write(fd as i32, &self.bytes(10_000)));
                let at = made.and_then(|fd| call!(lseek(fd as i32, 100, libc::SEEK_SET)));
                format!("{made:?} {filled:?} {at:?}")
            }
            "close" => format!("{:?}", call!(close(fd))),
            "dup" if c % 2 == 1 => format!("{:?}", call!(dup2(fd, descriptor(b)))),
            "dup" => format!("{:?}", call!(fcntl(fd, libc::F_DUPFD, b % DESCRIPTORS))),
            "size" => self.size(args),
            "misc" => self.misc(args),
            "eventfd" => {
                let flags = libc::EFD_NONBLOCK | pick(b, &[0, libc::EFD_SEMAPHORE, 2]);
                format!("{:?}", call!(eventfd(pick(c, &[0, 1, 7, u32::MAX]), flags)))
            }
            "add" => {
                let value = pick(b, &[1u64, 0, 5, u64::MAX - 1, u64::MAX, 1 << 40]);
                format!("{:?}", crate::write(fd, &value.to_ne_bytes()))
            }
            "timerfd" => {
                let clock = pick(
                    b,
                    &[
                        libc::CLOCK_MONOTONIC,
                        libc::CLOCK_REALTIME,
                        libc::CLOCK_BOOTTIME,
                        libc::CLOCK_PROCESS_CPUTIME_ID,
                        99,
                    ],
                );
                let flags = libc::TFD_NONBLOCK | pick(c, &[0, 0, 1]);
                format!("{:?}", call!(timerfd_create(clock, flags)))
            }
            "settime" => self.settime(args),
            "gettime" => {
                // SAFETY: zeroes are a valid structure.
                let mut timer: libc::itimerspec = unsafe { std::mem::zeroed() };
                format!("{:?} {}", call!(timerfd_gettime(fd, &mut timer)), about(&timer))
            }
            "signalfd" => {
                let some = set(pick(b, &[&SIGNALS[..1], &SIGNALS[1..], &SIGNALS, &[]]));
                // Mostly a new one.
                let fd = if c % 3 == 2 { fd } else { -1 };
                format!("{:?}", call!(signalfd(fd, &some, libc::SFD_NONBLOCK)))
            }
            "raise" => {
                let value = libc::sigval { sival_ptr: (d as usize) as *mut _ };
                format!("{:?}", call!(sigqueue(libc::getpid(), pick(b, &SIGNALS), value)))
            }
            "poll" => self.poll(args),
            "select" => self.select(args),
            "epoll" => {
                let made = call!(epoll_create1(pick(b, &[0, 0, libc::EPOLL_CLOEXEC, 1])));
                self.epolls.extend(made.map(|fd| fd as i32));
                format!("{made:?}")
            }
            "ctl" => format!("{:?}", self.ctl(args)),
            "wait" => self.wait(args),
            other => format!("no step {other}"),
        };
        match BROKEN.swap(0, Ordering::Relaxed) {
            0 => line,
            count => format!("{line} broken {count}"),
        }
    }
}
