//! Waiting for one of several files, `poll(2)` and `select(2)`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::error::{Result, SysError};
use lx_core::file::OpenFile;
use lx_core::host::Nanos;
use lx_core::poll::{PollEvents, PollTable};
use lx_core::sync::{WaitEnd, Wake};

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all.
    Now,
    /// Until the monotonic clock reaches this.
    At(Nanos),
    /// For ever.
    Never,
}

impl Timeout {
    /// After a span from now on; `None` waits for ever.
    pub fn after(caller: &Caller<'_>, span: Option<Nanos>) -> Self {
        match span {
            None => Self::Never,
            Some(0) => Self::Now,
            Some(span) => Self::At(caller.host.monotonic().saturating_add(span)),
        }
    }

    /// The deadline of a wait.
    pub fn deadline(self) -> Option<Nanos> {
        match self {
            Self::At(deadline) => Some(deadline),
            Self::Now | Self::Never => None,
        }
    }

    /// What is left of it.
    pub fn remaining(self, caller: &Caller<'_>) -> Option<Nanos> {
        match self {
            Self::Now => Some(0),
            Self::At(deadline) => Some(deadline.saturating_sub(caller.host.monotonic())),
            Self::Never => None,
        }
    }
}

/// One file and what to wait for.
pub struct PollEntry {
    /// The file; `None` entries are skipped.
    pub file: Option<Arc<OpenFile>>,
    /// What to wait for, besides [`PollEvents::ALWAYS`].
    pub events: PollEvents,
    /// What was found. Preset to `POLLNVAL` for a descriptor that is not open.
    pub found: PollEvents,
}

impl PollEntry {
    /// An entry for a file.
    pub fn new(file: Arc<OpenFile>, events: PollEvents) -> Self {
        Self { file: Some(file), events, found: PollEvents::empty() }
    }

    /// An entry that is ignored.
    pub fn ignored() -> Self {
        Self { file: None, events: PollEvents::empty(), found: PollEvents::empty() }
    }

    /// An entry for a descriptor that is not open: reported at once.
    pub fn not_open() -> Self {
        Self { file: None, events: PollEvents::empty(), found: PollEvents::POLLNVAL }
    }
}

/// Asks every file; the number of entries with something to report.
fn scan(caller: &Caller<'_>, entries: &mut [PollEntry]) -> usize {
    let mut count = 0;
    for entry in entries {
        if let Some(file) = &entry.file {
            entry.found = file.poll(caller) & (entry.events | PollEvents::ALWAYS);
        }
        count += usize::from(!entry.found.is_empty());
    }
    count
}

/// Waits until an entry has something to report; the number of such entries, 0 when time ran out.
///
/// # Errors
/// `RestartNoHandler` when a signal arrived.
pub fn wait(caller: &Caller<'_>, entries: &mut [PollEntry], timeout: Timeout) -> Result<usize> {
    let count = scan(caller, entries);
    if count > 0 || timeout == Timeout::Now {
        return Ok(count);
    }
    let target: Arc<dyn Wake> = Arc::clone(caller.waiter) as Arc<dyn Wake>;
    let mut table = PollTable::new(target);
    for entry in &*entries {
        if let Some(file) = &entry.file {
            table.set_interest(entry.events);
            file.ops().poll_register(file, entry.events, &mut table);
        }
    }
    let ready = || Some(scan(caller, entries)).filter(|count| *count > 0);
    let result =
        caller.waiter.wait_for(timeout.deadline(), || caller.host.monotonic(), true, ready);
    match result {
        Ok(count) => Ok(count),
        Err(WaitEnd::TimedOut) => Ok(0),
        Err(WaitEnd::Interrupted) => Err(SysError::RestartNoHandler),
    }
}
