//! `swapon(2)` and `swapoff(2)`. No file system of lx has files that can hold swap, so that these
//! calls come to the end that Linux's have on such ones.

use lx_core::Result;
use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};
use lx_core::abi::{Errno, UserCStr};
use lx_core::cred::Capabilities;
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_vfs::open::OpenHow;

use super::at;

/// Priority and discarding: `SWAP_FLAGS_VALID`.
const KNOWN_FLAGS: u32 = 0x7ffff;

/// Opens the file, as both calls do.
fn open(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    let flags = OpenFlags::O_RDWR | OpenFlags::O_LARGEFILE;
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, path, &mut buffer)?;
    let how = OpenHow::new(flags, 0, ResolveFlags::empty())?;
    task.fs().open(&task.caller(), None, path, &how).map(drop)
}

/// `swapon(2)`.
///
/// # Errors
/// `EINVAL` for an unknown flag, or a file that cannot hold swap; `EPERM`; else as `open(2)`.
pub(crate) fn sys_swapon(task: &CurrentTask<'_>, path: UserCStr, flags: u32) -> Result<()> {
    if flags & !KNOWN_FLAGS != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_admin(task)?;
    open(task, path)?;
    Err(Errno::EINVAL.into())
}

/// `swapoff(2)`.
///
/// # Errors
/// `EPERM`; `EINVAL` if there is no swap in the file; else as `open(2)`.
pub(crate) fn sys_swapoff(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    check_admin(task)?;
    open(task, path)?;
    Err(Errno::EINVAL.into())
}

fn check_admin(task: &CurrentTask<'_>) -> Result<()> {
    if task.cred().has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM.into()) }
}
