//! The system and its limits: `uname(2)`, `sysinfo(2)`, `getrlimit(2)`, `getrusage(2)`,
//! `getrandom(2)`, `syslog(2)`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::resource::{self, Rlimit64, Rusage, RusageWho};
use lx_core::abi::sysinfo::{Sysinfo, SyslogAction};
use lx_core::abi::utsname::NewUtsname;
use lx_core::abi::{Errno, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::rlimit::{Resource, Rlimits};
use lx_core::time::{NANOS_PER_SEC, to_timeval};
use lx_proc::{CurrentTask, ThreadGroup, timer, uts};

/// Longest host or domain name, `__NEW_UTS_LEN`.
const UTS_LEN: usize = 64;
/// Highest hard limit of open descriptors, `/proc/sys/fs/nr_open`.
const NR_OPEN: u64 = lx_core::abi::limits::NR_OPEN;

/// `uname(2)`.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_uname(task: &CurrentTask<'_>, name: UserPtr<NewUtsname>) -> Result<()> {
    task.memory().write(name, &task.kernel().uts.utsname())
}

/// Reads the argument of the two calls below.
fn new_name(task: &CurrentTask<'_>, name: UserPtr<u8>, len: i32) -> Result<alloc::vec::Vec<u8>> {
    if !task.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    match usize::try_from(len) {
        Ok(len) if len <= UTS_LEN => task.memory().read_array(name, len),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `sethostname(2)`.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `EINVAL` for a length out of range; `EFAULT`.
pub(crate) fn sys_sethostname(task: &CurrentTask<'_>, name: UserPtr<u8>, len: i32) -> Result<()> {
    task.kernel().uts.set_host_name(new_name(task, name, len)?);
    Ok(())
}

/// `setdomainname(2)`, as [`sys_sethostname`].
///
/// # Errors
/// As [`sys_sethostname`].
pub(crate) fn sys_setdomainname(task: &CurrentTask<'_>, name: UserPtr<u8>, len: i32) -> Result<()> {
    task.kernel().uts.set_domain_name(new_name(task, name, len)?);
    Ok(())
}

/// `sysinfo(2)`: memory and load are the host's.
///
/// # Errors
/// `EFAULT`.
pub(crate) fn sys_sysinfo(task: &CurrentTask<'_>, info: UserPtr<Sysinfo>) -> Result<()> {
    let host = task.host();
    let load = host.machine_load();
    let info_out = Sysinfo {
        uptime: (host.boottime() / NANOS_PER_SEC).cast_signed(),
        loads: load.loads,
        totalram: load.memory,
        freeram: load.memory_free,
        totalswap: load.swap,
        freeswap: load.swap_free,
        procs: task.kernel().pids.groups().len().try_into().unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    task.memory().write(info, &info_out)
}

/// `getrlimit(2)`.
///
/// # Errors
/// `EINVAL` for an unknown resource; `EFAULT`.
pub(crate) fn sys_getrlimit(
    task: &CurrentTask<'_>,
    resource: resource::Resource,
    limit: UserPtr<Rlimit64>,
) -> Result<()> {
    let resource = known(resource)?;
    task.memory().write(limit, &load(task.group().rlimits(), resource))
}

/// `setrlimit(2)`.
///
/// # Errors
/// As [`sys_prlimit64`].
pub(crate) fn sys_setrlimit(
    task: &CurrentTask<'_>,
    resource: resource::Resource,
    limit: UserPtr<Rlimit64>,
) -> Result<()> {
    let limit = task.memory().read(limit)?;
    store(task, task.group(), known(resource)?, limit)
}

/// `prlimit(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown resource, or a soft limit above the hard one.
/// - `EPERM`: a process of another user, or a hard limit raised without `CAP_SYS_RESOURCE`.
/// - `ESRCH`, `EFAULT`.
pub(crate) fn sys_prlimit64(
    task: &CurrentTask<'_>,
    pid: i32,
    resource: resource::Resource,
    new: UserPtr<Rlimit64>,
    old: UserPtr<Rlimit64>,
) -> Result<()> {
    let new = task.memory().read_unless_null(new)?;
    let other = match pid {
        0 => None,
        _ => Some(task.kernel().pids.group_of(pid).ok_or(Errno::ESRCH)?),
    };
    let target = other.as_ref().unwrap_or(task.group());
    if !Arc::ptr_eq(target, task.group()) {
        may_limit(task, target, pid)?;
    }
    let resource = known(resource)?;
    let former = load(target.rlimits(), resource);
    if let Some(new) = new {
        store(task, target, resource, new)?;
    }
    task.memory().write_unless_null(old, &former)
}

/// Whether the caller may see and change the limits of another process.
fn may_limit(task: &CurrentTask<'_>, group: &ThreadGroup, tid: i32) -> Result<()> {
    let own = task.cred();
    let other = task.kernel().pids.task(tid).map(|other| other.cred()).or_else(|| group.cred());
    let same = other.is_none_or(|other| {
        [other.uid, other.euid, other.suid].iter().all(|id| *id == own.uid)
            && [other.gid, other.egid, other.sgid].iter().all(|id| *id == own.gid)
    });
    if same || own.has(Capabilities::SYS_RESOURCE) { Ok(()) } else { Err(Errno::EPERM.into()) }
}

fn known(resource: resource::Resource) -> Result<Resource> {
    Resource::from_number(resource.0).ok_or(Errno::EINVAL.into())
}

fn load(limits: &Rlimits, resource: Resource) -> Rlimit64 {
    let (rlim_cur, rlim_max) = limits.get(resource);
    Rlimit64 { rlim_cur, rlim_max }
}

fn store(
    task: &CurrentTask<'_>,
    group: &Arc<ThreadGroup>,
    resource: Resource,
    new: Rlimit64,
) -> Result<()> {
    let limits = group.rlimits();
    if new.rlim_cur > new.rlim_max {
        return Err(Errno::EINVAL.into());
    }
    if resource == Resource::Nofile && new.rlim_max > NR_OPEN {
        return Err(Errno::EPERM.into());
    }
    let raised = new.rlim_max > limits.get(resource).1;
    if raised && !task.cred().has(Capabilities::SYS_RESOURCE) {
        return Err(Errno::EPERM.into());
    }
    limits.set(resource, new.rlim_cur, new.rlim_max);
    if resource == Resource::Cpu {
        timer::watch_cpu_limit(task.kernel(), group);
    }
    Ok(())
}

/// `getrusage(2)`: processor time, all of it as user time.
///
/// # Errors
/// `EINVAL` for an unknown `who`; `EFAULT`.
pub(crate) fn sys_getrusage(
    task: &CurrentTask<'_>,
    who: RusageWho,
    usage: UserPtr<Rusage>,
) -> Result<()> {
    let cpu = match who {
        RusageWho::RUSAGE_SELF => task.host().process_cpu(),
        RusageWho::RUSAGE_THREAD => task.host().thread_cpu(),
        RusageWho::RUSAGE_CHILDREN => task.group().children_cpu(),
        _ => return Err(Errno::EINVAL.into()),
    };
    let resident = match who {
        RusageWho::RUSAGE_CHILDREN => 0,
        _ => task.mm().figures().resident,
    };
    let value = Rusage {
        ru_utime: to_timeval(cpu),
        ru_maxrss: (resident / 1024).cast_signed(),
        ..Rusage::default()
    };
    task.memory().write(usage, &value)
}

/// Flags of `getrandom(2)`: `GRND_NONBLOCK`, `GRND_RANDOM`, `GRND_INSECURE`.
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;
const GRND_ALL: u32 = 7;
/// Random bytes that are made at a time.
const RANDOM_CHUNK: usize = 256;

/// `getrandom(2)`; it never blocks.
///
/// # Errors
/// `EINVAL` for an unknown flag or two that exclude each other; `EFAULT`.
pub(crate) fn sys_getrandom(
    task: &CurrentTask<'_>,
    buffer: UserPtr<u8>,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let both = GRND_RANDOM | GRND_INSECURE;
    if flags & !GRND_ALL != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    let len = len.min(i32::MAX as usize);
    let mut chunk = [0; RANDOM_CHUNK];
    let mut done = 0;
    while done < len {
        let part = chunk.get_mut(..(len - done).min(RANDOM_CHUNK)).unwrap_or_default();
        task.host().fill(part);
        let addr = buffer.addr().saturating_add(done as u64);
        match task.memory().write_bytes(addr, part) {
            Ok(()) => done += part.len(),
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        if task.task().waiter().is_interrupted() && done > RANDOM_CHUNK {
            break;
        }
    }
    Ok(done)
}

/// The kernel's log: what it says at boot, and nothing after that.
fn kernel_log() -> String {
    format!("<5>[    0.000000] {} version {} {}\n", uts::SYSNAME, uts::RELEASE, uts::VERSION)
}

/// `syslog(2)`, restricted to privileged callers as `/proc/sys/kernel/dmesg_restrict` says.
///
/// # Errors
///
/// - `EPERM`: no `CAP_SYSLOG`, or an action on the console or one that consumes the log.
/// - `EINVAL`: an unknown action; no buffer or a negative length.
/// - `EFAULT`.
pub(crate) fn sys_syslog(
    task: &CurrentTask<'_>,
    action: SyslogAction,
    buffer: UserPtr<u8>,
    len: i32,
) -> Result<usize> {
    if !task.cred().has(Capabilities::SYSLOG) {
        return Err(Errno::EPERM.into());
    }
    let log = kernel_log();
    match action {
        SyslogAction::CLOSE | SyslogAction::OPEN => Ok(0),
        SyslogAction::SIZE_BUFFER => Ok(log.len()),
        SyslogAction::READ_ALL => {
            let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
            if buffer.is_null() {
                return Err(Errno::EINVAL.into());
            }
            // Only whole lines are shown.
            if len < log.len() {
                return Ok(0);
            }
            task.memory().write_bytes(buffer.addr(), log.as_bytes())?;
            Ok(log.len())
        }
        action if action.name().is_some() => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}
