//! Removing and renaming entries of directories.
//!
//! Windows 10 does both as POSIX wants it on NTFS: an open file loses its name at once. Elsewhere
//! the name of a file that is open stays until it is closed, so the file is moved out of the way
//! before it is removed.

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostFd, HostResult};
use lx_nt::Handle;

use crate::files;
use crate::links;
use crate::names;
use crate::storage::{Opened, access, attributes_of, open_for, query, set, u64_at};

const ATTRIBUTE_READONLY: u32 = 0x1;
const ATTRIBUTE_DIRECTORY: u32 = 0x10;
const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;

/// Flags of `FILE_RENAME_INFORMATION_EX`.
mod rename_flag {
    pub(super) const REPLACE: u64 = 0x1;
    pub(super) const POSIX: u64 = 0x2;
    pub(super) const IGNORE_READONLY: u64 = 0x40;
}

/// Whether the host has no such kind of request.
fn is_unknown(error: HostError) -> bool {
    matches!(error.0, Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP)
}

/// Opens an entry to remove or rename it.
fn open(dir: &HostFd, name: &[u8]) -> HostResult<Opened> {
    let all = access::DELETE | access::READ_ATTRIBUTES;
    match open_for(dir, name, all | access::WRITE_ATTRIBUTES, 0) {
        Err(HostError(Errno::EACCES)) => open_for(dir, name, all, 0),
        other => other,
    }
}

/// Removes a name; `directory` tells which kind it has to be.
pub(crate) fn remove(dir: &HostFd, name: &[u8], directory: bool) -> HostResult<()> {
    const DISPOSITION_INFORMATION_EX: u32 = 64;
    const DELETE: u32 = 0x1;
    const POSIX: u32 = 0x2;
    const IGNORE_READONLY: u32 = 0x10;
    let file = open(dir, name)?;
    let attributes = attributes_of(file.0)?;
    // What leads to a directory is none.
    let is_link = attributes & ATTRIBUTE_REPARSE_POINT != 0 && links::look_at(file.0).is_some();
    match (attributes & ATTRIBUTE_DIRECTORY != 0 && !is_link, directory) {
        (true, false) => return Err(HostError(Errno::EISDIR)),
        (false, true) => return Err(HostError(Errno::ENOTDIR)),
        _ => {}
    }
    let flags = DELETE | POSIX | IGNORE_READONLY;
    match set(file.0, DISPOSITION_INFORMATION_EX, &flags.to_le_bytes()) {
        Err(error) if is_unknown(error) => remove_plainly(dir, name, &file, attributes),
        other => other,
    }
}

/// Removes a file where names of open files stay.
fn remove_plainly(dir: &HostFd, name: &[u8], file: &Opened, attributes: u32) -> HostResult<()> {
    const DISPOSITION_INFORMATION: u32 = 13;
    if attributes & ATTRIBUTE_READONLY != 0 {
        set_attributes(file.0, attributes & !ATTRIBUTE_READONLY)?;
    }
    let folder = files::local(dir)?;
    let moved = move_aside(folder, file.0);
    let removed = set(file.0, DISPOSITION_INFORMATION, &[1]);
    if removed.is_err() && moved {
        let _ = set(file.0, RENAME_INFORMATION, &names::target(folder, name, 0)?);
    }
    removed
}

const RENAME_INFORMATION: u32 = 10;

/// Gives a file a name that nobody asks for, in its own directory.
fn move_aside(folder: Handle, file: Handle) -> bool {
    const INTERNAL_INFORMATION: u32 = 6;
    let Ok(id) = query::<8>(file, INTERNAL_INFORMATION) else { return false };
    let name = alloc::format!(".lx-removed-{:x}", u64_at(&id, 0));
    let target = names::target(folder, name.as_bytes(), 0);
    target.is_ok_and(|target| set(file, RENAME_INFORMATION, &target).is_ok())
}

/// Renames, with the flags of `renameat2(2)`.
pub(crate) fn rename(
    (from_dir, from): (&HostFd, &[u8]),
    (to_dir, to): (&HostFd, &[u8]),
    flags: u32,
) -> HostResult<()> {
    const RENAME_INFORMATION_EX: u32 = 65;
    const RENAME_NOREPLACE: u32 = 1;
    if flags & !RENAME_NOREPLACE != 0 {
        return Err(HostError(Errno::EINVAL));
    }
    let replace = if flags & RENAME_NOREPLACE == 0 { rename_flag::REPLACE } else { 0 };
    let file = open(from_dir, from)?;
    let folder = files::local(to_dir)?;
    let posix = replace | rename_flag::POSIX | rename_flag::IGNORE_READONLY;
    let renamed = set(file.0, RENAME_INFORMATION_EX, &names::target(folder, to, posix)?);
    match renamed {
        Err(error) if is_unknown(error) || error.0 == Errno::EACCES => {}
        other => return other,
    }
    let target = names::target(folder, to, replace)?;
    if from_dir.raw() == to_dir.raw() && from.eq_ignore_ascii_case(to) {
        // Else the name is the file's already.
        move_aside(folder, file.0);
    }
    match set(file.0, RENAME_INFORMATION, &target) {
        Err(HostError(Errno::EACCES)) if replace != 0 => {
            replace_plainly(&file, to_dir, to, &target)
        }
        other => other,
    }
}

/// Renames to a name of a file that is open, or that cannot be written, or of a directory.
fn replace_plainly(file: &Opened, dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()> {
    const DISPOSITION_INFORMATION: u32 = 13;
    let old = open(dir, name).map_err(|_| HostError(Errno::EACCES))?;
    let attributes = attributes_of(old.0)?;
    if attributes & ATTRIBUTE_READONLY != 0 {
        set_attributes(old.0, attributes & !ATTRIBUTE_READONLY)?;
    }
    let folder = files::local(dir)?;
    if !move_aside(folder, old.0) {
        return Err(HostError(Errno::EACCES));
    }
    let mut result = set(old.0, DISPOSITION_INFORMATION, &[1]);
    if result.is_ok() {
        result = set(file.0, RENAME_INFORMATION, target);
        if result.is_err() {
            let _ = set(old.0, DISPOSITION_INFORMATION, &[0]);
        }
    }
    if result.is_err() {
        let _ = set(old.0, RENAME_INFORMATION, &names::target(folder, name, 0)?);
    }
    result
}

/// Replaces the attributes (`FILE_ATTRIBUTE_…`) of a file.
pub(crate) fn set_attributes(file: Handle, attributes: u32) -> HostResult<()> {
    const BASIC_INFORMATION: u32 = 4;
    const NORMAL: u32 = 0x80;
    let attributes = if attributes & !NORMAL == 0 { NORMAL } else { attributes & !NORMAL };
    // Zeros leave the times alone.
    let mut basic = [0; 40];
    if let Some(field) = basic.last_chunk_mut::<8>() {
        *field = u64::from(attributes).to_le_bytes();
    }
    set(file, BASIC_INFORMATION, &basic)
}

/// Keeps whether a file can be written, the one thing of its mode that Windows has.
pub(crate) fn protect(dir: &HostFd, name: &[u8], mode: u32) -> HostResult<()> {
    let all = access::READ_ATTRIBUTES | access::WRITE_ATTRIBUTES;
    let file = open_for(dir, name, all, 0)?;
    let old = attributes_of(file.0)?;
    let readonly = if mode & 0o222 == 0 { ATTRIBUTE_READONLY } else { 0 };
    if old & ATTRIBUTE_DIRECTORY != 0 || old & ATTRIBUTE_READONLY == readonly {
        return Ok(());
    }
    set_attributes(file.0, old & !ATTRIBUTE_READONLY | readonly)
}
