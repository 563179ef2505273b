//! Working directory, root directory and umask: `chdir(2)`, `fchdir(2)`, `getcwd(2)`,
//! `chroot(2)`, `umask(2)`.

use lx_core::Result;
use lx_core::abi::stat::FileMode;
use lx_core::abi::{DirFd, Errno, Fd, UserCStr, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::user_memory::PATH_MAX;
use lx_proc::CurrentTask;
use lx_vfs::location::Path;
use lx_vfs::path::{Lookup, check_search};

use super::at;

/// `chdir(2)`.
pub(crate) fn sys_chdir(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    let place = lookup_dir(task, path)?;
    task.fs().set_cwd(place);
    Ok(())
}

/// `fchdir(2)`.
pub(crate) fn sys_fchdir(task: &CurrentTask<'_>, fd: Fd) -> Result<()> {
    let file = task.files().get_any(fd)?;
    let place = Path::of(&file).filter(|place| place.dentry.is_dir()).ok_or(Errno::ENOTDIR)?;
    check_search(&task.caller(), &place.dentry)?;
    task.fs().set_cwd(place.clone());
    Ok(())
}

/// `chroot(2)`.
pub(crate) fn sys_chroot(task: &CurrentTask<'_>, path: UserCStr) -> Result<()> {
    let place = lookup_dir(task, path)?;
    if !task.cred().has(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM.into());
    }
    task.fs().set_root(place);
    Ok(())
}

/// A directory that the caller may search.
fn lookup_dir(task: &CurrentTask<'_>, path: UserCStr) -> Result<Path> {
    let how = Lookup::FOLLOW | Lookup::DIRECTORY;
    let place = at::lookup(task, DirFd::AT_FDCWD, path, how)?;
    check_search(&task.caller(), &place.dentry)?;
    Ok(place)
}

/// `getcwd(2)`: the length with the NUL. A directory outside the root is shown as
/// `(unreachable)/path`.
pub(crate) fn sys_getcwd(task: &CurrentTask<'_>, out: UserPtr<u8>, size: usize) -> Result<usize> {
    let places = task.fs().places();
    if places.cwd.dentry.is_deleted() {
        return Err(Errno::ENOENT.into());
    }
    let (mut path, reachable) = places.cwd.absolute(&places.root);
    if !reachable {
        path.splice(0..0, *b"(unreachable)");
    }
    path.push(0);
    if path.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    if path.len() > size {
        return Err(Errno::ERANGE.into());
    }
    task.memory().write_bytes(out.addr(), &path)?;
    Ok(path.len())
}

/// `umask(2)`: the umask from before.
pub(crate) fn sys_umask(task: &CurrentTask<'_>, mask: FileMode) -> Result<u32> {
    Ok(task.fs().set_umask(mask.0))
}
