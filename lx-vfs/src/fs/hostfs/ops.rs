//! What guests do with files of the host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::{HostFd, HostFileType, HostOpen, HostSetAttr, HostStat};

use super::file::HostFile;
use super::{HostInode, MAX_AGE, Rules, Trust, kept};
use crate::dir::{DirFile, open_device};
use crate::inode::{
    Attr, DirListing, InodeOps, NameCaching, NewInode, NewKind, Permissions, SetAttr, downcast,
};
use crate::inode_flags::InodeFlags;
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
            flags: InodeFlags::empty(),
        }
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        self.attributes()
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        let (dir, name) = self.place()?;
        let change = HostSetAttr {
            mode: change.mode,
            uid: change.uid,
            gid: change.gid,
            size: change.size,
            atime: change.atime,
            mtime: change.mtime,
        };
        let host = self.shared.host;
        match &self.shared.rules {
            Rules::Drive(drive) => {
                let shown = self.shared.stat(&dir, &name)?;
                drive.set_attr(host, (&dir, &name), &change, &shown)?;
            }
            Rules::Kept => kept::set_attr(host, (&dir, &name), &change)?,
            Rules::Host => host.set_attr(&dir, &name, &change)?,
        }
        self.refresh().map(drop)
    }

    fn fifo_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        let old = |attr: &Attr| attr.atime <= attr.mtime || attr.atime <= attr.ctime;
        if self.attributes().is_ok_and(|attr| Path::moves_access_time(file, false, old(&attr))) {
            let now = caller.now();
            // One that has been removed has no times that anybody sees.
            let _ = self.set_attr(caller, &SetAttr { atime: Some(now), now, ..SetAttr::default() });
        }
    }

    fn fifo_written(&self, caller: &Caller<'_>, file: &OpenFile) {
        if Path::of(file).is_some_and(|path| !path.mount.is_read_only()) {
            let now = caller.now();
            let _ = self.set_attr(caller, &SetAttr { mtime: Some(now), now, ..SetAttr::default() });
        }
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
            _ if self.shared.drive().is_some() => NameCaching::Never,
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
        let usable = |file_type| match self.shared.keeps() {
            true => kept::usable_mode(file_type, new.mode),
            false => new.mode,
        };
        match new.kind {
            NewKind::Regular => {
                let create = Some(usable(HostFileType::Regular));
                let how = HostOpen { read: true, write: true, create, ..HostOpen::default() };
                created = Some(Arc::new(host.open(&dir, name, how)?));
            }
            NewKind::Directory => host.make_dir(&dir, name, usable(HostFileType::Directory))?,
            NewKind::Symlink(target) => host.make_symlink(&dir, name, target)?,
            _ if self.shared.keeps() => {
                let stat = kept::make_node(host, (&dir, name), new)?;
                self.changed();
                return Ok(self.shared.inode(&this, name, &stat));
            }
            kind => {
                let mode = kind.file_type().mode_bits() | new.mode;
                host.make_node(&dir, name, mode, kind.rdev())?;
            }
        }
        self.changed();
        let stat = self.give(&dir, name, new).inspect_err(|_| {
            let _ = host.remove(&dir, name, new.kind == NewKind::Directory);
        })?;
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
        let link = target.link_owner(&from, &from_name)?;
        self.shared.host.make_link(&from, &from_name, &dir, name)?;
        self.changed();
        if let Some(link) = link {
            kept::link_came(self.shared.host, (&dir, name), &link);
        }
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
        let link = source.as_ref().map_or(Ok(None), |link| link.link_owner(&from, name))?;
        let other = target.as_ref().map_or(Ok(None), |link| link.link_owner(&to, new_name))?;
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let host = self.shared.host;
        host.rename(&from, name, &to, new_name, flags.bits())?;
        self.changed();
        new_dir.changed();
        // Whose link was at a name, and whose is.
        let places = [
            ((&*from, name), &link, other.as_ref().filter(|_| exchange)),
            ((&*to, new_name), &other, link.as_ref()),
        ];
        for (place, before, now) in places {
            match now {
                Some(now) => kept::link_came(host, place, now),
                None if before.is_some() => kept::link_left(host, place),
                None => {}
            }
        }
        // The inodes learn their new places first: one that has none is forgotten.
        new_dir.child(new_name)?;
        if exchange {
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

    fn get_xattr(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        self.xattr(name)
    }

    fn set_xattr(&self, _caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.put_xattr(name, value, flags)
    }

    fn list_xattr(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        self.xattrs()
    }

    fn remove_xattr(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.drop_xattr(name)
    }

    fn read_link(&self, _caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL.into());
        }
        self.link_target()
    }
}

impl HostInode {
    fn is_kept_link(&self) -> bool {
        self.shared.keeps() && self.file_type == FileType::Symlink
    }

    /// Of a symbolic link whose owner may be kept in its folder: its attributes.
    fn link_owner(&self, dir: &HostFd, name: &[u8]) -> Result<Option<HostStat>> {
        if self.is_kept_link() { self.shared.stat(dir, name).map(Some) } else { Ok(None) }
    }

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
            if child.is_kept_link() {
                kept::link_left(self.shared.host, (&dir, name));
            }
            child.left(&this, name);
        }
        Ok(())
    }
}
