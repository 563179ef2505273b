//! What the overlay's inodes do.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::abi::stat::FileType;
use lx_core::caller::Caller;
use lx_core::file::FileOps;

use super::attributes::{real_name, seen_name};
use super::file::LayerFile;
use super::node::Node;
use crate::dir::DirFile;
use crate::inode::{Attr, DirListing, InodeOps, NewInode, Permissions, SetAttr, downcast};
use crate::inode_flags::InodeFlags;
use crate::location::Path;
use crate::write_access::WriteCount;

impl Node {
    /// The inode of the upper layer, after copying the first `len` bytes.
    fn changeable(&self, caller: &Caller<'_>, len: u64) -> Result<&Arc<dyn InodeOps>> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper.inode());
        }
        let _change = self.shared.change(caller)?;
        Ok(self.copy_up(caller, len)?.inode())
    }

    fn same_fs(&self, inode: &Arc<dyn InodeOps>) -> Result<Arc<Self>> {
        match downcast::<Self>(inode) {
            Some(node) if Arc::ptr_eq(&node.shared, &self.shared) => Ok(node),
            _ => Err(Errno::EXDEV.into()),
        }
    }
}

impl InodeOps for Node {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn permissions(&self) -> Permissions {
        match self.real() {
            Ok(real) => real.permissions(),
            Err(_) => Permissions { mode: 0, uid: 0, gid: 0, flags: InodeFlags::empty() },
        }
    }

    fn attr(&self, caller: &Caller<'_>) -> Result<Attr> {
        let mut attr = self.real()?.attr(caller)?;
        attr.dev = self.shared.dev;
        attr.ino = self.ino;
        if self.is_dir() && self.is_merged() {
            attr.nlink = 1;
        }
        Ok(attr)
    }

    fn set_attr(&self, caller: &Caller<'_>, change: &SetAttr) -> Result<()> {
        self.changeable(caller, change.size.unwrap_or(u64::MAX))?.set_attr(caller, change)
    }

    fn open(
        self: Arc<Self>,
        caller: &Caller<'_>,
        path: &Path,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        if self.is_dir() {
            return Ok(DirFile::open(self));
        }
        if self.file_type != FileType::Regular {
            return Arc::clone(self.real()?).open(caller, path, flags);
        }
        let writes = flags.access_mode().writable();
        let real = if writes { self.changeable(caller, u64::MAX)? } else { self.real()? };
        let real = Arc::clone(real).open(caller, path, flags)?;
        Ok(Arc::new(LayerFile { node: self, real }))
    }

    fn write_count(&self) -> Option<&WriteCount> {
        (self.file_type == FileType::Regular).then_some(&self.writers)
    }

    fn lookup(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Arc<dyn InodeOps>> {
        Ok(self.find(caller, name)?)
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        self.entries(caller, listing)
    }

    fn create(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<dyn InodeOps>> {
        Ok(self.shared_self()?.make(caller, name, new)?)
    }

    fn create_unnamed(&self, caller: &Caller<'_>, new: &NewInode<'_>) -> Result<Arc<dyn InodeOps>> {
        self.shared_self()?.make_unnamed(caller, new)
    }

    fn link(&self, caller: &Caller<'_>, name: &[u8], target: &Arc<dyn InodeOps>) -> Result<()> {
        self.shared_self()?.make_link(caller, name, &self.same_fs(target)?)
    }

    fn unlink(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.remove(caller, name, false)
    }

    fn rmdir(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        self.remove(caller, name, true)
    }

    fn rename(
        &self,
        caller: &Caller<'_>,
        name: &[u8],
        new_dir: &Arc<dyn InodeOps>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = self.same_fs(new_dir)?;
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            lx_core::unsupported::note("overlay RENAME_EXCHANGE", u64::from(flags.bits()));
            return Err(Errno::EINVAL.into());
        }
        self.shared_self()?.move_to(caller, name, &new_dir, new_name, flags)
    }

    fn read_link(&self, caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        self.real()?.read_link(caller)
    }

    fn get_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<Vec<u8>> {
        self.real()?.get_xattr(caller, &real_name(name))
    }

    fn set_xattr(&self, caller: &Caller<'_>, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.changeable(caller, u64::MAX)?.set_xattr(caller, &real_name(name), value, flags)
    }

    fn list_xattr(&self, caller: &Caller<'_>) -> Result<Vec<u8>> {
        let names = self.real()?.list_xattr(caller)?;
        let mut seen = Vec::with_capacity(names.len());
        for name in names.split_inclusive(|&byte| byte == 0).filter_map(seen_name) {
            seen.extend_from_slice(&name);
        }
        Ok(seen)
    }

    fn remove_xattr(&self, caller: &Caller<'_>, name: &[u8]) -> Result<()> {
        // What is not there is no reason to copy anything.
        self.get_xattr(caller, name)?;
        self.changeable(caller, u64::MAX)?.remove_xattr(caller, &real_name(name))
    }
}
