//! `AF_UNIX`: `socket(2)`, `bind(2)`, `listen(2)`, `connect(2)`, `accept(2)`, `unix(7)`, messages
//! with files and credentials.

use libc::{SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};
use lx_guest_tests::sockets::{
    Address, bind, connect, control, name, option, ready, receive_from, receive_message,
    send_message, send_to, set_option, set_timeout,
};
use lx_guest_tests::{
    Checks, Ended, NOWHERE, Scratch, call, fork, in_child, pause, read, wait, write,
};

fn main() {
    let mut t = Checks::new();
    let Ok(_scratch) = Scratch::enter() else {
        t.ok("a folder", false);
        t.end();
    };
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    creation(&mut t);
    names(&mut t);
    streams(&mut t);
    closing(&mut t);
    backlog(&mut t);
    datagrams(&mut t);
    packets(&mut t);
    files(&mut t);
    credentials(&mut t);
    options(&mut t);
    waiting(&mut t);
    many(&mut t);
    drop(_scratch);
    t.end();
}

fn socket(kind: i32) -> i32 {
    call!(socket(libc::AF_UNIX, kind, 0)).unwrap_or(-1) as i32
}

fn pair(kind: i32) -> (i32, i32) {
    let mut fds = [-1; 2];
    let _ = call!(socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()));
    (fds[0], fds[1])
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

fn creation(t: &mut Checks) {
    t.fails("unknown family", call!(socket(46, SOCK_STREAM, 0)), libc::EAFNOSUPPORT);
    t.fails("no such family", call!(socket(9999, SOCK_STREAM, 0)), libc::EAFNOSUPPORT);
    t.fails("no such kind", call!(socket(libc::AF_UNIX, 15, 0)), libc::EINVAL);
    let unknown = call!(socket(libc::AF_UNIX, libc::SOCK_RDM, 0));
    t.fails("kind that AF_UNIX lacks", unknown, libc::ESOCKTNOSUPPORT);
    t.fails("bad flags", call!(socket(libc::AF_UNIX, SOCK_STREAM | 0x100, 0)), libc::EINVAL);
    t.fails("protocol", call!(socket(libc::AF_UNIX, SOCK_STREAM, 5)), libc::EPROTONOSUPPORT);
    let fd = socket(SOCK_STREAM | SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    t.is("close on exec", call!(fcntl(fd, libc::F_GETFD)), Ok(1));
    let flags = call!(fcntl(fd, libc::F_GETFL)).unwrap_or(0) as i32;
    t.ok("O_NONBLOCK", flags & libc::O_NONBLOCK != 0);
    t.is("poll without a peer", ready(fd, libc::POLLIN | libc::POLLOUT), 0x14);
    t.is("recv without a peer", read::<1>(fd), Err(libc::EINVAL));
    t.fails("send without a peer", write(fd, b"x"), libc::ENOTCONN);
    t.fails(
        "accept without listen",
        call!(accept(fd, std::ptr::null_mut(), std::ptr::null_mut())),
        libc::EINVAL,
    );
    t.fails("listen without a name", call!(listen(fd, 1)), libc::EINVAL);
    t.is("no peer", name(fd, true), Err(libc::ENOTCONN));
    t.is("no name", name(fd, false), Ok(Address::unix(&[])));
    t.fails("shutdown, unknown", call!(shutdown(fd, 3)), libc::EINVAL);
    t.fails("no socket", call!(listen(0, 1)), libc::ENOTSOCK);
    t.fails("no descriptor", call!(listen(99, 1)), libc::EBADF);
    let datagrams = socket(SOCK_DGRAM);
    t.fails("listen for datagrams", call!(listen(datagrams, 1)), libc::EOPNOTSUPP);
    close(&[fd, datagrams]);
}

fn names(t: &mut Checks) {
    let (a, b) = (socket(SOCK_STREAM), socket(SOCK_STREAM));
    let here = Address::path("here");
    t.fails("too short", bind(a, &Address(vec![1])), libc::EINVAL);
    t.fails("too long", bind(a, &Address::unix(&[65; 109])), libc::EINVAL);
    t.fails("another family", bind(a, &Address::loopback(0)), libc::EINVAL);
    t.fails("nowhere", call!(bind(a, NOWHERE as *const _, 10)), libc::EFAULT);
    t.fails("no such folder", bind(a, &Address::path("missing/here")), libc::ENOENT);
    t.is("bind", bind(a, &here), Ok(0));
    t.is("its name", name(a, false), Ok(here.clone()));
    t.fails("bind twice", bind(a, &Address::path("there")), libc::EINVAL);
    t.ok("nothing is left of that", !std::path::Path::new("there").exists());
    t.fails("in use", bind(b, &here), libc::EADDRINUSE);
    // SAFETY: all zeros are valid.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    t.is("stat", call!(stat(c"here".as_ptr(), &mut stat)), Ok(0));
    t.is("a socket", stat.st_mode & libc::S_IFMT, libc::S_IFSOCK);
    t.fails("open", call!(open(c"here".as_ptr(), libc::O_RDONLY)), libc::ENXIO);
    t.fails("nobody listens", connect(b, &here), libc::ECONNREFUSED);
    t.fails("no such file", connect(b, &Address::path("gone")), libc::ENOENT);
    let _ = std::fs::write("plain", "");
    t.fails("no socket there", connect(b, &Address::path("plain")), libc::ECONNREFUSED);
    let datagrams = socket(SOCK_DGRAM);
    t.fails("another kind", connect(datagrams, &here), libc::EPROTOTYPE);
    t.is("listen", call!(listen(a, 3)), Ok(0));
    t.is("connect", connect(b, &here), Ok(0));
    t.is("its peer", name(b, true), Ok(here.clone()));
    t.fails("connect twice", connect(b, &here), libc::EISCONN);
    close(&[a, b, datagrams]);
    let b = socket(SOCK_STREAM);
    t.fails("the socket is gone", connect(b, &here), libc::ECONNREFUSED);
    for file in ["here", "plain"] {
        let _ = std::fs::remove_file(file);
    }
    let hidden = Address::hidden(&format!("lx-test-{}", std::process::id()));
    let (a, c) = (socket(SOCK_STREAM), socket(SOCK_STREAM));
    t.is("abstract", bind(a, &hidden), Ok(0));
    t.ok("its name", name(a, false) == Ok(hidden.clone()));
    t.fails("in use", bind(c, &hidden), libc::EADDRINUSE);
    t.fails("nobody listens", connect(b, &hidden), libc::ECONNREFUSED);
    close(&[a]);
    t.is("free again", bind(c, &hidden), Ok(0));
    t.is("autobind", bind(b, &Address::unix(&[])), Ok(0));
    let chosen = name(b, false).map(|name| (name.0.len(), name.0.get(2).copied()));
    t.is("six bytes, the first of them zero", chosen, Ok((8, Some(0))));
    close(&[b, c]);
}

/// A listening socket and two connected ones: client and server.
fn connected(t: &mut Checks, kind: i32) -> (i32, i32, i32) {
    let (listener, client) = (socket(kind), socket(kind));
    let address = Address::path("listener");
    let bound = bind(listener, &address).and_then(|_| call!(listen(listener, 5)));
    t.is("listen", bound, Ok(0));
    t.is("not readable", ready(listener, libc::POLLIN), 0);
    t.is("connect", connect(client, &address), Ok(0));
    t.is("readable", ready(listener, libc::POLLIN), libc::POLLIN);
    let mut len = 110;
    let mut peer = [9_u8; 110];
    let server = call!(accept4(listener, peer.as_mut_ptr().cast(), &mut len, libc::SOCK_CLOEXEC));
    let server = t.works("accept", server) as i32;
    t.is("a client without a name", (len, peer[0]), (2, 1));
    let _ = std::fs::remove_file("listener");
    (listener, client, server)
}

fn streams(t: &mut Checks) {
    let (listener, client, server) = connected(t, SOCK_STREAM);
    t.is("close on exec", call!(fcntl(server, libc::F_GETFD)), Ok(1));
    t.is("the server's name", name(server, false), Ok(Address::path("listener")));
    t.is("accepting", option(listener, SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
    t.is("write", write(client, b"hello"), Ok(5));
    t.is("write more", write(client, b" world"), Ok(6));
    let mut waiting = 0;
    t.is("FIONREAD", call!(ioctl(server, libc::FIONREAD, &mut waiting)), Ok(0));
    t.is("bytes", waiting, 11);
    t.fails(
        "FIONREAD of a listener",
        call!(ioctl(listener, libc::FIONREAD, &mut waiting)),
        libc::EINVAL,
    );
    let peeked = receive_from(server, 7, libc::MSG_PEEK).map(|(bytes, _)| bytes);
    t.is("peek", peeked, Ok(b"hello w".to_vec()));
    t.is("read", read::<100>(server), Ok(b"hello world".to_vec()));
    let empty = receive_from(server, 1, libc::MSG_DONTWAIT).map(|(bytes, _)| bytes);
    t.is("empty", empty, Err(libc::EAGAIN));
    t.fails("to an address", send_to(client, b"x", &Address::path("listener")), libc::EISCONN);
    let parts = fork(|| {
        for part in [b"ab", b"cd", b"ef"] {
            pause(20);
            let _ = write(client, part);
        }
        0
    });
    let all = receive_from(server, 6, libc::MSG_WAITALL).map(|(bytes, _)| bytes);
    t.is("MSG_WAITALL", all, Ok(b"abcdef".to_vec()));
    wait(parts);
    t.is("shutdown", call!(shutdown(client, libc::SHUT_WR)), Ok(0));
    t.is("end", read::<1>(server), Ok(vec![]));
    t.fails("no more", write(client, b"x"), libc::EPIPE);
    t.is("back", write(server, b"still"), Ok(5));
    t.is("is read", read::<9>(client), Ok(b"still".to_vec()));
    close(&[listener, client, server]);
}

fn closing(t: &mut Checks) {
    let (a, b) = pair(SOCK_STREAM);
    let _ = write(a, b"unread");
    close(&[b]);
    let events = ready(a, libc::POLLIN | libc::POLLRDHUP);
    t.is(
        "the peer left bytes",
        events,
        libc::POLLIN | libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR,
    );
    t.is("reset", read::<1>(a), Err(libc::ECONNRESET));
    t.is("then the end", read::<1>(a), Ok(vec![]));
    t.fails("write", write(a, b"x"), libc::EPIPE);
    close(&[a]);
    let (a, b) = pair(SOCK_STREAM);
    close(&[b]);
    let events = ready(a, libc::POLLIN | libc::POLLOUT);
    t.is("hang-up", events, libc::POLLIN | libc::POLLOUT | libc::POLLHUP);
    t.is("the end", read::<1>(a), Ok(vec![]));
    let ended = in_child(|| {
        let _ = call!(signal(libc::SIGPIPE, libc::SIG_DFL));
        let quiet = send_message(a, b"x", &[], libc::MSG_NOSIGNAL);
        if quiet != Err(libc::EPIPE) {
            return 1;
        }
        let _ = write(a, b"x");
        2
    });
    t.is("SIGPIPE, not with MSG_NOSIGNAL", ended, Ended::Signal(libc::SIGPIPE));
    close(&[a]);
    let (listener, client) = (socket(SOCK_STREAM), socket(SOCK_STREAM));
    let address = Address::hidden(&format!("lx-closing-{}", std::process::id()));
    let _ = bind(listener, &address);
    let _ = call!(listen(listener, 1));
    t.is("connect", connect(client, &address), Ok(0));
    close(&[listener]);
    t.is("never accepted", read::<1>(client), Err(libc::ECONNRESET));
    close(&[client]);
}

fn backlog(t: &mut Checks) {
    let listener = socket(SOCK_STREAM);
    let address = Address::hidden(&format!("lx-backlog-{}", std::process::id()));
    let _ = bind(listener, &address);
    let _ = call!(listen(listener, 0));
    let clients: Vec<i32> = (0..2).map(|_| socket(SOCK_STREAM | SOCK_NONBLOCK)).collect();
    t.is("first", connect(clients[0], &address), Ok(0));
    t.fails("full", connect(clients[1], &address), libc::EAGAIN);
    let waiter = fork(|| {
        let client = socket(SOCK_STREAM);
        let connected = connect(client, &address);
        let _ = write(client, b"in");
        i32::from(connected != Ok(0))
    });
    pause(30);
    let accept = || call!(accept(listener, std::ptr::null_mut(), std::ptr::null_mut()));
    let first = t.works("accept", accept()) as i32;
    let second = t.works("accept the one that waited", accept()) as i32;
    t.is("what it wrote", read::<2>(second), Ok(b"in".to_vec()));
    t.is("it was connected", wait(waiter), Ended::Exit(0));
    let _ = call!(fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK));
    t.fails("nobody else", accept(), libc::EAGAIN);
    close(&[listener, first, second, clients[0], clients[1]]);
}

fn datagrams(t: &mut Checks) {
    let (a, b, c) = (socket(SOCK_DGRAM), socket(SOCK_DGRAM), socket(SOCK_DGRAM));
    let (first, second) = (Address::path("first"), Address::path("second"));
    t.is("bind", bind(a, &first), Ok(0));
    t.is("bind", bind(b, &second), Ok(0));
    t.is("send", send_to(a, b"to b", &second), Ok(4));
    t.is("an empty one", send_to(a, b"", &second), Ok(0));
    t.is("without a name", send_to(c, b"secret", &second), Ok(6));
    let mut waiting = 0;
    let _ = call!(ioctl(b, libc::FIONREAD, &mut waiting));
    t.is("FIONREAD: the first", waiting, 4);
    t.is("its sender", receive_from(b, 10, 0), Ok((b"to b".to_vec(), first.clone())));
    t.is("empty", receive_from(b, 10, 0), Ok((vec![], first.clone())));
    t.is("cut", receive_from(b, 3, 0), Ok((b"sec".to_vec(), Address(vec![]))));
    t.fails("no peer", write(c, b"x"), libc::ENOTCONN);
    t.is("connect", connect(c, &first), Ok(0));
    t.is("send to the peer", write(c, b"hi"), Ok(2));
    t.is("received", read::<9>(a), Ok(b"hi".to_vec()));
    t.is("connect elsewhere", connect(a, &second), Ok(0));
    t.fails("it takes datagrams of its peer only", write(c, b"hi"), libc::EPERM);
    t.is("disconnect", connect(a, &Address(vec![0, 0])), Ok(0));
    t.is("now it does", write(c, b"hi"), Ok(2));
    close(&[a]);
    t.fails("it is gone", write(c, b"hi"), libc::ECONNREFUSED);
    t.fails("and not a peer any more", write(c, b"hi"), libc::ENOTCONN);
    t.fails("too big", send_to(c, &vec![0; 500_000], &second), libc::EMSGSIZE);
    let _ = call!(fcntl(c, libc::F_SETFL, libc::O_NONBLOCK));
    let mut sent = 0;
    while sent < 100_000 && send_to(c, b"x", &second).is_ok() {
        sent += 1;
    }
    t.fails("full", send_to(c, b"x", &second), libc::EAGAIN);
    let mut got = 0;
    while receive_from(b, 1, libc::MSG_DONTWAIT).is_ok() {
        got += 1;
    }
    t.ok("all of them arrived", sent > 0 && got == sent);
    t.is("room again", send_to(c, b"x", &second), Ok(1));
    close(&[b, c]);
    for file in ["first", "second"] {
        let _ = std::fs::remove_file(file);
    }
    let (a, b) = pair(SOCK_DGRAM);
    t.is("a pair", write(a, b"ping"), Ok(4));
    t.is("received", read::<9>(b), Ok(b"ping".to_vec()));
    close(&[a, b]);
}

fn packets(t: &mut Checks) {
    let (listener, client, server) = connected(t, SOCK_SEQPACKET);
    t.is("one", write(client, b"one"), Ok(3));
    t.is("two", write(client, b"three"), Ok(5));
    let message = receive_message(server, 2, 0, 0).unwrap_or_default();
    t.is(
        "cut",
        (message.bytes, message.flags & libc::MSG_TRUNC),
        (b"on".to_vec(), libc::MSG_TRUNC),
    );
    let mut bytes = [0; 2];
    let len = call!(recv(server, bytes.as_mut_ptr().cast(), 2, libc::MSG_TRUNC));
    t.is("MSG_TRUNC tells the length", len, Ok(5));
    close(&[client]);
    t.is("the end", read::<1>(server), Ok(vec![]));
    let quiet = in_child(|| {
        let _ = call!(signal(libc::SIGPIPE, libc::SIG_DFL));
        i32::from(write(server, b"x") != Err(libc::EPIPE))
    });
    t.is("EPIPE without a signal", quiet, Ended::Exit(0));
    let alone = socket(SOCK_SEQPACKET);
    t.is("not connected", read::<1>(alone), Err(libc::ENOTCONN));
    close(&[listener, server, alone]);
}

fn files(t: &mut Checks) {
    let (a, b) = pair(SOCK_STREAM);
    let mut ends = [-1; 2];
    let _ = call!(pipe(ends.as_mut_ptr()));
    let two: Vec<u8> = ends.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    t.is("send", send_message(a, b"f", &control(libc::SCM_RIGHTS, &two), 0), Ok(1));
    t.is("plain bytes after", write(a, b"more"), Ok(4));
    close(&ends);
    let message = receive_message(b, 10, 64, libc::MSG_CMSG_CLOEXEC).unwrap_or_default();
    t.is("bytes up to the files", message.bytes.clone(), b"f".to_vec());
    t.is("flags", message.flags, libc::MSG_CMSG_CLOEXEC);
    let got = message.descriptors();
    t.is("two descriptors", got.len(), 2);
    if let [r, w] = got[..] {
        t.is("close on exec", call!(fcntl(r, libc::F_GETFD)), Ok(1));
        t.is("they work", write(w, b"through"), Ok(7));
        t.is("both", read::<10>(r), Ok(b"through".to_vec()));
        close(&[r, w]);
    }
    t.is("the rest", read::<10>(b), Ok(b"more".to_vec()));
    let one = control(libc::SCM_RIGHTS, &a.to_ne_bytes());
    let _ = send_message(a, b"x", &one, 0);
    let message = receive_message(b, 10, 0, 0).unwrap_or_default();
    t.is("no room for them", message.flags & libc::MSG_CTRUNC, libc::MSG_CTRUNC);
    let bad = send_message(a, b"x", &control(libc::SCM_RIGHTS, &99_i32.to_ne_bytes()), 0);
    t.fails("not open", bad, libc::EBADF);
    t.fails("unknown", send_message(a, b"x", &control(77, &[0; 4]), 0), libc::EINVAL);
    let many = [0_u8; 254 * 4];
    t.fails("too many", send_message(a, b"x", &control(libc::SCM_RIGHTS, &many), 0), libc::EINVAL);
    // A socket in its own queue, and nobody who could receive it.
    let _ = send_message(a, b"x", &control(libc::SCM_RIGHTS, &b.to_ne_bytes()), 0);
    close(&[a, b]);
    let (a, b) = pair(SOCK_DGRAM);
    let child = fork(|| {
        let message = receive_message(b, 10, 64, 0).unwrap_or_default();
        let fd = message.descriptors().first().copied().unwrap_or(-1);
        i32::from(write(fd, b"child") != Ok(5))
    });
    let mut ends = [-1; 2];
    let _ = call!(pipe(ends.as_mut_ptr()));
    let sent = send_message(a, b"f", &control(libc::SCM_RIGHTS, &ends[1].to_ne_bytes()), 0);
    t.is("to another process", sent, Ok(1));
    close(&[ends[1]]);
    t.is("which writes", read::<9>(ends[0]), Ok(b"child".to_vec()));
    t.is("and ends", wait(child), Ended::Exit(0));
    t.is("the only writer", read::<9>(ends[0]), Ok(vec![]));
    close(&[a, b, ends[0]]);
}

fn ucred(pid: i32, uid: u32, gid: u32) -> Vec<u8> {
    [pid.to_ne_bytes(), uid.to_ne_bytes(), gid.to_ne_bytes()].concat()
}

fn credentials(t: &mut Checks) {
    let (a, b) = pair(SOCK_STREAM);
    // SAFETY: they only read ids.
    let (pid, uid, gid) = unsafe { (libc::getpid(), libc::getuid(), libc::getgid()) };
    let mine = ucred(pid, uid, gid);
    let mut peer = [0_u8; 12];
    let mut len = 12;
    let got =
        call!(getsockopt(a, SOL_SOCKET, libc::SO_PEERCRED, peer.as_mut_ptr().cast(), &mut len));
    t.is("SO_PEERCRED", got, Ok(0));
    t.ok("it is this process", peer[..] == mine[..]);
    let _ = write(a, b"before");
    t.is("SO_PASSCRED", set_option(b, SOL_SOCKET, libc::SO_PASSCRED, 1), Ok(0));
    t.is("is set", option(b, SOL_SOCKET, libc::SO_PASSCRED), Ok(1));
    let nobody = vec![(libc::SCM_CREDENTIALS, ucred(0, 65534, 65534))];
    let _ = write(a, b"after");
    let message = receive_message(b, 100, 64, 0).unwrap_or_default();
    t.is("sent before: nobody's", (message.bytes, message.control), (b"before".to_vec(), nobody));
    let message = receive_message(b, 100, 64, 0).unwrap_or_default();
    t.is("bytes of two senders are not mixed", message.bytes, b"after".to_vec());
    t.ok("sent after", message.control == vec![(libc::SCM_CREDENTIALS, mine.clone())]);
    let said = send_message(a, b"x", &control(libc::SCM_CREDENTIALS, &mine), 0);
    t.is("who one is", said, Ok(1));
    let child = fork(|| {
        let _ = call!(setresgid(1, 1, 1));
        let _ = call!(setresuid(1, 1, 1));
        let root = control(libc::SCM_CREDENTIALS, &ucred(std::process::id() as i32, 0, 0));
        i32::from(send_message(a, b"x", &root, 0) != Err(libc::EPERM))
    });
    t.is("who one is not", wait(child), Ended::Exit(0));
    t.fails(
        "cut short",
        send_message(a, b"x", &control(libc::SCM_CREDENTIALS, &mine[..8]), 0),
        libc::EINVAL,
    );
    close(&[a, b]);
}

fn options(t: &mut Checks) {
    let fd = socket(SOCK_STREAM);
    let get = |name| option(fd, SOL_SOCKET, name);
    t.is("SO_TYPE", get(libc::SO_TYPE), Ok(SOCK_STREAM));
    t.is("SO_DOMAIN", get(libc::SO_DOMAIN), Ok(libc::AF_UNIX));
    t.is("SO_PROTOCOL", get(libc::SO_PROTOCOL), Ok(0));
    t.is("SO_ERROR", get(libc::SO_ERROR), Ok(0));
    t.is("SO_ACCEPTCONN", get(libc::SO_ACCEPTCONN), Ok(0));
    t.is("SO_REUSEADDR", set_option(fd, SOL_SOCKET, libc::SO_REUSEADDR, 7), Ok(0));
    t.is("a switch", get(libc::SO_REUSEADDR), Ok(1));
    t.is("SO_SNDBUF", set_option(fd, SOL_SOCKET, libc::SO_SNDBUF, 10_000), Ok(0));
    t.is("is doubled", get(libc::SO_SNDBUF), Ok(20_000));
    t.is("SO_SNDBUF, small", set_option(fd, SOL_SOCKET, libc::SO_SNDBUF, 1), Ok(0));
    t.is("has a least value", get(libc::SO_SNDBUF), Ok(4608));
    t.is("SO_RCVBUF, small", set_option(fd, SOL_SOCKET, libc::SO_RCVBUF, 1), Ok(0));
    t.is("has one, too", get(libc::SO_RCVBUF), Ok(2304));
    t.fails(
        "SO_TYPE cannot be set",
        set_option(fd, SOL_SOCKET, libc::SO_TYPE, 1),
        libc::ENOPROTOOPT,
    );
    t.is("unknown", get(999), Err(libc::ENOPROTOOPT));
    t.fails("unknown", set_option(fd, SOL_SOCKET, 999, 1), libc::ENOPROTOOPT);
    t.is("another level", option(fd, libc::IPPROTO_TCP, 1), Err(libc::EOPNOTSUPP));
    let short = call!(setsockopt(fd, SOL_SOCKET, libc::SO_REUSEADDR, (&raw const fd).cast(), 3));
    t.fails("too short", short, libc::EINVAL);
    let mut value = [7_u8; 4];
    let mut len = 2;
    let cut = call!(getsockopt(fd, SOL_SOCKET, libc::SO_TYPE, value.as_mut_ptr().cast(), &mut len));
    t.is("a short buffer", (cut, len, value), (Ok(0), 2, [1, 0, 7, 7]));
    close(&[fd]);
}

fn waiting(t: &mut Checks) {
    let (a, b) = pair(SOCK_STREAM);
    t.is("SO_RCVTIMEO", set_timeout(b, libc::SO_RCVTIMEO, 30), Ok(0));
    t.is("time is over", read::<1>(b), Err(libc::EAGAIN));
    t.is("SO_SNDTIMEO", set_timeout(a, libc::SO_SNDTIMEO, 30), Ok(0));
    let block = vec![5_u8; 1 << 20];
    let sent = write(a, &block).unwrap_or(0);
    t.ok("a part is sent until time is over", sent > 0 && sent < 1 << 20);
    t.is("not writable", ready(a, libc::POLLOUT), 0);
    t.fails("nothing is", write(a, b"x"), libc::EAGAIN);
    let child = fork(|| {
        let mut left = sent + (1 << 20);
        while left > 0 {
            match read::<65536>(b) {
                Ok(bytes) => left -= bytes.len() as i64,
                Err(_) => return 1,
            }
        }
        0
    });
    let _ = set_timeout(a, libc::SO_SNDTIMEO, 0);
    t.is("all of it, when somebody reads", write(a, &block), Ok(1 << 20));
    t.is("who read it all", wait(child), Ended::Exit(0));
    t.is("writable", ready(a, libc::POLLOUT), libc::POLLOUT);
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    let mut wanted = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 1 };
    let _ = call!(epoll_ctl(epoll, libc::EPOLL_CTL_ADD, b, &mut wanted));
    let mut found = [libc::epoll_event { events: 0, u64: 0 }; 4];
    t.is("no event", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 0)), Ok(0));
    let child = fork(|| {
        pause(20);
        i32::from(write(a, b"!") != Ok(1))
    });
    t.is("an event", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 5000)), Ok(1));
    t.is("once", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 0)), Ok(0));
    wait(child);
    close(&[epoll, a, b]);
}

fn many(t: &mut Checks) {
    let (a, b) = pair(SOCK_DGRAM);
    let texts: [&[u8]; 3] = [b"one", b"three", b"seven!!"];
    let mut parts =
        texts.map(|text| libc::iovec { iov_base: text.as_ptr() as *mut _, iov_len: text.len() });
    // SAFETY: all zeros are valid.
    let mut messages: [libc::mmsghdr; 3] = unsafe { std::mem::zeroed() };
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    t.is("sendmmsg", call!(sendmmsg(a, messages.as_mut_ptr(), 3, 0)), Ok(3));
    t.is("lengths", messages.map(|message| message.msg_len), [3, 5, 7]);
    let mut rooms = [[0_u8; 6]; 3];
    let mut parts = [0, 1, 2]
        .map(|at: usize| libc::iovec { iov_base: rooms[at].as_mut_ptr().cast(), iov_len: 6 });
    for (message, part) in messages.iter_mut().zip(&mut parts) {
        message.msg_hdr.msg_iov = part;
    }
    let none = std::ptr::null_mut();
    t.is(
        "recvmmsg",
        call!(recvmmsg(b, messages.as_mut_ptr(), 3, libc::MSG_WAITFORONE as _, none)),
        Ok(3),
    );
    t.is("lengths", messages.map(|message| message.msg_len), [3, 5, 6]);
    t.is(
        "the last was cut",
        messages.map(|message| message.msg_hdr.msg_flags & libc::MSG_TRUNC),
        [0, 0, libc::MSG_TRUNC],
    );
    t.is("the second", &rooms[1][..5], b"three");
    let again = call!(recvmmsg(b, messages.as_mut_ptr(), 3, libc::MSG_DONTWAIT as _, none));
    t.fails("nothing more", again, libc::EAGAIN);
    close(&[a, b]);
}
