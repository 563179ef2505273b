//! Directory entries: `include/linux/dirent.h`, getdents64(2).

abi_consts!(u8, checked by general {
    DT_UNKNOWN = 0,
    DT_FIFO = 1,
    DT_CHR = 2,
    DT_DIR = 4,
    DT_BLK = 6,
    DT_REG = 8,
    DT_LNK = 10,
    DT_SOCK = 12,
});

abi_struct! {
    /// The fixed part of `struct linux_dirent64`; the NUL-terminated name follows at offset 19.
    pub packed struct Dirent64Header [size 19] {
        @0 pub d_ino: u64,
        /// Where the next entry starts, as a position for lseek(2).
        @8 pub d_off: i64,
        /// The size of the whole record, a multiple of 8.
        @16 pub d_reclen: u16,
        @18 pub d_type: u8,
    }
}

abi_struct! {
    /// The fixed part of the old `struct linux_dirent`; the name follows at offset 18, and the
    /// type is the record's last byte.
    pub packed struct DirentHeader [size 18] {
        @0 pub d_ino: u64,
        @8 pub d_off: i64,
        @16 pub d_reclen: u16,
    }
}

/// The size of a getdents64 record for a name of `name_len` bytes.
#[must_use]
pub const fn dirent64_len(name_len: usize) -> usize {
    name_len.saturating_add(19 + 1).next_multiple_of(8)
}

/// The size of an old getdents record for a name of `name_len` bytes.
#[must_use]
pub const fn dirent_len(name_len: usize) -> usize {
    name_len.saturating_add(18 + 2).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::{dirent_len, dirent64_len};

    #[test]
    fn records_are_multiples_of_eight() {
        assert_eq!(dirent64_len(1), 24);
        assert_eq!(dirent64_len(4), 24);
        assert_eq!(dirent64_len(5), 32);
        assert_eq!(dirent_len(4), 24);
    }
}
