//! Dentries: the tree of names in memory.
//!
//! A dentry is a name in a directory together with its inode; the inode never changes. A directory
//! dentry caches its children, including names known to be missing. The file system is asked
//! without any lock held; a result enters the cache only if the directory's change count is still
//! what it was before the question, so that a slow answer cannot hide a newer change.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashMap;
use lx_core::abi::stat::FileType;
use lx_core::sync::{Mutex, level};

use crate::inode::{InodeOps, NameCaching};
use crate::path_cache::bump_generation;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Most missing names that one directory remembers.
const MAX_NEGATIVE: usize = 1024;
/// Dentries in memory at which unused ones are dropped.
const MANY_DENTRIES: usize = 200_000;

/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Directories with cached children, those that got their first child longest ago first.
static PARENTS: Mutex<VecDeque<Weak<Dentry>>, { level::CACHE }> = Mutex::new(VecDeque::new());

/// A name in a directory.
pub struct Dentry {
    id: u64,
    inode: Arc<dyn InodeOps>,
    file_type: FileType,
    name_caching: NameCaching,
    place: Mutex<Place, { level::DENTRY }>,
    children: Mutex<Children, { level::DENTRY }>,
    /// Mounts that cover this dentry, in any mount of its file system.
    mounts: AtomicU32,
    deleted: AtomicBool,
    /// Counts how often the dentry left a place in the tree: by a move or a removal.
    version: AtomicU32,
    /// The parent's epoch in which the name was last confirmed.
    confirmed: AtomicU32,
    /// Counts the changes of the names in this directory; written under the lock of `children`.
    changes: AtomicU64,
}

struct Place {
    /// `None` for the root of a file system and for inodes without a name.
    parent: Option<Arc<Dentry>>,
    name: Box<[u8]>,
}

#[derive(Default)]
struct Children {
    /// `None`: there is no such name.
    names: HashMap<Box<[u8]>, Option<Arc<Dentry>>>,
    negative: usize,
    /// Grows when the host may have changed the names: older ones are looked up again.
    epoch: u32,
}

impl Children {
    fn set(&mut self, name: &[u8], child: Option<Arc<Dentry>>) {
        let negative = child.is_none();
        if let Some(child) = &child {
            child.confirm(self.epoch);
        }
        if negative && self.negative >= MAX_NEGATIVE {
            self.names.retain(|_, child| child.is_some());
            self.negative = 0;
        }
        let old = match self.names.get_mut(name) {
            Some(slot) => Some(core::mem::replace(slot, child)),
            None => self.names.insert(name.into(), child),
        };
        self.negative += usize::from(negative);
        match old {
            Some(None) => self.negative -= 1,
            Some(Some(old)) => old.left(),
            None => {}
        }
    }

    fn forget(&mut self, name: &[u8]) {
        match self.names.remove(name) {
            Some(None) => self.negative -= 1,
            Some(Some(old)) => old.left(),
            None => {}
        }
    }

    /// Takes out the children that nobody uses (those with children of their own are used by
    /// them). The caller drops them when the lock is free: that may call the host.
    fn take_unused(&mut self) -> Vec<Arc<Dentry>> {
        self.negative = 0;
        let unused = |child: &Option<Arc<Dentry>>| {
            child.as_ref().is_none_or(|child| {
                // Before the count is read: whoever finds it by the cache of paths takes a
                // reference first and looks at the version then, so that one of the two notices.
                child.version.fetch_add(1, Ordering::SeqCst);
                child.changed();
                Arc::strong_count(child) == 1 && !child.is_mountpoint()
            })
        };
        let taken = self.names.extract_if(|_, child| unused(child));
        taken.filter_map(|(_, child)| child).collect()
    }
}

fn is_same_inode(one: &Arc<dyn InodeOps>, other: &Arc<dyn InodeOps>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// Dentries in memory.
pub fn count() -> usize {
    COUNT.load(Ordering::Relaxed)
}

/// Drops unused children of the directory that has had some for longest.
fn shrink() {
    let Some(dir) = PARENTS.lock().pop_front() else { return };
    let Some(dir) = dir.upgrade() else { return };
    let (taken, is_empty) = {
        let mut children = dir.children.lock();
        (children.take_unused(), children.names.is_empty())
    };
    drop(taken);
    if !is_empty {
        PARENTS.lock().push_back(Arc::downgrade(&dir));
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the cache knows of a name.
pub enum Cached {
    /// It exists; the version that the dentry has in this place.
    Positive(Arc<Dentry>, u32),
    /// It does not exist; the change count for which this holds.
    Negative(u64),
    /// Nothing; the change count to hand to [`Dentry::insert`].
    Unknown(u64),
}

impl Dentry {
    fn new(inode: Arc<dyn InodeOps>, parent: Option<Arc<Dentry>>, name: &[u8]) -> Arc<Self> {
        COUNT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            file_type: inode.file_type(),
            name_caching: inode.name_caching(),
            inode,
            place: Mutex::new(Place { parent, name: name.into() }),
            children: Mutex::default(),
            mounts: AtomicU32::new(0),
            deleted: AtomicBool::new(false),
            version: AtomicU32::new(0),
            confirmed: AtomicU32::new(0),
            changes: AtomicU64::new(0),
        })
    }

    /// The root of a file system.
    pub fn new_root(inode: Arc<dyn InodeOps>) -> Arc<Self> {
        Self::new(inode, None, b"/")
    }

    /// An inode without a place in the tree; `name` is shown for it (`pipe:[17]`).
    pub fn new_unnamed(inode: Arc<dyn InodeOps>, name: &[u8]) -> Arc<Self> {
        Self::new(inode, None, name)
    }

    /// A child of `parent` that the cache does not know (yet).
    pub fn new_child(parent: &Arc<Self>, name: &[u8], inode: Arc<dyn InodeOps>) -> Arc<Self> {
        Self::new(inode, Some(Arc::clone(parent)), name)
    }

    /// A file of `dir`'s file system that never had a name, `O_TMPFILE`.
    pub fn new_unlinked(dir: &Arc<Self>, name: &[u8], inode: Arc<dyn InodeOps>) -> Arc<Self> {
        let dentry = Self::new(inode, Some(Arc::clone(dir)), name);
        dentry.deleted.store(true, Ordering::Release);
        dentry
    }

    /// A number of its own.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The inode.
    pub fn inode(&self) -> &Arc<dyn InodeOps> {
        &self.inode
    }

    /// The inode's type.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// How long names in this directory may be cached.
    pub fn name_caching(&self) -> NameCaching {
        self.name_caching
    }

    /// The directory that it is in.
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.place.lock().parent.clone()
    }

    /// Parent and name; the parent is `None` for a root.
    pub fn place(&self) -> (Option<Arc<Self>>, Box<[u8]>) {
        let place = self.place.lock();
        (place.parent.clone(), place.name.clone())
    }

    /// Appends `/` and the name in reverse, for who builds a path from its end; the parent, unless
    /// this is a root.
    pub(crate) fn push_reversed(&self, path: &mut Vec<u8>) -> Option<Arc<Self>> {
        let place = self.place.lock();
        let parent = place.parent.clone()?;
        path.extend(place.name.iter().rev());
        path.push(b'/');
        Some(parent)
    }

    /// Whether the name was removed.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Whether something is mounted on it, in some mount of its file system.
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(crate) fn add_mount(self: &Arc<Self>) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
        // Directories that keep no names keep these: by others nobody would find the mount.
        let mut child = Arc::clone(self);
        while let (Some(parent), name) = child.place() {
            if parent.name_caching == NameCaching::Never {
                let mut children = parent.children.lock();
                children.set(&name, Some(child));
                parent.note_parent(&children);
            }
            child = parent;
        }
    }

    pub(crate) fn remove_mount(&self) {
        let before = self.mounts.fetch_sub(1, Ordering::AcqRel);
        if let (Some(parent), name) = self.place()
            && before == 1
            && parent.name_caching == NameCaching::Never
        {
            parent.children.lock().forget(&name);
        }
    }

    /// Looks a name up in the cache.
    pub fn cached_child(&self, name: &[u8]) -> Cached {
        let children = self.children.lock();
        match children.names.get(name) {
            Some(Some(child)) if child.is_confirmed(children.epoch) => {
                Cached::Positive(Arc::clone(child), child.version())
            }
            Some(None) => Cached::Negative(self.changes()),
            Some(Some(_)) | None => Cached::Unknown(self.changes()),
        }
    }

    /// The name stands for the dentry in this epoch of its directory.
    fn confirm(&self, epoch: u32) {
        self.confirmed.store(epoch, Ordering::Relaxed);
    }

    /// What something is mounted on stays in its place.
    fn is_confirmed(&self, epoch: u32) -> bool {
        self.confirmed.load(Ordering::Relaxed) == epoch || self.is_mountpoint()
    }

    /// The directory's change count.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The names have changed, or no longer matter.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// How often the dentry left a place in the tree.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// The dentry is no longer where it was. Paths that led there, or through it, are over.
    fn left(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        match self.file_type {
            FileType::Directory => {
                // Names that are missing below a removed directory may exist in a new one.
                self.changed();
                bump_generation();
            }
            FileType::Symlink => bump_generation(),
            _ => {}
        }
    }

    /// Enters what the file system said about a name; `changes` is the count from before the
    /// question. The dentry to use from now on: another thread's, if it was faster.
    pub fn insert(
        self: &Arc<Self>,
        name: &[u8],
        inode: Option<Arc<dyn InodeOps>>,
        changes: u64,
    ) -> Option<Arc<Self>> {
        let child = inode.map(|inode| Self::new_child(self, name, inode));
        if self.name_caching == NameCaching::Never {
            return child;
        }
        {
            let mut children = self.children.lock();
            if self.changes() != changes {
                return child;
            }
            if let Some(Some(existing)) = children.names.get(name) {
                let same = |child: &Arc<Self>| is_same_inode(&child.inode, &existing.inode);
                if existing.is_confirmed(children.epoch) || child.as_ref().is_some_and(same) {
                    existing.confirm(children.epoch);
                    return Some(Arc::clone(existing));
                }
            }
            children.set(name, child.clone());
            self.note_parent(&children);
        }
        if COUNT.load(Ordering::Relaxed) > MANY_DENTRIES {
            shrink();
        }
        child
    }

    /// Puts the directory in the list of those with children when it gets its first one.
    fn note_parent(self: &Arc<Self>, children: &Children) {
        if children.names.len() == 1 {
            PARENTS.lock().push_back(Arc::downgrade(self));
        }
    }

    /// Enters a name that was just made; `changes` is the count from before it was.
    pub fn added(
        self: &Arc<Self>,
        name: &[u8],
        inode: Arc<dyn InodeOps>,
        changes: u64,
    ) -> Arc<Self> {
        let child = Self::new_child(self, name, inode);
        let mut children = self.children.lock();
        if self.changes() == changes && self.name_caching != NameCaching::Never {
            children.set(name, Some(Arc::clone(&child)));
            self.note_parent(&children);
        } else {
            children.forget(name);
        }
        self.changed();
        child
    }

    /// Forgets a name that was just removed; `changes` is the count from before it was.
    pub fn removed(&self, name: &[u8], child: &Arc<Self>, changes: u64) {
        child.deleted.store(true, Ordering::Release);
        child.left();
        let mut children = self.children.lock();
        if self.changes() == changes && self.name_caching != NameCaching::Never {
            children.set(name, None);
        } else {
            children.forget(name);
        }
        self.changed();
    }

    /// Forgets all that is known of a name, after its file system changed it in a way that this
    /// cache cannot follow.
    pub fn forget(&self, name: &[u8]) {
        let mut children = self.children.lock();
        children.forget(name);
        self.changed();
    }

    /// The host may have changed the names: each is looked up again before it is used. Dentries that
    /// still stand for what is found stay, with all that is below them.
    pub fn doubt_all(&self) {
        let mut children = self.children.lock();
        self.changed();
        children.epoch = children.epoch.wrapping_add(1);
        children.negative = 0;
        children.names.retain(|_, child| child.is_some());
    }

    /// Forgets the names below, all the way down: what breaks the cycles between parents and
    /// children when a file system is unmounted.
    pub fn forget_tree(&self) {
        let mut pending = Vec::new();
        let mut next = Some(core::mem::take(&mut self.children.lock().names));
        while let Some(names) = next {
            for child in names.into_values().flatten() {
                pending.push(core::mem::take(&mut child.children.lock().names));
            }
            next = pending.pop();
        }
    }

    /// Follows a rename that its file system has carried out: this dentry is now `name` in
    /// `dir`. What the target's name stood for before is deleted.
    pub fn moved(self: &Arc<Self>, dir: &Arc<Self>, name: &[u8], replaced: Option<&Arc<Self>>) {
        let old = {
            let mut place = self.place.lock();
            let parent = place.parent.replace(Arc::clone(dir));
            (parent, core::mem::replace(&mut place.name, name.into()))
        };
        self.left();
        if let Some(replaced) = replaced {
            replaced.deleted.store(true, Ordering::Release);
            replaced.left();
        }
        if let (Some(parent), old_name) = old {
            let mut children = parent.children.lock();
            parent.changed();
            if matches!(children.names.get(&*old_name), Some(Some(child)) if Arc::ptr_eq(child, self))
            {
                children.forget(&old_name);
            }
        }
        let mut children = dir.children.lock();
        dir.changed();
        if dir.name_caching == NameCaching::Never {
            children.forget(name);
        } else {
            children.set(name, Some(Arc::clone(self)));
        }
    }

    /// Follows a `RENAME_EXCHANGE`.
    pub fn exchanged(self: &Arc<Self>, other: &Arc<Self>) {
        let (parent, name) = self.place();
        let (other_parent, other_name) = other.place();
        if let (Some(parent), Some(other_parent)) = (parent, other_parent) {
            self.moved(&other_parent, &other_name, None);
            other.moved(&parent, &name, None);
        }
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut at = Arc::clone(self);
        loop {
            if Arc::ptr_eq(&at, other) {
                return true;
            }
            let Some(parent) = at.parent() else { return false };
            at = parent;
        }
    }
}

impl core::fmt::Debug for Dentry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dentry({})", self.id)
    }
}
