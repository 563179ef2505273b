//! `/proc/PID/mem`: the memory of a process as a file, proc_pid_mem(5).

use alloc::sync::Arc;
use alloc::vec::Vec;

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
use crate::mm::{REMOTE_CHUNK, Reach, RemoteMemory};

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
    let memory = RemoteMemory::of(task);
    Ok(Arc::new(MemFile { kernel: Arc::clone(&subject.kernel), memory }))
}

/// A buffer for up to `len` bytes.
fn buffer(len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    let len = len.min(REMOTE_CHUNK);
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(len, 0);
    Ok(buffer)
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
        let mut buffer = buffer(dst.remaining())?;
        let mut done = 0;
        while dst.remaining() > 0 {
            let part = buffer.len().min(dst.remaining());
            let part = buffer.get_mut(..part).unwrap_or_default();
            let at = offset.saturating_add(done as u64);
            let count = match self.memory.read(&self.kernel, caller, at, part, Reach::Tracer) {
                Ok(0) => return partial(done, Errno::EIO.into()),
                Ok(count) => count,
                Err(error) if error == Errno::ESRCH.into() => break,
                Err(error) => return partial(done, error),
            };
            let stored = match dst.put(part.get(..count).unwrap_or_default()) {
                Ok(stored) => stored,
                Err(error) => return partial(done, error),
            };
            done += stored;
            if stored < part.len() {
                break;
            }
        }
        Ok(done)
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        _append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        let mut buffer = buffer(src.remaining())?;
        let mut done = 0;
        let mut failed = None;
        while src.remaining() > 0 && failed.is_none() {
            let taken = match src.take(&mut buffer) {
                Ok(taken) => taken,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            let part = buffer.get(..taken).unwrap_or_default();
            let at = offset.saturating_add(done as u64);
            match self.memory.write(&self.kernel, caller, at, part, Reach::Tracer) {
                Ok(count) => {
                    done += count;
                    failed = (count < taken).then_some(Errno::EIO.into());
                }
                Err(error) if error == Errno::ESRCH.into() => break,
                Err(error) => failed = Some(error),
            }
        }
        let done = failed.map_or(Ok(done), |error| partial(done, error))?;
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
