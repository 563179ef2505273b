//! What of an address space goes to a core file.

use alloc::vec::Vec;

use lx_core::host::Prot;

use super::AddressSpace;
use super::vma::{Vma, VmaBacking, VmaFlags};

/// A mapping in a core file.
pub(crate) struct DumpedRange {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) prot: Prot,
    /// Bytes that are written, from the start.
    pub(crate) dumped: u64,
    /// It shows the beginning of a file.
    pub(crate) begins_file: bool,
}

impl AddressSpace {
    /// The mappings that the guest sees, ascending, as the usual `/proc/PID/coredump_filter` has
    /// them: memory without a file, and what was written to private mappings of files.
    pub(crate) fn dumped_ranges(&self) -> Vec<DumpedRange> {
        let inner = self.inner.lock();
        inner.tree.iter().filter(|vma| !vma.is_invisible()).map(range).collect()
    }
}

fn range(vma: &Vma) -> DumpedRange {
    let has_file = vma.backing.file().is_some();
    // Which pages were written, only the host knows: it may have been any that could be.
    let maybe_written = vma.flags.contains(VmaFlags::WRITABLE_ONCE);
    let whole = match &vma.backing {
        _ if vma.flags.contains(VmaFlags::DONT_DUMP) => false,
        VmaBacking::Anonymous | VmaBacking::Special(_) => true,
        _ => !has_file || maybe_written,
    };
    DumpedRange {
        start: vma.start,
        len: vma.len(),
        prot: vma.prot,
        dumped: if whole { vma.len() } else { 0 },
        begins_file: has_file
            && vma.backing.file_offset() == 0
            && !vma.flags.contains(VmaFlags::DONT_DUMP),
    }
}
