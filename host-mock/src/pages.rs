//! Page blocks in software.

use std::collections::BTreeMap;

use lx_core::host::{BLOCK_SIZE, HostPages, PageBlock};

use crate::MockHost;
use crate::faults::HostCall;
use crate::thread::with_current;

/// Where the blocks pretend to lie: above every guest address.
const REGION: u64 = 0x7000_0000_0000;
/// Most blocks: 256 MB.
const MAX_BLOCKS: u64 = 4096;

/// All blocks, by address.
#[derive(Default)]
pub(crate) struct Blocks {
    live: BTreeMap<u64, Vec<u8>>,
    free: Vec<u64>,
    next: u64,
}

impl Blocks {
    /// The byte range of the block that holds `address`, from there on.
    pub(crate) fn at(&mut self, address: u64) -> Option<&mut [u8]> {
        let (start, block) = self.live.range_mut(..=address).next_back()?;
        block.get_mut((address - start) as usize..)
    }
}

impl HostPages for MockHost {
    fn alloc_block(&self) -> Option<PageBlock> {
        let host = with_current(|current| current.host)?;
        let mut world = self.world();
        world.faults.check(HostCall::AllocBlock).ok()?;
        let blocks = &mut world.blocks;
        let address = match blocks.free.pop() {
            Some(address) => address,
            None if blocks.next < MAX_BLOCKS => {
                blocks.next += 1;
                REGION + (blocks.next - 1) * BLOCK_SIZE as u64
            }
            None => return None,
        };
        blocks.live.insert(address, vec![0; BLOCK_SIZE]);
        Some(PageBlock::from_raw(address, host))
    }

    fn free_block(&self, address: u64) {
        let mut world = self.world();
        world.blocks.live.remove(&address);
        world.blocks.free.push(address);
    }

    fn block_read(&self, block: &PageBlock, offset: usize, dst: &mut [u8]) {
        let mut world = self.world();
        let bytes = world.blocks.at(block.address()).expect("a live block");
        dst.copy_from_slice(&bytes[offset..offset + dst.len()]);
    }

    fn block_write(&self, block: &PageBlock, offset: usize, src: &[u8]) {
        let mut world = self.world();
        let bytes = world.blocks.at(block.address()).expect("a live block");
        bytes[offset..offset + src.len()].copy_from_slice(src);
    }

    fn block_zero(&self, block: &PageBlock, offset: usize, len: usize) {
        let mut world = self.world();
        let bytes = world.blocks.at(block.address()).expect("a live block");
        bytes[offset..offset + len].fill(0);
    }

    fn region_usage(&self) -> (u64, u64) {
        let live = self.world().blocks.live.len() as u64;
        (live * BLOCK_SIZE as u64, MAX_BLOCKS * BLOCK_SIZE as u64)
    }
}
