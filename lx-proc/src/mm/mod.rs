//! Address spaces: which guest addresses are mapped to what, and the calls that change that.
//!
//! [`AddressSpace`] holds the tree of mappings; the memory itself is the host's. The kernel chooses
//! all addresses. No host call is made under the tree's lock; the order of steps keeps a range
//! reserved in the tree for as long as the host may have something there:
//!
//! - mmap: into the tree, then mapped by the host; taken back out if the host fails;
//! - munmap: unmapped by the host, then out of the tree;
//! - mprotect: checked in the tree, changed by the host, then in the tree.
//!
//! # Recycling
//!
//! A small private anonymous mapping that is unmapped stays with the host for a while: the next
//! mmap of its size gets it, zeroed, without a host call, which costs a fiftieth. The price: until
//! then a stray access to it does not fault. Parts of a mapping are not recycled.
//!
//! # Program text
//!
//! A private executable mapping of a file gets its system-call sites rewritten ([`text`]). The stubs
//! that the sites jump to lie behind the mapping, invisible to the guest. Executable memory without
//! a file (a JIT's) is left as it is: its system calls trap.

mod advise;
mod brk;
mod dump;
mod fault;
mod map;
mod map_text;
mod pages;
mod policy;
mod protect;
mod remap;
mod remote;
mod report;
mod resize;
mod ring;
mod segment;
mod setup;
pub mod text;
mod tree;
mod unmap;
pub mod vma;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use lx_core::Result;
use lx_core::abi::{Errno, USER_END};
use lx_core::host::Host;
use lx_core::rlimit::{RLIM_INFINITY, Resource, Rlimits};
use lx_core::sync::{Mutex, level};

use crate::aio::Contexts;

pub(crate) use dump::DumpedRange;
pub use fault::{FaultOutcome, WordLocation};
pub use map::MapRequest;
pub use pages::{PageMapping, SharedMemory};
pub use remote::{Reach, RemoteMemory};
pub use report::{MapLine, MemoryFigures, Program};
pub use resize::files_resized;
use text::TextCache;
use tree::VmaTree;
use vma::{Vma, VmaFlags};

/// Lowest address that a guest may map, `vm.mmap_min_addr`.
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// Most mappings of one address space, `vm.max_map_count`.
pub const MAX_MAP_COUNT: usize = 65_530;
/// First address behind the main stack.
pub const STACK_TOP: u64 = USER_END - 0x1_0000;
/// Where mappings begin, downwards, unless the stack limit asks for more room.
const MMAP_TOP: u64 = USER_END - 0x1000_0000;
/// Recycled ranges that wait for reuse.
const MAX_RECYCLED: usize = 16;
/// Small mappings that are remembered.
const MAX_SMALL: usize = 32;
/// The longest range that is recycled.
const MAX_RECYCLED_LEN: u64 = 16 << 10;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What an address space's lock protects.
struct Inner {
    tree: VmaTree,
    /// Searches for free addresses go downwards from here.
    mmap_top: u64,
    /// Start of the heap.
    brk_start: u64,
    /// Its end, as brk(2) set it.
    brk: u64,
    /// Start and length of the recycled ranges, oldest first.
    recycled: ArrayVec<(u64, u64), MAX_RECYCLED>,
    /// Start and length of the latest small mappings: only what was mapped as a whole is recycled.
    small: ArrayVec<(u64, u64), MAX_SMALL>,
    /// Bytes locked by mlock(2).
    locked: u64,
    /// `MCL_FUTURE`.
    lock_future: bool,
    /// The highest value of [`VmaTree::mapped`].
    peak: u64,
    program: Arc<Program>,
}

/// An address space, shared by all tasks with `CLONE_VM`.
pub struct AddressSpace {
    id: u64,
    text: Arc<TextCache>,
    /// It has registered for expedited memory barriers, `membarrier(2)`.
    barriers: AtomicBool,
    /// A file was shortened: pages behind its end may still be mapped.
    shows_too_much: AtomicBool,
    /// The last event that took pages from a file and needs nothing more to be done here.
    shortening: AtomicU64,
    /// Held while a page of a private mapping appears that its file has gained.
    filling: Mutex<(), { level::ADDRESS_SPACE }>,
    inner: Mutex<Inner, { level::ADDRESS_SPACE }>,
    /// Contexts of asynchronous I/O.
    contexts: Contexts,
}

impl AddressSpace {
    /// An address space without mappings.
    pub fn new(text: Arc<TextCache>) -> Arc<Self> {
        let inner = Inner {
            tree: VmaTree::default(),
            mmap_top: MMAP_TOP,
            brk_start: 0,
            brk: 0,
            recycled: ArrayVec::new(),
            small: ArrayVec::new(),
            locked: 0,
            lock_future: false,
            peak: 0,
            program: Arc::default(),
        };
        Arc::new(Self {
            id: new_id(),
            text,
            barriers: AtomicBool::new(false),
            shows_too_much: AtomicBool::new(false),
            shortening: AtomicU64::new(0),
            filling: Mutex::new(()),
            inner: Mutex::new(inner),
            contexts: Contexts::default(),
        })
    }

    /// A copy for a child process; the host's twin has the memory.
    pub fn duplicate(&self) -> Arc<Self> {
        let inner = self.inner.lock();
        let mut copy = Inner {
            tree: inner.tree.clone(),
            mmap_top: inner.mmap_top,
            brk_start: inner.brk_start,
            brk: inner.brk,
            recycled: inner.recycled.clone(),
            small: inner.small.clone(),
            locked: 0,
            lock_future: false,
            peak: inner.tree.mapped(),
            program: Arc::clone(&inner.program),
        };
        drop(inner);
        // Memory locks and ranges with MADV_DONTFORK are not inherited.
        let dropped = copy.leave_behind();
        drop(dropped);
        Arc::new(Self {
            id: new_id(),
            text: Arc::clone(&self.text),
            barriers: AtomicBool::new(self.uses_barriers()),
            shows_too_much: AtomicBool::new(self.shows_too_much()),
            shortening: AtomicU64::new(self.shortening.load(Ordering::SeqCst)),
            filling: Mutex::new(()),
            inner: Mutex::new(copy),
            contexts: Contexts::default(),
        })
    }

    /// Gives all recycled ranges back to the host, when memory is short; whether there were any.
    fn release_recycled(&self, host: &dyn Host) -> bool {
        let mut any = false;
        loop {
            let Some((addr, len)) = self.inner.lock().recycled.pop() else { return any };
            any = true;
            let _ = host.unmap(addr, len);
            // Recycled memory has no file, so dropping it under the lock calls nobody.
            drop(self.inner.lock().tree.remove(addr, addr.saturating_add(len)));
        }
    }

    /// Its number, unlike any other's: for keys of private futexes.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Registers for expedited memory barriers.
    pub fn register_barriers(&self) {
        self.barriers.store(true, Ordering::Relaxed);
    }

    /// Whether it has registered for expedited memory barriers.
    pub fn uses_barriers(&self) -> bool {
        self.barriers.load(Ordering::Relaxed)
    }

    /// The cache of rewritten text.
    pub fn text_cache(&self) -> &Arc<TextCache> {
        &self.text
    }
}

fn new_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Inner {
    /// Takes out what a child does not inherit.
    fn leave_behind(&mut self) -> Vec<Vma> {
        self.tree.clear_flags(VmaFlags::LOCKED);
        let left: Vec<(u64, u64)> = self
            .tree
            .iter()
            .filter(|vma| vma.flags.contains(VmaFlags::DONT_FORK))
            .map(|vma| (vma.start, vma.end))
            .collect();
        left.into_iter().flat_map(|(start, end)| self.tree.remove(start, end)).collect()
    }

    /// Checks the limits for `len` more bytes.
    fn check_limits(&self, limits: &Rlimits, len: u64) -> Result<()> {
        let limit = limits.soft(Resource::As);
        if limit != RLIM_INFINITY && self.tree.mapped().saturating_add(len) > limit {
            return Err(Errno::ENOMEM.into());
        }
        if self.tree.len() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM.into());
        }
        Ok(())
    }

    /// Forgets recycled ranges that touch a range which is going to be used; their mappings leave
    /// the tree, what the host has there is covered by whatever comes.
    fn evict_recycled(&mut self, start: u64, end: u64) {
        while let Some(at) = self
            .recycled
            .iter()
            .position(|&(addr, len)| addr < end && start < addr.saturating_add(len))
        {
            let (addr, len) = self.recycled.remove(at);
            // Recycled memory has no file, so dropping it here calls nobody.
            drop(self.tree.remove(addr, addr.saturating_add(len)));
        }
    }

    /// Remembers a small mapping, so that it may be recycled as a whole.
    fn note_small(&mut self, start: u64, len: u64) {
        if self.small.is_full() {
            self.small.remove(0);
        }
        let _ = self.small.try_push((start, len));
    }

    fn note_peak(&mut self) {
        self.peak = self.peak.max(self.tree.mapped());
    }
}
