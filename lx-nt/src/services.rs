//! The table of functions that the image calls.

use super::{
    ClientId, Context, Handle, IoStatus, KeyEvent, MemoryBasicInformation, NetTransfer,
    ObjectAttributes, Program, Status, UnicodeString,
};

macro_rules! services {
    ($($(#[$meta:meta])* $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        /// System services and functions of the loader, resolved in the process that runs.
        #[derive(Clone, Copy)]
        #[repr(C)]
        pub struct Services {
            $($(#[$meta])* pub $name: unsafe extern "win64" fn($($argument: $kind),*) $(-> $result)?,)*
        }
    };
}

services! {
    /// `NtClose`.
    close(handle: Handle) -> Status;
    /// `NtDuplicateObject`.
    duplicate(
        from: Handle, handle: Handle, to: Handle, new: *mut Handle, access: u32, attributes: u32,
        options: u32
    ) -> Status;
    /// `NtAllocateVirtualMemory`.
    allocate(
        process: Handle, base: *mut u64, zero_bits: usize, size: *mut u64, kind: u32, protect: u32
    ) -> Status;
    /// `NtFreeVirtualMemory`.
    free(process: Handle, base: *mut u64, size: *mut u64, kind: u32) -> Status;
    /// `NtProtectVirtualMemory`.
    protect(
        process: Handle, base: *mut u64, size: *mut u64, protect: u32, old: *mut u32
    ) -> Status;
    /// `NtQueryVirtualMemory` with `MemoryBasicInformation`.
    query_memory(
        process: Handle, address: u64, class: u32, out: *mut MemoryBasicInformation, len: usize,
        returned: *mut usize
    ) -> Status;
    /// `NtCreateSection`.
    create_section(
        section: *mut Handle, access: u32, attributes: *const ObjectAttributes, size: *const i64,
        protect: u32, kind: u32, file: Handle
    ) -> Status;
    /// `NtMapViewOfSection`.
    map_view(
        section: Handle, process: Handle, base: *mut u64, zero_bits: usize, commit: usize,
        offset: *mut i64, size: *mut usize, inherit: u32, kind: u32, protect: u32
    ) -> Status;
    /// `NtUnmapViewOfSection`.
    unmap_view(process: Handle, base: u64) -> Status;
    /// `NtFlushVirtualMemory`.
    flush_view(
        process: Handle, base: *mut u64, size: *mut usize, io: *mut IoStatus
    ) -> Status;
    /// `NtReadVirtualMemory`.
    read_memory(
        process: Handle, address: u64, buffer: *mut u8, len: usize, done: *mut usize
    ) -> Status;
    /// `NtCreateEvent`.
    create_event(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, kind: u32, set: u8
    ) -> Status;
    /// `NtSetEvent`.
    set_event(handle: Handle, former: *mut i32) -> Status;
    /// `NtWaitForSingleObject`.
    wait(handle: Handle, alertable: u8, timeout: *const i64) -> Status;
    /// `NtSetIoCompletion`.
    post(port: Handle, key: usize, value: usize, status: Status, count: usize) -> Status;
    /// `NtRemoveIoCompletion`.
    receive(
        port: Handle, key: *mut usize, value: *mut usize, io: *mut IoStatus, timeout: *const i64
    ) -> Status;
    /// `NtOpenProcess`.
    open_process(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, id: *const ClientId
    ) -> Status;
    /// `NtOpenThread`.
    open_thread(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, id: *const ClientId
    ) -> Status;
    /// `NtSuspendThread`.
    suspend(thread: Handle, count: *mut u32) -> Status;
    /// `NtResumeThread`.
    resume(thread: Handle, count: *mut u32) -> Status;
    /// `NtGetContextThread`.
    get_context(thread: Handle, context: *mut Context) -> Status;
    /// `NtSetContextThread`.
    set_context(thread: Handle, context: *const Context) -> Status;
    /// `NtQueryInformationThread`.
    query_thread(
        thread: Handle, class: u32, out: *mut u8, len: u32, returned: *mut u32
    ) -> Status;
    /// `NtQueryInformationProcess`.
    query_process(
        process: Handle, class: u32, out: *mut u8, len: u32, returned: *mut u32
    ) -> Status;
    /// `NtTerminateProcess`.
    terminate(process: Handle, status: Status) -> Status;
    /// `NtQuerySystemInformation`.
    query_system(class: u32, out: *mut u8, len: u32, returned: *mut u32) -> Status;
    /// `NtQueryPerformanceCounter`.
    counter(now: *mut i64, frequency: *mut i64) -> Status;
    /// `NtQuerySystemTime`.
    system_time(now: *mut i64) -> Status;
    /// `NtYieldExecution`.
    yield_now() -> Status;
    /// `NtDelayExecution`.
    delay(alertable: u8, timeout: *const i64) -> Status;
    /// `NtCreateFile`.
    create_file(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, io: *mut IoStatus,
        size: *const i64, file_attributes: u32, share: u32, disposition: u32, options: u32,
        ea: *const u8, ea_len: u32
    ) -> Status;
    /// `NtReadFile`.
    read_file(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        buffer: *mut u8, len: u32, offset: *const i64, key: usize
    ) -> Status;
    /// `NtWriteFile`.
    write_file(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        buffer: *const u8, len: u32, offset: *const i64, key: usize
    ) -> Status;
    /// `NtQueryInformationFile`.
    query_file(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, class: u32
    ) -> Status;
    /// `NtSetInformationFile`.
    set_file(
        file: Handle, io: *mut IoStatus, data: *const u8, len: u32, class: u32
    ) -> Status;
    /// `NtQueryVolumeInformationFile`.
    query_volume(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, class: u32
    ) -> Status;
    /// `NtQueryDirectoryFile`.
    query_directory(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        out: *mut u8, len: u32, class: u32, single: u8, name: *const UnicodeString, restart: u8
    ) -> Status;
    /// `NtFsControlFile`.
    fs_control(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        code: u32, input: *const u8, input_len: u32, output: *mut u8, output_len: u32
    ) -> Status;
    /// `NtDeviceIoControlFile`.
    device_control(
        file: Handle, event: Handle, routine: usize, argument: usize, io: *mut IoStatus,
        code: u32, input: *const u8, input_len: u32, output: *mut u8, output_len: u32
    ) -> Status;
    /// `NtCancelIoFileEx`.
    cancel(file: Handle, request: *const IoStatus, io: *mut IoStatus) -> Status;
    /// `NtQueryEaFile`.
    query_ea(
        file: Handle, io: *mut IoStatus, out: *mut u8, len: u32, single: u8, list: *const u8,
        list_len: u32, index: *const u32, restart: u8
    ) -> Status;
    /// `NtSetEaFile`.
    set_ea(file: Handle, io: *mut IoStatus, data: *const u8, len: u32) -> Status;
    /// `NtCreateNamedPipeFile`.
    create_pipe(
        handle: *mut Handle, access: u32, attributes: *const ObjectAttributes, io: *mut IoStatus,
        share: u32, disposition: u32, options: u32, kind: u32, read_mode: u32,
        completion_mode: u32, instances: u32, inbound: u32, outbound: u32, timeout: *const i64
    ) -> Status;
    /// `NtFlushBuffersFile`.
    flush_file(file: Handle, io: *mut IoStatus) -> Status;
    /// `RtlAddVectoredExceptionHandler`; the handler gets an
    /// [`ExceptionPointers`](super::ExceptionPointers).
    add_exception_handler(first: u32, handler: u64) -> usize;
    /// Number of the processor that runs the caller.
    current_processor() -> u32;
    /// The loader: makes a process for guests that will call the image with this block; its id, or
    /// 0, and handles that the caller closes. Its thread is suspended.
    create_process(block: u64, entry: u64, process: *mut Handle, thread: *mut Handle) -> u32;
    /// The loader: starts a program of Windows.
    start_program(start: *mut Program) -> u32;
    /// The loader: starts a thread of this process that calls the image with this block; its id,
    /// or 0.
    create_thread(block: u64, entry: u64) -> u32;
    /// The loader: starts a thread that writes to a file, however long that takes, stores the status
    /// and wakes init; a handle of the thread, or 0.
    write_aside(
        file: Handle, buffer: *const u8, len: u32, io: *mut IoStatus, port: Handle
    ) -> Handle;
    /// The loader: fills the buffer with strong random bytes; 0 if there are none.
    random(buffer: *mut u8, len: u32) -> u32;
    /// The loader: opens the console's input, or its screen; 0 if there is none. A handle of another
    /// process does not do.
    console_open(input: u32) -> Handle;
    /// The loader: reads the mode of a console, or sets it; 0 if it is none.
    console_mode(handle: Handle, mode: *mut u32, set: u32) -> u32;
    /// The loader: lines and columns of a console's window; 0 if it has none.
    console_size(handle: Handle, size: *mut u16) -> u32;
    /// The loader: how many characters were typed and not read. Events that are none are dropped.
    console_pending(handle: Handle) -> u32;
    /// The loader: takes key events that have come, without waiting; how many. All other events are
    /// dropped.
    console_keys(handle: Handle, keys: *mut KeyEvent, len: u32) -> u32;
    /// The loader: gives the console, if it takes single keys, two modes and two code pages back: of
    /// its input and of its screen.
    console_restore(settings: *const [u32; 4]);
    /// The loader: the bytes of a [`CONTROL`](super::port_key::CONTROL) packet were taken.
    control_taken();
    /// The loader: a socket of Winsock that does not wait. As all that follow: 0, or Winsock's
    /// error.
    net_socket(family: u32, kind: u32, protocol: u32, socket: *mut Handle) -> u32;
    /// The loader: makes a duplicate of another process's socket known to Winsock.
    net_adopt(socket: Handle) -> u32;
    /// The loader: `closesocket`.
    net_close(socket: Handle) -> u32;
    /// The loader: `bind`.
    net_bind(socket: Handle, address: *const u8, len: u32) -> u32;
    /// The loader: `listen`.
    net_listen(socket: Handle, backlog: u32) -> u32;
    /// The loader: `connect`.
    net_connect(socket: Handle, address: *const u8, len: u32) -> u32;
    /// The loader: `accept`; the new socket does not wait either.
    net_accept(socket: Handle, new: *mut Handle) -> u32;
    /// The loader: `WSASendTo`, or `WSASendMsg` if there are control messages.
    net_send(socket: Handle, transfer: *mut NetTransfer) -> u32;
    /// The loader: `WSARecvFrom`, or `WSARecvMsg` if there is room for control messages. What was
    /// received is there after `WSAEMSGSIZE`, too.
    net_receive(socket: Handle, transfer: *mut NetTransfer) -> u32;
    /// The loader: `shutdown`.
    net_shutdown(socket: Handle, how: u32) -> u32;
    /// The loader: `getsockname`, or `getpeername`.
    net_name(socket: Handle, peer: u32, address: *mut u8, len: *mut u32) -> u32;
    /// The loader: `getsockopt`.
    net_option(socket: Handle, level: u32, name: u32, value: *mut u8, len: *mut u32) -> u32;
    /// The loader: `setsockopt`.
    net_set_option(socket: Handle, level: u32, name: u32, value: *const u8, len: u32) -> u32;
    /// The loader: `ioctlsocket`.
    net_control(socket: Handle, request: u32, value: *mut u32) -> u32;
    /// The loader: a new handle of the driver of sockets, opened with these options; 0 if there is
    /// none.
    net_driver(options: u32) -> Handle;
    /// The loader: which of Winsock's `AFD_POLL_*` hold now.
    net_ready(socket: Handle, events: *mut u32, error: *mut Status) -> u32;
    /// The loader: `GetAdaptersAddresses`.
    net_adapters(buffer: *mut u8, len: *mut u32) -> u32;
}
