//! The scheduler: one guest thread runs at a time, the seed says which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lx_core::host::Nanos;

use crate::{MockHost, World};

/// Number of a guest thread.
pub(crate) type ThreadNo = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runnable,
    /// Sleeps on the word at this address.
    Parked {
        word: usize,
        deadline: Option<Nanos>,
    },
}

/// Threads and whose turn it is.
#[derive(Default)]
pub(crate) struct Sched {
    threads: BTreeMap<ThreadNo, State>,
    running: Option<ThreadNo>,
    /// Operating-system threads that guest threads run on, by their lock ids.
    os_threads: BTreeSet<u32>,
    /// Interrupt requests.
    pending: BTreeMap<ThreadNo, Arc<AtomicBool>>,
    next: ThreadNo,
}

impl Sched {
    /// A new thread, which waits for its turn.
    pub(crate) fn add(&mut self) -> ThreadNo {
        self.next += 1;
        self.threads.insert(self.next, State::Runnable);
        if self.running.is_none() {
            self.running = Some(self.next);
        }
        self.next
    }

    /// Wakes up to `count` threads that sleep on `word`, lowest number first.
    pub(crate) fn wake(&mut self, word: usize, count: u32) {
        let sleepers = self
            .threads
            .values_mut()
            .filter(|state| matches!(state, State::Parked { word: at, .. } if *at == word));
        for state in sleepers.take(count as usize) {
            *state = State::Runnable;
        }
    }
}

impl World {
    /// Chooses who goes on; moves the clock when all sleep.
    fn choose(&mut self) {
        let clock = self.clock;
        let sched = &mut self.sched;
        for state in sched.threads.values_mut() {
            if matches!(state, State::Parked { deadline: Some(at), .. } if *at <= clock) {
                *state = State::Runnable;
            }
        }
        let runnable: Vec<ThreadNo> = sched
            .threads
            .iter()
            .filter(|(_, state)| **state == State::Runnable)
            .map(|(no, _)| *no)
            .collect();
        if !runnable.is_empty() {
            let at = self.rng.below(runnable.len());
            self.sched.running = runnable.get(at).copied();
            return;
        }
        let deadlines = sched.threads.values().filter_map(|state| match state {
            State::Parked { deadline, .. } => *deadline,
            State::Runnable => None,
        });
        match deadlines.min() {
            Some(next) => {
                self.clock = next;
                self.choose();
            }
            None if sched.threads.is_empty() => sched.running = None,
            None => panic!("deadlock: every guest thread sleeps for ever: {:?}", sched.threads),
        }
    }
}

impl MockHost {
    /// Notes that the calling operating-system thread runs a guest thread of this host.
    pub(crate) fn note_os_thread(&self, id: u32) {
        self.world().sched.os_threads.insert(id);
    }

    /// Whether a guest thread of this host runs on that operating-system thread.
    pub(crate) fn has_os_thread(&self, id: u32) -> bool {
        self.world().sched.os_threads.contains(&id)
    }

    /// Lets the scheduler choose; returns when it is the caller's turn again.
    pub(crate) fn reschedule(&self, me: ThreadNo) {
        let mut world = self.world();
        world.choose();
        self.turn.notify_all();
        while world.sched.running != Some(me) {
            world = self.turn.wait(world).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Waits for the first turn of a new thread.
    pub(crate) fn wait_turn(&self, me: ThreadNo) {
        let mut world = self.world();
        while world.sched.running != Some(me) {
            world = self.turn.wait(world).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Sleeps while `stays()`; woken by [`Sched::wake`] on `word` or by the deadline.
    pub(crate) fn sleep(
        &self,
        me: ThreadNo,
        word: usize,
        deadline: Option<Nanos>,
        stays: impl Fn() -> bool,
    ) {
        {
            let mut world = self.world();
            if !stays() {
                return;
            }
            world.sched.threads.insert(me, State::Parked { word, deadline });
        }
        self.reschedule(me);
    }

    /// The thread is over.
    pub(crate) fn leave(&self, me: ThreadNo) {
        let mut world = self.world();
        world.sched.threads.remove(&me);
        world.choose();
        self.turn.notify_all();
    }
}

impl World {
    /// The interrupt flag of a thread.
    pub(crate) fn sched_pending(&mut self, no: ThreadNo) -> Arc<AtomicBool> {
        Arc::clone(self.sched.pending.entry(no).or_default())
    }
}
