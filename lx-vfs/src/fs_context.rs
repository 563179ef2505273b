//! Working directory, root and umask of a task.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::caller::Caller;
use lx_core::sync::{Mutex, level};

use crate::location::Path;
use crate::mount::MountTree;
use crate::path_cache::{Hit, Key};

/// Root and working directory at one moment.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where absolute paths start.
    pub root: Path,
    /// Where relative paths start.
    pub cwd: Path,
}

impl Places {
    /// What identifies a resolution.
    pub(crate) fn key<'a>(
        &'a self,
        start: Option<&'a Path>,
        text: &'a [u8],
        follow: bool,
    ) -> Key<'a> {
        let absolute = text.first() == Some(&b'/');
        let start = if absolute { &self.root } else { start.unwrap_or(&self.cwd) };
        Key { start, root: &self.root, follow, text }
    }
}

/// What `clone(CLONE_FS)` shares: root, working directory, umask; and the mount tree.
pub struct FsContext {
    mounts: Arc<MountTree>,
    places: Mutex<Arc<Places>, { level::FS_CONTEXT }>,
    umask: AtomicU32,
}

impl FsContext {
    /// The context of the first task: at the root of `mounts`, umask 022.
    pub fn new(mounts: Arc<MountTree>) -> Self {
        let root = mounts.root();
        let places = Arc::new(Places { cwd: root.clone(), root });
        Self { mounts, places: Mutex::new(places), umask: AtomicU32::new(0o022) }
    }

    /// A copy for a child that does not share it.
    pub fn duplicate(&self) -> Self {
        Self {
            mounts: Arc::clone(&self.mounts),
            places: Mutex::new(self.places()),
            umask: AtomicU32::new(self.umask()),
        }
    }

    /// The mount tree.
    pub fn mounts(&self) -> &Arc<MountTree> {
        &self.mounts
    }

    /// Root and working directory.
    pub fn places(&self) -> Arc<Places> {
        Arc::clone(&self.places.lock())
    }

    /// What the cache of paths says of `text` to this caller.
    pub(crate) fn cached(
        &self,
        caller: &Caller<'_>,
        start: Option<&Path>,
        text: &[u8],
        follow: bool,
    ) -> Option<Hit> {
        let (hit, terms) = {
            let places = self.places.lock();
            self.mounts.paths.get(&places.key(start, text, follow))?
        };
        terms.hold_for(caller).then_some(hit)
    }

    /// Where absolute paths start.
    pub fn root(&self) -> Path {
        self.places().root.clone()
    }

    /// Where relative paths start.
    pub fn cwd(&self) -> Path {
        self.places().cwd.clone()
    }

    /// `chroot(2)`; the caller has checked that it is a directory.
    pub fn set_root(&self, root: Path) {
        self.replace(|old| Places { root, cwd: old.cwd.clone() });
    }

    /// `chdir(2)`; the caller has checked that it is a directory that may be searched.
    pub fn set_cwd(&self, cwd: Path) {
        self.replace(|old| Places { root: old.root.clone(), cwd });
    }

    /// Whoever has `old` as root or working directory has `new` from now on, as after
    /// `pivot_root(2)`.
    pub fn move_places(&self, old: &Path, new: &Path) {
        let moved = |place: &Path| if place == old { new } else { place }.clone();
        self.replace(|places| Places { root: moved(&places.root), cwd: moved(&places.cwd) });
    }

    fn replace(&self, new: impl FnOnce(&Places) -> Places) {
        let old = {
            let mut places = self.places.lock();
            let new = Arc::new(new(&places));
            core::mem::replace(&mut *places, new)
        };
        // Without the lock: the last reference to a directory may close a file of the host.
        drop(old);
    }

    /// The umask.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Replaces the umask; the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }
}
