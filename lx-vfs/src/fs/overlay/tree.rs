//! What the guests changed in the directories of the lower layer.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;
use lx_core::Result;
use lx_core::abi::Errno;

use crate::inode::InodeOps;

/// The changed directories, by inode number. Those without a lower directory are all here.
#[derive(Default)]
pub(super) struct Tree {
    dirs: HashMap<u64, Changes>,
}

/// The changes of one directory.
#[derive(Default)]
struct Changes {
    entries: BTreeMap<Box<[u8]>, Change>,
    /// All names of the lower directory; `None` if the host does not let us read them.
    lower: Option<BTreeSet<Box<[u8]>>>,
}

enum Change {
    /// A whiteout: the lower name is hidden.
    Gone,
    /// A new inode, or one that was moved here.
    Node(Arc<dyn InodeOps>),
}

/// What the changes say of a name.
pub(super) enum Known {
    /// It is not there.
    Missing,
    /// It is this one.
    Node(Arc<dyn InodeOps>),
    /// What the lower directory says.
    Lower,
}

impl Tree {
    pub(super) fn has(&self, dir: u64) -> bool {
        self.dirs.contains_key(&dir)
    }

    pub(super) fn add_dir(&mut self, dir: u64, lower: Option<BTreeSet<Box<[u8]>>>) {
        self.dirs.entry(dir).or_insert(Changes { entries: BTreeMap::new(), lower });
    }

    fn dir(&mut self, dir: u64) -> Result<&mut Changes> {
        self.dirs.get_mut(&dir).ok_or(Errno::ENOENT.into())
    }

    pub(super) fn get(&self, dir: u64, name: &[u8]) -> Known {
        let Some(changes) = self.dirs.get(&dir) else { return Known::Lower };
        match changes.entries.get(name) {
            Some(Change::Gone) => Known::Missing,
            Some(Change::Node(node)) => Known::Node(Arc::clone(node)),
            None => match &changes.lower {
                Some(lower) if !lower.contains(name) => Known::Missing,
                _ => Known::Lower,
            },
        }
    }

    /// Whether the lower directory has the name, hidden or not; `None` if that is not known here.
    pub(super) fn is_in_lower(&self, dir: u64, name: &[u8]) -> Option<bool> {
        Some(self.dirs.get(&dir)?.lower.as_ref()?.contains(name))
    }

    /// Whether a changed directory has no entries. Unreadable ones are taken to have some.
    fn is_empty(&self, dir: u64) -> bool {
        let Some(Changes { entries, lower: Some(lower) }) = self.dirs.get(&dir) else {
            return false;
        };
        entries.values().all(|change| matches!(change, Change::Gone))
            && lower.iter().all(|name| entries.contains_key(name))
    }

    /// The nodes that were added, and the lower names that do not count.
    pub(super) fn changes(&self, dir: u64) -> Option<(Vec<Added>, Names)> {
        let changes = self.dirs.get(&dir)?;
        let mut nodes = Vec::new();
        let mut hidden = BTreeSet::new();
        for (name, change) in &changes.entries {
            hidden.insert(name.clone());
            if let Change::Node(node) = change {
                nodes.push((name.clone(), Arc::clone(node)));
            }
        }
        Some((nodes, hidden))
    }

    /// Adds a name; `in_lower` tells whether the lower directory has it.
    pub(super) fn insert(
        &mut self,
        dir: u64,
        name: &[u8],
        node: Arc<dyn InodeOps>,
        in_lower: bool,
    ) -> Result<()> {
        let entries = &mut self.dir(dir)?.entries;
        match entries.get(name) {
            Some(Change::Node(_)) => return Err(Errno::EEXIST.into()),
            None if in_lower => return Err(Errno::EEXIST.into()),
            Some(Change::Gone) | None => {}
        }
        entries.insert(name.into(), Change::Node(node));
        Ok(())
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, dir: u64, name: &[u8], in_lower: bool) -> Result<()> {
        let entries = &mut self.dir(dir)?.entries;
        match (entries.get(name), in_lower) {
            (Some(Change::Gone), _) | (None, false) => return Err(Errno::ENOENT.into()),
            (_, true) => drop(entries.insert(name.into(), Change::Gone)),
            (Some(Change::Node(_)), false) => drop(entries.remove(name)),
        }
        Ok(())
    }

    /// Ends a directory that has no entries.
    pub(super) fn end_dir(&mut self, dir: u64) -> Result<()> {
        if !self.is_empty(dir) {
            return Err(Errno::ENOTEMPTY.into());
        }
        self.dirs.remove(&dir);
        Ok(())
    }

    /// Puts a node at a name, whatever is there.
    pub(super) fn put(&mut self, dir: u64, name: &[u8], node: Arc<dyn InodeOps>) -> Result<()> {
        self.dir(dir)?.entries.insert(name.into(), Change::Node(node));
        Ok(())
    }
}

/// A node with its name.
pub(super) type Added = (Box<[u8]>, Arc<dyn InodeOps>);

/// A set of names.
pub(super) type Names = BTreeSet<Box<[u8]>>;
