//! A message queue.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering as Order;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::FileOps;
use lx_core::host::Nanos;
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitEnd, WaitQueue, Waiter, level};
use lx_core::{Result, SysError};

use super::Shared;
use super::file::QueueFile;
use super::limits::Share;
use super::waiting::Line;
use crate::fs::meta::Meta;
use crate::inode::{Attr, InodeOps, NewInode, Permissions, SetAttr};
use crate::location::Path;

/// `st_size` of a queue: room for what a read shows (`FILENT_SIZE`).
const TEXT_SIZE: u64 = 80;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its priority; the highest is received first.
    pub priority: u32,
    /// What it says.
    pub text: Vec<u8>,
}

/// How a call waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// It does not.
    pub nonblocking: bool,
    /// Until then, on the monotonic clock.
    pub deadline: Option<Nanos>,
    /// Those with the lowest rank are served first.
    pub rank: i32,
}

/// What `mq_notify(2)` asks for. It is told once, when a message comes to the empty queue and nobody
/// waits for it. No lock is held then.
pub trait Notification: Send + Sync {
    /// `sigev_notify`, and the signal's number if it is one, as a read of the queue shows them.
    fn shown(&self) -> (u32, i32);

    /// `caller` has sent a message.
    fn arrived(&self, caller: &Caller<'_>);

    /// It was taken back, or the process has closed its descriptor.
    fn removed(&self) {}
}

/// A message in a queue: those of one priority stay as they came.
struct Queued {
    message: Message,
    number: u64,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Order {
        let priorities = self.message.priority.cmp(&other.message.priority);
        priorities.then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Queued {}

#[derive(Default)]
struct State {
    messages: BinaryHeap<Queued>,
    /// Bytes of all messages.
    bytes: u64,
    /// Of the next message.
    number: u64,
    receivers: Line,
    senders: Line,
    /// Who is to be notified, and how.
    notification: Option<(i32, Box<dyn Notification>)>,
}

impl State {
    fn insert(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.text.len() as u64);
        let number = self.number;
        self.number = number.wrapping_add(1);
        self.messages.push(Queued { message, number });
    }

    fn remove(&mut self) -> Option<Message> {
        let message = self.messages.pop()?.message;
        self.bytes = self.bytes.saturating_sub(message.text.len() as u64);
        Some(message)
    }
}

/// A message queue, the inode of its name.
pub struct Queue {
    shared: Arc<Shared>,
    ino: u64,
    meta: Meta,
    size: AtomicU64,
    share: Share,
    /// Messages that there is room for.
    max_messages: u64,
    /// Bytes of a message.
    message_size: u64,
    state: Mutex<State, { level::FILE_OBJECT }>,
    /// Who polls; those who wait for their turn are in the state.
    pollers: WaitQueue,
}

impl PollSource for Queue {
    fn wait_queue(&self) -> &WaitQueue {
        &self.pollers
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.queues.lock().remove(&self.ino);
        self.shared.ledger.lock().give_back(&self.share);
    }
}

impl Queue {
    /// A new empty queue without a name.
    ///
    /// # Errors
    /// `EINVAL` for room that cannot be; `ENOSPC`, `EMFILE`: too much.
    pub(super) fn new(
        shared: &Arc<Shared>,
        caller: &Caller<'_>,
        new: &NewInode<'_>,
        room: Option<(i64, i64)>,
        now: i64,
    ) -> Result<Arc<Self>> {
        let taken = shared.ledger.lock().take(caller, &shared.limits, room);
        let (share, (max_messages, message_size)) = taken?;
        let queue = Arc::new(Self {
            shared: Arc::clone(shared),
            ino: shared.new_ino(),
            meta: Meta::new(new, now),
            size: AtomicU64::new(TEXT_SIZE),
            share,
            max_messages,
            message_size,
            state: Mutex::default(),
            pollers: WaitQueue::new(),
        });
        shared.queues.lock().insert(queue.ino, Arc::downgrade(&queue));
        Ok(queue)
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    /// Its name is gone.
    pub(super) fn unlinked(&self, now: i64) {
        self.meta.add_links(-1);
        self.meta.changed(now);
    }

    /// Messages that there is room for, bytes of a message.
    pub fn room(&self) -> (u64, u64) {
        (self.max_messages, self.message_size)
    }

    /// Messages in the queue.
    pub fn count(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// Wakes who polls. Linux tells them nothing of what has happened either, so that one who waits
    /// for an edge sees the same ones.
    fn wake_pollers(&self) {
        self.pollers.wake_all(u32::MAX);
    }

    /// A message has come or gone without waiting.
    fn used(&self, now: i64) {
        self.meta.modified(now);
        self.meta.accessed(now);
    }

    /// `mq_timedsend(3)` of a message that is not too long.
    ///
    /// # Errors
    /// `EAGAIN`, `ETIMEDOUT` without room; `Restart`.
    pub fn send(&self, caller: &Caller<'_>, message: Message, turn: Turn) -> Result<()> {
        let mut state = self.state.lock();
        if state.messages.len() as u64 >= self.max_messages {
            if turn.nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            state.senders.join(caller.waiter, turn.rank, Some(message));
            drop(state);
            return self.wait_for_room(caller, turn);
        }
        match state.receivers.give(message) {
            Ok(receiver) => {
                drop(state);
                receiver.wake();
            }
            Err(message) => {
                state.insert(message);
                let first = state.messages.len() == 1;
                let notification = if first { state.notification.take() } else { None };
                drop(state);
                if let Some((_, notification)) = notification {
                    notification.arrived(caller);
                }
                self.wake_pollers();
            }
        }
        self.used(caller.now());
        Ok(())
    }

    fn wait_for_room(&self, caller: &Caller<'_>, turn: Turn) -> Result<()> {
        let waiter = caller.waiter;
        let sent = self.wait(caller, turn, || {
            let mut state = self.state.lock();
            if state.senders.has_message(waiter) {
                return None;
            }
            state.senders.leave(waiter);
            Some(())
        });
        let Err(end) = sent else { return Ok(()) };
        // Somebody may have taken the message in the meantime.
        match self.state.lock().senders.leave(waiter) {
            Some(_) => Err(SysError::from_wait(end)),
            None => Ok(()),
        }
    }

    /// `mq_timedreceive(3)`.
    ///
    /// # Errors
    /// `EAGAIN`, `ETIMEDOUT` without a message; `Restart`.
    pub fn receive(&self, caller: &Caller<'_>, turn: Turn) -> Result<Message> {
        let mut state = self.state.lock();
        let Some(message) = state.remove() else {
            if turn.nonblocking {
                return Err(Errno::EAGAIN.into());
            }
            state.receivers.join(caller.waiter, turn.rank, None);
            drop(state);
            return self.wait_for_message(caller, turn);
        };
        let sender = state.senders.take().map(|(message, sender)| {
            state.insert(message);
            sender
        });
        drop(state);
        match sender {
            Some(sender) => sender.wake(),
            None => self.wake_pollers(),
        }
        self.used(caller.now());
        Ok(message)
    }

    fn wait_for_message(&self, caller: &Caller<'_>, turn: Turn) -> Result<Message> {
        let waiter = caller.waiter;
        let received = self.wait(caller, turn, || {
            let mut state = self.state.lock();
            if state.receivers.has_message(waiter) { state.receivers.leave(waiter) } else { None }
        });
        match received {
            Ok(message) => Ok(message),
            // Somebody may have given one in the meantime.
            Err(end) => {
                let given = self.state.lock().receivers.leave(waiter);
                given.ok_or(SysError::from_wait(end))
            }
        }
    }

    fn wait<T>(
        &self,
        caller: &Caller<'_>,
        turn: Turn,
        ready: impl FnMut() -> Option<T>,
    ) -> core::result::Result<T, WaitEnd> {
        caller.waiter.wait_for(turn.deadline, || caller.host.monotonic(), true, ready)
    }

    /// A receiver that waits, without its thread.
    #[cfg(test)]
    pub(super) fn wait_as(&self, waiter: &Arc<Waiter>) {
        self.state.lock().receivers.join(waiter, 0, None);
    }

    /// A thread will never wait again. What it was given is lost, as it is on Linux.
    pub(super) fn forget_waiter(&self, waiter: &Arc<Waiter>) {
        let mut state = self.state.lock();
        let left = [state.receivers.leave(waiter), state.senders.leave(waiter)];
        drop(state);
        drop(left);
    }

    /// `mq_notify(3)`: the process wants to be told.
    ///
    /// # Errors
    /// `EBUSY` if one wants to be told already.
    pub fn notify(&self, caller: &Caller<'_>, notification: Box<dyn Notification>) -> Result<()> {
        let mut state = self.state.lock();
        if state.notification.is_some() {
            drop(state);
            return Err(Errno::EBUSY.into());
        }
        state.notification = Some((caller.tgid, notification));
        drop(state);
        self.changed(caller);
        Ok(())
    }

    /// `mq_notify(3)` without an event: the caller does not want to be told any more.
    pub fn stop_notifying(&self, caller: &Caller<'_>) {
        if self.withdraw(caller.tgid) {
            self.changed(caller);
        }
    }

    /// It was read, flags were set by `mq_getsetattr(2)`, or another process is to be told.
    pub fn changed(&self, caller: &Caller<'_>) {
        let now = caller.now();
        self.meta.accessed(now);
        self.meta.changed(now);
    }

    /// Removes what a process has asked for, if it has.
    pub(super) fn withdraw(&self, tgid: i32) -> bool {
        let its_own = |state: &mut State| match &state.notification {
            Some((owner, _)) if *owner == tgid => state.notification.take(),
            _ => None,
        };
        let Some((_, notification)) = its_own(&mut self.state.lock()) else { return false };
        notification.removed();
        true
    }

    /// What a read shows.
    pub(super) fn text(&self) -> String {
        let state = self.state.lock();
        let notification = state.notification.as_ref();
        let (owner, (kind, signal)) = notification
            .map_or((0, (0, 0)), |(owner, notification)| (*owner, notification.shown()));
        let bytes = state.bytes;
        drop(state);
        alloc::format!(
            "QSIZE:{bytes:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{owner:<6}\n"
        )
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn poll(&self) -> PollEvents {
        let count = self.count() as u64;
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, count > 0);
        events.set(PollEvents::WRITABLE, count < self.max_messages);
        events
    }

    /// Attributes, which need no caller here.
    pub(super) fn attributes(&self) -> Attr {
        let mut attr = Attr {
            dev: self.shared.dev,
            ino: self.ino,
            mode: FileType::Regular.mode_bits(),
            blksize: 4096,
            size: self.size(),
            ..Attr::default()
        };
        self.meta.fill(&mut attr);
        attr
    }

    pub(super) fn change(&self, change: &SetAttr) {
        // The length means nothing here, but Linux keeps what it is set to.
        if let Some(size) = change.size {
            self.size.store(size, Ordering::Relaxed);
        }
        self.meta.apply(change);
    }
}

impl InodeOps for Queue {
    fn file_type(&self) -> FileType {
        FileType::Regular
    }

    fn permissions(&self) -> Permissions {
        self.meta.permissions()
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        Ok(self.attributes())
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        self.change(change);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _caller: &Caller<'_>,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(QueueFile::new(self)))
    }
}
