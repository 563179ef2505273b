//! Attributes of files that no file system holds: pipes, eventfds, epoll instances.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Caller;
use lx_core::abi::stat::{Stat, makedev};
use lx_core::time::split_time;

/// Device number of pipes (Linux: `pipefs`).
pub const PIPE_DEV: u64 = makedev(0, 13);
/// Device number of anonymous inodes.
pub const ANON_DEV: u64 = makedev(0, 14);

/// Inode number that the anonymous inodes share on Linux, too.
const ANON_INO: u64 = 1024;

static NEXT_INO: AtomicU64 = AtomicU64::new(16_384);

/// Identity and owner of a nameless inode.
#[derive(Clone, Copy, Debug)]
pub struct AnonInode {
    dev: u64,
    ino: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    created: i64,
}

impl AnonInode {
    /// An inode of its own on `dev`; `mode` with the type bits.
    pub fn new(caller: &Caller<'_>, dev: u64, mode: u32) -> Self {
        Self {
            dev,
            ino: NEXT_INO.fetch_add(1, Ordering::Relaxed),
            mode,
            uid: caller.cred().fsuid,
            gid: caller.cred().fsgid,
            created: caller.now(),
        }
    }

    /// The inode number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What `fstat(2)` shows.
    pub fn stat(&self) -> Stat {
        let (secs, nanos) = split_time(self.created);
        Stat {
            st_dev: self.dev,
            st_ino: self.ino,
            st_nlink: 1,
            st_mode: self.mode,
            st_uid: self.uid,
            st_gid: self.gid,
            st_blksize: 4096,
            st_atime: secs,
            st_atime_nsec: i64::from(nanos),
            st_mtime: secs,
            st_mtime_nsec: i64::from(nanos),
            st_ctime: secs,
            st_ctime_nsec: i64::from(nanos),
            ..Stat::default()
        }
    }
}

/// What `fstat(2)` shows of an eventfd and its like: they all share one inode.
pub fn anon_stat() -> Stat {
    Stat {
        st_dev: ANON_DEV,
        st_ino: ANON_INO,
        st_nlink: 1,
        st_mode: 0o600,
        st_blksize: 4096,
        ..Stat::default()
    }
}
