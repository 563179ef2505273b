//! Waiting for one of several futexes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::futex::FUTEX_BITSET_MATCH_ANY;
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;
use lx_core::sync::WaitEnd;

use super::{FutexKey, FutexSlot, FutexTable};
use crate::current::CurrentTask;

/// Sleeps until one of the futexes is woken; which. `unchanged` says whether the word with this
/// number still has the expected value. The task waits with a slot for each futex, as a slot is in
/// one bucket.
///
/// # Errors
/// `EAGAIN` if a word has changed; `ETIMEDOUT`; a restart; `ENOMEM`; what `unchanged` fails with.
pub fn wait(
    current: &CurrentTask<'_>,
    keys: &[FutexKey],
    deadline: Option<Nanos>,
    mut unchanged: impl FnMut(usize) -> Result<bool>,
) -> Result<usize> {
    let futexes = &current.kernel().futexes;
    let task = current.task();
    let mut slots: Vec<Arc<FutexSlot>> = Vec::new();
    slots.try_reserve_exact(keys.len()).map_err(|_| Errno::ENOMEM)?;
    let mut end: SysError = Errno::EAGAIN.into();
    let mut complete = true;
    for (at, key) in keys.iter().enumerate() {
        let slot = FutexSlot::new(Arc::clone(task.waiter()), task.tid());
        slot.set_rank(task.futex().rank());
        futexes.enqueue(&slot, *key, FUTEX_BITSET_MATCH_ANY, None);
        slots.push(slot);
        match unchanged(at) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => end = error,
        }
        complete = false;
        break;
    }
    if complete {
        let host = current.host();
        let woken = || slots.iter().any(|slot| slot.is_woken()).then_some(());
        match task.waiter().wait_for(deadline, || host.monotonic(), true, woken) {
            Ok(()) => {}
            Err(WaitEnd::TimedOut) => end = Errno::ETIMEDOUT.into(),
            Err(WaitEnd::Interrupted) => end = SysError::Restart,
        }
    }
    leave(futexes, &slots).ok_or(end)
}

/// Takes all slots out of their buckets; the last one that a wake was spent on, as on Linux.
fn leave(futexes: &FutexTable, slots: &[Arc<FutexSlot>]) -> Option<usize> {
    let mut woken = None;
    for (at, slot) in slots.iter().enumerate() {
        if !futexes.cancel(slot) {
            woken = Some(at);
        }
    }
    woken
}
