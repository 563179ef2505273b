//! Files of a tmpfs that nobody else has: `memfd_create(2)`, segments of `shmget(2)`, rings of
//! `io_setup(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::memfd::Seals;
use lx_core::abi::stat::makedev;
use lx_core::error::Result;
use lx_core::file::OpenFile;

use crate::dentry::Dentry;
use crate::fs::tmpfs::TmpFs;
use crate::inode::{FileSystem, InodeOps, NewInode, NewKind};
use crate::location::Path;
use crate::mount::Mount;

/// Device number of Linux's internal tmpfs.
const DEV: u64 = makedev(0, 1);

static NEXT_INO: AtomicU64 = AtomicU64::new(2);

/// A new empty file, shown as `/memfd:name`; `seals` to begin with.
///
/// # Errors
/// The file system's.
pub fn create(
    caller: &Caller<'_>,
    name: &[u8],
    executable: bool,
    seals: Seals,
) -> Result<Arc<OpenFile>> {
    let mut shown = Vec::from(&b"memfd:"[..]);
    shown.extend_from_slice(name);
    let mode = if executable { 0o777 } else { 0o666 };
    new_file(caller, &shown, mode, seals, NEXT_INO.fetch_add(2, Ordering::Relaxed))
}

/// The memory of a System V segment with this id: a new empty file, shown as `/name`, whose inode
/// number is the id.
///
/// # Errors
/// The file system's.
pub fn segment(caller: &Caller<'_>, name: &[u8], id: i32) -> Result<Arc<OpenFile>> {
    let root_ino = u64::from(id.unsigned_abs()).wrapping_sub(1);
    new_file(caller, name, 0o777, Seals::F_SEAL_SEAL, root_ino)
}

/// The memory of a ring of asynchronous I/O: a new empty file, shown as `/[aio]`.
///
/// # Errors
/// The file system's.
pub fn ring(caller: &Caller<'_>) -> Result<Arc<OpenFile>> {
    let root_ino = NEXT_INO.fetch_add(2, Ordering::Relaxed);
    new_file(caller, b"[aio]", 0o600, Seals::F_SEAL_SEAL, root_ino)
}

fn new_file(
    caller: &Caller<'_>,
    shown: &[u8],
    mode: u32,
    seals: Seals,
    root_ino: u64,
) -> Result<Arc<OpenFile>> {
    // A file system for each file: they share nothing, and none outlives its file.
    let fs = TmpFs::with_dev(caller.host, 0o777, DEV, root_ino);
    let (uid, gid) = (caller.cred().fsuid, caller.cred().fsgid);
    let inode = fs.new_inode(caller, &NewInode { kind: NewKind::Regular, mode, uid, gid });
    inode.seals().replace(seals);
    let root = Dentry::new_root(fs.root());
    let mount = Mount::detached(fs, Arc::clone(&root));
    let file_inode: Arc<dyn InodeOps> = inode;
    let dentry = Dentry::new_unlinked(&root, shown, Arc::clone(&file_inode));
    let path = Path { mount, dentry };
    let flags = OpenFlags::O_RDWR | OpenFlags::O_LARGEFILE;
    let ops = file_inode.open(caller, &path, flags)?;
    Ok(OpenFile::new(ops, flags, Some(Arc::new(path))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Tester;
    use lx_core::abi::Errno;
    use lx_core::abi::fcntl::FcntlCmd;

    fn control(t: &Tester, file: &OpenFile, command: FcntlCmd, seals: Seals) -> Result<u64> {
        file.ops().control(&t.caller(), file, command, u64::from(seals.bits()))
    }

    #[test]
    fn seals_forbid_what_they_say() {
        let t = Tester::new();
        let eperm = Err(Errno::EPERM.into());
        let file = create(&t.caller(), b"test", true, Seals::empty()).unwrap();
        assert_eq!(t.write(&file, b"0123456789"), Ok(10));
        let resize = |len| file.ops().truncate(&t.caller(), &file, len);

        assert_eq!(control(&t, &file, FcntlCmd::F_ADD_SEALS, Seals::F_SEAL_GROW), Ok(0));
        assert_eq!(resize(11), Err(Errno::EPERM.into()));
        assert_eq!(t.write(&file, b"x"), eperm);
        assert_eq!(file.seek(&t.caller(), 8, 0), Ok(8));
        assert_eq!(t.write(&file, b"abcd"), Ok(2));
        assert_eq!(resize(9), Ok(()));

        assert_eq!(control(&t, &file, FcntlCmd::F_ADD_SEALS, Seals::F_SEAL_SHRINK), Ok(0));
        assert_eq!(resize(8), Err(Errno::EPERM.into()));
        let last = Seals::F_SEAL_WRITE | Seals::F_SEAL_SEAL;
        assert_eq!(control(&t, &file, FcntlCmd::F_ADD_SEALS, last), Ok(0));
        assert_eq!(file.seek(&t.caller(), 0, 0), Ok(0));
        assert_eq!(t.write(&file, b"y"), eperm);
        assert_eq!(t.read(&file, 99), Ok(b"01234567a".to_vec()));
        let more = control(&t, &file, FcntlCmd::F_ADD_SEALS, Seals::F_SEAL_EXEC);
        assert_eq!(more, Err(Errno::EPERM.into()));
        assert_eq!(control(&t, &file, FcntlCmd::F_GET_SEALS, Seals::empty()), Ok(0xf));
    }

    #[test]
    fn an_ordinary_file_cannot_be_sealed() {
        let t = Tester::new();
        let file = create(&t.caller(), b"", false, Seals::F_SEAL_SEAL).unwrap();
        assert_eq!(control(&t, &file, FcntlCmd::F_GET_SEALS, Seals::empty()), Ok(1));
        let add = control(&t, &file, FcntlCmd::F_ADD_SEALS, Seals::F_SEAL_GROW);
        assert_eq!(add, Err(Errno::EPERM.into()));
        assert_eq!(file.ops().stat(&t.caller(), &file).unwrap().st_mode, 0o100_666);
    }
}
