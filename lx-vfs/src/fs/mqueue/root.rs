//! The root directory: the names of all queues.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::FileOps;

use super::{Queue, ROOT_INO, Shared};
use crate::dir::DirFile;
use crate::fs::meta::Meta;
use crate::inode::{
    Attr, DirListing, InodeOps, NameCaching, NewInode, NewKind, Permissions, SetAttr,
};
use crate::location::Path;

/// What `st_size` counts for one entry (`DIRENT_SIZE`).
const ENTRY_SIZE: u64 = 20;

/// The root directory.
pub(super) struct Root {
    shared: Arc<Shared>,
    meta: Meta,
}

impl Root {
    pub(super) fn new(shared: Arc<Shared>, now: i64) -> Self {
        let new = NewInode { kind: NewKind::Directory, mode: 0o1777, uid: 0, gid: 0 };
        let meta = Meta::new(&new, now);
        meta.set_nlink(2);
        Self { shared, meta }
    }

    /// A new queue with this name, or the one that has it; and whether it is new.
    ///
    /// # Errors
    /// `EINVAL`, `ENOSPC`, `EMFILE`.
    pub(super) fn add(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
        room: Option<(i64, i64)>,
    ) -> Result<(Arc<Queue>, bool)> {
        let now = caller.now();
        let mut names = self.shared.names.lock();
        if let Some(queue) = names.get(name) {
            return Ok((Arc::clone(queue), false));
        }
        let queue = Queue::new(&self.shared, caller, new, room, now)?;
        names.insert(name.into(), Arc::clone(&queue));
        drop(names);
        self.meta.modified(now);
        self.meta.accessed(now);
        Ok((queue, true))
    }
}

impl InodeOps for Root {
    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn permissions(&self) -> Permissions {
        self.meta.permissions()
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        let entries = self.shared.names.lock().len() as u64;
        let mut attr = Attr {
            dev: self.shared.dev,
            ino: ROOT_INO,
            mode: FileType::Directory.mode_bits(),
            blksize: 4096,
            size: entries.saturating_add(2).saturating_mul(ENTRY_SIZE),
            ..Attr::default()
        };
        self.meta.fill(&mut attr);
        Ok(attr)
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        self.meta.apply(change);
        Ok(())
    }

    fn open(
        self: Arc<Self>,
        _caller: &Caller<'_>,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        Ok(DirFile::open(self))
    }

    /// `mq_open(2)` and other mounts change the names without a dentry.
    fn name_caching(&self) -> NameCaching {
        NameCaching::Never
    }

    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        let queue = self.shared.names.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        Ok(queue)
    }

    fn list(&self, _caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        for (name, queue) in self.shared.names.lock().iter() {
            listing.push(queue.ino(), FileType::Regular.dirent_type(), name);
        }
        Ok(())
    }

    fn create(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        if new.kind != NewKind::Regular {
            return Err(Errno::EPERM.into());
        }
        match self.add(caller, name, new, None)? {
            (queue, true) => Ok(queue),
            (_, false) => Err(Errno::EEXIST.into()),
        }
    }

    fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let queue = self.shared.names.lock().remove(name).ok_or(Errno::ENOENT)?;
        let now = caller.now();
        queue.unlinked(now);
        self.meta.modified(now);
        self.meta.accessed(now);
        Ok(())
    }
}
