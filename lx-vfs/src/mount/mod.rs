//! Mounts and the tree that they form.

mod tree;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::sync::{Mutex, level};

use crate::dentry::Dentry;
use crate::inode::FileSystem;
use crate::location::Path;

pub use tree::{MountInfo, MountTree};

bitflags::bitflags! {
    /// What a mount forbids; the bits are those of `statfs(2)`'s `f_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// No writing.
        const RDONLY = 1;
        /// Set-id bits do nothing.
        const NOSUID = 2;
        /// Device nodes cannot be opened.
        const NODEV = 4;
        /// Programs cannot be executed.
        const NOEXEC = 8;
        /// Access times stay.
        const NOATIME = 1024;
        /// Access times of directories stay.
        const NODIRATIME = 2048;
        /// Access times follow modification times.
        const RELATIME = 4096;
    }
}

/// When a read moves the access time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessTimes {
    /// Not at all.
    Never,
    /// If it is not younger than the last change, `relatime`.
    IfOld,
    /// Each time, `strictatime`.
    Always,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A file system with what all of its mounts have in common.
struct Superblock {
    fs: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    /// Whether it is read-only, through whichever of its mounts.
    read_only: AtomicBool,
}

impl Superblock {
    fn new(fs: Arc<dyn FileSystem>, root: &Arc<Dentry>, read_only: bool) -> Arc<Self> {
        Arc::new(Self { fs, root: Arc::clone(root), read_only: AtomicBool::new(read_only) })
    }
}

impl Drop for Superblock {
    fn drop(&mut self) {
        // The last mount is gone, and nobody is in one that was taken out of the tree.
        self.root.forget_tree();
    }
}

/// A file system, or a part of one, at a place in the tree.
pub struct Mount {
    id: u64,
    superblock: Arc<Superblock>,
    root: Arc<Dentry>,
    source: String,
    flags: AtomicU32,
    /// Descriptions of regular files that are open for writing here.
    writers: AtomicI32,
    links: Mutex<Links, { level::MOUNT }>,
}

#[derive(Default)]
struct Links {
    mountpoint: Option<Path>,
    /// By the id of the dentry that is covered, and with a number that tells their order.
    children: HashMap<u64, (u64, Arc<Mount>)>,
    /// How many there have been.
    attached: u64,
}

impl Links {
    fn attach(&mut self, at: &Dentry, mount: Arc<Mount>) {
        self.children.insert(at.id(), (self.attached, mount));
        self.attached += 1;
    }
}

impl Mount {
    fn new(
        superblock: Arc<Superblock>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            superblock,
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            writers: AtomicI32::new(0),
            links: Mutex::default(),
        })
    }

    /// The mount of a whole file system.
    fn of_all(
        fs: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        let superblock = Superblock::new(fs, &root, flags.contains(MountFlags::RDONLY));
        Self::new(superblock, root, source, flags)
    }

    /// Another mount of what `from` shows.
    fn of_part(from: &Path, flags: MountFlags) -> Arc<Self> {
        let superblock = Arc::clone(&from.mount.superblock);
        Self::new(superblock, Arc::clone(&from.dentry), from.mount.source(), flags)
    }

    /// A mount outside the tree, for inodes without a name (pipes, sockets, memfds).
    pub fn detached(fs: Arc<dyn FileSystem>, root: Arc<Dentry>) -> Arc<Self> {
        Self::of_all(fs, root, "none", MountFlags::RELATIME)
    }

    /// Its number, as in `/proc/self/mountinfo`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system.
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.superblock.fs
    }

    /// The dentry that the mountpoint shows.
    pub fn root_dentry(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What was mounted.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it forbids.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the flags.
    pub(crate) fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    fn is_written(&self) -> bool {
        self.writers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add_writers(&self, by: i32) {
        self.writers.fetch_add(by, Ordering::Relaxed);
    }

    /// Whether writing is forbidden, here or to the file system.
    pub fn is_read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.is_fs_read_only()
    }

    /// Whether the file system is read-only.
    pub fn is_fs_read_only(&self) -> bool {
        self.superblock.read_only.load(Ordering::Relaxed)
    }

    /// Which reads move access times.
    pub(crate) fn access_times(&self, directory: bool) -> AccessTimes {
        let flags = self.flags();
        if self.is_read_only()
            || flags.contains(MountFlags::NOATIME)
            || (directory && flags.contains(MountFlags::NODIRATIME))
        {
            AccessTimes::Never
        } else if flags.contains(MountFlags::RELATIME) {
            AccessTimes::IfOld
        } else {
            AccessTimes::Always
        }
    }

    /// `EROFS` if writing is forbidden.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Errno::EROFS.into()) } else { Ok(()) }
    }

    /// Where it is mounted; `None` for what is at the bottom of the tree and for detached mounts.
    pub fn mountpoint(&self) -> Option<Path> {
        self.links.lock().mountpoint.clone()
    }

    /// The mounts on dentries of this mount, the oldest first.
    fn children(&self) -> Vec<Arc<Mount>> {
        let mut children: Vec<_> = self.links.lock().children.values().cloned().collect();
        children.sort_unstable_by_key(|(number, _)| *number);
        children.into_iter().map(|(_, mount)| mount).collect()
    }

    /// The mount on a dentry of this mount.
    pub fn child_at(&self, dentry: &Dentry) -> Option<Arc<Mount>> {
        self.links.lock().children.get(&dentry.id()).map(|(_, mount)| Arc::clone(mount))
    }
}

impl core::fmt::Debug for Mount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mount({}, {})", self.id, self.fs().name())
    }
}
