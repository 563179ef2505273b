//! The calls that came after `futex(2)`, one for each operation: `futex_wait`, `futex_wake`,
//! `futex_requeue`, `futex_waitv`.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::futex::{
    FUTEX_32, FUTEX_PRIVATE_FLAG, FUTEX_WAITV_MAX, FUTEX2_MPOL, FUTEX2_NUMA, FUTEX2_SIZE_MASK,
    FutexWaitv,
};
use lx_core::abi::time::{ClockId, Timespec};
use lx_core::abi::{Errno, UserPtr};
use lx_core::host::Nanos;
use lx_proc::CurrentTask;
use lx_proc::futex::{self, FutexKey, many};

use super::futex::{Counts, Timeout, at_least_one, requeue};

/// `futex_waitv(2)`: waits for one of up to 128 futexes; which.
///
/// # Errors
/// `EINVAL` for flags, a bad count, a bad entry or clock; `EFAULT`; `EAGAIN` if a word has changed;
/// `ETIMEDOUT`; `ENOMEM`.
pub(crate) fn sys_futex_waitv(
    task: &CurrentTask<'_>,
    waiters: UserPtr<FutexWaitv>,
    count: u32,
    flags: u32,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result<usize> {
    if flags != 0 || count == 0 || count > FUTEX_WAITV_MAX || waiters.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let deadline = deadline(task, timeout, clock)?;
    let entries = task.memory().read_array(waiters, count as usize)?;
    for entry in &entries {
        check_entry(entry)?;
    }
    let mut keys = Vec::new();
    keys.try_reserve_exact(entries.len()).map_err(|_| Errno::ENOMEM)?;
    for entry in &entries {
        keys.push(key(task, entry)?);
    }
    let memory = task.memory();
    many::wait(task, &keys, deadline, |at| {
        let entry = entries.get(at).ok_or(Errno::EINVAL)?;
        Ok(u64::from(memory.load_u32(UserPtr::new(entry.uaddr))?) == entry.val)
    })
}

/// `futex_wake(2)`: wakes up to `count` waiters with a bit of `mask`.
///
/// # Errors
/// `EINVAL` for bad flags, an empty or too large mask, a misaligned word; `EFAULT`.
pub(crate) fn sys_futex_wake(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    mask: u64,
    count: i32,
    flags: u32,
) -> Result<usize> {
    check_flags(flags)?;
    let mask = word_value(mask)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = futex::key(task, word, is_private(flags))?;
    // Unlike futex(2), none means none.
    if count == 0 {
        return Ok(0);
    }
    task.kernel().futexes.wake(key, at_least_one(count.cast_unsigned()), mask)
}

/// `futex_wait(2)`: waits until woken with a bit of `mask`, if the word is `value`.
///
/// # Errors
/// As [`sys_futex_wake`]; `EAGAIN` if the word is not `value`; `ETIMEDOUT`.
pub(crate) fn sys_futex_wait(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result<()> {
    check_flags(flags)?;
    let (value, mask) = (word_value(value)?, word_value(mask)?);
    let deadline = deadline(task, timeout, clock)?;
    if mask == 0 {
        return Err(Errno::EINVAL.into());
    }
    let key = futex::key(task, word, is_private(flags))?;
    let memory = task.memory();
    let unchanged = || Ok(memory.load_u32(word)? == value);
    let slot = task.task().futex();
    task.kernel().futexes.wait(slot, key, mask, deadline, task.host(), unchanged)
}

/// `futex_requeue(2)`: the first entry tells which waiters, and the value of the word; the second one
/// where to.
///
/// # Errors
/// `EINVAL` for flags, bad entries or counts; `EFAULT`; `EAGAIN` if the word has changed.
pub(crate) fn sys_futex_requeue(
    task: &CurrentTask<'_>,
    entries: UserPtr<FutexWaitv>,
    flags: u32,
    max_wake: i32,
    max_move: i32,
) -> Result<usize> {
    if flags != 0 || entries.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let entry = |at| -> Result<FutexWaitv> {
        let entry = task.memory().read(entries.offset(at)?)?;
        check_entry(&entry)?;
        Ok(entry)
    };
    let (from, to) = (entry(0)?, entry(1)?);
    if from.flags != to.flags {
        return Err(Errno::EINVAL.into());
    }
    let counts = Counts::new(max_wake.cast_unsigned(), max_move.cast_unsigned())?;
    let expected = word_value(from.val)?;
    let keys = (key(task, &from)?, key(task, &to)?);
    requeue(task, UserPtr::new(from.uaddr), keys, counts, Some(expected))
}

/// Flags of one futex.
fn check_flags(flags: u32) -> Result<()> {
    let placed = flags & (FUTEX2_NUMA | FUTEX2_MPOL);
    if placed != 0 {
        lx_core::unsupported::note("futex flags", u64::from(placed));
        return Err(Errno::EINVAL.into());
    }
    // The other sizes have numbers and nothing more.
    if flags & !(FUTEX2_SIZE_MASK | FUTEX_PRIVATE_FLAG) != 0 || flags & FUTEX2_SIZE_MASK != FUTEX_32
    {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

fn check_entry(entry: &FutexWaitv) -> Result<()> {
    if entry.__reserved != 0 {
        return Err(Errno::EINVAL.into());
    }
    check_flags(entry.flags)?;
    word_value(entry.val).map(|_| ())
}

/// A value that fits into a word.
fn word_value(value: u64) -> Result<u32> {
    Ok(u32::try_from(value).map_err(|_| Errno::EINVAL)?)
}

fn is_private(flags: u32) -> bool {
    flags & FUTEX_PRIVATE_FLAG != 0
}

fn key(task: &CurrentTask<'_>, entry: &FutexWaitv) -> Result<FutexKey> {
    futex::key(task, UserPtr::new(entry.uaddr), is_private(entry.flags))
}

/// An absolute time on one of two clocks, which does not matter without a time.
fn deadline(
    task: &CurrentTask<'_>,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result<Option<Nanos>> {
    if timeout.is_null() {
        return Ok(None);
    }
    let realtime = match ClockId(clock) {
        ClockId::CLOCK_REALTIME => true,
        ClockId::CLOCK_MONOTONIC => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(Timeout::read(task, timeout.addr(), false, realtime)?.deadline(task))
}
