//! An inode of the overlay: what the layers have at one place.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::sync::{Mutex, level};
use spin::Once;

use super::Shared;
use crate::dentry::Dentry;
use crate::inode::{DirListing, InodeOps};
use crate::path::lookup_child;
use crate::write_access::WriteCount;

/// The attribute of a directory that hides what lies below it.
pub(super) const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Where a node is: its directory and its name there.
type Place = Option<(Arc<Node>, Box<[u8]>)>;
/// What the upper layer has under a name, and what the lower ones have.
type Found = (Option<Arc<Dentry>>, Vec<Arc<Dentry>>);

/// An inode of the overlay.
pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) this: Weak<Self>,
    pub(super) file_type: FileType,
    pub(super) ino: u64,
    /// For who copies it up; `None` for the root and for what was removed.
    pub(super) place: Mutex<Place, { level::INODE }>,
    pub(super) upper: Once<Arc<Dentry>>,
    /// Of a directory, all that it shows; of others, at most one.
    pub(super) lowers: Vec<Arc<Dentry>>,
    /// The nodes in this directory that somebody uses.
    pub(super) children: Mutex<HashMap<Box<[u8]>, Weak<Self>>, { level::DIRECTORY }>,
    pub(super) removed: AtomicBool,
    pub(super) writers: WriteCount,
}

/// Whether a dentry of a layer says that there is no such name.
fn is_whiteout(caller: &Caller<'_>, dentry: &Dentry) -> Result<bool> {
    Ok(dentry.file_type() == FileType::CharDevice && dentry.inode().attr(caller)?.rdev == 0)
}

/// Whether a directory of a layer hides what lies below it.
fn is_opaque(caller: &Caller<'_>, dentry: &Dentry) -> bool {
    dentry.inode().get_xattr(caller, OPAQUE).is_ok_and(|value| value == b"y")
}

impl Node {
    pub(super) fn new(
        shared: &Arc<Shared>,
        caller: &Caller<'_>,
        place: Place,
        upper: Option<Arc<Dentry>>,
        lowers: Vec<Arc<Dentry>>,
    ) -> Result<Arc<Self>> {
        let first = upper.as_ref().or(lowers.first()).ok_or(Errno::ENOENT)?;
        let (file_type, ino) = (first.file_type(), first.inode().attr(caller)?.ino);
        Ok(Arc::new_cyclic(|this| Self {
            shared: Arc::clone(shared),
            this: Weak::clone(this),
            file_type,
            ino,
            place: Mutex::new(place),
            upper: upper.map_or_else(Once::new, Once::initialized),
            lowers,
            children: Mutex::default(),
            removed: AtomicBool::new(false),
            writers: WriteCount::default(),
        }))
    }

    /// What stands for the node now.
    pub(super) fn real(&self) -> Result<&Arc<dyn InodeOps>> {
        let dentry = self.upper.get().or(self.lowers.first()).ok_or(Errno::EIO)?;
        Ok(dentry.inode())
    }

    pub(super) fn shared_self(&self) -> Result<Arc<Self>> {
        self.this.upgrade().ok_or(Errno::ENOENT.into())
    }

    pub(super) fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// Whether a directory shows more than one layer.
    pub(super) fn is_merged(&self) -> bool {
        self.lowers.len().saturating_add(usize::from(self.upper.is_completed())) > 1
    }

    /// The child that is named so.
    pub(super) fn find(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Arc<Self>> {
        if !self.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if self.removed.load(Ordering::Acquire) {
            return Err(Errno::ENOENT.into());
        }
        let known = self.children.lock().get(name).and_then(Weak::upgrade);
        if let Some(known) = known {
            return Ok(known);
        }
        let (upper, lowers) = self.layers_of(caller, name)?;
        let place = Some((self.shared_self()?, name.into()));
        let node = Self::new(&self.shared, caller, place, upper, lowers)?;
        // Somebody else may have been faster.
        let mut children = self.children.lock();
        if let Some(other) = children.get(name).and_then(Weak::upgrade) {
            drop(children);
            return Ok(other);
        }
        children.insert(name.into(), Arc::downgrade(&node));
        drop(children);
        Ok(node)
    }

    /// What the layers have under a name.
    fn layers_of(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Found> {
        let upper = self.in_upper(caller, name)?;
        if let Some(upper) = &upper {
            if is_whiteout(caller, upper)? {
                return Err(Errno::ENOENT.into());
            }
            if !upper.is_dir() || is_opaque(caller, upper) {
                return Ok((Some(Arc::clone(upper)), Vec::new()));
            }
        }
        let mut lowers = Vec::new();
        for lower in &self.lowers {
            let Some(child) = lookup_child(caller, lower, name)? else { continue };
            let is_first = upper.is_none() && lowers.is_empty();
            if is_whiteout(caller, &child)? || (!child.is_dir() && !is_first) {
                break;
            }
            let ends = !child.is_dir() || is_opaque(caller, &child);
            lowers.push(child);
            if ends {
                break;
            }
        }
        Ok((upper, lowers))
    }

    /// What the upper directory has under a name, be it a whiteout.
    pub(super) fn in_upper(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Option<Arc<Dentry>>> {
        match self.upper.get() {
            Some(upper) => lookup_child(caller, upper, name),
            None => Ok(None),
        }
    }

    /// Whether a lower layer would show something under a name.
    pub(super) fn is_in_lower(&self, caller: &Caller<'_>, name: &[u8]) -> Result<bool> {
        for lower in &self.lowers {
            if let Some(child) = lookup_child(caller, lower, name)? {
                return Ok(!is_whiteout(caller, &child)?);
            }
        }
        Ok(false)
    }

    /// All entries of a directory.
    pub(super) fn entries(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        let mut seen: BTreeSet<Box<[u8]>> = BTreeSet::new();
        for layer in self.upper.get().into_iter().chain(&self.lowers) {
            let mut own = DirListing::default();
            layer.inode().list(caller, &mut own)?;
            for (ino, kind, name) in own.iter() {
                if !seen.insert(name.into()) {
                    continue;
                }
                let may_hide = kind == FileType::CharDevice.dirent_type();
                if may_hide
                    && let Some(child) = lookup_child(caller, layer, name)?
                    && is_whiteout(caller, &child)?
                {
                    continue;
                }
                listing.push(ino, kind, name);
            }
        }
        Ok(())
    }
}
