//! Extended attributes of host files.
//!
//! Where owners are kept, the host's user may not set attributes but those of `user.*`, so the
//! others are kept there under a longer name.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::HostError;
use lx_core::{Result, SysError};

use super::HostInode;
use crate::fs::xattr::Xattrs;

/// In front of our own attributes, and of names of the namespaces that only root may use.
const OURS: &[u8] = b"user.lx.";
const ROOTS: [&[u8]; 2] = [b"trusted.", b"security."];

fn is_roots(name: &[u8]) -> bool {
    ROOTS.iter().any(|space| name.starts_with(space))
}

/// The name that guests see, if they see it.
fn guest_name(name: &[u8], keeps: bool) -> Option<&[u8]> {
    match name.strip_prefix(OURS) {
        Some(kept) if keeps => Some(kept).filter(|kept| is_roots(kept)),
        _ if is_roots(name) => Some(name).filter(|_| !keeps),
        _ => Some(name).filter(|name| name.starts_with(b"user.")),
    }
}

impl HostInode {
    /// The host's name of an attribute; `None` for one that is ours.
    fn host_name<'a>(&self, name: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if !self.shared.keeps() {
            Some(Cow::Borrowed(name))
        } else if is_roots(name) {
            Some(Cow::Owned([OURS, name].concat()))
        } else {
            Some(Cow::Borrowed(name)).filter(|name| !name.starts_with(OURS))
        }
    }

    pub(in crate::fs) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        let attribute = self.host_name(name).ok_or(Errno::ENODATA)?;
        let (dir, name) = self.place()?;
        Ok(self.host().get_xattr(&dir, &name, &attribute)?)
    }

    pub(super) fn put_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let attribute = self.host_name(name).ok_or(Errno::EPERM)?;
        let (dir, name) = self.place()?;
        self.host().set_xattr(&dir, &name, &attribute, value, flags)?;
        self.changed();
        Ok(())
    }

    pub(super) fn drop_xattr(&self, name: &[u8]) -> Result<()> {
        let attribute = self.host_name(name).ok_or(Errno::ENODATA)?;
        let (dir, name) = self.place()?;
        self.host().remove_xattr(&dir, &name, &attribute)?;
        self.changed();
        Ok(())
    }

    pub(in crate::fs) fn xattrs(&self) -> Result<Vec<u8>> {
        let (dir, name) = self.place()?;
        let names = match self.host().list_xattr(&dir, &name) {
            Err(HostError(Errno::EOPNOTSUPP)) => return Ok(Vec::new()),
            names => names?,
        };
        let mut seen = Vec::with_capacity(names.len());
        for name in names.split(|&byte| byte == 0) {
            if let Some(name) = guest_name(name, self.shared.keeps()) {
                seen.extend_from_slice(name);
                seen.push(0);
            }
        }
        Ok(seen)
    }

    /// A copy of all attributes, but for those that the host does not let us read.
    pub(in crate::fs) fn copy_xattrs(&self) -> Result<Xattrs> {
        let copy = Xattrs::default();
        for name in self.xattrs()?.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
            match self.xattr(name) {
                Ok(value) => {
                    copy.set(name, &value, 0)?;
                }
                Err(SysError::Errno(Errno::EACCES | Errno::EPERM | Errno::ENODATA)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::guest_name;

    #[test]
    fn names_are_hidden_or_shortened() {
        for (host, keeps, guest) in [
            ("user.a", true, Some("user.a")),
            ("user.lx.stat", true, None),
            ("user.lx.link.x", true, None),
            ("user.lx.trusted.a", true, Some("trusted.a")),
            ("user.lx.security.capability", true, Some("security.capability")),
            ("security.selinux", true, None),
            ("security.capability", false, Some("security.capability")),
            ("user.lx.stat", false, Some("user.lx.stat")),
            ("system.posix_acl_access", false, None),
        ] {
            let found = guest_name(host.as_bytes(), keeps);
            assert_eq!(found, guest.map(str::as_bytes), "{host}");
        }
    }
}
