//! Signals: dispositions, masks, pending sets, the order of delivery, interrupted calls.
//!
//! The subject is a process with three threads that take commands, the last of which may go on
//! sleeping in a call. The world is its parent: it sends signals, too, and starts a fresh subject
//! when one has ended. After each step all threads have handled what they have.

mod handler;
mod report;
mod subject;

use std::ptr::null_mut;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicU32};

pub(super) use report::run as report;

use self::handler::Log;
use super::mailbox::{Settled, Slot, Zeroed, shared};
use super::{Area, World, pick};
use crate::{Called, Ended, call, fork};

/// Random use of signals.
pub(super) const AREA: Area = Area {
    name: "signals",
    steps: subject::STEPS,
    length: 30,
    cases: 300,
    world: || Box::new(Signals::new()),
};

/// Threads of the subject.
const THREADS: usize = 3;

/// The memory that the world and its subject share.
#[repr(C)]
struct Shared {
    slots: [Slot; THREADS],
    logs: [Log; THREADS],
    /// What the handler of a signal does next: number of a deed, and a signal.
    deeds: [AtomicU32; 65],
    /// Descriptors of the subject: for signals, or −1.
    descriptors: [AtomicI32; 2],
    /// The world's process.
    world: AtomicI32,
}

impl Zeroed for Shared {}

/// Signals that are used, first those with the simplest effects.
const SIGNALS: &[i32] = &[
    libc::SIGUSR1,
    libc::SIGUSR2,
    40,
    libc::SIGCHLD,
    libc::SIGURG,
    libc::SIGHUP,
    64,
    libc::SIGSEGV,
    libc::SIGCONT,
    libc::SIGALRM,
    libc::SIGTSTP,
    libc::SIGTERM,
    34,
    libc::SIGTTIN,
];

/// Signals for calls that may refuse them.
const ALL_SIGNALS: &[i32] = &[
    libc::SIGUSR1,
    40,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGUSR1,
    40,
    64,
    libc::SIGCHLD,
    libc::SIGURG,
    libc::SIGHUP,
    libc::SIGSEGV,
    libc::SIGCONT,
    libc::SIGALRM,
    libc::SIGTSTP,
    libc::SIGTERM,
    34,
    libc::SIGUSR2,
    40,
    64,
    libc::SIGTTIN,
    libc::SIGSTOP,
    0,
    65,
    -1,
    libc::SIGKILL,
    1000,
    35,
    libc::SIGUSR2,
    libc::SIGUSR1,
    libc::SIGCHLD,
    libc::SIGCONT,
];

/// A set of some of the signals, by the bits of a number.
fn set(number: u32) -> u64 {
    let chosen = SIGNALS.iter().enumerate().filter(|(at, _)| number >> at & 1 == 1);
    let set = chosen.fold(0, |set, (_, signal)| set | 1 << (signal - 1));
    // At times with signals that cannot be blocked.
    if number >> 14 & 3 == 3 {
        set | 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1)
    } else {
        set
    }
}

/// What a record says about where its signal came from.
fn origin(code: i32, pid: i32, uid: u32, value: u32, name: &dyn Fn(i32) -> String) -> String {
    let from = || format!("code {code} from {} uid {uid}", name(pid));
    match code {
        libc::SI_USER | libc::SI_TKILL => from(),
        // Timers have an id there, and how often they have expired.
        libc::SI_TIMER => format!("code {code} value {value}"),
        libc::SI_KERNEL => format!("code {code}"),
        _ => format!("{} value {value}", from()),
    }
}

/// A process as results name it.
fn name(pid: i32, world: i32, subject: i32) -> &'static str {
    match pid {
        0 => "nobody",
        _ if pid == world => "world",
        _ if pid == subject => "itself",
        _ => "another",
    }
}

struct Signals {
    shared: &'static Shared,
    /// The subject.
    pid: i32,
    /// A pipe for each thread.
    pipes: [[i32; 2]; THREADS],
    /// Subjects so far.
    subjects: u32,
}

impl Signals {
    fn new() -> Self {
        crate::no_core();
        let shared: &Shared = shared(None);
        shared.world.store(std::process::id() as i32, SeqCst);
        let mut pipes = [[-1; 2]; THREADS];
        for pipe in &mut pipes {
            let _ = call!(pipe(pipe.as_mut_ptr()));
        }
        let mut world = Self { shared, pid: 0, pipes, subjects: 0 };
        world.start();
        world
    }

    /// Starts a fresh subject.
    fn start(&mut self) {
        let shared = self.shared;
        for slot in &shared.slots {
            slot.clear();
        }
        for log in &shared.logs {
            let _ = log.take(|_| String::new());
        }
        for deed in &shared.deeds {
            deed.store(0, SeqCst);
        }
        for descriptor in &shared.descriptors {
            descriptor.store(-1, SeqCst);
        }
        self.subjects += 1;
        let pipes = self.pipes;
        self.pid = fork(|| subject::run(shared, pipes));
        for slot in &shared.slots {
            slot.wait_for_worker();
        }
    }

    /// Sends a signal from the world.
    fn send(&self, [_, how, signal, value]: [u32; 4]) -> Called {
        let to = Target {
            pid: self.pid,
            tids: self.shared.slots.each_ref().map(|slot| slot.tid.load(SeqCst)),
        };
        to.send(how, pick(signal, ALL_SIGNALS), value)
    }

    fn perform(&mut self, name: &str, args: [u32; 4]) -> (String, String) {
        let mut changes = String::new();
        (self.answer(name, args, &mut changes), changes)
    }

    fn answer(&mut self, name: &str, args: [u32; 4], changes: &mut String) -> String {
        let [who, ..] = args;
        let who = who as usize % (THREADS + 1);
        if name == "send" && who == THREADS {
            return format!("{:?}", self.send(args));
        }
        if name == "feed" {
            return format!("{:?}", crate::write(self.pipes[who % THREADS][1], b"x"));
        }
        let op = subject::STEPS.iter().position(|(step, _)| *step == name).unwrap_or(0);
        let thread = who % THREADS;
        let slot = &self.shared.slots[thread];
        if !slot.is_idle() {
            return format!("t{thread} is busy");
        }
        let [a, b, c, d] = args;
        slot.post([op as u32, a, b, c, d], name == "sleep");
        let subject = self.subjects;
        loop {
            match slot.settle() {
                Settled::Answered(text) => return text,
                Settled::Asleep => return "sleeps".to_owned(),
                Settled::Stopped | Settled::Gone => {
                    *changes += &self.change();
                    if self.subjects != subject {
                        return String::new();
                    }
                }
                Settled::Late => return format!("t{thread} does not answer"),
            }
        }
    }

    /// Waits until all threads have handled their signals; what they have done meanwhile.
    fn quiesce(&mut self, changes: &mut String) -> String {
        let mut text = String::new();
        let mut again = true;
        while again {
            again = false;
            for thread in 0..THREADS {
                let slot = &self.shared.slots[thread];
                slot.ping();
                match slot.settle() {
                    // To the ping.
                    Settled::Answered(result) if result.is_empty() => {}
                    Settled::Answered(result) => text += &format!(" t{thread}: {result}"),
                    Settled::Asleep => {}
                    Settled::Stopped | Settled::Gone => {
                        again = true;
                        *changes += &self.change();
                        break;
                    }
                    Settled::Late => text += &format!(" t{thread} is late"),
                }
            }
        }
        let (world, own) = (std::process::id() as i32, self.pid);
        let mut logs = String::new();
        for (thread, log) in self.shared.logs.iter().enumerate() {
            let runs = log.take(|pid| name(pid, world, own).to_owned());
            if !runs.is_empty() {
                logs += &format!(" t{thread}{runs}");
            }
        }
        text + &logs
    }

    /// The subject has ended or stopped: a fresh one, or it is continued.
    fn change(&mut self) -> String {
        let mut status = 0;
        let changed = call!(waitpid(self.pid, &mut status, libc::WUNTRACED));
        if changed.is_err() {
            return format!(" lost {changed:?}");
        }
        if !libc::WIFSTOPPED(status) {
            self.start();
            return format!(" ended {:?}", Ended::from_status(status));
        }
        let by = libc::WSTOPSIG(status);
        if self.has_signal_for_any() {
            let _ = call!(kill(self.pid, libc::SIGKILL));
            let _ = call!(waitpid(self.pid, &mut status, 0));
            self.start();
            return format!(" stopped {by}");
        }
        let _ = call!(kill(self.pid, libc::SIGCONT));
        let continued = call!(waitpid(self.pid, &mut status, libc::WCONTINUED)).map(|_| status);
        format!(" stopped {by} continued {continued:x?}")
    }
}

impl Signals {
    /// Whether the process has a signal, or gets one with `SIGCONT`, that any of its threads could be
    /// the first to take when all of them continue.
    fn has_signal_for_any(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_default();
        let set = |name| {
            let digits = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            u64::from_str_radix(digits.trim(), 16).unwrap_or(0)
        };
        set("ShdPnd:") != 0 || set("SigBlk:") >> (libc::SIGCONT - 1) & 1 == 1
    }
}

impl World for Signals {
    fn step(&mut self, name: &str, args: [u32; 4]) -> String {
        let subject = self.subjects;
        let (result, mut changes) = self.perform(name, args);
        let rest = self.quiesce(&mut changes);
        if self.subjects == subject {
            result + &changes + &rest
        } else {
            // How far its threads came before that is uncertain.
            changes
        }
    }
}

/// Whom signals are sent to.
struct Target {
    pid: i32,
    tids: [i32; THREADS],
}

impl Target {
    fn send(&self, how: u32, signal: i32, value: u32) -> Called {
        let (pid, [main, second, third]) = (self.pid, self.tids);
        let tgkill = |tid: i32| call!(syscall(libc::SYS_tgkill, pid, tid, signal));
        let codes = [libc::SI_QUEUE, libc::SI_MESGQ, libc::SI_TKILL, libc::SI_USER, -60, 1];
        // SAFETY: zeroes are a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        info.si_signo = signal;
        info.si_code = pick(value >> 8, &codes);
        // SAFETY: the process, the user and the value of a queued signal stand in these words.
        unsafe {
            let words = (&raw mut info).cast::<i32>();
            words.add(4).write(std::process::id() as i32);
            words.add(6).write((value & 0xff) as i32);
        }
        match how % 13 {
            0 | 1 => call!(kill(pid, signal)),
            2 => call!(kill(third, signal)),
            3 => tgkill(main),
            4 => tgkill(second),
            5 => tgkill(third),
            6 => call!(syscall(libc::SYS_tkill, second, signal)),
            7 | 8 => {
                let value = libc::sigval { sival_ptr: (value & 0xff) as usize as *mut _ };
                call!(sigqueue(pid, signal, value))
            }
            9 => call!(syscall(libc::SYS_rt_sigqueueinfo, pid, signal, &info)),
            10 => call!(syscall(libc::SYS_rt_tgsigqueueinfo, pid, second, signal, &info)),
            11 => call!(syscall(libc::SYS_rt_tgsigqueueinfo, pid, third, signal, &info)),
            _ => match value % 4 {
                0 => call!(syscall(libc::SYS_tgkill, -1, main, signal)),
                1 => call!(syscall(libc::SYS_tgkill, pid, 0, signal)),
                2 => call!(syscall(libc::SYS_tgkill, std::process::id() + 1_000_000, main, signal)),
                _ => call!(syscall(libc::SYS_rt_sigqueueinfo, pid, signal, null_mut::<u8>())),
            },
        }
    }
}
