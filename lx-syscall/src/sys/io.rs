//! `read(2)`, `write(2)` and relatives; `lseek(2)`, `fsync(2)`, advice.

use alloc::sync::Arc;

use lx_core::abi::fcntl::{Fadvice, RwfFlags, Whence};
use lx_core::abi::stat::{S_IFBLK, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG};
use lx_core::abi::uio::Iovec;
use lx_core::abi::{Errno, Fd, Signal, UserPtr};
use lx_core::error::SysError;
use lx_core::fd_cache::CachedFile;
use lx_core::file::{OpenFile, check_range};
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::{RLIM_INFINITY, Resource};
use lx_core::sync::Waiter;
use lx_core::{Caller, Result};
use lx_proc::CurrentTask;

/// `SYNC_FILE_RANGE_*`: all bits.
const SYNC_FILE_RANGE_ALL: u32 = 7;

fn readable<'t>(task: &'t CurrentTask<'_>, fd: Fd) -> Result<CachedFile<'t>> {
    let file = task.file(fd)?;
    if file.is_readable() { Ok(file) } else { Err(Errno::EBADF.into()) }
}

fn writable<'t>(task: &'t CurrentTask<'_>, fd: Fd) -> Result<CachedFile<'t>> {
    let file = task.file(fd)?;
    if file.is_writable() { Ok(file) } else { Err(Errno::EBADF.into()) }
}

/// Whether a file can be read at an offset: that a stream has none is found out first.
#[inline(always)]
fn check_readable_at(file: &OpenFile) -> Result<()> {
    if file.is_readable() { Ok(()) } else { Err(not_open_for(file)) }
}

#[inline(always)]
fn check_writable_at(file: &OpenFile) -> Result<()> {
    if file.is_writable() { Ok(()) } else { Err(not_open_for(file)) }
}

#[cold]
fn not_open_for(file: &OpenFile) -> SysError {
    if file.is_seekable() { Errno::EBADF.into() } else { Errno::ESPIPE.into() }
}

/// Raises the signal that goes with a failed write: `SIGPIPE` for want of a reader, `SIGXFSZ`
/// beyond `RLIMIT_FSIZE` (but not beyond what the file system can hold).
#[inline(always)]
pub(super) fn raise_for_write<T>(task: &CurrentTask<'_>, result: Result<T>) -> Result<T> {
    if let Err(error) = result {
        raise_for_error(task, error);
    }
    result
}

/// As [`raise_for_write`], of a descriptor whose file may raise none.
#[inline(always)]
pub(super) fn raise_for_file<T>(task: &CurrentTask<'_>, fd: Fd, result: Result<T>) -> Result<T> {
    if let Err(error) = result {
        raise_for_file_error(task, fd, error);
    }
    result
}

#[cold]
fn raise_for_file_error(task: &CurrentTask<'_>, fd: Fd, error: SysError) {
    let quiet = error.errno() == Errno::EPIPE
        && task.files().get(fd).is_ok_and(|file| !file.ops().raises_sigpipe());
    if !quiet {
        raise_for_error(task, error);
    }
}

#[cold]
fn raise_for_error(task: &CurrentTask<'_>, error: SysError) {
    match error {
        SysError::Errno(Errno::EPIPE) => task.send_self(Signal::SIGPIPE),
        SysError::Errno(Errno::EFBIG)
            if task.caller().rlimits.soft(Resource::Fsize) != RLIM_INFINITY =>
        {
            task.send_self(Signal::SIGXFSZ);
        }
        _ => {}
    }
}

/// A file offset argument, which may not be negative.
fn offset(raw: i64) -> Result<u64> {
    u64::try_from(raw).map_err(|_| Errno::EINVAL.into())
}

/// Bits of the file type.
pub(super) fn file_type(task: &CurrentTask<'_>, file: &OpenFile) -> Result<u32> {
    Ok(file.ops().stat(&task.caller(), file)?.st_mode & S_IFMT)
}

/// `read(2)`.
pub(crate) fn sys_read(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    count: usize,
) -> Result<usize> {
    let Some(file) = task.cached_file(fd) else { return Err(Errno::EBADF.into()) };
    read(task, &file, buf, count)
}

#[inline(always)]
fn read(task: &CurrentTask<'_>, file: &OpenFile, buf: UserPtr<u8>, count: usize) -> Result<usize> {
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    let mut dst = IoDst::guest(task.memory(), buf.addr(), count)?;
    file.read(&task.caller(), &mut dst)
}

/// `write(2)`.
pub(crate) fn sys_write(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    count: usize,
) -> Result<usize> {
    let Some(file) = task.cached_file(fd) else { return Err(Errno::EBADF.into()) };
    let result = write(task, &file, buf, count);
    drop(file);
    raise_for_file(task, fd, result)
}

#[inline(always)]
fn write(task: &CurrentTask<'_>, file: &OpenFile, buf: UserPtr<u8>, count: usize) -> Result<usize> {
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    let mut src = IoSrc::guest(task.memory(), buf.addr(), count)?;
    file.write(&task.caller(), &mut src)
}

/// `pread(2)`.
pub(crate) fn sys_pread64(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let Some(file) = task.cached_file(fd) else { return Err(Errno::EBADF.into()) };
    pread(task, &file, buf, count, pos)
}

#[inline(always)]
fn pread(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    buf: UserPtr<u8>,
    count: usize,
    pos: u64,
) -> Result<usize> {
    check_readable_at(file)?;
    let mut dst = IoDst::guest(task.memory(), buf.addr(), count)?;
    file.read_at(&task.caller(), pos, &mut dst)
}

/// `pwrite(2)`.
pub(crate) fn sys_pwrite64(
    task: &CurrentTask<'_>,
    fd: Fd,
    buf: UserPtr<u8>,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let Some(file) = task.cached_file(fd) else { return Err(Errno::EBADF.into()) };
    let result = pwrite(task, &file, buf, count, pos);
    drop(file);
    raise_for_write(task, result)
}

#[inline(always)]
fn pwrite(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    buf: UserPtr<u8>,
    count: usize,
    pos: u64,
) -> Result<usize> {
    check_writable_at(file)?;
    let mut src = IoSrc::guest(task.memory(), buf.addr(), count)?;
    file.write_at(&task.caller(), pos, &mut src)
}

/// `readv(2)`.
pub(crate) fn sys_readv(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
) -> Result<usize> {
    let file = readable(task, fd)?;
    let mut dst = IoDst::vectors(task.memory(), iov, count)?;
    file.read(&task.caller(), &mut dst)
}

/// `writev(2)`.
pub(crate) fn sys_writev(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
) -> Result<usize> {
    let file = writable(task, fd)?;
    let mut src = IoSrc::vectors(task.memory(), iov, count)?;
    let result = file.write(&task.caller(), &mut src);
    drop(file);
    raise_for_file(task, fd, result)
}

/// `preadv(2)`. On x86-64 the offset fits into the first of its two registers.
pub(crate) fn sys_preadv(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.file(fd)?;
    check_readable_at(&file)?;
    let mut dst = IoDst::vectors(task.memory(), iov, count)?;
    file.read_at(&task.caller(), pos, &mut dst)
}

/// `pwritev(2)`.
pub(crate) fn sys_pwritev(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.file(fd)?;
    check_writable_at(&file)?;
    let mut src = IoSrc::vectors(task.memory(), iov, count)?;
    raise_for_write(task, file.write_at(&task.caller(), pos, &mut src))
}

fn check_rwf(flags: RwfFlags, known: RwfFlags) -> Result<()> {
    let unknown = flags.difference(known);
    if unknown.is_empty() {
        return Ok(());
    }
    lx_core::unsupported::note("RWF flags", u64::from(unknown.bits()));
    Err(Errno::EOPNOTSUPP.into())
}

/// Where a write goes whose flags say so.
const PLACE: RwfFlags = RwfFlags::RWF_APPEND.union(RwfFlags::RWF_NOAPPEND);
/// What a write is followed by.
const SYNC: RwfFlags = RwfFlags::RWF_DSYNC.union(RwfFlags::RWF_SYNC);

/// Checks the flags of a read or write of a file. The hint changes nothing, and what concerns
/// writes changes no read.
pub(super) fn check_flags(file: &OpenFile, flags: RwfFlags, writes: bool) -> Result<()> {
    check_rwf(flags, RwfFlags::RWF_HIPRI | RwfFlags::RWF_NOWAIT | SYNC | PLACE)?;
    if flags.contains(RwfFlags::RWF_NOWAIT) && !file.ops().can_skip_waiting(writes) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if flags.contains(PLACE) { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// Makes a transfer, with `RWF_NOWAIT` one that fails with `EAGAIN` instead of waiting: who is
/// interrupted from the beginning gets as far as he gets without sleeping.
fn with_waiting(
    task: &CurrentTask<'_>,
    flags: RwfFlags,
    transfer: impl FnOnce(&Caller<'_>) -> Result<usize>,
) -> Result<usize> {
    if !flags.contains(RwfFlags::RWF_NOWAIT) {
        return transfer(&task.caller());
    }
    let sleepless = Arc::new(Waiter::new());
    sleepless.interrupt_self();
    let result = transfer(&Caller { waiter: &sleepless, ..task.caller() });
    result.map_err(|error| match error.errno() {
        Errno::EINTR => Errno::EAGAIN.into(),
        _ => error,
    })
}

/// A read at `at` or the file's position, with flags that have been checked.
pub(super) fn read_flagged(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    at: Option<u64>,
    flags: RwfFlags,
    dst: &mut IoDst<'_>,
) -> Result<usize> {
    with_waiting(task, flags, |caller| match at {
        None => file.read(caller, dst),
        Some(at) => file.read_at(caller, at, dst),
    })
}

/// `preadv2(2)`; offset -1 stands for the file's position.
pub(crate) fn sys_preadv2(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
    pos: i64,
    _pos_high: u64,
    flags: RwfFlags,
) -> Result<usize> {
    let at = if pos == -1 { None } else { Some(offset(pos)?) };
    let file = task.file(fd)?;
    match at {
        Some(_) => check_readable_at(&file)?,
        None if !file.is_readable() => return Err(Errno::EBADF.into()),
        None => {}
    }
    let mut dst = IoDst::vectors(task.memory(), iov, count)?;
    if dst.remaining() == 0 {
        return Ok(0);
    }
    check_range(at.unwrap_or_else(|| file.position()), dst.remaining())?;
    check_flags(&file, flags, false)?;
    read_flagged(task, &file, at, flags, &mut dst)
}

/// `pwritev2(2)`; offset -1 stands for the file's position.
pub(crate) fn sys_pwritev2(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
    pos: i64,
    _pos_high: u64,
    flags: RwfFlags,
) -> Result<usize> {
    let at = if pos == -1 { None } else { Some(offset(pos)?) };
    let file = task.file(fd)?;
    match at {
        Some(_) => check_writable_at(&file)?,
        None if !file.is_writable() => return Err(Errno::EBADF.into()),
        None => {}
    }
    let mut src = IoSrc::vectors(task.memory(), iov, count)?;
    if src.remaining() == 0 {
        return Ok(0);
    }
    check_range(at.unwrap_or_else(|| file.position()), src.remaining())?;
    check_flags(&file, flags, true)?;
    let written = write_flagged(task, &file, at, flags, &mut src);
    drop(file);
    raise_for_file(task, fd, written)
}

/// A write at `at` or the file's position, with flags that have been checked.
pub(super) fn write_flagged(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    at: Option<u64>,
    flags: RwfFlags,
    src: &mut IoSrc<'_>,
) -> Result<usize> {
    let written = with_waiting(task, flags, |caller| match at {
        _ if flags.intersects(PLACE) => {
            write_placed(caller, file, at, flags.contains(RwfFlags::RWF_APPEND), src)
        }
        None => file.write(caller, src),
        Some(at) => file.write_at(caller, at, src),
    })?;
    if flags.intersects(SYNC) {
        file.ops().sync(&task.caller(), file, !flags.contains(RwfFlags::RWF_SYNC))?;
    }
    Ok(written)
}

/// A write at `at` or the file's position; or at the end if `append`, and if not, then not there in
/// spite of `O_APPEND`.
fn write_placed(
    caller: &Caller<'_>,
    file: &OpenFile,
    at: Option<u64>,
    append: bool,
    src: &mut IoSrc<'_>,
) -> Result<usize> {
    let place = at.unwrap_or_else(|| file.position());
    let (done, end) = file.ops().write_at(caller, file, place, append, src)?;
    if at.is_none() {
        file.seek(caller, end.cast_signed(), Whence::SEEK_SET.0)?;
    }
    Ok(done)
}

/// `lseek(2)`.
pub(crate) fn sys_lseek(task: &CurrentTask<'_>, fd: Fd, to: i64, whence: Whence) -> Result<u64> {
    let file = task.file(fd)?;
    if whence.0 > Whence::SEEK_HOLE.0 {
        return Err(Errno::EINVAL.into());
    }
    file.seek(&task.caller(), to, whence.0)
}

/// `fsync(2)`.
pub(crate) fn sys_fsync(task: &CurrentTask<'_>, fd: Fd) -> Result<()> {
    let file = task.file(fd)?;
    file.ops().sync(&task.caller(), &file, false)
}

/// `fdatasync(2)`.
pub(crate) fn sys_fdatasync(task: &CurrentTask<'_>, fd: Fd) -> Result<()> {
    let file = task.file(fd)?;
    file.ops().sync(&task.caller(), &file, true)
}

/// `sync(2)`: the kernel delays no write, so everything is in the host's hands already.
pub(crate) fn sys_sync(_task: &CurrentTask<'_>) -> Result<()> {
    Ok(())
}

/// `syncfs(2)`: as `sync`.
pub(crate) fn sys_syncfs(task: &CurrentTask<'_>, fd: Fd) -> Result<()> {
    task.files().get(fd)?;
    Ok(())
}

/// `sync_file_range(2)`: writes the whole file's data.
pub(crate) fn sys_sync_file_range(
    task: &CurrentTask<'_>,
    fd: Fd,
    start: i64,
    len: i64,
    flags: u32,
) -> Result<()> {
    let file = task.file(fd)?;
    if flags & !SYNC_FILE_RANGE_ALL != 0 || start < 0 || len < 0 || start.checked_add(len).is_none()
    {
        return Err(Errno::EINVAL.into());
    }
    match file_type(task, &file)? {
        S_IFREG => file.ops().sync(&task.caller(), &file, true),
        S_IFBLK | S_IFDIR | S_IFLNK => Ok(()),
        _ => Err(Errno::ESPIPE.into()),
    }
}

/// `posix_fadvise(2)`: advice that is checked; the host's cache needs none.
pub(crate) fn sys_fadvise64(
    task: &CurrentTask<'_>,
    fd: Fd,
    _start: i64,
    len: i64,
    advice: Fadvice,
) -> Result<()> {
    let file = task.file(fd)?;
    if file_type(task, &file)? == S_IFIFO {
        return Err(Errno::ESPIPE.into());
    }
    if len < 0 || advice.0 > Fadvice::POSIX_FADV_NOREUSE.0 {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

/// `readahead(2)`: advice, too.
pub(crate) fn sys_readahead(
    task: &CurrentTask<'_>,
    fd: Fd,
    _start: i64,
    _count: usize,
) -> Result<()> {
    let file = readable(task, fd)?;
    if file_type(task, &file)? != S_IFREG {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}
