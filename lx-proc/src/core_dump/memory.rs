//! The memory in a core file.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::elf_core::{PF_R, PF_W, PF_X};
use lx_core::abi::{Errno, PAGE_SIZE};
use lx_core::host::{BLOCK_SIZE, Prot};

use super::CoreFile;
use crate::current::CurrentTask;
use crate::mm::DumpedRange;

const PAGE: usize = PAGE_SIZE as usize;

/// `p_flags` of a mapping.
pub(super) fn segment_flags(prot: Prot) -> u32 {
    let flag = |right: Prot, flag: u32| if prot.contains(right) { flag } else { 0 };
    flag(Prot::READ, PF_R) | flag(Prot::WRITE, PF_W) | flag(Prot::EXEC, PF_X)
}

/// The mappings, with how much of each goes to the file. Of one that is not written otherwise, that
/// is the page with a header of an ELF file, by which a debugger knows the file.
pub(super) fn ranges(current: &CurrentTask<'_>) -> Vec<DumpedRange> {
    let mut ranges = current.mm().dumped_ranges();
    for range in ranges.iter_mut().filter(|range| range.begins_file && range.dumped == 0) {
        let mut magic = [0_u8; 4];
        if range.prot.contains(Prot::READ)
            && current.memory().read_bytes(range.start, &mut magic).is_ok()
            && magic == *b"\x7fELF"
        {
            range.dumped = PAGE_SIZE;
        }
    }
    ranges
}

/// Writes the memory. Pages of zeros, and those that nobody may read, are holes.
pub(super) fn write(
    current: &CurrentTask<'_>,
    file: &mut CoreFile<'_>,
    ranges: &[DumpedRange],
) -> Result<()> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(BLOCK_SIZE).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(BLOCK_SIZE, 0_u8);
    for range in ranges {
        let mut done = 0;
        if !range.prot.contains(Prot::READ) {
            file.skip(range.dumped);
            continue;
        }
        while done < range.dumped {
            if current.task().waiter().is_killed() {
                return Err(Errno::EINTR.into());
            }
            let len = (range.dumped - done).min(BLOCK_SIZE as u64) as usize;
            let chunk = buffer.get_mut(..len).unwrap_or_default();
            let got = current.host().copy_in_partial(range.start.saturating_add(done), chunk);
            // The page that cannot be read, a file's behind its end, is one of zeros.
            let whole = got & !(PAGE - 1);
            for page in chunk.get(..whole).unwrap_or_default().chunks(PAGE) {
                if page.iter().any(|&byte| byte != 0) {
                    file.put(page)?;
                } else {
                    file.skip(PAGE_SIZE);
                }
            }
            let missing = if whole < len { PAGE_SIZE } else { 0 };
            file.skip(missing);
            done = done.saturating_add(whole as u64).saturating_add(missing);
        }
    }
    // A hole at the end counts only with something behind it.
    let (at, written) = (file.at, file.file.ops().stat(&file.caller, &file.file)?.st_size);
    if at > written.cast_unsigned() {
        file.at = at.saturating_sub(1);
        file.put(&[0])?;
    }
    Ok(())
}
