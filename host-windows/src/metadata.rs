//! What WSL keeps beside files, in extended attributes: `$LXUID`, `$LXGID`, `$LXMOD`, `$LXDEV`.
//!
//! NTFS has extended attributes, other file systems and Wine have not: the answer is `EOPNOTSUPP`.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostFd, HostMetadata, HostResult};
use lx_nt::IoStatus;

use crate::nt::{self, nt};
use crate::storage::{access, open_for, set, u32_at};

const NAMES: [&[u8; 6]; 4] = [b"$LXUID", b"$LXGID", b"$LXMOD", b"$LXDEV"];

/// Bytes of an entry in front of its name.
const HEADER: usize = 8;

/// Reads them.
pub(crate) fn read(dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
    let file = open_for(dir, name, access::READ_EA, 0)?;
    let list = wanted();
    let mut out = [0u8; 256];
    let mut io = IoStatus::default();
    // SAFETY: the call reads the list and writes the buffer.
    let status = unsafe {
        nt!(
            query_ea,
            file.0,
            &mut io,
            out.as_mut_ptr(),
            out.len() as u32,
            0,
            list.as_ptr(),
            list.len() as u32,
            core::ptr::null(),
            1
        )
    };
    nt::check(status).map_err(|_| HostError(Errno::EOPNOTSUPP))?;
    Ok(parse(&out))
}

/// `FILE_GET_EA_INFORMATION` for all names.
fn wanted() -> Vec<u8> {
    const ENTRY: u32 = 12;
    let mut list = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let next = if at + 1 == NAMES.len() { 0 } else { ENTRY };
        list.extend_from_slice(&next.to_le_bytes());
        list.push(name.len() as u8);
        list.extend_from_slice(*name);
        list.push(0);
    }
    list
}

/// Reads `FILE_FULL_EA_INFORMATION`.
fn parse(bytes: &[u8]) -> HostMetadata {
    let mut found = HostMetadata::default();
    let mut at = 0;
    while let Some(entry) = bytes.get(at..).filter(|entry| entry.len() > HEADER) {
        let name_len = (u32_at(entry, 4) >> 8 & 0xff) as usize;
        let value_len = (u32_at(entry, 4) >> 16) as usize;
        let name = entry.get(HEADER..HEADER + name_len).unwrap_or_default();
        let start = HEADER + name_len + 1;
        let value = entry.get(start..start + value_len).unwrap_or_default();
        // A name that is not there has no value.
        if value.len() >= 4 {
            let number = Some(u32_at(value, 0));
            match name {
                b"$LXUID" => found.uid = number,
                b"$LXGID" => found.gid = number,
                b"$LXMOD" => found.mode = number,
                b"$LXDEV" if value.len() >= 8 => {
                    let (major, minor) = (u32_at(value, 0), u32_at(value, 4));
                    found.rdev = Some(lx_core::abi::stat::makedev(major, minor));
                }
                _ => {}
            }
        }
        match u32_at(entry, 0) {
            0 => break,
            next => at += next as usize,
        }
    }
    found
}

/// `FILE_FULL_EA_INFORMATION` of what is to be stored.
fn build(values: &HostMetadata) -> Vec<u8> {
    let number = |value: Option<u32>| value.map(|value| value.to_le_bytes().to_vec());
    let device = values.rdev.map(|rdev| {
        let (major, minor) = (lx_core::abi::stat::major(rdev), lx_core::abi::stat::minor(rdev));
        [major.to_le_bytes(), minor.to_le_bytes()].concat()
    });
    let values = [number(values.uid), number(values.gid), number(values.mode), device];
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for (name, value) in NAMES.iter().zip(values) {
        let Some(value) = value else { continue };
        let mut entry = alloc::vec![0, 0, 0, 0, 0, name.len() as u8];
        entry.extend_from_slice(&(value.len() as u16).to_le_bytes());
        entry.extend_from_slice(*name);
        entry.push(0);
        entry.extend_from_slice(&value);
        entries.push(entry);
    }
    let count = entries.len();
    for entry in entries.iter_mut().take(count.saturating_sub(1)) {
        entry.resize(entry.len().next_multiple_of(4), 0);
        let next = (entry.len() as u32).to_le_bytes();
        entry.splice(..next.len(), next);
    }
    entries.concat()
}

/// Stores what is given.
pub(crate) fn write(dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
    let data = build(values);
    let file = open_for(dir, name, access::WRITE_EA, 0)?;
    let mut io = IoStatus::default();
    // SAFETY: the call reads the data.
    let status = unsafe { nt!(set_ea, file.0, &mut io, data.as_ptr(), data.len() as u32) };
    nt::check(status).map_err(|error| match error.0 {
        Errno::EACCES | Errno::EROFS | Errno::ENOSPC => error,
        _ => HostError(Errno::EOPNOTSUPP),
    })
}

/// Makes names in a directory differ by their case.
pub(crate) fn distinguish_case(dir: &HostFd, name: &[u8]) -> HostResult<()> {
    const CASE_SENSITIVE_INFORMATION: u32 = 71;
    const CASE_SENSITIVE_DIR: u32 = 1;
    let file = open_for(dir, name, access::WRITE_ATTRIBUTES, 0)?;
    set(file.0, CASE_SENSITIVE_INFORMATION, &CASE_SENSITIVE_DIR.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::{build, parse};
    use lx_core::abi::stat::makedev;
    use lx_core::host::HostMetadata;

    #[test]
    fn what_is_stored_is_read() {
        let values = HostMetadata {
            uid: Some(1000),
            gid: None,
            mode: Some(0o100_644),
            rdev: Some(makedev(259, 70_000)),
        };
        let bytes = build(&values);
        assert_eq!(parse(&bytes), values);
        assert_eq!(&bytes[..18], b"\x14\0\0\0\0\x06\x04\0$LXUID\0\xe8\x03\0");
    }
}
