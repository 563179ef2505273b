//! The shared region and the image in it.

use lx_nt::{Handle, REGION_BASE, REGION_SIZE};

use crate::api;
use crate::report::fail;
use crate::services::SERVICES;

const PAGE_EXECUTE_READWRITE: u32 = 0x40;
const MEM_COMMIT: u32 = 0x1000;
const SEC_RESERVE: u32 = 0x400_0000;
/// The image's file, beside this program.
const FILE_NAME: &[u8] = b"lx-image.bin";

/// Makes the region's section.
pub(crate) fn create_section() -> Handle {
    const SECTION_ALL_ACCESS: u32 = 0xf_001f;
    let mut section = 0;
    let size = REGION_SIZE as i64;
    // SAFETY: the call reads and writes the given variables.
    let status = unsafe {
        (SERVICES.create_section)(
            &mut section,
            SECTION_ALL_ACCESS,
            core::ptr::null(),
            &size,
            PAGE_EXECUTE_READWRITE,
            SEC_RESERVE,
            0,
        )
    };
    if status < 0 {
        fail("shared region");
    }
    section
}

/// Maps the region in a process.
pub(crate) fn map_section(section: Handle, process: Handle) -> bool {
    const VIEW_SHARE: u32 = 1;
    let mut base = REGION_BASE;
    let mut offset = 0;
    let mut size = REGION_SIZE as usize;
    // SAFETY: nothing else is at these addresses.
    let status = unsafe {
        (SERVICES.map_view)(
            section,
            process,
            &mut base,
            0,
            0,
            &mut offset,
            &mut size,
            VIEW_SHARE,
            0,
            PAGE_EXECUTE_READWRITE,
        )
    };
    status >= 0 && base == REGION_BASE
}

/// Reads the image into the mapped region; its entry.
pub(crate) fn load() -> u64 {
    const PT_LOAD: u32 = 1;
    let file = open();
    let mut head = [0u8; 4096];
    read(file, 0, head.as_mut_ptr(), head.len());
    let field = |at: usize, len: usize| {
        let bytes = head.get(at..at + len).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    if field(0, 4) != 0x464c_457f {
        fail("the kernel image is damaged");
    }
    let (entry, headers, count) = (field(24, 8), field(32, 8) as usize, field(56, 2) as usize);
    for header in (0..count).map(|index| headers + index * 56) {
        if field(header, 4) as u32 != PT_LOAD {
            continue;
        }
        let offset = field(header + 8, 8);
        let (address, in_file, in_memory) =
            (field(header + 16, 8), field(header + 32, 8), field(header + 40, 8));
        commit(address, in_memory);
        // New memory is zeroed, so only what the file has is to be filled in.
        read(file, offset, address as *mut u8, in_file as usize);
    }
    // SAFETY: our own handle.
    unsafe { api::CloseHandle(file) };
    entry
}

fn open() -> Handle {
    const GENERIC_READ: u32 = 0x8000_0000;
    const FILE_SHARE_READ: u32 = 1;
    const OPEN_EXISTING: u32 = 3;
    let mut path = [0u16; 1024];
    // SAFETY: the call writes the buffer.
    let len = unsafe { api::GetModuleFileNameW(0, path.as_mut_ptr(), 900) } as usize;
    let folder = path.iter().take(len).rposition(|&unit| unit == u16::from(b'\\'));
    let start = folder.map_or(0, |at| at + 1);
    let name = FILE_NAME.iter().map(|&byte| u16::from(byte)).chain([0]);
    for (slot, unit) in path.iter_mut().skip(start).zip(name) {
        *slot = unit;
    }
    // SAFETY: the path ends with a NUL.
    let file = unsafe {
        api::CreateFileW(path.as_ptr(), GENERIC_READ, FILE_SHARE_READ, 0, OPEN_EXISTING, 0, 0)
    };
    if file == usize::MAX {
        fail("lx-image.bin is not beside lx-host.exe");
    }
    file
}

fn commit(address: u64, len: u64) {
    let (mut base, mut size) = (address & !0xfff, (address & 0xfff) + len);
    // SAFETY: part of the region, which was mapped just now.
    let status = unsafe {
        (SERVICES.allocate)(
            lx_nt::CURRENT_PROCESS,
            &mut base,
            0,
            &mut size,
            MEM_COMMIT,
            PAGE_EXECUTE_READWRITE,
        )
    };
    if status < 0 {
        fail("memory for the kernel image");
    }
}

fn read(file: Handle, offset: u64, to: *mut u8, len: usize) {
    let offset = offset as i64;
    let mut io = lx_nt::IoStatus::default();
    // SAFETY: the caller has room for `len` bytes.
    let status = unsafe {
        (SERVICES.read_file)(file, 0, 0, 0, &raw mut io, to, len as u32, &raw const offset, 0)
    };
    if status < 0 {
        fail("reading the kernel image");
    }
}
