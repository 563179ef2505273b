//! Tasks and scheduling: `include/uapi/linux/sched.h`, `sched/types.h`; clone(2), sched(7).

use super::signal::RawSignal;
use linux_raw_sys::general as sys;

abi_flags! {
    /// Flags of clone(2), clone3(2) and unshare(2).
    pub struct CloneFlags: u64, checked by general {
        CLONE_VM = 0x100,
        CLONE_FS = 0x200,
        CLONE_FILES = 0x400,
        CLONE_SIGHAND = 0x800,
        CLONE_PIDFD = 0x1000,
        CLONE_PTRACE = 0x2000,
        CLONE_VFORK = 0x4000,
        CLONE_PARENT = 0x8000,
        CLONE_THREAD = 0x1_0000,
        CLONE_NEWNS = 0x2_0000,
        CLONE_SYSVSEM = 0x4_0000,
        CLONE_SETTLS = 0x8_0000,
        CLONE_PARENT_SETTID = 0x10_0000,
        CLONE_CHILD_CLEARTID = 0x20_0000,
        CLONE_DETACHED = 0x40_0000,
        CLONE_UNTRACED = 0x80_0000,
        CLONE_CHILD_SETTID = 0x100_0000,
        CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000,
        CLONE_NEWIPC = 0x800_0000,
        CLONE_NEWUSER = 0x1000_0000,
        CLONE_NEWPID = 0x2000_0000,
        CLONE_NEWNET = 0x4000_0000,
        CLONE_IO = 0x8000_0000,
        /// clone3 only.
        CLONE_CLEAR_SIGHAND = 0x1_0000_0000,
        /// clone3 only.
        CLONE_INTO_CGROUP = 0x2_0000_0000,
        /// clone3 and unshare only: clone's exit signal occupies the bit.
        CLONE_NEWTIME = 0x80,
    }
}

impl CloneFlags {
    /// The bits of clone's first argument that hold the exit signal.
    pub const CSIGNAL: u64 = 0xff;
    /// Every flag that asks for a new namespace.
    pub const NAMESPACES: Self = Self::CLONE_NEWNS
        .union(Self::CLONE_NEWCGROUP)
        .union(Self::CLONE_NEWUTS)
        .union(Self::CLONE_NEWIPC)
        .union(Self::CLONE_NEWUSER)
        .union(Self::CLONE_NEWPID)
        .union(Self::CLONE_NEWNET)
        .union(Self::CLONE_NEWTIME);

    /// Splits the first argument of clone(2), of which Linux looks at 32 bits.
    #[must_use]
    pub const fn from_clone_arg(raw: u64) -> (Self, RawSignal) {
        let low = raw & 0xffff_ffff;
        (Self::from_bits_retain(low & !Self::CSIGNAL), RawSignal((low & Self::CSIGNAL) as i32))
    }
}

strict_flags_arg!(CloneFlags: u64);

abi_struct! {
    /// `struct clone_args` of clone3(2)
    pub struct CloneArgs = sys::clone_args {
        pub flags: u64,
        pub pidfd: u64,
        pub child_tid: u64,
        pub parent_tid: u64,
        pub exit_signal: u64,
        pub stack: u64,
        pub stack_size: u64,
        pub tls: u64,
        pub set_tid: u64,
        pub set_tid_size: u64,
        pub cgroup: u64,
    }
}

/// The smallest `size` clone3(2) accepts: the structure's first published version.
pub const CLONE_ARGS_SIZE_VER0: u64 = sys::CLONE_ARGS_SIZE_VER0 as u64;

abi_values! {
    /// A scheduling policy.
    pub struct SchedPolicy: i32, checked by general {
        SCHED_NORMAL = 0,
        SCHED_FIFO = 1,
        SCHED_RR = 2,
        SCHED_BATCH = 3,
        SCHED_IDLE = 5,
        SCHED_DEADLINE = 6,
        SCHED_EXT = 7,
    }
}

/// The bit in sched_setscheduler's policy that resets the policy in children.
pub const SCHED_RESET_ON_FORK: i32 = 0x4000_0000;

abi_struct! {
    /// `struct sched_param`
    pub struct SchedParam [size 4] {
        @0 pub sched_priority: i32,
    }
}

abi_struct! {
    /// `struct sched_attr`
    pub struct SchedAttr [size 56] {
        @0 pub size: u32,
        @4 pub sched_policy: u32,
        @8 pub sched_flags: u64,
        @16 pub sched_nice: i32,
        @20 pub sched_priority: u32,
        @24 pub sched_runtime: u64,
        @32 pub sched_deadline: u64,
        @40 pub sched_period: u64,
        @48 pub sched_util_min: u32,
        @52 pub sched_util_max: u32,
    }
}

/// A CPU mask of sched_getaffinity(2) is an array of this many bits per word; the guest chooses
/// its length in bytes, a multiple of 8 that covers every possible CPU.
pub const CPU_MASK_WORD_BITS: usize = 64;

abi_values! {
    /// The command of membarrier(2).
    pub struct MembarrierCmd: u32 and {
        MEMBARRIER_CMD_QUERY = 0,
        MEMBARRIER_CMD_GLOBAL = 1,
        MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 32,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 128,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 256,
        MEMBARRIER_CMD_GET_REGISTRATIONS = 512,
    }
}

#[cfg(test)]
mod tests {
    use super::CloneFlags;
    use crate::abi::signal::RawSignal;

    #[test]
    fn clone_argument_splits() {
        let (flags, signal) = CloneFlags::from_clone_arg(0x7_0000_4111);
        assert_eq!(flags, CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK);
        assert_eq!(signal, RawSignal(17));
    }
}
