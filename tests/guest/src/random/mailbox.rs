//! Commands to other threads and processes of a sequence, through memory that all of them share.
//!
//! A command is five numbers, its answer a text. Who waits for the answer can tell one that is
//! still to come from one that will not come before something else happens: the other sleeps in
//! its command, is stopped, or has ended. So a step ends when everything that it has caused is
//! over, and its result does not depend on who was faster.

use std::fs;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32};
use std::time::{Duration, Instant};

use crate::call;
use crate::futex::{address, futex};

/// A command: what to do, and its choices.
pub(super) type Command = [u32; 5];

/// Makes the other run once: it must act on all signals that it has before it answers.
const PING: Command = [u32::MAX; 5];

/// Nothing to do.
const IDLE: u32 = 0;
/// A command is there.
const POSTED: u32 = 1;
/// The command is being performed.
const RUNNING: u32 = 2;
/// Its answer is there.
const ANSWERED: u32 = 3;

/// Longest answer, in bytes.
const TEXT: usize = 1500;

/// How long something may take that is bound to happen.
const LIMIT: Duration = Duration::from_secs(3);

/// Memory of zeroes that the processes forked from now on share; it stays for good. With a
/// descriptor those can share it, too, that execute a program: see [`inherited`].
pub(super) fn shared<T: Zeroed>(descriptor: Option<i32>) -> &'static T {
    let Some(descriptor) = descriptor else {
        return map(libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    };
    let fd = call!(memfd_create(c"shared".as_ptr(), 0)).unwrap_or(-1) as i32;
    let _ = call!(ftruncate(fd, size_of::<T>() as i64));
    let _ = call!(dup2(fd, descriptor));
    let _ = call!(close(fd));
    inherited(descriptor)
}

/// The shared memory of a descriptor that [`shared`] has made.
pub(super) fn inherited<T: Zeroed>(descriptor: i32) -> &'static T {
    map(libc::MAP_SHARED, descriptor)
}

fn map<T: Zeroed>(flags: i32, fd: i32) -> &'static T {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let memory = call!(mmap(null_mut(), size_of::<T>(), protection, flags, fd, 0)).unwrap_or(0);
    assert!(memory != 0, "there is no memory to share");
    // SAFETY: the mapping is as large as the type, aligned to a page, never unmapped, and its
    // zeroes are a valid value.
    unsafe { &*(memory as *const T) }
}

/// Types for which zeroes are a value, and all of whose parts are atomic.
pub(super) trait Zeroed: Sync + 'static {}

/// The place of one worker: a thread, or a process with one thread.
#[repr(C)]
pub(super) struct Slot {
    state: AtomicU32,
    /// Its process; 0 before there is one.
    pub(super) pid: AtomicI32,
    /// Its thread.
    pub(super) tid: AtomicI32,
    command: [AtomicU32; 5],
    length: AtomicU32,
    text: [AtomicU8; TEXT],
    /// Whether the command may wait for what later steps do.
    may_sleep: AtomicBool,
}

/// What has become of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is done.
    Answered(String),
    /// It waits in the kernel.
    Asleep,
    /// The process is stopped.
    Stopped,
    /// The process has ended.
    Gone,
    /// It goes on for too long.
    Late,
}

impl Slot {
    /// Takes commands for the calling thread, for ever.
    pub(super) fn serve(&self, mut perform: impl FnMut(Command) -> String) -> ! {
        self.pid.store(std::process::id() as i32, SeqCst);
        self.tid.store(call!(gettid()).unwrap_or(0) as i32, SeqCst);
        if self.state.load(SeqCst) == RUNNING {
            // The command was to execute the program that this is.
            self.reply("executed");
        }
        loop {
            let state = self.state.load(SeqCst);
            if state != POSTED {
                let _ = futex(&self.state, libc::FUTEX_WAIT, state, 0, 0, 0);
                continue;
            }
            let command = self.command.each_ref().map(|word| word.load(SeqCst));
            if command == PING {
                // A signal that was sent before is acted on at the end of any call.
                let _ = call!(syscall(libc::SYS_getppid));
                self.reply("");
            } else {
                self.state.store(RUNNING, SeqCst);
                let text = perform(command);
                self.reply(&text);
            }
        }
    }

    fn reply(&self, text: &str) {
        for (place, byte) in self.text.iter().zip(text.bytes()) {
            place.store(byte, SeqCst);
        }
        self.length.store(text.len().min(TEXT) as u32, SeqCst);
        self.state.store(ANSWERED, SeqCst);
        let _ = futex(&self.state, libc::FUTEX_WAKE, i32::MAX as u32, 0, 0, 0);
    }

    /// Gives the worker a command; it has none. `may_sleep` if it may wait for what later steps do.
    pub(super) fn post(&self, command: Command, may_sleep: bool) {
        self.may_sleep.store(may_sleep, SeqCst);
        for (place, word) in self.command.iter().zip(command) {
            place.store(word, SeqCst);
        }
        self.state.store(POSTED, SeqCst);
        let _ = futex(&self.state, libc::FUTEX_WAKE, i32::MAX as u32, 0, 0, 0);
    }

    /// Whether the worker has no command.
    pub(super) fn is_idle(&self) -> bool {
        self.state.load(SeqCst) == IDLE
    }

    /// Makes the place one of a worker that is still to come.
    pub(super) fn clear(&self) {
        self.state.store(IDLE, SeqCst);
        self.pid.store(0, SeqCst);
        self.tid.store(0, SeqCst);
    }

    /// Whether the worker has begun.
    pub(super) fn wait_for_worker(&self) -> bool {
        crate::until(|| self.tid.load(SeqCst) != 0)
    }

    /// Gives an idle worker something to answer, so that [`Slot::settle`] says how it is.
    pub(super) fn ping(&self) {
        if self.is_idle() {
            self.post(PING, false);
        }
    }

    /// Waits until the command has come to an end or to a rest.
    pub(super) fn settle(&self) -> Settled {
        let deadline = Instant::now() + LIMIT;
        let mut looks = 0;
        loop {
            if let Some(text) = self.answer() {
                return Settled::Answered(text);
            }
            let seen = self.state.load(SeqCst);
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 200_000 };
            if matches!(seen, POSTED | RUNNING) {
                let _ = futex(&self.state, libc::FUTEX_WAIT, seen, address(&pause), 0, 0);
            }
            if self.state.load(SeqCst) != seen || looks == 0 {
                looks += 1;
                continue;
            }
            let rest = match letter(self.pid.load(SeqCst), self.tid.load(SeqCst)) {
                'T' => Settled::Stopped,
                'Z' | 'X' => Settled::Gone,
                'S' if seen == RUNNING && self.may_sleep.load(SeqCst) => Settled::Asleep,
                _ if Instant::now() > deadline => Settled::Late,
                _ => continue,
            };
            if self.state.load(SeqCst) == seen {
                return rest;
            }
        }
    }

    fn answer(&self) -> Option<String> {
        if self.state.load(SeqCst) != ANSWERED {
            return None;
        }
        let text = self.text.iter().take(self.length.load(SeqCst) as usize);
        let text: Vec<u8> = text.map(|byte| byte.load(SeqCst)).collect();
        self.state.store(IDLE, SeqCst);
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The state of a thread as `/proc` shows it; `X` if there is none.
pub(super) fn letter(pid: i32, tid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('X')
}
