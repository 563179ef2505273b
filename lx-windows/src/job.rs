//! Jobs, and handles in other processes.

use std::io;
use std::mem;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use crate::check;

/// A group of processes that ends with the last handle of it, hence with this process at the
/// latest.
#[derive(Debug)]
pub struct Job(OwnedHandle);

impl Job {
    /// An empty job.
    ///
    /// # Errors
    /// What Windows reports.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no attributes and no name are allowed.
        let handle = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is new and nobody else's.
        let job = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let len = u32::try_from(mem::size_of_val(&limits)).unwrap_or_default();
        // SAFETY: the structure is the one of this information class and lives long enough.
        check(unsafe {
            SetInformationJobObject(
                job.handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                len,
            )
        })?;
        Ok(job)
    }

    /// Puts a process into the job, and with it those that it starts from now on.
    ///
    /// # Errors
    /// What Windows reports.
    pub fn assign(&self, process: &impl AsHandle) -> io::Result<()> {
        let process = process.as_handle().as_raw_handle();
        // SAFETY: both handles are open.
        check(unsafe { AssignProcessToJobObject(self.handle(), process) })
    }

    /// The most memory that its processes had committed at once, in bytes; `None` if Windows does not
    /// count it.
    pub fn peak_commit(&self) -> Option<u64> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        let len = u32::try_from(mem::size_of_val(&limits)).unwrap_or_default();
        // SAFETY: the call writes the structure, which is the one of this information class.
        check(unsafe {
            QueryInformationJobObject(
                self.handle(),
                JobObjectExtendedLimitInformation,
                (&raw mut limits).cast(),
                len,
                ptr::null_mut(),
            )
        })
        .ok()?;
        // Wine answers zero.
        u64::try_from(limits.PeakJobMemoryUsed).ok().filter(|&bytes| bytes != 0)
    }

    /// Ends every process of the job.
    ///
    /// # Errors
    /// What Windows reports.
    pub fn terminate(&self) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { TerminateJobObject(self.handle(), 1) })
    }

    fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

impl AsHandle for Job {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

/// Opens what `handle` stands for in another process too; the handle's value there.
///
/// # Errors
/// What Windows reports, such as that the process has ended.
pub fn duplicate_into(process: &impl AsHandle, handle: &impl AsHandle) -> io::Result<u64> {
    let mut target: HANDLE = ptr::null_mut();
    // SAFETY: all handles are open, and the result is stored in a variable of our own.
    check(unsafe {
        DuplicateHandle(
            GetCurrentProcess(),
            handle.as_handle().as_raw_handle(),
            process.as_handle().as_raw_handle(),
            &raw mut target,
            0,
            0,
            DUPLICATE_SAME_ACCESS,
        )
    })?;
    Ok(target.addr() as u64)
}
