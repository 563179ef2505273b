//! `dup(2)`, `fcntl(2)`, `close_range(2)`: descriptors, descriptions, limits.

use std::process::exit;

use lx_guest_tests::{Checks, Ended, Scratch, c, call, in_child, no_core, pipe, read, write};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    duplicates(&mut t);
    descriptions(&mut t);
    limits(&mut t);
    no_core();
    file_size(&mut t);
    ranges(&mut t);
    drop(scratch);
    t.end();
}

fn open(name: &str, flags: i32) -> i32 {
    call!(open(c(name).as_ptr(), flags, 0o644)).unwrap_or(-1) as i32
}

fn offset(fd: i32) -> i64 {
    call!(lseek(fd, 0, libc::SEEK_CUR)).unwrap_or(-1)
}

fn duplicates(t: &mut Checks) {
    let (r, w) = pipe();
    let copy = t.works("dup", call!(dup(w))) as i32;
    t.is("the lowest free number", copy, w + 1);
    t.is("dup2", call!(dup2(w, 20)), Ok(20));
    t.is("through it", write(20, b"x"), Ok(1));
    t.is("arrives", read::<9>(r), Ok(b"x".to_vec()));
    t.is("dup2 to itself", call!(dup2(w, w)), Ok(i64::from(w)));
    t.fails("dup2 of a closed one", call!(dup2(99, 20)), libc::EBADF);
    t.is("left 20 alone", write(20, b"x"), Ok(1));
    t.fails("dup2 of a closed one to itself", call!(dup2(99, 99)), libc::EBADF);
    t.fails("dup2 to a negative number", call!(dup2(w, -1)), libc::EBADF);
    t.fails("dup2 beyond the limit", call!(dup2(w, i32::MAX)), libc::EBADF);
    t.fails("dup of a closed one", call!(dup(99)), libc::EBADF);
    t.is("dup3", call!(dup3(w, 21, libc::O_CLOEXEC)), Ok(21));
    t.is("sets close on exec", call!(fcntl(21, libc::F_GETFD)), Ok(1));
    t.fails("dup3 to itself", call!(dup3(w, w, 0)), libc::EINVAL);
    t.fails("dup3 with other flags", call!(dup3(w, 22, libc::O_NONBLOCK)), libc::EINVAL);
    t.is("F_DUPFD", call!(fcntl(w, libc::F_DUPFD, 30)), Ok(30));
    t.is("F_DUPFD, the next", call!(fcntl(w, libc::F_DUPFD, 30)), Ok(31));
    t.is("F_DUPFD_CLOEXEC", call!(fcntl(w, libc::F_DUPFD_CLOEXEC, 30)), Ok(32));
    t.is("sets close on exec", call!(fcntl(32, libc::F_GETFD)), Ok(1));
    t.is("its own flag", call!(fcntl(31, libc::F_GETFD)), Ok(0));
    t.fails("F_DUPFD from −1", call!(fcntl(w, libc::F_DUPFD, -1)), libc::EINVAL);
    t.is("F_SETFD", call!(fcntl(31, libc::F_SETFD, libc::FD_CLOEXEC)), Ok(0));
    t.is("F_GETFD", call!(fcntl(31, libc::F_GETFD)), Ok(1));
    t.fails("fcntl of a closed one", call!(fcntl(99, libc::F_GETFD)), libc::EBADF);
    t.fails("no such command", call!(fcntl(w, 9999)), libc::EINVAL);
    for fd in [copy, 20, 21, 30, 31, 32, r, w] {
        let _ = call!(close(fd));
    }
    t.is("a closed number is used again", call!(dup(0)), Ok(i64::from(r)));
    let _ = call!(close(r));
}

fn descriptions(t: &mut Checks) {
    let fd = open("file", libc::O_RDWR | libc::O_CREAT);
    let copy = call!(dup(fd)).unwrap_or(-1) as i32;
    let other = open("file", libc::O_RDWR);
    t.is("write", write(fd, b"0123456789"), Ok(10));
    t.is("a duplicate shares the offset", offset(copy), 10);
    t.is("another open does not", offset(other), 0);
    t.is("seek by the duplicate", call!(lseek(copy, 3, libc::SEEK_SET)), Ok(3));
    t.is("is seen", read::<2>(fd), Ok(b"34".to_vec()));
    t.is(
        "a child shares it too",
        in_child(|| read::<2>(fd).map_or(1, |bytes| i32::from(bytes != b"56"))),
        Ended::Exit(0),
    );
    t.is("so it moved here", offset(fd), 7);
    t.is("F_SETFL", call!(fcntl(fd, libc::F_SETFL, libc::O_APPEND)), Ok(0));
    let flags = call!(fcntl(copy, libc::F_GETFL)).unwrap_or(0) as i32;
    t.ok("status flags are shared", flags & libc::O_APPEND != 0);
    t.is("the access mode stays", flags & libc::O_ACCMODE, libc::O_RDWR);
    let _ = call!(lseek(fd, 0, libc::SEEK_SET));
    t.is("O_APPEND writes at the end", write(fd, b"A"), Ok(1));
    t.is("and moves the offset there", offset(fd), 11);
    t.is("SEEK_END", call!(lseek(other, -2, libc::SEEK_END)), Ok(9));
    t.is("read", read::<9>(other), Ok(b"9A".to_vec()));
    t.fails("before the start", call!(lseek(other, -1, libc::SEEK_SET)), libc::EINVAL);
    t.fails("no such whence", call!(lseek(other, 0, 99)), libc::EINVAL);
    t.is("beyond the end", call!(lseek(other, 100, libc::SEEK_SET)), Ok(100));
    t.is("nothing to read there", read::<1>(other), Ok(vec![]));
    t.is("a write there leaves a hole", write(other, b"Z"), Ok(1));
    let mut byte = [9u8];
    t.is(
        "that reads as zero",
        call!(pread(other, byte.as_mut_ptr().cast(), 1, 50)).map(|n| (n, byte[0])),
        Ok((1, 0)),
    );
    t.is("pwrite", call!(pwrite(other, b"P".as_ptr().cast(), 1, 0)), Ok(1));
    t.is("leaves the offset", offset(other), 101);
    t.fails(
        "a negative offset",
        call!(pread(other, byte.as_mut_ptr().cast(), 1, -1)),
        libc::EINVAL,
    );
    let ro = open("file", libc::O_RDONLY);
    t.fails("write to a read-only one", write(ro, b"x"), libc::EBADF);
    let wo = open("file", libc::O_WRONLY | libc::O_TRUNC);
    t.is("O_TRUNC", call!(lseek(ro, 0, libc::SEEK_END)), Ok(0));
    t.is("read from a write-only one", read::<1>(wo), Err(libc::EBADF));
    t.fails(
        "O_CREAT with O_EXCL",
        call!(open(c("file").as_ptr(), libc::O_CREAT | libc::O_EXCL, 0o644)),
        libc::EEXIST,
    );
    let path = call!(open(c("file").as_ptr(), libc::O_PATH)).unwrap_or(-1) as i32;
    t.is("O_PATH cannot read", read::<1>(path), Err(libc::EBADF));
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    t.is("but fstat", call!(fstat(path, &mut stat)), Ok(0));
    let dir = open(".", libc::O_RDONLY | libc::O_DIRECTORY);
    t.is("read of a folder", read::<1>(dir), Err(libc::EISDIR));
    for fd in [fd, copy, other, ro, wo, path, dir] {
        t.is("close", call!(close(fd)), Ok(0));
    }
}

fn limits(t: &mut Checks) {
    t.is(
        "in a child",
        in_child(|| {
            let limit = libc::rlimit { rlim_cur: 16, rlim_max: 16 };
            let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
            let mut highest = 0;
            let error = loop {
                match call!(dup(0)) {
                    Ok(fd) => highest = fd,
                    Err(errno) => break errno,
                }
            };
            let mut ends = [0; 2];
            let full = call!(pipe(ends.as_mut_ptr())) == Err(libc::EMFILE);
            let beyond = call!(dup2(0, 16)) == Err(libc::EBADF)
                && call!(fcntl(0, libc::F_DUPFD, 16)) == Err(libc::EINVAL);
            let _ = call!(close(9));
            let one = call!(pipe(ends.as_mut_ptr())) == Err(libc::EMFILE) && call!(dup(0)) == Ok(9);
            i32::from(!(highest == 15 && error == libc::EMFILE && full && beyond && one))
        }),
        Ended::Exit(0),
    );
}

/// A limit on the size of files, with `SIGXFSZ` or without.
fn file_size(t: &mut Checks) {
    let limited = |body: &dyn Fn(i32) -> bool| {
        in_child(|| {
            let limit = libc::rlimit { rlim_cur: 10, rlim_max: 10 };
            let _ = call!(setrlimit(libc::RLIMIT_FSIZE, &limit));
            let fd = open("limited", libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
            i32::from(!body(fd))
        })
    };
    let ignore = || call!(signal(libc::SIGXFSZ, libc::SIG_IGN)).is_ok();
    let ended = Ended::Signal(libc::SIGXFSZ);
    t.is("up to the limit", limited(&|fd| write(fd, b"0123456789abc") == Ok(10)), Ended::Exit(0));
    t.is(
        "beyond it",
        limited(&|fd| write(fd, b"0123456789").is_ok() && write(fd, b"x").is_ok()),
        ended,
    );
    t.is(
        "the signal ignored",
        limited(&|fd| {
            ignore() && write(fd, b"0123456789").is_ok() && write(fd, b"x") == Err(libc::EFBIG)
        }),
        Ended::Exit(0),
    );
    t.is("ftruncate", limited(&|fd| call!(ftruncate(fd, 11)).is_ok()), ended);
    t.is(
        "ftruncate, ignored",
        limited(&|fd| {
            ignore()
                && call!(ftruncate(fd, 11)) == Err(libc::EFBIG)
                && call!(ftruncate(fd, 10)) == Ok(0)
        }),
        Ended::Exit(0),
    );
    t.is(
        "pipes have no limit",
        limited(&|_| write(pipe().1, &[0; 100]) == Ok(100)),
        Ended::Exit(0),
    );
}

fn ranges(t: &mut Checks) {
    let (r, w) = pipe();
    for fd in 40..50 {
        let _ = call!(dup2(w, fd));
    }
    let open = || (40..50).filter(|fd| call!(fcntl(*fd, libc::F_GETFD)).is_ok()).count();
    t.is("ten", open(), 10);
    t.is("close_range", call!(syscall(libc::SYS_close_range, 45, 100, 0)), Ok(0));
    t.is("five", open(), 5);
    t.is("close on exec", call!(syscall(libc::SYS_close_range, 40, 44, 4)), Ok(0));
    t.is("still open", open(), 5);
    t.is("with the flag", call!(fcntl(44, libc::F_GETFD)), Ok(1));
    t.fails("backwards", call!(syscall(libc::SYS_close_range, 9, 8, 0)), libc::EINVAL);
    t.fails("bad flags", call!(syscall(libc::SYS_close_range, 40, 44, 64)), libc::EINVAL);
    t.is("all the rest", call!(syscall(libc::SYS_close_range, r, u32::MAX, 0)), Ok(0));
    t.is("closed", read::<1>(r), Err(libc::EBADF));
}
