//! Priorities: `getpriority(2)`, `setpriority(2)`, `ioprio_get(2)`, `ioprio_set(2)`. They are kept
//! and reported; the host decides who runs.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::resource::{MAX_NICE, MIN_NICE, PrioWhich};
use lx_core::cred::Capabilities;
use lx_proc::CurrentTask;
use lx_proc::sched::{Scheduled, Scheduling};

use super::sched::{can_nice, check_owner, find};

/// The tasks that `getpriority(2)` and `ioprio_get(2)` mean.
fn select(task: &CurrentTask<'_>, which: PrioWhich, who: i32) -> Result<Vec<Scheduled>> {
    let pids = &task.kernel().pids;
    let found: Vec<_> = match which {
        PrioWhich::PRIO_PROCESS => find(task, who).into_iter().collect(),
        PrioWhich::PRIO_PGRP => {
            let pgid = if who == 0 { task.group().pgid() } else { who };
            pids.process_group(pgid).iter().flat_map(Scheduled::of_group).collect()
        }
        PrioWhich::PRIO_USER => {
            let uid = if who == 0 { task.cred().uid } else { who.cast_unsigned() };
            let is_its = |other: &Scheduled| other.cred().is_some_and(|cred| cred.uid == uid);
            pids.groups().iter().flat_map(Scheduled::of_group).filter(is_its).collect()
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    if found.is_empty() { Err(Errno::ESRCH.into()) } else { Ok(found) }
}

/// `getpriority(2)`: 20 minus the lowest nice value, so that no result is negative.
///
/// # Errors
/// `EINVAL` for an unknown `which`; `ESRCH`.
pub(crate) fn sys_getpriority(task: &CurrentTask<'_>, which: PrioWhich, who: i32) -> Result<i32> {
    let found = select(task, which, who)?;
    let lowest = found.iter().map(|task| task.scheduling().nice()).min();
    Ok(20 - lowest.unwrap_or(0))
}

/// `setpriority(2)`.
///
/// # Errors
/// `EINVAL` for an unknown `which`; `ESRCH`; `EPERM` for tasks of others; `EACCES` for a lower
/// value than allowed.
pub(crate) fn sys_setpriority(
    task: &CurrentTask<'_>,
    which: PrioWhich,
    who: i32,
    nice: i32,
) -> Result<()> {
    let nice = nice.clamp(MIN_NICE, MAX_NICE);
    let mut result = Ok(());
    for target in select(task, which, who)? {
        if let Err(error) = check_owner(task, &target) {
            result = Err(error);
        } else if !can_nice(task, &target, nice) {
            result = Err(Errno::EACCES.into());
        } else if !can_do_as_much(task, &target) {
            result = Err(Errno::EPERM.into());
        } else {
            target.scheduling().set_nice(nice);
        }
    }
    result
}

/// Whether the caller has all capabilities that the target may use, without which it may not change
/// its priority.
fn can_do_as_much(task: &CurrentTask<'_>, target: &Scheduled) -> bool {
    let cred = task.cred();
    cred.has(Capabilities::SYS_NICE)
        || target.cred().is_some_and(|other| cred.permitted.contains(other.permitted))
}

/// `IOPRIO_WHO_*` are those of `getpriority` plus one.
fn io_which(which: i32) -> PrioWhich {
    PrioWhich(which.wrapping_sub(1).cast_unsigned())
}

/// The I/O priority that a task has without a call: best effort, by its nice value.
fn io_priority(scheduling: &Scheduling) -> u32 {
    match scheduling.io_priority() {
        0 => (2 << 13) | ((scheduling.nice() + 20) / 5).unsigned_abs(),
        priority => priority,
    }
}

/// `ioprio_get(2)`.
///
/// # Errors
/// `EINVAL` for an unknown `which`; `ESRCH`.
pub(crate) fn sys_ioprio_get(task: &CurrentTask<'_>, which: i32, who: i32) -> Result<u32> {
    let found = select(task, io_which(which), who)?;
    if let [only] = found.as_slice()
        && which == 1
    {
        return Ok(only.scheduling().io_priority());
    }
    Ok(found.iter().map(|task| io_priority(task.scheduling())).min().unwrap_or(0))
}

/// Whether the caller may ask for a priority.
///
/// # Errors
/// `EINVAL` for an unknown class or level; `EPERM`.
pub(super) fn check_io_priority(task: &CurrentTask<'_>, priority: u32) -> Result<()> {
    let (class, level) = (priority >> 13, priority & 7);
    match class {
        0 if level == 0 => {}
        1 if task.cred().has(Capabilities::SYS_NICE)
            || task.cred().has(Capabilities::SYS_ADMIN) => {}
        1 => return Err(Errno::EPERM.into()),
        2 | 3 => {}
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// `ioprio_set(2)`.
///
/// # Errors
/// `EINVAL` for an unknown class, level or `which`; `EPERM`; `ESRCH`.
pub(crate) fn sys_ioprio_set(
    task: &CurrentTask<'_>,
    which: i32,
    who: i32,
    priority: u32,
) -> Result<()> {
    check_io_priority(task, priority)?;
    for target in select(task, io_which(which), who)? {
        check_owner(task, &target)?;
        if let Scheduled::Ended(_) = target {
            return Err(Errno::ESRCH.into());
        }
        target.scheduling().set_io_priority(priority);
    }
    Ok(())
}
