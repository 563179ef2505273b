//! Credentials, `credentials(7)` and `capabilities(7)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

bitflags::bitflags! {
    /// A capability set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Capabilities: u64 {
        /// Change owners.
        const CHOWN = 1;
        /// Ignore permissions of files.
        const DAC_OVERRIDE = 1 << 1;
        /// Ignore read and search permissions.
        const DAC_READ_SEARCH = 1 << 2;
        /// Act as owner of any file.
        const FOWNER = 1 << 3;
        /// Keep set-id bits.
        const FSETID = 1 << 4;
        /// Send any signal.
        const KILL = 1 << 5;
        /// Change group ids.
        const SETGID = 1 << 6;
        /// Change user ids.
        const SETUID = 1 << 7;
        /// Change capabilities.
        const SETPCAP = 1 << 8;
        /// Change the flags that bind everybody.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Bind low ports.
        const NET_BIND_SERVICE = 1 << 10;
        /// Network administration.
        const NET_ADMIN = 1 << 12;
        /// Raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Ignore IPC ownership.
        const IPC_OWNER = 1 << 15;
        /// `chroot(2)`.
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// Administration.
        const SYS_ADMIN = 1 << 21;
        /// Priorities.
        const SYS_NICE = 1 << 23;
        /// Exceed resource limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set clocks.
        const SYS_TIME = 1 << 25;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Take leases of others' files.
        const LEASE = 1 << 28;
        /// Read the kernel's log.
        const SYSLOG = 1 << 34;
        /// Timers that wake the machine.
        const WAKE_ALARM = 1 << 35;
        /// The others, up to `CAP_CHECKPOINT_RESTORE` (40).
        const _ = (1 << 41) - 1;
    }
}

impl Capabilities {
    /// All capabilities that exist.
    pub const FULL: Self = Self::from_bits_retain((1 << 41) - 1);
}

/// Identity of a task; immutable, replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Saved user id.
    pub suid: u32,
    /// User id for file access.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved group id.
    pub sgid: u32,
    /// Group id for file access.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: Arc<Vec<u32>>,
    /// Permitted capabilities.
    pub permitted: Capabilities,
    /// Effective capabilities.
    pub effective: Capabilities,
    /// Inheritable capabilities.
    pub inheritable: Capabilities,
    /// Ambient capabilities.
    pub ambient: Capabilities,
    /// Bounding set.
    pub bounding: Capabilities,
    /// `securebits`.
    pub securebits: u32,
}

impl Credentials {
    /// All ids `uid`/`gid`; root gets all capabilities.
    pub fn new(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        let caps = if uid == 0 { Capabilities::FULL } else { Capabilities::empty() };
        Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Arc::new(groups),
            permitted: caps,
            effective: caps,
            inheritable: Capabilities::empty(),
            ambient: Capabilities::empty(),
            bounding: Capabilities::FULL,
            securebits: 0,
        }
    }

    /// Whether a task that had these before acts as another one with `new`, or may do more: nobody
    /// but root shall look into it then, and no signal of its parent's death be left.
    pub fn is_changed_by(&self, new: &Self) -> bool {
        self.euid != new.euid
            || self.egid != new.egid
            || self.fsuid != new.fsuid
            || self.fsgid != new.fsgid
            || !self.permitted.contains(new.permitted)
    }

    /// Whether the capability is effective.
    pub fn has(&self, capability: Capabilities) -> bool {
        self.effective.contains(capability)
    }

    /// Whether file access happens as a member of `gid`.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
