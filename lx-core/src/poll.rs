//! Readiness.

use alloc::sync::Arc;

use crate::sync::{WaitQueue, Wake};

pub use crate::abi::poll::PollEvents;

/// Collects the wait queues of the objects that a poller looks at.
///
/// A file registers the target with each queue that announces its events
/// ([`FileOps::poll_register`](crate::file::FileOps::poll_register)); dropping the table takes the
/// registrations back.
pub struct PollTable {
    target: Arc<dyn Wake>,
    key: u32,
    exclusive: bool,
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
        Self { target, key: u32::MAX, exclusive: false, registered: alloc::vec::Vec::new() }
    }

    /// Restricts the registrations that follow to these events (and [`PollEvents::ALWAYS`]).
    pub fn set_interest(&mut self, events: PollEvents) {
        self.key = (events | PollEvents::ALWAYS).bits();
    }

    /// Makes the registrations that follow exclusive: one wake goes to one of them.
    pub fn set_exclusive(&mut self, exclusive: bool) {
        self.exclusive = exclusive;
    }

    /// Registers with one queue.
    pub fn register(&mut self, source: Arc<dyn PollSource>) {
        self.add(source, self.key);
    }

    /// Registers with one queue for no other events than these (and [`PollEvents::ALWAYS`]).
    pub fn register_for(&mut self, source: Arc<dyn PollSource>, events: PollEvents) {
        self.add(source, self.key & (events | PollEvents::ALWAYS).bits());
    }

    fn add(&mut self, source: Arc<dyn PollSource>, key: u32) {
        source.wait_queue().add(Arc::clone(&self.target), key, self.exclusive);
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
