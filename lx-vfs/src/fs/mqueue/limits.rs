//! How many queues there may be, and how large they may get: `/proc/sys/fs/mqueue` and
//! `RLIMIT_MSGQUEUE`.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::mqueue::MQ_PRIO_MAX;
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::rlimit::Resource;

/// Most messages of a queue, for those who need not heed `msg_max` (`HARD_MSGMAX`).
const HARD_MESSAGES: i64 = 65_536;
/// Most bytes of a message, for those who need not heed `msgsize_max` (`HARD_MSGSIZEMAX`).
const HARD_MESSAGE_SIZE: i64 = 16 << 20;
/// What Linux counts for a message besides its bytes (`struct msg_msg`).
const MESSAGE_OVERHEAD: u64 = 48;
/// What it counts for a priority (`struct posix_msg_tree_node`).
const PRIORITY_OVERHEAD: u64 = 48;

/// A file in `/proc/sys/fs/mqueue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `queues_max`
    Queues,
    /// `msg_max`
    Messages,
    /// `msgsize_max`
    MessageSize,
    /// `msg_default`
    DefaultMessages,
    /// `msgsize_default`
    DefaultMessageSize,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Queues,
        Self::Messages,
        Self::MessageSize,
        Self::DefaultMessages,
        Self::DefaultMessageSize,
    ];

    /// The name of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queues => "queues_max",
            Self::Messages => "msg_max",
            Self::MessageSize => "msgsize_max",
            Self::DefaultMessages => "msg_default",
            Self::DefaultMessageSize => "msgsize_default",
        }
    }
}

/// The values of all of them.
pub struct Limits {
    queues: AtomicI32,
    messages: AtomicI32,
    message_size: AtomicI32,
    default_messages: AtomicI32,
    default_message_size: AtomicI32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queues: AtomicI32::new(256),
            messages: AtomicI32::new(10),
            message_size: AtomicI32::new(8192),
            default_messages: AtomicI32::new(10),
            default_message_size: AtomicI32::new(8192),
        }
    }
}

impl Limits {
    fn place(&self, limit: Limit) -> &AtomicI32 {
        match limit {
            Limit::Queues => &self.queues,
            Limit::Messages => &self.messages,
            Limit::MessageSize => &self.message_size,
            Limit::DefaultMessages => &self.default_messages,
            Limit::DefaultMessageSize => &self.default_message_size,
        }
    }

    /// A value.
    pub fn get(&self, limit: Limit) -> i32 {
        self.place(limit).load(Ordering::Relaxed)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// `EINVAL` if Linux does not take it.
    pub fn set(&self, limit: Limit, value: i32) -> Result<()> {
        let range = match limit {
            Limit::Queues => i64::from(i32::MIN)..=i64::from(i32::MAX),
            Limit::Messages | Limit::DefaultMessages => 1..=HARD_MESSAGES,
            Limit::MessageSize | Limit::DefaultMessageSize => 128..=HARD_MESSAGE_SIZE,
        };
        if !range.contains(&value.into()) {
            return Err(Errno::EINVAL.into());
        }
        self.place(limit).store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Messages and bytes of a message of a new queue for which `room` is asked.
    ///
    /// # Errors
    /// `EINVAL` if it cannot be, or not for this caller.
    pub(super) fn room(&self, caller: &Caller<'_>, room: Option<(i64, i64)>) -> Result<(u64, u64)> {
        let limit = |limit| i64::from(self.get(limit));
        let (most, largest) = (limit(Limit::Messages), limit(Limit::MessageSize));
        let (messages, size) = room.unwrap_or_else(|| {
            (limit(Limit::DefaultMessages).min(most), limit(Limit::DefaultMessageSize).min(largest))
        });
        let (most, largest) = match caller.cred().has(Capabilities::SYS_RESOURCE) {
            true => (HARD_MESSAGES, HARD_MESSAGE_SIZE),
            false => (most, largest),
        };
        if !(1..=most).contains(&messages) || !(1..=largest).contains(&size) {
            return Err(Errno::EINVAL.into());
        }
        Ok((messages.unsigned_abs(), size.unsigned_abs()))
    }
}

/// What there is of what is limited.
#[derive(Default)]
pub(super) struct Ledger {
    queues: u32,
    /// Bytes of all queues by who made them.
    bytes: BTreeMap<u32, u64>,
}

/// What one queue takes.
pub(super) struct Share {
    uid: u32,
    bytes: u64,
}

impl Ledger {
    /// Counts one more queue with room for `messages` of `size` bytes.
    ///
    /// # Errors
    /// `ENOSPC`: as many as there may be. `EMFILE`: more bytes than the caller may have.
    pub(super) fn take(
        &mut self,
        caller: &Caller<'_>,
        limits: &Limits,
        room: Option<(i64, i64)>,
    ) -> Result<(Share, (u64, u64))> {
        let cred = caller.cred();
        let most = limits.get(Limit::Queues).cast_unsigned();
        if self.queues >= most && !cred.has(Capabilities::SYS_RESOURCE) {
            return Err(Errno::ENOSPC.into());
        }
        let (messages, size) = limits.room(caller, room)?;
        let priorities = messages.min(MQ_PRIO_MAX.into());
        let bytes = messages * (size + MESSAGE_OVERHEAD) + priorities * PRIORITY_OVERHEAD;
        let uid = cred.uid;
        let sum = self.bytes.get(&uid).map_or(bytes, |before| before.saturating_add(bytes));
        if sum > caller.rlimits.soft(Resource::Msgqueue) {
            return Err(Errno::EMFILE.into());
        }
        self.bytes.insert(uid, sum);
        self.queues = self.queues.saturating_add(1);
        Ok((Share { uid, bytes }, (messages, size)))
    }

    /// Gives back what a queue took.
    pub(super) fn give_back(&mut self, share: &Share) {
        self.queues = self.queues.saturating_sub(1);
        let left = self.bytes.get(&share.uid).map_or(0, |bytes| bytes.saturating_sub(share.bytes));
        if left == 0 {
            self.bytes.remove(&share.uid);
        } else {
            self.bytes.insert(share.uid, left);
        }
    }
}
