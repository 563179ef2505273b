//! What procfs shows of an address space.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use lx_core::caller::Caller;
use lx_core::file::OpenFile;
use lx_core::host::Prot;
use lx_vfs::location::Path;

use super::AddressSpace;
use super::vma::{Vma, VmaBacking, VmaFlags};

/// The program that an address space was made for.
#[derive(Clone, Default)]
pub struct Program {
    /// Its file: `/proc/PID/exe`.
    pub file: Option<Arc<OpenFile>>,
    /// The arguments, each with a NUL behind it: `/proc/PID/cmdline`.
    pub args: Vec<u8>,
    /// The environment: `/proc/PID/environ`.
    pub env: Vec<u8>,
    /// The auxiliary vector as bytes: `/proc/PID/auxv`.
    pub auxv: Vec<u8>,
    /// Text: first address and end.
    pub code: (u64, u64),
    /// Data: first address and end.
    pub data: (u64, u64),
    /// Stack pointer at the start.
    pub stack: u64,
    /// Arguments on the stack: first address and end.
    pub arg_range: (u64, u64),
    /// Environment on the stack: first address and end.
    pub env_range: (u64, u64),
    /// Address of `rt_sigreturn` code in the vDSO, 0 if there is none.
    pub restorer: u64,
}

/// One line of `/proc/PID/maps`.
pub struct MapLine {
    /// First address.
    pub start: u64,
    /// First address behind.
    pub end: u64,
    /// Rights.
    pub prot: Prot,
    /// `MAP_SHARED`.
    pub shared: bool,
    /// Whether it is locked.
    pub locked: bool,
    /// Offset in the file.
    pub offset: u64,
    /// The file.
    pub file: Option<Arc<OpenFile>>,
    /// The name of a mapping without a file; empty for most.
    pub name: &'static str,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// All mappings.
    pub size: u64,
    /// The most there ever were.
    pub peak: u64,
    /// What is probably in memory.
    pub resident: u64,
    /// Part of that which is shared.
    pub shared: u64,
    /// Text of the program.
    pub text: u64,
    /// Private writable mappings.
    pub data: u64,
    /// The main stack.
    pub stack: u64,
    /// Locked by mlock(2).
    pub locked: u64,
}

/// Mappings longer than this are counted as resident up to it only: most of a big reservation is
/// never touched.
const ASSUMED_RESIDENT: u64 = 1 << 20;

impl AddressSpace {
    /// Sets what procfs shows of the program.
    pub(crate) fn set_program(&self, program: Arc<Program>) {
        let old = core::mem::replace(&mut self.inner.lock().program, program);
        drop(old);
    }

    /// The program.
    pub fn program(&self) -> Arc<Program> {
        Arc::clone(&self.inner.lock().program)
    }

    /// Address of `rt_sigreturn` code in the vDSO, 0 if there is none.
    pub(crate) fn restorer(&self) -> u64 {
        self.inner.lock().program.restorer
    }

    /// Start and end of the heap.
    pub fn heap(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.brk_start, inner.brk)
    }

    /// The mappings that the guest sees, ascending.
    pub fn map_lines(&self) -> Vec<MapLine> {
        let inner = self.inner.lock();
        inner.tree.iter().filter(|vma| !vma.is_invisible()).map(line).collect()
    }

    /// The text of `/proc/PID/maps`, with paths as seen from `root`.
    pub fn maps_text(&self, caller: &Caller<'_>, root: &Path) -> Vec<u8> {
        let mut text = Bytes(Vec::new());
        for line in self.map_lines() {
            // Writing to memory cannot fail.
            let _ = line.write_to(&mut text, caller, root);
        }
        text.0
    }

    /// The text of `/proc/PID/smaps`: what is resident is an estimate.
    pub fn smaps_text(&self, caller: &Caller<'_>, root: &Path) -> Vec<u8> {
        let mut text = Bytes(Vec::new());
        for line in self.map_lines() {
            // Writing to memory cannot fail.
            let _ = line.write_to(&mut text, caller, root);
            let _ = line.write_sizes(&mut text);
        }
        text.0
    }

    /// Sizes. The host knows what is really resident; this is an estimate.
    pub fn figures(&self) -> MemoryFigures {
        let inner = self.inner.lock();
        let mut figures = MemoryFigures {
            size: inner.tree.mapped(),
            peak: inner.peak.max(inner.tree.mapped()),
            locked: inner.locked,
            data: inner.data_bytes(),
            ..MemoryFigures::default()
        };
        for vma in inner.tree.iter().filter(|vma| !vma.is_invisible()) {
            if !vma.prot.is_empty() {
                let resident = vma.len().min(ASSUMED_RESIDENT);
                figures.resident = figures.resident.saturating_add(resident);
                if vma.backing.file().is_some() || vma.flags.contains(VmaFlags::SHARED) {
                    figures.shared = figures.shared.saturating_add(resident);
                }
            }
            if vma.prot.contains(Prot::EXEC) && vma.backing.file().is_some() {
                figures.text = figures.text.saturating_add(vma.len());
            }
            if vma.flags.contains(VmaFlags::STACK) {
                figures.stack = figures.stack.saturating_add(vma.len());
            }
        }
        figures
    }
}

fn line(vma: &Vma) -> MapLine {
    let name = match &vma.backing {
        VmaBacking::Special(name) => *name,
        _ if vma.flags.contains(VmaFlags::STACK) => "[stack]",
        _ if vma.flags.contains(VmaFlags::HEAP) => "[heap]",
        VmaBacking::Pages(pages, _) if pages.file().is_none() => "/dev/zero (deleted)",
        _ => "",
    };
    MapLine {
        start: vma.start,
        end: vma.end,
        prot: vma.prot,
        shared: vma.flags.contains(VmaFlags::SHARED),
        locked: vma.flags.contains(VmaFlags::LOCKED),
        offset: vma.backing.file_offset(),
        file: vma.backing.file().map(Arc::clone),
        name,
    }
}

impl MapLine {
    /// Writes the line as `/proc/PID/maps` has it.
    fn write_to(&self, text: &mut Bytes, caller: &Caller<'_>, root: &Path) -> fmt::Result {
        let stat = self.file.as_ref().and_then(|file| file.ops().stat(caller, file).ok());
        let (dev, ino) = stat.map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
        let right =
            |right: Prot, letter: char| if self.prot.contains(right) { letter } else { '-' };
        let before = text.0.len();
        write!(
            text,
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {ino} ",
            self.start,
            self.end,
            right(Prot::READ, 'r'),
            right(Prot::WRITE, 'w'),
            right(Prot::EXEC, 'x'),
            if self.shared { 's' } else { 'p' },
            self.offset,
            lx_core::abi::stat::major(dev),
            lx_core::abi::stat::minor(dev),
        )?;
        let path =
            self.file.as_ref().and_then(|file| Path::of(file)).map(|path| path.display(root));
        let name = path.as_deref().unwrap_or(self.name.as_bytes());
        if !name.is_empty() {
            // Names begin in column 73.
            while text.0.len() < before.saturating_add(73) {
                text.0.push(b' ');
            }
            for &byte in name {
                match byte {
                    b'\n' => text.0.extend_from_slice(b"\\012"),
                    _ => text.0.push(byte),
                }
            }
        }
        text.0.push(b'\n');
        Ok(())
    }

    /// Writes the lines that follow in `/proc/PID/smaps`.
    fn write_sizes(&self, text: &mut Bytes) -> fmt::Result {
        let size = self.end.saturating_sub(self.start);
        let resident = if self.prot.is_empty() { 0 } else { size.min(ASSUMED_RESIDENT) };
        let is = |holds: bool| if holds { resident } else { 0 };
        let anonymous = self.file.is_none();
        for (name, bytes) in [
            ("Size", size),
            ("KernelPageSize", lx_core::abi::PAGE_SIZE),
            ("MMUPageSize", lx_core::abi::PAGE_SIZE),
            ("Rss", resident),
            ("Pss", resident),
            ("Shared_Clean", is(!anonymous)),
            ("Shared_Dirty", is(anonymous && self.shared)),
            ("Private_Clean", 0),
            ("Private_Dirty", is(anonymous && !self.shared)),
            ("Referenced", resident),
            ("Anonymous", is(anonymous)),
            ("AnonHugePages", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", is(self.locked)),
        ] {
            writeln!(text, "{:<16}{:8} kB", alloc::format!("{name}:"), bytes / 1024)?;
        }
        let flag = |right: Prot, name: &'static str| {
            if self.prot.contains(right) { name } else { "" }
        };
        let (read, write, exec) =
            (flag(Prot::READ, "rd "), flag(Prot::WRITE, "wr "), flag(Prot::EXEC, "ex "));
        let shared = if self.shared { "sh " } else { "" };
        writeln!(text, "THPeligible:           0\nVmFlags: {read}{write}{exec}{shared}mr mw me ")
    }
}

/// Bytes that text is written to.
struct Bytes(Vec<u8>);

impl Write for Bytes {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
