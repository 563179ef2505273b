//! `lx run -t`: shows a terminal of the guest on the host's.

#[cfg(any(windows, test))]
mod letters;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{HostTerminal, continued, restore, size};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{HostTerminal, type_interrupt};

/// Why there is none.
const NONE: &str = "-t needs a terminal, and no standard stream is one";
