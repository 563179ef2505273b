//! New tasks, `clone(2)`, `fork(2)`, `vfork(2)`.
//!
//! - `CLONE_THREAD`: a thread of the host process.
//! - `CLONE_VM | CLONE_VFORK` (`vfork`, `posix_spawn`): the child borrows the parent's host thread
//!   until it ends or has a host process of its own after `execve`.
//! - `CLONE_VM` alone: a thread of the host process that belongs to another thread group.
//! - Otherwise: a twin of the host process.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::sched::CloneFlags;
use lx_core::abi::{Errno, GuestRegs, Signal, USER_END, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::fd_table::ReservedFd;
use lx_core::rlimit::Resource;
use lx_core::unsupported;

use crate::current::CurrentTask;
use crate::pidfd::PidFile;
use crate::task::{Task, VforkWait};
use crate::thread_group::ThreadGroup;
use crate::timer;

/// What a new task is to be like.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// What is shared, and what else is done.
    pub flags: CloneFlags,
    /// Number of the signal that the parent gets at the end, 0 for none.
    pub exit_signal: i32,
    /// Top of the child's stack, 0 to go on with the parent's.
    pub stack: u64,
    /// Where the parent's memory gets the child's id (`CLONE_PARENT_SETTID`).
    pub parent_tid: u64,
    /// Where the child's memory gets its id, or it is cleared at the end.
    pub child_tid: u64,
    /// The child's thread pointer (`CLONE_SETTLS`).
    pub tls: u64,
    /// Where the parent's memory gets a descriptor of the child (`CLONE_PIDFD`).
    pub pidfd: u64,
}

impl CloneRequest {
    /// `fork(2)`.
    pub fn fork() -> Self {
        Self {
            flags: CloneFlags::empty(),
            exit_signal: Signal::SIGCHLD.number(),
            stack: 0,
            parent_tid: 0,
            child_tid: 0,
            tls: 0,
            pidfd: 0,
        }
    }

    /// `vfork(2)`.
    pub fn vfork() -> Self {
        Self { flags: CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK, ..Self::fork() }
    }
}

/// Flags that change nothing here: they concern tracers, which do not exist, or I/O contexts, which
/// the host has.
const HARMLESS: CloneFlags = CloneFlags::CLONE_PTRACE
    .union(CloneFlags::CLONE_UNTRACED)
    .union(CloneFlags::CLONE_DETACHED)
    .union(CloneFlags::CLONE_IO);

const SUPPORTED: CloneFlags = HARMLESS
    .union(CloneFlags::CLONE_SYSVSEM)
    .union(CloneFlags::CLONE_VM)
    .union(CloneFlags::CLONE_FS)
    .union(CloneFlags::CLONE_FILES)
    .union(CloneFlags::CLONE_SIGHAND)
    .union(CloneFlags::CLONE_VFORK)
    .union(CloneFlags::CLONE_PARENT)
    .union(CloneFlags::CLONE_PIDFD)
    .union(CloneFlags::CLONE_THREAD)
    .union(CloneFlags::CLONE_SETTLS)
    .union(CloneFlags::CLONE_PARENT_SETTID)
    .union(CloneFlags::CLONE_CHILD_SETTID)
    .union(CloneFlags::CLONE_CHILD_CLEARTID)
    .union(CloneFlags::CLONE_CLEAR_SIGHAND);

/// Refuses combinations that Linux refuses, and what is not supported. Of namespaces, who may not
/// make them learns that first.
fn check(flags: CloneFlags, privileged: bool) -> Result<()> {
    let needs = |flag, other| flags.contains(flag) && !flags.contains(other);
    let excludes = |flag| flags.contains(flag);
    let invalid = needs(CloneFlags::CLONE_THREAD, CloneFlags::CLONE_SIGHAND)
        || needs(CloneFlags::CLONE_SIGHAND, CloneFlags::CLONE_VM)
        || excludes(CloneFlags::CLONE_SIGHAND | CloneFlags::CLONE_CLEAR_SIGHAND)
        || excludes(CloneFlags::CLONE_THREAD | CloneFlags::CLONE_VFORK)
        || excludes(CloneFlags::CLONE_THREAD | CloneFlags::CLONE_PIDFD)
        || excludes(CloneFlags::CLONE_DETACHED | CloneFlags::CLONE_PIDFD)
        || excludes(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS);
    if invalid {
        return Err(Errno::EINVAL.into());
    }
    let unsupported = flags.difference(SUPPORTED);
    if unsupported.is_empty() {
        return Ok(());
    }
    unsupported::note("clone flags", unsupported.bits());
    // In a user namespace of its own a task may do everything, and anybody may make one.
    let needs_privilege = flags.intersects(CloneFlags::NAMESPACES)
        && !flags.intersects(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_THREAD);
    Err(if needs_privilege && !privileged { Errno::EPERM } else { Errno::EINVAL }.into())
}

/// Makes a new task; its id.
///
/// # Errors
/// `EINVAL` for a combination of flags that is not possible, `EAGAIN` at the limit of tasks, `EPERM`
/// for a bad thread pointer and, without `CAP_SYS_ADMIN`, for a namespace; `EAGAIN` and `ENOMEM` from
/// the host.
pub fn clone(current: &CurrentTask<'_>, request: &CloneRequest) -> Result<i32> {
    let flags = request.flags;
    check(flags, current.cred().has(Capabilities::SYS_ADMIN))?;
    if flags.contains(CloneFlags::CLONE_SETTLS) && request.tls >= USER_END {
        return Err(Errno::EPERM.into());
    }
    check_task_limit(current)?;
    let kernel = current.kernel();
    let parent = current.task();
    let tid = kernel.pids.allocate()?;
    let group = if flags.contains(CloneFlags::CLONE_THREAD) {
        Arc::clone(parent.group())
    } else {
        new_group(current, tid, request)
    };
    if flags.contains(CloneFlags::CLONE_FILES) {
        // The child may close what is kept there.
        parent.fd_cache().clear();
    }
    if flags.contains(CloneFlags::CLONE_SYSVSEM) {
        parent.undo_list();
    }
    let shared = parent.shared().for_child(flags)?;
    let child = Task::new(tid, Arc::clone(kernel), group, shared);
    child.inherit(parent);
    if !flags.contains(CloneFlags::CLONE_VM) || flags.contains(CloneFlags::CLONE_VFORK) {
        child.signals().inherit_stack(parent.signals());
    }
    if flags.contains(CloneFlags::CLONE_CHILD_CLEARTID) {
        child.set_clear_child_tid(request.child_tid);
    }
    let pidfd = prepare_pidfd(current, request)?;
    // Signals of a terminal or a `kill` that come from here on find the child.
    if !child.group().add_task(&child) {
        return Err(Errno::EAGAIN.into());
    }
    kernel.pids.insert(&child);
    // Files that got shorter before it could be found there.
    child.mm().look_for_shortened();
    if flags.contains(CloneFlags::CLONE_PARENT_SETTID) {
        // As on Linux, the call does not fail for a bad address.
        let _ = current.memory().write(UserPtr::new(request.parent_tid), &tid);
    }
    let pidfd = pidfd.map(|fd| fd.install(PidFile::open(child.group(), OpenFlags::empty())));
    match start(current, &child, request) {
        Ok(()) => Ok(tid),
        Err(error) => {
            if let Some(fd) = pidfd {
                drop(current.files().remove(fd));
            }
            forget(&child);
            Err(error)
        }
    }
}

/// `RLIMIT_NPROC`, which concerns all tasks of the user but root's.
fn check_task_limit(current: &CurrentTask<'_>) -> Result<()> {
    let exempt = Capabilities::SYS_RESOURCE | Capabilities::SYS_ADMIN;
    let cred = current.cred();
    let limit = current.group().rlimits().soft(Resource::Nproc);
    let full = match limit.checked_sub(1) {
        Some(most_before) => exceeds_task_limit(current, cred.uid, most_before),
        None => cred.uid != 0,
    };
    if full && !cred.effective.intersects(exempt) { Err(Errno::EAGAIN.into()) } else { Ok(()) }
}

/// Whether a user who is not root has more tasks than this.
fn exceeds_task_limit(current: &CurrentTask<'_>, uid: u32, limit: u64) -> bool {
    let pids = &current.kernel().pids;
    // Counting is needed only if all tasks together exceed the limit.
    if uid == 0 || pids.task_count() as u64 <= limit {
        return false;
    }
    pids.tasks().iter().filter(|task| task.cred().uid == uid).count() as u64 > limit
}

/// After a task has become another user, who may have more tasks than `RLIMIT_NPROC` allows: the
/// call that changes the user succeeds, and the next `execve` fails.
pub fn note_task_limit(current: &CurrentTask<'_>, uid: u32) {
    let limit = current.group().rlimits().soft(Resource::Nproc);
    current.task().set_over_task_limit(exceeds_task_limit(current, uid, limit));
}

/// Before a program is executed.
///
/// # Errors
/// `EAGAIN` if there were too many tasks when the user changed, and still are.
pub fn check_task_limit_of_exec(current: &CurrentTask<'_>) -> Result<()> {
    if !current.task().is_over_task_limit() {
        return Ok(());
    }
    let limit = current.group().rlimits().soft(Resource::Nproc);
    if exceeds_task_limit(current, current.cred().uid, limit) {
        return Err(Errno::EAGAIN.into());
    }
    current.task().set_over_task_limit(false);
    Ok(())
}

/// Reserves a descriptor for the child and tells the parent its number.
fn prepare_pidfd<'a>(
    current: &'a CurrentTask<'_>,
    request: &CloneRequest,
) -> Result<Option<ReservedFd<'a>>> {
    if !request.flags.contains(CloneFlags::CLONE_PIDFD) {
        return Ok(None);
    }
    let limit = current.group().rlimits().soft(Resource::Nofile);
    let fd = current.files().reserve(0, limit, true)?;
    current.memory().write(UserPtr::new(request.pidfd), &fd.number().0)?;
    Ok(Some(fd))
}

/// The group of a child that is a process of its own.
fn new_group(current: &CurrentTask<'_>, tid: i32, request: &CloneRequest) -> Arc<ThreadGroup> {
    let flags = request.flags;
    let parent = current.group();
    let (parent_tgid, parent_tid, exit_signal) = if flags.contains(CloneFlags::CLONE_PARENT) {
        (parent.parent_tgid(), parent.parent_tid(), parent.exit_signal())
    } else {
        (parent.tgid(), current.task().tid(), request.exit_signal)
    };
    let actions = if flags.contains(CloneFlags::CLONE_SIGHAND) {
        parent.actions()
    } else {
        Arc::new(parent.with_actions(|actions| actions.duplicate()))
    };
    if flags.contains(CloneFlags::CLONE_CLEAR_SIGHAND) {
        actions.reset_handlers();
    }
    let rlimits = parent.rlimits().duplicate();
    let group = ThreadGroup::new(
        tid,
        parent.pgid(),
        parent.sid(),
        parent_tgid,
        rlimits,
        actions,
        parent.signal_queue(),
    );
    group.set_parent_tid(parent_tid);
    group.set_parent_programs(if flags.contains(CloneFlags::CLONE_PARENT) {
        parent.parent_programs()
    } else {
        parent.programs()
    });
    group.set_exit_signal(exit_signal);
    timer::watch_cpu_limit(current.kernel(), &group);
    group.set_dumpable(parent.dumpable());
    group.set_no_huge_pages(parent.has_no_huge_pages());
    group.set_executable(parent.executable());
    group.set_borrows_memory(flags.contains(CloneFlags::CLONE_VM));
    group
}

/// Undoes what was done for a child that the host could not make.
pub(crate) fn forget(child: &Arc<Task>) {
    child.begin_end();
    let group = child.group();
    let empty = {
        let mut state = group.state();
        state.remove(child);
        state.tasks.is_empty()
    };
    let pids = &child.kernel().pids;
    drop(pids.remove_task(child.tid()));
    if empty {
        let released = pids.lock().release(group);
        drop(released);
    }
}

/// Lets the host make the thread or process and the child's guest run.
fn start(current: &CurrentTask<'_>, child: &Arc<Task>, request: &CloneRequest) -> Result<()> {
    let flags = request.flags;
    let host = current.host();
    let handler = current.kernel().handler(Arc::clone(child));
    let mut regs = current.regs();
    regs.rax = 0;
    if request.stack != 0 {
        regs.rsp = request.stack;
    }
    let own_tls = host.fs_base();
    let tls = if flags.contains(CloneFlags::CLONE_SETTLS) { request.tls } else { own_tls };
    if !flags.contains(CloneFlags::CLONE_VM) {
        return fork(current, child, request, &regs, tls);
    }
    if flags.contains(CloneFlags::CLONE_CHILD_SETTID) {
        let _ = current.memory().write(UserPtr::new(request.child_tid), &child.tid());
    }
    if !flags.contains(CloneFlags::CLONE_VFORK) {
        return Ok(host.spawn_thread(handler, &regs, tls)?);
    }
    if tls != own_tls {
        host.set_fs_base(tls);
    }
    let result = host.run_borrowed(handler, &regs);
    if host.fs_base() != own_tls {
        host.set_fs_base(own_tls);
    }
    Ok(result?)
}

/// Makes a twin of the host process.
fn fork(
    current: &CurrentTask<'_>,
    child: &Arc<Task>,
    request: &CloneRequest,
    regs: &GuestRegs,
    tls: u64,
) -> Result<()> {
    let flags = request.flags;
    let host = current.host();
    let memory = current.memory();
    let handler = current.kernel().handler(Arc::clone(child));

    // The child's id goes into the memory that the child gets a copy of. Without other threads the
    // parent can store it there for the moment of the copy; else the child has to do it itself.
    let mut before = None;
    let address = UserPtr::<i32>::new(request.child_tid);
    if flags.contains(CloneFlags::CLONE_CHILD_SETTID) {
        if current.group().task_count() == 1 && !current.group().borrows_memory() {
            before = memory.read(address).ok();
            if before.is_some() && memory.write(address, &child.tid()).is_err() {
                before = None;
            }
        } else {
            child.set_set_child_tid(request.child_tid);
            child.waiter().interrupt_self();
        }
    }
    let wait = flags.contains(CloneFlags::CLONE_VFORK).then(|| {
        let parent = Arc::clone(current.task().waiter());
        Arc::new(VforkWait { done: AtomicBool::new(false), parent })
    });
    if let Some(wait) = &wait {
        child.set_vfork_parent(Arc::clone(wait));
    }
    let own_tls = host.fs_base();
    if tls != own_tls {
        host.set_fs_base(tls);
    }
    let result = host.fork(handler, regs);
    if tls != own_tls {
        host.set_fs_base(own_tls);
    }
    if let Some(before) = before {
        let _ = memory.write(address, &before);
    }
    result?;
    if let Some(wait) = wait {
        let done = || wait.done.load(Ordering::Acquire).then_some(());
        // It ends early only when the parent is killed.
        let _ = current.task().waiter().wait_for(None, || 0, false, done);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use lx_core::abi::Errno;
    use lx_core::abi::sched::CloneFlags;
    use lx_core::error::SysError;

    #[test]
    fn usual_combinations() {
        let posix_spawn = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        let pthread = CloneFlags::CLONE_VM
            | CloneFlags::CLONE_FS
            | CloneFlags::CLONE_FILES
            | CloneFlags::CLONE_SIGHAND
            | CloneFlags::CLONE_THREAD
            | CloneFlags::CLONE_SYSVSEM
            | CloneFlags::CLONE_SETTLS
            | CloneFlags::CLONE_PARENT_SETTID
            | CloneFlags::CLONE_CHILD_CLEARTID;
        let fork = CloneFlags::CLONE_CHILD_SETTID | CloneFlags::CLONE_CHILD_CLEARTID;
        for flags in [posix_spawn, pthread, fork, CloneFlags::empty()] {
            assert!(check(flags, false).is_ok(), "{flags:?}");
        }
    }

    #[test]
    fn impossible_combinations() {
        let no_sighand = CloneFlags::CLONE_THREAD | CloneFlags::CLONE_VM;
        for flags in [no_sighand, CloneFlags::CLONE_SIGHAND, CloneFlags::CLONE_NEWNS] {
            assert!(check(flags, true).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn who_may_not_make_namespaces() {
        let error = |flags, privileged| check(flags, privileged).map_err(SysError::errno);
        assert_eq!(error(CloneFlags::CLONE_NEWUTS, false), Err(Errno::EPERM));
        assert_eq!(error(CloneFlags::CLONE_NEWUTS, true), Err(Errno::EINVAL));
        assert_eq!(error(CloneFlags::CLONE_NEWUSER, false), Err(Errno::EINVAL));
        let shared = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS;
        assert_eq!(error(shared, false), Err(Errno::EINVAL));
    }
}
