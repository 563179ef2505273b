//! Guest memory in software.

use std::collections::BTreeMap;

use lx_core::abi::Errno;
use lx_core::host::{
    BLOCK_SIZE, Backing, BufMut, Fault, HostError, HostMemory, HostResult, HostStorage, PageBlock,
    Prot,
};

use crate::faults::HostCall;
use crate::{MockHost, World};

const PAGE: u64 = 4096;

/// One page of a guest.
#[derive(Clone)]
struct Page {
    prot: Prot,
    contents: Contents,
}

#[derive(Clone)]
enum Contents {
    Private(Box<[u8]>),
    /// A page of the kernel's blocks, by address: writes are seen by everybody.
    Shared(u64),
}

/// The address space of one process.
#[derive(Clone, Default)]
pub(crate) struct Space {
    pages: BTreeMap<u64, Page>,
}

impl World {
    pub(crate) fn new_space(&mut self) -> u64 {
        let id = self.next_space;
        self.next_space += 1;
        self.spaces.insert(id, Space::default());
        id
    }

    /// A twin for `fork`: private pages are copied, shared ones shared.
    pub(crate) fn copy_space(&mut self, from: u64) -> u64 {
        let copy = self.spaces.get(&from).cloned().unwrap_or_default();
        let id = self.new_space();
        self.spaces.insert(id, copy);
        id
    }

    /// Runs `step(bytes of the page part, done)` over the pages of a range; bytes done before a
    /// fault.
    fn walk(
        &mut self,
        space: u64,
        addr: u64,
        len: usize,
        need: Prot,
        mut step: impl FnMut(&mut [u8], usize),
    ) -> usize {
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done as u64);
            let offset = (at % PAGE) as usize;
            let part = (PAGE as usize - offset).min(len - done);
            let page =
                self.spaces.get_mut(&space).and_then(|space| space.pages.get_mut(&(at / PAGE)));
            let Some(page) = page.filter(|page| page.prot.contains(need)) else { break };
            match &mut page.contents {
                Contents::Private(bytes) => step(&mut bytes[offset..offset + part], done),
                Contents::Shared(address) => match self.blocks.at(*address) {
                    Some(bytes) => step(&mut bytes[offset..offset + part], done),
                    None => break,
                },
            }
            done += part;
        }
        done
    }
}

fn pages(addr: u64, len: u64) -> std::ops::Range<u64> {
    addr / PAGE..(addr + len).div_ceil(PAGE)
}

fn whole(done: usize, len: usize) -> Result<(), Fault> {
    if done == len { Ok(()) } else { Err(Fault) }
}

impl HostMemory for MockHost {
    fn map(&self, addr: u64, len: u64, prot: Prot, backing: Backing<'_>) -> HostResult<()> {
        let space = self.me().space;
        self.world().faults.check(HostCall::Map)?;
        for (index, page) in pages(addr, len).enumerate() {
            let offset = index as u64 * PAGE;
            let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
            let contents = match backing {
                Backing::Anonymous => Contents::Private(bytes),
                Backing::Pages { address, shared: true } => Contents::Shared(address + offset),
                Backing::Pages { address, shared: false } => {
                    let mut world = self.world();
                    if let Some(block) = world.blocks.at(address + offset) {
                        bytes.copy_from_slice(&block[..PAGE as usize]);
                    }
                    Contents::Private(bytes)
                }
                // A private copy made now; shared host mappings write back on `sync` only, which
                // no test needs.
                Backing::File { fd, offset: start, .. } => {
                    self.read_at(fd, start + offset, BufMut::Kernel(&mut bytes))?;
                    Contents::Private(bytes)
                }
            };
            let mut world = self.world();
            let space = world.spaces.entry(space).or_default();
            space.pages.insert(page, Page { prot, contents });
        }
        Ok(())
    }

    fn unmap(&self, addr: u64, len: u64) -> HostResult<()> {
        let space = self.me().space;
        let mut world = self.world();
        world.faults.check(HostCall::Unmap)?;
        let space = world.spaces.entry(space).or_default();
        for page in pages(addr, len) {
            space.pages.remove(&page);
        }
        Ok(())
    }

    fn protect(&self, addr: u64, len: u64, prot: Prot) -> HostResult<()> {
        let space = self.me().space;
        let mut world = self.world();
        world.faults.check(HostCall::Protect)?;
        let space = world.spaces.entry(space).or_default();
        for (_, page) in space.pages.range_mut(pages(addr, len)) {
            page.prot = prot;
        }
        Ok(())
    }

    fn discard(&self, addr: u64, len: u64) -> HostResult<()> {
        let space = self.me().space;
        let mut world = self.world();
        let space = world.spaces.entry(space).or_default();
        for (_, page) in space.pages.range_mut(pages(addr, len)) {
            if let Contents::Private(bytes) = &mut page.contents {
                bytes.fill(0);
            }
        }
        Ok(())
    }

    fn advise(&self, addr: u64, len: u64, advice: i32) -> HostResult<()> {
        const POPULATE_READ: i32 = 22;
        const POPULATE_WRITE: i32 = 23;
        if !matches!(advice, POPULATE_READ | POPULATE_WRITE) {
            return Ok(());
        }
        let space = self.me().space;
        let mut world = self.world();
        let space = world.spaces.entry(space).or_default();
        let mapped = pages(addr, len).all(|page| space.pages.contains_key(&page));
        if mapped { Ok(()) } else { Err(HostError(Errno::ENOMEM)) }
    }

    fn relocate(&self, old: u64, old_len: u64, new: u64, new_len: u64) -> HostResult<()> {
        let space = self.me().space;
        let mut world = self.world();
        let space = world.spaces.entry(space).or_default();
        let moved: Vec<_> = pages(old, old_len).map(|page| space.pages.remove(&page)).collect();
        let prot = moved.iter().flatten().next().map_or(Prot::empty(), |page| page.prot);
        for (index, target) in pages(new, new_len).enumerate() {
            let page = moved.get(index).cloned().flatten().unwrap_or_else(|| Page {
                prot,
                contents: Contents::Private(vec![0; PAGE as usize].into_boxed_slice()),
            });
            space.pages.insert(target, page);
        }
        Ok(())
    }

    fn sync(&self, _addr: u64, _len: u64, _flags: i32) -> HostResult<()> {
        Ok(())
    }

    fn reset(&self) -> HostResult<()> {
        let space = self.me().space;
        self.world().spaces.insert(space, Space::default());
        Ok(())
    }

    fn copy_in(&self, src: u64, dst: &mut [u8]) -> Result<(), Fault> {
        whole(self.copy_in_partial(src, dst), dst.len())
    }

    fn copy_out(&self, dst: u64, src: &[u8]) -> Result<(), Fault> {
        whole(self.copy_out_partial(dst, src), src.len())
    }

    fn copy_out_partial(&self, dst: u64, src: &[u8]) -> usize {
        let space = self.me().space;
        self.world().walk(space, dst, src.len(), Prot::WRITE, |bytes, done| {
            bytes.copy_from_slice(&src[done..done + bytes.len()]);
        })
    }

    fn copy_in_partial(&self, src: u64, dst: &mut [u8]) -> usize {
        let space = self.me().space;
        self.world().walk(space, src, dst.len(), Prot::READ, |bytes, done| {
            dst[done..done + bytes.len()].copy_from_slice(bytes);
        })
    }

    fn zero(&self, dst: u64, len: u64) -> Result<(), Fault> {
        let space = self.me().space;
        let len = len as usize;
        whole(self.world().walk(space, dst, len, Prot::WRITE, |bytes, _| bytes.fill(0)), len)
    }

    fn copy_in_str(&self, src: u64, dst: &mut [u8]) -> Result<Option<usize>, Fault> {
        let count = self.copy_in_partial(src, dst);
        match dst[..count].iter().position(|byte| *byte == 0) {
            Some(len) => Ok(Some(len)),
            None => whole(count, dst.len()).map(|()| None),
        }
    }

    fn load_u32(&self, addr: u64) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.copy_in(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn compare_exchange_u32(&self, addr: u64, current: u32, new: u32) -> Result<u32, Fault> {
        let space = self.me().space;
        let mut found = 0;
        let done = self.world().walk(space, addr, 4, Prot::WRITE, |bytes, _| {
            found = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
            if found == current {
                bytes.copy_from_slice(&new.to_le_bytes());
            }
        });
        whole(done, 4).map(|()| found)
    }

    fn copy_pages_out(&self, dst: u64, block: &PageBlock, offset: usize, len: usize) -> usize {
        let mut bytes = vec![0; len.min(BLOCK_SIZE)];
        block.read(offset, &mut bytes);
        self.copy_out_partial(dst, &bytes)
    }

    fn copy_pages_in(&self, block: &PageBlock, offset: usize, src: u64, len: usize) -> usize {
        let mut bytes = vec![0; len.min(BLOCK_SIZE)];
        let count = self.copy_in_partial(src, &mut bytes);
        block.write(offset, &bytes[..count]);
        count
    }
}

/// A fault as a host error, for storage calls on guest memory.
pub(crate) fn efault() -> HostError {
    HostError(lx_core::abi::Errno::EFAULT)
}
