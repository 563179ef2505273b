//! What the programs that test native asynchronous I/O share.

use std::ptr::null_mut;

use crate::Called;
use crate::files::{address, sys};

/// `struct iocb`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Iocb {
    /// Comes back with the completion.
    pub data: u64,
    /// Set by the kernel.
    pub key: u32,
    /// `RWF_*`.
    pub rw_flags: u32,
    /// `IOCB_CMD_*`.
    pub opcode: u16,
    /// Priority.
    pub reqprio: u16,
    /// Descriptor.
    pub fd: i32,
    /// Buffer, `iovec` list or events.
    pub buf: u64,
    /// Bytes, or length of the list.
    pub nbytes: u64,
    /// Offset in the file.
    pub offset: i64,
    /// Must be 0.
    pub reserved: u64,
    /// `IOCB_FLAG_*`.
    pub flags: u32,
    /// Eventfd.
    pub resfd: i32,
}

/// `IOCB_CMD_PREAD`.
pub const PREAD: u16 = 0;
/// `IOCB_CMD_PWRITE`.
pub const PWRITE: u16 = 1;
/// `IOCB_CMD_FSYNC`.
pub const FSYNC: u16 = 2;
/// `IOCB_CMD_FDSYNC`.
pub const FDSYNC: u16 = 3;
/// `IOCB_CMD_POLL`.
pub const POLL: u16 = 5;
/// `IOCB_CMD_NOOP`.
pub const NOOP: u16 = 6;
/// `IOCB_CMD_PREADV`.
pub const PREADV: u16 = 7;
/// `IOCB_CMD_PWRITEV`.
pub const PWRITEV: u16 = 8;
/// `IOCB_FLAG_RESFD`.
pub const RESFD: u32 = 1;
/// `IOCB_FLAG_IOPRIO`.
pub const IOPRIO: u32 = 2;

impl Iocb {
    /// A transfer.
    pub fn transfer(opcode: u16, fd: i32, buf: i64, nbytes: usize, offset: i64) -> Self {
        let (buf, nbytes) = (buf as u64, nbytes as u64);
        Self { data: 0x77, key: 99, opcode, fd, buf, nbytes, offset, ..Self::default() }
    }

    /// A read into a buffer.
    pub fn read(fd: i32, buffer: &mut [u8], offset: i64) -> Self {
        Self::transfer(PREAD, fd, buffer.as_mut_ptr() as i64, buffer.len(), offset)
    }

    /// A write of bytes that live on.
    pub fn write(fd: i32, bytes: &'static [u8], offset: i64) -> Self {
        Self::transfer(PWRITE, fd, bytes.as_ptr() as i64, bytes.len(), offset)
    }

    /// A poll.
    pub fn poll(fd: i32, events: i16) -> Self {
        Self::transfer(POLL, fd, events.into(), 0, 0)
    }
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// That of the operation.
    pub data: u64,
    /// Address of the operation.
    pub obj: u64,
    /// Result.
    pub res: i64,
    /// 0.
    pub res2: i64,
}

/// `struct aio_ring`: id, slots, head, tail, magic, features (twice), length.
pub type Header = [u32; 8];

/// No time.
pub const AT_ONCE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
/// A time that is long enough.
pub const LONG: libc::timespec = libc::timespec { tv_sec: 10, tv_nsec: 0 };
/// A time that passes.
pub const SHORT: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// `io_setup`: the context.
pub fn setup(requests: i64) -> Called {
    let mut id = 0_i64;
    sys(libc::SYS_io_setup, [requests, address(&mut id)])?;
    Ok(id)
}

/// `io_destroy`.
pub fn destroy(context: i64) -> Called {
    sys(libc::SYS_io_destroy, [context])
}

/// `io_submit` of operations, each of which stays where it is until it completes.
pub fn submit(context: i64, list: &mut [&mut Iocb]) -> Called {
    sys(libc::SYS_io_submit, [context, list.len() as i64, list.as_mut_ptr() as i64])
}

/// `io_submit` of one.
pub fn submit_one(context: i64, iocb: &mut Iocb) -> Called {
    submit(context, &mut [iocb])
}

/// `io_cancel`.
pub fn cancel(context: i64, iocb: &mut Iocb) -> Called {
    let mut event = Event::default();
    sys(libc::SYS_io_cancel, [context, address(iocb), address(&mut event)])
}

/// `io_getevents`: how many events were stored.
pub fn get(
    context: i64,
    min: i64,
    events: &mut [Event],
    timeout: Option<libc::timespec>,
) -> Called {
    let mut timeout = timeout;
    let time = timeout.as_mut().map_or(0, address);
    let (max, events) = (events.len() as i64, events.as_mut_ptr() as i64);
    sys(libc::SYS_io_getevents, [context, min, max, events, time])
}

/// Submits one and waits for it: the result that it completes with.
pub fn result(context: i64, mut iocb: Iocb) -> Called {
    submit_one(context, &mut iocb)?;
    let mut events = [Event::default()];
    get(context, 1, &mut events, Some(LONG))?;
    let [event] = events;
    let named = event.obj == address(&mut iocb) as u64 && event.data == 0x77 && event.res2 == 0;
    // The number of the errno is told from a failed submission by its sign.
    if named && iocb.key == 0 { Ok(event.res) } else { Err(-1) }
}

/// The ring's header, as the guest sees it.
pub fn header(context: i64) -> Header {
    // SAFETY: a context is the address of its ring, which the kernel has mapped.
    unsafe { (context as *const Header).read_volatile() }
}

/// Stores a word of the ring's header.
pub fn set_header(context: i64, at: usize, value: u32) {
    // SAFETY: as above; the words may be changed.
    unsafe { (context as *mut u32).add(at).write_volatile(value) };
}

/// Maps a page with this protection.
pub fn page(protection: i32) -> i64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping anywhere.
    unsafe { libc::mmap(null_mut(), 4096, protection, flags, -1, 0) as i64 }
}
