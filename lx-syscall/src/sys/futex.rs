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
use lx_proc::futex::{self, FutexKey, pi, pi_requeue};

/// `futex(2)`. The fourth argument is a timeout or a second count, as the operation wants.
///
/// # Errors
///
/// - `ENOSYS`: an operation that does not exist, or `FUTEX_CLOCK_REALTIME` with one that takes no
///   clock.
/// - `EINVAL`: a misaligned word, a malformed timeout, an empty bit set, a negative count; plain
///   futexes and those with priority inheritance are mixed.
/// - `EAGAIN`: the word does not have the expected value.
/// - `ETIMEDOUT`: nobody woke the task in time.
/// - `EDEADLK`, `ESRCH`, `EPERM`: see [`pi`].
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
    let timeout = match cmd {
        FutexCmd::FUTEX_WAIT
        | FutexCmd::FUTEX_WAIT_BITSET
        | FutexCmd::FUTEX_LOCK_PI
        | FutexCmd::FUTEX_LOCK_PI2
        | FutexCmd::FUTEX_WAIT_REQUEUE_PI => {
            // The operation without a 2 in its name has had the other clock from the beginning.
            let realtime = op.is_realtime() || cmd == FutexCmd::FUTEX_LOCK_PI;
            Timeout::read(task, timeout_or_count, cmd == FutexCmd::FUTEX_WAIT, realtime)?
        }
        _ => Timeout::Never,
    };
    let takes_clock = matches!(
        cmd,
        FutexCmd::FUTEX_WAIT_BITSET | FutexCmd::FUTEX_WAIT_REQUEUE_PI | FutexCmd::FUTEX_LOCK_PI2
    );
    if op.is_realtime() && !takes_clock {
        return Err(Errno::ENOSYS.into());
    }
    let futexes = &task.kernel().futexes;
    match cmd {
        FutexCmd::FUTEX_WAIT => {
            wait(task, word, key(word)?, value, FUTEX_BITSET_MATCH_ANY, timeout)
        }
        FutexCmd::FUTEX_WAIT_BITSET if value3 == 0 => Err(Errno::EINVAL.into()),
        FutexCmd::FUTEX_WAIT_BITSET => wait(task, word, key(word)?, value, value3, timeout),
        FutexCmd::FUTEX_WAKE => {
            futexes.wake(key(word)?, at_least_one(value), FUTEX_BITSET_MATCH_ANY)
        }
        FutexCmd::FUTEX_WAKE_BITSET if value3 == 0 => Err(Errno::EINVAL.into()),
        FutexCmd::FUTEX_WAKE_BITSET => futexes.wake(key(word)?, at_least_one(value), value3),
        FutexCmd::FUTEX_REQUEUE | FutexCmd::FUTEX_CMP_REQUEUE => {
            let counts = Counts::new(value, count2)?;
            let keys = (key(word)?, key(word2)?);
            let expected = (cmd == FutexCmd::FUTEX_CMP_REQUEUE).then_some(value3);
            requeue(task, word, keys, counts, expected)
        }
        FutexCmd::FUTEX_WAKE_OP => {
            let (key1, key2) = (key(word)?, key(word2)?);
            let also_second = modify(task, word2, FutexWakeOp(value3))?;
            let woken = futexes.wake(key1, at_least_one(value), FUTEX_BITSET_MATCH_ANY)?;
            if !also_second {
                return Ok(woken);
            }
            Ok(woken + futexes.wake(key2, at_least_one(count2), FUTEX_BITSET_MATCH_ANY)?)
        }
        FutexCmd::FUTEX_LOCK_PI | FutexCmd::FUTEX_LOCK_PI2 => {
            pi::lock(task, word, op.is_private(), timeout.deadline(task), false).map(|()| 0)
        }
        FutexCmd::FUTEX_TRYLOCK_PI => pi::lock(task, word, op.is_private(), None, true).map(|()| 0),
        FutexCmd::FUTEX_UNLOCK_PI => pi::unlock(task, word, op.is_private()).map(|()| 0),
        FutexCmd::FUTEX_WAIT_REQUEUE_PI => {
            if word == word2 {
                return Err(Errno::EINVAL.into());
            }
            let deadline = timeout.deadline(task);
            pi_requeue::wait(task, word, word2, op.is_private(), value, deadline).map(|()| 0)
        }
        FutexCmd::FUTEX_CMP_REQUEUE_PI => {
            let Counts { max_wake, max_move } = Counts::new(value, count2)?;
            if word == word2 || max_wake != 1 {
                return Err(Errno::EINVAL.into());
            }
            pi_requeue::requeue(task, word, word2, op.is_private(), max_move, value3)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// How many waiters a requeue wakes and moves.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    max_wake: usize,
    max_move: usize,
}

impl Counts {
    pub(super) fn new(wake: u32, moved: u32) -> Result<Self> {
        let count = |raw: u32| i32::try_from(raw).map(|count| count.unsigned_abs() as usize);
        match (count(wake), count(moved)) {
            (Ok(max_wake), Ok(max_move)) => Ok(Self { max_wake, max_move }),
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

pub(super) fn requeue(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    (from, to): (FutexKey, FutexKey),
    counts: Counts,
    expected: Option<u32>,
) -> Result<usize> {
    // The comparison tells the caller that its idea of the waiters is out of date. One that comes
    // to wait after it is moved as if it had come before.
    if let Some(expected) = expected
        && task.memory().load_u32(word)? != expected
    {
        return Err(Errno::EAGAIN.into());
    }
    task.kernel().futexes.requeue(from, to, counts.max_wake, counts.max_move)
}

/// How many waiters a wake takes: Linux counts after waking, so that 0 means 1.
pub(super) fn at_least_one(count: u32) -> usize {
    usize::try_from(count.cast_signed()).unwrap_or(1).max(1)
}

#[derive(Clone, Copy)]
pub(super) enum Timeout {
    Never,
    After(Nanos),
    /// On the monotonic clock.
    At(Nanos),
}

impl Timeout {
    /// Reads the timeout at `address`, 0 for none.
    ///
    /// # Errors
    /// `EFAULT`; `EINVAL` if it is malformed.
    pub(super) fn read(
        task: &CurrentTask<'_>,
        address: u64,
        relative: bool,
        realtime: bool,
    ) -> Result<Self> {
        let time = task.memory().read_unless_null(UserPtr::<Timespec>::new(address))?;
        let Some(time) = time else { return Ok(Self::Never) };
        let nanos = time.to_nanos()?;
        Ok(if relative {
            Self::After(nanos)
        } else if realtime {
            Self::At(realtime_deadline(task.host(), nanos))
        } else {
            Self::At(nanos)
        })
    }

    pub(super) fn deadline(self, task: &CurrentTask<'_>) -> Option<Nanos> {
        match self {
            Self::Never => None,
            Self::After(duration) => Some(task.task().sleep_deadline(task.host(), duration)),
            Self::At(deadline) => Some(deadline),
        }
    }
}

fn wait(
    task: &CurrentTask<'_>,
    word: UserPtr<u32>,
    key: FutexKey,
    value: u32,
    bitset: u32,
    timeout: Timeout,
) -> Result<usize> {
    let host = task.host();
    let deadline = timeout.deadline(task);
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
