//! Native asynchronous I/O: `io_setup(2)`, `io_destroy(2)`, `io_submit(2)`, `io_cancel(2)`,
//! `io_getevents(2)`, `io_pgetevents(2)`.

use alloc::sync::Arc;

use lx_core::abi::aio::{AioSigset, IoEvent, Iocb, IocbCmd, IocbFlags, KIOCB_KEY};
use lx_core::abi::fcntl::RwfFlags;
use lx_core::abi::poll::PollEvents;
use lx_core::abi::stat::S_IFSOCK;
use lx_core::abi::time::{NSEC_PER_SEC, Timespec};
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::error::SysError;
use lx_core::file::{OpenFile, check_range};
use lx_core::io::{IoDst, IoSrc};
use lx_core::{Result, unsupported};
use lx_proc::CurrentTask;
use lx_proc::aio::{Context, Operation, signal};
use lx_vfs::eventfd::EventFile;
use lx_vfs::poll::Timeout;

use super::io::{check_flags, file_type, raise_for_file, read_flagged, write_flagged};
use super::poll::read_mask;
use super::priority::check_io_priority;

/// `io_setup(2)`: stores the new context's id, the address of its ring.
///
/// # Errors
///
/// - `EFAULT`.
/// - `EINVAL`: no operations, far too many, or there is an id already.
/// - `EAGAIN`: more than `aio-max-nr` leaves. `ENOMEM`.
pub(crate) fn sys_io_setup(task: &CurrentTask<'_>, requests: u32, id: UserPtr<u64>) -> Result<()> {
    let memory = task.memory();
    if memory.read(id)? != 0 || requests == 0 {
        return Err(Errno::EINVAL.into());
    }
    let address = task.mm().new_context(task.kernel(), &task.caller(), requests)?;
    let stored = memory.write(id, &address);
    if stored.is_err() {
        task.mm().destroy_context(&task.caller(), address)?;
    }
    stored
}

/// `io_destroy(2)`.
///
/// # Errors
/// `EINVAL` if there is no such context.
pub(crate) fn sys_io_destroy(task: &CurrentTask<'_>, id: u64) -> Result<()> {
    task.mm().destroy_context(&task.caller(), id)
}

/// `io_submit(2)`: how many operations were begun.
///
/// # Errors
///
/// - `EINVAL`: no such context, a negative count.
/// - Of the first operation: `EFAULT`, `EAGAIN` if the context is full, and what
///   [`begin`] says.
pub(crate) fn sys_io_submit(
    task: &CurrentTask<'_>,
    id: u64,
    count: i64,
    list: UserPtr<UserPtr<Iocb>>,
) -> Result<u64> {
    let context = task.mm().context(&task.caller(), id)?;
    let count = u64::try_from(count).map_err(|_| Errno::EINVAL)?;
    let mut done = 0;
    while done < count.min(context.slots().into()) {
        match submit(task, &context, list, done) {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

fn submit(
    task: &CurrentTask<'_>,
    context: &Arc<Context>,
    list: UserPtr<UserPtr<Iocb>>,
    at: u64,
) -> Result<()> {
    let memory = task.memory();
    let address = memory.read(list.offset(at)?)?;
    let iocb = memory.read(address)?;
    if iocb.reserved2 != 0 || iocb.nbytes.cast_signed() < 0 {
        return Err(Errno::EINVAL.into());
    }
    context.reserve()?;
    match begin(task, context, address, &iocb) {
        Ok(Begun::Done(operation, res)) => {
            context.complete(&operation, res);
            signal(&operation);
        }
        Ok(Begun::InFlight) => {}
        Err(error) => {
            context.give_back();
            return Err(error);
        }
    }
    Ok(())
}

/// What has become of an operation.
enum Begun {
    Done(Operation, i64),
    InFlight,
}

/// Begins an operation, and ends it, if it is no poll.
///
/// # Errors
///
/// - `EBADF`: a bad descriptor, or one that is not open for that. `EFAULT`.
/// - `EINVAL`: an operation that there is not, or not of this file; an offset, an `iovec` list or a
///   priority that is impossible; an eventfd that is none.
/// - `EPERM`: a priority that the caller may not have. `EOPNOTSUPP`: flags that are not known.
fn begin(
    task: &CurrentTask<'_>,
    context: &Arc<Context>,
    address: UserPtr<Iocb>,
    iocb: &Iocb,
) -> Result<Begun> {
    let file = task.files().get(Fd(iocb.fildes))?;
    let eventfd = match iocb.flags & IocbFlags::IOCB_FLAG_RESFD.bits() {
        0 => None,
        _ => Some(eventfd(task, Fd(iocb.resfd))?),
    };
    task.memory().write(key_of(address), &KIOCB_KEY)?;
    let operation = Operation { data: iocb.data, iocb: address.addr(), eventfd };
    let result = match iocb.lio_opcode {
        IocbCmd::IOCB_CMD_PREAD | IocbCmd::IOCB_CMD_PREADV => read(task, &file, iocb)?,
        IocbCmd::IOCB_CMD_PWRITE | IocbCmd::IOCB_CMD_PWRITEV => write(task, &file, iocb)?,
        IocbCmd::IOCB_CMD_FSYNC | IocbCmd::IOCB_CMD_FDSYNC => sync(task, &file, iocb)?,
        IocbCmd::IOCB_CMD_POLL => {
            let events = u16::try_from(iocb.buf).map_err(|_| Errno::EINVAL)?;
            if iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
                return Err(Errno::EINVAL.into());
            }
            let events = PollEvents::from_bits_truncate(events.into());
            let begun = operation.clone();
            return match context.poll(&task.caller(), task.cred(), file, events, begun)? {
                Some(found) => Ok(Begun::Done(operation, found.bits().into())),
                None => Ok(Begun::InFlight),
            };
        }
        other => {
            unsupported::note("io_submit operation", other.0.into());
            return Err(Errno::EINVAL.into());
        }
    };
    let res = match result {
        Ok(count) => count as i64,
        // Nobody could begin it again, so a signal is an error.
        Err(error) => -i64::from(error.errno().number()),
    };
    Ok(Begun::Done(operation, res))
}

/// Where the key of an operation lies.
fn key_of(iocb: UserPtr<Iocb>) -> UserPtr<u32> {
    UserPtr::new(iocb.addr().wrapping_add(core::mem::offset_of!(Iocb, key) as u64))
}

/// The eventfd that counts a completion.
fn eventfd(task: &CurrentTask<'_>, fd: Fd) -> Result<Arc<OpenFile>> {
    let file = task.files().get(fd)?;
    if file.ops_as::<EventFile>().is_some() { Ok(file) } else { Err(Errno::EINVAL.into()) }
}

/// What is checked of a read or write before it begins; its flags and its offset.
fn check(
    task: &CurrentTask<'_>,
    file: &OpenFile,
    iocb: &Iocb,
    writes: bool,
) -> Result<(RwfFlags, u64)> {
    let flags = RwfFlags::from_bits_retain(iocb.rw_flags);
    check_flags(file, flags, writes)?;
    if iocb.flags & IocbFlags::IOCB_FLAG_IOPRIO.bits() != 0 {
        check_io_priority(task, iocb.reqprio.into())?;
    }
    if !(if writes { file.is_writable() } else { file.is_readable() }) {
        return Err(Errno::EBADF.into());
    }
    Ok((flags, u64::try_from(iocb.offset).map_err(|_| Errno::EINVAL)?))
}

/// An operation's result, in that of its submission.
type Outcome = Result<Result<usize>>;

fn read(task: &CurrentTask<'_>, file: &OpenFile, iocb: &Iocb) -> Outcome {
    let (flags, at) = check(task, file, iocb, false)?;
    let (memory, count) = (task.memory(), iocb.nbytes as usize);
    let mut dst = match iocb.lio_opcode {
        IocbCmd::IOCB_CMD_PREADV => IoDst::vectors(memory, UserPtr::new(iocb.buf), count)?,
        _ => IoDst::guest(memory, iocb.buf, count)?,
    };
    check_range(at, dst.remaining())?;
    let result = match file.is_seekable() {
        false if is_socket_with_offset(task, file, at)? => Err(Errno::ESPIPE.into()),
        seekable => read_flagged(task, file, seekable.then_some(at), flags, &mut dst),
    };
    // Directories are not read at all.
    refused(result, Errno::EISDIR)
}

fn write(task: &CurrentTask<'_>, file: &OpenFile, iocb: &Iocb) -> Outcome {
    let (flags, at) = check(task, file, iocb, true)?;
    // Linux writes to an eventfd in one way only.
    if file.ops_as::<EventFile>().is_some() {
        return Err(Errno::EINVAL.into());
    }
    let (memory, count) = (task.memory(), iocb.nbytes as usize);
    let mut src = match iocb.lio_opcode {
        IocbCmd::IOCB_CMD_PWRITEV => IoSrc::vectors(memory, UserPtr::new(iocb.buf), count)?,
        _ => IoSrc::guest(memory, iocb.buf, count)?,
    };
    check_range(at, src.remaining())?;
    let result = match file.is_seekable() {
        false if is_socket_with_offset(task, file, at)? => Err(Errno::ESPIPE.into()),
        seekable => write_flagged(task, file, seekable.then_some(at), flags, &mut src),
    };
    Ok(raise_for_file(task, Fd(iocb.fildes), result))
}

fn sync(task: &CurrentTask<'_>, file: &OpenFile, iocb: &Iocb) -> Outcome {
    if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let data_only = iocb.lio_opcode == IocbCmd::IOCB_CMD_FDSYNC;
    // Of files that have nothing to be written.
    refused(file.ops().sync(&task.caller(), file, data_only).map(|()| 0), Errno::EINVAL)
}

/// An operation that ends with `errno` was not begun: its file has none such.
fn refused(result: Result<usize>, errno: Errno) -> Outcome {
    match result {
        Err(SysError::Errno(found)) if found == errno => Err(Errno::EINVAL.into()),
        result => Ok(result),
    }
}

/// Streams do not look at offsets, but sockets do.
fn is_socket_with_offset(task: &CurrentTask<'_>, file: &OpenFile, at: u64) -> Result<bool> {
    Ok(at != 0 && file_type(task, file)? == S_IFSOCK)
}

/// `io_cancel(2)`. Linux stores nothing at `_event`: the completion can be read in the ring.
///
/// # Errors
///
/// - `EFAULT`: of the operation.
/// - `EINVAL`: no such context, or it has no such operation in flight.
/// - `EINPROGRESS`: it has been cancelled.
pub(crate) fn sys_io_cancel(
    task: &CurrentTask<'_>,
    id: u64,
    iocb: UserPtr<Iocb>,
    _event: u64,
) -> Result<()> {
    if task.memory().read(key_of(iocb))? != KIOCB_KEY {
        return Err(Errno::EINVAL.into());
    }
    task.mm().context(&task.caller(), id)?.cancel(iocb.addr())
}

/// `io_getevents(2)`: how many completions were stored.
///
/// # Errors
///
/// - `EINVAL`: no such context, `min` below 0 or above `max`.
/// - `EFAULT`. `EINTR`: a signal came before any completion.
pub(crate) fn sys_io_getevents(
    task: &CurrentTask<'_>,
    id: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: UserPtr<Timespec>,
) -> Result<usize> {
    let timeout = read_timeout(task, timeout)?;
    get_events(task, id, min, max, events, timeout).map_err(|error| match error {
        SysError::Restart => Errno::EINTR.into(),
        other => other,
    })
}

/// `io_pgetevents(2)`: as [`sys_io_getevents`], with a signal mask.
///
/// # Errors
/// As [`sys_io_getevents`]; `EINVAL` for a mask of another size.
pub(crate) fn sys_io_pgetevents(
    task: &CurrentTask<'_>,
    id: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<AioSigset>,
) -> Result<usize> {
    let timeout = read_timeout(task, timeout)?;
    let mask = match task.memory().read_unless_null(mask)? {
        None => None,
        Some(mask) => read_mask(task, mask.sigmask, mask.sigsetsize as usize)?,
    };
    let get = |task: &CurrentTask<'_>| get_events(task, id, min, max, events, timeout);
    task.with_signal_mask(mask, get).map_err(|error| match error {
        SysError::Restart => SysError::RestartNoHandler,
        other => other,
    })
}

fn get_events(
    task: &CurrentTask<'_>,
    id: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: Timeout,
) -> Result<usize> {
    let context = task.mm().context(&task.caller(), id)?;
    let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
    let max = usize::try_from(max).ok().filter(|max| *max >= min).ok_or(Errno::EINVAL)?;
    context.get_events(&task.caller(), min, max, events, timeout)
}

/// A timeout, which Linux does not check: the sum of both fields counts, and there is no end to one
/// that is negative or beyond what its clock can say.
fn read_timeout(task: &CurrentTask<'_>, timeout: UserPtr<Timespec>) -> Result<Timeout> {
    let Some(time) = task.memory().read_unless_null(timeout)? else { return Ok(Timeout::Never) };
    let nanos = match time.tv_sec {
        sec if sec >= i64::MAX / NSEC_PER_SEC => return Ok(Timeout::Never),
        sec => sec.wrapping_mul(NSEC_PER_SEC).wrapping_add(time.tv_nsec),
    };
    match u64::try_from(nanos) {
        Ok(nanos) => Ok(Timeout::after(&task.caller(), Some(nanos))),
        Err(_) => Ok(Timeout::Never),
    }
}
