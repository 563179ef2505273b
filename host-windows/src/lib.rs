//! The Host traits by NT system services.
//!
//! A machine is one *init* process ([`boot()`], `init`) and any number of host processes that run
//! guests (`process`), all with the same shared region at the same address. The loader (`lx-host.exe`)
//! maps the image into each of them and hands over a table of system services (`nt`). Kernel code
//! runs in each process, on kernel stacks in the region (`thread`).
//!
//! Guests own FS and most of the address space, Windows owns GS: the engine's fields lie in slots
//! of the thread's TEB (`lx_x86::layout`). No code here touches FS except to swap it around calls
//! of the host, and none calls Win32.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod aside;
mod attributes;
mod boot;
mod census;
mod children;
mod clock;
mod console;
mod control;
mod drives;
mod entries;
mod entropy;
mod exception;
mod feed;
mod files;
mod fork;
mod init;
mod interrupt;
mod keyboard;
mod links;
mod lose_fs;
mod memory;
mod metadata;
mod names;
mod native;
mod net;
mod nt;
mod owned_lock;
mod park;
mod process;
mod quote;
mod ranges;
mod region;
mod report;
mod siblings;
mod space;
mod storage;
mod stream;
mod terminal;
mod thread;
mod traits;
mod views;
mod xattr;

pub use boot::{ImageLayout, MakeKernel, boot};
pub use lx_nt::Boot;
pub use region::{Memory, RegionAllocator};
pub use report::report_panic;

use lx_core::host::Host;

/// This host.
pub(crate) struct WindowsHost;

impl Host for WindowsHost {}

static HOST: WindowsHost = WindowsHost;

/// The one instance.
pub(crate) fn host() -> &'static WindowsHost {
    &HOST
}
