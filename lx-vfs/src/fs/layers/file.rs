//! Open files of the overlay: a layer's, with the attributes of the overlay's inode.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::fcntl::{FcntlCmd, OpenFlags};
use lx_core::abi::stat::Stat;
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, FileOps, MapSource, OpenFile};
use lx_core::io::{IoDst, IoSrc};

use super::node::Node;
use crate::inode::InodeOps;

/// A regular file. As on Linux, what was opened for reading stays the lower layer's file when
/// somebody changes the upper layer's.
pub(super) struct LayerFile {
    pub(super) node: Arc<Node>,
    pub(super) real: Arc<dyn FileOps>,
}

impl FileOps for LayerFile {
    fn is_seekable(&self) -> bool {
        self.real.is_seekable()
    }

    fn can_skip_waiting(&self, writes: bool) -> bool {
        self.real.can_skip_waiting(writes)
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        self.real.read_at(caller, file, offset, dst)
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        self.real.write_at(caller, file, offset, append, src)
    }

    fn seek(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        self.real.seek(caller, file, position, offset, whence)
    }

    fn ioctl(&self, caller: &Caller<'_>, file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        self.real.ioctl(caller, file, request, arg)
    }

    fn control(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        command: FcntlCmd,
        arg: u64,
    ) -> Result<u64> {
        self.real.control(caller, file, command, arg)
    }

    fn map_source(&self, caller: &Caller<'_>, file: &OpenFile, shared: bool) -> Result<MapSource> {
        self.real.map_source(caller, file, shared)
    }

    fn identity(&self) -> Option<FileIdentity> {
        self.real.identity()
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.node.attr(caller)?.to_stat())
    }

    fn truncate(&self, caller: &Caller<'_>, file: &OpenFile, len: u64) -> Result<()> {
        self.real.truncate(caller, file, len)
    }

    fn allocate(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        self.real.allocate(caller, file, mode, offset, len)
    }

    fn sync(&self, caller: &Caller<'_>, file: &OpenFile, data_only: bool) -> Result<()> {
        self.real.sync(caller, file, data_only)
    }

    fn closed(&self, caller: &Caller<'_>, file: &OpenFile) {
        self.real.closed(caller, file);
    }

    fn check_flags(&self, flags: OpenFlags) -> Result<()> {
        self.real.check_flags(flags)
    }

    fn readable_bytes(&self) -> Result<usize> {
        self.real.readable_bytes()
    }
}
