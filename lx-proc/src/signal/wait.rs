//! Waiting for signals: `sigsuspend(2)`, `sigtimedwait(2)`, `signalfd(2)`.

use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::{Errno, SigSet, Signal};
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;
use lx_core::sync::WaitEnd;

use super::action::{Effect, effect};
use super::mask;
use crate::current::CurrentTask;
use crate::task::Task;

/// Takes a pending signal out of `set`, one of the task's own before one of its group's.
pub fn take(task: &Task, set: SigSet) -> Option<(Signal, SigInfo)> {
    let others = SigSet::FULL.difference(set);
    task.signals().pending().take(others).or_else(|| task.group().pending().take(others))
}

/// `sigsuspend(2)`: waits with another mask until a handler has run.
///
/// # Errors
/// `EINTR`, always; after a signal without handler the wait goes on.
pub fn suspend(current: &CurrentTask<'_>, set: SigSet) -> Result<()> {
    current.with_signal_mask(Some(set), |current| {
        let never = || None::<()>;
        match current.task().waiter().wait_for(None, || 0, true, never) {
            Ok(()) | Err(_) => Err(SysError::RestartNoHandler),
        }
    })
}

/// `sigtimedwait(2)`: takes one of the signals in `set`, waiting for it until `deadline`.
///
/// # Errors
/// `EAGAIN` when the time is over, `EINTR` when another signal came.
pub fn timed_wait(
    current: &CurrentTask<'_>,
    set: SigSet,
    deadline: Option<Nanos>,
) -> Result<SigInfo> {
    let task = current.task();
    let set = set.difference(SigSet::UNBLOCKABLE);
    if let Some((_, info)) = take(task, set) {
        return Ok(info);
    }
    let host = current.host();
    if deadline.is_some_and(|deadline| deadline <= host.monotonic()) {
        return Err(Errno::EAGAIN.into());
    }
    // While it waits, senders shall see a task that takes these signals.
    let signals = task.signals();
    let mask = signals.blocked();
    signals.set_awaited(mask.intersection(set));
    signals.set_blocked(mask.difference(set));
    let mut shared = SigSet::EMPTY;
    let found = task.waiter().wait_for(
        deadline,
        || host.monotonic(),
        true,
        || {
            shared = task.group().pending().set();
            take(task, set.difference(fatal(task, set.difference(mask))))
        },
    );
    signals.set_blocked(mask);
    signals.set_awaited(SigSet::EMPTY);
    // As on Linux, which lets others look for the signals of the group before it takes one.
    let shared = shared.intersection(mask).intersection(set);
    if found.is_ok() && !shared.is_empty() {
        mask::pass_on(task, shared);
    }
    match found {
        Ok((_, info)) => Ok(info),
        Err(WaitEnd::TimedOut) => Err(Errno::EAGAIN.into()),
        Err(WaitEnd::Interrupted) => Err(Errno::EINTR.into()),
    }
}

/// Those of the signals that end the process. One that is not blocked does so whoever waits for it.
fn fatal(task: &Task, signals: SigSet) -> SigSet {
    let pending = task.signals().pending().set().union(task.group().pending().set());
    let kills = |signal: &Signal| {
        let action = task.group().with_actions(|actions| actions.get(*signal));
        effect(*signal, action) == Effect::Kill
    };
    let fatal = pending.intersection(signals).iter().filter(kills);
    fatal.fold(SigSet::EMPTY, |set, signal| set.union(SigSet::only(signal)))
}
