//! What the kernel needs from the operating system below it.
//!
//! [`Host`] is the sum of small traits, one file each. They say what the kernel *needs*, not what
//! an operating system *has*; `docs/port-a-host.md` is the porter's checklist. Calls upwards, from
//! the engine and the host's supervisor into the kernel, are the traits [`TrapHandler`] and
//! [`Supervisor`].
//!
//! No method may be called while a kernel lock is held, except [`SyncHost`](crate::sync::SyncHost)'s.

mod clock;
mod code;
mod console;
pub mod drive_names;
mod entropy;
mod error;
mod memory;
mod native;
mod net;
mod pages;
mod process;
mod storage;
mod thread;
mod trap;

pub use clock::{HostClock, Nanos};
pub use code::{HostCode, Rewritten, VdsoImage};
pub use console::{HostConsole, HostEvents, ReadyToken};
pub use entropy::HostEntropy;
pub use error::{HostError, HostResult};
pub use memory::{Backing, Fault, HostMemory, Prot, SharedWindow};
pub use native::{HostNative, NativeChild, NativeStart, NativeStream};
pub use net::{HostNet, NetAddress, NetInterface, NetMessage};
pub use pages::{BLOCK_SIZE, HostPages, PageBlock};
pub use process::{HostProcess, HostStats, MachineLoad, Supervisor};
pub use storage::{
    Buf, BufMut, HostDirEntry, HostDrive, HostFd, HostFileType, HostMetadata, HostOpen,
    HostSetAttr, HostStat, HostStatFs, HostStorage, HostTime,
};
pub use thread::{HostThread, HostThreadId, XstateNow};
pub use trap::{FaultInfo, FaultKind, Resume, TrapHandler};

/// Everything that a host provides.
pub trait Host:
    HostMemory
    + HostPages
    + HostThread
    + HostProcess
    + HostClock
    + HostCode
    + HostStorage
    + HostConsole
    + HostNet
    + HostEntropy
    + HostNative
    + HostStats
    + Send
    + Sync
{
}
