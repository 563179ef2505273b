//! User and group ids, `credentials(7)`: `getuid(2)`, `setresuid(2)`, `setgroups(2)` and
//! relatives.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::{Errno, UserPtr};
use lx_core::cred::{Capabilities, Credentials};
use lx_proc::{CurrentTask, clone};

/// The argument that leaves an id alone.
const KEEP: u32 = u32::MAX;
/// Most supplementary groups, `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65536;
/// `SECBIT_KEEP_CAPS`: capabilities survive a change of all ids from 0.
pub(super) const KEEP_CAPS: u32 = 1 << 4;
/// `SECBIT_NO_SETUID_FIXUP`: capabilities do not follow the user ids.
const NO_SETUID_FIXUP: u32 = 1 << 2;
/// Capabilities that follow the file-system user id.
const FILE_CAPABILITIES: Capabilities = Capabilities::CHOWN
    .union(Capabilities::MKNOD)
    .union(Capabilities::DAC_OVERRIDE)
    .union(Capabilities::DAC_READ_SEARCH)
    .union(Capabilities::FOWNER)
    .union(Capabilities::FSETID)
    // CAP_LINUX_IMMUTABLE and CAP_MAC_OVERRIDE.
    .union(Capabilities::from_bits_retain(1 << 9 | 1 << 32));

/// `getuid(2)`.
pub(crate) fn sys_getuid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().uid)
}

/// `geteuid(2)`.
pub(crate) fn sys_geteuid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().euid)
}

/// `getgid(2)`.
pub(crate) fn sys_getgid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().gid)
}

/// `getegid(2)`.
pub(crate) fn sys_getegid(task: &CurrentTask<'_>) -> Result<u32> {
    Ok(task.cred().egid)
}

/// `getresuid(2)`.
///
/// # Errors
///
/// - `EFAULT`.
pub(crate) fn sys_getresuid(
    task: &CurrentTask<'_>,
    ruid: UserPtr<u32>,
    euid: UserPtr<u32>,
    suid: UserPtr<u32>,
) -> Result<()> {
    let cred = task.cred();
    task.memory().write(ruid, &cred.uid)?;
    task.memory().write(euid, &cred.euid)?;
    task.memory().write(suid, &cred.suid)
}

/// `getresgid(2)`.
///
/// # Errors
///
/// - `EFAULT`.
pub(crate) fn sys_getresgid(
    task: &CurrentTask<'_>,
    rgid: UserPtr<u32>,
    egid: UserPtr<u32>,
    sgid: UserPtr<u32>,
) -> Result<()> {
    let cred = task.cred();
    task.memory().write(rgid, &cred.gid)?;
    task.memory().write(egid, &cred.egid)?;
    task.memory().write(sgid, &cred.sgid)
}

/// Installs changed credentials with what follows from the change.
pub(super) fn commit(task: &CurrentTask<'_>, old: &Credentials, new: Credentials) {
    let changed = old.is_changed_by(&new);
    task.task().set_cred(Arc::new(new));
    if changed {
        task.group().set_dumpable(0);
        task.group().set_parent_death_signal(0);
    }
}

/// Lets the capabilities follow the real, effective and saved user id, `capabilities(7)`.
fn follow_user_ids(old: &Credentials, new: &mut Credentials) {
    if old.securebits & NO_SETUID_FIXUP != 0 {
        return;
    }
    let had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
    let has_root = new.uid == 0 || new.euid == 0 || new.suid == 0;
    if had_root && !has_root {
        if old.securebits & KEEP_CAPS == 0 {
            new.permitted = Capabilities::empty();
            new.effective = Capabilities::empty();
        }
        new.ambient = Capabilities::empty();
    }
    if old.euid == 0 && new.euid != 0 {
        new.effective = Capabilities::empty();
    }
    if old.euid != 0 && new.euid == 0 {
        new.effective = new.permitted;
    }
}

fn commit_users(task: &CurrentTask<'_>, mut new: Credentials) {
    let old = task.task().cred();
    new.fsuid = new.euid;
    follow_user_ids(&old, &mut new);
    if new.uid != old.uid {
        clone::note_task_limit(task, new.uid);
    }
    commit(task, &old, new);
}

fn commit_groups(task: &CurrentTask<'_>, mut new: Credentials) {
    let old = task.task().cred();
    new.fsgid = new.egid;
    commit(task, &old, new);
}

fn allow(allowed: bool) -> Result<()> {
    if allowed { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// `setuid(2)`.
///
/// # Errors
///
/// - `EINVAL`: -1.
/// - `EPERM`: an id that is neither the real nor the saved one.
pub(crate) fn sys_setuid(task: &CurrentTask<'_>, uid: u32) -> Result<()> {
    if uid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let mut new = Credentials::clone(task.cred());
    if new.has(Capabilities::SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else {
        allow(uid == new.uid || uid == new.suid)?;
    }
    new.euid = uid;
    commit_users(task, new);
    Ok(())
}

/// `setgid(2)`.
///
/// # Errors
///
/// - `EINVAL`: -1.
/// - `EPERM`: an id that is neither the real nor the saved one.
pub(crate) fn sys_setgid(task: &CurrentTask<'_>, gid: u32) -> Result<()> {
    if gid == KEEP {
        return Err(Errno::EINVAL.into());
    }
    let mut new = Credentials::clone(task.cred());
    if new.has(Capabilities::SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else {
        allow(gid == new.gid || gid == new.sgid)?;
    }
    new.egid = gid;
    commit_groups(task, new);
    Ok(())
}

/// Ids before and after `setreuid(2)` or `setregid(2)`: real, effective, saved.
fn set_real_effective(
    (real, effective, saved): (u32, u32, u32),
    new_real: u32,
    new_effective: u32,
    privileged: bool,
) -> Result<(u32, u32, u32)> {
    let mut new = (real, effective, saved);
    if new_real != KEEP {
        allow(privileged || new_real == real || new_real == effective)?;
        new.0 = new_real;
    }
    if new_effective != KEEP {
        let known = [real, effective, saved].contains(&new_effective);
        allow(privileged || known)?;
        new.1 = new_effective;
    }
    if new_real != KEEP || (new_effective != KEEP && new_effective != real) {
        new.2 = new.1;
    }
    Ok(new)
}

/// Ids before and after `setresuid(2)` or `setresgid(2)`: real, effective, saved.
fn set_all(old: [u32; 3], wanted: [u32; 3], privileged: bool) -> Result<[u32; 3]> {
    let mut new = old;
    for (slot, &id) in new.iter_mut().zip(&wanted) {
        if id != KEEP {
            allow(privileged || old.contains(&id))?;
            *slot = id;
        }
    }
    Ok(new)
}

/// Whether `setresuid(2)` is asked for what is already there: then the id for files, which would
/// become the effective one, stays as well.
fn changes_nothing(old: [u32; 3], for_files: u32, wanted: [u32; 3]) -> bool {
    let kept = old.iter().zip(&wanted).all(|(old, wanted)| *wanted == KEEP || wanted == old);
    let [_, effective, _] = wanted;
    kept && (effective == KEEP || effective == for_files)
}

/// `setreuid(2)`.
///
/// # Errors
///
/// - `EPERM`: an id that the caller does not have.
pub(crate) fn sys_setreuid(task: &CurrentTask<'_>, ruid: u32, euid: u32) -> Result<()> {
    let mut new = Credentials::clone(task.cred());
    let ids = (new.uid, new.euid, new.suid);
    let privileged = new.has(Capabilities::SETUID);
    (new.uid, new.euid, new.suid) = set_real_effective(ids, ruid, euid, privileged)?;
    commit_users(task, new);
    Ok(())
}

/// `setregid(2)`.
///
/// # Errors
///
/// - `EPERM`: an id that the caller does not have.
pub(crate) fn sys_setregid(task: &CurrentTask<'_>, rgid: u32, egid: u32) -> Result<()> {
    let mut new = Credentials::clone(task.cred());
    let ids = (new.gid, new.egid, new.sgid);
    let privileged = new.has(Capabilities::SETGID);
    (new.gid, new.egid, new.sgid) = set_real_effective(ids, rgid, egid, privileged)?;
    commit_groups(task, new);
    Ok(())
}

/// `setresuid(2)`.
///
/// # Errors
///
/// - `EPERM`: an id that the caller does not have.
pub(crate) fn sys_setresuid(task: &CurrentTask<'_>, ruid: u32, euid: u32, suid: u32) -> Result<()> {
    let mut new = Credentials::clone(task.cred());
    if changes_nothing([new.uid, new.euid, new.suid], new.fsuid, [ruid, euid, suid]) {
        return Ok(());
    }
    let privileged = new.has(Capabilities::SETUID);
    [new.uid, new.euid, new.suid] =
        set_all([new.uid, new.euid, new.suid], [ruid, euid, suid], privileged)?;
    commit_users(task, new);
    Ok(())
}

/// `setresgid(2)`.
///
/// # Errors
///
/// - `EPERM`: an id that the caller does not have.
pub(crate) fn sys_setresgid(task: &CurrentTask<'_>, rgid: u32, egid: u32, sgid: u32) -> Result<()> {
    let mut new = Credentials::clone(task.cred());
    if changes_nothing([new.gid, new.egid, new.sgid], new.fsgid, [rgid, egid, sgid]) {
        return Ok(());
    }
    let privileged = new.has(Capabilities::SETGID);
    [new.gid, new.egid, new.sgid] =
        set_all([new.gid, new.egid, new.sgid], [rgid, egid, sgid], privileged)?;
    commit_groups(task, new);
    Ok(())
}

/// `setfsuid(2)`: the former id, whether it has changed or not.
pub(crate) fn sys_setfsuid(task: &CurrentTask<'_>, uid: u32) -> Result<u32> {
    let old = Arc::clone(task.cred());
    let known = [old.uid, old.euid, old.suid, old.fsuid].contains(&uid);
    if uid != KEEP && uid != old.fsuid && (known || old.has(Capabilities::SETUID)) {
        let mut new = Credentials::clone(&old);
        new.fsuid = uid;
        if old.securebits & NO_SETUID_FIXUP == 0 {
            if old.fsuid == 0 {
                new.effective -= FILE_CAPABILITIES;
            } else if uid == 0 {
                new.effective |= FILE_CAPABILITIES & new.permitted;
            }
        }
        commit(task, &old, new);
    }
    Ok(old.fsuid)
}

/// `setfsgid(2)`: the former id, whether it has changed or not.
pub(crate) fn sys_setfsgid(task: &CurrentTask<'_>, gid: u32) -> Result<u32> {
    let old = Arc::clone(task.cred());
    let known = [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid);
    if gid != KEEP && gid != old.fsgid && (known || old.has(Capabilities::SETGID)) {
        let mut new = Credentials::clone(&old);
        new.fsgid = gid;
        commit(task, &old, new);
    }
    Ok(old.fsgid)
}

/// `getgroups(2)`: the number of supplementary groups.
///
/// # Errors
///
/// - `EINVAL`: the list is too short.
/// - `EFAULT`.
pub(crate) fn sys_getgroups(
    task: &CurrentTask<'_>,
    size: i32,
    list: UserPtr<u32>,
) -> Result<usize> {
    let room = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let groups = &task.cred().groups;
    if room > 0 {
        if groups.len() > room {
            return Err(Errno::EINVAL.into());
        }
        task.memory().write_array(list, groups)?;
    }
    Ok(groups.len())
}

/// `setgroups(2)`.
///
/// # Errors
///
/// - `EPERM`: without `CAP_SETGID`.
/// - `EINVAL`: too many groups, or one is -1.
/// - `EFAULT`.
pub(crate) fn sys_setgroups(task: &CurrentTask<'_>, size: usize, list: UserPtr<u32>) -> Result<()> {
    let old = Arc::clone(task.cred());
    allow(old.has(Capabilities::SETGID))?;
    if size > MAX_GROUPS {
        return Err(Errno::EINVAL.into());
    }
    let mut groups = task.memory().read_array(list, size)?;
    if groups.contains(&KEEP) {
        return Err(Errno::EINVAL.into());
    }
    groups.sort_unstable();
    let mut new = Credentials::clone(&old);
    new.groups = Arc::new(groups);
    commit(task, &old, new);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KEEP, KEEP_CAPS, follow_user_ids, set_all, set_real_effective};
    use alloc::vec::Vec;
    use lx_core::cred::{Capabilities, Credentials};

    #[test]
    fn real_and_effective() {
        let ids = (1, 2, 3);
        assert_eq!(set_real_effective(ids, KEEP, 1, false), Ok((1, 1, 3)));
        assert_eq!(set_real_effective(ids, KEEP, 3, false), Ok((1, 3, 3)));
        assert_eq!(set_real_effective(ids, 2, KEEP, false), Ok((2, 2, 2)));
        assert!(set_real_effective(ids, 3, KEEP, false).is_err());
        assert_eq!(set_real_effective(ids, 7, 8, true), Ok((7, 8, 8)));
    }

    #[test]
    fn all_three() {
        assert_eq!(set_all([1, 2, 3], [3, 1, KEEP], false), Ok([3, 1, 3]));
        assert!(set_all([1, 2, 3], [4, KEEP, KEEP], false).is_err());
    }

    #[test]
    fn capabilities_follow() {
        let root = Credentials::new(0, 0, Vec::new());
        let mut user = Credentials { uid: 5, euid: 5, suid: 5, ..root.clone() };
        follow_user_ids(&root, &mut user);
        assert!(user.permitted.is_empty() && user.effective.is_empty());

        let keeping = Credentials { securebits: KEEP_CAPS, ..root.clone() };
        let mut user = Credentials { uid: 5, euid: 5, suid: 5, ..keeping.clone() };
        follow_user_ids(&keeping, &mut user);
        assert_eq!(user.permitted, Capabilities::FULL);
        assert!(user.effective.is_empty());

        let mut lowered = Credentials { euid: 5, ..root.clone() };
        follow_user_ids(&root, &mut lowered);
        assert!(lowered.effective.is_empty() && !lowered.permitted.is_empty());
        let mut raised = Credentials { euid: 0, ..lowered.clone() };
        follow_user_ids(&lowered, &mut raised);
        assert_eq!(raised.effective, Capabilities::FULL);
    }
}
