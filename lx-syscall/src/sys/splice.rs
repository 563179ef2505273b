//! `sendfile(2)`, `copy_file_range(2)`, `splice(2)`, `tee(2)`, `vmsplice(2)`.

use core::fmt;

use lx_core::Result;
use lx_core::abi::fcntl::SpliceFlags;
use lx_core::abi::uio::Iovec;
use lx_core::abi::{Errno, Fd, FromArg, TraceArg, UserPtr};
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_proc::CurrentTask;
use lx_vfs::pipe::PipeEnd;
use lx_vfs::splice::{self, Side};

use super::io::raise_for_write;

/// An optional offset argument; that it is negative, and so too large, is found out later.
fn read_offset(task: &CurrentTask<'_>, ptr: UserPtr<i64>) -> Result<Option<u64>> {
    Ok(task.memory().read_unless_null(ptr)?.map(i64::cast_unsigned))
}

/// Stores an offset that has moved by `count`.
fn write_offset(
    task: &CurrentTask<'_>,
    ptr: UserPtr<i64>,
    offset: Option<u64>,
    count: usize,
) -> Result<()> {
    match offset {
        Some(offset) => {
            let moved = offset.saturating_add(count as u64);
            task.memory().write(ptr, &moved.cast_signed())
        }
        None => Ok(()),
    }
}

/// `sendfile(2)`.
pub(crate) fn sys_sendfile(
    task: &CurrentTask<'_>,
    to: Fd,
    from: Fd,
    offset: UserPtr<i64>,
    count: usize,
) -> Result<usize> {
    let start = read_offset(task, offset)?;
    let from = task.files().get(from)?;
    splice::check_source(&task.caller(), Side { file: &from, offset: start }, count)?;
    let to = task.files().get(to)?;
    let result = splice::send_file(
        &task.caller(),
        Side { file: &from, offset: start },
        Side { file: &to, offset: None },
        count,
    );
    let done = raise_for_write(task, result)?;
    write_offset(task, offset, start, done)?;
    Ok(done)
}

/// `copy_file_range(2)`.
pub(crate) fn sys_copy_file_range(
    task: &CurrentTask<'_>,
    from: Fd,
    from_offset: UserPtr<i64>,
    to: Fd,
    to_offset: UserPtr<i64>,
    count: usize,
    flags: u32,
) -> Result<usize> {
    let from = task.files().get(from)?;
    let to = task.files().get(to)?;
    let from_start = read_offset(task, from_offset)?;
    let to_start = read_offset(task, to_offset)?;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let result = splice::copy_file_range(
        &task.caller(),
        Side { file: &from, offset: from_start },
        Side { file: &to, offset: to_start },
        count,
    );
    let done = raise_for_write(task, result)?;
    write_offset(task, from_offset, from_start, done)?;
    write_offset(task, to_offset, to_start, done)?;
    Ok(done)
}

/// Flags of splice(2), which are looked at after the length.
pub(crate) struct LateFlags(u32);

impl FromArg for LateFlags {
    fn from_arg(raw: u64) -> core::result::Result<Self, Errno> {
        Ok(Self(raw as u32))
    }
}

impl TraceArg for LateFlags {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SpliceFlags::from_bits_retain(self.0).trace(f)
    }
}

/// `splice(2)`.
pub(crate) fn sys_splice(
    task: &CurrentTask<'_>,
    from: Fd,
    from_offset: UserPtr<i64>,
    to: Fd,
    to_offset: UserPtr<i64>,
    count: usize,
    flags: LateFlags,
) -> Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let flags = SpliceFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    let from = task.files().get(from)?;
    let to = task.files().get(to)?;
    // A pipe has no offset, whatever the pointer is worth.
    let is_pipe = |file: &OpenFile| file.ops_as::<PipeEnd>().is_some();
    if (is_pipe(&from) && !from_offset.is_null()) || (is_pipe(&to) && !to_offset.is_null()) {
        return Err(Errno::ESPIPE.into());
    }
    let to_start = read_offset(task, to_offset)?;
    let from_start = read_offset(task, from_offset)?;
    let result = splice::splice(
        &task.caller(),
        Side { file: &from, offset: from_start },
        Side { file: &to, offset: to_start },
        count,
        flags.contains(SpliceFlags::SPLICE_F_NONBLOCK),
    );
    let done = raise_for_write(task, result)?;
    write_offset(task, from_offset, from_start, done)?;
    write_offset(task, to_offset, to_start, done)?;
    Ok(done)
}

/// `tee(2)`.
pub(crate) fn sys_tee(
    task: &CurrentTask<'_>,
    from: Fd,
    to: Fd,
    count: usize,
    flags: SpliceFlags,
) -> Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let from = task.files().get(from)?;
    let to = task.files().get(to)?;
    let result = splice::tee(
        &task.caller(),
        Side { file: &from, offset: None },
        Side { file: &to, offset: None },
        count,
        flags.contains(SpliceFlags::SPLICE_F_NONBLOCK),
    );
    raise_for_write(task, result)
}

/// `vmsplice(2)`: between memory and a pipe, in the direction that the descriptor is open for. The
/// bytes are copied: what the guest stores there afterwards does not reach the reader.
///
/// # Errors
///
/// - `EBADF`: no pipe.
/// - `EAGAIN`, `EPIPE`, `EFAULT`; `EINVAL` for unknown flags or too many parts.
pub(crate) fn sys_vmsplice(
    task: &CurrentTask<'_>,
    fd: Fd,
    iov: UserPtr<Iovec>,
    count: usize,
    flags: SpliceFlags,
) -> Result<usize> {
    let file = task.files().get(fd)?;
    let nonblocking = flags.contains(SpliceFlags::SPLICE_F_NONBLOCK);
    let pipe = || file.ops_as::<PipeEnd>().map(PipeEnd::pipe).ok_or(Errno::EBADF);
    if file.is_writable() {
        let mut src = IoSrc::vectors(task.memory(), iov, count)?;
        if src.remaining() == 0 {
            return Ok(0);
        }
        let done = pipe()?.write(&task.caller(), nonblocking, &mut src);
        raise_for_write(task, done)
    } else if file.is_readable() {
        let mut dst = IoDst::vectors(task.memory(), iov, count)?;
        if dst.remaining() == 0 {
            return Ok(0);
        }
        pipe()?.read(&task.caller(), nonblocking, &mut dst)
    } else {
        Err(Errno::EBADF.into())
    }
}
