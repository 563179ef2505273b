//! Mounts: `include/uapi/linux/mount.h`, `magic.h`; mount(2), umount2(2), statfs(2).

use super::{Errno, FromArg};

abi_flags! {
    /// Flags of mount(2). Unknown bits are dropped, except the highest, which gives `EINVAL`.
    pub struct MountFlags: u64, checked by general {
        MS_RDONLY = 1,
        MS_NOSUID = 2,
        MS_NODEV = 4,
        MS_NOEXEC = 8,
        MS_SYNCHRONOUS = 16,
        MS_REMOUNT = 32,
        MS_MANDLOCK = 64,
        MS_DIRSYNC = 128,
        MS_NOSYMFOLLOW = 256,
        MS_NOATIME = 1024,
        MS_NODIRATIME = 2048,
        MS_BIND = 4096,
        MS_MOVE = 8192,
        MS_REC = 16384,
        MS_SILENT = 32768,
        MS_POSIXACL = 1 << 16,
        MS_UNBINDABLE = 1 << 17,
        MS_PRIVATE = 1 << 18,
        MS_SLAVE = 1 << 19,
        MS_SHARED = 1 << 20,
        MS_RELATIME = 1 << 21,
        MS_I_VERSION = 1 << 23,
        MS_STRICTATIME = 1 << 24,
        MS_LAZYTIME = 1 << 25,
    }
}

impl MountFlags {
    /// The magic number old programs put in the upper half of 32 bits; Linux drops it.
    pub const MS_MGC_VAL: u64 = 0xc0ed_0000;
    /// The bits of the magic number.
    pub const MS_MGC_MSK: u64 = 0xffff_0000;
    const MS_NOUSER: u64 = 1 << 31;
}

impl FromArg for MountFlags {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        let magic = raw & Self::MS_MGC_MSK == Self::MS_MGC_VAL;
        let bits = if magic { raw & !Self::MS_MGC_MSK } else { raw };
        if bits & Self::MS_NOUSER != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self::from_bits_truncate(bits))
    }
}

trace_flags!(MountFlags);

abi_flags! {
    /// Flags of umount2(2).
    pub struct UmountFlags: u32, checked by general {
        MNT_FORCE = 1,
        MNT_DETACH = 2,
        MNT_EXPIRE = 4,
        UMOUNT_NOFOLLOW = 8,
    }
}

strict_flags_arg!(UmountFlags: u32);

abi_flags! {
    /// `f_flags` of statfs(2).
    pub struct StatfsFlags: u32 and {
        ST_RDONLY = 0x0001,
        ST_NOSUID = 0x0002,
        ST_NODEV = 0x0004,
        ST_NOEXEC = 0x0008,
        ST_SYNCHRONOUS = 0x0010,
        /// Set by every modern kernel.
        ST_VALID = 0x0020,
        ST_MANDLOCK = 0x0040,
        ST_NOATIME = 0x0400,
        ST_NODIRATIME = 0x0800,
        ST_RELATIME = 0x1000,
        ST_NOSYMFOLLOW = 0x2000,
    }
}

abi_consts!(i64, checked by general {
    TMPFS_MAGIC = 0x0102_1994,
    PROC_SUPER_MAGIC = 0x9fa0,
    SYSFS_MAGIC = 0x6265_6572,
    DEVPTS_SUPER_MAGIC = 0x1cd1,
    EXT4_SUPER_MAGIC = 0xef53,
    OVERLAYFS_SUPER_MAGIC = 0x794c_7630,
    RAMFS_MAGIC = 0x8584_58f6,
    ANON_INODE_FS_MAGIC = 0x0904_1934,
    PIPEFS_MAGIC = 0x5049_5045,
    SOCKFS_MAGIC = 0x534f_434b,
    CGROUP2_SUPER_MAGIC = 0x6367_7270,
});

#[cfg(test)]
mod tests {
    use super::MountFlags;
    use crate::abi::{Errno, FromArg};

    #[test]
    fn the_old_magic_number_is_dropped() {
        assert_eq!(MountFlags::from_arg(0xc0ed_0001), Ok(MountFlags::MS_RDONLY));
        assert_eq!(MountFlags::from_arg(1 << 31), Err(Errno::EINVAL));
        assert_eq!(MountFlags::from_arg(1 << 26 | 2), Ok(MountFlags::MS_NOSUID));
    }
}
