//! POSIX message queues, `mq_overview(7)`: names, attributes, messages, waiting, readiness.

use std::fs;

use lx_guest_tests::files::{address, as_nobody, at, close, is_root, sys, with_limit};
use lx_guest_tests::mqueue::{
    Attr, NEW, NONBLOCK, attr, name, open, receive, receive_until, send, send_until, soon, unlink,
};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, c, call, fork, in_child, pause, sleeps, wait,
};

fn main() {
    let mut t = Checks::new();
    call_umask(0o022);
    names(&mut t);
    attributes(&mut t);
    room(&mut t);
    order(&mut t);
    errors(&mut t);
    times(&mut t);
    waiting(&mut t);
    turns(&mut t);
    readiness(&mut t);
    permissions(&mut t);
    limits(&mut t);
    t.end();
}

fn call_umask(mask: u32) {
    let _ = call!(umask(mask));
}

fn stat(fd: i64) -> libc::stat {
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let _ = call!(fstat(fd as i32, &mut stat));
    stat
}

fn names(t: &mut Checks) {
    let name = name("names");
    t.fails("no such queue", open(&name, libc::O_RDWR, 0, None), libc::ENOENT);
    t.fails("nothing to remove", unlink(&name), libc::ENOENT);
    let fd = t.works("a queue", open(&name, NEW, 0o666, None));
    t.fails("it exists", open(&name, NEW, 0o666, None), libc::EEXIST);
    let again = t.works("opened again", open(&name, libc::O_RDONLY, 0, None));
    t.fails("no access mode", open(&name, 3, 0, None), libc::EINVAL);
    t.is("closed on exec", call!(fcntl(fd as i32, libc::F_GETFD)), Ok(libc::FD_CLOEXEC.into()));
    t.is("its flags", call!(fcntl(fd as i32, libc::F_GETFL)), Ok(libc::O_RDWR.into()));
    let seen = stat(fd);
    t.is("mode, links, size", (seen.st_mode, seen.st_nlink, seen.st_size), (0o100_644, 1, 80));
    t.is("one inode", stat(again).st_ino, seen.st_ino);
    let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    t.is("its path", link.to_string_lossy().into_owned(), format!("/{name}"));
    t.fails("a slash", open(&format!("/{name}"), NEW, 0o600, None), libc::EACCES);
    t.fails("a slash within", unlink("a/b"), libc::EACCES);
    t.fails("a dot", open(".", libc::O_RDWR, 0, None), libc::EACCES);
    t.fails("two dots", open("..", NEW, 0o600, None), libc::EACCES);
    t.fails("nothing", open("", NEW, 0o600, None), libc::ENOENT);
    t.fails("nothing to be removed", unlink(""), libc::ENOENT);
    let long = "x".repeat(256);
    t.fails("too long", open(&long, NEW, 0o600, None), libc::ENAMETOOLONG);
    t.fails("too long to be removed", unlink(&long), libc::ENAMETOOLONG);
    let longer = "x".repeat(5000);
    t.fails("longer than a path", open(&longer, NEW, 0o600, None), libc::ENAMETOOLONG);
    t.fails("and for unlink", unlink(&longer), libc::ENAMETOOLONG);
    let nowhere = NOWHERE as i64;
    t.fails("a name nowhere", sys(libc::SYS_mq_open, [nowhere, NEW.into(), 0, 0]), libc::EFAULT);
    t.fails("unlink nowhere", sys(libc::SYS_mq_unlink, [nowhere]), libc::EFAULT);
    let room_nowhere = [at(&c(&name)), libc::O_RDWR.into(), 0, nowhere];
    t.fails("room nowhere", sys(libc::SYS_mq_open, room_nowhere), libc::EFAULT);
    let direct = open(&name, libc::O_RDWR | libc::O_DIRECT, 0, None);
    t.fails("O_DIRECT", direct, libc::EINVAL);
    t.is("removed", unlink(&name), Ok(0));
    t.fails("gone", open(&name, libc::O_RDWR, 0, None), libc::ENOENT);
    t.is("no link is left", stat(fd).st_nlink, 0);
    t.is("sent nevertheless", send(fd, "still", 1), Ok(0));
    t.is("received by the other", receive(again), Ok((1, "still".to_owned())));
    close(fd as i32);
    close(again as i32);
    let none = |fd: &mut i64| *fd = open(&name, NEW, 0o600, None).unwrap_or(-1);
    let mut fd = -1;
    with_limit(libc::RLIMIT_NOFILE, 3, || none(&mut fd));
    t.is("no descriptor is free", fd, -1);
    t.fails("and no queue was made", unlink(&name), libc::ENOENT);
}

fn attributes(t: &mut Checks) {
    let name = name("attributes");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((3, 20))));
    let begin = Attr { maxmsg: 3, msgsize: 20, ..Attr::default() };
    t.is("as asked for", attr(fd), Ok(begin));
    t.is("a message", send(fd, "1234567", 0), Ok(0));
    let mut new = Attr { flags: libc::O_NONBLOCK.into(), maxmsg: 99, ..Attr::default() };
    let mut old = Attr::default();
    let both = sys(libc::SYS_mq_getsetattr, [fd, address(&mut new), address(&mut old)]);
    t.is("set", both, Ok(0));
    t.is("what was", old, Attr { curmsgs: 1, ..begin });
    let now = Attr { flags: libc::O_NONBLOCK.into(), curmsgs: 1, ..begin };
    t.is("what is", attr(fd), Ok(now));
    let flags = libc::O_RDWR | libc::O_NONBLOCK;
    t.is("F_GETFL shows it", call!(fcntl(fd as i32, libc::F_GETFL)), Ok(flags.into()));
    t.is("F_SETFL clears it", call!(fcntl(fd as i32, libc::F_SETFL, 0)), Ok(0));
    t.is("cleared", attr(fd).map(|attr| attr.flags), Ok(0));
    new.flags = (libc::O_NONBLOCK | libc::O_APPEND).into();
    let other = sys(libc::SYS_mq_getsetattr, [fd, address(&mut new), 0]);
    t.fails("another flag", other, libc::EINVAL);
    let nowhere = NOWHERE as i64;
    t.fails("from nowhere", sys(libc::SYS_mq_getsetattr, [fd, nowhere, 0]), libc::EFAULT);
    t.fails("to nowhere", sys(libc::SYS_mq_getsetattr, [fd, 0, nowhere]), libc::EFAULT);
    t.fails("no descriptor", sys(libc::SYS_mq_getsetattr, [999, 0, 0]), libc::EBADF);
    t.fails("no queue", sys(libc::SYS_mq_getsetattr, [0, 0, 0]), libc::EBADF);
    t.is("nothing to do", sys(libc::SYS_mq_getsetattr, [fd, 0, 0]), Ok(0));

    let text = |fd: i64| {
        let mut bytes = [0; 200];
        let len = call!(pread(fd as i32, bytes.as_mut_ptr().cast(), 200, 0)).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..len as usize]).into_owned()
    };
    let shown = "QSIZE:7          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
    t.is("what a read shows", text(fd), shown.to_owned());
    t.fails("a write", call!(write(fd as i32, shown.as_ptr().cast(), 1)), libc::EINVAL);
    let seek = |offset, whence| call!(lseek(fd as i32, offset, whence));
    t.is("its end", seek(0, libc::SEEK_END), Ok(80));
    t.is("a place in it", seek(10, libc::SEEK_SET), Ok(10));
    t.fails("a place before it", seek(-11, libc::SEEK_CUR), libc::EINVAL);
    let mut rest = [0; 100];
    t.is("the rest", call!(read(fd as i32, rest.as_mut_ptr().cast(), 100)), Ok(50));
    t.is("no more", call!(read(fd as i32, rest.as_mut_ptr().cast(), 100)), Ok(0));
    t.is("a shorter file", call!(ftruncate(fd as i32, 5)), Ok(0));
    t.is("that is no shorter", (stat(fd).st_size, text(fd).len()), (5, 60));
    t.is("its mode", call!(fchmod(fd as i32, 0o640)), Ok(0));
    t.is("changed", stat(fd).st_mode, 0o100_640);
    // SAFETY: a new mapping, which the kernel must refuse.
    let mapped = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, fd as i32, 0)
    };
    t.is("not mapped", mapped == libc::MAP_FAILED, true);
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

fn room(t: &mut Checks) {
    let name = name("room");
    let mut refused = |what: &str, room: (i64, i64)| {
        t.fails(what, open(&name, NEW, 0o600, Some(room)), libc::EINVAL);
    };
    refused("no messages", (0, 10));
    refused("less than none", (-1, 10));
    refused("no bytes", (10, 0));
    refused("less than no bytes", (10, i64::MIN));
    refused("too many for anybody", (65_537, 1));
    refused("too long for anybody", (1, (16 << 20) + 1));
    refused("too much in sum", (i64::MAX, i64::MAX));
    let too_much = || open(&name, NEW, 0o600, Some((11, 1)));
    t.fails("more than msg_max", as_nobody(too_much), libc::EINVAL);
    let too_long = || open(&name, NEW, 0o600, Some((1, 8193)));
    t.fails("longer than msgsize_max", as_nobody(too_long), libc::EINVAL);
    let as_much = || open(&name, NEW, 0o600, Some((10, 8192)));
    let fd = t.works("as much as may be", as_nobody(as_much));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);

    // 10 messages of 100 bytes, 48 more for each, and 48 for as many priorities.
    let made = |limit: u64| {
        let with = || open(&name, NEW, 0o600, Some((10, 100)));
        with_limit(libc::RLIMIT_MSGQUEUE, limit, || as_nobody(with))
    };
    t.fails("a byte too many", made(10 * (100 + 48 + 48) - 1), libc::EMFILE);
    t.fails("which was not made", unlink(&name), libc::ENOENT);
    let fd = t.works("just enough", made(10 * (100 + 48 + 48)));
    let second = || open(&format!("{name}2"), NEW, 0o600, Some((1, 1)));
    let limited = with_limit(libc::RLIMIT_MSGQUEUE, 1960, || as_nobody(second));
    t.fails("no room for a second one", limited, libc::EMFILE);
    t.is("removed too", unlink(&name), Ok(0));
    let limited = with_limit(libc::RLIMIT_MSGQUEUE, 1960, || as_nobody(second));
    t.fails("as long as it is open", limited, libc::EMFILE);
    close(fd as i32);
    let fd = with_limit(libc::RLIMIT_MSGQUEUE, 1960, || as_nobody(second));
    let fd = t.works("closed, it gives way", fd);
    t.is("and is removed", unlink(&format!("{name}2")), Ok(0));
    close(fd as i32);
}

fn order(t: &mut Checks) {
    let name = name("order");
    let fd = t.works("a queue", open(&name, NONBLOCK, 0o600, Some((8, 16))));
    for (text, priority) in
        [("a", 1), ("b", 5), ("c", 0), ("d", 5), ("e", 32_767), ("f", 1), ("", 0), ("g", 5)]
    {
        t.is("a message", send(fd, text, priority), Ok(0));
    }
    t.fails("no room", send(fd, "h", 32_767), libc::EAGAIN);
    let got: Vec<_> = std::iter::from_fn(|| receive(fd).ok()).collect();
    let want = [(32_767, "e"), (5, "b"), (5, "d"), (5, "g"), (1, "a"), (1, "f"), (0, "c"), (0, "")];
    let want: Vec<_> =
        want.iter().map(|(priority, text)| (*priority, (*text).to_owned())).collect();
    t.is("by priority, then as they came", got, want);
    t.is("none is left", receive(fd), Err(libc::EAGAIN));
    t.is("the removed name", unlink(&name), Ok(0));
    close(fd as i32);
}

fn errors(t: &mut Checks) {
    let name = name("errors");
    let fd = t.works("a queue", open(&name, NONBLOCK, 0o600, Some((2, 16))));
    let reader = t.works("to read", open(&name, libc::O_RDONLY, 0, None));
    let writer = t.works("to write", open(&name, libc::O_WRONLY, 0, None));
    t.fails("too long", send(fd, "12345678901234567", 0), libc::EMSGSIZE);
    t.is("long enough", send(fd, "1234567890123456", 0), Ok(0));
    t.fails("a priority too high", send(fd, "", 32_768), libc::EINVAL);
    t.fails("which comes first", send(999, "", 32_768), libc::EINVAL);
    t.fails("no descriptor", send(999, "", 0), libc::EBADF);
    t.fails("no queue", send(0, "", 0), libc::EBADF);
    t.fails("not to be written", send(reader, "", 0), libc::EBADF);
    t.is("not to be read", receive(writer), Err(libc::EBADF));
    t.is("no descriptor to read", receive(999), Err(libc::EBADF));
    t.is("no queue to read", receive(0), Err(libc::EBADF));
    let nowhere = NOWHERE as i64;
    let from_nowhere = sys(libc::SYS_mq_timedsend, [fd, nowhere, 4, 0, 0]);
    t.fails("sent from nowhere", from_nowhere, libc::EFAULT);
    let mut text = [0_u8; 16];
    let to = address(&mut text);
    let short = sys(libc::SYS_mq_timedreceive, [fd, to, 15, 0, 0]);
    t.fails("too little room", short, libc::EMSGSIZE);
    let lost = sys(libc::SYS_mq_timedreceive, [fd, nowhere, 16, 0, 0]);
    t.fails("received to nowhere", lost, libc::EFAULT);
    t.is("and lost", attr(fd).map(|attr| attr.curmsgs), Ok(0));
    t.is("another", send(fd, "x", 7), Ok(0));
    let lost = sys(libc::SYS_mq_timedreceive, [fd, to, 16, nowhere, 0]);
    t.fails("its priority to nowhere", lost, libc::EFAULT);
    t.is("lost, too", attr(fd).map(|attr| attr.curmsgs), Ok(0));
    let bad = |tv_sec, tv_nsec| Some(libc::timespec { tv_sec, tv_nsec });
    t.is("a bad time", receive_until(fd, bad(1, 1_000_000_000)), Err(libc::EINVAL));
    t.is("another bad time", receive_until(fd, bad(-1, 0)), Err(libc::EINVAL));
    t.fails("to send as well", send_until(fd, "", 0, bad(0, -1)), libc::EINVAL);
    t.fails("though it would not wait", send_until(fd, "", 0, bad(0, -1)), libc::EINVAL);
    let nowhen = sys(libc::SYS_mq_timedsend, [fd, to, 1, 0, nowhere]);
    t.fails("a time nowhere", nowhen, libc::EFAULT);
    let nowhen = sys(libc::SYS_mq_timedreceive, [fd, to, 16, 0, nowhere]);
    t.fails("a time nowhere to receive", nowhen, libc::EFAULT);
    t.is("without a priority", send(fd, "y", 3), Ok(0));
    t.is("received", sys(libc::SYS_mq_timedreceive, [fd, to, 16, 0, 0]), Ok(1));
    t.is("removed", unlink(&name), Ok(0));
    for fd in [fd, reader, writer] {
        close(fd as i32);
    }
}

fn times(t: &mut Checks) {
    let name = name("times");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((1, 16))));
    let past = Some(libc::timespec { tv_sec: 1, tv_nsec: 0 });
    t.is("a time in the past", receive_until(fd, past), Err(libc::ETIMEDOUT));
    t.is("a time to come", receive_until(fd, soon(30)), Err(libc::ETIMEDOUT));
    t.is("not needed", send_until(fd, "1", 0, past), Ok(0));
    t.fails("full, in the past", send_until(fd, "2", 0, past), libc::ETIMEDOUT);
    t.fails("full for a while", send_until(fd, "2", 0, soon(30)), libc::ETIMEDOUT);
    t.is("what was sent", receive_until(fd, past), Ok((0, "1".to_owned())));
    t.is("and no more", receive_until(fd, past), Err(libc::ETIMEDOUT));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

extern "C" fn ignore(_: i32) {}

/// Sets a handler that does nothing, with or without `SA_RESTART`.
fn handle(signal: i32, flags: i32) {
    // SAFETY: all zeroes is a valid sigaction; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as extern "C" fn(i32) as libc::sighandler_t;
        action.sa_flags = flags;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

fn waiting(t: &mut Checks) {
    let name = name("waiting");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((1, 16))));
    let got = |want: &'static str| move || i32::from(receive(fd) != Ok((4, want.to_owned())));
    let child = fork(got("one"));
    t.ok("a child waits for a message", sleeps(child));
    t.is("a message", send(fd, "one", 4), Ok(0));
    t.is("it has got it", wait(child), Ended::Exit(0));
    t.is("and the queue has not", attr(fd).map(|attr| attr.curmsgs), Ok(0));

    t.is("full", send(fd, "two", 2), Ok(0));
    let child = fork(|| i32::from(send(fd, "three", 9) != Ok(0)));
    t.ok("a child waits for room", sleeps(child));
    t.is("room", receive(fd), Ok((2, "two".to_owned())));
    t.is("it has sent", wait(child), Ended::Exit(0));
    t.is("its message", receive(fd), Ok((9, "three".to_owned())));

    let ended = fork(|| {
        handle(libc::SIGUSR1, 0);
        i32::from(receive(fd) != Err(libc::EINTR))
    });
    t.ok("a child waits with a handler", sleeps(ended));
    t.is("a signal", call!(kill(ended, libc::SIGUSR1)), Ok(0));
    t.is("ends the wait", wait(ended), Ended::Exit(0));
    let restarted = fork(|| {
        handle(libc::SIGUSR1, libc::SA_RESTART);
        i32::from(receive_until(fd, soon(10_000)) != Ok((1, "again".to_owned())))
    });
    t.ok("another has SA_RESTART", sleeps(restarted));
    t.is("a signal to it", call!(kill(restarted, libc::SIGUSR1)), Ok(0));
    t.ok("does not end the wait", sleeps(restarted));
    t.is("but a message", send(fd, "again", 1), Ok(0));
    t.is("does", wait(restarted), Ended::Exit(0));

    t.is("full again", send(fd, "x", 0), Ok(0));
    let sender = fork(|| {
        handle(libc::SIGUSR1, 0);
        i32::from(send(fd, "y", 0) != Err(libc::EINTR))
    });
    t.ok("a sender waits", sleeps(sender));
    t.is("a signal for it", call!(kill(sender, libc::SIGUSR1)), Ok(0));
    t.is("it has not sent", wait(sender), Ended::Exit(0));
    let killed = fork(|| i32::from(send(fd, "z", 0).is_ok()));
    t.ok("a sender that is killed", sleeps(killed));
    t.is("kill", call!(kill(killed, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(killed), Ended::Signal(libc::SIGKILL));
    t.is("what was there", receive(fd), Ok((0, "x".to_owned())));
    t.is("and no more", attr(fd).map(|attr| attr.curmsgs), Ok(0));
    let killed = fork(|| i32::from(receive(fd).is_ok()));
    t.ok("a receiver that is killed", sleeps(killed));
    t.is("killed", call!(kill(killed, libc::SIGKILL)), Ok(0));
    t.is("dead too", wait(killed), Ended::Signal(libc::SIGKILL));
    t.is("sent to nobody", send(fd, "left", 6), Ok(0));
    t.is("it is there", receive(fd), Ok((6, "left".to_owned())));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

/// A child with this nice value that receives and exits with the first letter.
fn receiver(fd: i64, nice: i32) -> i32 {
    fork(|| {
        let _ = call!(setpriority(libc::PRIO_PROCESS, 0, nice));
        receive(fd).ok().and_then(|(_, text)| text.bytes().next()).map_or(0, i32::from)
    })
}

fn turns(t: &mut Checks) {
    let name = name("turns");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((1, 16))));
    let mut children = Vec::new();
    for nice in [5, 0, 5, 0] {
        let child = receiver(fd, nice);
        t.ok("a receiver waits", sleeps(child));
        children.push(child);
    }
    for text in ["a", "b", "c", "d"] {
        t.is("a message", send(fd, text, 0), Ok(0));
    }
    let got: Vec<_> = children.into_iter().map(wait).collect();
    let want: Vec<_> = b"cadb".iter().map(|letter| Ended::Exit(i32::from(*letter))).collect();
    t.is("the least nice first, then as they came", got, want);

    t.is("full", send(fd, "0", 0), Ok(0));
    let mut children = Vec::new();
    for (text, nice, priority) in [("1", 3, 9), ("2", 0, 1), ("3", 3, 30)] {
        let child = fork(|| {
            let _ = call!(setpriority(libc::PRIO_PROCESS, 0, nice));
            i32::from(send(fd, text, priority).is_err())
        });
        t.ok("a sender waits", sleeps(child));
        children.push(child);
    }
    let got: Vec<_> = (0..4).filter_map(|_| receive(fd).ok()).map(|(_, text)| text).collect();
    t.is("senders have turns as well", got, ["0", "2", "1", "3"].map(str::to_owned).to_vec());
    let ends: Vec<_> = children.into_iter().map(wait).collect();
    t.is("all have sent", ends, vec![Ended::Exit(0); 3]);
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

fn ready(fd: i64, milliseconds: i32) -> i16 {
    let mut poll = libc::pollfd { fd: fd as i32, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    let _ = call!(poll(&mut poll, 1, milliseconds));
    poll.revents
}

fn readiness(t: &mut Checks) {
    let name = name("readiness");
    let fd = t.works("a queue", open(&name, NONBLOCK, 0o600, Some((2, 16))));
    t.is("there is room", ready(fd, 0), libc::POLLOUT);
    t.is("a message", send(fd, "1", 0), Ok(0));
    t.is("both", ready(fd, 0), libc::POLLIN | libc::POLLOUT);
    t.is("another", send(fd, "2", 0), Ok(0));
    t.is("no room", ready(fd, 0), libc::POLLIN);

    let epoll = t.works("an epoll instance", call!(epoll_create1(0))) as i32;
    let edge = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
    let mut event = libc::epoll_event { events: edge, u64: 7 };
    let added = call!(epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd as i32, &mut event));
    t.is("takes it", added, Ok(0));
    let next = |milliseconds| {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        match call!(epoll_wait(epoll, &mut event, 1, milliseconds)) {
            Ok(1) => event.events as i32,
            _ => 0,
        }
    };
    t.is("ready to be read", next(0), libc::EPOLLIN);
    t.is("once", next(0), 0);
    t.is("received", receive(fd), Ok((0, "1".to_owned())));
    t.is("a change", next(0), libc::EPOLLIN | libc::EPOLLOUT);
    t.is("received too", receive(fd), Ok((0, "2".to_owned())));
    t.is("only room", next(0), libc::EPOLLOUT);
    let child = fork(|| {
        pause(30);
        i32::from(send(fd, "3", 0).is_err())
    });
    t.is("somebody else sends", next(10_000), libc::EPOLLIN | libc::EPOLLOUT);
    t.is("has sent", wait(child), Ended::Exit(0));

    // SAFETY: all zeroes is a valid fd_set, and the number is below its size.
    let set = unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(fd as i32, &mut set);
        let null = std::ptr::null_mut();
        libc::select(fd as i32 + 1, &mut set, null, null, std::ptr::null_mut())
    };
    t.is("select", set, 1);
    t.is("removed", unlink(&name), Ok(0));
    close(epoll);
    close(fd as i32);
}

fn permissions(t: &mut Checks) {
    let name = name("permissions");
    let fd = t.works("a queue", open(&name, NEW, 0o604, Some((2, 16))));
    call_umask(0o077);
    let other = format!("{name}-masked");
    let masked = t.works("another with a umask", open(&other, NEW, 0o7666, Some((2, 16))));
    call_umask(0o022);
    t.is("its mode", stat(masked).st_mode, 0o107_600);
    t.is("is removed", unlink(&other), Ok(0));
    close(masked as i32);
    if is_root() {
        let as_other = |flags| as_nobody(|| open(&name, flags, 0, None));
        let reader = t.works("others may read", as_other(libc::O_RDONLY));
        t.fails("not write", as_other(libc::O_WRONLY), libc::EACCES);
        t.fails("nor both", as_other(libc::O_RDWR | libc::O_CREAT), libc::EACCES);
        t.fails("nor remove", as_nobody(|| unlink(&name)), libc::EPERM);
        close(reader as i32);
        let theirs = t.works("their own", as_nobody(|| open(&other, NEW, 0o600, None)));
        let owner = (stat(theirs).st_uid, stat(theirs).st_gid);
        t.is("belongs to them", owner, (65_534, 65_534));
        t.is("they remove it", as_nobody(|| unlink(&other)), Ok(0));
        close(theirs as i32);
    }
    let child = in_child(|| i32::from(send(fd, "child", 1).is_err()));
    t.is("a child has the descriptor", child, Ended::Exit(0));
    t.is("its message", receive(fd), Ok((1, "child".to_owned())));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

/// Writes a value into a file of `/proc/sys/fs/mqueue`.
fn set(limit: &str, value: &str) -> Called {
    let written = fs::write(format!("/proc/sys/fs/mqueue/{limit}"), value);
    written.map(|()| 0).map_err(|error| error.raw_os_error().unwrap_or(0))
}

fn limits(t: &mut Checks) {
    if !is_root() {
        return;
    }
    // In a namespace of its own, where it may change them. lx has one for all, which ends with it.
    let _ = call!(unshare(libc::CLONE_NEWIPC));
    let get = |limit| fs::read_to_string(format!("/proc/sys/fs/mqueue/{limit}"));
    for (limit, value) in [
        ("queues_max", "256\n"),
        ("msg_max", "10\n"),
        ("msgsize_max", "8192\n"),
        ("msg_default", "10\n"),
        ("msgsize_default", "8192\n"),
    ] {
        t.is(limit, get(limit).unwrap_or_default(), value.to_owned());
    }
    t.fails("no messages", set("msg_max", "0"), libc::EINVAL);
    t.fails("too many", set("msg_default", "65537"), libc::EINVAL);
    t.fails("too short", set("msgsize_max", "127"), libc::EINVAL);
    t.fails("too long", set("msgsize_default", "16777217"), libc::EINVAL);
    t.fails("no number", set("msg_max", "many"), libc::EINVAL);
    t.is("fewer by default", set("msg_default", "4\n"), Ok(0));
    t.is("shorter by default", set("msgsize_default", "200"), Ok(0));
    let name = name("limits");
    let fd = t.works("a queue", open(&name, NEW, 0o600, None));
    let want = Attr { maxmsg: 4, msgsize: 200, ..Attr::default() };
    t.is("as the defaults say", attr(fd), Ok(want));
    t.is("fewer at most", set("msg_max", "2"), Ok(0));
    t.is("one queue at most", set("queues_max", "1"), Ok(0));
    let other = format!("{name}2");
    let as_other = || as_nobody(|| open(&other, NEW, 0o600, None));
    t.fails("no more queues", as_other(), libc::ENOSPC);
    t.is("removed", unlink(&name), Ok(0));
    t.fails("as long as it is open", as_other(), libc::ENOSPC);
    close(fd as i32);
    let fd = t.works("now there may be one", as_other());
    t.is("with less room", attr(fd).map(|attr| attr.maxmsg), Ok(2));
    close(fd as i32);
    t.is("removed by them", as_nobody(|| unlink(&other)), Ok(0));
    let again = [
        ("queues_max", "256"),
        ("msg_max", "10"),
        ("msg_default", "10"),
        ("msgsize_default", "8192"),
    ];
    t.ok("as before", again.iter().all(|(limit, value)| set(limit, value) == Ok(0)));
}
