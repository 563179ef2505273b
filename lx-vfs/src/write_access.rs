//! Who writes a file and who executes it: never both, `ETXTBSY`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::file::OpenFile;

use crate::inode::InodeOps;
use crate::location::Path;
use crate::mount::Mount;

/// Of a regular file: the descriptions that are open for writing, or, negative, the programs that
/// run from it.
#[derive(Default)]
pub struct WriteCount(AtomicI32);

impl WriteCount {
    /// Adds one more of the kind that is there.
    fn add(&self, one: i32) -> Result<()> {
        let added = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |count| {
            if count.signum() == -one { None } else { count.checked_add(one) }
        });
        added.map(drop).map_err(|_| Errno::ETXTBSY.into())
    }
}

/// One user of a file, as long as it lives.
struct Counted {
    inode: Arc<dyn InodeOps>,
    one: i32,
    /// Where it is written, which cannot become read-only meanwhile.
    mount: Option<Arc<Mount>>,
}

impl Counted {
    fn new(inode: &Arc<dyn InodeOps>, one: i32) -> Result<Option<Self>> {
        let Some(count) = inode.write_count() else { return Ok(None) };
        count.add(one)?;
        Ok(Some(Self { inode: Arc::clone(inode), one, mount: None }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.inode.write_count() {
            count.0.fetch_sub(self.one, Ordering::AcqRel);
        }
        if let Some(mount) = &self.mount {
            mount.add_writers(-1);
        }
    }
}

/// A writer of a file, or somebody who keeps writers out; nothing for what is no regular file.
#[must_use]
pub struct WriteAccess(Option<Counted>);

impl WriteAccess {
    /// To write the file.
    ///
    /// # Errors
    /// `ETXTBSY` if a program runs from it.
    pub fn get(inode: &Arc<dyn InodeOps>) -> Result<Self> {
        Counted::new(inode, 1).map(Self)
    }

    /// To execute the file, which nobody may write then.
    ///
    /// # Errors
    /// `ETXTBSY` if it is open for writing.
    pub fn deny(inode: &Arc<dyn InodeOps>) -> Result<Self> {
        Counted::new(inode, -1).map(Self)
    }

    /// Whether a regular file is open for writing.
    pub fn is_written(inode: &Arc<dyn InodeOps>) -> bool {
        inode.write_count().is_some_and(|count| count.0.load(Ordering::Acquire) > 0)
    }

    /// Keeps it until the description ends, as a writer of its mount, too.
    pub fn keep_with(self, file: &OpenFile) {
        if let Some(mut counted) = self.0 {
            counted.mount = Path::of(file).map(|path| Arc::clone(&path.mount));
            if let Some(mount) = &counted.mount {
                mount.add_writers(1);
            }
            file.attach(Box::new(counted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WriteCount;
    use crate::fs::tmpfs::TmpFs;
    use crate::fs_context::FsContext;
    use crate::mount::{MountFlags, MountTree};
    use crate::open::OpenHow;
    use crate::test_support::Tester;
    use alloc::sync::Arc;
    use lx_core::abi::Errno;
    use lx_core::abi::fcntl::{OpenFlags, ResolveFlags};

    #[test]
    fn writers_and_programs_exclude_each_other() {
        let count = WriteCount::default();
        assert!(count.add(1).is_ok() && count.add(1).is_ok());
        assert!(count.add(-1).is_err());
        let count = WriteCount::default();
        assert!(count.add(-1).is_ok() && count.add(-1).is_ok());
        assert!(count.add(1).is_err());
    }

    #[test]
    fn a_mount_with_writers_stays_writable() {
        let t = Tester::new();
        let tree = MountTree::new(TmpFs::new(t.host, 0o755), "none", MountFlags::empty());
        let (here, fs) = (tree.root(), FsContext::new(Arc::clone(&tree)));
        let flags = OpenFlags::O_CREAT | OpenFlags::O_WRONLY;
        let how = OpenHow::new(flags, 0o644, ResolveFlags::empty()).unwrap();
        let file = fs.open(&t.caller(), None, b"/file", &how).unwrap();
        let reader = fs.open(&t.caller(), None, b"/file", &OpenHow::read_only()).unwrap();
        for only_here in [false, true] {
            let refused = tree.remount(&here.mount, MountFlags::RDONLY, only_here);
            assert_eq!(refused, Err(Errno::EBUSY.into()));
        }
        assert_eq!(tree.remount(&here.mount, MountFlags::NOSUID, false), Ok(()));
        drop(file);
        assert_eq!(tree.remount(&here.mount, MountFlags::RDONLY, false), Ok(()));
        drop(reader);
    }
}
