//! Linux' extended attributes, each in one of NT's of its own.
//!
//! NT's names do not distinguish case and lack some letters: the name is `LX.`, and then
//! `user.mime_type` as `USER.MIME_TYPE`, with `%` and two digits for everything but lower-case
//! letters, digits and `.`, `_`, `-`. An empty value would remove the attribute: each begins with a
//! byte 0.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostFd, HostResult};

use crate::attributes;
use crate::storage::{access, open_for};

const OURS: &[u8] = b"LX.";
/// Longest name of NT's.
const LONGEST: usize = 254;
/// In front of each value.
const FIRST: u8 = 0;

/// `XATTR_CREATE`: the attribute must not exist.
const CREATE: u32 = 1;
/// `XATTR_REPLACE`: the attribute must exist.
const REPLACE: u32 = 2;

/// NT's name of an attribute; `None` for one that is too long.
fn nt_name(attribute: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
    let mut name = OURS.to_vec();
    for &byte in attribute {
        match byte {
            b'a'..=b'z' => name.push(byte.to_ascii_uppercase()),
            b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(byte),
            _ => name.extend([b'%', digit(byte >> 4), digit(byte)]),
        }
    }
    Some(name).filter(|name| name.len() <= LONGEST)
}

/// The attribute that has this name of NT's; `None` if it is not one of Linux'.
fn attribute(name: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut rest = name.strip_prefix(OURS)?.iter().copied();
    let mut attribute = Vec::new();
    while let Some(byte) = rest.next() {
        attribute.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => byte.to_ascii_lowercase(),
        });
    }
    Some(attribute)
}

/// The value among what a file has; nothing if it has no such attribute.
fn value<'a>(attributes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let found = attributes::entries(attributes).find(|(known, _)| *known == name)?;
    found.1.strip_prefix(&[FIRST])
}

/// The names among what a file has, each with a NUL after it.
fn names(attributes: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, value) in attributes::entries(attributes) {
        if let (Some(attribute), [FIRST, ..]) = (attribute(name), value) {
            list.extend_from_slice(&attribute);
            list.push(0);
        }
    }
    list
}

/// Value of an attribute.
pub(crate) fn get(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<Vec<u8>> {
    let file = open_for(dir, name, access::READ_EA, 0)?;
    let attribute = nt_name(attribute).ok_or(HostError(Errno::ENODATA))?;
    let found = attributes::query(file.0, &attributes::wanted(&[&attribute]))?;
    value(&found, &attribute).map(<[u8]>::to_vec).ok_or(HostError(Errno::ENODATA))
}

/// Sets an attribute.
pub(crate) fn set(
    dir: &HostFd,
    name: &[u8],
    attribute: &[u8],
    value: &[u8],
    flags: u32,
) -> HostResult<()> {
    let file = open_for(dir, name, access::READ_EA | access::WRITE_EA, 0)?;
    let attribute = nt_name(attribute).ok_or(HostError(Errno::ERANGE))?;
    if flags != 0 {
        let found = attributes::query(file.0, &attributes::wanted(&[&attribute]))?;
        match self::value(&found, &attribute) {
            Some(_) if flags & CREATE != 0 => return Err(HostError(Errno::EEXIST)),
            None if flags & REPLACE != 0 => return Err(HostError(Errno::ENODATA)),
            _ => {}
        }
    }
    let value = [&[FIRST], value].concat();
    // NT counts in 16 bits.
    if value.len() > usize::from(u16::MAX) {
        return Err(HostError(Errno::ENOSPC));
    }
    attributes::set(file.0, &attributes::build(&[(&attribute, &value)]))
}

/// Names of the attributes, each with a NUL after it.
pub(crate) fn list(dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
    let file = open_for(dir, name, access::READ_EA, 0)?;
    Ok(names(&attributes::query(file.0, &[])?))
}

/// Removes an attribute.
pub(crate) fn remove(dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
    let file = open_for(dir, name, access::READ_EA | access::WRITE_EA, 0)?;
    let attribute = nt_name(attribute).ok_or(HostError(Errno::ENODATA))?;
    let found = attributes::query(file.0, &attributes::wanted(&[&attribute]))?;
    if value(&found, &attribute).is_none() {
        return Err(HostError(Errno::ENODATA));
    }
    attributes::set(file.0, &attributes::build(&[(&attribute, b"")]))
}

#[cfg(test)]
mod tests {
    use super::{attribute, names, nt_name, value};
    use crate::attributes::build;
    use std::vec::Vec;

    #[test]
    fn names_survive() {
        let text = |name: &[u8]| nt_name(name).unwrap();
        assert_eq!(text(b"user.mime_type"), b"LX.USER.MIME_TYPE");
        assert_eq!(text(b"user.Mime:type-2"), b"LX.USER.%4DIME%3ATYPE-2");
        assert_eq!(text("user.ä%".as_bytes()), b"LX.USER.%C3%A4%25");
        for byte in 1..=255 {
            let name = [b"user.", &[byte, b'a'][..]].concat();
            assert_eq!(attribute(&text(&name)), Some(name));
        }
        assert_eq!(nt_name(&[b'a'; 251]).map(|name| name.len()), Some(254));
        assert_eq!(nt_name(&[b'a'; 252]), None);
        for other in ["$LXUID", "LX", "LX.USER.%4", "LX.USER.%G0", ""] {
            assert_eq!(attribute(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn linux_attributes_are_found_among_others() {
        let all = build(&[
            (b"$LXUID", b"\x01\0\0\0"),
            (b"LX.USER.A", b"\0value"),
            (b"LX.USER.EMPTY", b"\0"),
            (b"LX.USER.GONE", b""),
            (b"LX.TRUSTED.B", b"\0\0"),
        ]);
        assert_eq!(names(&all), b"user.a\0user.empty\0trusted.b\0");
        let found = |name: &str| value(&all, name.as_bytes()).map(Vec::from);
        assert_eq!(found("LX.USER.A"), Some(b"value".to_vec()));
        assert_eq!(found("LX.USER.EMPTY"), Some(Vec::new()));
        assert_eq!((found("LX.USER.GONE"), found("LX.USER.NONE")), (None, None));
        assert_eq!(found("LX.TRUSTED.B"), Some(b"\0".to_vec()));
    }
}
