//! `lx-host.exe`: brings the kernel image into Windows processes.
//!
//! `lx-host init`, with pipes from and to `lx` as standard input and output, becomes the init process of a machine: it makes the shared
//! region, loads the image into it and calls the image. Guests run in processes that init starts
//! as `lx-host guest ENTRY BLOCK`, with the region already mapped.
//!
//! Freestanding: no C runtime and no standard library, because each guest process pays for what
//! this program loads.
#![cfg_attr(windows, no_std)]
#![cfg_attr(windows, no_main)]

#[cfg(windows)]
mod adopt;
#[cfg(windows)]
mod api;
#[cfg(windows)]
mod arguments;
#[cfg(windows)]
mod aside;
#[cfg(windows)]
mod console;
#[cfg(windows)]
mod control;
#[cfg(windows)]
mod image;
#[cfg(windows)]
mod net;
#[cfg(windows)]
mod process;
#[cfg(windows)]
mod program;
#[cfg(windows)]
mod report;
#[cfg(windows)]
mod services;
#[cfg(windows)]
mod start;
#[cfg(windows)]
mod winsock;

#[cfg(not(windows))]
fn main() {
    eprintln!("lx-host is a program for Windows");
}
