//! A directory of the host as a file system.
//!
//! An inode is a name in a host directory; directories keep a descriptor open while the cache of
//! descriptors allows it. Attributes are kept in memory. How far they may be trusted depends on
//! what the file system is for ([`Trust`]): `docs/decisions/0003-host-files.md`.

mod file;
mod inode;
mod kept;
mod ops;
mod xattr;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::stat::Statfs;
use lx_core::caller::Caller;
use lx_core::host::{Host, HostFd, HostStat, Nanos};
use lx_core::sync::{Mutex, level};

use super::drvfs::{DriveOptions, same_name};
use crate::inode::{FileSystem, InodeOps, NAME_MAX};

pub(crate) use file::HostFile;
pub use inode::HostInode;
pub(crate) use inode::guest_type;

/// `f_type` of `statfs(2)`: that of 9P, the usual way to see a host's files from inside.
const V9FS_MAGIC: i64 = 0x0102_1997;
/// Most descriptors of the host that are kept open for later use.
const MAX_CACHED_FDS: usize = 512;
/// Most memory for entries of directories that are kept for later use.
const MAX_LISTING_BYTES: usize = 32 << 20;
/// How long names and attributes are believed when the host may change them.
const MAX_AGE: Nanos = 1_000_000_000;

/// Whether the host's directory may change while it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Shared with the host: names and attributes are looked at again after a second.
    Shared,
    /// A lower layer: names stay as they are; attributes of a file are read again when it is
    /// opened.
    Stable,
}

/// Who says what the owners and modes of files are.
pub(crate) enum Rules {
    /// The host.
    Host,
    /// The host, and what is kept beside files that it would refuse us: see [`kept`].
    Kept,
    /// The options of a drive.
    Drive(DriveOptions),
}

/// What all inodes of one host directory tree share.
pub(crate) struct Shared {
    pub(crate) host: &'static dyn Host,
    dev: u64,
    /// The host's device of the root.
    root_dev: u64,
    trust: Trust,
    /// Who says what owners and modes are.
    rules: Rules,
    /// All inodes in memory, by the host's device and inode numbers.
    inodes: Mutex<HashMap<(u64, u64), Weak<HostInode>>, { level::CACHE }>,
    /// Inodes that keep a descriptor, oldest first.
    fds: Mutex<VecDeque<Weak<HostInode>>, { level::CACHE }>,
    listings: Mutex<Listings, { level::CACHE }>,
}

/// Directories that keep their entries, oldest first, with the bytes that these take.
#[derive(Default)]
struct Listings {
    queue: VecDeque<(Weak<HostInode>, usize)>,
    bytes: usize,
}

impl Rules {
    /// Those of a tree that belongs to the user: kept where the host needs it.
    fn of_tree(host: &dyn Host) -> Self {
        if host.keeps_owners() { Self::Kept } else { Self::Host }
    }

    fn stat(&self, host: &dyn Host, dir: &HostFd, name: &[u8]) -> Result<HostStat> {
        match self {
            Self::Host => Ok(host.stat(dir, name)?),
            Self::Kept => kept::stat(host, dir, name),
            Self::Drive(drive) => drive.stat(host, dir, name),
        }
    }
}

impl Shared {
    /// Attributes of a file as guests see them.
    fn stat(&self, dir: &HostFd, name: &[u8]) -> Result<HostStat> {
        self.rules.stat(self.host, dir, name)
    }

    fn drive(&self) -> Option<&DriveOptions> {
        match &self.rules {
            Rules::Drive(drive) => Some(drive),
            _ => None,
        }
    }

    /// Whether owners and modes are kept beside files.
    fn keeps(&self) -> bool {
        matches!(self.rules, Rules::Kept)
    }

    /// Whether two spellings are one name.
    fn is_same_name(&self, one: &[u8], other: &[u8]) -> bool {
        one == other || self.drive().is_some() && same_name(one, other)
    }

    /// The inode number that guests see. Files of other host file systems, mounted inside the
    /// tree, must not share the numbers of those of the root's.
    fn ino(&self, dev: u64, ino: u64) -> u64 {
        if dev == self.root_dev {
            ino
        } else {
            ino.wrapping_add(dev.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63)
        }
    }

    /// The inode of what the host found at `name` in `parent`.
    fn inode(
        self: &Arc<Self>,
        parent: &Arc<HostInode>,
        name: &[u8],
        stat: &HostStat,
    ) -> Arc<HostInode> {
        let key = (stat.dev, stat.ino);
        let known = self.inodes.lock().get(&key).and_then(Weak::upgrade);
        if let Some(inode) = known
            && inode.is_type(stat.file_type)
        {
            inode.found_at(parent, name, stat);
            return inode;
        }
        let inode = Arc::new(HostInode::new(self, Some((parent, name)), stat));
        self.inodes.lock().insert(key, Arc::downgrade(&inode));
        inode
    }

    /// Notes that `inode` keeps a descriptor; the one that has kept its longest gives it up.
    fn keeps_fd(&self, inode: &Arc<HostInode>) {
        let oldest = {
            let mut fds = self.fds.lock();
            fds.push_back(Arc::downgrade(inode));
            if fds.len() > MAX_CACHED_FDS { fds.pop_front() } else { None }
        };
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.forget_fd();
        }
    }

    /// Notes that `inode` keeps entries of so many bytes; those that have kept theirs longest give
    /// them up.
    fn keeps_listing(&self, inode: &Arc<HostInode>, bytes: usize) {
        self.listings.lock().add(Arc::downgrade(inode), bytes);
        loop {
            let oldest = self.listings.lock().pop_superfluous();
            let Some(oldest) = oldest else { return };
            if let Some(oldest) = oldest.upgrade() {
                oldest.forget_listing();
            }
        }
    }
}

impl Listings {
    fn add(&mut self, inode: Weak<HostInode>, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back((inode, bytes));
    }

    /// The oldest one, if there is more than there may be.
    fn pop_superfluous(&mut self) -> Option<Weak<HostInode>> {
        if self.bytes <= MAX_LISTING_BYTES {
            return None;
        }
        let (inode, bytes) = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(inode)
    }
}

/// A mounted host directory.
pub struct HostFs {
    shared: Arc<Shared>,
    root: Arc<HostInode>,
    root_fd: Arc<HostFd>,
    /// Host path of the root, if native programs may know it.
    path: Option<Vec<u8>>,
}

impl HostFs {
    /// The tree below `root`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(host: &'static dyn Host, root: HostFd, trust: Trust) -> Result<Arc<Self>> {
        Self::with_rules(host, root, None, trust, Rules::Host)
    }

    /// As [`new`](Self::new), for a tree whose owners and modes may be kept beside its files.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn new_kept(
        host: &'static dyn Host,
        root: HostFd,
        trust: Trust,
    ) -> Result<Arc<Self>> {
        Self::with_rules(host, root, None, trust, Rules::of_tree(host))
    }

    /// As [`new_kept`](Self::new_kept) with [`Trust::Shared`], for a directory whose host path is told to
    /// native programs.
    ///
    /// # Errors
    /// The host's.
    pub fn new_at(host: &'static dyn Host, root: HostFd, path: &[u8]) -> Result<Arc<Self>> {
        Self::with_rules(host, root, Some(path.to_vec()), Trust::Shared, Rules::of_tree(host))
    }

    /// A drive, see [`drvfs`](super::drvfs).
    pub(crate) fn new_drive(
        host: &'static dyn Host,
        root: HostFd,
        path: Vec<u8>,
        options: DriveOptions,
    ) -> Result<Arc<Self>> {
        Self::with_rules(host, root, Some(path), Trust::Shared, Rules::Drive(options))
    }

    fn with_rules(
        host: &'static dyn Host,
        root: HostFd,
        path: Option<Vec<u8>>,
        trust: Trust,
        rules: Rules,
    ) -> Result<Arc<Self>> {
        let stat = rules.stat(host, &root, b"")?;
        let shared = Arc::new(Shared {
            host,
            dev: super::new_dev(),
            root_dev: stat.dev,
            trust,
            rules,
            inodes: Mutex::default(),
            fds: Mutex::default(),
            listings: Mutex::default(),
        });
        let root_fd = Arc::new(root);
        let root = Arc::new(HostInode::new_root(&shared, &root_fd, &stat));
        shared.inodes.lock().insert((stat.dev, stat.ino), Arc::downgrade(&root));
        Ok(Arc::new(Self { shared, root, root_fd, path }))
    }

    /// The root directory.
    pub fn root_inode(&self) -> &Arc<HostInode> {
        &self.root
    }

    /// Figures of the host's file system, with `magic` as type.
    pub(crate) fn figures(&self, magic: i64) -> Result<Statfs> {
        let figures = self.shared.host.stat_fs(&self.root_fd)?;
        Ok(Statfs {
            f_type: magic,
            f_bsize: figures.block_size.cast_signed(),
            f_blocks: figures.blocks,
            f_bfree: figures.free,
            f_bavail: figures.available,
            f_files: figures.files,
            f_ffree: figures.files_free,
            f_namelen: NAME_MAX as i64,
            f_frsize: figures.block_size.cast_signed(),
            ..Statfs::default()
        })
    }
}

impl FileSystem for HostFs {
    fn name(&self) -> &'static str {
        if self.shared.drive().is_some() { "drvfs" } else { "hostfs" }
    }

    fn host_path(&self) -> Option<&[u8]> {
        self.path.as_deref()
    }

    fn options(&self) -> String {
        self.shared.drive().map(DriveOptions::show).unwrap_or_default()
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root) as _
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        self.figures(V9FS_MAGIC)
    }
}
