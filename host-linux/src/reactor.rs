//! One epoll instance for the machine. Any process arms a descriptor in it, init waits.

use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult, ReadyToken};
use lx_core::poll::PollEvents;

use crate::sys::{self, sys};

static EPOLL: AtomicI32 = AtomicI32::new(-1);

const CTL_ADD: usize = 1;
const CTL_DEL: usize = 2;
const CTL_MOD: usize = 3;
const ONESHOT: u32 = 1 << 30;
/// Tokens from here on are init's own.
const INTERNAL: u64 = u64::MAX - 15;

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Wake,
    Timer,
    Control,
    Guest(ReadyToken),
}

const SOURCES: [Source; 3] = [Source::Wake, Source::Timer, Source::Control];

#[derive(Clone, Copy, Default)]
#[repr(C, packed)]
struct Event {
    events: u32,
    token: u64,
}

/// Room for what one wait finds.
pub(crate) struct Ready {
    events: [Event; 64],
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self { events: [Event::default(); 64] }
    }
}

pub(crate) fn create() {
    const CLOEXEC: usize = 0o2000000;
    // SAFETY: touches no memory.
    let fd = unsafe { sys!(sys::__NR_epoll_create1, CLOEXEC) };
    EPOLL.store(fd.map_or(-1, |fd| fd as i32), Ordering::Relaxed);
}

fn control(operation: usize, fd: i32, events: u32, token: u64) -> sys::SysResult {
    let event = Event { events, token };
    // SAFETY: the kernel reads the event.
    unsafe {
        sys!(sys::__NR_epoll_ctl, EPOLL.load(Ordering::Relaxed), operation, fd, &raw const event)
    }
}

/// Watches a descriptor of init's own.
pub(crate) fn watch(fd: i32, source: Source) {
    let index = SOURCES.iter().position(|&known| known == source).unwrap_or(0) as u64;
    let _ = control(CTL_ADD, fd, PollEvents::POLLIN.bits(), INTERNAL + index);
}

/// Reports `fd` once when one of `events` holds.
pub(crate) fn arm(fd: i32, events: PollEvents, token: ReadyToken) -> HostResult<()> {
    let bits = events.bits() | ONESHOT;
    match control(CTL_MOD, fd, bits, token) {
        Err(Errno::ENOENT) => control(CTL_ADD, fd, bits, token),
        result => result,
    }
    .map(drop)
    .map_err(HostError)
}

/// Forgets `fd`.
pub(crate) fn disarm(fd: i32) {
    let _ = control(CTL_DEL, fd, 0, 0);
}

/// Waits at most `timeout_ms`.
pub(crate) fn wait(
    ready: &mut Ready,
    timeout_ms: usize,
) -> impl Iterator<Item = (Source, PollEvents)> {
    // SAFETY: the kernel writes the array.
    let count = unsafe {
        sys!(
            sys::__NR_epoll_wait,
            EPOLL.load(Ordering::Relaxed),
            ready.events.as_mut_ptr(),
            ready.events.len(),
            timeout_ms
        )
    };
    ready.events.iter().take(count.unwrap_or(0)).map(|event| {
        let (token, bits) = (event.token, event.events);
        let source = token
            .checked_sub(INTERNAL)
            .and_then(|index| SOURCES.get(index as usize).copied())
            .unwrap_or(Source::Guest(token));
        (source, PollEvents::from_bits_truncate(bits))
    })
}
