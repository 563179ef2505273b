//! The functions of Windows that the loader itself calls.

use core::ffi::c_void;

use lx_nt::{Handle, Status};

#[repr(C)]
pub(crate) struct StartupInfo {
    pub(crate) size: u32,
    pub(crate) strings: [usize; 3],
    pub(crate) position: [u32; 8],
    pub(crate) show: u16,
    pub(crate) reserved: u16,
    pub(crate) reserved2: usize,
    pub(crate) standard: [Handle; 3],
}

#[derive(Default)]
#[repr(C)]
pub(crate) struct ProcessInfo {
    pub(crate) process: Handle,
    pub(crate) thread: Handle,
    pub(crate) process_id: u32,
    pub(crate) thread_id: u32,
}

/// `JOBOBJECT_EXTENDED_LIMIT_INFORMATION`, the flags of which are all that is set.
#[repr(C)]
pub(crate) struct JobLimits {
    pub(crate) times: [u64; 2],
    pub(crate) flags: u32,
    pub(crate) rest: [u64; 15],
}

/// `JOBOBJECT_ASSOCIATE_COMPLETION_PORT`.
#[repr(C)]
pub(crate) struct JobPort {
    pub(crate) key: usize,
    pub(crate) port: Handle,
}

const _: () = assert!(size_of::<JobLimits>() == 144 && size_of::<StartupInfo>() == 104);

/// `CONSOLE_SCREEN_BUFFER_INFO`.
#[derive(Default)]
#[repr(C)]
pub(crate) struct ScreenBuffer {
    pub(crate) size: [i16; 2],
    pub(crate) cursor: [i16; 2],
    pub(crate) attributes: u16,
    /// Left, top, right, bottom.
    pub(crate) window: [i16; 4],
    pub(crate) largest: [i16; 2],
}

/// `INPUT_RECORD`, with the fields of a key.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct InputRecord {
    pub(crate) kind: u16,
    pub(crate) reserved: u16,
    pub(crate) key_down: i32,
    pub(crate) repeat: u16,
    pub(crate) key: u16,
    pub(crate) scan: u16,
    pub(crate) letter: u16,
    pub(crate) state: u32,
}

const _: () = assert!(size_of::<ScreenBuffer>() == 22 && size_of::<InputRecord>() == 20);

pub(crate) type ThreadStart = unsafe extern "system" fn(*mut c_void) -> u32;

#[link(name = "kernel32")]
unsafe extern "system" {
    pub(crate) fn GetCommandLineW() -> *const u16;
    pub(crate) fn GetEnvironmentVariableW(name: *const u16, value: *mut u16, len: u32) -> u32;
    pub(crate) fn GetModuleFileNameW(module: Handle, out: *mut u16, len: u32) -> u32;
    pub(crate) fn GetModuleHandleW(name: *const u16) -> Handle;
    pub(crate) fn GetStdHandle(which: u32) -> Handle;
    pub(crate) fn ExitProcess(status: u32) -> !;
    pub(crate) fn ExitThread(status: u32) -> !;
    pub(crate) fn GetLastError() -> u32;
    pub(crate) fn CreateFileW(
        name: *const u16,
        access: u32,
        share: u32,
        security: usize,
        disposition: u32,
        flags: u32,
        template: Handle,
    ) -> Handle;
    pub(crate) fn ReadFile(
        file: Handle,
        out: *mut u8,
        len: u32,
        done: *mut u32,
        overlapped: usize,
    ) -> i32;
    pub(crate) fn WriteFile(
        file: Handle,
        data: *const u8,
        len: u32,
        done: *mut u32,
        overlapped: usize,
    ) -> i32;
    pub(crate) fn CreateIoCompletionPort(
        file: Handle,
        port: Handle,
        key: usize,
        threads: u32,
    ) -> Handle;
    pub(crate) fn PostQueuedCompletionStatus(
        port: Handle,
        count: u32,
        key: usize,
        value: usize,
    ) -> i32;
    pub(crate) fn CreateEventW(security: usize, manual: i32, set: i32, name: usize) -> Handle;
    pub(crate) fn SetEvent(event: Handle) -> i32;
    pub(crate) fn WaitForSingleObject(handle: Handle, milliseconds: u32) -> u32;
    pub(crate) fn SetHandleInformation(handle: Handle, mask: u32, flags: u32) -> i32;
    pub(crate) fn DuplicateHandle(
        from: Handle,
        handle: Handle,
        to: Handle,
        new: *mut Handle,
        access: u32,
        inherit: i32,
        options: u32,
    ) -> i32;
    pub(crate) fn CreateJobObjectW(security: usize, name: usize) -> Handle;
    pub(crate) fn SetInformationJobObject(
        job: Handle,
        class: u32,
        data: *const c_void,
        len: u32,
    ) -> i32;
    pub(crate) fn AssignProcessToJobObject(job: Handle, process: Handle) -> i32;
    pub(crate) fn CreateProcessW(
        application: *const u16,
        command: *mut u16,
        process_security: usize,
        thread_security: usize,
        inherit: i32,
        flags: u32,
        environment: *const u16,
        directory: *const u16,
        startup: *const StartupInfo,
        information: *mut ProcessInfo,
    ) -> i32;
    pub(crate) fn GetEnvironmentStringsW() -> *mut u16;
    pub(crate) fn FreeEnvironmentStringsW(strings: *mut u16) -> i32;
    pub(crate) fn GetProcessHeap() -> Handle;
    pub(crate) fn HeapAlloc(heap: Handle, flags: u32, len: usize) -> *mut c_void;
    pub(crate) fn HeapFree(heap: Handle, flags: u32, memory: *mut c_void) -> i32;
    pub(crate) fn InitializeProcThreadAttributeList(
        list: *mut c_void,
        count: u32,
        flags: u32,
        size: *mut usize,
    ) -> i32;
    pub(crate) fn UpdateProcThreadAttribute(
        list: *mut c_void,
        flags: u32,
        attribute: usize,
        value: *const c_void,
        size: usize,
        old: usize,
        returned: usize,
    ) -> i32;
    pub(crate) fn DeleteProcThreadAttributeList(list: *mut c_void);
    pub(crate) fn CompareStringOrdinal(
        one: *const u16,
        one_len: i32,
        other: *const u16,
        other_len: i32,
        ignore_case: i32,
    ) -> i32;
    pub(crate) fn TerminateProcess(process: Handle, status: u32) -> i32;
    pub(crate) fn CloseHandle(handle: Handle) -> i32;
    pub(crate) fn CreateThread(
        security: usize,
        stack: usize,
        start: ThreadStart,
        argument: *mut c_void,
        flags: u32,
        id: *mut u32,
    ) -> Handle;
    pub(crate) fn GetCurrentProcessId() -> u32;
    pub(crate) fn GetCurrentThreadId() -> u32;
    pub(crate) fn GetConsoleMode(console: Handle, mode: *mut u32) -> i32;
    pub(crate) fn SetConsoleMode(console: Handle, mode: u32) -> i32;
    pub(crate) fn GetConsoleScreenBufferInfo(console: Handle, out: *mut ScreenBuffer) -> i32;
    pub(crate) fn PeekConsoleInputW(
        console: Handle,
        records: *mut InputRecord,
        len: u32,
        count: *mut u32,
    ) -> i32;
    pub(crate) fn ReadConsoleInputW(
        console: Handle,
        records: *mut InputRecord,
        len: u32,
        count: *mut u32,
    ) -> i32;
    pub(crate) fn SetConsoleCP(page: u32) -> i32;
    pub(crate) fn SetConsoleOutputCP(page: u32) -> i32;
    pub(crate) fn TlsAlloc() -> u32;
    pub(crate) fn TlsFree(index: u32) -> i32;
    pub(crate) fn LoadLibraryW(name: *const u16) -> Handle;
    pub(crate) fn GetProcAddress(module: Handle, name: *const u8) -> usize;
}

#[link(name = "ntdll")]
unsafe extern "system" {
    pub(crate) fn NtSetTimerResolution(wanted: u32, set: u8, now: *mut u32) -> Status;
}
