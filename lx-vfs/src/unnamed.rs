//! Open files as places: what `/proc/PID/fd/N` shows and leads to.
//!
//! A file that was opened by a path leads back there. A pipe, a socket or an eventfd has no path;
//! it gets a name such as `pipe:[17]`, and a place outside the tree whose inode opens it again.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::{FileType, S_IALLUGO, Stat, Statfs};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};

use crate::dentry::Dentry;
use crate::dev::{NODES, NodeKind};
use crate::epoll::EpollFile;
use crate::eventfd::EventFile;
use crate::host_stream::HostStream;
use crate::inode::{Attr, FileSystem, InodeOps, Permissions, SetAttr};
use crate::inode_flags::InodeFlags;
use crate::location::Path;
use crate::mount::Mount;
use crate::notify::InotifyFile;
use crate::pipe::PipeEnd;
use crate::timerfd::TimerFile;

/// Attributes as an inode's.
fn attr(stat: &Stat) -> Attr {
    Attr {
        dev: stat.st_dev,
        ino: stat.st_ino,
        mode: stat.st_mode,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev,
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        atime: join(stat.st_atime, stat.st_atime_nsec),
        mtime: join(stat.st_mtime, stat.st_mtime_nsec),
        ctime: join(stat.st_ctime, stat.st_ctime_nsec),
        btime: None,
    }
}

fn join(secs: i64, nanos: i64) -> i64 {
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The text of the link `/proc/PID/fd/N` for `file`, as seen from `root`.
pub fn link_text(caller: &Caller<'_>, file: &OpenFile, root: &Path) -> Vec<u8> {
    match Path::of(file) {
        Some(path) => path.display(root),
        None => plain_name(caller, file),
    }
}

/// The name of a file without a place.
fn plain_name(caller: &Caller<'_>, file: &OpenFile) -> Vec<u8> {
    let stat = file.ops().stat(caller, file).unwrap_or_default();
    let name = match FileType::from_mode(stat.st_mode) {
        Some(FileType::Fifo) => format!("pipe:[{}]", stat.st_ino),
        Some(FileType::CharDevice) if let Some(name) = device_name(stat.st_rdev) => {
            format!("/dev/{name}")
        }
        Some(FileType::Socket) => format!("socket:[{}]", stat.st_ino),
        Some(_) => format!("host:[{}]", stat.st_ino),
        None => format!("anon_inode:{}", anonymous_kind(file)),
    };
    name.into_bytes()
}

/// Name of the node in `/dev` with this number.
fn device_name(rdev: u64) -> Option<&'static str> {
    let is_it = |kind| matches!(kind, NodeKind::Char { rdev: of_node, .. } if of_node == rdev);
    NODES.iter().find(|node| is_it(node.kind)).map(|node| node.name)
}

fn anonymous_kind(file: &OpenFile) -> &'static str {
    if file.ops_as::<EventFile>().is_some() {
        "[eventfd]"
    } else if file.ops_as::<EpollFile>().is_some() {
        "[eventpoll]"
    } else if file.ops_as::<InotifyFile>().is_some() {
        "inotify"
    } else if file.ops_as::<TimerFile>().is_some() {
        "[timerfd]"
    } else {
        "[file]"
    }
}

/// Where the link `/proc/PID/fd/N` leads.
pub fn place(caller: &Caller<'_>, file: &Arc<OpenFile>) -> Path {
    if let Some(path) = Path::of(file) {
        return path.clone();
    }
    let stat = file.ops().stat(caller, file).unwrap_or_default();
    let inode: Arc<dyn InodeOps> = Arc::new(OpenInode { file: Arc::clone(file), stat });
    let dentry = Dentry::new_unnamed(Arc::clone(&inode), &plain_name(caller, file));
    let mount = Mount::detached(Arc::new(OpenFs { root: inode }), Arc::clone(&dentry));
    Path { mount, dentry }
}

/// The inode of an open file without a place.
struct OpenInode {
    file: Arc<OpenFile>,
    stat: Stat,
}

impl InodeOps for OpenInode {
    fn file_type(&self) -> FileType {
        FileType::from_mode(self.stat.st_mode).unwrap_or(FileType::Regular)
    }

    fn permissions(&self) -> Permissions {
        let stat = &self.stat;
        Permissions {
            mode: stat.st_mode & S_IALLUGO,
            uid: stat.st_uid,
            gid: stat.st_gid,
            flags: InodeFlags::empty(),
        }
    }

    fn attr(&self, caller: &Caller<'_>) -> Result<Attr> {
        Ok(attr(&self.file.ops().stat(caller, &self.file)?))
    }

    /// A length is the only thing that a stream of the host can be given: `> /dev/stdout`.
    fn set_attr(&self, caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        match change.size {
            Some(len) => self.file.ops().truncate(caller, &self.file, len),
            None => Err(Errno::EPERM.into()),
        }
    }

    fn open(
        self: Arc<Self>,
        _caller: &Caller<'_>,
        _path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        if let Some(end) = self.file.ops_as::<PipeEnd>() {
            // Packets can be asked for only later, by `fcntl(2)`.
            if flags.contains(OpenFlags::O_DIRECT) {
                return Err(Errno::EINVAL.into());
            }
            let mode = flags.access_mode();
            return Ok(Arc::new(end.reopen(mode.readable(), mode.writable())));
        }
        if let Some(stream) = self.file.ops_as::<HostStream>().filter(|stream| stream.is_regular())
        {
            // Of the host's files a guest gets what it was given, not what the host's user may do.
            let mode = flags.access_mode();
            let more = mode.readable() && !self.file.is_readable()
                || mode.writable() && !self.file.is_writable();
            return if more { Err(Errno::EACCES.into()) } else { stream.reopen(flags) };
        }
        match FileType::from_mode(self.stat.st_mode) {
            None | Some(FileType::Socket) => Err(Errno::ENXIO.into()),
            // A stream of the host: there is nothing else to open than what is open.
            Some(_) => Ok(Arc::clone(self.file.ops_arc())),
        }
    }
}

/// The file system of one such inode.
struct OpenFs {
    root: Arc<dyn InodeOps>,
}

impl FileSystem for OpenFs {
    fn name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        Ok(Statfs { f_type: ANON_INODE_FS_MAGIC, f_bsize: 4096, ..Statfs::default() })
    }
}

/// `f_type` of anonymous inodes.
const ANON_INODE_FS_MAGIC: i64 = 0x0904_1934;
