//! Options of sockets: which of Windows' options is which of Linux's, and how their values differ.

use lx_core::abi::socket::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP};

/// Windows' `SOL_SOCKET`.
pub(super) const LEVEL_SOCKET: u32 = 0xffff;
const LEVEL_IP: u32 = 0;
const LEVEL_TCP: u32 = 6;
const LEVEL_IPV6: u32 = 41;

/// Options that this host sets by itself, at [`LEVEL_SOCKET`] where nothing else is said.
pub(super) const REUSE_ADDRESS: u32 = 4;
pub(super) const LINGER: u32 = 0x80;
pub(super) const SEND_BUFFER: u32 = 0x1001;
pub(super) const RECEIVE_BUFFER: u32 = 0x1002;
pub(super) const ERROR: u32 = 0x1007;
/// With their levels.
pub(super) const V6_ONLY: (u32, u32) = (LEVEL_IPV6, 27);
pub(super) const DONT_FRAGMENT: (u32, u32) = (LEVEL_IP, 14);

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// On or off.
    Switch,
    /// A number between these, or −1 for the default.
    Number(i32, i32),
    /// An address of an interface, or its index.
    Interface,
    /// `struct ip_mreq`, or `struct ip_mreqn`.
    Group,
    /// `struct ip_mreq_source`.
    Source,
    /// `struct ipv6_mreq`.
    Group6,
}

/// What is remembered, because Windows has no such thing or means something else by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    ReuseAddress,
    ReusePort,
    Errors,
    Errors6,
}

impl Kept {
    /// Its bit.
    pub(super) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// How an option of Linux is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// By this option of Windows: level, name.
    Windows(u32, u32, Value),
    Kept(Kept),
    /// `SO_ERROR`
    Error,
    /// `SO_LINGER`
    Linger,
    /// `SO_SNDBUF`
    SendBuffer,
    /// `SO_RCVBUF`
    ReceiveBuffer,
    /// `SO_TYPE`, `SO_DOMAIN`, `SO_PROTOCOL`, `SO_ACCEPTCONN`, which can only be read.
    Kind,
    Domain,
    Protocol,
    Accepts,
    /// `IP_MTU_DISCOVER`
    Discover,
    /// Windows has nothing like it.
    None,
}

/// How to serve an option of a socket, which `streams` or not.
pub(super) fn plan(level: i32, name: i32, streams: bool) -> Plan {
    let windows = |(name, value): (u32, Value)| {
        let level = match level {
            SOL_SOCKET => LEVEL_SOCKET,
            SOL_TCP => LEVEL_TCP,
            SOL_IPV6 => LEVEL_IPV6,
            _ => LEVEL_IP,
        };
        Plan::Windows(level, name, value)
    };
    let found = match level {
        SOL_SOCKET => return socket_plan(name, streams),
        SOL_TCP => tcp(name),
        SOL_IP => match name {
            10 => return Plan::Discover,
            11 => return Plan::Kept(Kept::Errors),
            _ => ip(name),
        },
        SOL_IPV6 if name == 25 => return Plan::Kept(Kept::Errors6),
        SOL_IPV6 => ipv6(name),
        _ => None,
    };
    found.map_or(Plan::None, windows)
}

fn socket_plan(name: i32, streams: bool) -> Plan {
    let switch = |name| Plan::Windows(LEVEL_SOCKET, name, Value::Switch);
    match name {
        // With streams Windows would let others take over the port.
        2 if streams => Plan::Kept(Kept::ReuseAddress),
        2 => switch(REUSE_ADDRESS),
        3 => Plan::Kind,
        4 => Plan::Error,
        5 => switch(0x10),
        6 => switch(0x20),
        7 => Plan::SendBuffer,
        8 => Plan::ReceiveBuffer,
        9 => switch(8),
        10 => switch(0x100),
        13 => Plan::Linger,
        15 if streams => Plan::Kept(Kept::ReusePort),
        15 => switch(REUSE_ADDRESS),
        30 => Plan::Accepts,
        38 => Plan::Protocol,
        39 => Plan::Domain,
        _ => Plan::None,
    }
}

/// `TCP_*`
fn tcp(name: i32) -> Option<(u32, Value)> {
    Some(match name {
        1 => (1, Value::Switch),
        2 => (4, Value::Number(88, 32_767)),
        4 => (3, Value::Number(1, 32_767)),
        5 => (17, Value::Number(1, 32_767)),
        6 => (16, Value::Number(1, 127)),
        _ => return None,
    })
}

/// `IP_*`
fn ip(name: i32) -> Option<(u32, Value)> {
    Some(match name {
        1 => (3, Value::Number(0, 255)),
        2 => (4, Value::Number(1, 255)),
        3 => (2, Value::Switch),
        8 => (19, Value::Switch),
        12 => (21, Value::Switch),
        13 => (40, Value::Switch),
        14 => (73, Value::Number(0, i32::MAX)),
        32 => (9, Value::Interface),
        33 => (10, Value::Number(0, 255)),
        34 => (11, Value::Switch),
        35 => (12, Value::Group),
        36 => (13, Value::Group),
        37 => (18, Value::Source),
        38 => (17, Value::Source),
        39 => (15, Value::Source),
        40 => (16, Value::Source),
        _ => return None,
    })
}

/// `IPV6_*`
fn ipv6(name: i32) -> Option<(u32, Value)> {
    Some(match name {
        16 => (4, Value::Number(0, 255)),
        17 => (9, Value::Number(0, i32::MAX)),
        18 => (10, Value::Number(0, 255)),
        19 => (11, Value::Switch),
        20 => (12, Value::Group6),
        21 => (13, Value::Group6),
        24 => (72, Value::Number(0, i32::MAX)),
        26 => (27, Value::Switch),
        49 => (19, Value::Switch),
        51 => (21, Value::Switch),
        66 => (40, Value::Switch),
        67 => (39, Value::Number(0, 255)),
        _ => return None,
    })
}

/// A number that a guest gave for an option; at most levels a single byte does, too.
pub(super) fn number(level: i32, value: &[u8]) -> Option<i32> {
    match value.first_chunk() {
        Some(bytes) => Some(i32::from_ne_bytes(*bytes)),
        None if level == SOL_IP => value.first().map(|&byte| byte.into()),
        None => None,
    }
}

impl Value {
    /// A value for Windows: bytes and their number. `None` if Linux would refuse it.
    pub(super) fn to_windows(self, level: i32, linux: &[u8]) -> Option<([u8; 20], usize)> {
        let mut out = [0; 20];
        let mut put = |parts: &[&[u8]]| {
            let mut slots = out.iter_mut();
            for (slot, byte) in slots.by_ref().zip(parts.iter().flat_map(|part| part.iter())) {
                *slot = *byte;
            }
        };
        let len = match self {
            Self::Switch => {
                put(&[&i32::from(number(level, linux)? != 0).to_ne_bytes()]);
                4
            }
            Self::Number(least, most) => {
                let given = number(level, linux)?;
                if given != -1 && !(least..=most).contains(&given) {
                    return None;
                }
                put(&[&given.to_ne_bytes()]);
                4
            }
            Self::Interface => {
                put(&[interface(linux, if linux.len() < 8 { 0 } else { 4 })?]);
                if let Some(index) = index(linux) {
                    put(&[&index]);
                }
                4
            }
            Self::Group => {
                put(&[linux.get(..4)?, interface(linux, 4)?]);
                if let Some(index) = index(linux) {
                    put(&[linux.get(..4)?, &index]);
                }
                8
            }
            Self::Source => {
                put(&[linux.get(..4)?, linux.get(8..12)?, linux.get(4..8)?]);
                12
            }
            Self::Group6 => {
                put(&[linux.get(..20)?]);
                20
            }
        };
        Some((out, len))
    }

    /// A number of Windows as Linux tells it.
    pub(super) fn to_linux(self, windows: i32) -> i32 {
        if self == Self::Switch { (windows != 0).into() } else { windows }
    }
}

fn interface(linux: &[u8], at: usize) -> Option<&[u8]> {
    linux.get(at..at + 4)
}

/// The index at the end of a `struct ip_mreqn`, as Windows takes it in place of an address.
fn index(linux: &[u8]) -> Option<[u8; 4]> {
    let index = u32::from_ne_bytes(*linux.get(8..)?.first_chunk()?);
    (index != 0).then_some(index.to_be_bytes())
}

/// The size of a buffer that Linux makes of what was asked for.
pub(super) fn buffer_size(asked: i32, least: i32) -> i32 {
    const MOST: i32 = 212_992;
    // A negative number counts as a large one.
    let asked = if asked < 0 { MOST } else { asked.min(MOST) };
    (asked * 2).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_find_their_counterparts() {
        assert_eq!(plan(SOL_SOCKET, 9, true), Plan::Windows(0xffff, 8, Value::Switch));
        assert_eq!(plan(SOL_SOCKET, 2, true), Plan::Kept(Kept::ReuseAddress));
        assert_eq!(plan(SOL_SOCKET, 2, false), Plan::Windows(0xffff, 4, Value::Switch));
        assert_eq!(plan(SOL_TCP, 4, true), Plan::Windows(6, 3, Value::Number(1, 32_767)));
        assert_eq!(plan(SOL_IP, 2, false), Plan::Windows(0, 4, Value::Number(1, 255)));
        assert_eq!(plan(SOL_IPV6, 26, false), Plan::Windows(41, 27, Value::Switch));
        assert_eq!(plan(SOL_IPV6, 25, false), Plan::Kept(Kept::Errors6));
        assert_eq!(plan(SOL_TCP, 13, true), Plan::None);
        assert_eq!(plan(273, 1, true), Plan::None);
    }

    #[test]
    fn numbers_have_limits() {
        let ttl = Value::Number(1, 255);
        assert_eq!(ttl.to_windows(SOL_IP, &9_i32.to_ne_bytes()).unwrap().0[0], 9);
        assert_eq!(ttl.to_windows(SOL_IP, &[9]).unwrap().0[..4], [9, 0, 0, 0]);
        assert_eq!(ttl.to_windows(SOL_TCP, &[9]), None);
        assert_eq!(ttl.to_windows(SOL_IP, &999_i32.to_ne_bytes()), None);
        assert!(ttl.to_windows(SOL_IP, &(-1_i32).to_ne_bytes()).is_some());
        assert_eq!(Value::Switch.to_windows(SOL_TCP, &7_i32.to_ne_bytes()).unwrap().0[0], 1);
        assert_eq!(Value::Switch.to_linux(256), 1);
    }

    #[test]
    fn groups_name_their_interface() {
        let plain = [224, 0, 0, 1, 127, 0, 0, 1];
        let (bytes, len) = Value::Group.to_windows(SOL_IP, &plain).unwrap();
        assert_eq!((&bytes[..8], len), (&plain[..], 8));
        let by_index = [224, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0];
        let (bytes, _) = Value::Group.to_windows(SOL_IP, &by_index).unwrap();
        assert_eq!(bytes[..8], [224, 0, 0, 1, 0, 0, 0, 5]);
        let source = [224, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2];
        let (bytes, len) = Value::Source.to_windows(SOL_IP, &source).unwrap();
        assert_eq!((&bytes[..len], len), (&[224, 0, 0, 1, 2, 2, 2, 2, 1, 1, 1, 1][..], 12));
        let (bytes, _) = Value::Interface.to_windows(SOL_IP, &[127, 0, 0, 1]).unwrap();
        assert_eq!(bytes[..4], [127, 0, 0, 1]);
    }

    #[test]
    fn buffers_are_doubled() {
        assert_eq!(buffer_size(10_000, 2304), 20_000);
        assert_eq!(buffer_size(1, 2304), 2304);
        assert_eq!(buffer_size(-1, 2304), 425_984);
        assert_eq!(buffer_size(i32::MAX, 2304), 425_984);
    }
}
