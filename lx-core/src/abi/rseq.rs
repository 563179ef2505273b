//! Restartable sequences: `include/uapi/linux/rseq.h`, rseq(2).

abi_struct! {
    /// `struct rseq`: the area a thread registers, aligned to 32 bytes.
    pub struct Rseq [size 32] {
        @0 pub cpu_id_start: u32,
        @4 pub cpu_id: u32,
        /// The address of the running sequence's [`RseqCs`], or 0.
        @8 pub rseq_cs: u64,
        @16 pub flags: u32,
        @20 pub node_id: u32,
        @24 pub mm_cid: u32,
        @28 pub pad: u32,
    }
}

impl Rseq {
    /// `cpu_id` before registration.
    pub const CPU_ID_UNINITIALIZED: u32 = u32::MAX;
    /// `cpu_id` after registration failed.
    pub const CPU_ID_REGISTRATION_FAILED: u32 = u32::MAX - 1;
    /// The alignment of the area.
    pub const ALIGN: u64 = 32;
    /// The size of the original area, which every registration may use.
    pub const ORIG_SIZE: u32 = 32;
    /// The bytes in use, for `AT_RSEQ_FEATURE_SIZE`.
    pub const FEATURE_SIZE: u32 = 28;
}

abi_struct! {
    /// `struct rseq_cs`: one critical section.
    pub struct RseqCs [size 32] {
        @0 pub version: u32,
        @4 pub flags: u32,
        @8 pub start_ip: u64,
        @16 pub post_commit_offset: u64,
        @24 pub abort_ip: u64,
    }
}

abi_flags! {
    /// Flags of rseq(2).
    pub struct RseqFlags: u32 and { RSEQ_FLAG_UNREGISTER = 1 }
}

strict_flags_arg!(RseqFlags: u32);
