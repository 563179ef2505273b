//! Open files of the host: bytes go straight between the host and guest memory.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{FallocateFlags, OpenFlags, Whence};
use lx_core::abi::stat::Stat;
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, FileOps, MapSource, OpenFile, seek_in};
use lx_core::host::{HostFd, HostSetAttr};
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Resource;

use super::HostInode;
use crate::inode::{InodeOps, SetAttr};
use crate::permission::set_id_to_drop;

/// An open regular file of the host.
pub(crate) struct HostFile {
    inode: Arc<HostInode>,
    fd: Arc<HostFd>,
}

impl HostFile {
    /// Wraps an open descriptor of `inode`, and learns its present attributes.
    pub(crate) fn open(inode: Arc<HostInode>, fd: Arc<HostFd>) -> Result<Self> {
        if inode.recent_stat().is_none() {
            inode.learn(&inode.stat_open(&fd)?);
        }
        Ok(Self { inode, fd })
    }

    /// After the contents were changed: looks at size and times, and set-id bits go.
    fn contents_changed(&self, caller: &Caller<'_>) -> Result<()> {
        self.inode.learn(&self.inode.stat_written(&self.fd)?);
        if let Some(mode) = set_id_to_drop(caller, &self.inode.permissions()) {
            let change = SetAttr { mode: Some(mode), now: caller.now(), ..SetAttr::default() };
            self.inode.set_attr(caller, &change)?;
        }
        Ok(())
    }
}

impl FileOps for HostFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn can_skip_waiting(&self, writes: bool) -> bool {
        !writes
    }

    fn read_at(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        let host = self.inode.host();
        dst.fill(|buffer, done| {
            Ok(host.read_at(&self.fd, offset.saturating_add(done as u64), buffer)?)
        })
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
        let host = self.inode.host();
        let offset = if append { host.stat(&self.fd, b"")?.size } else { offset };
        let room = caller.rlimits.soft(Resource::Fsize).saturating_sub(offset);
        if room == 0 {
            return Err(Errno::EFBIG.into());
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let count = src.drain(|buffer, done| {
            let buffer = buffer.up_to(room.saturating_sub(done));
            Ok(host.write_at(&self.fd, offset.saturating_add(done as u64), buffer)?)
        })?;
        self.contents_changed(caller)?;
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
        let host = self.inode.host();
        match Whence(whence) {
            Whence::SEEK_DATA | Whence::SEEK_HOLE => Ok(host.seek(&self.fd, offset, whence)?),
            Whence::SEEK_END => seek_in(position, host.stat(&self.fd, b"")?.size, offset, whence),
            _ => seek_in(position, 0, offset, whence),
        }
    }

    fn map_source(&self, _: &Caller<'_>, _: &OpenFile, _shared: bool) -> Result<MapSource> {
        Ok(MapSource::Host(Arc::clone(&self.fd)))
    }

    fn identity(&self) -> Option<FileIdentity> {
        let stat = self.inode.known_stat();
        Some(FileIdentity { dev: stat.dev, ino: stat.ino, mtime: stat.mtime, size: stat.size })
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        // By the descriptor: the name may be gone.
        let stat = match self.inode.fresh_stat() {
            Some(stat) => stat,
            None => {
                let stat = self.inode.stat_open(&self.fd)?;
                self.inode.learn(&stat);
                stat
            }
        };
        Ok(self.inode.to_attr(&stat).to_stat())
    }

    fn truncate(&self, _caller: &Caller<'_>, _file: &OpenFile, len: u64) -> Result<()> {
        let host = self.inode.host();
        let change = HostSetAttr { size: Some(len), ..HostSetAttr::default() };
        host.set_attr(&self.fd, b"", &change)?;
        self.inode.learn(&self.inode.stat_written(&self.fd)?);
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
        let grows = FallocateFlags::from_bits_retain(mode).is_empty();
        if grows && offset.saturating_add(len) > caller.rlimits.soft(Resource::Fsize) {
            return Err(Errno::EFBIG.into());
        }
        self.inode.host().allocate(&self.fd, mode, offset, len)?;
        self.contents_changed(caller)
    }

    fn sync(&self, _caller: &Caller<'_>, _file: &OpenFile, data_only: bool) -> Result<()> {
        Ok(self.inode.host().sync_file(&self.fd, data_only)?)
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        // The host's cache serves all transfers; O_DIRECT is a hint that changes no result.
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        let size = self.inode.host().stat(&self.fd, b"")?.size;
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }
}
