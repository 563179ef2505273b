//! Who may look into a process: ptrace(2), "Ptrace access mode checking".

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;

use crate::task::Task;

/// Which of the caller's ids count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessIds {
    /// `PTRACE_MODE_FSCREDS`: those for file access.
    File,
    /// `PTRACE_MODE_REALCREDS`: the real ones.
    Real,
}

/// Whether the caller may look into the process of `task`, `PTRACE_MODE_READ` and
/// `PTRACE_MODE_ATTACH`.
///
/// # Errors
/// `EPERM`.
pub fn check_access(caller: &Caller<'_>, task: &Task, ids: AccessIds) -> Result<()> {
    if caller.tgid == task.tgid() {
        return Ok(());
    }
    let (cred, target) = (caller.cred(), task.cred());
    if cred.has(Capabilities::SYS_PTRACE) {
        return Ok(());
    }
    let (uid, gid) = match ids {
        AccessIds::File => (cred.fsuid, cred.fsgid),
        AccessIds::Real => (cred.uid, cred.gid),
    };
    let same_user = [target.uid, target.euid, target.suid].iter().all(|id| *id == uid);
    let same_group = [target.gid, target.egid, target.sgid].iter().all(|id| *id == gid);
    let no_less_able = match ids {
        AccessIds::File => cred.effective.contains(target.permitted),
        AccessIds::Real => cred.permitted.contains(target.permitted),
    };
    let open = task.group().dumpable() == 1;
    if same_user && same_group && no_less_able && open { Ok(()) } else { Err(Errno::EPERM.into()) }
}
