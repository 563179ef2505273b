//! Network interfaces, as Windows' IP helper library lists them.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use lx_core::host::{NetAddress, NetInterface};

use super::address;
use crate::nt::nt;

/// `ERROR_BUFFER_OVERFLOW`
const TOO_SMALL: u32 = 111;
/// How often the list may grow while it is asked for.
const TRIES: usize = 4;

/// `IF_TYPE_*`
const LOOPBACK: u32 = 24;
const WIRELESS: u32 = 71;

/// Offsets in `IP_ADAPTER_ADDRESSES`.
mod adapter {
    pub(super) const INDEX: usize = 4;
    pub(super) const NEXT: usize = 8;
    pub(super) const UNICAST: usize = 24;
    pub(super) const HARDWARE: usize = 80;
    pub(super) const HARDWARE_LEN: usize = 88;
    pub(super) const MTU: usize = 96;
    pub(super) const KIND: usize = 100;
    pub(super) const STATUS: usize = 104;
    pub(super) const INDEX6: usize = 108;
}

/// Offsets in `IP_ADAPTER_UNICAST_ADDRESS`.
mod unicast {
    pub(super) const NEXT: usize = 8;
    pub(super) const ADDRESS: usize = 16;
    pub(super) const ADDRESS_LEN: usize = 24;
    pub(super) const PREFIX: usize = 56;
}

/// The library's answer: structures that point at each other.
struct Answer<'a> {
    bytes: &'a [u8],
    /// Where it was written.
    base: u64,
}

impl Answer<'_> {
    fn u32(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// What a pointer at this place points to.
    fn follow(&self, at: usize) -> Option<usize> {
        let pointer = self.bytes.get(at..)?.first_chunk()?;
        let offset = u64::from_le_bytes(*pointer).checked_sub(self.base)?;
        usize::try_from(offset).ok().filter(|offset| *offset < self.bytes.len())
    }

    /// A list whose elements point to the next one.
    fn list(&self, first: Option<usize>, next: usize) -> impl Iterator<Item = usize> {
        // As many as there is room for: a list that bites its tail ends, too.
        core::iter::successors(first, move |at| self.follow(at + next))
            .take(self.bytes.len() / 32 + 1)
    }

    fn interface(&self, at: usize) -> NetInterface {
        let kind = self.u32(at + adapter::KIND);
        let index = match self.u32(at + adapter::INDEX) {
            0 => self.u32(at + adapter::INDEX6),
            index => index,
        };
        let len = (self.u32(at + adapter::HARDWARE_LEN) as usize).min(8);
        let hardware = self.bytes.get(at + adapter::HARDWARE..).and_then(|bytes| bytes.get(..len));
        let first = self.follow(at + adapter::UNICAST);
        let addresses = self.list(first, unicast::NEXT).filter_map(|at| self.address(at));
        NetInterface {
            index,
            name: Vec::new(),
            kind: if kind == LOOPBACK { 772 } else { 1 },
            flags: flags(kind, self.u32(at + adapter::STATUS) == 1),
            mtu: mtu(self.u32(at + adapter::MTU)),
            hardware: match hardware {
                Some(bytes) if !bytes.is_empty() => bytes.to_vec(),
                _ => vec![0; 6],
            },
            addresses: addresses.collect(),
        }
    }

    fn address(&self, at: usize) -> Option<NetAddress> {
        let from = self.follow(at + unicast::ADDRESS)?;
        let len = self.u32(at + unicast::ADDRESS_LEN) as usize;
        let mut native = self.bytes.get(from..from.checked_add(len)?)?.to_vec();
        let len = address::to_linux(&mut native, len);
        let family = *native.first()?;
        let bytes = if len == address::INET6 { native.get(8..24)? } else { native.get(4..8)? };
        let prefix = *self.bytes.get(at + unicast::PREFIX)?;
        let broadcast = match bytes.first_chunk::<4>() {
            Some(four) if bytes.len() == 4 && four[0] != 127 && prefix < 31 => {
                let rest = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                (u32::from_be_bytes(*four) | rest).to_be_bytes().to_vec()
            }
            _ => Vec::new(),
        };
        /// `IFA_F_PERMANENT`
        const PERMANENT: u8 = 0x80;
        let scope = scope(bytes);
        Some(NetAddress {
            family,
            bytes: bytes.to_vec(),
            prefix,
            scope,
            flags: PERMANENT,
            broadcast,
        })
    }
}

/// `IFF_*`
fn flags(kind: u32, up: bool) -> u32 {
    const UP: u32 = 1 | 0x40 | 0x1_0000;
    const IS_LOOPBACK: u32 = 8;
    const BROADCAST_MULTICAST: u32 = 2 | 0x1000;
    let state = if up { UP } else { 0 };
    state | if kind == LOOPBACK { IS_LOOPBACK } else { BROADCAST_MULTICAST }
}

/// Windows says −1 of interfaces without a limit.
fn mtu(windows: u32) -> u32 {
    if windows == u32::MAX || windows == 0 { 65_536 } else { windows }
}

/// `RT_SCOPE_*`
fn scope(address: &[u8]) -> u8 {
    const GLOBAL: u8 = 0;
    const LINK: u8 = 253;
    const HOST: u8 = 254;
    match address {
        [127, _, _, _] | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] => HOST,
        [169, 254, _, _] => LINK,
        [0xfe, second, ..] if address.len() == 16 && second & 0xc0 == 0x80 => LINK,
        _ => GLOBAL,
    }
}

/// Names that programs of Linux expect, by kind and in the order of the indices.
fn name(interfaces: &mut [(u32, NetInterface)]) {
    let (mut wired, mut wireless) = (0, 0);
    for (kind, interface) in interfaces {
        let (prefix, count) = match *kind {
            LOOPBACK => {
                interface.name = b"lo".to_vec();
                continue;
            }
            WIRELESS => ("wifi", &mut wireless),
            _ => ("eth", &mut wired),
        };
        interface.name = format!("{prefix}{count}").into_bytes();
        *count += 1;
    }
}

fn parse(bytes: &[u8], base: u64) -> Vec<NetInterface> {
    let answer = Answer { bytes, base };
    let adapters = answer.list(Some(0).filter(|_| !bytes.is_empty()), adapter::NEXT);
    let read = |at| (answer.u32(at + adapter::KIND), answer.interface(at));
    let mut all: Vec<(u32, NetInterface)> = adapters.map(read).collect();
    all.sort_by_key(|(_, interface)| interface.index);
    name(&mut all);
    all.into_iter().map(|(_, interface)| interface).collect()
}

/// All interfaces with their addresses.
pub(super) fn list() -> Vec<NetInterface> {
    let mut len = 16 << 10;
    for _ in 0..TRIES {
        let mut buffer = vec![0u8; len as usize];
        // SAFETY: the library writes no more than the length says, and the length.
        match unsafe { nt!(net_adapters, buffer.as_mut_ptr(), &mut len) } {
            0 => return parse(&buffer, buffer.as_ptr() as u64),
            TOO_SMALL => {}
            _ => break,
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x1000;

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// An adapter, an address of it, and the next adapter.
    fn answer() -> Vec<u8> {
        let mut bytes = vec![0; 0x600];
        put(&mut bytes, adapter::INDEX, &7_u32.to_le_bytes());
        put(&mut bytes, adapter::NEXT, &(BASE + 0x200).to_le_bytes());
        put(&mut bytes, adapter::UNICAST, &(BASE + 0x400).to_le_bytes());
        put(&mut bytes, adapter::HARDWARE, &[1, 2, 3, 4, 5, 6]);
        put(&mut bytes, adapter::HARDWARE_LEN, &6_u32.to_le_bytes());
        put(&mut bytes, adapter::MTU, &1500_u32.to_le_bytes());
        put(&mut bytes, adapter::KIND, &6_u32.to_le_bytes());
        put(&mut bytes, adapter::STATUS, &1_u32.to_le_bytes());
        put(&mut bytes, 0x400 + unicast::ADDRESS, &(BASE + 0x500).to_le_bytes());
        put(&mut bytes, 0x400 + unicast::ADDRESS_LEN, &16_u32.to_le_bytes());
        put(&mut bytes, 0x400 + unicast::PREFIX, &[24]);
        put(&mut bytes, 0x500, &[2, 0, 0, 0, 192, 168, 1, 5]);
        put(&mut bytes, 0x200 + adapter::INDEX6, &1_u32.to_le_bytes());
        put(&mut bytes, 0x200 + adapter::MTU, &u32::MAX.to_le_bytes());
        put(&mut bytes, 0x200 + adapter::KIND, &LOOPBACK.to_le_bytes());
        put(&mut bytes, 0x200 + adapter::STATUS, &1_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn adapters_become_interfaces() {
        let found = parse(&answer(), BASE);
        let names: Vec<&[u8]> = found.iter().map(|interface| interface.name.as_slice()).collect();
        assert_eq!(names, [&b"lo"[..], b"eth0"]);
        let [lo, eth] = found.as_slice() else { panic!("two interfaces") };
        assert_eq!((lo.index, lo.kind, lo.flags, lo.mtu), (1, 772, 0x1_0049, 65_536));
        assert_eq!((eth.index, eth.kind, eth.flags, eth.mtu), (7, 1, 0x1_1043, 1500));
        assert_eq!(eth.hardware, [1, 2, 3, 4, 5, 6]);
        let address = &eth.addresses[0];
        assert_eq!((address.family, address.prefix, address.scope), (2, 24, 0));
        assert_eq!(address.bytes, [192, 168, 1, 5]);
        assert_eq!(address.broadcast, [192, 168, 1, 255]);
    }

    #[test]
    fn a_damaged_answer_ends() {
        assert!(parse(&[], BASE).is_empty());
        let mut bytes = answer();
        put(&mut bytes, 0x200 + adapter::NEXT, &BASE.to_le_bytes());
        assert!(parse(&bytes, BASE).len() < 100);
        put(&mut bytes, adapter::UNICAST, &u64::MAX.to_le_bytes());
        assert!(!parse(&bytes, BASE).is_empty());
    }

    #[test]
    fn addresses_have_scopes() {
        assert_eq!(scope(&[127, 0, 0, 1]), 254);
        assert_eq!(scope(&[169, 254, 1, 1]), 253);
        assert_eq!(scope(&[10, 0, 0, 1]), 0);
        let mut link = [0; 16];
        (link[0], link[1]) = (0xfe, 0x80);
        assert_eq!(scope(&link), 253);
    }
}
