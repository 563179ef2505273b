//! Control messages. Their headers are the same on Linux and on Windows, what is in them is not.

use alloc::vec::Vec;

use lx_core::abi::socket::{SOL_IP, SOL_IPV6};

const HEADER: usize = 16;
const ALIGN: usize = 8;

/// Windows' levels are Linux's numbers here.
mod windows {
    pub(super) const IP_TOS: i32 = 3;
    pub(super) const IP_TTL: i32 = 4;
    pub(super) const IP_PKTINFO: i32 = 19;
    pub(super) const IP_HOP_LIMIT: i32 = 21;
    pub(super) const IP_RECEIVED_TOS: i32 = 40;
    pub(super) const IPV6_PKTINFO: i32 = 19;
    pub(super) const IPV6_HOP_LIMIT: i32 = 21;
    pub(super) const IPV6_TCLASS: i32 = 39;
    pub(super) const IPV6_RECEIVED_TCLASS: i32 = 40;
}

mod linux {
    pub(super) const IP_TOS: i32 = 1;
    pub(super) const IP_TTL: i32 = 2;
    pub(super) const IP_PKTINFO: i32 = 8;
    pub(super) const IPV6_PKTINFO: i32 = 50;
    pub(super) const IPV6_HOP_LIMIT: i32 = 52;
    pub(super) const IPV6_TCLASS: i32 = 67;
}

/// `(level, kind, data)` of each message.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let len = usize::try_from(u64::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let data = rest.get(HEADER..len)?;
        let level = i32::from_ne_bytes(*rest.get(8..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*rest.get(12..)?.first_chunk()?);
        rest = rest.get(len.checked_next_multiple_of(ALIGN)?..).unwrap_or_default();
        Some((level, kind, data))
    })
}

fn append(to: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    to.extend_from_slice(&((HEADER + data.len()) as u64).to_ne_bytes());
    to.extend_from_slice(&level.to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(data);
    to.resize(to.len().next_multiple_of(ALIGN), 0);
}

/// What a guest sends. `None` for what Windows does not know.
pub(super) fn to_windows(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (level, kind, data) in messages(bytes) {
        match (level, kind) {
            (SOL_IP, linux::IP_PKTINFO) => {
                // Index, own address, destination; Windows: own address, index.
                let info = [data.get(4..8)?, data.get(..4)?].concat();
                append(&mut out, level, windows::IP_PKTINFO, &info);
            }
            (SOL_IPV6, linux::IPV6_PKTINFO) => {
                append(&mut out, level, windows::IPV6_PKTINFO, data.get(..20)?);
            }
            _ => return None,
        }
    }
    Some(out)
}

/// What Windows has received.
pub(super) fn to_linux(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (level, kind, data) in messages(bytes) {
        let number = data.get(..4).unwrap_or_default();
        match (level, kind) {
            (SOL_IP, windows::IP_PKTINFO) => {
                let (address, index) = (number, data.get(4..8).unwrap_or_default());
                let info = [index, address, address].concat();
                append(&mut out, level, linux::IP_PKTINFO, &info);
            }
            (SOL_IP, windows::IP_TTL | windows::IP_HOP_LIMIT) => {
                append(&mut out, level, linux::IP_TTL, number);
            }
            (SOL_IP, windows::IP_TOS | windows::IP_RECEIVED_TOS) => {
                append(&mut out, level, linux::IP_TOS, data.get(..1).unwrap_or_default());
            }
            (SOL_IPV6, windows::IPV6_PKTINFO) => {
                append(&mut out, level, linux::IPV6_PKTINFO, data);
            }
            (SOL_IPV6, windows::IPV6_HOP_LIMIT) => {
                append(&mut out, level, linux::IPV6_HOP_LIMIT, number);
            }
            (SOL_IPV6, windows::IPV6_TCLASS | windows::IPV6_RECEIVED_TCLASS) => {
                append(&mut out, level, linux::IPV6_TCLASS, number);
            }
            _ => lx_core::unsupported::note("control message of Windows", kind as u64),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(&mut out, level, kind, data);
        out
    }

    #[test]
    fn packet_information_has_another_order() {
        let windows = message(0, 19, &[127, 0, 0, 1, 3, 0, 0, 0]);
        let linux = message(0, 8, &[3, 0, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        assert_eq!(to_linux(&windows), linux);
        assert_eq!(to_windows(&linux), Some(windows));
    }

    #[test]
    fn messages_are_padded() {
        let one = message(41, 50, &[7; 20]);
        assert_eq!(one.len(), 40);
        let both = [one.clone(), one].concat();
        assert_eq!(to_windows(&both).map(|bytes| bytes.len()), Some(80));
    }

    #[test]
    fn nonsense_is_no_message() {
        assert_eq!(to_windows(&[0; 16]), Some(vec![]));
        assert_eq!(to_windows(&[0xff; 24]), Some(vec![]));
        assert_eq!(to_windows(&message(0, 99, &[])), None);
        assert_eq!(to_windows(&message(0, 8, &[1])), None);
    }
}
