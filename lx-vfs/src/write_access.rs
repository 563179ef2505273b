//! Who writes a file and who executes it: never both, `ETXTBSY`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering};

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::file::OpenFile;

use crate::inode::InodeOps;

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
}

impl Counted {
    fn new(inode: &Arc<dyn InodeOps>, one: i32) -> Result<Option<Self>> {
        let Some(count) = inode.write_count() else { return Ok(None) };
        count.add(one)?;
        Ok(Some(Self { inode: Arc::clone(inode), one }))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.inode.write_count() {
            count.0.fetch_sub(self.one, Ordering::AcqRel);
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

    /// Keeps it until the description ends.
    pub fn keep_with(self, file: &OpenFile) {
        if let Some(counted) = self.0 {
            file.attach(Box::new(counted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WriteCount;

    #[test]
    fn writers_and_programs_exclude_each_other() {
        let count = WriteCount::default();
        assert!(count.add(1).is_ok() && count.add(1).is_ok());
        assert!(count.add(-1).is_err());
        let count = WriteCount::default();
        assert!(count.add(-1).is_ok() && count.add(-1).is_ok());
        assert!(count.add(1).is_err());
    }
}
