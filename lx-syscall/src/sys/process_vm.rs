//! Memory and descriptors of other processes: `process_vm_readv(2)`, `process_vm_writev(2)`,
//! `process_madvise(2)`, `pidfd_getfd(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mman::Madvice;
use lx_core::abi::uio::{Iovec, UIO_MAXIOV};
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::rlimit::Resource;
use lx_core::unsupported;
use lx_proc::CurrentTask;
use lx_proc::access::{AccessIds, check_access};
use lx_proc::mm::{Reach, RemoteMemory};
use lx_proc::pidfd::PidFile;

/// `process_vm_readv(2)`.
///
/// # Errors
///
/// - `EINVAL`: a flag, too many pieces, or they are too long.
/// - `ESRCH`: no such process.
/// - `EPERM`: the caller may not look into it.
/// - `EFAULT`: memory of either side, if nothing was copied before.
pub(crate) fn sys_process_vm_readv(
    task: &CurrentTask<'_>,
    pid: i32,
    local: UserPtr<Iovec>,
    local_count: u64,
    remote: UserPtr<Iovec>,
    remote_count: u64,
    flags: u64,
) -> Result<usize> {
    check_counts(flags, local_count, remote_count)?;
    let mut to = IoDst::vectors(task.memory(), local, local_count as usize)?;
    if to.remaining() == 0 {
        return Ok(0);
    }
    let Some((memory, parts)) = open(task, pid, remote, remote_count as usize)? else {
        return Ok(0);
    };
    let (kernel, caller, reach) = (task.kernel(), task.caller(), Reach::Mapped);
    for part in parts {
        let (at, len) = (part.iov_base.addr(), part.iov_len);
        if let (_, Err(error)) = memory.read(kernel, &caller, at, len, reach, &mut to) {
            return partial(to.done(), error);
        }
    }
    Ok(to.done())
}

/// `process_vm_writev(2)`.
///
/// # Errors
/// As [`sys_process_vm_readv`].
pub(crate) fn sys_process_vm_writev(
    task: &CurrentTask<'_>,
    pid: i32,
    local: UserPtr<Iovec>,
    local_count: u64,
    remote: UserPtr<Iovec>,
    remote_count: u64,
    flags: u64,
) -> Result<usize> {
    check_counts(flags, local_count, remote_count)?;
    let mut from = IoSrc::vectors(task.memory(), local, local_count as usize)?;
    if from.remaining() == 0 {
        return Ok(0);
    }
    let Some((memory, parts)) = open(task, pid, remote, remote_count as usize)? else {
        return Ok(0);
    };
    let (kernel, caller, reach) = (task.kernel(), task.caller(), Reach::Mapped);
    let mut done = 0;
    for part in parts {
        let (at, len) = (part.iov_base.addr(), part.iov_len);
        let (count, result) = memory.write(kernel, &caller, at, len, reach, &mut from);
        done += count;
        if let Err(error) = result {
            return partial(done, error);
        }
    }
    Ok(done)
}

fn check_counts(flags: u64, local: u64, remote: u64) -> Result<()> {
    if flags != 0 {
        unsupported::note("process_vm flags", flags);
        return Err(Errno::EINVAL.into());
    }
    let limit = UIO_MAXIOV as u64;
    if local > limit || remote > limit { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// The memory of a process, and what is wanted of it; `None` if that is nothing.
fn open(
    task: &CurrentTask<'_>,
    pid: i32,
    remote: UserPtr<Iovec>,
    count: usize,
) -> Result<Option<(RemoteMemory, Vec<Iovec>)>> {
    let parts = task.memory().read_array(remote, count)?;
    if parts.iter().any(|part| part.iov_len > i64::MAX as u64) {
        return Err(Errno::EINVAL.into());
    }
    if parts.iter().all(|part| part.iov_len == 0) {
        return Ok(None);
    }
    let target = task.kernel().pids.task(pid).ok_or(Errno::ESRCH)?;
    check_access(&task.caller(), &target, AccessIds::Real)?;
    Ok(Some((RemoteMemory::new(target.mm()), parts)))
}

/// `process_madvise(2)`. What it advises others of, they need not do: the host decides about their
/// memory.
///
/// # Errors
///
/// - `EBADF`: no pidfd.
/// - `EINVAL`: a flag, too many pieces, advice that is not for others, an address inside a page.
/// - `ESRCH`: the process has ended.
/// - `EACCES`: the caller may not look into it. The man page says `EPERM`, Linux this.
/// - `EPERM`: it lacks `CAP_SYS_NICE`.
/// - `ENOMEM`: something of the range is not mapped.
/// - `EFAULT`.
pub(crate) fn sys_process_madvise(
    task: &CurrentTask<'_>,
    pidfd: Fd,
    iov: UserPtr<Iovec>,
    count: u64,
    advice: Madvice,
    flags: u32,
) -> Result<u64> {
    if flags != 0 {
        unsupported::note("process_madvise flags", flags.into());
        return Err(Errno::EINVAL.into());
    }
    if count > UIO_MAXIOV as u64 {
        return Err(Errno::EINVAL.into());
    }
    let parts: Vec<Iovec> = task.memory().read_array(iov, count as usize)?;
    let file = task.files().get(pidfd)?;
    let group = PidFile::group_of(&file)?;
    let target = group.any_task().ok_or(Errno::ESRCH)?;
    let caller = task.caller();
    check_access(&caller, &target, AccessIds::File).map_err(|_| Errno::EACCES)?;
    let own = target.mm_id() == task.mm().id();
    let for_others = matches!(
        advice,
        Madvice::MADV_COLD
            | Madvice::MADV_PAGEOUT
            | Madvice::MADV_WILLNEED
            | Madvice::MADV_COLLAPSE
    );
    if !own && !for_others {
        return Err(Errno::EINVAL.into());
    }
    if !own && !caller.cred().has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM.into());
    }
    let mut done = 0;
    for part in parts {
        let result = if own {
            task.mm().advise(&caller, part.iov_base.addr(), part.iov_len, advice)
        } else {
            target.mm().check_advice(part.iov_base.addr(), part.iov_len)
        };
        match result {
            Ok(()) => done += part.iov_len,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `pidfd_getfd(2)`.
///
/// # Errors
///
/// - `EBADF`: no pidfd, or the process has no such descriptor.
/// - `EINVAL`: a flag.
/// - `EMFILE`: no descriptor is free.
/// - `EPERM`: the caller may not look into the process.
/// - `ESRCH`: it has ended.
pub(crate) fn sys_pidfd_getfd(
    task: &CurrentTask<'_>,
    pidfd: Fd,
    target: Fd,
    flags: u32,
) -> Result<Fd> {
    if flags != 0 {
        unsupported::note("pidfd_getfd flags", flags.into());
        return Err(Errno::EINVAL.into());
    }
    let file = task.files().get(pidfd)?;
    let owner = PidFile::group_of(&file)?.any_task().ok_or(Errno::ESRCH)?;
    check_access(&task.caller(), &owner, AccessIds::Real)?;
    let file = owner.files().get(target)?;
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, true)?;
    Ok(fd.install(Arc::clone(&file)))
}
