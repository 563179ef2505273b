//! What guests do with files of the host.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::FileOps;
use lx_core::host::{HostOpen, HostSetAttr};

use super::file::HostFile;
use super::{HostInode, MAX_AGE, Trust};
use crate::dir::{DirFile, open_device};
use crate::inode::{
    Attr, DirListing, InodeOps, NameCaching, NewInode, NewKind, Permissions, SetAttr, downcast,
};
use crate::location::Path;
use crate::write_access::WriteCount;

impl InodeOps for HostInode {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn permissions(&self) -> Permissions {
        Permissions {
            mode: self.mode.load(Ordering::Relaxed),
            uid: self.uid.load(Ordering::Relaxed),
            gid: self.gid.load(Ordering::Relaxed),
        }
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        self.attributes()
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        let (dir, name) = self.parent_and_name()?;
        let change = HostSetAttr {
            mode: change.mode,
            uid: change.uid,
            gid: change.gid,
            size: change.size,
            atime: change.atime,
            mtime: change.mtime,
        };
        match &self.shared.drive {
            Some(drive) => {
                let shown = self.shared.stat(&dir, &name)?;
                drive.set_attr(self.shared.host, (&dir, &name), &change, &shown)?;
            }
            None => self.shared.host.set_attr(&dir, &name, &change)?,
        }
        self.refresh().map(drop)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        (self.file_type == FileType::Regular).then_some(&self.writers)
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        match self.file_type {
            FileType::Regular => {
                let fd =
                    if flags.access_mode().writable() { self.write_fd()? } else { self.read_fd()? };
                Ok(Arc::new(HostFile::open(self, fd)?))
            }
            FileType::Directory => Ok(DirFile::open(self)),
            FileType::Symlink => Err(Errno::ELOOP.into()),
            FileType::Fifo => {
                let fifo = self.fifo.clone();
                fifo.open(caller, flags, self)
            }
            FileType::CharDevice | FileType::BlockDevice => {
                let rdev = self.known_stat().rdev;
                let inode: Arc<dyn InodeOps> = self;
                open_device(caller, &inode, path, rdev, flags)
            }
            FileType::Socket => Err(Errno::ENXIO.into()),
        }
    }

    fn name_caching(&self) -> NameCaching {
        match self.shared.trust {
            _ if self.shared.drive.is_some() => NameCaching::Never,
            Trust::Shared => NameCaching::Revalidate,
            Trust::Stable => NameCaching::Always,
        }
    }

    fn names_unchanged(&self, _caller: &Caller<'_>) -> bool {
        let now = self.shared.host.monotonic();
        {
            let mut known = self.known.lock();
            if now.saturating_sub(known.names_checked) < MAX_AGE {
                return true;
            }
            known.names_checked = now;
        }
        let Ok(stat) = self.refresh() else { return false };
        let mut known = self.known.lock();
        let unchanged = known.names == (stat.mtime, stat.ctime);
        known.names = (stat.mtime, stat.ctime);
        unchanged
    }

    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        self.shared.is_same_name(one, other)
    }

    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        Ok(self.shared_self()?.child(name)?)
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        listing.append(&*self.shared_self()?.entries()?);
        Ok(())
    }

    fn create(
        &self,
        _caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        let this = self.shared_self()?;
        let dir = this.dir_fd()?;
        let host = self.shared.host;
        let mut created = None;
        match new.kind {
            NewKind::Regular => {
                let create = Some(new.mode);
                let how = HostOpen { read: true, write: true, create, ..HostOpen::default() };
                created = Some(Arc::new(host.open(&dir, name, how)?));
            }
            NewKind::Directory => host.make_dir(&dir, name, new.mode)?,
            NewKind::Symlink(target) => host.make_symlink(&dir, name, target)?,
            kind => {
                let mode = kind.file_type().mode_bits() | new.mode;
                host.make_node(&dir, name, mode, kind.rdev())?;
            }
        }
        self.changed();
        let stat = self.shared.stat(&dir, name)?;
        let stat = self.give(&dir, name, new, stat);
        let inode = self.shared.inode(&this, name, &stat);
        if created.is_some() {
            inode.kept.lock().created = created;
            self.shared.keeps_fd(&inode);
        }
        Ok(inode)
    }

    fn link(&self, _caller: &Caller<'_>, name: &[u8], target: &Arc<dyn InodeOps>) -> Result<()> {
        let target = downcast::<Self>(target).ok_or(Errno::EXDEV)?;
        let (from, from_name) = target.parent_and_name()?;
        let this = self.shared_self()?;
        let dir = this.dir_fd()?;
        self.shared.host.make_link(&from, &from_name, &dir, name)?;
        self.changed();
        target.found_at(&this, name, &self.shared.stat(&dir, name)?);
        Ok(())
    }

    fn unlink(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.remove(name, false)
    }

    fn rmdir(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.remove(name, true)
    }

    fn rename(
        &self,
        _caller: &Caller<'_>,
        name: &[u8],
        new_dir: &Arc<dyn InodeOps>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let this = self.shared_self()?;
        let new_dir = downcast::<Self>(new_dir).ok_or(Errno::EXDEV)?;
        let (from, to) = (this.dir_fd()?, new_dir.dir_fd()?);
        let source = self.known_child(&from, name);
        let target = new_dir.known_child(&to, new_name);
        self.shared.host.rename(&from, name, &to, new_name, flags.bits())?;
        self.changed();
        new_dir.changed();
        // The inodes learn their new places first: one that has none is forgotten.
        new_dir.child(new_name)?;
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            this.child(name)?;
        }
        let respelled = Arc::ptr_eq(&this, &new_dir) && self.shared.is_same_name(name, new_name);
        if respelled {
            if let Some(source) = source {
                source.respelled(&this, new_name);
            }
            return Ok(());
        }
        if let Some(source) = source {
            source.left(&this, name);
        }
        if let Some(target) = target {
            target.left(&new_dir, new_name);
        }
        Ok(())
    }

    fn read_link(&self, _caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL.into());
        }
        self.link_target()
    }
}

impl HostInode {
    fn remove(&self, name: &[u8], directory: bool) -> Result<()> {
        let this = self.shared_self()?;
        let dir = this.dir_fd()?;
        let child = self.known_child(&dir, name);
        if let Some(child) = child.as_ref().filter(|_| directory) {
            // Who is in it can still look at it. Without a descriptor it looks empty and gone.
            let _ = child.dir_fd();
        }
        self.shared.host.remove(&dir, name, directory)?;
        self.changed();
        if let Some(child) = child {
            child.left(&this, name);
        }
        Ok(())
    }
}
