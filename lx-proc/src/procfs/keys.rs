//! `/proc/keys` and `/proc/key-users`, `keyrings(7)`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::keyctl::KeyAccess;
use lx_core::caller::Caller;

use crate::kernel::Kernel;
use crate::keys::{Access, Found, Kind, Quota};

/// The keys that the caller may view.
pub(super) fn keys(kernel: &Kernel, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let task = kernel.pids.task(caller.tid).ok_or(Errno::ESRCH)?;
    let access = Access::new(&kernel.keys, &task, caller);
    let mut text = Vec::new();
    for key in kernel.keys.list() {
        let possessed = access.possesses(&key)?;
        let found = Found { key, possessed };
        if access.check(&found, KeyAccess::VIEW).is_err() {
            continue;
        }
        let key = &found.key;
        let (flags, left, content) = key.shown(access.now());
        let (uid, gid, permissions) = key.ownership();
        // The reference that this text is made with is not counted.
        let usage = Arc::strong_count(key).saturating_sub(1);
        let kind = key.kind().name();
        let start = format!(
            "{:08x} {flags} {usage:5} {left:>4} {permissions:08x} {uid:5} {gid:5} {kind:<9.9} ",
            key.serial()
        );
        text.extend_from_slice(start.as_bytes());
        match key.description() {
            b"" if key.kind() == Kind::Keyring => text.extend_from_slice(b"[anon]"),
            description => text.extend_from_slice(description),
        }
        text.extend_from_slice(format!(": {content}\n").as_bytes());
    }
    Ok(text)
}

/// What each user has.
pub(super) fn users(kernel: &Kernel) -> String {
    let mut text = String::new();
    for (uid, has) in kernel.keys.accounts() {
        let most = Quota::limits(uid);
        let (keys, bytes) = (has.keys, has.bytes);
        text.push_str(&format!(
            "{uid:5}: {keys:5} {keys}/{keys} {keys}/{} {bytes}/{}\n",
            most.keys, most.bytes
        ));
    }
    text
}
