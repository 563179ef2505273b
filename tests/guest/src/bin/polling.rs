//! `poll(2)`, `select(2)`, `epoll(7)`, `eventfd(2)`, `signalfd(2)`: readiness.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use lx_guest_tests::{Called, Checks, NOWHERE, call, pause, pipe, read, write};

fn main() {
    let mut t = Checks::new();
    poll(&mut t);
    select(&mut t);
    epoll(&mut t);
    removed_meanwhile(&mut t);
    modified_meanwhile(&mut t);
    eventfd(&mut t);
    signalfd(&mut t);
    t.end();
}

fn close(fd: i32) {
    let _ = call!(close(fd));
}

/// Polls one descriptor; the events that came.
fn events(fd: i32, wanted: i16, timeout: i32) -> Result<(i64, i16), i32> {
    let mut entry = libc::pollfd { fd, events: wanted, revents: 0 };
    call!(poll(&mut entry, 1, timeout)).map(|count| (count, entry.revents))
}

fn poll(t: &mut Checks) {
    let (r, w) = pipe();
    t.is("nothing yet", events(r, libc::POLLIN, 0), Ok((0, 0)));
    let started = Instant::now();
    t.is("nothing in time", events(r, libc::POLLIN, 30), Ok((0, 0)));
    t.ok("which passed", started.elapsed().as_millis() >= 30);
    t.is("writable", events(w, libc::POLLOUT, -1), Ok((1, libc::POLLOUT)));
    let _ = write(w, b"x");
    t.is(
        "readable",
        events(r, libc::POLLIN | libc::POLLRDNORM, -1),
        Ok((1, libc::POLLIN | libc::POLLRDNORM)),
    );
    t.is("not asked for", events(r, 0, 0), Ok((0, 0)));
    let _ = read::<1>(r);
    let writer = thread::spawn(move || {
        pause(30);
        write(w, b"late")
    });
    t.is("waits", events(r, libc::POLLIN, 5000), Ok((1, libc::POLLIN)));
    let _ = writer.join();
    let _ = read::<9>(r);
    close(w);
    t.is("no writer", events(r, libc::POLLIN, -1), Ok((1, libc::POLLHUP)));
    close(r);
    t.is("closed", events(r, libc::POLLIN, -1), Ok((1, libc::POLLNVAL)));
    t.is("negative is left out", events(-1, libc::POLLIN, 0), Ok((0, 0)));
    let (r, w) = pipe();
    close(r);
    t.is("no reader", events(w, libc::POLLOUT, -1), Ok((1, libc::POLLOUT | libc::POLLERR)));
    close(w);
    for (family, kind, expected) in [
        (libc::AF_UNIX, libc::SOCK_STREAM, libc::POLLHUP | libc::POLLWRNORM | libc::POLLWRBAND),
        (libc::AF_UNIX, libc::SOCK_DGRAM, libc::POLLWRNORM | libc::POLLWRBAND),
        (libc::AF_INET, libc::SOCK_STREAM, libc::POLLHUP | libc::POLLWRNORM),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::POLLWRNORM | libc::POLLWRBAND),
    ] {
        let fd = call!(socket(family, kind, 0)).unwrap_or(-1) as i32;
        let wanted = libc::POLLIN | libc::POLLPRI | libc::POLLWRNORM | libc::POLLWRBAND;
        let what = format!("a new socket of family {family}, kind {kind}");
        t.is(&what, events(fd, wanted, 0), Ok((1, expected)));
        close(fd);
    }
    let null = call!(open(c"/dev/null".as_ptr(), libc::O_RDWR)).unwrap_or(-1) as i32;
    t.is(
        "a device is always ready",
        events(null, libc::POLLIN | libc::POLLOUT, 0),
        Ok((1, libc::POLLIN | libc::POLLOUT)),
    );
    close(null);
    t.fails("at nowhere", call!(poll(NOWHERE as *mut _, 1, 0)), libc::EFAULT);
    t.is("of none", call!(poll(null_mut(), 0, 10)), Ok(0));
    let bad = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    t.fails(
        "ppoll with a negative time",
        call!(ppoll(null_mut(), 0, &bad, std::ptr::null())),
        libc::EINVAL,
    );
    let short = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    t.is("ppoll", call!(ppoll(null_mut(), 0, &short, std::ptr::null())), Ok(0));
}

fn select(t: &mut Checks) {
    let (r, w) = pipe();
    let set = |fds: &[i32]| {
        // SAFETY: all zeroes is a valid, empty set.
        let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
        for fd in fds {
            // SAFETY: the descriptors of this program are below FD_SETSIZE.
            unsafe { libc::FD_SET(*fd, &mut set) }
        }
        set
    };
    // SAFETY: as above.
    let has = |set: &libc::fd_set, fd: i32| unsafe { libc::FD_ISSET(fd, set) };
    let mut zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let (mut readable, mut writable) = (set(&[r]), set(&[w]));
    t.is(
        "select",
        call!(select(w + 1, &mut readable, &mut writable, null_mut(), &mut zero)),
        Ok(1),
    );
    t.is("which", (has(&readable, r), has(&writable, w)), (false, true));
    let _ = write(w, b"x");
    let mut readable = set(&[r]);
    t.is(
        "readable",
        call!(select(r + 1, &mut readable, null_mut(), null_mut(), null_mut())),
        Ok(1),
    );
    let _ = read::<1>(r);
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
    let mut readable = set(&[r]);
    t.is("time-out", call!(select(r + 1, &mut readable, null_mut(), null_mut(), &mut time)), Ok(0));
    t.is("clears", has(&readable, r), false);
    t.is("tells the time left", (time.tv_sec, time.tv_usec), (0, 0));
    let mut bad = set(&[40]);
    t.fails("closed", call!(select(41, &mut bad, null_mut(), null_mut(), &mut zero)), libc::EBADF);
    t.fails(
        "negative count",
        call!(select(-1, null_mut(), null_mut(), null_mut(), &mut zero)),
        libc::EINVAL,
    );
    let mut wrong = libc::timeval { tv_sec: -1, tv_usec: 0 };
    t.fails(
        "negative time",
        call!(select(0, null_mut(), null_mut(), null_mut(), &mut wrong)),
        libc::EINVAL,
    );
    close(r);
    close(w);
}

fn control(epoll: i32, operation: i32, fd: i32, events: i32, data: u64) -> Called {
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    call!(epoll_ctl(epoll, operation, fd, &mut event))
}

/// The events that come within `timeout`, in the order of their data.
fn ready(epoll: i32, timeout: i32) -> Vec<(u32, u64)> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
    let count = call!(epoll_wait(epoll, events.as_mut_ptr(), 8, timeout)).unwrap_or(0) as usize;
    let mut events: Vec<_> =
        events[..count].iter().map(|event| (event.events, event.u64)).collect();
    events.sort_unstable_by_key(|(_, data)| *data);
    events
}

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const HUP: u32 = libc::EPOLLHUP as u32;

fn epoll(t: &mut Checks) {
    let epoll = t.works("epoll_create1", call!(epoll_create1(libc::EPOLL_CLOEXEC))) as i32;
    let (r, w) = pipe();
    t.is("add", control(epoll, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 7), Ok(0));
    t.fails("twice", control(epoll, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 7), libc::EEXIST);
    t.is("add the writer", control(epoll, libc::EPOLL_CTL_ADD, w, libc::EPOLLOUT, 8), Ok(0));
    t.is("one is ready", ready(epoll, 0), vec![(OUT, 8)]);
    let _ = write(w, b"xy");
    t.is("both", ready(epoll, -1), vec![(IN, 7), (OUT, 8)]);
    t.is("level triggered", ready(epoll, 0).len(), 2);
    t.is("delete", control(epoll, libc::EPOLL_CTL_DEL, w, 0, 0), Ok(0));
    t.fails("twice", control(epoll, libc::EPOLL_CTL_DEL, w, 0, 0), libc::ENOENT);
    t.fails("change what is not there", control(epoll, libc::EPOLL_CTL_MOD, w, 0, 0), libc::ENOENT);
    t.is(
        "edge triggered",
        control(epoll, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLET, 9),
        Ok(0),
    );
    t.is("once", (ready(epoll, 0), ready(epoll, 0)), (vec![(IN, 9)], vec![]));
    let _ = write(w, b"z");
    t.is("again after a write", (ready(epoll, 0), ready(epoll, 0)), (vec![(IN, 9)], vec![]));
    t.is(
        "one shot",
        control(epoll, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLONESHOT, 10),
        Ok(0),
    );
    t.is("once", (ready(epoll, 0), ready(epoll, 0)), (vec![(IN, 10)], vec![]));
    let _ = write(w, b"z");
    t.is("not again", ready(epoll, 0), vec![]);
    t.is("until it is set again", control(epoll, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN, 11), Ok(0));
    t.is("ready", ready(epoll, 0), vec![(IN, 11)]);
    let _ = read::<9>(r);
    let writer = thread::spawn(move || {
        pause(30);
        let _ = write(w, b"late");
    });
    t.is("waits", ready(epoll, 5000), vec![(IN, 11)]);
    let _ = writer.join();
    close(w);
    t.is("hang-up with data", ready(epoll, 0), vec![(IN | HUP, 11)]);
    let _ = read::<9>(r);
    t.is("hang-up", ready(epoll, 0), vec![(HUP, 11)]);
    close(r);
    t.is("a closed one is forgotten", ready(epoll, 0), vec![]);
    let inner = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let (r, w) = pipe();
    let _ = control(inner, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 1);
    t.is("nested", control(epoll, libc::EPOLL_CTL_ADD, inner, libc::EPOLLIN, 2), Ok(0));
    t.is("not ready", ready(epoll, 0), vec![]);
    let _ = write(w, b"x");
    t.is("ready", ready(epoll, 0), vec![(IN, 2)]);
    t.is("poll of an epoll", events(epoll, libc::POLLIN, 0), Ok((1, libc::POLLIN)));
    t.fails(
        "in a circle",
        control(inner, libc::EPOLL_CTL_ADD, epoll, libc::EPOLLIN, 3),
        libc::ELOOP,
    );
    t.fails("itself", control(epoll, libc::EPOLL_CTL_ADD, epoll, libc::EPOLLIN, 3), libc::EINVAL);
    t.fails("no such operation", control(epoll, 9, r, 0, 0), libc::EINVAL);
    t.fails("a closed one", control(epoll, libc::EPOLL_CTL_ADD, 99, 0, 0), libc::EBADF);
    t.fails("not an epoll", control(r, libc::EPOLL_CTL_ADD, w, 0, 0), libc::EINVAL);
    let file = call!(open(c"/etc/passwd".as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.fails(
        "a plain file",
        control(epoll, libc::EPOLL_CTL_ADD, file, libc::EPOLLIN, 0),
        libc::EPERM,
    );
    let mut none = libc::epoll_event { events: 0, u64: 0 };
    t.fails("room for none", call!(epoll_wait(epoll, &mut none, 0, 0)), libc::EINVAL);
    t.fails("at nowhere", call!(epoll_wait(epoll, NOWHERE as *mut _, 1, 0)), libc::EFAULT);
    t.fails("wait on a pipe", call!(epoll_wait(r, &mut none, 1, 0)), libc::EINVAL);
    t.fails("bad flags", call!(epoll_create1(1)), libc::EINVAL);
    t.fails("epoll_create(0)", call!(epoll_create(0)), libc::EINVAL);
    for fd in [epoll, inner, r, w, file] {
        close(fd);
    }
}

/// Rounds of a race: as many as there is time for, which differs much with what watches the calls.
fn for_a_while() -> impl Iterator<Item = ()> {
    let started = Instant::now();
    std::iter::repeat(()).take_while(move |()| started.elapsed().as_millis() < 300)
}

/// A descriptor comes and goes while another thread asks: what is reported has its data.
fn removed_meanwhile(t: &mut Checks) {
    const DATA: u64 = 0x0123_4567_89ab_cdef;
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let ready_fd = call!(eventfd(1, 0)).unwrap_or(-1) as i32;
    let stop = AtomicBool::new(false);
    let (seen, wrong) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut seen, mut wrong) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                for (_, data) in ready(epoll, 0) {
                    seen += 1;
                    wrong += u32::from(data != DATA);
                }
            }
            (seen, wrong)
        });
        for _ in for_a_while() {
            let _ = control(epoll, libc::EPOLL_CTL_ADD, ready_fd, libc::EPOLLIN, DATA);
            let _ = control(epoll, libc::EPOLL_CTL_DEL, ready_fd, 0, 0);
        }
        // At the end it is there for certain.
        let _ = control(epoll, libc::EPOLL_CTL_ADD, ready_fd, libc::EPOLLIN, DATA);
        pause(20);
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap_or((0, 1))
    });
    t.ok("it was seen", seen > 0);
    t.is("with its data", wrong, 0);
    close(ready_fd);
    close(epoll);
}

/// A descriptor is asked for other events with other data while another thread asks: what is
/// reported belongs together.
fn modified_meanwhile(t: &mut Checks) {
    const READ: u64 = 0x1111_1111_1111_1111;
    const WRITE: u64 = 0x2222_2222_2222_2222;
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let ready_fd = call!(eventfd(1, 0)).unwrap_or(-1) as i32;
    let _ = control(epoll, libc::EPOLL_CTL_ADD, ready_fd, libc::EPOLLIN, READ);
    let stop = AtomicBool::new(false);
    let (seen, mixed) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut seen, mut mixed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                for event in ready(epoll, 0) {
                    seen += 1;
                    mixed += u32::from(event != (IN, READ) && event != (OUT, WRITE));
                }
            }
            (seen, mixed)
        });
        for _ in for_a_while() {
            let _ = control(epoll, libc::EPOLL_CTL_MOD, ready_fd, libc::EPOLLOUT, WRITE);
            let _ = control(epoll, libc::EPOLL_CTL_MOD, ready_fd, libc::EPOLLIN, READ);
        }
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap_or((0, 1))
    });
    t.ok("changes were seen", seen > 0);
    t.is("events with their data", mixed, 0);
    close(ready_fd);
    close(epoll);
}

fn eventfd(t: &mut Checks) {
    let one = 1u64.to_ne_bytes();
    let fd = t.works("eventfd", call!(eventfd(3, libc::EFD_NONBLOCK))) as i32;
    t.is("starts with", read::<8>(fd), Ok(3u64.to_ne_bytes().to_vec()));
    t.is("then empty", read::<8>(fd), Err(libc::EAGAIN));
    t.is("not readable", events(fd, libc::POLLIN | libc::POLLOUT, 0), Ok((1, libc::POLLOUT)));
    t.is("add", (write(fd, &one), write(fd, &one)), (Ok(8), Ok(8)));
    t.is("the sum", read::<8>(fd), Ok(2u64.to_ne_bytes().to_vec()));
    t.fails("too few bytes", write(fd, &one[..4]), libc::EINVAL);
    t.is("too small a buffer", read::<4>(fd), Err(libc::EINVAL));
    t.fails("the largest number", write(fd, &u64::MAX.to_ne_bytes()), libc::EINVAL);
    t.is("the one below", write(fd, &(u64::MAX - 1).to_ne_bytes()), Ok(8));
    t.fails("is full", write(fd, &one), libc::EAGAIN);
    t.is("not writable", events(fd, libc::POLLIN | libc::POLLOUT, 0), Ok((1, libc::POLLIN)));
    close(fd);
    let fd = call!(eventfd(2, libc::EFD_SEMAPHORE)).unwrap_or(-1) as i32;
    t.is("a semaphore", (read::<8>(fd), read::<8>(fd)), (Ok(one.to_vec()), Ok(one.to_vec())));
    let writer = thread::spawn(move || {
        pause(20);
        let _ = write(fd, &1u64.to_ne_bytes());
    });
    t.is("waits", read::<8>(fd), Ok(one.to_vec()));
    let _ = writer.join();
    t.fails("bad flags", call!(eventfd(0, 0x40)), libc::EINVAL);
    close(fd);
}

fn signalfd(t: &mut Checks) {
    // SAFETY: all zeroes is a valid, empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    let _ = call!(sigaddset(&mut set, libc::SIGUSR1));
    let _ = call!(sigprocmask(libc::SIG_BLOCK, &set, null_mut()));
    let fd = t.works("signalfd", call!(signalfd(-1, &set, libc::SFD_NONBLOCK))) as i32;
    t.is("none", read::<128>(fd), Err(libc::EAGAIN));
    let _ = call!(raise(libc::SIGUSR1));
    t.is("readable", events(fd, libc::POLLIN, 1000), Ok((1, libc::POLLIN)));
    let signal = read::<256>(fd).map(|bytes| (bytes.len(), bytes.first().copied()));
    t.is("one record", signal, Ok((128, Some(libc::SIGUSR1 as u8))));
    t.is("taken", read::<128>(fd), Err(libc::EAGAIN));
    t.is("too small a buffer", read::<64>(fd), Err(libc::EINVAL));
    t.fails("bad flags", call!(signalfd(-1, &set, 1)), libc::EINVAL);
    t.fails("not a signalfd", call!(signalfd(1, &set, 0)), libc::EINVAL);
}
