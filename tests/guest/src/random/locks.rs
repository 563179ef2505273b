//! Descriptors, open file descriptions and locks, between three processes.
//!
//! The sequence's process is number 0. It tells two children what to do, and each answers before
//! the next step. Only a child may wait for a lock; whether it still does is asked after each step.

mod calls;
mod channels;

use libc::{SIGKILL, SIGUSR1, c_int};

use self::calls::perform;
use self::channels::Helper;
use super::{Area, World, pick};
use crate::{Ended, call, wait};

/// Random use of descriptors and locks by three processes.
pub(super) const AREA: Area = Area {
    name: "locks",
    steps: &[
        ("open", 6),
        ("dup", 5),
        ("close", 3),
        ("close_range", 1),
        ("cloexec", 3),
        ("flags", 3),
        ("state", 3),
        ("seek", 3),
        ("read", 3),
        ("write", 4),
        ("flock", 6),
        ("lock", 14),
        ("ask", 8),
        ("wait", 8),
        ("pass", 4),
        ("fork", 2),
        ("end", 1),
        ("interrupt", 2),
        ("exec", 1),
    ],
    length: 50,
    cases: 600,
    world: || {
        channels::limit(LIMIT);
        for name in [c"f", c"g", c"f"] {
            let fd = call!(open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o644));
            let _ = crate::write(fd.unwrap_or(-1) as c_int, &[b'.'; 40]);
        }
        channels::make_mailboxes();
        let mut world = Locks { helpers: [None, None] };
        for number in 0..world.helpers.len() {
            world.fork(number);
        }
        Box::new(world)
    },
};

/// The first number that no descriptor of the steps gets.
const LIMIT: u64 = 12;

struct Locks {
    helpers: [Option<Helper>; 2],
}

impl World for Locks {
    fn step(&mut self, name: &str, args: [u32; 4]) -> String {
        let [a, b, ..] = args;
        // Process 0 has no number among the children.
        let child = (a as usize % 3).checked_sub(1);
        let line = match (name, child) {
            ("fork", _) => {
                self.fork(b as usize % 2);
                "forked".to_owned()
            }
            ("end", _) => self.end(b as usize % 2, pick(a, &[0, SIGKILL])),
            ("interrupt", _) => self.interrupt(b as usize % 2),
            ("pass", _) => self.pass(args),
            ("exec", _) => self.by_child(b as usize % 2, name, [b % 2, 0, 0, 0]),
            ("wait", None) => self.by_child(b as usize % 2, name, args),
            (_, Some(child)) => self.by_child(child, name, args),
            (_, None) => perform(name, args, &self.processes()),
        };
        line + &self.settle()
    }
}

impl Locks {
    /// The process ids by number, 0 where there is none.
    fn processes(&self) -> [i32; 3] {
        let [one, two] =
            self.helpers.each_ref().map(|helper| helper.as_ref().map_or(0, Helper::pid));
        [std::process::id() as i32, one, two]
    }

    /// A child performs a step. One that waits does nothing else.
    fn by_child(&mut self, number: usize, name: &str, args: [u32; 4]) -> String {
        let processes = self.processes();
        match &mut self.helpers[number] {
            None => "nobody".to_owned(),
            Some(helper) if helper.is_busy() => "busy".to_owned(),
            Some(helper) => helper.tell(name, args, &processes, name == "wait"),
        }
    }

    /// A child that has the descriptors of process 0, in place of the one of that number.
    fn fork(&mut self, number: usize) {
        self.end(number, SIGKILL);
        self.helpers[number] = Some(Helper::fork(number));
    }

    /// Ends a child by a signal, or lets it exit, and waits for it.
    fn end(&mut self, number: usize, signal: c_int) -> String {
        let Some(helper) = self.helpers[number].take() else { return "nobody".to_owned() };
        match signal {
            // One that waits for a lock does not hear that it should exit.
            0 if !helper.is_busy() => helper.hang_up(),
            0 => {
                let _ = call!(kill(helper.pid(), SIGUSR1));
                helper.hang_up();
            }
            _ => {
                let _ = call!(kill(helper.pid(), signal));
                helper.hang_up();
            }
        }
        let ended: Ended = wait(helper.pid());
        format!("{ended:?}")
    }

    /// A signal without `SA_RESTART` to a child that waits.
    fn interrupt(&mut self, number: usize) -> String {
        match &self.helpers[number] {
            Some(helper) if helper.is_busy() => {
                let _ = call!(kill(helper.pid(), SIGUSR1));
                "interrupted".to_owned()
            }
            _ => "nobody waits".to_owned(),
        }
    }

    /// A descriptor from one process to another, by `SCM_RIGHTS`.
    fn pass(&mut self, args: [u32; 4]) -> String {
        let [a, b, _, d] = args;
        let [from, to] = [a % 3, b % 3];
        let processes = self.processes();
        // Both must be able to act before anything is in the mailbox.
        for number in [from, to] {
            match (number as usize).checked_sub(1).map(|child| &self.helpers[child]) {
                Some(None) => return "nobody".to_owned(),
                Some(Some(helper)) if helper.is_busy() => return "busy".to_owned(),
                _ => {}
            }
        }
        let mut act = |number: u32, name: &str| match (number as usize).checked_sub(1) {
            None => perform(name, [number, to, args[2], d], &processes),
            Some(child) => self.by_child(child, name, [number, to, args[2], d]),
        };
        let sent = act(from, "send");
        let received = act(to, "receive");
        format!("{sent}, {received}")
    }

    /// Waits until each child that waits for a lock has got an answer, or sleeps.
    fn settle(&mut self) -> String {
        let mut text = String::new();
        for (number, helper) in self.helpers.iter_mut().enumerate() {
            if let Some(helper) = helper
                && helper.is_busy()
            {
                let said = helper.outcome().unwrap_or_else(|| "sleeps".to_owned());
                text.push_str(&format!("; {} {said}", number + 1));
            }
        }
        text
    }
}

/// The rest of a child's life after it has executed this program anew.
pub(super) fn resume(number: usize) -> i32 {
    channels::limit(LIMIT);
    // The runtime has opened `/dev/null` where there was no standard input and so on.
    for fd in 0..3 {
        if matches!(crate::random::file_type(fd), Ok(libc::S_IFCHR)) {
            let _ = call!(close(fd));
        }
    }
    channels::executed(number);
    channels::serve(number)
}
