//! `RWF_NOWAIT` of `preadv2(2)` and `pwritev2(2)`: what would have to wait fails.

use std::fs;

use lx_guest_tests::files::{address, close, open, sys};
use lx_guest_tests::{Called, Checks, Scratch, call, pipe, write};

/// Bytes that no pipe has room for.
const MUCH: usize = 1 << 20;

fn main() {
    let mut t = Checks::new();
    let scratch = Scratch::enter();
    t.ok("a folder", scratch.is_ok());
    pipes(&mut t);
    sockets(&mut t);
    counters(&mut t);
    others(&mut t);
    drop(scratch);
    t.end();
}

/// A transfer of `len` bytes, at the position of the file unless at an offset.
fn transfer(number: i64, fd: i32, len: usize, offset: i64) -> Called {
    let mut buffer = vec![b'x'; len];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: len };
    sys(number, [fd.into(), address(&mut part), 1, offset, 0, libc::RWF_NOWAIT.into()])
}

fn read(fd: i32, len: usize) -> Called {
    transfer(libc::SYS_preadv2, fd, len, -1)
}

fn put(fd: i32, len: usize) -> Called {
    transfer(libc::SYS_pwritev2, fd, len, -1)
}

fn pipes(t: &mut Checks) {
    let (reader, writer) = pipe();
    t.fails("nothing there", read(reader, 5), libc::EAGAIN);
    t.is("room", put(writer, 5), Ok(5));
    t.is("bytes", read(reader, 9), Ok(5));
    t.is("as many as there is room for", put(writer, MUCH), Ok(65_536));
    t.fails("no room", put(writer, 1), libc::EAGAIN);
    t.fails("no offset", transfer(libc::SYS_preadv2, reader, 5, 0), libc::ESPIPE);
    t.is("all", read(reader, MUCH), Ok(65_536));
    t.is("no bytes, no wait", read(reader, 0), Ok(0));
    close(writer);
    t.is("the end", read(reader, 5), Ok(0));
    close(reader);
}

fn sockets(t: &mut Checks) {
    let mut pair = [0; 2];
    let made = call!(socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()));
    t.is("sockets", made, Ok(0));
    let [one, other] = pair;
    t.fails("nothing there", read(one, 5), libc::EAGAIN);
    t.is("sent", put(other, 5), Ok(5));
    t.is("received", read(one, 9), Ok(5));
    let mut all = 0;
    let end = loop {
        match put(other, MUCH) {
            Ok(count) => all += count,
            Err(errno) => break errno,
        }
    };
    t.is("full", end, libc::EAGAIN);
    t.ok("with some bytes", all > 1000);
    // What a wait may last at most changes nothing.
    let span = libc::timeval { tv_sec: 5, tv_usec: 0 };
    let size = size_of::<libc::timeval>() as u32;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
    let set = call!(setsockopt(other, level, option, (&raw const span).cast(), size));
    t.is("a timeout", set, Ok(0));
    t.fails("nothing came", read(other, 5), libc::EAGAIN);
    close(one);
    close(other);
}

fn counters(t: &mut Checks) {
    let event = t.works("an eventfd", call!(eventfd(0, 0))) as i32;
    t.fails("no count", read(event, 8), libc::EAGAIN);
    t.is("counted", write(event, &1_u64.to_ne_bytes()), Ok(8));
    t.is("a count", read(event, 8), Ok(8));
    t.fails("not counted so", put(event, 8), libc::EOPNOTSUPP);
    close(event);
    let timer = t.works("a timer", call!(timerfd_create(libc::CLOCK_MONOTONIC, 0))) as i32;
    t.fails("not expired", read(timer, 8), libc::EAGAIN);
    close(timer);
    let mut none = 0_u64;
    let made = sys(libc::SYS_signalfd4, [-1, address(&mut none), 8, 0]);
    let signals = t.works("a signalfd", made) as i32;
    t.fails("no signal", read(signals, 128), libc::EAGAIN);
    close(signals);
}

fn others(t: &mut Checks) {
    let null = open("/dev/null", libc::O_RDWR);
    t.is("nothing is at once", read(null, 5), Ok(0));
    t.is("into nothing, too", put(null, 5), Ok(5));
    close(null);
    let zero = open("/dev/zero", libc::O_RDWR);
    t.is("zeros", read(zero, 5), Ok(5));
    close(zero);
    let watches = t.works("an inotify instance", call!(inotify_init1(0))) as i32;
    t.fails("not of this", read(watches, 100), libc::EOPNOTSUPP);
    close(watches);
    let memory = t.works("a file in memory", call!(memfd_create(c"file".as_ptr(), 0))) as i32;
    t.is("with bytes", write(memory, b"hello"), Ok(5));
    t.fails("nor this", transfer(libc::SYS_preadv2, memory, 5, 0), libc::EOPNOTSUPP);
    t.fails("nor its writing", transfer(libc::SYS_pwritev2, memory, 5, 0), libc::EOPNOTSUPP);
    close(memory);
    t.ok("a file", fs::write("file", "hello").is_ok());
    let folder = open(".", libc::O_RDONLY);
    t.fails("nor a folder", read(folder, 5), libc::EOPNOTSUPP);
    close(folder);
}
