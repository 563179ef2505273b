//! Paths of the host, for programs of the host.

use alloc::vec::Vec;

use lx_core::caller::Caller;
use lx_core::host::Host;

use crate::fs_context::FsContext;
use crate::location::Path;
use crate::path::Lookup;

/// The host path of a place; `None` if it is no file of the host, or native programs cannot name it.
pub fn native_path(host: &dyn Host, place: &Path) -> Option<Vec<u8>> {
    below(host, place, &[])
}

/// The host path of names below a place, which need not exist.
fn below(host: &dyn Host, place: &Path, more: &[&[u8]]) -> Option<Vec<u8>> {
    let root = place.mount.fs().host_path()?;
    let mut names = Vec::new();
    let mut at = place.dentry.place();
    while let (Some(parent), name) = at {
        names.push(name);
        at = parent.place();
    }
    let mut names: Vec<&[u8]> = names.iter().rev().map(|name| &**name).collect();
    names.extend_from_slice(more);
    host.native_path(root, &names)
}

/// The host path for a path of the guest, the end of which need not exist.
pub fn translate(caller: &Caller<'_>, fs: &FsContext, path: &[u8]) -> Option<Vec<u8>> {
    let mut missing: Vec<&[u8]> = Vec::new();
    let mut start = path;
    loop {
        let known: &[u8] = if start.is_empty() { b"." } else { start };
        if let Ok(place) = fs.lookup(caller, None, known, Lookup::FOLLOW) {
            missing.reverse();
            return below(caller.host, &place, &missing);
        }
        let end = start.iter().rposition(|&byte| byte != b'/')?.saturating_add(1);
        let name_at = start.iter().take(end).rposition(|&byte| byte == b'/');
        let name_at = name_at.map_or(0, |slash| slash.saturating_add(1));
        let name = start.get(name_at..end)?;
        if matches!(name, b"." | b"..") {
            return None;
        }
        missing.push(name);
        start = start.get(..name_at)?;
    }
}
