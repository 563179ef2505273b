//! The directories of a tmpfs.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::RenameFlags;
use lx_core::abi::stat::FileType;

use super::TmpInode;
use crate::inode::InodeOps;

/// All directories, by inode number. One that is not here was removed.
#[derive(Default)]
pub(super) struct Tree {
    dirs: HashMap<u64, Directory>,
}

struct Directory {
    parent: u64,
    entries: BTreeMap<Box<[u8]>, Arc<TmpInode>>,
}

fn is_dir(inode: &TmpInode) -> bool {
    inode.file_type() == FileType::Directory
}

impl Tree {
    fn dir(&mut self, dir: u64) -> Result<&mut Directory> {
        self.dirs.get_mut(&dir).ok_or(Errno::ENOENT.into())
    }

    /// An empty directory.
    pub(super) fn add_dir(&mut self, dir: u64, parent: u64) {
        self.dirs.insert(dir, Directory { parent, entries: BTreeMap::new() });
    }

    pub(super) fn get(&self, dir: u64, name: &[u8]) -> Result<&Arc<TmpInode>> {
        let entry = self.dirs.get(&dir).and_then(|dir| dir.entries.get(name));
        entry.ok_or(Errno::ENOENT.into())
    }

    pub(super) fn len(&self, dir: u64) -> usize {
        self.dirs.get(&dir).map_or(0, |dir| dir.entries.len())
    }

    pub(super) fn entries(&self, dir: u64) -> impl Iterator<Item = (&[u8], &Arc<TmpInode>)> {
        let entries = self.dirs.get(&dir).into_iter().flat_map(|dir| &dir.entries);
        entries.map(|(name, inode)| (&**name, inode))
    }

    /// Adds a name; of a directory, also its place in the tree.
    pub(super) fn insert(&mut self, dir: u64, name: &[u8], inode: Arc<TmpInode>) -> Result<()> {
        let entries = &mut self.dir(dir)?.entries;
        if entries.contains_key(name) {
            return Err(Errno::EEXIST.into());
        }
        let (ino, new_dir) = (inode.ino(), is_dir(&inode));
        entries.insert(name.into(), inode);
        if new_dir {
            self.add_dir(ino, dir);
        }
        Ok(())
    }

    /// Removes a name that is no directory.
    pub(super) fn unlink(&mut self, dir: u64, name: &[u8]) -> Result<Arc<TmpInode>> {
        if is_dir(self.get(dir, name)?) {
            return Err(Errno::EISDIR.into());
        }
        self.dir(dir)?.entries.remove(name).ok_or(Errno::ENOENT.into())
    }

    /// Removes an empty directory.
    pub(super) fn rmdir(&mut self, dir: u64, name: &[u8]) -> Result<Arc<TmpInode>> {
        let child = self.get(dir, name)?;
        if !is_dir(child) {
            return Err(Errno::ENOTDIR.into());
        }
        let ino = child.ino();
        if self.len(ino) > 0 {
            return Err(Errno::ENOTEMPTY.into());
        }
        self.dirs.remove(&ino);
        self.dir(dir)?.entries.remove(name).ok_or(Errno::ENOENT.into())
    }

    /// Whether directory `at` is `above` or lies below it.
    fn is_within(&self, at: u64, above: u64) -> bool {
        let mut at = at;
        loop {
            if at == above {
                return true;
            }
            match self.dirs.get(&at) {
                Some(dir) if dir.parent != at => at = dir.parent,
                _ => return false,
            }
        }
    }

    /// Moves a name; the inode moved and the one that was at the target (replaced, or exchanged).
    pub(super) fn rename(
        &mut self,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        flags: RenameFlags,
    ) -> Result<(Arc<TmpInode>, Option<Arc<TmpInode>>)> {
        let source = Arc::clone(self.get(from.0, from.1)?);
        let target = self.dir(to.0)?.entries.get(to.1).cloned();
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        if is_dir(&source) && self.is_within(to.0, source.ino()) {
            return Err(Errno::EINVAL.into());
        }
        match &target {
            None if exchange => return Err(Errno::ENOENT.into()),
            Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => {
                return Err(Errno::EEXIST.into());
            }
            Some(target) if exchange && is_dir(target) && self.is_within(from.0, target.ino()) => {
                return Err(Errno::EINVAL.into());
            }
            Some(_) if exchange => {}
            Some(target) => match (is_dir(&source), is_dir(target)) {
                (true, false) => return Err(Errno::ENOTDIR.into()),
                (false, true) => return Err(Errno::EISDIR.into()),
                (true, true) if self.len(target.ino()) > 0 => {
                    return Err(Errno::ENOTEMPTY.into());
                }
                (true, true) => {
                    self.dirs.remove(&target.ino());
                }
                (false, false) => {}
            },
            None => {}
        }
        match &target {
            Some(target) if exchange => {
                self.put(from, Arc::clone(target))?;
            }
            _ => {
                self.dir(from.0)?.entries.remove(from.1);
            }
        }
        self.put(to, Arc::clone(&source))?;
        Ok((source, target))
    }

    fn put(&mut self, at: (u64, &[u8]), inode: Arc<TmpInode>) -> Result<()> {
        if is_dir(&inode) {
            self.dir(inode.ino())?.parent = at.0;
        }
        self.dir(at.0)?.entries.insert(at.1.into(), inode);
        Ok(())
    }
}
