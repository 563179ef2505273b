//! What a whole session does: threads, readiness, names, streams, and walks through trees.

use std::ffi::CString;
use std::fs::File;
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use super::{check, measure};

extern "C" fn nothing(argument: *mut libc::c_void) -> *mut libc::c_void {
    argument
}

/// Sleeps until the word is not `value` any more.
fn wait_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        unsafe {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, null_mut::<u8>());
        }
    }
}

fn pass_on(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    unsafe {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1);
    }
}

pub(super) fn threads() {
    measure("pthread create+join", 20, || unsafe {
        let mut thread = std::mem::zeroed();
        let made = libc::pthread_create(&raw mut thread, std::ptr::null(), nothing, null_mut());
        assert_eq!(made, 0);
        assert_eq!(libc::pthread_join(thread, null_mut()), 0);
    });
    const STOP: u32 = 2;
    let turn = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                wait_while(&turn, 0);
                if turn.load(Ordering::Acquire) == STOP {
                    return;
                }
                pass_on(&turn, 0);
            }
        });
        measure("futex hand-off, there and back", 200, || {
            pass_on(&turn, 1);
            wait_while(&turn, 1);
        });
        pass_on(&turn, STOP);
    });
}

pub(super) fn readiness() {
    let mut pipe = [0_i32; 2];
    check("pipe", unsafe { libc::pipe(pipe.as_mut_ptr()) }.into());
    let epoll = check("epoll", unsafe { libc::epoll_create1(0) }.into()) as i32;
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
    let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, pipe[0], &raw mut event) };
    check("epoll_ctl", added.into());
    assert_eq!(unsafe { libc::write(pipe[1], c"x".as_ptr().cast(), 1) }, 1);
    measure("epoll_wait, ready", 1000, || unsafe {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        assert_eq!(libc::epoll_wait(epoll, events.as_mut_ptr(), 4, -1), 1);
    });
    let mut pair = [0_i32; 2];
    let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) };
    check("socketpair", made.into());
    let mut byte = 1_u8;
    measure("socketpair write+read 1 B", 1000, || unsafe {
        assert_eq!(libc::write(pair[1], (&raw const byte).cast(), 1), 1);
        assert_eq!(libc::read(pair[0], (&raw mut byte).cast(), 1), 1);
    });
    for fd in [pipe[0], pipe[1], epoll, pair[0], pair[1]] {
        unsafe { libc::close(fd) };
    }
}

pub(super) fn names(dir: &str) {
    let path =
        |name: &str| CString::new(format!("{dir}/lx-{name}-{}", std::process::id())).unwrap();
    let (first, second) = (path("first"), path("second"));
    measure("create+unlink", 500, || unsafe {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
        let fd = check("creat", libc::open(first.as_ptr(), flags, 0o600).into());
        libc::close(fd as i32);
        check("unlink", libc::unlink(first.as_ptr()).into());
    });
    let fd = check("creat", unsafe { libc::creat(first.as_ptr(), 0o600) }.into());
    unsafe { libc::close(fd as i32) };
    measure("rename", 500, || unsafe {
        check("rename", libc::rename(first.as_ptr(), second.as_ptr()).into());
        check("rename", libc::rename(second.as_ptr(), first.as_ptr()).into());
    });
    unsafe { libc::unlink(first.as_ptr()) };
}

/// A child writes, the parent reads, 64 KB at a time.
pub(super) fn throughput() {
    const CHUNK: usize = 65536;
    let mut pipe = [0_i32; 2];
    check("pipe", unsafe { libc::pipe(pipe.as_mut_ptr()) }.into());
    let mut buffer = vec![1_u8; CHUNK];
    let child = check("fork", unsafe { libc::fork() }.into());
    if child == 0 {
        unsafe {
            libc::close(pipe[0]);
            while libc::write(pipe[1], buffer.as_ptr().cast(), CHUNK) > 0 {}
            libc::_exit(0);
        }
    }
    unsafe { libc::close(pipe[1]) };
    measure("pipe between processes, 64 KB", 200, || {
        let mut done = 0;
        while done < CHUNK {
            let rest = &mut buffer[done..];
            let count = unsafe { libc::read(pipe[0], rest.as_mut_ptr().cast(), rest.len()) };
            assert!(count > 0);
            done += count as usize;
        }
    });
    unsafe {
        // The writer may sit in the full pipe.
        libc::kill(child as i32, libc::SIGKILL);
        libc::close(pipe[0]);
        libc::waitpid(child as i32, null_mut(), 0);
    }
}

/// Programs that walk through the whole file system, after a first run.
pub(super) fn trees() {
    const COMMANDS: [&str; 3] =
        ["find /usr -type f | wc -l", "tar c /usr/share/doc | wc -c", "du -s /usr"];
    const ROUNDS: u32 = 5;
    for command in COMMANDS {
        let run = || {
            let quiet = File::options().write(true).open("/dev/null").unwrap();
            let start = Instant::now();
            let mut shell = Command::new("/bin/sh");
            let status = shell.args(["-c", command]).stdout(Stdio::null()).stderr(quiet).status();
            assert!(status.is_ok_and(|status| status.success()), "{command}");
            start.elapsed().as_secs_f64() * 1e9
        };
        run();
        let best = (0..ROUNDS).map(|_| run()).fold(f64::INFINITY, f64::min);
        println!("{best:.2} {command}");
    }
}
