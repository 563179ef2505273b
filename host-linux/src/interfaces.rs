//! The host's network interfaces, from its netlink.

use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::socket::{AddressFamily, MsgFlags, SocketKind};
use lx_core::host::{Buf, BufMut, HostFd, HostNet, NetAddress, NetInterface};

use crate::LinuxHost;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const REQUEST_DUMP: u16 = 0x301;
const HEADER: usize = 16;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |b| u16::from_ne_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b))
}

/// Calls `found(kind, value)` for the attributes in `bytes`.
fn attributes(mut bytes: &[u8], mut found: impl FnMut(u16, &[u8])) {
    loop {
        let len = usize::from(u16_at(bytes, 0));
        let Some(value) = bytes.get(4..len) else { return };
        found(u16_at(bytes, 2), value);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Asks for everything of one kind and calls `found(kind, payload)` for each answer. The answers
/// to a dump are there as soon as it was asked for.
fn dump(host: &LinuxHost, fd: &HostFd, kind: u16, mut found: impl FnMut(u16, &[u8])) {
    let mut request = vec![0_u8; 36];
    for (at, value) in [(0, 36_u16), (4, kind), (6, REQUEST_DUMP)] {
        if let Some(place) = request.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }
    if host.net_send(fd, Buf::Kernel(&request), MsgFlags::empty(), &[], &[]).is_err() {
        return;
    }
    let mut buffer = vec![0_u8; 32 << 10];
    loop {
        let part = BufMut::Kernel(&mut buffer);
        let Ok(count) = host.net_receive(fd, part, MsgFlags::empty(), None) else { return };
        let mut left = buffer.get(..count).unwrap_or_default();
        while left.len() >= HEADER {
            let len = u32_at(left, 0) as usize;
            let kind = u16_at(left, 4);
            let Some(payload) = left.get(HEADER..len) else { return };
            if kind == NLMSG_DONE || kind == NLMSG_ERROR {
                return;
            }
            found(kind, payload);
            left = left.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        if count == 0 {
            return;
        }
    }
}

fn link(payload: &[u8]) -> NetInterface {
    let mut interface = NetInterface {
        kind: u16_at(payload, 2),
        index: u32_at(payload, 4),
        flags: u32_at(payload, 8),
        ..NetInterface::default()
    };
    attributes(payload.get(16..).unwrap_or_default(), |kind, value| match kind {
        1 => interface.hardware = value.to_vec(),
        3 => interface.name = value.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
        4 => interface.mtu = u32_at(value, 0),
        _ => {}
    });
    interface
}

fn address(payload: &[u8]) -> NetAddress {
    let byte = |at: usize| payload.get(at).copied().unwrap_or(0);
    let mut result = NetAddress {
        family: byte(0),
        prefix: byte(1),
        flags: byte(2),
        scope: byte(3),
        bytes: Vec::new(),
        broadcast: Vec::new(),
    };
    let mut local = Vec::new();
    attributes(payload.get(8..).unwrap_or_default(), |kind, value| match kind {
        1 => result.bytes = value.to_vec(),
        2 => local = value.to_vec(),
        4 => result.broadcast = value.to_vec(),
        _ => {}
    });
    if !local.is_empty() {
        result.bytes = local;
    }
    result
}

/// All interfaces with their addresses.
pub(crate) fn list(host: &LinuxHost) -> Vec<NetInterface> {
    let mut interfaces: Vec<NetInterface> = Vec::new();
    let family = AddressFamily::AF_NETLINK;
    let Ok(fd) = host.net_socket(family, SocketKind::SOCK_RAW, 0) else { return interfaces };
    dump(host, &fd, RTM_GETLINK, |kind, payload| {
        if kind == RTM_NEWLINK {
            interfaces.push(link(payload));
        }
    });
    dump(host, &fd, RTM_GETADDR, |kind, payload| {
        let index = u32_at(payload, 4);
        let owner = interfaces.iter_mut().find(|interface| interface.index == index);
        if kind == RTM_NEWADDR
            && let Some(owner) = owner
        {
            owner.addresses.push(address(payload));
        }
    });
    interfaces
}
