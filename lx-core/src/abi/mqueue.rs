//! POSIX message queues: `include/uapi/linux/mqueue.h`, `mq_overview(7)`.

/// Priorities are below this.
pub const MQ_PRIO_MAX: u32 = 32_768;
/// Bytes of what `SIGEV_THREAD` sends through a netlink socket.
pub const NOTIFY_COOKIE_LEN: usize = 32;
/// The last byte of it: a message has come.
pub const NOTIFY_WOKENUP: u8 = 1;
/// The last byte of it: nothing will come any more.
pub const NOTIFY_REMOVED: u8 = 2;

abi_struct! {
    /// `struct mq_attr`
    #[derive(PartialEq, Eq)]
    pub struct MqAttr [size 64] {
        /// `O_NONBLOCK` or nothing.
        @0 pub mq_flags: i64,
        /// Messages that there is room for.
        @8 pub mq_maxmsg: i64,
        /// Bytes of a message.
        @16 pub mq_msgsize: i64,
        /// Messages in the queue.
        @24 pub mq_curmsgs: i64,
        @32 pub reserved: [i64; 4],
    }
}
