//! `inotify(7)`: `inotify_init(2)`, `inotify_add_watch(2)`, `inotify_rm_watch(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::inotify::{InotifyInitFlags, InotifyMask};
use lx_core::abi::{DirFd, Errno, Fd, UserCStr};
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::notify::{self, InotifyFile};
use lx_vfs::path::Lookup;
use lx_vfs::permission::{Access, check_path};

use super::at;

/// `inotify_init(2)`.
pub(crate) fn sys_inotify_init(task: &CurrentTask<'_>) -> Result<Fd> {
    sys_inotify_init1(task, InotifyInitFlags::empty())
}

/// `inotify_init1(2)`.
///
/// # Errors
///
/// - `EINVAL`: an unknown flag; found while decoding.
/// - `EMFILE`: too many descriptors, or instances of this user.
pub(crate) fn sys_inotify_init1(task: &CurrentTask<'_>, flags: InotifyInitFlags) -> Result<Fd> {
    let status = match flags.contains(InotifyInitFlags::IN_NONBLOCK) {
        true => OpenFlags::O_NONBLOCK,
        false => OpenFlags::empty(),
    };
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, flags.contains(InotifyInitFlags::IN_CLOEXEC))?;
    Ok(fd.install(notify::open(&task.caller(), status)?))
}

/// `inotify_add_watch(2)`: the watch descriptor.
///
/// # Errors
///
/// - `EINVAL`: no event is asked for; `IN_MASK_ADD` with `IN_MASK_CREATE`; no inotify descriptor.
/// - `EACCES`: the file cannot be read.
/// - `EEXIST`, `ENOSPC`, `ENOTDIR`.
pub(crate) fn sys_inotify_add_watch(
    task: &CurrentTask<'_>,
    fd: Fd,
    path: UserCStr,
    mask: u32,
) -> Result<i32> {
    let mask = InotifyMask::from_bits_truncate(mask);
    if mask.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let file = task.files().get(fd)?;
    if mask.contains(InotifyMask::IN_MASK_ADD | InotifyMask::IN_MASK_CREATE) {
        return Err(Errno::EINVAL.into());
    }
    let instance = file.ops_as::<InotifyFile>().ok_or(Errno::EINVAL)?.instance();
    let mut lookup = Lookup::empty();
    lookup.set(Lookup::FOLLOW, !mask.contains(InotifyMask::IN_DONT_FOLLOW));
    lookup.set(Lookup::DIRECTORY, mask.contains(InotifyMask::IN_ONLYDIR));
    let place = at::lookup(task, DirFd::AT_FDCWD, path, lookup)?;
    check_path(task.cred(), &place, Access::READ)?;
    instance.add(place, mask)
}

/// `inotify_rm_watch(2)`.
///
/// # Errors
///
/// - `EINVAL`: no inotify descriptor; no such watch.
pub(crate) fn sys_inotify_rm_watch(task: &CurrentTask<'_>, fd: Fd, wd: i32) -> Result<()> {
    let file = task.files().get(fd)?;
    file.ops_as::<InotifyFile>().ok_or(Errno::EINVAL)?.instance().remove(wd)
}
