//! Mounts and the tree that they form.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::sync::{Mutex, level};

use crate::dentry::Dentry;
use crate::inode::FileSystem;
use crate::location::Path;
use crate::path_cache::{PathCache, bump_generation};

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

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A file system, or a part of one, at a place in the tree.
pub struct Mount {
    id: u64,
    fs: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    source: String,
    flags: AtomicU32,
    links: Mutex<Links, { level::MOUNT }>,
}

#[derive(Default)]
struct Links {
    mountpoint: Option<Path>,
    /// By the id of the dentry that is covered.
    children: HashMap<u64, Arc<Mount>>,
}

impl Mount {
    fn new(
        fs: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            fs,
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            links: Mutex::default(),
        })
    }

    /// A mount outside the tree, for inodes without a name (pipes, sockets, memfds).
    pub fn detached(fs: Arc<dyn FileSystem>, root: Arc<Dentry>) -> Arc<Self> {
        Self::new(fs, root, "none", MountFlags::empty())
    }

    /// Its number, as in `/proc/self/mountinfo`.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system.
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
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
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whether writing is forbidden.
    pub fn is_read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY)
    }

    /// `EROFS` if writing is forbidden.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_writable(&self) -> Result<()> {
        if self.is_read_only() { Err(Errno::EROFS.into()) } else { Ok(()) }
    }

    /// Where it is mounted; `None` for the root and for detached mounts.
    pub fn mountpoint(&self) -> Option<Path> {
        self.links.lock().mountpoint.clone()
    }

    /// The mount on a dentry of this mount.
    pub fn child_at(&self, dentry: &Dentry) -> Option<Arc<Mount>> {
        self.links.lock().children.get(&dentry.id()).cloned()
    }
}

impl core::fmt::Debug for Mount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mount({}, {})", self.id, self.fs.name())
    }
}

/// One line of `/proc/mounts` or `/proc/self/mountinfo`.
pub struct MountInfo {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The mount that it is on; itself for the root.
    pub parent_id: u64,
    /// The path of its mountpoint as seen from the given root.
    pub path: Vec<u8>,
    /// The path of its root within its file system.
    pub root: Vec<u8>,
}

/// A tree of mounts, the mount namespace.
pub struct MountTree {
    root: Path,
    pub(crate) paths: PathCache,
    /// All mounts, oldest first.
    all: Mutex<Vec<Weak<Mount>>, { level::MOUNT }>,
}

impl MountTree {
    /// A tree with `fs` at its root.
    pub fn new(fs: Arc<dyn FileSystem>, source: &str, flags: MountFlags) -> Arc<Self> {
        let dentry = Dentry::new_root(fs.root());
        let mount = Mount::new(fs, Arc::clone(&dentry), source, flags);
        let all = Mutex::new(alloc::vec![Arc::downgrade(&mount)]);
        Arc::new(Self { root: Path { mount, dentry }, paths: PathCache::new(), all })
    }

    /// The root of the tree.
    pub fn root(&self) -> Path {
        self.root.clone()
    }

    /// Mounts `fs` on `at`, covering what is there.
    ///
    /// # Errors
    /// `ENOTDIR` if one is a directory and the other is not; `ENOENT` if `at` was removed.
    pub fn mount(
        &self,
        fs: Arc<dyn FileSystem>,
        at: &Path,
        source: &str,
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        let root = Dentry::new_root(fs.root());
        self.attach(Mount::new(fs, root, source, flags), at)
    }

    /// Shows `from` (without the mounts below it) at `at` too, `MS_BIND`.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn bind(&self, from: &Path, at: &Path, flags: MountFlags) -> Result<Arc<Mount>> {
        let fs = Arc::clone(from.mount.fs());
        let source = from.mount.source();
        self.attach(Mount::new(fs, Arc::clone(&from.dentry), source, flags), at)
    }

    fn attach(&self, mount: Arc<Mount>, at: &Path) -> Result<Arc<Mount>> {
        if mount.root.is_dir() != at.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        let at = at.clone().cross_mounts();
        if at.dentry.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        mount.links.lock().mountpoint = Some(at.clone());
        at.mount.links.lock().children.insert(at.dentry.id(), Arc::clone(&mount));
        at.dentry.add_mount();
        bump_generation();
        let mut all = self.all.lock();
        all.retain(|mount| mount.strong_count() > 0);
        all.push(Arc::downgrade(&mount));
        Ok(mount)
    }

    /// Takes a mount, given by its root, out of the tree. With `lazy` mounts below it go along.
    ///
    /// # Errors
    /// `EINVAL` if `at` is not the root of a mount, or the root of the tree; `EBUSY` if there are
    /// mounts below it.
    pub fn unmount(&self, at: &Path, lazy: bool) -> Result<()> {
        if !at.is_mount_root() {
            return Err(Errno::EINVAL.into());
        }
        let mount = &at.mount;
        let Some(mountpoint) = mount.mountpoint() else { return Err(Errno::EINVAL.into()) };
        if !lazy && !mount.links.lock().children.is_empty() {
            return Err(Errno::EBUSY.into());
        }
        mountpoint.mount.links.lock().children.remove(&mountpoint.dentry.id());
        mountpoint.dentry.remove_mount();
        bump_generation();
        mount.links.lock().mountpoint = None;
        self.all.lock().retain(|other| !core::ptr::eq(other.as_ptr(), Arc::as_ptr(mount)));
        Ok(())
    }

    /// All mounts that can be reached from `root`, oldest first.
    pub fn list(&self, root: &Path) -> Vec<MountInfo> {
        let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        let mut lines = Vec::new();
        for mount in all {
            let top = Path { dentry: Arc::clone(&mount.root), mount: Arc::clone(&mount) };
            let (path, reachable) = top.absolute(root);
            if !reachable {
                continue;
            }
            let parent_id = mount.mountpoint().map_or(mount.id, |at| at.mount.id);
            let root = path_in_fs(&mount.root);
            lines.push(MountInfo { mount, parent_id, path, root });
        }
        lines
    }
}

fn path_in_fs(dentry: &Arc<Dentry>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut at = Arc::clone(dentry);
    while let (Some(parent), name) = at.place() {
        names.push(name);
        at = parent;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}
