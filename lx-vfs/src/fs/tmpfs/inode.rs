//! Inodes of a tmpfs.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::abi::memfd::Seals;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::{FileIdentity, FileOps, OpenFile, PageSource};
use lx_core::host::PageBlock;
use lx_core::io::IoSrc;

use super::data::{FileData, MAX_SIZE};
use super::file::TmpFile;
use super::seals::FileSeals;
use super::{INODE_SPACE, PAGE, Shared};
use crate::dir::{DirFile, open_device};
use crate::fs::meta::Meta;
use crate::fs::xattr::{self, Xattrs};
use crate::inode::{Attr, DirListing, InodeOps, NewInode, NewKind, Permissions, SetAttr, downcast};
use crate::inode_flags::InodeFlags;
use crate::location::Path;
use crate::pipe::Fifo;
use crate::write_access::WriteCount;

/// What `st_size` counts for one entry of a directory.
const ENTRY_SIZE: u64 = 20;

/// An inode of a tmpfs.
pub struct TmpInode {
    shared: Arc<Shared>,
    ino: u64,
    file_type: FileType,
    pub(super) meta: Meta,
    body: Body,
    xattrs: Xattrs,
    seals: FileSeals,
    writers: WriteCount,
}

enum Body {
    File(FileData),
    Directory,
    Symlink(Arc<[u8]>),
    Fifo(Fifo),
    Device(u64),
    Socket,
}

impl TmpInode {
    pub(super) fn new(shared: &Arc<Shared>, new: &NewInode<'_>, now: i64) -> Arc<Self> {
        shared.inode_space.take_anyway(INODE_SPACE);
        Self::counted(shared, new, now)
    }

    /// As [`new`](Self::new), `ENOSPC` if there are too many.
    fn new_within_limit(shared: &Arc<Shared>, new: &NewInode<'_>, now: i64) -> Result<Arc<Self>> {
        shared.inode_space.take(INODE_SPACE)?;
        Ok(Self::counted(shared, new, now))
    }

    fn counted(shared: &Arc<Shared>, new: &NewInode<'_>, now: i64) -> Arc<Self> {
        let meta = Meta::new(new, now);
        if new.kind == NewKind::Directory {
            meta.set_nlink(2);
        }
        Self::with(shared, new.kind, shared.new_ino(), meta, Xattrs::default())
    }

    /// An inode with the number and the attributes of another file system's.
    pub(super) fn like(
        shared: &Arc<Shared>,
        kind: NewKind<'_>,
        ino: u64,
        attr: &Attr,
        xattrs: Xattrs,
    ) -> Arc<Self> {
        shared.inode_space.take_anyway(INODE_SPACE.saturating_add(xattrs.space()));
        Self::with(shared, kind, ino, Meta::copy_of(attr), xattrs)
    }

    fn with(
        shared: &Arc<Shared>,
        kind: NewKind<'_>,
        ino: u64,
        meta: Meta,
        xattrs: Xattrs,
    ) -> Arc<Self> {
        let body = match kind {
            NewKind::Regular => Body::File(FileData::new(shared.pages.clone())),
            NewKind::Directory => Body::Directory,
            NewKind::Symlink(target) => Body::Symlink(target.into()),
            NewKind::Fifo => Body::Fifo(Fifo::new()),
            NewKind::Socket => Body::Socket,
            NewKind::CharDevice(rdev) | NewKind::BlockDevice(rdev) => Body::Device(rdev),
        };
        Arc::new(Self {
            shared: Arc::clone(shared),
            ino,
            file_type: kind.file_type(),
            meta,
            body,
            xattrs,
            seals: FileSeals::new(),
            writers: WriteCount::default(),
        })
    }

    /// The inode number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// The contents of a regular file.
    pub(super) fn data(&self) -> Result<&FileData> {
        match &self.body {
            Body::File(data) => Ok(data),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// The seals.
    pub(crate) fn seals(&self) -> &FileSeals {
        &self.seals
    }

    pub(super) fn host(&self) -> &'static dyn lx_core::host::Host {
        self.shared.host
    }

    /// Attributes, which need no caller here.
    pub fn attributes(&self) -> Attr {
        let mut attr = Attr {
            dev: self.shared.dev,
            ino: self.ino,
            mode: self.file_type.mode_bits(),
            blksize: PAGE as u32,
            ..Attr::default()
        };
        self.meta.fill(&mut attr);
        match &self.body {
            Body::File(data) => {
                attr.size = data.size();
                attr.blocks = data.used();
            }
            Body::Directory => {
                let entries = self.shared.tree.lock().len(self.ino) as u64;
                attr.size = entries.saturating_add(2).saturating_mul(ENTRY_SIZE);
            }
            Body::Symlink(target) => attr.size = target.len() as u64,
            Body::Device(rdev) => attr.rdev = *rdev,
            Body::Fifo(_) | Body::Socket => {}
        }
        attr
    }

    /// One link more, or fewer, for a file system that keeps the names itself.
    pub(crate) fn add_links(&self, by: i32, now: i64) {
        self.count_links(|meta| meta.add_links(by));
        self.meta.changed(now);
    }

    /// Changes the number of links, and counts the inode among the removed ones if none is left.
    fn count_links(&self, change: impl FnOnce(&Meta)) {
        let before = self.meta.nlink();
        change(&self.meta);
        match (before, self.meta.nlink()) {
            (1.., 0) => self.shared.removed.fetch_add(1, Ordering::Relaxed),
            (0, 1..) => self.shared.removed.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    /// Stores bytes and leaves the times alone.
    pub(crate) fn store(&self, offset: u64, bytes: &[u8]) -> Result<usize> {
        let mut src = IoSrc::kernel(bytes);
        self.data()?.lock_for_writing().write(self.shared.host, offset, MAX_SIZE, &mut src)
    }

    /// As [`InodeOps::set_attr`], with a length. Whether it was another one before.
    pub(crate) fn set_size(&self, len: u64) -> Result<bool> {
        if len > MAX_SIZE {
            return Err(Errno::EFBIG.into());
        }
        let writer = self.data()?.lock_for_writing();
        let former = writer.size();
        self.seals.check_resize(former, len)?;
        writer.truncate(self.shared.host, len)?;
        Ok(former != len)
    }

    fn same_fs(&self, other: &Arc<dyn InodeOps>) -> Result<Arc<Self>> {
        match downcast::<Self>(other) {
            Some(other) if Arc::ptr_eq(&other.shared, &self.shared) => Ok(other),
            _ => Err(Errno::EXDEV.into()),
        }
    }

    /// A name of `inode` is gone.
    fn unlinked(&self, inode: &Self, now: i64) {
        if inode.file_type == FileType::Directory {
            inode.count_links(|meta| meta.set_nlink(0));
            self.meta.add_links(-1);
        } else {
            inode.count_links(|meta| meta.add_links(-1));
            if inode.meta.nlink() > 0 {
                self.shared.inode_space.give_back(INODE_SPACE);
            }
        }
        inode.meta.changed(now);
        self.meta.modified(now);
    }
}

impl Drop for TmpInode {
    fn drop(&mut self) {
        let attributes = self.xattrs.space();
        self.shared.inode_space.give_back(INODE_SPACE.saturating_add(attributes));
        self.count_links(|meta| meta.set_nlink(1));
    }
}

impl InodeOps for TmpInode {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn permissions(&self) -> Permissions {
        self.meta.permissions()
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        Ok(self.attributes())
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        if let Some(mode) = change.mode
            && (mode ^ self.meta.permissions().mode) & 0o111 != 0
            && self.seals.get().contains(Seals::F_SEAL_EXEC)
        {
            return Err(Errno::EPERM.into());
        }
        let mut change = *change;
        if let Some(len) = change.size
            && !self.set_size(len)?
        {
            // As on Linux, a path whose file has that length already is not touched.
            change.size = None;
            if change == (SetAttr { now: change.now, ..SetAttr::default() }) {
                return Ok(());
            }
        }
        self.meta.apply(&change);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        match &self.body {
            Body::File(_) => Ok(Arc::new(TmpFile::new(self))),
            Body::Directory => Ok(DirFile::open(self)),
            Body::Symlink(_) => Err(Errno::ELOOP.into()),
            Body::Fifo(fifo) => {
                let fifo = fifo.clone();
                fifo.open(caller, flags, self)
            }
            Body::Device(rdev) => {
                let (rdev, inode) = (*rdev, Arc::clone(&self) as Arc<dyn InodeOps>);
                open_device(caller, &inode, path, rdev, flags)
            }
            Body::Socket => Err(Errno::ENXIO.into()),
        }
    }

    fn fifo_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        if Path::moves_access_time(file, false, self.meta.needs_atime()) {
            self.meta.accessed(caller.now());
        }
    }

    fn fifo_written(&self, caller: &Caller<'_>, file: &OpenFile) {
        if Path::of(file).is_some_and(|path| !path.mount.is_read_only()) {
            self.meta.modified(caller.now());
        }
    }

    fn write_count(&self) -> Option<&WriteCount> {
        (self.file_type == FileType::Regular).then_some(&self.writers)
    }

    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        Ok(Arc::clone(self.shared.tree.lock().get(self.ino, name)?) as _)
    }

    fn was_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        if Path::moves_access_time(file, true, self.meta.needs_atime()) {
            self.meta.accessed(caller.now());
        }
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        for (name, inode) in self.shared.tree.lock().entries(self.ino) {
            listing.push(inode.ino, inode.file_type.dirent_type(), name);
        }
        Ok(())
    }

    fn create(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        let now = caller.now();
        let inode = Self::new_within_limit(&self.shared, new, now)?;
        self.shared.tree.lock().insert(self.ino, name, Arc::clone(&inode))?;
        self.meta.modified(now);
        if new.kind == NewKind::Directory {
            self.meta.add_links(1);
        }
        Ok(inode)
    }

    fn create_unnamed(&self, caller: &Caller<'_>, new: &NewInode<'_>) -> Result<Arc<dyn InodeOps>> {
        let inode = Self::new_within_limit(&self.shared, new, caller.now())?;
        inode.count_links(|meta| meta.set_nlink(0));
        Ok(inode)
    }

    fn link(&self, caller: &Caller<'_>, name: &[u8], target: &Arc<dyn InodeOps>) -> Result<()> {
        let target = self.same_fs(target)?;
        let now = caller.now();
        // The first name of a file that was made without one is that of its inode.
        let more = if target.meta.nlink() > 0 { INODE_SPACE } else { 0 };
        self.shared.inode_space.take(more)?;
        let added = self.shared.tree.lock().insert(self.ino, name, Arc::clone(&target));
        if added.is_err() {
            self.shared.inode_space.give_back(more);
        }
        added?;
        target.add_links(1, now);
        self.meta.modified(now);
        Ok(())
    }

    fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let inode = self.shared.tree.lock().unlink(self.ino, name)?;
        self.unlinked(&inode, caller.now());
        Ok(())
    }

    fn rmdir(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let inode = self.shared.tree.lock().rmdir(self.ino, name)?;
        self.unlinked(&inode, caller.now());
        Ok(())
    }

    fn rename(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new_dir: &Arc<dyn InodeOps>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = self.same_fs(new_dir)?;
        let renamed = {
            let mut tree = self.shared.tree.lock();
            tree.rename((self.ino, name), (new_dir.ino, new_name), flags)
        };
        let (source, target) = renamed?;
        let now = caller.now();
        let is_dir = |inode: &Self| i32::from(inode.file_type == FileType::Directory);
        source.meta.changed(now);
        self.meta.modified(now);
        new_dir.meta.modified(now);
        self.meta.add_links(-is_dir(&source));
        new_dir.meta.add_links(is_dir(&source));
        match target {
            Some(target) if flags.contains(RenameFlags::RENAME_EXCHANGE) => {
                target.meta.changed(now);
                new_dir.meta.add_links(-is_dir(&target));
                self.meta.add_links(is_dir(&target));
            }
            Some(target) => new_dir.unlinked(&target, now),
            None => {}
        }
        Ok(())
    }

    fn read_link(&self, _caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        match &self.body {
            Body::Symlink(target) => Ok(Arc::clone(target)),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    fn flags(&self) -> Result<InodeFlags> {
        Ok(self.permissions().flags)
    }

    fn set_flags(&self, caller: &Caller<'_>, flags: InodeFlags) -> Result<()> {
        self.meta.set_flags(flags, caller.now());
        Ok(())
    }

    fn get_xattr(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        self.xattrs.get(name)
    }

    fn set_xattr(&self, caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let space = &self.shared.inode_space;
        let needed = xattr::space(name, value);
        space.take(needed)?;
        match self.xattrs.set(name, value, flags) {
            Ok(replaced) => space.give_back(replaced),
            Err(error) => {
                space.give_back(needed);
                return Err(error);
            }
        }
        self.meta.changed(caller.now());
        Ok(())
    }

    fn list_xattr(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(self.xattrs.list())
    }

    fn remove_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.shared.inode_space.give_back(self.xattrs.remove(name)?);
        self.meta.changed(caller.now());
        Ok(())
    }
}

impl PageSource for TmpInode {
    fn block(&self, index: u64) -> Result<Arc<PageBlock>> {
        self.data()?.mapped_block(self.shared.host, index)
    }

    fn len(&self) -> u64 {
        self.data().map_or(0, FileData::size)
    }

    fn shortened(&self) -> u64 {
        self.data().map_or(0, FileData::shortened)
    }

    fn map_shared(&self, write: bool) -> Result<bool> {
        self.seals.map_shared(write)
    }

    fn unmap_shared(&self) {
        self.seals.unmap_shared();
    }
}

impl TmpInode {
    /// `None` while somebody may write through a mapping, which changes no time.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        let changes = self.seals.mapped_changes()?;
        Some(FileIdentity {
            dev: self.shared.dev,
            ino: self.ino,
            mtime: self.meta.mtime().wrapping_add(i64::from(changes)),
            size: PageSource::len(self),
        })
    }
}
