//! `AF_INET`, `AF_INET6` and `AF_NETLINK` on the loopback interface: `tcp(7)`, `udp(7)`, `ip(7)`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use libc::{
    AF_INET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM,
    SOL_SOCKET,
};
use lx_guest_tests::sockets::{
    Address, bind, connect, name, option, ready, receive_from, receive_message, send_message,
    send_to, set_option, set_timeout,
};
use lx_guest_tests::{Checks, Ended, call, fork, in_child, pause, pipe, read, until, wait, write};

fn main() {
    let mut t = Checks::new();
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    creation(&mut t);
    streams(&mut t);
    closing(&mut t);
    without_waiting(&mut t);
    datagrams(&mut t);
    options(&mut t);
    waiting(&mut t);
    bulk(&mut t);
    readiness(&mut t);
    library(&mut t);
    interfaces(&mut t);
    t.end();
}

fn socket(kind: i32) -> i32 {
    call!(socket(AF_INET, kind, 0)).unwrap_or(-1) as i32
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

fn accept(fd: i32, flags: i32) -> Result<i32, i32> {
    let none = std::ptr::null_mut();
    call!(accept4(fd, none, std::ptr::null_mut(), flags)).map(|fd| fd as i32)
}

/// A listening socket on a free port, and its address.
fn listener(kind: i32) -> (i32, Address) {
    let fd = socket(SOCK_STREAM | kind);
    let _ = bind(fd, &Address::loopback(0));
    let _ = call!(listen(fd, 8));
    (fd, name(fd, false).unwrap_or(Address(vec![])))
}

/// Listener, client and server.
fn connected() -> (i32, i32, i32) {
    let (listener, address) = listener(0);
    let client = socket(SOCK_STREAM);
    let _ = connect(client, &address);
    (listener, client, accept(listener, 0).unwrap_or(-1))
}

fn creation(t: &mut Checks) {
    t.fails("protocol", call!(socket(AF_INET, SOCK_STREAM, 17)), libc::EPROTONOSUPPORT);
    t.fails("kind", call!(socket(AF_INET, libc::SOCK_RDM, 0)), libc::ESOCKTNOSUPPORT);
    let mut pair = [0; 2];
    let made = call!(socketpair(AF_INET, SOCK_STREAM, 0, pair.as_mut_ptr()));
    t.fails("no pairs", made, libc::EOPNOTSUPP);
    let fd = socket(SOCK_STREAM | SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    t.is("close on exec", call!(fcntl(fd, libc::F_GETFD)), Ok(1));
    let flags = call!(fcntl(fd, libc::F_GETFL)).unwrap_or(0) as i32;
    t.ok("O_NONBLOCK", flags & libc::O_NONBLOCK != 0);
    t.is("not connected", read::<1>(fd), Err(libc::ENOTCONN));
    t.fails("write", write(fd, b"x"), libc::EPIPE);
    t.is("no peer", name(fd, true), Err(libc::ENOTCONN));
    t.is("no name", name(fd, false), Ok(Address([&[2, 0][..], &[0; 14]].concat())));
    t.is("accept", accept(fd, 0), Err(libc::EINVAL));
    t.fails("another family", bind(fd, &Address::path("x")), libc::EINVAL);
    t.fails("shutdown", call!(shutdown(fd, libc::SHUT_WR)), libc::ENOTCONN);
    // SAFETY: all zeros are valid.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    t.is("fstat", call!(fstat(fd, &mut stat)), Ok(0));
    t.is("a socket", stat.st_mode & libc::S_IFMT, libc::S_IFSOCK);
    t.fails("seek", call!(lseek(fd, 0, libc::SEEK_CUR)), libc::ESPIPE);
    close(&[fd]);
}

fn streams(t: &mut Checks) {
    let (listener, address) = listener(0);
    t.ok("a port was chosen", address.port() != 0);
    let other = socket(SOCK_STREAM);
    t.fails("in use", bind(other, &address), libc::EADDRINUSE);
    let client = socket(SOCK_STREAM);
    t.is("connect", connect(client, &address), Ok(0));
    let server = accept(listener, libc::SOCK_CLOEXEC).unwrap_or(-1);
    t.is("close on exec", call!(fcntl(server, libc::F_GETFD)), Ok(1));
    t.is("its peer", name(client, true), Ok(address.clone()));
    t.ok("names match", name(server, true).is_ok() && name(server, true) == name(client, false));
    t.fails("connect twice", connect(client, &address), libc::EISCONN);
    t.is("write", write(client, b"hello"), Ok(5));
    t.is("peek", receive_from(server, 3, libc::MSG_PEEK).map(|r| r.0), Ok(b"hel".to_vec()));
    let mut waiting = 0;
    t.is("FIONREAD", call!(ioctl(server, libc::FIONREAD, &mut waiting)), Ok(0));
    t.is("bytes", waiting, 5);
    t.is("read", read::<9>(server), Ok(b"hello".to_vec()));
    let empty = receive_from(server, 1, libc::MSG_DONTWAIT).map(|r| r.0);
    t.is("empty", empty, Err(libc::EAGAIN));
    let child = fork(|| {
        for part in [b"ab", b"cd", b"ef"] {
            pause(20);
            let _ = write(client, part);
        }
        0
    });
    let all = receive_from(server, 6, libc::MSG_WAITALL).map(|r| r.0);
    t.is("MSG_WAITALL", all, Ok(b"abcdef".to_vec()));
    wait(child);
    t.is("urgent", send_message(client, b"!", &[], libc::MSG_OOB), Ok(1));
    t.ok("announced", until(|| ready(server, libc::POLLPRI) == libc::POLLPRI));
    t.is("MSG_OOB", receive_from(server, 1, libc::MSG_OOB).map(|r| r.0), Ok(b"!".to_vec()));
    let parts = receive_message(server, 9, 0, libc::MSG_DONTWAIT).map(|m| m.bytes);
    t.is("nothing else", parts, Err(libc::EAGAIN));
    let _ = send_message(client, b"by message", &[], 0);
    let message = receive_message(server, 99, 64, 0).unwrap_or_default();
    t.is("recvmsg", (message.bytes, message.flags), (b"by message".to_vec(), 0));
    close(&[listener, other, client, server]);
}

fn closing(t: &mut Checks) {
    let (listener, client, server) = connected();
    t.is("shutdown", call!(shutdown(client, libc::SHUT_WR)), Ok(0));
    t.is("end", read::<1>(server), Ok(vec![]));
    t.fails("no more", write(client, b"x"), libc::EPIPE);
    let ended = in_child(|| {
        let _ = call!(signal(libc::SIGPIPE, libc::SIG_DFL));
        let _ = write(client, b"x");
        0
    });
    t.is("SIGPIPE", ended, Ended::Signal(libc::SIGPIPE));
    t.is("back", write(server, b"still"), Ok(5));
    t.is("is read", read::<9>(client), Ok(b"still".to_vec()));
    close(&[client, server]);
    let address = name(listener, false).unwrap_or(Address(vec![]));
    close(&[listener]);
    let client = socket(SOCK_STREAM);
    t.fails("nobody listens", connect(client, &address), libc::ECONNREFUSED);
    close(&[client]);
    let (listener, client, server) = connected();
    let _ = write(client, b"unread");
    t.ok("arrived", until(|| ready(server, libc::POLLIN) == libc::POLLIN));
    close(&[server]);
    t.is("reset", read::<1>(client), Err(libc::ECONNRESET));
    close(&[listener, client]);
}

fn without_waiting(t: &mut Checks) {
    let (listener, address) = listener(SOCK_NONBLOCK);
    t.is("nobody", accept(listener, 0), Err(libc::EAGAIN));
    let client = socket(SOCK_STREAM | SOCK_NONBLOCK);
    let begun = connect(client, &address);
    t.ok("connect", begun == Err(libc::EINPROGRESS) || begun == Ok(0));
    t.ok("writable", until(|| ready(client, libc::POLLOUT) & libc::POLLOUT != 0));
    t.is("SO_ERROR", option(client, SOL_SOCKET, libc::SO_ERROR), Ok(0));
    t.ok("readable", until(|| ready(listener, libc::POLLIN) == libc::POLLIN));
    let server = accept(listener, SOCK_NONBLOCK).unwrap_or(-1);
    t.is("nothing yet", read::<1>(server), Err(libc::EAGAIN));
    let block = vec![1_u8; 65536];
    let mut sent = 0;
    while let Ok(count) = write(client, &block) {
        sent += count;
    }
    t.fails("full", write(client, &block), libc::EAGAIN);
    let mut got = 0;
    let all = until(|| {
        while let Ok(bytes) = read::<65536>(server) {
            got += bytes.len() as i64;
        }
        got == sent
    });
    t.ok("all of it arrives", all);
    close(&[client, server]);
    close(&[listener]);
    let client = socket(SOCK_STREAM | SOCK_NONBLOCK);
    let _ = connect(client, &address);
    t.ok("refused", until(|| ready(client, libc::POLLOUT) & libc::POLLERR != 0));
    close(&[client]);
}

fn datagrams(t: &mut Checks) {
    let (a, b) = (socket(SOCK_DGRAM), socket(SOCK_DGRAM));
    let _ = bind(a, &Address::loopback(0));
    let _ = bind(b, &Address::loopback(0));
    let (from, to) =
        (name(a, false).unwrap_or(Address(vec![])), name(b, false).unwrap_or(Address(vec![])));
    t.fails("no destination", write(a, b"x"), libc::EDESTADDRREQ);
    t.is("send", send_to(a, b"ping", &to), Ok(4));
    t.is("received with its sender", receive_from(b, 9, 0), Ok((b"ping".to_vec(), from.clone())));
    t.is("an empty one", send_to(a, b"", &to), Ok(0));
    t.is("received", receive_from(b, 9, 0), Ok((vec![], from.clone())));
    t.is("connect", connect(a, &to), Ok(0));
    t.is("write", write(a, b"longer"), Ok(6));
    let message = receive_message(b, 4, 0, 0).unwrap_or_default();
    t.is(
        "cut",
        (message.bytes, message.flags & libc::MSG_TRUNC),
        (b"long".to_vec(), libc::MSG_TRUNC),
    );
    t.is("write", write(a, b"longer"), Ok(6));
    let mut bytes = [0; 2];
    let len = call!(recv(b, bytes.as_mut_ptr().cast(), 2, libc::MSG_TRUNC | libc::MSG_PEEK));
    t.is("MSG_TRUNC tells the length", len, Ok(6));
    t.is("and it is there", read::<9>(b), Ok(b"longer".to_vec()));
    t.fails("too big", write(a, &vec![0; 70_000]), libc::EMSGSIZE);
    t.is("IP_PKTINFO", set_option(b, IPPROTO_IP, libc::IP_PKTINFO, 1), Ok(0));
    let _ = write(a, b"x");
    let control = receive_message(b, 4, 64, 0).unwrap_or_default().control;
    t.is(
        "a control message",
        control.first().map(|(kind, data)| (*kind, data.len())),
        Some((libc::IP_PKTINFO, 12)),
    );
    t.is("disconnect", connect(a, &Address(vec![0; 16])), Ok(0));
    t.is("no peer", name(a, true), Err(libc::ENOTCONN));
    close(&[b]);
    let _ = connect(a, &to);
    let _ = write(a, b"to nobody");
    t.is("refused", read::<1>(a), Err(libc::ECONNREFUSED));
    close(&[a]);
}

fn options(t: &mut Checks) {
    let fd = socket(SOCK_STREAM);
    t.is("SO_TYPE", option(fd, SOL_SOCKET, libc::SO_TYPE), Ok(SOCK_STREAM));
    t.is("SO_DOMAIN", option(fd, SOL_SOCKET, libc::SO_DOMAIN), Ok(AF_INET));
    t.is("SO_PROTOCOL", option(fd, SOL_SOCKET, libc::SO_PROTOCOL), Ok(IPPROTO_TCP));
    for (text, level, name) in [
        ("SO_REUSEADDR", SOL_SOCKET, libc::SO_REUSEADDR),
        ("SO_REUSEPORT", SOL_SOCKET, libc::SO_REUSEPORT),
        ("SO_KEEPALIVE", SOL_SOCKET, libc::SO_KEEPALIVE),
        ("TCP_NODELAY", IPPROTO_TCP, libc::TCP_NODELAY),
    ] {
        t.is(text, option(fd, level, name), Ok(0));
        t.is("set", set_option(fd, level, name, 1), Ok(0));
        t.is("is set", option(fd, level, name), Ok(1));
    }
    t.is("TCP_KEEPIDLE", set_option(fd, IPPROTO_TCP, libc::TCP_KEEPIDLE, 77), Ok(0));
    t.is("seconds", option(fd, IPPROTO_TCP, libc::TCP_KEEPIDLE), Ok(77));
    t.is("IP_TTL", set_option(fd, IPPROTO_IP, libc::IP_TTL, 9), Ok(0));
    t.is("hops", option(fd, IPPROTO_IP, libc::IP_TTL), Ok(9));
    t.fails("IP_TTL, bad", set_option(fd, IPPROTO_IP, libc::IP_TTL, 999), libc::EINVAL);
    t.is("unknown", option(fd, SOL_SOCKET, 999), Err(libc::ENOPROTOOPT));
    t.is("SO_BROADCAST", set_option(fd, SOL_SOCKET, libc::SO_BROADCAST, 1), Ok(0));
    let linger = libc::linger { l_onoff: 1, l_linger: 3 };
    let set = call!(setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), 8));
    t.is("SO_LINGER", set, Ok(0));
    close(&[fd]);
    let six = call!(socket(libc::AF_INET6, SOCK_STREAM, 0)).map(|fd| fd as i32);
    if let Ok(six) = six {
        let only = set_option(six, IPPROTO_IPV6, libc::IPV6_V6ONLY, 1);
        t.is("IPV6_V6ONLY", only, Ok(0));
        t.is("is set", option(six, IPPROTO_IPV6, libc::IPV6_V6ONLY), Ok(1));
        close(&[six]);
    }
}

fn waiting(t: &mut Checks) {
    let (listener, client, server) = connected();
    t.is("SO_RCVTIMEO", set_timeout(server, libc::SO_RCVTIMEO, 30), Ok(0));
    t.is("time is over", read::<1>(server), Err(libc::EAGAIN));
    let _ = set_timeout(server, libc::SO_RCVTIMEO, 0);
    t.is("SO_RCVTIMEO of accept", set_timeout(listener, libc::SO_RCVTIMEO, 30), Ok(0));
    t.is("time is over", accept(listener, 0), Err(libc::EAGAIN));
    let child = fork(|| {
        pause(30);
        i32::from(write(client, b"late") != Ok(4))
    });
    t.is("a read that waits", read::<9>(server), Ok(b"late".to_vec()));
    wait(child);
    extern "C" fn nothing(_: i32) {}
    // SAFETY: all zeros are valid, and the handler does nothing.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    let _ = call!(sigaction(libc::SIGALRM, &action, std::ptr::null_mut()));
    let soon = libc::timeval { tv_sec: 0, tv_usec: 30_000 };
    let timer =
        libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
    let _ = call!(syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &timer, 0));
    t.is("a signal", read::<1>(server), Err(libc::EINTR));
    close(&[listener, client, server]);
}

fn bulk(t: &mut Checks) {
    const TOTAL: usize = 4 << 20;
    let (listener, client, server) = connected();
    let child = fork(|| {
        close(&[server]);
        let block: Vec<u8> = (0..TOTAL).map(|at| ((at * 7) >> 3) as u8).collect();
        i32::from(write(client, &block) != Ok(TOTAL as i64))
    });
    close(&[client]);
    let mut got = Vec::new();
    while let Ok(bytes) = read::<100_000>(server) {
        if bytes.is_empty() {
            break;
        }
        got.extend(bytes);
    }
    t.is("all bytes", got.len(), TOTAL);
    t.ok("in order", got.iter().enumerate().all(|(at, byte)| *byte == ((at * 7) >> 3) as u8));
    t.is("the writer", wait(child), Ended::Exit(0));
    close(&[listener, server]);
    let (listener, client, server) = connected();
    let (r, w) = pipe();
    let _ = write(w, b"through a pipe");
    let none = std::ptr::null_mut();
    t.is("splice", call!(splice(r, none, client, none, 100, 0)), Ok(14));
    t.is("arrives", read::<99>(server), Ok(b"through a pipe".to_vec()));
    let file = call!(open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    t.is("sendfile", call!(sendfile(client, file, std::ptr::null_mut(), 4)), Ok(4));
    t.is("arrives", read::<99>(server), Ok(b"\x7fELF".to_vec()));
    close(&[listener, client, server, r, w, file]);
}

fn readiness(t: &mut Checks) {
    let (listener, client, server) = connected();
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    for (fd, token) in [(listener, 1), (server, 2)] {
        let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        t.is("epoll_ctl", call!(epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut wanted)), Ok(0));
    }
    let mut found = [libc::epoll_event { events: 0, u64: 0 }; 4];
    t.is("nothing", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 0)), Ok(0));
    let child = fork(|| {
        pause(30);
        i32::from(write(client, b"now") != Ok(3))
    });
    t.is("one", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 5000)), Ok(1));
    t.is("the right one", found[0].u64, 2);
    wait(child);
    t.is("read", read::<9>(server), Ok(b"now".to_vec()));
    t.is("nothing", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 0)), Ok(0));
    let address = name(listener, false).unwrap_or(Address(vec![]));
    let child = fork(|| {
        pause(30);
        let more = socket(SOCK_STREAM);
        i32::from(connect(more, &address) != Ok(0))
    });
    t.is("a connection", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 5000)), Ok(1));
    t.is("at the listener", found[0].u64, 1);
    wait(child);
    let child = fork(|| {
        pause(30);
        let _ = call!(shutdown(client, libc::SHUT_WR));
        0
    });
    let accepted = accept(listener, 0).unwrap_or(-1);
    t.is("the end", call!(epoll_wait(epoll, found.as_mut_ptr(), 4, 5000)), Ok(1));
    t.is("read", read::<9>(server), Ok(vec![]));
    wait(child);
    close(&[listener, client, server, epoll, accepted]);
}

fn library(t: &mut Checks) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0") else { return t.ok("bind", false) };
    let address = listener.local_addr().unwrap_or(([127, 0, 0, 1], 1).into());
    let echo = std::thread::spawn(move || {
        let mut streams = listener.incoming();
        let mut text = String::new();
        if let Some(Ok(mut stream)) = streams.next() {
            let _ = stream.read_to_string(&mut text);
            let _ = stream.write_all(text.to_uppercase().as_bytes());
        }
    });
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
        let _ = stream.write_all(b"between threads");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_string(&mut text);
    }
    let _ = echo.join();
    t.is("TCP between threads", text, "BETWEEN THREADS".to_owned());
    if let (Ok(a), Ok(b)) = (UdpSocket::bind("[::1]:0"), UdpSocket::bind("[::1]:0")) {
        let to = b.local_addr().unwrap_or(([127, 0, 0, 1], 1).into());
        t.ok("UDP over IPv6", a.send_to(b"six", to).is_ok());
        let mut bytes = [0; 9];
        t.is("received", b.recv(&mut bytes).ok(), Some(3));
    }
    let found = std::net::ToSocketAddrs::to_socket_addrs("localhost:80");
    t.ok("localhost has an address", found.is_ok_and(|mut found| found.next().is_some()));
}

fn interfaces(t: &mut Checks) {
    let fd = call!(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE));
    t.works("netlink", fd);
    close(&[fd.unwrap_or(-1) as i32]);
    let index = call!(if_nametoindex(c"lo".as_ptr())).unwrap_or(0);
    t.ok("lo has an index", index > 0);
    let mut name = [0_u8; 16];
    let found = call!(if_indextoname(index as u32, name.as_mut_ptr().cast()));
    t.ok("and is found by it", found.is_ok() && name.starts_with(b"lo\0"));
    // SAFETY: all zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    let fd = socket(SOCK_DGRAM);
    t.is("SIOCGIFFLAGS", call!(ioctl(fd, libc::SIOCGIFFLAGS, &mut request)), Ok(0));
    // SAFETY: the member that the request filled in.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    t.ok("up, loopback", flags & 9 == 9);
    t.is("SIOCGIFADDR", call!(ioctl(fd, libc::SIOCGIFADDR, &mut request)), Ok(0));
    // SAFETY: as above.
    let address = unsafe { request.ifr_ifru.ifru_addr };
    t.is("127.0.0.1", address.sa_data.get(2..6).map(<[_]>::to_vec), Some(vec![127, 0, 0, 1]));
    request.ifr_name[0] = b'?' as libc::c_char;
    t.fails("no such interface", call!(ioctl(fd, libc::SIOCGIFADDR, &mut request)), libc::ENODEV);
    close(&[fd]);
    let mut list = std::ptr::null_mut();
    t.is("getifaddrs", call!(getifaddrs(&mut list)), Ok(0));
    let mut at = list;
    let mut loopback = false;
    while !at.is_null() {
        // SAFETY: the list that the C library made.
        unsafe {
            let address = (*at).ifa_addr;
            if !address.is_null() && i32::from((*address).sa_family) == AF_INET {
                let address: libc::sockaddr_in = address.cast::<libc::sockaddr_in>().read();
                loopback |= address.sin_addr.s_addr == u32::from_ne_bytes([127, 0, 0, 1])
                    && std::ffi::CStr::from_ptr((*at).ifa_name) == c"lo";
            }
            at = (*at).ifa_next;
        }
    }
    t.ok("lo has 127.0.0.1", loopback);
    // SAFETY: frees the list.
    unsafe { libc::freeifaddrs(list) };
}
