//! Sockets of the host, all of them non-blocking.

use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::socket::{AddressFamily, MsgFlags, ShutdownHow, SocketKind};
use lx_core::host::{
    Buf, BufMut, HostError, HostFd, HostNet, HostResult, NetInterface, NetMessage,
};

use crate::storage::{source, target};
use crate::sys::{self, SysResult, sys};
use crate::{LinuxHost, host, interfaces};

const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o2000000;
/// `struct sockaddr_storage`.
const ADDRESS_ROOM: usize = 128;

#[repr(C)]
struct Part {
    base: u64,
    len: usize,
}

/// `struct msghdr`
#[repr(C)]
struct Header {
    name: u64,
    name_len: u64,
    parts: u64,
    part_count: usize,
    control: u64,
    control_len: usize,
    flags: u64,
}

fn fd_of(result: SysResult) -> HostResult<HostFd> {
    result.map(|fd| HostFd::from_raw(fd as u64, host())).map_err(HostError)
}

fn done(result: SysResult) -> HostResult<()> {
    result.map(drop).map_err(HostError)
}

/// Makes a call again when a host signal came in between: none of them waits.
fn restarting(mut call: impl FnMut() -> SysResult) -> SysResult {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

impl HostNet for LinuxHost {
    fn net_socket(
        &self,
        family: AddressFamily,
        kind: SocketKind,
        protocol: i32,
    ) -> HostResult<HostFd> {
        let kind = kind.0 as usize | NONBLOCK_CLOEXEC;
        // SAFETY: touches no memory.
        fd_of(unsafe { sys!(sys::__NR_socket, family.0, kind, protocol) })
    }

    fn net_bind(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        // SAFETY: the kernel reads the address.
        done(unsafe { sys!(sys::__NR_bind, fd.raw(), address.as_ptr(), address.len()) })
    }

    fn net_listen(&self, fd: &HostFd, backlog: i32) -> HostResult<()> {
        // SAFETY: touches no memory.
        done(unsafe { sys!(sys::__NR_listen, fd.raw(), backlog) })
    }

    fn net_connect(&self, fd: &HostFd, address: &[u8]) -> HostResult<()> {
        // SAFETY: the kernel reads the address.
        done(unsafe { sys!(sys::__NR_connect, fd.raw(), address.as_ptr(), address.len()) })
    }

    fn net_accept(&self, fd: &HostFd) -> HostResult<HostFd> {
        fd_of(restarting(|| {
            // SAFETY: no address is asked for.
            unsafe { sys!(sys::__NR_accept4, fd.raw(), 0usize, 0usize, NONBLOCK_CLOEXEC) }
        }))
    }

    fn net_send(
        &self,
        fd: &HostFd,
        bytes: Buf<'_>,
        flags: MsgFlags,
        address: &[u8],
        control: &[u8],
    ) -> HostResult<usize> {
        let (base, len) = source(bytes)?;
        let flags = (flags | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT).bits();
        let result = if control.is_empty() {
            let name = if address.is_empty() { 0 } else { address.as_ptr() as usize };
            restarting(|| {
                // SAFETY: the kernel reads the bytes, which `source` has checked, and the address.
                unsafe { sys!(sys::__NR_sendto, fd.raw(), base, len, flags, name, address.len()) }
            })
        } else {
            let part = Part { base, len };
            let header = Header {
                name: if address.is_empty() { 0 } else { address.as_ptr() as u64 },
                name_len: address.len() as u64,
                parts: &raw const part as u64,
                part_count: 1,
                control: control.as_ptr() as u64,
                control_len: control.len(),
                flags: 0,
            };
            restarting(|| {
                // SAFETY: the kernel reads what the header describes.
                unsafe { sys!(sys::__NR_sendmsg, fd.raw(), &raw const header, flags) }
            })
        };
        result.map_err(HostError)
    }

    fn net_receive(
        &self,
        fd: &HostFd,
        bytes: BufMut<'_>,
        flags: MsgFlags,
        message: Option<&mut NetMessage>,
    ) -> HostResult<usize> {
        let (base, len) = target(bytes)?;
        let flags = (flags | MsgFlags::MSG_DONTWAIT).bits();
        let Some(message) = message else {
            let result = restarting(|| {
                // SAFETY: the kernel writes the bytes, which `target` has checked.
                unsafe { sys!(sys::__NR_recvfrom, fd.raw(), base, len, flags, 0usize, 0usize) }
            });
            return result.map_err(HostError);
        };
        let part = Part { base, len };
        let control_room = message.control.len();
        let mut header = Header {
            name: message.address.as_mut_ptr() as u64,
            name_len: ADDRESS_ROOM as u64,
            parts: &raw const part as u64,
            part_count: 1,
            control: if control_room == 0 { 0 } else { message.control.as_mut_ptr() as u64 },
            control_len: control_room,
            flags: 0,
        };
        let count = restarting(|| {
            // SAFETY: the kernel writes what the header describes, and the header.
            unsafe { sys!(sys::__NR_recvmsg, fd.raw(), &raw mut header, flags) }
        })
        .map_err(HostError)?;
        message.address_len = (header.name_len as u32 as usize).min(ADDRESS_ROOM);
        message.control.truncate(header.control_len);
        message.flags = MsgFlags::from_bits_truncate(header.flags as u32);
        Ok(count)
    }

    fn net_shutdown(&self, fd: &HostFd, how: ShutdownHow) -> HostResult<()> {
        // SAFETY: touches no memory.
        done(unsafe { sys!(sys::__NR_shutdown, fd.raw(), how.0) })
    }

    fn net_name(&self, fd: &HostFd, peer: bool) -> HostResult<Vec<u8>> {
        let number = if peer { sys::__NR_getpeername } else { sys::__NR_getsockname };
        let mut address = vec![0_u8; ADDRESS_ROOM];
        let mut len = ADDRESS_ROOM as u32;
        // SAFETY: the kernel writes no more than the length says, and the length.
        done(unsafe { sys!(number, fd.raw(), address.as_mut_ptr(), &raw mut len) })?;
        address.truncate(len as usize);
        Ok(address)
    }

    fn net_option(
        &self,
        fd: &HostFd,
        level: i32,
        name: i32,
        value: &mut Vec<u8>,
    ) -> HostResult<()> {
        let mut len = value.len() as u32;
        // SAFETY: the kernel writes no more than the length says, and the length.
        done(unsafe {
            sys!(sys::__NR_getsockopt, fd.raw(), level, name, value.as_mut_ptr(), &raw mut len)
        })?;
        value.truncate(len as usize);
        Ok(())
    }

    fn net_set_option(&self, fd: &HostFd, level: i32, name: i32, value: &[u8]) -> HostResult<()> {
        // SAFETY: the kernel reads the value; the caller lets no option pass that holds pointers.
        done(unsafe {
            sys!(sys::__NR_setsockopt, fd.raw(), level, name, value.as_ptr(), value.len())
        })
    }

    fn net_count(&self, fd: &HostFd, request: u32) -> HostResult<i32> {
        let mut count = 0_i32;
        // SAFETY: these requests write one number.
        done(unsafe { sys!(sys::__NR_ioctl, fd.raw(), request, &raw mut count) })?;
        Ok(count)
    }

    fn net_interfaces(&self) -> Vec<NetInterface> {
        interfaces::list(self)
    }
}
