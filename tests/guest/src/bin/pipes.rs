//! `pipe(2)`, `pipe(7)`: ends, limits, errors, flags.

use lx_guest_tests::{
    Checks, Ended, NOWHERE, call, fork, in_child, pause, pipe, read, wait, write,
};

fn main() {
    let mut t = Checks::new();
    basics(&mut t);
    ends(&mut t);
    non_blocking(&mut t);
    errors(&mut t);
    between_processes(&mut t);
    vectors(&mut t);
    t.end();
}

fn basics(t: &mut Checks) {
    let (r, w) = pipe();
    t.is("write", write(w, b"hello"), Ok(5));
    let mut waiting = 0;
    t.is("FIONREAD", call!(ioctl(r, libc::FIONREAD, &mut waiting)), Ok(0));
    t.is("bytes waiting", waiting, 5);
    t.is("short read", read::<2>(r), Ok(b"he".to_vec()));
    t.is("the rest", read::<100>(r), Ok(b"llo".to_vec()));
    t.is("no bytes asked for", read::<0>(r), Ok(vec![]));
    t.is("no bytes written", write(w, b""), Ok(0));
    t.is("default size", call!(fcntl(r, libc::F_GETPIPE_SZ)), Ok(65536));
    t.is("grow", call!(fcntl(w, libc::F_SETPIPE_SZ, 131_072)), Ok(131_072));
    t.is("size seen at the other end", call!(fcntl(r, libc::F_GETPIPE_SZ)), Ok(131_072));
    t.is("access mode, read end", call!(fcntl(r, libc::F_GETFL)).map(|f| f & 3), Ok(0));
    t.is("access mode, write end", call!(fcntl(w, libc::F_GETFL)).map(|f| f & 3), Ok(1));
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    t.is("fstat", call!(fstat(r, &mut stat)), Ok(0));
    t.is("it is a FIFO", stat.st_mode & libc::S_IFMT, libc::S_IFIFO);
    t.fails("seek", call!(lseek(r, 0, libc::SEEK_CUR)), libc::ESPIPE);
    t.fails("pread", call!(pread(r, (&mut stat as *mut libc::stat).cast(), 1, 0)), libc::ESPIPE);
    let _ = (call!(close(r)), call!(close(w)));
}

fn ends(t: &mut Checks) {
    let (r, w) = pipe();
    let w2 = call!(dup(w)).unwrap_or(-1) as i32;
    let _ = write(w, b"x");
    let _ = call!(close(w));
    t.is("data before the end", read::<10>(r), Ok(b"x".to_vec()));
    t.is("write by the duplicate", write(w2, b"y"), Ok(1));
    let _ = call!(close(w2));
    t.is("data after the last writer", read::<10>(r), Ok(b"y".to_vec()));
    t.is("end of file", read::<10>(r), Ok(vec![]));
    t.is("again", read::<10>(r), Ok(vec![]));
    let _ = call!(close(r));
    let (r, w) = pipe();
    let _ = call!(close(r));
    t.is(
        "SIGPIPE ends the writer",
        in_child(|| {
            let _ = call!(signal(libc::SIGPIPE, libc::SIG_DFL));
            let _ = write(w, b"x");
            0
        }),
        Ended::Signal(libc::SIGPIPE),
    );
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    t.fails("ignored, EPIPE", write(w, b"x"), libc::EPIPE);
    let _ = call!(close(w));
}

fn non_blocking(t: &mut Checks) {
    let mut fds = [0; 2];
    t.is("pipe2", call!(pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC)), Ok(0));
    let [r, w] = fds;
    t.is("close on exec", call!(fcntl(r, libc::F_GETFD)), Ok(1));
    t.ok(
        "O_NONBLOCK",
        call!(fcntl(w, libc::F_GETFL)).is_ok_and(|f| f as i32 & libc::O_NONBLOCK != 0),
    );
    t.is("nothing there", read::<1>(r), Err(libc::EAGAIN));
    let block = [7u8; 4096];
    let mut total = 0;
    while let Ok(count) = write(w, &block) {
        total += count;
    }
    t.is("capacity", total, 65536);
    t.fails("full", write(w, b"x"), libc::EAGAIN);
    t.fails(
        "cannot shrink below its content",
        call!(fcntl(w, libc::F_SETPIPE_SZ, 4096)),
        libc::EBUSY,
    );
    t.is("make room", read::<4096>(r).map(|bytes| bytes.len()), Ok(4096));
    t.is("a whole page fits again", write(w, &block), Ok(4096));
    t.is("make room", read::<4096>(r).map(|bytes| bytes.len()), Ok(4096));
    let big = [1u8; 10000];
    t.is("more than PIPE_BUF is written in part", write(w, &big), Ok(4096));
    let _ = (call!(close(r)), call!(close(w)));
}

fn errors(t: &mut Checks) {
    let mut fds = [0; 2];
    t.fails("bad flags", call!(pipe2(fds.as_mut_ptr(), 0x1)), libc::EINVAL);
    t.fails("bad pointer", call!(pipe(NOWHERE as *mut i32)), libc::EFAULT);
    let (r, w) = pipe();
    t.is("no descriptor stays behind after EFAULT", w - r, 1);
    t.fails("write to the read end", write(r, b"x"), libc::EBADF);
    t.is("read from the write end", read::<1>(w), Err(libc::EBADF));
    let _ = write(w, b"abc");
    t.fails("read to nowhere", call!(read(r, NOWHERE as *mut _, 3)), libc::EFAULT);
    t.fails("write from nowhere", call!(write(w, NOWHERE as *const _, 3)), libc::EFAULT);
    let _ = (call!(close(r)), call!(close(w)));
    t.is("closed", read::<1>(r), Err(libc::EBADF));
    t.fails("close twice", call!(close(r)), libc::EBADF);
}

fn between_processes(t: &mut Checks) {
    let (r, w) = pipe();
    let child = fork(|| {
        pause(30);
        let _ = write(w, b"late");
        0
    });
    t.is("read waits", read::<10>(r), Ok(b"late".to_vec()));
    t.is("child", wait(child), Ended::Exit(0));
    let child = fork(|| {
        let _ = call!(close(w));
        let mut sum = 0u64;
        while let Ok(bytes) = read::<8192>(r) {
            if bytes.is_empty() {
                break;
            }
            sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        i32::from(sum != 300_000)
    });
    t.is("one large write", write(w, &vec![1; 300_000]), Ok(300_000));
    let _ = call!(close(w));
    t.is("all of it arrived", wait(child), Ended::Exit(0));
    let _ = call!(close(r));
    let (r, w) = pipe();
    let writers: Vec<i32> = (0..4u8)
        .map(|letter| {
            fork(|| {
                for _ in 0..50 {
                    let _ = write(w, &[b'a' + letter; 1000]);
                }
                0
            })
        })
        .collect();
    let _ = call!(close(w));
    let mut whole = true;
    let mut count = 0;
    let mut rest = Vec::new();
    while let Ok(bytes) = read::<65536>(r) {
        if bytes.is_empty() {
            break;
        }
        rest.extend(bytes);
        while rest.len() >= 1000 {
            let block: Vec<u8> = rest.drain(..1000).collect();
            whole &= block.iter().all(|byte| *byte == block[0]);
            count += 1;
        }
    }
    t.ok("writes up to PIPE_BUF are not mixed", whole);
    t.is("none is lost", count, 200);
    t.ok("writers", writers.into_iter().all(|pid| wait(pid) == Ended::Exit(0)));
    let _ = call!(close(r));
}

fn vectors(t: &mut Checks) {
    let (r, w) = pipe();
    let parts = [b"one ".as_slice(), b"", b"two"];
    let out: Vec<libc::iovec> = parts
        .iter()
        .map(|part| libc::iovec { iov_base: part.as_ptr() as *mut _, iov_len: part.len() })
        .collect();
    t.is("writev", call!(writev(w, out.as_ptr(), 3)), Ok(7));
    let (mut a, mut b) = ([0u8; 3], [0u8; 10]);
    let mut into = [
        libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: a.len() },
        libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() },
    ];
    t.is("readv", call!(readv(r, into.as_mut_ptr(), 2)), Ok(7));
    t.is("first part", &a, b"one");
    t.is("second part", &b[..4], b" two".as_slice());
    t.fails("too many parts", call!(writev(w, out.as_ptr(), 1025)), libc::EINVAL);
    t.fails("a negative count", call!(readv(r, into.as_mut_ptr(), -1)), libc::EINVAL);
    t.is("no parts", call!(writev(w, out.as_ptr(), 0)), Ok(0));
    t.fails("parts at nowhere", call!(writev(w, NOWHERE as *const _, 1)), libc::EFAULT);
    into[0].iov_len = usize::MAX;
    t.fails("a part too long", call!(readv(r, into.as_mut_ptr(), 1)), libc::EINVAL);
}
