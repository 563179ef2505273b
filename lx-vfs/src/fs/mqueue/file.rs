//! An open message queue.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::FromArg;
use lx_core::abi::fcntl::Whence;
use lx_core::abi::stat::Stat;
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile, seek_in};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};

use super::Queue;
use crate::inode::SetAttr;

/// A message queue descriptor.
pub struct QueueFile {
    queue: Arc<Queue>,
}

impl QueueFile {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// The queue behind an open file description.
    ///
    /// # Errors
    /// `EBADF` if it is something else.
    pub fn queue_of(file: &OpenFile) -> Result<&Arc<Queue>> {
        let queue = file.ops_as::<Self>().map(|file| &file.queue);
        queue.ok_or_else(|| Errno::EBADF.into())
    }
}

impl FileOps for QueueFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn can_poll(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let count = dst.put_behind(offset, self.queue.text().as_bytes())?;
        if count > 0 {
            self.queue.changed(caller);
        }
        Ok(count)
    }

    fn write_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _offset: u64,
        _append: bool,
        _src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        Err(Errno::EINVAL.into())
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        let size = self.queue.size();
        match Whence::from_arg(u64::from(whence))? {
            Whence::SEEK_DATA | Whence::SEEK_HOLE if offset.cast_unsigned() >= size => {
                Err(Errno::ENXIO.into())
            }
            Whence::SEEK_DATA => Ok(offset.cast_unsigned()),
            Whence::SEEK_HOLE => Ok(size),
            _ => seek_in(position, size, offset, whence),
        }
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        self.queue.poll()
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.queue) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.queue.attributes().to_stat())
    }

    fn truncate(&self, caller: &Caller<'_>, _file: &OpenFile, len: u64) -> Result<()> {
        self.queue.change(&SetAttr { size: Some(len), now: caller.now(), ..SetAttr::default() });
        Ok(())
    }

    fn closed(&self, caller: &Caller<'_>, _file: &OpenFile) {
        // Whichever of its descriptors it is.
        self.queue.withdraw(caller.tgid);
    }
}
