//! `mount(2)` of the type `overlay`: its options.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::unsupported;
use lx_proc::CurrentTask;
use lx_vfs::fs::layers::{Layers, LayersFs};
use lx_vfs::location::Path;
use lx_vfs::path::Lookup;

/// Options with the value that says what lx does.
const FIXED: &[(&[u8], &[&[u8]])] = &[
    (b"index", &[b"off"]),
    (b"xino", &[b"off", b"auto"]),
    (b"redirect_dir", &[b"off", b"nofollow"]),
    (b"metacopy", &[b"off"]),
    (b"nfs_export", &[b"off"]),
    (b"uuid", &[b"off", b"null", b"auto"]),
];

/// Mounts directories one above the other.
///
/// # Errors
/// `EINVAL`: an option that is unknown, or asks for what lx does not have. Those of the paths, and of
/// [`LayersFs::new`].
pub(super) fn new(task: &CurrentTask<'_>, options: &[u8]) -> Result<Arc<LayersFs>> {
    let mut layers = Layers { upper: None, work: None, lowers: Vec::new(), options: String::new() };
    for option in split(options, b',').into_iter().filter(|option| !option.is_empty()) {
        let at = option.iter().position(|&byte| byte == b'=').unwrap_or(option.len());
        let (name, value) = option.split_at_checked(at).unwrap_or((&option, b""));
        let value = value.get(1..).unwrap_or_default();
        match name {
            b"lowerdir" => {
                let paths = split(value, b':');
                layers.lowers = paths.iter().map(|path| find(task, path)).collect::<Result<_>>()?;
            }
            b"lowerdir+" => layers.lowers.push(find(task, value)?),
            b"upperdir" => layers.upper = Some(find(task, value)?),
            b"workdir" => layers.work = Some(find(task, value)?),
            b"volatile" if value.is_empty() => {}
            _ => check_fixed(name, value)?,
        }
        layers.options.push(',');
        layers.options.push_str(&String::from_utf8_lossy(&option));
    }
    LayersFs::new(&task.caller(), layers)
}

fn check_fixed(name: &[u8], value: &[u8]) -> Result<()> {
    let known = FIXED.iter().find(|(known, _)| *known == name);
    match known {
        Some((_, values)) if values.contains(&value) => Ok(()),
        known => {
            if known.is_some() {
                unsupported::note("overlay option", name.len() as u64);
            }
            Err(Errno::EINVAL.into())
        }
    }
}

fn find(task: &CurrentTask<'_>, path: &[u8]) -> Result<Path> {
    if path.is_empty() {
        return Err(Errno::EINVAL.into());
    }
    let path = unescaped(path);
    task.fs().lookup(&task.caller(), None, &path, Lookup::FOLLOW)
}

/// The parts between separators, but for those after a backslash, which stay as they are.
fn split(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == separator {
            parts.push(core::mem::take(&mut part));
            continue;
        }
        part.push(byte);
        if byte == b'\\' {
            part.extend(bytes.next());
        }
    }
    parts.push(part);
    parts
}

/// Without the backslashes before other bytes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{split, unescaped};

    #[test]
    fn separators_can_be_escaped() {
        let parts = split(br"a\:b:c\\:d", b':');
        let plain: Vec<_> = parts.iter().map(|part| unescaped(part)).collect();
        assert_eq!(plain, [&b"a:b"[..], br"c\", b"d"]);
        assert_eq!(split(b"", b':'), [b""]);
        assert_eq!(split(b"a:", b':'), [&b"a"[..], b""]);
    }
}
