//! Sockets for the image: Winsock, one function for each service, and no more than that.
//!
//! Each returns 0 or Winsock's error. All of them return at once, as no socket here waits.

use core::sync::atomic::{AtomicUsize, Ordering};

use lx_nt::{
    AfdPoll, Handle, IOCTL_AFD_POLL, IoStatus, NetTransfer, ObjectAttributes, Status, UnicodeString,
};

use crate::api;
use crate::services::SERVICES;
use crate::winsock::{self, Buffer, Message, NOT_READY, ReceiveMessage};

const NONE: usize = 0;
pub(crate) const INVALID_SOCKET: Handle = usize::MAX;
const FIONBIO: u32 = 0x8004_667e;

/// The result of a function that tells by 0 that it has succeeded.
pub(crate) fn result(failed: i32) -> u32 {
    if failed == 0 { 0 } else { last_error() }
}

fn last_error() -> u32 {
    // SAFETY: reads the thread's last error.
    winsock::last_error().map_or(NOT_READY, |last_error| unsafe { last_error() } as u32)
}

/// Calls a function of Winsock, or says that there is none.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {
        match (winsock::start(), winsock::$name()) {
            // SAFETY: the image's pointers, valid for the call.
            (0, Some(function)) => result(unsafe { function($($argument),*) }),
            (0, None) => NOT_READY,
            (error, _) => error,
        }
    };
}

pub(crate) use call;

/// What all sockets have in common: they do not wait, and no program inherits them.
fn prepare(socket: Handle) -> u32 {
    const HANDLE_FLAG_INHERIT: u32 = 1;
    // SAFETY: our own handle.
    unsafe { api::SetHandleInformation(socket, HANDLE_FLAG_INHERIT, 0) };
    let mut on = 1;
    call!(control(socket, FIONBIO, &mut on))
}

pub(crate) unsafe extern "win64" fn socket(
    family: u32,
    kind: u32,
    protocol: u32,
    socket: *mut Handle,
) -> u32 {
    const OVERLAPPED: u32 = 1;
    const NO_INHERIT: u32 = 0x80;
    let flags = OVERLAPPED | NO_INHERIT;
    let Some(make) = winsock::make_socket() else { return NOT_READY };
    match winsock::start() {
        0 => {}
        error => return error,
    }
    // SAFETY: no structure is handed over.
    let new =
        unsafe { make(family as i32, kind as i32, protocol as i32, core::ptr::null(), 0, flags) };
    // SAFETY: the image's variable.
    unsafe { give(new, socket) }
}

/// Hands a new socket to the image.
unsafe fn give(new: Handle, to: *mut Handle) -> u32 {
    if new == INVALID_SOCKET {
        return last_error();
    }
    let error = prepare(new);
    if error != 0 {
        call!(close(new));
        return error;
    }
    // SAFETY: the caller's variable.
    unsafe { to.write(new) };
    0
}

pub(crate) unsafe extern "win64" fn close(socket: Handle) -> u32 {
    call!(close(socket))
}

pub(crate) unsafe extern "win64" fn bind(socket: Handle, address: *const u8, len: u32) -> u32 {
    call!(bind(socket, address, len as i32))
}

pub(crate) unsafe extern "win64" fn listen(socket: Handle, backlog: u32) -> u32 {
    call!(listen(socket, backlog as i32))
}

pub(crate) unsafe extern "win64" fn connect(socket: Handle, address: *const u8, len: u32) -> u32 {
    call!(connect(socket, address, len as i32))
}

pub(crate) unsafe extern "win64" fn accept(socket: Handle, new: *mut Handle) -> u32 {
    let Some(accept) = winsock::accept() else { return NOT_READY };
    match winsock::start() {
        0 => {}
        error => return error,
    }
    // SAFETY: no address is asked for; the image's variable.
    unsafe { give(accept(socket, core::ptr::null_mut(), core::ptr::null_mut()), new) }
}

pub(crate) unsafe extern "win64" fn send(socket: Handle, transfer: *mut NetTransfer) -> u32 {
    // SAFETY: the image's structure, which nobody else uses meanwhile.
    let transfer = unsafe { &mut *transfer };
    let buffer = Buffer { len: transfer.len, bytes: transfer.bytes };
    transfer.len = 0;
    if transfer.control_len == 0 {
        return call!(send(
            socket,
            &buffer,
            1,
            &mut transfer.len,
            transfer.flags,
            transfer.address,
            transfer.address_len as i32,
            NONE,
            NONE,
        ));
    }
    let mut buffer = buffer;
    let message = message(transfer, &mut buffer);
    call!(send_message(socket, &message, transfer.flags, &mut transfer.len, NONE, NONE))
}

fn message(transfer: &NetTransfer, buffer: &mut Buffer) -> Message {
    Message {
        name: transfer.address,
        name_len: transfer.address_len as i32,
        buffers: buffer,
        buffer_count: 1,
        control: Buffer { len: transfer.control_len, bytes: transfer.control },
        flags: 0,
    }
}

pub(crate) unsafe extern "win64" fn receive(socket: Handle, transfer: *mut NetTransfer) -> u32 {
    // SAFETY: the image's structure, which nobody else uses meanwhile.
    let transfer = unsafe { &mut *transfer };
    let buffer = Buffer { len: transfer.len, bytes: transfer.bytes };
    transfer.len = 0;
    if transfer.control_len != 0 {
        return receive_message(socket, transfer, buffer);
    }
    let mut len = transfer.address_len as i32;
    let no_address = len == 0;
    let error = call!(receive(
        socket,
        &buffer,
        1,
        &mut transfer.len,
        &mut transfer.flags,
        if no_address { core::ptr::null_mut() } else { transfer.address },
        if no_address { core::ptr::null_mut() } else { &mut len },
        NONE,
        NONE,
    ));
    transfer.address_len = len as u32;
    error
}

fn receive_message(socket: Handle, transfer: &mut NetTransfer, mut buffer: Buffer) -> u32 {
    let Some(receive) = find_receive_message(socket) else { return NOT_READY };
    let mut message = message(transfer, &mut buffer);
    message.flags = transfer.flags;
    // SAFETY: the structure and what it points to are there until the call returns.
    let failed = unsafe { receive(socket, &mut message, &mut transfer.len, NONE, NONE) };
    transfer.address_len = message.name_len as u32;
    transfer.control_len = message.control.len;
    transfer.flags = message.flags;
    result(failed)
}

fn find_receive_message(socket: Handle) -> Option<ReceiveMessage> {
    const SIO_GET_EXTENSION_FUNCTION_POINTER: u32 = 0xc800_0006;
    /// `WSAID_WSARECVMSG`.
    const ID: [u8; 16] = [
        0xc8, 0xd7, 0x89, 0xf6, 0x1f, 0x6f, 0x6b, 0x43, 0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3,
        0x22,
    ];
    static ADDRESS: AtomicUsize = AtomicUsize::new(0);
    let mut address = ADDRESS.load(Ordering::Relaxed);
    if address == 0 {
        let mut done = 0;
        let error = call!(control_with_buffers(
            socket,
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            ID.as_ptr(),
            ID.len() as u32,
            (&raw mut address).cast(),
            size_of::<usize>() as u32,
            &mut done,
            NONE,
            NONE,
        ));
        if error != 0 {
            return None;
        }
        ADDRESS.store(address, Ordering::Relaxed);
    }
    // SAFETY: the function with this identifier has this type, and a null pointer is `None`.
    unsafe { core::mem::transmute(address) }
}

pub(crate) unsafe extern "win64" fn shut_down(socket: Handle, how: u32) -> u32 {
    call!(shut_down(socket, how as i32))
}

pub(crate) unsafe extern "win64" fn name(
    socket: Handle,
    peer: u32,
    address: *mut u8,
    len: *mut u32,
) -> u32 {
    match peer {
        0 => call!(name(socket, address, len.cast())),
        _ => call!(peer_name(socket, address, len.cast())),
    }
}

pub(crate) unsafe extern "win64" fn option(
    socket: Handle,
    level: u32,
    name: u32,
    value: *mut u8,
    len: *mut u32,
) -> u32 {
    call!(option(socket, level as i32, name as i32, value, len.cast()))
}

pub(crate) unsafe extern "win64" fn set_option(
    socket: Handle,
    level: u32,
    name: u32,
    value: *const u8,
    len: u32,
) -> u32 {
    call!(set_option(socket, level as i32, name as i32, value, len as i32))
}

pub(crate) unsafe extern "win64" fn control(socket: Handle, request: u32, value: *mut u32) -> u32 {
    call!(control(socket, request, value))
}

pub(crate) unsafe extern "win64" fn ready(
    socket: Handle,
    events: *mut u32,
    error: *mut Status,
) -> u32 {
    const PENDING: Status = 0x103;
    let Some(device) = device() else { return NOT_READY };
    let mut io = IoStatus::default();
    let len = size_of::<AfdPoll>() as u32;
    // SAFETY: the image's variables. The structure is there until the request is over, which it is
    // at once.
    unsafe {
        let mut poll = AfdPoll { count: 1, socket, events: *events, ..AfdPoll::default() };
        let place = (&raw mut poll).cast::<u8>();
        let status = (SERVICES.device_control)(
            device,
            0,
            0,
            0,
            &mut io,
            IOCTL_AFD_POLL,
            place,
            len,
            place,
            len,
        );
        *events = if status != 0 || poll.count == 0 { 0 } else { poll.events };
        *error = poll.status;
        u32::from(status < 0 || status == PENDING) * NOT_READY
    }
}

/// Opens the driver of sockets; 0 if that cannot be. `options` are those of `NtCreateFile`.
pub(crate) unsafe extern "win64" fn driver(options: u32) -> Handle {
    const SYNCHRONIZE: u32 = 0x10_0000;
    const SHARE: u32 = 3;
    const OPEN: u32 = 1;
    let mut text = [0u16; 14];
    for (slot, byte) in text.iter_mut().zip(br"\Device\Afd\lx") {
        *slot = u16::from(*byte);
    }
    let bytes = size_of_val(&text) as u16;
    let name = UnicodeString { length: bytes, maximum_length: bytes, buffer: text.as_ptr() };
    let attributes = ObjectAttributes {
        length: size_of::<ObjectAttributes>() as u32,
        root: 0,
        name: &name,
        attributes: 0,
        security: 0,
        quality: 0,
    };
    let mut new = 0;
    let mut io = IoStatus::default();
    // SAFETY: the call reads the name and writes the handle.
    let status = unsafe {
        (SERVICES.create_file)(
            &mut new,
            SYNCHRONIZE,
            &attributes,
            &mut io,
            core::ptr::null(),
            0,
            SHARE,
            OPEN,
            options,
            core::ptr::null(),
            0,
        )
    };
    if status < 0 { 0 } else { new }
}

/// This process's handle of the driver, whose requests are over when they return.
fn device() -> Option<Handle> {
    const SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
    static DEVICE: AtomicUsize = AtomicUsize::new(0);
    let known = DEVICE.load(Ordering::Acquire);
    if known != 0 {
        return Some(known);
    }
    // SAFETY: touches no memory of the caller's.
    let new = unsafe { driver(SYNCHRONOUS_IO_NONALERT) };
    if new == 0 {
        return None;
    }
    match DEVICE.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(new),
        Err(other) => {
            // SAFETY: our own handle.
            unsafe { api::CloseHandle(new) };
            Some(other)
        }
    }
}

pub(crate) unsafe extern "win64" fn adapters(buffer: *mut u8, len: *mut u32) -> u32 {
    /// No anycast, multicast or name servers' addresses.
    const FLAGS: u32 = 0xe;
    const ANY: u32 = 0;
    match winsock::adapters() {
        // SAFETY: the image's buffer and variable.
        Some(adapters) => unsafe { adapters(ANY, FLAGS, NONE, buffer, len) as u32 },
        None => NOT_READY,
    }
}
