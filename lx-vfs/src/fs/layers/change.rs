//! Changes of directories: the upper layer's, with whiteouts for what lower ones would show.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::RenameFlags;
use lx_core::abi::stat::makedev;
use lx_core::caller::Caller;

use super::node::{Node, OPAQUE};
use crate::dentry::Dentry;
use crate::inode::{DirListing, InodeOps, NewInode, NewKind, is_missing};
use crate::path::lookup_child;

/// What stands for a name that is removed.
const WHITEOUT: NewInode<'_> =
    NewInode { kind: NewKind::CharDevice(makedev(0, 0)), mode: 0, uid: 0, gid: 0 };

/// Removes a name from a directory of the upper layer.
fn remove(caller: &Caller<'_>, dir: &Arc<Dentry>, name: &[u8], child: &Arc<Dentry>) -> Result<()> {
    let changes = dir.changes();
    if child.is_dir() {
        dir.inode().rmdir(caller, name)?;
    } else {
        dir.inode().unlink(caller, name)?;
    }
    dir.removed(name, child, changes);
    Ok(())
}

/// Removes the whiteouts of a directory that shows nothing.
fn clear(caller: &Caller<'_>, dir: &Arc<Dentry>) -> Result<()> {
    let mut listing = DirListing::default();
    dir.inode().list(caller, &mut listing)?;
    let names: Vec<Vec<u8>> = listing.iter().map(|(_, _, name)| name.to_vec()).collect();
    for name in names {
        if let Some(child) = lookup_child(caller, dir, &name)? {
            remove(caller, dir, &name, &child)?;
        }
    }
    Ok(())
}

impl Node {
    /// The directory in the upper layer, if it is still there.
    fn prepare(&self, caller: &Caller<'_>) -> Result<&Arc<Dentry>> {
        if self.removed.load(Ordering::Acquire) {
            return Err(Errno::ENOENT.into());
        }
        self.copy_up(caller, u64::MAX)
    }

    fn check_empty(&self, caller: &Caller<'_>) -> Result<()> {
        let mut listing = DirListing::default();
        self.entries(caller, &mut listing)?;
        if listing.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY.into()) }
    }

    fn whiteout(&self, caller: &Caller<'_>, dir: &Arc<Dentry>, name: &[u8]) -> Result<()> {
        if !self.is_in_lower(caller, name)? {
            return Ok(());
        }
        let changes = dir.changes();
        let inode = dir.inode().create(caller, name, &WHITEOUT)?;
        dir.added(name, inode, changes);
        Ok(())
    }

    /// Takes a whiteout away; whether there was one.
    fn uncover(&self, caller: &Caller<'_>, dir: &Arc<Dentry>, name: &[u8]) -> Result<bool> {
        match self.in_upper(caller, name)? {
            Some(whiteout) => remove(caller, dir, name, &whiteout).map(|()| true),
            None => Ok(false),
        }
    }

    /// Fails if there is something under a name.
    fn check_free(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        match self.find(caller, name) {
            Ok(_) => Err(Errno::EEXIST.into()),
            Err(error) if is_missing(error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn enter(self: &Arc<Self>, name: &[u8], node: &Arc<Self>) {
        self.children.lock().insert(name.into(), Arc::downgrade(node));
    }

    /// A name is gone.
    fn leave(&self, name: &[u8]) {
        self.children.lock().remove(name);
    }

    pub(super) fn make(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<Self>> {
        // That would be a whiteout.
        if new.kind == WHITEOUT.kind {
            return Err(Errno::EPERM.into());
        }
        let _change = self.shared.change(caller)?;
        let dir = self.prepare(caller)?;
        self.check_free(caller, name)?;
        let covered = self.uncover(caller, dir, name)?;
        let changes = dir.changes();
        let made = dir.inode().create(caller, name, new);
        let inode = match made {
            Ok(inode) => inode,
            Err(error) => {
                self.whiteout(caller, dir, name)?;
                return Err(error);
            }
        };
        if covered && new.kind == NewKind::Directory {
            inode.set_xattr(caller, OPAQUE, b"y", 0)?;
        }
        let dentry = dir.added(name, inode, changes);
        let place = Some((Arc::clone(self), name.into()));
        let node = Self::new(&self.shared, caller, place, Some(dentry), Vec::new())?;
        self.enter(name, &node);
        Ok(node)
    }

    pub(super) fn make_link(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        name: &[u8],
        target: &Arc<Self>,
    ) -> Result<()> {
        let _change = self.shared.change(caller)?;
        let dir = self.prepare(caller)?;
        self.check_free(caller, name)?;
        let inode = Arc::clone(target.copy_up(caller, u64::MAX)?.inode());
        self.uncover(caller, dir, name)?;
        let changes = dir.changes();
        if let Err(error) = dir.inode().link(caller, name, &inode) {
            self.whiteout(caller, dir, name)?;
            return Err(error);
        }
        dir.added(name, inode, changes);
        self.enter(name, target);
        Ok(())
    }

    pub(super) fn remove(&self, caller: &Caller<'_>, name: &[u8], wants_dir: bool) -> Result<()> {
        let _change = self.shared.change(caller)?;
        let node = self.find(caller, name)?;
        match (wants_dir, node.is_dir()) {
            (true, false) => return Err(Errno::ENOTDIR.into()),
            (false, true) => return Err(Errno::EISDIR.into()),
            _ => {}
        }
        let dir = self.prepare(caller)?;
        if wants_dir {
            node.check_empty(caller)?;
        }
        self.discard(caller, dir, name, &node)?;
        self.whiteout(caller, dir, name)
    }

    /// Takes a node from its place in the upper layer.
    fn discard(
        &self,
        caller: &Caller<'_>,
        dir: &Arc<Dentry>,
        name: &[u8],
        node: &Arc<Self>,
    ) -> Result<()> {
        if let Some(upper) = self.in_upper(caller, name)? {
            if upper.is_dir() {
                clear(caller, &upper)?;
            }
            remove(caller, dir, name, &upper)?;
        }
        if node.is_dir() {
            node.removed.store(true, Ordering::Release);
        }
        self.leave(name);
        let place = node.place.lock().take();
        drop(place);
        Ok(())
    }

    pub(super) fn move_to(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        name: &[u8],
        new_dir: &Arc<Self>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let _change = self.shared.change(caller)?;
        let source = self.find(caller, name)?;
        // What it is made of cannot be found elsewhere.
        if source.is_dir() && !source.lowers.is_empty() {
            return Err(Errno::EXDEV.into());
        }
        let (from, to) = (self.prepare(caller)?, new_dir.prepare(caller)?);
        let target = match new_dir.find(caller, new_name) {
            Ok(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => {
                return Err(Errno::EEXIST.into());
            }
            Ok(target) if Arc::ptr_eq(&target, &source) => return Ok(()),
            Ok(target) => Some(target),
            Err(error) if is_missing(error) => None,
            Err(error) => return Err(error),
        };
        if let Some(target) = &target {
            match (source.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR.into()),
                (false, true) => return Err(Errno::EISDIR.into()),
                (true, true) => target.check_empty(caller)?,
                (false, false) => {}
            }
        }
        source.copy_up(caller, u64::MAX)?;
        let upper = self.in_upper(caller, name)?.ok_or(Errno::ENOENT)?;
        if source.is_dir() && new_dir.is_in_lower(caller, new_name)? {
            upper.inode().set_xattr(caller, OPAQUE, b"y", 0)?;
        }
        match &target {
            Some(target) => new_dir.discard(caller, to, new_name, target)?,
            None => drop(new_dir.uncover(caller, to, new_name)?),
        }
        from.inode().rename(caller, name, to.inode(), new_name, RenameFlags::empty())?;
        upper.moved(to, new_name, None);
        self.leave(name);
        new_dir.enter(new_name, &source);
        let old = source.place.lock().replace((Arc::clone(new_dir), new_name.into()));
        drop(old);
        self.whiteout(caller, from, name)
    }

    /// A file without a name.
    pub(super) fn make_unnamed(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        let _change = self.shared.change(caller)?;
        let dir = self.prepare(caller)?;
        let inode = dir.inode().create_unnamed(caller, new)?;
        let dentry = Dentry::new_unlinked(dir, b"#", inode);
        Ok(Self::new(&self.shared, caller, None, Some(dentry), Vec::new())?)
    }
}
