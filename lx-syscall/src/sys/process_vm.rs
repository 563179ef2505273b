//! Memory and descriptors of other processes: `process_vm_readv(2)`, `process_vm_writev(2)`,
//! `process_madvise(2)`, `pidfd_getfd(2)`.

use alloc::sync::Arc;
use alloc::vec;

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
use lx_proc::mm::{REMOTE_CHUNK, Reach, RemoteMemory};
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
    let (kernel, caller) = (task.kernel(), task.caller());
    let mut buffer = vec![0; to.remaining().min(REMOTE_CHUNK)];
    for part in parts {
        let (mut at, mut rest) = (part.iov_base.addr(), part.iov_len);
        while rest > 0 && to.remaining() > 0 {
            let len = buffer.len().min(to.remaining()).min(rest as usize);
            let chunk = buffer.get_mut(..len).unwrap_or_default();
            let copied =
                memory.read(kernel, &caller, at, chunk, Reach::Mapped).and_then(
                    |count| match count {
                        0 => Err(Errno::EFAULT.into()),
                        _ => Ok((count, to.put(chunk.get(..count).unwrap_or_default())?)),
                    },
                );
            match copied {
                Ok((count, stored)) if stored == len => {
                    at = at.wrapping_add(count as u64);
                    rest -= count as u64;
                }
                Ok(_) => return partial(to.done(), Errno::EFAULT.into()),
                Err(error) => return partial(to.done(), error),
            }
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
    let (kernel, caller) = (task.kernel(), task.caller());
    let mut buffer = vec![0; from.remaining().min(REMOTE_CHUNK)];
    let mut done = 0;
    for part in parts {
        let (mut at, mut rest) = (part.iov_base.addr(), part.iov_len);
        while rest > 0 && from.remaining() > 0 {
            let len = buffer.len().min(from.remaining()).min(rest as usize);
            let chunk = buffer.get_mut(..len).unwrap_or_default();
            let taken = match from.take(chunk) {
                Ok(taken) => taken,
                Err(error) => return partial(done, error),
            };
            let chunk = chunk.get(..taken).unwrap_or_default();
            let count = match memory.write(kernel, &caller, at, chunk, Reach::Mapped) {
                Ok(count) => count,
                Err(error) => return partial(done, error),
            };
            done += count;
            if count < len {
                return partial(done, Errno::EFAULT.into());
            }
            at = at.wrapping_add(count as u64);
            rest -= count as u64;
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
) -> Result<Option<(RemoteMemory, vec::Vec<Iovec>)>> {
    let parts = task.memory().read_array(remote, count)?;
    if parts.iter().any(|part| part.iov_len > i64::MAX as u64) {
        return Err(Errno::EINVAL.into());
    }
    if parts.iter().all(|part| part.iov_len == 0) {
        return Ok(None);
    }
    let target = task.kernel().pids.task(pid).ok_or(Errno::ESRCH)?;
    check_access(&task.caller(), &target, AccessIds::Real)?;
    Ok(Some((RemoteMemory::of(&target), parts)))
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
    let parts: vec::Vec<Iovec> = task.memory().read_array(iov, count as usize)?;
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
