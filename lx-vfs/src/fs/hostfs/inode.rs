//! Inodes that stand for files of the host.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::FileType;
use lx_core::host::{HostFd, HostFileType, HostMetadata, HostOpen, HostSetAttr, HostStat, Nanos};
use lx_core::sync::{Mutex, level};

use super::{MAX_AGE, Shared, Trust, kept};
use crate::inode::{Attr, DirListing, NewInode};
use crate::path_cache::bump_generation;
use crate::pipe::Fifo;
use crate::write_access::WriteCount;

/// A file or directory of the host.
pub struct HostInode {
    pub(super) shared: Arc<Shared>,
    pub(super) file_type: FileType,
    /// The host's device and inode number.
    pub(super) key: (u64, u64),
    /// Ways to the file, the newest last; none once its last name is gone.
    pub(super) places: Mutex<Vec<Place>, { level::INODE }>,
    pub(super) known: Mutex<Known, { level::INODE_DATA }>,
    // A copy of what `known` says, for permission checks without a lock.
    pub(super) mode: AtomicU32,
    pub(super) uid: AtomicU32,
    pub(super) gid: AtomicU32,
    pub(super) kept: Mutex<Kept, { level::CACHE }>,
    pub(super) fifo: Fifo,
    pub(super) writers: WriteCount,
}

/// A way to the file.
#[derive(Clone)]
pub(super) struct Place {
    /// `None` for the root, whose descriptor is never given up.
    pub(super) parent: Option<Arc<HostInode>>,
    pub(super) name: Box<[u8]>,
}

impl Place {
    fn is(&self, parent: &Arc<HostInode>, name: &[u8]) -> bool {
        parent.shared.is_same_name(&self.name, name)
            && self.parent.as_ref().is_some_and(|own| Arc::ptr_eq(own, parent))
    }
}

/// Most names that are remembered of one file.
const MAX_PLACES: usize = 8;

/// What is kept for later use, as long as there is room for it.
#[derive(Default)]
pub(super) struct Kept {
    /// A directory, or a regular file open for reading.
    fd: Option<Arc<HostFd>>,
    /// A regular file as it was created, for whoever opens it next: its mode may not allow that.
    pub(super) created: Option<Arc<HostFd>>,
    /// The entries of a directory, with its times when they were read.
    listing: Option<(Arc<DirListing>, (i64, i64))>,
}

/// What was learnt of the file, and when.
pub(super) struct Known {
    pub(super) stat: HostStat,
    /// When; `None` if it has to be asked for again.
    pub(super) checked: Option<Nanos>,
    pub(super) link: Option<Arc<[u8]>>,
    /// Of a directory: its times when its names were last looked at, and when that was.
    pub(super) names: (i64, i64),
    pub(super) names_checked: Nanos,
}

/// The type that guests see.
pub(crate) fn guest_type(file_type: HostFileType) -> FileType {
    match file_type {
        HostFileType::Regular => FileType::Regular,
        HostFileType::Directory => FileType::Directory,
        HostFileType::Symlink => FileType::Symlink,
        HostFileType::CharDevice => FileType::CharDevice,
        HostFileType::BlockDevice => FileType::BlockDevice,
        HostFileType::Fifo => FileType::Fifo,
        HostFileType::Socket => FileType::Socket,
    }
}

impl HostInode {
    pub(super) fn new(
        shared: &Arc<Shared>,
        place: Option<(&Arc<Self>, &[u8])>,
        stat: &HostStat,
    ) -> Self {
        let now = shared.host.monotonic();
        let place = match place {
            Some((parent, name)) => Place { parent: Some(Arc::clone(parent)), name: name.into() },
            None => Place { parent: None, name: Box::default() },
        };
        Self {
            shared: Arc::clone(shared),
            file_type: guest_type(stat.file_type),
            key: (stat.dev, stat.ino),
            places: Mutex::new(alloc::vec![place]),
            known: Mutex::new(Known {
                stat: *stat,
                checked: Some(now),
                link: None,
                names: (stat.mtime, stat.ctime),
                names_checked: now,
            }),
            mode: AtomicU32::new(stat.mode),
            uid: AtomicU32::new(stat.uid),
            gid: AtomicU32::new(stat.gid),
            kept: Mutex::default(),
            fifo: Fifo::new(),
            writers: WriteCount::default(),
        }
    }

    pub(super) fn new_root(shared: &Arc<Shared>, fd: &Arc<HostFd>, stat: &HostStat) -> Self {
        let root = Self::new(shared, None, stat);
        root.kept.lock().fd = Some(Arc::clone(fd));
        root
    }

    /// The inode number that guests see.
    pub fn ino(&self) -> u64 {
        self.shared.ino(self.key.0, self.key.1)
    }

    pub(super) fn is_type(&self, file_type: HostFileType) -> bool {
        guest_type(file_type) == self.file_type
    }

    /// Attributes of an open file.
    pub(super) fn stat_open(&self, fd: &HostFd) -> Result<HostStat> {
        self.shared.stat(fd, b"")
    }

    /// Attributes of an open file whose contents have changed, and nothing else.
    pub(super) fn stat_written(&self, fd: &HostFd) -> Result<HostStat> {
        if !self.shared.keeps() {
            return self.stat_open(fd);
        }
        let HostStat { file_type, mode, uid, gid, rdev, .. } = self.known_stat();
        Ok(HostStat { file_type, mode, uid, gid, rdev, ..self.shared.host.stat(fd, b"")? })
    }

    pub(super) fn host(&self) -> &'static dyn lx_core::host::Host {
        self.shared.host
    }

    /// The host has the inode under this name, with these attributes.
    pub(super) fn found_at(&self, parent: &Arc<Self>, name: &[u8], stat: &HostStat) {
        let changed = self.known_stat().ctime != stat.ctime;
        self.learn(stat);
        let mut gone = Vec::new();
        let is_new = {
            let mut places = self.places.lock();
            if places.iter().any(|place| place.parent.is_none()) {
                return;
            }
            let is_new = !places.iter().any(|place| place.is(parent, name));
            if is_new {
                // The only name of a file: the others are out of date.
                let keep = if stat.nlink > 1 { MAX_PLACES.saturating_sub(1) } else { 0 };
                let surplus = places.len().saturating_sub(keep);
                gone.extend(places.drain(..surplus));
                places.push(Place { parent: Some(Arc::clone(parent)), name: name.into() });
            }
            is_new
        };
        drop(gone);
        if changed || is_new {
            // Perhaps another file with the number of one that was removed.
            self.known.lock().link = None;
            self.forget_fd();
        }
    }

    /// The name is spelled otherwise now.
    pub(super) fn respelled(&self, parent: &Arc<Self>, name: &[u8]) {
        let mut places = self.places.lock();
        for place in places.iter_mut().filter(|place| place.is(parent, name)) {
            place.name = name.into();
        }
    }

    /// The name does not lead here any more.
    pub(super) fn left(&self, parent: &Arc<Self>, name: &[u8]) {
        let (gone, is_last) = {
            let mut places = self.places.lock();
            let gone: Vec<_> = places.extract_if(.., |place| place.is(parent, name)).collect();
            (gone, places.is_empty())
        };
        drop(gone);
        self.changed();
        if is_last {
            // The host may give the number to another file.
            let mut inodes = self.shared.inodes.lock();
            if inodes.get(&self.key).is_some_and(|inode| core::ptr::eq(inode.as_ptr(), self)) {
                inodes.remove(&self.key);
            }
        }
    }

    /// The inode in memory of the file that the host has at `name`.
    pub(super) fn known_child(&self, dir: &HostFd, name: &[u8]) -> Option<Arc<Self>> {
        let stat = self.shared.host.stat(dir, name).ok()?;
        let inodes = self.shared.inodes.lock();
        inodes.get(&(stat.dev, stat.ino)).and_then(alloc::sync::Weak::upgrade)
    }

    pub(super) fn forget_fd(&self) {
        let is_root = self.places.lock().iter().any(|place| place.parent.is_none());
        if !is_root {
            let mut kept = self.kept.lock();
            let fds = (kept.fd.take(), kept.created.take());
            drop(kept);
            drop(fds);
        }
    }

    pub(super) fn forget_listing(&self) {
        let listing = self.kept.lock().listing.take();
        drop(listing);
    }

    pub(super) fn learn(&self, stat: &HostStat) {
        let old = (
            self.mode.swap(stat.mode, Ordering::Relaxed),
            self.uid.swap(stat.uid, Ordering::Relaxed),
            self.gid.swap(stat.gid, Ordering::Relaxed),
        );
        if old != (stat.mode, stat.uid, stat.gid) {
            // Of a directory: others may search it now.
            bump_generation();
        }
        let now = self.shared.host.monotonic();
        let mut known = self.known.lock();
        known.stat = *stat;
        known.checked = Some(now);
    }

    /// The host has changed attributes on the way, such as the times of a directory that got a name.
    pub(super) fn changed(&self) {
        self.known.lock().checked = None;
    }

    /// What is known of the file now, without asking the host.
    pub(super) fn known_stat(&self) -> HostStat {
        self.known.lock().stat
    }

    pub(super) fn parent_and_name(&self) -> Result<(Arc<HostFd>, Box<[u8]>)> {
        let Place { parent, name } = self.places.lock().last().cloned().ok_or(Errno::ENOENT)?;
        match parent {
            Some(parent) => Ok((parent.dir_fd()?, name)),
            None => {
                let root = self.kept.lock().fd.clone().ok_or(Errno::ENOENT)?;
                Ok((root, Box::default()))
            }
        }
    }

    /// How the host finds the file, even if it has no name any more but is open.
    pub(super) fn place(&self) -> Result<(Arc<HostFd>, Box<[u8]>)> {
        self.parent_and_name().or_else(|error| {
            // Such as a removed directory that is still somebody's working directory.
            Ok((self.kept.lock().fd.clone().ok_or(error)?, Box::default()))
        })
    }

    /// The kept descriptor, or a new one.
    fn kept_fd(self: &Arc<Self>, how: HostOpen) -> Result<Arc<HostFd>> {
        if let Some(fd) = &self.kept.lock().fd {
            return Ok(Arc::clone(fd));
        }
        let (dir, name) = self.parent_and_name()?;
        let fd = Arc::new(self.shared.host.open(&dir, &name, how)?);
        let old = self.kept.lock().fd.replace(Arc::clone(&fd));
        if old.is_none() {
            self.shared.keeps_fd(self);
        }
        Ok(fd)
    }

    /// A descriptor of this directory.
    pub(super) fn dir_fd(self: &Arc<Self>) -> Result<Arc<HostFd>> {
        self.kept_fd(HostOpen { directory: true, ..HostOpen::default() })
    }

    /// A descriptor of this regular file for reading.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn read_fd(self: &Arc<Self>) -> Result<Arc<HostFd>> {
        self.kept_fd(HostOpen { read: true, ..HostOpen::default() })
    }

    /// Asks the host for the attributes.
    pub(super) fn refresh(&self) -> Result<HostStat> {
        let (dir, name) = self.place()?;
        let stat = self.shared.stat(&dir, &name)?;
        self.learn(&stat);
        Ok(stat)
    }

    /// What is known of the file, if that may be believed for now.
    pub(super) fn fresh_stat(&self) -> Option<HostStat> {
        if self.shared.trust == Trust::Stable {
            Some(self.known_stat())
        } else {
            self.recent_stat()
        }
    }

    /// What is known of the file, if that was learnt just now.
    pub(super) fn recent_stat(&self) -> Option<HostStat> {
        let now = self.shared.host.monotonic();
        let known = self.known.lock();
        let checked = known.checked?;
        (now.saturating_sub(checked) < MAX_AGE).then_some(known.stat)
    }

    pub(super) fn current_stat(&self) -> Result<HostStat> {
        self.fresh_stat().map_or_else(|| self.refresh(), Ok)
    }

    /// Attributes as guests see them.
    pub(super) fn to_attr(&self, stat: &HostStat) -> Attr {
        Attr {
            dev: self.shared.dev,
            ino: self.ino(),
            mode: self.file_type.mode_bits() | stat.mode,
            nlink: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            rdev: stat.rdev,
            size: stat.size,
            blocks: stat.blocks,
            blksize: 4096,
            atime: stat.atime,
            mtime: stat.mtime,
            ctime: stat.ctime,
            btime: None,
        }
    }

    /// Attributes; no caller is needed.
    ///
    /// # Errors
    /// The host's.
    pub fn attributes(&self) -> Result<Attr> {
        Ok(self.to_attr(&self.current_stat()?))
    }

    /// The entry `name`.
    ///
    /// # Errors
    /// `ENOENT` and the host's.
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        let dir = self.dir_fd()?;
        let stat = self.shared.stat(&dir, name)?;
        Ok(self.shared.inode(self, name, &stat))
    }

    /// All entries. They are read again when the directory's times have changed.
    ///
    /// # Errors
    /// The host's.
    pub fn entries(self: &Arc<Self>) -> Result<Arc<DirListing>> {
        let stat = self.recent_stat().map_or_else(|| self.refresh(), Ok)?;
        let times = (stat.mtime, stat.ctime);
        if let Some((listing, read_at)) = &self.kept.lock().listing
            && *read_at == times
        {
            return Ok(Arc::clone(listing));
        }
        let dir = self.dir_fd()?;
        let keeps = self.shared.keeps();
        let mut listing = DirListing::default();
        for entry in self.shared.host.read_dir(&dir)? {
            // A regular file may stand for something else.
            let told = entry.file_type.filter(|&t| !(keeps && t == HostFileType::Regular));
            let file_type = told.map_or(0, |t| guest_type(t).dirent_type());
            listing.push(self.shared.ino(self.key.0, entry.ino), file_type, &entry.name);
        }
        listing.shrink();
        let listing = Arc::new(listing);
        // Shared directories change by our own calls, within the time that a file system counts.
        if self.shared.trust == Trust::Stable {
            let old = self.kept.lock().listing.replace((Arc::clone(&listing), times));
            drop(old);
            self.shared.keeps_listing(self, listing.memory());
        }
        Ok(listing)
    }

    /// The target of this symbolic link.
    ///
    /// # Errors
    /// `EINVAL` and the host's.
    pub fn link_target(&self) -> Result<Arc<[u8]>> {
        if let Some(link) = &self.known.lock().link {
            return Ok(Arc::clone(link));
        }
        let (dir, name) = self.parent_and_name()?;
        let link: Arc<[u8]> = self.shared.host.read_link(&dir, &name)?.into();
        self.known.lock().link = Some(Arc::clone(&link));
        Ok(link)
    }

    /// This inode, shared: methods of the trait get `&self` only.
    pub(super) fn shared_self(&self) -> Result<Arc<Self>> {
        let known = self.shared.inodes.lock().get(&self.key).and_then(alloc::sync::Weak::upgrade);
        known.ok_or(Errno::ENOENT.into())
    }

    /// Opens for writing; also for reading if the host lets us.
    pub(super) fn write_fd(&self) -> Result<Arc<HostFd>> {
        if let Some(created) = self.kept.lock().created.take() {
            return Ok(created);
        }
        let (dir, name) = self.parent_and_name()?;
        let both = HostOpen { read: true, write: true, ..HostOpen::default() };
        let fd = match self.shared.host.open(&dir, &name, both) {
            Err(error) if error.0 == Errno::EACCES => {
                self.shared.host.open(&dir, &name, HostOpen { read: false, ..both })?
            }
            other => other?,
        };
        Ok(Arc::new(fd))
    }

    /// Gives a new host file its owner, where the host lets us.
    pub(super) fn give(&self, dir: &HostFd, name: &[u8], new: &NewInode<'_>) -> Result<HostStat> {
        if self.shared.keeps() {
            return kept::created(self.shared.host, (dir, name), new);
        }
        let stat = self.shared.stat(dir, name)?;
        if let Some(drive) = self.shared.drive() {
            let (uid, gid, mode) = (Some(new.uid), Some(new.gid), Some(new.mode));
            let rdev = Some(new.kind.rdev()).filter(|&rdev| rdev != 0);
            let values = HostMetadata { uid, gid, mode, rdev };
            let made = drive.created(self.shared.host, (dir, name), stat.file_type, values);
            return Ok(made.and_then(|()| self.shared.stat(dir, name)).unwrap_or(stat));
        }
        if (stat.uid, stat.gid) == (new.uid, new.gid) {
            return Ok(stat);
        }
        let owner =
            HostSetAttr { uid: Some(new.uid), gid: Some(new.gid), ..HostSetAttr::default() };
        Ok(match self.shared.host.set_attr(dir, name, &owner) {
            Ok(()) => self.shared.host.stat(dir, name).unwrap_or(stat),
            Err(_) => stat,
        })
    }
}

impl Drop for HostInode {
    fn drop(&mut self) {
        let mut inodes = self.shared.inodes.lock();
        if inodes.get(&self.key).is_some_and(|inode| inode.strong_count() == 0) {
            inodes.remove(&self.key);
        }
    }
}
