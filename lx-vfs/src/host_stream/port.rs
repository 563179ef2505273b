//! A host descriptor and its readiness.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::stat::Stat;
use lx_core::error::{Result, SysError};
use lx_core::host::{Host, HostFd, HostFileType, Nanos, ReadyToken};
use lx_core::poll::{PollEvents, PollSource};
use lx_core::sync::{Mutex, WaitEnd, WaitQueue, level};

/// Events of a stream that a guest can wait for.
const WAITABLE: PollEvents =
    PollEvents::POLLIN.union(PollEvents::POLLOUT).union(PollEvents::POLLPRI);

/// Who gets the host's announcements.
static PORTS: Mutex<Option<HashMap<ReadyToken, Weak<Port>>>, { level::CACHE }> = Mutex::new(None);
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

/// For [`Supervisor::host_ready`](lx_core::host::Supervisor::host_ready): what was armed with
/// `token` became ready. `false` if the token is not one of a host stream.
pub fn host_ready(token: ReadyToken, events: PollEvents) -> bool {
    let known = {
        let ports = PORTS.lock();
        ports.as_ref().and_then(|ports| ports.get(&token)).map(Weak::upgrade)
    };
    match known {
        Some(Some(port)) => {
            port.announced(events);
            true
        }
        Some(None) => true,
        None => false,
    }
}

/// A host descriptor.
pub(crate) struct Port {
    host: &'static dyn Host,
    fd: HostFd,
    file_type: HostFileType,
    rdev: u64,
    terminal: bool,
    /// The host cannot announce its readiness, because it is always ready.
    always_ready: AtomicBool,
    token: ReadyToken,
    /// What the host was asked to announce and has not announced yet ([`PollEvents`]).
    armed: AtomicU32,
    /// What pollers are interested in, since the wait queue was last found empty.
    watched: AtomicU32,
    queue: WaitQueue,
}

impl PollSource for Port {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl Port {
    pub(crate) fn new(host: &'static dyn Host, fd: HostFd) -> Result<Arc<Self>> {
        let stat = host.stat(&fd, b"")?;
        let terminal = host.is_terminal(&fd);
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
        let port = Arc::new(Self {
            host,
            fd,
            file_type: stat.file_type,
            rdev: stat.rdev,
            terminal,
            always_ready: AtomicBool::new(stat.file_type == HostFileType::Regular),
            token,
            armed: AtomicU32::new(0),
            watched: AtomicU32::new(0),
            queue: WaitQueue::new(),
        });
        let entry = Arc::downgrade(&port);
        PORTS.lock().get_or_insert_default().insert(token, entry);
        Ok(port)
    }

    pub(crate) fn host(&self) -> &'static dyn Host {
        self.host
    }

    pub(crate) fn fd(&self) -> &HostFd {
        &self.fd
    }

    pub(crate) fn file_type(&self) -> HostFileType {
        self.file_type
    }

    pub(crate) fn rdev(&self) -> u64 {
        self.rdev
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn is_always_ready(&self) -> bool {
        self.always_ready.load(Ordering::Relaxed)
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        super::host_stat(self)
    }

    pub(crate) fn is_ready(&self, interest: PollEvents) -> bool {
        self.is_always_ready()
            || !self.host.ready(&self.fd, interest | PollEvents::ALWAYS).is_empty()
    }

    /// Sleeps until one of `interest` (or an error or hang-up) holds; `false` if the deadline came
    /// before.
    pub(crate) fn wait_ready(
        &self,
        caller: &Caller<'_>,
        interest: PollEvents,
        deadline: Option<Nanos>,
    ) -> Result<bool> {
        let key = (interest | PollEvents::ALWAYS).bits();
        let result = caller.wait_until(&self.queue, key, deadline, || {
            if self.is_ready(interest) {
                return Some(Ok(()));
            }
            // What becomes ready between the question and this is announced at once.
            self.arm(interest).err().map(Err)
        });
        match result {
            Ok(result) => result.map(|()| true),
            Err(WaitEnd::TimedOut) => Ok(false),
            Err(WaitEnd::Interrupted) => Err(SysError::Restart),
        }
    }

    /// Asks the host to announce `interest`, unless that is asked already.
    fn arm(&self, interest: PollEvents) -> Result<()> {
        let mut all = self.armed.fetch_or(interest.bits(), Ordering::AcqRel);
        if all & interest.bits() == interest.bits() || self.is_always_ready() {
            return Ok(());
        }
        all |= interest.bits();
        loop {
            match self.host.arm(&self.fd, PollEvents::from_bits_retain(all), self.token) {
                Ok(()) => {}
                Err(error) if error.0 == Errno::EPERM => {
                    self.always_ready.store(true, Ordering::Relaxed);
                    self.queue.wake_all(WAITABLE.bits());
                    return Ok(());
                }
                Err(error) => {
                    self.armed.store(0, Ordering::Release);
                    return Err(error.into());
                }
            }
            // Somebody else may have asked for more, and been overtaken.
            let now = self.armed.load(Ordering::Acquire);
            if now & !all == 0 {
                return Ok(());
            }
            all = now;
        }
    }

    fn announced(&self, events: PollEvents) {
        self.armed.store(0, Ordering::Release);
        self.queue.wake_all(events.bits());
    }

    /// Readiness; whatever somebody waits for and is not there will be announced.
    pub(crate) fn poll(&self) -> PollEvents {
        if self.is_always_ready() {
            return PollEvents::READABLE | PollEvents::WRITABLE;
        }
        let asked = WAITABLE | PollEvents::POLLRDHUP | PollEvents::ALWAYS;
        let mut ready = self.host.ready(&self.fd, asked);
        let watched = PollEvents::from_bits_retain(self.watched.load(Ordering::Acquire));
        let missing = watched & WAITABLE & !ready;
        if !missing.is_empty() {
            self.rearm(missing);
        }
        if ready.contains(PollEvents::POLLIN) {
            ready |= PollEvents::POLLRDNORM;
        }
        if ready.contains(PollEvents::POLLOUT) {
            ready |= PollEvents::POLLWRNORM;
        }
        ready
    }

    /// Notes what a poller, who has just registered, is interested in.
    pub(crate) fn watch(&self, interest: PollEvents) {
        let mut events = interest & WAITABLE;
        if interest.intersects(PollEvents::POLLRDNORM | PollEvents::POLLRDHUP) {
            events |= PollEvents::POLLIN;
        }
        if interest.intersects(PollEvents::POLLWRNORM) {
            events |= PollEvents::POLLOUT;
        }
        // Hang-ups are announced along with anything else.
        if events.is_empty() {
            events = PollEvents::POLLPRI;
        }
        self.watched.fetch_or(events.bits(), Ordering::AcqRel);
    }

    /// Asks for an announcement if there are pollers.
    pub(crate) fn rearm(&self, interest: PollEvents) {
        if self.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.queue.is_empty() {
            self.watched.store(0, Ordering::Release);
            return;
        }
        // A descriptor that cannot be armed is reported by reading it.
        let _ = self.arm(interest);
    }

    pub(crate) fn readable_bytes(&self) -> Result<usize> {
        if self.file_type == HostFileType::Regular {
            let size = self.host.stat(&self.fd, b"")?.size;
            let at = self.host.seek(&self.fd, 0, 1)?;
            return Ok(usize::try_from(size.saturating_sub(at)).unwrap_or(usize::MAX));
        }
        let mut count = [0; 4];
        self.host.terminal_ioctl(&self.fd, IoctlCmd::FIONREAD.0, &mut count)?;
        Ok(usize::try_from(i32::from_ne_bytes(count)).unwrap_or(0))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.host.disarm(&self.fd);
        let entry = PORTS.lock().as_mut().and_then(|ports| ports.remove(&self.token));
        drop(entry);
    }
}
