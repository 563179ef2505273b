//! Opening named pipes, `fifo(7)`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{AccessMode, OpenFlags};
use lx_core::error::Result;
use lx_core::file::FileOps;

use super::end::Node;
use super::{Pipe, PipeEnd};
use crate::inode::InodeOps;

/// The pipe behind a FIFO's inode. The inode keeps one; it holds no memory while nobody writes.
#[derive(Clone, Default)]
pub struct Fifo {
    pipe: Arc<Pipe>,
}

impl Fifo {
    /// A FIFO that nobody has opened.
    pub fn new() -> Self {
        Self::default()
    }

    /// `open(2)`: waits for the other side unless `O_NONBLOCK` or `O_RDWR` is given. Permission was
    /// checked by the caller.
    ///
    /// # Errors
    /// `EINVAL` for `O_DIRECT`; `ENXIO` when opened for writing only, without waiting and without a reader; `Restart` when
    /// a signal ended the wait.
    pub fn open(
        &self,
        caller: &Caller<'_>,
        flags: OpenFlags,
        inode: Arc<dyn InodeOps>,
    ) -> Result<Arc<dyn FileOps>> {
        let nonblocking = flags.contains(OpenFlags::O_NONBLOCK);
        let (reads, writes) = match flags.access_mode() {
            AccessMode::ReadOnly => (true, false),
            AccessMode::WriteOnly => (false, true),
            AccessMode::ReadWrite => (true, true),
            AccessMode::IoctlOnly => return Err(Errno::EINVAL.into()),
        };
        if writes && !reads && nonblocking && self.pipe.users().0 == 0 {
            return Err(Errno::ENXIO.into());
        }
        // Opened first, so that the other side's wait ends; an interrupted open drops the end.
        let end = PipeEnd::new(Arc::clone(&self.pipe), reads, writes, Node::Fifo(inode));
        if !nonblocking && reads != writes {
            end.wait_for_other_side(caller)?;
        }
        // Packets can be asked for only later, by `fcntl(2)`.
        if flags.contains(OpenFlags::O_DIRECT) {
            return Err(Errno::EINVAL.into());
        }
        Ok(Arc::new(end))
    }
}
