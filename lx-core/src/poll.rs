//! Readiness.

use alloc::sync::Arc;

use crate::sync::{WaitQueue, Wake};

bitflags::bitflags! {
    /// What a file is ready for, `poll(2)`; the bits are Linux's and serve as wake keys.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct PollEvents: u32 {
        /// Data to read.
        const IN = 0x001;
        /// Urgent data.
        const PRI = 0x002;
        /// Room to write.
        const OUT = 0x004;
        /// Error.
        const ERR = 0x008;
        /// Hang-up.
        const HUP = 0x010;
        /// Descriptor not open.
        const NVAL = 0x020;
        /// As `IN`.
        const RDNORM = 0x040;
        /// Priority band data.
        const RDBAND = 0x080;
        /// As `OUT`.
        const WRNORM = 0x100;
        /// Priority band room.
        const WRBAND = 0x200;
        /// Peer closed its writing half.
        const RDHUP = 0x2000;
    }
}

impl PollEvents {
    /// Events that are reported whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
    /// Ready for reading.
    pub const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Ready for writing.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
}

/// Collects the wait queues of the objects that a poller looks at.
///
/// A file registers the target with each queue that announces its events
/// ([`FileOps::poll_register`](crate::file::FileOps::poll_register)); dropping the table takes the
/// registrations back.
pub struct PollTable {
    target: Arc<dyn Wake>,
    key: u32,
    registered: alloc::vec::Vec<Arc<dyn PollSource>>,
}

/// An object with a wait queue, kept alive while somebody polls it.
pub trait PollSource: Send + Sync {
    /// The queue.
    fn wait_queue(&self) -> &WaitQueue;
}

impl PollTable {
    /// A table whose registrations wake `target`.
    pub fn new(target: Arc<dyn Wake>) -> Self {
        Self { target, key: u32::MAX, registered: alloc::vec::Vec::new() }
    }

    /// Restricts the registrations that follow to these events (and [`PollEvents::ALWAYS`]).
    pub fn set_interest(&mut self, events: PollEvents) {
        self.key = (events | PollEvents::ALWAYS).bits();
    }

    /// Registers with one queue.
    pub fn register(&mut self, source: Arc<dyn PollSource>) {
        source.wait_queue().add(Arc::clone(&self.target), self.key, false);
        self.registered.push(source);
    }
}

impl Drop for PollTable {
    fn drop(&mut self) {
        for source in self.registered.drain(..) {
            source.wait_queue().remove(&self.target);
        }
    }
}
