//! Files of an overlay that come from the lower layer.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, Whence};
use lx_core::abi::stat::{FileType, Stat};
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, FileOps, MapSource, OpenFile};
use lx_core::host::{BLOCK_SIZE, BufMut, HostError};
use lx_core::io::IoDst;
use lx_core::sync::WaitQueue;
use spin::Once;

use super::{Shared, lower_xattr};
use crate::fs::hostfs::{HostFile, HostInode};
use crate::fs::tmpfs::{TmpFile, TmpInode};
use crate::inode::{Attr, InodeOps, NewKind, Permissions, SetAttr};
use crate::inode_flags::InodeFlags;
use crate::location::Path;
use crate::write_access::WriteCount;

/// The data is the lower file's.
const LOWER: u8 = 0;
/// Somebody is copying it.
const COPYING: u8 = 1;
/// The data is in memory.
const COPIED: u8 = 2;

/// A lower file; its attributes, and then its data, move to memory when they are changed.
pub(super) struct OverlayFile {
    shared: Arc<Shared>,
    this: Weak<Self>,
    lower: Arc<HostInode>,
    ino: u64,
    /// Attributes in memory; with state [`COPIED`] the data, too.
    upper: Once<Arc<TmpInode>>,
    state: AtomicU8,
    copied: WaitQueue,
    writers: WriteCount,
}

impl OverlayFile {
    pub(super) fn of_lower(shared: &Arc<Shared>, lower: Arc<HostInode>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            this: Weak::clone(this),
            ino: lower.ino(),
            lower,
            upper: Once::new(),
            state: AtomicU8::new(LOWER),
            copied: WaitQueue::new(),
            writers: WriteCount::default(),
        })
    }

    /// The inode in memory, made with the lower file's attributes the first time.
    fn upper(&self) -> Result<&Arc<TmpInode>> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let attr = self.lower.attributes()?;
        let link = match self.lower.file_type() {
            FileType::Symlink => Some(self.lower.link_target()?),
            _ => None,
        };
        let kind = match self.lower.file_type() {
            FileType::Symlink => NewKind::Symlink(link.as_deref().unwrap_or_default()),
            FileType::Fifo => NewKind::Fifo,
            FileType::Socket => NewKind::Socket,
            FileType::CharDevice => NewKind::CharDevice(attr.rdev),
            FileType::BlockDevice => NewKind::BlockDevice(attr.rdev),
            FileType::Regular | FileType::Directory => NewKind::Regular,
        };
        let xattrs = self.lower.copy_xattrs()?;
        self.keep()?;
        let memory = &self.shared.memory;
        Ok(self.upper.call_once(|| memory.inode_like(kind, self.ino, &attr, xattrs)))
    }

    /// The inode must not be forgotten any more.
    pub(super) fn keep(&self) -> Result<()> {
        let this = self.this.upgrade().ok_or(Errno::ENOENT)?;
        self.shared.keep(self.ino, this);
        Ok(())
    }

    pub(super) fn add_links(&self, by: i32, now: i64) -> Result<()> {
        let upper = self.upper()?;
        upper.add_links(by, now);
        if upper.attributes().nlink == 0 {
            self.shared.release(self.ino);
        }
        Ok(())
    }

    fn is_copied(&self) -> bool {
        self.state.load(Ordering::Acquire) == COPIED
    }

    /// Brings the first `len` bytes of the data to memory.
    fn copy_up(&self, caller: &Caller<'_>, len: u64) -> Result<&Arc<TmpInode>> {
        let upper = self.upper()?;
        loop {
            let exchange =
                self.state.compare_exchange(LOWER, COPYING, Ordering::AcqRel, Ordering::Acquire);
            match exchange {
                Err(COPIED) => return Ok(upper),
                Err(_) => {
                    let done = || (self.state.load(Ordering::Acquire) != COPYING).then_some(());
                    caller.wait(&self.copied, u32::MAX, done)?;
                }
                Ok(_) => {
                    let result = self.copy(caller, upper, len);
                    let state = if result.is_ok() { COPIED } else { LOWER };
                    self.state.store(state, Ordering::Release);
                    self.copied.wake_all(u32::MAX);
                    return result.map(|()| upper);
                }
            }
        }
    }

    fn copy(&self, caller: &Caller<'_>, upper: &TmpInode, len: u64) -> Result<()> {
        let host = caller.host;
        let len = len.min(self.lower.attributes()?.size);
        if len == 0 {
            return Ok(());
        }
        let fd = self.lower.read_fd()?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(BLOCK_SIZE).map_err(|_| Errno::ENOMEM)?;
        buffer.resize(BLOCK_SIZE, 0);
        let mut offset = 0_u64;
        let mut in_hole = true;
        while offset < len {
            if caller.waiter.is_killed() {
                return Err(Errno::EINTR.into());
            }
            if in_hole {
                // Not every host can tell where data begins: then the zeros are read.
                match host.seek(&fd, offset.cast_signed(), Whence::SEEK_DATA.0) {
                    Ok(data) if data < len => offset = data,
                    Ok(_) | Err(HostError(Errno::ENXIO)) => {
                        offset = len;
                        break;
                    }
                    Err(_) => {}
                }
            }
            let part = (len.saturating_sub(offset)).min(BLOCK_SIZE as u64) as usize;
            let part = buffer.get_mut(..part).unwrap_or_default();
            let count = host.read_at(&fd, offset, BufMut::Kernel(part))?;
            if count == 0 {
                break;
            }
            let bytes = part.get(..count).unwrap_or_default();
            // Holes stay holes.
            in_hole = bytes.iter().all(|&byte| byte == 0);
            if !in_hole {
                upper.store(offset, bytes)?;
            }
            offset = offset.saturating_add(count as u64);
        }
        if upper.attributes().size < offset {
            upper.set_size(offset)?;
        }
        Ok(())
    }

    fn attributes(&self) -> Result<Attr> {
        let Some(upper) = self.upper.get() else {
            return Ok(Attr { dev: self.shared.dev, ..self.lower.attributes()? });
        };
        let mut attr = upper.attributes();
        if !self.is_copied() {
            let lower = self.lower.attributes()?;
            (attr.size, attr.blocks) = (lower.size, lower.blocks);
        }
        Ok(attr)
    }
}

impl Drop for OverlayFile {
    fn drop(&mut self) {
        let mut files = self.shared.files.lock();
        if files.get(&self.ino).is_some_and(|file| file.strong_count() == 0) {
            files.remove(&self.ino);
        }
    }
}

impl InodeOps for OverlayFile {
    fn file_type(&self) -> FileType {
        self.lower.file_type()
    }

    fn permissions(&self) -> Permissions {
        match self.upper.get() {
            Some(upper) => upper.permissions(),
            None => self.lower.permissions(),
        }
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        self.attributes()
    }

    fn set_attr(&self, caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        match change.size {
            Some(len) => self.copy_up(caller, len)?.set_attr(caller, change),
            None => self.upper()?.set_attr(caller, change),
        }
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        if self.file_type() != FileType::Regular {
            return Arc::clone(&self.lower).open(caller, path, flags);
        }
        if flags.access_mode().writable() {
            self.copy_up(caller, u64::MAX)?;
        }
        if self.is_copied() {
            return Arc::clone(self.upper()?).open(caller, path, flags);
        }
        let fd = self.lower.read_fd()?;
        let lower = HostFile::open(Arc::clone(&self.lower), fd)?;
        Ok(Arc::new(LowerFile { inode: self, lower }))
    }

    fn write_count(&self) -> Option<&WriteCount> {
        (self.file_type() == FileType::Regular).then_some(&self.writers)
    }

    fn read_link(&self, _caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        match self.file_type() {
            FileType::Symlink => self.lower.link_target(),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn flags(&self) -> Result<InodeFlags> {
        Ok(self.permissions().flags)
    }

    fn set_flags(&self, caller: &Caller<'_>, flags: InodeFlags) -> Result<()> {
        self.upper()?.set_flags(caller, flags)
    }

    fn get_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        match self.upper.get() {
            Some(upper) => upper.get_xattr(caller, name),
            None => lower_xattr(&self.lower, name),
        }
    }

    fn set_xattr(&self, caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.upper()?.set_xattr(caller, name, value, flags)
    }

    fn list_xattr(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        match self.upper.get() {
            Some(upper) => upper.list_xattr(caller),
            None => self.lower.xattrs(),
        }
    }

    fn remove_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        // What is not there is no reason to copy anything.
        self.get_xattr(caller, name)?;
        self.upper()?.remove_xattr(caller, name)
    }
}

/// A lower file opened for reading. Should somebody change the file, it shows the change.
struct LowerFile {
    inode: Arc<OverlayFile>,
    lower: HostFile,
}

impl LowerFile {
    /// The file in memory, once the data is there.
    fn upper(&self) -> Option<TmpFile> {
        if !self.inode.is_copied() {
            return None;
        }
        self.inode.upper.get().map(|upper| TmpFile::new(Arc::clone(upper)))
    }
}

impl FileOps for LowerFile {
    fn is_seekable(&self) -> bool {
        true
    }

    fn can_skip_waiting(&self, writes: bool) -> bool {
        !writes
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        match self.upper() {
            Some(upper) => upper.read_at(caller, file, offset, dst),
            None => self.lower.read_at(caller, file, offset, dst),
        }
    }

    fn seek(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        position: u64,
        offset: i64,
        whence: u32,
    ) -> Result<u64> {
        match self.upper() {
            Some(upper) => upper.seek(caller, file, position, offset, whence),
            None => self.lower.seek(caller, file, position, offset, whence),
        }
    }

    fn map_source(&self, caller: &Caller<'_>, file: &OpenFile, shared: bool) -> Result<MapSource> {
        match self.upper() {
            Some(upper) => upper.map_source(caller, file, shared),
            None => self.lower.map_source(caller, file, shared),
        }
    }

    fn identity(&self) -> Option<FileIdentity> {
        match self.upper() {
            Some(upper) => upper.identity(),
            None => self.lower.identity(),
        }
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attributes()?.to_stat())
    }

    fn sync(&self, _caller: &Caller<'_>, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        match self.upper() {
            Some(upper) => upper.readable_bytes(),
            None => self.lower.readable_bytes(),
        }
    }
}
