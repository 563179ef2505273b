//! Open file descriptions, and what every kind of file can do ([`FileOps`]).

mod ops;
mod shortened;
mod socket_view;
pub mod watch;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::abi::Errno;
use crate::abi::fcntl::OpenFlags;
use crate::caller::Caller;
use crate::error::Result;
use crate::io::{IoDst, IoSrc};
use crate::poll::PollEvents;
use crate::sync::{Mutex, level};
use watch::FileUse;

pub use ops::{DirList, DirSink, FileIdentity, FileOps, MapSource, PageSource, seek_in};
pub use shortened::{Shortened, latest_shortening};
pub use socket_view::SocketView;

/// An open file description, `open(2)`: what descriptors refer to and `fork` and `dup` share.
pub struct OpenFile {
    ops: Arc<dyn FileOps>,
    /// [`FileOps::is_seekable`], which never changes.
    seekable: bool,
    /// Access mode and status flags.
    flags: AtomicU32,
    /// Written under `position_lock`.
    position: AtomicU64,
    position_lock: Mutex<(), { level::FILE_POSITION }>,
    /// Where the file was opened, for lx-vfs: `fchdir`, `openat`, `/proc/self/fd`.
    location: Option<Arc<dyn Any + Send + Sync>>,
    /// `F_SETOWN`.
    owner: AtomicI32,
    /// What ends with the description: its `flock(2)` lock, for example.
    attached: Mutex<Vec<Box<dyn Any + Send + Sync>>, { level::CACHE }>,
}

impl OpenFile {
    /// A description at position 0.
    pub fn new(
        ops: Arc<dyn FileOps>,
        flags: OpenFlags,
        location: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Arc<Self> {
        let kept = flags
            - (OpenFlags::O_CREAT
                | OpenFlags::O_EXCL
                | OpenFlags::O_NOCTTY
                | OpenFlags::O_TRUNC
                | OpenFlags::O_CLOEXEC);
        Arc::new(Self {
            seekable: ops.is_seekable(),
            ops,
            flags: AtomicU32::new(kept.bits()),
            position: AtomicU64::new(0),
            position_lock: Mutex::new(()),
            location,
            owner: AtomicI32::new(0),
            attached: Mutex::new(Vec::new()),
        })
    }

    /// Whether the file has positions.
    pub fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// The operations.
    pub fn ops(&self) -> &dyn FileOps {
        &*self.ops
    }

    /// The operations, shared.
    pub fn ops_arc(&self) -> &Arc<dyn FileOps> {
        &self.ops
    }

    /// The operations, if they are a `T`.
    pub fn ops_as<T: FileOps>(&self) -> Option<&T> {
        let any: &dyn Any = &*self.ops;
        any.downcast_ref()
    }

    /// The place where it was opened, if it is a `T`.
    pub fn location<T: Any>(&self) -> Option<&T> {
        self.location.as_ref()?.downcast_ref()
    }

    /// Ties a value's life to the description's.
    pub fn attach(&self, value: Box<dyn Any + Send + Sync>) {
        self.attached.lock().push(value);
    }

    /// Access mode and status flags.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the status flags in `mask`.
    pub fn set_flags(&self, flags: OpenFlags, mask: OpenFlags) {
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            Some((old & !mask.bits()) | (flags & mask).bits())
        });
    }

    /// Whether calls shall fail with `EAGAIN` instead of waiting.
    pub fn is_nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::O_NONBLOCK)
    }

    /// Whether it was opened with `O_PATH`: it stands for a place, not for the file there.
    pub fn is_path_only(&self) -> bool {
        self.flags().contains(OpenFlags::O_PATH)
    }

    /// Whether reading is allowed.
    pub fn is_readable(&self) -> bool {
        self.flags().access_mode().readable()
    }

    /// Whether writing is allowed.
    pub fn is_writable(&self) -> bool {
        self.flags().access_mode().writable()
    }

    /// `F_GETOWN`.
    pub fn owner(&self) -> i32 {
        self.owner.load(Ordering::Relaxed)
    }

    /// `F_SETOWN`.
    pub fn set_owner(&self, owner: i32) {
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// `read(2)`.
    ///
    /// # Errors
    /// `EBADF` if not open for reading, else the file's.
    pub fn read(&self, caller: &Caller<'_>, dst: &mut IoDst<'_>) -> Result<usize> {
        if !self.is_readable() {
            return Err(Errno::EBADF.into());
        }
        if !self.seekable {
            let count = self.ops.read(caller, self, dst)?;
            self.used(FileUse::Read);
            return Ok(count);
        }
        let _lock = self.position_lock.lock();
        let position = self.position();
        check_range(position, dst.remaining())?;
        let count = self.ops.read_at(caller, self, position, dst)?;
        self.used(FileUse::Read);
        self.position.store(position.saturating_add(count as u64), Ordering::Relaxed);
        Ok(count)
    }

    /// `write(2)`.
    ///
    /// # Errors
    /// `EBADF` if not open for writing, else the file's.
    pub fn write(&self, caller: &Caller<'_>, src: &mut IoSrc<'_>) -> Result<usize> {
        if !self.is_writable() {
            return Err(Errno::EBADF.into());
        }
        if !self.seekable {
            let count = self.ops.write(caller, self, src)?;
            self.used(FileUse::Written);
            return Ok(count);
        }
        let append = self.flags().contains(OpenFlags::O_APPEND);
        let _lock = self.position_lock.lock();
        let position = self.position();
        check_range(position, src.remaining())?;
        let (count, end) = self.ops.write_at(caller, self, position, append, src)?;
        self.used(FileUse::Written);
        self.position.store(end, Ordering::Relaxed);
        Ok(count)
    }

    /// `pread(2)`.
    ///
    /// # Errors
    /// `ESPIPE` for streams, `EBADF`, `EINVAL` beyond the last offset, else the file's.
    pub fn read_at(&self, caller: &Caller<'_>, offset: u64, dst: &mut IoDst<'_>) -> Result<usize> {
        if !self.is_readable() {
            // That a stream has no positions is found out first.
            let errno = if self.seekable { Errno::EBADF } else { Errno::ESPIPE };
            return Err(errno.into());
        }
        check_range(offset, dst.remaining())?;
        let count = self.ops.read_at(caller, self, offset, dst)?;
        self.used(FileUse::Read);
        Ok(count)
    }

    /// `pwrite(2)`; with `O_APPEND` it appends, as on Linux.
    ///
    /// # Errors
    /// `ESPIPE` for streams, `EBADF`, `EINVAL` beyond the last offset, else the file's.
    pub fn write_at(&self, caller: &Caller<'_>, offset: u64, src: &mut IoSrc<'_>) -> Result<usize> {
        if !self.is_writable() {
            let errno = if self.seekable { Errno::EBADF } else { Errno::ESPIPE };
            return Err(errno.into());
        }
        check_range(offset, src.remaining())?;
        let append = self.flags().contains(OpenFlags::O_APPEND);
        let (count, _) = self.ops.write_at(caller, self, offset, append, src)?;
        self.used(FileUse::Written);
        Ok(count)
    }

    /// `lseek(2)`.
    ///
    /// # Errors
    /// The file's.
    pub fn seek(&self, caller: &Caller<'_>, offset: i64, whence: u32) -> Result<u64> {
        let _lock = self.position_lock.lock();
        let new = self.ops.seek(caller, self, self.position(), offset, whence)?;
        self.position.store(new, Ordering::Relaxed);
        Ok(new)
    }

    /// The position, for `/proc/self/fdinfo`.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// `getdents64(2)`: entries from the present position on.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn read_dir(&self, caller: &Caller<'_>, sink: &mut dyn DirSink) -> Result<()> {
        let _lock = self.position_lock.lock();
        let new = self.ops.read_dir(caller, self, self.position(), sink)?;
        self.used(FileUse::Read);
        self.position.store(new, Ordering::Relaxed);
        Ok(())
    }

    /// What the file is ready for now.
    pub fn poll(&self, caller: &Caller<'_>) -> PollEvents {
        self.ops.poll(caller, self)
    }
}

/// Refuses a transfer that would end beyond what an offset (`loff_t`) can say.
#[inline(always)]
pub fn check_range(offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= i64::MAX as u64 => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}
