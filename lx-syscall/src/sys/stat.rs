//! Attributes of files and file systems: `stat(2)`, `statx(2)`, `statfs(2)` and relatives.

use lx_core::Result;
use lx_core::abi::fcntl::AtFlags;
use lx_core::abi::mount::{ANON_INODE_FS_MAGIC, PIPEFS_MAGIC, SOCKFS_MAGIC, StatfsFlags};
use lx_core::abi::stat::{
    FileMode, FileType, Stat, Statfs, Statx, StatxAttributes, StatxMask, StatxTimestamp, major,
    minor,
};
use lx_core::abi::{DirFd, Errno, Fd, UserCStr, UserPtr};
use lx_core::file::OpenFile;
use lx_core::time::split_time;
use lx_proc::CurrentTask;
use lx_vfs::anon::ANON_DEV;
use lx_vfs::inode::{Attr, NAME_MAX};
use lx_vfs::inode_flags::InodeFlags;
use lx_vfs::location::Path;
use lx_vfs::path::Lookup;

use super::at;

/// `stat(2)`.
pub(crate) fn sys_stat(task: &CurrentTask<'_>, path: UserCStr, out: UserPtr<Stat>) -> Result<()> {
    stat_path(task, DirFd::AT_FDCWD, path, AtFlags::empty(), out)
}

/// `lstat(2)`.
pub(crate) fn sys_lstat(task: &CurrentTask<'_>, path: UserCStr, out: UserPtr<Stat>) -> Result<()> {
    stat_path(task, DirFd::AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW, out)
}

/// `fstat(2)`.
pub(crate) fn sys_fstat(task: &CurrentTask<'_>, fd: Fd, out: UserPtr<Stat>) -> Result<()> {
    let file = task.files().get_any(fd)?;
    let stat = file.ops().stat(&task.caller(), &file)?;
    task.memory().write(out, &stat)
}

/// `newfstatat(2)`, the C library's `fstatat`.
pub(crate) fn sys_newfstatat(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    out: UserPtr<Stat>,
    flags: AtFlags,
) -> Result<()> {
    // Linux looks at the flags only on the way to a path.
    if let Some(fd) = at::descriptor_itself(task, dirfd, path, flags) {
        return sys_fstat(task, fd, out);
    }
    check_flags(flags)?;
    stat_path(task, dirfd, path, flags, out)
}

fn check_flags(flags: AtFlags) -> Result<()> {
    let known = AtFlags::AT_SYMLINK_NOFOLLOW
        | AtFlags::AT_NO_AUTOMOUNT
        | AtFlags::AT_EMPTY_PATH
        | AtFlags::AT_STATX_SYNC_TYPE;
    if known.contains(flags) { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

fn stat_path(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: AtFlags,
    out: UserPtr<Stat>,
) -> Result<()> {
    let place = lookup(task, dirfd, path, flags)?;
    let stat = place.inode().attr(&task.caller())?.to_stat();
    task.memory().write(out, &stat)
}

/// Unlike other calls, these take a null pointer for an empty path.
fn lookup(task: &CurrentTask<'_>, dirfd: DirFd, path: UserCStr, flags: AtFlags) -> Result<Path> {
    if path.is_null() && flags.contains(AtFlags::AT_EMPTY_PATH) {
        let start = at::start(task, dirfd, b"")?;
        return task.fs().lookup(&task.caller(), start.path()?, b"", Lookup::EMPTY);
    }
    at::lookup(task, dirfd, path, at::follow_unless_told(flags))
}

/// `statx(2)`. All that is known is returned, whatever `mask` asks for, as Linux's own file
/// systems do; files are never out of date, so that the flags about synchronisation change nothing.
pub(crate) fn sys_statx(
    task: &CurrentTask<'_>,
    dirfd: DirFd,
    path: UserCStr,
    flags: AtFlags,
    mask: StatxMask,
    out: UserPtr<Statx>,
) -> Result<()> {
    if flags.contains(AtFlags::AT_STATX_SYNC_TYPE) {
        return Err(Errno::EINVAL.into());
    }
    let caller = task.caller();
    let statx = if let Some(fd) = at::descriptor_itself(task, dirfd, path, flags) {
        let file = task.files().get_any(fd)?;
        match Path::of(&file) {
            Some(place) => statx_of(place, &place.inode().attr(&caller)?, mask),
            None => statx_of_stat(&file.ops().stat(&caller, &file)?),
        }
    } else {
        check_flags(flags)?;
        let place = lookup(task, dirfd, path, flags)?;
        statx_of(&place, &place.inode().attr(&caller)?, mask)
    };
    task.memory().write(out, &statx)
}

/// What statx shows of the flags of an inode.
const INODE_FLAGS: [(InodeFlags, StatxAttributes); 3] = [
    (InodeFlags::IMMUTABLE, StatxAttributes::STATX_ATTR_IMMUTABLE),
    (InodeFlags::APPEND, StatxAttributes::STATX_ATTR_APPEND),
    (InodeFlags::NODUMP, StatxAttributes::STATX_ATTR_NODUMP),
];

fn statx_of(place: &Path, attr: &Attr, mask: StatxMask) -> Statx {
    let mut statx = statx_of_stat(&attr.to_stat());
    let mut known = StatxMask::STATX_BASIC_STATS;
    if let Some(created) = attr.btime {
        let (tv_sec, tv_nsec) = split_time(created);
        statx.stx_btime = StatxTimestamp { tv_sec, tv_nsec, ..StatxTimestamp::default() };
        known |= StatxMask::STATX_BTIME;
    }
    // Mount numbers are never used again, so that one number serves both questions.
    known |= if mask.contains(StatxMask::STATX_MNT_ID_UNIQUE) {
        StatxMask::STATX_MNT_ID_UNIQUE
    } else {
        StatxMask::STATX_MNT_ID
    };
    statx.stx_mnt_id = place.mount.id();
    statx.stx_mask = known.bits();
    let mut attributes = StatxAttributes::empty();
    attributes.set(StatxAttributes::STATX_ATTR_MOUNT_ROOT, place.is_mount_root());
    let mut attributes_mask = StatxAttributes::STATX_ATTR_MOUNT_ROOT;
    for (flag, attribute) in INODE_FLAGS {
        attributes.set(attribute, place.inode().permissions().flags.contains(flag));
        attributes_mask |= attribute;
    }
    statx.stx_attributes = attributes.bits();
    statx.stx_attributes_mask = attributes_mask.bits();
    statx
}

/// What a file without a place in the tree has.
fn statx_of_stat(stat: &Stat) -> Statx {
    let time = |tv_sec, nanos: i64| StatxTimestamp {
        tv_sec,
        tv_nsec: nanos as u32,
        ..StatxTimestamp::default()
    };
    Statx {
        stx_mask: StatxMask::STATX_BASIC_STATS.bits(),
        stx_blksize: u32::try_from(stat.st_blksize).unwrap_or(u32::MAX),
        stx_nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        stx_uid: stat.st_uid,
        stx_gid: stat.st_gid,
        stx_mode: stat.st_mode as u16,
        stx_ino: stat.st_ino,
        stx_size: stat.st_size.cast_unsigned(),
        stx_blocks: stat.st_blocks.cast_unsigned(),
        stx_atime: time(stat.st_atime, stat.st_atime_nsec),
        stx_ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        stx_mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        stx_rdev_major: major(stat.st_rdev),
        stx_rdev_minor: minor(stat.st_rdev),
        stx_dev_major: major(stat.st_dev),
        stx_dev_minor: minor(stat.st_dev),
        ..Statx::default()
    }
}

/// `statfs(2)`.
pub(crate) fn sys_statfs(
    task: &CurrentTask<'_>,
    path: UserCStr,
    out: UserPtr<Statfs>,
) -> Result<()> {
    let place = at::lookup(task, DirFd::AT_FDCWD, path, Lookup::FOLLOW)?;
    let statfs = statfs_of(task, &place)?;
    task.memory().write(out, &statfs)
}

/// `fstatfs(2)`.
pub(crate) fn sys_fstatfs(task: &CurrentTask<'_>, fd: Fd, out: UserPtr<Statfs>) -> Result<()> {
    let file = task.files().get_any(fd)?;
    let statfs = match Path::of(&file) {
        Some(place) => statfs_of(task, place)?,
        None => statfs_of_nameless(task, &file)?,
    };
    task.memory().write(out, &statfs)
}

fn statfs_of(task: &CurrentTask<'_>, place: &Path) -> Result<Statfs> {
    let mut statfs = place.mount.fs().statfs(&task.caller())?;
    let flags = place.mount.flags().bits() | StatfsFlags::ST_VALID.bits();
    statfs.f_flags = i64::from(flags);
    Ok(statfs)
}

/// The internal file systems of pipes, sockets and anonymous inodes.
fn statfs_of_nameless(task: &CurrentTask<'_>, file: &OpenFile) -> Result<Statfs> {
    const BLOCK_SIZE: i64 = 4096;
    let stat = file.ops().stat(&task.caller(), file)?;
    let f_type = match FileMode(stat.st_mode).file_type() {
        Some(FileType::Fifo) => PIPEFS_MAGIC,
        Some(FileType::Socket) => SOCKFS_MAGIC,
        _ if stat.st_dev == ANON_DEV => ANON_INODE_FS_MAGIC,
        // A file of the host that was handed in as a standard stream.
        _ => return Err(Errno::ENOSYS.into()),
    };
    Ok(Statfs {
        f_type,
        f_bsize: BLOCK_SIZE,
        f_frsize: BLOCK_SIZE,
        f_namelen: NAME_MAX as i64,
        f_flags: i64::from(StatfsFlags::ST_VALID.bits()),
        ..Statfs::default()
    })
}
