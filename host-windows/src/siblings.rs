//! The other threads of a process that makes a twin of itself.
//!
//! The twin must have the memory of one instant, so the others do not run while it is copied. They
//! are suspended wherever they are: in guest code, or in the kernel, where they may hold any lock.
//! Hence, from [`stop`] until the value it returns is dropped, the caller waits for nobody: it takes
//! no lock, allocates nothing, frees nothing and parks nowhere. The host's services that it calls
//! meanwhile are plain system calls.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_nt::{Context, Handle};

use crate::nt::{self, nt};
use crate::process::Process;
use crate::thread::{self, Block};
use crate::{interrupt, park};

/// Threads that stand still while this lives.
pub(crate) struct Stopped<'a> {
    block: &'static Block,
    process: &'a Arc<Process>,
    threads: Vec<Handle>,
    suspended: usize,
}

/// Stops all other threads of the calling process. The caller holds its mappings.
pub(crate) fn stop<'a>(block: &'static Block, process: &'a Arc<Process>) -> Stopped<'a> {
    // Nobody may suspend this thread from now on: a sibling that has done so, and is suspended
    // itself, could not resume it.
    for own in host_thread(block) {
        own.suspender.lock();
    }
    // New threads wait in `wait_for_copy`, or have their number already, and are found.
    process.copying.swap(1, Ordering::SeqCst);
    let mut stopped = Stopped { block, process, threads: siblings(block), suspended: 0 };
    stopped.suspend();
    stopped
}

/// What a new thread does first.
pub(crate) fn wait_for_copy(block: &Block) {
    let Some(process) = block.process() else { return };
    while process.copying.load(Ordering::SeqCst) != 0 {
        park::park(&process.copying, 1, None);
    }
}

/// The blocks that the thread of `block` stands for: its own, and those that have lent it.
pub(crate) fn host_thread(block: &'static Block) -> impl Iterator<Item = &'static Block> {
    // SAFETY: blocks are never freed.
    core::iter::successors(Some(block), |block| unsafe { block.lender.get().as_ref() })
}

/// Handles of the other threads.
fn siblings(block: &Block) -> Vec<Handle> {
    let own = block.engine.host_tid.load(Ordering::SeqCst);
    let pid = block.pid.load(Ordering::SeqCst);
    let mut threads = Vec::new();
    for other in thread::all().filter(|other| other.pid.load(Ordering::SeqCst) == pid) {
        let tid = other.engine.host_tid.load(Ordering::SeqCst);
        if tid == 0 || tid == own {
            continue;
        }
        // One that has just ended writes nothing any more.
        threads.extend(interrupt::open(tid, pid));
    }
    threads
}

impl Stopped<'_> {
    fn suspend(&mut self) {
        for &thread in &self.threads {
            // SAFETY: resumed by `drop`. One that has ended cannot be suspended, nor need be.
            let _ = unsafe { nt!(suspend, thread, core::ptr::null_mut()) };
            self.suspended += 1;
        }
        // A thread is suspended some time after the call; its registers are there when it is.
        let mut context = Context::empty(Context::CONTROL_INTEGER);
        for &thread in &self.threads {
            // SAFETY: the call writes the registers.
            let _ = unsafe { nt!(get_context, thread, &mut context) };
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        for &thread in self.threads.iter().take(self.suspended) {
            // SAFETY: suspended by `suspend`.
            let _ = unsafe { nt!(resume, thread, core::ptr::null_mut()) };
        }
        self.threads.iter().for_each(|&thread| nt::close(thread));
        self.process.copying.store(0, Ordering::SeqCst);
        park::wake(&self.process.copying, u32::MAX);
        for own in host_thread(self.block) {
            own.suspender.unlock();
        }
    }
}
