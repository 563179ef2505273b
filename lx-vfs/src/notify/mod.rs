//! Watching files, `inotify(7)`: which inodes are watched, and what happens to them.
//!
//! Whoever changes something calls a function of this module afterwards. While nobody watches
//! anything, that costs one look at a counter; what is done by open descriptions comes from
//! [`lx_core::file::watch`].

mod instance;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use lx_core::Caller;
use lx_core::abi::inotify::InotifyMask;
use lx_core::file::OpenFile;
use lx_core::file::watch::{self, FileUse, is_watched};
use lx_core::sync::{Mutex, level};

pub use instance::{Inotify, InotifyFile, open};

use crate::dentry::Dentry;
use crate::inode::{InodeOps, SetAttr};
use crate::location::Path;

/// The watches of each inode, by its address: a watch keeps the inode, and the place through which
/// it is found.
static WATCHES: Mutex<Option<HashMap<usize, Vec<Arc<Watch>>>>, { level::CACHE }> = Mutex::new(None);
static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// One inode that one instance watches.
pub(crate) struct Watch {
    place: Path,
    instance: Weak<Inotify>,
    wd: i32,
    /// Events that are wanted, and `IN_ONESHOT`, `IN_EXCL_UNLINK`.
    mask: AtomicU32,
}

impl Watch {
    fn mask(&self) -> InotifyMask {
        InotifyMask::from_bits_retain(self.mask.load(Ordering::Acquire))
    }
}

fn address(inode: &Arc<dyn InodeOps>) -> usize {
    Arc::as_ptr(inode).cast::<()>().addr()
}

fn enter(watch: &Arc<Watch>) {
    let at = address(watch.place.inode());
    WATCHES.lock().get_or_insert_default().entry(at).or_default().push(Arc::clone(watch));
    watch::watch_added(file_used);
}

fn remove(watch: &Arc<Watch>) {
    let at = address(watch.place.inode());
    let mut watches = WATCHES.lock();
    let Some(table) = watches.as_mut() else { return };
    let Some(of_inode) = table.get_mut(&at) else { return };
    let before = of_inode.len();
    of_inode.retain(|known| !Arc::ptr_eq(known, watch));
    let removed = before != of_inode.len();
    if of_inode.is_empty() {
        table.remove(&at);
    }
    drop(watches);
    if removed {
        watch::watch_removed();
    }
}

fn watches_of(inode: &Arc<dyn InodeOps>) -> Vec<Arc<Watch>> {
    let watches = WATCHES.lock();
    let found = watches.as_ref().and_then(|table| table.get(&address(inode)));
    found.cloned().unwrap_or_default()
}

/// Tells those who watch this inode. `name`: of the entry that it happened to. `gone`: the entry has
/// no name any more.
fn tell(
    inode: &Arc<dyn InodeOps>,
    events: InotifyMask,
    cookie: u32,
    name: Option<&[u8]>,
    gone: bool,
) {
    for watch in watches_of(inode) {
        let mask = watch.mask();
        if !mask.intersects(events & InotifyMask::ALL_EVENTS)
            || gone && mask.contains(InotifyMask::IN_EXCL_UNLINK)
        {
            continue;
        }
        let Some(instance) = watch.instance.upgrade() else { continue };
        instance.push(watch.wd, events, cookie, name.unwrap_or_default());
        if mask.contains(InotifyMask::IN_ONESHOT) {
            instance.forget(watch.wd);
        }
    }
}

/// Events of a directory's inode, or of one in it, say so.
fn with_kind(dentry: &Dentry, events: InotifyMask) -> InotifyMask {
    if dentry.is_dir() { events | InotifyMask::IN_ISDIR } else { events }
}

/// Something happened to a file: its directory's watchers and its own are told.
fn happened(dentry: &Dentry, events: InotifyMask) {
    let events = with_kind(dentry, events);
    if let (Some(dir), name) = dentry.place() {
        tell(dir.inode(), events, 0, Some(&name), dentry.is_deleted());
    }
    tell(dentry.inode(), events, 0, None, false);
}

fn file_used(file: &OpenFile, how: FileUse) {
    let Some(path) = Path::of(file) else { return };
    let events = match how {
        FileUse::Read => InotifyMask::IN_ACCESS,
        FileUse::Written => InotifyMask::IN_MODIFY,
        FileUse::Closed if file.is_writable() => InotifyMask::IN_CLOSE_WRITE,
        FileUse::Closed => InotifyMask::IN_CLOSE_NOWRITE,
    };
    happened(&path.dentry, events);
}

/// A file was opened.
pub(crate) fn opened(path: &Path) {
    if is_watched() {
        happened(&path.dentry, InotifyMask::IN_OPEN);
    }
}

/// Attributes that are no contents were changed.
pub(crate) fn attributes_changed(path: &Path) {
    if is_watched() {
        happened(&path.dentry, InotifyMask::IN_ATTRIB);
    }
}

/// A file was truncated, or written without a description.
pub(crate) fn modified(path: &Path) {
    if is_watched() {
        happened(&path.dentry, InotifyMask::IN_MODIFY);
    }
}

/// Times were set: one of them alone looks like what usually sets it.
pub(crate) fn times_set(path: &Path, change: &SetAttr) {
    if is_watched() {
        let events = match (change.atime, change.mtime) {
            (Some(_), Some(_)) => InotifyMask::IN_ATTRIB,
            (Some(_), None) => InotifyMask::IN_ACCESS,
            (None, Some(_)) => InotifyMask::IN_MODIFY,
            (None, None) => return,
        };
        happened(&path.dentry, events);
    }
}

/// A name was made.
pub(crate) fn created(dir: &Path, name: &[u8], dentry: &Dentry) {
    if is_watched() {
        let events = with_kind(dentry, InotifyMask::IN_CREATE);
        tell(dir.inode(), events, 0, Some(name), false);
    }
}

/// A file got one more name.
pub(crate) fn linked(dir: &Path, name: &[u8], dentry: &Dentry) {
    if is_watched() {
        tell(dentry.inode(), InotifyMask::IN_ATTRIB, 0, None, false);
        created(dir, name, dentry);
    }
}

/// A name was removed.
pub(crate) fn removed(caller: &Caller<'_>, dir: &Path, name: &[u8], dentry: &Dentry) {
    if !is_watched() {
        return;
    }
    name_lost(dentry);
    tell(dir.inode(), with_kind(dentry, InotifyMask::IN_DELETE), 0, Some(name), false);
    ended_if_nameless(caller, dentry);
}

/// A file has one name less, which counts as an attribute.
fn name_lost(dentry: &Dentry) {
    if !dentry.is_dir() {
        tell(dentry.inode(), InotifyMask::IN_ATTRIB, 0, None, false);
    }
}

/// An inode without names is no longer watched.
fn ended_if_nameless(caller: &Caller<'_>, dentry: &Dentry) {
    let inode = dentry.inode();
    let watches = watches_of(inode);
    if watches.is_empty() {
        return;
    }
    let left = inode.attr(caller).map_or(0, |attr| attr.nlink);
    if dentry.is_dir() || left == 0 {
        tell(inode, InotifyMask::IN_DELETE_SELF, 0, None, false);
        for watch in watches {
            if let Some(instance) = watch.instance.upgrade() {
                instance.forget(watch.wd);
            }
        }
    }
}

/// A name was moved; `replaced` is what had the new name before.
pub(crate) fn moved(
    caller: &Caller<'_>,
    (old_dir, old_name): (&Path, &[u8]),
    (new_dir, new_name): (&Path, &[u8]),
    dentry: &Dentry,
    replaced: Option<&Dentry>,
) {
    if !is_watched() {
        return;
    }
    let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
    let from = with_kind(dentry, InotifyMask::IN_MOVED_FROM);
    tell(old_dir.inode(), from, cookie, Some(old_name), false);
    let to = with_kind(dentry, InotifyMask::IN_MOVED_TO);
    tell(new_dir.inode(), to, cookie, Some(new_name), false);
    if let Some(replaced) = replaced {
        name_lost(replaced);
    }
    tell(dentry.inode(), InotifyMask::IN_MOVE_SELF, 0, None, false);
    if let Some(replaced) = replaced {
        ended_if_nameless(caller, replaced);
    }
}
