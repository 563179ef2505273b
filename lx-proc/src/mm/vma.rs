//! One mapping: a range of addresses with the same rights and the same thing behind them.

use alloc::sync::Arc;

use lx_core::abi::PAGE_SIZE;
use lx_core::file::OpenFile;
use lx_core::host::{HostFd, Prot};

use super::pages::PageMapping;
use super::text::TextMapping;
use crate::mempolicy::MemPolicy;

bitflags::bitflags! {
    /// Properties of a mapping besides its rights.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct VmaFlags: u16 {
        /// `MAP_SHARED`.
        const SHARED = 1;
        /// Grows downwards when the address below is touched, `MAP_GROWSDOWN`.
        const GROWS_DOWN = 1 << 1;
        /// The main thread's stack.
        const STACK = 1 << 2;
        /// The heap of `brk(2)`.
        const HEAP = 1 << 3;
        /// The kernel's own: not listed, not counted, cannot be changed by calls (stubs).
        const HIDDEN = 1 << 4;
        /// Unmapped for the guest, but the host still has the memory: it waits for reuse.
        const RECYCLED = 1 << 5;
        /// `mlock(2)`.
        const LOCKED = 1 << 6;
        /// `MADV_DONTFORK`.
        const DONT_FORK = 1 << 7;
        /// `MADV_WIPEONFORK`.
        const WIPE_ON_FORK = 1 << 8;
        /// System-call sites in this private mapping of a file were rewritten (or it has none).
        const REWRITTEN = 1 << 9;
        /// A shared mapping of a file that is not open for writing.
        const NO_WRITE = 1 << 10;
        /// `MAP_NORESERVE`.
        const NO_RESERVE = 1 << 11;
        /// `MADV_DONTDUMP`.
        const DONT_DUMP = 1 << 12;
        /// A private mapping of a file that can be written, or once could.
        const WRITABLE_ONCE = 1 << 13;
        /// A segment of System V shared memory.
        const SEGMENT = 1 << 14;
        /// Cannot grow: a ring of asynchronous I/O.
        const DONT_EXPAND = 1 << 15;
    }
}

impl VmaFlags {
    /// Mappings that a guest cannot see: for it the range is free.
    pub(crate) const INVISIBLE: Self = Self::HIDDEN.union(Self::RECYCLED);
}

/// A mapped host file.
pub struct HostMapping {
    /// The host's descriptor.
    pub(crate) fd: Arc<HostFd>,
    /// What the guest mapped.
    pub(crate) file: Arc<OpenFile>,
}

/// What stands behind a mapping. Offsets are those of the mapping's first byte.
#[derive(Clone)]
pub enum VmaBacking {
    /// Zeroed private memory.
    Anonymous,
    /// Page blocks of the kernel.
    Pages(Arc<PageMapping>, u64),
    /// A host file.
    Host(Arc<HostMapping>, u64),
    /// Program text of a file, with its system-call sites rewritten; the offset is in the text.
    Text(Arc<TextMapping>, u64),
    /// Something of the kernel's with a name: `[vdso]`.
    Special(&'static str),
}

impl VmaBacking {
    /// What stands behind the part that begins `delta` bytes later.
    #[must_use]
    pub(crate) fn advance(&self, delta: u64) -> Self {
        match self {
            Self::Anonymous => Self::Anonymous,
            Self::Pages(pages, offset) => {
                Self::Pages(Arc::clone(pages), offset.wrapping_add(delta))
            }
            Self::Host(host, offset) => Self::Host(Arc::clone(host), offset.wrapping_add(delta)),
            Self::Text(text, offset) => Self::Text(Arc::clone(text), offset.wrapping_add(delta)),
            Self::Special(name) => Self::Special(name),
        }
    }

    /// Whether `next` goes on where this one ends after `len` bytes.
    fn continues(&self, len: u64, next: &Self) -> bool {
        match (self, next) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Pages(a, at), Self::Pages(b, next)) => {
                Arc::ptr_eq(a, b) && at.wrapping_add(len) == *next
            }
            (Self::Host(a, at), Self::Host(b, next)) => {
                Arc::ptr_eq(&a.file, &b.file) && at.wrapping_add(len) == *next
            }
            (Self::Text(a, at), Self::Text(b, next)) => {
                Arc::ptr_eq(a, b) && at.wrapping_add(len) == *next
            }
            _ => false,
        }
    }

    /// The file that is mapped.
    pub fn file(&self) -> Option<&Arc<OpenFile>> {
        match self {
            Self::Anonymous | Self::Special(_) => None,
            Self::Pages(pages, _) => pages.file(),
            Self::Host(host, _) => Some(&host.file),
            Self::Text(text, _) => text.original().file(),
        }
    }

    /// Offset of the first byte in the file, or in shared memory without one.
    pub fn file_offset(&self) -> u64 {
        match self {
            Self::Anonymous | Self::Special(_) => 0,
            Self::Pages(_, offset) | Self::Host(_, offset) => *offset,
            Self::Text(text, offset) => text.original().file_offset().wrapping_add(*offset),
        }
    }
}

/// A mapping, `vm_area_struct`.
#[derive(Clone)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Rights.
    pub prot: Prot,
    /// Properties.
    pub flags: VmaFlags,
    /// What stands behind it.
    pub backing: VmaBacking,
    /// `mbind(2)`.
    pub policy: Option<MemPolicy>,
}

impl Vma {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no bytes; such mappings do not exist in a tree.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether `addr` lies in it.
    pub fn contains(&self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether the guest cannot see it.
    pub fn is_invisible(&self) -> bool {
        self.flags.intersects(VmaFlags::INVISIBLE)
    }

    /// Whether it is private zeroed memory.
    pub fn is_private_anonymous(&self) -> bool {
        matches!(self.backing, VmaBacking::Anonymous) && !self.flags.contains(VmaFlags::SHARED)
    }

    /// What these rights leave behind when it has had them. Only private mappings of files remember
    /// anything; others are alike, and join their neighbours, whatever they once were.
    pub(crate) fn traces_of(&self, prot: Prot) -> VmaFlags {
        let mut traces = VmaFlags::empty();
        if self.backing.file().is_some() && !self.flags.contains(VmaFlags::SHARED) {
            traces.set(VmaFlags::WRITABLE_ONCE, prot.contains(Prot::WRITE));
            traces.set(VmaFlags::REWRITTEN, prot.contains(Prot::EXEC));
        }
        traces
    }

    /// Cuts it at `at`, which lies inside; this one keeps the lower part.
    pub(crate) fn split_off(&mut self, at: u64) -> Self {
        debug_assert!(self.start < at && at < self.end && at.is_multiple_of(PAGE_SIZE));
        let upper = Self {
            start: at,
            backing: self.backing.advance(at.wrapping_sub(self.start)),
            ..self.clone()
        };
        self.end = at;
        upper
    }

    /// Whether `next` lies directly behind and is the same kind of thing.
    pub(crate) fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.flags == next.flags
            && self.policy == next.policy
            && !self.flags.contains(VmaFlags::RECYCLED)
            && self.backing.continues(self.len(), &next.backing)
    }
}
