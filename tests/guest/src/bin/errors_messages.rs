//! Errors of messages: `send(2)`, `recv(2)` and their forms.

use std::mem::zeroed;
use std::process::exit;

use libc::{
    AF_INET, AF_UNIX, MSG_DONTWAIT, MSG_FASTOPEN, MSG_NOSIGNAL, MSG_OOB, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_SEQPACKET, SOCK_STREAM, SYS_recvfrom, SYS_recvmmsg, SYS_recvmsg, SYS_sendmmsg,
    SYS_sendmsg, SYS_sendto,
};
use lx_guest_tests::errors::{as_nobody, interrupted};
use lx_guest_tests::sockets::{Address, bind, connect, control, name, ready};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, call, read, until, write};

/// A descriptor that is not open.
const CLOSED: i32 = 999;
/// A descriptor that is no socket.
const FILE: i32 = 0;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    for form in [Form::Plain, Form::Message, Form::Many] {
        Send(&mut t, form).all();
        Receive(&mut t, form).all();
    }
    headers(&mut t);
    control_messages(&mut t);
    many(&mut t);
    drop(scratch);
    t.end();
}

/// The forms that sending and receiving come in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Message,
    Many,
}

impl Form {
    /// Sends or receives `len` bytes at `at`, to `address` if there is one.
    fn call(
        self,
        sends: bool,
        fd: i32,
        at: usize,
        len: usize,
        flags: i32,
        address: Option<&Address>,
    ) -> Called {
        let part = [at, len];
        let name = address
            .map_or((0, 0), |address| (address.0.as_ptr().expose_provenance(), address.0.len()));
        // SAFETY: all zeros are valid.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_iov = part.as_ptr().cast_mut().cast();
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_name = name.0 as *mut _;
        message.msg_hdr.msg_namelen = name.1 as u32;
        let numbers = match self {
            Self::Plain => [SYS_recvfrom, SYS_sendto],
            Self::Message => [SYS_recvmsg, SYS_sendmsg],
            Self::Many => [SYS_recvmmsg, SYS_sendmmsg],
        };
        let number = numbers[usize::from(sends)];
        let header = &raw mut message;
        match self {
            Self::Plain => call!(syscall(number, fd, at, len, flags, name.0, name.1)),
            Self::Message => call!(syscall(number, fd, header, flags)),
            Self::Many => call!(syscall(number, fd, header, 1_usize, flags, 0_usize)),
        }
    }
}

fn socket(family: i32, kind: i32) -> i32 {
    call!(socket(family, kind, 0)).unwrap_or(-1) as i32
}

fn pair(kind: i32) -> (i32, i32) {
    let mut ends = [-1; 2];
    let _ = call!(socketpair(AF_UNIX, kind, 0, ends.as_mut_ptr()));
    (ends[0], ends[1])
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

/// A socket that listens, and its address.
fn listener(backlog: i32) -> (i32, Address) {
    let fd = socket(AF_INET, SOCK_STREAM);
    let _ = bind(fd, &Address::loopback(0));
    let _ = call!(listen(fd, backlog));
    (fd, name(fd, false).unwrap_or(Address(vec![])))
}

/// A connection of the Internet: client and server.
fn connection() -> (i32, i32) {
    let (listening, address) = listener(1);
    let client = socket(AF_INET, SOCK_STREAM);
    let _ = connect(client, &address);
    let server = call!(accept(listening, std::ptr::null_mut(), std::ptr::null_mut()));
    close(&[listening]);
    (client, server.unwrap_or(-1) as i32)
}

/// A datagram socket whose peer is not there any more.
fn without_peer() -> i32 {
    let (gone, fd) = (socket(AF_INET, SOCK_DGRAM), socket(AF_INET, SOCK_DGRAM));
    let _ = bind(gone, &Address::loopback(0));
    let _ = connect(fd, &name(gone, false).unwrap_or(Address(vec![])));
    close(&[gone]);
    fd
}

/// Sending in one form.
struct Send<'t>(&'t mut Checks, Form);

impl Send<'_> {
    fn send(&self, fd: i32, bytes: &[u8], flags: i32, address: Option<&Address>) -> Called {
        self.1.call(true, fd, bytes.as_ptr().expose_provenance(), bytes.len(), flags, address)
    }

    fn fails(&mut self, what: &str, got: Called, errno: i32) {
        self.0.fails(&format!("{:?} send: {what}", self.1), got, errno);
    }

    fn all(&mut self) {
        self.arguments();
        self.streams();
        self.internet();
        self.datagrams();
    }

    fn arguments(&mut self) {
        let (a, b) = pair(SOCK_STREAM);
        self.fails("a closed one", self.send(CLOSED, b"x", 0, None), libc::EBADF);
        self.fails("a file", self.send(FILE, b"x", 0, None), libc::ENOTSOCK);
        self.fails("from nowhere", self.1.call(true, a, NOWHERE, 4, 0, None), libc::EFAULT);
        let mut long = Address::path("x");
        long.0.resize(129, 0);
        let udp = socket(AF_INET, SOCK_DGRAM);
        // A message's address is cut, and then one of another family.
        let errno = if self.1 == Form::Plain { libc::EINVAL } else { libc::EAFNOSUPPORT };
        self.fails("an address too long", self.send(udp, b"x", 0, Some(&long)), errno);
        self.fails(
            "an empty address",
            self.send(udp, b"x", 0, Some(&Address(vec![2, 0]))),
            libc::EINVAL,
        );
        close(&[a, b, udp]);
    }

    fn streams(&mut self) {
        let (a, b) = pair(SOCK_STREAM | SOCK_NONBLOCK);
        let name = Address::path("nobody");
        self.fails("with a peer, to an address", self.send(a, b"x", 0, Some(&name)), libc::EISCONN);
        while write(a, &[0; 4096]).is_ok() {}
        self.fails("full", self.send(a, b"x", 0, None), libc::EAGAIN);
        let _ = call!(fcntl(a, libc::F_SETFL, 0));
        let waited = interrupted(|| self.send(a, b"x", 0, None));
        self.fails("a signal", waited, libc::EINTR);
        self.fails("not to wait", self.send(a, b"x", MSG_DONTWAIT, None), libc::EAGAIN);
        close(&[b]);
        self.fails("nobody reads", self.send(a, b"x", MSG_NOSIGNAL, None), libc::EPIPE);
        close(&[a]);
        let alone = socket(AF_UNIX, SOCK_STREAM);
        self.fails("without a peer", self.send(alone, b"x", 0, None), libc::ENOTCONN);
        let got = self.send(alone, b"x", 0, Some(&name));
        self.fails("without a peer, to an address", got, libc::EOPNOTSUPP);
        close(&[alone]);
        let alone = socket(AF_UNIX, SOCK_SEQPACKET);
        self.fails("packets without a peer", self.send(alone, b"x", 0, None), libc::ENOTCONN);
        close(&[alone]);
    }

    fn internet(&mut self) {
        let (client, server) = connection();
        let _ = write(client, b"unread");
        let _ = until(|| ready(server, libc::POLLIN) != 0);
        close(&[server]);
        let _ = until(|| ready(client, libc::POLLIN) & libc::POLLERR != 0);
        self.fails("reset", self.send(client, b"x", 0, None), libc::ECONNRESET);
        self.fails("then broken", self.send(client, b"x", 0, None), libc::EPIPE);
        close(&[client]);
        // Somebody who accepts nothing lets others wait, those too who send at once.
        let (listening, address) = listener(0);
        let fill: Vec<i32> = (0..3).map(|_| socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)).collect();
        for fd in &fill {
            let _ = connect(*fd, &address);
        }
        let fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        let _ = connect(fd, &address);
        self.fails(
            "opened twice",
            self.send(fd, b"x", MSG_FASTOPEN, Some(&address)),
            libc::EALREADY,
        );
        close(&fill);
        close(&[listening, fd]);
    }

    fn datagrams(&mut self) {
        let fd = socket(AF_INET, SOCK_DGRAM);
        self.fails("to no address", self.send(fd, b"x", 0, None), libc::EDESTADDRREQ);
        let mut address = Address::loopback(9);
        self.fails("out of band", self.send(fd, b"x", MSG_OOB, Some(&address)), libc::EOPNOTSUPP);
        let large = vec![0; 70_000];
        self.fails("too large", self.send(fd, &large, 0, Some(&address)), libc::EMSGSIZE);
        address.0[4..8].copy_from_slice(&[255; 4]);
        self.fails("to everybody, unasked", self.send(fd, b"x", 0, Some(&address)), libc::EACCES);
        let other = Address([&[10, 0][..], &[0; 14]].concat());
        self.fails("another family", self.send(fd, b"x", 0, Some(&other)), libc::EAFNOSUPPORT);
        close(&[fd]);

        let fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK);
        let (there, gone) = (Address::path("there"), Address::path("gone"));
        self.fails("without a peer", self.send(fd, b"x", 0, None), libc::ENOTCONN);
        self.fails("to nobody", self.send(fd, b"x", 0, Some(&gone)), libc::ENOENT);
        self.fails("out of band", self.send(fd, b"x", MSG_OOB, Some(&gone)), libc::EOPNOTSUPP);
        let receiver = socket(AF_UNIX, SOCK_DGRAM);
        let _ = bind(receiver, &there);
        let nowhere = self.1.call(true, fd, NOWHERE, 4, 0, Some(&there));
        self.fails("from nowhere", nowhere, libc::EFAULT);
        let _ = call!(chmod(c"there".as_ptr(), 0));
        let private = as_nobody(|| self.send(fd, b"x", 0, Some(&there)));
        self.fails("without permission", private, libc::EACCES);
        let _ = call!(chmod(c"there".as_ptr(), 0o600));
        let large = vec![0; 1 << 20];
        self.fails("too large", self.send(fd, &large, 0, Some(&there)), libc::EMSGSIZE);
        while self.send(fd, b"x", 0, Some(&there)).is_ok() {}
        self.fails("full", self.send(fd, b"x", 0, Some(&there)), libc::EAGAIN);
        let _ = call!(fcntl(fd, libc::F_SETFL, 0));
        let waited = interrupted(|| self.send(fd, b"x", 0, Some(&there)));
        self.fails("a signal", waited, libc::EINTR);
        close(&[receiver]);
        self.fails("nobody there", self.send(fd, b"x", 0, Some(&there)), libc::ECONNREFUSED);
        close(&[fd]);
        let _ = std::fs::remove_file("there");
    }
}

/// Receiving in one form.
struct Receive<'t>(&'t mut Checks, Form);

impl Receive<'_> {
    fn receive(&self, fd: i32, flags: i32) -> Called {
        let mut room = [0_u8; 16];
        self.1.call(false, fd, room.as_mut_ptr().expose_provenance(), 16, flags, None)
    }

    fn fails(&mut self, what: &str, got: Called, errno: i32) {
        self.0.fails(&format!("{:?} receive: {what}", self.1), got, errno);
    }

    fn all(&mut self) {
        self.fails("a closed one", self.receive(CLOSED, 0), libc::EBADF);
        self.fails("a file", self.receive(FILE, 0), libc::ENOTSOCK);
        let (a, b) = pair(SOCK_STREAM);
        self.fails("nothing there", self.receive(a, MSG_DONTWAIT), libc::EAGAIN);
        let waited = interrupted(|| self.receive(a, 0));
        self.fails("a signal", waited, libc::EINTR);
        let _ = write(b, b"x");
        self.fails("to nowhere", self.1.call(false, a, NOWHERE, 1, 0, None), libc::EFAULT);
        let _ = write(b, b"x");
        let (c, d) = pair(SOCK_DGRAM);
        self.fails("datagrams out of band", self.receive(c, MSG_OOB), libc::EOPNOTSUPP);
        let _ = write(d, b"x");
        self.fails("one to nowhere", self.1.call(false, c, NOWHERE, 1, 0, None), libc::EFAULT);
        close(&[a, b, c, d]);
        // Linux finds a stream that is not connected to be of no use.
        for (family, kind, errno) in [
            (AF_INET, SOCK_STREAM, libc::ENOTCONN),
            (AF_UNIX, SOCK_STREAM, libc::EINVAL),
            (AF_UNIX, SOCK_SEQPACKET, libc::ENOTCONN),
        ] {
            let fd = socket(family, kind);
            let what = format!("kind {kind} of family {family} without a peer");
            self.fails(&what, self.receive(fd, 0), errno);
            close(&[fd]);
        }
        let (client, server) = connection();
        self.fails("nothing out of band", self.receive(client, MSG_OOB), libc::EINVAL);
        let waited = interrupted(|| self.receive(client, 0));
        self.fails("a signal, by the Internet", waited, libc::EINTR);
        let _ = write(server, b"x");
        let _ = until(|| ready(client, libc::POLLIN) != 0);
        let nowhere = self.1.call(false, client, NOWHERE, 1, 0, None);
        self.fails("to nowhere, by the Internet", nowhere, libc::EFAULT);
        self.0.is("and it is still there", self.receive(client, MSG_DONTWAIT), Ok(1));
        close(&[client, server]);
        let refused = without_peer();
        let _ = write(refused, b"x");
        let _ = until(|| ready(refused, libc::POLLIN) & libc::POLLERR != 0);
        self.fails("nobody was there", self.receive(refused, 0), libc::ECONNREFUSED);
        close(&[refused]);
    }
}

/// Headers that no message has.
fn headers(t: &mut Checks) {
    let (a, b) = pair(SOCK_DGRAM);
    let byte = [0_u8; 1];
    let part = [byte.as_ptr().expose_provenance(), 1];
    let parts = [part; 1025];
    // SAFETY: all zeros are valid.
    let mut plain: libc::msghdr = unsafe { zeroed() };
    plain.msg_iov = parts.as_ptr().cast_mut().cast();
    plain.msg_iovlen = 1;
    let send = |header: &libc::msghdr| call!(syscall(SYS_sendmsg, a, &raw const *header, 0));
    let receive =
        |header: &libc::msghdr| call!(syscall(SYS_recvmsg, b, &raw const *header, MSG_DONTWAIT));
    t.fails("send at nowhere", call!(syscall(SYS_sendmsg, a, NOWHERE, 0)), libc::EFAULT);
    t.fails("receive at nowhere", call!(syscall(SYS_recvmsg, b, NOWHERE, 0)), libc::EFAULT);
    let too_many = libc::msghdr { msg_iovlen: 1025, ..plain };
    t.fails("send too many parts", send(&too_many), libc::EMSGSIZE);
    t.fails("receive too many parts", receive(&too_many), libc::EMSGSIZE);
    let nowhere = libc::msghdr { msg_iov: NOWHERE as *mut _, ..plain };
    t.fails("send parts at nowhere", send(&nowhere), libc::EFAULT);
    t.fails("receive parts at nowhere", receive(&nowhere), libc::EFAULT);
    let negative = [[part[0], usize::MAX]; 1];
    let negative = libc::msghdr { msg_iov: negative.as_ptr().cast_mut().cast(), ..plain };
    t.fails("send less than nothing", send(&negative), libc::EINVAL);
    t.fails("receive less than nothing", receive(&negative), libc::EINVAL);
    let name = (part[0] as *mut libc::c_void, u32::MAX);
    let long_name = libc::msghdr { msg_name: name.0, msg_namelen: name.1, ..plain };
    t.fails("send to less than an address", send(&long_name), libc::EINVAL);
    t.fails("receive less than an address", receive(&long_name), libc::EINVAL);
    let control = libc::msghdr { msg_control: NOWHERE as *mut _, msg_controllen: 24, ..plain };
    t.fails("send control at nowhere", send(&control), libc::EFAULT);
    let huge = libc::msghdr { msg_controllen: 1 << 31, ..control };
    t.fails("send too much control", send(&huge), libc::ENOBUFS);
    t.fails("nothing was sent", receive(&plain), libc::EAGAIN);
    close(&[a, b]);
}

fn control_messages(t: &mut Checks) {
    let (a, b) = pair(SOCK_DGRAM);
    let byte = [0_u8; 1];
    let part = [byte.as_ptr().expose_provenance(), 1];
    let send = |control: &[u8]| {
        // SAFETY: all zeros are valid.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_iov = (&raw const part).cast_mut().cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len();
        call!(syscall(SYS_sendmsg, a, &raw const header, 0))
    };
    let closed = control(libc::SCM_RIGHTS, &CLOSED.to_ne_bytes());
    t.fails("a closed descriptor", send(&closed), libc::EBADF);
    let many: Vec<u8> = (0..254).flat_map(|_| 0_i32.to_ne_bytes()).collect();
    t.fails("too many descriptors", send(&control(libc::SCM_RIGHTS, &many)), libc::EINVAL);
    t.fails("an unknown kind", send(&control(99, &[0; 4])), libc::EINVAL);
    t.fails("credentials cut short", send(&control(libc::SCM_CREDENTIALS, &[0; 8])), libc::EINVAL);
    let mut long = control(libc::SCM_RIGHTS, &0_i32.to_ne_bytes());
    long[..8].copy_from_slice(&1000_u64.to_ne_bytes());
    t.fails("longer than all", send(&long), libc::EINVAL);
    long[..8].copy_from_slice(&8_u64.to_ne_bytes());
    t.fails("shorter than its header", send(&long), libc::EINVAL);
    let credentials = [1_i32, 0, 0].map(i32::to_ne_bytes).concat();
    let credentials = control(libc::SCM_CREDENTIALS, &credentials);
    t.fails("who one is not", as_nobody(|| send(&credentials)), libc::EPERM);
    let mut room = [0_u8; 1];
    let got = call!(recv(b, room.as_mut_ptr().cast(), 1, MSG_DONTWAIT));
    t.fails("nothing was sent", got, libc::EAGAIN);
    close(&[a, b]);
}

fn many(t: &mut Checks) {
    let (a, b) = pair(SOCK_DGRAM);
    let bytes = [0_u8; 4];
    let part = [bytes.as_ptr().expose_provenance(), 4];
    // SAFETY: all zeros are valid.
    let mut messages: [libc::mmsghdr; 2] = unsafe { zeroed() };
    for message in &mut messages {
        message.msg_hdr.msg_iov = (&raw const part).cast_mut().cast();
        message.msg_hdr.msg_iovlen = 1;
    }
    let at = messages.as_mut_ptr().expose_provenance();
    t.is("send none", call!(syscall(SYS_sendmmsg, a, at, 0, 0)), Ok(0));
    t.fails("send at nowhere", call!(syscall(SYS_sendmmsg, a, NOWHERE, 1, 0)), libc::EFAULT);
    let receive = |at: usize, count: u32, time: usize| {
        call!(syscall(SYS_recvmmsg, b, at, count, MSG_DONTWAIT, time))
    };
    t.fails("receive none", receive(at, 1, 0), libc::EAGAIN);
    t.fails("a time at nowhere", receive(at, 1, NOWHERE), libc::EFAULT);
    for bad in [
        libc::timespec { tv_sec: -1, tv_nsec: 0 },
        libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 },
    ] {
        let time = (&raw const bad).expose_provenance();
        t.fails("a bad time", receive(at, 1, time), libc::EINVAL);
    }
    // The second one is out of reach: the first one counts.
    messages[1].msg_hdr.msg_iov = NOWHERE as *mut _;
    t.is("send one of two", call!(syscall(SYS_sendmmsg, a, at, 2, 0)), Ok(1));
    t.is("it is four bytes", messages[0].msg_len, 4);
    t.is("receive it", read::<9>(b), Ok(vec![0; 4]));
    close(&[a, b]);
}
