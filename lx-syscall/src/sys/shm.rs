//! System V shared memory: `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`.

use alloc::sync::Arc;

use lx_core::abi::ipc::{IpcFlags, ShmCmd, ShmLimits, ShmUsage, ShmatFlags, ShmgetFlags, ShmidDs};
use lx_core::abi::{Errno, PAGE_SIZE, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::rlimit::Resource;
use lx_core::{Result, unsupported};
use lx_proc::CurrentTask;
use lx_proc::ipc::{Object, SHMALL, SHMMAX, SHMMNI, Segment};

/// `shmget(2)`: the id.
///
/// # Errors
///
/// - `EINVAL`: an impossible size, or a segment that there is is smaller; huge pages, which lx does
///   not have.
/// - `ENOENT`, `EEXIST`, `EACCES`, `ENOSPC`, `ENOMEM`.
pub(crate) fn sys_shmget(
    task: &CurrentTask<'_>,
    key: i32,
    size: u64,
    flags: ShmgetFlags,
) -> Result<i32> {
    let caller = task.caller();
    task.kernel().ipc.segments.find_or_make(
        task.cred(),
        key,
        IpcFlags::from_bits_retain(flags.bits() & !ShmgetFlags::SHM_HUGETLB.bits()),
        |segment| if segment.size() < size { Err(Errno::EINVAL.into()) } else { Ok(()) },
        |permissions| {
            if flags.contains(ShmgetFlags::SHM_HUGETLB) {
                unsupported::note("shmget flags", flags.bits().into());
                return Err(Errno::EINVAL.into());
            }
            Segment::new(permissions, size, &caller)
        },
    )
}

/// `shmat(2)`: the address.
///
/// # Errors
///
/// - `EINVAL`: no such segment; an address that is misaligned or in use.
/// - `EACCES`, `EIDRM`, `ENOMEM`.
pub(crate) fn sys_shmat(
    task: &CurrentTask<'_>,
    id: i32,
    addr: UserPtr<u8>,
    flags: ShmatFlags,
) -> Result<u64> {
    check_id(id)?;
    let mut addr = addr.addr();
    if addr == 0 {
        if flags.contains(ShmatFlags::SHM_REMAP) {
            return Err(Errno::EINVAL.into());
        }
    } else if !addr.is_multiple_of(PAGE_SIZE) {
        if !flags.contains(ShmatFlags::SHM_RND) {
            return Err(Errno::EINVAL.into());
        }
        addr -= addr % PAGE_SIZE;
        if addr == 0 && flags.contains(ShmatFlags::SHM_REMAP) {
            return Err(Errno::EINVAL.into());
        }
    }
    let segment = task.kernel().ipc.segments.get(id)?;
    segment.attach(&task.caller(), task.mm(), addr, flags)
}

/// `shmdt(2)`.
///
/// # Errors
///
/// - `EINVAL`: no segment is attached there.
pub(crate) fn sys_shmdt(task: &CurrentTask<'_>, addr: UserPtr<u8>) -> Result<()> {
    let caller = task.caller();
    let mapping = task.mm().detach_segment(&caller, addr.addr())?;
    if let Some(segment) = task.kernel().ipc.segment_of(&mapping) {
        segment.note_detached(&caller);
    }
    Ok(())
}

/// `shmctl(2)`: 0; for `IPC_INFO` and `SHM_INFO` the highest index in use, for `SHM_STAT` the id.
///
/// # Errors
///
/// - `EINVAL`: an unknown command, no such segment.
/// - `EACCES`: may not be read. `EPERM`: may not be changed or locked.
/// - `EFAULT`, `EIDRM`, `ENOMEM`.
pub(crate) fn sys_shmctl(
    task: &CurrentTask<'_>,
    id: i32,
    command: ShmCmd,
    buffer: UserPtr<u8>,
) -> Result<i32> {
    check_id(id)?;
    let (ipc, memory) = (&task.kernel().ipc, task.memory());
    match command {
        ShmCmd::IPC_INFO => {
            let limits = ShmLimits {
                shmmax: SHMMAX,
                shmmin: 1,
                shmmni: SHMMNI as u64,
                shmseg: SHMMNI as u64,
                shmall: SHMALL,
                ..ShmLimits::default()
            };
            memory.write(buffer.cast(), &limits)?;
            Ok(ipc.segments.highest_index() as i32)
        }
        ShmCmd::SHM_INFO => {
            let segments = ipc.segments.list();
            let pages = |segment: &Arc<Segment>| segment.size().div_ceil(PAGE_SIZE);
            let total = segments.iter().map(pages).sum();
            let usage = ShmUsage {
                used_ids: segments.len() as i32,
                shm_tot: total,
                shm_rss: total,
                ..ShmUsage::default()
            };
            memory.write(buffer.cast(), &usage)?;
            Ok(ipc.segments.highest_index() as i32)
        }
        ShmCmd::IPC_STAT | ShmCmd::SHM_STAT | ShmCmd::SHM_STAT_ANY => {
            let by_index = command != ShmCmd::IPC_STAT;
            let to_anybody = command == ShmCmd::SHM_STAT_ANY;
            let segment = ipc.segments.shown(task.cred(), id, by_index, to_anybody)?;
            memory.write(buffer.cast(), &segment.stat())?;
            Ok(if by_index { segment.permissions().id() } else { 0 })
        }
        ShmCmd::IPC_SET => {
            let new: ShmidDs = memory.read(buffer.cast())?;
            let segment = ipc.segments.owned(task.cred(), id)?;
            segment.set(&task.caller(), &new.perm).map(|()| 0)
        }
        ShmCmd::IPC_RMID => {
            let segment = ipc.segments.owned(task.cred(), id)?;
            segment.remove(ipc);
            Ok(0)
        }
        ShmCmd::SHM_LOCK | ShmCmd::SHM_UNLOCK => {
            let segment = ipc.segments.get(id)?;
            let cred = task.cred();
            if !cred.has(Capabilities::IPC_LOCK) {
                segment.permissions().check_caller_owns(cred)?;
                let limit = task.group().rlimits().soft(Resource::Memlock);
                if command == ShmCmd::SHM_LOCK && limit == 0 {
                    return Err(Errno::EPERM.into());
                }
            }
            segment.set_locked(command == ShmCmd::SHM_LOCK);
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Ids are not negative.
fn check_id(id: i32) -> Result<()> {
    if id < 0 { Err(Errno::EINVAL.into()) } else { Ok(()) }
}
