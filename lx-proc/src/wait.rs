//! Waiting for children, `wait4(2)`, `waitid(2)`.

use alloc::sync::Arc;

use lx_core::abi::Errno;
use lx_core::abi::Signal;
use lx_core::abi::wait::{WaitOptions, WaitStatus};
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;

use crate::current::CurrentTask;
use crate::exit::child_code;
use crate::pid::Tree;
use crate::thread_group::{ANY_CHANGE, ThreadGroup};

/// Which children are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// All.
    Any,
    /// The one with this id.
    Pid(i32),
    /// Those in this process group.
    ProcessGroup(i32),
}

impl Selector {
    fn matches(self, child: &ThreadGroup) -> bool {
        match self {
            Self::Any => true,
            Self::Pid(pid) => child.tgid() == pid,
            Self::ProcessGroup(pgid) => child.pgid() == pgid,
        }
    }
}

/// A change of a child's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The child.
    pub pid: i32,
    /// Its real user id.
    pub uid: u32,
    /// What happened, as `wait4` stores it.
    pub status: WaitStatus,
    /// Processor time of the child and of those that it has waited for.
    pub cpu: Nanos,
}

impl Change {
    /// `si_code` and `si_status`.
    pub fn code(&self) -> (i32, i32) {
        child_code(self.status)
    }
}

/// Whether the kind of the child, by its exit signal, is one that is waited for.
fn is_eligible(child: &ThreadGroup, options: WaitOptions) -> bool {
    if options.contains(WaitOptions::__WALL) {
        return true;
    }
    let is_clone = child.exit_signal() != Signal::SIGCHLD.number();
    is_clone == options.contains(WaitOptions::__WCLONE)
}

/// What a look at the children has found.
enum Found {
    /// A change, and the child if nobody needs it any more.
    Change(Change, Option<Arc<ThreadGroup>>),
    /// Children, but none has changed.
    Nothing,
    /// No child at all.
    NoChild,
}

fn look(tree: &mut Tree, parent: &ThreadGroup, selector: Selector, options: WaitOptions) -> Found {
    let Some(node) = tree.node(parent.tgid()) else { return Found::NoChild };
    let mut found = Found::NoChild;
    for child in &node.children {
        if !selector.matches(child) || !is_eligible(child, options) {
            continue;
        }
        if let Some(status) = change_of(child, options) {
            let change = Change {
                pid: child.tgid(),
                uid: child.uid(),
                status,
                cpu: child.dead_cpu().saturating_add(child.children_cpu()),
            };
            found = Found::Change(change, Some(Arc::clone(child)));
            break;
        }
        // One that has ended can change no more.
        if !child.is_zombie() || options.contains(WaitOptions::WEXITED) {
            found = Found::Nothing;
        }
    }
    let Found::Change(change, Some(child)) = found else { return found };
    let mut released = None;
    if !options.contains(WaitOptions::WNOWAIT) {
        if child.is_zombie() {
            parent.add_children_cpu(change.cpu);
            released = tree.release(&child);
        } else {
            child.job().set_report(None);
        }
    }
    Found::Change(change, released)
}

/// The change of a child that is asked for, if there is one.
fn change_of(child: &ThreadGroup, options: WaitOptions) -> Option<WaitStatus> {
    if child.is_zombie() {
        return options.contains(WaitOptions::WEXITED).then(|| child.status());
    }
    let status = child.job().report()?;
    let wanted = if status == WaitStatus::CONTINUED {
        WaitOptions::WCONTINUED
    } else {
        WaitOptions::WUNTRACED
    };
    options.contains(wanted).then_some(status)
}

/// Waits until a child of the calling group has changed; `None` if `WNOHANG` and none has.
///
/// # Errors
/// `ECHILD` if there is no such child; `Restart` after a signal.
pub fn wait(
    current: &CurrentTask<'_>,
    selector: Selector,
    options: WaitOptions,
) -> Result<Option<Change>> {
    let group = current.group();
    let pids = &current.kernel().pids;
    let ready = || {
        let found = look(&mut pids.lock(), group, selector, options);
        match found {
            // The child is dropped here, after the lock has been released.
            Found::Change(change, _released) => Some(Ok(Some(change))),
            Found::NoChild => Some(Err(Errno::ECHILD.into())),
            Found::Nothing if options.contains(WaitOptions::WNOHANG) => Some(Ok(None)),
            Found::Nothing => None,
        }
    };
    let waiter = current.task().waiter();
    match group.changes().wait(waiter, ANY_CHANGE, None, || 0, ready) {
        Ok(result) => result,
        Err(end) => Err(SysError::from_wait(end)),
    }
}
