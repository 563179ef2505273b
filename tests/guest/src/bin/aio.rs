//! Native asynchronous I/O: contexts and their rings, reads and writes; `io_setup(2)`,
//! `io_submit(2)`.

use std::fs;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use lx_guest_tests::aio::{
    AT_ONCE, Event, FDSYNC, FSYNC, IOPRIO, Iocb, NOOP, PREAD, PREADV, PWRITE, PWRITEV, RESFD,
    destroy, get, header, page, result, set_header, setup, submit, submit_one,
};
use lx_guest_tests::files::{address, as_nobody, close, is_root, open, sys};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, c, call, fork, pipe, read, until, wait, write,
};

/// Asks the program to sleep only.
const SLEEP: &str = "--sleep";

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == SLEEP) {
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut t = Checks::new();
    let scratch = Scratch::enter();
    t.ok("a folder", scratch.is_ok());
    contexts(&mut t);
    rings(&mut t);
    let context = t.works("a context", setup(10));
    transfers(&mut t, context);
    refused(&mut t, context);
    flags(&mut t, context);
    streams(&mut t, context);
    lists(&mut t, context);
    t.is("destroyed", destroy(context), Ok(0));
    slots(&mut t);
    moved(&mut t);
    children(&mut t);
    drop(scratch);
    t.end();
}

fn number(name: &str) -> i64 {
    let text = fs::read_to_string(format!("/proc/sys/fs/{name}")).unwrap_or_default();
    text.trim().parse().unwrap_or(-1)
}

fn setup_at(requests: i64, at: i64) -> Called {
    sys(libc::SYS_io_setup, [requests, at])
}

/// More operations than the contexts of other programs have.
const MANY: i64 = 20_000;

fn contexts(t: &mut Checks) {
    t.fails("no place for the id", setup_at(1, NOWHERE as i64), libc::EFAULT);
    t.fails("nor for that of none", setup_at(0, NOWHERE as i64), libc::EFAULT);
    t.fails("a place that cannot be written", setup_at(1, page(libc::PROT_READ)), libc::EFAULT);
    t.fails("an id that is there", setup_at(1, address(&mut 5_i64)), libc::EINVAL);
    t.fails("no operations", setup(0), libc::EINVAL);
    let max = number("aio-max-nr");
    t.fails("more than there may be", setup(max + 1), libc::EAGAIN);
    t.fails("more than a ring has slots", setup(0x40_0001), libc::EINVAL);
    t.fails("as many as an int has", setup(0x7fff_ffff), libc::EINVAL);
    t.fails("twice as many are none", setup(0x8000_0000), libc::EAGAIN);
    let context = t.works("many", setup(MANY));
    t.ok("they are counted", number("aio-nr") >= MANY);
    t.fails("not more than the limit with them", setup(max - MANY + 1), libc::EAGAIN);
    t.is("destroyed", destroy(context), Ok(0));
    t.fails("once", destroy(context), libc::EINVAL);
    t.ok("they are counted no more", number("aio-nr") < MANY);
    t.fails("an address without a ring", destroy(NOWHERE as i64), libc::EINVAL);
    t.fails("nor is one here", destroy(page(libc::PROT_READ)), libc::EINVAL);
}

fn mapped_at(address: i64) -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let line = maps.lines().find(|line| line.starts_with(&format!("{address:x}-")));
    let mut fields = line.unwrap_or_default().split_whitespace();
    let rights = fields.nth(1).unwrap_or_default().to_owned();
    let name: Vec<_> = fields.skip(3).collect();
    format!("{rights} {}", name.join(" "))
}

fn rings(t: &mut Checks) {
    let context = t.works("a context", setup(100));
    t.is("its ring is mapped", mapped_at(context), "rw-s /[aio] (deleted)".to_owned());
    let [id, slots, head, tail, magic, compat, incompat, length] = header(context);
    t.is("the first id", (id, head, tail), (0, 0, 0));
    t.is("what libraries look at", (magic, compat, incompat), (0xa10a_10a1, 1, 0));
    t.is("the slots follow", length, 32);
    t.is("as many as fit into pages", (slots + 1) % 128, 0);
    t.ok("more than twice as many as asked for", slots > 200);
    let other = t.works("another", setup(1));
    t.is("the next id", header(other)[0], 1);
    t.is("the first is destroyed", destroy(context), Ok(0));
    let again = t.works("a third", setup(1));
    t.is("the free id", header(again)[0], 0);
    let file = open("ring", libc::O_RDWR | libc::O_CREAT);
    t.is("a write", result(again, Iocb::write(file, b"x", 0)), Ok(1));
    t.is("head and tail", header(again)[2..4].to_vec(), vec![1, 1]);
    close(file);
    t.is("destroyed", destroy(other), Ok(0));
    t.is("destroyed too", destroy(again), Ok(0));
    t.is("unmapped", mapped_at(again), " ".to_owned());
}

fn transfers(t: &mut Checks, context: i64) {
    let file = open("file", libc::O_RDWR | libc::O_CREAT);
    let mut buffer = [0; 100];
    let base = buffer.as_mut_ptr() as i64;
    t.is("a write", result(context, Iocb::write(file, b"hello world", 0)), Ok(11));
    t.is("a read", result(context, Iocb::read(file, &mut buffer, 6)), Ok(5));
    t.is("its bytes", &buffer[..5], b"world");
    t.is("the position is where it was", call!(lseek(file, 0, libc::SEEK_CUR)), Ok(0));
    let part = |at: i64, len| libc::iovec { iov_base: (base + at) as *mut _, iov_len: len };
    let mut parts = [part(0, 2), part(10, 50)];
    let list =
        |opcode, count, offset| Iocb::transfer(opcode, file, parts.as_ptr() as i64, count, offset);
    t.is("a read of parts", result(context, list(PREADV, 2, 0)), Ok(11));
    t.is("the second part", &buffer[10..19], b"llo world");
    t.is("a write of parts", result(context, list(PWRITEV, 1, 20)), Ok(2));
    t.is(
        "it begins there",
        fs::read("file").map(|bytes| bytes[20..].to_vec()).ok(),
        Some(b"he".to_vec()),
    );
    t.fails("too many parts", result(context, list(PREADV, 2000, 0)), libc::EINVAL);
    parts[0].iov_len = usize::MAX;
    t.fails(
        "a part that is too long",
        result(context, Iocb::transfer(PREADV, file, parts.as_ptr() as i64, 2, 0)),
        libc::EINVAL,
    );
    let nowhere = NOWHERE as i64;
    t.fails(
        "no parts there",
        result(context, Iocb::transfer(PREADV, file, nowhere, 2, 0)),
        libc::EFAULT,
    );
    let read = |buf, len, offset| result(context, Iocb::transfer(PREAD, file, buf, len, offset));
    t.is("no buffer there: it completes", read(nowhere, 10, 0), Ok(-i64::from(libc::EFAULT)));
    t.is("but there is nothing to read", read(nowhere, 10, 100), Ok(0));
    t.fails("the kernel's memory", read(-0x7f_ffff_ffff_ffff, 10, 0), libc::EFAULT);
    t.is("nothing", read(base, 0, 0), Ok(0));
    t.fails("a negative offset", read(base, 10, -1), libc::EINVAL);
    t.fails("beyond all offsets", read(base, 10, i64::MAX), libc::EINVAL);
    t.fails("a negative length", read(base, usize::MAX, 0), libc::EINVAL);
    for (what, opcode) in [("synchronized", FSYNC), ("its data", FDSYNC)] {
        t.is(what, result(context, Iocb::transfer(opcode, file, 0, 0, 0)), Ok(0));
        let with_buffer = Iocb::transfer(opcode, file, base, 0, 0);
        t.fails("not with a buffer", result(context, with_buffer), libc::EINVAL);
    }
    close(file);
}

fn refused(t: &mut Checks, context: i64) {
    let mut buffer = [0; 8];
    let mut of = |opcode, fd| {
        let iocb = Iocb { opcode, ..Iocb::read(fd, &mut buffer, 0) };
        result(context, iocb)
    };
    let read_only = open("file", libc::O_RDONLY);
    let write_only = open("file", libc::O_WRONLY);
    let place = open("file", libc::O_PATH);
    let folder = open(".", libc::O_RDONLY);
    t.fails("not open for reading", of(PREAD, write_only), libc::EBADF);
    t.fails("not open for writing", of(PWRITE, read_only), libc::EBADF);
    t.fails("a place", of(PREAD, place), libc::EBADF);
    t.fails("not open", of(PREAD, -1), libc::EBADF);
    t.fails("a folder", of(PREAD, folder), libc::EINVAL);
    t.fails("an operation that never was", of(4, read_only), libc::EINVAL);
    t.fails("one that is none", of(9, read_only), libc::EINVAL);
    t.fails("nothing to be done", of(NOOP, read_only), libc::EINVAL);
    t.fails("the descriptor comes first", of(9, -1), libc::EBADF);
    let reserved = Iocb { reserved: 1, ..Iocb::read(read_only, &mut buffer, 0) };
    t.fails("a reserved field", result(context, reserved), libc::EINVAL);
    let fsync = Iocb::transfer(FSYNC, folder, 0, 0, 0);
    t.is("a folder is synchronized", result(context, fsync), Ok(0));
    t.is("so is a file open for reading", result(context, Iocb { fd: read_only, ..fsync }), Ok(0));
    for fd in [read_only, write_only, place, folder] {
        close(fd);
    }
}

fn flags(t: &mut Checks, context: i64) {
    let file = open("flags", libc::O_RDWR | libc::O_CREAT);
    let write_only = open("flags", libc::O_WRONLY);
    let mut buffer = [0; 8];
    let hello = Iocb::write(file, b"hello", 0);
    t.is("a write", result(context, hello), Ok(5));
    t.is("at the end", result(context, Iocb { rw_flags: 0x10, ..hello }), Ok(5));
    t.is("the length", fs::metadata("flags").map(|data| data.len()).ok(), Some(10));
    t.is("synchronized", result(context, Iocb { rw_flags: 0x6, ..hello }), Ok(5));
    let both = Iocb { rw_flags: 0x30, ..hello };
    t.fails("at the end and not", result(context, both), libc::EINVAL);
    let plain = Iocb::read(file, &mut buffer, 0);
    let unknown = Iocb { rw_flags: 1 << 24, ..plain };
    t.fails("flags that are none", result(context, unknown), libc::EOPNOTSUPP);
    let unknown = Iocb { fd: write_only, ..unknown };
    t.fails("they come before the mode", result(context, unknown), libc::EOPNOTSUPP);
    t.is("a hint", result(context, Iocb { rw_flags: 1, ..plain }), Ok(8));
    t.is("unknown fields", result(context, Iocb { flags: 8, ..plain }), Ok(8));
    let priority = |reqprio| result(context, Iocb { flags: IOPRIO, reqprio, ..plain });
    for (reqprio, allowed) in
        [(0, true), (1, false), (0x4007, true), (0x6000, true), (0x8000, false)]
    {
        let want = if allowed { Ok(8) } else { Err(libc::EINVAL) };
        t.is("a priority", priority(reqprio), want);
    }
    t.fails("of real time", as_nobody(|| priority(0x2000)), libc::EPERM);
    if is_root() {
        t.is("which root may have", priority(0x2000), Ok(8));
    }
    let event = t.works("an eventfd", call!(eventfd(0, libc::EFD_NONBLOCK))) as i32;
    let with = |resfd| result(context, Iocb { flags: RESFD, resfd, ..plain });
    t.fails("no descriptor", with(-1), libc::EBADF);
    t.fails("no eventfd", with(file), libc::EINVAL);
    t.is("an eventfd", with(event), Ok(8));
    t.is("another time", with(event), Ok(8));
    t.is("it has counted", read::<8>(event), Ok(2_u64.to_ne_bytes().to_vec()));
    let bad = Iocb { flags: RESFD, resfd: event, fd: write_only, ..plain };
    t.fails("not begun", result(context, bad), libc::EBADF);
    t.is("that does not count", read::<8>(event), Err(libc::EAGAIN));
    for fd in [file, write_only, event] {
        close(fd);
    }
}

extern "C" fn note(_signal: i32) {}

fn streams(t: &mut Checks, context: i64) {
    let (reader, writer) = pipe();
    let mut buffer = [0; 20];
    let hello = Iocb::write(writer, b"hello", 5);
    t.is("into a pipe", result(context, hello), Ok(5));
    t.is("out of it", result(context, Iocb::read(reader, &mut buffer, 7)), Ok(5));
    t.is("the bytes", &buffer[..5], b"hello");
    let negative = Iocb::read(reader, &mut buffer, -5);
    t.fails("even here no negative offset", result(context, negative), libc::EINVAL);
    let fsync = Iocb::transfer(FSYNC, reader, 0, 0, 0);
    t.fails("nothing to be synchronized", result(context, fsync), libc::EINVAL);
    let _ = call!(fcntl(reader, libc::F_SETFL, libc::O_NONBLOCK));
    let plain = Iocb::read(reader, &mut buffer, 0);
    t.is("empty", result(context, plain), Ok(-i64::from(libc::EAGAIN)));
    // SAFETY: sets a handler that does nothing.
    unsafe { libc::signal(libc::SIGPIPE, note as *const () as usize) };
    close(reader);
    t.is("without a reader", result(context, hello), Ok(-i64::from(libc::EPIPE)));
    close(writer);

    let (reader, writer) = pipe();
    let at_once =
        |fd, buffer: &mut [u8]| result(context, Iocb { rw_flags: 8, ..Iocb::read(fd, buffer, 0) });
    t.is("not waited for", at_once(reader, &mut buffer), Ok(-i64::from(libc::EAGAIN)));
    t.is("written", write(writer, b"hello"), Ok(5));
    t.is("what is there is read", at_once(reader, &mut buffer), Ok(5));
    close(reader);
    close(writer);
    let event = t.works("an eventfd", call!(eventfd(0, 0))) as i32;
    t.is("no count", at_once(event, &mut buffer[..8]), Ok(-i64::from(libc::EAGAIN)));
    close(event);

    let event = t.works("an eventfd", call!(eventfd(3, libc::EFD_NONBLOCK))) as i32;
    let short = Iocb::read(event, &mut buffer[..4], 0);
    t.is("a buffer too short for it", result(context, short), Ok(-i64::from(libc::EINVAL)));
    t.is("it is read", result(context, Iocb::read(event, &mut buffer[..8], 0)), Ok(8));
    t.is("the count", buffer[0], 3);
    t.fails("not written", result(context, Iocb::write(event, &[1; 8], 0)), libc::EINVAL);
    close(event);

    let mut pair = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    t.is("sockets", call!(socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr())), Ok(0));
    let [one, other] = pair;
    let from = |offset, buffer: &mut [u8]| result(context, Iocb::read(one, buffer, offset));
    t.is("nothing there", from(0, &mut buffer), Ok(-i64::from(libc::EAGAIN)));
    t.is("sent", result(context, Iocb::write(other, b"hello", 0)), Ok(5));
    t.is("not with an offset", from(3, &mut buffer), Ok(-i64::from(libc::ESPIPE)));
    t.is("received", from(0, &mut buffer), Ok(5));
    close(one);
    close(other);
}

fn submit_at(context: i64, count: i64, list: i64) -> Called {
    sys(libc::SYS_io_submit, [context, count, list])
}

fn lists(t: &mut Checks, context: i64) {
    let file = open("file", libc::O_RDWR);
    let mut buffer = [0; 5];
    let nowhere = NOWHERE as i64;
    t.fails("no context", submit_at(nowhere, 1, 0), libc::EINVAL);
    t.fails("no number of operations", submit_at(context, -1, 0), libc::EINVAL);
    t.is("none", submit_at(context, 0, nowhere), Ok(0));
    t.fails("no list", submit_at(context, 1, nowhere), libc::EFAULT);
    t.fails("no operation", submit_at(context, 1, address(&mut [nowhere])), libc::EFAULT);
    let mut good = Iocb::read(file, &mut buffer, 0);
    let (mut second, mut third) = (Iocb { opcode: 99, ..good }, Iocb { data: 3, ..good });
    let begun = submit(context, &mut [&mut good, &mut second, &mut third]);
    t.is("up to the first that fails", begun, Ok(1));
    second.opcode = PREAD;
    let begun = submit(context, &mut [&mut second, &mut third]);
    t.is("the others", begun, Ok(2));
    let mut events = [Event::default(); 4];
    let slot = |events: &mut [Event]| {
        sys(libc::SYS_io_getevents, [context, 1, 4, events.as_mut_ptr() as i64, 0])
    };
    t.fails("nowhere to store them", get_at(context, 1, 4, nowhere), libc::EFAULT);
    t.is("they are still there", slot(&mut events), Ok(3));
    let data: Vec<_> = events.iter().map(|event| (event.data, event.res)).collect();
    t.is("in order", data, vec![(0x77, 5), (0x77, 5), (3, 5), (0, 0)]);
    t.is("no more", get(context, 0, &mut events, None), Ok(0));
    let place = page(libc::PROT_READ);
    t.is("again", submit_one(context, &mut good), Ok(1));
    t.fails("where nothing may be stored", get_at(context, 1, 4, place), libc::EFAULT);
    t.is("it is still there", get(context, 1, &mut events, None), Ok(1));
    close(file);
}

fn get_at(context: i64, min: i64, max: i64, events: i64) -> Called {
    sys(libc::SYS_io_getevents, [context, min, max, events, 0])
}

fn slots(t: &mut Checks) {
    let context = t.works("a context", setup(10));
    let slots = header(context)[1];
    let file = open("file", libc::O_RDWR);
    let mut buffer = [0; 5];
    let mut one = Iocb::read(file, &mut buffer, 0);
    let mut fill = || {
        let mut done = 0;
        loop {
            match submit_one(context, &mut one) {
                Ok(_) => done += 1,
                Err(errno) => break (done, errno),
            }
        }
    };
    let (first, errno) = fill();
    t.is("full", errno, libc::EAGAIN);
    // Linux keeps some for each processor.
    t.ok("nearly all slots are used", first < slots && first > slots / 2);
    let mut events = vec![Event::default(); 300];
    t.is("some are read", get(context, 1, &mut events[..20], Some(AT_ONCE)), Ok(20));
    t.is("and free", fill().1, libc::EAGAIN);
    t.ok("the guest reads all by itself", header(context)[2] != header(context)[3]);
    set_header(context, 2, header(context)[3]);
    t.is("so there are none", get(context, 0, &mut events, Some(AT_ONCE)), Ok(0));
    t.ok("and slots again", fill().0 > slots / 2);
    let unread = get(context, 0, &mut events, Some(AT_ONCE)).unwrap_or(0);
    t.ok("all are read", unread > i64::from(slots) / 2);
    let mut copies = vec![Iocb::read(file, &mut buffer, 0); 300];
    let mut list: Vec<_> = copies.iter_mut().collect();
    let begun = submit(context, &mut list).unwrap_or(0);
    t.ok("not more than fit", begun > i64::from(slots) / 2 && begun < i64::from(slots));
    t.is("they are read", get(context, 1, &mut events, Some(AT_ONCE)), Ok(begun));
    set_header(context, 2, u32::MAX);
    let read = get(context, 0, &mut events, Some(AT_ONCE));
    t.ok("a head beyond the ring is in it", read.is_ok_and(|read| read < i64::from(slots)));
    t.is("destroyed", destroy(context), Ok(0));
    close(file);
}

fn moved(t: &mut Checks) {
    let context = t.works("a context", setup(1));
    let file = open("file", libc::O_RDWR);
    let mut buffer = [0; 5];
    let mut one = Iocb::read(file, &mut buffer, 0);
    t.is("a read", submit_one(context, &mut one), Ok(1));
    // A place for shared memory, which need not lie where private memory does.
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let target = call!(mmap(null_mut(), 4096, libc::PROT_NONE, shared, -1, 0)).unwrap_or(0);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let to = target as *mut libc::c_void;
    t.is("moved", call!(mremap(context as *mut _, 4096, 4096, flags, to)), Ok(target));
    let mut events = [Event::default()];
    let more = call!(mremap(to, 4096, 8192, libc::MREMAP_MAYMOVE));
    t.fails("not made longer", more, libc::EFAULT);
    let twice = call!(mremap(to, 0, 4096, libc::MREMAP_MAYMOVE));
    t.fails("nor shown twice", twice, libc::EFAULT);
    t.fails("not there", get(context, 0, &mut events, Some(AT_ONCE)), libc::EINVAL);
    t.is("but here", get(target, 1, &mut events, Some(AT_ONCE)), Ok(1));
    t.fails("not beside it", submit_one(target + 64, &mut one), libc::EINVAL);
    let protect = |protection| call!(mprotect(to, 4096, protection));
    t.is("not to be read", protect(libc::PROT_NONE), Ok(0));
    t.fails("the context is not found", submit_one(target, &mut one), libc::EINVAL);
    t.is("to be read only", protect(libc::PROT_READ), Ok(0));
    t.is("the kernel writes to it", submit_one(target, &mut one), Ok(1));
    t.is("and reads", get(target, 1, &mut events, None), Ok(1));
    t.is("to be written", protect(libc::PROT_READ | libc::PROT_WRITE), Ok(0));
    set_header(target, 0, 7);
    t.fails("another's id", submit_one(target, &mut one), libc::EINVAL);
    set_header(target, 0, 0);
    t.is("its own", destroy(target), Ok(0));
    let context = t.works("another context", setup(1));
    t.is("unmapped", call!(munmap(context as *mut _, 4096)), Ok(0));
    t.fails("it is not found", destroy(context), libc::EINVAL);
    close(file);
}

/// Contexts end with the process, and with its program.
fn children(t: &mut Checks) {
    let context = t.works("a context", setup(1));
    let mut events = [Event::default()];
    let alone = wait(fork(|| {
        let found = get(context, 0, &mut events, Some(AT_ONCE)) == Err(libc::EINVAL)
            && destroy(context) == Err(libc::EINVAL)
            && header(context)[4] == 0xa10a_10a1;
        i32::from(!found)
    }));
    t.is("a child sees the ring, not the context", alone, Ended::Exit(0));
    t.is("the parent has it yet", get(context, 0, &mut events, None), Ok(0));
    let (reader, writer) = pipe();
    let pid = fork(|| {
        close(writer);
        let made = setup(MANY).is_ok();
        let _ = read::<1>(reader);
        i32::from(!made)
    });
    close(reader);
    t.ok("a child's are counted", until(|| number("aio-nr") >= MANY));
    let _ = write(writer, b"x");
    t.is("it ends", wait(pid), Ended::Exit(0));
    t.ok("they are gone with it", until(|| number("aio-nr") < MANY));
    let (idle, other) = pipe();
    let pid = fork(|| {
        let Ok(context) = setup(MANY) else { return 1 };
        let mut poll = Iocb::poll(idle, libc::POLLIN);
        let polls = submit_one(context, &mut poll) == Ok(1);
        let counted = number("aio-nr") >= MANY;
        let (program, sleep) = (c("/proc/self/exe"), c(SLEEP));
        let arguments = [program.as_ptr(), sleep.as_ptr(), std::ptr::null()];
        if polls && counted {
            let _ = call!(execv(program.as_ptr(), arguments.as_ptr()));
        }
        1
    });
    let named = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    t.ok("another program", until(|| named() == "exe\n"));
    t.ok("has none of them", until(|| number("aio-nr") < MANY));
    let _ = call!(kill(pid, libc::SIGKILL));
    t.is("it ends too", wait(pid), Ended::Signal(libc::SIGKILL));
    for fd in [idle, other] {
        close(fd);
    }
    close(writer);
    t.is("destroyed", destroy(context), Ok(0));
}
