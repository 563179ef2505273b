//! Addresses of sockets: Linux and Windows lay them out in the same way, but number IPv6 differently.

use lx_core::abi::Errno;
use lx_core::abi::socket::AddressFamily;
use lx_core::host::{HostError, HostResult};

/// Windows' `AF_INET6`.
const WINDOWS_INET6: u16 = 23;
/// `struct sockaddr_in`.
pub(super) const INET: usize = 16;
/// `struct sockaddr_in6`.
pub(super) const INET6: usize = 28;
/// Without the scope, as Linux takes it.
const OLD_INET6: usize = 24;

/// An address as Windows has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    bytes: [u8; INET6],
    len: usize,
}

/// What the address of a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// `bind(2)`.
    Own,
    /// `connect(2)`, `sendto(2)`.
    Peer,
}

fn invalid<T>() -> HostResult<T> {
    Err(HostError(Errno::EINVAL))
}

/// The family of an address of Linux.
pub(super) fn family(linux: &[u8]) -> Option<AddressFamily> {
    linux.first_chunk().map(|bytes| AddressFamily(u16::from_ne_bytes(*bytes).into()))
}

/// The family's number in Windows.
pub(super) fn windows_family(family: AddressFamily) -> u16 {
    if family == AddressFamily::AF_INET6 { WINDOWS_INET6 } else { family.0 as u16 }
}

impl Address {
    /// The zero address of a family, with port zero.
    pub(super) fn any(family: AddressFamily) -> Self {
        let len = if family == AddressFamily::AF_INET6 { INET6 } else { INET };
        let mut any = Self { bytes: [0; INET6], len };
        any.put(0, &windows_family(family).to_ne_bytes());
        any
    }

    /// An address of Linux, for a socket of a family.
    ///
    /// IPv4 addresses become mapped ones where a socket of IPv6 sends datagrams, as on Linux.
    pub(super) fn of_linux(
        linux: &[u8],
        socket: AddressFamily,
        what: Use,
        is_datagram: bool,
    ) -> HostResult<Self> {
        let six = socket == AddressFamily::AF_INET6;
        let Some(given) = family(linux) else { return invalid() };
        if six && given == AddressFamily::AF_INET && is_datagram && what == Use::Peer {
            let Some(four) = linux.get(..INET) else { return invalid() };
            return Ok(Self::mapped(four).or_loopback(what));
        }
        if linux.len() < if six { OLD_INET6 } else { INET } {
            return invalid();
        }
        let zero = linux.get(4..8) == Some(&[0; 4]);
        let unspecified = given == AddressFamily::AF_UNSPEC && what == Use::Own && !six && zero;
        if given != socket && !unspecified {
            return Err(HostError(Errno::EAFNOSUPPORT));
        }
        let mut address = Self::any(socket);
        address.put(2, linux.get(2..address.len.min(linux.len())).unwrap_or_default());
        Ok(address.or_loopback(what))
    }

    fn mapped(four: &[u8]) -> Self {
        let mut address = Self::any(AddressFamily::AF_INET6);
        address.put(2, four.get(2..4).unwrap_or_default());
        let ip = four.get(4..8).unwrap_or_default();
        if ip != [0; 4] {
            address.put(18, &[0xff; 2]);
            address.put(20, ip);
        }
        address
    }

    /// Where a peer without an address is: on this machine.
    fn or_loopback(mut self, what: Use) -> Self {
        if what == Use::Own {
            return self;
        }
        if self.len == INET && self.bytes.get(4..8) == Some(&[0; 4]) {
            self.put(4, &[127, 0, 0, 1]);
        }
        if self.len == INET6 && self.bytes.get(8..24) == Some(&[0; 16]) {
            self.put(23, &[1]);
        }
        self
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Makes an address of Windows one of Linux, in place; its length.
pub(super) fn to_linux(bytes: &mut [u8], len: usize) -> usize {
    let Some(number) = bytes.first_chunk_mut::<2>() else { return 0 };
    match u16::from_ne_bytes(*number) {
        WINDOWS_INET6 => {
            *number = (AddressFamily::AF_INET6.0 as u16).to_ne_bytes();
            len.min(INET6)
        }
        _ => len.min(INET),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const FOUR: AddressFamily = AddressFamily::AF_INET;
    const SIX: AddressFamily = AddressFamily::AF_INET6;

    fn four(ip: [u8; 4]) -> Vec<u8> {
        [&[2, 0, 0x1f, 0x90][..], &ip, &[0; 8]].concat()
    }

    fn six(last: u8) -> Vec<u8> {
        let mut bytes = std::vec![0; 28];
        bytes[..4].copy_from_slice(&[10, 0, 0x1f, 0x90]);
        bytes[23] = last;
        bytes[24] = 7;
        bytes
    }

    #[test]
    fn ipv4_stays_as_it_is() {
        let linux = four([10, 1, 2, 3]);
        let windows = Address::of_linux(&linux, FOUR, Use::Peer, false).unwrap();
        assert_eq!(windows.bytes(), linux);
        let mut back = windows.bytes().to_vec();
        assert_eq!(to_linux(&mut back, 16), 16);
        assert_eq!(back, linux);
    }

    #[test]
    fn ipv6_changes_its_number() {
        let linux = six(9);
        let windows = Address::of_linux(&linux, SIX, Use::Peer, false).unwrap();
        assert_eq!(windows.bytes()[..2], [23, 0]);
        assert_eq!(windows.bytes()[2..], linux[2..]);
        let mut back = windows.bytes().to_vec();
        assert_eq!(to_linux(&mut back, 28), 28);
        assert_eq!(back, linux);
    }

    #[test]
    fn nowhere_is_this_machine_for_peers_only() {
        let own = Address::of_linux(&four([0; 4]), FOUR, Use::Own, false).unwrap();
        assert_eq!(own.bytes()[4..8], [0; 4]);
        let peer = Address::of_linux(&four([0; 4]), FOUR, Use::Peer, false).unwrap();
        assert_eq!(peer.bytes()[4..8], [127, 0, 0, 1]);
        let peer = Address::of_linux(&six(0), SIX, Use::Peer, false).unwrap();
        assert_eq!(peer.bytes()[23], 1);
    }

    #[test]
    fn datagrams_of_ipv6_go_to_ipv4_too() {
        let peer = Address::of_linux(&four([1, 2, 3, 4]), SIX, Use::Peer, true).unwrap();
        assert_eq!(peer.bytes()[18..24], [0xff, 0xff, 1, 2, 3, 4]);
        let refused = Address::of_linux(&four([1, 2, 3, 4]), SIX, Use::Peer, false);
        assert_eq!(refused, Err(HostError(Errno::EINVAL)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let short = Address::of_linux(&[2, 0, 0], FOUR, Use::Own, false);
        assert_eq!(short, Err(HostError(Errno::EINVAL)));
        let mut other = four([0; 4]);
        other[0] = 1;
        let other = Address::of_linux(&other, FOUR, Use::Own, false);
        assert_eq!(other, Err(HostError(Errno::EAFNOSUPPORT)));
        let mut none = four([0; 4]);
        none[0] = 0;
        assert!(Address::of_linux(&none, FOUR, Use::Own, false).is_ok());
    }
}
