//! `capget(2)` and `capset(2)`, `capabilities(7)`.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::capability::{
    _LINUX_CAPABILITY_VERSION_1, _LINUX_CAPABILITY_VERSION_2, _LINUX_CAPABILITY_VERSION_3, CapData,
    CapHeader,
};
use lx_core::abi::{Errno, UserPtr};
use lx_core::cred::{Capabilities, Credentials};
use lx_proc::CurrentTask;

use super::cred::commit;

/// Reads the header; the number of data structures that its version has. For a version that is not
/// known the current one is stored.
fn read_header(
    task: &CurrentTask<'_>,
    header: UserPtr<CapHeader>,
) -> Result<(CapHeader, Option<usize>)> {
    let mut read: CapHeader = task.memory().read(header)?;
    let count = match read.version {
        _LINUX_CAPABILITY_VERSION_1 => Some(1),
        _LINUX_CAPABILITY_VERSION_2 | _LINUX_CAPABILITY_VERSION_3 => Some(2),
        _ => {
            read.version = _LINUX_CAPABILITY_VERSION_3;
            task.memory().write(header, &read)?;
            None
        }
    };
    Ok((read, count))
}

fn halves(set: Capabilities) -> [u32; 2] {
    [set.bits() as u32, (set.bits() >> 32) as u32]
}

fn whole(low: u32, high: u32) -> Capabilities {
    Capabilities::from_bits_truncate(u64::from(high) << 32 | u64::from(low))
}

/// `capget(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown version, unless that was all the caller asked for; a negative id.
/// - `ESRCH`: no such thread.
/// - `EFAULT`.
pub(crate) fn sys_capget(
    task: &CurrentTask<'_>,
    header: UserPtr<CapHeader>,
    data: UserPtr<CapData>,
) -> Result<()> {
    let (header, count) = read_header(task, header)?;
    let Some(count) = count else {
        return if data.is_null() { Ok(()) } else { Err(Errno::EINVAL.into()) };
    };
    if header.pid < 0 {
        return Err(Errno::EINVAL.into());
    }
    let cred = if header.pid == 0 || header.pid == task.task().tid() {
        Arc::clone(task.cred())
    } else {
        task.kernel().pids.task(header.pid).ok_or(Errno::ESRCH)?.cred()
    };
    if data.is_null() {
        return Ok(());
    }
    let [effective, permitted, inheritable] =
        [cred.effective, cred.permitted, cred.inheritable].map(halves);
    let both = [0, 1].map(|half: usize| {
        let part = |set: &[u32; 2]| set.get(half).copied().unwrap_or(0);
        CapData {
            effective: part(&effective),
            permitted: part(&permitted),
            inheritable: part(&inheritable),
        }
    });
    task.memory().write_array(data, both.get(..count).unwrap_or_default())
}

/// `capset(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown version.
/// - `EPERM`: another thread, or a capability that the caller may not add.
/// - `EFAULT`.
pub(crate) fn sys_capset(
    task: &CurrentTask<'_>,
    header: UserPtr<CapHeader>,
    data: UserPtr<CapData>,
) -> Result<()> {
    let (header, count) = read_header(task, header)?;
    let count = count.ok_or(Errno::EINVAL)?;
    if header.pid != 0 && header.pid != task.task().tid() {
        return Err(Errno::EPERM.into());
    }
    let low: CapData = task.memory().read(data)?;
    let high = match count {
        2 => task.memory().read(data.offset(1)?)?,
        _ => CapData::default(),
    };
    let old = Arc::clone(task.cred());
    let new = Credentials {
        effective: whole(low.effective, high.effective),
        permitted: whole(low.permitted, high.permitted),
        inheritable: whole(low.inheritable, high.inheritable),
        ..Credentials::clone(&old)
    };
    let new = checked(&old, new).ok_or(Errno::EPERM)?;
    commit(task, &old, new);
    Ok(())
}

/// The new credentials, if a task with the old ones may take them.
fn checked(old: &Credentials, mut new: Credentials) -> Option<Credentials> {
    let inherited = old.inheritable.union(old.permitted);
    let allowed = (old.has(Capabilities::SETPCAP) || inherited.contains(new.inheritable))
        && old.inheritable.union(old.bounding).contains(new.inheritable)
        && old.permitted.contains(new.permitted)
        && new.permitted.contains(new.effective);
    new.ambient &= new.permitted & new.inheritable;
    allowed.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::{checked, halves, whole};
    use alloc::vec::Vec;
    use lx_core::cred::{Capabilities, Credentials};

    #[test]
    fn only_less_or_the_same() {
        let root = Credentials::new(0, 0, Vec::new());
        let less = Credentials { effective: Capabilities::KILL, ..root.clone() };
        assert!(checked(&root, less).is_some());
        let user = Credentials::new(5, 5, Vec::new());
        let more = Credentials { permitted: Capabilities::KILL, ..user.clone() };
        assert!(checked(&user, more).is_none());
    }

    #[test]
    fn both_halves() {
        let [low, high] = halves(Capabilities::FULL);
        assert_eq!((low, high), (u32::MAX, 0x1ff));
        assert_eq!(whole(low, high), Capabilities::FULL);
    }
}
