//! The program's first code.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_nt::{Boot, CURRENT_PROCESS, Handle, boot_kind, port_key};

use crate::api::{self, JobLimits, JobPort};
use crate::arguments::{self, Role};
use crate::report::fail;
use crate::services::SERVICES;
use crate::{control, image, process};

/// First of the slots for thread-local storage that the image uses, and how many; as
/// `lx_x86::layout` says.
const FIRST_SLOT: u32 = 40;
const SLOTS: u32 = 5;

/// The image's entry.
static ENTRY: AtomicU64 = AtomicU64::new(0);

#[unsafe(no_mangle)]
unsafe extern "system" fn start() -> ! {
    reserve_slots();
    let boot = match arguments::role() {
        Role::Init => init(),
        Role::Guest { entry, block } => {
            ENTRY.store(entry, Ordering::Relaxed);
            Boot { block, ..boot(boot_kind::PROCESS) }
        }
    };
    // SAFETY: the image was loaded, here or by init.
    unsafe {
        call_image(&boot);
        // Other threads may go on; the last one ends the process.
        api::ExitThread(0)
    }
}

/// Makes a machine: the region, the image, the port, the job.
fn init() -> Boot {
    const STD_INPUT_HANDLE: u32 = -10i32 as u32;
    const STD_OUTPUT_HANDLE: u32 = -11i32 as u32;
    const SAME_ACCESS: u32 = 2;
    const HANDLE_FLAG_INHERIT: u32 = 1;
    const STD_ERROR_HANDLE: u32 = -12i32 as u32;
    let section = image::create_section();
    if !image::map_section(section, CURRENT_PROCESS) {
        fail("mapping the shared region");
    }
    ENTRY.store(image::load(), Ordering::Relaxed);
    // SAFETY: calls with our own handles and variables.
    unsafe {
        let requests = api::GetStdHandle(STD_INPUT_HANDLE);
        let events = api::GetStdHandle(STD_OUTPUT_HANDLE);
        let port = api::CreateIoCompletionPort(usize::MAX, 0, 0, 1);
        let mut init_process = 0;
        let good = port != 0
            && api::SetHandleInformation(port, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) != 0
            && api::SetHandleInformation(section, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) != 0
            && api::DuplicateHandle(
                CURRENT_PROCESS,
                CURRENT_PROCESS,
                CURRENT_PROCESS,
                &mut init_process,
                0,
                1,
                SAME_ACCESS,
            ) != 0;
        if !good {
            fail("completion port");
        }
        // Children have no business with the pipes: an end that they kept would never close.
        for handle in [requests, events, api::GetStdHandle(STD_ERROR_HANDLE)] {
            api::SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0);
        }
        process::set_up(section, make_job(port));
        control::start(requests, port);
        let mut resolution = 0;
        api::NtSetTimerResolution(10_000, 1, &mut resolution);
        Boot {
            lose_fs: arguments::test_switch(b"LX_TEST_LOSE_FS"),
            memory: arguments::test_switch(b"LX_TEST_MEMORY"),
            section,
            init_process,
            port,
            events,
            error_output: api::GetStdHandle(STD_ERROR_HANDLE),
            ..boot(boot_kind::INIT)
        }
    }
}

/// A job that ends all processes with init and tells the port when one has ended.
fn make_job(port: Handle) -> Handle {
    const KILL_ON_CLOSE: u32 = 0x2000;
    const EXTENDED_LIMITS: u32 = 9;
    const COMPLETION_PORT: u32 = 7;
    let limits = JobLimits { times: [0; 2], flags: KILL_ON_CLOSE, rest: [0; 15] };
    let port = JobPort { key: port_key::JOB, port };
    // SAFETY: the calls read the structures.
    unsafe {
        let job = api::CreateJobObjectW(0, 0);
        let limits_set = api::SetInformationJobObject(
            job,
            EXTENDED_LIMITS,
            (&raw const limits).cast(),
            size_of::<JobLimits>() as u32,
        );
        let port_set = api::SetInformationJobObject(
            job,
            COMPLETION_PORT,
            (&raw const port).cast(),
            size_of::<JobPort>() as u32,
        );
        if job == 0 || limits_set == 0 || port_set == 0 {
            fail("job");
        }
        job
    }
}

/// What is the same for every thread.
pub(crate) fn boot(kind: u32) -> Boot {
    // SAFETY: reads the thread's ids.
    let (process_id, thread_id) =
        unsafe { (api::GetCurrentProcessId(), api::GetCurrentThreadId()) };
    Boot {
        kind,
        process_id,
        thread_id,
        lose_fs: 0,
        memory: 0,
        services: &raw const SERVICES,
        block: 0,
        host_fs: fs_base(),
        host_code: host_code(),
        section: 0,
        init_process: 0,
        port: 0,
        events: 0,
        error_output: 0,
    }
}

/// Where ntdll is: first address and end.
fn host_code() -> [u64; 2] {
    const NAME: [u16; 10] = [0x6e, 0x74, 0x64, 0x6c, 0x6c, 0x2e, 0x64, 0x6c, 0x6c, 0];
    const NEW_HEADER: u64 = 0x3c;
    const SIZE_OF_IMAGE: u64 = 0x50;
    // SAFETY: ntdll is in every process, with its headers.
    unsafe {
        let base = api::GetModuleHandleW(NAME.as_ptr()) as u64;
        let header = ((base + NEW_HEADER) as *const u32).read_unaligned();
        let size = ((base + u64::from(header) + SIZE_OF_IMAGE) as *const u32).read_unaligned();
        [base, base + u64::from(size)]
    }
}

/// The FS base that the system's own code has on this thread.
fn fs_base() -> u64 {
    let base;
    // SAFETY: every system that lx supports lets programs use the instruction.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Calls the image; returns when the thread is not needed any more.
///
/// # Safety
///
/// The image is in place, and `boot` is true.
pub(crate) unsafe fn call_image(boot: &Boot) {
    type Entry = unsafe extern "sysv64" fn(*const Boot);
    let entry = ENTRY.load(Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe {
        let entry: Entry = core::mem::transmute(entry);
        entry(boot);
    }
}

/// Takes the slots for thread-local storage that the image's assembly uses, and only those.
fn reserve_slots() {
    let last = FIRST_SLOT + SLOTS - 1;
    let mut ours = 0;
    let mut lower = [0u32; 64];
    let mut lower_count = 0;
    loop {
        // SAFETY: only takes slots.
        let slot = unsafe { api::TlsAlloc() };
        if slot > last {
            break;
        }
        if slot >= FIRST_SLOT {
            ours += 1;
        } else if let Some(place) = lower.get_mut(lower_count) {
            *place = slot;
            lower_count += 1;
        }
    }
    for &slot in lower.iter().take(lower_count) {
        // SAFETY: taken above, used by nobody.
        unsafe { api::TlsFree(slot) };
    }
    if ours != SLOTS {
        fail("thread-local slots are taken");
    }
}
