//! Errors of `read(2)`, `write(2)` and their relatives with vectors and offsets, of `sendfile(2)`,
//! `copy_file_range(2)`, `splice(2)`, `tee(2)`, `vmsplice(2)` and `memfd_create(2)`.

use std::process::exit;
use std::ptr::null_mut;

use libc::{
    SYS_copy_file_range, SYS_memfd_create, SYS_pread64, SYS_preadv, SYS_pwrite64, SYS_pwritev,
    SYS_read, SYS_readv, SYS_sendfile, SYS_splice, SYS_tee, SYS_vmsplice, SYS_write, SYS_writev,
};
use lx_guest_tests::errors::interrupted;
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, Scratch, c, call, in_child, pipe, write};

/// A descriptor that is not open.
const CLOSED: i32 = 999;
/// Vectors at once that are too many.
const MANY: usize = 1025;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    for form in [Form::Plain, Form::Vector] {
        reads(&mut t, form);
        writes(&mut t, form);
    }
    for form in [Form::At, Form::VectorAt] {
        reads_at(&mut t, form);
        writes_at(&mut t, form);
    }
    vectors(&mut t);
    send_file(&mut t);
    copy_range(&mut t);
    splices(&mut t);
    memory_splices(&mut t);
    memory_files(&mut t);
    drop(scratch);
    t.end();
}

/// The forms that reading and writing come in.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Vector,
    At,
    VectorAt,
}

impl Form {
    fn call(self, fd: i32, at: usize, len: usize, offset: i64, writes: bool) -> Called {
        let part = [at, len];
        let vector = part.as_ptr();
        let numbers = match self {
            Self::Plain => [SYS_read, SYS_write],
            Self::Vector => [SYS_readv, SYS_writev],
            Self::At => [SYS_pread64, SYS_pwrite64],
            Self::VectorAt => [SYS_preadv, SYS_pwritev],
        };
        let number = numbers[usize::from(writes)];
        match self {
            Self::Plain | Self::At => call!(syscall(number, fd, at, len, offset)),
            Self::Vector | Self::VectorAt => call!(syscall(number, fd, vector, 1_usize, offset)),
        }
    }

    fn read(self, fd: i32, len: usize, offset: i64) -> Called {
        let mut bytes = vec![0_u8; len.max(1)];
        self.call(fd, bytes.as_mut_ptr().expose_provenance(), len, offset, false)
    }

    fn write(self, fd: i32, bytes: &[u8], offset: i64) -> Called {
        self.call(fd, bytes.as_ptr().expose_provenance(), bytes.len(), offset, true)
    }
}

fn open(name: &str, flags: i32) -> i32 {
    call!(open(c(name).as_ptr(), flags, 0o644)).unwrap_or(-1) as i32
}

/// A file of ten bytes.
fn file() -> i32 {
    let fd = open("file", libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    let _ = write(fd, b"0123456789");
    let _ = call!(lseek(fd, 0, libc::SEEK_SET));
    fd
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

/// A pipe whose ends do not wait.
fn pipe_without_waiting() -> (i32, i32) {
    let mut ends = [-1; 2];
    let _ = call!(pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK));
    (ends[0], ends[1])
}

/// Writes until there is no more room.
fn fill(fd: i32) {
    for part in [4096, 1] {
        while write(fd, &[0; 4096][..part]).is_ok() {}
    }
}

/// A pseudo terminal: master and slave.
fn terminal() -> (i32, i32) {
    let master = call!(posix_openpt(libc::O_RDWR | libc::O_NOCTTY)).unwrap_or(-1) as i32;
    let _ = call!(unlockpt(master));
    let slave = call!(ioctl(master, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY));
    (master, slave.unwrap_or(-1) as i32)
}

fn reads(t: &mut Checks, form: Form) {
    let mut fails = |what: &str, fd: i32, len: usize, errno: i32| {
        t.fails(&format!("{form:?} read: {what}"), form.read(fd, len, 0), errno);
    };
    fails("a closed one", CLOSED, 1, libc::EBADF);
    let (r, w) = pipe_without_waiting();
    fails("the write end", w, 1, libc::EBADF);
    fails("nothing there", r, 1, libc::EAGAIN);
    let dir = open(".", libc::O_RDONLY);
    fails("a folder", dir, 1, libc::EISDIR);
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    fails("an epoll instance", epoll, 8, libc::EINVAL);
    let timer = call!(timerfd_create(libc::CLOCK_MONOTONIC, 0)).unwrap_or(-1) as i32;
    fails("a timer, too little room", timer, 4, libc::EINVAL);
    let path = open(".", libc::O_PATH);
    fails("O_PATH", path, 1, libc::EBADF);
    let (master, slave) = terminal();
    close(&[slave]);
    fails("a master without slaves", master, 1, libc::EIO);
    let _ = write(w, b"abc");
    let nowhere = form.call(r, NOWHERE, 3, 0, false);
    t.fails(&format!("{form:?} read: to nowhere"), nowhere, libc::EFAULT);
    t.is(&format!("{form:?} read: and it is still there"), form.read(r, 9, 0), Ok(3));
    let (waiting_r, waiting_w) = pipe();
    let waited = interrupted(|| form.read(waiting_r, 1, 0));
    t.fails(&format!("{form:?} read: a signal"), waited, libc::EINTR);
    close(&[r, w, dir, epoll, timer, path, master, waiting_r, waiting_w]);
}

fn writes(t: &mut Checks, form: Form) {
    let mut fails = |what: &str, fd: i32, bytes: &[u8], errno: i32| {
        t.fails(&format!("{form:?} write: {what}"), form.write(fd, bytes, 0), errno);
    };
    fails("a closed one", CLOSED, b"x", libc::EBADF);
    let (r, w) = pipe_without_waiting();
    fails("the read end", r, b"x", libc::EBADF);
    fill(w);
    fails("full", w, b"x", libc::EAGAIN);
    close(&[r]);
    fails("nobody reads", w, b"x", libc::EPIPE);
    close(&[w]);
    let full = open("/dev/full", libc::O_WRONLY);
    fails("a full device", full, b"x", libc::ENOSPC);
    let event = call!(eventfd(0, 0)).unwrap_or(-1) as i32;
    fails("an event, too few bytes", event, b"x", libc::EINVAL);
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    fails("an epoll instance", epoll, b"12345678", libc::EINVAL);
    let udp = call!(socket(libc::AF_INET, libc::SOCK_DGRAM, 0)).unwrap_or(-1) as i32;
    fails("a datagram to nobody", udp, b"x", libc::EDESTADDRREQ);
    let sealed = sealed();
    fails("sealed memory", sealed, b"x", libc::EPERM);
    let (master, slave) = terminal();
    close(&[master]);
    fails("a slave without master", slave, b"x", libc::EIO);
    close(&[full, event, epoll, udp, sealed, slave]);
    let (r, w) = pipe_without_waiting();
    let nowhere = form.call(w, NOWHERE, 3, 0, true);
    t.fails(&format!("{form:?} write: from nowhere"), nowhere, libc::EFAULT);
    fill(w);
    let _ = call!(fcntl(w, libc::F_SETFL, 0));
    let waited = interrupted(|| form.write(w, b"x", 0));
    t.fails(&format!("{form:?} write: a signal"), waited, libc::EINTR);
    close(&[r, w]);
    limited(t, form);
}

/// Memory that may not be written.
fn sealed() -> i32 {
    let fd = call!(memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING));
    let fd = fd.unwrap_or(-1) as i32;
    let _ = write(fd, b"fixed");
    let _ = call!(fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_WRITE));
    fd
}

/// Files may have ten bytes.
fn limited(t: &mut Checks, form: Form) {
    let ended = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 10, rlim_max: 10 };
        let _ = call!(setrlimit(libc::RLIMIT_FSIZE, &limit));
        let _ = call!(signal(libc::SIGXFSZ, libc::SIG_IGN));
        let fd = file();
        let _ = call!(lseek(fd, 10, libc::SEEK_SET));
        i32::from(form.write(fd, b"x", 10) != Err(libc::EFBIG))
    });
    t.is(&format!("{form:?} write: beyond the limit"), ended, Ended::Exit(0));
}

fn reads_at(t: &mut Checks, form: Form) {
    let mut fails = |what: &str, fd: i32, offset: i64, errno: i32| {
        t.fails(&format!("{form:?} read: {what}"), form.read(fd, 1, offset), errno);
    };
    let fd = file();
    fails("a closed one", CLOSED, 0, libc::EBADF);
    let wo = open("file", libc::O_WRONLY);
    fails("write-only", wo, 0, libc::EBADF);
    let dir = open(".", libc::O_RDONLY);
    fails("a folder", dir, 0, libc::EISDIR);
    fails("before the start", fd, -1, libc::EINVAL);
    fails("before the start of a closed one", CLOSED, -1, libc::EINVAL);
    fails("beyond any offset", fd, i64::MAX, libc::EINVAL);
    let (r, w) = pipe();
    fails("a pipe", r, 0, libc::ESPIPE);
    fails("its write end", w, 0, libc::ESPIPE);
    let nowhere = form.call(fd, NOWHERE, 3, 0, false);
    t.fails(&format!("{form:?} read: to nowhere"), nowhere, libc::EFAULT);
    t.is(&format!("{form:?} read: works"), form.read(fd, 9, 7), Ok(3));
    close(&[fd, wo, dir, r, w]);
}

fn writes_at(t: &mut Checks, form: Form) {
    let mut fails = |what: &str, fd: i32, offset: i64, errno: i32| {
        t.fails(&format!("{form:?} write: {what}"), form.write(fd, b"x", offset), errno);
    };
    let fd = file();
    fails("a closed one", CLOSED, 0, libc::EBADF);
    let ro = open("file", libc::O_RDONLY);
    fails("read-only", ro, 0, libc::EBADF);
    fails("before the start", fd, -1, libc::EINVAL);
    fails("beyond any offset", fd, i64::MAX, libc::EINVAL);
    let (r, w) = pipe();
    fails("a pipe", w, 0, libc::ESPIPE);
    fails("its read end", r, 0, libc::ESPIPE);
    let full = open("/dev/full", libc::O_WRONLY);
    fails("a full device", full, 0, libc::ENOSPC);
    let sealed = sealed();
    fails("sealed memory", sealed, 0, libc::EPERM);
    let nowhere = form.call(fd, NOWHERE, 3, 0, true);
    t.fails(&format!("{form:?} write: from nowhere"), nowhere, libc::EFAULT);
    t.is(&format!("{form:?} write: works"), form.write(fd, b"abc", 8), Ok(3));
    close(&[fd, ro, r, w, full, sealed]);
    limited(t, form);
}

fn vectors(t: &mut Checks) {
    let fd = file();
    let byte = [0_u8; 8];
    let at = byte.as_ptr().expose_provenance();
    let many = vec![[at, 0]; MANY];
    let long = [[at, 1], [at, usize::MAX]];
    let both = [[at, isize::MAX as usize], [at, isize::MAX as usize]];
    for (name, number) in [
        ("readv", SYS_readv),
        ("writev", SYS_writev),
        ("preadv", SYS_preadv),
        ("pwritev", SYS_pwritev),
    ] {
        let vectors = |list: *const [usize; 2], count: i64| {
            call!(syscall(number, fd, list, count, 0_i64, 0_i64))
        };
        t.is(&format!("{name} of none"), vectors(many.as_ptr(), 0), Ok(0));
        t.is(&format!("{name} of the most"), vectors(many.as_ptr(), 1024), Ok(0));
        t.fails(&format!("{name} of too many"), vectors(many.as_ptr(), 1025), libc::EINVAL);
        t.fails(&format!("{name} of less than none"), vectors(many.as_ptr(), -1), libc::EINVAL);
        t.fails(&format!("{name}, a negative length"), vectors(long.as_ptr(), 2), libc::EINVAL);
        let nowhere = vectors(NOWHERE as *const _, 1);
        t.fails(&format!("{name}, vectors at nowhere"), nowhere, libc::EFAULT);
        // The sum is more than a call can return; the first part alone is.
        let sum = vectors(both.as_ptr(), 2);
        t.ok(&format!("{name}, a sum too large"), matches!(sum, Ok(_) | Err(libc::EFAULT)));
    }
    close(&[fd]);
}

fn send_file(t: &mut Checks) {
    let sendfile = |to: i32, from: i32, offset: *mut i64, count: usize| {
        call!(syscall(SYS_sendfile, to, from, offset, count))
    };
    let fd = file();
    let (r, w) = pipe_without_waiting();
    t.is("sendfile", sendfile(w, fd, null_mut(), 4), Ok(4));
    t.fails("to a closed one", sendfile(CLOSED, fd, null_mut(), 1), libc::EBADF);
    t.fails("from a closed one", sendfile(w, CLOSED, null_mut(), 1), libc::EBADF);
    t.fails("to the read end", sendfile(r, fd, null_mut(), 1), libc::EBADF);
    let wo = open("file", libc::O_WRONLY);
    t.fails("from a write-only one", sendfile(w, wo, null_mut(), 1), libc::EBADF);
    t.fails("offset at nowhere", sendfile(w, fd, NOWHERE as *mut _, 1), libc::EFAULT);
    let append = open("other", libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT);
    t.fails("to the end only", sendfile(append, fd, null_mut(), 1), libc::EINVAL);
    let mut negative = -1;
    t.fails("before the start", sendfile(w, fd, &mut negative, 1), libc::EINVAL);
    let mut last = i64::MAX;
    t.fails("beyond any offset", sendfile(w, fd, &mut last, 1), libc::EINVAL);
    let maps = open("/proc/self/maps", libc::O_RDONLY);
    let mut large = 1 << 31;
    t.fails("beyond files of its kind", sendfile(w, maps, &mut large, 1), libc::EOVERFLOW);
    let dir = open(".", libc::O_RDONLY);
    t.fails("from a folder", sendfile(w, dir, null_mut(), 1), libc::EINVAL);
    let zeros = open("/dev/zero", libc::O_RDONLY);
    t.is("from a device", sendfile(w, zeros, null_mut(), 4), Ok(4));
    let null = open("/dev/null", libc::O_WRONLY);
    let mut ends = [-1; 2];
    let _ = call!(socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
    let _ = write(ends[0], b"stream");
    t.fails("from a socket", sendfile(null, ends[1], null_mut(), 4), libc::EINVAL);
    t.is("from a socket to a pipe", sendfile(w, ends[1], null_mut(), 9), Ok(6));
    let event = call!(eventfd(1, 0)).unwrap_or(-1) as i32;
    t.fails("from an event", sendfile(w, event, null_mut(), 8), libc::EINVAL);
    let (big_r, big_w) = pipe();
    t.is("no more than fits", sendfile(big_w, zeros, null_mut(), 1 << 20), Ok(65536));
    close(&[null, ends[0], ends[1], event, big_r, big_w]);
    let (other_r, other_w) = pipe();
    let mut zero = 0;
    t.fails("an offset in a pipe", sendfile(w, other_r, &mut zero, 1), libc::ESPIPE);
    fill(w);
    t.fails("full", sendfile(w, fd, &mut zero, 1), libc::EAGAIN);
    close(&[r]);
    t.fails("nobody reads", sendfile(w, fd, &mut zero, 1), libc::EPIPE);
    let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
    t.fails("from an epoll instance", sendfile(append, epoll, null_mut(), 1), libc::EINVAL);
    close(&[fd, w, wo, append, maps, dir, zeros, other_r, other_w, epoll]);
}

fn copy_range(t: &mut Checks) {
    let copy_at = |from: i32, at: *mut i64, to: i32, to_at: *mut i64, count: usize, flags: u32| {
        call!(syscall(SYS_copy_file_range, from, at, to, to_at, count, flags))
    };
    let copy = |from: i32, to: i32| copy_at(from, null_mut(), to, null_mut(), 5, 0);
    let fd = file();
    let to = open("copy", libc::O_RDWR | libc::O_CREAT);
    t.is("copy_file_range", copy(fd, to), Ok(5));
    t.is("it moved both", (copy(fd, to), copy(fd, to)), (Ok(5), Ok(0)));
    t.fails("from a closed one", copy(CLOSED, to), libc::EBADF);
    t.fails("to a closed one", copy(fd, CLOSED), libc::EBADF);
    let (ro, wo) = (open("file", libc::O_RDONLY), open("copy", libc::O_WRONLY));
    t.fails("from a write-only one", copy(wo, to), libc::EBADF);
    t.fails("to a read-only one", copy(fd, ro), libc::EBADF);
    let append = open("copy", libc::O_WRONLY | libc::O_APPEND);
    t.fails("to the end only", copy(fd, append), libc::EBADF);
    let flags = copy_at(fd, null_mut(), to, null_mut(), 5, 1);
    t.fails("unknown flags", flags, libc::EINVAL);
    let (mut a, mut b) = (0, 2);
    let overlap = copy_at(fd, &mut a, fd, &mut b, 5, 0);
    t.fails("onto itself", overlap, libc::EINVAL);
    t.is("the offsets stay", (a, b), (0, 2));
    let (r, w) = pipe();
    t.fails("from a pipe", copy(r, to), libc::EINVAL);
    t.fails("to a pipe", copy(fd, w), libc::EINVAL);
    let dir = open(".", libc::O_RDONLY);
    t.fails("from a folder", copy(dir, to), libc::EISDIR);
    let nowhere = copy_at(fd, NOWHERE as *mut _, to, null_mut(), 5, 0);
    t.fails("an offset at nowhere", nowhere, libc::EFAULT);
    let mut last = i64::MAX;
    let over = copy_at(fd, null_mut(), to, &mut last, 5, 0);
    t.fails("to beyond any file", over, libc::EFBIG);
    let (mut one, mut late) = (1, i64::MAX - 2);
    let over = copy_at(fd, &mut one, to, null_mut(), usize::MAX, 0);
    t.fails("more than can be counted", over, libc::EOVERFLOW);
    t.is("from behind the end", copy_at(fd, &mut late, to, null_mut(), 5, 0), Ok(0));
    let memory = call!(memfd_create(c"from".as_ptr(), 0)).unwrap_or(-1) as i32;
    let _ = write(memory, b"0123456789");
    let (sealed, mut zero) = (sealed(), 0);
    let fixed = copy_at(memory, &mut zero, sealed, null_mut(), 5, 0);
    t.fails("to sealed memory", fixed, libc::EPERM);
    let maps = open("/proc/self/maps", libc::O_RDONLY);
    t.fails("from another kind of file system", copy(maps, to), libc::EXDEV);
    let ended = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 10, rlim_max: 10 };
        let _ = call!(setrlimit(libc::RLIMIT_FSIZE, &limit));
        let _ = call!(signal(libc::SIGXFSZ, libc::SIG_IGN));
        let (mut from, mut end) = (0, 10);
        i32::from(copy_at(fd, &mut from, to, &mut end, 5, 0) != Err(libc::EFBIG))
    });
    t.is("beyond the limit", ended, Ended::Exit(0));
    close(&[fd, to, ro, wo, append, r, w, dir, memory, sealed, maps]);
}

fn splices(t: &mut Checks) {
    let splice = |from: i32, at: *mut i64, to: i32, to_at: *mut i64, flags: u32| {
        call!(syscall(SYS_splice, from, at, to, to_at, 5_usize, flags))
    };
    let tee = |from: i32, to: i32, flags: u32| call!(syscall(SYS_tee, from, to, 5_usize, flags));
    let (fd, none) = (file(), null_mut());
    let ((r, w), (other_r, other_w)) = (pipe(), pipe());
    let nowait = libc::SPLICE_F_NONBLOCK;
    t.fails("nothing to splice", splice(r, none, other_w, none, nowait), libc::EAGAIN);
    t.fails("nothing to tee", tee(r, other_w, nowait), libc::EAGAIN);
    t.is("splice into a pipe", splice(fd, none, w, none, 0), Ok(5));
    t.is("tee", tee(r, other_w, 0), Ok(5));
    t.fails("from a closed one", splice(CLOSED, none, w, none, 0), libc::EBADF);
    t.fails("to a closed one", splice(r, none, CLOSED, none, 0), libc::EBADF);
    t.fails("from the write end", splice(w, none, other_w, none, 0), libc::EBADF);
    t.fails("between two files", splice(fd, none, fd, none, 0), libc::EINVAL);
    t.fails("within a pipe", splice(r, none, w, none, 0), libc::EINVAL);
    t.fails("unknown flags", splice(r, none, other_w, none, 1 << 20), libc::EINVAL);
    let append = open("file", libc::O_WRONLY | libc::O_APPEND);
    t.fails("to the end only", splice(r, none, append, none, 0), libc::EINVAL);
    let dir = open(".", libc::O_RDONLY);
    t.fails("from a folder", splice(dir, none, w, none, 0), libc::EINVAL);
    let event = call!(eventfd(1, 0)).unwrap_or(-1) as i32;
    t.fails("from an event", splice(event, none, w, none, 0), libc::EINVAL);
    t.fails("to an event", splice(r, none, event, none, 0), libc::EINVAL);
    let mut zero = 0;
    t.fails("an offset in a pipe", splice(r, &mut zero, fd, none, 0), libc::ESPIPE);
    t.fails("an offset in the other", splice(fd, none, w, &mut zero, 0), libc::ESPIPE);
    let nowhere = splice(fd, NOWHERE as *mut _, w, none, 0);
    t.fails("an offset at nowhere", nowhere, libc::EFAULT);
    t.fails("tee from a closed one", tee(CLOSED, w, 0), libc::EBADF);
    t.fails("tee from a file", tee(fd, w, 0), libc::EINVAL);
    t.fails("tee to a file", tee(r, fd, 0), libc::EINVAL);
    t.fails("tee within a pipe", tee(r, w, 0), libc::EINVAL);
    t.fails("tee with unknown flags", tee(r, other_w, 1 << 20), libc::EINVAL);
    close(&[fd, r, w, other_r, other_w, append, dir, event]);
}

fn memory_splices(t: &mut Checks) {
    let bytes = *b"abcdef";
    let parts = [[(&raw const bytes).expose_provenance(), 6]; MANY];
    let vmsplice = |fd: i32, parts: *const [usize; 2], count: usize, flags: u32| {
        call!(syscall(SYS_vmsplice, fd, parts, count, flags))
    };
    let at = parts.as_ptr();
    let (r, w) = pipe();
    t.is("vmsplice", vmsplice(w, at, 1, 0), Ok(6));
    let mut room = [0_u8; 9];
    let into = [[(&raw mut room).expose_provenance(), 9]];
    t.is("and back", vmsplice(r, into.as_ptr(), 1, 0), Ok(6));
    t.is("what it was", &room[..7], b"abcdef\0");
    t.fails("nothing there", vmsplice(r, into.as_ptr(), 1, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    t.fails("vmsplice, a closed one", vmsplice(CLOSED, at, 1, 0), libc::EBADF);
    let fd = file();
    t.fails("vmsplice, a file", vmsplice(fd, at, 1, 0), libc::EBADF);
    t.is("nothing to a file", vmsplice(fd, at, 0, 0), Ok(0));
    t.fails("vmsplice, too many", vmsplice(w, at, MANY, 0), libc::EINVAL);
    t.fails("vmsplice, unknown flags", vmsplice(w, at, 1, 1 << 20), libc::EINVAL);
    t.fails("parts at nowhere", vmsplice(w, NOWHERE as *const _, 1, 0), libc::EFAULT);
    let _ = call!(fcntl(w, libc::F_SETFL, libc::O_NONBLOCK));
    fill(w);
    t.fails("full", vmsplice(w, at, 1, libc::SPLICE_F_NONBLOCK), libc::EAGAIN);
    close(&[r]);
    t.fails("vmsplice, nobody reads", vmsplice(w, at, 1, 0), libc::EPIPE);
    close(&[w, fd]);
}

fn memory_files(t: &mut Checks) {
    let create =
        |name: *const libc::c_char, flags: u32| call!(syscall(SYS_memfd_create, name, flags));
    t.fails("a name at nowhere", create(NOWHERE as *const _, 0), libc::EFAULT);
    t.fails("unknown flags", create(c"x".as_ptr(), 1 << 20), libc::EINVAL);
    t.fails("a name too long", create(c(&"x".repeat(250)).as_ptr(), 0), libc::EINVAL);
    let longest = create(c(&"x".repeat(249)).as_ptr(), 0);
    t.ok("the longest name", longest.is_ok());
    close(&[longest.unwrap_or(-1) as i32]);
}
