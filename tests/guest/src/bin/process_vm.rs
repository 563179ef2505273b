//! Memory and descriptors of other processes.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lx_guest_tests::files::{is_root, sys};
use lx_guest_tests::{
    Called, Checks, Child, Ended, NOWHERE, c, call, fork, in_child, pipe, read, wait, write,
};

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn main() {
    let mut t = Checks::new();
    reads_and_writes(&mut t);
    wherever_it_is(&mut t);
    pieces(&mut t);
    refused(&mut t);
    many_at_once(&mut t);
    killed_meanwhile(&mut t);
    descriptors(&mut t);
    advice(&mut t);
    as_a_file(&mut t);
    t.end();
}

fn map(pages: usize, prot: i32) -> usize {
    call!(mmap(null_mut(), pages * PAGE, prot, PRIVATE, -1, 0)).unwrap_or(0) as usize
}

fn part(base: usize, len: usize) -> libc::iovec {
    libc::iovec { iov_base: base as *mut _, iov_len: len }
}

fn vm(write: bool, pid: i32, local: &[libc::iovec], remote: &[libc::iovec], flags: u64) -> Called {
    let (from, count) = (local.as_ptr(), local.len() as u64);
    let (to, others) = (remote.as_ptr(), remote.len() as u64);
    match write {
        true => call!(process_vm_writev(pid, from, count, to, others, flags)),
        false => call!(process_vm_readv(pid, from, count, to, others, flags)),
    }
}

fn peek(pid: i32, at: usize, buffer: &mut [u8]) -> Called {
    let local = part(buffer.as_mut_ptr() as usize, buffer.len());
    vm(false, pid, &[local], &[part(at, buffer.len())], 0)
}

fn poke(pid: i32, at: usize, bytes: &[u8]) -> Called {
    vm(true, pid, &[part(bytes.as_ptr() as usize, bytes.len())], &[part(at, bytes.len())], 0)
}

/// A child that does `then` after its parent has done something.
fn start(first: impl FnOnce(), then: impl FnOnce(i32) -> i32) -> Child {
    Child::new(first, |(), told| then(told))
}

/// Until the other end is closed.
fn until_told(fd: i32) -> i32 {
    let _ = read::<1>(fd);
    0
}

fn set(at: usize, bytes: &[u8]) {
    for (offset, byte) in bytes.iter().enumerate() {
        // SAFETY: the callers' mappings.
        unsafe { ((at + offset) as *mut u8).write_volatile(*byte) };
    }
}

fn get(at: usize, len: usize) -> Vec<u8> {
    // SAFETY: as above.
    (at..at + len).map(|at| unsafe { (at as *const u8).read_volatile() }).collect()
}

fn reads_and_writes(t: &mut Checks) {
    let at = map(40, RW);
    set(at, b"parent");
    let child = start(
        || set(at, b"child."),
        |waits| {
            until_told(waits);
            i32::from(get(at + PAGE, 3) != b"new")
        },
    );
    let mut bytes = [0; 6];
    t.is("read from a child", peek(child.pid, at, &mut bytes), Ok(6));
    t.is("what it has written", &bytes, b"child.");
    t.is("the own page is another", get(at, 6), b"parent".to_vec());
    t.is("write to it", poke(child.pid, at + PAGE, b"new"), Ok(3));
    let mut much = vec![1; 40 * PAGE];
    t.is("much", peek(child.pid, at, &mut much), Ok(40 * PAGE as i64));
    t.is("all of it", (&much[..6], &much[PAGE..PAGE + 4]), (&b"child."[..], &b"new\0"[..]));
    t.ok("and zeroes", much[PAGE + 3..].iter().all(|&byte| byte == 0));
    t.is("the child has seen it", child.ends(), Ended::Exit(0));
    let own = std::process::id() as i32;
    t.is("read from oneself", peek(own, at, &mut bytes), Ok(6));
    t.is("the own bytes", &bytes, b"parent");
    t.is("write to oneself", poke(own, at, b"me"), Ok(2));
    t.is("they are there", get(at, 3), b"mer".to_vec());
    let from_child = in_child(|| {
        let mut bytes = [0; 3];
        let parent = call!(getppid()).unwrap_or(0) as i32;
        i32::from(peek(parent, at, &mut bytes) != Ok(3) || &bytes != b"mer")
    });
    t.is("a child reads from its parent, which waits for it", from_child, Ended::Exit(0));
}

/// The process may sleep, run, be stopped.
fn wherever_it_is(t: &mut Checks) {
    let at = map(1, RW);
    let mut bytes = [0; 1];
    let runs = start(
        || set(at, b"1"),
        |_| {
            // SAFETY: the page of this function.
            while unsafe { (at as *const u8).read_volatile() } != b'2' {}
            0
        },
    );
    t.is("one that makes no calls", peek(runs.pid, at, &mut bytes), Ok(1));
    t.is("is read", &bytes, b"1");
    t.is("and written", poke(runs.pid, at, b"2"), Ok(1));
    t.is("so that it ends", runs.ends(), Ended::Exit(0));
    let stopped = start(|| set(at, b"3"), until_told);
    let _ = call!(kill(stopped.pid, libc::SIGSTOP));
    let mut status = 0;
    let _ = call!(waitpid(stopped.pid, &mut status, libc::WUNTRACED));
    t.is("one that is stopped", peek(stopped.pid, at, &mut bytes), Ok(1));
    t.is("as well", &bytes, b"3");
    let _ = call!(kill(stopped.pid, libc::SIGCONT));
    t.is("goes on", stopped.ends(), Ended::Exit(0));
    let sleeps = start(
        || set(at, b"4"),
        |_| {
            let time = libc::timespec { tv_sec: 0, tv_nsec: 300_000_000 };
            let mut left = time;
            let done = call!(nanosleep(&time, &mut left));
            // epoll_wait is never restarted.
            let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            let none = call!(epoll_wait(epoll, &mut event, 1, 300));
            i32::from((done, none) != (Ok(0), Ok(0)))
        },
    );
    let mut good = 0;
    for _ in 0..50 {
        good += i32::from(peek(sleeps.pid, at, &mut bytes) == Ok(1) && &bytes == b"4");
        thread::sleep(Duration::from_millis(8));
    }
    t.is("one that sleeps, again and again", good, 50);
    t.is("does not notice", sleeps.ends(), Ended::Exit(0));
    let ended = start(|| (), |_| 0);
    // SAFETY: zeroes are a valid structure.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    let _ = call!(waitid(libc::P_PID, ended.pid as u32, &mut info, flags));
    t.fails("one that has ended", peek(ended.pid, at, &mut bytes), libc::ESRCH);
    let pid = ended.pid;
    let _ = ended.ends();
    t.fails("one that is gone", peek(pid, at, &mut bytes), libc::ESRCH);
    let _ = call!(munmap(at as *mut _, PAGE));
}

fn pieces(t: &mut Checks) {
    let at = map(4, RW);
    let child = start(
        || {
            set(at, b"abcdefgh");
            set(at + 2 * PAGE - 2, b"yz");
            let _ = call!(munmap((at + 2 * PAGE) as *mut _, PAGE));
            let _ = call!(mprotect((at + 3 * PAGE) as *mut _, PAGE, libc::PROT_NONE));
        },
        until_told,
    );
    let pid = child.pid;
    let buffer = map(2, RW);
    let local = [part(buffer, 3), part(0, 0), part(buffer + 10, 2)];
    let remote = [part(at, 1), part(at + 2, 4)];
    t.is("pieces", vm(false, pid, &local, &remote, 0), Ok(5));
    t.is(
        "in their order",
        (get(buffer, 3), get(buffer + 10, 2)),
        (b"acd".to_vec(), b"ef".to_vec()),
    );
    let two = [part(at, 2), part(NOWHERE, 2)];
    t.is("up to a bad one", vm(false, pid, &[part(buffer, 9)], &two, 0), Ok(2));
    let hole = [part(at + 2 * PAGE - 2, 8)];
    t.is("up to a hole", vm(false, pid, &[part(buffer, 9)], &hole, 0), Ok(2));
    t.is("what lies before it", get(buffer, 2), b"yz".to_vec());
    t.is("writing up to a hole", vm(true, pid, &[part(buffer, 9)], &hole, 0), Ok(2));
    t.fails(
        "a hole",
        vm(false, pid, &[part(buffer, 9)], &[part(at + 2 * PAGE, 8)], 0),
        libc::EFAULT,
    );
    let none = [part(at + 3 * PAGE, 1)];
    t.fails("what it may not read", vm(false, pid, &[part(buffer, 9)], &none, 0), libc::EFAULT);
    t.fails("write", vm(true, pid, &[part(buffer, 9)], &none, 0), libc::EFAULT);
    let text = [part(pieces as *const () as usize, 1)];
    t.fails("what it may only read", vm(true, pid, &[part(buffer, 1)], &text, 0), libc::EFAULT);
    t.is("is read", vm(false, pid, &[part(buffer, 1)], &text, 0), Ok(1));
    let nowhere = [part(NOWHERE, 2)];
    t.fails("the own memory", vm(false, pid, &nowhere, &[part(at, 2)], 0), libc::EFAULT);
    t.fails("to write from", vm(true, pid, &nowhere, &[part(at, 2)], 0), libc::EFAULT);
    t.is("nothing here", vm(false, pid, &[], &[part(at, 2)], 0), Ok(0));
    t.is("not even a process", vm(false, 999_999, &[], &[part(at, 2)], 0), Ok(0));
    t.is("nothing there", vm(false, 999_999, &[part(buffer, 9)], &[], 0), Ok(0));
    t.is("of no length", vm(false, pid, &[part(buffer, 9)], &[part(at, 0)], 0), Ok(0));
    t.is("the child goes on", child.ends(), Ended::Exit(0));
    unmap(at, 4);
    unmap(buffer, 2);
}

fn unmap(at: usize, pages: usize) {
    let _ = call!(munmap(at as *mut _, pages * PAGE));
}

fn refused(t: &mut Checks) {
    let at = map(1, RW);
    let (own, one) = (std::process::id() as i32, [part(at, 1)]);
    t.fails("flags", vm(false, own, &one, &one, 1), libc::EINVAL);
    let long = [part(at, usize::MAX)];
    t.fails("too long", vm(false, own, &long, &one, 0), libc::EINVAL);
    t.fails("too long there", vm(false, own, &one, &long, 0), libc::EINVAL);
    let many = vec![part(at, 0); 1025];
    t.fails("too many", vm(false, own, &many, &one, 0), libc::EINVAL);
    t.fails("too many there", vm(false, own, &one, &many, 0), libc::EINVAL);
    let nowhere = NOWHERE as *const libc::iovec;
    t.fails("no list", call!(process_vm_readv(own, nowhere, 1, one.as_ptr(), 1, 0)), libc::EFAULT);
    let there = call!(process_vm_readv(own, one.as_ptr(), 1, nowhere, 1, 0));
    t.fails("no list of what is there", there, libc::EFAULT);
    t.fails("flags of a write", vm(true, own, &one, &one, 1), libc::EINVAL);
    t.fails("no process", vm(false, -1, &one, &one, 0), libc::ESRCH);
    t.fails("none of this number", vm(true, 999_999, &one, &one, 0), libc::ESRCH);
    if !is_root() {
        return;
    }
    let other = start(|| (), until_told);
    let as_nobody = in_child(|| {
        let _ = call!(setgid(65534));
        let _ = call!(setuid(65534));
        let denied = vm(false, other.pid, &one, &one, 0) == Err(libc::EPERM);
        let written = vm(true, other.pid, &one, &one, 0) == Err(libc::EPERM);
        i32::from(!(denied && written))
    });
    t.is("another user's process", as_nobody, Ended::Exit(0));
    let _ = other.ends();
    let hidden = in_child(|| {
        let _ = call!(setgid(65534));
        let _ = call!(setuid(65534));
        let shows = |on: i32| {
            start(
                move || {
                    let _ = call!(prctl(libc::PR_SET_DUMPABLE, on, 0, 0, 0));
                },
                until_told,
            )
        };
        let (hides, open) = (shows(0), shows(1));
        let denied = vm(false, hides.pid, &one, &one, 0);
        let allowed = vm(false, open.pid, &one, &one, 0);
        let _ = (hides.ends(), open.ends());
        i32::from((denied, allowed) != (Err(libc::EPERM), Ok(1)))
    });
    t.is("one that is not dumpable", hidden, Ended::Exit(0));
}

/// Two processes look into each other all the time, and several threads into one.
fn many_at_once(t: &mut Checks) {
    let at = map(1, RW);
    set(at, b"0");
    let parent = std::process::id() as i32;
    let child = fork(|| {
        set(at, b"1");
        let mut bytes = [0; 1];
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            if peek(parent, at, &mut bytes) != Ok(1) || bytes != *b"0" {
                return 1;
            }
        }
        0
    });
    let wrong = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut bytes = [0; 1];
                let end = Instant::now() + Duration::from_millis(400);
                while Instant::now() < end {
                    // The child may have ended, or not begun.
                    let read = peek(child, at, &mut bytes);
                    let good = read == Ok(1) || read == Err(libc::ESRCH);
                    wrong.fetch_add(u32::from(!good), Ordering::Relaxed);
                }
            });
        }
    });
    t.is("of each other at once", wait(child), Ended::Exit(0));
    t.is("by several threads", wrong.into_inner(), 0);
    unmap(at, 1);
}

/// A process that is killed while it is looked into.
fn killed_meanwhile(t: &mut Checks) {
    let at = map(16, RW);
    let mut good = 0;
    for round in 0..40 {
        let child = start(
            || set(at, b"k"),
            |waits| match round % 2 {
                0 => until_told(waits),
                _ => loop {
                    std::hint::spin_loop();
                },
            },
        );
        let pid = child.pid;
        let killer = thread::spawn(move || call!(kill(pid, libc::SIGKILL)));
        let mut bytes = vec![0; 16 * PAGE];
        let ended = loop {
            match peek(pid, at, &mut bytes) {
                Ok(_) => {}
                Err(errno) => break errno,
            }
        };
        let _ = killer.join();
        good += i32::from(ended == libc::ESRCH && child.ends() == Ended::Signal(libc::SIGKILL));
    }
    t.is("killed while it is looked into", good, 40);
    unmap(at, 16);
}

fn pidfd(pid: i32) -> i32 {
    sys(libc::SYS_pidfd_open, [pid.into(), 0]).unwrap_or(-1) as i32
}

fn getfd(pidfd: i32, fd: i32, flags: i64) -> Called {
    sys(libc::SYS_pidfd_getfd, [pidfd.into(), fd.into(), flags])
}

fn descriptors(t: &mut Checks) {
    let (reads, writes) = pipe();
    let child = start(
        || {
            let _ = (call!(dup2(writes, 100)), call!(close(writes)), call!(close(reads)));
        },
        until_told,
    );
    let of_child = pidfd(child.pid);
    let copy = t.works("a descriptor of a child", getfd(of_child, 100, 0)) as i32;
    t.is("is closed by execve", call!(fcntl(copy, libc::F_GETFD)), Ok(1));
    t.is("writes to", write(copy, b"hello"), Ok(5));
    t.is("the same pipe", read::<8>(reads), Ok(b"hello".to_vec()));
    t.fails("flags", getfd(of_child, 100, 1), libc::EINVAL);
    t.fails("none that it has", getfd(of_child, 101, 0), libc::EBADF);
    t.fails("of no pidfd", getfd(reads, 100, 0), libc::EBADF);
    t.fails("of nothing", getfd(-1, 100, 0), libc::EBADF);
    let own = pidfd(std::process::id() as i32);
    t.works("the own", getfd(own, reads, 0));
    if is_root() {
        let denied = in_child(|| {
            let _ = call!(setgid(65534));
            let _ = call!(setuid(65534));
            i32::from(getfd(of_child, 100, 0) != Err(libc::EPERM))
        });
        t.is("another user's", denied, Ended::Exit(0));
    }
    let full = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
        i32::from(getfd(own, reads, 0) != Err(libc::EMFILE))
    });
    t.is("no number is free", full, Ended::Exit(0));
    let _ = child.ends();
    t.fails("of one that is gone", getfd(of_child, 100, 0), libc::ESRCH);
    for fd in [reads, writes, copy, of_child, own] {
        let _ = call!(close(fd));
    }
}

fn madvise(pidfd: i32, parts: &[libc::iovec], advice: i32, flags: i64) -> Called {
    let (list, count) = (parts.as_ptr() as i64, parts.len() as i64);
    sys(libc::SYS_process_madvise, [pidfd.into(), list, count, advice.into(), flags])
}

fn advice(t: &mut Checks) {
    let at = map(4, RW);
    let child = start(
        || {
            let _ = call!(munmap((at + 2 * PAGE) as *mut _, PAGE));
        },
        until_told,
    );
    let of_child = pidfd(child.pid);
    let two = [part(at, 2 * PAGE)];
    for advice in [libc::MADV_COLD, libc::MADV_PAGEOUT, libc::MADV_WILLNEED] {
        let done = madvise(of_child, &two, advice, 0);
        // Where the privilege is missing.
        t.ok("advice for another process", done == Ok(2 * PAGE as i64) || done == Err(libc::EPERM));
    }
    t.fails("flags", madvise(of_child, &two, libc::MADV_COLD, 1), libc::EINVAL);
    t.fails(
        "what others may not be told",
        madvise(of_child, &two, libc::MADV_DONTNEED, 0),
        libc::EINVAL,
    );
    t.fails("no advice", madvise(of_child, &two, 999, 0), libc::EINVAL);
    let nowhere = NOWHERE as i64;
    let no_list = sys(libc::SYS_process_madvise, [of_child.into(), nowhere, 1, 20, 0]);
    t.fails("no list", no_list, libc::EFAULT);
    if is_root() {
        let denied = in_child(|| {
            let _ = call!(setgid(65534));
            let _ = call!(setuid(65534));
            let dumpable = || {
                let _ = call!(prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0));
            };
            let own = start(dumpable, until_told);
            let unprivileged = madvise(pidfd(own.pid), &two, libc::MADV_COLD, 0);
            let _ = own.ends();
            let denied = madvise(of_child, &two, libc::MADV_COLD, 0);
            i32::from((denied, unprivileged) != (Err(libc::EACCES), Err(libc::EPERM)))
        });
        t.is("another user's", denied, Ended::Exit(0));
    }
    t.fails("no pidfd", madvise(0, &two, libc::MADV_COLD, 0), libc::EBADF);
    let many = vec![part(at, 0); 1025];
    t.fails("too many", madvise(of_child, &many, libc::MADV_COLD, 0), libc::EINVAL);
    let own = pidfd(std::process::id() as i32);
    set(at, b"x");
    t.is("own memory", madvise(own, &[part(at, PAGE)], libc::MADV_DONTNEED, 0), Ok(PAGE as i64));
    t.is("is forgotten", get(at, 1), vec![0]);
    t.fails("inside a page", madvise(own, &[part(at + 1, PAGE)], libc::MADV_COLD, 0), libc::EINVAL);
    let _ = call!(munmap((at + PAGE) as *mut _, PAGE));
    let holes = [part(at, PAGE), part(at + PAGE, PAGE)];
    t.is("up to a hole", madvise(own, &holes, libc::MADV_COLD, 0), Ok(PAGE as i64));
    t.fails("a hole", madvise(own, &holes[1..], libc::MADV_COLD, 0), libc::ENOMEM);
    let _ = child.ends();
    t.fails("one that is gone", madvise(of_child, &two, libc::MADV_COLD, 0), libc::ESRCH);
    for fd in [of_child, own] {
        let _ = call!(close(fd));
    }
    unmap(at, 4);
}

/// `/proc/PID/mem`.
fn as_a_file(t: &mut Checks) {
    let at = map(4, RW);
    let child = start(
        || {
            set(at, b"memory");
            set(at + PAGE, b"hidden");
            let _ = call!(mprotect((at + PAGE) as *mut _, PAGE, libc::PROT_NONE));
            let _ = call!(mprotect((at + 2 * PAGE) as *mut _, PAGE, libc::PROT_READ));
            let _ = call!(munmap((at + 3 * PAGE) as *mut _, PAGE));
        },
        |waits| {
            until_told(waits);
            i32::from(get(at, 6) != b"MEMory" || get(at + 2 * PAGE, 4) != b"even")
        },
    );
    let name = format!("/proc/{}/mem", child.pid);
    let file = call!(open(c(&name).as_ptr(), libc::O_RDWR));
    let file = t.works("the file", file) as i32;
    let read_at = |at: usize, len: usize| {
        let mut bytes = vec![0; len];
        let count = call!(pread(file, bytes.as_mut_ptr().cast(), len, at as i64))?;
        bytes.truncate(count as usize);
        Ok(bytes)
    };
    let write_at = |at: usize, bytes: &[u8]| {
        call!(pwrite(file, bytes.as_ptr().cast(), bytes.len(), at as i64))
    };
    t.is("read", read_at(at, 6), Ok(b"memory".to_vec()));
    t.is("written", write_at(at, b"MEM"), Ok(3));
    t.is("what the process may not read", read_at(at + PAGE, 6), Ok(b"hidden".to_vec()));
    t.is("or write", write_at(at + 2 * PAGE, b"even"), Ok(4));
    t.is("across its mappings", read_at(at + PAGE - 1, 3), Ok(b"\0hi".to_vec()));
    t.is("up to a hole", read_at(at + 3 * PAGE - 2, 8).map(|bytes| bytes.len()), Ok(2));
    t.is("a hole", read_at(at + 3 * PAGE, 8), Err(libc::EIO));
    t.fails("to write to", write_at(at + 3 * PAGE, b"x"), libc::EIO);
    t.is("the own memory", call!(pread(file, NOWHERE as *mut _, 8, at as i64)), Err(libc::EFAULT));
    let position = call!(lseek(file, at as i64, libc::SEEK_SET));
    t.is("its position", position, Ok(at as i64));
    t.is("is read from", read::<3>(file), Ok(b"MEM".to_vec()));
    t.is("and moves", read::<3>(file), Ok(b"ory".to_vec()));
    t.fails("it has no end", call!(lseek(file, 0, libc::SEEK_END)), libc::EINVAL);
    if is_root() {
        let denied = in_child(|| {
            let _ = call!(setgid(65534));
            let _ = call!(setuid(65534));
            i32::from(call!(open(c(&name).as_ptr(), libc::O_RDONLY)) != Err(libc::EACCES))
        });
        t.is("another user's", denied, Ended::Exit(0));
    }
    t.is("the process has seen it", child.ends(), Ended::Exit(0));
    t.is("nothing is left of it", read_at(at, 6), Ok(Vec::new()));
    t.is("nor where nothing was", read_at(at + 3 * PAGE, 6), Ok(Vec::new()));
    let _ = call!(close(file));
    unmap(at, 4);
}
