//! Names of files: Linux's bytes, and NT's UTF-16.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostResult, drive_names};
use lx_nt::Handle;

fn utf16(bytes: &[u8], out: &mut Vec<u16>) -> HostResult<()> {
    let text = core::str::from_utf8(bytes).map_err(|_| HostError(Errno::EILSEQ))?;
    out.extend(text.encode_utf16());
    Ok(())
}

/// One component, relative to an open directory; an empty one is the directory itself.
pub(crate) fn component(name: &[u8]) -> HostResult<Vec<u16>> {
    let text = core::str::from_utf8(name).map_err(|_| HostError(Errno::EILSEQ))?;
    let mut out = Vec::new();
    for letter in text.chars().map(drive_names::to_windows) {
        out.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
    }
    Ok(out)
}

/// An absolute path of Windows, with either slash, or a full name of NT.
pub(crate) fn path(path: &[u8]) -> HostResult<Vec<u16>> {
    const SLASH: u16 = b'/' as u16;
    const BACKSLASH: u16 = b'\\' as u16;
    let mut out = Vec::new();
    if !path.starts_with(b"\\??\\") {
        utf16(b"\\??\\", &mut out)?;
    }
    utf16(path, &mut out)?;
    for unit in &mut out {
        if *unit == SLASH {
            *unit = BACKSLASH;
        }
    }
    Ok(out)
}

/// `FILE_RENAME_INFORMATION` and `FILE_LINK_INFORMATION`.
/// `flags` are the extended kinds'; the plain ones know the lowest, to replace what is there.
pub(crate) fn target(dir: Handle, name: &[u8], flags: u64) -> HostResult<Vec<u8>> {
    const STRUCTURE: usize = 24;
    let name = component(name)?;
    let mut out = Vec::with_capacity(STRUCTURE + name.len() * 2);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(dir as u64).to_le_bytes());
    out.extend_from_slice(&(name.len() as u32 * 2).to_le_bytes());
    out.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    // Never shorter than the structure, which ends with a name of one letter and a gap.
    out.resize(out.len().max(STRUCTURE), 0);
    Ok(out)
}

/// A name that the host gives.
pub(crate) fn from_utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    let mut out = Vec::new();
    for letter in char::decode_utf16(units) {
        let mut utf8 = [0; 4];
        let letter = drive_names::to_guest(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes());
    }
    out
}

/// What a name in a link of Windows is for guests: a drive is a directory in `/mnt`.
pub(crate) fn to_guest(name: &[u8], relative: bool) -> Option<Vec<u8>> {
    let slashes = |name: &[u8]| -> Vec<u8> {
        name.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect()
    };
    if relative {
        return Some(slashes(name));
    }
    let name = name.strip_prefix(b"\\??\\").unwrap_or(name);
    let (&letter, rest) = name.split_first()?;
    let rest = rest.strip_prefix(b":").filter(|_| letter.is_ascii_alphabetic())?;
    let mut path = b"/mnt/".to_vec();
    path.push(letter.to_ascii_lowercase());
    path.extend(slashes(rest));
    Some(path)
}

/// The path that programs of Windows use for a file: that of a directory, and names from there on.
pub(crate) fn native_path(root: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
    let mut path = match root.strip_prefix(b"\\??\\").unwrap_or(root) {
        share if share.starts_with(b"UNC\\") => [b"\\\\", share.get(4..)?].concat(),
        path => path.to_vec(),
    };
    for name in names {
        if !path.ends_with(b"\\") {
            path.push(b'\\');
        }
        let name = component(name).ok()?;
        for letter in char::decode_utf16(name) {
            let mut utf8 = [0; 4];
            path.extend_from_slice(letter.ok()?.encode_utf8(&mut utf8).as_bytes());
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::{component, from_utf16, native_path, path, to_guest};
    use std::vec::Vec;

    #[test]
    fn forbidden_letters_come_back() {
        let name = component("a:b\u{1}ä".as_bytes()).unwrap();
        assert_eq!(name[1], 0xf03a);
        let bytes: Vec<u8> = name.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        assert_eq!(from_utf16(&bytes), "a:b\u{1}ä".as_bytes());
    }

    #[test]
    fn names_have_paths() {
        let path = |root: &str, names: &[&[u8]]| {
            std::string::String::from_utf8(native_path(root.as_bytes(), names).unwrap()).unwrap()
        };
        assert_eq!(path("C:\\", &[b"a", b"b?"]), "C:\\a\\b\u{f03f}");
        assert_eq!(path("\\??\\D:\\x", &[b"y"]), "D:\\x\\y");
        assert_eq!(path("\\??\\UNC\\server\\share", &[]), "\\\\server\\share");
        assert_eq!(to_guest(b"\\??\\C:\\x\\y", false).unwrap(), b"/mnt/c/x/y");
        assert!(to_guest(b"\\??\\Volume{1}\\", false).is_none());
    }

    #[test]
    fn paths_are_names_of_nt() {
        let nt = path(b"C:/x\\y").unwrap();
        assert_eq!(std::string::String::from_utf16(&nt).unwrap(), "\\??\\C:\\x\\y");
    }
}
