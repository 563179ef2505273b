//! Owners, modes and kinds of files that the host would refuse its user, kept beside the files.
//!
//! What the host can represent it keeps itself: a file whose owner and group are those that the host
//! gave it has its mode there, and nothing is kept. Any other file has all of it kept, and the host's
//! mode only lets us work with the file. Devices, FIFOs and sockets are empty regular files to the
//! host. A symbolic link carries nothing: unless a record says otherwise it belongs to the owner of
//! its folder. `docs/decisions/0017-kept-owners.md`.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::stat::{FileMode, FileType, S_IALLUGO};
use lx_core::host::{Host, HostFd, HostFileType, HostMetadata, HostOpen, HostSetAttr, HostStat};

use super::inode::guest_type;
use crate::inode::NewInode;

/// What the host lets its user do with a file whose mode is kept.
const USABLE_FILE: u32 = 0o600;
/// The same of a directory.
const USABLE_DIRECTORY: u32 = 0o700;
/// Bits of a kept mode that the host gets, too.
const SHOWN_BITS: u32 = 0o777;

/// The mode that the host gets of a file whose mode is kept.
pub(super) fn usable_mode(file_type: HostFileType, mode: u32) -> u32 {
    match file_type {
        HostFileType::Directory => mode & SHOWN_BITS | USABLE_DIRECTORY,
        _ => mode & SHOWN_BITS | USABLE_FILE,
    }
}

/// A file as the host has it and as guests see it.
struct Seen {
    host: HostStat,
    shown: HostStat,
    /// Something is kept of it.
    is_kept: bool,
}

fn host_type(file_type: FileType) -> HostFileType {
    match file_type {
        FileType::Regular => HostFileType::Regular,
        FileType::Directory => HostFileType::Directory,
        FileType::Symlink => HostFileType::Symlink,
        FileType::CharDevice => HostFileType::CharDevice,
        FileType::BlockDevice => HostFileType::BlockDevice,
        FileType::Fifo => HostFileType::Fifo,
        FileType::Socket => HostFileType::Socket,
    }
}

/// Whether the host has an empty file in the place of such an inode.
pub(super) fn is_stand_in(file_type: FileType) -> bool {
    !matches!(file_type, FileType::Regular | FileType::Directory | FileType::Symlink)
}

fn show(host: &HostStat, kept: &HostMetadata) -> HostStat {
    let kind = kept.mode.and_then(|mode| FileMode(mode).file_type());
    let stand_in =
        kind.filter(|kind| host.file_type == HostFileType::Regular && is_stand_in(*kind));
    let (file_type, size, blocks) = match stand_in {
        Some(kind) => (host_type(kind), 0, 0),
        None => (host.file_type, host.size, host.blocks),
    };
    HostStat {
        file_type,
        mode: kept.mode.map_or(host.mode, |mode| mode & S_IALLUGO),
        uid: kept.uid.unwrap_or(host.uid),
        gid: kept.gid.unwrap_or(host.gid),
        rdev: kept.rdev.unwrap_or(host.rdev),
        size,
        blocks,
        ..*host
    }
}

/// What is kept of a file; what cannot be read is as if it were not there.
fn kept_of(host: &dyn Host, dir: &HostFd, name: &[u8], file_type: HostFileType) -> HostMetadata {
    let kept = match file_type {
        HostFileType::Regular | HostFileType::Directory => host.metadata(dir, name),
        HostFileType::Symlink => match host.link_metadata(dir, name) {
            Ok(kept) if kept == HostMetadata::default() => return owner_of_links(host, dir),
            other => other,
        },
        _ => return HostMetadata::default(),
    };
    kept.unwrap_or_default()
}

/// Who owns the links in a folder that no record is of.
fn owner_of_links(host: &dyn Host, dir: &HostFd) -> HostMetadata {
    let folder = host.metadata(dir, b"").unwrap_or_default();
    HostMetadata { uid: folder.uid, gid: folder.gid, ..HostMetadata::default() }
}

fn look(host: &dyn Host, dir: &HostFd, name: &[u8]) -> Result<Seen> {
    let stat = host.stat(dir, name)?;
    let kept = kept_of(host, dir, name, stat.file_type);
    Ok(Seen { host: stat, shown: show(&stat, &kept), is_kept: kept.mode.is_some() })
}

/// Attributes of a file as guests see them.
pub(super) fn stat(host: &dyn Host, dir: &HostFd, name: &[u8]) -> Result<HostStat> {
    Ok(look(host, dir, name)?.shown)
}

/// Changes attributes.
pub(super) fn set_attr(
    host: &dyn Host,
    (dir, name): (&HostFd, &[u8]),
    change: &HostSetAttr,
) -> Result<()> {
    if change.mode.is_some() || change.uid.is_some() || change.gid.is_some() {
        let seen = look(host, dir, name)?;
        let wanted = HostStat {
            mode: change.mode.unwrap_or(seen.shown.mode),
            uid: change.uid.unwrap_or(seen.shown.uid),
            gid: change.gid.unwrap_or(seen.shown.gid),
            ..seen.shown
        };
        match store(host, (dir, name), &seen, &wanted) {
            // As for the host's user, who cannot give files away.
            Err(error) if matches!(error.errno(), Errno::EOPNOTSUPP | Errno::EACCES) => {
                return Err(Errno::EPERM.into());
            }
            other => other?,
        }
    }
    let rest = HostSetAttr { mode: None, uid: None, gid: None, ..*change };
    if rest.size.is_some() || rest.atime.is_some() || rest.mtime.is_some() {
        host.set_attr(dir, name, &rest)?;
    }
    Ok(())
}

/// Gives a new file what it was made with.
pub(super) fn created(
    host: &dyn Host,
    (dir, name): (&HostFd, &[u8]),
    new: &NewInode<'_>,
) -> Result<HostStat> {
    let real = host.stat(dir, name)?;
    let wanted = HostStat {
        file_type: host_type(new.kind.file_type()),
        mode: new.mode,
        uid: new.uid,
        gid: new.gid,
        rdev: new.kind.rdev(),
        ..real
    };
    let seen = Seen { host: real, shown: real, is_kept: false };
    match store(host, (dir, name), &seen, &wanted) {
        Ok(()) => {
            let HostStat { file_type, mode, uid, gid, rdev, .. } = wanted;
            Ok(HostStat { file_type, mode, uid, gid, rdev, ..host.stat(dir, name)? })
        }
        // Such a file system shows what the host's user may do there.
        Err(error) if error.errno() == Errno::EOPNOTSUPP && !is_stand_in(new.kind.file_type()) => {
            if real.file_type != HostFileType::Symlink {
                let mode = Some(new.mode);
                host.set_attr(dir, name, &HostSetAttr { mode, ..HostSetAttr::default() })?;
            }
            Ok(host.stat(dir, name)?)
        }
        Err(error) => Err(error),
    }
}

/// Makes a device, FIFO or socket: a file that stands for it, or where nothing can be kept, the
/// host's.
pub(super) fn make_node(
    host: &dyn Host,
    (dir, name): (&HostFd, &[u8]),
    new: &NewInode<'_>,
) -> Result<HostStat> {
    let create = Some(usable_mode(HostFileType::Regular, new.mode));
    drop(host.open(dir, name, HostOpen { write: true, create, ..HostOpen::default() })?);
    created(host, (dir, name), new).or_else(|error| {
        host.remove(dir, name, false)?;
        if error.errno() != Errno::EOPNOTSUPP {
            return Err(error);
        }
        let mode = new.kind.file_type().mode_bits() | new.mode;
        host.make_node(dir, name, mode, new.kind.rdev())?;
        stat(host, dir, name)
    })
}

/// Brings a file to where guests see it as `wanted`.
fn store(
    host: &dyn Host,
    (dir, name): (&HostFd, &[u8]),
    seen: &Seen,
    wanted: &HostStat,
) -> Result<()> {
    if seen.host.file_type == HostFileType::Symlink {
        return give_link(host, (dir, name), (wanted.uid, wanted.gid), seen);
    }
    let real = &seen.host;
    let set_mode = |mode| {
        let change = HostSetAttr { mode: Some(mode), ..HostSetAttr::default() };
        host.set_attr(dir, name, &change)
    };
    let is_owners = (wanted.uid, wanted.gid) == (real.uid, real.gid);
    if is_owners && wanted.file_type == real.file_type {
        if seen.is_kept {
            host.forget_metadata(dir, name)?;
        }
        return if wanted.mode == real.mode { Ok(()) } else { Ok(set_mode(wanted.mode)?) };
    }
    let kept = HostMetadata {
        uid: Some(wanted.uid),
        gid: Some(wanted.gid),
        mode: Some(guest_type(wanted.file_type).mode_bits() | wanted.mode & S_IALLUGO),
        rdev: Some(wanted.rdev).filter(|_| is_stand_in(guest_type(wanted.file_type))),
    };
    // First the mode: it may forbid us to keep something.
    let usable = usable_mode(real.file_type, wanted.mode);
    if usable != real.mode {
        set_mode(usable)?;
    }
    host.set_metadata(dir, name, &kept).inspect_err(|_| {
        if usable != real.mode {
            let _ = set_mode(real.mode);
        }
    })?;
    Ok(())
}

/// Gives a symbolic link to an owner.
fn give_link(
    host: &dyn Host,
    (dir, name): (&HostFd, &[u8]),
    (uid, gid): (u32, u32),
    seen: &Seen,
) -> Result<()> {
    let usual = owner_of_links(host, dir);
    let usual = (usual.uid.unwrap_or(seen.host.uid), usual.gid.unwrap_or(seen.host.gid));
    if (uid, gid) == usual {
        return Ok(host.forget_link_metadata(dir, name)?);
    }
    let kept = HostMetadata { uid: Some(uid), gid: Some(gid), ..HostMetadata::default() };
    Ok(host.set_link_metadata(dir, name, &kept)?)
}

/// A symbolic link has got a name here, or moved here; its owner has been this one. Where that cannot
/// be kept it belongs to the owner of the folder from now on: the name is there already.
pub(super) fn link_came(host: &dyn Host, (dir, name): (&HostFd, &[u8]), link: &HostStat) {
    if let Ok(seen) = look(host, dir, name) {
        let _ = give_link(host, (dir, name), (link.uid, link.gid), &seen);
    }
}

/// A symbolic link is not here any more. A record that cannot be removed would be another link's.
pub(super) fn link_left(host: &dyn Host, (dir, name): (&HostFd, &[u8])) {
    let _ = host.forget_link_metadata(dir, name);
}
