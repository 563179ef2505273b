//! Places in the tree: a dentry as seen through a mount.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::fcntl::OpenFlags;
use lx_core::file::OpenFile;

use crate::dentry::Dentry;
use crate::inode::InodeOps;
use crate::mount::{AccessTimes, Mount};

/// A place in the tree, stored in [`OpenFile`] as its location.
#[derive(Clone, Debug)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The dentry in the mounted file system.
    pub dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}

impl Path {
    /// The inode.
    pub fn inode(&self) -> &Arc<dyn InodeOps> {
        self.dentry.inode()
    }

    /// Where `file` was opened.
    pub fn of(file: &OpenFile) -> Option<&Self> {
        file.location()
    }

    /// The same file system's place with another dentry.
    pub fn with(&self, dentry: Arc<Dentry>) -> Self {
        Self { mount: Arc::clone(&self.mount), dentry }
    }

    /// Whether reading `file` moves its access time, which is `old` or not.
    pub(crate) fn moves_access_time(file: &OpenFile, directory: bool, old: bool) -> bool {
        if file.flags().contains(OpenFlags::O_NOATIME) {
            return false;
        }
        let when = Self::of(file).map(|path| path.mount.access_times(directory));
        match when.unwrap_or(AccessTimes::IfOld) {
            AccessTimes::Never => false,
            AccessTimes::IfOld => old,
            AccessTimes::Always => true,
        }
    }

    /// Whether this is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, self.mount.root_dentry())
    }

    /// The place above; `None` at the top of the tree.
    pub fn parent(&self) -> Option<Self> {
        self.parent_unless(|_| false)
    }

    /// The place above; `None` at `root`, and on mounts that cover it.
    pub fn parent_within(&self, root: &Self) -> Option<Self> {
        self.parent_unless(|at| at == root)
    }

    fn parent_unless(&self, is_top: impl Fn(&Self) -> bool) -> Option<Self> {
        let mut at = self.clone();
        while !is_top(&at) && at.is_mount_root() {
            at = at.mount.mountpoint()?;
        }
        if is_top(&at) {
            return None;
        }
        let parent = at.dentry.parent()?;
        Some(at.with(parent))
    }

    /// The top mount on this place, if there are any.
    pub fn cross_mounts(self) -> Self {
        let mut at = self;
        while at.dentry.is_mountpoint() {
            let Some(mount) = at.mount.child_at(&at.dentry) else { break };
            let dentry = Arc::clone(mount.root_dentry());
            at = Self { mount, dentry };
        }
        at
    }

    /// The absolute path as seen from `root`, and whether it lies below `root`. An inode without
    /// a place in the tree gives its plain name, as `pipe:[17]`.
    pub fn absolute(&self, root: &Self) -> (Vec<u8>, bool) {
        // Filled from the end.
        let mut reversed: Vec<u8> = Vec::with_capacity(128);
        let mut at = self.clone();
        let reachable = loop {
            if at == *root {
                break true;
            }
            if at.is_mount_root() {
                match at.mount.mountpoint() {
                    Some(mountpoint) => at = mountpoint,
                    None => {
                        // The top of a mount that was taken out of the tree has no name, even if
                        // it shows a folder that has one.
                        let (parent, name) = at.dentry.place();
                        if parent.is_none() && &*name != b"/" {
                            return (name.into_vec(), false);
                        }
                        break false;
                    }
                }
                continue;
            }
            let Some(parent) = at.dentry.push_reversed(&mut reversed) else { break false };
            at.dentry = parent;
        };
        if reversed.is_empty() {
            reversed.push(b'/');
        }
        reversed.reverse();
        (reversed, reachable)
    }

    /// As `/proc/self/fd/N`, `cwd` and `maps` show it: ` (deleted)` is appended to removed names.
    pub fn display(&self, root: &Self) -> Vec<u8> {
        let (mut text, _) = self.absolute(root);
        if self.dentry.is_deleted() {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }
}
