//! Robust futexes: `include/uapi/linux/futex.h`, get_robust_list(2).

abi_struct! {
    /// `struct robust_list_head`, which set_robust_list(2) registers.
    pub struct RobustListHead [size 24] {
        /// The first entry; an entry holds only the address of the next. Bit 0 marks a PI futex.
        @0 pub list: u64,
        /// From an entry to its futex word.
        @8 pub futex_offset: i64,
        /// The entry of a lock being taken or released.
        @16 pub list_op_pending: u64,
    }
}

/// How many entries the kernel follows, lest a ring keep it busy.
pub const ROBUST_LIST_LIMIT: usize = 2048;
