//! Where the page blocks of a tmpfs file are found.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::host::PageBlock;

/// Blocks with a lower index lie in an array, the others in a tree: sparse files stay small.
const DENSE_BLOCKS: u64 = 16384;

/// The blocks of a file by their index, which is their offset in units of their size.
#[derive(Default)]
pub(super) struct Blocks {
    dense: Vec<Option<Arc<PageBlock>>>,
    sparse: BTreeMap<u64, Arc<PageBlock>>,
}

impl Blocks {
    /// The block with index `index`.
    pub(super) fn get(&self, index: u64) -> Option<&Arc<PageBlock>> {
        if index < DENSE_BLOCKS {
            self.dense.get(index as usize)?.as_ref()
        } else {
            self.sparse.get(&index)
        }
    }

    /// Adds a block.
    pub(super) fn insert(&mut self, index: u64, block: Arc<PageBlock>) {
        if index < DENSE_BLOCKS {
            let index = index as usize;
            if self.dense.len() <= index {
                self.dense.resize(index.saturating_add(1), None);
            }
            if let Some(slot) = self.dense.get_mut(index) {
                *slot = Some(block);
            }
        } else {
            self.sparse.insert(index, block);
        }
    }

    /// Indices of the blocks from `index` on.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = u64> {
        let dense = self.dense.iter().enumerate().skip(index.min(DENSE_BLOCKS) as usize);
        let dense = dense.filter(|(_, block)| block.is_some()).map(|(index, _)| index as u64);
        dense.chain(self.sparse.range(index..).map(|(index, _)| *index))
    }

    /// Takes a block out.
    pub(super) fn remove(&mut self, index: u64) -> Option<Arc<PageBlock>> {
        if index < DENSE_BLOCKS {
            self.dense.get_mut(index as usize)?.take()
        } else {
            self.sparse.remove(&index)
        }
    }
}
