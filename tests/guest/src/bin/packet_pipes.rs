//! Pipes in packet mode, `O_DIRECT` in `pipe(2)`: each write is a packet, each read gets one.

use std::ptr::null_mut;

use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call, fork, read, wait, write};

const NONBLOCK: i32 = libc::O_NONBLOCK;
const PACKETS: i32 = libc::O_DIRECT | NONBLOCK;
const PAGE: usize = 4096;
/// Packets that a pipe of the usual size holds.
const SLOTS: usize = 16;

fn main() {
    let mut t = Checks::new();
    packets(&mut t);
    long_packets(&mut t);
    room(&mut t);
    switched(&mut t);
    vectors(&mut t);
    spliced(&mut t);
    fifos(&mut t);
    sleepers(&mut t);
    t.end();
}

fn pipe2(flags: i32) -> (i32, i32) {
    let mut ends = [-1; 2];
    let _ = call!(pipe2(ends.as_mut_ptr(), flags));
    (ends[0], ends[1])
}

fn close((r, w): (i32, i32)) {
    let _ = (call!(close(r)), call!(close(w)));
}

fn set_flags(fd: i32, flags: i32) -> Called {
    call!(fcntl(fd, libc::F_SETFL, flags))
}

/// What the next reads of `wanted` bytes get, as text.
fn reads<const N: usize>(fd: i32, wanted: [usize; N]) -> [Result<String, i32>; N] {
    wanted.map(|len| {
        let mut bytes = vec![0_u8; len];
        let count = call!(read(fd, bytes.as_mut_ptr().cast(), len))?;
        bytes.truncate(count as usize);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

fn texts<const N: usize>(texts: [&str; N]) -> [Result<String, i32>; N] {
    texts.map(|text| if text.is_empty() { Err(libc::EAGAIN) } else { Ok(text.to_owned()) })
}

/// Takes everything out; how long the packets were.
fn lengths(fd: i32) -> Vec<usize> {
    std::iter::from_fn(|| read::<100_000>(fd).ok()).map(|bytes| bytes.len()).collect()
}

fn packets(t: &mut Checks) {
    let (r, w) = pipe2(PACKETS);
    t.is("a packet", write(w, b"abc"), Ok(3));
    t.is("another", write(w, b"defg"), Ok(4));
    let mut waiting = 0;
    t.is("FIONREAD", call!(ioctl(r, libc::FIONREAD, &mut waiting)), Ok(0));
    t.is("counts both", waiting, 7);
    t.is("a read gets one packet", reads(r, [100, 100, 1]), texts(["abc", "defg", ""]));
    let _ = (write(w, b"abc"), write(w, b"defg"));
    t.is("what it has no room for is lost", reads(r, [2, 1, 1]), texts(["ab", "d", ""]));
    t.is("no bytes are no packet", write(w, b""), Ok(0));
    t.is("nothing came", reads(r, [1]), texts([""]));
    let _ = write(w, b"kept");
    t.is("no bytes asked for", read::<0>(r), Ok(vec![]));
    t.fails("a bad address", call!(read(r, NOWHERE as *mut _, 10)), libc::EFAULT);
    t.is("the packet is still there", reads(r, [10, 1]), texts(["kept", ""]));
    t.fails("a bad source", call!(write(w, NOWHERE as *const _, 10)), libc::EFAULT);
    t.is("leaves nothing", reads(r, [10]), texts([""]));
    let flag = |fd| call!(fcntl(fd, libc::F_GETFL)).map(|flags| flags as i32 & libc::O_DIRECT != 0);
    t.is("the flag is the writer's", (flag(r), flag(w)), (Ok(false), Ok(true)));
    let _ = write(w, b"last");
    let _ = call!(close(w));
    t.is("a packet without a writer", reads(r, [2]), texts(["la"]));
    t.is("the end of file", read::<10>(r), Ok(vec![]));
    let _ = call!(close(r));
}

fn long_packets(t: &mut Checks) {
    let (r, w) = pipe2(PACKETS);
    t.is("a page", write(w, &[b'x'; PAGE]), Ok(PAGE as i64));
    t.is("is a packet", lengths(r), vec![PAGE]);
    t.is("more than two", write(w, &[b'x'; 10_000]), Ok(10_000));
    t.is("are packets of a page and the rest", lengths(r), vec![PAGE, PAGE, 10_000 - 2 * PAGE]);
    t.is("a write that does not fit", write(w, &[b'x'; 20 * PAGE]), Ok((SLOTS * PAGE) as i64));
    t.is("fills the pipe", write(w, b"x"), Err(libc::EAGAIN));
    t.is("with packets", lengths(r), vec![PAGE; SLOTS]);
    close((r, w));
}

fn room(t: &mut Checks) {
    let (r, w) = pipe2(PACKETS);
    let fill = || std::iter::repeat_with(|| write(w, b"x")).take_while(|&put| put == Ok(1)).count();
    let writable = || {
        let mut poll = libc::pollfd { fd: w, events: libc::POLLOUT, revents: 0 };
        let _ = call!(poll(&mut poll, 1, 0));
        poll.revents == libc::POLLOUT
    };
    t.is("packets of a byte that fit", fill(), SLOTS);
    t.ok("the pipe is full", !writable());
    t.is("one is read", reads(r, [1]), texts(["x"]));
    t.ok("there is room", writable());
    t.is("for one", fill(), 1);
    let size = |pages: usize| call!(fcntl(w, libc::F_SETPIPE_SZ, pages * PAGE));
    t.fails("they do not fit into less", size(SLOTS / 2), libc::EBUSY);
    t.is("but into more", size(2 * SLOTS), Ok((2 * SLOTS * PAGE) as i64));
    t.is("which has room again", fill(), SLOTS);
    t.is("all of them", lengths(r), vec![1; 2 * SLOTS]);
    close((r, w));
}

fn switched(t: &mut Checks) {
    let (r, w) = pipe2(NONBLOCK);
    let _ = (write(w, b"pl"), write(w, b"ain"));
    t.is("packets from now on", set_flags(w, PACKETS), Ok(0));
    // Linux fills the page of plain bytes that is the newest.
    let _ = (write(w, b"packet"), write(w, b"two"));
    t.is("join what came before them", reads(r, [7, 100, 1]), texts(["plainpa", "ckettwo", ""]));
    let _ = (write(w, b"A"), write(w, b"B"));
    let _ = set_flags(w, NONBLOCK);
    let _ = (write(w, b"C"), write(w, b"D"));
    t.is("packets, then bytes", reads(r, [100, 100, 100, 1]), texts(["A", "B", "CD", ""]));
    let page = "a".repeat(PAGE);
    let _ = (write(w, page.as_bytes()), set_flags(w, PACKETS), write(w, b"pp"), write(w, b"qq"));
    let across = format!("{page}p");
    t.is("a read of bytes goes on into a packet", reads(r, [PAGE + 1]), texts([&across]));
    t.is("and loses its rest", reads(r, [10, 1]), texts(["qq", ""]));
    t.is("for the reader it means nothing", set_flags(r, PACKETS), Ok(0));
    close((r, w));
}

fn vectors(t: &mut Checks) {
    let (r, w) = pipe2(PACKETS);
    let part = |text: &[u8]| libc::iovec { iov_base: text.as_ptr() as *mut _, iov_len: text.len() };
    let parts = [part(b"one"), part(b"two"), part(b"three")];
    t.is("a vector is a packet", call!(writev(w, parts.as_ptr(), 3)), Ok(11));
    let mut bytes = [b'-'; 16];
    let (head, tail) = bytes.split_at_mut(4);
    let into =
        [head, tail].map(|to| libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() });
    t.is("into a vector", call!(readv(r, into.as_ptr(), 2)), Ok(11));
    t.is("its bytes", String::from_utf8_lossy(&bytes).into_owned(), "onetwothree-----".to_owned());
    close((r, w));
}

fn spliced(t: &mut Checks) {
    let (r, w) = pipe2(PACKETS);
    let (other, into) = pipe2(NONBLOCK);
    let splice = |from: i32, to: i32, len: usize| {
        call!(splice(from, null_mut(), to, null_mut(), len, libc::SPLICE_F_NONBLOCK))
    };
    let _ = (write(w, b"one"), write(w, b"two2"), write(w, b"three"));
    t.is("tee", call!(tee(r, into, 5, libc::SPLICE_F_NONBLOCK)), Ok(5));
    t.is("copies packets", reads(other, [100, 100, 1]), texts(["one", "tw", ""]));
    t.is("splice", splice(r, into, 5), Ok(5));
    t.is("moves packets", reads(other, [100, 1, 1]), texts(["one", "t", ""]));
    t.is("and divides them", reads(r, [100, 100, 1]), texts(["o2", "three", ""]));
    let file = call!(memfd_create(c("file").as_ptr(), 0)).unwrap_or(-1) as i32;
    let _ = (write(w, b"one"), write(w, b"two2"), write(w, b"three"));
    t.is("to a file", splice(r, file, 5), Ok(5));
    t.is("the rest of the packet stays", reads(r, [1, 10, 1]), texts(["o", "three", ""]));
    let mut offset = 0_i64;
    let back = call!(splice(file, &raw mut offset, w, null_mut(), 5, libc::SPLICE_F_NONBLOCK));
    t.is("from a file", back, Ok(5));
    t.is("come plain bytes", reads(r, [2, 10, 1]), texts(["on", "etw", ""]));
    let _ = call!(close(file));
    close((r, w));
    close((other, into));
}

fn fifos(t: &mut Checks) {
    let Ok(scratch) = Scratch::enter() else { return t.ok("a folder", false) };
    let name = c("fifo");
    t.is("a FIFO", call!(mkfifo(name.as_ptr(), 0o600)), Ok(0));
    let direct = call!(open(name.as_ptr(), libc::O_RDWR | libc::O_DIRECT));
    t.fails("cannot be opened for packets", direct, libc::EINVAL);
    let fd = call!(open(name.as_ptr(), libc::O_RDWR | NONBLOCK)).unwrap_or(-1) as i32;
    t.is("but be set to them", set_flags(fd, PACKETS), Ok(0));
    let _ = (write(fd, b"abc"), write(fd, b"de"));
    t.is("packets", reads(fd, [10, 1, 1]), texts(["abc", "d", ""]));
    let _ = write(fd, b"left");
    let _ = call!(close(fd));
    let fd = call!(open(name.as_ptr(), libc::O_RDWR | NONBLOCK)).unwrap_or(-1) as i32;
    t.is("nothing is left of them", reads(fd, [1]), texts([""]));
    let _ = (write(fd, b"ab"), write(fd, b"cd"));
    t.is("nor of the mode", reads(fd, [10]), texts(["abcd"]));
    let _ = call!(close(fd));
    drop(scratch);
    let (r, w) = pipe2(0);
    let again = c(&format!("/proc/self/fd/{w}"));
    let direct = call!(open(again.as_ptr(), libc::O_WRONLY | libc::O_DIRECT));
    t.fails("nor can a pipe be opened again so", direct, libc::EINVAL);
    close((r, w));
}

/// A reader and a writer that wait for each other.
fn sleepers(t: &mut Checks) {
    let (r, w) = pipe2(libc::O_DIRECT);
    let sizes = |at: usize| at % 61 * 97 % 4000 + 1;
    const COUNT: usize = 2000;
    let child = fork(|| {
        let _ = call!(close(r));
        let bytes = [b'x'; PAGE];
        let all = (0..COUNT).all(|at| write(w, &bytes[..sizes(at)]) == Ok(sizes(at) as i64));
        i32::from(!all)
    });
    let _ = call!(close(w));
    let right = (0..COUNT).all(|at| read::<PAGE>(r).is_ok_and(|bytes| bytes.len() == sizes(at)));
    t.ok("many packets of different lengths", right);
    t.is("then the end", read::<PAGE>(r), Ok(vec![]));
    t.is("the writer", wait(child), lx_guest_tests::Ended::Exit(0));
    let _ = call!(close(r));
    let (r, w) = pipe2(libc::O_DIRECT);
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    let _ = call!(close(r));
    t.fails("a packet for nobody", write(w, b"x"), libc::EPIPE);
    t.fails("before a bad address", call!(write(w, NOWHERE as *const _, 1)), libc::EPIPE);
    let _ = call!(close(w));
}
