//! The table of functions that the image calls.

use lx_nt::{
    ClientId, Context, Handle, IoStatus, MemoryBasicInformation, ObjectAttributes, Services,
    Status, UnicodeString,
};

use crate::{adopt, aside, console, control, net, process, program};

macro_rules! imports {
    ($($field:ident: $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        #[link(name = "ntdll")]
        unsafe extern "win64" {
            $(fn $name($($argument: $kind),*) $(-> $result)?;)*
        }

        /// The table. Its address is the same in every process, as the program's is.
        pub(crate) static SERVICES: Services = Services {
            $($field: $name,)*
            create_process: process::create_process,
            start_program: program::start,
            create_thread: process::create_thread,
            write_aside: aside::write,
            random: process::random,
            console_open: console::open,
            console_mode: console::mode,
            console_size: console::size,
            console_pending: console::pending,
            console_keys: console::keys,
            console_restore: console::restore,
            control_taken: control::taken,
            net_socket: net::socket,
            net_adopt: adopt::adopt,
            net_close: net::close,
            net_bind: net::bind,
            net_listen: net::listen,
            net_connect: net::connect,
            net_accept: net::accept,
            net_send: net::send,
            net_receive: net::receive,
            net_shutdown: net::shut_down,
            net_name: net::name,
            net_option: net::option,
            net_set_option: net::set_option,
            net_control: net::control,
            net_driver: net::driver,
            net_ready: net::ready,
            net_adapters: net::adapters,
        };
    };
}

imports! {
    close: NtClose(handle: Handle) -> Status;
    duplicate: NtDuplicateObject(
        from: Handle, handle: Handle, to: Handle, new: *mut Handle, access: u32, attributes: u32,
        options: u32
    ) -> Status;
    allocate: NtAllocateVirtualMemory(
        process: Handle, base: *mut u64, zero_bits: usize, size: *mut u64, kind: u32, protect: u32
    ) -> Status;
    free: NtFreeVirtualMemory(
        process: Handle, base: *mut u64, size: *mut u64, kind: u32
    ) -> Status;
    protect: NtProtectVirtualMemory(
        process: Handle, base: *mut u64, size: *mut u64, protect: u32, old: *mut u32
    ) -> Status;
    query_memory: NtQueryVirtualMemory(
        process: Handle, address: u64, class: u32, out: *mut MemoryBasicInformation, len: usize,
        returned: *mut usize
    ) -> Status;
    create_section: NtCreateSection(
        section: *mut Handle, access: u32, attributes: *const ObjectAttributes, size: *const i64,
        protect: u32, kind: u32, file: Handle
    ) -> Status;
    map_view: NtMapViewOfSection(
        section: Handle, process: Handle, base: *mut u64, zero_bits: usize, commit: usize,
        offset: *mut i64, size: *mut usize, inherit: u32, kind: u32, protect: u32
    ) -> Status;
    unmap_view: NtUnmapViewOfSection(process: Handle, base: u64) -> Status;
    flush_view: NtFlushVirtualMemory(
        process: Handle, base: *mut u64, size: *mut usize, io: *mut IoStatus
    ) -> Status;
    read_memory: NtReadVirtualMemory(
        process: Handle, address: u64, buffer: *mut u8, len: usize, done: *mut usize
    ) -> Status;
    create_event: NtCreateEvent(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, kind: u32, set: u8
    ) -> Status;
    set_event: NtSetEvent(handle: Handle, former: *mut i32) -> Status;
    wait: NtWaitForSingleObject(handle: Handle, alertable: u8, timeout: *const i64) -> Status;
    post: NtSetIoCompletion(
        port: Handle, key: usize, value: usize, status: Status, count: usize
    ) -> Status;
    receive: NtRemoveIoCompletion(
        port: Handle, key: *mut usize, value: *mut usize, io: *mut IoStatus, timeout: *const i64
    ) -> Status;
    open_process: NtOpenProcess(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, id: *const ClientId
    ) -> Status;
    open_thread: NtOpenThread(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, id: *const ClientId
    ) -> Status;
    suspend: NtSuspendThread(thread: Handle, count: *mut u32) -> Status;
    resume: NtResumeThread(thread: Handle, count: *mut u32) -> Status;
    get_context: NtGetContextThread(thread: Handle, context: *mut Context) -> Status;
    set_context: NtSetContextThread(thread: Handle, context: *const Context) -> Status;
    query_thread: NtQueryInformationThread(
        thread: Handle, class: u32, out: *mut u8, len: u32, returned: *mut u32
    ) -> Status;
    query_process: NtQueryInformationProcess(
        process: Handle, class: u32, out: *mut u8, len: u32, returned: *mut u32
    ) -> Status;
    terminate: NtTerminateProcess(process: Handle, status: Status) -> Status;
    query_system: NtQuerySystemInformation(
        class: u32, out: *mut u8, len: u32, returned: *mut u32
    ) -> Status;
    counter: NtQueryPerformanceCounter(now: *mut i64, frequency: *mut i64) -> Status;
    system_time: NtQuerySystemTime(now: *mut i64) -> Status;
    yield_now: NtYieldExecution() -> Status;
    delay: NtDelayExecution(alertable: u8, timeout: *const i64) -> Status;
    create_file: NtCreateFile(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, io: *mut IoStatus,
        size: *const i64, file_attributes: u32, share: u32, disposition: u32, options: u32,
        ea: *const u8, ea_len: u32
    ) -> Status;
    read_file: NtReadFile(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        buffer: *mut u8, len: u32, offset: *const i64, key: usize
    ) -> Status;
    write_file: NtWriteFile(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        buffer: *const u8, len: u32, offset: *const i64, key: usize
    ) -> Status;
    query_file: NtQueryInformationFile(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, class: u32
    ) -> Status;
    set_file: NtSetInformationFile(
        file: Handle, io: *mut IoStatus, data: *const u8, len: u32, class: u32
    ) -> Status;
    query_volume: NtQueryVolumeInformationFile(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, class: u32
    ) -> Status;
    query_directory: NtQueryDirectoryFile(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        out: *mut u8, len: u32, class: u32, single: u8, name: *const UnicodeString, restart: u8
    ) -> Status;
    fs_control: NtFsControlFile(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        code: u32, input: *const u8, input_len: u32, output: *mut u8, output_len: u32
    ) -> Status;
    device_control: NtDeviceIoControlFile(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        code: u32, input: *const u8, input_len: u32, output: *mut u8, output_len: u32
    ) -> Status;
    cancel: NtCancelIoFileEx(
        file: Handle, request: *const IoStatus, io: *mut IoStatus
    ) -> Status;
    query_ea: NtQueryEaFile(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, single: u8, list: *const u8,
        list_len: u32, index: *const u32, restart: u8
    ) -> Status;
    set_ea: NtSetEaFile(file: Handle, io: *mut IoStatus, data: *const u8, len: u32) -> Status;
    create_pipe: NtCreateNamedPipeFile(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, io: *mut IoStatus,
        share: u32, disposition: u32, options: u32, kind: u32, read_mode: u32,
        completion_mode: u32, instances: u32, inbound: u32, outbound: u32, timeout: *const i64
    ) -> Status;
    flush_file: NtFlushBuffersFile(file: Handle, io: *mut IoStatus) -> Status;
    add_exception_handler: RtlAddVectoredExceptionHandler(first: u32, handler: u64) -> usize;
    current_processor: NtGetCurrentProcessorNumber() -> u32;
}
