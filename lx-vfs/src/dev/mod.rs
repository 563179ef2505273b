//! Device files: `null(4)`, `zero`, `full(4)`, `random(4)`, `tty(4)`, `console(4)`, `ptmx(4)`.

mod memory;
mod nodes;

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::makedev;
use lx_core::error::Result;
use lx_core::file::FileOps;

pub use memory::{MemoryDevice, MemoryFile};
pub use nodes::{NODES, Node, NodeKind};

use crate::fs::devpts;
use crate::host_stream::console;
use crate::inode::InodeOps;
use crate::location::Path;
use crate::tty::control;

/// `/dev/null`.
pub const NULL: u64 = makedev(1, 3);
/// `/dev/zero`.
pub const ZERO: u64 = makedev(1, 5);
/// `/dev/full`.
pub const FULL: u64 = makedev(1, 7);
/// `/dev/random`.
pub const RANDOM: u64 = makedev(1, 8);
/// `/dev/urandom`.
pub const URANDOM: u64 = makedev(1, 9);
/// `/dev/tty`: the caller's controlling terminal.
pub const TTY: u64 = makedev(5, 0);
/// `/dev/console`.
pub const CONSOLE: u64 = makedev(5, 1);
/// `/dev/ptmx`: makes pseudo terminals.
pub const PTMX: u64 = makedev(5, 2);

/// Opens the character device `rdev` through its node `inode` at `path`. Permission was checked before.
///
/// # Errors
/// `ENXIO` if there is no such device, or the caller has no controlling terminal.
pub fn open_char(
    caller: &Caller<'_>,
    rdev: u64,
    flags: OpenFlags,
    inode: &Arc<dyn InodeOps>,
    path: &Path,
) -> Result<Arc<dyn FileOps>> {
    let device = match rdev {
        NULL => MemoryDevice::Null,
        ZERO => MemoryDevice::Zero,
        FULL => MemoryDevice::Full,
        RANDOM | URANDOM => MemoryDevice::Random,
        TTY => return control::open_tty(caller, inode),
        CONSOLE => return console::open_console(caller, flags, inode),
        PTMX => return devpts::open_ptmx(caller, path, inode),
        _ => return Err(Errno::ENXIO.into()),
    };
    Ok(Arc::new(MemoryFile::new(device, Arc::clone(inode))))
}
