//! What the loader for Windows (`lx-loader`) and the kernel image (`host-windows`) tell each other.
//!
//! The image is a freestanding ELF program, the loader a small PE program. The loader maps the
//! image, resolves the system services that the image calls, and hands them over as a table of
//! functions. Both sides are built from one tree, so nothing here needs a version. What keys of a
//! console mean is here, too, as `lx.exe` has to know it as well.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod keys;
mod services;
mod structs;

pub use services::Services;
pub use structs::{
    AfdPoll, ClientId, Context, ExceptionPointers, ExceptionRecord, IoStatus, KeyEvent,
    MemoryBasicInformation, NetTransfer, ObjectAttributes, Program, UnicodeString,
};

/// A handle of the NT kernel.
pub type Handle = usize;
/// A status of the NT kernel: negative for errors.
pub type Status = i32;

/// The calling process.
pub const CURRENT_PROCESS: Handle = usize::MAX;
/// The calling thread.
pub const CURRENT_THREAD: Handle = usize::MAX - 1;

/// First address of the shared region and of the image.
pub const REGION_BASE: u64 = 0x7000_0000_0000;
/// Size of the shared region. Reserving is cheap, but not free of cost.
pub const REGION_SIZE: u64 = 16 << 30;
/// Where the loader itself is linked: the same address in every process, so that the table of
/// services has one address.
pub const LOADER_BASE: u64 = 0x7200_0000_0000;
/// The low part of the address space that is kept free for programs that are linked there.
pub const LOW_RANGE: (u64, u64) = (0x40_0000, 0x6000_0000);

/// Why a thread of the loader calls the image.
pub mod boot_kind {
    /// The first process of a machine.
    pub const INIT: u32 = 0;
    /// The first thread of a process for guests.
    pub const PROCESS: u32 = 1;
    /// A further thread.
    pub const THREAD: u32 = 2;
}

/// What the image's entry gets, in `rdi`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Boot {
    /// One of [`boot_kind`].
    pub kind: u32,
    /// Identifies the process.
    pub process_id: u32,
    /// Identifies the thread.
    pub thread_id: u32,
    /// A test switch: how often threads shall lose their FS base; init only.
    pub lose_fs: u32,
    /// A test switch: megabytes that the region may have, 0 for all; init only.
    pub memory: u32,
    /// The table, at the same address in every process.
    pub services: *const Services,
    /// The thread block that was prepared for the thread; 0 for init.
    pub block: u64,
    /// FS base that the host's code expects on this thread.
    pub host_fs: u64,
    /// Where the library that dispatches exceptions is: first address and end.
    pub host_code: [u64; 2],
    /// The shared region's section. Init only, as all that follows.
    pub section: Handle,
    /// A handle to init itself that every process inherits.
    pub init_process: Handle,
    /// Init's completion port, inherited by every process.
    pub port: Handle,
    /// Where events for `lx` are written.
    pub events: Handle,
    /// Where reports of kernel bugs are written.
    pub error_output: Handle,
}

/// Asks the driver of sockets which of them are ready, with [`AfdPoll`] as input and output.
pub const IOCTL_AFD_POLL: u32 = 0x1_2024;

/// Keys of the packets in init's completion port.
pub mod port_key {
    /// Somebody wants init to look for work.
    pub const WAKE: usize = 1;
    /// Bytes have come from `lx`: their address is the packet's value, their number its count.
    /// Zero bytes: `lx` has gone.
    pub const CONTROL: usize = 2;
    /// A message of the job; process id as value, kind as count.
    pub const JOB: usize = 3;
    /// A socket is ready; the request's address as value.
    pub const SOCKET: usize = 4;
}

/// Kind of a job's message: a process has ended.
pub const JOB_EXIT_PROCESS: usize = 7;
/// Kind of a job's message: a process has ended by an unhandled exception.
pub const JOB_ABNORMAL_EXIT: usize = 8;
