//! What `execve(2)` does to credentials: set-user-id and set-group-id files, capabilities of files,
//! `capabilities(7)`.

use lx_core::abi::Errno;
use lx_core::abi::stat::{S_ISGID, S_ISUID, S_IXGRP};
use lx_core::caller::Caller;
use lx_core::cred::{Capabilities, Credentials};
use lx_core::error::Result;
use lx_vfs::location::Path;
use lx_vfs::mount::MountFlags;

/// `SECBIT_NOROOT`: user id 0 is nothing special.
const SECBIT_NOROOT: u32 = 1;
/// `SECBIT_KEEP_CAPS`, cleared by every exec.
const SECBIT_KEEP_CAPS: u32 = 1 << 4;

/// Credentials of the new program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewCredentials {
    pub(crate) cred: Credentials,
    /// `AT_SECURE`: the program has rights that its caller had not.
    pub(crate) secure: bool,
}

/// The attribute `security.capability` of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FileCapabilities {
    permitted: Capabilities,
    inheritable: Capabilities,
    /// What is permitted is effective at once: the program does not ask for it.
    effective: bool,
}

impl FileCapabilities {
    /// Those of a file, if it has any.
    ///
    /// # Errors
    /// `EINVAL` for an attribute that is malformed; the file system's.
    fn of(caller: &Caller<'_>, path: &Path) -> Result<Option<Self>> {
        match path.inode().get_xattr(caller, b"security.capability") {
            Ok(value) => Ok(Some(Self::parse(&value).ok_or(Errno::EINVAL)?)),
            Err(error) if matches!(error.errno(), Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `struct vfs_cap_data`: its revision, then permitted and inheritable capabilities by halves.
    fn parse(value: &[u8]) -> Option<Self> {
        const REVISION: u32 = 0xff00_0000;
        const EFFECTIVE: u32 = 1;
        let word = |at: usize| {
            let bytes = value.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let head = word(0)?;
        let (halves, len) = match (head & REVISION) >> 24 {
            1 => (1, 12),
            2 => (2, 20),
            // The last word is the root of the user namespace in which the file has them.
            3 => (2, 24),
            _ => return None,
        };
        if value.len() != len {
            return None;
        }
        let set = |low: usize, high: usize| {
            let high = if halves == 2 { word(high)? } else { 0 };
            Some(Capabilities::from_bits_truncate(u64::from(high) << 32 | u64::from(word(low)?)))
        };
        Some(Self {
            permitted: set(4, 12)?,
            inheritable: set(8, 16)?,
            effective: head & EFFECTIVE != 0,
        })
    }
}

/// What a task with the caller's credentials becomes by executing the file at `path`.
///
/// # Errors
/// `EPERM` if the file's capabilities are to be effective at once and the task must not have all of
/// them; `EINVAL` if they are malformed.
pub(crate) fn for_program(
    caller: &Caller<'_>,
    path: &Path,
    no_new_privs: bool,
) -> Result<NewCredentials> {
    let old = caller.cred();
    let file = path.inode().permissions();
    let mut ids = (old.euid, old.egid);
    let mut capabilities = None;
    if !path.mount.flags().contains(MountFlags::NOSUID) {
        if !no_new_privs && file.mode & S_ISUID != 0 {
            ids.0 = file.uid;
        }
        if !no_new_privs && file.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP {
            ids.1 = file.gid;
        }
        capabilities = FileCapabilities::of(caller, path)?;
    }
    Ok(follow_file(old, ids, capabilities, no_new_privs)?)
}

/// The credentials that come of the effective ids and the capabilities of a file.
fn follow_file(
    old: &Credentials,
    (euid, egid): (u32, u32),
    file: Option<FileCapabilities>,
    no_new_privs: bool,
) -> core::result::Result<NewCredentials, Errno> {
    let mut cred = old.clone();
    (cred.euid, cred.suid, cred.fsuid) = (euid, euid, euid);
    (cred.egid, cred.sgid, cred.fsgid) = (egid, egid, egid);
    cred.securebits &= !SECBIT_KEEP_CAPS;
    let has_set_id = euid != old.uid || egid != old.gid;

    let given = file.unwrap_or_default();
    cred.permitted = (given.permitted & old.bounding) | (given.inheritable & old.inheritable);
    if given.effective && !cred.permitted.contains(given.permitted) {
        return Err(Errno::EPERM);
    }
    let mut effective = given.effective;
    let root_rules = old.securebits & SECBIT_NOROOT == 0;
    // A file that makes its user root and has capabilities too gives only these.
    let only_file = file.is_some() && euid == 0 && old.uid != 0;
    if root_rules && !only_file && (euid == 0 || old.uid == 0) {
        cred.permitted = old.inheritable | old.bounding;
        effective |= euid == 0;
    }
    if no_new_privs {
        cred.permitted &= old.permitted;
    }
    if file.is_some() || has_set_id {
        cred.ambient = Capabilities::empty();
    }
    cred.permitted |= cred.ambient;
    cred.effective = if effective { cred.permitted } else { cred.ambient };
    let grew = effective || !cred.ambient.contains(cred.permitted);
    let secure = has_set_id || (old.uid != 0 && grew);
    Ok(NewCredentials { cred, secure })
}

#[cfg(test)]
mod tests {
    use super::{FileCapabilities, follow_file};
    use alloc::vec::Vec;
    use lx_core::abi::Errno;
    use lx_core::cred::{Capabilities, Credentials};

    const RAW: FileCapabilities = FileCapabilities {
        permitted: Capabilities::NET_RAW,
        inheritable: Capabilities::empty(),
        effective: true,
    };

    fn user() -> Credentials {
        Credentials::new(5, 5, Vec::new())
    }

    #[test]
    fn attributes_of_all_revisions() {
        let words =
            |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let parse = |list: &[u32]| FileCapabilities::parse(&words(list));
        let raw = 1 << 13;
        assert_eq!(parse(&[0x0200_0001, raw, 0, 0, 0]), Some(RAW));
        assert_eq!(parse(&[0x0100_0001, raw, 0]), Some(RAW));
        assert_eq!(parse(&[0x0300_0001, raw, 0, 0, 0, 0]), Some(RAW));
        let high = FileCapabilities { inheritable: Capabilities::SYSLOG, ..Default::default() };
        assert_eq!(parse(&[0x0200_0000, 0, 0, 0, 4]), Some(high));
        assert_eq!(parse(&[0x0200_0001, raw, 0, 0]), None);
        assert_eq!(parse(&[0x0400_0001, raw, 0, 0, 0]), None);
        assert_eq!(FileCapabilities::parse(&[0; 3]), None);
    }

    #[test]
    fn a_file_gives_capabilities() {
        let new = follow_file(&user(), (5, 5), Some(RAW), false).unwrap();
        assert_eq!((new.cred.permitted, new.cred.effective), (RAW.permitted, RAW.permitted));
        assert!(new.secure);
        // Not without new privileges.
        let new = follow_file(&user(), (5, 5), Some(RAW), true).unwrap();
        assert!(new.cred.permitted.is_empty());
        // Those that it may raise itself.
        let may = FileCapabilities { effective: false, ..RAW };
        let new = follow_file(&user(), (5, 5), Some(may), false).unwrap();
        assert_eq!(
            (new.cred.permitted, new.cred.effective),
            (RAW.permitted, Capabilities::empty())
        );
    }

    #[test]
    fn what_must_not_be_had() {
        let mut bound = user();
        bound.bounding -= Capabilities::NET_RAW;
        assert_eq!(follow_file(&bound, (5, 5), Some(RAW), false), Err(Errno::EPERM));
        let may = FileCapabilities { effective: false, ..RAW };
        assert!(follow_file(&bound, (5, 5), Some(may), false).unwrap().cred.permitted.is_empty());
    }

    #[test]
    fn root_and_set_user_id() {
        let root = Credentials::new(0, 0, Vec::new());
        let new = follow_file(&root, (0, 0), None, false).unwrap();
        assert_eq!((new.cred.effective, new.secure), (Capabilities::FULL, false));
        let new = follow_file(&user(), (0, 5), None, false).unwrap();
        assert_eq!((new.cred.effective, new.secure), (Capabilities::FULL, true));
        // With capabilities of its own the file gives only these.
        let new = follow_file(&user(), (0, 5), Some(RAW), false).unwrap();
        assert_eq!(new.cred.effective, RAW.permitted);
        // Only really root: nothing is effective.
        let dropped = Credentials { euid: 5, ..root };
        let new = follow_file(&dropped, (5, 0), None, false).unwrap();
        assert_eq!((new.cred.permitted, new.cred.effective.is_empty()), (Capabilities::FULL, true));
    }

    #[test]
    fn ambient_capabilities_stay_unless_the_file_has_some() {
        let mut old = user();
        (old.permitted, old.inheritable, old.ambient) =
            (Capabilities::KILL, Capabilities::KILL, Capabilities::KILL);
        let new = follow_file(&old, (5, 5), None, false).unwrap();
        assert_eq!((new.cred.effective, new.secure), (Capabilities::KILL, false));
        let new = follow_file(&old, (5, 5), Some(RAW), false).unwrap();
        assert_eq!(new.cred.effective, RAW.permitted);
    }
}
