//! Sending signals, `kill(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::siginfo::{SI_KERNEL, SI_USER, SigInfo};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, SigSet, Signal};
use lx_core::cred::{Capabilities, Credentials};
use lx_core::error::Result;
use lx_core::rlimit::Resource;

use super::{Queued, mask};
use crate::current::CurrentTask;
use crate::exit;
use crate::kernel::Kernel;
use crate::pid::Tree;
use crate::task::Task;
use crate::thread_group::{GroupState, ThreadGroup};

/// Whether the caller may send `signal` to the group, `kill(2)`.
pub fn may_signal(current: &CurrentTask<'_>, group: &ThreadGroup, signal: Option<Signal>) -> bool {
    if core::ptr::eq(&**current.group(), group) {
        return true;
    }
    let same_session = group.sid() == current.group().sid();
    if signal == Some(Signal::SIGCONT) && same_session {
        return true;
    }
    group.cred().is_none_or(|target| may(current.cred(), &target))
}

/// Whether an ending parent may send its child the signal that this has asked for.
pub(crate) fn may_signal_child(parent: &ThreadGroup, child: &ThreadGroup, signal: Signal) -> bool {
    if signal == Signal::SIGCONT && parent.sid() == child.sid() {
        return true;
    }
    match (parent.cred(), child.cred()) {
        (Some(sender), Some(target)) => may(&sender, &target),
        _ => true,
    }
}

fn may(sender: &Credentials, target: &Credentials) -> bool {
    sender.euid == target.suid
        || sender.euid == target.uid
        || sender.uid == target.suid
        || sender.uid == target.uid
        || sender.has(Capabilities::KILL)
}

/// Sends a signal to a thread group, whose leader shall take it if it can. `sender` is the task that
/// runs this, if it is one.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send_to_group(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
) -> Result<()> {
    send_to_group_by(kernel, group, group.tgid(), signal, info, sender)
}

/// Sends a signal to the thread group of the task `tid`, which shall take it if it can.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send_to_group_by(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    tid: i32,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
) -> Result<()> {
    stop_or_continue(kernel, group, signal);
    queue_for_group(group, tid, signal, info, sender)
}

/// Sends a standard signal to a group while the tree of processes is locked; `to_wake` tells the
/// task that takes it when it is not any more.
pub(crate) fn send_in_tree(
    tree: &Tree,
    group: &Arc<ThreadGroup>,
    signal: Signal,
    info: SigInfo,
    to_wake: &mut ToWake,
) {
    if control_jobs(group, signal) {
        let _ = exit::report_in_tree(tree, group, WaitStatus::CONTINUED);
    }
    // A standard signal always finds room.
    let _ = queue(group, group.tgid(), signal, info, None, Some(to_wake));
}

/// The tasks that are to be told of signals that they have been sent: when many processes get one,
/// each shall have it before any acts on it.
#[derive(Default)]
pub struct ToWake {
    tasks: Vec<Arc<Task>>,
}

impl ToWake {
    /// Tells those that have not found their signals yet.
    pub fn wake(self) {
        for task in self.tasks {
            if mask::has_deliverable(&task) {
                task.waiter().interrupt();
            }
        }
    }
}

/// As [`send_to_group`], to one of many groups: `to_wake` tells the tasks that take it when all have
/// it.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send_to_one_of_many(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
    to_wake: &mut ToWake,
) -> Result<()> {
    stop_or_continue(kernel, group, signal);
    queue(group, group.tgid(), signal, info, sender, Some(to_wake))
}

/// Sends a signal to one task.
///
/// # Errors
/// `EAGAIN` if too many real-time signals are queued.
pub fn send_to_task(
    kernel: &Kernel,
    task: &Arc<Task>,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
) -> Result<()> {
    let group = task.group();
    stop_or_continue(kernel, group, signal);
    if signal == Signal::SIGKILL {
        kill_group(group);
        return Ok(());
    }
    if is_dropped(group, task, signal) {
        return Ok(());
    }
    match task.signals().pending().push(signal, info, limit(group)) {
        Queued::Merged => return Ok(()),
        Queued::Full => return full(&info),
        Queued::Added => {}
    }
    group.signal_queue().wake();
    if !task.signals().blocked().contains(signal) {
        interrupt(task, sender);
    }
    Ok(())
}

/// Sends a signal from the kernel to every member of a process group; whether there was one.
pub fn send_to_process_group(kernel: &Kernel, pgid: i32, signal: Signal) -> bool {
    let members: Vec<_> = kernel.pids.process_group(pgid);
    let mut to_wake = ToWake::default();
    for group in &members {
        // A standard signal from the kernel always finds room.
        let info = SigInfo::kernel(signal);
        let _ = send_to_one_of_many(kernel, group, signal, info, None, &mut to_wake);
    }
    to_wake.wake();
    !members.is_empty()
}

/// Puts a signal into the group's queue and wakes a task that takes it: the one with the id `first`
/// if it can, else one after the other. Nothing is stopped or continued: [`control_jobs`] has done
/// that.
pub(crate) fn queue_for_group(
    group: &ThreadGroup,
    first: i32,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
) -> Result<()> {
    queue(group, first, signal, info, sender, None)
}

fn queue(
    group: &ThreadGroup,
    first: i32,
    signal: Signal,
    info: SigInfo,
    sender: Option<&Task>,
    to_wake: Option<&mut ToWake>,
) -> Result<()> {
    if signal == Signal::SIGKILL {
        kill_group(group);
        return Ok(());
    }
    if let Some(task) =
        sender.filter(|sender| sender.tid() == first && is_for_sender(group, signal, sender))
    {
        return match group.pending().push(signal, info, limit(group)) {
            Queued::Merged => Ok(()),
            Queued::Full => full(&info),
            Queued::Added => {
                task.waiter().interrupt_self();
                group.signal_queue().wake();
                Ok(())
            }
        };
    }
    let mut state = group.state();
    let named = state.tasks.iter().find(|task| task.tid() == first);
    let Some(named) = named.or_else(|| state.tasks.first()).cloned() else { return Ok(()) };
    if is_dropped(group, &named, signal) {
        return Ok(());
    }
    match group.pending().push(signal, info, limit(group)) {
        Queued::Merged => return Ok(()),
        Queued::Full => return full(&info),
        Queued::Added => {}
    }
    if let Some(task) = choose(&mut state, signal, &named) {
        match to_wake {
            Some(to_wake) if !is_sender(&task, sender) => to_wake.tasks.push(task),
            _ => interrupt(&task, sender),
        }
    }
    drop(state);
    group.signal_queue().wake();
    Ok(())
}

/// Whether a signal of the group that is meant for the sender first is one that it will take,
/// whatever other tasks there are. That needs no look at them and so not their lock: the sender is a
/// member of its group and has not ended, as it runs this; and of a signal that is not ignored
/// nobody's mask matters.
fn is_for_sender(group: &ThreadGroup, signal: Signal, sender: &Task) -> bool {
    core::ptr::eq(&**sender.group(), group)
        && !sender.has_ended()
        && !sender.signals().blocked().contains(signal)
        && !group.with_actions(|actions| actions.ignores(signal))
}

/// The task that shall take a signal of its group: the named one if it can, else the next that can
/// after the one that was chosen so the last time.
fn choose(state: &mut GroupState, signal: Signal, named: &Arc<Task>) -> Option<Arc<Task>> {
    let takes = |task: &Task| !task.signals().blocked().contains(signal) && !task.has_ended();
    if takes(named) {
        return Some(Arc::clone(named));
    }
    let turn = state.tasks.iter().position(|task| task.tid() == state.turn).unwrap_or(0);
    let (before, after) = state.tasks.split_at_checked(turn)?;
    let chosen = after.iter().chain(before).find(|task| takes(task)).cloned()?;
    state.turn = chosen.tid();
    Some(chosen)
}

fn is_sender(task: &Task, sender: Option<&Task>) -> bool {
    sender.is_some_and(|sender| core::ptr::eq(sender, task))
}

fn interrupt(task: &Task, sender: Option<&Task>) {
    if is_sender(task, sender) {
        task.waiter().interrupt_self();
    } else {
        task.waiter().interrupt();
    }
}

/// Whether the signal would have no effect. A blocked signal stays pending, as its action may
/// change before it is unblocked.
fn is_dropped(group: &ThreadGroup, task: &Task, signal: Signal) -> bool {
    let kept = task.signals().blocked().union(task.signals().awaited());
    !kept.contains(signal) && group.with_actions(|actions| actions.ignores(signal))
}

fn limit(group: &ThreadGroup) -> usize {
    usize::try_from(group.rlimits().soft(Resource::Sigpending)).unwrap_or(usize::MAX)
}

/// A full queue: `kill` succeeds nevertheless, `sigqueue` does not.
fn full(info: &SigInfo) -> Result<()> {
    if info.si_code == SI_USER || info.si_code == SI_KERNEL {
        return Ok(());
    }
    Err(Errno::EAGAIN.into())
}

fn kill_group(group: &ThreadGroup) {
    if !group.is_zombie() {
        group.begin_exit(WaitStatus::signaled(Signal::SIGKILL, false), None);
    }
}

/// [`control_jobs`], and tells the parent of a group that goes on.
fn stop_or_continue(kernel: &Kernel, group: &ThreadGroup, signal: Signal) {
    if control_jobs(group, signal) {
        exit::report_job_change(kernel, group, WaitStatus::CONTINUED);
    }
}

/// What stop signals and `SIGCONT` do when they are sent, whatever becomes of them: each side
/// cancels the pending signals of the other, and `SIGCONT` lets a stopped group run. Whether that
/// was stopped, so that its parent has to be told.
#[must_use]
fn control_jobs(group: &ThreadGroup, signal: Signal) -> bool {
    if SigSet::STOPS.contains(signal) {
        flush(&group.state(), group, SigSet::only(Signal::SIGCONT));
        return false;
    }
    if signal != Signal::SIGCONT {
        return false;
    }
    let state = group.state();
    flush(&state, group, SigSet::STOPS);
    let was_stopped = group.job().resume();
    for task in &state.tasks {
        task.waiter().wake();
    }
    was_stopped
}

fn flush(state: &GroupState, group: &ThreadGroup, signals: SigSet) {
    group.pending().flush(signals);
    for task in &state.tasks {
        task.signals().pending().flush(signals);
    }
}
