//! POSIX message queues and the `mqueue` file system that names them, `mq_overview(7)`.
//!
//! There is one such file system. `mq_open(2)` and `mq_unlink(2)` work in its root directory whether
//! it is mounted or not, and each mount shows the same names.

mod file;
mod limits;
mod queue;
mod root;
#[cfg(test)]
mod tests;
mod waiting;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{AccessMode, OpenFlags};
use lx_core::abi::stat::{FileType, S_IALLUGO, Statfs};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::Host;
use lx_core::sync::{Mutex, Waiter, level};

use crate::dentry::Dentry;
use crate::dir::PathFile;
use crate::inode::{FileSystem, InodeOps, NAME_MAX, NewInode, NewKind};
use crate::location::Path;
use crate::mount::Mount;
use crate::notify;
use crate::permission::{Access, check, check_sticky};

pub use file::QueueFile;
use limits::Ledger;
pub use limits::{Limit, Limits};
pub use queue::{Message, Notification, Queue, Turn};
use root::Root;

/// `f_type` of `statfs(2)`.
const MQUEUE_MAGIC: i64 = 0x1980_0202;
/// Inode number of the root.
const ROOT_INO: u64 = 1;

/// What all queues share.
struct Shared {
    dev: u64,
    next_ino: AtomicU64,
    limits: Limits,
    names: Mutex<BTreeMap<Box<[u8]>, Arc<Queue>>, { level::DIRECTORY }>,
    ledger: Mutex<Ledger, { level::CACHE }>,
    /// All queues by inode number, also those that have no name any more.
    queues: Mutex<BTreeMap<u64, Weak<Queue>>, { level::CACHE }>,
}

/// The file system.
pub struct MqueueFs {
    shared: Arc<Shared>,
    root: Arc<Root>,
}

impl Drop for MqueueFs {
    fn drop(&mut self) {
        // Queues hold what holds their names: a cycle.
        let names = core::mem::take(&mut *self.shared.names.lock());
        drop(names);
    }
}

impl FileSystem for MqueueFs {
    fn name(&self) -> &'static str {
        "mqueue"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root) as _
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        Ok(Statfs {
            f_type: MQUEUE_MAGIC,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: NAME_MAX as i64,
            ..Statfs::default()
        })
    }
}

/// The message queues of a system, Linux's IPC namespace as far as it is about them.
pub struct MessageQueues {
    fs: Arc<MqueueFs>,
    /// Where queues are that were opened without a path: in a mount that is nowhere.
    root: Path,
}

/// What `mq_open(2)` asks for.
#[derive(Clone, Copy, Debug)]
pub struct OpenQueue {
    /// Access mode, creation and status flags.
    pub flags: OpenFlags,
    /// Mode of a queue that is made, before the umask.
    pub mode: u32,
    /// The umask.
    pub umask: u32,
    /// Messages, and bytes of a message, of a queue that is made; else as the defaults say.
    pub room: Option<(i64, i64)>,
}

impl MessageQueues {
    /// No queue.
    pub fn new(host: &dyn Host) -> Self {
        let shared = Arc::new(Shared {
            dev: super::new_dev(),
            next_ino: AtomicU64::new(ROOT_INO.saturating_add(1)),
            limits: Limits::default(),
            names: Mutex::default(),
            ledger: Mutex::default(),
            queues: Mutex::default(),
        });
        let root = Arc::new(Root::new(Arc::clone(&shared), host.realtime().cast_signed()));
        let fs = Arc::new(MqueueFs { shared, root });
        let dentry = Dentry::new_root(fs.root());
        let mount = Mount::detached(Arc::clone(&fs) as _, Arc::clone(&dentry));
        Self { fs, root: Path { mount, dentry } }
    }

    /// The file system, to be mounted.
    pub fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.fs) as _
    }

    /// What `/proc/sys/fs/mqueue` shows and sets.
    pub fn limits(&self) -> &Limits {
        &self.fs.shared.limits
    }

    /// `mq_open(2)`.
    ///
    /// # Errors
    ///
    /// - `EACCES`: a slash or nothing in the name, or the queue's mode does not permit it.
    /// - `ENAMETOOLONG`, `ENOENT`, `EEXIST`.
    /// - `EINVAL`: no access mode, or room that cannot be.
    /// - `ENOSPC`: too many queues. `EMFILE`: too many bytes of one user.
    pub fn open(&self, caller: &Caller<'_>, name: &[u8], how: &OpenQueue) -> Result<Arc<OpenFile>> {
        check_name(name)?;
        let flags = how.flags;
        let found = self.fs.shared.names.lock().get(name).cloned();
        let (queue, made) = match found {
            None if !flags.contains(OpenFlags::O_CREAT) => return Err(Errno::ENOENT.into()),
            None => self.make(caller, name, how)?,
            Some(queue) => (queue, false),
        };
        if !made {
            if flags.contains(OpenFlags::O_CREAT | OpenFlags::O_EXCL) {
                return Err(Errno::EEXIST.into());
            }
            let access = match flags.access_mode() {
                AccessMode::ReadOnly => Access::READ,
                AccessMode::WriteOnly => Access::WRITE,
                AccessMode::ReadWrite => Access::READ | Access::WRITE,
                AccessMode::IoctlOnly => return Err(Errno::EINVAL.into()),
            };
            check(caller.cred(), &queue.permissions(), FileType::Regular, access)?;
        }
        let inode: Arc<dyn InodeOps> = Arc::clone(&queue) as _;
        let path = self.root.with(Dentry::new_child(&self.root.dentry, name, Arc::clone(&inode)));
        if made {
            notify::created(&self.root, name, &path.dentry);
        }
        let ops = match flags.contains(OpenFlags::O_PATH) {
            true => PathFile::open(inode),
            false => Arc::new(QueueFile::new(queue)) as Arc<dyn FileOps>,
        };
        if flags.contains(OpenFlags::O_DIRECT) {
            ops.check_flags(OpenFlags::O_DIRECT)?;
        }
        notify::opened(&path);
        Ok(OpenFile::new(ops, flags, Some(Arc::new(path))))
    }

    /// A new queue, or one that somebody else has made meanwhile; and whether it is new.
    fn make(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        how: &OpenQueue,
    ) -> Result<(Arc<Queue>, bool)> {
        let cred = caller.cred();
        let may = Access::WRITE | Access::EXEC;
        check(cred, &self.fs.root.permissions(), FileType::Directory, may)?;
        let mode = how.mode & S_IALLUGO & !how.umask;
        let new = NewInode { kind: NewKind::Regular, mode, uid: cred.fsuid, gid: cred.fsgid };
        self.fs.root.add(caller, name, &new, how.room)
    }

    /// `mq_unlink(2)`: who has the queue open keeps it.
    ///
    /// # Errors
    /// `EACCES`, `ENAMETOOLONG`: as [`open`](Self::open). `ENOENT`. `EPERM`: another one's queue.
    pub fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let queue = self.fs.shared.names.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        let (cred, dir) = (caller.cred(), self.fs.root.permissions());
        check(cred, &dir, FileType::Directory, Access::WRITE | Access::EXEC)?;
        check_sticky(cred, &dir, &queue.permissions())?;
        self.fs.root.unlink(caller, name)?;
        let dentry = Dentry::new_child(&self.root.dentry, name, queue);
        notify::removed(caller, &self.root, name, &dentry);
        Ok(())
    }

    /// A thread will never wait again, as its host process has died.
    pub fn forget_waiter(&self, waiter: &Arc<Waiter>) {
        for queue in self.fs.shared.all() {
            queue.forget_waiter(waiter);
        }
    }

    /// A process has ended without closing its descriptors.
    pub fn forget_process(&self, tgid: i32) {
        for queue in self.fs.shared.all() {
            queue.withdraw(tgid);
        }
    }
}

impl Shared {
    fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// All queues.
    fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.lock().values().filter_map(Weak::upgrade).collect()
    }
}

/// Refuses what is no name in the root directory.
fn check_name(name: &[u8]) -> Result<()> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::EACCES.into());
    }
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG.into());
    }
    Ok(())
}
