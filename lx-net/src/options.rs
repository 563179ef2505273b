//! Options that sockets of all families have, `socket(7)`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, Linger, SocketKind, SocketOption};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::error::{Result, SysError};
use lx_core::host::Nanos;
use lx_core::poll::PollEvents;
use lx_core::sync::{WaitEnd, WaitQueue};
use zerocopy::{FromBytes, IntoBytes};

/// Linux's default for `SO_SNDBUF` and `SO_RCVBUF`, and the largest value that can be asked for.
pub const DEFAULT_BUFFER: u32 = 212_992;
const MIN_SEND_BUFFER: u32 = 4608;
const MIN_RECEIVE_BUFFER: u32 = 2304;

/// Options that are switches and change nothing else here.
const SWITCHES: [SocketOption; 8] = [
    SocketOption::SO_DEBUG,
    SocketOption::SO_REUSEADDR,
    SocketOption::SO_DONTROUTE,
    SocketOption::SO_BROADCAST,
    SocketOption::SO_KEEPALIVE,
    SocketOption::SO_OOBINLINE,
    SocketOption::SO_REUSEPORT,
    SocketOption::SO_TIMESTAMP_OLD,
];

/// `SO_RCVTIMEO` and `SO_SNDTIMEO` with times of 64 bits, on x86-64 the same as the old ones.
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

/// The options of one socket, and what it was made as.
pub struct Options {
    /// Its family.
    pub family: AddressFamily,
    /// Its kind.
    pub kind: SocketKind,
    /// Its protocol.
    pub protocol: i32,
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
    send_buffer: AtomicU32,
    receive_buffer: AtomicU32,
    pass_cred: AtomicBool,
    switches: AtomicU32,
    priority: AtomicI32,
    low_water: AtomicI32,
    linger: AtomicU64,
}

/// A value of type `int`.
pub(crate) fn int(value: &[u8]) -> Result<i32> {
    let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(*bytes))
}

fn timeout(value: &[u8]) -> Result<Nanos> {
    let (secs, micros) = value.get(..16).ok_or(Errno::EINVAL)?.split_at(8);
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
    let (secs, micros) = (number(secs), number(micros));
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno::EDOM.into());
    }
    // A negative time does not wait; zero waits for ever.
    let Ok(secs) = u64::try_from(secs) else { return Ok(1) };
    let micros = micros.cast_unsigned();
    Ok(secs.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000)))
}

fn timeval(nanos: Nanos) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend_from_slice(&(nanos / 1_000_000_000).to_ne_bytes());
    bytes.extend_from_slice(&(nanos % 1_000_000_000 / 1000).to_ne_bytes());
    bytes
}

impl Options {
    /// The defaults.
    pub fn new(family: AddressFamily, kind: SocketKind, protocol: i32) -> Self {
        Self {
            family,
            kind,
            protocol,
            receive_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
            send_buffer: AtomicU32::new(DEFAULT_BUFFER),
            receive_buffer: AtomicU32::new(DEFAULT_BUFFER),
            pass_cred: AtomicBool::new(false),
            switches: AtomicU32::new(0),
            priority: AtomicI32::new(0),
            low_water: AtomicI32::new(1),
            linger: AtomicU64::new(0),
        }
    }

    /// Bytes that may be on their way.
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed) as usize
    }

    /// `SO_PASSCRED`.
    pub fn pass_cred(&self) -> bool {
        self.pass_cred.load(Ordering::Relaxed)
    }

    /// Takes over what an accepted socket gets from the one that listens.
    pub fn inherit(&self, from: &Self) {
        self.pass_cred.store(from.pass_cred(), Ordering::Relaxed);
        let buffer = from.send_buffer.load(Ordering::Relaxed);
        self.send_buffer.store(buffer, Ordering::Relaxed);
    }

    /// Sleeps on `queue` until `ready` gives a value, no longer than `SO_RCVTIMEO` or, if
    /// `sending`, `SO_SNDTIMEO` allows.
    ///
    /// # Errors
    /// `EAGAIN` after that time; `Restart`, or `EINTR` if there is such a time, when a signal
    /// arrived.
    pub fn wait<T>(
        &self,
        caller: &Caller<'_>,
        queue: &WaitQueue,
        events: PollEvents,
        sending: bool,
        ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let timeout = if sending { &self.send_timeout } else { &self.receive_timeout };
        let deadline = match timeout.load(Ordering::Relaxed) {
            0 => None,
            span => Some(caller.host.monotonic().saturating_add(span)),
        };
        let key = (events | PollEvents::ALWAYS).bits();
        caller.wait_until(queue, key, deadline, ready).map_err(|end| match end {
            WaitEnd::TimedOut => Errno::EAGAIN.into(),
            WaitEnd::Interrupted if deadline.is_some() => Errno::EINTR.into(),
            WaitEnd::Interrupted => SysError::Restart,
        })
    }

    /// `getsockopt(2)` at level `SOL_SOCKET`; `None` for an option that is not kept here.
    pub fn get(&self, option: SocketOption) -> Option<Vec<u8>> {
        let number = match option {
            SocketOption::SO_TYPE => self.kind.0.cast_signed(),
            SocketOption::SO_DOMAIN => self.family.0,
            SocketOption::SO_PROTOCOL => self.protocol,
            SocketOption::SO_SNDBUF => self.send_buffer.load(Ordering::Relaxed).cast_signed(),
            SocketOption::SO_RCVBUF => self.receive_buffer.load(Ordering::Relaxed).cast_signed(),
            SocketOption::SO_PASSCRED => i32::from(self.pass_cred()),
            SocketOption::SO_PRIORITY => self.priority.load(Ordering::Relaxed),
            SocketOption::SO_RCVLOWAT => self.low_water.load(Ordering::Relaxed),
            SocketOption::SO_SNDLOWAT => 1,
            SocketOption::SO_RCVTIMEO_OLD | SocketOption(SO_RCVTIMEO_NEW) => {
                return Some(timeval(self.receive_timeout.load(Ordering::Relaxed)));
            }
            SocketOption::SO_SNDTIMEO_OLD | SocketOption(SO_SNDTIMEO_NEW) => {
                return Some(timeval(self.send_timeout.load(Ordering::Relaxed)));
            }
            SocketOption::SO_LINGER => {
                return Some(self.linger.load(Ordering::Relaxed).to_ne_bytes().to_vec());
            }
            _ => {
                let at = SWITCHES.iter().position(|known| *known == option)?;
                i32::from(self.switches.load(Ordering::Relaxed) & (1 << at) != 0)
            }
        };
        Some(number.to_ne_bytes().to_vec())
    }

    /// The options that are times, which the kernel keeps for sockets of the host, too.
    ///
    /// # Errors
    /// `EINVAL`, `EDOM`.
    pub fn set_timeout(&self, option: SocketOption, value: &[u8]) -> Option<Result<()>> {
        let place = match option {
            SocketOption::SO_RCVTIMEO_OLD | SocketOption(SO_RCVTIMEO_NEW) => &self.receive_timeout,
            SocketOption::SO_SNDTIMEO_OLD | SocketOption(SO_SNDTIMEO_NEW) => &self.send_timeout,
            _ => return None,
        };
        Some(timeout(value).map(|span| place.store(span, Ordering::Relaxed)))
    }

    /// `setsockopt(2)` at level `SOL_SOCKET`.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for an unknown option; `EINVAL`, `EDOM`, `EACCES`, `EPERM`.
    pub fn set(&self, caller: &Caller<'_>, option: SocketOption, value: &[u8]) -> Result<()> {
        if let Some(result) = self.set_timeout(option, value) {
            return result;
        }
        if option == SocketOption::SO_LINGER {
            let linger = Linger::read_from_prefix(value).map_err(|_| Errno::EINVAL)?.0;
            let bytes = linger.as_bytes().first_chunk().copied().unwrap_or_default();
            self.linger.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            return Ok(());
        }
        let number = int(value)?;
        let admin = caller.cred().has(Capabilities::NET_ADMIN);
        match option {
            SocketOption::SO_SNDBUF | SocketOption::SO_SNDBUFFORCE => {
                let force = option == SocketOption::SO_SNDBUFFORCE;
                let size = buffer_size(number, force, admin, MIN_SEND_BUFFER)?;
                self.send_buffer.store(size, Ordering::Relaxed);
            }
            SocketOption::SO_RCVBUF | SocketOption::SO_RCVBUFFORCE => {
                let force = option == SocketOption::SO_RCVBUFFORCE;
                let size = buffer_size(number, force, admin, MIN_RECEIVE_BUFFER)?;
                self.receive_buffer.store(size, Ordering::Relaxed);
            }
            SocketOption::SO_PASSCRED => self.pass_cred.store(number != 0, Ordering::Relaxed),
            SocketOption::SO_PRIORITY => {
                if !(0..=6).contains(&number) && !admin {
                    return Err(Errno::EPERM.into());
                }
                self.priority.store(number, Ordering::Relaxed);
            }
            SocketOption::SO_RCVLOWAT => {
                let number = if number < 0 { i32::MAX } else { number.max(1) };
                self.low_water.store(number, Ordering::Relaxed);
            }
            SocketOption::SO_TYPE
            | SocketOption::SO_DOMAIN
            | SocketOption::SO_PROTOCOL
            | SocketOption::SO_ERROR
            | SocketOption::SO_SNDLOWAT
            | SocketOption::SO_ACCEPTCONN => return Err(Errno::ENOPROTOOPT.into()),
            SocketOption::SO_DEBUG if number != 0 && !admin => return Err(Errno::EACCES.into()),
            _ => {
                let Some(at) = SWITCHES.iter().position(|known| *known == option) else {
                    lx_core::unsupported::note("setsockopt", u64::from(option.0.cast_unsigned()));
                    return Err(Errno::ENOPROTOOPT.into());
                };
                if number != 0 {
                    self.switches.fetch_or(1 << at, Ordering::Relaxed);
                } else {
                    self.switches.fetch_and(!(1 << at), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

fn buffer_size(number: i32, force: bool, admin: bool, min: u32) -> Result<u32> {
    if force && !admin {
        return Err(Errno::EPERM.into());
    }
    let asked = number.cast_unsigned();
    let asked = if force { asked.min(i32::MAX.cast_unsigned() / 2) } else { asked };
    let asked = if force { asked } else { asked.min(DEFAULT_BUFFER) };
    Ok(asked.saturating_mul(2).max(min))
}
