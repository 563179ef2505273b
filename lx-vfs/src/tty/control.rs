//! A terminal's place in job control, `tty(4)`, `credentials(7)`: the session that it controls and
//! the process group in the foreground.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::{Errno, Signal, UserPtr};
use lx_core::caller::JobControl;
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::file::FileOps;
use lx_core::sync::{Mutex, level};

use crate::inode::InodeOps;

/// Terminals that control a session, or have done so.
static CONTROLLING: Mutex<Vec<Weak<dyn Terminal>>, { level::CACHE }> = Mutex::new(Vec::new());

/// A terminal of whatever kind.
pub trait Terminal: Send + Sync {
    /// Its place in job control.
    fn control(&self) -> &Control;

    /// Its device number.
    fn rdev(&self) -> u64;

    /// Whether output from the background is stopped, `TOSTOP`.
    ///
    /// # Errors
    /// The host's.
    fn stops_output(&self) -> Result<bool>;

    /// Another description of it, opened through the node `inode` (`/dev/tty`).
    ///
    /// # Errors
    /// `EIO` if it was hung up.
    fn open_again(self: Arc<Self>, inode: &Arc<dyn InodeOps>) -> Result<Arc<dyn FileOps>>;
}

/// Session and foreground process group of one terminal.
#[derive(Debug, Default)]
pub struct Control {
    /// The session whose controlling terminal it is, 0 for none.
    session: AtomicI32,
    /// The foreground process group, 0 for none.
    foreground: AtomicI32,
}

impl Control {
    /// Of a terminal that controls nobody.
    pub const fn new() -> Self {
        Self { session: AtomicI32::new(0), foreground: AtomicI32::new(0) }
    }

    /// The session whose controlling terminal it is, 0 for none.
    pub fn session(&self) -> i32 {
        self.session.load(Ordering::Acquire)
    }

    /// The foreground process group, 0 for none.
    pub fn foreground(&self) -> i32 {
        self.foreground.load(Ordering::Acquire)
    }

    /// Sets the foreground process group.
    pub fn set_foreground(&self, pgid: i32) {
        self.foreground.store(pgid, Ordering::Release);
    }

    /// The session's leader has gone, or gave it up: the terminal controls nobody. Returns the
    /// foreground process group, which gets `SIGHUP` and `SIGCONT`.
    pub fn release(&self) -> i32 {
        self.session.store(0, Ordering::Release);
        self.foreground.swap(0, Ordering::AcqRel)
    }

    /// The caller's place in job control, if this is its controlling terminal.
    pub fn controls<'a>(&self, caller: &Caller<'a>) -> Option<&'a dyn JobControl> {
        let jobs = caller.identity.jobs()?;
        let session = self.session();
        (session != 0 && jobs.session() == session).then_some(jobs)
    }

    /// The caller's place in job control, if it is in this terminal's background.
    fn background<'a>(&self, caller: &Caller<'a>) -> Option<&'a dyn JobControl> {
        let foreground = self.foreground();
        let jobs = self.controls(caller)?;
        (foreground != 0 && jobs.process_group() != foreground).then_some(jobs)
    }

    /// Stops callers that are in the background, with `signal`.
    ///
    /// # Errors
    /// See [`JobControl::signal_background`].
    pub fn check_foreground(&self, caller: &Caller<'_>, signal: Signal) -> Result<()> {
        match self.background(caller) {
            Some(jobs) => jobs.signal_background(signal),
            None => Ok(()),
        }
    }
}

/// Output from the background is only stopped if `TOSTOP` is set.
pub(crate) fn check_output(terminal: &dyn Terminal, caller: &Caller<'_>) -> Result<()> {
    match terminal.control().background(caller) {
        Some(jobs) if terminal.stops_output()? => jobs.signal_background(Signal::SIGTTOU),
        _ => Ok(()),
    }
}

/// The controlling terminal of a session.
pub fn of_session(session: i32) -> Option<Arc<dyn Terminal>> {
    let mut found = None;
    // What is upgraded here must not be dropped under the lock.
    let known: Vec<Arc<dyn Terminal>> =
        CONTROLLING.lock().iter().filter_map(Weak::upgrade).collect();
    for terminal in known {
        if session != 0 && terminal.control().session() == session {
            found = Some(terminal);
        }
    }
    found
}

/// Makes it the controlling terminal of a session, with its foreground process group.
pub fn set_session(terminal: &Arc<dyn Terminal>, session: i32, foreground: i32) {
    let control = terminal.control();
    control.foreground.store(foreground, Ordering::Release);
    control.session.store(session, Ordering::Release);
    let mut controlling = CONTROLLING.lock();
    controlling.retain(|known| known.strong_count() > 0);
    if !controlling.iter().any(|known| core::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(terminal))) {
        controlling.push(Arc::downgrade(terminal));
    }
}

/// What opening a terminal without `O_NOCTTY` does: a session leader that has none gets it as its
/// controlling terminal, if it controls nobody else.
pub(crate) fn opened(caller: &Caller<'_>, terminal: &Arc<dyn Terminal>, flags: OpenFlags) {
    if let Some(jobs) = caller.identity.jobs()
        && !flags.contains(OpenFlags::O_NOCTTY)
        && jobs.is_session_leader()
        && terminal.control().session() == 0
        && of_session(jobs.session()).is_none()
    {
        set_session(terminal, jobs.session(), jobs.process_group());
    }
}

/// `/dev/tty`: the caller's controlling terminal.
///
/// # Errors
/// `ENXIO` if it has none.
pub(crate) fn open_tty(caller: &Caller<'_>, inode: &Arc<dyn InodeOps>) -> Result<Arc<dyn FileOps>> {
    let jobs = caller.identity.jobs().ok_or(Errno::ENXIO)?;
    of_session(jobs.session()).ok_or(Errno::ENXIO)?.open_again(inode)
}

/// The requests of `ioctl_tty(2)` that are about job control. `is_own` says whether the caller asks
/// through the terminal itself, not through the other end of a pseudo terminal.
///
/// # Errors
/// `ENOTTY` for other requests, and if it is not the caller's controlling terminal; as
/// `ioctl_tty(2)`.
pub(crate) fn request(
    terminal: &Arc<dyn Terminal>,
    caller: &Caller<'_>,
    request: IoctlCmd,
    arg: u64,
    is_own: bool,
) -> Result<u64> {
    let (memory, control) = (caller.memory(), terminal.control());
    match request {
        IoctlCmd::TIOCGPGRP => {
            if is_own {
                control.controls(caller).ok_or(Errno::ENOTTY)?;
            }
            memory.write(UserPtr::new(arg), &control.foreground())?;
        }
        IoctlCmd::TIOCGSID => {
            if is_own {
                control.controls(caller).ok_or(Errno::ENOTTY)?;
            }
            let session = control.session();
            if session == 0 {
                return Err(Errno::ENOTTY.into());
            }
            memory.write(UserPtr::new(arg), &session)?;
        }
        IoctlCmd::TIOCSPGRP => {
            control.check_foreground(caller, Signal::SIGTTOU)?;
            let jobs = control.controls(caller).ok_or(Errno::ENOTTY)?;
            let pgid: i32 = memory.read(UserPtr::new(arg))?;
            if pgid < 0 {
                return Err(Errno::EINVAL.into());
            }
            let session = jobs.session_of_group(pgid).ok_or(Errno::ESRCH)?;
            if session != jobs.session() {
                return Err(Errno::EPERM.into());
            }
            control.set_foreground(pgid);
        }
        IoctlCmd::TIOCSCTTY => {
            let jobs = caller.identity.jobs().ok_or(Errno::EPERM)?;
            if control.session() == jobs.session() && jobs.is_session_leader() {
                return Ok(0);
            }
            // Only a leader without a terminal gets one, and only one that is free, or that an
            // administrator takes away from its session.
            let steals = arg as u32 == 1 && caller.cred().has(Capabilities::SYS_ADMIN);
            if !jobs.is_session_leader()
                || of_session(jobs.session()).is_some()
                || (control.session() != 0 && !steals)
            {
                return Err(Errno::EPERM.into());
            }
            set_session(terminal, jobs.session(), jobs.process_group());
        }
        IoctlCmd::TIOCNOTTY => {
            let jobs = control.controls(caller).ok_or(Errno::ENOTTY)?;
            if jobs.is_session_leader() {
                let foreground = control.release();
                for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                    jobs.signals().to_group(foreground, signal);
                }
            }
        }
        _ => {
            lx_core::unsupported::note("terminal ioctl", u64::from(request.0));
            return Err(Errno::ENOTTY.into());
        }
    }
    Ok(0)
}
