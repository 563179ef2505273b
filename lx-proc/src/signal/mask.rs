//! The signal mask and changes of dispositions.

use lx_core::abi::signal::KernelSigAction;
use lx_core::abi::{SigSet, Signal};

use crate::current::CurrentTask;
use crate::task::Task;

/// Whether the task has a signal to deliver.
pub(crate) fn has_deliverable(task: &Task) -> bool {
    let blocked = task.signals().blocked();
    let pending = task.signals().pending().set().union(task.group().pending().set());
    !pending.difference(blocked).is_empty()
}

/// Replaces the mask of the calling task; signals that this unblocks are delivered on the way out.
pub fn change_mask(current: &CurrentTask<'_>, mask: SigSet) {
    let task = current.task();
    let signals = task.signals();
    let old = signals.blocked();
    signals.set_blocked(mask);
    if has_deliverable(task) {
        task.waiter().interrupt_self();
    }
    let newly_blocked = signals.blocked().difference(old);
    let shared = task.group().pending().set().intersection(newly_blocked);
    if !shared.is_empty() {
        pass_on(task, shared);
    }
}

/// Signals of the group that the calling task was perhaps woken for and blocks now: others take
/// them, each the next one that can.
#[cold]
pub(super) fn pass_on(task: &Task, mut signals: SigSet) {
    let state = task.group().state();
    let at = state.tasks.iter().position(|other| core::ptr::eq(&**other, task));
    let Some((before, after)) = at.and_then(|at| state.tasks.split_at_checked(at)) else { return };
    for other in after.iter().skip(1).chain(before) {
        let blocked = other.signals().blocked();
        if !signals.difference(blocked).is_empty() {
            other.waiter().interrupt();
            signals = signals.intersection(blocked);
        }
    }
}

/// Replaces a disposition; the former one is returned. A pending signal that is ignored from now
/// on is forgotten, `sigaction(2)`.
pub fn set_action(
    current: &CurrentTask<'_>,
    signal: Signal,
    action: KernelSigAction,
) -> KernelSigAction {
    let group = current.group();
    let (old, ignored) = group.with_actions(|actions| {
        let old = actions.set(signal, action);
        (old, actions.ignores(signal))
    });
    if ignored {
        let set = SigSet::only(signal);
        group.pending().flush(set);
        if current.task().signals().pending().set().contains(signal) || group.task_count() > 1 {
            for task in group.tasks() {
                task.signals().pending().flush(set);
            }
        }
    }
    old
}
