//! A process of the tree: what it does on command.

use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicUsize};

use super::super::{mailbox, pick};
use super::{MEMORY, Shared};
use crate::{Called, call};

/// The steps of the area; a command is the number of one, and its choices.
pub(super) const STEPS: &[(&str, u32)] = &[
    ("fork", 8),
    ("kill", 12),
    ("wait", 10),
    ("exit", 2),
    ("setpgid", 5),
    ("setsid", 1),
    ("ids", 3),
    ("action", 4),
    ("prctl", 3),
    ("pidfd", 5),
    ("uid", 3),
    ("exec", 1),
    ("priority", 2),
    ("limit", 2),
    ("tree", 4),
];

/// The first argument of a program that goes on as a process of the tree.
const ARGUMENT: &str = "--process=";

static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());
static MEMBER: AtomicUsize = AtomicUsize::new(0);

/// Goes on as a process of the tree if the program's argument asks for it.
pub(in crate::random) fn executed(argument: &str) -> Option<ExitCode> {
    let member = argument.strip_prefix(ARGUMENT)?.parse().ok()?;
    serve(mailbox::inherited(MEMORY), member)
}

/// Takes commands as a process of the tree.
pub(super) fn serve(shared: &'static Shared, member: usize) -> ! {
    SHARED.store((&raw const *shared).cast_mut(), SeqCst);
    MEMBER.store(member, SeqCst);
    // The members of an orphaned group would die at the same time.
    let _ = act(libc::SIGHUP, 1, 0);
    let mut process = Process { shared, member, pidfd: -1 };
    shared.slots[member].serve(|[op, a, b, c, d]| {
        let name = STEPS.get(op as usize).map_or("", |(name, _)| *name);
        process.perform(name, [a, b, c, d])
    })
}

extern "C" fn handler(signal: i32) {
    // SAFETY: the memory was set before any handler, and stays.
    let Some(shared) = (unsafe { SHARED.load(SeqCst).as_ref() }) else { return };
    shared.handled[MEMBER.load(SeqCst)].fetch_or(1 << signal, SeqCst);
}

/// Sets an action: 0 the default, 1 the handler, 2 to ignore.
fn act(signal: i32, kind: u32, flags: i32) -> Called {
    // SAFETY: zeroes are a valid value.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = match kind {
        0 => libc::SIG_DFL,
        1 => handler as *const () as usize,
        _ => libc::SIG_IGN,
    };
    // Two children may change at the same time.
    let restart = if signal == libc::SIGCHLD { libc::SA_RESTART } else { 0 };
    action.sa_flags = flags | restart;
    call!(sigaction(signal, &action, null_mut()))
}

struct Process {
    shared: &'static Shared,
    member: usize,
    /// A descriptor of a process, or −1.
    pidfd: i32,
}

/// Signals that processes send.
const SIGNALS: &[i32] = &[
    libc::SIGCONT,
    libc::SIGSTOP,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGTSTP,
    0,
    libc::SIGKILL,
    libc::SIGURG,
    libc::SIGCONT,
    libc::SIGSTOP,
    libc::SIGUSR1,
    libc::SIGTTIN,
    libc::SIGCHLD,
    libc::SIGHUP,
    65,
];

impl Process {
    /// The id of a process, mostly of one that is there.
    fn target(&self, number: u32) -> i32 {
        let count = self.shared.count();
        match number % 16 {
            15 => std::process::id() as i32,
            _ => self.shared.pid(count - 1 - (number >> 4) as usize % count),
        }
    }

    fn named(&self, result: Called) -> Result<String, i32> {
        result.map(|pid| self.shared.name(pid as i32))
    }

    fn perform(&mut self, name: &str, [_, b, c, d]: [u32; 4]) -> String {
        match name {
            "fork" => self.fork(b, c),
            "kill" => self.kill(b, c, d),
            "wait" => self.wait(b, c, d),
            "exit" => {
                // SAFETY: ends the process.
                unsafe { libc::_exit((b % 300) as i32) }
            }
            "setpgid" => {
                let who = pick(c, &[0, self.target(b), self.target(b), self.target(b), -1]);
                let group = match c >> 8 & 3 {
                    0 | 1 => 0,
                    2 => call!(getpgid(self.target(d))).unwrap_or(0) as i32,
                    _ => self.target(d),
                };
                format!("{:?}", call!(setpgid(who, group)))
            }
            "setsid" => format!("{:?}", self.named(call!(setsid()))),
            "ids" => {
                let of = if c % 8 == 7 { -1 } else { self.target(b) };
                let [parent, group, session] =
                    [call!(getppid()), call!(getpgid(of)), call!(getsid(of))];
                let [parent, group, session] =
                    [parent, group, session].map(|result| self.named(result));
                format!("of {} {parent:?} {group:?} {session:?}", self.shared.name(of))
            }
            "action" => {
                let signal = pick(
                    b,
                    &[
                        libc::SIGCHLD,
                        libc::SIGUSR1,
                        libc::SIGCONT,
                        libc::SIGCHLD,
                        libc::SIGTERM,
                        libc::SIGTSTP,
                        libc::SIGTTIN,
                    ],
                );
                let flags =
                    pick(d, &[0, 0, libc::SA_NOCLDWAIT, libc::SA_NOCLDSTOP, libc::SA_RESTART]);
                format!("{signal} {:?}", act(signal, c % 3, flags))
            }
            "prctl" => match b % 4 {
                0 | 1 => {
                    let signal = pick(
                        c,
                        &[libc::SIGUSR1, libc::SIGKILL, libc::SIGCONT, 0, 65, libc::SIGSTOP],
                    );
                    format!("{:?}", call!(prctl(libc::PR_SET_PDEATHSIG, signal)))
                }
                2 => format!("{:?}", call!(prctl(libc::PR_SET_CHILD_SUBREAPER, c % 2))),
                _ => {
                    let (mut signal, mut reaper) = (-1, -1);
                    let first = call!(prctl(libc::PR_GET_PDEATHSIG, &raw mut signal));
                    let second = call!(prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut reaper));
                    format!("{first:?} {signal} {second:?} {reaper}")
                }
            },
            "pidfd" => self.use_pidfd(b, c, d),
            "uid" => {
                let ids = [0, 1000, u32::MAX, 1001];
                let [real, effective, saved] = [b, c, d].map(|number| pick(number, &ids));
                let done = call!(setresuid(real, effective, saved));
                let (mut real, mut effective, mut saved) = (0, 0, 0);
                let _ = call!(getresuid(&mut real, &mut effective, &mut saved));
                format!("{done:?} {real} {effective} {saved}")
            }
            "exec" => {
                let argument = crate::c(&format!("{ARGUMENT}{}", self.member));
                let arguments = [c"random".as_ptr(), argument.as_ptr(), null()];
                format!("{:?}", call!(execv(c"/proc/self/exe".as_ptr(), arguments.as_ptr())))
            }
            "priority" => {
                let (which, who) = match b % 4 {
                    0 | 1 => (libc::PRIO_PROCESS, self.target(c)),
                    2 => {
                        let group = call!(getpgid(self.target(c)));
                        (libc::PRIO_PGRP, group.unwrap_or(1 << 22) as i32)
                    }
                    _ => (9, 0),
                };
                // Of the raw call, whose result is never negative.
                let get = || call!(syscall(libc::SYS_getpriority, which, who));
                let set = call!(setpriority(which, who as u32, pick(d, &[5, 0, 19, -5, 100])));
                format!("{set:?} {:?}", get())
            }
            _ => {
                let limits = [
                    libc::rlimit64 { rlim_cur: 50, rlim_max: 100 },
                    libc::rlimit64 { rlim_cur: 100, rlim_max: 100 },
                    libc::rlimit64 { rlim_cur: 200, rlim_max: 150 },
                    libc::rlimit64 { rlim_cur: 10, rlim_max: 2000 },
                ];
                let new = pick(c, &limits);
                let new = if d % 3 == 0 { null() } else { &raw const new };
                let mut old = libc::rlimit64 { rlim_cur: 7, rlim_max: 7 };
                let done = call!(prlimit64(self.target(b), libc::RLIMIT_MSGQUEUE, new, &mut old));
                format!("{done:?} {} {}", old.rlim_cur, old.rlim_max)
            }
        }
    }

    fn fork(&mut self, flags: u32, signal: u32) -> String {
        let member = self.shared.made.fetch_add(1, SeqCst) as usize;
        let flags = pick(flags, &[0, 0, 0, libc::CLONE_PARENT, 0, 0]);
        let signal = pick(
            signal,
            &[
                libc::SIGCHLD,
                libc::SIGCHLD,
                libc::SIGCHLD,
                libc::SIGCHLD,
                0,
                libc::SIGUSR1,
                libc::SIGURG,
            ],
        );
        // SAFETY: like fork, as the memory is not shared; the child runs the service only.
        let made = call!(syscall(libc::SYS_clone, flags | signal, 0usize, 0usize, 0usize, 0usize));
        match made {
            Ok(0) => serve(self.shared, member),
            Ok(pid) => {
                self.shared.slots[member].pid.store(pid as i32, SeqCst);
                format!("made p{member}")
            }
            Err(errno) => {
                self.shared.made.fetch_sub(1, SeqCst);
                format!("Err({errno})")
            }
        }
    }

    fn kill(&self, to: u32, signal: u32, how: u32) -> String {
        let signal = pick(signal, SIGNALS);
        let pid = self.target(to);
        let harmless = [0, libc::SIGCONT, libc::SIGSTOP, libc::SIGURG];
        let sent = match how % 8 {
            // Of members that end at the same time one cannot say which was the first.
            0 | 1 if !harmless.contains(&signal) => return "not to a group".to_owned(),
            0 => call!(kill(0, signal)),
            1 => match call!(getpgid(pid)) {
                Ok(group) => call!(kill(-group as i32, signal)),
                Err(errno) => Err(errno),
            },
            2 => call!(syscall(libc::SYS_tgkill, pid, pid, signal)),
            _ => call!(kill(pid, signal)),
        };
        format!("{signal} to {}: {sent:?}", self.shared.name(pid))
    }

    /// Waits, for as long as it takes only for one certain child.
    fn wait(&self, who: u32, options: u32, how: u32) -> String {
        let pid = self.target(who);
        let group = call!(getpgid(pid)).unwrap_or(1 << 22) as i32;
        let mut flags = 0;
        let choices = [
            libc::WUNTRACED,
            libc::WCONTINUED,
            libc::WNOWAIT,
            libc::WEXITED,
            libc::__WALL,
            libc::__WCLONE,
            libc::__WNOTHREAD,
            0x10,
        ];
        for (at, flag) in choices.iter().enumerate() {
            // Mostly valid ones.
            let is_set = options >> at & 1 == 1 && (at < 5 || options >> 8 & 3 == at as u32 - 5);
            flags |= if is_set { *flag } else { 0 };
        }
        if how & 1 == 0 {
            flags &= !libc::WNOWAIT;
            let selector = match how >> 1 & 7 {
                0 | 1 => -1,
                2 => 0,
                3 => -group,
                _ => pid,
            };
            if how >> 1 & 7 != 7 {
                flags |= libc::WNOHANG;
            }
            let mut status = -1;
            let waited = call!(wait4(selector, &mut status, flags & !libc::WEXITED, null_mut()));
            return format!("waited {:?} {status:x}", self.named(waited));
        }
        let (kind, id) = match how >> 1 & 7 {
            0 | 1 => (libc::P_ALL, 0),
            2 => (libc::P_PGID, 0),
            3 => (libc::P_PGID, group),
            4 => (libc::P_PIDFD, self.pidfd),
            _ => (libc::P_PID, pid),
        };
        if how >> 1 & 7 != 7 {
            flags |= libc::WNOHANG;
        }
        let mut info = [-1i32; 32];
        let done =
            call!(syscall(libc::SYS_waitid, kind, id, info.as_mut_ptr(), flags, null::<u8>()));
        let [signal, _, code, _, pid, uid, status, ..] = info;
        let name = if pid == -1 { "-".to_owned() } else { self.shared.name(pid) };
        format!("waited {done:?} {signal} {code} {name} {uid} {status:x}")
    }

    fn use_pidfd(&mut self, what: u32, c: u32, d: u32) -> String {
        match what % 4 {
            0 | 1 => {
                if self.pidfd >= 0 {
                    let _ = call!(close(self.pidfd));
                }
                let flags = pick(d, &[0, 0, libc::O_NONBLOCK, 1]);
                let made = call!(syscall(libc::SYS_pidfd_open, self.target(c), flags));
                self.pidfd = made.unwrap_or(-1) as i32;
                format!("{:?}", made.map(|_| ()))
            }
            2 => {
                let mut entry = libc::pollfd { fd: self.pidfd, events: libc::POLLIN, revents: 0 };
                let ready = call!(poll(&mut entry, 1, 0));
                format!("{ready:?} {}", entry.revents)
            }
            _ => {
                let signal = pick(c, SIGNALS);
                let flags = pick(d, &[0, 0, 0, 8]);
                let call = libc::SYS_pidfd_send_signal;
                format!(
                    "{signal} {:?}",
                    call!(syscall(call, self.pidfd, signal, null::<u8>(), flags))
                )
            }
        }
    }
}
