//! `futex(2)`, `set_robust_list(2)`.

use alloc::sync::Arc;

use lx_core::abi::futex::{
    FUTEX_BITSET_MATCH_ANY, FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_GE,
    FUTEX_OP_CMP_GT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE, FUTEX_OP_OR, FUTEX_OP_SET,
    FUTEX_OP_XOR, FutexCmd, FutexOp, FutexWakeOp,
};
use lx_core::abi::robust_list::RobustListHead;
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::host::Nanos;
use lx_core::timer::realtime_deadline;
use lx_core::{Result, SysError};
use lx_proc::CurrentTask;
use lx_proc::futex::{self, FutexKey};

/// `futex(2)`. The fourth argument is a timeout or a second count, as the operation wants.
///
/// # Errors
///
/// - `ENOSYS`: an operation that lx does not have (those with priority inheritance), or
///   `FUTEX_CLOCK_REALTIME` with one that takes no clock.
/// - `EINVAL`: a misaligned word, a malformed timeout, an empty bit set, a negative count.
/// - `EAGAIN`: the word does not have the expected value.
/// - `ETIMEDOUT`: nobody woke the task in time.
pub(crate) fn sys_futex(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    op: FutexOp,
    value: u32,
    timeout_or_count: u64,
    word2: UserPtr<u32>,
    value3: u32,
) -> Result<usize> {
    let cmd = op.cmd();
    let key = |word| futex::key(task, word, op.is_private());
    let count2 = timeout_or_count as u32;
    if op.is_realtime() && cmd != FutexCmd::FUTEX_WAIT_BITSET {
        return Err(Errno::ENOSYS.into());
    }
    match cmd {
        FutexCmd::FUTEX_WAIT | FutexCmd::FUTEX_WAIT_BITSET => {
            let timeout = task.memory().read_unless_null(UserPtr::new(timeout_or_count))?;
            let (timeout, bitset) = match (timeout, cmd) {
                (None, FutexCmd::FUTEX_WAIT) => (Timeout::Never, FUTEX_BITSET_MATCH_ANY),
                (None, _) => (Timeout::Never, value3),
                (Some(time), FutexCmd::FUTEX_WAIT) => {
                    (Timeout::After(nanos(time)?), FUTEX_BITSET_MATCH_ANY)
                }
                (Some(time), _) if op.is_realtime() => {
                    (Timeout::At(realtime_deadline(task.host(), nanos(time)?)), value3)
                }
                (Some(time), _) => (Timeout::At(nanos(time)?), value3),
            };
            wait(task, word, key(word)?, value, bitset, timeout)
        }
        FutexCmd::FUTEX_WAKE => {
            Ok(task.kernel().futexes.wake(key(word)?, at_least_one(value), FUTEX_BITSET_MATCH_ANY))
        }
        FutexCmd::FUTEX_WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL.into()),
        FutexCmd::FUTEX_WAKE_BITSET => {
            Ok(task.kernel().futexes.wake(key(word)?, at_least_one(value), value3))
        }
        FutexCmd::FUTEX_REQUEUE | FutexCmd::FUTEX_CMP_REQUEUE => {
            let counts = (i32::try_from(value), i32::try_from(count2));
            let (Ok(max_wake), Ok(max_move)) = counts else { return Err(Errno::EINVAL.into()) };
            let (from, to) = (key(word)?, key(word2)?);
            // The comparison tells the caller that its idea of the waiters is out of date. One
            // that comes to wait after it is moved as if it had come before.
            if cmd == FutexCmd::FUTEX_CMP_REQUEUE && task.memory().load_u32(word)? != value3 {
                return Err(Errno::EAGAIN.into());
            }
            let counts = (max_wake.unsigned_abs() as usize, max_move.unsigned_abs() as usize);
            let (woken, moved) = task.kernel().futexes.requeue(from, to, counts.0, counts.1);
            Ok(woken + moved)
        }
        FutexCmd::FUTEX_WAKE_OP => {
            let (key1, key2) = (key(word)?, key(word2)?);
            let also_second = modify(task, word2, FutexWakeOp(value3))?;
            let futexes = &task.kernel().futexes;
            let mut woken = futexes.wake(key1, at_least_one(value), FUTEX_BITSET_MATCH_ANY);
            if also_second {
                woken += futexes.wake(key2, at_least_one(count2), FUTEX_BITSET_MATCH_ANY);
            }
            Ok(woken)
        }
        _ => {
            lx_core::unsupported::note("futex operation", u64::from(cmd.0));
            Err(Errno::ENOSYS.into())
        }
    }
}

/// How many waiters a wake takes: Linux counts after waking, so that 0 means 1.
fn at_least_one(count: u32) -> usize {
    usize::try_from(count.cast_signed()).unwrap_or(1).max(1)
}

fn nanos(time: Timespec) -> Result<Nanos> {
    Ok(time.to_nanos()?)
}

enum Timeout {
    Never,
    After(Nanos),
    At(Nanos),
}

fn wait(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    key: FutexKey,
    value: u32,
    bitset: u32,
    timeout: Timeout,
) -> Result<usize> {
    if bitset == 0 {
        return Err(Errno::EINVAL.into());
    }
    let host = task.host();
    let deadline = match timeout {
        Timeout::Never => None,
        Timeout::After(duration) => Some(task.task().sleep_deadline(host, duration)),
        Timeout::At(deadline) => Some(deadline),
    };
    let memory = task.memory();
    // Most words that have changed have done so before the call.
    if memory.load_u32(word)? != value {
        return Err(Errno::EAGAIN.into());
    }
    let unchanged = || Ok(memory.load_u32(word)? == value);
    let slot = task.task().futex();
    match task.kernel().futexes.wait(slot, key, bitset, deadline, host, unchanged) {
        Ok(()) => Ok(0),
        Err(SysError::Restart) if let Some(deadline) = deadline => {
            if matches!(timeout, Timeout::After(_)) {
                task.task().keep_deadline(deadline);
            }
            Err(SysError::RestartNoHandler)
        }
        Err(error) => Err(error),
    }
}

/// The operation of `FUTEX_WAKE_OP`: changes the word; whether the old value compares as asked.
fn modify(task: &CurrentTask<'_>, word: UserPtr<u32>, op: FutexWakeOp) -> Result<bool> {
    let memory = task.memory();
    let operand = op.oparg().cast_unsigned();
    let operand = if op.is_shift() { 1 << (operand & 31) } else { operand };
    let mut old = memory.load_u32(word)?;
    loop {
        let new = match op.op() {
            FUTEX_OP_SET => operand,
            FUTEX_OP_ADD => old.wrapping_add(operand),
            FUTEX_OP_OR => old | operand,
            FUTEX_OP_ANDN => old & !operand,
            FUTEX_OP_XOR => old ^ operand,
            _ => return Err(Errno::ENOSYS.into()),
        };
        let found = memory.compare_exchange_u32(word, old, new)?;
        if found == old {
            break;
        }
        old = found;
    }
    let (old, argument) = (old.cast_signed(), op.cmparg());
    match op.cmp() {
        FUTEX_OP_CMP_EQ => Ok(old == argument),
        FUTEX_OP_CMP_NE => Ok(old != argument),
        FUTEX_OP_CMP_LT => Ok(old < argument),
        FUTEX_OP_CMP_LE => Ok(old <= argument),
        FUTEX_OP_CMP_GT => Ok(old > argument),
        FUTEX_OP_CMP_GE => Ok(old >= argument),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// `set_robust_list(2)`.
///
/// # Errors
/// `EINVAL` if `len` is not the size of the structure.
pub(crate) fn sys_set_robust_list(
    task: &CurrentTask<'_>,
    head: UserPtr<RobustListHead>,
    len: usize,
) -> Result<()> {
    if len != size_of::<RobustListHead>() {
        return Err(Errno::EINVAL.into());
    }
    task.task().set_robust_list(head.addr());
    Ok(())
}

/// `get_robust_list(2)`.
///
/// # Errors
/// `ESRCH`; `EPERM` for a task of another user; `EFAULT`.
pub(crate) fn sys_get_robust_list(
    task: &CurrentTask<'_>,
    tid: i32,
    head: UserPtr<u64>,
    len: UserPtr<u64>,
) -> Result<()> {
    let target = match tid {
        0 => Arc::clone(task.task()),
        _ => task.kernel().pids.task(tid).ok_or(Errno::ESRCH)?,
    };
    let cred = task.cred();
    let other = target.cred();
    if cred.uid != other.uid && cred.uid != other.euid && !cred.has(Capabilities::SYS_PTRACE) {
        return Err(Errno::EPERM.into());
    }
    task.memory().write(len, &(size_of::<RobustListHead>() as u64))?;
    task.memory().write(head, &target.robust_list())
}
