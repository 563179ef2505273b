//! Attributes of processes and threads: `prctl(2)`, `arch_prctl(2)`, `personality(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::capability::Capability;
use lx_core::abi::prctl::{
    ArchPrctlOp, PERSONALITY_QUERY, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_IS_SET,
    PR_CAP_AMBIENT_LOWER, PR_CAP_AMBIENT_RAISE, PR_MCE_KILL_CLEAR, PR_MCE_KILL_DEFAULT,
    PR_TSC_ENABLE, PrctlOp,
};
use lx_core::abi::{Errno, Signal, USER_END, UserCStr, UserPtr};
use lx_core::cred::{Capabilities, Credentials};
use lx_core::unsupported;
use lx_core::user_memory::check_range;
use lx_proc::CurrentTask;
use lx_proc::task::NAME_LEN;

use super::cred::{KEEP_CAPS, commit};
use super::seccomp;

/// `SECBIT_KEEP_CAPS_LOCKED`.
const KEEP_CAPS_LOCKED: u32 = 1 << 5;
/// `SECBIT_NO_CAP_AMBIENT_RAISE`.
const NO_AMBIENT_RAISE: u32 = 1 << 6;
/// Secure bits that exist, and those of them that lock another one.
const SECUREBITS: u32 = 0xff;
const SECUREBIT_LOCKS: u32 = 0xaa;

/// The capability with this number as a set.
fn capability(number: u64) -> Result<Capabilities> {
    if number > u64::from(Capability::LAST.0) {
        return Err(Errno::EINVAL.into());
    }
    Ok(Capabilities::from_bits_retain(1 << number))
}

fn zero(args: &[u64]) -> Result<()> {
    if args.iter().all(|&arg| arg == 0) { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

const SECCOMP_MODE_STRICT: u64 = 1;
const SECCOMP_MODE_FILTER: u64 = 2;

/// A boolean argument.
fn flag(arg: u64) -> Result<bool> {
    match arg {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `prctl(2)`.
///
/// # Errors
///
/// - `EINVAL`: an operation that is not known, or a bad argument.
/// - `EPERM`: the caller may not.
/// - `ENODEV`: what the processor speculates about is the host's.
/// - `EFAULT`.
pub(crate) fn sys_prctl(
    task: &CurrentTask<'_>,
    op: PrctlOp,
    arg2: u64,
    arg3: u64,
    arg4: u64,
    arg5: u64,
) -> Result<u64> {
    let group = task.group();
    let memory = task.memory();
    match op {
        PrctlOp::PR_SET_NAME => set_name(task, UserCStr::new(arg2))?,
        PrctlOp::PR_GET_NAME => memory.write(UserPtr::new(arg2), &task.task().name())?,
        PrctlOp::PR_SET_PDEATHSIG => {
            let number = i32::try_from(arg2).map_err(|_| Errno::EINVAL)?;
            if number != 0 {
                Signal::new(number).ok_or(Errno::EINVAL)?;
            }
            group.set_parent_death_signal(number);
        }
        PrctlOp::PR_GET_PDEATHSIG => {
            memory.write(UserPtr::new(arg2), &group.parent_death_signal())?;
        }
        PrctlOp::PR_GET_DUMPABLE => return Ok(group.dumpable().into()),
        PrctlOp::PR_SET_DUMPABLE => group.set_dumpable(flag(arg2)?.into()),
        PrctlOp::PR_SET_NO_NEW_PRIVS => {
            zero(&[arg3, arg4, arg5])?;
            if !flag(arg2)? {
                return Err(Errno::EINVAL.into());
            }
            task.task().set_no_new_privs();
        }
        PrctlOp::PR_GET_NO_NEW_PRIVS => {
            zero(&[arg2, arg3, arg4, arg5])?;
            return Ok(task.task().no_new_privs().into());
        }
        PrctlOp::PR_SET_CHILD_SUBREAPER => group.set_subreaper(arg2 != 0),
        PrctlOp::PR_GET_CHILD_SUBREAPER => {
            memory.write(UserPtr::new(arg2), &i32::from(group.is_subreaper()))?;
        }
        PrctlOp::PR_GET_TID_ADDRESS => {
            memory.write(UserPtr::new(arg2), &task.task().clear_child_tid())?;
        }
        PrctlOp::PR_GET_TIMERSLACK => return Ok(task.task().timer_slack()),
        PrctlOp::PR_SET_TIMERSLACK => task.task().set_timer_slack(arg2),
        // Statistical accounting is all there is.
        PrctlOp::PR_GET_TIMING => {}
        PrctlOp::PR_SET_TIMING => zero(&[arg2])?,
        PrctlOp::PR_GET_SECCOMP => return Ok(task.task().seccomp().mode() as u64),
        PrctlOp::PR_SET_SECCOMP => match arg2 {
            SECCOMP_MODE_STRICT => seccomp::set_strict(task)?,
            SECCOMP_MODE_FILTER => {
                seccomp::set_filter(task, 0, UserPtr::new(arg3))?;
            }
            _ => return Err(Errno::EINVAL.into()),
        },
        // No events that could be counted.
        PrctlOp::PR_TASK_PERF_EVENTS_DISABLE | PrctlOp::PR_TASK_PERF_EVENTS_ENABLE => {}
        // Not supported, but who may not use them learns that first.
        PrctlOp::PR_SET_MM | PrctlOp::PR_SET_IO_FLUSHER | PrctlOp::PR_GET_IO_FLUSHER
            if !task.cred().has(Capabilities::SYS_RESOURCE) =>
        {
            return Err(Errno::EPERM.into());
        }
        PrctlOp::PR_GET_TSC => memory.write(UserPtr::new(arg2), &(PR_TSC_ENABLE as u32))?,
        PrctlOp::PR_SET_TSC if arg2 == PR_TSC_ENABLE => {}
        PrctlOp::PR_MCE_KILL_GET => {
            zero(&[arg2, arg3, arg4, arg5])?;
            return Ok(PR_MCE_KILL_DEFAULT);
        }
        PrctlOp::PR_MCE_KILL if arg2 == PR_MCE_KILL_CLEAR => zero(&[arg3, arg4, arg5])?,
        PrctlOp::PR_SET_THP_DISABLE => {
            zero(&[arg3, arg4, arg5])?;
            group.set_no_huge_pages(arg2 != 0);
        }
        PrctlOp::PR_GET_THP_DISABLE => {
            zero(&[arg2, arg3, arg4, arg5])?;
            return Ok(group.has_no_huge_pages().into());
        }
        PrctlOp::PR_GET_SPECULATION_CTRL => {
            zero(&[arg3, arg4, arg5])?;
            return Err(Errno::ENODEV.into());
        }
        PrctlOp::PR_SET_SPECULATION_CTRL => {
            zero(&[arg4, arg5])?;
            return Err(Errno::ENODEV.into());
        }
        PrctlOp::PR_GET_KEEPCAPS => {
            return Ok((task.cred().securebits & KEEP_CAPS != 0).into());
        }
        PrctlOp::PR_SET_KEEPCAPS => set_keep_caps(task, flag(arg2)?)?,
        PrctlOp::PR_GET_SECUREBITS => return Ok(task.cred().securebits.into()),
        PrctlOp::PR_SET_SECUREBITS => set_securebits(task, arg2)?,
        PrctlOp::PR_CAPBSET_READ => {
            return Ok(task.cred().bounding.contains(capability(arg2)?).into());
        }
        PrctlOp::PR_CAPBSET_DROP => {
            if !task.cred().has(Capabilities::SETPCAP) {
                return Err(Errno::EPERM.into());
            }
            let dropped = capability(arg2)?;
            change(task, |cred| cred.bounding -= dropped);
        }
        PrctlOp::PR_CAP_AMBIENT => {
            zero(&[arg4, arg5])?;
            return ambient(task, arg2, arg3);
        }
        _ => {
            unsupported::note("prctl", op.0.into());
            return Err(Errno::EINVAL.into());
        }
    }
    Ok(0)
}

/// `PR_SET_NAME`: at most 15 bytes are read.
fn set_name(task: &CurrentTask<'_>, name: UserCStr) -> Result<()> {
    let mut buffer = [0; NAME_LEN - 1];
    check_range(name.addr(), 1)?;
    let room = USER_END.saturating_sub(name.addr()).min(buffer.len() as u64) as usize;
    let part = buffer.get_mut(..room).unwrap_or_default();
    let len = task.host().copy_in_str(name.addr(), part)?.unwrap_or(room);
    task.task().set_name(buffer.get(..len).unwrap_or_default());
    Ok(())
}

/// Replaces the credentials by a changed copy.
fn change(task: &CurrentTask<'_>, how: impl FnOnce(&mut Credentials)) {
    let old = task.task().cred();
    let mut new = Credentials::clone(&old);
    how(&mut new);
    commit(task, &old, new);
}

fn set_keep_caps(task: &CurrentTask<'_>, on: bool) -> Result<()> {
    if task.cred().securebits & KEEP_CAPS_LOCKED != 0 {
        return Err(Errno::EPERM.into());
    }
    change(task, |cred| {
        cred.securebits &= !KEEP_CAPS;
        if on {
            cred.securebits |= KEEP_CAPS;
        }
    });
    Ok(())
}

fn set_securebits(task: &CurrentTask<'_>, bits: u64) -> Result<()> {
    let old = task.cred().securebits;
    let new = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
    // A lock protects the bit below it, and cannot be taken away.
    let locked = (old & SECUREBIT_LOCKS) >> 1;
    let breaks_lock = locked & (old ^ new) != 0 || old & SECUREBIT_LOCKS & !new != 0;
    if breaks_lock || new & !SECUREBITS != 0 || !task.cred().has(Capabilities::SETPCAP) {
        return Err(Errno::EPERM.into());
    }
    change(task, |cred| cred.securebits = new);
    Ok(())
}

fn ambient(task: &CurrentTask<'_>, op: u64, number: u64) -> Result<u64> {
    if op == PR_CAP_AMBIENT_CLEAR_ALL {
        zero(&[number])?;
        change(task, |cred| cred.ambient = Capabilities::empty());
        return Ok(0);
    }
    let one = capability(number)?;
    let cred = Arc::clone(task.cred());
    match op {
        PR_CAP_AMBIENT_IS_SET => return Ok(cred.ambient.contains(one).into()),
        PR_CAP_AMBIENT_LOWER => change(task, |cred| cred.ambient -= one),
        PR_CAP_AMBIENT_RAISE => {
            let possible = cred.permitted.contains(one) && cred.inheritable.contains(one);
            if !possible || cred.securebits & NO_AMBIENT_RAISE != 0 {
                return Err(Errno::EPERM.into());
            }
            change(task, |cred| cred.ambient |= one);
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `arch_prctl(2)`. The GS base is the kernel's.
///
/// # Errors
///
/// - `EINVAL`: an operation that is not known; the GS base.
/// - `ENODEV`: `CPUID` shall fault.
/// - `EPERM`: an address beyond the guest's.
/// - `EFAULT`.
pub(crate) fn sys_arch_prctl(task: &CurrentTask<'_>, op: ArchPrctlOp, address: u64) -> Result<u64> {
    let host = task.host();
    match op {
        ArchPrctlOp::ARCH_SET_FS if address >= USER_END => Err(Errno::EPERM.into()),
        ArchPrctlOp::ARCH_SET_FS => {
            host.set_fs_base(address);
            Ok(0)
        }
        ArchPrctlOp::ARCH_GET_FS => {
            task.memory().write(UserPtr::new(address), &host.fs_base()).map(|()| 0)
        }
        ArchPrctlOp::ARCH_GET_XCOMP_SUPP | ArchPrctlOp::ARCH_GET_XCOMP_PERM => {
            task.memory().write(UserPtr::new(address), &host.xstate_features()).map(|()| 0)
        }
        // CPUID works, and cannot be made to fault.
        ArchPrctlOp::ARCH_GET_CPUID => Ok(1),
        ArchPrctlOp::ARCH_SET_CPUID => Err(Errno::ENODEV.into()),
        _ => {
            unsupported::note("arch_prctl", op.0.into());
            Err(Errno::EINVAL.into())
        }
    }
}

/// `personality(2)`: the former one.
pub(crate) fn sys_personality(task: &CurrentTask<'_>, personality: u32) -> Result<u32> {
    let old = task.task().personality();
    if personality != PERSONALITY_QUERY {
        task.task().set_personality(personality);
    }
    Ok(old)
}
