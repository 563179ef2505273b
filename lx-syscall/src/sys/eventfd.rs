//! `eventfd(2)`.

use lx_core::Result;
use lx_core::abi::Fd;
use lx_core::abi::fcntl::{EventfdFlags, OpenFlags};
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::eventfd;

/// `eventfd(2)` without flags.
pub(crate) fn sys_eventfd(task: &CurrentTask<'_>, initial: u32) -> Result<Fd> {
    sys_eventfd2(task, initial, EventfdFlags::empty())
}

/// `eventfd2(2)`.
pub(crate) fn sys_eventfd2(
    task: &CurrentTask<'_>,
    initial: u32,
    flags: EventfdFlags,
) -> Result<Fd> {
    let status = if flags.contains(EventfdFlags::EFD_NONBLOCK) {
        OpenFlags::O_NONBLOCK
    } else {
        OpenFlags::empty()
    };
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, flags.contains(EventfdFlags::EFD_CLOEXEC))?;
    let file = eventfd::open(initial, flags.contains(EventfdFlags::EFD_SEMAPHORE), status);
    Ok(fd.install(file))
}
