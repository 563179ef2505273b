//! The Host traits by raw Linux system calls.
//!
//! A machine is one *init* process ([`boot()`], `init`) and any number of host processes that run
//! guests (`process`), all with the same shared [`region`](crate::REGION_BASE) and the same host
//! descriptor table. Kernel code runs in each of them, on kernel stacks in the region (`thread`).
//! Host signals bring faults, stray system calls and interrupts in guest code to the kernel
//! (`signal`). The code that switches between guest and kernel is in [`lx_x86::entry`].
//!
//! No code here touches FS, which belongs to the guest, or calls a libc.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod boot;
mod clock;
mod console;
mod control;
mod init;
mod interfaces;
mod load;
mod memory;
mod metadata;
mod net;
mod park;
mod path;
mod process;
mod reactor;
mod region;
mod region_file;
mod report;
mod signal;
mod spare;
mod storage;
mod sys;
mod thread;
mod traits;

pub use boot::{ImageLayout, MakeKernel, boot};
pub use region::{Memory, REGION_BASE, REGION_SIZE, RegionAllocator};
pub use report::report_panic;

use lx_core::host::Host;

/// This host.
pub(crate) struct LinuxHost;

impl Host for LinuxHost {}

static HOST: LinuxHost = LinuxHost;

/// The one instance.
pub(crate) fn host() -> &'static LinuxHost {
    &HOST
}
