//! Memory and load: `include/uapi/linux/sysinfo.h`, sysinfo(2); the kernel's log, syslog(2).

abi_struct! {
    /// `struct sysinfo`
    pub struct Sysinfo [size 112] {
        /// Seconds since boot.
        @0 pub uptime: i64,
        /// Load averages, scaled by [`SI_LOAD_SHIFT`].
        @8 pub loads: [u64; 3],
        @32 pub totalram: u64,
        @40 pub freeram: u64,
        @48 pub sharedram: u64,
        @56 pub bufferram: u64,
        @64 pub totalswap: u64,
        @72 pub freeswap: u64,
        @80 pub procs: u16,
        @82 pub pad: u16,
        @84 pub pad1: u32,
        @88 pub totalhigh: u64,
        @96 pub freehigh: u64,
        /// The unit of all sizes, in bytes.
        @104 pub mem_unit: u32,
        @108 pub pad2: u32,
    }
}

/// The binary point of a load average.
pub const SI_LOAD_SHIFT: u32 = 16;

abi_values! {
    /// What syslog(2) does; the kernel has no public header for it.
    pub struct SyslogAction: u32 and {
        CLOSE = 0,
        OPEN = 1,
        READ = 2,
        READ_ALL = 3,
        READ_CLEAR = 4,
        CLEAR = 5,
        CONSOLE_OFF = 6,
        CONSOLE_ON = 7,
        CONSOLE_LEVEL = 8,
        SIZE_UNREAD = 9,
        SIZE_BUFFER = 10,
    }
}
