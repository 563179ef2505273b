//! `membarrier(2)`.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::sched::MembarrierCmd;
use lx_proc::CurrentTask;

/// What lx has, unless the host has nothing.
const SUPPORTED: u32 = MembarrierCmd::MEMBARRIER_CMD_GLOBAL.0
    | MembarrierCmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED.0
    | MembarrierCmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED.0;

/// `membarrier(2)`: orders the memory accesses of the process's threads by the host's own call.
///
/// # Errors
///
/// - `EINVAL`: a flag, or a command that lx does not have.
/// - `EPERM`: the process has not registered its intent.
/// - `ENOSYS`: the host has no such call.
pub(crate) fn sys_membarrier(
    task: &CurrentTask<'_>,
    cmd: MembarrierCmd,
    flags: u32,
    _cpu: i32,
) -> Result<u32> {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let barrier = |everywhere| match task.host().memory_barrier(everywhere) {
        true => Ok(0),
        false => Err(Errno::ENOSYS.into()),
    };
    match cmd {
        MembarrierCmd::MEMBARRIER_CMD_QUERY => {
            barrier(false)?;
            Ok(SUPPORTED)
        }
        MembarrierCmd::MEMBARRIER_CMD_GLOBAL => barrier(true),
        MembarrierCmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED => {
            task.mm().register_barriers();
            barrier(false)
        }
        MembarrierCmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED if !task.mm().uses_barriers() => {
            Err(Errno::EPERM.into())
        }
        MembarrierCmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED => barrier(false),
        _ => {
            lx_core::unsupported::note("membarrier command", u64::from(cmd.0));
            Err(Errno::EINVAL.into())
        }
    }
}
