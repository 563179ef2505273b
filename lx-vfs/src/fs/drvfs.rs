//! Drives of a host that knows neither modes nor owners, as WSL 1 shows them at `/mnt/c`.
//!
//! A drive is a [`HostFs`] with other rules. Modes and owners come from the mount's options and, on
//! request, from what is stored beside each file. A name is found whatever its case, as the host
//! decides, so names are not cached: what is known of one spelling says nothing of the others.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::{S_IALLUGO, S_IFMT};
use lx_core::host::{Host, HostFd, HostFileType, HostMetadata, HostSetAttr, HostStat};

use super::hostfs::{HostFs, guest_type};

/// Whether the names in new directories differ by their case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// As the host does it by default.
    #[default]
    Off,
    /// They do, if the host can.
    Directory,
}

/// Options of the mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriveOptions {
    /// Owner of what has none.
    pub uid: u32,
    /// Group of what has none.
    pub gid: u32,
    /// Permissions that nothing has.
    pub umask: u32,
    /// Permissions that no file has.
    pub fmask: u32,
    /// Permissions that no directory has.
    pub dmask: u32,
    /// Modes and owners are stored beside files.
    pub metadata: bool,
    /// The case of names.
    pub case: Case,
}

impl DriveOptions {
    /// Reads what `mount -o` was given.
    ///
    /// # Errors
    /// `EINVAL` for options that a drive does not have.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
            let option = core::str::from_utf8(option).map_err(|_| Errno::EINVAL)?;
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            let mask = || number(8).map(|mask| mask & 0o777);
            match name {
                "uid" => options.uid = number(10)?,
                "gid" => options.gid = number(10)?,
                "umask" => options.umask = mask()?,
                "fmask" => options.fmask = mask()?,
                "dmask" => options.dmask = mask()?,
                "metadata" if value.is_empty() => options.metadata = true,
                "case" => {
                    options.case = match value {
                        "off" => Case::Off,
                        "dir" => Case::Directory,
                        _ => return Err(Errno::EINVAL.into()),
                    };
                }
                _ => return Err(Errno::EINVAL.into()),
            }
        }
        Ok(options)
    }

    /// As `/proc/mounts` shows them, each with a comma before it.
    pub(crate) fn show(&self) -> String {
        let mut text = format!(",uid={},gid={}", self.uid, self.gid);
        for (name, mask) in [("umask", self.umask), ("fmask", self.fmask), ("dmask", self.dmask)] {
            if mask != 0 {
                text.push_str(&format!(",{name}={mask:03o}"));
            }
        }
        if self.metadata {
            text.push_str(",metadata");
        }
        text.push_str(match self.case {
            Case::Off => ",case=off",
            Case::Directory => ",case=dir",
        });
        text
    }

    /// What guests see of a file that the host shows like this.
    pub(crate) fn shown(&self, stat: &HostStat, stored: &HostMetadata) -> HostStat {
        let (all, masked) = match stat.file_type {
            HostFileType::Symlink => (0o777, 0),
            HostFileType::Directory => (0o777, self.umask | self.dmask),
            _ if stat.mode & 0o222 == 0 => (0o555, self.umask | self.fmask),
            _ => (0o777, self.umask | self.fmask),
        };
        HostStat {
            mode: stored.mode.map_or(all & !masked, |mode| mode & S_IALLUGO),
            uid: stored.uid.unwrap_or(self.uid),
            gid: stored.gid.unwrap_or(self.gid),
            rdev: stored.rdev.unwrap_or(stat.rdev),
            ..*stat
        }
    }

    /// Attributes of a file of the drive.
    pub(crate) fn stat(&self, host: &dyn Host, dir: &HostFd, name: &[u8]) -> Result<HostStat> {
        let stat = host.stat(dir, name)?;
        // What cannot be read is as if it were not there.
        let stored = if self.metadata { host.metadata(dir, name).ok() } else { None };
        Ok(self.shown(&stat, &stored.unwrap_or_default()))
    }

    /// Changes attributes of a file that guests see as `shown`.
    pub(crate) fn set_attr(
        &self,
        host: &dyn Host,
        (dir, name): (&HostFd, &[u8]),
        change: &HostSetAttr,
        shown: &HostStat,
    ) -> Result<()> {
        let to_store = change.mode.is_some() || change.uid.is_some() || change.gid.is_some();
        let mut kept = false;
        if self.metadata && to_store {
            let values = HostMetadata {
                uid: Some(change.uid.unwrap_or(shown.uid)),
                gid: Some(change.gid.unwrap_or(shown.gid)),
                mode: Some(full_mode(shown.file_type, change.mode.unwrap_or(shown.mode))),
                rdev: None,
            };
            kept = stored(host.set_metadata(dir, name, &values).map_err(Errno::from))?;
        }
        // Without metadata, only the one attribute that the host has follows the mode: whether a
        // file can be written. Owners are accepted and forgotten.
        let is_file = shown.file_type == HostFileType::Regular;
        let mode = change.mode.filter(|_| is_file && !kept).map(|mode| mode & 0o222 | 0o555);
        let rest = HostSetAttr { mode, uid: None, gid: None, ..*change };
        if mode.is_some() || rest.size.is_some() || rest.atime.is_some() || rest.mtime.is_some() {
            host.set_attr(dir, name, &rest)?;
        }
        Ok(())
    }

    /// Stores what a file was made with.
    pub(crate) fn created(
        &self,
        host: &dyn Host,
        (dir, name): (&HostFd, &[u8]),
        file_type: HostFileType,
        values: HostMetadata,
    ) -> Result<()> {
        if file_type == HostFileType::Directory && self.case == Case::Directory {
            // Hosts that cannot are like hosts that were not asked.
            let _ = host.distinguish_case(dir, name);
        }
        if self.metadata {
            let mode = values.mode.map(|mode| full_mode(file_type, mode));
            stored(
                host.set_metadata(dir, name, &HostMetadata { mode, ..values }).map_err(Errno::from),
            )?;
        }
        Ok(())
    }
}

/// Whether something was stored; a host's file system that cannot is no error.
fn stored(result: core::result::Result<(), Errno>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn full_mode(file_type: HostFileType, mode: u32) -> u32 {
    (guest_type(file_type).mode_bits() & S_IFMT) | (mode & S_IALLUGO)
}

/// Whether a host that does not look at the case takes two names for one.
pub(crate) fn same_name(one: &[u8], other: &[u8]) -> bool {
    let letters =
        |name| core::str::from_utf8(name).map(|name| name.chars().flat_map(char::to_uppercase));
    match (letters(one), letters(other)) {
        (Ok(one), Ok(other)) => one.eq(other),
        _ => one == other,
    }
}

/// The drive whose root directory is `root`, which has this host path.
///
/// # Errors
/// The host's.
pub fn mount(
    host: &'static dyn Host,
    root: HostFd,
    path: Vec<u8>,
    options: DriveOptions,
) -> Result<Arc<HostFs>> {
    HostFs::new_drive(host, root, path, options)
}

#[cfg(test)]
mod tests {
    use super::{Case, DriveOptions, same_name};
    use host_mock::EPOCH;
    use lx_core::host::{HostFileType, HostMetadata, HostStat};

    fn stat(file_type: HostFileType, mode: u32) -> HostStat {
        let time = EPOCH.cast_signed();
        HostStat {
            file_type,
            mode,
            uid: 7,
            gid: 7,
            dev: 1,
            ino: 2,
            nlink: 1,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
        }
    }

    #[test]
    fn options_are_read_and_shown() {
        let options =
            DriveOptions::parse(b"uid=1000,gid=1001,umask=022,fmask=11,metadata,case=dir");
        let options = options.unwrap();
        assert_eq!((options.uid, options.gid, options.umask), (1000, 1001, 0o22));
        assert_eq!((options.fmask, options.dmask, options.case), (0o11, 0, Case::Directory));
        let shown = ",uid=1000,gid=1001,umask=022,fmask=011,metadata,case=dir";
        assert_eq!(options.show(), shown);
        assert_eq!(DriveOptions::parse(shown.as_bytes()).unwrap(), options);
        for wrong in ["umask=8", "case", "case=force", "metadata=1", "size=1"] {
            assert!(DriveOptions::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_come_from_masks_unless_they_are_stored() {
        let options = DriveOptions { umask: 0o22, fmask: 0o111, uid: 5, ..DriveOptions::default() };
        let none = HostMetadata::default();
        let mode = |file_type, mode| options.shown(&stat(file_type, mode), &none).mode;
        assert_eq!(mode(HostFileType::Regular, 0o644), 0o644);
        assert_eq!(mode(HostFileType::Regular, 0o444), 0o444);
        assert_eq!(mode(HostFileType::Directory, 0o555), 0o755);
        assert_eq!(mode(HostFileType::Symlink, 0o777), 0o777);
        let stored = HostMetadata { mode: Some(0o104_711), gid: Some(9), ..none };
        let shown = options.shown(&stat(HostFileType::Regular, 0o644), &stored);
        assert_eq!((shown.mode, shown.uid, shown.gid), (0o4711, 5, 9));
    }

    #[test]
    fn names_are_the_same_whatever_their_case() {
        assert!(same_name("Ä.Txt".as_bytes(), "ä.tXT".as_bytes()));
        assert!(!same_name(b"a", b"b"));
        assert!(!same_name(b"\xffa", b"\xffA"));
    }
}
