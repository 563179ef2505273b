//! Writes that may take as long as they like, on threads of their own.

use core::ffi::c_void;

use lx_nt::{CURRENT_PROCESS, Handle, IoStatus, port_key};

use crate::api;
use crate::services::SERVICES;

/// What a thread is to write.
#[repr(C)]
struct Job {
    file: Handle,
    buffer: *const u8,
    len: u32,
    io: *mut IoStatus,
    port: Handle,
}

/// Starts a thread for a write; a handle of it, or 0.
pub(crate) unsafe extern "win64" fn write(
    file: Handle,
    buffer: *const u8,
    len: u32,
    io: *mut IoStatus,
    port: Handle,
) -> Handle {
    const SAME_ACCESS: u32 = 2;
    // The caller may close its handle meanwhile.
    let mut own = 0;
    // SAFETY: the calls write the variables. The job is the thread's until it frees it.
    unsafe {
        let good = api::DuplicateHandle(
            CURRENT_PROCESS,
            file,
            CURRENT_PROCESS,
            &mut own,
            0,
            0,
            SAME_ACCESS,
        );
        if good == 0 {
            return 0;
        }
        let job = api::HeapAlloc(api::GetProcessHeap(), 0, size_of::<Job>()).cast::<Job>();
        if !job.is_null() {
            job.write(Job { file: own, buffer, len, io, port });
            let thread = api::CreateThread(0, 0, run, job.cast(), 0, core::ptr::null_mut());
            if thread != 0 {
                return thread;
            }
            api::HeapFree(api::GetProcessHeap(), 0, job.cast());
        }
        api::CloseHandle(own);
    }
    0
}

unsafe extern "system" fn run(job: *mut c_void) -> u32 {
    let job = job.cast::<Job>();
    // SAFETY: the job is ours; buffer and result stay until the result is stored, which is the last
    // use of both.
    unsafe {
        let Job { file, buffer, len, io, port } = job.read();
        api::HeapFree(api::GetProcessHeap(), 0, job.cast());
        let mut done = 0;
        let mut status = 0;
        while status >= 0 && done < len {
            let mut own = IoStatus::default();
            let rest = buffer.add(done as usize);
            status = (SERVICES.write_file)(
                file,
                0,
                0,
                0,
                &mut own,
                rest,
                len - done,
                core::ptr::null(),
                0,
            );
            if status == PENDING {
                api::WaitForSingleObject(file, INFINITE);
                status = own.status as i32;
            }
            done += own.information as u32;
        }
        api::CloseHandle(file);
        (&raw mut (*io).status).write_volatile(status.min(0) as usize);
        api::PostQueuedCompletionStatus(port, 0, port_key::WAKE, 0);
    }
    0
}

const PENDING: i32 = 0x103;
const INFINITE: u32 = u32::MAX;
