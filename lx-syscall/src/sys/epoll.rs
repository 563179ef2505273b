//! `epoll_create(2)`, `epoll_ctl(2)`, `epoll_wait(2)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::poll::{EpollCreateFlags, EpollCtl, EpollEvent, EpollEvents};
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, Fd, SigSet, UserPtr};
use lx_core::rlimit::Resource;
use lx_core::time::from_timespec;
use lx_core::user_memory::check_range;
use lx_proc::CurrentTask;
use lx_vfs::epoll::{self, Events};
use lx_vfs::poll::Timeout;

use super::poll::{read_mask, timeout_ms};

/// `EP_MAX_EVENTS`: beyond it the array's size would not fit an `int`.
const MAX_EVENTS: i32 = i32::MAX / 12;

/// `epoll_create(2)`: the size is a hint of old that must be positive.
pub(crate) fn sys_epoll_create(task: &CurrentTask<'_>, size: i32) -> Result<Fd> {
    if size <= 0 {
        return Err(Errno::EINVAL.into());
    }
    sys_epoll_create1(task, EpollCreateFlags::empty())
}

/// `epoll_create1(2)`.
pub(crate) fn sys_epoll_create1(task: &CurrentTask<'_>, flags: EpollCreateFlags) -> Result<Fd> {
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let cloexec = flags.contains(EpollCreateFlags::EPOLL_CLOEXEC);
    let fd = task.files().reserve(0, limit, cloexec)?;
    Ok(fd.install(epoll::open()))
}

/// `epoll_ctl(2)`.
pub(crate) fn sys_epoll_ctl(
    task: &CurrentTask<'_>,
    epfd: Fd,
    op: EpollCtl,
    fd: Fd,
    event: UserPtr<EpollEvent>,
) -> Result<()> {
    let event = match op {
        EpollCtl::EPOLL_CTL_DEL => EpollEvent::default(),
        _ => task.memory().read(event)?,
    };
    let instance = task.files().get(epfd)?;
    let file = task.files().get(fd)?;
    let caller = task.caller();
    epoll::check_watchable(&file)?;
    if Arc::ptr_eq(&instance, &file) {
        return Err(Errno::EINVAL.into());
    }
    let instance = epoll::instance(&instance)?;
    // Bits that Linux does not know are kept there and never reported.
    let events = EpollEvents::from_bits_truncate(event.events);
    // These are always asked for.
    let events = events | EpollEvents::EPOLLERR | EpollEvents::EPOLLHUP;
    match op {
        EpollCtl::EPOLL_CTL_ADD => instance.add(&caller, fd, &file, events, event.data),
        EpollCtl::EPOLL_CTL_MOD => instance.modify(&caller, fd, &file, events, event.data),
        EpollCtl::EPOLL_CTL_DEL => instance.remove(fd, &file),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `epoll_wait(2)`; the timeout is in milliseconds, negative for ever.
pub(crate) fn sys_epoll_wait(
    task: &CurrentTask<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
) -> Result<usize> {
    wait(task, epfd, events, max, timeout_ms(task, timeout))
}

/// `epoll_pwait(2)`.
pub(crate) fn sys_epoll_pwait(
    task: &CurrentTask<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> Result<usize> {
    let mask = read_mask(task, mask, mask_size)?;
    let timeout = timeout_ms(task, timeout);
    task.with_signal_mask(mask, |task| wait(task, epfd, events, max, timeout))
}

/// `epoll_pwait2(2)`: with a timeout in nanoseconds, null for ever.
pub(crate) fn sys_epoll_pwait2(
    task: &CurrentTask<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    mask_size: usize,
) -> Result<usize> {
    let span = task.memory().read_unless_null(timeout)?.map(from_timespec).transpose()?;
    let mask = read_mask(task, mask, mask_size)?;
    let timeout = Timeout::after(&task.caller(), span);
    task.with_signal_mask(mask, |task| wait(task, epfd, events, max, timeout))
}

fn wait(
    task: &CurrentTask<'_>,
    epfd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: Timeout,
) -> Result<usize> {
    let file = task.files().get(epfd)?;
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL.into());
    }
    let max = usize::try_from(max).map_err(|_| Errno::EINVAL)?;
    check_range(events.addr(), (max * size_of::<EpollEvent>()) as u64)?;
    let instance = epoll::instance(&file)?;
    let mut found = Events::new();
    instance.wait(&task.caller(), max, timeout, &mut found)?;
    task.memory().write_array(events, &found)?;
    Ok(found.len())
}
