//! Open regular files of a tmpfs.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::{FallocateFlags, FcntlCmd, OpenFlags, Whence};
use lx_core::abi::memfd::Seals;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, FromArg};
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, FileOps, MapSource, OpenFile, PageSource, seek_in};
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Resource;

use super::TmpInode;
use super::data::MAX_SIZE;
use crate::location::Path;
use crate::permission::set_id_to_drop;

/// An open regular file.
pub(crate) struct TmpFile {
    inode: Arc<TmpInode>,
}

impl TmpFile {
    /// Opens `inode`.
    pub(crate) fn new(inode: Arc<TmpInode>) -> Self {
        Self { inode }
    }

    /// After the contents were changed: times move, and set-id bits go.
    fn contents_changed(&self, caller: &Caller<'_>) {
        let meta = &self.inode.meta;
        meta.modified(caller.now());
        if let Some(mode) = set_id_to_drop(caller, &meta.permissions()) {
            meta.set_mode(mode);
        }
    }
}

impl FileOps for TmpFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let count = self.inode.data()?.read_at(offset, dst)?;
        let meta = &self.inode.meta;
        if Path::moves_access_time(file, false, meta.needs_atime()) {
            meta.accessed(caller.now());
        }
        Ok(count)
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        if src.remaining() == 0 {
            return Ok((0, offset));
        }
        let limit = caller.rlimits.soft(Resource::Fsize).min(MAX_SIZE);
        let writer = self.inode.data()?.lock_for_writing();
        let offset = if append { writer.size() } else { offset };
        let seals = self.inode.seals();
        seals.check_write()?;
        if offset >= seals.write_limit(writer.size(), u64::MAX) {
            return Err(Errno::EPERM.into());
        }
        let limit = seals.write_limit(writer.size(), limit);
        if offset >= limit {
            return Err(Errno::EFBIG.into());
        }
        let count = writer.write(self.inode.host(), offset, limit, src)?;
        drop(writer);
        self.contents_changed(caller);
        Ok((count, offset.saturating_add(count as u64)))
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        let data = self.inode.data()?;
        match Whence(whence) {
            Whence::SEEK_DATA | Whence::SEEK_HOLE => {
                let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                data.seek_data(offset, Whence(whence) == Whence::SEEK_DATA)
            }
            _ => seek_in(position, data.size(), offset, whence),
        }
    }

    fn control(
        &self,
        _caller: &Caller<'_>,
        file: &OpenFile,
        command: FcntlCmd,
        arg: u64,
    ) -> Result<u64> {
        match command {
            FcntlCmd::F_GET_SEALS => Ok(u64::from(self.inode.seals().get().bits())),
            FcntlCmd::F_ADD_SEALS => {
                if !file.is_writable() {
                    return Err(Errno::EPERM.into());
                }
                self.inode.seals().add(Seals::from_arg(arg)?)?;
                Ok(0)
            }
            FcntlCmd::F_GETPIPE_SZ | FcntlCmd::F_SETPIPE_SZ => Err(Errno::EBADF.into()),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn map_source(&self, _: &Caller<'_>, _: &OpenFile, _shared: bool) -> Result<MapSource> {
        self.inode.data()?.use_blocks(self.inode.host())?;
        Ok(MapSource::Pages(Arc::clone(&self.inode) as Arc<dyn PageSource>))
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.inode.identity()
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attributes().to_stat())
    }

    fn truncate(&self, caller: &Caller<'_>, _file: &OpenFile, len: u64) -> Result<()> {
        self.inode.set_size(len)?;
        self.inode.meta.modified(caller.now());
        Ok(())
    }

    fn allocate(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let end = offset.checked_add(len).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let keep_size = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let writer = self.inode.data()?.lock_for_writing();
        self.inode.seals().check_write()?;
        if mode.is_empty() {
            self.inode.seals().check_resize(writer.size(), end.max(writer.size()))?;
        }
        if mode == FallocateFlags::FALLOC_FL_PUNCH_HOLE | keep_size {
            writer.zero(offset, end);
        } else if mode.is_empty() || mode == keep_size {
            if mode.is_empty() && end > caller.rlimits.soft(Resource::Fsize) {
                return Err(Errno::EFBIG.into());
            }
            writer.allocate(self.inode.host(), offset, end, mode == keep_size)?;
        } else {
            return Err(Errno::EOPNOTSUPP.into());
        }
        drop(writer);
        self.contents_changed(caller);
        Ok(())
    }

    fn sync(&self, _caller: &Caller<'_>, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(usize::try_from(self.inode.data()?.size()).unwrap_or(usize::MAX))
    }
}
