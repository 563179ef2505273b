//! What the system says of itself and of resources: `uname(2)`, `sysinfo(2)`, `getrlimit(2)`,
//! `getrusage(2)`, `getrandom(2)`.

use lx_core::Result;
use lx_core::abi::UserPtr;
use lx_core::abi::utsname::NewUtsname;
use lx_proc::CurrentTask;

/// `uname(2)`.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_uname(task: &CurrentTask<'_>, name: UserPtr<NewUtsname>) -> Result<()> {
    task.memory().write(name, &task.kernel().utsname())
}
