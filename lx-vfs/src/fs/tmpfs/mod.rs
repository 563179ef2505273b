//! `tmpfs(5)`: files in memory.
//!
//! The names of all directories lie in one table under one lock (`tree`), so that renames need no
//! lock order among directories; the dentry cache keeps lookups away from it. Contents lie in page
//! blocks, or in a small buffer while they are short and nobody maps them (`data`).

mod blocks;
mod data;
mod file;
mod inode;
mod limits;
mod options;
mod seals;
mod tree;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Result;
use lx_core::abi::stat::{FileType, Statfs};
use lx_core::caller::Caller;
use lx_core::host::{BLOCK_SIZE, Host};
use lx_core::sync::{Mutex, level};

use crate::fs::xattr::Xattrs;
use crate::inode::{Attr, FileSystem, InodeOps, NAME_MAX, NewInode, NewKind};

pub(crate) use file::TmpFile;
pub use inode::TmpInode;
use limits::Quota;
pub use options::Options;
use tree::Tree;

/// `f_type` of `statfs(2)`.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// What an inode takes of the limit of them, in units of bytes of extended attributes.
const INODE_SPACE: u64 = 1024;
/// The mode of a root of which nothing was said, which `/proc/mounts` does not name.
const DEFAULT_MODE: u32 = 0o1777;
/// Unit of sizes that guests see.
const PAGE: u64 = 4096;

/// What all inodes of one tmpfs share.
pub(crate) struct Shared {
    host: &'static dyn Host,
    dev: u64,
    next_ino: AtomicU64,
    /// Of inodes, their attributes, and every link to one but the first.
    inode_space: Quota,
    /// Pages of files; counted if they are limited.
    pages: Option<Arc<Quota>>,
    /// Inodes that have no name any more.
    removed: AtomicU64,
    tree: Mutex<Tree, { level::DIRECTORY }>,
}

/// A tmpfs.
pub struct TmpFs {
    shared: Arc<Shared>,
    root: Arc<TmpInode>,
    /// Mode, user and group that the root began with.
    began: (u32, u32, u32),
}

impl TmpFs {
    /// An empty tmpfs whose root has `mode` and belongs to root.
    pub fn new(host: &'static dyn Host, mode: u32) -> Arc<Self> {
        Self::with_dev(host, mode, super::new_dev(), 1)
    }

    /// An empty tmpfs with the limits and the root of `options`.
    pub fn with_options(host: &'static dyn Host, options: &Options) -> Arc<Self> {
        Self::make(host, super::new_dev(), 1, options)
    }

    /// As [`new`](Self::new), for a file system that keeps its changed files in a tmpfs and shows
    /// them as its own; its inode numbers start at `first_ino`.
    pub fn with_dev(host: &'static dyn Host, mode: u32, dev: u64, first_ino: u64) -> Arc<Self> {
        Self::make(host, dev, first_ino, &Options { mode, ..Options::default() })
    }

    fn make(host: &'static dyn Host, dev: u64, first_ino: u64, options: &Options) -> Arc<Self> {
        let shared = Arc::new(Shared {
            host,
            dev,
            next_ino: AtomicU64::new(first_ino),
            inode_space: Quota::new(options.inodes.map(|count| count.saturating_mul(INODE_SPACE))),
            pages: options.pages.map(|pages| Arc::new(Quota::new(Some(pages)))),
            removed: AtomicU64::new(0),
            tree: Mutex::default(),
        });
        let new = NewInode {
            kind: NewKind::Directory,
            mode: options.mode,
            uid: options.uid.unwrap_or(0),
            gid: options.gid.unwrap_or(0),
        };
        let now = host.realtime().cast_signed();
        let root = TmpInode::new(&shared, &new, now);
        shared.tree.lock().add_dir(root.ino(), root.ino());
        Arc::new(Self { shared, root, began: (new.mode, new.uid, new.gid) })
    }

    /// An inode that is in no directory; a directory cannot be made this way.
    pub fn new_inode(&self, caller: &Caller<'_>, new: &NewInode<'_>) -> Arc<TmpInode> {
        debug_assert!(new.kind.file_type() != FileType::Directory);
        TmpInode::new(&self.shared, new, caller.now())
    }

    /// An inode with the given number and the attributes of another file system's.
    pub(crate) fn inode_like(
        &self,
        kind: NewKind<'_>,
        ino: u64,
        attr: &Attr,
        xattrs: Xattrs,
    ) -> Arc<TmpInode> {
        TmpInode::like(&self.shared, kind, ino, attr, xattrs)
    }

    /// A number for an inode that another file system makes itself.
    pub fn new_ino(&self) -> u64 {
        self.shared.new_ino()
    }
}

impl Drop for TmpFs {
    fn drop(&mut self) {
        // No mount is left. The inodes hold what holds the names: a cycle.
        let tree = core::mem::take(&mut *self.shared.tree.lock());
        drop(tree);
    }
}

impl Shared {
    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }
}

impl FileSystem for TmpFs {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root) as _
    }

    fn has_removed(&self) -> bool {
        self.shared.removed.load(Ordering::Relaxed) > 0
    }

    fn options(&self) -> String {
        let (mode, uid, gid) = self.began;
        let mut text = String::new();
        if let Some(pages) = self.shared.pages.as_ref().and_then(|pages| pages.limit()) {
            text.push_str(&format!(",size={}k", pages.saturating_mul(PAGE / 1024)));
        }
        if let Some(space) = self.shared.inode_space.limit() {
            text.push_str(&format!(",nr_inodes={}", space / INODE_SPACE));
        }
        if mode != DEFAULT_MODE {
            text.push_str(&format!(",mode={mode:03o}"));
        }
        for (name, id) in [("uid", uid), ("gid", gid)] {
            if id != 0 {
                text.push_str(&format!(",{name}={id}"));
            }
        }
        text
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        let Shared { host, inode_space, pages, .. } = &*self.shared;
        let mut statfs = memory_statfs(*host, TMPFS_MAGIC, inode_space.used() / INODE_SPACE);
        if let Some(pages) = pages {
            statfs.f_blocks = pages.limit().unwrap_or(u64::MAX);
            statfs.f_bfree = pages.free();
            statfs.f_bavail = pages.free();
        }
        if let Some(limit) = inode_space.limit() {
            statfs.f_files = limit / INODE_SPACE;
            statfs.f_ffree = inode_space.free() / INODE_SPACE;
        }
        Ok(statfs)
    }
}

/// Figures of a file system whose files lie in the shared region.
pub(crate) fn memory_statfs(host: &dyn Host, magic: i64, inodes: u64) -> Statfs {
    const MAX_INODES: u64 = 1 << 24;
    let (used, total) = host.region_usage();
    let free = total.saturating_sub(used) / PAGE;
    Statfs {
        f_type: magic,
        f_bsize: PAGE.cast_signed(),
        f_blocks: total / PAGE,
        f_bfree: free,
        f_bavail: free,
        f_files: MAX_INODES,
        f_ffree: MAX_INODES.saturating_sub(inodes),
        f_namelen: NAME_MAX as i64,
        f_frsize: PAGE.cast_signed(),
        ..Statfs::default()
    }
}

const _: () = assert!((BLOCK_SIZE as u64).is_multiple_of(PAGE));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Tester;

    #[test]
    fn files_end_with_their_file_system() {
        let t = Tester::new();
        let fs = TmpFs::new(t.host, 0o755);
        let new = NewInode { kind: NewKind::Regular, mode: 0o644, uid: 0, gid: 0 };
        let file = fs.root().create(&t.caller(), b"file", &new).unwrap();
        let seen = Arc::downgrade(&file);
        drop(file);
        assert!(seen.upgrade().is_some());
        drop(fs);
        assert!(seen.upgrade().is_none());
    }
}
