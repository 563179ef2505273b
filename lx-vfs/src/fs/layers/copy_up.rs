//! Copying to the upper layer what is going to be changed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::{FileType, S_IALLUGO};
use lx_core::caller::Caller;
use lx_core::file::OpenFile;
use lx_core::host::BLOCK_SIZE;
use lx_core::io::{IoDst, IoSrc};

use super::attributes::seen_name;
use super::node::Node;
use crate::dentry::Dentry;
use crate::inode::{InodeOps, NewInode, NewKind, SetAttr};
use crate::location::Path;

impl Node {
    /// The node in the upper layer; of a file's contents, the first `len` bytes are copied. The
    /// caller has the right to change something.
    pub(super) fn copy_up(&self, caller: &Caller<'_>, len: u64) -> Result<&Arc<Dentry>> {
        if let Some(upper) = self.upper.get() {
            return Ok(upper);
        }
        let place = self.place.lock().clone();
        let (parent, name) = place.ok_or(Errno::ENOENT)?;
        let dir = parent.copy_up(caller, u64::MAX)?;
        let lower = self.lowers.first().ok_or(Errno::EIO)?.inode();
        let attr = lower.attr(caller)?;
        let target = match self.file_type {
            FileType::Symlink => Some(lower.read_link(caller)?),
            _ => None,
        };
        let kind = match self.file_type {
            FileType::Regular => NewKind::Regular,
            FileType::Directory => NewKind::Directory,
            FileType::Symlink => NewKind::Symlink(target.as_deref().unwrap_or_default()),
            FileType::Fifo => NewKind::Fifo,
            FileType::Socket => NewKind::Socket,
            FileType::CharDevice => NewKind::CharDevice(attr.rdev),
            FileType::BlockDevice => NewKind::BlockDevice(attr.rdev),
        };
        let new = NewInode { kind, mode: attr.mode & S_IALLUGO, uid: attr.uid, gid: attr.gid };
        let changes = dir.changes();
        let inode = dir.inode().create(caller, &name, &new)?;
        let filled = self.fill(caller, lower, &inode, len).and_then(|()| {
            let (atime, mtime) = (Some(attr.atime), Some(attr.mtime));
            // Writing may have dropped the bits that a set-id program has.
            let mode = (self.file_type != FileType::Symlink).then_some(new.mode);
            inode.set_attr(
                caller,
                &SetAttr { mode, atime, mtime, now: caller.now(), ..SetAttr::default() },
            )
        });
        if let Err(error) = filled {
            let _ = match self.is_dir() {
                true => dir.inode().rmdir(caller, &name),
                false => dir.inode().unlink(caller, &name),
            };
            dir.forget(&name);
            return Err(error);
        }
        let dentry = dir.added(&name, inode, changes);
        Ok(self.upper.call_once(|| dentry))
    }

    /// Copies contents and extended attributes.
    fn fill(
        &self,
        caller: &Caller<'_>,
        lower: &Arc<dyn InodeOps>,
        upper: &Arc<dyn InodeOps>,
        len: u64,
    ) -> Result<()> {
        for name in lower.list_xattr(caller)?.split(|&byte| byte == 0) {
            if name.is_empty() || seen_name(name).is_none() {
                continue;
            }
            let value = lower.get_xattr(caller, name)?;
            match upper.set_xattr(caller, name, &value, 0) {
                Err(error) if error == Errno::EOPNOTSUPP.into() => {}
                done => done?,
            }
        }
        if self.file_type == FileType::Regular {
            self.copy(caller, lower, upper, len)
        } else {
            Ok(())
        }
    }

    fn copy(
        &self,
        caller: &Caller<'_>,
        lower: &Arc<dyn InodeOps>,
        upper: &Arc<dyn InodeOps>,
        len: u64,
    ) -> Result<()> {
        let size = lower.attr(caller)?.size.min(len);
        let layer = self.shared.layers.lowers.first().ok_or(Errno::EIO)?;
        let from = open(caller, lower, layer, OpenFlags::O_RDONLY)?;
        let to = open(caller, upper, layer, OpenFlags::O_WRONLY)?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(BLOCK_SIZE).map_err(|_| Errno::ENOMEM)?;
        buffer.resize(BLOCK_SIZE, 0_u8);
        let mut at = 0_u64;
        while at < size {
            let part = size.saturating_sub(at).min(BLOCK_SIZE as u64) as usize;
            let part = buffer.get_mut(..part).unwrap_or_default();
            let count = from.read_at(caller, at, &mut IoDst::kernel(part))?;
            let bytes = part.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            // Holes stay holes.
            if bytes.iter().any(|&byte| byte != 0) {
                let mut rest = IoSrc::kernel(bytes);
                let mut done = 0_u64;
                while rest.remaining() > 0 {
                    let written = to.write_at(caller, at.saturating_add(done), &mut rest)?;
                    if written == 0 {
                        return Err(Errno::ENOSPC.into());
                    }
                    done = done.saturating_add(written as u64);
                }
            }
            at = at.saturating_add(count as u64);
        }
        if upper.attr(caller)?.size < at {
            let change = SetAttr { size: Some(at), now: caller.now(), ..SetAttr::default() };
            upper.set_attr(caller, &change)?;
        }
        Ok(())
    }
}

/// Opens a file of a layer for the file system itself.
fn open(
    caller: &Caller<'_>,
    inode: &Arc<dyn InodeOps>,
    layer: &Path,
    flags: OpenFlags,
) -> Result<Arc<OpenFile>> {
    Ok(OpenFile::new(Arc::clone(inode).open(caller, layer, flags)?, flags, None))
}
