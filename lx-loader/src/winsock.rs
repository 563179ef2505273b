//! The functions of Winsock and of the IP helper library.
//!
//! Most processes of a machine have no business with the network, so the libraries are loaded when
//! the first of their functions is called.

use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use lx_nt::Handle;

use crate::api;

/// `WSABUF`.
#[repr(C)]
pub(crate) struct Buffer {
    pub(crate) len: u32,
    pub(crate) bytes: *mut u8,
}

/// `WSAMSG`.
#[repr(C)]
pub(crate) struct Message {
    pub(crate) name: *mut u8,
    pub(crate) name_len: i32,
    pub(crate) buffers: *mut Buffer,
    pub(crate) buffer_count: u32,
    pub(crate) control: Buffer,
    pub(crate) flags: u32,
}

/// `WSADATA`, which is larger where programs are of 64 bits: 408 bytes.
type StartupData = [u64; 64];

/// `WSAPROTOCOL_INFOW`: fields of 4 bytes, then the protocol's name.
pub(crate) type SharedSocket = [u32; 157];
/// How many of it are fields.
pub(crate) const SHARED_FIELDS: usize = 29;

const _: () = assert!(size_of::<Message>() == 56);

/// `WSASYSNOTREADY`: there is no such function.
pub(crate) const NOT_READY: u32 = 10091;

macro_rules! functions {
    ($library:literal; $($symbol:literal $name:ident($($argument:ident: $kind:ty),* $(,)?);)*) => {
        $(
            /// The function; `None` if the library has none.
            pub(crate) fn $name() -> Option<unsafe extern "system" fn($($kind),*) -> i32> {
                static ADDRESS: AtomicUsize = AtomicUsize::new(0);
                let address = find(&ADDRESS, $library, $symbol);
                // SAFETY: the function has this type for as long as it exists, and a null pointer
                // is `None`.
                unsafe { core::mem::transmute(address) }
            }
        )*
    };
}

functions! {
    c"ws2_32.dll";
    c"WSAStartup" startup(version: u16, data: *mut StartupData);
    c"WSAGetLastError" last_error();
    c"WSADuplicateSocketW" duplicate(socket: Handle, process: u32, out: *mut SharedSocket);
    c"closesocket" close(socket: Handle);
    c"bind" bind(socket: Handle, address: *const u8, len: i32);
    c"listen" listen(socket: Handle, backlog: i32);
    c"connect" connect(socket: Handle, address: *const u8, len: i32);
    c"WSASendTo" send(
        socket: Handle, buffers: *const Buffer, count: u32, done: *mut u32, flags: u32,
        address: *const u8, address_len: i32, overlapped: usize, routine: usize,
    );
    c"WSARecvFrom" receive(
        socket: Handle, buffers: *const Buffer, count: u32, done: *mut u32, flags: *mut u32,
        address: *mut u8, address_len: *mut i32, overlapped: usize, routine: usize,
    );
    c"WSASendMsg" send_message(
        socket: Handle, message: *const Message, flags: u32, done: *mut u32, overlapped: usize,
        routine: usize,
    );
    c"WSAIoctl" control_with_buffers(
        socket: Handle, request: u32, input: *const u8, input_len: u32, output: *mut u8,
        output_len: u32, done: *mut u32, overlapped: usize, routine: usize,
    );
    c"shutdown" shut_down(socket: Handle, how: i32);
    c"getsockname" name(socket: Handle, address: *mut u8, len: *mut i32);
    c"getpeername" peer_name(socket: Handle, address: *mut u8, len: *mut i32);
    c"getsockopt" option(socket: Handle, level: i32, name: i32, value: *mut u8, len: *mut i32);
    c"setsockopt" set_option(socket: Handle, level: i32, name: i32, value: *const u8, len: i32);
    c"ioctlsocket" control(socket: Handle, request: u32, value: *mut u32);
}

functions! {
    c"iphlpapi.dll";
    c"GetAdaptersAddresses" adapters(
        family: u32, flags: u32, reserved: usize, buffer: *mut u8, len: *mut u32,
    );
}

/// `WSASocketW`, which gives a socket.
pub(crate) type MakeSocket =
    unsafe extern "system" fn(i32, i32, i32, *const SharedSocket, u32, u32) -> Handle;
/// `accept`, which gives a socket, too.
pub(crate) type Accept = unsafe extern "system" fn(Handle, *mut u8, *mut i32) -> Handle;
/// `WSARecvMsg`, which only [`control_with_buffers`] can find.
pub(crate) type ReceiveMessage =
    unsafe extern "system" fn(Handle, *mut Message, *mut u32, usize, usize) -> i32;

pub(crate) fn make_socket() -> Option<MakeSocket> {
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    let address = find(&ADDRESS, c"ws2_32.dll", c"WSASocketW");
    // SAFETY: as for the other functions.
    unsafe { core::mem::transmute(address) }
}

pub(crate) fn accept() -> Option<Accept> {
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    let address = find(&ADDRESS, c"ws2_32.dll", c"accept");
    // SAFETY: as for the other functions.
    unsafe { core::mem::transmute(address) }
}

/// The address of a function, found once.
fn find(known: &AtomicUsize, library: &CStr, symbol: &CStr) -> usize {
    match known.load(Ordering::Relaxed) {
        0 => load(known, library, symbol),
        address => address,
    }
}

#[cold]
fn load(known: &AtomicUsize, library: &CStr, symbol: &CStr) -> usize {
    let mut name = [0u16; 16];
    for (slot, &byte) in name.iter_mut().zip(library.to_bytes_with_nul()) {
        *slot = u16::from(byte);
    }
    // SAFETY: the names end with NULs.
    let address = unsafe {
        let module = api::LoadLibraryW(name.as_ptr());
        if module == 0 { 0 } else { api::GetProcAddress(module, symbol.as_ptr().cast()) }
    };
    known.store(address, Ordering::Relaxed);
    address
}

/// Makes Winsock usable, once for each process. Doing it twice does no harm.
pub(crate) fn start() -> u32 {
    const VERSION: u16 = 0x0202;
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    if STARTED.load(Ordering::Acquire) != 0 {
        return 0;
    }
    let Some(startup) = startup() else { return NOT_READY };
    let mut data: StartupData = [0; 64];
    // SAFETY: the call writes the structure.
    let error = unsafe { startup(VERSION, &mut data) } as u32;
    if error == 0 {
        STARTED.store(1, Ordering::Release);
    }
    error
}
