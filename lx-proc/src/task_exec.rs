//! What `execve(2)` does to the task and its group, once the new program is certain to start.
//!
//! Order: [`become_single_threaded`], then the old memory is left ([`leave_old_memory`]) and the
//! new one made, then [`reset_for_program`]; [`Task::vfork_release`](crate::Task::vfork_release)
//! when the task no longer uses its parent's memory.

use alloc::sync::Arc;

use lx_core::abi::signal::{StackFlags, StackT};
use lx_core::abi::{Errno, Signal};
use lx_core::error::Result;

use crate::current::CurrentTask;
use crate::exit;
use crate::futex::Phase;
use crate::thread_group::ANY_CHANGE;
use crate::timer;

/// Ends all other tasks of the caller's group and waits for that. The caller then is the leader,
/// with the leader's id.
///
/// # Errors
/// `EAGAIN` if another task of the group does the same; `EINTR` if the caller is killed: it then
/// ends on its way out.
pub fn become_single_threaded(current: &CurrentTask<'_>) -> Result<()> {
    let task = current.task();
    let group = current.group();
    {
        let mut state = group.state();
        if state.exec_pending || state.exit.is_some() {
            return Err(Errno::EAGAIN.into());
        }
        if state.tasks.len() > 1 {
            state.exec_pending = true;
            for other in &state.tasks {
                if !Arc::ptr_eq(other, task) {
                    other.dismiss();
                }
            }
        }
    }
    if group.state().exec_pending {
        let alone = || (group.task_count() == 1).then_some(());
        let waited = loop {
            // Interrupts do not matter, only death does.
            if let Some(()) = alone() {
                break Ok(());
            }
            if task.waiter().is_killed() {
                break Err(Errno::EINTR);
            }
            task.waiter().clear_interrupt();
            let _ = group.changes().wait(task.waiter(), ANY_CHANGE, None, || 0, alone);
        };
        group.state().exec_pending = false;
        task.waiter().interrupt_self();
        waited?;
    }
    if task.tid() != task.tgid() {
        current.kernel().pids.rename_to_leader(task);
    }
    group.state().leader_status = None;
    Ok(())
}

/// Leaves the old memory while it can still be written: robust futexes, `clear_child_tid`.
pub fn leave_old_memory(current: &CurrentTask<'_>) {
    exit::leave_memory(current);
    current.task().futex().set_phase(Phase::Alive);
}

/// Resets what a new program does not inherit: handlers, the alternate stack, the exit signal;
/// closes descriptors marked close-on-exec.
pub fn reset_for_program(current: &CurrentTask<'_>) {
    let task = current.task();
    let group = current.group();
    group.unshare_actions();
    group.with_actions(|actions| actions.reset_handlers());
    let none = StackT { ss_flags: StackFlags::SS_DISABLE.bits(), ..StackT::default() };
    task.signals().set_alternate_stack(&none);
    task.set_robust_list(0);
    timer::delete_all(current.kernel(), group);
    group.set_exit_signal(Signal::SIGCHLD.number());
    group.set_borrows_memory(false);
    group.set_execed();
    unshare_files(current);
    let caller = current.caller();
    for file in task.files().remove_where(|_, cloexec| cloexec) {
        lx_vfs::close::descriptor_closed(&caller, file);
    }
}

/// Gives the task a descriptor table of its own if it shares one. What this call has fetched before
/// by [`CurrentTask::files`] stays the old table.
pub fn unshare_files(current: &CurrentTask<'_>) {
    let task = current.task();
    let files = task.files();
    if files.is_shared() {
        let own = Arc::new(files.duplicate());
        if let Some(abandoned) = task.set_files(own) {
            // The others have ended meanwhile.
            drop(abandoned.remove_where(|_, _| true));
        }
    }
}
