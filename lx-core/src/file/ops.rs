//! What every kind of file can do, and what the operations hand around.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use super::{OpenFile, SocketView};
use crate::abi::Errno;
use crate::abi::fcntl::{FcntlCmd, OpenFlags};
use crate::abi::socket::AddressFamily;
use crate::abi::stat::Stat;
use crate::caller::Caller;
use crate::error::Result;
use crate::host::{HostFd, PageBlock};
use crate::io::{IoDst, IoSrc};
use crate::poll::{PollEvents, PollTable};

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
    /// Which event took pages from its end last, [`Shortened`](super::Shortened); 0 if none did.
    fn shortened(&self) -> u64 {
        0
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

    /// Whether `lseek(2)` does nothing, and succeeds, though there are no positions.
    fn ignores_positions(&self) -> bool {
        false
    }

    /// Whether a read, or a write, can be had that fails instead of waiting, `RWF_NOWAIT`. It is then
    /// made for a [`Caller`] that never sleeps.
    fn can_skip_waiting(&self, writes: bool) -> bool {
        let _ = writes;
        false
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
        let _ = (caller, file, offset, whence);
        if self.ignores_positions() { Ok(position) } else { Err(Errno::ESPIPE.into()) }
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

    /// Whether a write that fails with `EPIPE` raises `SIGPIPE`: not one to a datagram socket.
    fn raises_sigpipe(&self) -> bool {
        true
    }

    /// What `/proc/net` shows of a socket of this family; `None` for other files.
    fn socket_view(&self, family: AddressFamily) -> Option<SocketView> {
        let _ = family;
        None
    }

    /// Bytes that can be read at once without blocking, `FIONREAD`.
    ///
    /// # Errors
    /// `ENOTTY`.
    fn readable_bytes(&self) -> Result<usize> {
        Err(Errno::ENOTTY.into())
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
    let base = i64::try_from(base).map_err(|_| Errno::EINVAL)?;
    let new = base.checked_add(offset).ok_or(Errno::EINVAL)?;
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
