//! Mode, owner, links and times of an inode in memory; read and written without a lock.

use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use lx_core::abi::stat::S_IALLUGO;

use crate::inode::{Attr, NewInode, Permissions, SetAttr};
use crate::inode_flags::InodeFlags;
use crate::path_cache::bump_generation;

/// The attributes that every inode in memory has.
pub(crate) struct Meta {
    mode: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    nlink: AtomicU32,
    flags: AtomicU32,
    atime: AtomicI64,
    mtime: AtomicI64,
    ctime: AtomicI64,
    btime: Option<i64>,
}

impl Meta {
    /// Of a new inode with one link.
    pub(crate) fn new(new: &NewInode<'_>, now: i64) -> Self {
        Self {
            mode: AtomicU32::new(new.mode & S_IALLUGO),
            uid: AtomicU32::new(new.uid),
            gid: AtomicU32::new(new.gid),
            nlink: AtomicU32::new(1),
            flags: AtomicU32::new(0),
            atime: AtomicI64::new(now),
            mtime: AtomicI64::new(now),
            ctime: AtomicI64::new(now),
            btime: Some(now),
        }
    }

    /// A copy of another inode's.
    pub(crate) fn copy_of(attr: &Attr) -> Self {
        Self {
            mode: AtomicU32::new(attr.mode & S_IALLUGO),
            uid: AtomicU32::new(attr.uid),
            gid: AtomicU32::new(attr.gid),
            nlink: AtomicU32::new(attr.nlink),
            flags: AtomicU32::new(0),
            atime: AtomicI64::new(attr.atime),
            mtime: AtomicI64::new(attr.mtime),
            ctime: AtomicI64::new(attr.ctime),
            btime: attr.btime,
        }
    }

    pub(crate) fn permissions(&self) -> Permissions {
        Permissions {
            mode: self.mode.load(Ordering::Relaxed),
            uid: self.uid.load(Ordering::Relaxed),
            gid: self.gid.load(Ordering::Relaxed),
            flags: self.flags(),
        }
    }

    fn flags(&self) -> InodeFlags {
        InodeFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    pub(crate) fn set_flags(&self, flags: InodeFlags, now: i64) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
        self.changed(now);
    }

    pub(crate) fn nlink(&self) -> u32 {
        self.nlink.load(Ordering::Relaxed)
    }

    pub(crate) fn set_nlink(&self, nlink: u32) {
        self.nlink.store(nlink, Ordering::Relaxed);
    }

    /// One link more, or fewer.
    pub(crate) fn add_links(&self, by: i32) {
        let _ = self.nlink.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |nlink| {
            Some(nlink.saturating_add_signed(by))
        });
    }

    /// Fills in what is kept here; `mode` keeps its type bits.
    pub(crate) fn fill(&self, attr: &mut Attr) {
        attr.mode = (attr.mode & !S_IALLUGO) | self.mode.load(Ordering::Relaxed);
        attr.uid = self.uid.load(Ordering::Relaxed);
        attr.gid = self.gid.load(Ordering::Relaxed);
        attr.nlink = self.nlink();
        attr.atime = self.atime.load(Ordering::Relaxed);
        attr.mtime = self.mtime();
        attr.ctime = self.ctime.load(Ordering::Relaxed);
        attr.btime = self.btime;
    }

    pub(crate) fn mtime(&self) -> i64 {
        self.mtime.load(Ordering::Relaxed)
    }

    /// Applies all of a change but the length.
    pub(crate) fn apply(&self, change: &SetAttr) {
        let set = |place: &AtomicU32, value: Option<u32>| {
            if let Some(value) = value {
                place.store(value, Ordering::Relaxed);
            }
        };
        set(&self.mode, change.mode.map(|mode| mode & S_IALLUGO));
        set(&self.uid, change.uid);
        set(&self.gid, change.gid);
        if change.size.is_some() {
            self.mtime.store(change.now, Ordering::Relaxed);
        }
        if let Some(atime) = change.atime {
            self.atime.store(atime, Ordering::Relaxed);
        }
        if let Some(mtime) = change.mtime {
            self.mtime.store(mtime, Ordering::Relaxed);
        }
        self.changed(change.now);
        if change.mode.is_some() || change.uid.is_some() || change.gid.is_some() {
            // Of a directory: others may search it now.
            bump_generation();
        }
    }

    /// The inode changed.
    pub(crate) fn changed(&self, now: i64) {
        self.ctime.store(now, Ordering::Relaxed);
    }

    /// The contents changed.
    pub(crate) fn modified(&self, now: i64) {
        self.mtime.store(now, Ordering::Relaxed);
        self.changed(now);
    }

    /// Takes set-id bits away.
    pub(crate) fn set_mode(&self, mode: u32) {
        self.mode.store(mode, Ordering::Relaxed);
    }

    /// Whether a read has to move the access time, as `relatime` wants it (without its rule for
    /// times older than a day, which would need the clock for every read).
    pub(crate) fn needs_atime(&self) -> bool {
        let atime = self.atime.load(Ordering::Relaxed);
        (atime <= self.mtime() || atime <= self.ctime.load(Ordering::Relaxed))
            && !self.flags().contains(InodeFlags::NOATIME)
    }

    /// The contents were read.
    pub(crate) fn accessed(&self, now: i64) {
        self.atime.store(now, Ordering::Relaxed);
    }
}
