//! Pipes to programs of Windows, written without waiting.
//!
//! NT cannot tell how much a pipe takes, so the kernel's end is asynchronous: bytes are copied, the
//! write is begun, and the next one has to wait until it is over. Buffers and results lie in the
//! region, where every process sees them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{Buf, HostError, HostFd, HostResult};
use lx_core::poll::PollEvents;
use lx_core::sync::Mutex;
use lx_nt::{IoStatus, Status};

use crate::files;
use crate::nt::{nt, status};

/// Lock level of the list.
const LEVEL: u8 = 61;
/// Most bytes of one write.
const MOST: usize = 16 * 1024;

/// A write that was begun.
struct Write {
    io: IoStatus,
    bytes: Vec<u8>,
}

impl Write {
    fn status(&self) -> Status {
        // SAFETY: the host writes the field when the write is over.
        unsafe { (&raw const self.io.status).cast::<Status>().read_volatile() }
    }
}

/// The last write of each pipe.
static WRITES: Mutex<BTreeMap<u64, Box<Write>>, LEVEL> = Mutex::new(BTreeMap::new());

/// What a pipe is ready for.
pub(crate) fn events(raw: u64) -> PollEvents {
    let status = WRITES.lock().get(&raw).map_or(0, |write| write.status());
    match status {
        status::PENDING => PollEvents::empty(),
        result if result < 0 => PollEvents::POLLOUT | PollEvents::POLLERR,
        _ => PollEvents::POLLOUT,
    }
}

/// Begins to write; `EAGAIN` while the last write is not over.
pub(crate) fn write(fd: &HostFd, src: Buf<'_>) -> HostResult<usize> {
    let file = files::local(fd)?;
    let last = WRITES.lock().get(&fd.raw()).map_or(0, |write| write.status());
    match last {
        status::PENDING => return Err(HostError(Errno::EAGAIN)),
        result if result < 0 => return Err(HostError(Errno::EPIPE)),
        _ => {}
    }
    let Buf::Kernel(bytes) = src else { return Err(HostError(Errno::EFAULT)) };
    let bytes = Vec::from(bytes.get(..MOST).unwrap_or(bytes));
    let len = bytes.len();
    let io = IoStatus { status: status::PENDING as usize, information: 0 };
    let mut write = Box::new(Write { io, bytes });
    let (io, buffer) = (&raw mut write.io, write.bytes.as_ptr());
    // SAFETY: the box keeps both where they are until the write is over.
    let result =
        unsafe { nt!(write_file, file, 0, 0, 0, io, buffer, len as u32, core::ptr::null(), 0) };
    if result < 0 {
        return Err(HostError(Errno::EPIPE));
    }
    if result != status::PENDING {
        write.io.status = 0;
    }
    let old = WRITES.lock().insert(fd.raw(), write);
    drop(old);
    Ok(len)
}

/// The pipe is closed. A write that is not over keeps its memory for ever, as nobody knows when the
/// host is done with it.
pub(crate) fn forget(raw: u64) {
    let last = WRITES.lock().remove(&raw);
    if let Some(write) = last.filter(|write| write.status() == status::PENDING) {
        core::mem::forget(write);
    }
}
