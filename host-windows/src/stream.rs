//! Reading and writing host files and streams.

use lx_core::abi::Errno;
use lx_core::host::{Buf, BufMut, HostError, HostFd, HostFileType, HostResult, HostStat};
use lx_nt::{Handle, IoStatus, Status};

use crate::files::{self, Kind};
use crate::nt::{self, nt, status};
use crate::region;

/// What a stream looks like.
pub(crate) fn stat(kind: Kind) -> HostStat {
    let (file_type, mode) = match kind {
        Kind::Pipe => (HostFileType::Fifo, 0o600),
        _ => (HostFileType::CharDevice, 0o620),
    };
    HostStat {
        file_type,
        mode,
        uid: 0,
        gid: 0,
        dev: 2,
        ino: 1,
        nlink: 1,
        // As `/dev/null`, which is what has no other kind.
        rdev: 1 << 8 | 3,
        size: 0,
        blocks: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// The end of a read or write: bytes moved.
fn finish(file: Handle, mut result: Status, io: &IoStatus) -> HostResult<usize> {
    if result == status::PENDING {
        // SAFETY: waits for our own request, whose result is in `io` then.
        unsafe {
            let _ = nt!(wait, file, 0, core::ptr::null());
            result = (&raw const io.status).cast::<Status>().read_volatile();
        }
    }
    match result {
        status::END_OF_FILE
        | status::PIPE_BROKEN
        | status::PIPE_CLOSING
        | status::PIPE_DISCONNECTED
        | status::PIPE_EMPTY => Ok(0),
        result => nt::check(result).map(|()| io.information),
    }
}

/// Reads at an offset, or a stream.
pub(crate) fn read(fd: &HostFd, offset: Option<u64>, dst: BufMut<'_>) -> HostResult<usize> {
    let file = files::local(fd)?;
    let (buffer, len) = match dst {
        BufMut::Kernel(bytes) => {
            if offset.is_none() {
                region::commit_here(bytes.as_ptr(), bytes.len());
            }
            (bytes.as_mut_ptr(), bytes.len())
        }
        BufMut::Guest { addr, len } if crate::memory::in_guest(addr, len) => (addr as *mut u8, len),
        BufMut::Guest { .. } => return Err(HostError(Errno::EFAULT)),
    };
    let offset = offset.map(|offset| offset as i64);
    let at = offset.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let len = len.min(1 << 30) as u32;
    let mut io = IoStatus::default();
    // SAFETY: the call writes the buffer, which is ours or the guest's, and checks it.
    let result = unsafe { nt!(read_file, file, 0, 0, 0, &raw mut io, buffer, len, at, 0) };
    finish(file, result, &io)
}

pub(crate) fn write(fd: &HostFd, offset: Option<u64>, src: Buf<'_>) -> HostResult<usize> {
    let file = files::local(fd)?;
    let (buffer, len) = match src {
        Buf::Kernel(bytes) => (bytes.as_ptr(), bytes.len()),
        Buf::Guest { addr, len } if crate::memory::in_guest(addr, len) => (addr as *const u8, len),
        Buf::Guest { .. } => return Err(HostError(Errno::EFAULT)),
    };
    let offset = offset.map(|offset| offset as i64);
    let at = offset.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let len = len.min(1 << 30) as u32;
    let mut io = IoStatus::default();
    // SAFETY: the call reads the buffer, which is ours or the guest's, and checks it.
    let result = unsafe { nt!(write_file, file, 0, 0, 0, &raw mut io, buffer, len, at, 0) };
    match result {
        result if result < 0 => Err(HostError(write_error(result))),
        result => finish(file, result, &io),
    }
}

/// Why a write has failed.
pub(crate) fn write_error(result: Status) -> Errno {
    match result {
        status::PIPE_BROKEN
        | status::PIPE_CLOSING
        | status::PIPE_DISCONNECTED
        | status::PIPE_EMPTY => Errno::EPIPE,
        result => nt::errno(result),
    }
}
