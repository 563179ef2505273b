//! Modes, owners and permission tests: `chmod(2)`, `chown(2)`, `access(2)` and relatives.

use lx_core::Result;
use lx_core::abi::fcntl::{AccessFlags, AtFlags};
use lx_core::abi::stat::FileMode;
use lx_core::abi::{DirFd, Errno, Fd, UserCStr};
use lx_core::caller::Caller;
use lx_core::cred::{Capabilities, Credentials};
use lx_core::user_memory::PathBuffer;
use lx_proc::CurrentTask;
use lx_vfs::attr;
use lx_vfs::path::Lookup;
use lx_vfs::permission::Access;

use super::at;

/// The flags of `fchmodat2` and `fchownat`.
const PLACE_FLAGS: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW.union(AtFlags::AT_EMPTY_PATH);

/// `chmod(2)`.
pub(crate) fn sys_chmod(task: &CurrentTask<'_>, path: UserCStr, mode: FileMode) -> Result<()> {
    sys_fchmodat(task, DirFd::AT_FDCWD, path, mode)
}

/// `fchmod(2)`.
pub(crate) fn sys_fchmod(task: &CurrentTask<'_>, fd: Fd, mode: FileMode) -> Result<()> {
    let file = task.files().get(fd)?;
    attr::chmod(&task.caller(), at::place_of(&file)?, mode.0)
}

/// The system call `fchmodat`, which has no flags.
pub(crate) fn sys_fchmodat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: FileMode,
) -> Result<()> {
    sys_fchmodat2(task, dirfd, path, mode, AtFlags::empty())
}

/// `fchmodat2`, the C library's `fchmodat`.
pub(crate) fn sys_fchmodat2(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: FileMode,
    flags: AtFlags,
) -> Result<()> {
    if !PLACE_FLAGS.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let place = at::lookup(task, dirfd, path, at::follow_unless_told(flags))?;
    attr::chmod(&task.caller(), &place, mode.0)
}

/// `chown(2)`.
pub(crate) fn sys_chown(task: &CurrentTask<'_>, path: UserCStr, uid: u32, gid: u32) -> Result<()> {
    sys_fchownat(task, DirFd::AT_FDCWD, path, uid, gid, AtFlags::empty())
}

/// `lchown(2)`.
pub(crate) fn sys_lchown(task: &CurrentTask<'_>, path: UserCStr, uid: u32, gid: u32) -> Result<()> {
    sys_fchownat(task, DirFd::AT_FDCWD, path, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// `fchown(2)`.
pub(crate) fn sys_fchown(task: &CurrentTask<'_>, fd: Fd, uid: u32, gid: u32) -> Result<()> {
    let file = task.files().get(fd)?;
    attr::chown(&task.caller(), at::place_of(&file)?, unless_minus_one(uid), unless_minus_one(gid))
}

/// `fchownat(2)`.
pub(crate) fn sys_fchownat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    uid: u32,
    gid: u32,
    flags: AtFlags,
) -> Result<()> {
    if !PLACE_FLAGS.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let place = at::lookup(task, dirfd, path, at::follow_unless_told(flags))?;
    attr::chown(&task.caller(), &place, unless_minus_one(uid), unless_minus_one(gid))
}

/// -1 leaves an id as it is.
fn unless_minus_one(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// `access(2)`.
pub(crate) fn sys_access(task: &CurrentTask<'_>, path: UserCStr, mode: AccessFlags) -> Result<()> {
    sys_faccessat(task, DirFd::AT_FDCWD, path, mode)
}

/// The system call `faccessat`, which has no flags.
pub(crate) fn sys_faccessat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: AccessFlags,
) -> Result<()> {
    sys_faccessat2(task, dirfd, path, mode, AtFlags::empty())
}

/// `faccessat2`, the C library's `faccessat`. Path and file are checked with the real ids, unless
/// `AT_EACCESS` is given.
pub(crate) fn sys_faccessat2(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    mode: AccessFlags,
    flags: AtFlags,
) -> Result<()> {
    if !(AtFlags::AT_EACCESS | PLACE_FLAGS).contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let real = if flags.contains(AtFlags::AT_EACCESS) { None } else { real_identity(task.cred()) };
    let mut caller = task.caller();
    if let Some(real) = &real {
        caller = Caller { identity: real, ..caller };
    }
    let mut buffer = PathBuffer::new();
    let how = at::follow_unless_told(flags);
    let path = if how.contains(Lookup::EMPTY) {
        task.memory().read_path(path, &mut buffer)?
    } else {
        at::read_path(task, path, &mut buffer)?
    };
    let start = at::start(task, dirfd, path)?;
    let place = task.fs().lookup(&caller, start.path()?, path, how)?;
    attr::check_access(&caller, &place, Access::from_bits_truncate(mode.bits()))
}

/// `cred` with the real ids for file access; `None` if that makes no difference.
fn real_identity(cred: &Credentials) -> Option<Credentials> {
    /// `SECBIT_NO_SETUID_FIXUP`: user ids have no influence on capabilities.
    const NO_SETUID_FIXUP: u32 = 1 << 2;
    let effective = if cred.securebits & NO_SETUID_FIXUP != 0 {
        cred.effective
    } else if cred.uid == 0 {
        cred.permitted
    } else {
        Capabilities::empty()
    };
    if (cred.fsuid, cred.fsgid, cred.effective) == (cred.uid, cred.gid, effective) {
        return None;
    }
    Some(Credentials { fsuid: cred.uid, fsgid: cred.gid, effective, ..cred.clone() })
}
