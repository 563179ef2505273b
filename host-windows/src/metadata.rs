//! What WSL keeps beside files, in extended attributes: `$LXUID`, `$LXGID`, `$LXMOD`, `$LXDEV`.
//!
//! NTFS has extended attributes, other file systems and Wine have not: the answer is `EOPNOTSUPP`.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::stat::{major, makedev, minor};
use lx_core::host::{HostError, HostFd, HostMetadata, HostResult};

use crate::attributes;
use crate::storage::{access, open_for, set, u32_at};

const NAMES: [&[u8]; 4] = [b"$LXUID", b"$LXGID", b"$LXMOD", b"$LXDEV"];

/// Reads them.
pub(crate) fn read(dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
    let file = open_for(dir, name, access::READ_EA, 0)?;
    let found = attributes::query(file.0, &attributes::wanted(&NAMES));
    Ok(parse(&found.map_err(|_| HostError(Errno::EOPNOTSUPP))?))
}

/// What the attributes of a file say.
fn parse(attributes: &[u8]) -> HostMetadata {
    let mut found = HostMetadata::default();
    for (name, value) in attributes::entries(attributes).filter(|(_, value)| value.len() >= 4) {
        let number = Some(u32_at(value, 0));
        match name {
            b"$LXUID" => found.uid = number,
            b"$LXGID" => found.gid = number,
            b"$LXMOD" => found.mode = number,
            b"$LXDEV" if value.len() >= 8 => {
                found.rdev = Some(makedev(u32_at(value, 0), u32_at(value, 4)));
            }
            _ => {}
        }
    }
    found
}

/// The attributes for what is to be stored.
fn build(values: &HostMetadata) -> Vec<u8> {
    let number = |value: Option<u32>| value.map(|value| value.to_le_bytes().to_vec());
    let device =
        values.rdev.map(|rdev| [major(rdev).to_le_bytes(), minor(rdev).to_le_bytes()].concat());
    let values = [number(values.uid), number(values.gid), number(values.mode), device];
    let given =
        NAMES.iter().zip(&values).filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    attributes::build(&given.collect::<Vec<_>>())
}

/// Stores what is given.
pub(crate) fn write(dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
    let file = open_for(dir, name, access::WRITE_EA, 0)?;
    attributes::set(file.0, &build(values)).map_err(|error| match error.0 {
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
