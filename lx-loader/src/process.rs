//! Processes, threads and random numbers for the image.

use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_nt::{Boot, Handle, LOW_RANGE, boot_kind};

use crate::api::{self, ProcessInfo, StartupInfo};
use crate::services::SERVICES;
use crate::{image, start};

static SECTION: AtomicUsize = AtomicUsize::new(0);
static JOB: AtomicUsize = AtomicUsize::new(0);

/// What [`create_process`] needs, in init.
pub(crate) fn set_up(section: Handle, job: Handle) {
    SECTION.store(section, Ordering::Relaxed);
    JOB.store(job, Ordering::Relaxed);
}

/// Makes a process for guests. It is prepared while it is suspended, before anything of its own
/// can take the addresses that guests and the kernel need, and is left suspended.
pub(crate) unsafe extern "win64" fn create_process(
    block: u64,
    entry: u64,
    process: *mut Handle,
    thread: *mut Handle,
) -> u32 {
    const CREATE_SUSPENDED: u32 = 4;
    let mut path = [0u16; 1024];
    let mut command = [0u16; 80];
    write_command(&mut command, entry, block);
    let startup = StartupInfo {
        size: size_of::<StartupInfo>() as u32,
        strings: [0; 3],
        position: [0; 8],
        show: 0,
        reserved: 0,
        reserved2: 0,
        standard: [0; 3],
    };
    let mut made = ProcessInfo::default();
    // SAFETY: the calls read and write the given variables; the new process is ours alone.
    unsafe {
        api::GetModuleFileNameW(0, path.as_mut_ptr(), path.len() as u32);
        let good = api::CreateProcessW(
            path.as_ptr(),
            command.as_mut_ptr(),
            0,
            0,
            1,
            CREATE_SUSPENDED,
            core::ptr::null(),
            core::ptr::null(),
            &startup,
            &mut made,
        );
        if good == 0 {
            return 0;
        }
        let ready = api::AssignProcessToJobObject(JOB.load(Ordering::Relaxed), made.process) != 0
            && image::map_section(SECTION.load(Ordering::Relaxed), made.process)
            && reserve_low(made.process);
        if ready {
            (*process, *thread) = (made.process, made.thread);
        } else {
            api::TerminateProcess(made.process, 1);
            api::CloseHandle(made.process);
            api::CloseHandle(made.thread);
            made.process_id = 0;
        }
    }
    made.process_id
}

/// Keeps the addresses of programs that are linked low.
fn reserve_low(process: Handle) -> bool {
    const MEM_RESERVE: u32 = 0x2000;
    const PAGE_EXECUTE_READWRITE: u32 = 0x40;
    let (mut base, mut size) = (LOW_RANGE.0, LOW_RANGE.1 - LOW_RANGE.0);
    // SAFETY: the process has not run yet.
    let status = unsafe {
        (SERVICES.allocate)(process, &mut base, 0, &mut size, MEM_RESERVE, PAGE_EXECUTE_READWRITE)
    };
    status >= 0
}

/// `lx-host guest ENTRY BLOCK`.
fn write_command(out: &mut [u16], entry: u64, block: u64) {
    let mut slots = out.iter_mut();
    let mut put = |byte: u8| {
        if let Some(slot) = slots.next() {
            *slot = u16::from(byte);
        }
    };
    b"lx-host guest ".iter().for_each(|&byte| put(byte));
    for (number, end) in [(entry, b' '), (block, 0)] {
        let mut divisor = 10_000_000_000_000_000_000;
        while divisor > 0 {
            put(b'0' + (number / divisor % 10) as u8);
            divisor /= 10;
        }
        put(end);
    }
}

/// Starts a thread for a guest in this process.
pub(crate) unsafe extern "win64" fn create_thread(block: u64, _entry: u64) -> u32 {
    let mut id = 0;
    // SAFETY: the block stays until the thread has ended.
    unsafe {
        let thread = api::CreateThread(0, 0, run_thread, block as *mut c_void, 0, &mut id);
        if thread == 0 {
            return 0;
        }
        api::CloseHandle(thread);
    }
    id
}

unsafe extern "system" fn run_thread(block: *mut c_void) -> u32 {
    let boot = Boot { block: block as u64, ..start::boot(boot_kind::THREAD) };
    // SAFETY: the image runs in this process already, so its entry is known.
    unsafe { start::call_image(&boot) };
    0
}

/// Strong random bytes, once, for the image's own generator.
pub(crate) unsafe extern "win64" fn random(buffer: *mut u8, len: u32) -> u32 {
    type Generate = unsafe extern "system" fn(*mut u8, u32) -> u8;
    const LIBRARY: &[u8; 13] = b"advapi32.dll\0";
    let mut name = [0u16; 13];
    for (slot, &byte) in name.iter_mut().zip(LIBRARY) {
        *slot = u16::from(byte);
    }
    // SAFETY: the names end with NULs; the function has this type for as long as it exists.
    unsafe {
        let library = api::LoadLibraryW(name.as_ptr());
        let function = api::GetProcAddress(library, c"SystemFunction036".as_ptr().cast());
        if function == 0 {
            return 0;
        }
        let generate: Generate = core::mem::transmute(function);
        u32::from(generate(buffer, len))
    }
}
