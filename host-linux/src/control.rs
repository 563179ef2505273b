//! The control socket: packets from and to the embedding program.
//!
//! Contents are the kernel's matter; here only long messages, which travel as files, are turned
//! into ordinary ones and back.

use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::control::{CONTROL_FD, Envelope, MAX_DESCRIPTORS, MAX_INLINE, large_packet, open};
use lx_core::host::{HostFd, Supervisor};

use crate::sys::{self, sys};
use crate::{host, init};

/// Init's end of the socket.
pub(crate) const FD: i32 = CONTROL_FD;

const DONTWAIT: usize = 0x40;
const NOSIGNAL: usize = 0x4000;
const CMSG_CLOEXEC: usize = 0x4000_0000;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;

#[repr(C)]
struct IoVec {
    base: *mut u8,
    len: usize,
}

#[repr(C)]
struct MessageHeader {
    name: usize,
    name_len: u64,
    iov: *const IoVec,
    iov_len: usize,
    control: *mut Rights,
    control_len: usize,
    flags: u64,
}

/// A control message that carries descriptors.
#[repr(C, align(8))]
#[derive(Default)]
struct Rights {
    len: usize,
    level: i32,
    kind: i32,
    fds: [i32; MAX_DESCRIPTORS],
}

const RIGHTS_HEADER: usize = 16;

/// Takes all packets that have arrived; ends the machine when the other side is gone.
pub(crate) fn receive(supervisor: &dyn Supervisor) {
    let mut packet = vec![0u8; MAX_INLINE];
    loop {
        let mut rights = Rights::default();
        let iov = IoVec { base: packet.as_mut_ptr(), len: packet.len() };
        let header = MessageHeader {
            name: 0,
            name_len: 0,
            iov: &raw const iov,
            iov_len: 1,
            control: &raw mut rights,
            control_len: size_of::<Rights>(),
            flags: 0,
        };
        // SAFETY: the kernel writes what the header describes.
        let received =
            unsafe { sys!(sys::__NR_recvmsg, FD, &raw const header, DONTWAIT | CMSG_CLOEXEC) };
        let len = match received {
            Ok(len) if len > 0 => len,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => return,
            _ => {
                supervisor.ending();
                init::end()
            }
        };
        let mut fds = take_fds(&rights, header.control_len);
        let Some(message) = packet.get(..len) else { return };
        match open(message) {
            Ok(Envelope::Large { len }) if !fds.is_empty() => {
                let file = fds.remove(0);
                if let Some(message) = read_file(&file, len) {
                    supervisor.control_message(&message, &mut fds);
                }
            }
            // What is malformed is for the kernel to refuse.
            _ => supervisor.control_message(message, &mut fds),
        }
    }
}

fn take_fds(rights: &Rights, control_len: usize) -> Vec<HostFd> {
    if control_len < RIGHTS_HEADER || rights.level != SOL_SOCKET || rights.kind != SCM_RIGHTS {
        return Vec::new();
    }
    let count = rights.len.saturating_sub(RIGHTS_HEADER) / size_of::<i32>();
    rights.fds.iter().take(count).map(|&fd| HostFd::from_raw(fd as u64, host())).collect()
}

fn read_file(file: &HostFd, len: usize) -> Option<Vec<u8>> {
    let mut message = vec![0u8; len];
    let mut at = 0;
    while at < len {
        let rest = message.get_mut(at..)?;
        // SAFETY: the kernel writes the rest of the message.
        let count =
            unsafe { sys!(sys::__NR_pread64, file.raw(), rest.as_mut_ptr(), rest.len(), at) };
        match count {
            Ok(count) if count > 0 => at += count,
            Err(Errno::EINTR) => {}
            _ => return None,
        }
    }
    Some(message)
}

/// Sends one message.
pub(crate) fn send(message: &[u8]) {
    if message.len() <= MAX_INLINE {
        send_packet(message, None);
        return;
    }
    // SAFETY: the kernel reads the name.
    let file = unsafe { sys!(sys::__NR_memfd_create, c"lx-event".as_ptr(), 1usize) };
    if let Ok(file) = file {
        let file = file as i32;
        sys::write_all(file, message);
        send_packet(&large_packet(message.len()), Some(file));
        sys::close(file);
    }
}

fn send_packet(packet: &[u8], fd: Option<i32>) {
    let mut rights = Rights {
        len: RIGHTS_HEADER + size_of::<i32>(),
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        fds: [fd.unwrap_or(-1); MAX_DESCRIPTORS],
    };
    let iov = IoVec { base: packet.as_ptr().cast_mut(), len: packet.len() };
    let header = MessageHeader {
        name: 0,
        name_len: 0,
        iov: &raw const iov,
        iov_len: 1,
        control: if fd.is_some() { &raw mut rights } else { core::ptr::null_mut() },
        control_len: if fd.is_some() { 24 } else { 0 },
        flags: 0,
    };
    loop {
        // SAFETY: the kernel reads what the header describes.
        match unsafe { sys!(sys::__NR_sendmsg, FD, &raw const header, NOSIGNAL) } {
            Err(Errno::EINTR) => {}
            // If nobody listens, the end of the socket says so soon.
            _ => return,
        }
    }
}
