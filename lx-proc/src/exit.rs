//! The end of tasks and thread groups: `exit(2)`, `exit_group(2)`, death by signal, reaping.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::siginfo::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, ChildFields, SigInfo,
};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Signal, UserPtr};
use lx_core::fd_table::FdTable;
use lx_core::host::{HostThreadId, Nanos, Resume};
use lx_vfs::close::descriptor_closed;

use crate::core_dump;
use crate::current::CurrentTask;
use crate::futex::{self, Phase};
use crate::kernel::Kernel;
use crate::pid::Tree;
use crate::robust_list;
use crate::session::{self, INIT_TGID};
use crate::signal::{ToWake, may_signal_child, queue_for_group, send_in_tree};
use crate::task::Task;
use crate::terminal;
use crate::thread_group::{ANY_CHANGE, ThreadGroup};
use crate::timer;

/// Nanoseconds in a tick of `clock_t`.
const NANOS_PER_TICK: u64 = 10_000_000;

/// `exit(2)`: ends the calling task alone.
pub fn exit_task(current: &CurrentTask<'_>, code: i32) {
    end(current, WaitStatus::exited(code));
}

/// Ends the calling task alone, as a signal would.
pub(crate) fn exit_by_signal(current: &CurrentTask<'_>, signal: Signal) {
    end(current, WaitStatus::signaled(signal, false));
}

/// `exit_group(2)`, or a fatal signal: ends all tasks of the calling task's group.
pub fn exit_group(current: &CurrentTask<'_>, status: WaitStatus) {
    let status = current.group().begin_exit(status, Some(current.task()));
    end(current, status);
}

/// Ends the calling task because its group is ending.
pub(crate) fn end_with_group(current: &CurrentTask<'_>) {
    let status = current.group().state().exit;
    end(current, status.unwrap_or_default());
}

/// Ends the calling task because another one of its group calls `execve`.
pub(crate) fn end_dismissed(current: &CurrentTask<'_>) {
    end(current, WaitStatus::default());
}

fn end(current: &CurrentTask<'_>, status: WaitStatus) {
    current.set_resume(Resume::Exit);
    let task = current.task();
    if !task.begin_end() {
        return;
    }
    // The core file shows the memory as it was.
    if task.group().core_dump().is_active() && task.group().task_count() > 1 {
        core_dump::note_thread(current, task.robust_list());
        task.set_robust_list(0);
        task.set_clear_child_tid(0);
    }
    leave_memory(current);
    task.futex().set_phase(Phase::Dead);
    close_files(current);
    leave_group(task, status, current.host().thread_cpu());
}

/// What the task does to its memory when it leaves it, by its end or by `execve`: robust futexes
/// are released, and its end is announced at `clear_child_tid`.
pub(crate) fn leave_memory(current: &CurrentTask<'_>) {
    let task = current.task();
    let robust_list = task.robust_list();
    task.futex().set_phase(Phase::Ending);
    if robust_list != 0 {
        task.set_robust_list(0);
        robust_list::walk(current, robust_list, task.tid());
    }
    task.kernel().futexes.pi.release_owned(task.futex());
    let address = task.clear_child_tid();
    task.set_clear_child_tid(0);
    // Nobody else sees private memory that is about to vanish.
    let shared = task.group().borrows_memory() || task.group().task_count() > 1;
    if address != 0 && shared {
        let word = UserPtr::new(address);
        // As on Linux, a bad address is nobody's concern any more.
        let _ = current.memory().write(word, &0_u32);
        futex::wake_one(current, address);
    }
}

/// Gives up the descriptor table; the last user closes what is open.
fn close_files(current: &CurrentTask<'_>) {
    let Some(files) = current.task().set_files(Arc::new(FdTable::new())) else { return };
    let caller = current.caller();
    for file in files.remove_where(|_, _| true) {
        descriptor_closed(&caller, file);
    }
}

/// Removes an ended task from its group; with the last one the group ends.
fn leave_group(task: &Arc<Task>, status: WaitStatus, cpu: Nanos) {
    let kernel = task.kernel();
    let group = task.group();
    task.leave_undo_list();
    task.waiter().refuse_work();
    group.add_dead_cpu(cpu);
    if task.tid() == group.tgid() {
        group.leader_scheduling().copy(task.scheduling());
    }
    let cred = task.cred();
    let mut stopped_by = None;
    let last = {
        let mut state = group.state();
        state.remove(task);
        if task.tid() == group.tgid() {
            state.leader_status = Some(status);
        }
        let status = state.exit.or(state.leader_status).unwrap_or(status);
        if group.job().is_stopping() && task.count_stopped() {
            stopped_by = group.job().stop_signal();
        }
        state.tasks.is_empty().then_some(status)
    };
    kernel.pids.remove_task(task.tid());
    match last {
        Some(status) => {
            group.set_last_cred(cred);
            group.set_last_name(task.name());
            timer::release(kernel, group);
            if !group.borrows_memory() {
                task.mm().contexts().end();
            }
            // Whoever learns of the end may write the program's file.
            group.set_executable(None);
            end_group(kernel, group, status);
        }
        None => {
            if let Some(signal) = stopped_by {
                report_job_change(kernel, group, WaitStatus::stopped(signal));
            }
            group.changes().wake_all(ANY_CHANGE);
        }
    }
    task.vfork_release();
}

fn end_group(kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>, status: WaitStatus) {
    let mut released: Vec<Arc<ThreadGroup>> = Vec::new();
    let mut to_wake = ToWake::default();
    // Whoever has waited for it finds the terminal free.
    if group.is_session_leader() {
        terminal::leader_ended(kernel, group);
    }
    let mut tree = kernel.pids.lock();
    group.set_zombie(status);
    if group.job().report().is_some() {
        group.job().set_report(None);
    }
    give_children_away(&mut tree, group, &mut released, &mut to_wake);
    if let Some(parent) = tree.group(group.parent_tgid()) {
        signal_if_orphaned(&tree, group, parent, Some(group), &mut to_wake);
    }
    let to_init = tell_parent(&mut tree, group, &mut released);
    drop(tree);
    // Not before: whom a death signal stops was not stopped when the groups were looked at.
    to_wake.wake();
    drop(released);
    group.ended().wake_all(ANY_CHANGE);
    if to_init {
        kernel.reports.ended(group.tgid(), group.status());
    }
}

/// The nearest ancestor that adopts orphans.
fn reaper(tree: &Tree, group: &ThreadGroup) -> i32 {
    let mut at = group.parent_tgid();
    while at != INIT_TGID {
        let Some(ancestor) = tree.group(at) else { return INIT_TGID };
        if ancestor.is_subreaper() && !ancestor.is_zombie() {
            return at;
        }
        at = ancestor.parent_tgid();
    }
    INIT_TGID
}

/// Gives the children of an ended group to init or a subreaper.
fn give_children_away(
    tree: &mut Tree,
    group: &ThreadGroup,
    released: &mut Vec<Arc<ThreadGroup>>,
    to_wake: &mut ToWake,
) {
    let Some(node) = tree.node_mut(group.tgid()) else { return };
    let children = core::mem::take(&mut node.children);
    if children.is_empty() {
        return;
    }
    let reaper = reaper(tree, group);
    for child in children {
        child.set_parent_tgid(reaper);
        if let Some(node) = tree.node_mut(reaper) {
            node.children.push(Arc::clone(&child));
        }
        child.set_exit_signal(Signal::SIGCHLD.number());
        // As if the parent had sent it: it must be allowed to.
        if let Some(signal) = Signal::new(child.parent_death_signal())
            && may_signal_child(group, &child, signal)
        {
            let info = SigInfo::kill(signal, group.tgid(), group.uid());
            send_in_tree(tree, &child, signal, info, to_wake);
        }
        let is_unwanted = child.is_zombie()
            && match tree.group(reaper) {
                Some(adopter) if reaper != INIT_TGID => {
                    signal_end(adopter, &child);
                    adopter.with_actions(|actions| actions.reaps_children())
                }
                _ => true,
            };
        // One that has ended may have been the last that tied its process group to the parent's.
        signal_if_orphaned(tree, &child, group, None, to_wake);
        if is_unwanted {
            released.extend(tree.release(&child));
        }
    }
}

/// If the process group of `member` is orphaned, now that `parent` or `leaving` has ended, and has
/// stopped members, it gets `SIGHUP` and `SIGCONT`, as nobody will ever continue it.
fn signal_if_orphaned(
    tree: &Tree,
    member: &ThreadGroup,
    parent: &ThreadGroup,
    leaving: Option<&ThreadGroup>,
    to_wake: &mut ToWake,
) {
    let pgid = member.pgid();
    if parent.pgid() == pgid
        || parent.sid() != member.sid()
        || !session::is_orphaned_without(tree, pgid, leaving)
        || !session::has_stopped(tree, pgid)
    {
        return;
    }
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        for member in tree.members(pgid) {
            send_in_tree(tree, member, signal, SigInfo::kernel(signal), to_wake);
        }
    }
}

/// Tells the parent of the end of a group, or releases the group if nobody wants to know. Whether
/// the parent is init, which has nobody to tell but the owner of the machine.
fn tell_parent(
    tree: &mut Tree,
    group: &Arc<ThreadGroup>,
    released: &mut Vec<Arc<ThreadGroup>>,
) -> bool {
    let parent = tree.group(group.parent_tgid()).cloned();
    match parent {
        Some(parent) if parent.tgid() != INIT_TGID => {
            let to_parent = end_signal(&parent, group) == Signal::SIGCHLD.number();
            if to_parent && parent.with_actions(|actions| actions.reaps_children()) {
                signal_end(&parent, group);
                released.extend(tree.release(group));
            } else {
                signal_end(&parent, group);
            }
            parent.changes().wake_all(ANY_CHANGE);
            false
        }
        _ => {
            released.extend(tree.release(group));
            true
        }
    }
}

/// Number of the signal that tells the parent of the child's end: what it asked for when it made the
/// child, but a program that was executed since then gets `SIGCHLD`.
fn end_signal(parent: &ThreadGroup, child: &ThreadGroup) -> i32 {
    if child.parent_programs() == parent.programs() {
        child.exit_signal()
    } else {
        Signal::SIGCHLD.number()
    }
}

/// Sends the parent the signal for the child's end. `SIGCHLD` is not even pending if it is ignored.
fn signal_end(parent: &ThreadGroup, child: &ThreadGroup) {
    let ignored = |signal| {
        signal == Signal::SIGCHLD
            && parent.with_actions(|actions| actions.ignores_explicitly(signal))
    };
    if let Some(signal) = Signal::new(end_signal(parent, child))
        && !ignored(signal)
    {
        let info = child_info(signal, child, child.status());
        let _ = queue_for_group(parent, child.parent_tid(), signal, info, None);
    }
    parent.changes().wake_all(ANY_CHANGE);
}

/// `si_code` and `si_status` of a change.
pub(crate) fn child_code(status: WaitStatus) -> (i32, i32) {
    if status == WaitStatus::CONTINUED {
        (CLD_CONTINUED, Signal::SIGCONT.number())
    } else if let Some(signal) = status.stop_signal() {
        (CLD_STOPPED, signal.number())
    } else if let Some(signal) = status.term_signal() {
        (if status.core_dumped() { CLD_DUMPED } else { CLD_KILLED }, signal.number())
    } else {
        (CLD_EXITED, status.exit_status().unwrap_or(0))
    }
}

fn child_info(signal: Signal, child: &ThreadGroup, change: WaitStatus) -> SigInfo {
    let (code, status) = child_code(change);
    let fields = ChildFields {
        pid: child.tgid(),
        uid: child.uid(),
        status,
        utime: (child.dead_cpu() / NANOS_PER_TICK).cast_signed(),
        ..ChildFields::default()
    };
    SigInfo::child(signal, code, fields)
}

/// Tells the parent that a group has stopped or continued.
pub(crate) fn report_job_change(kernel: &Kernel, group: &ThreadGroup, change: WaitStatus) {
    let to_init = report_in_tree(&kernel.pids.lock(), group, change);
    if to_init && let Some(signal) = change.stop_signal() {
        kernel.reports.stopped(group.tgid(), signal);
    }
}

/// As [`report_job_change`], while the tree is locked. Whether the parent is init, which has nobody
/// to tell but the owner of the machine.
pub(crate) fn report_in_tree(tree: &Tree, group: &ThreadGroup, change: WaitStatus) -> bool {
    if group.is_zombie() {
        return false;
    }
    group.job().set_report(Some(change));
    let Some(parent) = tree.group(group.parent_tgid()) else { return false };
    if parent.tgid() == INIT_TGID {
        return true;
    }
    if parent.with_actions(|actions| actions.wants_child_stops()) {
        let signal = Signal::SIGCHLD;
        let info = child_info(signal, group, change);
        let _ = queue_for_group(parent, group.parent_tid(), signal, info, None);
    }
    parent.changes().wake_all(ANY_CHANGE);
    false
}

/// The host process under a task died without telling the kernel: the task, and with it its group,
/// ends as if `signal` had killed it.
pub fn host_thread_died(kernel: &Arc<Kernel>, thread: HostThreadId, signal: Signal) {
    let tasks = kernel.pids.tasks();
    let Some(task) = tasks.iter().find(|task| task.waiter().thread() == thread) else { return };
    let status = task.group().begin_exit(WaitStatus::signaled(signal, false), Some(task));
    if !task.begin_end() {
        return;
    }
    task.futex().set_phase(Phase::Dead);
    kernel.futexes.forget(task.futex());
    kernel.ipc.forget(task.waiter());
    kernel.mqueues.forget_waiter(task.waiter());
    kernel.mqueues.forget_process(task.tgid());
    if let Some(files) = task.set_files(Arc::new(FdTable::new())) {
        drop(files.remove_where(|_, _| true));
    }
    leave_group(task, status, 0);
}
