//! What `execve(2)` does to credentials: set-user-id and set-group-id files, `capabilities(7)`.

use lx_core::abi::stat::{S_ISGID, S_ISUID, S_IXGRP};
use lx_core::cred::{Capabilities, Credentials};
use lx_vfs::location::Path;
use lx_vfs::mount::MountFlags;

/// `SECBIT_NOROOT`: user id 0 is nothing special.
const SECBIT_NOROOT: u32 = 1;
/// `SECBIT_KEEP_CAPS`, cleared by every exec.
const SECBIT_KEEP_CAPS: u32 = 1 << 4;

/// Credentials of the new program.
pub(crate) struct NewCredentials {
    pub(crate) cred: Credentials,
    /// `AT_SECURE`: the program has rights that its caller had not.
    pub(crate) secure: bool,
}

/// What a task with `old` becomes by executing the file at `path`.
pub(crate) fn for_program(old: &Credentials, path: &Path, no_new_privs: bool) -> NewCredentials {
    let file = path.inode().permissions();
    let honoured = !no_new_privs && !path.mount.flags().contains(MountFlags::NOSUID);
    let mut cred = old.clone();
    if honoured && file.mode & S_ISUID != 0 {
        cred.euid = file.uid;
    }
    if honoured && file.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
        cred.egid = file.gid;
    }
    let changed = cred.euid != old.euid || cred.egid != old.egid;
    (cred.suid, cred.fsuid) = (cred.euid, cred.euid);
    (cred.sgid, cred.fsgid) = (cred.egid, cred.egid);
    cred.securebits &= !SECBIT_KEEP_CAPS;
    let root_rules = cred.securebits & SECBIT_NOROOT == 0;
    let is_root = root_rules && (cred.uid == 0 || cred.euid == 0);
    if changed || is_root {
        cred.ambient = Capabilities::empty();
    }
    cred.permitted = if is_root { cred.inheritable | cred.bounding } else { cred.ambient };
    cred.effective = if is_root && cred.euid != 0 { cred.ambient } else { cred.permitted };
    let secure = changed || cred.uid != cred.euid || cred.gid != cred.egid;
    NewCredentials { cred, secure }
}
