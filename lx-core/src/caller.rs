//! Who asks: what the object crates need to know of the task on whose behalf they work.

use alloc::sync::Arc;

use crate::abi::Signal;
use crate::cred::Credentials;
use crate::error::{Result, SysError};
use crate::host::{Host, Nanos};
use crate::rlimit::Rlimits;
use crate::sync::{WaitEnd, WaitQueue, Waiter, WakeKey};
use crate::user_memory::UserMemory;

/// The calling task as lx-vfs and lx-net see it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The host.
    pub host: &'static dyn Host,
    /// Its identity, fetched only when asked for: see [`cred`](Self::cred).
    pub identity: &'a dyn Identity,
    /// Its ability to sleep.
    pub waiter: &'a Arc<Waiter>,
    /// Its resource limits.
    pub rlimits: &'a Rlimits,
    /// Thread id, thread group id: what `fcntl(F_SETOWN)`, locks and `SO_PEERCRED` record.
    pub tid: i32,
    /// Thread group id.
    pub tgid: i32,
}

/// Something with credentials. A task fetches them when they are first needed, because most calls
/// on open files never look at them.
pub trait Identity {
    /// The credentials.
    fn credentials(&self) -> &Credentials;

    /// A descriptor of its table was closed: no reference to the file may be kept.
    fn forget_files(&self) {}

    /// Its place in job control, which terminals ask for.
    fn jobs(&self) -> Option<&dyn JobControl> {
        None
    }
}

/// The calling process among sessions and process groups, as terminals see it.
pub trait JobControl {
    /// Its session.
    fn session(&self) -> i32;
    /// Its process group.
    fn process_group(&self) -> i32;
    /// Whether it leads its session.
    fn is_session_leader(&self) -> bool;
    /// The session that a process group belongs to, if there is such a group.
    fn session_of_group(&self, pgid: i32) -> Option<i32>;
    /// The process uses its terminal from the background: sends `SIGTTIN` or `SIGTTOU` to its
    /// process group.
    ///
    /// # Errors
    /// `Restart` after the signal was sent; `EIO` if the caller ignores or blocks `SIGTTIN`, or the
    /// process group is orphaned. `Ok` means that the access may go on: `SIGTTOU` is ignored or
    /// blocked.
    fn signal_background(&self, signal: Signal) -> Result<()>;
    /// Who sends signals for a terminal, whoever happens to use it or to close it.
    fn signals(&self) -> Arc<dyn JobSignals>;
}

/// Signals that a terminal sends.
pub trait JobSignals: Send + Sync {
    /// To all members of a process group.
    fn to_group(&self, pgid: i32, signal: Signal);
    /// To a thread group, as the leader of a session.
    fn to_process(&self, tgid: i32, signal: Signal);
}

impl Identity for Credentials {
    fn credentials(&self) -> &Credentials {
        self
    }
}

impl Caller<'_> {
    /// Its credentials.
    pub fn cred(&self) -> &Credentials {
        self.identity.credentials()
    }

    /// Guest memory of the calling process.
    pub fn memory(&self) -> UserMemory {
        UserMemory::new(self.host)
    }

    /// Wall-clock time for time stamps, nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        self.host.realtime().cast_signed()
    }

    /// Sleeps on `queue` until `ready` gives a value.
    ///
    /// # Errors
    /// `Restart` when a signal arrived.
    pub fn wait<T>(
        &self,
        queue: &WaitQueue,
        key: WakeKey,
        ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        queue
            .wait(self.waiter, key, None, || self.host.monotonic(), ready)
            .map_err(SysError::from_wait)
    }

    /// As [`wait`](Self::wait), with a deadline on the monotonic clock.
    ///
    /// # Errors
    /// How the wait ended.
    pub fn wait_until<T>(
        &self,
        queue: &WaitQueue,
        key: WakeKey,
        deadline: Option<Nanos>,
        ready: impl FnMut() -> Option<T>,
    ) -> core::result::Result<T, WaitEnd> {
        queue.wait(self.waiter, key, deadline, || self.host.monotonic(), ready)
    }
}
