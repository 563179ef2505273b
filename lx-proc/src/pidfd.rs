//! Descriptors that name a process, `pidfd_open(2)`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::WaitQueue;
use lx_vfs::anon::anon_stat;

use crate::thread_group::ThreadGroup;

/// A pidfd. It can be read when the process has ended, and hangs up when somebody has waited for it.
pub struct PidFile {
    group: Arc<ThreadGroup>,
}

impl PidFile {
    /// A description that names `group`; `flags` may hold `O_NONBLOCK`.
    pub fn open(group: &Arc<ThreadGroup>, flags: OpenFlags) -> Arc<OpenFile> {
        let ops = Arc::new(Self { group: Arc::clone(group) });
        OpenFile::new(ops, OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK), None)
    }

    /// The process that a description names.
    ///
    /// # Errors
    /// `EBADF` if it is no pidfd.
    pub fn group_of(file: &OpenFile) -> Result<&Arc<ThreadGroup>> {
        Ok(file.ops_as::<Self>().map(|file| &file.group).ok_or(Errno::EBADF)?)
    }
}

impl PollSource for ThreadGroup {
    fn wait_queue(&self) -> &WaitQueue {
        self.ended()
    }
}

impl FileOps for PidFile {
    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, self.group.is_zombie());
        events.set(PollEvents::POLLHUP, self.group.is_released());
        events
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.group) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }
}
