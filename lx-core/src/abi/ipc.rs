//! System V IPC: `include/uapi/linux/{ipc,shm,sem,msg}.h` and the x86-64 forms of their structures;
//! `sysvipc(7)`.

/// The key of objects that cannot be found by a key.
pub const IPC_PRIVATE: i32 = 0;

abi_flags! {
    /// Flags of shmget(2), semget(2) and msgget(2), whose low nine bits are permissions, and of
    /// msgsnd(2). Linux looks at no others.
    pub struct IpcFlags: u32 and {
        IPC_CREAT = 0o1000,
        IPC_EXCL = 0o2000,
        IPC_NOWAIT = 0o4000,
    }
}

abi_flags! {
    /// Further flags of shmget(2).
    pub struct ShmgetFlags: u32 and {
        IPC_CREAT = 0o1000,
        IPC_EXCL = 0o2000,
        SHM_HUGETLB = 0o4000,
        SHM_NORESERVE = 0o10000,
    }
}

abi_flags! {
    /// Flags of shmat(2).
    pub struct ShmatFlags: u32 and {
        SHM_RDONLY = 0o10000,
        SHM_RND = 0o20000,
        SHM_REMAP = 0o40000,
        SHM_EXEC = 0o100_000,
    }
}

abi_flags! {
    /// Flags of msgrcv(2).
    pub struct MsgrcvFlags: u32 and {
        IPC_NOWAIT = 0o4000,
        MSG_NOERROR = 0o10000,
        MSG_EXCEPT = 0o20000,
        MSG_COPY = 0o40000,
    }
}

retain_flags_arg!(IpcFlags: u32, ShmgetFlags: u32, ShmatFlags: u32, MsgrcvFlags: u32);

abi_values! {
    /// What shmctl(2) does.
    pub struct ShmCmd: u32 and {
        IPC_RMID = 0,
        IPC_SET = 1,
        IPC_STAT = 2,
        IPC_INFO = 3,
        SHM_LOCK = 11,
        SHM_UNLOCK = 12,
        SHM_STAT = 13,
        SHM_INFO = 14,
        SHM_STAT_ANY = 15,
    }
}

abi_values! {
    /// What semctl(2) does.
    pub struct SemCmd: u32 and {
        IPC_RMID = 0,
        IPC_SET = 1,
        IPC_STAT = 2,
        IPC_INFO = 3,
        GETPID = 11,
        GETVAL = 12,
        GETALL = 13,
        GETNCNT = 14,
        GETZCNT = 15,
        SETVAL = 16,
        SETALL = 17,
        SEM_STAT = 18,
        SEM_INFO = 19,
        SEM_STAT_ANY = 20,
    }
}

abi_values! {
    /// What msgctl(2) does.
    pub struct MsgCmd: u32 and {
        IPC_RMID = 0,
        IPC_SET = 1,
        IPC_STAT = 2,
        IPC_INFO = 3,
        MSG_STAT = 11,
        MSG_INFO = 12,
        MSG_STAT_ANY = 13,
    }
}

abi_struct! {
    /// `struct ipc64_perm`
    pub struct IpcPerm [size 48] {
        @0 pub key: i32,
        @4 pub uid: u32,
        @8 pub gid: u32,
        @12 pub cuid: u32,
        @16 pub cgid: u32,
        @20 pub mode: u32,
        @24 pub seq: u16,
        @26 pub pad: [u16; 3],
        @32 pub unused: [u64; 2],
    }
}

/// In the mode of a segment: it was removed, and goes with its last attachment.
pub const SHM_DEST: u32 = 0o1000;
/// In the mode of a segment: it is locked in memory.
pub const SHM_LOCKED: u32 = 0o2000;

abi_struct! {
    /// `struct shmid64_ds`
    pub struct ShmidDs [size 112] {
        @0 pub perm: IpcPerm,
        @48 pub segsz: u64,
        @56 pub atime: i64,
        @64 pub dtime: i64,
        @72 pub ctime: i64,
        @80 pub cpid: i32,
        @84 pub lpid: i32,
        @88 pub nattch: u64,
        @96 pub unused: [u64; 2],
    }
}

abi_struct! {
    /// `struct shminfo64`
    pub struct ShmLimits [size 72] {
        @0 pub shmmax: u64,
        @8 pub shmmin: u64,
        @16 pub shmmni: u64,
        @24 pub shmseg: u64,
        @32 pub shmall: u64,
        @40 pub unused: [u64; 4],
    }
}

abi_struct! {
    /// `struct shm_info`; sizes in pages.
    pub struct ShmUsage [size 48] {
        @0 pub used_ids: i32,
        @4 pub pad: u32,
        @8 pub shm_tot: u64,
        @16 pub shm_rss: u64,
        @24 pub shm_swp: u64,
        @32 pub swap_attempts: u64,
        @40 pub swap_successes: u64,
    }
}

abi_struct! {
    /// `struct sembuf`
    pub struct Sembuf [size 6] {
        @0 pub num: u16,
        @2 pub op: i16,
        @4 pub flags: u16,
    }
}

/// In the flags of a [`Sembuf`]: fail instead of waiting.
pub const SEM_NOWAIT: u16 = 0o4000;
/// In the flags of a [`Sembuf`]: undone when the process ends.
pub const SEM_UNDO: u16 = 0x1000;

abi_struct! {
    /// `struct semid64_ds`
    pub struct SemidDs [size 104] {
        @0 pub perm: IpcPerm,
        @48 pub otime: i64,
        @56 pub unused1: u64,
        @64 pub ctime: i64,
        @72 pub unused2: u64,
        @80 pub nsems: u64,
        @88 pub unused3: [u64; 2],
    }
}

abi_struct! {
    /// `struct seminfo`
    pub struct SemLimits [size 40] {
        @0 pub semmap: i32,
        @4 pub semmni: i32,
        @8 pub semmns: i32,
        @12 pub semmnu: i32,
        @16 pub semmsl: i32,
        @20 pub semopm: i32,
        @24 pub semume: i32,
        /// Sets that there are, for `SEM_INFO`.
        @28 pub semusz: i32,
        @32 pub semvmx: i32,
        /// Semaphores that there are, for `SEM_INFO`.
        @36 pub semaem: i32,
    }
}

abi_struct! {
    /// `struct msqid64_ds`
    pub struct MsqidDs [size 120] {
        @0 pub perm: IpcPerm,
        @48 pub stime: i64,
        @56 pub rtime: i64,
        @64 pub ctime: i64,
        @72 pub cbytes: u64,
        @80 pub qnum: u64,
        @88 pub qbytes: u64,
        @96 pub lspid: i32,
        @100 pub lrpid: i32,
        @104 pub unused: [u64; 2],
    }
}

abi_struct! {
    /// `struct msginfo`
    pub struct MsgLimits [size 32] {
        /// Queues that there are, for `MSG_INFO`.
        @0 pub msgpool: i32,
        /// Messages that there are, for `MSG_INFO`.
        @4 pub msgmap: i32,
        @8 pub msgmax: i32,
        @12 pub msgmnb: i32,
        @16 pub msgmni: i32,
        @20 pub msgssz: i32,
        /// Bytes of all messages, for `MSG_INFO`.
        @24 pub msgtql: i32,
        @28 pub msgseg: u16,
        @30 pub pad: u16,
    }
}
