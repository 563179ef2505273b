//! Open directories.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::{OpenFlags, Whence};
use lx_core::abi::stat::{FileType, Stat};
use lx_core::abi::{Errno, dirent::DT_DIR};
use lx_core::caller::Caller;
use lx_core::file::{DirSink, FileIdentity, FileOps, OpenFile};
use lx_core::io::{IoDst, IoSrc};
use lx_core::sync::{Mutex, level};

use crate::inode::{DirListing, InodeOps};
use crate::location::Path;

/// An open directory. It reads the listing when the position is 0 and serves it from there, so
/// that positions stay valid whatever happens to the directory meanwhile.
///
/// Position 0 is `.`, 1 is `..`, the entries follow.
pub struct DirFile {
    inode: Arc<dyn InodeOps>,
    listing: Mutex<Option<Arc<DirListing>>, { level::FILE_OBJECT }>,
}

impl DirFile {
    /// Opens a directory.
    pub fn open(inode: Arc<dyn InodeOps>) -> Arc<dyn FileOps> {
        Arc::new(Self { inode, listing: Mutex::new(None) })
    }

    fn listing(&self, caller: &Caller<'_>, from_start: bool) -> Result<Arc<DirListing>> {
        if !from_start && let Some(listing) = &*self.listing.lock() {
            return Ok(Arc::clone(listing));
        }
        let mut listing = DirListing::default();
        self.inode.list(caller, &mut listing)?;
        let listing = Arc::new(listing);
        *self.listing.lock() = Some(Arc::clone(&listing));
        Ok(listing)
    }
}

impl FileOps for DirFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _offset: u64,
        _dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        Err(Errno::EISDIR.into())
    }

    fn write_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _offset: u64,
        _append: bool,
        _src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        Err(Errno::EISDIR.into())
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        match Whence(whence) {
            Whence::SEEK_SET | Whence::SEEK_CUR => {
                lx_core::file::seek_in(position, 0, offset, whence)
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attr(caller)?.to_stat())
    }

    fn read_dir(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        position: u64,
        sink: &mut dyn DirSink,
    ) -> Result<u64> {
        if Path::of(file).is_some_and(|path| path.dentry.is_deleted()) {
            return Err(Errno::ENOENT.into());
        }
        let listing = self.listing(caller, position == 0)?;
        let mut position = position;
        loop {
            let stored = match position {
                0 => sink.entry(self.inode.attr(caller)?.ino, 1, DT_DIR, b"."),
                1 => {
                    let parent = Path::of(file).and_then(Path::parent);
                    let above = parent.as_ref().map_or(&self.inode, Path::inode);
                    sink.entry(above.attr(caller)?.ino, 2, DT_DIR, b"..")
                }
                _ => {
                    let at = usize::try_from(position.wrapping_sub(2)).unwrap_or(usize::MAX);
                    let Some((ino, file_type, name)) = listing.get(at) else { break };
                    sink.entry(ino, position.saturating_add(1), file_type, name)
                }
            };
            if !stored {
                break;
            }
            position = position.saturating_add(1);
        }
        self.inode.was_read(caller, file);
        Ok(position)
    }

    fn sync(&self, _caller: &Caller<'_>, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn identity(&self) -> Option<FileIdentity> {
        None
    }
}

/// A description opened with `O_PATH`: it stands for a place and does nothing else.
pub struct PathFile {
    inode: Arc<dyn InodeOps>,
}

impl PathFile {
    /// Stands for `inode`.
    pub fn open(inode: Arc<dyn InodeOps>) -> Arc<dyn FileOps> {
        Arc::new(Self { inode })
    }
}

impl FileOps for PathFile {
    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attr(caller)?.to_stat())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Err(Errno::EBADF.into())
    }
}

/// Opens a device node at `path`.
///
/// # Errors
/// `ENXIO` if there is no such device.
pub fn open_device(
    caller: &Caller<'_>,
    inode: &Arc<dyn InodeOps>,
    path: &Path,
    rdev: u64,
    flags: OpenFlags,
) -> Result<Arc<dyn FileOps>> {
    match inode.file_type() {
        FileType::CharDevice => crate::dev::open_char(caller, rdev, flags, inode, path),
        _ => Err(Errno::ENXIO.into()),
    }
}
