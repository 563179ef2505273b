//! Writes to pipes that somebody else has made, such as standard output, which may be full.
//!
//! Such a handle waits in the host until all is written, and a thread that waits there cannot be
//! interrupted. So unless the pipe says that there is room, another thread of the process writes. The
//! caller waits a moment, as mostly there is room; then it is told `EAGAIN` and sleeps as for any
//! stream that is not ready, where signals reach it. When it comes back with the same bytes it gets
//! the result: each byte is written once.
//!
//! Only a program that is interrupted, and never repeats its call, has written bytes that it was not
//! told of, at most what it has asked for.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{Buf, HostError, HostFd, HostResult};
use lx_core::sync::Mutex;
use lx_nt::{Handle, IoStatus, Status};
use lx_x86::user_copy;

use crate::files;
use crate::nt::{self, nt, status};
use crate::{stream, thread};

/// Lock level of the list.
const LEVEL: u8 = 61;
/// Most bytes of one write.
const MOST: usize = 4096;
/// How long the caller waits at first, in units of 100 ns, as services take it.
const A_MOMENT: i64 = -200_000;

/// A write that another thread does.
struct Write {
    io: IoStatus,
    bytes: Vec<u8>,
    /// The process of the thread.
    pid: u32,
}

impl Write {
    fn status(&self) -> Status {
        // SAFETY: the thread writes the field when the write is over.
        unsafe { (&raw const self.io.status).cast::<Status>().read_volatile() }
    }
}

/// Who waits for a write whose caller has ended.
const NOBODY: u32 = u32::MAX;

/// Writes by pipe and thread block, until the thread asks for the result. One of a pipe's is not over
/// at most.
static WRITES: Mutex<Writes, LEVEL> = Mutex::new(BTreeMap::new());
type Writes = BTreeMap<(u64, u32), Box<Write>>;

fn busy(writes: &Writes, raw: u64) -> bool {
    let mut all = writes.range((raw, 0)..=(raw, NOBODY));
    all.any(|(_, write)| write.status() == status::PENDING)
}

/// Whether a write to this pipe is not over.
pub(crate) fn is_busy(raw: u64) -> bool {
    busy(&WRITES.lock(), raw)
}

/// Writes to a pipe; `EAGAIN` if that takes longer than a moment.
pub(crate) fn write(fd: &HostFd, src: Buf<'_>) -> HostResult<usize> {
    let key = (fd.raw(), thread::current().index);
    let file = files::local(fd)?;
    let len = match &src {
        Buf::Kernel(bytes) => bytes.len(),
        Buf::Guest { len, .. } => *len,
    };
    let writes = WRITES.lock();
    let known = writes.contains_key(&key) || busy(&writes, fd.raw());
    drop(writes);
    if !known && room(file).is_some_and(|room| room >= len) {
        return stream::write(fd, None, src);
    }
    let bytes = copy(src)?;
    if let Some(result) = result_of(key, &bytes) {
        return result;
    }
    if begin(key, file, bytes.clone())? {
        result_of(key, &bytes).unwrap_or(Err(HostError(Errno::EAGAIN)))
    } else {
        // There is no thread to be had.
        stream::write(fd, None, Buf::Kernel(&bytes))
    }
}

/// The result of the caller's last write, if these are its bytes; `EAGAIN` while the pipe is busy.
fn result_of(key: (u64, u32), bytes: &[u8]) -> Option<HostResult<usize>> {
    let mut writes = WRITES.lock();
    if busy(&writes, key.0) {
        return Some(Err(HostError(Errno::EAGAIN)));
    }
    let write = writes.remove(&key);
    drop(writes);
    let write = write?;
    if write.status() < 0 {
        return Some(Err(HostError(stream::write_error(write.status()))));
    }
    bytes.starts_with(&write.bytes).then_some(Ok(write.bytes.len()))
}

/// The thread of this block has ended, or runs another task: it asks for nothing any more.
pub(crate) fn forget_thread(block: u32) {
    let mut writes = WRITES.lock();
    let keys: Vec<(u64, u32)> =
        writes.keys().copied().filter(|(_, owner)| *owner == block).collect();
    let mut over = Vec::new();
    for key in keys {
        let write = writes.remove(&key);
        let old = match write {
            Some(write) if write.status() == status::PENDING => {
                writes.insert((key.0, NOBODY), write)
            }
            over => over,
        };
        over.extend(old);
    }
    drop(writes);
    drop(over);
}

/// The first bytes of a buffer.
fn copy(src: Buf<'_>) -> HostResult<Vec<u8>> {
    match src {
        Buf::Kernel(bytes) => Ok(Vec::from(bytes.get(..MOST).unwrap_or(bytes))),
        Buf::Guest { addr, len } if crate::memory::in_guest(addr, len) => {
            let len = len.min(MOST);
            let mut bytes = alloc::vec![0; len];
            // SAFETY: the buffer is ours, the other side the guest's.
            let copied = unsafe { user_copy::copy(bytes.as_mut_ptr() as u64, addr, len) };
            bytes.truncate(copied);
            if copied == 0 && len > 0 { Err(HostError(Errno::EFAULT)) } else { Ok(bytes) }
        }
        Buf::Guest { .. } => Err(HostError(Errno::EFAULT)),
    }
}

/// Has another thread write, and waits a moment for it; `false` if there is none.
fn begin(key: (u64, u32), file: Handle, bytes: Vec<u8>) -> HostResult<bool> {
    let io = IoStatus { status: status::PENDING as usize, information: 0 };
    let pid = thread::current().pid.load(core::sync::atomic::Ordering::Relaxed);
    let mut write = Box::new(Write { io, bytes, pid });
    let (io, buffer, len) = (&raw mut write.io, write.bytes.as_ptr(), write.bytes.len() as u32);
    {
        let mut writes = WRITES.lock();
        if busy(&writes, key.0) {
            // Somebody else was faster.
            return Err(HostError(Errno::EAGAIN));
        }
        writes.insert(key, write);
    }
    // SAFETY: the list keeps the write where it is until it is over.
    let thread = unsafe { nt!(write_aside, file, buffer, len, io, nt::port()) };
    if thread == 0 {
        let write = WRITES.lock().remove(&key);
        drop(write);
        return Ok(false);
    }
    // SAFETY: the call reads the timeout.
    let _ = unsafe { nt!(wait, thread, 0, &A_MOMENT) };
    nt::close(thread);
    Ok(true)
}

/// How many bytes the pipe takes without waiting, if it tells.
fn room(file: Handle) -> Option<usize> {
    const LOCAL_INFORMATION: u32 = 24;
    const WRITE_QUOTA_AVAILABLE: usize = 7;
    let mut pipe = [0u32; 10];
    let mut io = IoStatus::default();
    let len = size_of_val(&pipe) as u32;
    // SAFETY: the call writes the structure.
    let result =
        unsafe { nt!(query_file, file, &mut io, pipe.as_mut_ptr().cast(), len, LOCAL_INFORMATION) };
    pipe.get(WRITE_QUOTA_AVAILABLE).filter(|_| result >= 0).map(|&room| room as usize)
}

/// A process has ended, and its threads with it: its writes will not go on.
pub(crate) fn process_ended(pid: u32) {
    for write in WRITES.lock().values_mut().filter(|write| write.pid == pid) {
        if write.status() == status::PENDING {
            write.io.status = status::PIPE_BROKEN as usize;
        }
    }
}

/// The pipe is closed. A write that is not over keeps its memory for ever, as nobody knows when the
/// host is done with it.
pub(crate) fn forget(raw: u64) {
    loop {
        let mut writes = WRITES.lock();
        let key = writes.range((raw, 0)..=(raw, NOBODY)).next().map(|(key, _)| *key);
        let write = key.and_then(|key| writes.remove(&key));
        drop(writes);
        match write {
            None => return,
            Some(write) if write.status() == status::PENDING => core::mem::forget(write),
            Some(_) => {}
        }
    }
}
