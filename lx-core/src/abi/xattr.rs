//! Extended attributes: `include/uapi/linux/xattr.h`, xattr(7).

abi_flags! {
    /// Flags of setxattr(2).
    pub struct XattrFlags: u32, checked by general {
        XATTR_CREATE = 1,
        XATTR_REPLACE = 2,
    }
}

strict_flags_arg!(XattrFlags: u32);

abi_consts!(usize, checked by general {
    /// The longest name, without a NUL.
    XATTR_NAME_MAX = 255,
    /// The longest value.
    XATTR_SIZE_MAX = 65536,
    /// The longest list of names.
    XATTR_LIST_MAX = 65536,
});

abi_struct! {
    /// `struct xattr_args` of setxattrat(2) and getxattrat(2)
    pub struct XattrArgs [size 16] {
        @0 pub value: u64,
        @8 pub size: u32,
        @12 pub flags: u32,
    }
}
