//! Terminals of the host, `console(4)`.
//!
//! The line discipline is the host terminal's. Sessions and process groups are not, as the guest's
//! are unknown to the host: see [`Control`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::tty::{LocalFlags, Termios, VMIN, VTIME};
use lx_core::error::Result;
use lx_core::file::FileOps;
use lx_core::host::Nanos;
use lx_core::sync::{Mutex, level};
use lx_core::time::NANOS_PER_SEC;
use zerocopy::{FromZeros, IntoBytes};

use super::HostStream;
use super::port::Port;
use crate::dev;
use crate::inode::InodeOps;
use crate::tty::control::{self, Control, Terminal};

/// All terminals that guests were given.
static CONSOLES: Mutex<Vec<Arc<Console>>, { level::CACHE }> = Mutex::new(Vec::new());

/// A terminal.
pub struct Console {
    port: Arc<Port>,
    control: Control,
}

impl Console {
    /// The terminal behind a port: an old one if the same device was given before.
    pub(super) fn of(port: &Arc<Port>) -> Arc<Self> {
        let mut unused = Vec::new();
        let mut consoles = CONSOLES.lock();
        let known = consoles.iter().find(|console| console.port.rdev() == port.rdev()).cloned();
        let console = known.unwrap_or_else(|| {
            let idle = |console: &mut Arc<Self>| {
                console.control.session() == 0 && Arc::strong_count(console) == 1
            };
            unused.extend(consoles.extract_if(.., idle));
            let console = Arc::new(Self { port: Arc::clone(port), control: Control::new() });
            consoles.push(Arc::clone(&console));
            console
        });
        drop(consoles);
        // Closes host descriptors, so it happens without the lock.
        drop(unused);
        console
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
}

impl Terminal for Console {
    fn control(&self) -> &Control {
        &self.control
    }

    fn rdev(&self) -> u64 {
        dev::CONSOLE
    }

    fn stops_output(&self) -> Result<bool> {
        Ok(self.settings()?.local().contains(LocalFlags::TOSTOP))
    }

    fn open_again(self: Arc<Self>, inode: &Arc<dyn InodeOps>) -> Result<Arc<dyn FileOps>> {
        Ok(stream(self, inode))
    }
}

/// `/dev/console`: the caller's controlling terminal, else the first terminal there is. Without
/// `O_NOCTTY`, a session leader that has none gets it as controlling terminal.
pub(crate) fn open_console(
    caller: &Caller<'_>,
    flags: OpenFlags,
    inode: &Arc<dyn InodeOps>,
) -> Result<Arc<dyn FileOps>> {
    let own = caller.identity.jobs().map_or(0, |jobs| jobs.session());
    let console = {
        let consoles = CONSOLES.lock();
        let own = consoles.iter().find(|console| own != 0 && console.control.session() == own);
        own.or_else(|| consoles.first()).cloned().ok_or(Errno::ENXIO)?
    };
    let terminal: Arc<dyn Terminal> = Arc::clone(&console) as _;
    control::opened(caller, &terminal, flags);
    Ok(stream(console, inode))
}

fn stream(console: Arc<Console>, inode: &Arc<dyn InodeOps>) -> Arc<dyn FileOps> {
    Arc::new(HostStream {
        port: Arc::clone(&console.port),
        console: Some(console),
        inode: Some(Arc::clone(inode)),
    })
}
