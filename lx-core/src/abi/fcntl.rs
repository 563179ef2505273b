//! Opening and controlling files: `include/uapi/linux/fcntl.h`, open(2), fcntl(2), flock(2).

use super::{Errno, FromArg, TraceArg};
use core::fmt;

abi_flags! {
    /// Flags of open(2) and the file status flags of fcntl(2).
    ///
    /// As an argument of open and openat unknown bits are dropped, as Linux does; openat2 rejects
    /// them, so it decodes with `from_bits`.
    pub struct OpenFlags: u32, checked by general {
        O_WRONLY = 0o1,
        O_RDWR = 0o2,
        O_CREAT = 0o100,
        O_EXCL = 0o200,
        O_NOCTTY = 0o400,
        O_TRUNC = 0o1000,
        O_APPEND = 0o2000,
        O_NONBLOCK = 0o4000,
        /// Contains [`OpenFlags::O_DSYNC`].
        O_SYNC = 0o4_010_000,
        O_DSYNC = 0o10_000,
        O_DIRECT = 0o40_000,
        O_LARGEFILE = 0o100_000,
        /// Contains [`OpenFlags::O_DIRECTORY`].
        O_TMPFILE = 0o20_200_000,
        O_DIRECTORY = 0o200_000,
        O_NOFOLLOW = 0o400_000,
        O_NOATIME = 0o1_000_000,
        O_CLOEXEC = 0o2_000_000,
        O_PATH = 0o10_000_000,
    } and {
        /// Signal-driven I/O (`FASYNC` in the kernel).
        O_ASYNC = 0o20_000,
    }
}

/// The access mode within [`OpenFlags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// `O_RDONLY`
    ReadOnly,
    /// `O_WRONLY`
    WriteOnly,
    /// `O_RDWR`
    ReadWrite,
    /// The value 3: permission to read and write is needed, but neither is given (ioctl only).
    IoctlOnly,
}

impl AccessMode {
    /// Whether the file can be read through this descriptor.
    #[must_use]
    pub const fn readable(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadWrite)
    }

    /// Whether the file can be written through this descriptor.
    #[must_use]
    pub const fn writable(self) -> bool {
        matches!(self, Self::WriteOnly | Self::ReadWrite)
    }
}

impl OpenFlags {
    /// No bits: the read-only access mode.
    pub const O_RDONLY: Self = Self::empty();
    /// The two bits of the access mode.
    pub const O_ACCMODE: Self = Self::O_WRONLY.union(Self::O_RDWR);
    /// What `F_SETFL` may change.
    pub const SETTABLE: Self = Self::O_APPEND
        .union(Self::O_NONBLOCK)
        .union(Self::O_DIRECT)
        .union(Self::O_NOATIME)
        .union(Self::O_ASYNC);

    /// The access mode.
    #[must_use]
    pub const fn access_mode(self) -> AccessMode {
        match self.bits() & Self::O_ACCMODE.bits() {
            0 => AccessMode::ReadOnly,
            1 => AccessMode::WriteOnly,
            2 => AccessMode::ReadWrite,
            _ => AccessMode::IoctlOnly,
        }
    }
}

impl FromArg for OpenFlags {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self::from_bits_truncate(raw as u32))
    }
}

impl TraceArg for OpenFlags {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.access_mode() {
            AccessMode::ReadOnly => "O_RDONLY",
            AccessMode::WriteOnly => "O_WRONLY",
            AccessMode::ReadWrite => "O_RDWR",
            AccessMode::IoctlOnly => "O_ACCMODE",
        })?;
        let rest = self.difference(Self::O_ACCMODE);
        if rest.is_empty() {
            return Ok(());
        }
        // strace names a directory last; `O_TMPFILE` has that bit, too.
        let last = match rest.contains(Self::O_TMPFILE) {
            true => Self::empty(),
            false => rest.intersection(Self::O_DIRECTORY),
        };
        for part in [rest.difference(last), last].iter().filter(|part| !part.is_empty()) {
            f.write_str("|")?;
            super::arg::trace_flags(part, f)?;
        }
        Ok(())
    }
}

abi_flags! {
    /// The `AT_*` flags of the `*at` calls. Each call accepts a few of them only.
    pub struct AtFlags: u32, checked by general {
        AT_SYMLINK_NOFOLLOW = 0x100,
        /// The same bit is [`AtFlags::AT_EACCESS`] to faccessat2.
        AT_REMOVEDIR = 0x200,
        AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800,
        AT_EMPTY_PATH = 0x1000,
        AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000,
        AT_RECURSIVE = 0x8000,
        AT_EXECVE_CHECK = 0x10000,
    }
}

impl AtFlags {
    /// Check with the effective ids (faccessat2).
    pub const AT_EACCESS: Self = Self::AT_REMOVEDIR;
    /// Both bits of statx's choice of synchronisation.
    pub const AT_STATX_SYNC_TYPE: Self = Self::AT_STATX_FORCE_SYNC.union(Self::AT_STATX_DONT_SYNC);
}

abi_flags! {
    /// Descriptor flags (`F_GETFD`).
    pub struct FdFlags: u32, checked by general { FD_CLOEXEC = 1 }
}

abi_flags! {
    /// Flags of openat2's `resolve` field.
    pub struct ResolveFlags: u64, checked by general {
        RESOLVE_NO_XDEV = 0x01,
        RESOLVE_NO_MAGICLINKS = 0x02,
        RESOLVE_NO_SYMLINKS = 0x04,
        RESOLVE_BENEATH = 0x08,
        RESOLVE_IN_ROOT = 0x10,
        RESOLVE_CACHED = 0x20,
    }
}

abi_flags! {
    /// Flags of renameat2.
    pub struct RenameFlags: u32, checked by general {
        RENAME_NOREPLACE = 1,
        RENAME_EXCHANGE = 2,
        RENAME_WHITEOUT = 4,
    }
}

abi_flags! {
    /// Modes of fallocate(2). An unknown bit gives `EOPNOTSUPP`, after the descriptor is found.
    pub struct FallocateFlags: u32, checked by general {
        FALLOC_FL_KEEP_SIZE = 0x01,
        FALLOC_FL_PUNCH_HOLE = 0x02,
        FALLOC_FL_NO_HIDE_STALE = 0x04,
        FALLOC_FL_COLLAPSE_RANGE = 0x08,
        FALLOC_FL_ZERO_RANGE = 0x10,
        FALLOC_FL_INSERT_RANGE = 0x20,
        FALLOC_FL_UNSHARE_RANGE = 0x40,
        FALLOC_FL_WRITE_ZEROES = 0x80,
    }
}

abi_flags! {
    /// Operations of flock(2): one of the first three, with or without `LOCK_NB`.
    pub struct FlockFlags: u32, checked by general {
        LOCK_SH = 1,
        LOCK_EX = 2,
        LOCK_NB = 4,
        LOCK_UN = 8,
    }
}

abi_flags! {
    /// What access(2) asks for.
    pub struct AccessFlags: u32, checked by general {
        X_OK = 1,
        W_OK = 2,
        R_OK = 4,
    }
}

abi_flags! {
    /// Flags of close_range(2): `include/uapi/linux/close_range.h`.
    pub struct CloseRangeFlags: u32 and {
        CLOSE_RANGE_UNSHARE = 2,
        CLOSE_RANGE_CLOEXEC = 4,
    }
}

abi_flags! {
    /// Flags of splice, vmsplice and tee.
    pub struct SpliceFlags: u32, checked by general {
        SPLICE_F_MOVE = 1,
        SPLICE_F_NONBLOCK = 2,
        SPLICE_F_MORE = 4,
        SPLICE_F_GIFT = 8,
    }
}

abi_flags! {
    /// Per-call flags of preadv2 and pwritev2. An unknown bit gives `EOPNOTSUPP`, after the
    /// descriptor is found.
    pub struct RwfFlags: u32, checked by general {
        RWF_HIPRI = 0x01,
        RWF_DSYNC = 0x02,
        RWF_SYNC = 0x04,
        RWF_NOWAIT = 0x08,
        RWF_APPEND = 0x10,
    } and {
        RWF_NOAPPEND = 0x20,
        RWF_ATOMIC = 0x40,
        RWF_DONTCACHE = 0x80,
    }
}

abi_flags! {
    /// Flags of eventfd2.
    pub struct EventfdFlags: u32, checked by general {
        EFD_SEMAPHORE = 1,
        EFD_NONBLOCK = 0o4000,
        EFD_CLOEXEC = 0o2_000_000,
    }
}

abi_flags! {
    /// Flags of getrandom(2).
    pub struct GetrandomFlags: u32, checked by general {
        GRND_NONBLOCK = 1,
        GRND_RANDOM = 2,
        GRND_INSECURE = 4,
    }
}

retain_flags_arg!(FallocateFlags: u32, RwfFlags: u32);

strict_flags_arg! {
    AtFlags: u32, FdFlags: u32, ResolveFlags: u64, RenameFlags: u32,
    FlockFlags: u32, AccessFlags: u32, CloseRangeFlags: u32, SpliceFlags: u32,
    EventfdFlags: u32, GetrandomFlags: u32,
}

abi_values! {
    /// Commands of fcntl(2).
    pub struct FcntlCmd: u32, checked by general {
        F_DUPFD = 0,
        F_GETFD = 1,
        F_SETFD = 2,
        F_GETFL = 3,
        F_SETFL = 4,
        F_GETLK = 5,
        F_SETLK = 6,
        F_SETLKW = 7,
        F_SETOWN = 8,
        F_GETOWN = 9,
        F_SETSIG = 10,
        F_GETSIG = 11,
        F_SETOWN_EX = 15,
        F_GETOWN_EX = 16,
        F_GETOWNER_UIDS = 17,
        F_OFD_GETLK = 36,
        F_OFD_SETLK = 37,
        F_OFD_SETLKW = 38,
        F_SETLEASE = 1024,
        F_GETLEASE = 1025,
        F_NOTIFY = 1026,
        F_DUPFD_QUERY = 1027,
        F_CREATED_QUERY = 1028,
        F_CANCELLK = 1029,
        F_DUPFD_CLOEXEC = 1030,
        F_SETPIPE_SZ = 1031,
        F_GETPIPE_SZ = 1032,
        F_ADD_SEALS = 1033,
        F_GET_SEALS = 1034,
        F_GET_RW_HINT = 1035,
        F_SET_RW_HINT = 1036,
        F_GET_FILE_RW_HINT = 1037,
        F_SET_FILE_RW_HINT = 1038,
    }
}

abi_values! {
    /// The `whence` of lseek(2) and of record locks.
    pub struct Whence: u32, checked by general {
        SEEK_SET = 0,
        SEEK_CUR = 1,
        SEEK_END = 2,
        SEEK_DATA = 3,
        SEEK_HOLE = 4,
    }
}

abi_values! {
    /// The advice of posix_fadvise(2).
    pub struct Fadvice: u32, checked by general {
        POSIX_FADV_NORMAL = 0,
        POSIX_FADV_RANDOM = 1,
        POSIX_FADV_SEQUENTIAL = 2,
        POSIX_FADV_WILLNEED = 3,
        POSIX_FADV_DONTNEED = 4,
        POSIX_FADV_NOREUSE = 5,
    }
}

abi_consts!(i16, checked by general {
    /// `l_type` of a shared lock.
    F_RDLCK = 0,
    /// `l_type` of an exclusive lock.
    F_WRLCK = 1,
    /// `l_type` that unlocks.
    F_UNLCK = 2,
});

abi_consts!(i32, checked by general {
    /// `FOwnerEx::kind`: a thread.
    F_OWNER_TID = 0,
    /// `FOwnerEx::kind`: a process.
    F_OWNER_PID = 1,
    /// `FOwnerEx::kind`: a process group.
    F_OWNER_PGRP = 2,
});

abi_struct! {
    /// `struct flock`: a record lock.
    pub struct Flock [size 32] {
        @0 pub l_type: i16,
        @2 pub l_whence: i16,
        @4 pub pad0: u32,
        @8 pub l_start: i64,
        @16 pub l_len: i64,
        @24 pub l_pid: i32,
        @28 pub pad1: u32,
    }
}

abi_struct! {
    /// `struct f_owner_ex`: who receives `SIGIO`.
    pub struct FOwnerEx [size 8] {
        @0 pub kind: i32,
        @4 pub pid: i32,
    }
}

abi_struct! {
    /// `struct open_how` of openat2(2).
    pub struct OpenHow = linux_raw_sys::general::open_how {
        pub flags: u64,
        pub mode: u64,
        pub resolve: u64,
    }
}
