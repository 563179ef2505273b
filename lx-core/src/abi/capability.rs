//! Capabilities: `include/uapi/linux/capability.h`, capget(2), capabilities(7).

abi_values! {
    /// One capability; its number is its bit in a set.
    pub struct Capability: u32, checked by general {
        CAP_CHOWN = 0,
        CAP_DAC_OVERRIDE = 1,
        CAP_DAC_READ_SEARCH = 2,
        CAP_FOWNER = 3,
        CAP_FSETID = 4,
        CAP_KILL = 5,
        CAP_SETGID = 6,
        CAP_SETUID = 7,
        CAP_SETPCAP = 8,
        CAP_LINUX_IMMUTABLE = 9,
        CAP_NET_BIND_SERVICE = 10,
        CAP_NET_BROADCAST = 11,
        CAP_NET_ADMIN = 12,
        CAP_NET_RAW = 13,
        CAP_IPC_LOCK = 14,
        CAP_IPC_OWNER = 15,
        CAP_SYS_MODULE = 16,
        CAP_SYS_RAWIO = 17,
        CAP_SYS_CHROOT = 18,
        CAP_SYS_PTRACE = 19,
        CAP_SYS_PACCT = 20,
        CAP_SYS_ADMIN = 21,
        CAP_SYS_BOOT = 22,
        CAP_SYS_NICE = 23,
        CAP_SYS_RESOURCE = 24,
        CAP_SYS_TIME = 25,
        CAP_SYS_TTY_CONFIG = 26,
        CAP_MKNOD = 27,
        CAP_LEASE = 28,
        CAP_AUDIT_WRITE = 29,
        CAP_AUDIT_CONTROL = 30,
        CAP_SETFCAP = 31,
        CAP_MAC_OVERRIDE = 32,
        CAP_MAC_ADMIN = 33,
        CAP_SYSLOG = 34,
        CAP_WAKE_ALARM = 35,
        CAP_BLOCK_SUSPEND = 36,
        CAP_AUDIT_READ = 37,
        CAP_PERFMON = 38,
        CAP_BPF = 39,
        CAP_CHECKPOINT_RESTORE = 40,
    }
}

impl Capability {
    /// The highest capability.
    pub const LAST: Self = Self::CAP_CHECKPOINT_RESTORE;
}

abi_consts!(u32, checked by general {
    /// capget's first version: 32 capabilities.
    _LINUX_CAPABILITY_VERSION_1 = 0x1998_0330,
    _LINUX_CAPABILITY_VERSION_2 = 0x2007_1026,
    /// The current version: two [`CapData`].
    _LINUX_CAPABILITY_VERSION_3 = 0x2008_0522,
});

abi_struct! {
    /// `struct __user_cap_header_struct`
    pub struct CapHeader = linux_raw_sys::general::__user_cap_header_struct {
        pub version: u32,
        pub pid: i32,
    }
}

abi_struct! {
    /// `struct __user_cap_data_struct`: 32 capabilities of each set
    pub struct CapData = linux_raw_sys::general::__user_cap_data_struct {
        pub effective: u32,
        pub permitted: u32,
        pub inheritable: u32,
    }
}
