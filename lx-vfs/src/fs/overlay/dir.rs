//! Directories of an overlay.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};
use spin::Once;

use super::file::OverlayFile;
use super::tree::{Known, Names};
use super::{Shared, lower_xattr};
use crate::dir::DirFile;
use crate::fs::hostfs::HostInode;
use crate::fs::meta::Meta;
use crate::fs::tmpfs::TmpInode;
use crate::fs::xattr::Xattrs;
use crate::inode::{
    Attr, DirListing, InodeOps, NewInode, NewKind, Permissions, SetAttr, downcast, is_missing,
};
use crate::inode_flags::InodeFlags;
use crate::location::Path;

/// A directory: the entries of a lower one with changes, or all new.
pub(super) struct OverlayDir {
    shared: Arc<Shared>,
    this: Weak<Self>,
    lower: Option<Arc<HostInode>>,
    ino: u64,
    /// Attributes, once they differ from the lower directory's.
    meta: Once<Meta>,
    /// Extended attributes, once they differ from the lower directory's.
    xattrs: Once<Xattrs>,
    removed: AtomicBool,
}

impl OverlayDir {
    pub(super) fn of_lower(shared: &Arc<Shared>, lower: Arc<HostInode>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            this: Weak::clone(this),
            ino: lower.ino(),
            lower: Some(lower),
            meta: Once::new(),
            xattrs: Once::new(),
            removed: AtomicBool::new(false),
        })
    }

    fn new(shared: &Arc<Shared>, new: &NewInode<'_>, now: i64) -> Arc<Self> {
        let meta = Meta::new(new, now);
        meta.set_nlink(2);
        Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            this: Weak::clone(this),
            lower: None,
            ino: shared.memory.new_ino(),
            meta: Once::initialized(meta),
            xattrs: Once::initialized(Xattrs::default()),
            removed: AtomicBool::new(false),
        })
    }

    fn shared_self(&self) -> Result<Arc<Self>> {
        self.this.upgrade().ok_or(Errno::ENOENT.into())
    }

    /// The attributes in memory; copied from the lower directory the first time.
    fn meta(&self) -> Result<&Meta> {
        if let Some(meta) = self.meta.get() {
            return Ok(meta);
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let attr = lower.attributes()?;
        self.shared.keep(self.ino, self.shared_self()?);
        Ok(self.meta.call_once(|| Meta::copy_of(&attr)))
    }

    /// The extended attributes in memory; copied from the lower directory the first time.
    fn xattrs(&self) -> Result<&Xattrs> {
        if let Some(xattrs) = self.xattrs.get() {
            return Ok(xattrs);
        }
        let copy = self.lower.as_ref().ok_or(Errno::EIO)?.copy_xattrs()?;
        // The changed directory must not be forgotten.
        self.meta()?;
        Ok(self.xattrs.call_once(|| copy))
    }

    /// Makes the directory ready to be changed.
    fn prepare(&self) -> Result<&Meta> {
        if self.removed.load(Ordering::Acquire) {
            return Err(Errno::ENOENT.into());
        }
        let meta = self.meta()?;
        if !self.shared.tree.lock().has(self.ino) {
            let lower = self.lower_names();
            self.shared.tree.lock().add_dir(self.ino, lower);
        }
        Ok(meta)
    }

    fn lower_names(&self) -> Option<Names> {
        let Some(lower) = &self.lower else { return Some(Names::new()) };
        let listing = lower.entries().ok()?;
        Some(listing.iter().map(|(_, _, name)| name.into()).collect())
    }

    fn lower_child(&self, name: &[u8]) -> Result<Arc<HostInode>> {
        self.lower.as_ref().ok_or(Errno::ENOENT)?.child(name)
    }

    /// Whether the lower directory has the name, hidden or not.
    fn is_in_lower(&self, name: &[u8]) -> Result<bool> {
        if self.lower.is_none() {
            return Ok(false);
        }
        if let Some(known) = self.shared.tree.lock().is_in_lower(self.ino, name) {
            return Ok(known);
        }
        match self.lower_child(name) {
            Ok(_) => Ok(true),
            Err(error) if is_missing(error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        if self.removed.load(Ordering::Acquire) {
            return Err(Errno::ENOENT.into());
        }
        let known = self.shared.tree.lock().get(self.ino, name);
        match known {
            Known::Missing => Err(Errno::ENOENT.into()),
            Known::Node(node) => Ok(node),
            Known::Lower => Ok(self.shared.wrap(self.lower_child(name)?)),
        }
    }

    fn add(&self, name: &[u8], node: Arc<dyn InodeOps>, now: i64) -> Result<()> {
        let meta = self.prepare()?;
        let in_lower = self.is_in_lower(name)?;
        self.shared.tree.lock().insert(self.ino, name, node, in_lower)?;
        meta.modified(now);
        Ok(())
    }

    fn same_fs(&self, dir: &Arc<dyn InodeOps>) -> Result<Arc<Self>> {
        match downcast::<Self>(dir) {
            Some(dir) if Arc::ptr_eq(&dir.shared, &self.shared) => Ok(dir),
            _ => Err(Errno::EXDEV.into()),
        }
    }

    /// The directory has lost its last name.
    fn end(&self, now: i64) {
        self.removed.store(true, Ordering::Release);
        if let Some(meta) = self.meta.get() {
            meta.set_nlink(0);
            meta.changed(now);
        }
        self.shared.release(self.ino);
    }
}

/// An inode of the overlay gets a name more or loses one.
fn add_links(node: &Arc<dyn InodeOps>, by: i32, now: i64) -> Result<()> {
    if let Some(file) = downcast::<TmpInode>(node) {
        file.add_links(by, now);
        Ok(())
    } else if let Some(file) = downcast::<OverlayFile>(node) {
        file.add_links(by, now)
    } else {
        Err(Errno::EXDEV.into())
    }
}

/// An inode of the overlay has another name now.
fn renamed(node: &Arc<dyn InodeOps>, now: i64) -> Result<()> {
    match downcast::<OverlayDir>(node) {
        Some(dir) => dir.meta().map(|meta| meta.changed(now)),
        None => add_links(node, 0, now),
    }
}

fn is_dir(node: &Arc<dyn InodeOps>) -> bool {
    node.file_type() == FileType::Directory
}

impl Drop for OverlayDir {
    fn drop(&mut self) {
        let mut dirs = self.shared.dirs.lock();
        if dirs.get(&self.ino).is_some_and(|dir| dir.strong_count() == 0) {
            dirs.remove(&self.ino);
        }
    }
}

impl InodeOps for OverlayDir {
    fn file_type(&self) -> FileType {
        FileType::Directory
    }

    fn permissions(&self) -> Permissions {
        match (self.meta.get(), &self.lower) {
            (Some(meta), _) => meta.permissions(),
            (None, Some(lower)) => lower.permissions(),
            (None, None) => Permissions { mode: 0, uid: 0, gid: 0, flags: InodeFlags::empty() },
        }
    }

    fn attr(&self, _caller: &Caller<'_>) -> Result<Attr> {
        let mut attr = match &self.lower {
            Some(lower) => lower.attributes()?,
            None => Attr {
                mode: FileType::Directory.mode_bits(),
                size: 4096,
                blocks: 8,
                blksize: 4096,
                ..Attr::default()
            },
        };
        attr.dev = self.shared.dev;
        attr.ino = self.ino;
        if let Some(meta) = self.meta.get() {
            meta.fill(&mut attr);
        }
        Ok(attr)
    }

    fn set_attr(&self, _caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        if change.size.is_some() {
            return Err(Errno::EISDIR.into());
        }
        self.meta()?.apply(change);
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

    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        self.child(name)
    }

    fn was_read(&self, caller: &Caller<'_>, file: &OpenFile) {
        if let Some(meta) = self.meta.get()
            && Path::moves_access_time(file, true, meta.needs_atime())
        {
            meta.accessed(caller.now());
        }
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let changes = self.shared.tree.lock().changes(self.ino);
        let (nodes, hidden) = changes.unwrap_or_default();
        if let Some(lower) = &self.lower {
            let below = lower.entries()?;
            if hidden.is_empty() {
                listing.append(&below);
            } else {
                for (ino, file_type, name) in below.iter() {
                    if !hidden.contains(name) {
                        listing.push(ino, file_type, name);
                    }
                }
            }
        }
        for (name, node) in nodes {
            listing.push(node.attr(caller)?.ino, node.file_type().dirent_type(), &name);
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
        if new.kind != NewKind::Directory {
            let file = self.shared.memory.new_inode(caller, new);
            self.add(name, Arc::clone(&file) as _, now)?;
            return Ok(file);
        }
        let dir = Self::new(&self.shared, new, now);
        self.shared.tree.lock().add_dir(dir.ino, Some(Names::new()));
        let added = self.add(name, Arc::clone(&dir) as _, now);
        if let Err(error) = added {
            self.shared.tree.lock().end_dir(dir.ino)?;
            return Err(error);
        }
        self.meta()?.add_links(1);
        Ok(dir)
    }

    fn create_unnamed(&self, caller: &Caller<'_>, new: &NewInode<'_>) -> Result<Arc<dyn InodeOps>> {
        let file = self.shared.memory.new_inode(caller, new);
        file.add_links(-1, caller.now());
        Ok(file)
    }

    fn link(&self, caller: &Caller<'_>, name: &[u8], target: &Arc<dyn InodeOps>) -> Result<()> {
        let now = caller.now();
        add_links(target, 1, now)?;
        let added = self.add(name, Arc::clone(target), now);
        if added.is_err() {
            add_links(target, -1, now)?;
        }
        added
    }

    fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let meta = self.prepare()?;
        let node = self.child(name)?;
        if is_dir(&node) {
            return Err(Errno::EISDIR.into());
        }
        let in_lower = self.is_in_lower(name)?;
        self.shared.tree.lock().remove(self.ino, name, in_lower)?;
        let now = caller.now();
        meta.modified(now);
        add_links(&node, -1, now)
    }

    fn rmdir(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        let meta = self.prepare()?;
        let node = self.child(name)?;
        let dir = downcast::<Self>(&node).ok_or(Errno::ENOTDIR)?;
        dir.prepare()?;
        let in_lower = self.is_in_lower(name)?;
        {
            let mut tree = self.shared.tree.lock();
            tree.end_dir(dir.ino)?;
            tree.remove(self.ino, name, in_lower)?;
        }
        let now = caller.now();
        dir.end(now);
        meta.modified(now);
        meta.add_links(-1);
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
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let new_dir = self.same_fs(new_dir)?;
        let (meta, new_meta) = (self.prepare()?, new_dir.prepare()?);
        let source = self.child(name)?;
        let target = match new_dir.child(new_name) {
            Ok(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => {
                return Err(Errno::EEXIST.into());
            }
            Ok(target) => Some(target),
            Err(error) if is_missing(error) && !exchange => None,
            Err(error) => return Err(error),
        };
        let replaced_dir = match &target {
            Some(target) if !exchange => {
                match (is_dir(&source), is_dir(target)) {
                    (true, false) => return Err(Errno::ENOTDIR.into()),
                    (false, true) => return Err(Errno::EISDIR.into()),
                    _ => {}
                }
                downcast::<Self>(target)
            }
            _ => None,
        };
        if let Some(replaced) = &replaced_dir {
            replaced.prepare()?;
        }
        let in_lower = self.is_in_lower(name)?;
        // From here on the lower inode is known by its new name only.
        if let Some(file) = downcast::<OverlayFile>(&source) {
            file.keep()?;
        } else if let Some(dir) = downcast::<Self>(&source) {
            dir.meta()?;
        }
        {
            let mut tree = self.shared.tree.lock();
            if let Some(replaced) = &replaced_dir {
                tree.end_dir(replaced.ino)?;
            }
            match &target {
                Some(target) if exchange => tree.put(self.ino, name, Arc::clone(target))?,
                _ => tree.remove(self.ino, name, in_lower)?,
            }
            tree.put(new_dir.ino, new_name, Arc::clone(&source))?;
        }
        let now = caller.now();
        meta.modified(now);
        new_meta.modified(now);
        renamed(&source, now)?;
        meta.add_links(-i32::from(is_dir(&source)));
        new_meta.add_links(i32::from(is_dir(&source)));
        match (&target, &replaced_dir) {
            (Some(target), _) if exchange => {
                renamed(target, now)?;
                new_meta.add_links(-i32::from(is_dir(target)));
                meta.add_links(i32::from(is_dir(target)));
            }
            (_, Some(replaced)) => {
                replaced.end(now);
                new_meta.add_links(-1);
            }
            (Some(target), None) => add_links(target, -1, now)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn flags(&self) -> Result<InodeFlags> {
        Ok(self.permissions().flags)
    }

    fn set_flags(&self, caller: &Caller<'_>, flags: InodeFlags) -> Result<()> {
        self.meta()?.set_flags(flags, caller.now());
        Ok(())
    }

    fn get_xattr(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        match (self.xattrs.get(), &self.lower) {
            (Some(xattrs), _) => xattrs.get(name),
            (None, Some(lower)) => lower_xattr(lower, name),
            (None, None) => Err(Errno::ENODATA.into()),
        }
    }

    fn set_xattr(&self, caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.xattrs()?.set(name, value, flags)?;
        self.meta()?.changed(caller.now());
        Ok(())
    }

    fn list_xattr(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        match (self.xattrs.get(), &self.lower) {
            (Some(xattrs), _) => Ok(xattrs.list()),
            (None, Some(lower)) => lower.xattrs(),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn remove_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        // What is not there is no reason to copy anything.
        self.get_xattr(caller, name)?;
        self.xattrs()?.remove(name)?;
        self.meta()?.changed(caller.now());
        Ok(())
    }
}
