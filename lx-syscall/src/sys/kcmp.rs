//! `kcmp(2)`: whether two tasks share something.

use alloc::sync::Arc;
use core::cmp::Ordering;

use lx_core::Result;
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::file::OpenFile;
use lx_proc::CurrentTask;
use lx_proc::access::{AccessIds, check_access};
use lx_proc::task::{Shared, Task};
use lx_vfs::epoll;

const KCMP_FILE: i32 = 0;
const KCMP_VM: i32 = 1;
const KCMP_FILES: i32 = 2;
const KCMP_FS: i32 = 3;
const KCMP_SIGHAND: i32 = 4;
const KCMP_IO: i32 = 5;
const KCMP_SYSVSEM: i32 = 6;
const KCMP_EPOLL_TFD: i32 = 7;

/// `kcmp(2)`: 0 if both have the same object, else 1 or 2 for its order, which means nothing but
/// stays the same.
///
/// # Errors
///
/// - `ESRCH`: no such task.
/// - `EPERM`: the caller may not look into one of them.
/// - `EINVAL`: no such kind, or the descriptor is no epoll instance's.
/// - `EBADF`: a descriptor is not open.
/// - `ENOENT`: the epoll instance does not watch it.
/// - `EFAULT`.
pub(crate) fn sys_kcmp(
    task: &CurrentTask<'_>,
    pid1: i32,
    pid2: i32,
    kind: i32,
    index1: u64,
    index2: u64,
) -> Result<i32> {
    let pids = &task.kernel().pids;
    let first = pids.task(pid1).ok_or(Errno::ESRCH)?;
    let second = pids.task(pid2).ok_or(Errno::ESRCH)?;
    let caller = task.caller();
    check_access(&caller, &first, AccessIds::Real)?;
    check_access(&caller, &second, AccessIds::Real)?;
    let (one, two) = (first.shared(), second.shared());
    let order = match kind {
        KCMP_FILE => address(&file(&one, index1)?).cmp(&address(&file(&two, index2)?)),
        KCMP_VM => address(&one.mm).cmp(&address(&two.mm)),
        KCMP_FILES => address(&one.files).cmp(&address(&two.files)),
        KCMP_FS => address(&one.fs).cmp(&address(&two.fs)),
        KCMP_SIGHAND => actions(&first).cmp(&actions(&second)),
        // No task has an I/O context: its priority is its own.
        KCMP_IO => Ordering::Equal,
        KCMP_SYSVSEM => one.undo.as_ref().map(address).cmp(&two.undo.as_ref().map(address)),
        KCMP_EPOLL_TFD => {
            let [instance, watched, skipped] =
                task.memory().read(UserPtr::<[u32; 3]>::new(index2))?;
            let wanted = file(&one, index1)?;
            let instance = epoll::instance(&*file(&two, instance.into())?)?;
            let watched = instance.watched(Fd(watched.cast_signed()), skipped as usize);
            address(&wanted).cmp(&watched.ok_or(Errno::ENOENT)?)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(match order {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

/// The open file description of a descriptor, of which Linux looks at 32 bits.
fn file(shared: &Shared, index: u64) -> Result<Arc<OpenFile>> {
    shared.files.get_any(Fd(index as i32))
}

fn actions(task: &Task) -> usize {
    address(&task.group().actions())
}

fn address<T>(object: &Arc<T>) -> usize {
    Arc::as_ptr(object).addr()
}
