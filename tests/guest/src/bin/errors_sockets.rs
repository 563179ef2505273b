//! Errors of calls about sockets but for messages: `socket(2)`, `bind(2)`, `connect(2)`,
//! `listen(2)`, `accept(2)`, `shutdown(2)`, names and options.

use std::os::unix::fs::symlink;
use std::process::exit;

use libc::{
    AF_INET, AF_NETLINK, AF_UNIX, SO_REUSEADDR, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET,
    SYS_accept, SYS_accept4, SYS_bind, SYS_connect, SYS_getpeername, SYS_getsockname,
    SYS_getsockopt, SYS_listen, SYS_setsockopt, SYS_shutdown, SYS_socket, SYS_socketpair,
};
use lx_guest_tests::errors::{as_nobody, interrupted, on_read_only};
use lx_guest_tests::sockets::{Address, bind, connect, name, set_option};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call};

/// A descriptor that is not open.
const CLOSED: i32 = 999;
/// A descriptor that is no socket.
const FILE: i32 = 0;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    creation(&mut t);
    binding(&mut t);
    binding_to_paths(&mut t);
    listening(&mut t);
    for (name, number) in [("accept", SYS_accept), ("accept4", SYS_accept4)] {
        accepting(&mut t, name, number);
    }
    connecting(&mut t);
    connecting_to_paths(&mut t);
    connecting_without_answer(&mut t);
    names(&mut t);
    options(&mut t);
    drop(scratch);
    t.end();
}

fn socket(family: i32, kind: i32) -> i32 {
    call!(socket(family, kind, 0)).unwrap_or(-1) as i32
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

/// An address of the Internet: a port and four bytes.
fn inet(host: [u8; 4], port: u16) -> Address {
    let mut address = Address::loopback(port);
    address.0[4..8].copy_from_slice(&host);
    address
}

/// Socket and address of one who listens.
fn listener(address: &Address, backlog: i32) -> (i32, Address) {
    let family = i32::from(u16::from_ne_bytes([address.0[0], address.0[1]]));
    let fd = socket(family, SOCK_STREAM);
    let _ = bind(fd, address);
    let _ = call!(listen(fd, backlog));
    (fd, name(fd, false).unwrap_or(Address(vec![])))
}

fn creation(t: &mut Checks) {
    let make = |family: i32, kind: i32, protocol: i32| {
        let made = call!(syscall(SYS_socket, family, kind, protocol));
        close(&[made.unwrap_or(-1) as i32]);
        made
    };
    t.fails("no such family", make(99, SOCK_STREAM, 0), libc::EAFNOSUPPORT);
    t.fails("a negative family", make(-1, SOCK_STREAM, 0), libc::EAFNOSUPPORT);
    t.fails("no such kind", make(AF_INET, 99, 0), libc::EINVAL);
    t.fails("unknown flags", make(AF_UNIX, SOCK_STREAM | 0x100, 0), libc::EINVAL);
    let protocol = make(AF_UNIX, SOCK_STREAM, 99);
    t.fails("another protocol", protocol, libc::EPROTONOSUPPORT);
    let protocol = make(AF_INET, SOCK_STREAM, libc::IPPROTO_UDP);
    t.fails("one of datagrams", protocol, libc::EPROTONOSUPPORT);
    t.fails("a protocol too large", make(AF_INET, SOCK_STREAM, 9999), libc::EINVAL);
    t.fails("another kind", make(AF_INET, libc::SOCK_RDM, 0), libc::ESOCKTNOSUPPORT);
    t.fails("no such netlink", make(AF_NETLINK, libc::SOCK_RAW, 99), libc::EPROTONOSUPPORT);
    let raw = as_nobody(|| make(AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP));
    t.fails("raw, without privilege", raw, libc::EPERM);

    let mut pair = [0; 2];
    let at = (&raw mut pair).expose_provenance();
    let make = |family: i32, kind: i32, protocol: i32, at: usize| {
        call!(syscall(SYS_socketpair, family, kind, protocol, at))
    };
    t.fails("pair, no such family", make(99, SOCK_STREAM, 0, at), libc::EAFNOSUPPORT);
    t.fails("pair of the Internet", make(AF_INET, SOCK_STREAM, 0, at), libc::EOPNOTSUPP);
    let protocol = make(AF_UNIX, SOCK_STREAM, 99, at);
    t.fails("pair, another protocol", protocol, libc::EPROTONOSUPPORT);
    t.fails("pair, unknown flags", make(AF_UNIX, SOCK_STREAM | 0x100, 0, at), libc::EINVAL);
    t.fails("pair to nowhere", make(AF_UNIX, SOCK_STREAM, 0, NOWHERE), libc::EFAULT);
}

fn binding(t: &mut Checks) {
    let fd = socket(AF_INET, SOCK_STREAM);
    let any = Address::loopback(0);
    let at = any.0.as_ptr();
    t.fails("bind a closed one", call!(syscall(SYS_bind, CLOSED, at, 16)), libc::EBADF);
    t.fails("bind a file", call!(syscall(SYS_bind, FILE, at, 16)), libc::ENOTSOCK);
    t.fails("an address at nowhere", call!(syscall(SYS_bind, fd, NOWHERE, 16)), libc::EFAULT);
    t.fails("an address too short", call!(syscall(SYS_bind, fd, at, 8)), libc::EINVAL);
    t.fails("of less than nothing", call!(syscall(SYS_bind, fd, at, -1)), libc::EINVAL);
    t.fails("an address too long", call!(syscall(SYS_bind, fd, NOWHERE, 129)), libc::EINVAL);
    let elsewhere = bind(fd, &inet([198, 51, 100, 1], 0));
    t.fails("an address of others", elsewhere, libc::EADDRNOTAVAIL);
    let mut six = any.clone();
    six.0[0] = libc::AF_INET6 as u8;
    t.fails("another family", bind(fd, &six), libc::EAFNOSUPPORT);
    t.is("bind", bind(fd, &any), Ok(0));
    t.fails("twice", bind(fd, &any), libc::EINVAL);
    let other = socket(AF_INET, SOCK_STREAM);
    let taken = bind(other, &name(fd, false).unwrap_or(any));
    t.fails("an address in use", taken, libc::EADDRINUSE);
    close(&[fd, other]);
}

fn binding_to_paths(t: &mut Checks) {
    let fd = socket(AF_UNIX, SOCK_STREAM);
    let _ = std::fs::write("file", "");
    for (folder, mode) in [("private", 0), ("fixed", 0o555)] {
        let _ = (std::fs::create_dir(folder), call!(chmod(c(folder).as_ptr(), mode)));
    }
    let _ = symlink("loop", "loop");
    let path = |path: &str| bind(fd, &Address::path(path));
    t.fails("a name that is there", path("file"), libc::EADDRINUSE);
    t.fails("below nothing", path("missing/x"), libc::ENOENT);
    t.fails("below a file", path("file/x"), libc::ENOTDIR);
    t.fails("below a loop", path("loop/x"), libc::ELOOP);
    t.fails("a folder's name", path("new/"), libc::ENOENT);
    let private = as_nobody(|| path("private/x"));
    t.fails("where one may not search", private, libc::EACCES);
    t.fails("where one may not write", as_nobody(|| path("fixed/x")), libc::EACCES);
    let _ = call!(chmod(c"private".as_ptr(), 0o700));
    if call!(geteuid()) == Ok(0) {
        let fixed = on_read_only("read-only", || path("read-only/x"));
        t.fails("on a read-only file system", fixed, libc::EROFS);
    }
    let long = Address::unix(&[b'x'; 109]);
    t.fails("a path too long", bind(fd, &long), libc::EINVAL);
    let mut other = Address::path("x");
    other.0[0] = AF_INET as u8;
    t.fails("another family", bind(fd, &other), libc::EINVAL);
    t.is("bind", path("bound"), Ok(0));
    t.fails("twice", path("again"), libc::EINVAL);
    t.ok("which makes no file", !std::path::Path::new("again").exists());
    close(&[fd]);
    let (a, b) = (socket(AF_UNIX, SOCK_STREAM), socket(AF_UNIX, SOCK_STREAM));
    let hidden = Address::hidden(&format!("lx-errors-{}", std::process::id()));
    t.is("a hidden name", bind(a, &hidden), Ok(0));
    t.fails("in use", bind(b, &hidden), libc::EADDRINUSE);
    close(&[a, b]);
}

fn listening(t: &mut Checks) {
    t.fails("listen, a closed one", call!(syscall(SYS_listen, CLOSED, 1)), libc::EBADF);
    t.fails("listen, a file", call!(syscall(SYS_listen, FILE, 1)), libc::ENOTSOCK);
    for family in [AF_INET, AF_UNIX, AF_NETLINK] {
        let fd = socket(family, SOCK_DGRAM);
        let got = call!(syscall(SYS_listen, fd, 1));
        t.fails(&format!("listen, datagrams of family {family}"), got, libc::EOPNOTSUPP);
        close(&[fd]);
    }
    let fd = socket(AF_UNIX, SOCK_STREAM);
    t.fails("listen without a name", call!(syscall(SYS_listen, fd, 1)), libc::EINVAL);
    close(&[fd]);
    let (a, b) = (socket(AF_INET, SOCK_STREAM), socket(AF_INET, SOCK_STREAM));
    for fd in [a, b] {
        let _ = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    let _ = bind(a, &Address::loopback(0));
    let shared = bind(b, &name(a, false).unwrap_or(Address(vec![])));
    t.is("two with one address", shared, Ok(0));
    t.is("the first listens", call!(syscall(SYS_listen, a, 1)), Ok(0));
    t.fails("the second may not", call!(syscall(SYS_listen, b, 1)), libc::EADDRINUSE);
    close(&[a, b]);
}

fn accepting(t: &mut Checks, text: &str, number: i64) {
    let accept = |fd: i32, at: usize, len: usize| call!(syscall(number, fd, at, len, 0));
    let mut fails = |what: &str, got: Called, errno: i32| {
        t.fails(&format!("{text}: {what}"), got, errno);
    };
    fails("a closed one", accept(CLOSED, 0, 0), libc::EBADF);
    fails("a file", accept(FILE, 0, 0), libc::ENOTSOCK);
    for family in [AF_INET, AF_UNIX] {
        let fd = socket(family, SOCK_DGRAM);
        fails(&format!("datagrams of family {family}"), accept(fd, 0, 0), libc::EOPNOTSUPP);
        close(&[fd]);
        let fd = socket(family, SOCK_STREAM);
        fails(&format!("family {family}, not listening"), accept(fd, 0, 0), libc::EINVAL);
        close(&[fd]);
        let address = match family {
            AF_INET => Address::loopback(0),
            _ => Address::path(text),
        };
        let (fd, address) = listener(&address, 8);
        let waited = interrupted(|| accept(fd, 0, 0));
        fails(&format!("family {family}, a signal"), waited, libc::EINTR);
        let clients = [socket(family, SOCK_STREAM), socket(family, SOCK_STREAM)];
        for client in clients {
            let _ = connect(client, &address);
        }
        let (mut room, mut len) = ([0_u8; 128], -1);
        let at = room.as_mut_ptr().expose_provenance();
        let len_at = (&raw mut len).expose_provenance();
        fails("less than no room", accept(fd, at, len_at), libc::EINVAL);
        fails("the length at nowhere", accept(fd, at, NOWHERE), libc::EFAULT);
        let _ = call!(fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK));
        // Those two have taken the connections.
        fails(&format!("family {family}, nobody"), accept(fd, 0, 0), libc::EAGAIN);
        close(&[fd, clients[0], clients[1]]);
    }
    if number == SYS_accept4 {
        let fd = socket(AF_UNIX, SOCK_STREAM);
        let flags = call!(syscall(number, fd, 0_usize, 0_usize, 1));
        fails("unknown flags", flags, libc::EINVAL);
        close(&[fd]);
    }
    let _ = std::fs::remove_file(text);
}

fn connecting(t: &mut Checks) {
    let (listening, address) = listener(&Address::loopback(0), 8);
    let at = address.0.as_ptr();
    t.fails("connect a closed one", call!(syscall(SYS_connect, CLOSED, at, 16)), libc::EBADF);
    t.fails("connect a file", call!(syscall(SYS_connect, FILE, at, 16)), libc::ENOTSOCK);
    let fd = socket(AF_INET, SOCK_STREAM);
    let nowhere = call!(syscall(SYS_connect, fd, NOWHERE, 16));
    t.fails("an address at nowhere", nowhere, libc::EFAULT);
    t.fails("an address too short", call!(syscall(SYS_connect, fd, at, 8)), libc::EINVAL);
    t.fails("another family", connect(fd, &Address::path("missing-so-far")), libc::EAFNOSUPPORT);
    t.is("connect", connect(fd, &address), Ok(0));
    t.fails("twice", connect(fd, &address), libc::EISCONN);
    // Two from one address to one other, which no two connections may have.
    let own = name(fd, false).unwrap_or(Address(vec![]));
    let same = socket(AF_INET, SOCK_STREAM);
    for fd in [fd, same] {
        let _ = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    t.is("the same address", bind(same, &own), Ok(0));
    t.fails("the same connection", connect(same, &address), libc::EADDRNOTAVAIL);
    close(&[listening, fd, same]);
    let fd = socket(AF_INET, SOCK_STREAM);
    t.fails("nobody listens", connect(fd, &address), libc::ECONNREFUSED);
    close(&[fd]);
    let fd = socket(AF_INET, SOCK_DGRAM);
    let everybody = connect(fd, &inet([255, 255, 255, 255], 9));
    t.fails("everybody, unasked", everybody, libc::EACCES);
    let _ = set_option(fd, SOL_SOCKET, libc::SO_DONTROUTE, 1);
    let far = connect(fd, &inet([198, 51, 100, 1], 9));
    t.fails("what is not in this network", far, libc::ENETUNREACH);
    close(&[fd]);
}

fn connecting_to_paths(t: &mut Checks) {
    let fd = socket(AF_UNIX, SOCK_STREAM);
    let path = |path: &str| connect(fd, &Address::path(path));
    t.fails("nothing there", path("missing"), libc::ENOENT);
    t.fails("below a file", path("file/x"), libc::ENOTDIR);
    t.fails("a loop", path("loop"), libc::ELOOP);
    t.fails("a file", path("file"), libc::ECONNREFUSED);
    t.fails("nobody listens", path("bound"), libc::ECONNREFUSED);
    let (listening, address) = listener(&Address::path("listening"), 1);
    let _ = call!(chmod(c"listening".as_ptr(), 0));
    t.fails("without permission", as_nobody(|| path("listening")), libc::EACCES);
    let _ = call!(chmod(c"listening".as_ptr(), 0o600));
    let datagrams = socket(AF_UNIX, SOCK_DGRAM);
    t.fails("of another kind", connect(datagrams, &address), libc::EPROTOTYPE);
    let mut other = address.clone();
    other.0[0] = AF_INET as u8;
    t.fails("another family", connect(fd, &other), libc::EINVAL);
    t.is("connect", connect(fd, &address), Ok(0));
    t.fails("twice", connect(fd, &address), libc::EISCONN);
    let second = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
    t.is("another one", connect(second, &address), Ok(0));
    let too_many = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
    t.fails("too many wait", connect(too_many, &address), libc::EAGAIN);
    let third = socket(AF_UNIX, SOCK_STREAM);
    let waited = interrupted(|| connect(third, &address));
    t.fails("a signal", waited, libc::EINTR);
    let (a, b) = (socket(AF_UNIX, SOCK_DGRAM), socket(AF_UNIX, SOCK_DGRAM));
    let (first, second_name) = (Address::path("first"), Address::path("second"));
    let _ = (bind(a, &first), bind(b, &second_name), connect(a, &second_name));
    t.fails("whose peer is another one", connect(datagrams, &first), libc::EPERM);
    close(&[fd, listening, datagrams, second, too_many, third, a, b]);
}

/// Somebody who does not accept lets others wait.
fn connecting_without_answer(t: &mut Checks) {
    let (listening, address) = listener(&Address::loopback(0), 0);
    let fill: Vec<i32> = (0..3).map(|_| socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)).collect();
    for fd in &fill {
        let _ = connect(*fd, &address);
    }
    let fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    t.fails("not at once", connect(fd, &address), libc::EINPROGRESS);
    t.fails("still not", connect(fd, &address), libc::EALREADY);
    let waiting = socket(AF_INET, SOCK_STREAM);
    let waited = interrupted(|| connect(waiting, &address));
    t.fails("a signal", waited, libc::EINTR);
    let impatient = socket(AF_INET, SOCK_STREAM);
    let _ = set_option(impatient, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 100);
    t.fails("in time", connect(impatient, &address), libc::ETIMEDOUT);
    close(&fill);
    close(&[listening, fd, waiting, impatient]);
}

fn names(t: &mut Checks) {
    let (listening, address) = listener(&Address::loopback(0), 8);
    let fd = socket(AF_INET, SOCK_STREAM);
    let alone = socket(AF_INET, SOCK_STREAM);
    let _ = connect(fd, &address);
    let (mut room, mut len) = ([0_u8; 128], -1);
    let at = room.as_mut_ptr().expose_provenance();
    for (text, number) in [("getsockname", SYS_getsockname), ("getpeername", SYS_getpeername)] {
        let ask = |fd: i32, at: usize, len: usize| call!(syscall(number, fd, at, len));
        let mut enough = 128;
        let enough = (&raw mut enough).expose_provenance();
        let mut fails = |what: &str, got: Called, errno: i32| {
            t.fails(&format!("{text}: {what}"), got, errno);
        };
        fails("a closed one", ask(CLOSED, at, enough), libc::EBADF);
        fails("a file", ask(FILE, at, enough), libc::ENOTSOCK);
        fails("to nowhere", ask(fd, NOWHERE, enough), libc::EFAULT);
        fails("the length at nowhere", ask(fd, at, NOWHERE), libc::EFAULT);
        fails("less than no room", ask(fd, at, (&raw mut len).expose_provenance()), libc::EINVAL);
    }
    t.fails("no peer", name(alone, true).map(|_| 0), libc::ENOTCONN);
    let shut = |fd: i32, how: i32| call!(syscall(SYS_shutdown, fd, how));
    t.fails("shutdown, a closed one", shut(CLOSED, 0), libc::EBADF);
    t.fails("shutdown, a file", shut(FILE, 0), libc::ENOTSOCK);
    t.fails("shutdown without a peer", shut(alone, 0), libc::ENOTCONN);
    t.fails("shutdown in no way", shut(fd, 3), libc::EINVAL);
    t.is("shutdown", shut(fd, 2), Ok(0));
    close(&[listening, fd, alone]);
    let unix = socket(AF_UNIX, SOCK_STREAM);
    t.fails("no peer either", name(unix, true).map(|_| 0), libc::ENOTCONN);
    t.is("shutdown without it", shut(unix, 0), Ok(0));
    t.fails("in no way either", shut(unix, -1), libc::EINVAL);
    close(&[unix]);
}

fn options(t: &mut Checks) {
    let mut one = 1;
    let value = (&raw mut one).expose_provenance();
    for family in [AF_INET, AF_UNIX] {
        let fd = socket(family, SOCK_STREAM);
        let set = |fd: i32, name: i32, value: usize, len: i32| {
            call!(syscall(SYS_setsockopt, fd, SOL_SOCKET, name, value, len))
        };
        let mut fails = |what: &str, got: Called, errno: i32| {
            t.fails(&format!("family {family}: {what}"), got, errno);
        };
        fails("set, a closed one", set(CLOSED, SO_REUSEADDR, value, 4), libc::EBADF);
        fails("set, a file", set(FILE, SO_REUSEADDR, value, 4), libc::ENOTSOCK);
        fails("set, value at nowhere", set(fd, SO_REUSEADDR, NOWHERE, 4), libc::EFAULT);
        fails("set, value too short", set(fd, SO_REUSEADDR, value, 2), libc::EINVAL);
        fails("set, less than nothing", set(fd, SO_REUSEADDR, value, -1), libc::EINVAL);
        fails("set, unknown", set(fd, 999, value, 4), libc::ENOPROTOOPT);
        fails("set, what is fixed", set(fd, libc::SO_TYPE, value, 4), libc::ENOPROTOOPT);
        let get = |fd: i32, name: i32, value: usize, len: usize| {
            call!(syscall(SYS_getsockopt, fd, SOL_SOCKET, name, value, len))
        };
        let (mut four, mut negative) = (4, -1);
        let len = (&raw mut four).expose_provenance();
        let less = (&raw mut negative).expose_provenance();
        fails("get, a closed one", get(CLOSED, SO_REUSEADDR, value, len), libc::EBADF);
        fails("get, a file", get(FILE, SO_REUSEADDR, value, len), libc::ENOTSOCK);
        fails("get, to nowhere", get(fd, SO_REUSEADDR, NOWHERE, len), libc::EFAULT);
        fails("get, length at nowhere", get(fd, SO_REUSEADDR, value, NOWHERE), libc::EFAULT);
        fails("get, less than no room", get(fd, SO_REUSEADDR, value, less), libc::EINVAL);
        fails("get, unknown", get(fd, 999, value, len), libc::ENOPROTOOPT);
        close(&[fd]);
    }
    let fd = socket(AF_INET, SOCK_STREAM);
    let unknown = set_option(fd, libc::IPPROTO_TCP, 999, 1);
    t.fails("an unknown one of TCP", unknown, libc::ENOPROTOOPT);
    t.fails("too many hops", set_option(fd, libc::IPPROTO_IP, libc::IP_TTL, 300), libc::EINVAL);
    close(&[fd]);
}
