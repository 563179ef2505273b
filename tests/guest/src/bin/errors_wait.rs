//! Errors of calls that wait for readiness, and of the files that events are read from: `poll(2)`,
//! `select(2)`, `epoll(7)`, `eventfd(2)`, `timerfd_create(2)`, `signalfd(2)`, `inotify(7)`.

use std::process::exit;
use std::ptr::null;

use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLEXCLUSIVE, EPOLLIN, EPOLLONESHOT,
    SYS_epoll_create, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_wait,
    SYS_eventfd, SYS_eventfd2, SYS_inotify_add_watch, SYS_inotify_init, SYS_inotify_init1,
    SYS_inotify_rm_watch, SYS_poll, SYS_ppoll, SYS_pselect6, SYS_select, SYS_signalfd4,
    SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_settime,
};
use lx_guest_tests::errors::{as_nobody, interrupted, without_descriptors};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call, pipe, read};

/// A descriptor that is not open.
const CLOSED: i32 = 999;
/// Bytes of a set of signals.
const SET: usize = 8;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    poll(&mut t);
    select(&mut t);
    epoll_instances(&mut t);
    epoll_interest(&mut t);
    for (name, number) in [("epoll_wait", SYS_epoll_wait), ("epoll_pwait", SYS_epoll_pwait)] {
        epoll_waits(&mut t, name, number);
    }
    events_and_signals(&mut t);
    timers(&mut t);
    timers_that_wake_a_machine(&mut t);
    watches(&mut t);
    drop(scratch);
    t.end();
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

fn time(tv_sec: i64, tv_nsec: i64) -> libc::timespec {
    libc::timespec { tv_sec, tv_nsec }
}

fn poll(t: &mut Checks) {
    let (r, w) = pipe();
    let mut entry = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    let at = &raw mut entry;
    let poll = |at: usize, count: u64, timeout: i32| call!(syscall(SYS_poll, at, count, timeout));
    t.fails("poll at nowhere", poll(NOWHERE, 1, 0), libc::EFAULT);
    t.fails("more than may be open", poll(NOWHERE, 1 << 31, 0), libc::EINVAL);
    let none = without_descriptors(|| call!(syscall(SYS_poll, at, 1_usize, 0)));
    t.fails("where none may be open", none, libc::EINVAL);
    let waited = interrupted(|| call!(syscall(SYS_poll, at, 1_usize, -1)));
    t.fails("a signal ends poll", waited, libc::EINTR);

    let (zero, set) = (time(0, 0), 0_u64);
    let ppoll = |at: usize, time: *const libc::timespec, set: usize, size: usize| {
        call!(syscall(SYS_ppoll, at, 1_usize, time, set, size))
    };
    let at = at.expose_provenance();
    t.is("ppoll", ppoll(at, &raw const zero, 0, 0), Ok(0));
    t.fails("ppoll at nowhere", ppoll(NOWHERE, &raw const zero, 0, 0), libc::EFAULT);
    t.fails("time at nowhere", ppoll(at, NOWHERE as *const _, 0, 0), libc::EFAULT);
    t.fails("signals at nowhere", ppoll(at, &raw const zero, NOWHERE, SET), libc::EFAULT);
    for (what, bad) in [
        ("negative", time(-1, 0)),
        ("negative nanoseconds", time(0, -1)),
        ("a second in nanoseconds", time(0, 1_000_000_000)),
    ] {
        t.fails(&format!("ppoll, time {what}"), ppoll(at, &raw const bad, 0, 0), libc::EINVAL);
    }
    let set = (&raw const set).expose_provenance();
    t.fails("signals of another size", ppoll(at, &raw const zero, set, 4), libc::EINVAL);
    let waited = interrupted(|| ppoll(at, null(), set, SET));
    t.fails("a signal ends ppoll", waited, libc::EINTR);
    let none = without_descriptors(|| ppoll(at, &raw const zero, 0, 0));
    t.fails("ppoll where none may be open", none, libc::EINVAL);
    close(&[r, w]);
}

fn select(t: &mut Checks) {
    let (r, w) = pipe();
    let set = |fd: i32| {
        let mut words = [0_u64; 16];
        words[fd as usize / 64] |= 1 << (fd % 64);
        words
    };
    let (mut readable, mut closed) = (set(r), set(CLOSED));
    for (name, number) in [("select", SYS_select), ("pselect6", SYS_pselect6)] {
        // The times of the two have fields of the same size.
        let select = |count: i32, set: usize, time: *const libc::timespec| {
            call!(syscall(number, count, set, 0_usize, 0_usize, time, 0_usize))
        };
        let one = (&raw mut readable).expose_provenance();
        let other = (&raw mut closed).expose_provenance();
        let zero = time(0, 0);
        let mut fails = |what: &str, got: Called, errno: i32| {
            t.fails(&format!("{name}, {what}"), got, errno);
        };
        // Numbers that the table has no room for are not looked at.
        let room = call!(dup2(0, CLOSED + 1));
        fails("a closed one", select(CLOSED + 1, other, &raw const zero), libc::EBADF);
        close(&[room.unwrap_or(-1) as i32]);
        fails("less than none", select(-1, one, &raw const zero), libc::EINVAL);
        fails("a set at nowhere", select(r + 1, NOWHERE, &raw const zero), libc::EFAULT);
        fails("time at nowhere", select(r + 1, one, NOWHERE as *const _), libc::EFAULT);
        let negative = time(-1, 0);
        fails("a negative time", select(r + 1, one, &raw const negative), libc::EINVAL);
        let negative = time(0, -1);
        fails("a negative part", select(r + 1, one, &raw const negative), libc::EINVAL);
        fails("a signal", interrupted(|| select(r + 1, one, null())), libc::EINTR);
    }
    let set = 0_u64;
    let pselect = |mask: usize| {
        call!(syscall(SYS_pselect6, 0, 0_usize, 0_usize, 0_usize, &raw const ZERO, mask))
    };
    let masks = [[(&raw const set).expose_provenance(), 4], [NOWHERE, SET]];
    let at = |at: usize| (&raw const masks[at]).expose_provenance();
    t.fails("signals of another size", pselect(at(0)), libc::EINVAL);
    t.fails("signals at nowhere", pselect(at(1)), libc::EFAULT);
    t.fails("where they are at nowhere", pselect(NOWHERE), libc::EFAULT);
    close(&[r, w]);
}

static ZERO: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

fn epoll_instances(t: &mut Checks) {
    t.fails("of a size below one", call!(syscall(SYS_epoll_create, 0)), libc::EINVAL);
    t.fails("of a negative size", call!(syscall(SYS_epoll_create, -1)), libc::EINVAL);
    t.fails("with unknown flags", call!(syscall(SYS_epoll_create1, 1)), libc::EINVAL);
    let epoll = call!(syscall(SYS_epoll_create, 1));
    t.ok("epoll_create", epoll.is_ok());
    close(&[epoll.unwrap_or(-1) as i32]);
}

fn control(epoll: i32, operation: i32, fd: i32, events: i32) -> Called {
    let mut event = libc::epoll_event { events: events as u32, u64: 0 };
    call!(syscall(SYS_epoll_ctl, epoll, operation, fd, &raw mut event))
}

fn epoll_interest(t: &mut Checks) {
    let instance = || call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let (epoll, inner) = (instance(), instance());
    let (r, w) = pipe();
    let exclusive = EPOLLIN | EPOLLEXCLUSIVE;
    t.fails("a closed instance", control(CLOSED, EPOLL_CTL_ADD, r, EPOLLIN), libc::EBADF);
    t.fails("a closed one", control(epoll, EPOLL_CTL_ADD, CLOSED, EPOLLIN), libc::EBADF);
    t.fails("itself", control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN), libc::EINVAL);
    t.fails("not an instance", control(r, EPOLL_CTL_ADD, w, EPOLLIN), libc::EINVAL);
    t.fails("unknown operation", control(epoll, 4, r, EPOLLIN), libc::EINVAL);
    t.fails("change what is not there", control(epoll, EPOLL_CTL_MOD, r, 0), libc::ENOENT);
    t.fails("remove what is not there", control(epoll, EPOLL_CTL_DEL, r, 0), libc::ENOENT);
    let strange = control(epoll, EPOLL_CTL_ADD, r, exclusive | EPOLLONESHOT);
    t.fails("exclusive, once", strange, libc::EINVAL);
    let nested = control(epoll, EPOLL_CTL_ADD, inner, exclusive);
    t.fails("an instance, exclusively", nested, libc::EINVAL);
    t.is("exclusively", control(epoll, EPOLL_CTL_ADD, r, exclusive), Ok(0));
    t.fails("twice", control(epoll, EPOLL_CTL_ADD, r, EPOLLIN), libc::EEXIST);
    t.fails("change it", control(epoll, EPOLL_CTL_MOD, r, EPOLLIN), libc::EINVAL);
    t.is("another one", control(epoll, EPOLL_CTL_ADD, w, EPOLLIN), Ok(0));
    t.fails("now exclusively", control(epoll, EPOLL_CTL_MOD, w, exclusive), libc::EINVAL);
    t.is("nested", control(epoll, EPOLL_CTL_ADD, inner, EPOLLIN), Ok(0));
    t.fails("in a circle", control(inner, EPOLL_CTL_ADD, epoll, EPOLLIN), libc::ELOOP);
    let dir = call!(open(c".".as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.fails("a folder", control(epoll, EPOLL_CTL_ADD, dir, EPOLLIN), libc::EPERM);
    let nowhere = call!(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, r, NOWHERE));
    t.fails("an event at nowhere", nowhere, libc::EFAULT);
    close(&[epoll, inner, r, w, dir]);
}

fn epoll_waits(t: &mut Checks, name: &str, number: i64) {
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let event = call!(eventfd(1, 0)).unwrap_or(-1) as i32;
    let mut room = [libc::epoll_event { events: 0, u64: 0 }; 2];
    let wait = |fd: i32, at: usize, most: i32, timeout: i32| {
        call!(syscall(number, fd, at, most, timeout, 0_usize, SET))
    };
    let at = room.as_mut_ptr().expose_provenance();
    let mut fails = |what: &str, got: Called, errno: i32| {
        t.fails(&format!("{name}: {what}"), got, errno);
    };
    fails("a closed one", wait(CLOSED, at, 1, 0), libc::EBADF);
    fails("not an instance", wait(event, at, 1, 0), libc::EINVAL);
    fails("room for none", wait(epoll, at, 0, 0), libc::EINVAL);
    fails("room for less", wait(epoll, at, -1, 0), libc::EINVAL);
    fails("a signal", interrupted(|| wait(epoll, at, 1, -1)), libc::EINTR);
    let _ = control(epoll, EPOLL_CTL_ADD, event, EPOLLIN);
    fails("to nowhere", wait(epoll, NOWHERE, 1, 0), libc::EFAULT);
    t.is(&format!("{name}: still ready"), wait(epoll, at, 2, 0), Ok(1));
    if number == SYS_epoll_pwait {
        let pwait = |set: usize, size: usize| call!(syscall(number, epoll, at, 1, 0, set, size));
        t.fails("signals at nowhere", pwait(NOWHERE, SET), libc::EFAULT);
        t.fails("signals of another size", pwait(at, 4), libc::EINVAL);
    }
    close(&[epoll, event]);
}

fn events_and_signals(t: &mut Checks) {
    t.fails("eventfd, unknown flags", call!(syscall(SYS_eventfd2, 0, 2)), libc::EINVAL);
    let event = call!(syscall(SYS_eventfd, 3)).unwrap_or(-1) as i32;
    t.is("eventfd", read::<8>(event), Ok(3_u64.to_ne_bytes().to_vec()));
    let set = 0_u64;
    let signalfd = |fd: i32, set: usize, size: usize, flags: i32| {
        call!(syscall(SYS_signalfd4, fd, set, size, flags))
    };
    let set = (&raw const set).expose_provenance();
    t.fails("signalfd, unknown flags", signalfd(-1, set, SET, 1), libc::EINVAL);
    t.fails("another size", signalfd(-1, set, 4, 0), libc::EINVAL);
    t.fails("not a signalfd", signalfd(event, set, SET, 0), libc::EINVAL);
    t.fails("a closed one", signalfd(CLOSED, set, SET, 0), libc::EBADF);
    t.fails("another negative one", signalfd(-2, set, SET, 0), libc::EBADF);
    t.fails("signals at nowhere", signalfd(-1, NOWHERE, SET, 0), libc::EFAULT);
    close(&[event]);
}

fn timers(t: &mut Checks) {
    let create = |clock: i32, flags: i32| call!(syscall(SYS_timerfd_create, clock, flags));
    t.fails("no such clock", create(99, 0), libc::EINVAL);
    t.fails("the time of a process", create(libc::CLOCK_PROCESS_CPUTIME_ID, 0), libc::EINVAL);
    t.fails("unknown flags", create(libc::CLOCK_MONOTONIC, 1), libc::EINVAL);
    let fd = create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK).unwrap_or(-1) as i32;
    let (r, w) = pipe();
    let setting = |tv_sec: i64, tv_nsec: i64| libc::itimerspec {
        it_interval: ZERO,
        it_value: time(tv_sec, tv_nsec),
    };
    let set = |fd: i32, flags: i32, new: *const libc::itimerspec, old: usize| {
        call!(syscall(SYS_timerfd_settime, fd, flags, new, old))
    };
    let hour = setting(3600, 0);
    t.fails("of a pipe", set(r, 0, &raw const hour, 0), libc::EINVAL);
    t.fails("of a closed one", set(CLOSED, 0, &raw const hour, 0), libc::EBADF);
    t.fails("unknown flags", set(fd, 1 << 10, &raw const hour, 0), libc::EINVAL);
    t.fails("time at nowhere", set(fd, 0, NOWHERE as *const _, 0), libc::EFAULT);
    let nowhere = set(fd, 0, &raw const hour, NOWHERE);
    t.fails("the old time to nowhere", nowhere, libc::EFAULT);
    for bad in [setting(-1, 0), setting(0, -1), setting(0, 1_000_000_000)] {
        t.fails("a bad time", set(fd, 0, &raw const bad, 0), libc::EINVAL);
    }
    let get = |fd: i32, at: usize| call!(syscall(SYS_timerfd_gettime, fd, at));
    let mut now = setting(0, 0);
    let at = (&raw mut now).expose_provenance();
    t.is("it was set, though", get(fd, at), Ok(0));
    t.ok("to an hour", (3590..=3600).contains(&now.it_value.tv_sec));
    t.fails("get, of a pipe", get(r, at), libc::EINVAL);
    t.fails("get, of a closed one", get(CLOSED, at), libc::EBADF);
    t.fails("get, to nowhere", get(fd, NOWHERE), libc::EFAULT);
    t.is("not over", read::<8>(fd), Err(libc::EAGAIN));
    close(&[fd, r, w]);
}

/// Clocks whose timers would wake a machine that sleeps.
fn timers_that_wake_a_machine(t: &mut Checks) {
    for (name, clock) in [
        ("CLOCK_REALTIME_ALARM", libc::CLOCK_REALTIME_ALARM),
        ("CLOCK_BOOTTIME_ALARM", libc::CLOCK_BOOTTIME_ALARM),
    ] {
        let refused = as_nobody(|| call!(syscall(SYS_timerfd_create, clock, 0)));
        t.fails(&format!("{name} without privilege"), refused, libc::EPERM);
    }
}

fn watches(t: &mut Checks) {
    t.fails("unknown flags", call!(syscall(SYS_inotify_init1, 1)), libc::EINVAL);
    let fd = call!(syscall(SYS_inotify_init)).unwrap_or(-1) as i32;
    let add = |fd: i32, path: &str, mask: u32| {
        call!(syscall(SYS_inotify_add_watch, fd, c(path).as_ptr(), mask))
    };
    let _ = std::fs::write("file", "");
    let (r, w) = pipe();
    t.fails("of a closed one", add(CLOSED, "file", libc::IN_OPEN), libc::EBADF);
    t.fails("of a pipe", add(r, "file", libc::IN_OPEN), libc::EINVAL);
    t.fails("of no event", add(fd, "file", 0), libc::EINVAL);
    let both = libc::IN_MASK_ADD | libc::IN_MASK_CREATE | libc::IN_OPEN;
    t.fails("in two ways", add(fd, "file", both), libc::EINVAL);
    let create = libc::IN_MASK_CREATE | libc::IN_OPEN;
    t.is("watch", add(fd, "file", create), Ok(1));
    t.fails("once more", add(fd, "file", create), libc::EEXIST);
    t.fails("what is not there", add(fd, "missing", libc::IN_OPEN), libc::ENOENT);
    t.fails("no name", add(fd, "", libc::IN_OPEN), libc::ENOENT);
    t.fails("below a file", add(fd, "file/x", libc::IN_OPEN), libc::ENOTDIR);
    t.fails("no folder", add(fd, "file", libc::IN_ONLYDIR | libc::IN_OPEN), libc::ENOTDIR);
    t.fails("a long name", add(fd, &"x".repeat(256), libc::IN_OPEN), libc::ENAMETOOLONG);
    t.fails("a long path", add(fd, &"x/".repeat(2048), libc::IN_OPEN), libc::ENAMETOOLONG);
    let nowhere = call!(syscall(SYS_inotify_add_watch, fd, NOWHERE, libc::IN_OPEN));
    t.fails("a name at nowhere", nowhere, libc::EFAULT);
    let _ = call!(chmod(c"file".as_ptr(), 0));
    let private = as_nobody(|| add(fd, "file", libc::IN_OPEN));
    t.fails("what may not be read", private, libc::EACCES);
    let remove = |fd: i32, watch: i32| call!(syscall(SYS_inotify_rm_watch, fd, watch));
    t.fails("remove from a closed one", remove(CLOSED, 1), libc::EBADF);
    t.fails("remove from a pipe", remove(r, 1), libc::EINVAL);
    t.fails("remove what is not there", remove(fd, 99), libc::EINVAL);
    t.is("remove", remove(fd, 1), Ok(0));
    close(&[fd, r, w]);
}
