//! Processes: parents and children, groups and sessions, stops, ends, who may do what to whom.
//!
//! A tree of processes takes commands; its first one is a child of the world and leads a session of
//! its own. Results name processes by the order in which they were made. After each step all
//! processes have acted on what it has caused.

mod member;

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

pub(super) use member::executed;

use super::mailbox::{Settled, Slot, Zeroed, shared};
use super::{Area, World};
use crate::{call, fork};

/// Random lives of processes.
pub(super) const AREA: Area = Area {
    name: "processes",
    steps: member::STEPS,
    length: 30,
    cases: 150,
    world: || Box::new(Processes::new()),
};

/// Most processes of a sequence.
const MOST: usize = 12;

/// The descriptor of the shared memory, for processes that have executed the program anew.
const MEMORY: i32 = 150;

/// The memory that all processes share.
#[repr(C)]
struct Shared {
    slots: [Slot; MOST],
    /// The signals whose handlers have run since the last look.
    handled: [AtomicU64; MOST],
    /// The processes so far.
    made: AtomicU64,
    /// The process of the world, and its parent.
    world: [AtomicU64; 2],
}

impl Zeroed for Shared {}

impl Shared {
    /// Number of processes so far.
    fn count(&self) -> usize {
        (self.made.load(SeqCst) as usize).min(MOST)
    }

    fn pid(&self, member: usize) -> i32 {
        self.slots[member].pid.load(SeqCst)
    }

    /// A process, process group or session as results name it.
    fn name(&self, pid: i32) -> String {
        if let Some(member) = (0..self.count()).find(|member| self.pid(*member) == pid) {
            return format!("p{member}");
        }
        let [world, server] = self.world.each_ref().map(|pid| pid.load(SeqCst) as i32);
        match pid {
            0 => "0",
            _ if pid == world => "world",
            _ if pid == server => "server",
            _ => "another",
        }
        .to_owned()
    }
}

/// Gives up for good the one capability that root may lack in a container.
fn drop_capability() {
    const SYS_RESOURCE: u32 = 24;
    let _ = call!(prctl(libc::PR_CAPBSET_DROP, SYS_RESOURCE));
    let header = [0x2008_0522_u32, 0];
    // Effective, permitted and inheritable ones, the low halves first.
    let mut sets = [[0u32; 3]; 2];
    let _ = call!(syscall(libc::SYS_capget, &header, &mut sets));
    for set in &mut sets[0] {
        *set &= !(1 << SYS_RESOURCE);
    }
    let _ = call!(syscall(libc::SYS_capset, &header, &sets));
}

/// How a process was when it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Busy,
    Stopped,
    Gone,
}

struct Processes {
    shared: &'static Shared,
    states: Vec<State>,
    /// The process that has performed the step.
    asked: Option<usize>,
}

impl Processes {
    fn new() -> Self {
        crate::no_core();
        drop_capability();
        // Whoever has started the program may have lowered it.
        let _ = call!(setpriority(libc::PRIO_PROCESS, 0, 0));
        let shared: &Shared = shared(Some(MEMORY));
        let pids = [std::process::id(), call!(getppid()).unwrap_or(0) as u32];
        for (place, pid) in shared.world.iter().zip(pids) {
            place.store(pid.into(), SeqCst);
        }
        let mut world = Self { shared, states: Vec::new(), asked: None };
        world.first();
        world
    }

    /// Makes a process that is a child of the world.
    fn first(&mut self) {
        let member = self.shared.made.fetch_add(1, SeqCst) as usize;
        let shared = self.shared;
        fork(|| {
            let _ = call!(setsid());
            member::serve(shared, member)
        });
        shared.slots[member].wait_for_worker();
        self.states.push(State::Ready);
    }

    fn perform(&mut self, name: &str, args: [u32; 4]) -> String {
        let count = self.states.len();
        if name == "tree" {
            return self.tree();
        }
        let op = member::STEPS.iter().position(|(step, _)| *step == name).unwrap_or(0);
        // The younger ones are the more interesting ones.
        let member = count - 1 - args[0] as usize % count;
        let state = self.states[member];
        if state != State::Ready {
            return format!("p{member} is {state:?}");
        }
        if name == "fork" && count == MOST {
            return "enough".to_owned();
        }
        let [a, b, c, mut d] = args;
        if name == "kill" && d % 8 < 2 && self.states.contains(&State::Busy) {
            // Of a group, one member may stop before another one that waits for that: only one
            // process gets the signal.
            d = 3;
        }
        self.shared.slots[member].post([op as u32, a, b, c, d], name == "wait");
        let result = match self.shared.slots[member].settle() {
            Settled::Answered(text) => text,
            Settled::Late => "does not answer".to_owned(),
            // The rest of the step says more.
            Settled::Asleep | Settled::Stopped | Settled::Gone => String::new(),
        };
        while self.states.len() < self.shared.count() {
            self.shared.slots[self.states.len()].wait_for_worker();
            self.states.push(State::Ready);
        }
        self.asked = Some(member);
        format!("p{member} {result}")
    }

    /// Waits until all processes have acted on what has happened; what is new.
    fn quiesce(&mut self) -> String {
        let before = self.states.clone();
        let mut results = vec![String::new(); before.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for (member, text) in results.iter_mut().enumerate() {
                if self.states[member] == State::Gone {
                    continue;
                }
                let slot = &self.shared.slots[member];
                slot.ping();
                let state = match slot.settle() {
                    Settled::Answered(result) => {
                        changed |= !result.is_empty();
                        text.push_str(&result);
                        State::Ready
                    }
                    Settled::Asleep => State::Busy,
                    Settled::Stopped => State::Stopped,
                    Settled::Gone => State::Gone,
                    Settled::Late => {
                        text.push_str("is late");
                        continue;
                    }
                };
                changed |= state != self.states[member];
                self.states[member] = state;
            }
        }
        let mut text = String::new();
        for (member, result) in results.iter().enumerate() {
            if !result.is_empty() {
                let _ = write!(text, "; p{member} {result}");
            }
            let state = self.states[member];
            if state != before[member] {
                let _ = write!(text, "; p{member} {state:?}");
            }
        }
        for (member, handled) in self.shared.handled.iter().enumerate() {
            let handled = handled.swap(0, SeqCst);
            if handled != 0 {
                let signals: Vec<_> = (0..64).filter(|bit| handled >> bit & 1 == 1).collect();
                let _ = write!(text, "; p{member} handled {signals:?}");
            }
        }
        text
    }

    /// The state, parent, group and session of each process that there is.
    fn tree(&self) -> String {
        (0..self.states.len()).fold(String::new(), |mut text, member| {
            let pid = self.shared.pid(member);
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields: Vec<&str> =
                stat.rsplit(") ").next().unwrap_or_default().split(' ').take(4).collect();
            if let [state, ids @ ..] = fields.as_slice()
                && ids.len() == 3
            {
                let state = if *state == "R" { "S" } else { state };
                let _ = write!(text, " p{member} {state}");
                for id in ids {
                    text += " ";
                    text += &self.shared.name(id.parse().unwrap_or(-1));
                }
            }
            text
        })
    }
}

impl World for Processes {
    fn step(&mut self, name: &str, args: [u32; 4]) -> String {
        let mut result = self.perform(name, args);
        let rest = self.quiesce();
        if let Some(member) = self.asked.take()
            && self.states[member] == State::Gone
        {
            // Whether it could answer before is uncertain.
            result = format!("p{member}");
        }
        if self.states.iter().all(|state| *state == State::Gone) && self.states.len() < MOST {
            self.first();
        }
        result + &rest
    }
}
