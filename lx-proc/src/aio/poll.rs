//! `IOCB_CMD_POLL`: an operation that completes when its file is ready.
//!
//! Whoever changes a file wakes those who are registered with it, and so completes the poll, in
//! whatever process and with nothing of the submitter's at hand but what is kept here. Linux
//! reports the events that the waker names; wakers name more than there is, so the file is asked.
//!
//! An eventfd that shall count the completion may itself be what another poll waits for, and so on.
//! So that wakes do not nest, it only counts at once, and who waits for it is woken by a timer that
//! is due.

use alloc::sync::{Arc, Weak};

use lx_core::Result;
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::file::OpenFile;
use lx_core::poll::{PollEvents, PollTable};
use lx_core::sync::{Mutex, Wake, WakeKey, level};
use lx_core::timer::{TimerId, TimerSetting, TimerTarget};
use lx_vfs::eventfd::EventFile;

use super::context::{Context, Operation};

/// A poll that is in flight.
pub(super) struct Poll {
    context: Weak<Context>,
    operation: Operation,
    file: Arc<OpenFile>,
    wanted: PollEvents,
    /// Who has submitted it.
    cred: Arc<Credentials>,
    tid: i32,
    tgid: i32,
    registration: Mutex<Registration, { level::EPOLL_ITEM }>,
}

#[derive(Default)]
struct Registration {
    done: bool,
    table: Option<PollTable>,
}

impl Context {
    /// Waits for a file on behalf of an operation that has a slot. If it is ready, it was not begun:
    /// what it is ready for.
    ///
    /// # Errors
    /// `EINVAL` if the context is being destroyed.
    pub fn poll(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        cred: &Arc<Credentials>,
        file: Arc<OpenFile>,
        events: PollEvents,
        operation: Operation,
    ) -> Result<Option<PollEvents>> {
        let wanted = events | PollEvents::ALWAYS;
        let found = file.poll(caller) & wanted;
        if !found.is_empty() {
            return Ok(Some(found));
        }
        let poll = Arc::new(Poll {
            context: Arc::downgrade(self),
            operation,
            file,
            wanted,
            cred: Arc::clone(cred),
            tid: caller.tid,
            tgid: caller.tgid,
            registration: Mutex::default(),
        });
        self.add_poll(&poll)?;
        poll.register();
        // It may have become ready before somebody would have been told.
        poll.look(PollEvents::empty());
        Ok(None)
    }
}

impl Poll {
    /// Address of the `struct iocb`.
    pub(super) fn iocb(&self) -> u64 {
        self.operation.iocb
    }

    fn register(self: &Arc<Self>) {
        let mut table = PollTable::new(Arc::clone(self) as Arc<dyn Wake>);
        table.set_interest(self.wanted);
        self.file.ops().poll_register(&self.file, self.wanted, &mut table);
        let mut registration = self.registration.lock();
        let left = if registration.done { Some(table) } else { registration.table.replace(table) };
        drop(registration);
        drop(left);
    }

    /// Completes if the file is ready; `named` are the events that a waker has named.
    fn look(&self, named: PollEvents) {
        let Some(context) = self.context.upgrade() else { return };
        let found = self.file.poll(&self.caller(&context));
        if found.intersects(self.wanted) {
            self.finish(&context, (found & (self.wanted | named)).bits());
        }
    }

    fn caller<'a>(&'a self, context: &'a Context) -> Caller<'a> {
        Caller {
            host: context.host,
            identity: &*self.cred,
            waiter: &context.waiter,
            rlimits: &context.rlimits,
            tid: self.tid,
            tgid: self.tgid,
        }
    }

    /// Completes with this result, unless somebody else has been faster.
    pub(super) fn finish(&self, context: &Context, events: u32) -> bool {
        let mut registration = self.registration.lock();
        if registration.done {
            return false;
        }
        registration.done = true;
        let table = registration.table.take();
        drop(registration);
        drop(table);
        context.remove_poll(self);
        context.complete(&self.operation, events.into());
        if let Some(file) = &self.operation.eventfd {
            announce(context, file);
        }
        true
    }
}

impl Wake for Poll {
    fn wake_by(&self, key: WakeKey) {
        let named = PollEvents::from_bits_truncate(key);
        if named.intersects(self.wanted) {
            // Who wakes for everything names nothing.
            self.look(if key == WakeKey::MAX { PollEvents::empty() } else { named });
        }
    }
}

/// Counts in an eventfd.
fn announce(context: &Context, file: &Arc<OpenFile>) {
    let Some(event) = file.ops_as::<EventFile>() else { return };
    event.count();
    if !event.is_waited_for() {
        return;
    }
    let target: Arc<dyn TimerTarget> = Arc::new(Announcement(Arc::clone(file)));
    let setting = TimerSetting { deadline: Some(context.host.monotonic()), interval: 0 };
    context.timers.set(context.host, TimerId::new(), setting, &target);
}

/// Wakes those who wait for an eventfd.
struct Announcement(Arc<OpenFile>);

impl TimerTarget for Announcement {
    fn expired(&self, _expirations: u64) {
        if let Some(event) = self.0.ops_as::<EventFile>() {
            event.announce();
        }
    }
}
