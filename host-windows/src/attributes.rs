//! Extended attributes as NT has them: short lists of names and values beside a file, 64 KB in all.
//!
//! NTFS has them. Other file systems have none, and neither has Wine, which refuses to set one and
//! says of every file that it has none: what a volume says of itself tells the difference.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult};
use lx_nt::{Handle, IoStatus};

use crate::nt::{self, nt};
use crate::storage::u32_at;

/// Bytes of an entry in front of its name.
const HEADER: usize = 8;
/// Room for what files usually have, and for all that they can have.
const ROOM: [usize; 2] = [1 << 10, 1 << 17];

/// Statuses of the services.
mod status {
    pub(super) const NO_ATTRIBUTES: u32 = 0xc000_0052;
    pub(super) const NO_MORE: u32 = 0x8000_0012;
    pub(super) const OVERFLOW: u32 = 0x8000_0005;
    pub(super) const TOO_SMALL: u32 = 0xc000_0023;
}

/// A list of names, `FILE_GET_EA_INFORMATION`.
pub(crate) fn wanted(names: &[&[u8]]) -> Vec<u8> {
    let entries = names.iter().map(|name| {
        let mut entry = alloc::vec![0, 0, 0, 0, name.len() as u8];
        entry.extend_from_slice(name);
        entry.push(0);
        entry
    });
    chain(entries.collect())
}

/// A list of names and values, `FILE_FULL_EA_INFORMATION`. Without a value it removes a name.
pub(crate) fn build(attributes: &[(&[u8], &[u8])]) -> Vec<u8> {
    let entries = attributes.iter().map(|(name, value)| {
        let mut entry = alloc::vec![0, 0, 0, 0, 0, name.len() as u8];
        entry.extend_from_slice(&(value.len() as u16).to_le_bytes());
        entry.extend_from_slice(name);
        entry.push(0);
        entry.extend_from_slice(value);
        entry
    });
    chain(entries.collect())
}

/// Each entry begins with the distance of the next one, which is a multiple of four.
fn chain(mut entries: Vec<Vec<u8>>) -> Vec<u8> {
    let count = entries.len();
    for entry in entries.iter_mut().take(count.saturating_sub(1)) {
        entry.resize(entry.len().next_multiple_of(4), 0);
        let next = (entry.len() as u32).to_le_bytes();
        entry.splice(..next.len(), next);
    }
    entries.concat()
}

/// The names and values of `FILE_FULL_EA_INFORMATION`. A name that is not there has no value.
pub(crate) fn entries(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let entry = Some(rest).filter(|entry| entry.len() > HEADER)?;
        let lengths = u32_at(entry, 4);
        let (name_len, value_len) = ((lengths >> 8 & 0xff) as usize, (lengths >> 16) as usize);
        let name = entry.get(HEADER..HEADER + name_len)?;
        let start = HEADER + name_len + 1;
        let value = entry.get(start..start + value_len)?;
        rest = match u32_at(entry, 0) as usize {
            0 => &[],
            next => entry.get(next..).unwrap_or_default(),
        };
        Some((name, value))
    })
}

/// What a file has: the names in a list that [`wanted`] has made, or all.
///
/// # Errors
/// `EOPNOTSUPP` on a volume that has no attributes.
pub(crate) fn query(file: Handle, wanted: &[u8]) -> HostResult<Vec<u8>> {
    let mut result = 0;
    for room in ROOM {
        let mut out = alloc::vec![0u8; room];
        let mut io = IoStatus::default();
        let list = if wanted.is_empty() { core::ptr::null() } else { wanted.as_ptr() };
        // SAFETY: the call reads the list and writes the buffer.
        result = unsafe {
            nt!(
                query_ea,
                file,
                &mut io,
                out.as_mut_ptr(),
                room as u32,
                0,
                list,
                wanted.len() as u32,
                core::ptr::null(),
                1
            )
        };
        match result as u32 {
            status::OVERFLOW | status::TOO_SMALL => {}
            status::NO_ATTRIBUTES | status::NO_MORE if is_possible(file) => return Ok(Vec::new()),
            status::NO_ATTRIBUTES | status::NO_MORE => return Err(HostError(Errno::EOPNOTSUPP)),
            _ => {
                nt::check(result)?;
                return Ok(out);
            }
        }
    }
    Err(HostError(nt::errno(result)))
}

/// Sets what [`build`] has made.
///
/// # Errors
/// `EOPNOTSUPP` on a volume that has no attributes; `ENOSPC` if there is no room for more.
pub(crate) fn set(file: Handle, attributes: &[u8]) -> HostResult<()> {
    let mut io = IoStatus::default();
    let len = attributes.len() as u32;
    // SAFETY: the call reads the data.
    let status = unsafe { nt!(set_ea, file, &mut io, attributes.as_ptr(), len) };
    nt::check(status).map_err(|error| match is_possible(file) {
        true => error,
        false => HostError(Errno::EOPNOTSUPP),
    })
}

/// Whether the volume of a file says that it has attributes.
fn is_possible(file: Handle) -> bool {
    const ATTRIBUTE_INFORMATION: u32 = 5;
    const SUPPORTS_EXTENDED_ATTRIBUTES: u32 = 0x80_0000;
    let mut out = [0u8; 128];
    let mut io = IoStatus::default();
    // SAFETY: the call writes the buffer. What has no room is only the end of a name.
    let _ = unsafe {
        nt!(query_volume, file, &mut io, out.as_mut_ptr(), out.len() as u32, ATTRIBUTE_INFORMATION)
    };
    u32_at(&out, 0) & SUPPORTS_EXTENDED_ATTRIBUTES != 0
}

#[cfg(test)]
mod tests {
    use super::{build, entries, wanted};
    use std::vec::Vec;

    #[test]
    fn lists_are_those_of_nt() {
        assert_eq!(
            build(&[(b"A", b"xyz"), (b"BC", b"")]),
            b"\x10\0\0\0\0\x01\x03\0A\0xyz\0\0\0\0\0\0\0\0\x02\0\0BC\0"
        );
        assert_eq!(wanted(&[b"AB", b"CDE"]), b"\x08\0\0\0\x02AB\0\0\0\0\0\x03CDE\0");
        assert_eq!(wanted(&[]), b"");
    }

    #[test]
    fn what_is_built_is_read() {
        let large = [7; 60_000];
        let attributes: [(&[u8], &[u8]); 4] =
            [(b"ONE", b"1"), (b"NONE", b""), (b"LARGE", &large), (&[b'N'; 254], b"end")];
        assert_eq!(entries(&build(&attributes)).collect::<Vec<_>>(), attributes);
    }

    #[test]
    fn what_is_cut_off_ends() {
        let whole = build(&[(b"ONE", b"1"), (b"TWO", b"22")]);
        for len in 0..whole.len() {
            assert!(entries(&whole[..len]).count() < 2, "{len}");
        }
        assert_eq!(entries(&[0; 64]).collect::<Vec<_>>(), [(&b""[..], &b""[..])]);
        assert_eq!(entries(&[0xff; 64]).count(), 0);
    }
}
