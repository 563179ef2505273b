//! Readiness of host handles, and the console.
//!
//! NT tells nobody when a pipe that somebody else has made becomes readable, so init looks, often
//! while there was something lately, and less often later.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::Errno;
use lx_core::control::TerminalSettings;
use lx_core::host::{HostConsole, HostError, HostFd, HostResult, Nanos, ReadyToken, Supervisor};
use lx_core::poll::PollEvents;
use lx_core::sync::Mutex;
use lx_nt::{Handle, IoStatus};

use crate::WindowsHost;
use crate::files::{self, Kind};
use crate::nt::{nt, status};
use crate::{aside, feed, init, native, net, region, terminal};

/// Lock level of the list.
const LEVEL: u8 = 57;
/// Init looks every millisecond at first, then more and more rarely.
const SHORTEST: Nanos = 1_000_000;
const LONGEST: Nanos = 16_000_000;

struct Armed {
    raw: u64,
    /// Init's handle.
    handle: Handle,
    kind: Kind,
    interest: PollEvents,
    token: ReadyToken,
}

static ARMED: Mutex<Vec<Armed>, LEVEL> = Mutex::new(Vec::new());
/// Looks without success.
static IDLE_LOOKS: AtomicU32 = AtomicU32::new(0);

/// How long init may wait before it looks again.
pub(crate) fn poll_interval() -> Nanos {
    if ARMED.lock().is_empty() {
        return Nanos::MAX;
    }
    let looks = IDLE_LOOKS.load(Ordering::Relaxed);
    (SHORTEST << (looks / 16).min(4)).min(LONGEST)
}

/// Looks, and reports what has become ready.
pub(crate) fn poll(supervisor: &dyn Supervisor) {
    let mut armed = ARMED.lock();
    let mut ready = Vec::new();
    armed.retain(|entry| {
        let events = events(entry.raw, entry.handle, entry.kind, entry.interest);
        if !events.is_empty() {
            ready.push((entry.token, events));
        }
        events.is_empty()
    });
    drop(armed);
    if ready.is_empty() {
        IDLE_LOOKS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    IDLE_LOOKS.store(0, Ordering::Relaxed);
    for (token, events) in ready {
        supervisor.host_ready(token, events);
    }
}

/// What holds of `interest` now.
fn events(raw: u64, handle: Handle, kind: Kind, interest: PollEvents) -> PollEvents {
    let both = PollEvents::POLLIN | PollEvents::POLLOUT;
    match kind {
        Kind::Pipe if interest.contains(PollEvents::POLLIN) => match peek(handle) {
            Ok(0) => interest & PollEvents::POLLOUT,
            Ok(_) => interest & both,
            // The end that only writes cannot be looked into.
            Err(Errno::EACCES) => interest & PollEvents::POLLOUT,
            Err(_) => PollEvents::POLLHUP | (interest & both),
        },
        Kind::Keyboard if terminal::pending(handle) == 0 => interest & PollEvents::POLLOUT,
        Kind::Process if native::status(handle).is_none() => PollEvents::empty(),
        Kind::Process => interest & PollEvents::POLLIN,
        Kind::Pipe if aside::is_busy(raw) => PollEvents::empty(),
        Kind::Feed => feed::events(raw) & (interest | PollEvents::ALWAYS),
        _ => interest & both,
    }
}

/// Bytes that can be read.
fn peek(handle: Handle) -> Result<u32, Errno> {
    const FSCTL_PIPE_PEEK: u32 = 0x11_400c;
    // State, bytes, messages, length of the message, room for one byte.
    let mut answer = [0u32; 5];
    let mut io = IoStatus::default();
    region::commit_here(answer.as_ptr().cast(), size_of_val(&answer));
    // SAFETY: the call writes the structure.
    let result = unsafe {
        nt!(
            fs_control,
            handle,
            0,
            0,
            0,
            &mut io,
            FSCTL_PIPE_PEEK,
            core::ptr::null(),
            0,
            answer.as_mut_ptr().cast(),
            16
        )
    };
    match result {
        status::BUFFER_OVERFLOW => Ok(answer[1]),
        status::PIPE_EMPTY => Ok(0),
        result if result < 0 => Err(crate::nt::errno(result)),
        _ => Ok(answer[1]),
    }
}

impl HostConsole for WindowsHost {
    fn ready(&self, fd: &HostFd, interest: PollEvents) -> PollEvents {
        if files::kind(fd) == Kind::Socket {
            return net::ready(fd, interest);
        }
        match files::local(fd) {
            Ok(handle) => events(fd.raw(), handle, files::kind(fd), interest),
            Err(_) => PollEvents::empty(),
        }
    }

    fn arm(&self, fd: &HostFd, interest: PollEvents, token: ReadyToken) -> HostResult<()> {
        let kind = files::kind(fd);
        match kind {
            Kind::Disk => return Err(HostError(Errno::EPERM)),
            Kind::Socket => return net::arm(fd, interest, token),
            _ => {}
        }
        let handle = files::of_init(fd)?;
        let raw = fd.raw();
        let mut armed = ARMED.lock();
        armed.retain(|entry| entry.raw != raw);
        armed.push(Armed { raw, handle, kind, interest, token });
        drop(armed);
        IDLE_LOOKS.store(0, Ordering::Relaxed);
        init::wake();
        Ok(())
    }

    fn disarm(&self, fd: &HostFd) {
        if files::kind(fd) == Kind::Socket {
            return net::disarm(fd.raw());
        }
        ARMED.lock().retain(|entry| entry.raw != fd.raw());
    }

    fn is_terminal(&self, fd: &HostFd) -> bool {
        files::kind(fd).is_console()
    }

    fn terminal_ioctl(&self, fd: &HostFd, request: u32, arg: &mut [u8]) -> HostResult<i32> {
        const FIONREAD: u32 = 0x541b;
        if request == FIONREAD && files::kind(fd) == Kind::Pipe {
            let count = peek(files::local(fd)?).map_err(HostError)?;
            if let Some(out) = arg.first_chunk_mut::<4>() {
                *out = count.to_le_bytes();
            }
            return Ok(0);
        }
        let kind = files::kind(fd);
        if !kind.is_console() {
            return Err(HostError(Errno::ENOTTY));
        }
        terminal::request(files::local(fd)?, kind, request, arg).map_err(HostError)
    }

    fn restore_terminal(&self, _: &HostFd, settings: &TerminalSettings) -> bool {
        // As `lx` takes them from the console.
        let TerminalSettings { input, output, control, local, .. } = settings;
        let settings = [*input, *output, *control, *local];
        // SAFETY: the loader reads the numbers.
        unsafe { nt!(console_restore, &settings) };
        true
    }
}
