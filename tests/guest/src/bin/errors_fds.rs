//! Errors of calls about descriptors: `dup(2)`, `pipe(2)`, `fcntl(2)`, `flock(2)`, `ioctl(2)`,
//! `close_range(2)`, and of all calls that make one where there is none left.

use std::process::exit;
use std::ptr::null_mut;

use libc::{
    F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK, SYS_accept, SYS_accept4, SYS_close,
    SYS_close_range, SYS_dup, SYS_dup2, SYS_dup3, SYS_epoll_create, SYS_epoll_create1, SYS_eventfd,
    SYS_eventfd2, SYS_fcntl, SYS_flock, SYS_inotify_init, SYS_inotify_init1, SYS_ioctl,
    SYS_memfd_create, SYS_pipe, SYS_pipe2, SYS_signalfd4, SYS_socket, SYS_socketpair,
    SYS_timerfd_create,
};
use lx_guest_tests::errors::{as_nobody, interrupted, without_descriptors};
use lx_guest_tests::sockets::Address;
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, c, call, fork, in_child, pipe, read, sockets, wait,
    write,
};

/// A descriptor that is not open.
const CLOSED: i32 = 999;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    duplicates(&mut t);
    pipes(&mut t);
    none_left(&mut t);
    many_instances(&mut t);
    control(&mut t);
    record_locks(&mut t);
    seals(&mut t);
    whole_file_locks(&mut t);
    requests(&mut t);
    drop(scratch);
    t.end();
}

fn open(name: &str, flags: i32) -> i32 {
    call!(open(c(name).as_ptr(), flags, 0o644)).unwrap_or(-1) as i32
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

fn duplicates(t: &mut Checks) {
    t.fails("close of a closed one", call!(syscall(SYS_close, CLOSED)), libc::EBADF);
    t.fails("close of a negative one", call!(syscall(SYS_close, -1)), libc::EBADF);
    t.fails("dup of a closed one", call!(syscall(SYS_dup, CLOSED)), libc::EBADF);
    t.fails("dup2 of a closed one", call!(syscall(SYS_dup2, CLOSED, 50)), libc::EBADF);
    t.fails("dup2 to a negative one", call!(syscall(SYS_dup2, 0, -1)), libc::EBADF);
    t.fails("dup3 of a closed one", call!(syscall(SYS_dup3, CLOSED, 50, 0)), libc::EBADF);
    t.fails("dup3 beyond the limit", call!(syscall(SYS_dup3, 0, i32::MAX, 0)), libc::EBADF);
    t.fails("dup3 to itself", call!(syscall(SYS_dup3, CLOSED, CLOSED, 0)), libc::EINVAL);
    t.fails("dup3 with unknown flags", call!(syscall(SYS_dup3, 0, 50, 1)), libc::EINVAL);
    t.fails("a range backwards", call!(syscall(SYS_close_range, 60, 50, 0)), libc::EINVAL);
    t.fails("unknown flags", call!(syscall(SYS_close_range, 50, 60, 1)), libc::EINVAL);
    t.is("a range of none", call!(syscall(SYS_close_range, 50, 60, 0)), Ok(0));
    let lost = without_descriptors(|| call!(syscall(SYS_dup2, 0, 50)));
    t.fails("dup2 without descriptors", lost, libc::EBADF);
}

fn pipes(t: &mut Checks) {
    let mut ends = [0; 2];
    t.is("pipe", call!(syscall(SYS_pipe, ends.as_mut_ptr())), Ok(0));
    close(&ends);
    t.fails("pipe to nowhere", call!(syscall(SYS_pipe, NOWHERE)), libc::EFAULT);
    t.fails("pipe2 to nowhere", call!(syscall(SYS_pipe2, NOWHERE, 0)), libc::EFAULT);
    let unknown = call!(syscall(SYS_pipe2, ends.as_mut_ptr(), libc::O_APPEND));
    t.fails("pipe2 with unknown flags", unknown, libc::EINVAL);
    // Kernels differ in whether they have pipes for notifications (O_EXCL), but not in this.
    let notified = call!(syscall(SYS_pipe2, ends.as_mut_ptr(), libc::O_EXCL));
    t.ok("of notifications, if at all", matches!(notified, Ok(0) | Err(libc::ENOPKG)));
    if notified.is_ok() {
        close(&ends);
    }
    t.fails("flags before the pointer", call!(syscall(SYS_pipe2, NOWHERE, 1)), libc::EINVAL);
}

/// Every call that makes a descriptor, where there is none left.
fn none_left(t: &mut Checks) {
    let mut ends = [0; 2];
    let signals = 0_u64;
    let (stream, event) = (libc::SOCK_STREAM, libc::AF_UNIX);
    let listener = call!(socket(libc::AF_UNIX, stream, 0)).unwrap_or(-1) as i32;
    let client = call!(socket(libc::AF_UNIX, stream, 0)).unwrap_or(-1) as i32;
    let address = Address::path("full");
    let _ = sockets::bind(listener, &address);
    let _ = call!(listen(listener, 1));
    let _ = sockets::connect(client, &address);
    let calls: [(&str, &mut dyn FnMut() -> Called); 18] = [
        ("dup", &mut || call!(syscall(SYS_dup, 0))),
        ("fcntl", &mut || call!(syscall(SYS_fcntl, 0, libc::F_DUPFD, 0))),
        ("pipe", &mut || call!(syscall(SYS_pipe, ends.as_mut_ptr()))),
        ("pipe2", &mut || call!(syscall(SYS_pipe2, [0; 2].as_mut_ptr(), 0))),
        ("epoll_create", &mut || call!(syscall(SYS_epoll_create, 1))),
        ("epoll_create1", &mut || call!(syscall(SYS_epoll_create1, 0))),
        ("eventfd", &mut || call!(syscall(SYS_eventfd, 0))),
        ("eventfd2", &mut || call!(syscall(SYS_eventfd2, 0, 0))),
        ("signalfd4", &mut || call!(syscall(SYS_signalfd4, -1, &raw const signals, 8, 0))),
        ("timerfd_create", &mut || call!(syscall(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0))),
        ("memfd_create", &mut || call!(syscall(SYS_memfd_create, c"x".as_ptr(), 0))),
        ("inotify_init", &mut || call!(syscall(SYS_inotify_init))),
        ("inotify_init1", &mut || call!(syscall(SYS_inotify_init1, 0))),
        ("socket", &mut || call!(syscall(SYS_socket, event, stream, 0))),
        ("socketpair", &mut || {
            call!(syscall(SYS_socketpair, event, stream, 0, [0; 2].as_mut_ptr()))
        }),
        ("accept", &mut || call!(syscall(SYS_accept, listener, 0_usize, 0_usize))),
        ("accept4", &mut || call!(syscall(SYS_accept4, listener, 0_usize, 0_usize, 0))),
        ("open", &mut || call!(open(c".".as_ptr(), libc::O_RDONLY))),
    ];
    for (name, call) in calls {
        let got = without_descriptors(call);
        // F_DUPFD finds its start beyond the limit first.
        let errno = if name == "fcntl" { libc::EINVAL } else { libc::EMFILE };
        t.fails(&format!("{name} with no descriptor left"), got, errno);
    }
    let accepted = call!(accept(listener, null_mut(), null_mut()));
    t.ok("the connection still waits", accepted.is_ok());
    close(&[listener, client, accepted.unwrap_or(-1) as i32]);
    let _ = std::fs::remove_file("full");
    let full = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 16, rlim_max: 16 };
        let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
        while call!(dup(0)).is_ok() {}
        i32::from(call!(syscall(SYS_fcntl, 0, libc::F_DUPFD, 3)) != Err(libc::EMFILE))
    });
    t.is("F_DUPFD in a full table", full, Ended::Exit(0));
}

/// A user may have so many inotify instances and no more.
fn many_instances(t: &mut Checks) {
    let full = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
        let end = (0..4000).find_map(|_| call!(syscall(SYS_inotify_init)).err());
        end.unwrap_or(0)
    });
    t.is("inotify instances end", full, Ended::Exit(libc::EMFILE));
}

fn control(t: &mut Checks) {
    let fcntl = |fd: i32, command: i32, arg: i64| call!(syscall(SYS_fcntl, fd, command, arg));
    t.fails("fcntl of a closed one", fcntl(CLOSED, libc::F_GETFL, 0), libc::EBADF);
    t.fails("unknown command", fcntl(0, 9999, 0), libc::EINVAL);
    t.fails("F_DUPFD from -1", fcntl(0, libc::F_DUPFD, -1), libc::EINVAL);
    let file = open("file", libc::O_RDWR | libc::O_CREAT);
    const F_SETSIG: i32 = 10;
    t.fails("F_SETSIG of no signal", fcntl(file, F_SETSIG, 999), libc::EINVAL);
    t.fails("F_NOTIFY of a file", fcntl(file, libc::F_NOTIFY, 1), libc::ENOTDIR);
    t.fails("the pipe size of a file", fcntl(file, libc::F_GETPIPE_SZ, 0), libc::EBADF);
    let path = open("file", libc::O_PATH);
    t.fails("F_SETFL of O_PATH", fcntl(path, libc::F_SETFL, 0), libc::EBADF);
    let (r, w) = pipe();
    t.is("fill", write(w, &[0; 8192]), Ok(8192));
    t.fails("a pipe smaller than its contents", fcntl(w, libc::F_SETPIPE_SZ, 4096), libc::EBUSY);
    let huge = as_nobody(|| fcntl(w, libc::F_SETPIPE_SZ, 8 << 20));
    t.fails("a pipe larger than permitted", huge, libc::EPERM);
    t.fails("a pipe too large", fcntl(w, libc::F_SETPIPE_SZ, -1), libc::EINVAL);
    close(&[file, path, r, w]);
}

fn lock(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

fn set_lock(fd: i32, command: i32, lock: &libc::flock) -> Called {
    call!(syscall(SYS_fcntl, fd, command, lock as *const libc::flock))
}

fn record_locks(t: &mut Checks) {
    let file = open("file", libc::O_RDWR);
    let (ready_r, ready_w) = pipe();
    let (hold_r, hold_w) = pipe();
    let child = fork(|| {
        close(&[hold_w]);
        let _ = set_lock(file, F_SETLK, &lock(F_WRLCK, 0, 1));
        let _ = write(ready_w, b"x");
        let _ = read::<1>(hold_r);
        0
    });
    let _ = read::<1>(ready_r);
    t.fails("locked", set_lock(file, F_SETLK, &lock(F_RDLCK, 0, 0)), libc::EAGAIN);
    let waited = interrupted(|| set_lock(file, F_SETLKW, &lock(F_RDLCK, 0, 0)));
    t.fails("a signal ends the wait", waited, libc::EINTR);
    const F_OFD_SETLKW: i32 = 38;
    let waited = interrupted(|| set_lock(file, F_OFD_SETLKW, &lock(F_RDLCK, 0, 0)));
    t.fails("of a description's lock, too", waited, libc::EINTR);
    close(&[hold_r, hold_w]);
    t.is("the holder", wait(child), Ended::Exit(0));
    t.is("free", set_lock(file, F_SETLKW, &lock(F_WRLCK, 0, 1)), Ok(0));
    let nowhere = call!(syscall(SYS_fcntl, file, F_SETLK, NOWHERE));
    t.fails("a lock at nowhere", nowhere, libc::EFAULT);
    t.fails("of an unknown kind", set_lock(file, F_SETLK, &lock(9, 0, 0)), libc::EINVAL);
    t.fails("before the start", set_lock(file, F_SETLK, &lock(F_RDLCK, -1, 1)), libc::EINVAL);
    let late = lock(F_RDLCK, i64::MAX, 2);
    t.fails("beyond the last byte", set_lock(file, F_SETLK, &late), libc::EOVERFLOW);
    const F_OFD_SETLK: i32 = 37;
    let with_pid = libc::flock { l_pid: 1, ..lock(F_RDLCK, 0, 0) };
    t.fails("of a description and a process", set_lock(file, F_OFD_SETLK, &with_pid), libc::EINVAL);
    let ro = open("file", libc::O_RDONLY);
    t.fails("to write, read-only", set_lock(ro, F_SETLK, &lock(F_WRLCK, 0, 0)), libc::EBADF);
    let wo = open("file", libc::O_WRONLY);
    t.fails("to read, write-only", set_lock(wo, F_SETLK, &lock(F_RDLCK, 0, 0)), libc::EBADF);
    close(&[ro, wo]);
    // That closed the file, and with it all locks of this process.
    deadlock(t, file);
    close(&[file, ready_r, ready_w]);
}

/// Two processes that wait for each other: the second one is told so, whichever it is.
fn deadlock(t: &mut Checks, file: i32) {
    t.is("the first byte", set_lock(file, F_SETLK, &lock(F_WRLCK, 0, 1)), Ok(0));
    let (r, w) = pipe();
    let child = fork(|| {
        let _ = set_lock(file, F_SETLK, &lock(F_WRLCK, 1, 1));
        let _ = write(w, b"x");
        set_lock(file, F_SETLKW, &lock(F_WRLCK, 0, 1)).err().unwrap_or(0)
    });
    let _ = read::<1>(r);
    let mine = set_lock(file, F_SETLKW, &lock(F_WRLCK, 1, 1)).err().unwrap_or(0);
    let _ = set_lock(file, F_SETLK, &lock(F_UNLCK, 0, 0));
    let theirs = wait(child);
    let told = [(libc::EDEADLK, Ended::Exit(0)), (0, Ended::Exit(libc::EDEADLK))];
    t.ok("one of two finds the deadlock", told.contains(&(mine, theirs)));
    close(&[r, w]);
}

fn seals(t: &mut Checks) {
    let name = c"sealed".as_ptr();
    let memory = call!(memfd_create(name, libc::MFD_ALLOW_SEALING)).unwrap_or(-1) as i32;
    let add = |fd: i32, seals: i32| call!(syscall(SYS_fcntl, fd, libc::F_ADD_SEALS, seals));
    t.is("size", call!(ftruncate(memory, 4096)), Ok(0));
    t.fails("unknown seal", add(memory, 1 << 20), libc::EINVAL);
    let (r, w) = pipe();
    t.fails("seals of what is read only", add(r, libc::F_SEAL_WRITE), libc::EPERM);
    t.fails("seals of a pipe", add(w, libc::F_SEAL_WRITE), libc::EINVAL);
    let get = call!(syscall(SYS_fcntl, r, libc::F_GET_SEALS));
    t.fails("which has none", get, libc::EINVAL);
    close(&[r, w]);
    let (rw, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let map = call!(mmap(null_mut(), 4096, rw, shared, memory, 0));
    t.fails("mapped to be written", add(memory, libc::F_SEAL_WRITE), libc::EBUSY);
    let _ = call!(munmap(map.unwrap_or(0) as *mut _, 4096));
    t.is("not mapped", add(memory, libc::F_SEAL_WRITE | libc::F_SEAL_GROW), Ok(0));
    t.fails("write", write(memory, b"x"), libc::EPERM);
    t.fails("grow", call!(ftruncate(memory, 8192)), libc::EPERM);
    t.is("no more seals", add(memory, libc::F_SEAL_SEAL), Ok(0));
    t.fails("one more", add(memory, libc::F_SEAL_SHRINK), libc::EPERM);
    close(&[memory]);
}

fn whole_file_locks(t: &mut Checks) {
    let flock = |fd: i32, operation: i32| call!(syscall(SYS_flock, fd, operation));
    let (a, b) = (open("file", libc::O_RDWR), open("file", libc::O_RDWR));
    t.is("exclusive", flock(a, libc::LOCK_EX), Ok(0));
    t.fails("held elsewhere", flock(b, libc::LOCK_SH | libc::LOCK_NB), libc::EWOULDBLOCK);
    let waited = interrupted(|| flock(b, libc::LOCK_EX));
    t.fails("a signal ends the wait", waited, libc::EINTR);
    t.is("shared now", flock(a, libc::LOCK_SH), Ok(0));
    t.is("by both", flock(b, libc::LOCK_SH | libc::LOCK_NB), Ok(0));
    t.fails("not exclusively", flock(b, libc::LOCK_EX | libc::LOCK_NB), libc::EWOULDBLOCK);
    t.is("unlock", flock(a, libc::LOCK_UN), Ok(0));
    t.is("the other is alone", flock(b, libc::LOCK_EX | libc::LOCK_NB), Ok(0));
    t.fails("of a closed one", flock(CLOSED, libc::LOCK_EX), libc::EBADF);
    t.fails("none of the three", flock(a, 0), libc::EINVAL);
    t.fails("two of them", flock(a, libc::LOCK_SH | libc::LOCK_EX), libc::EINVAL);
    let path = open("file", libc::O_PATH);
    t.fails("of O_PATH", flock(path, libc::LOCK_SH), libc::EBADF);
    close(&[a, b, path]);
}

fn requests(t: &mut Checks) {
    let (r, w) = pipe();
    let ioctl = |fd: i32, request: u64, arg: usize| call!(syscall(SYS_ioctl, fd, request, arg));
    t.fails("of a closed one", ioctl(CLOSED, libc::FIONREAD, 0), libc::EBADF);
    t.fails("to nowhere", ioctl(r, libc::FIONREAD, NOWHERE), libc::EFAULT);
    t.fails("a terminal's, of a pipe", ioctl(r, libc::TCGETS, NOWHERE), libc::ENOTTY);
    t.fails("unknown", ioctl(r, 0x1234_5678, 0), libc::ENOTTY);
    let stream = call!(socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)).unwrap_or(-1) as i32;
    let address = Address::path("requests");
    let _ = sockets::bind(stream, &address);
    let _ = call!(listen(stream, 1));
    let mut count = 0;
    let of_listener = ioctl(stream, libc::FIONREAD, (&raw mut count).expose_provenance());
    t.fails("bytes at a listener", of_listener, libc::EINVAL);
    close(&[r, w, stream]);
    let _ = std::fs::remove_file("requests");
}
