//! `seccomp(2)`, and the operations of `prctl(2)` that do the same.

use lx_core::Result;
use lx_core::abi::{Errno, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::unsupported;
use lx_proc::CurrentTask;
use lx_proc::seccomp::{Instruction, MAX_INSTRUCTIONS, action, install};

const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;

const FLAG_TSYNC: u64 = 1;
/// Nothing is noted down of calls that are allowed, and nothing speculated about.
const FLAG_LOG: u64 = 2;
const FLAG_SPEC_ALLOW: u64 = 4;
const FLAG_TSYNC_ESRCH: u64 = 16;

/// `seccomp(2)`.
///
/// # Errors
///
/// - `EINVAL`: an operation or a flag that is not known, a program that is none, another mode.
/// - `EACCES`: neither `PR_SET_NO_NEW_PRIVS` nor `CAP_SYS_ADMIN`.
/// - `ENOMEM`: too many instructions.
/// - `EOPNOTSUPP`: filters cannot decide so.
/// - `ESRCH`: another thread has other filters.
/// - `EFAULT`.
pub(crate) fn sys_seccomp(
    task: &CurrentTask<'_>,
    operation: u32,
    flags: u32,
    args: UserPtr<u32>,
) -> Result<i32> {
    match operation {
        SET_MODE_STRICT => {
            if flags != 0 || !args.is_null() {
                return Err(Errno::EINVAL.into());
            }
            set_strict(task)?;
            Ok(0)
        }
        SET_MODE_FILTER => set_filter(task, flags.into(), args.cast()),
        GET_ACTION_AVAIL => {
            if flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            match task.memory().read(args)? {
                action::KILL_PROCESS
                | action::KILL_THREAD
                | action::TRAP
                | action::ERRNO
                | action::TRACE
                | action::LOG
                | action::ALLOW => Ok(0),
                _ => Err(Errno::EOPNOTSUPP.into()),
            }
        }
        _ => {
            unsupported::note("seccomp operations", operation.into());
            Err(Errno::EINVAL.into())
        }
    }
}

/// Strict mode.
pub(super) fn set_strict(task: &CurrentTask<'_>) -> Result<()> {
    task.task().seccomp().make_strict()
}

/// Installs the filter of a `struct sock_fprog`.
pub(super) fn set_filter(
    task: &CurrentTask<'_>,
    flags: u64,
    program: UserPtr<[u64; 2]>,
) -> Result<i32> {
    let unknown = flags & !(FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_TSYNC_ESRCH);
    if unknown != 0 {
        unsupported::note("seccomp flags", unknown);
        return Err(Errno::EINVAL.into());
    }
    let memory = task.memory();
    let [len, address] = memory.read(program)?;
    let len = usize::from(len as u16);
    if len == 0 || len > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL.into());
    }
    if !task.task().no_new_privs() && !task.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EACCES.into());
    }
    let instructions = memory.read_array(UserPtr::<Instruction>::new(address), len)?;
    match install(task, instructions, flags & FLAG_TSYNC != 0)? {
        None => Ok(0),
        Some(_) if flags & FLAG_TSYNC_ESRCH != 0 => Err(Errno::ESRCH.into()),
        Some(tid) => Ok(tid),
    }
}
