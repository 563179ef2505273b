//! Descriptors: `close(2)`, `dup(2)`, `fcntl(2)`, `flock(2)`, `close_range(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::{
    CloseRangeFlags, F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID, F_RDLCK, F_UNLCK, F_WRLCK, FOwnerEx,
    FcntlCmd, FdFlags, Flock, FlockFlags, OpenFlags,
};
use lx_core::abi::stat::S_IFDIR;
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::close::descriptor_closed;
use lx_vfs::file_lock::{self, Kind, Owner, Range};
use lx_vfs::lease;
use lx_vfs::location::Path;

use super::io::file_type;

fn limit(task: &CurrentTask<'_>) -> u64 {
    task.group().rlimits().soft(Resource::Nofile)
}

/// `close(2)`.
pub(crate) fn sys_close(task: &CurrentTask<'_>, fd: Fd) -> Result<()> {
    let file = task.files().remove(fd)?;
    descriptor_closed(&task.caller(), file);
    Ok(())
}

/// `close_range(2)`.
pub(crate) fn sys_close_range(
    task: &CurrentTask<'_>,
    first: u32,
    last: u32,
    flags: CloseRangeFlags,
) -> Result<()> {
    if first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags.contains(CloseRangeFlags::CLOSE_RANGE_UNSHARE) {
        lx_proc::task_exec::unshare_files(task);
    }
    // Not `task.files()`, which may be the old table.
    let files = task.task().files();
    if flags.contains(CloseRangeFlags::CLOSE_RANGE_CLOEXEC) {
        files.set_cloexec_range(first, last);
        return Ok(());
    }
    for file in files.remove_where(|fd, _| (first..=last).contains(&fd.0.cast_unsigned())) {
        descriptor_closed(&task.caller(), file);
    }
    Ok(())
}

/// `dup(2)`.
pub(crate) fn sys_dup(task: &CurrentTask<'_>, fd: Fd) -> Result<Fd> {
    let file = task.files().get_any(fd)?;
    Ok(task.files().reserve(0, limit(task), false)?.install(file))
}

/// `dup2(2)`.
pub(crate) fn sys_dup2(task: &CurrentTask<'_>, old: Fd, new: Fd) -> Result<Fd> {
    if old == new {
        task.files().get_any(old)?;
        return Ok(new);
    }
    replace(task, old, new, false)
}

/// `dup3(2)`.
pub(crate) fn sys_dup3(task: &CurrentTask<'_>, old: Fd, new: Fd, flags: u32) -> Result<Fd> {
    if flags & !OpenFlags::O_CLOEXEC.bits() != 0 || old == new {
        return Err(Errno::EINVAL.into());
    }
    replace(task, old, new, flags != 0)
}

fn replace(task: &CurrentTask<'_>, old: Fd, new: Fd, cloexec: bool) -> Result<Fd> {
    let file = task.files().get_any(old)?;
    if let Some(closed) = task.files().replace(new, limit(task), file, cloexec)? {
        descriptor_closed(&task.caller(), closed);
    }
    Ok(new)
}

/// `fcntl(2)`.
pub(crate) fn sys_fcntl(
    task: &CurrentTask<'_>,
    fd: Fd,
    command: FcntlCmd,
    arg: u64,
) -> Result<u64> {
    let file = task.files().get_any(fd)?;
    match command {
        FcntlCmd::F_DUPFD => duplicate(task, file, arg, false),
        FcntlCmd::F_DUPFD_CLOEXEC => duplicate(task, file, arg, true),
        FcntlCmd::F_GETFD => {
            let cloexec = task.files().cloexec(fd)?;
            Ok(if cloexec { u64::from(FdFlags::FD_CLOEXEC.bits()) } else { 0 })
        }
        FcntlCmd::F_SETFD => {
            let on = arg & u64::from(FdFlags::FD_CLOEXEC.bits()) != 0;
            task.files().set_cloexec(fd, on)?;
            Ok(0)
        }
        FcntlCmd::F_GETFL => Ok(u64::from(file.flags().bits())),
        _ if file.is_path_only() => Err(Errno::EBADF.into()),
        FcntlCmd::F_SETFL => set_flags(task, &file, arg),
        FcntlCmd::F_GETLK | FcntlCmd::F_OFD_GETLK => get_lock(task, &file, command, arg),
        FcntlCmd::F_SETLK | FcntlCmd::F_SETLKW | FcntlCmd::F_OFD_SETLK | FcntlCmd::F_OFD_SETLKW => {
            set_lock(task, &file, command, arg)
        }
        FcntlCmd::F_GETOWN
        | FcntlCmd::F_SETOWN
        | FcntlCmd::F_GETOWN_EX
        | FcntlCmd::F_SETOWN_EX
        | FcntlCmd::F_GETSIG => owner(task, &file, command, arg),
        FcntlCmd::F_ADD_SEALS if !file.is_writable() => Err(Errno::EPERM.into()),
        FcntlCmd::F_NOTIFY if file_type(task, &file)? != S_IFDIR => Err(Errno::ENOTDIR.into()),
        FcntlCmd::F_SETLEASE => {
            let kind = lease_kind(arg)?;
            lease::set(&task.caller(), &file, kind, || is_open_elsewhere(task, &file))?;
            Ok(0)
        }
        FcntlCmd::F_GETLEASE => Ok(lease_number(lease::get(&task.caller(), &file)?)),
        _ => file.ops().control(&task.caller(), &file, command, arg).inspect_err(|_| {
            lx_core::unsupported::note("fcntl", u64::from(command.0));
        }),
    }
}

fn lease_kind(arg: u64) -> Result<Option<lease::Kind>> {
    match i16::try_from(arg as i32).map_err(|_| Errno::EINVAL)? {
        F_RDLCK => Ok(Some(lease::Kind::Read)),
        F_WRLCK => Ok(Some(lease::Kind::Write)),
        F_UNLCK => Ok(None),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn lease_number(kind: Option<lease::Kind>) -> u64 {
    let number = match kind {
        Some(lease::Kind::Read) => F_RDLCK,
        Some(lease::Kind::Write) => F_WRLCK,
        None => F_UNLCK,
    };
    u64::from(number.unsigned_abs())
}

/// Whether a descriptor of any process names another description of the file.
fn is_open_elsewhere(task: &CurrentTask<'_>, file: &Arc<OpenFile>) -> bool {
    let Some(path) = Path::of(file) else { return false };
    let is_other = |other: Arc<OpenFile>| {
        !Arc::ptr_eq(&other, file)
            && Path::of(&other).is_some_and(|other| Arc::ptr_eq(other.inode(), path.inode()))
    };
    task.kernel().pids.tasks().iter().any(|task| {
        let files = task.files();
        files.list().into_iter().filter_map(|fd| files.get(fd).ok()).any(is_other)
    })
}

fn duplicate(task: &CurrentTask<'_>, file: Arc<OpenFile>, from: u64, cloexec: bool) -> Result<u64> {
    // An `int`, as far as Linux looks at it.
    let from = usize::try_from(from as i32).map_err(|_| Errno::EINVAL)?;
    if from as u64 >= limit(task) {
        return Err(Errno::EINVAL.into());
    }
    let fd = task.files().reserve(from, limit(task), cloexec)?.install(file);
    Ok(u64::from(fd.0.cast_unsigned()))
}

fn set_flags(task: &CurrentTask<'_>, file: &OpenFile, arg: u64) -> Result<u64> {
    let flags = OpenFlags::from_bits_truncate(arg as u32) & OpenFlags::SETTABLE;
    let old = file.flags();
    if (flags - old).contains(OpenFlags::O_NOATIME) {
        let owner = file.ops().stat(&task.caller(), file)?.st_uid;
        if task.cred().fsuid != owner && !task.cred().has(Capabilities::FOWNER) {
            return Err(Errno::EPERM.into());
        }
    }
    file.ops().check_flags(flags)?;
    let mut mask = OpenFlags::SETTABLE;
    if (flags - old).contains(OpenFlags::O_ASYNC) {
        // Files without signal-driven I/O ignore the flag on Linux, too.
        lx_core::unsupported::note("fcntl F_SETFL O_ASYNC", arg);
    }
    mask -= OpenFlags::O_ASYNC;
    file.set_flags(flags, mask);
    Ok(0)
}

/// The commands about who gets `SIGIO`. A negative owner is a process group.
fn owner(task: &CurrentTask<'_>, file: &OpenFile, command: FcntlCmd, arg: u64) -> Result<u64> {
    match command {
        FcntlCmd::F_GETOWN => return Ok(i64::from(file.owner()).cast_unsigned()),
        FcntlCmd::F_SETOWN => {
            let who = arg as i32;
            if who == i32::MIN {
                return Err(Errno::EINVAL.into());
            }
            file.set_owner(who);
        }
        FcntlCmd::F_GETOWN_EX => {
            let who = file.owner();
            let kind = if who < 0 { F_OWNER_PGRP } else { F_OWNER_PID };
            let answer = FOwnerEx { kind, pid: who.saturating_abs() };
            task.memory().write(UserPtr::new(arg), &answer)?;
        }
        FcntlCmd::F_SETOWN_EX => {
            let new: FOwnerEx = task.memory().read(UserPtr::new(arg))?;
            if new.pid < 0 {
                return Err(Errno::EINVAL.into());
            }
            match new.kind {
                F_OWNER_TID | F_OWNER_PID => file.set_owner(new.pid),
                F_OWNER_PGRP => file.set_owner(-new.pid),
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        // No other signal than SIGIO can be chosen.
        FcntlCmd::F_GETSIG => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// The bytes that a `struct flock` names.
fn lock_range(task: &CurrentTask<'_>, file: &OpenFile, lock: &Flock) -> Result<Range> {
    let base = match lock.l_whence {
        0 => 0,
        1 => file.position().cast_signed(),
        2 => file.ops().stat(&task.caller(), file)?.st_size,
        _ => return Err(Errno::EINVAL.into()),
    };
    let start = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match lock.l_len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start - 1),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = u64::try_from(end).map_err(|_| Errno::EINVAL)?;
    Ok(Range { start, end })
}

fn lock_kind(lock: &Flock) -> Result<Option<Kind>> {
    match lock.l_type {
        F_RDLCK => Ok(Some(Kind::Read)),
        F_WRLCK => Ok(Some(Kind::Write)),
        F_UNLCK => Ok(None),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn read_lock(
    task: &CurrentTask<'_>,
    file: &Arc<OpenFile>,
    of_description: bool,
    arg: u64,
) -> Result<(Flock, Owner)> {
    let lock: Flock = task.memory().read(UserPtr::new(arg))?;
    Ok((lock, file_lock::owner(&task.caller(), file, of_description)))
}

/// Locks of a description are asked for without a process.
fn check_no_process(lock: &Flock, of_description: bool) -> Result<()> {
    if of_description && lock.l_pid != 0 { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

fn get_lock(
    task: &CurrentTask<'_>,
    file: &Arc<OpenFile>,
    command: FcntlCmd,
    arg: u64,
) -> Result<u64> {
    let of_description = command == FcntlCmd::F_OFD_GETLK;
    let (mut lock, owner) = read_lock(task, file, of_description, arg)?;
    if !of_description && lock_kind(&lock)?.is_none() {
        return Err(Errno::EINVAL.into());
    }
    let range = lock_range(task, file, &lock)?;
    let kind = lock_kind(&lock)?;
    check_no_process(&lock, of_description)?;
    let caller = task.caller();
    let found = match kind {
        Some(kind) => file_lock::conflicting_record(&caller, file, owner, kind, range)?,
        None => file_lock::own_record(&caller, file, owner, range)?,
    };
    match found {
        None => lock.l_type = F_UNLCK,
        Some(found) => {
            lock.l_type = if found.kind == Kind::Read { F_RDLCK } else { F_WRLCK };
            lock.l_whence = 0;
            lock.l_start = found.range.start.cast_signed();
            lock.l_len = match found.range.end {
                Range::END => 0,
                end => (end - found.range.start + 1).cast_signed(),
            };
            lock.l_pid = match found.owner {
                Owner::Process(tgid) => tgid,
                Owner::Description(_) => -1,
            };
        }
    }
    task.memory().write(UserPtr::new(arg), &lock)?;
    Ok(0)
}

fn set_lock(
    task: &CurrentTask<'_>,
    file: &Arc<OpenFile>,
    command: FcntlCmd,
    arg: u64,
) -> Result<u64> {
    let of_description = matches!(command, FcntlCmd::F_OFD_SETLK | FcntlCmd::F_OFD_SETLKW);
    let wait = matches!(command, FcntlCmd::F_SETLKW | FcntlCmd::F_OFD_SETLKW);
    let (lock, owner) = read_lock(task, file, of_description, arg)?;
    let range = lock_range(task, file, &lock)?;
    let kind = lock_kind(&lock)?;
    let allowed = match kind {
        Some(Kind::Read) => file.is_readable(),
        Some(Kind::Write) => file.is_writable(),
        None => true,
    };
    if !allowed {
        return Err(Errno::EBADF.into());
    }
    check_no_process(&lock, of_description)?;
    file_lock::set_record(&task.caller(), file, owner, kind, range, wait)?;
    Ok(0)
}

/// `flock(2)`.
pub(crate) fn sys_flock(task: &CurrentTask<'_>, fd: Fd, operation: FlockFlags) -> Result<()> {
    let wait = !operation.contains(FlockFlags::LOCK_NB);
    let exclusive = match operation - FlockFlags::LOCK_NB {
        FlockFlags::LOCK_SH => Some(false),
        FlockFlags::LOCK_EX => Some(true),
        FlockFlags::LOCK_UN => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let file = task.files().get(fd)?;
    file_lock::flock(&task.caller(), &file, exclusive, wait)
}
