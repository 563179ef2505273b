//! The mount tree: `mount(2)`, `umount2(2)`, `pivot_root(2)`.
//!
//! There is one tree for all processes, and no propagation between mounts: every mount is private.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::mount::{MountFlags, UmountFlags};
use lx_core::abi::{DirFd, Errno, UserCStr};
use lx_core::cred::Capabilities;
use lx_core::unsupported;
use lx_core::user_memory::PathBuffer;
use lx_proc::{CurrentTask, procfs};
use lx_vfs::fs::devpts::{self, DevPts};
use lx_vfs::fs::drvfs::{self, DriveOptions};
use lx_vfs::fs::tmpfs::{self, TmpFs};
use lx_vfs::inode::FileSystem;
use lx_vfs::location::Path;
use lx_vfs::mount::MountFlags as Forbids;
use lx_vfs::path::Lookup;

use super::{at, mount_overlay};

/// Longest name of a file system type, and longest list of options.
const MAX_STRING: usize = 4095;

/// `mount(2)`.
///
/// # Errors
///
/// - `EPERM`: not permitted to administer.
/// - `ENODEV`: a type of file system that lx does not have.
/// - `EINVAL`: to be shared with other namespaces; to be moved or changed, but no mount.
/// - `EBUSY`: to become read-only with files open for writing.
pub(crate) fn sys_mount(
    task: &CurrentTask<'_>,
    source: UserCStr,
    target: UserCStr,
    fs_type: UserCStr,
    flags: MountFlags,
    data: UserCStr,
) -> Result<()> {
    let fs_type = optional_string(task, fs_type)?;
    let source_name = optional_string(task, source)?;
    let options = optional_string(task, data)?.unwrap_or_default();
    let target = at::lookup(task, DirFd::AT_FDCWD, target, Lookup::FOLLOW)?;
    if !task.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let propagation = MountFlags::MS_SHARED
        | MountFlags::MS_PRIVATE
        | MountFlags::MS_SLAVE
        | MountFlags::MS_UNBINDABLE;
    let mounts = task.fs().mounts();
    if flags.contains(MountFlags::MS_REMOUNT) {
        if !target.is_mount_root() || !mounts.contains(&target.mount) {
            return Err(Errno::EINVAL.into());
        }
        let mut new = forbids(flags);
        if !flags.intersects(ACCESS_TIMES) {
            // What is not said of access times stays.
            let kept = Forbids::NOATIME | Forbids::NODIRATIME | Forbids::RELATIME;
            new = new.difference(kept) | target.mount.flags() & kept;
        }
        mounts.remount(&target.mount, new, flags.contains(MountFlags::MS_BIND))
    } else if flags.contains(MountFlags::MS_BIND) {
        let from = find_source(task, source_name)?;
        if mounts.contains(&target.mount) && !mounts.contains(&from.mount) {
            return Err(Errno::EINVAL.into());
        }
        if flags.contains(MountFlags::MS_REC) {
            mounts.bind_tree(&from, &target)
        } else {
            mounts.bind(&from, &target, from.mount.flags()).map(drop)
        }
    } else if flags.intersects(propagation) {
        change_propagation(&target, flags, propagation)
    } else if flags.contains(MountFlags::MS_MOVE) {
        mounts.move_mount(&find_source(task, source_name)?, &target)
    } else {
        let fs_type = fs_type.ok_or(Errno::EINVAL)?;
        let mut forbids = forbids(flags);
        let fs = match &*fs_type {
            b"overlay" => {
                let overlay = mount_overlay::new(task, &options)?;
                forbids.set(
                    Forbids::RDONLY,
                    forbids.contains(Forbids::RDONLY) || overlay.is_read_only(),
                );
                overlay as Arc<dyn FileSystem>
            }
            b"drvfs" => new_drive(task, source_name.as_deref().unwrap_or_default(), &options)?,
            fs_type => new_file_system(task, fs_type, &options)?,
        };
        let source = source_name.unwrap_or_else(|| b"none".to_vec());
        let source = alloc::string::String::from_utf8_lossy(&source);
        mounts.mount(fs, &target, &source, forbids).map(drop)
    }
}

fn optional_string(task: &CurrentTask<'_>, string: UserCStr) -> Result<Option<Vec<u8>>> {
    if string.is_null() {
        return Ok(None);
    }
    task.memory().read_string(string, MAX_STRING, Errno::EINVAL).map(Some)
}

fn find_source(task: &CurrentTask<'_>, source: Option<Vec<u8>>) -> Result<Path> {
    let source = source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
    task.fs().lookup(&task.caller(), None, &source, Lookup::FOLLOW)
}

/// All mounts are private, and none has a master: nothing to do for those two.
fn change_propagation(target: &Path, flags: MountFlags, kinds: MountFlags) -> Result<()> {
    let others = flags - kinds - MountFlags::MS_REC - MountFlags::MS_SILENT;
    if !others.is_empty() || !target.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    match flags & kinds {
        MountFlags::MS_PRIVATE | MountFlags::MS_SLAVE => Ok(()),
        other => {
            unsupported::note("mount propagation", other.bits());
            Err(Errno::EINVAL.into())
        }
    }
}

/// The flags about access times.
const ACCESS_TIMES: MountFlags = MountFlags::MS_NOATIME
    .union(MountFlags::MS_NODIRATIME)
    .union(MountFlags::MS_RELATIME)
    .union(MountFlags::MS_STRICTATIME);

fn forbids(flags: MountFlags) -> Forbids {
    let mut forbids = Forbids::empty();
    forbids.set(Forbids::RDONLY, flags.contains(MountFlags::MS_RDONLY));
    forbids.set(Forbids::NOSUID, flags.contains(MountFlags::MS_NOSUID));
    forbids.set(Forbids::NODEV, flags.contains(MountFlags::MS_NODEV));
    forbids.set(Forbids::NOEXEC, flags.contains(MountFlags::MS_NOEXEC));
    forbids.set(Forbids::NODIRATIME, flags.contains(MountFlags::MS_NODIRATIME));
    let strict = flags.contains(MountFlags::MS_STRICTATIME);
    forbids.set(Forbids::NOATIME, flags.contains(MountFlags::MS_NOATIME) && !strict);
    forbids.set(Forbids::RELATIME, !flags.contains(MountFlags::MS_NOATIME) && !strict);
    forbids
}

fn new_file_system(
    task: &CurrentTask<'_>,
    fs_type: &[u8],
    options: &[u8],
) -> Result<Arc<dyn FileSystem>> {
    match fs_type {
        b"tmpfs" | b"ramfs" => new_tmpfs(task, options),
        b"proc" => Ok(procfs::new(task.kernel())),
        b"devpts" => Ok(DevPts::new(task.caller().now(), devpts::Options::parse(options)?)),
        b"mqueue" => new_mqueue(task, options),
        b"sysfs" => Ok(procfs::sysfs::new(task.kernel())),
        _ => {
            unsupported::note("file system type", fs_type.len() as u64);
            Err(Errno::ENODEV.into())
        }
    }
}

/// The one file system of message queues, which takes no options.
fn new_mqueue(task: &CurrentTask<'_>, options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    if options.is_empty() {
        Ok(task.kernel().mqueues.file_system())
    } else {
        Err(Errno::EINVAL.into())
    }
}

/// A drive of the host, or a directory in one, by its host path: `C:`, `D:\\folder`.
fn new_drive(task: &CurrentTask<'_>, source: &[u8], options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let host = task.host();
    if host.drives().is_empty() {
        return Err(Errno::ENODEV.into());
    }
    let mut path = source.to_vec();
    if let [letter, b':'] = source
        && letter.is_ascii_alphabetic()
    {
        path.push(b'\\');
    }
    let options = DriveOptions::parse(options)?;
    let root = host.open_root(&path)?;
    let drive = drvfs::mount(host, root, path, options)?;
    Ok(drive)
}

/// `tmpfs(5)`, within the memory of the region.
fn new_tmpfs(task: &CurrentTask<'_>, options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let (_, memory) = task.host().region_usage();
    let mut options = tmpfs::Options::parse(options, memory)?;
    let cred = task.cred();
    options.uid.get_or_insert(cred.fsuid);
    options.gid.get_or_insert(cred.fsgid);
    Ok(TmpFs::with_options(task.host(), &options))
}

/// `umount2(2)`.
///
/// # Errors
///
/// - `EPERM`: not permitted to administer.
/// - `EINVAL`: no mount, or the root; `MNT_EXPIRE`, which lx does not have.
/// - `EBUSY`: in use.
pub(crate) fn sys_umount2(
    task: &CurrentTask<'_>,
    target: UserCStr,
    flags: UmountFlags,
) -> Result<()> {
    let mut how = Lookup::FOLLOW;
    how.set(Lookup::FOLLOW, !flags.contains(UmountFlags::UMOUNT_NOFOLLOW));
    let mut buffer = PathBuffer::new();
    let path = at::read_path(task, target, &mut buffer)?;
    // What is meant is on top, even of a place that one is in.
    let target = task.fs().lookup(&task.caller(), None, path, how)?.cross_mounts();
    if !task.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let detach = flags.contains(UmountFlags::MNT_DETACH);
    if flags.contains(UmountFlags::MNT_EXPIRE) && target.is_mount_root() {
        unsupported::note("umount2 flag", u64::from(flags.bits()));
        return Err(Errno::EINVAL.into());
    }
    let mounts = task.fs().mounts();
    let is_root = Arc::ptr_eq(&target.mount, &task.fs().root().mount);
    if is_root && !detach && target.is_mount_root() && mounts.contains(&target.mount) {
        // The root stays, but nobody writes there any more.
        return mounts.set_fs_read_only(&target.mount, true);
    }
    mounts.unmount(&target, detach)
}

/// `pivot_root(2)`: all processes that are in the old root directory get the new one, as there is
/// one tree for all.
///
/// # Errors
///
/// - `EPERM`: not permitted to administer.
/// - `EBUSY`, `EINVAL`, `ENOENT`: as [`MountTree::pivot`](lx_vfs::mount::MountTree::pivot).
/// - `ENOTDIR`: one of both is no directory.
pub(crate) fn sys_pivot_root(
    task: &CurrentTask<'_>,
    new_root: UserCStr,
    put_old: UserCStr,
) -> Result<()> {
    if !task.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let how = Lookup::FOLLOW | Lookup::DIRECTORY;
    let new_root = at::lookup(task, DirFd::AT_FDCWD, new_root, how)?;
    let put_old = at::lookup(task, DirFd::AT_FDCWD, put_old, how)?;
    let root = task.fs().root();
    task.fs().mounts().pivot(&root, &new_root, &put_old)?;
    for task in task.kernel().pids.tasks() {
        task.fs().move_places(&root, &new_root);
    }
    Ok(())
}
