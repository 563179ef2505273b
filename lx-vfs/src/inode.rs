//! Inodes: what a file system implements.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use lx_core::abi::stat::{FileType, S_IALLUGO, Stat, Statfs};
use lx_core::abi::{Errno, fcntl::OpenFlags};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};
use lx_core::time::split_time;
use lx_core::{Result, SysError};

use crate::inode_flags::InodeFlags;
use crate::location::Path;
use crate::write_access::WriteCount;

/// Most bytes of a file name.
pub const NAME_MAX: usize = 255;

/// What permission checks look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The twelve permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What nobody may do.
    pub flags: InodeFlags,
}

/// Attributes of an inode; times in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attr {
    /// Device number of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// 512-byte units in use.
    pub blocks: u64,
    /// Preferred unit of transfers.
    pub blksize: u32,
    /// Last access.
    pub atime: i64,
    /// Last modification.
    pub mtime: i64,
    /// Last change of the inode.
    pub ctime: i64,
    /// Creation, where known.
    pub btime: Option<i64>,
}

impl Attr {
    /// As `stat(2)` reports them.
    pub fn to_stat(&self) -> Stat {
        let (st_atime, atime_nsec) = split_time(self.atime);
        let (st_mtime, mtime_nsec) = split_time(self.mtime);
        let (st_ctime, ctime_nsec) = split_time(self.ctime);
        Stat {
            st_dev: self.dev,
            st_ino: self.ino,
            st_nlink: u64::from(self.nlink),
            st_mode: self.mode,
            st_uid: self.uid,
            st_gid: self.gid,
            st_rdev: self.rdev,
            st_size: self.size.cast_signed(),
            st_blksize: i64::from(self.blksize),
            st_blocks: self.blocks.cast_signed(),
            st_atime,
            st_atime_nsec: i64::from(atime_nsec),
            st_mtime,
            st_mtime_nsec: i64::from(mtime_nsec),
            st_ctime,
            st_ctime_nsec: i64::from(ctime_nsec),
            ..Stat::default()
        }
    }

    /// What permission checks need of them.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            mode: self.mode & S_IALLUGO,
            uid: self.uid,
            gid: self.gid,
            flags: InodeFlags::empty(),
        }
    }
}

/// Attributes to be changed; permissions were checked before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<i64>,
    /// Last modification.
    pub mtime: Option<i64>,
    /// The present time, for `ctime` (and `mtime` when the length changes).
    pub now: i64,
}

/// What kind of inode [`InodeOps::create`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKind<'a> {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link with its target.
    Symlink(&'a [u8]),
    /// FIFO.
    Fifo,
    /// Socket node.
    Socket,
    /// Character device.
    CharDevice(u64),
    /// Block device.
    BlockDevice(u64),
}

impl NewKind<'_> {
    /// The file type.
    pub fn file_type(&self) -> FileType {
        match self {
            Self::Regular => FileType::Regular,
            Self::Directory => FileType::Directory,
            Self::Symlink(_) => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            Self::CharDevice(_) => FileType::CharDevice,
            Self::BlockDevice(_) => FileType::BlockDevice,
        }
    }

    /// The device number, 0 if it has none.
    pub fn rdev(&self) -> u64 {
        match self {
            Self::CharDevice(rdev) | Self::BlockDevice(rdev) => *rdev,
            _ => 0,
        }
    }
}

/// An inode to be made. The mode has been masked, the group chosen (set-group-id directories).
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// What it is.
    pub kind: NewKind<'a>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How long the names of a directory may be kept in the dentry cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCaching {
    /// Until this kernel changes them.
    Always,
    /// As long as [`InodeOps::names_unchanged`] says so.
    Revalidate,
    /// Not at all.
    Never,
}

/// All entries of a directory at one moment, but for `.` and `..`.
#[derive(Default)]
pub struct DirListing {
    /// Inode number, type (`DT_*`), end of the name in `names`.
    entries: Vec<(u64, u8, usize)>,
    names: Vec<u8>,
}

impl DirListing {
    /// Adds an entry.
    pub fn push(&mut self, ino: u64, file_type: u8, name: &[u8]) {
        self.names.extend_from_slice(name);
        self.entries.push((ino, file_type, self.names.len()));
    }

    /// Adds all entries of another listing.
    pub fn append(&mut self, other: &Self) {
        let before = self.names.len();
        self.names.extend_from_slice(&other.names);
        let moved = other.entries.iter().map(|&(ino, t, end)| (ino, t, end.saturating_add(before)));
        self.entries.extend(moved);
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(self.entries.as_slice()).saturating_add(self.names.len())
    }

    /// Gives back what was allocated for more entries.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.names.shrink_to_fit();
    }

    /// Entry `at`: inode number, type, name.
    pub fn get(&self, at: usize) -> Option<(u64, u8, &[u8])> {
        let (ino, file_type, end) = *self.entries.get(at)?;
        let start = match at.checked_sub(1) {
            Some(before) => self.entries.get(before)?.2,
            None => 0,
        };
        Some((ino, file_type, self.names.get(start..end)?))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u8, &[u8])> {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

/// Operations of an inode. Names are single components of 1 to 255 bytes, never `.` or `..`.
///
/// Permissions, read-only mounts and the type of the inode have been checked by the caller, except
/// where races make that impossible. No method is called with a lock held.
pub trait InodeOps: Any + Send + Sync {
    /// The type; it never changes.
    fn file_type(&self) -> FileType;

    /// Mode and owner; called for every component of a path, so it must be cheap.
    fn permissions(&self) -> Permissions;

    /// All attributes.
    ///
    /// # Errors
    /// As `stat(2)`.
    fn attr(&self, caller: &Caller<'_>) -> Result<Attr>;

    /// Changes attributes.
    ///
    /// # Errors
    /// `EPERM` where the file system has nothing to change.
    fn set_attr(&self, caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        let _ = (caller, change);
        Err(Errno::EPERM.into())
    }

    /// The flags that `FS_IOC_SETFLAGS` changes.
    ///
    /// # Errors
    /// `ENOTTY` if the file system has none.
    fn flags(&self) -> Result<InodeFlags> {
        Err(Errno::ENOTTY.into())
    }

    /// Replaces the flags.
    ///
    /// # Errors
    /// `ENOTTY` if the file system has none.
    fn set_flags(&self, caller: &Caller<'_>, flags: InodeFlags) -> Result<()> {
        let _ = (caller, flags);
        Err(Errno::ENOTTY.into())
    }

    /// Opens it; `path` is where. `O_CREAT`, `O_EXCL` and `O_TRUNC` were dealt with.
    ///
    /// # Errors
    /// As `open(2)`.
    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>>;

    /// Bytes were read from a FIFO through `file`: its access time moves.
    fn fifo_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        let _ = (caller, file);
    }

    /// As [`fifo_read`](Self::fifo_read), of a write: the times of its contents and attributes move.
    fn fifo_written(&self, caller: &Caller<'_>, file: &OpenFile) {
        let _ = (caller, file);
    }

    /// Of a regular file that can be written and executed: who does.
    fn write_count(&self) -> Option<&WriteCount> {
        None
    }

    /// How long names in this directory may be cached. Asked once per dentry.
    fn name_caching(&self) -> NameCaching {
        NameCaching::Always
    }

    /// For [`NameCaching::Revalidate`]: whether the cached names of this directory still hold.
    fn names_unchanged(&self, caller: &Caller<'_>) -> bool {
        let _ = caller;
        true
    }

    /// Whether two spellings are one name in this directory.
    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        one == other
    }

    /// The entry `name` of this directory.
    ///
    /// # Errors
    /// `ENOENT`.
    fn lookup(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        let _ = (caller, name);
        Err(Errno::ENOTDIR.into())
    }

    /// The directory was read through `file`, for those that keep access times.
    fn was_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        let _ = (caller, file);
    }

    /// All entries.
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let _ = (caller, listing);
        Err(Errno::ENOTDIR.into())
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// `EEXIST`, `ENOSPC`; `EPERM` if the file system has no such inodes.
    fn create(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        let _ = (caller, name, new);
        Err(Errno::EPERM.into())
    }

    /// Makes a regular file without a name, `O_TMPFILE`.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn create_unnamed(&self, caller: &Caller<'_>, new: &NewInode<'_>) -> Result<Arc<dyn InodeOps>> {
        let _ = (caller, new);
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Makes a hard link to `target`, an inode of the same file system.
    ///
    /// # Errors
    /// `EEXIST`; `EPERM` if the file system has no links.
    fn link(&self, caller: &Caller<'_>, name: &[u8], target: &Arc<dyn InodeOps>) -> Result<()> {
        let _ = (caller, name, target);
        Err(Errno::EPERM.into())
    }

    /// Removes an entry that is no directory.
    ///
    /// # Errors
    /// `ENOENT`, `EISDIR`.
    fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let _ = (caller, name);
        Err(Errno::EPERM.into())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`.
    fn rmdir(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let _ = (caller, name);
        Err(Errno::EPERM.into())
    }

    /// Moves `name` to `new_name` in `new_dir`, a directory of the same file system; `flags` as in
    /// `renameat2(2)`.
    ///
    /// # Errors
    /// As `rename(2)`.
    fn rename(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new_dir: &Arc<dyn InodeOps>,
        new_name: &[u8],
        flags: lx_core::abi::fcntl::RenameFlags,
    ) -> Result<()> {
        let _ = (caller, name, new_dir, new_name, flags);
        Err(Errno::EPERM.into())
    }

    /// Target of a symbolic link.
    ///
    /// # Errors
    /// `EINVAL` for other inodes.
    fn read_link(&self, caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        let _ = caller;
        Err(Errno::EINVAL.into())
    }

    /// Whether the target of this symbolic link is the same for everybody and at all times.
    fn has_fixed_target(&self) -> bool {
        true
    }

    /// For magic links (`/proc/self/fd/N`): where following leads, which need not have a name.
    ///
    /// # Errors
    /// As `proc(5)` says.
    fn follow(&self, caller: &Caller<'_>) -> Result<Option<Path>> {
        let _ = caller;
        Ok(None)
    }

    /// Value of an extended attribute.
    ///
    /// # Errors
    /// `EOPNOTSUPP`; `ENODATA`.
    fn get_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        let _ = (caller, name);
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Sets an extended attribute; `flags` as in `setxattr(2)`.
    ///
    /// # Errors
    /// `EOPNOTSUPP`; `EEXIST`, `ENODATA` as `flags` ask.
    fn set_xattr(&self, caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let _ = (caller, name, value, flags);
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Names of the extended attributes, each with a NUL after it.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn list_xattr(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let _ = caller;
        Ok(Vec::new())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// `EOPNOTSUPP`; `ENODATA`.
    fn remove_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let _ = (caller, name);
        Err(Errno::EOPNOTSUPP.into())
    }
}

/// The inode as a `T`, if it is one.
pub fn downcast<T: InodeOps>(inode: &Arc<dyn InodeOps>) -> Option<Arc<T>> {
    let any: Arc<dyn Any + Send + Sync> = Arc::clone(inode) as _;
    any.downcast().ok()
}

/// A mounted file system, the superblock.
pub trait FileSystem: Send + Sync {
    /// Its name in `/proc/mounts`.
    fn name(&self) -> &'static str;

    /// Its root directory; the same inode every time.
    fn root(&self) -> Arc<dyn InodeOps>;

    /// Figures for `statfs(2)`; the mount adds its flags.
    ///
    /// # Errors
    /// `EIO`.
    fn statfs(&self, caller: &Caller<'_>) -> Result<Statfs>;

    /// The largest size that a file may have (`s_maxbytes`).
    fn max_file_size(&self) -> u64 {
        i64::MAX as u64
    }

    /// The host path of its root, if it is a directory of the host and native programs may know it.
    fn host_path(&self) -> Option<&[u8]> {
        None
    }

    /// Whether files are in use that have no name any more.
    fn has_removed(&self) -> bool {
        false
    }

    /// Options in `/proc/mounts` after `rw` or `ro`, each with a comma before it.
    fn options(&self) -> alloc::string::String {
        alloc::string::String::new()
    }
}

/// Whether a lookup failed because there is no such name.
pub(crate) fn is_missing(error: SysError) -> bool {
    error == SysError::Errno(Errno::ENOENT)
}
