//! File metadata: `include/uapi/linux/stat.h`, `asm/stat.h`, `asm/statfs.h`; stat(2), statx(2).

use super::{Errno, FromArg, TraceArg};
use core::fmt;
use linux_raw_sys::general as sys;

abi_consts!(u32, checked by general {
    /// The bits that hold the file's type.
    S_IFMT = 0o170_000,
    S_IFSOCK = 0o140_000,
    S_IFLNK = 0o120_000,
    S_IFREG = 0o100_000,
    S_IFBLK = 0o060_000,
    S_IFDIR = 0o040_000,
    S_IFCHR = 0o020_000,
    S_IFIFO = 0o010_000,
    /// Set-user-id.
    S_ISUID = 0o4000,
    /// Set-group-id.
    S_ISGID = 0o2000,
    /// Sticky.
    S_ISVTX = 0o1000,
    S_IRWXU = 0o700,
    S_IRUSR = 0o400,
    S_IWUSR = 0o200,
    S_IXUSR = 0o100,
    S_IRWXG = 0o070,
    S_IRGRP = 0o040,
    S_IWGRP = 0o020,
    S_IXGRP = 0o010,
    S_IRWXO = 0o007,
    S_IROTH = 0o004,
    S_IWOTH = 0o002,
    S_IXOTH = 0o001,
});

/// The permission, set-id and sticky bits together.
pub const S_IALLUGO: u32 = 0o7777;

/// What kind of file an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A FIFO or pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
}

impl FileType {
    /// The type's `S_IF*` bits.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => S_IFIFO,
            Self::CharDevice => S_IFCHR,
            Self::Directory => S_IFDIR,
            Self::BlockDevice => S_IFBLK,
            Self::Regular => S_IFREG,
            Self::Symlink => S_IFLNK,
            Self::Socket => S_IFSOCK,
        }
    }

    /// The type in a mode, if its bits name one.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & S_IFMT {
            S_IFIFO => Self::Fifo,
            S_IFCHR => Self::CharDevice,
            S_IFDIR => Self::Directory,
            S_IFBLK => Self::BlockDevice,
            S_IFREG => Self::Regular,
            S_IFLNK => Self::Symlink,
            S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }

    /// The type's `DT_*` number in a directory entry.
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A mode argument or `st_mode`: type and permission bits (`umode_t`, 16 bits wide).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FileMode(pub u32);

impl FileMode {
    /// A mode of this type with these permission bits.
    #[must_use]
    pub const fn new(kind: FileType, permissions: u32) -> Self {
        Self(kind.mode_bits() | (permissions & S_IALLUGO))
    }

    /// The file type, if the bits name one.
    #[must_use]
    pub const fn file_type(self) -> Option<FileType> {
        FileType::from_mode(self.0)
    }

    /// The twelve permission, set-id and sticky bits.
    #[must_use]
    pub const fn permissions(self) -> u32 {
        self.0 & S_IALLUGO
    }
}

impl FromArg for FileMode {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as u32 & 0xffff))
    }
}

impl TraceArg for FileMode {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.file_type() {
            None => return write!(f, "{}", COctal(self.0)),
            Some(FileType::Fifo) => "S_IFIFO",
            Some(FileType::CharDevice) => "S_IFCHR",
            Some(FileType::Directory) => "S_IFDIR",
            Some(FileType::BlockDevice) => "S_IFBLK",
            Some(FileType::Regular) => "S_IFREG",
            Some(FileType::Symlink) => "S_IFLNK",
            Some(FileType::Socket) => "S_IFSOCK",
        };
        write!(f, "{name}|{}", COctal(self.permissions()))
    }
}

/// Octal with C's single leading zero (Rust's `{:#o}` writes `0o`).
struct COctal(u32);

impl fmt::Display for COctal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0{:03o}", self.0)
    }
}

/// A device number in the kernel's 64-bit encoding (`new_encode_dev` and makedev(3) agree).
#[must_use]
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xffff_f000) << 32)
        | ((major & 0xfff) << 8)
        | ((minor & 0xffff_ff00) << 12)
        | (minor & 0xff)
}

/// The major number of a device.
#[must_use]
pub const fn major(dev: u64) -> u32 {
    ((dev >> 32 & 0xffff_f000) | (dev >> 8 & 0xfff)) as u32
}

/// The minor number of a device.
#[must_use]
pub const fn minor(dev: u64) -> u32 {
    ((dev >> 12 & 0xffff_ff00) | (dev & 0xff)) as u32
}

abi_struct! {
    /// `struct stat`
    pub struct Stat = sys::stat {
        pub st_dev: u64,
        pub st_ino: u64,
        pub st_nlink: u64,
        pub st_mode: u32,
        pub st_uid: u32,
        pub st_gid: u32,
        pub __pad0: u32,
        pub st_rdev: u64,
        pub st_size: i64,
        pub st_blksize: i64,
        /// In units of 512 bytes.
        pub st_blocks: i64,
        pub st_atime: i64,
        pub st_atime_nsec: i64,
        pub st_mtime: i64,
        pub st_mtime_nsec: i64,
        pub st_ctime: i64,
        pub st_ctime_nsec: i64,
        pub __unused: [i64; 3],
    }
}

abi_struct! {
    /// `struct statx_timestamp`
    #[derive(PartialEq, Eq)]
    pub struct StatxTimestamp = sys::statx_timestamp {
        pub tv_sec: i64,
        pub tv_nsec: u32,
        pub __reserved: i32,
    }
}

abi_struct! {
    /// `struct statx`
    pub struct Statx = sys::statx {
        pub stx_mask: u32,
        pub stx_blksize: u32,
        pub stx_attributes: u64,
        pub stx_nlink: u32,
        pub stx_uid: u32,
        pub stx_gid: u32,
        pub stx_mode: u16,
        pub __spare0: [u16; 1],
        pub stx_ino: u64,
        pub stx_size: u64,
        pub stx_blocks: u64,
        pub stx_attributes_mask: u64,
        pub stx_atime: StatxTimestamp,
        pub stx_btime: StatxTimestamp,
        pub stx_ctime: StatxTimestamp,
        pub stx_mtime: StatxTimestamp,
        pub stx_rdev_major: u32,
        pub stx_rdev_minor: u32,
        pub stx_dev_major: u32,
        pub stx_dev_minor: u32,
        pub stx_mnt_id: u64,
        pub stx_dio_mem_align: u32,
        pub stx_dio_offset_align: u32,
        pub stx_subvol: u64,
        pub stx_atomic_write_unit_min: u32,
        pub stx_atomic_write_unit_max: u32,
        pub stx_atomic_write_segments_max: u32,
        pub stx_dio_read_offset_align: u32,
        pub stx_atomic_write_unit_max_opt: u32,
        pub __spare2: [u32; 1],
        pub __spare3: [u64; 8],
    }
}

abi_flags! {
    /// What statx(2) is asked for, and what it returned. Unknown bits are ignored, except the
    /// reserved highest one, which gives `EINVAL`.
    pub struct StatxMask: u32, checked by general {
        STATX_TYPE = 0x0001,
        STATX_MODE = 0x0002,
        STATX_NLINK = 0x0004,
        STATX_UID = 0x0008,
        STATX_GID = 0x0010,
        STATX_ATIME = 0x0020,
        STATX_MTIME = 0x0040,
        STATX_CTIME = 0x0080,
        STATX_INO = 0x0100,
        STATX_SIZE = 0x0200,
        STATX_BLOCKS = 0x0400,
        STATX_BTIME = 0x0800,
        STATX_MNT_ID = 0x1000,
        STATX_DIOALIGN = 0x2000,
        STATX_MNT_ID_UNIQUE = 0x4000,
        STATX_SUBVOL = 0x8000,
        STATX_WRITE_ATOMIC = 0x10000,
        STATX_DIO_READ_ALIGN = 0x20000,
    }
}

impl StatxMask {
    /// Everything stat(2) reports.
    pub const STATX_BASIC_STATS: Self = Self::from_bits_retain(sys::STATX_BASIC_STATS);
}

impl FromArg for StatxMask {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        let bits = raw as u32;
        if bits & sys::STATX__RESERVED != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self::from_bits_truncate(bits))
    }
}

trace_flags!(StatxMask, StatxAttributes);

abi_flags! {
    /// `stx_attributes`
    pub struct StatxAttributes: u64, checked by general {
        STATX_ATTR_COMPRESSED = 0x4,
        STATX_ATTR_IMMUTABLE = 0x10,
        STATX_ATTR_APPEND = 0x20,
        STATX_ATTR_NODUMP = 0x40,
        STATX_ATTR_ENCRYPTED = 0x800,
        STATX_ATTR_AUTOMOUNT = 0x1000,
        STATX_ATTR_MOUNT_ROOT = 0x2000,
        STATX_ATTR_VERITY = 0x0010_0000,
        STATX_ATTR_DAX = 0x0020_0000,
        STATX_ATTR_WRITE_ATOMIC = 0x0040_0000,
    }
}

abi_struct! {
    /// `struct statfs`
    pub struct Statfs [size 120] {
        @0 pub f_type: i64,
        @8 pub f_bsize: i64,
        @16 pub f_blocks: u64,
        @24 pub f_bfree: u64,
        @32 pub f_bavail: u64,
        @40 pub f_files: u64,
        @48 pub f_ffree: u64,
        @56 pub f_fsid: [i32; 2],
        @64 pub f_namelen: i64,
        @72 pub f_frsize: i64,
        /// The mount's flags, see [`super::mount::StatfsFlags`].
        @80 pub f_flags: i64,
        @88 pub f_spare: [i64; 4],
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::abi::arg::Traced;
    use std::string::ToString;

    #[test]
    fn device_numbers() {
        assert_eq!(makedev(1, 3), 0x103);
        assert_eq!(makedev(136, 0), 0x8800);
        let dev = makedev(0xabcd_e123, 0x4567_89ab);
        assert_eq!((major(dev), minor(dev)), (0xabcd_e123, 0x4567_89ab));
    }

    #[test]
    fn modes() {
        let mode = FileMode::new(FileType::Directory, 0o1755);
        assert_eq!(mode.0, 0o041_755);
        assert_eq!(mode.file_type(), Some(FileType::Directory));
        assert_eq!(mode.permissions(), 0o1755);
        assert_eq!(FileType::Regular.dirent_type(), 8);
        assert_eq!(FileMode(0o644).file_type(), None);
        assert_eq!(Traced(&FileMode(0o644)).to_string(), "0644");
        assert_eq!(Traced(&FileMode(0)).to_string(), "0000");
        assert_eq!(Traced(&FileMode(0o100_644)).to_string(), "S_IFREG|0644");
    }

    #[test]
    fn statx_rejects_the_reserved_bit_only() {
        assert_eq!(StatxMask::from_arg(0x8000_0000), Err(Errno::EINVAL));
        assert_eq!(StatxMask::from_arg(0x4000_0001), Ok(StatxMask::STATX_TYPE));
    }
}
