//! How the processes talk: a channel for each child, a mailbox for descriptors for each process.

use std::ptr::null_mut;

use libc::{AF_UNIX, O_CLOEXEC, SOCK_DGRAM, SOCK_SEQPACKET, c_int};

use super::LIMIT;
use super::calls::perform;
use crate::random::Step;
use crate::{call, fork, until};

/// Process 0's ends of the channels.
const PARENT_ENDS: c_int = 210;
/// The children's ends of the channels.
const CHILD_ENDS: c_int = 212;
/// `/proc/PID/stat` of the children.
const STATES: c_int = 214;
/// The mailboxes' ends: of number 0, in and out, and so on.
const MAILBOXES: c_int = 220;

/// Limits the numbers of new descriptors.
pub(super) fn limit(count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: 1024 };
    let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &limit));
}

/// A pair of sockets with two descriptors that the steps do not use.
fn socket_pair(kind: c_int, ends: [c_int; 2]) {
    limit(1024);
    let mut made = [-1; 2];
    let _ = call!(socketpair(AF_UNIX, kind, 0, made.as_mut_ptr()));
    for (end, number) in made.into_iter().zip(ends) {
        let _ = call!(dup2(end, number));
        let _ = call!(close(end));
    }
    limit(LIMIT);
}

/// A mailbox for each process.
pub(super) fn make_mailboxes() {
    for number in 0..3 {
        socket_pair(SOCK_DGRAM, mailbox(number));
    }
}

/// The ends of a process's mailbox: to take out, to put in.
pub(super) fn mailbox(number: u32) -> [c_int; 2] {
    let first = MAILBOXES + 2 * number as c_int;
    [first, first + 1]
}

/// A child that takes commands.
pub(super) struct Helper {
    pid: i32,
    number: c_int,
    busy: bool,
}

impl Helper {
    /// Makes it.
    pub(super) fn fork(number: usize) -> Self {
        let index = number as c_int;
        socket_pair(SOCK_SEQPACKET, [PARENT_ENDS + index, CHILD_ENDS + index]);
        let pid = fork(|| {
            // The end of process 0 must be closed with it.
            for other in 0..2 {
                let _ = call!(close(PARENT_ENDS + other));
                let _ = call!(close(STATES + other));
            }
            serve(number)
        });
        let _ = call!(close(CHILD_ENDS + index));
        limit(1024);
        let path = crate::c(&format!("/proc/{pid}/stat"));
        let opened = call!(open(path.as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as c_int;
        let _ = call!(dup3(opened, STATES + index, O_CLOEXEC));
        let _ = call!(close(opened));
        limit(LIMIT);
        Self { pid, number: index, busy: false }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it waits for a lock.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Tells it to do a step; what it answers. With `may_wait` the answer is an affair of
    /// [`outcome`](Self::outcome).
    pub(super) fn tell(
        &mut self,
        name: &str,
        args: [u32; 4],
        processes: &[i32; 3],
        may_wait: bool,
    ) -> String {
        let step = Step { name: name.to_owned(), args };
        let [zero, one, two] = processes;
        let text = format!("{} {zero} {one} {two}", step.to_text());
        let _ = crate::write(PARENT_ENDS + self.number, text.as_bytes());
        if may_wait {
            self.busy = true;
            return "asked".to_owned();
        }
        self.answer(0).unwrap_or_else(|| "no answer".to_owned())
    }

    fn answer(&self, flags: c_int) -> Option<String> {
        let mut bytes = [0u8; 512];
        let end = PARENT_ENDS + self.number;
        let got = call!(recv(end, bytes.as_mut_ptr().cast(), bytes.len(), flags)).ok()?;
        Some(String::from_utf8_lossy(&bytes[..got as usize]).into_owned())
    }

    /// What came of its wait; `None` if it sleeps on.
    pub(super) fn outcome(&mut self) -> Option<String> {
        let mut said = None;
        let mut asleep = 0;
        until(|| {
            // In this order: one that answers and sleeps then has answered. One that was woken may
            // still look asleep for a moment.
            asleep = if self.sleeps() { asleep + 1 } else { 0 };
            said = self.answer(libc::MSG_DONTWAIT);
            said.is_some() || asleep == 3
        });
        self.busy = said.is_none();
        said
    }

    fn sleeps(&self) -> bool {
        let mut text = [0u8; 256];
        let fd = STATES + self.number;
        let got = call!(pread(fd, text.as_mut_ptr().cast(), text.len(), 0)).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..got as usize]);
        text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    }

    /// Closes its channel, at which it exits.
    pub(super) fn hang_up(&self) {
        let _ = call!(close(PARENT_ENDS + self.number));
        let _ = call!(close(STATES + self.number));
    }
}

/// A child's life: it performs the steps that it is told, until its channel is closed.
pub(super) fn serve(number: usize) -> i32 {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: zeroes are a valid action: no flags, and so no restart of the wait.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    let _ = call!(sigaction(libc::SIGUSR1, &action, null_mut()));
    let end = CHILD_ENDS + number as c_int;
    loop {
        let mut bytes = [0u8; 512];
        let got = match call!(recv(end, bytes.as_mut_ptr().cast(), bytes.len(), 0)) {
            Err(libc::EINTR) => continue,
            Ok(got @ 1..) => got as usize,
            _ => return 0,
        };
        let text = String::from_utf8_lossy(&bytes[..got]).into_owned();
        let words: Vec<_> = text.split(' ').collect();
        let (step, processes) = words.split_at(5);
        let Some(step) = Step::parse(&step.join(" ")) else { return 1 };
        let mut ids = [0; 3];
        for (id, word) in ids.iter_mut().zip(processes) {
            *id = word.parse().unwrap_or(0);
        }
        let said = perform(&step.name, step.args, &ids);
        let _ = crate::write(end, said.as_bytes());
    }
}

/// Answers the step that was to execute this program.
pub(super) fn executed(number: usize) {
    let _ = crate::write(CHILD_ENDS + number as c_int, b"executed");
}
