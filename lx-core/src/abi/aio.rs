//! Native asynchronous I/O: `include/uapi/linux/aio_abi.h`, io_setup(2), io_submit(2).

use super::{SigSet, UserPtr};

abi_values! {
    /// What an [`Iocb`] asks for.
    pub struct IocbCmd: u16 and {
        IOCB_CMD_PREAD = 0,
        IOCB_CMD_PWRITE = 1,
        IOCB_CMD_FSYNC = 2,
        IOCB_CMD_FDSYNC = 3,
        IOCB_CMD_POLL = 5,
        IOCB_CMD_NOOP = 6,
        IOCB_CMD_PREADV = 7,
        IOCB_CMD_PWRITEV = 8,
    }
}

abi_flags! {
    /// Which fields of an [`Iocb`] count. Linux does not look at other bits.
    pub struct IocbFlags: u32 and {
        /// `resfd` is an eventfd that counts the completion.
        IOCB_FLAG_RESFD = 1,
        /// `reqprio` is a priority as of ioprio_set(2).
        IOCB_FLAG_IOPRIO = 2,
    }
}

abi_struct! {
    /// `struct iocb`: one operation.
    pub struct Iocb [size 64] {
        /// Handed back in the completion.
        @0 pub data: u64,
        /// Set to [`KIOCB_KEY`] by the kernel.
        @8 pub key: u32,
        @12 pub rw_flags: u32,
        @16 pub lio_opcode: IocbCmd,
        @18 pub reqprio: u16,
        @20 pub fildes: i32,
        @24 pub buf: u64,
        @32 pub nbytes: u64,
        @40 pub offset: i64,
        @48 pub reserved2: u64,
        @56 pub flags: u32,
        @60 pub resfd: i32,
    }
}

/// What the kernel stores in [`Iocb::key`], and io_cancel(2) wants to find there.
pub const KIOCB_KEY: u32 = 0;

abi_struct! {
    /// `struct io_event`: one completion.
    pub struct IoEvent [size 32] {
        /// [`Iocb::data`].
        @0 pub data: u64,
        /// Address of the [`Iocb`].
        @8 pub obj: u64,
        /// What the call would have returned, or an errno below zero.
        @16 pub res: i64,
        @24 pub res2: i64,
    }
}

abi_struct! {
    /// `struct aio_ring`: the start of a ring, before its slots. No header of Linux has it, but
    /// libraries read it.
    pub struct AioRing [size 32] {
        /// Index of the context in its address space.
        @0 pub id: u32,
        /// Slots.
        @4 pub nr: u32,
        /// The next completion to be read. The guest may move it, too.
        @8 pub head: u32,
        /// The slot of the next completion.
        @12 pub tail: u32,
        @16 pub magic: u32,
        @20 pub compat_features: u32,
        @24 pub incompat_features: u32,
        @28 pub header_length: u32,
    }
}

impl AioRing {
    /// Tells libraries that they can read the ring.
    pub const MAGIC: u32 = 0xa10a_10a1;
    /// `AIO_RING_COMPAT_FEATURES`.
    pub const COMPAT_FEATURES: u32 = 1;
}

abi_struct! {
    /// `struct __aio_sigset`: the signal mask of io_pgetevents.
    pub struct AioSigset [size 16] {
        @0 pub sigmask: UserPtr<SigSet>,
        @8 pub sigsetsize: u64,
    }
}
