//! Scheduling: `sched_setscheduler(2)`, `sched_setaffinity(2)`, `sched_getattr(2)`, `getcpu(2)`. The attributes are kept and reported; the host decides who runs.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::resource::{MAX_NICE, MIN_NICE};
use lx_core::abi::sched::{SCHED_RESET_ON_FORK, SchedAttr, SchedParam, SchedPolicy};
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, PAGE_SIZE, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::rlimit::Resource;
use lx_core::time::to_timespec;
use lx_proc::CurrentTask;
use lx_proc::sched::{AFFINITY_WORDS, Scheduled};

/// Highest real-time priority.
const MAX_RT_PRIORITY: i32 = 99;
/// Size of the first published `struct sched_attr`.
const SCHED_ATTR_SIZE_VER0: u32 = 48;
/// In `sched_flags`: children begin with the normal policy.
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
/// In `sched_flags`: the policy stays.
const SCHED_FLAG_KEEP_POLICY: u64 = 8;
/// In `sched_flags`: the parameters stay.
const SCHED_FLAG_KEEP_PARAMS: u64 = 16;

/// The task that `pid` names, 0 for the caller.
pub(super) fn find(task: &CurrentTask<'_>, pid: i32) -> Result<Scheduled> {
    match pid {
        0 => Ok(Scheduled::Task(Arc::clone(task.task()))),
        _ if pid < 0 => Err(Errno::EINVAL.into()),
        _ => Scheduled::find(&task.kernel().pids, pid).ok_or(Errno::ESRCH.into()),
    }
}

/// As [`find`], for calls that do not tell negative numbers from others that name no task.
fn find_any(task: &CurrentTask<'_>, pid: i32) -> Result<Scheduled> {
    if pid < 0 { Err(Errno::ESRCH.into()) } else { find(task, pid) }
}

/// Whether the caller may change the scheduling of `target`.
pub(super) fn check_owner(task: &CurrentTask<'_>, target: &Scheduled) -> Result<()> {
    let cred = task.cred();
    let is_own =
        target.cred().is_some_and(|other| cred.euid == other.uid || cred.euid == other.euid);
    if is_own || cred.has(Capabilities::SYS_NICE) { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// `sched_yield(2)`.
pub(crate) fn sys_sched_yield(task: &CurrentTask<'_>) -> Result<()> {
    task.host().yield_now();
    Ok(())
}

/// Number of words of a mask of all processors.
fn mask_words(task: &CurrentTask<'_>) -> usize {
    (task.host().cpu_count() as usize).div_ceil(64).clamp(1, AFFINITY_WORDS)
}

/// The processors that exist.
fn online(task: &CurrentTask<'_>) -> [u64; AFFINITY_WORDS] {
    let count = task.host().cpu_count() as usize;
    core::array::from_fn(|at| match count.saturating_sub(at * 64) {
        0 => 0,
        left if left >= 64 => u64::MAX,
        left => (1 << left) - 1,
    })
}

/// `sched_getaffinity(2)`: the number of bytes stored.
///
/// # Errors
/// `EINVAL` if the mask is too short or no multiple of 8 bytes; `ESRCH`; `EFAULT`.
pub(crate) fn sys_sched_getaffinity(
    task: &CurrentTask<'_>,
    pid: i32,
    len: u32,
    mask: UserPtr<u64>,
) -> Result<usize> {
    if u64::from(len) * 8 < u64::from(task.host().cpu_count()) || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    let allowed = find_any(task, pid)?.scheduling().affinity();
    let words = mask_words(task).min(len as usize / 8);
    let mut result = online(task);
    for (word, allowed) in result.iter_mut().zip(allowed) {
        *word &= allowed;
    }
    task.memory().write_array(mask, result.get(..words).unwrap_or_default())?;
    Ok(words * 8)
}

/// `sched_setaffinity(2)`.
///
/// # Errors
/// `EFAULT`; `ESRCH`; `EPERM` for a task of another user; `EINVAL` if no processor is left.
pub(crate) fn sys_sched_setaffinity(
    task: &CurrentTask<'_>,
    pid: i32,
    len: u32,
    mask: UserPtr<u8>,
) -> Result<()> {
    let mut bytes = [0; AFFINITY_WORDS * 8];
    let len = (len as usize).min(mask_words(task) * 8);
    let part = bytes.get_mut(..len).ok_or(Errno::EINVAL)?;
    task.memory().read_bytes(mask.addr(), part)?;
    let target = find_any(task, pid)?;
    check_owner(task, &target)?;
    let mut wanted = [0; AFFINITY_WORDS];
    for (word, bytes) in wanted.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    }
    if wanted.iter().zip(online(task)).all(|(word, online)| word & online == 0) {
        return Err(Errno::EINVAL.into());
    }
    target.scheduling().set_affinity(&wanted);
    Ok(())
}

/// `getcpu(2)`; there is one node.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_getcpu(
    task: &CurrentTask<'_>,
    cpu: UserPtr<u32>,
    node: UserPtr<u32>,
) -> Result<()> {
    task.memory().write_unless_null(cpu, &task.host().current_cpu())?;
    task.memory().write_unless_null(node, &0)
}

/// `sched_getscheduler(2)`.
///
/// # Errors
/// `EINVAL` for a negative id; `ESRCH`.
pub(crate) fn sys_sched_getscheduler(task: &CurrentTask<'_>, pid: i32) -> Result<i32> {
    let target = find(task, pid)?;
    let scheduling = target.scheduling();
    let reset = if scheduling.reset_on_fork() { SCHED_RESET_ON_FORK } else { 0 };
    Ok(scheduling.policy().0 | reset)
}

/// `sched_getparam(2)`.
///
/// # Errors
/// `EINVAL` for a negative id or a null pointer; `ESRCH`; `EFAULT`.
pub(crate) fn sys_sched_getparam(
    task: &CurrentTask<'_>,
    pid: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    if param.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let sched_priority = find(task, pid)?.scheduling().priority();
    task.memory().write(param, &SchedParam { sched_priority })
}

/// `sched_setscheduler(2)`.
///
/// # Errors
/// `EINVAL` for an unknown policy or a priority out of its range; `ESRCH`; `EFAULT`; `EPERM`.
pub(crate) fn sys_sched_setscheduler(
    task: &CurrentTask<'_>,
    pid: i32,
    policy: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    if policy < 0 || param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let param = task.memory().read(param)?;
    let target = find(task, pid)?;
    let reset = policy & SCHED_RESET_ON_FORK != 0;
    let policy = SchedPolicy(policy & !SCHED_RESET_ON_FORK);
    change(task, &target, policy, param.sched_priority, reset)
}

/// `sched_setparam(2)`.
///
/// # Errors
/// As [`sys_sched_setscheduler`].
pub(crate) fn sys_sched_setparam(
    task: &CurrentTask<'_>,
    pid: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let param = task.memory().read(param)?;
    let target = find(task, pid)?;
    let (policy, reset) = (target.scheduling().policy(), target.scheduling().reset_on_fork());
    change(task, &target, policy, param.sched_priority, reset)
}

/// Changes policy and priority after Linux's checks.
fn change(
    task: &CurrentTask<'_>,
    target: &Scheduled,
    policy: SchedPolicy,
    priority: i32,
    reset: bool,
) -> Result<()> {
    let realtime = match policy {
        SchedPolicy::SCHED_FIFO | SchedPolicy::SCHED_RR => true,
        SchedPolicy::SCHED_NORMAL | SchedPolicy::SCHED_BATCH | SchedPolicy::SCHED_IDLE => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    let range = if realtime { 1..=MAX_RT_PRIORITY } else { 0..=0 };
    if !range.contains(&priority) {
        return Err(Errno::EINVAL.into());
    }
    check_owner(task, target)?;
    let scheduling = target.scheduling();
    if !task.cred().has(Capabilities::SYS_NICE) {
        let limit = target.group().rlimits().soft(Resource::Rtprio);
        let raised = priority > scheduling.priority() && u64::from(priority.unsigned_abs()) > limit;
        let unset_reset = scheduling.reset_on_fork() && !reset;
        if (realtime && (limit == 0 || raised)) || unset_reset {
            return Err(Errno::EPERM.into());
        }
    }
    target.set_policy(policy, priority, reset);
    Ok(())
}

/// `sched_get_priority_max(2)`.
///
/// # Errors
/// `EINVAL` for an unknown policy.
pub(crate) fn sys_sched_get_priority_max(
    _task: &CurrentTask<'_>,
    policy: SchedPolicy,
) -> Result<i32> {
    Ok(priority_range(policy)?.1)
}

/// `sched_get_priority_min(2)`.
///
/// # Errors
/// `EINVAL` for an unknown policy.
pub(crate) fn sys_sched_get_priority_min(
    _task: &CurrentTask<'_>,
    policy: SchedPolicy,
) -> Result<i32> {
    Ok(priority_range(policy)?.0)
}

fn priority_range(policy: SchedPolicy) -> Result<(i32, i32)> {
    match policy {
        SchedPolicy::SCHED_FIFO | SchedPolicy::SCHED_RR => Ok((1, MAX_RT_PRIORITY)),
        SchedPolicy::SCHED_NORMAL
        | SchedPolicy::SCHED_BATCH
        | SchedPolicy::SCHED_IDLE
        | SchedPolicy::SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sched_rr_get_interval(2)`.
///
/// # Errors
/// `EINVAL` for a negative id; `ESRCH`; `EFAULT`.
pub(crate) fn sys_sched_rr_get_interval(
    task: &CurrentTask<'_>,
    pid: i32,
    interval: UserPtr<Timespec>,
) -> Result<()> {
    let nanos = match find(task, pid)?.scheduling().policy() {
        SchedPolicy::SCHED_FIFO => 0,
        SchedPolicy::SCHED_RR => 100_000_000,
        _ => 4_000_000,
    };
    task.memory().write(interval, &to_timespec(nanos))
}

/// `sched_getattr(2)`.
///
/// # Errors
/// `EINVAL` for a null pointer, a size out of range, a negative id or a flag; `ESRCH`; `EFAULT`.
pub(crate) fn sys_sched_getattr(
    task: &CurrentTask<'_>,
    pid: i32,
    attr: UserPtr<SchedAttr>,
    size: u32,
    flags: u32,
) -> Result<()> {
    let sizes = SCHED_ATTR_SIZE_VER0..=PAGE_SIZE as u32;
    if attr.is_null() || !sizes.contains(&size) || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = find(task, pid)?;
    let scheduling = target.scheduling();
    let size = size.min(size_of::<SchedAttr>() as u32);
    let value = SchedAttr {
        size,
        sched_policy: scheduling.policy().0.unsigned_abs(),
        sched_flags: u64::from(scheduling.reset_on_fork()) * SCHED_FLAG_RESET_ON_FORK,
        sched_nice: scheduling.nice(),
        sched_priority: scheduling.priority().unsigned_abs(),
        sched_util_max: if size > SCHED_ATTR_SIZE_VER0 { 1024 } else { 0 },
        ..SchedAttr::default()
    };
    // What the caller has no room for is left out.
    let mut bytes = [0; size_of::<SchedAttr>()];
    let _ = zerocopy::IntoBytes::write_to(&value, &mut bytes);
    task.memory().write_bytes(attr.addr(), bytes.get(..size as usize).unwrap_or_default())
}

/// `sched_setattr(2)`.
///
/// # Errors
/// `EINVAL` for a null pointer, an unknown flag or policy; `E2BIG` for a structure that is too
/// short or has more than lx knows; `ESRCH`; `EFAULT`; `EPERM`.
pub(crate) fn sys_sched_setattr(
    task: &CurrentTask<'_>,
    pid: i32,
    attr: UserPtr<SchedAttr>,
    flags: u32,
) -> Result<()> {
    const KNOWN: u64 = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS;
    if attr.is_null() || pid < 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let value = read_attr(task, attr)?;
    if value.sched_flags & !KNOWN != 0 {
        lx_core::unsupported::note("sched_setattr flags", value.sched_flags);
        return Err(Errno::EINVAL.into());
    }
    let target = find(task, pid)?;
    let scheduling = target.scheduling();
    let keep_params = value.sched_flags & SCHED_FLAG_KEEP_PARAMS != 0;
    let policy = if value.sched_flags & SCHED_FLAG_KEEP_POLICY != 0 {
        scheduling.policy()
    } else {
        SchedPolicy(value.sched_policy.cast_signed())
    };
    let priority =
        if keep_params { scheduling.priority() } else { value.sched_priority.cast_signed() };
    let reset = value.sched_flags & SCHED_FLAG_RESET_ON_FORK != 0;
    let nice = if keep_params { scheduling.nice() } else { value.sched_nice };
    if !(MIN_NICE..=MAX_NICE).contains(&nice) {
        return Err(Errno::EINVAL.into());
    }
    let is_fair = matches!(policy, SchedPolicy::SCHED_NORMAL | SchedPolicy::SCHED_BATCH);
    if is_fair && !can_nice(task, &target, nice) {
        return Err(Errno::EPERM.into());
    }
    change(task, &target, policy, priority, reset)?;
    if is_fair {
        scheduling.set_nice(nice);
    }
    Ok(())
}

/// Reads a `struct sched_attr` of the size that it states.
fn read_attr(task: &CurrentTask<'_>, attr: UserPtr<SchedAttr>) -> Result<SchedAttr> {
    let memory = task.memory();
    let known = size_of::<SchedAttr>() as u32;
    let size = match memory.read(attr.cast::<u32>())? {
        0 => SCHED_ATTR_SIZE_VER0,
        size => size,
    };
    let mut rest = [0; 64];
    let fits = (SCHED_ATTR_SIZE_VER0..=PAGE_SIZE as u32).contains(&size);
    let mut more = size.saturating_sub(known) as usize;
    let mut addr = attr.addr().saturating_add(u64::from(known));
    let mut clean = fits;
    while clean && more > 0 {
        let part = rest.get_mut(..more.min(64)).unwrap_or_default();
        memory.read_bytes(addr, part)?;
        clean = part.iter().all(|byte| *byte == 0);
        addr = addr.saturating_add(part.len() as u64);
        more -= part.len();
    }
    if !clean {
        memory.write(attr.cast::<u32>(), &known)?;
        return Err(Errno::E2BIG.into());
    }
    let mut value = SchedAttr::default();
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut value);
    let part = bytes.get_mut(..size.min(known) as usize).unwrap_or_default();
    memory.read_bytes(attr.addr(), part)?;
    Ok(value)
}

/// Whether the caller may give `target` this nice value: raising it is free.
pub(super) fn can_nice(task: &CurrentTask<'_>, target: &Scheduled, nice: i32) -> bool {
    let limit = target.group().rlimits().soft(Resource::Nice);
    let wanted = u64::from((20 - nice).unsigned_abs());
    nice >= target.scheduling().nice() || wanted <= limit || task.cred().has(Capabilities::SYS_NICE)
}
