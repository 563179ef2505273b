//! Extended attributes in memory, `xattr(7)`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::sync::{Mutex, level};

/// `XATTR_CREATE`: the attribute must not exist.
pub(crate) const XATTR_CREATE: u32 = 1;
/// `XATTR_REPLACE`: the attribute must exist.
pub(crate) const XATTR_REPLACE: u32 = 2;

/// The attributes of one inode.
#[derive(Default)]
pub(crate) struct Xattrs(Mutex<BTreeMap<Vec<u8>, Vec<u8>>, { level::INODE }>);

/// Only namespaces without a meaning to the kernel are stored.
fn check_name(name: &[u8]) -> Result<()> {
    let known = [&b"user."[..], b"trusted.", b"security."];
    if known.iter().any(|prefix| name.starts_with(prefix)) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP.into())
    }
}

/// What an attribute takes of a file system's limit.
pub(crate) fn space(name: &[u8], value: &[u8]) -> u64 {
    const BESIDES: usize = 40;
    name.len().saturating_add(value.len()).saturating_add(BESIDES) as u64
}

impl Xattrs {
    pub(crate) fn get(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_name(name)?;
        self.0.lock().get(name).cloned().ok_or(Errno::ENODATA.into())
    }

    /// Sets an attribute; the space of what it replaces.
    pub(crate) fn set(&self, name: &[u8], value: &[u8], flags: u32) -> Result<u64> {
        check_name(name)?;
        let mut attributes = self.0.lock();
        match attributes.contains_key(name) {
            true if flags & XATTR_CREATE != 0 => return Err(Errno::EEXIST.into()),
            false if flags & XATTR_REPLACE != 0 => return Err(Errno::ENODATA.into()),
            _ => {}
        }
        let old = attributes.insert(name.into(), value.into());
        Ok(old.map_or(0, |old| space(name, &old)))
    }

    pub(crate) fn list(&self) -> Vec<u8> {
        let mut names = Vec::new();
        for name in self.0.lock().keys() {
            names.extend_from_slice(name);
            names.push(0);
        }
        names
    }

    /// Removes an attribute; its space.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<u64> {
        check_name(name)?;
        let old = self.0.lock().remove(name).ok_or(Errno::ENODATA)?;
        Ok(space(name, &old))
    }

    /// The space of all.
    pub(crate) fn space(&self) -> u64 {
        self.0.lock().iter().map(|(name, value)| space(name, value)).sum()
    }
}
