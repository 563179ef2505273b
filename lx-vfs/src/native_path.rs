//! Paths of the host, for programs of the host.

use alloc::vec::Vec;

use lx_core::host::Host;

use crate::location::Path;

/// The host path of a place; `None` if it is no file of the host, or native programs cannot name it.
pub fn native_path(host: &dyn Host, place: &Path) -> Option<Vec<u8>> {
    let root = place.mount.fs().host_path()?;
    let mut names = Vec::new();
    let mut at = place.dentry.place();
    while let (Some(parent), name) = at {
        names.push(name);
        at = parent.place();
    }
    let names: Vec<&[u8]> = names.iter().rev().map(|name| &**name).collect();
    host.native_path(root, &names)
}
