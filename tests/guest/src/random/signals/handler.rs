//! The handlers of the subject: each run leaves a record in shared memory, and may do a deed.

use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use super::{Shared, THREADS};
use crate::call;

/// Where the handlers find the memory that all share.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());

/// Runs that fit into a log.
const RUNS: usize = 24;

/// The runs of handlers in one thread since the world has looked last.
#[repr(C)]
pub(super) struct Log {
    count: AtomicU32,
    depth: AtomicU32,
    runs: [[AtomicU64; 8]; RUNS],
}

/// What a handler does once, besides leaving a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    /// Sends a signal to its own thread.
    Raise,
    /// Adds a signal to the mask that its return restores.
    BlockAfter,
    /// Takes one out of it.
    UnblockAfter,
    /// Blocks one until it returns.
    Block,
    /// Unblocks one until it returns.
    Unblock,
    /// Takes the alternate stack away.
    NoStack,
}

/// All deeds, numbered from 1.
pub(super) const DEEDS: &[Deed] =
    &[Deed::Raise, Deed::BlockAfter, Deed::UnblockAfter, Deed::Block, Deed::Unblock, Deed::NoStack];

/// The handlers of this process use `shared` from now on.
pub(super) fn set_shared(shared: &'static Shared) {
    SHARED.store((&raw const *shared).cast_mut(), SeqCst);
}

/// The handler of actions without `SA_SIGINFO`.
pub(super) extern "C" fn plain(signal: i32) {
    record(signal, 0, [0; 4], null_mut());
}

/// The handler of actions with `SA_SIGINFO`.
pub(super) extern "C" fn with_info(
    signal: i32,
    info: *const libc::siginfo_t,
    context: *mut libc::ucontext_t,
) {
    // SAFETY: the kernel has put a record there, which is valid in all its 128 bytes.
    let words = unsafe { info.cast::<[i32; 32]>().read() };
    let [_, _, code, _, pid, uid, value, ..] = words;
    record(signal, 1, [code, pid, uid, value], context);
}

/// The signals that the calling thread blocks.
pub(super) fn mask() -> u64 {
    let mut mask = 0;
    let _ = call!(syscall(libc::SYS_rt_sigprocmask, 0, null::<u64>(), &mut mask, 8));
    mask
}

fn change_mask(how: i32, set: u64) -> i64 {
    let done = call!(syscall(libc::SYS_rt_sigprocmask, how, &set, null::<u64>(), 8));
    done.unwrap_or_else(|errno| i64::from(-errno))
}

/// The flags of the calling thread's alternate stack.
pub(super) fn stack_flags() -> i32 {
    // SAFETY: zeroes are a valid value.
    let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
    let _ = call!(sigaltstack(null(), &mut stack));
    stack.ss_flags
}

fn record(signal: i32, kind: u64, info: [i32; 4], context: *mut libc::ucontext_t) {
    // SAFETY: the memory was set before any handler, and stays.
    let Some(shared) = (unsafe { SHARED.load(SeqCst).as_ref() }) else { return };
    let own = call!(gettid()).unwrap_or(0) as i32;
    let Some(thread) = (0..THREADS).find(|at| shared.slots[*at].tid.load(SeqCst) == own) else {
        return;
    };
    let log = &shared.logs[thread];
    let at = log.count.fetch_add(1, SeqCst) as usize;
    let Some(run) = log.runs.get(at) else { return };
    let depth = u64::from(log.depth.fetch_add(1, SeqCst));
    let mask = mask();
    // SAFETY: a context of the kernel, which the running handler has to itself.
    let after = unsafe { context.as_mut() };
    let after = after.map(|context| {
        // SAFETY: the kernel's set of signals stands in the first eight bytes of the C library's.
        unsafe { &mut *(&raw mut context.uc_sigmask).cast::<u64>() }
    });
    let before = after.as_ref().map_or(0, |set| **set);
    let deed = shared.deeds[signal as usize % 65].swap(0, SeqCst);
    let done = match DEEDS.get((deed & 0xff).wrapping_sub(1) as usize) {
        None => 0,
        Some(kind) => perform(*kind, (deed >> 8) as i32, after),
    };
    let stack = stack_flags() as u64 & 0xff;
    let kind = signal as u64 | kind << 8 | depth << 16 | stack << 24;
    let [code, pid, uid, value] = info.map(|word| u64::from(word as u32));
    for (place, word) in run.iter().zip([kind, code, pid, uid, value, mask, before, done as u64]) {
        place.store(word, SeqCst);
    }
    log.depth.fetch_sub(1, SeqCst);
}

fn perform(deed: Deed, signal: i32, after: Option<&mut u64>) -> i64 {
    let bit = 1u64 << (signal - 1);
    match (deed, after) {
        (Deed::Raise, _) => {
            let (pid, tid) = (std::process::id(), call!(gettid()).unwrap_or(0));
            let sent = call!(syscall(libc::SYS_tgkill, pid, tid, signal));
            sent.unwrap_or_else(|errno| i64::from(-errno))
        }
        (Deed::BlockAfter, Some(set)) => {
            *set |= bit;
            1
        }
        (Deed::UnblockAfter, Some(set)) => {
            *set &= !bit;
            1
        }
        (Deed::Block, _) => change_mask(libc::SIG_BLOCK, bit),
        (Deed::Unblock, _) => change_mask(libc::SIG_UNBLOCK, bit),
        (Deed::NoStack, _) => {
            // SAFETY: zeroes are a valid value.
            let mut none: libc::stack_t = unsafe { std::mem::zeroed() };
            none.ss_flags = libc::SS_DISABLE;
            let done = call!(sigaltstack(&none, null_mut()));
            done.unwrap_or_else(|errno| i64::from(-errno))
        }
        (Deed::BlockAfter | Deed::UnblockAfter, None) => -1,
    }
}

impl Log {
    /// What has run since the last call, for the result of a step. `name` names a process.
    pub(super) fn take(&self, name: impl Fn(i32) -> String) -> String {
        let count = self.count.swap(0, SeqCst) as usize;
        self.depth.store(0, SeqCst);
        let mut text = String::new();
        for run in self.runs.iter().take(count) {
            let [kind, code, pid, uid, value, mask, before, done] =
                run.each_ref().map(|word| word.load(SeqCst));
            let (signal, depth, stack) = (kind & 0xff, kind >> 16 & 0xff, kind >> 24);
            text += &format!(" [{signal}");
            if kind >> 8 & 1 == 1 {
                text += &super::origin(code as i32, pid as i32, uid as u32, value as u32, &name);
                text += &format!(" before {before:x}");
            }
            text += &format!(" mask {mask:x} depth {depth} stack {stack} deed {}]", done as i64);
        }
        text
    }
}
