//! Who waits for a message or for room, in the order in which they are served.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::sync::Waiter;

use super::Message;

/// A thread that waits. A receiver waits for a message to be put here, a sender for its message to
/// be taken away: whoever makes that possible does it, so that nobody comes in between.
struct Waiting {
    waiter: Arc<Waiter>,
    /// The lowest is served first.
    rank: i32,
    message: Option<Message>,
}

/// Threads that wait, by rank and then as they came.
#[derive(Default)]
pub(super) struct Line(Vec<Waiting>);

impl Line {
    /// Adds a thread: a receiver without a message, a sender with its own.
    pub(super) fn join(&mut self, waiter: &Arc<Waiter>, rank: i32, message: Option<Message>) {
        let later = self.0.iter().position(|other| other.rank > rank);
        let at = later.unwrap_or(self.0.len());
        self.0.insert(at, Waiting { waiter: Arc::clone(waiter), rank, message });
    }

    fn place(&self, waiter: &Arc<Waiter>) -> Option<usize> {
        self.0.iter().position(|waiting| Arc::ptr_eq(&waiting.waiter, waiter))
    }

    /// Removes a thread; the message that is with it.
    pub(super) fn leave(&mut self, waiter: &Arc<Waiter>) -> Option<Message> {
        let at = self.place(waiter)?;
        self.0.remove(at).message
    }

    /// Whether a message is with the thread.
    pub(super) fn has_message(&self, waiter: &Arc<Waiter>) -> bool {
        let waiting = self.place(waiter).and_then(|at| self.0.get(at));
        waiting.is_some_and(|waiting| waiting.message.is_some())
    }

    /// Hands a message to the first receiver, who has to be woken; or back, if nobody waits.
    pub(super) fn give(&mut self, message: Message) -> Result<Arc<Waiter>, Message> {
        match self.0.iter_mut().find(|waiting| waiting.message.is_none()) {
            Some(waiting) => {
                waiting.message = Some(message);
                Ok(Arc::clone(&waiting.waiter))
            }
            None => Err(message),
        }
    }

    /// Takes the first sender's message; the sender has to be woken.
    pub(super) fn take(&mut self) -> Option<(Message, Arc<Waiter>)> {
        let message_of = |waiting: &mut Waiting| {
            let message = waiting.message.take()?;
            Some((message, Arc::clone(&waiting.waiter)))
        };
        self.0.iter_mut().find_map(message_of)
    }
}
