//! `sysfs(2)`: names and numbers of file systems, in the order of `/proc/filesystems`.

use lx_core::Result;
use lx_core::abi::{Errno, UserCStr, UserPtr};
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_proc::procfs::filesystems;

use super::at;

/// The number of a name.
const INDEX_OF_NAME: i32 = 1;
/// The name of a number.
const NAME_OF_INDEX: i32 = 2;
/// How many there are.
const COUNT: i32 = 3;

/// `sysfs(2)`.
///
/// # Errors
/// `EINVAL` for an unknown option, name or number; `ENOENT` for an empty name; `ENAMETOOLONG`;
/// `EFAULT`.
pub(crate) fn sys_sysfs(
    task: &CurrentTask<'_>,
    option: i32,
    first: u64,
    second: u64,
) -> Result<u64> {
    match option {
        INDEX_OF_NAME => {
            let mut buffer = PathBuffer::new();
            let name = at::read_path(task, UserCStr::new(first), &mut buffer)?;
            let index = filesystems().position(|known| known.as_bytes() == name);
            Ok(index.ok_or(Errno::EINVAL)? as u64)
        }
        NAME_OF_INDEX => {
            let name = filesystems().nth(first as u32 as usize).ok_or(Errno::EINVAL)?;
            let memory = task.memory();
            memory.write_bytes(second, name.as_bytes())?;
            let end = second.wrapping_add(name.len() as u64);
            memory.write(UserPtr::<u8>::new(end), &0).map(|()| 0)
        }
        COUNT => Ok(filesystems().count() as u64),
        _ => Err(Errno::EINVAL.into()),
    }
}
