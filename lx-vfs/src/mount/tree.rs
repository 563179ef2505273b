//! The tree of mounts.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::sync::{Mutex, level};

use super::{Mount, MountFlags};
use crate::dentry::Dentry;
use crate::fs::pseudo::{NodeInfo, PseudoFs};
use crate::inode::FileSystem;
use crate::location::Path;
use crate::path_cache::{PathCache, bump_generation};

/// `f_type` of an empty root file system, `statfs(2)`.
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// One line of `/proc/mounts` or `/proc/self/mountinfo`.
pub struct MountInfo {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The mount that it is on.
    pub parent_id: u64,
    /// The path of its mountpoint as seen from the given root.
    pub path: Vec<u8>,
    /// The path of its root within its file system.
    pub root: Vec<u8>,
}

/// What a recursive bind shows again, and where: on a dentry of the copy with that number.
type Copy = (Path, Option<(usize, Arc<Dentry>)>);

/// A tree of mounts, the mount namespace.
///
/// At the bottom is an empty file system that nobody sees, as Linux's rootfs: what is mounted on
/// its root is the root of the tree, which `pivot_root(2)` can exchange.
pub struct MountTree {
    bottom: Path,
    pub(crate) paths: PathCache,
    /// All mounts, oldest first.
    all: Mutex<Vec<Weak<Mount>>, { level::MOUNT }>,
}

impl MountTree {
    /// A tree with `fs` at its root.
    pub fn new(fs: Arc<dyn FileSystem>, source: &str, flags: MountFlags) -> Arc<Self> {
        let empty =
            PseudoFs::new("rootfs", RAMFS_MAGIC, NodeInfo::new(0, 1, 0).fixed_directory([]));
        let dentry = Dentry::new_root(empty.root());
        let bottom = Path { mount: Mount::detached(empty, Arc::clone(&dentry)), dentry };
        let root = Mount::of_all(Arc::clone(&fs), Dentry::new_root(fs.root()), source, flags);
        let all = Mutex::new(alloc::vec![Arc::downgrade(&root)]);
        connect(&root, bottom.clone());
        Arc::new(Self { bottom, paths: PathCache::new(), all })
    }

    /// The root of the tree.
    pub fn root(&self) -> Path {
        self.bottom.clone().cross_mounts()
    }

    /// Mounts `fs` on `at`, covering what is there.
    ///
    /// # Errors
    /// `ENOENT` if `at` is not in the tree or was removed; `ENOTDIR` if one is a directory and the
    /// other is not.
    pub fn mount(
        &self,
        fs: Arc<dyn FileSystem>,
        at: &Path,
        source: &str,
        flags: MountFlags,
    ) -> Result<Arc<Mount>> {
        let root = Dentry::new_root(fs.root());
        self.attach(Mount::of_all(fs, root, source, flags), at)
    }

    /// Shows `from` (without the mounts below it) at `at` too, `MS_BIND`.
    ///
    /// # Errors
    /// As [`mount`](Self::mount); `ENOENT` if `from` was removed.
    pub fn bind(&self, from: &Path, at: &Path, flags: MountFlags) -> Result<Arc<Mount>> {
        self.attach(Mount::of_part(from, flags), at)
    }

    /// As [`bind`](Self::bind), with the mounts below `from`, `MS_REC`.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_tree(&self, from: &Path, at: &Path) -> Result<()> {
        // Collected first: the new mounts must not be found again.
        let mut pending: Vec<Copy> = alloc::vec![(from.clone(), None)];
        let mut copies: Vec<Copy> = Vec::new();
        while let Some((top, place)) = pending.pop() {
            let number = copies.len();
            // The last one that is pending is the next one.
            for child in top.mount.children().into_iter().rev() {
                let Some(mountpoint) = child.mountpoint() else { continue };
                if mountpoint.dentry.is_within(&top.dentry) {
                    let root = Path { dentry: Arc::clone(&child.root), mount: child };
                    pending.push((root, Some((number, mountpoint.dentry))));
                }
            }
            copies.push((top, place));
        }
        let mut made: Vec<Arc<Mount>> = Vec::new();
        for (top, place) in copies {
            let flags = top.mount.flags();
            made.push(match place {
                None => self.bind(&top, at, flags)?,
                Some((above, dentry)) => {
                    let mount = made.get(above).map(Arc::clone).ok_or(Errno::EINVAL)?;
                    self.add(Mount::of_part(&top, flags), Path { mount, dentry })
                }
            });
        }
        Ok(())
    }

    /// Puts a new mount into the tree.
    fn attach(&self, mount: Arc<Mount>, at: &Path) -> Result<Arc<Mount>> {
        let at = self.top_of(at)?;
        if mount.root.is_dir() != at.dentry.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if mount.root.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        Ok(self.add(mount, at))
    }

    /// Adds a new mount on a place that nothing covers.
    fn add(&self, mount: Arc<Mount>, at: Path) -> Arc<Mount> {
        connect(&mount, at);
        let mut all = self.all.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&mount));
        drop(all);
        mount
    }

    /// Where something that is mounted on `at` goes.
    fn top_of(&self, at: &Path) -> Result<Path> {
        if !self.contains(&at.mount) {
            return Err(Errno::ENOENT.into());
        }
        let top = at.clone().cross_mounts();
        if top.dentry.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        Ok(top)
    }

    /// Replaces the flags of a mount, `MS_REMOUNT`; `only_here` is `MS_BIND` with it.
    ///
    /// # Errors
    /// `EBUSY` if it is to be read-only and a file is open for writing; without `only_here` as
    /// [`set_fs_read_only`](Self::set_fs_read_only).
    pub fn remount(&self, mount: &Mount, flags: MountFlags, only_here: bool) -> Result<()> {
        let read_only = flags.contains(MountFlags::RDONLY);
        if !only_here {
            self.set_fs_read_only(mount, read_only)?;
        } else if read_only && mount.is_written() {
            return Err(Errno::EBUSY.into());
        }
        mount.set_flags(flags);
        Ok(())
    }

    /// Makes a mount's file system read-only, through whichever of its mounts, or no longer.
    ///
    /// # Errors
    /// `EBUSY` if it is to be read-only and a file is open for writing, or removed but still in use.
    pub fn set_fs_read_only(&self, mount: &Mount, read_only: bool) -> Result<()> {
        let superblock = &mount.superblock;
        if read_only {
            let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
            let of_fs = |other: &Mount| Arc::ptr_eq(&other.superblock, superblock);
            let written = all.iter().any(|other| of_fs(other) && other.is_written());
            if written || superblock.fs.has_removed() {
                return Err(Errno::EBUSY.into());
            }
        }
        superblock.read_only.store(read_only, Ordering::Relaxed);
        Ok(())
    }

    /// Moves a mount, given by its root, `MS_MOVE`.
    ///
    /// # Errors
    /// `EINVAL` if `from` is not the root of a mount, or the root of the tree, or only one of both
    /// is a directory; `ENOENT` if `to` is not in the tree or was removed, or what `from` shows was;
    /// `ELOOP` if `to` lies below `from`.
    pub fn move_mount(&self, from: &Path, to: &Path) -> Result<()> {
        if !from.is_mount_root() || from.dentry.is_dir() != to.dentry.is_dir() {
            return Err(Errno::EINVAL.into());
        }
        let to = self.top_of(to)?;
        if !self.contains(&from.mount) || from.mount.mountpoint().is_none() {
            return Err(Errno::EINVAL.into());
        }
        // What covers the target may be `from` itself.
        let mut above = Some(to.clone());
        while let Some(at) = above {
            if Arc::ptr_eq(&at.mount, &from.mount) {
                return Err(Errno::ELOOP.into());
            }
            above = at.mount.mountpoint();
        }
        if from.dentry.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        disconnect(&from.mount)?;
        connect(&from.mount, to);
        Ok(())
    }

    /// Exchanges the root: the mount that `new` is the root of comes to where `root` is mounted, and
    /// what was there to `put_old`, `pivot_root(2)`.
    ///
    /// # Errors
    /// As the man page: `EBUSY` if `new` or `put_old` is on the mount of `root`; `EINVAL` if `root`
    /// or `new` is not the root of a mount, `put_old` not below `new` or `new` not below `root`;
    /// `ENOENT` if `new` or `put_old` was removed.
    pub fn pivot(&self, root: &Path, new: &Path, put_old: &Path) -> Result<()> {
        let put_old = put_old.clone().cross_mounts();
        if ![root, new, &put_old].iter().all(|place| self.contains(&place.mount)) {
            return Err(Errno::EINVAL.into());
        }
        if new.dentry.is_deleted() || put_old.dentry.is_deleted() {
            return Err(Errno::ENOENT.into());
        }
        if [new, &put_old].iter().any(|place| Arc::ptr_eq(&place.mount, &root.mount)) {
            return Err(Errno::EBUSY.into());
        }
        let are_roots = root.is_mount_root() && new.is_mount_root();
        if !are_roots || !put_old.absolute(new).1 || !new.absolute(root).1 {
            return Err(Errno::EINVAL.into());
        }
        let top = root.mount.mountpoint().ok_or(Errno::EINVAL)?;
        disconnect(&root.mount)?;
        disconnect(&new.mount)?;
        connect(&root.mount, put_old);
        connect(&new.mount, top);
        Ok(())
    }

    /// Whether a mount is in the tree.
    pub fn contains(&self, mount: &Arc<Mount>) -> bool {
        let mut at = Arc::clone(mount);
        while let Some(above) = at.mountpoint() {
            at = above.mount;
        }
        Arc::ptr_eq(&at, &self.bottom.mount)
    }

    /// Takes a mount, given by its root, out of the tree. With `lazy` it may be in use, and mounts
    /// below it are taken out as well, each from its place.
    ///
    /// # Errors
    /// `EINVAL` if `at` is not the root of a mount, or the root of the tree; `EBUSY` if it is in
    /// use, by more than `at` itself.
    pub fn unmount(&self, at: &Path, lazy: bool) -> Result<()> {
        let mount = &at.mount;
        if !at.is_mount_root() || mount.mountpoint().is_none() || !self.contains(mount) {
            return Err(Errno::EINVAL.into());
        }
        // The place that it is mounted on, and the caller.
        const OWN_USERS: usize = 2;
        if !lazy && (Arc::strong_count(mount) > OWN_USERS || !mount.children().is_empty()) {
            return Err(Errno::EBUSY.into());
        }
        let mut gone = alloc::vec![Arc::clone(mount)];
        while let Some(mount) = gone.pop() {
            gone.extend(mount.children());
            disconnect(&mount)?;
        }
        Ok(())
    }

    /// All mounts that can be reached from `root`, oldest first.
    pub fn list(&self, root: &Path) -> Vec<MountInfo> {
        let all: Vec<_> = self.all.lock().iter().filter_map(Weak::upgrade).collect();
        let mut lines = Vec::new();
        for mount in all {
            let top = Path { dentry: Arc::clone(&mount.root), mount: Arc::clone(&mount) };
            let (path, reachable) = top.absolute(root);
            // Who stands in a mount that was taken out sees it, but it is in no list.
            if !reachable || !self.contains(&mount) {
                continue;
            }
            let parent_id = mount.mountpoint().map_or(mount.id, |at| at.mount.id);
            let root = path_in_fs(&mount.root);
            lines.push(MountInfo { mount, parent_id, path, root });
        }
        lines
    }
}

/// Puts a mount onto a place that nothing covers.
fn connect(mount: &Arc<Mount>, at: Path) {
    mount.links.lock().mountpoint = Some(at.clone());
    at.mount.links.lock().attach(&at.dentry, Arc::clone(mount));
    at.dentry.add_mount();
    bump_generation();
}

/// Takes a mount from its place.
fn disconnect(mount: &Mount) -> Result<()> {
    let mountpoint = mount.links.lock().mountpoint.take().ok_or(Errno::EINVAL)?;
    let own = mountpoint.mount.links.lock().children.remove(&mountpoint.dentry.id());
    mountpoint.dentry.remove_mount();
    bump_generation();
    drop(own);
    Ok(())
}

impl Drop for MountTree {
    /// A mount and the place that it is on hold each other.
    fn drop(&mut self) {
        for mount in self.all.get_mut().drain(..).filter_map(|mount| mount.upgrade()) {
            // One that is no longer in the tree has no place.
            let _ = disconnect(&mount);
        }
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
    if dentry.is_deleted() {
        path.extend_from_slice(b"//deleted");
    }
    path
}
