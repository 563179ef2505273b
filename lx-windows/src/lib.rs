//! The few Win32 calls that the `lx` command and library make, as safe functions.
//!
//! Guests and kernel never come here: `host-windows` calls NT services by itself. This crate is
//! empty on other systems.
#![cfg(windows)]

mod console;
pub mod features;
mod job;
pub mod questions;
mod raw_console;

pub use console::{
    console_size, former_console, is_console, on_console_event, prepare_console, restore_console,
};
pub use job::{Job, duplicate_into};
pub use raw_console::{Keyboard, Screen, open_console};

use std::io;

/// Turns a `BOOL` into a result.
fn check(result: windows_sys::core::BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
