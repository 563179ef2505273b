//! Host files and directories.

use alloc::vec::Vec;
use core::fmt;

use super::{HostError, HostResult};
use crate::abi::Errno;

/// A descriptor or handle of the host, valid in every host process, closed on drop.
pub struct HostFd {
    raw: u64,
    host: &'static dyn HostStorage,
}

impl HostFd {
    /// Wraps an open descriptor, for implementations of [`HostStorage`] only.
    pub fn from_raw(raw: u64, host: &'static dyn HostStorage) -> Self {
        Self { raw, host }
    }

    /// The host's own number.
    pub fn raw(&self) -> u64 {
        self.raw
    }
}

impl Drop for HostFd {
    fn drop(&mut self) {
        self.host.close(self.raw);
    }
}

impl fmt::Debug for HostFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostFd({})", self.raw)
    }
}

/// Where bytes go: kernel memory, or a claim on guest memory that the host checks itself.
#[derive(Debug)]
pub enum BufMut<'a> {
    /// Kernel memory.
    Kernel(&'a mut [u8]),
    /// Guest memory.
    Guest {
        /// Address.
        addr: u64,
        /// Length in bytes.
        len: usize,
    },
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub enum Buf<'a> {
    /// Kernel memory.
    Kernel(&'a [u8]),
    /// Guest memory.
    Guest {
        /// Address.
        addr: u64,
        /// Length in bytes.
        len: usize,
    },
}

impl Buf<'_> {
    /// Its first bytes, `len` at most.
    #[must_use]
    pub fn up_to(self, most: usize) -> Self {
        match self {
            Self::Kernel(bytes) => Self::Kernel(bytes.get(..most).unwrap_or(bytes)),
            Self::Guest { addr, len } => Self::Guest { addr, len: len.min(most) },
        }
    }
}

/// Type of a host file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// FIFO or pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// A point in time, nanoseconds since 1970 (before it: negative).
pub type HostTime = i64;

/// Attributes of a host file.
#[derive(Clone, Copy, Debug)]
pub struct HostStat {
    /// Type.
    pub file_type: HostFileType,
    /// Permission bits including set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device that holds the file, Linux encoding.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Hard links.
    pub nlink: u32,
    /// Device number of a device file.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// 512-byte units in use.
    pub blocks: u64,
    /// Last access.
    pub atime: HostTime,
    /// Last modification.
    pub mtime: HostTime,
    /// Last change of attributes.
    pub ctime: HostTime,
}

/// Attributes to be changed; `None` leaves one alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<HostTime>,
    /// Last modification.
    pub mtime: Option<HostTime>,
}

/// How to open a host file. Links are never followed.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostOpen {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// Each write goes to the end.
    pub append: bool,
    /// Must be a directory.
    pub directory: bool,
    /// Create a regular file with this mode; it must not exist.
    pub create: Option<u32>,
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct HostDirEntry {
    /// Name.
    pub name: Vec<u8>,
    /// Inode number.
    pub ino: u64,
    /// Type, where the directory tells it.
    pub file_type: Option<HostFileType>,
}

/// `statfs(2)` of the file system that holds a host file.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostStatFs {
    /// Block size in bytes.
    pub block_size: u64,
    /// Blocks.
    pub blocks: u64,
    /// Free blocks.
    pub free: u64,
    /// Free blocks for ordinary users.
    pub available: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}

/// What Linux keeps of a file and its host has no place for, as far as somebody has stored it beside
/// the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostMetadata {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Type and permission bits.
    pub mode: Option<u32>,
    /// Device number of a device file.
    pub rdev: Option<u64>,
}

/// A drive of a host that has drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDrive {
    /// Its name, such as `c`.
    pub name: Vec<u8>,
    /// Host path of its root directory.
    pub path: Vec<u8>,
}

/// Files and directories. `name` is one component without `/`; an empty name means `dir` itself.
pub trait HostStorage: Send + Sync {
    /// Opens a directory by its host path (bytes).
    fn open_root(&self, path: &[u8]) -> HostResult<HostFd>;
    /// Closes a descriptor; called by [`HostFd`]'s `Drop`.
    fn close(&self, raw: u64);
    /// Attributes of `dir/name`, links not followed.
    fn stat(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostStat>;
    /// Opens `dir/name`.
    fn open(&self, dir: &HostFd, name: &[u8], how: HostOpen) -> HostResult<HostFd>;
    /// Reads at an offset; 0 at the end.
    fn read_at(&self, fd: &HostFd, offset: u64, dst: BufMut<'_>) -> HostResult<usize>;
    /// Writes at an offset.
    fn write_at(&self, fd: &HostFd, offset: u64, src: Buf<'_>) -> HostResult<usize>;
    /// Reads from a stream at its own position.
    fn read(&self, fd: &HostFd, dst: BufMut<'_>) -> HostResult<usize>;
    /// Writes to a stream at its own position.
    fn write(&self, fd: &HostFd, src: Buf<'_>) -> HostResult<usize>;
    /// Moves the stream's own position, `lseek(2)` semantics (`whence` 0, 1, 2, 3, 4).
    fn seek(&self, fd: &HostFd, offset: i64, whence: u32) -> HostResult<u64>;
    /// All entries of a directory except `.` and `..`.
    fn read_dir(&self, dir: &HostFd) -> HostResult<Vec<HostDirEntry>>;
    /// Target of a symbolic link.
    fn read_link(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>>;
    /// Makes a directory.
    fn make_dir(&self, dir: &HostFd, name: &[u8], mode: u32) -> HostResult<()>;
    /// Makes a FIFO, socket or device node (`mode` with the type bits).
    fn make_node(&self, dir: &HostFd, name: &[u8], mode: u32, rdev: u64) -> HostResult<()>;
    /// Makes a symbolic link.
    fn make_symlink(&self, dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()>;
    /// Makes a hard link to `from_dir/from`.
    fn make_link(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        dir: &HostFd,
        name: &[u8],
    ) -> HostResult<()>;
    /// Removes a name; `directory` chooses `rmdir(2)`.
    fn remove(&self, dir: &HostFd, name: &[u8], directory: bool) -> HostResult<()>;
    /// Renames with the flags of `renameat2(2)`.
    fn rename(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        to_dir: &HostFd,
        to: &[u8],
        flags: u32,
    ) -> HostResult<()>;
    /// Changes attributes of `dir/name`, links not followed.
    fn set_attr(&self, dir: &HostFd, name: &[u8], change: &HostSetAttr) -> HostResult<()>;
    /// Writes data (and metadata unless `data_only`) to storage.
    fn sync_file(&self, fd: &HostFd, data_only: bool) -> HostResult<()>;
    /// File-system figures.
    fn stat_fs(&self, fd: &HostFd) -> HostResult<HostStatFs>;
    /// Drives with a file system in them; none where the host has one tree of files.
    fn drives(&self) -> Vec<HostDrive> {
        Vec::new()
    }
    /// What is stored beside `dir/name`.
    fn metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        let _ = (dir, name);
        Ok(HostMetadata::default())
    }
    /// Stores something beside `dir/name`; `None` leaves a value alone. `EOPNOTSUPP` where the
    /// host's file system cannot.
    fn set_metadata(&self, dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
        let _ = (dir, name, values);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Keeps nothing beside `dir/name` any more.
    fn forget_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        let _ = (dir, name);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// As [`metadata`](Self::metadata) of a symbolic link, which cannot carry something on all hosts.
    fn link_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        self.metadata(dir, name)
    }
    /// As [`set_metadata`](Self::set_metadata) of a symbolic link.
    fn set_link_metadata(
        &self,
        dir: &HostFd,
        name: &[u8],
        values: &HostMetadata,
    ) -> HostResult<()> {
        self.set_metadata(dir, name, values)
    }
    /// As [`forget_metadata`](Self::forget_metadata) of a symbolic link, also of one that is gone.
    fn forget_link_metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        let _ = (dir, name);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Whether a tree of files shall have owners and modes kept beside the files, because the host
    /// gives a file to nobody but the user that it runs lx for.
    fn keeps_owners(&self) -> bool {
        false
    }
    /// Value of an extended attribute of `dir/name`, links not followed.
    fn get_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<Vec<u8>> {
        let _ = (dir, name, attribute);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Sets an extended attribute; `flags` as in `setxattr(2)`.
    fn set_xattr(
        &self,
        dir: &HostFd,
        name: &[u8],
        attribute: &[u8],
        value: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        let _ = (dir, name, attribute, value, flags);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Names of the extended attributes, each with a NUL after it.
    fn list_xattr(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        let _ = (dir, name);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Removes an extended attribute.
    fn remove_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
        let _ = (dir, name, attribute);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Allocates or removes blocks; `mode` as in `fallocate(2)`.
    fn allocate(&self, fd: &HostFd, mode: u32, offset: u64, len: u64) -> HostResult<()> {
        let _ = (fd, mode, offset, len);
        Err(HostError(Errno::EOPNOTSUPP))
    }
    /// Makes the names in `dir/name`, an empty directory, differ by their case.
    fn distinguish_case(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        let _ = (dir, name);
        Err(HostError(Errno::EOPNOTSUPP))
    }
}
