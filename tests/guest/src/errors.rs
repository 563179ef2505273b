//! Ways to make calls fail: signals that interrupt them, no free descriptor, no privilege, a
//! read-only file system.

use std::mem::zeroed;
use std::ptr::{null, null_mut};

use crate::{Called, Ended, c, call, in_child};

/// The user and the group that own nothing.
const NOBODY: u32 = 65534;

/// Runs `body` while signals arrive, a first one soon and then more until it ends. Their handler
/// does nothing, and does not let calls be restarted.
pub fn interrupted<T>(body: impl FnOnce() -> T) -> T {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: all zeros are valid, and the handler does nothing.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    let _ = call!(sigaction(libc::SIGALRM, &action, null_mut()));
    let every = |tv_usec| {
        let time = libc::timeval { tv_sec: 0, tv_usec };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        let _ = call!(syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0_usize));
    };
    every(20_000);
    let result = body();
    every(0);
    result
}

/// Runs `body` while no descriptor can be made: their limit is zero.
pub fn without_descriptors<T>(body: impl FnOnce() -> T) -> T {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let _ = call!(getrlimit(libc::RLIMIT_NOFILE, &mut limit));
    let none = libc::rlimit { rlim_cur: 0, ..limit };
    let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &none));
    let result = body();
    let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
    result
}

/// What a call returns to a process for which the folder `name`, which this makes, is an empty
/// file system that is read-only. Only root may ask for it.
pub fn on_read_only(name: &str, body: impl FnOnce() -> Called) -> Called {
    let (name, tmpfs, root) = (c(name), c("tmpfs"), c("/"));
    let _ = call!(mkdir(name.as_ptr(), 0o755));
    let ended = in_child(|| {
        // Other processes shall not see it. lx has one tree for all, out of which it is taken again.
        if call!(unshare(libc::CLONE_NEWNS)).is_ok() {
            let alone = libc::MS_REC | libc::MS_PRIVATE;
            let _ = call!(mount(null(), root.as_ptr(), null(), alone, null()));
        }
        let (source, read_only) = (tmpfs.as_ptr(), libc::MS_RDONLY);
        if call!(mount(source, name.as_ptr(), tmpfs.as_ptr(), read_only, null())).is_err() {
            return libc::ENODEV;
        }
        let errno = body().err().unwrap_or(0);
        let _ = call!(umount2(name.as_ptr(), libc::MNT_DETACH));
        errno
    });
    let _ = call!(rmdir(name.as_ptr()));
    result(ended)
}

/// What a call returns to a process without any privilege: zero, or its errno.
pub fn as_nobody(body: impl FnOnce() -> Called) -> Called {
    let ended = in_child(|| {
        // Who is not root already has none.
        let _ = call!(setgroups(0, null()));
        let _ = call!(setresgid(NOBODY, NOBODY, NOBODY));
        let _ = call!(setresuid(NOBODY, NOBODY, NOBODY));
        body().err().unwrap_or(0)
    });
    result(ended)
}

/// What a child has found, which ended with an errno or 0.
fn result(ended: Ended) -> Called {
    match ended {
        Ended::Exit(0) => Ok(0),
        Ended::Exit(errno) => Err(errno),
        Ended::Signal(signal) => Err(-signal),
        Ended::Other(status) => Err(status),
    }
}
