//! `mount -t overlay`: directories of the guest's tree, shown one above the other.
//!
//! The layers are what Linux's overlayfs makes of them: a removed name is a character device 0/0 in
//! the upper directory, one that hides what is below has the attribute `trusted.overlay.opaque`,
//! and files are copied to the upper directory before they are changed. Directories that come from
//! lower layers are not moved (`EXDEV`), as without `redirect_dir`.

mod attributes;
mod change;
mod copy_up;
mod file;
mod node;
mod ops;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::Statfs;
use lx_core::caller::Caller;
use lx_core::sync::WaitQueue;

use crate::fs::overlay::OVERLAYFS_MAGIC;
use crate::inode::{FileSystem, InodeOps, NewInode, NewKind};
use crate::location::Path;
use crate::path::lookup_child;

use node::Node;

/// What is mounted.
pub struct Layers {
    /// Where changes go; without it there are none.
    pub upper: Option<Path>,
    /// A directory beside it for the file system's own use.
    pub work: Option<Path>,
    /// What is shown below, the top one first.
    pub lowers: Vec<Path>,
    /// The options as they were given, each with a comma before it.
    pub options: String,
}

/// What all inodes of one mounted overlay share.
struct Shared {
    dev: u64,
    layers: Layers,
    /// Somebody changes something.
    changing: AtomicBool,
    changed: WaitQueue,
}

/// The right to change something, which one has at a time.
struct Change<'a>(&'a Shared);

impl Shared {
    fn change(&self, caller: &Caller<'_>) -> Result<Change<'_>> {
        if self.layers.upper.is_none() {
            return Err(Errno::EROFS.into());
        }
        caller.wait(&self.changed, u32::MAX, || {
            let taken =
                self.changing.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            taken.is_ok().then_some(())
        })?;
        Ok(Change(self))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.changing.store(false, Ordering::Release);
        self.0.changed.wake_all(u32::MAX);
    }
}

/// A mounted overlay of directories.
pub struct LayersFs {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

impl LayersFs {
    /// Shows the layers.
    ///
    /// # Errors
    /// `EINVAL`: a layer is no directory; no lower layer, or only one and no upper one; an upper
    /// directory without one for work, or that is on another mount or is not beside it. `ELOOP`: a
    /// lower layer is another one, or lies in one.
    pub fn new(caller: &Caller<'_>, layers: Layers) -> Result<Arc<Self>> {
        layers.check()?;
        if let Some(work) = &layers.work
            && lookup_child(caller, &work.dentry, b"work")?.is_none()
        {
            let new = NewInode { kind: NewKind::Directory, mode: 0, uid: 0, gid: 0 };
            let changes = work.dentry.changes();
            let inode = work.inode().create(caller, b"work", &new)?;
            work.dentry.added(b"work", inode, changes);
        }
        let upper = layers.upper.as_ref().map(|path| Arc::clone(&path.dentry));
        let lowers = layers.lowers.iter().map(|path| Arc::clone(&path.dentry)).collect();
        let shared = Arc::new(Shared {
            dev: super::new_dev(),
            layers,
            changing: AtomicBool::new(false),
            changed: WaitQueue::new(),
        });
        let root = Node::new(&shared, caller, None, upper, lowers)?;
        Ok(Arc::new(Self { shared, root }))
    }

    /// Whether nothing can be changed.
    pub fn is_read_only(&self) -> bool {
        self.shared.layers.upper.is_none()
    }
}

impl Layers {
    fn check(&self) -> Result<()> {
        let all: Vec<&Path> = self.upper.iter().chain(&self.work).chain(&self.lowers).collect();
        if all.iter().any(|path| !path.dentry.is_dir()) || self.lowers.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        match (&self.upper, &self.work) {
            (Some(upper), Some(work)) => {
                let nested =
                    upper.dentry.is_within(&work.dentry) || work.dentry.is_within(&upper.dentry);
                if nested || !Arc::ptr_eq(&upper.mount, &work.mount) {
                    return Err(Errno::EINVAL.into());
                }
            }
            (None, _) if self.lowers.len() > 1 => {}
            _ => return Err(Errno::EINVAL.into()),
        }
        // The upper layer may lie in a lower one.
        for lower in &self.lowers {
            let others = all.iter().filter(|other| !core::ptr::eq(**other, lower));
            for other in others {
                if lower.dentry.is_within(&other.dentry) {
                    return Err(Errno::ELOOP.into());
                }
            }
        }
        Ok(())
    }
}

impl FileSystem for LayersFs {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root) as _
    }

    fn statfs(&self, caller: &Caller<'_>) -> Result<Statfs> {
        let layers = &self.shared.layers;
        let top = layers.upper.as_ref().or(layers.lowers.first()).ok_or(Errno::EIO)?;
        Ok(Statfs { f_type: OVERLAYFS_MAGIC, ..top.mount.fs().statfs(caller)? })
    }

    fn options(&self) -> String {
        self.shared.layers.options.clone()
    }
}
