//! Open file descriptions, and what every kind of file can do.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::abi::Errno;
use crate::abi::fcntl::{FcntlCmd, OpenFlags};
use crate::abi::stat::Stat;
use crate::caller::Caller;
use crate::error::Result;
use crate::host::{HostFd, PageBlock};
use crate::io::{IoDst, IoSrc};
use crate::poll::{PollEvents, PollTable};
use crate::sync::{Mutex, level};

/// What a mapping of a file shows.
pub enum MapSource {
    /// Zeroed private memory (`/dev/zero`).
    Anonymous,
    /// A host file, at the same offsets.
    Host(Arc<HostFd>),
    /// Pages of the kernel.
    Pages(Arc<dyn PageSource>),
}

/// A file whose contents lie in page blocks.
pub trait PageSource: Send + Sync {
    /// The block with the file's bytes from `index * BLOCK_SIZE`; allocated if missing, so that
    /// everyone who maps it sees the same bytes.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`.
    fn block(&self, index: u64) -> Result<Arc<PageBlock>>;
    /// Bytes in the file.
    fn len(&self) -> u64;
    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A shared mapping of a description that is open for writing is made, writable now if `write`.
    /// `true`: it counts as one through which the file may change, until
    /// [`unmap_shared`](Self::unmap_shared). `false`: it must never become writable.
    ///
    /// # Errors
    /// `EPERM` if the file is sealed against writing.
    fn map_shared(&self, write: bool) -> Result<bool> {
        let _ = write;
        Ok(true)
    }
    /// A mapping that was counted is gone.
    fn unmap_shared(&self) {}
}

/// What a file's contents are, for caches of things derived from them and for futex keys.
/// A changed file has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Last modification, nanoseconds.
    pub mtime: i64,
    /// Length.
    pub size: u64,
}

/// Takes directory entries from [`FileOps::read_dir`].
pub trait DirSink {
    /// Adds one; `false` if there is no room for it. `next` is the position of the entry after.
    fn entry(&mut self, ino: u64, next: u64, file_type: u8, name: &[u8]) -> bool;
}

/// Operations of a file. What a kind does not define fails as it does on Linux.
///
/// None of them is called with a lock of the caller held, except `read` and `write` of seekable
/// files under the description's own position.
pub trait FileOps: Any + Send + Sync {
    /// Whether the file has positions. Then `read_at` and `write_at` are used, else `read` and
    /// `write`.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Reads from a stream.
    ///
    /// # Errors
    /// As `read(2)`.
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        let _ = (caller, file, dst);
        Err(Errno::EINVAL.into())
    }

    /// Writes to a stream.
    ///
    /// # Errors
    /// As `write(2)`.
    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let _ = (caller, file, src);
        Err(Errno::EINVAL.into())
    }

    /// Reads at an offset.
    ///
    /// # Errors
    /// As `pread(2)`.
    fn read_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let _ = (caller, file, offset, dst);
        Err(Errno::ESPIPE.into())
    }

    /// Writes at an offset, or at the end if `append`; bytes written and the position after them.
    ///
    /// # Errors
    /// As `pwrite(2)`.
    fn write_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        let _ = (caller, file, offset, append, src);
        Err(Errno::ESPIPE.into())
    }

    /// New position for `lseek(2)`; `position` is the present one.
    ///
    /// # Errors
    /// As `lseek(2)`.
    fn seek(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        let _ = (caller, file, position, offset, whence);
        Err(Errno::ESPIPE.into())
    }

    /// What the file is ready for now.
    fn poll(&self, caller: &Caller<'_>, file: &OpenFile) -> PollEvents {
        let _ = (caller, file);
        PollEvents::READABLE | PollEvents::WRITABLE
    }

    /// Whether `epoll(7)` takes the file: not if its readiness never changes.
    fn can_poll(&self) -> bool {
        !self.is_seekable()
    }

    /// Registers with the wait queues that announce `interest`.
    fn poll_register(&self, file: &OpenFile, interest: PollEvents, table: &mut PollTable) {
        let _ = (file, interest, table);
    }

    /// `ioctl(2)`; `arg` is the raw third argument.
    ///
    /// # Errors
    /// `ENOTTY` for requests that the file does not know.
    fn ioctl(&self, caller: &Caller<'_>, file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        let _ = (caller, file, request, arg);
        Err(Errno::ENOTTY.into())
    }

    /// Commands of `fcntl(2)` that are the file's own: pipe sizes, seals.
    ///
    /// # Errors
    /// `EINVAL` for commands that the file does not know.
    fn control(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        command: FcntlCmd,
        arg: u64,
    ) -> Result<u64> {
        let _ = (caller, file, arg);
        match command {
            FcntlCmd::F_GETPIPE_SZ | FcntlCmd::F_SETPIPE_SZ => Err(Errno::EBADF.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// What a mapping of the file shows.
    ///
    /// # Errors
    /// `ENODEV` for files that cannot be mapped.
    fn map_source(&self, caller: &Caller<'_>, file: &OpenFile, shared: bool) -> Result<MapSource> {
        let _ = (caller, file, shared);
        Err(Errno::ENODEV.into())
    }

    /// Identity of the contents, if they have one.
    fn identity(&self) -> Option<FileIdentity> {
        None
    }

    /// Attributes.
    ///
    /// # Errors
    /// As `fstat(2)`.
    fn stat(&self, caller: &Caller<'_>, file: &OpenFile) -> Result<Stat>;

    /// Entries of a directory from `position` on; the new position.
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn read_dir(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        position: u64,
        sink: &mut dyn DirSink,
    ) -> Result<u64> {
        let _ = (caller, file, position, sink);
        Err(Errno::ENOTDIR.into())
    }

    /// Changes the length.
    ///
    /// # Errors
    /// As `ftruncate(2)`.
    fn truncate(&self, caller: &Caller<'_>, file: &OpenFile, len: u64) -> Result<()> {
        let _ = (caller, file, len);
        Err(Errno::EINVAL.into())
    }

    /// `fallocate(2)` with its mode.
    ///
    /// # Errors
    /// As `fallocate(2)`.
    fn allocate(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let _ = (caller, file, mode, offset, len);
        Err(Errno::ENODEV.into())
    }

    /// Writes to storage.
    ///
    /// # Errors
    /// `EINVAL` for files without storage.
    fn sync(&self, caller: &Caller<'_>, file: &OpenFile, data_only: bool) -> Result<()> {
        let _ = (caller, file, data_only);
        Err(Errno::EINVAL.into())
    }

    /// A descriptor of this description was closed (others may remain).
    fn closed(&self, caller: &Caller<'_>, file: &OpenFile) {
        let _ = (caller, file);
    }

    /// Checks a change of status flags by `fcntl(F_SETFL)`.
    ///
    /// # Errors
    /// `EINVAL` if the file cannot take them (`O_DIRECT`).
    fn check_flags(&self, flags: OpenFlags) -> Result<()> {
        if flags.contains(OpenFlags::O_DIRECT) { Err(Errno::EINVAL.into()) } else { Ok(()) }
    }

    /// Bytes that can be read at once without blocking, `FIONREAD`.
    ///
    /// # Errors
    /// `ENOTTY`.
    fn readable_bytes(&self) -> Result<usize> {
        Err(Errno::ENOTTY.into())
    }
}

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
            return self.ops.read(caller, self, dst);
        }
        let _lock = self.position_lock.lock();
        let position = self.position();
        let count = self.ops.read_at(caller, self, position, dst)?;
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
            return self.ops.write(caller, self, src);
        }
        let append = self.flags().contains(OpenFlags::O_APPEND);
        let _lock = self.position_lock.lock();
        let (count, end) = self.ops.write_at(caller, self, self.position(), append, src)?;
        self.position.store(end, Ordering::Relaxed);
        Ok(count)
    }

    /// `pread(2)`.
    ///
    /// # Errors
    /// `ESPIPE` for streams, `EBADF`, else the file's.
    pub fn read_at(&self, caller: &Caller<'_>, offset: u64, dst: &mut IoDst<'_>) -> Result<usize> {
        if !self.is_readable() {
            // That a stream has no positions is found out first.
            let errno = if self.seekable { Errno::EBADF } else { Errno::ESPIPE };
            return Err(errno.into());
        }
        self.ops.read_at(caller, self, offset, dst)
    }

    /// `pwrite(2)`; with `O_APPEND` it appends, as on Linux.
    ///
    /// # Errors
    /// `ESPIPE` for streams, `EBADF`, else the file's.
    pub fn write_at(&self, caller: &Caller<'_>, offset: u64, src: &mut IoSrc<'_>) -> Result<usize> {
        if !self.is_writable() {
            let errno = if self.seekable { Errno::EBADF } else { Errno::ESPIPE };
            return Err(errno.into());
        }
        let append = self.flags().contains(OpenFlags::O_APPEND);
        Ok(self.ops.write_at(caller, self, offset, append, src)?.0)
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
        self.position.store(new, Ordering::Relaxed);
        Ok(())
    }

    /// What the file is ready for now.
    pub fn poll(&self, caller: &Caller<'_>) -> PollEvents {
        self.ops.poll(caller, self)
    }
}

/// A position for `lseek(2)` in a file of `size` bytes: `SEEK_SET`, `SEEK_CUR`, `SEEK_END`.
///
/// # Errors
/// `EINVAL` for another `whence` or a negative result; `EOVERFLOW` past 2^63.
pub fn seek_in(position: u64, size: u64, offset: i64, whence: u32) -> Result<u64> {
    let base = match whence {
        0 => 0,
        1 => position,
        2 => size,
        _ => return Err(Errno::EINVAL.into()),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let new = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
    u64::try_from(new).map_err(|_| Errno::EINVAL.into())
}

/// Directory entries in memory, for kernel code that reads a directory.
#[derive(Default)]
pub struct DirList(pub Vec<(u64, u8, Vec<u8>)>);

impl DirSink for DirList {
    fn entry(&mut self, ino: u64, _next: u64, file_type: u8, name: &[u8]) -> bool {
        self.0.push((ino, file_type, name.to_vec()));
        true
    }
}
