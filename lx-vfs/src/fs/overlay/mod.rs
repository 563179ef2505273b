//! A host directory tree with the changes kept in memory: the default root file system.
//!
//! The lower layer is a host directory that is only read ([`HostFs`]); what the guests change lies
//! in memory. There is no separate upper tree: each directory has a list of changes against its
//! lower directory ([`tree`]), and a changed file is a tmpfs inode with the lower file's number.
//! So moving a lower file or directory copies nothing, and a change of mode or owner copies no
//! data.

mod dir;
mod file;
mod tree;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hashbrown::HashMap;
use lx_core::abi::Errno;
use lx_core::abi::stat::{FileType, Statfs};
use lx_core::caller::Caller;
use lx_core::host::{Host, HostFd};
use lx_core::sync::{Mutex, level};
use lx_core::{Result, SysError};

use crate::fs::hostfs::{HostFs, HostInode, Trust};
use crate::fs::tmpfs::TmpFs;
use crate::inode::{FileSystem, InodeOps};

use dir::OverlayDir;
use file::OverlayFile;
use tree::Tree;

/// `f_type` of `statfs(2)`.
pub(crate) const OVERLAYFS_MAGIC: i64 = 0x794c_7630;
/// Numbers of inodes that are not in the lower layer start here.
const FIRST_INO: u64 = 1 << 48;

/// What all inodes of one overlay share.
pub(crate) struct Shared {
    dev: u64,
    lower: Arc<HostFs>,
    /// Where new and changed files live.
    memory: Arc<TmpFs>,
    /// Inodes of the lower layer that are in use, by number.
    dirs: Mutex<HashMap<u64, Weak<OverlayDir>>, { level::CACHE }>,
    files: Mutex<HashMap<u64, Weak<OverlayFile>>, { level::CACHE }>,
    /// Lower inodes with changes: they must not be forgotten when nobody uses them.
    changed: Mutex<HashMap<u64, Arc<dyn InodeOps>>, { level::CACHE }>,
    tree: Mutex<Tree, { level::DIRECTORY }>,
}

impl Shared {
    /// The overlay's inode for one of the lower layer.
    fn wrap(self: &Arc<Self>, lower: Arc<HostInode>) -> Arc<dyn InodeOps> {
        let ino = lower.ino();
        if lower.file_type() == FileType::Directory {
            let mut dirs = self.dirs.lock();
            if let Some(dir) = dirs.get(&ino).and_then(Weak::upgrade) {
                return dir;
            }
            let dir = OverlayDir::of_lower(self, lower);
            dirs.insert(ino, Arc::downgrade(&dir));
            dir
        } else {
            let mut files = self.files.lock();
            if let Some(file) = files.get(&ino).and_then(Weak::upgrade) {
                return file;
            }
            let file = OverlayFile::of_lower(self, lower);
            files.insert(ino, Arc::downgrade(&file));
            file
        }
    }

    /// Keeps a lower inode because it has changes.
    fn keep(&self, ino: u64, inode: Arc<dyn InodeOps>) {
        self.changed.lock().insert(ino, inode);
    }

    /// The last name of an inode is gone.
    fn release(&self, ino: u64) {
        let inode = self.changed.lock().remove(&ino);
        drop(inode);
    }
}

/// An attribute of a lower inode. Where the host has no attributes, the overlay still has.
fn lower_xattr(lower: &HostInode, name: &[u8]) -> Result<Vec<u8>> {
    match lower.xattr(name) {
        Err(SysError::Errno(Errno::EOPNOTSUPP)) => Err(Errno::ENODATA.into()),
        found => found,
    }
}

/// A mounted overlay.
pub struct OverlayFs {
    shared: Arc<Shared>,
    root: Arc<dyn InodeOps>,
}

impl OverlayFs {
    /// An overlay whose lower layer is the host directory `lower`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(host: &'static dyn Host, lower: HostFd) -> Result<Arc<Self>> {
        Self::over(host, HostFs::new(host, lower, Trust::Stable)?)
    }

    /// As [`new`](Self::new), over a tree whose owners and modes may be kept beside its files.
    ///
    /// # Errors
    /// The host's.
    pub fn new_kept(host: &'static dyn Host, lower: HostFd) -> Result<Arc<Self>> {
        Self::over(host, HostFs::new_kept(host, lower, Trust::Stable)?)
    }

    fn over(host: &'static dyn Host, lower: Arc<HostFs>) -> Result<Arc<Self>> {
        let dev = super::new_dev();
        let root = Arc::clone(lower.root_inode());
        let shared = Arc::new(Shared {
            dev,
            lower,
            memory: TmpFs::with_dev(host, 0o755, dev, FIRST_INO),
            dirs: Mutex::default(),
            files: Mutex::default(),
            changed: Mutex::default(),
            tree: Mutex::default(),
        });
        let root = shared.wrap(root);
        Ok(Arc::new(Self { shared, root }))
    }
}

impl FileSystem for OverlayFs {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        self.shared.lower.figures(OVERLAYFS_MAGIC)
    }
}
