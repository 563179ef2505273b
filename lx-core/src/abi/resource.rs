//! Limits, usage and priorities: `include/uapi/linux/resource.h`; getrlimit(2), getrusage(2).

use super::time::Timeval;

abi_values! {
    /// A resource that can be limited.
    pub struct Resource: u32, checked by general {
        RLIMIT_CPU = 0,
        RLIMIT_FSIZE = 1,
        RLIMIT_DATA = 2,
        RLIMIT_STACK = 3,
        RLIMIT_CORE = 4,
        RLIMIT_RSS = 5,
        RLIMIT_NPROC = 6,
        RLIMIT_NOFILE = 7,
        RLIMIT_MEMLOCK = 8,
        RLIMIT_AS = 9,
        RLIMIT_LOCKS = 10,
        RLIMIT_SIGPENDING = 11,
        RLIMIT_MSGQUEUE = 12,
        RLIMIT_NICE = 13,
        RLIMIT_RTPRIO = 14,
        RLIMIT_RTTIME = 15,
    }
}

impl Resource {
    /// How many resources there are.
    pub const COUNT: usize = 16;
}

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;

abi_struct! {
    /// `struct rlimit64`, the same as `struct rlimit` on x86-64
    #[derive(PartialEq, Eq)]
    pub struct Rlimit64 = linux_raw_sys::general::rlimit64 {
        pub rlim_cur: u64,
        pub rlim_max: u64,
    }
}

abi_values! {
    /// Whose usage getrusage(2) reports.
    pub struct RusageWho: i32, checked by general {
        RUSAGE_SELF = 0,
        RUSAGE_CHILDREN = -1,
        RUSAGE_THREAD = 1,
    }
}

abi_struct! {
    /// `struct rusage`
    pub struct Rusage = linux_raw_sys::general::rusage {
        pub ru_utime: Timeval,
        pub ru_stime: Timeval,
        /// In kilobytes.
        pub ru_maxrss: i64,
        pub ru_ixrss: i64,
        pub ru_idrss: i64,
        pub ru_isrss: i64,
        pub ru_minflt: i64,
        pub ru_majflt: i64,
        pub ru_nswap: i64,
        pub ru_inblock: i64,
        pub ru_oublock: i64,
        pub ru_msgsnd: i64,
        pub ru_msgrcv: i64,
        pub ru_nsignals: i64,
        pub ru_nvcsw: i64,
        pub ru_nivcsw: i64,
    }
}

abi_values! {
    /// Whose priority getpriority(2) means.
    pub struct PrioWhich: u32, checked by general {
        PRIO_PROCESS = 0,
        PRIO_PGRP = 1,
        PRIO_USER = 2,
    }
}

/// The most favourable nice value.
pub const MIN_NICE: i32 = -20;
/// The least favourable nice value.
pub const MAX_NICE: i32 = 19;
