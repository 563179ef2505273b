//! What the guest programs share: checks that print TAP lines, system calls that return
//! `Result`, children.
//!
//! A guest program passes natively first: what it checks is what Linux does. Its output holds
//! no pids, addresses or times, so that the output on lx must equal the native one.

#![allow(
    clippy::macro_metavars_in_unsafe,
    reason = "`call!` would have to repeat the signature of every function otherwise"
)]

pub mod aio;
pub mod errors;
pub mod files;
pub mod futex;
pub mod ipc;
pub mod mqueue;
pub mod random;
pub mod sockets;

use std::ffi::CString;
use std::fmt::Debug;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::exit;
use std::time::{Duration, Instant};

/// What a system call returned: its value, or the error number.
pub type Called = Result<i64, i32>;

/// Calls a function of the C library and returns its value, or errno where it returned −1 or
/// null. The arguments are what the call is tested with, valid or not: a bad pointer must give
/// `EFAULT`.
#[macro_export]
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: each pointer is either that of a live object as large as the call expects, or
        // one that the kernel must refuse.
        #[allow(unused_unsafe, reason = "some functions of the C library are safe")]
        let value = unsafe { libc::$name($($argument),*) };
        $crate::called(value as i64)
    }};
}

/// The return value of a C function, with errno where it says so.
pub fn called(value: i64) -> Called {
    if value == -1 { Err(errno()) } else { Ok(value) }
}

/// The calling thread's errno.
pub fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The checks of one program, counted and printed as they are made.
#[derive(Debug, Default)]
pub struct Checks {
    done: u32,
    failed: u32,
}

impl Checks {
    /// No check yet. A shell that runs the tests in the background has them ignore the keys'
    /// signals, which programs would inherit.
    pub fn new() -> Self {
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: sets a disposition.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Self::default()
    }

    /// `what` holds.
    pub fn ok(&mut self, what: &str, holds: bool) {
        self.done += 1;
        if holds {
            println!("ok {} - {what}", self.done);
        } else {
            self.failed += 1;
            println!("not ok {} - {what}", self.done);
        }
        // A program that dies later has said how far it came.
        let _ = io::stdout().flush();
    }

    /// `got` equals `want`.
    pub fn is<T: PartialEq + Debug>(&mut self, what: &str, got: T, want: T) {
        let equal = got == want;
        self.ok(what, equal);
        if !equal {
            println!("# got {got:?}, want {want:?}");
        }
    }

    /// The call failed with `errno`.
    pub fn fails(&mut self, what: &str, got: Called, errno: i32) {
        self.is(what, got, Err(errno));
    }

    /// The call succeeded; its value is returned, or −1 for later calls to fail on.
    pub fn works(&mut self, what: &str, got: Called) -> i64 {
        self.ok(what, got.is_ok());
        if let Err(errno) = got {
            println!("# errno {errno}: {}", io::Error::from_raw_os_error(errno));
        }
        got.unwrap_or(-1)
    }

    /// Prints the plan and ends the program: 0 when every check held.
    pub fn end(self) -> ! {
        println!("1..{}", self.done);
        let _ = io::stdout().flush();
        exit(i32::from(self.failed != 0))
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By `_exit`.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It stopped, or continued, or could not be waited for.
    Other(i32),
}

impl Ended {
    /// Decodes a wait status.
    pub fn from_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Exit(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Other(status)
        }
    }
}

/// Forks; the child runs `body` and exits with what it returns. Without `body` returning, the
/// child cannot reach the parent's code.
pub fn fork(body: impl FnOnce() -> i32) -> i32 {
    let _ = io::stdout().flush();
    // SAFETY: the programs fork while they have one thread, or run async-signal-safe code only.
    match unsafe { libc::fork() } {
        0 => {
            let code = body();
            let _ = io::stdout().flush();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => pid,
    }
}

/// Waits for `pid` to end.
pub fn wait(pid: i32) -> Ended {
    let mut status = 0;
    loop {
        match call!(waitpid(pid, &mut status, 0)) {
            Ok(_) => return Ended::from_status(status),
            Err(libc::EINTR) => {}
            Err(errno) => return Ended::Other(-errno),
        }
    }
}

/// Forks a child that runs `body`, and says how it ended.
pub fn in_child(body: impl FnOnce() -> i32) -> Ended {
    wait(fork(body))
}

/// A child that goes on when its parent tells it to.
#[derive(Debug)]
pub struct Child {
    /// Its number.
    pub pid: i32,
    told: i32,
}

impl Child {
    /// `first` is done before the parent goes on; `then` gets what it returned, and the end of a pipe
    /// from which nothing comes until the parent says so ([`ends`](Self::ends)).
    pub fn new<T>(first: impl FnOnce() -> T, then: impl FnOnce(T, i32) -> i32) -> Self {
        let ((waits, told), (ready, tells)) = (pipe(), pipe());
        let pid = fork(|| {
            let _ = call!(close(told));
            let made = first();
            let _ = write(tells, b"r");
            then(made, waits)
        });
        let _ = (call!(close(waits)), call!(close(tells)));
        let _ = read::<1>(ready);
        let _ = call!(close(ready));
        Self { pid, told }
    }

    /// Tells it to go on, and says how it ended.
    pub fn ends(self) -> Ended {
        // Younger children have this end, too, so that closing it does not do.
        let _ = (write(self.told, b"g"), call!(close(self.told)));
        wait(self.pid)
    }
}

/// Whether a process sleeps, soon and for a while: not only for want of the machine.
pub fn sleeps(pid: i32) -> bool {
    let asleep = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.split(") ").nth(1).is_some_and(|rest| rest.starts_with('S'))
    };
    let slept = until(asleep);
    pause(20);
    slept && asleep()
}

/// A pipe: its read end and its write end.
pub fn pipe() -> (i32, i32) {
    let mut ends = [-1; 2];
    let _ = call!(pipe(ends.as_mut_ptr()));
    (ends[0], ends[1])
}

/// Writes `bytes` to `fd`.
pub fn write(fd: i32, bytes: &[u8]) -> Called {
    call!(write(fd, bytes.as_ptr().cast(), bytes.len()))
}

/// Reads up to `N` bytes from `fd`.
pub fn read<const N: usize>(fd: i32) -> Result<Vec<u8>, i32> {
    let mut bytes = vec![0; N];
    let count = call!(read(fd, bytes.as_mut_ptr().cast(), N))?;
    bytes.truncate(count as usize);
    Ok(bytes)
}

/// A C string.
pub fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Sleeps, however often a signal interrupts.
pub fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Waits until `condition` holds, at most ten seconds.
pub fn until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        pause(2);
    }
    true
}

/// A fresh folder under `$TMPDIR` that is removed when dropped; it becomes the working folder.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder and enters it.
    pub fn enter() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lx-guest-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        std::env::set_current_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::env::set_current_dir("/");
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An address that is never mapped.
pub const NOWHERE: usize = 8;

/// Turns core dumps off, so that crashing children leave no file.
pub fn no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let _ = call!(setrlimit(libc::RLIMIT_CORE, &none));
}
