//! System V semaphores: `semget(2)`, `semop(2)`, `semtimedop(2)`, `semctl(2)`.

use lx_core::Result;
use lx_core::abi::ipc::{IpcFlags, SemCmd, SemLimits, Sembuf, SemidDs};
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, UserPtr};
use lx_proc::CurrentTask;
use lx_proc::ipc::{
    Object, Operations, READ, SEMMNI, SEMMNS, SEMMSL, SEMOPM, SEMVMX, SemaphoreSet, WRITE,
};

/// `semget(2)`: the id.
///
/// # Errors
///
/// - `EINVAL`: an impossible number, or a set that there is has fewer.
/// - `ENOENT`, `EEXIST`, `EACCES`, `ENOSPC`.
pub(crate) fn sys_semget(
    task: &CurrentTask<'_>,
    key: i32,
    count: i32,
    flags: IpcFlags,
) -> Result<i32> {
    let count = usize::try_from(count).ok().filter(|count| *count <= SEMMSL);
    let count = count.ok_or(Errno::EINVAL)?;
    let caller = task.caller();
    task.kernel().ipc.semaphores.find_or_make(
        task.cred(),
        key,
        flags,
        |set| if set.count() < count { Err(Errno::EINVAL.into()) } else { Ok(()) },
        |permissions| match count {
            0 => Err(Errno::EINVAL.into()),
            count => Ok(SemaphoreSet::new(permissions, count, &caller)),
        },
    )
}

/// `semop(2)`.
///
/// # Errors
/// As [`sys_semtimedop`].
pub(crate) fn sys_semop(
    task: &CurrentTask<'_>,
    id: i32,
    operations: UserPtr<Sembuf>,
    count: u32,
) -> Result<()> {
    sys_semtimedop(task, id, operations, count, UserPtr::new(0))
}

/// `semtimedop(2)`.
///
/// # Errors
///
/// - `EINVAL`: no such set, no operations, a malformed time.
/// - `E2BIG`: too many operations. `EACCES`.
/// - As [`SemaphoreSet::operate`].
pub(crate) fn sys_semtimedop(
    task: &CurrentTask<'_>,
    id: i32,
    operations: UserPtr<Sembuf>,
    count: u32,
    timeout: UserPtr<Timespec>,
) -> Result<()> {
    let timeout = task.memory().read_unless_null(timeout)?;
    let count = count as usize;
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > SEMOPM {
        return Err(Errno::E2BIG.into());
    }
    let operations = Operations::read(task.memory(), operations, count)?;
    let deadline = match timeout {
        None => None,
        Some(time) => Some(task.host().monotonic().saturating_add(time.to_nanos()?)),
    };
    let set = task.kernel().ipc.semaphores.get(id)?;
    set.check_numbers(&operations)?;
    let wanted = if operations.alter() { WRITE } else { READ };
    set.permissions().check(task.cred(), wanted)?;
    set.operate(&task.caller(), operations, || task.task().undo_list(), deadline)
}

/// `semctl(2)`: what the command asks for; else 0, for `IPC_INFO` and `SEM_INFO` the highest index
/// in use, for `SEM_STAT` the id.
///
/// # Errors
///
/// - `EINVAL`: an unknown command, no such set or semaphore.
/// - `EACCES`: may not be read or altered. `EPERM`: may not be changed.
/// - `EFAULT`, `EIDRM`, `ERANGE`.
pub(crate) fn sys_semctl(
    task: &CurrentTask<'_>,
    id: i32,
    number: i32,
    command: SemCmd,
    argument: UserPtr<u8>,
) -> Result<i32> {
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let (ipc, memory) = (&task.kernel().ipc, task.memory());
    match command {
        SemCmd::IPC_INFO | SemCmd::SEM_INFO => {
            memory.write(argument.cast(), &limits(task, command))?;
            Ok(ipc.semaphores.highest_index() as i32)
        }
        SemCmd::IPC_STAT | SemCmd::SEM_STAT | SemCmd::SEM_STAT_ANY => {
            let by_index = command != SemCmd::IPC_STAT;
            let to_anybody = command == SemCmd::SEM_STAT_ANY;
            let set = ipc.semaphores.shown(task.cred(), id, by_index, to_anybody)?;
            memory.write(argument.cast(), &set.stat())?;
            Ok(if by_index { set.permissions().id() } else { 0 })
        }
        SemCmd::IPC_SET => {
            let new: SemidDs = memory.read(argument.cast())?;
            let set = ipc.semaphores.owned(task.cred(), id)?;
            set.set(&task.caller(), &new.perm).map(|()| 0)
        }
        SemCmd::IPC_RMID => {
            let set = ipc.semaphores.owned(task.cred(), id)?;
            set.remove(ipc).map(|()| 0)
        }
        SemCmd::GETALL | SemCmd::SETALL => of_all(task, id, command, argument.cast()).map(|()| 0),
        SemCmd::SETVAL => {
            let value = argument.addr() as i32;
            if !(0..=SEMVMX).contains(&value) {
                return Err(Errno::ERANGE.into());
            }
            let set = ipc.semaphores.get(id)?;
            let number = in_set(&set, number)?;
            set.permissions().check(task.cred(), WRITE)?;
            set.set_value(&task.caller(), number, value).map(|()| 0)
        }
        SemCmd::GETVAL | SemCmd::GETPID | SemCmd::GETNCNT | SemCmd::GETZCNT => {
            let set = ipc.semaphores.get(id)?;
            set.permissions().check(task.cred(), READ)?;
            let number = in_set(&set, number)?;
            match command {
                SemCmd::GETVAL => set.value(number),
                SemCmd::GETPID => set.last_pid(number),
                other => set.waiting(number, other == SemCmd::GETZCNT).map(|count| count as i32),
            }
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// A semaphore's number, which has to be in the set.
fn in_set(set: &SemaphoreSet, number: i32) -> Result<usize> {
    let number = usize::try_from(number).ok().filter(|number| *number < set.count());
    number.ok_or_else(|| Errno::EINVAL.into())
}

/// `GETALL` and `SETALL`.
fn of_all(task: &CurrentTask<'_>, id: i32, command: SemCmd, array: UserPtr<u16>) -> Result<()> {
    let set = task.kernel().ipc.semaphores.get(id)?;
    let sets = command == SemCmd::SETALL;
    set.permissions().check(task.cred(), if sets { WRITE } else { READ })?;
    if !sets {
        return task.memory().write_array(array, &set.values());
    }
    let values = task.memory().read_array(array, set.count())?;
    set.set_values(&task.caller(), &values)
}

/// Limits, or what there is of what they limit.
fn limits(task: &CurrentTask<'_>, command: SemCmd) -> SemLimits {
    let mut limits = SemLimits {
        semmap: SEMMNS as i32,
        semmni: SEMMNI as i32,
        semmns: SEMMNS as i32,
        semmnu: SEMMNS as i32,
        semmsl: SEMMSL as i32,
        semopm: SEMOPM as i32,
        semume: SEMOPM as i32,
        semusz: 20,
        semvmx: SEMVMX,
        semaem: SEMVMX,
    };
    if command == SemCmd::SEM_INFO {
        let sets = task.kernel().ipc.semaphores.list();
        limits.semusz = sets.len() as i32;
        limits.semaem = sets.iter().map(|set| set.count()).sum::<usize>() as i32;
    }
    limits
}
