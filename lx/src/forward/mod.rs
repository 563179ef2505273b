//! Hands on to the guest what the host asks of lx: signals on Unix, console events on Windows.

#[cfg(any(windows, test))]
mod events;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{Forwarder, guest_stopped};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{Forwarder, guest_stopped};
