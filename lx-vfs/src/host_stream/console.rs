//! Terminals of the host and their place in job control, `tty(4)`.
//!
//! The line discipline is the host terminal's. What it knows of sessions and process groups is
//! kept here, as the guest's are unknown to the host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::tty::{LocalFlags, Termios, VMIN, VTIME};
use lx_core::abi::{Errno, Signal};
use lx_core::caller::JobControl;
use lx_core::error::Result;
use lx_core::file::FileOps;
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, level};
use lx_core::time::NANOS_PER_SEC;
use zerocopy::{FromZeros, IntoBytes};

use super::HostStream;
use super::port::Port;
use crate::inode::InodeOps;

/// All terminals that guests were given.
static CONSOLES: Mutex<Vec<Arc<Console>>, { level::CACHE }> = Mutex::new(Vec::new());

/// A terminal.
pub struct Console {
    port: Arc<Port>,
    /// The session whose controlling terminal it is, 0 for none.
    session: AtomicI32,
    /// The foreground process group, 0 for none.
    foreground: AtomicI32,
}

impl Console {
    /// The terminal behind a port: an old one if the same device was given before.
    pub(super) fn of(port: &Arc<Port>) -> Arc<Self> {
        let mut unused = Vec::new();
        let mut consoles = CONSOLES.lock();
        let known = consoles.iter().find(|console| console.port.rdev() == port.rdev()).cloned();
        let console = known.unwrap_or_else(|| {
            let idle =
                |console: &mut Arc<Self>| console.session() == 0 && Arc::strong_count(console) == 1;
            unused.extend(consoles.extract_if(.., idle));
            let console = Arc::new(Self {
                port: Arc::clone(port),
                session: AtomicI32::new(0),
                foreground: AtomicI32::new(0),
            });
            consoles.push(Arc::clone(&console));
            console
        });
        drop(consoles);
        // Closes host descriptors, so it happens without the lock.
        drop(unused);
        console
    }

    /// The controlling terminal of a session.
    pub fn of_session(session: i32) -> Option<Arc<Self>> {
        CONSOLES.lock().iter().find(|console| console.session() == session).cloned()
    }

    /// The session whose controlling terminal it is, 0 for none.
    pub fn session(&self) -> i32 {
        self.session.load(Ordering::Acquire)
    }

    /// The foreground process group, 0 for none.
    pub fn foreground(&self) -> i32 {
        self.foreground.load(Ordering::Acquire)
    }

    /// Makes it the controlling terminal of a session, with its foreground process group.
    pub fn set_session(&self, session: i32, foreground: i32) {
        self.foreground.store(foreground, Ordering::Release);
        self.session.store(session, Ordering::Release);
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
    pub(super) fn controls<'a>(&self, caller: &Caller<'a>) -> Option<&'a dyn JobControl> {
        let jobs = caller.identity.jobs()?;
        let session = self.session();
        (session != 0 && jobs.session() == session).then_some(jobs)
    }

    /// Stops callers that are in the background, with `signal`.
    pub(super) fn check_foreground(&self, caller: &Caller<'_>, signal: Signal) -> Result<()> {
        let Some(jobs) = self.controls(caller) else { return Ok(()) };
        let foreground = self.foreground();
        if foreground == 0 || jobs.process_group() == foreground {
            return Ok(());
        }
        jobs.signal_background(signal)
    }

    fn settings(&self) -> Result<Termios> {
        let mut settings = Termios::new_zeroed();
        let (host, fd) = (self.port.host(), self.port.fd());
        host.terminal_ioctl(fd, IoctlCmd::TCGETS.0, settings.as_mut_bytes())?;
        Ok(settings)
    }

    /// How long a read waits for input: in raw mode, `VMIN` 0 means that it waits for `VTIME`
    /// tenths of a second only.
    pub(super) fn read_timeout(&self) -> Result<Option<Nanos>> {
        let settings = self.settings()?;
        if settings.local().contains(LocalFlags::ICANON) || settings.cc(VMIN) > 0 {
            return Ok(None);
        }
        Ok(Some(Nanos::from(settings.cc(VTIME)) * (NANOS_PER_SEC / 10)))
    }

    /// Output from the background is only stopped if `TOSTOP` is set.
    pub(super) fn check_output(&self, caller: &Caller<'_>) -> Result<()> {
        let Some(jobs) = self.controls(caller) else { return Ok(()) };
        let foreground = self.foreground();
        if foreground == 0 || jobs.process_group() == foreground {
            return Ok(());
        }
        if self.settings()?.local().contains(LocalFlags::TOSTOP) {
            jobs.signal_background(Signal::SIGTTOU)?;
        }
        Ok(())
    }
}

/// `/dev/tty`: the caller's controlling terminal.
pub(crate) fn open_tty(caller: &Caller<'_>, inode: &Arc<dyn InodeOps>) -> Result<Arc<dyn FileOps>> {
    let jobs = caller.identity.jobs().ok_or(Errno::ENXIO)?;
    let console = Console::of_session(jobs.session()).ok_or(Errno::ENXIO)?;
    Ok(stream(console, inode))
}

/// `/dev/console`: the caller's controlling terminal, else the first terminal there is. Without
/// `O_NOCTTY`, a session leader that has none gets it as controlling terminal.
pub(crate) fn open_console(
    caller: &Caller<'_>,
    flags: OpenFlags,
    inode: &Arc<dyn InodeOps>,
) -> Result<Arc<dyn FileOps>> {
    let jobs = caller.identity.jobs();
    let own = jobs.and_then(|jobs| Console::of_session(jobs.session()));
    let console = match own {
        Some(console) => console,
        None => {
            let first = CONSOLES.lock().first().cloned();
            let console = first.ok_or(Errno::ENXIO)?;
            if let Some(jobs) = jobs
                && jobs.is_session_leader()
                && console.session() == 0
                && !flags.contains(OpenFlags::O_NOCTTY)
            {
                console.set_session(jobs.session(), jobs.process_group());
            }
            console
        }
    };
    Ok(stream(console, inode))
}

fn stream(console: Arc<Console>, inode: &Arc<dyn InodeOps>) -> Arc<dyn FileOps> {
    Arc::new(HostStream {
        port: Arc::clone(&console.port),
        console: Some(console),
        inode: Some(Arc::clone(inode)),
    })
}
