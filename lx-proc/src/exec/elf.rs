//! ELF headers: what a loader needs of them, checked.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::file::OpenFile;
use lx_core::host::Prot;
use lx_core::io::IoDst;
use lx_core::user_memory::PATH_MAX;

use super::{ExecFailure, fail};

const EHDR_LEN: usize = 64;
const PHDR_LEN: usize = 56;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// A piece of the file that is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) addr: u64,
    pub(crate) file_len: u64,
    pub(crate) memory_len: u64,
    pub(crate) prot: Prot,
}

/// An ELF program or interpreter.
#[derive(Clone)]
pub(crate) struct Elf {
    pub(crate) file: Arc<OpenFile>,
    /// `ET_DYN`: may be loaded anywhere.
    pub(crate) relocatable: bool,
    pub(crate) entry: u64,
    /// Address of the program headers in memory, before relocation; 0 if they are not loaded.
    pub(crate) headers: u64,
    pub(crate) header_count: u16,
    pub(crate) segments: Vec<Segment>,
    /// Alignment that the segments ask for.
    pub(crate) align: u64,
    /// The stack shall be executable.
    pub(crate) stack_exec: bool,
    pub(crate) interpreter: Option<Vec<u8>>,
}

/// The first bytes of a file, enough for the headers of most programs.
pub(crate) struct Head {
    pub(crate) bytes: [u8; PAGE_SIZE as usize],
    pub(crate) len: usize,
}

impl Head {
    /// Reads them.
    pub(crate) fn read(caller: &Caller<'_>, file: &OpenFile) -> Result<Self, ExecFailure> {
        let mut head = Self { bytes: [0; PAGE_SIZE as usize], len: 0 };
        head.len = read_at(caller, file, 0, &mut head.bytes)?;
        Ok(head)
    }

    /// The bytes that the file has.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Reads as much as there is.
fn read_at(
    caller: &Caller<'_>,
    file: &OpenFile,
    offset: u64,
    bytes: &mut [u8],
) -> Result<usize, ExecFailure> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..)
        && !rest.is_empty()
    {
        let at = offset.saturating_add(done as u64);
        match file.ops().read_at(caller, file, at, &mut IoDst::kernel(rest)) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count),
            Err(error) => return Err(fail(error.errno(), "cannot be read")),
        }
    }
    Ok(done)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Whether a file claims to be ELF.
pub(crate) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

impl Elf {
    /// Checks the headers.
    ///
    /// # Errors
    /// `ENOEXEC`, or `wrong` in its place (`ELIBBAD` for interpreters); `EIO` if the file ends within
    /// the header of an interpreter or the name of one.
    pub(crate) fn parse(
        caller: &Caller<'_>,
        file: Arc<OpenFile>,
        head: &Head,
        wrong: Errno,
    ) -> Result<Self, ExecFailure> {
        let bytes = head.bytes();
        let bad = |reason| move || fail(wrong, reason);
        let truncated = bad("truncated ELF file");
        if wrong == Errno::ELIBBAD && bytes.len() < EHDR_LEN {
            return Err(fail(Errno::EIO, "truncated ELF file"));
        }
        if !is_elf(bytes) {
            return Err(fail(wrong, "not an ELF file"));
        }
        if bytes.len() < EHDR_LEN {
            return Err(truncated());
        }
        match (bytes.get(4), bytes.get(5)) {
            (Some(2), Some(1)) => {}
            (Some(1), _) => return Err(fail(wrong, "32-bit program")),
            _ => return Err(fail(wrong, "wrong ELF class or byte order")),
        }
        let kind = u16_at(bytes, 16).ok_or_else(truncated)?;
        if u16_at(bytes, 18) != Some(EM_X86_64) {
            return Err(fail(wrong, "program for another processor"));
        }
        if kind != ET_EXEC && kind != ET_DYN {
            return Err(fail(wrong, "ELF file that is no program"));
        }
        let entry = u64_at(bytes, 24).ok_or_else(truncated)?;
        let table_at = u64_at(bytes, 32).ok_or_else(truncated)?;
        let header_len = u16_at(bytes, 54).ok_or_else(truncated)?;
        let header_count = u16_at(bytes, 56).ok_or_else(truncated)?;
        let table_len = usize::from(header_count).saturating_mul(PHDR_LEN);
        if usize::from(header_len) != PHDR_LEN || header_count == 0 || table_len > 65536 {
            return Err(fail(wrong, "bad ELF program headers"));
        }
        let mut elf = Self {
            file: Arc::clone(&file),
            relocatable: kind == ET_DYN,
            entry,
            headers: 0,
            header_count,
            segments: Vec::new(),
            align: PAGE_SIZE,
            stack_exec: false,
            interpreter: None,
        };
        let start = usize::try_from(table_at).unwrap_or(usize::MAX);
        let in_head = bytes.get(start..start.saturating_add(table_len));
        let mut own = Vec::new();
        let table = match in_head {
            Some(table) => table,
            None => {
                own.resize(table_len, 0);
                if read_at(caller, &file, table_at, &mut own)? < table_len {
                    return Err(truncated());
                }
                &own
            }
        };
        for header in table.chunks_exact(PHDR_LEN) {
            elf.add_header(caller, header, bytes, wrong)?;
        }
        // Where the headers are, by the segment that has them.
        let holder = elf.segments.iter().find(|segment| {
            segment.offset <= table_at && table_at - segment.offset < segment.file_len
        });
        elf.headers = match holder {
            Some(segment) => segment.addr.wrapping_add(table_at - segment.offset),
            None => elf
                .segments
                .first()
                .map_or(0, |first| first.addr.wrapping_sub(first.offset).wrapping_add(table_at)),
        };
        Ok(elf)
    }

    /// The same, if there is something to map. Of a program that is asked after its interpreter has
    /// been found.
    ///
    /// # Errors
    /// `wrong`.
    pub(crate) fn with_segments(self, wrong: Errno) -> Result<Self, ExecFailure> {
        if self.segments.is_empty() {
            return Err(fail(wrong, "ELF file without segments"));
        }
        Ok(self)
    }

    fn add_header(
        &mut self,
        caller: &Caller<'_>,
        header: &[u8],
        head: &[u8],
        wrong: Errno,
    ) -> Result<(), ExecFailure> {
        let bad = || fail(wrong, "bad ELF program header");
        let kind = u32_at(header, 0).ok_or_else(bad)?;
        let flags = u32_at(header, 4).ok_or_else(bad)?;
        let field = |at| u64_at(header, at).ok_or_else(bad);
        match kind {
            PT_LOAD => {
                let segment = Segment {
                    offset: field(8)?,
                    addr: field(16)?,
                    file_len: field(32)?,
                    memory_len: field(40)?,
                    prot: prot_of(flags),
                };
                self.check(&segment, wrong)?;
                if segment.memory_len > 0 {
                    let align = field(48)?;
                    if align.is_power_of_two() {
                        self.align = self.align.max(align);
                    }
                    self.segments.push(segment);
                }
            }
            PT_INTERP if self.interpreter.is_none() => {
                let len = usize::try_from(field(32)?).unwrap_or(usize::MAX);
                if !(2..=PATH_MAX).contains(&len) {
                    return Err(fail(wrong, "bad interpreter name"));
                }
                let at = field(8)?;
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let mut path = match head.get(start..start.saturating_add(len)) {
                    Some(path) => path.to_vec(),
                    None => {
                        let mut path = alloc::vec![0; len];
                        if read_at(caller, &self.file, at, &mut path)? < len {
                            return Err(fail(Errno::EIO, "truncated ELF file"));
                        }
                        path
                    }
                };
                if path.pop() != Some(0) {
                    return Err(fail(wrong, "bad interpreter name"));
                }
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                path.truncate(end);
                self.interpreter = Some(path);
            }
            PT_GNU_STACK => self.stack_exec = flags & PF_X != 0,
            _ => {}
        }
        Ok(())
    }

    /// A segment must make sense by itself and come after the one before it.
    fn check(&self, segment: &Segment, wrong: Errno) -> Result<(), ExecFailure> {
        let end = segment.addr.checked_add(segment.memory_len);
        let file_end = segment.offset.checked_add(segment.file_len);
        let fits = end.is_some_and(|end| end <= USER_END)
            && file_end.is_some_and(|end| i64::try_from(end).is_ok())
            && segment.file_len <= segment.memory_len
            && segment.addr % PAGE_SIZE == segment.offset % PAGE_SIZE;
        let after = self
            .segments
            .last()
            .is_none_or(|last| last.addr.saturating_add(last.memory_len) <= segment.addr);
        if fits && after { Ok(()) } else { Err(fail(wrong, "bad ELF segment")) }
    }

    /// Lowest address and end, whole pages, before relocation.
    pub(crate) fn span(&self) -> (u64, u64) {
        let low = self.segments.first().map_or(0, |segment| segment.addr);
        let high = self
            .segments
            .last()
            .map_or(0, |segment| segment.addr.saturating_add(segment.memory_len));
        let page = PAGE_SIZE - 1;
        (low & !page, high.saturating_add(page) & !page)
    }
}

fn prot_of(flags: u32) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, flags & PF_R != 0);
    prot.set(Prot::WRITE, flags & PF_W != 0);
    prot.set(Prot::EXEC, flags & PF_X != 0);
    prot
}

#[cfg(test)]
mod tests;
