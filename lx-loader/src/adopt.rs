//! Sockets of other processes, of which this one has got a duplicate of the handle.
//!
//! Windows' own sockets are handles of the system, and Winsock takes one that it has not seen before,
//! as it takes those that a process has inherited. Where it does not, the duplicate goes the way of
//! `WSADuplicateSocket`: what that function writes names a handle of this process, so the handle is
//! put in its place. Where that place is, two duplicates of a socket of our own tell.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use lx_nt::Handle;

use crate::api;
use crate::net::{INVALID_SOCKET, call, result};
use crate::winsock::{self, NOT_READY, SHARED_FIELDS, SharedSocket};

/// `WSAENOTSOCK`
const NOT_A_SOCKET: u32 = 10038;
/// `FROM_PROTOCOL_INFO`
const FROM_SHARED: i32 = -1;
const OVERLAPPED: u32 = 1;

/// What a duplicate is described by.
static SHARED: [AtomicU32; 157] = [const { AtomicU32::new(0) }; 157];
/// Which field is the handle, plus one; 0 if that is not known yet.
static FIELD: AtomicUsize = AtomicUsize::new(0);

/// Makes a duplicate known to Winsock.
pub(crate) unsafe extern "win64" fn adopt(socket: Handle) -> u32 {
    let mut address = [0u8; 128];
    let mut len = address.len() as i32;
    if call!(peer_name(socket, address.as_mut_ptr(), &mut len)) != NOT_A_SOCKET {
        return 0;
    }
    let Some(field) = field() else { return NOT_A_SOCKET };
    let mut shared: SharedSocket = [0; 157];
    for (to, from) in shared.iter_mut().zip(&SHARED) {
        *to = from.load(Ordering::Relaxed);
    }
    if let Some(handle) = shared.get_mut(field) {
        *handle = socket as u32;
    }
    let made = make(&shared);
    if made == socket {
        return 0;
    }
    if made != INVALID_SOCKET {
        call!(close(made));
    }
    NOT_A_SOCKET
}

/// The socket that is described.
fn make(shared: &SharedSocket) -> Handle {
    let Some(make) = winsock::make_socket() else { return INVALID_SOCKET };
    // SAFETY: Winsock reads the description.
    unsafe { make(FROM_SHARED, FROM_SHARED, FROM_SHARED, shared, 0, OVERLAPPED) }
}

/// Which field of a description is the handle.
fn field() -> Option<usize> {
    let known = FIELD.load(Ordering::Acquire);
    if known != 0 {
        return Some(known - 1);
    }
    const INET: i32 = 2;
    const DATAGRAMS: i32 = 2;
    let make_new = winsock::make_socket()?;
    // SAFETY: no description is handed over.
    let own = unsafe { make_new(INET, DATAGRAMS, 0, core::ptr::null(), 0, OVERLAPPED) };
    if own == INVALID_SOCKET {
        return None;
    }
    // SAFETY: reads the process's id.
    let process = unsafe { api::GetCurrentProcessId() };
    let mut shared: [SharedSocket; 2] = [[0; 157]; 2];
    let mut handles = [INVALID_SOCKET; 2];
    for (shared, handle) in shared.iter_mut().zip(&mut handles) {
        if call!(duplicate(own, process, shared)) == 0 {
            *handle = make(shared);
        }
    }
    let [one, two] = &shared;
    let found = (0..SHARED_FIELDS).find(|&at| {
        let is = |shared: &SharedSocket, handle| {
            shared.get(at).is_some_and(|&field| field as Handle == handle)
        };
        handles[0] != handles[1] && is(one, handles[0]) && is(two, handles[1])
    });
    for handle in [own, handles[0], handles[1]] {
        if handle != INVALID_SOCKET {
            call!(close(handle));
        }
    }
    let found = found?;
    for (to, from) in SHARED.iter().zip(one) {
        to.store(*from, Ordering::Relaxed);
    }
    FIELD.store(found + 1, Ordering::Release);
    Some(found)
}
