//! Spare threads: host threads whose guest thread has ended, and that wait for the next one of their
//! process. Waking one is much cheaper than making a thread and ending it again.
//!
//! A thread is in its process's list before it counts as ended. So whoever ends last finds all the
//! others there, and nobody is forgotten.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::host::{HostThreadId, Resume};
use lx_x86::entry;

use crate::park;
use crate::process::Process;
use crate::sys;
use crate::thread::{self, Block, state};

/// Spare threads that a process keeps.
const SPARES: usize = 8;

/// What [`Block::job`] says to a thread that waits.
mod job {
    pub(super) const NONE: u32 = 0;
    /// There is a guest thread on the block.
    pub(super) const RUN: u32 = 1;
    /// The process ends.
    pub(super) const QUIT: u32 = 2;
    /// As [`NONE`], and the thread sleeps or is about to.
    pub(super) const ASLEEP: u32 = 3;
}

/// The spare threads of a process, by the addresses of their blocks.
pub(crate) struct Spares([AtomicU64; SPARES]);

impl Spares {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SPARES])
    }

    /// Enters a block; false if there are enough.
    fn add(&self, block: &'static Block) -> bool {
        let enter = |slot: &AtomicU64| {
            slot.compare_exchange(0, block.id().0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        self.0.iter().any(enter)
    }

    /// Takes a block out.
    pub(crate) fn take(&self) -> Option<&'static Block> {
        let take = |slot: &AtomicU64| match slot.load(Ordering::Relaxed) {
            0 => None,
            _ => thread::by_id(HostThreadId(slot.swap(0, Ordering::AcqRel))),
        };
        self.0.iter().find_map(take)
    }

    /// Takes this block out; false if it was not there.
    fn remove(&self, block: &'static Block) -> bool {
        let leave = |slot: &AtomicU64| {
            slot.compare_exchange(block.id().0, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        self.0.iter().any(leave)
    }
}

/// Lets the thread of a block that was taken out run what has been put on the block.
pub(crate) fn run(block: &'static Block) {
    block.state.store(state::ACTIVE, Ordering::Release);
    give(block, job::RUN);
}

/// Gives a spare thread that was taken out something to do.
fn give(block: &Block, job: u32) {
    if block.job.swap(job, Ordering::AcqRel) == job::ASLEEP {
        sys::futex_wake(block.job.as_ptr(), 1);
    }
}

/// Ends all spare threads of a process; whether there were any.
pub(crate) fn dismiss(process: &Process) -> bool {
    let mut any = false;
    while let Some(block) = process.spares.take() {
        any = true;
        give(block, job::QUIT);
    }
    any
}

/// What became of a thread that could have become a spare one.
pub(crate) enum End {
    /// It is the last of its process.
    Last,
    /// Its process needs it no more.
    Superfluous,
}

/// Makes the calling thread, whose guest thread has ended, a spare one, and lets it run the guest
/// threads that are put on its block. Returns when it shall end.
pub(crate) fn wait(block: &'static Block, process: &Process) -> End {
    // Interrupts that are on their way find nobody.
    block.engine.host_tid.store(0, Ordering::SeqCst);
    block.job.store(job::NONE, Ordering::Relaxed);
    block.state.store(state::SPARE, Ordering::Release);
    let listed = process.spares.add(block);
    if process.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
        // All others are in the list, so that nobody could take this one out.
        if listed {
            process.spares.remove(block);
        }
        block.engine.host_tid.store(block.tid.load(Ordering::Relaxed), Ordering::SeqCst);
        block.state.store(state::ACTIVE, Ordering::Release);
        return End::Last;
    }
    if !listed {
        block.state.store(state::ACTIVE, Ordering::Release);
        return End::Superfluous;
    }
    loop {
        match block.job.load(Ordering::Acquire) {
            job::NONE => {
                if !block.spare_habit.spin(|| park::spin(&block.job, job::NONE)) {
                    // Failure: there is something to do.
                    let _ = block.job.compare_exchange(
                        job::NONE,
                        job::ASLEEP,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                }
            }
            job::ASLEEP => {
                let _ = sys::futex_wait(block.job.as_ptr(), job::ASLEEP, None);
            }
            job::QUIT => return End::Superfluous,
            _ => begin(block),
        }
    }
}

/// Begins the guest thread that was put on the block.
fn begin(block: &'static Block) -> ! {
    block.cpu_base.set(crate::clock::thread_cpu_raw());
    block.engine.host_tid.swap(block.tid.load(Ordering::Relaxed), Ordering::SeqCst);
    thread::set_fs_base(block.start_fs.get());
    // SAFETY: frame and extended state were prepared by whoever took the block out, and nothing on
    // this stack is needed any more.
    unsafe { entry::enter_guest(&block.engine, Resume::FullWithXstate) }
}
