//! Places for files that are in no directory, so that `/proc/PID/fd` can lead to them.

use alloc::sync::Arc;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::{FileType, S_IALLUGO, Stat, Statfs};
use lx_core::caller::Caller;
use lx_core::file::{FileOps, OpenFile};

use crate::dentry::Dentry;
use crate::inode::{Attr, FileSystem, InodeOps, Permissions};
use crate::location::Path;
use crate::mount::Mount;

/// Where an open file is: its place in the tree, or one made up for it that is shown as `name`
/// (`pipe:[17]`). Opening that gives a new description of the same file.
///
/// # Errors
/// The file's.
pub fn place_of(caller: &Caller<'_>, file: &Arc<OpenFile>, name: &[u8]) -> Result<Path> {
    if let Some(path) = Path::of(file) {
        return Ok(path.clone());
    }
    let stat = file.ops().stat(caller, file)?;
    let inode = Arc::new(Nameless { file: Arc::clone(file), stat });
    let dentry = Dentry::new_unnamed(inode, name);
    let mount = Mount::detached(Arc::new(NamelessFs(Arc::clone(&dentry))), Arc::clone(&dentry));
    Ok(Path { mount, dentry })
}

struct Nameless {
    file: Arc<OpenFile>,
    stat: Stat,
}

impl InodeOps for Nameless {
    fn file_type(&self) -> FileType {
        FileType::from_mode(self.stat.st_mode).unwrap_or(FileType::Regular)
    }

    fn permissions(&self) -> Permissions {
        let Stat { st_mode, st_uid: uid, st_gid: gid, .. } = self.stat;
        Permissions { mode: st_mode & S_IALLUGO, uid, gid }
    }

    fn attr(&self, caller: &Caller<'_>) -> Result<Attr> {
        let stat = self.file.ops().stat(caller, &self.file)?;
        let time = |secs: i64, nanos: i64| secs.saturating_mul(1_000_000_000).saturating_add(nanos);
        Ok(Attr {
            dev: stat.st_dev,
            ino: stat.st_ino,
            mode: stat.st_mode,
            nlink: stat.st_nlink as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev,
            size: stat.st_size.cast_unsigned(),
            blocks: stat.st_blocks.cast_unsigned(),
            blksize: stat.st_blksize as u32,
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            btime: None,
        })
    }

    fn open(
        self: Arc<Self>,
        _caller: &Caller<'_>,
        _path: &Path,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        match self.file_type() {
            FileType::Socket => Err(Errno::ENXIO.into()),
            _ => Ok(Arc::clone(self.file.ops_arc())),
        }
    }
}

/// The file system of one such file.
struct NamelessFs(Arc<Dentry>);

impl FileSystem for NamelessFs {
    fn name(&self) -> &'static str {
        "none"
    }

    fn root(&self) -> Arc<dyn InodeOps> {
        Arc::clone(self.0.inode())
    }

    fn statfs(&self, _caller: &Caller<'_>) -> Result<Statfs> {
        Err(Errno::ENOSYS.into())
    }
}
