//! Terminals, readiness of host descriptors, random numbers.

use lx_core::abi::Errno;
use lx_core::host::{HostConsole, HostEntropy, HostError, HostFd, HostResult, ReadyToken};
use lx_core::poll::PollEvents;

use crate::LinuxHost;
use crate::reactor;
use crate::sys::{self, sys};

#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

const TCGETS: u32 = 0x5401;
/// `TCSBRK`, `TCXONC`, `TCFLSH`, `TCSBRKP`: their argument is a number.
const TAKES_NUMBER: [u32; 4] = [0x5409, 0x540a, 0x540b, 0x5425];

impl HostConsole for LinuxHost {
    fn ready(&self, fd: &HostFd, interest: PollEvents) -> PollEvents {
        let mut poll = PollFd { fd: fd.raw() as i32, events: interest.bits() as u16, revents: 0 };
        // SAFETY: the kernel reads and writes the one entry.
        let count = unsafe { sys!(sys::__NR_poll, &raw mut poll, 1usize, 0usize) };
        match count {
            Ok(_) => PollEvents::from_bits_truncate(u32::from(poll.revents)),
            Err(_) => PollEvents::empty(),
        }
    }

    fn arm(&self, fd: &HostFd, interest: PollEvents, token: ReadyToken) -> HostResult<()> {
        reactor::arm(fd.raw() as i32, interest, token)
    }

    fn disarm(&self, fd: &HostFd) {
        reactor::disarm(fd.raw() as i32);
    }

    fn is_terminal(&self, fd: &HostFd) -> bool {
        let mut settings = [0u8; 64];
        self.terminal_ioctl(fd, TCGETS, &mut settings).is_ok()
    }

    fn terminal_ioctl(&self, fd: &HostFd, request: u32, arg: &mut [u8]) -> HostResult<i32> {
        if TAKES_NUMBER.contains(&request) {
            let number = arg.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
            // SAFETY: these requests take a number and touch no memory.
            let result = unsafe { sys!(sys::__NR_ioctl, fd.raw(), request, number) };
            return result.map(|value| value as i32).map_err(HostError);
        }
        // SAFETY: the caller gives room for what the request reads and writes.
        let result = unsafe { sys!(sys::__NR_ioctl, fd.raw(), request, arg.as_mut_ptr()) };
        result.map(|value| value as i32).map_err(HostError)
    }
}

impl HostEntropy for LinuxHost {
    fn fill(&self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            // SAFETY: the kernel writes the buffer.
            let count =
                unsafe { sys!(sys::__NR_getrandom, bytes.as_mut_ptr(), bytes.len(), 0usize) };
            match count {
                Ok(count) if count > 0 => bytes = bytes.get_mut(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                _ => crate::report::stop(format_args!("the host has no random numbers")),
            }
        }
    }
}
