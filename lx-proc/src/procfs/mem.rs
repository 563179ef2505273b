//! `/proc/PID/mem`: the memory of a process as a file, proc_pid_mem(5).

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::Stat;
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile, seek_in};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_vfs::location::Path;

use super::pid::Subject;
use crate::access::{AccessIds, check_access};
use crate::kernel::Kernel;
use crate::mm::{Reach, RemoteMemory};

/// The memory that a process had when the file was opened. When the process has ended, or executes
/// another program, there is nothing in it.
struct MemFile {
    kernel: Arc<Kernel>,
    memory: RemoteMemory,
}

/// Opens the memory of a process.
///
/// # Errors
/// `EACCES`: the caller may not trace it.
pub(super) fn open(subject: &Subject, caller: &Caller<'_>) -> Result<Arc<dyn FileOps>> {
    let view = subject.view()?;
    let task = view.living()?;
    check_access(caller, task, AccessIds::File).map_err(|_| Errno::EACCES)?;
    let memory = RemoteMemory::new(task.mm());
    Ok(Arc::new(MemFile { kernel: Arc::clone(&subject.kernel), memory }))
}

/// What a transfer has come to. Of memory that nobody has any more, there is nothing.
fn outcome((done, result): (usize, Result<()>)) -> Result<usize> {
    match result {
        Err(error) if error != Errno::ESRCH.into() => partial(done, error),
        _ => Ok(done),
    }
}

impl FileOps for MemFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let (len, reach) = (dst.remaining() as u64, Reach::Tracer);
        outcome(self.memory.read(&self.kernel, caller, offset, len, reach, dst))
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        _append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        let (len, reach) = (src.remaining() as u64, Reach::Tracer);
        let done = outcome(self.memory.write(&self.kernel, caller, offset, len, reach, src))?;
        Ok((done, offset.saturating_add(done as u64)))
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        // The memory has no end to count from.
        if whence > 1 { Err(Errno::EINVAL.into()) } else { seek_in(position, 0, offset, whence) }
    }

    fn stat(&self, caller: &Caller<'_>, file: &OpenFile) -> Result<Stat> {
        let place = Path::of(file).ok_or(Errno::EBADF)?;
        Ok(place.inode().attr(caller)?.to_stat())
    }
}
