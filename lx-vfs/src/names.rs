//! Making, removing and moving names: `mkdir(2)`, `link(2)`, `unlink(2)`, `rename(2)` and their
//! kin.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::RenameFlags;
use lx_core::abi::stat::{FileType, S_ISGID, S_ISUID, S_IXGRP, makedev};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;

use crate::dentry::Dentry;
use crate::fs_context::FsContext;
use crate::inode::NewKind;
use crate::inode_flags::{check_not_append, check_not_fixed};
use crate::location::Path;
use crate::notify;
use crate::open::check_can_add;
use crate::path::{Last, Parent, lookup_child};
use crate::permission::{Access, check, check_sticky, is_owner};

impl FsContext {
    /// Makes a directory, node or symbolic link; where it is.
    ///
    /// # Errors
    /// As `mkdir(2)`, `mknod(2)`, `symlink(2)`.
    pub fn create(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        path: &[u8],
        kind: NewKind<'_>,
        mode: u32,
    ) -> Result<Path> {
        let parent = self.lookup_parent(caller, start, path)?;
        let name = parent.new_name()?;
        let dir = &parent.dir;
        let changes = dir.dentry.changes();
        if parent.existing(caller)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        // A slash after the name says that it is a directory.
        if parent.trailing_slash && kind != NewKind::Directory {
            return Err(Errno::ENOENT.into());
        }
        check_can_add(caller, dir)?;
        let new = self.new_inode(caller, dir, kind, mode);
        let is_whiteout = kind == NewKind::CharDevice(makedev(0, 0));
        if matches!(kind, NewKind::CharDevice(_) | NewKind::BlockDevice(_))
            && !is_whiteout
            && !caller.cred().has(Capabilities::MKNOD)
        {
            return Err(Errno::EPERM.into());
        }
        let inode = dir.dentry.inode().create(caller, name, &new)?;
        let dentry = dir.dentry.added(name, inode, changes);
        notify::created(dir, name, &dentry);
        Ok(dir.with(dentry))
    }

    /// Makes a hard link to `target`.
    ///
    /// # Errors
    /// As `link(2)`.
    pub fn link(
        &self,
        caller: &Caller<'_>,
        target: &Path,
        start: Option<&Path>,
        path: &[u8],
    ) -> Result<()> {
        let parent = self.lookup_parent(caller, start, path)?;
        let name = parent.new_name()?;
        let dir = &parent.dir;
        let changes = dir.dentry.changes();
        if parent.existing(caller)?.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if parent.trailing_slash {
            return Err(Errno::ENOENT.into());
        }
        dir.mount.check_writable()?;
        if !Arc::ptr_eq(&dir.mount, &target.mount) {
            return Err(Errno::EXDEV.into());
        }
        check_linkable(caller, target)?;
        check_can_add(caller, dir)?;
        check_not_fixed(&target.inode().permissions())?;
        if target.dentry.is_dir() {
            return Err(Errno::EPERM.into());
        }
        let inode = target.inode();
        dir.dentry.inode().link(caller, name, inode)?;
        dir.dentry.added(name, Arc::clone(inode), changes);
        notify::linked(dir, name, &target.dentry);
        Ok(())
    }

    /// Removes a name that is no directory.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn unlink(&self, caller: &Caller<'_>, start: Option<&Path>, path: &[u8]) -> Result<()> {
        let parent = self.lookup_parent(caller, start, path)?;
        let Last::Name(name) = &parent.last else { return Err(Errno::EISDIR.into()) };
        parent.dir.mount.check_writable()?;
        let changes = parent.dir.dentry.changes();
        let child = parent.existing(caller)?.ok_or(Errno::ENOENT)?;
        if parent.trailing_slash {
            let is_dir = child.is_dir();
            return Err(if is_dir { Errno::EISDIR } else { Errno::ENOTDIR }.into());
        }
        check_can_remove(caller, &parent.dir, &child)?;
        if child.is_dir() {
            return Err(Errno::EISDIR.into());
        }
        check_not_covered(&child)?;
        parent.dir.inode().unlink(caller, name)?;
        parent.dir.dentry.removed(name, &child, changes);
        notify::removed(caller, &parent.dir, name, &child);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As `rmdir(2)`.
    pub fn rmdir(&self, caller: &Caller<'_>, start: Option<&Path>, path: &[u8]) -> Result<()> {
        let parent = self.lookup_parent(caller, start, path)?;
        let name = match &parent.last {
            Last::Name(name) => name,
            Last::Directory { dot: true, .. } => return Err(Errno::EINVAL.into()),
            Last::Directory { dot_dot: true, .. } => return Err(Errno::ENOTEMPTY.into()),
            Last::Directory { .. } => return Err(Errno::EBUSY.into()),
        };
        parent.dir.mount.check_writable()?;
        let changes = parent.dir.dentry.changes();
        let child = parent.existing(caller)?.ok_or(Errno::ENOENT)?;
        check_can_remove(caller, &parent.dir, &child)?;
        if !child.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        check_not_covered(&child)?;
        parent.dir.inode().rmdir(caller, name)?;
        parent.dir.dentry.removed(name, &child, changes);
        notify::removed(caller, &parent.dir, name, &child);
        Ok(())
    }

    /// Moves a name.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn rename(
        &self,
        caller: &Caller<'_>,
        from: (Option<&Path>, &[u8]),
        to: (Option<&Path>, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        // Whiteouts are made by the overlay itself, where they are needed.
        if exchange && no_replace || flags.contains(RenameFlags::RENAME_WHITEOUT) {
            return Err(Errno::EINVAL.into());
        }
        let old = self.lookup_parent(caller, from.0, from.1)?;
        let new = self.lookup_parent(caller, to.0, to.1)?;
        if !Arc::ptr_eq(&old.mount, &new.mount) {
            return Err(Errno::EXDEV.into());
        }
        let Last::Name(old_name) = &old.last else { return Err(Errno::EBUSY.into()) };
        let Last::Name(new_name) = &new.last else {
            return Err(if no_replace { Errno::EEXIST } else { Errno::EBUSY }.into());
        };
        old.dir.mount.check_writable()?;
        let source = old.existing(caller)?.ok_or(Errno::ENOENT)?;
        let target = new.existing(caller)?;
        if no_replace && target.is_some() {
            return Err(Errno::EEXIST.into());
        }
        if exchange {
            let target = target.as_ref().ok_or(Errno::ENOENT)?;
            check_slash(&new, target)?;
        } else if !source.is_dir() && new.trailing_slash {
            return Err(Errno::ENOTDIR.into());
        }
        check_slash(&old, &source)?;
        // Neither may lie below the other.
        if source.is_dir() && new.dir.dentry.is_within(&source) {
            return Err(Errno::EINVAL.into());
        }
        if let Some(target) = &target
            && target.is_dir()
            && old.dir.dentry.is_within(target)
        {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY }.into());
        }
        let mut target = target;
        if let Some(found) = &target
            && same_inode(caller, &source, found)?
        {
            let same_dir = Arc::ptr_eq(old.dir.inode(), new.dir.inode());
            if !same_dir
                || !old.dir.inode().is_same_name(old_name, new_name)
                || old_name == new_name
            {
                // Two links to one inode: nothing happens, whoever asks.
                return Ok(());
            }
            // Another spelling of the same name.
            target = None;
        }
        check_can_remove(caller, &old.dir, &source)?;
        match &target {
            Some(target) => {
                check_can_remove(caller, &new.dir, target)?;
                if !exchange && source.is_dir() != target.is_dir() {
                    let errno = if source.is_dir() { Errno::ENOTDIR } else { Errno::EISDIR };
                    return Err(errno.into());
                }
            }
            None => check_can_add(caller, &new.dir)?,
        }
        if !Arc::ptr_eq(&old.dir.dentry, &new.dir.dentry) {
            check_new_parent(caller, &source)?;
            if exchange && let Some(target) = &target {
                check_new_parent(caller, target)?;
            }
        }
        check_not_covered(&source)?;
        if let Some(target) = &target {
            check_not_covered(target)?;
        }
        let new_dir = Arc::clone(new.dir.inode());
        old.dir.inode().rename(caller, old_name, &new_dir, new_name, flags)?;
        let (from, to) = ((&old.dir, &**old_name), (&new.dir, &**new_name));
        match &target {
            Some(target) if exchange => {
                source.exchanged(target);
                notify::moved(caller, from, to, &source, None);
                notify::moved(caller, to, from, target, None);
            }
            target => {
                source.moved(&new.dir.dentry, new_name, target.as_ref());
                notify::moved(caller, from, to, &source, target.as_deref());
            }
        }
        Ok(())
    }
}

fn same_inode(caller: &Caller<'_>, one: &Arc<Dentry>, other: &Arc<Dentry>) -> Result<bool> {
    if Arc::ptr_eq(one.inode(), other.inode()) {
        return Ok(true);
    }
    if one.is_dir() {
        return Ok(false);
    }
    let (one, other) = (one.inode().attr(caller)?, other.inode().attr(caller)?);
    Ok((one.dev, one.ino) == (other.dev, other.ino))
}

/// A slash after a name that is no directory.
fn check_slash(parent: &Parent, dentry: &Dentry) -> Result<()> {
    if parent.trailing_slash && !dentry.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    Ok(())
}

/// A directory that moves to another one has its `..` rewritten, which takes write permission.
fn check_new_parent(caller: &Caller<'_>, moved: &Dentry) -> Result<()> {
    if moved.is_dir() {
        let permissions = moved.inode().permissions();
        check(caller.cred(), &permissions, FileType::Directory, Access::WRITE)?;
    }
    Ok(())
}

fn check_can_remove(caller: &Caller<'_>, dir: &Path, child: &Dentry) -> Result<()> {
    check_can_add(caller, dir)?;
    let (parent, file) = (dir.inode().permissions(), child.inode().permissions());
    check_not_append(&parent)?;
    check_sticky(caller.cred(), &parent, &file)?;
    check_not_fixed(&file)
}

/// What something is mounted on stays.
fn check_not_covered(dentry: &Dentry) -> Result<()> {
    if dentry.is_mountpoint() { Err(Errno::EBUSY.into()) } else { Ok(()) }
}

/// `fs.protected_hardlinks`: one may link to what one owns or could read and write anyway.
fn check_linkable(caller: &Caller<'_>, target: &Path) -> Result<()> {
    let file = target.inode().permissions();
    let cred = caller.cred();
    if is_owner(cred, &file) {
        return Ok(());
    }
    let file_type = target.dentry.file_type();
    let set_gid = file.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP;
    if file_type != FileType::Regular
        || file.mode & S_ISUID != 0
        || set_gid
        || check(cred, &file, file_type, Access::READ | Access::WRITE).is_err()
    {
        return Err(Errno::EPERM.into());
    }
    Ok(())
}

/// The dentry of `name` in `dir`, for callers that already hold the directory.
///
/// # Errors
/// `ENOENT`, and the file system's.
pub fn entry(caller: &Caller<'_>, dir: &Path, name: &[u8]) -> Result<Path> {
    let dentry = lookup_child(caller, &dir.dentry, name)?.ok_or(Errno::ENOENT)?;
    Ok(dir.with(dentry).cross_mounts())
}
