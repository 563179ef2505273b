//! Anonymous files: `include/uapi/linux/memfd.h`, memfd_create(2), and seals of fcntl(2).

abi_flags! {
    /// Flags of memfd_create(2).
    pub struct MemfdFlags: u32, checked by general {
        MFD_CLOEXEC = 0x01,
        MFD_ALLOW_SEALING = 0x02,
        MFD_HUGETLB = 0x04,
        MFD_NOEXEC_SEAL = 0x08,
        MFD_EXEC = 0x10,
    }
}

abi_flags! {
    /// Seals of `F_ADD_SEALS`.
    pub struct Seals: u32, checked by general {
        F_SEAL_SEAL = 0x01,
        F_SEAL_SHRINK = 0x02,
        F_SEAL_GROW = 0x04,
        F_SEAL_WRITE = 0x08,
        F_SEAL_FUTURE_WRITE = 0x10,
        F_SEAL_EXEC = 0x20,
    }
}

strict_flags_arg!(MemfdFlags: u32, Seals: u32);

/// The longest name: `NAME_MAX` without the prefix `memfd:`.
pub const MFD_NAME_MAX_LEN: usize = 249;
