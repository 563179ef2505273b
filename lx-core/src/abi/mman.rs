//! Memory mapping: `include/uapi/asm-generic/mman.h`, `asm/mman.h`; mmap(2), madvise(2).

abi_flags! {
    /// Protection bits.
    ///
    /// As an argument unknown bits give `EINVAL`, as mprotect(2) does; mmap(2) ignores them and
    /// decodes with `from_bits_truncate`.
    pub struct ProtFlags: u32, checked by general {
        PROT_READ = 1,
        PROT_WRITE = 2,
        PROT_EXEC = 4,
        PROT_SEM = 8,
        PROT_GROWSDOWN = 0x0100_0000,
        PROT_GROWSUP = 0x0200_0000,
    }
}

impl ProtFlags {
    /// No access.
    pub const PROT_NONE: Self = Self::empty();
    /// Read, write and execute.
    pub const RWX: Self = Self::PROT_READ.union(Self::PROT_WRITE).union(Self::PROT_EXEC);
}

abi_flags! {
    /// Flags of mmap(2).
    ///
    /// The low four bits are the mapping's type, see [`MapFlags::map_type`]. As an argument all
    /// bits are kept: only `MAP_SHARED_VALIDATE` rejects unknown ones (`EOPNOTSUPP`).
    pub struct MapFlags: u32, checked by general {
        MAP_SHARED = 0x01,
        MAP_PRIVATE = 0x02,
        MAP_DROPPABLE = 0x08,
        MAP_FIXED = 0x10,
        MAP_ANONYMOUS = 0x20,
        MAP_32BIT = 0x40,
        MAP_ABOVE4G = 0x80,
        MAP_GROWSDOWN = 0x100,
        MAP_DENYWRITE = 0x800,
        MAP_EXECUTABLE = 0x1000,
        MAP_LOCKED = 0x2000,
        MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x1_0000,
        MAP_STACK = 0x2_0000,
        MAP_HUGETLB = 0x4_0000,
        MAP_SYNC = 0x8_0000,
        MAP_FIXED_NOREPLACE = 0x10_0000,
        MAP_UNINITIALIZED = 0x400_0000,
    }
}

impl MapFlags {
    /// The bits of the mapping's type.
    pub const MAP_TYPE: u32 = 0x0f;
    /// Type 3: as `MAP_SHARED`, but unknown flags are errors.
    pub const MAP_SHARED_VALIDATE: u32 = 0x03;

    /// The type: 1 shared, 2 private, 3 shared and validated, 8 droppable; others are invalid.
    #[must_use]
    pub const fn map_type(self) -> u32 {
        self.bits() & Self::MAP_TYPE
    }
}

retain_flags_arg!(MapFlags: u32);

abi_flags! {
    /// Flags of mremap(2).
    pub struct MremapFlags: u32, checked by general {
        MREMAP_MAYMOVE = 1,
        MREMAP_FIXED = 2,
        MREMAP_DONTUNMAP = 4,
    }
}

abi_flags! {
    /// Flags of msync(2).
    pub struct MsyncFlags: u32, checked by general {
        MS_ASYNC = 1,
        MS_INVALIDATE = 2,
        MS_SYNC = 4,
    }
}

abi_flags! {
    /// Flags of mlockall(2).
    pub struct MlockallFlags: u32, checked by general {
        MCL_CURRENT = 1,
        MCL_FUTURE = 2,
        MCL_ONFAULT = 4,
    }
}

abi_flags! {
    /// Flags of mlock2(2).
    pub struct MlockFlags: u32, checked by general { MLOCK_ONFAULT = 1 }
}

strict_flags_arg! {
    ProtFlags: u32, MremapFlags: u32, MsyncFlags: u32, MlockallFlags: u32, MlockFlags: u32,
}

abi_values! {
    /// The advice of madvise(2).
    pub struct Madvice: u32, checked by general {
        MADV_NORMAL = 0,
        MADV_RANDOM = 1,
        MADV_SEQUENTIAL = 2,
        MADV_WILLNEED = 3,
        MADV_DONTNEED = 4,
        MADV_FREE = 8,
        MADV_REMOVE = 9,
        MADV_DONTFORK = 10,
        MADV_DOFORK = 11,
        MADV_MERGEABLE = 12,
        MADV_UNMERGEABLE = 13,
        MADV_HUGEPAGE = 14,
        MADV_NOHUGEPAGE = 15,
        MADV_DONTDUMP = 16,
        MADV_DODUMP = 17,
        MADV_WIPEONFORK = 18,
        MADV_KEEPONFORK = 19,
        MADV_COLD = 20,
        MADV_PAGEOUT = 21,
        MADV_POPULATE_READ = 22,
        MADV_POPULATE_WRITE = 23,
        MADV_DONTNEED_LOCKED = 24,
        MADV_COLLAPSE = 25,
        MADV_HWPOISON = 100,
        MADV_SOFT_OFFLINE = 101,
        MADV_GUARD_INSTALL = 102,
        MADV_GUARD_REMOVE = 103,
    }
}
