//! Streams and files of the host: `HostStorage` by NT files.

use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{
    Buf, BufMut, HostDirEntry, HostDrive, HostError, HostFd, HostFileType, HostMetadata, HostOpen,
    HostResult, HostSetAttr, HostStat, HostStatFs, HostStorage,
};
use lx_nt::{Handle, IoStatus, ObjectAttributes, UnicodeString};

use crate::WindowsHost;
use crate::files::{self, Kind};
use crate::names::{self, from_utf16};
use crate::nt::{self, nt, status};
use crate::stream;
use crate::{aside, drives, entries, feed, keyboard, links, metadata, xattr};

/// Rights to a file.
pub(crate) mod access {
    pub(crate) const READ_DATA: u32 = 0x1;
    pub(crate) const WRITE_DATA: u32 = 0x2;
    pub(crate) const APPEND_DATA: u32 = 0x4;
    pub(crate) const READ_EA: u32 = 0x8;
    pub(crate) const WRITE_EA: u32 = 0x10;
    pub(crate) const READ_ATTRIBUTES: u32 = 0x80;
    pub(crate) const WRITE_ATTRIBUTES: u32 = 0x100;
    pub(crate) const DELETE: u32 = 0x1_0000;
    pub(crate) const READ_CONTROL: u32 = 0x2_0000;
    pub(crate) const SYNCHRONIZE: u32 = 0x10_0000;
}

/// What `NtCreateFile` does with a file that is there, or is not.
pub(crate) mod disposition {
    pub(crate) const OPEN: u32 = 1;
    pub(crate) const CREATE: u32 = 2;
}

/// Options of `NtCreateFile`.
pub(crate) mod option {
    pub(crate) const DIRECTORY: u32 = 0x1;
    pub(crate) const SYNCHRONOUS: u32 = 0x20;
    pub(crate) const NON_DIRECTORY: u32 = 0x40;
    pub(crate) const BACKUP_INTENT: u32 = 0x4000;
    pub(crate) const REPARSE_POINT: u32 = 0x20_0000;
}

const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
const FILE_ATTRIBUTE_READONLY: u32 = 0x1;
const FILE_ATTRIBUTE_DIRECTORY: u32 = 0x10;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;

const SHARE_ALL: u32 = 7;
/// As all programs of Windows open files; directories whose names differ by their case do not care.
pub(crate) const OBJ_CASE_INSENSITIVE: u32 = 0x40;

/// Opens or makes a file: a handle of the calling process.
pub(crate) fn create_file(
    root: Handle,
    name: &[u16],
    rights: u32,
    how: u32,
    options: u32,
) -> HostResult<Handle> {
    let bytes = u16::try_from(name.len() * 2).map_err(|_| HostError(Errno::ENAMETOOLONG))?;
    let name = UnicodeString { length: bytes, maximum_length: bytes, buffer: name.as_ptr() };
    let attributes = ObjectAttributes {
        root,
        name: &raw const name,
        attributes: OBJ_CASE_INSENSITIVE,
        ..nt::no_attributes()
    };
    let mut handle = 0;
    let mut io = IoStatus::default();
    // SAFETY: the call reads the structures and writes handle and result.
    let status = unsafe {
        nt!(
            create_file,
            &mut handle,
            rights | access::SYNCHRONIZE,
            &attributes,
            &mut io,
            core::ptr::null(),
            FILE_ATTRIBUTE_NORMAL,
            SHARE_ALL,
            how,
            options | option::SYNCHRONOUS | option::REPARSE_POINT | option::BACKUP_INTENT,
            core::ptr::null(),
            0
        )
    };
    nt::check(status).map(|()| handle)
}

/// An open file that is closed when it goes out of scope.
pub(crate) struct Opened(pub(crate) Handle);

impl Drop for Opened {
    fn drop(&mut self) {
        nt::close(self.0);
    }
}

/// Opens `dir/name` for a moment.
pub(crate) fn open_for(dir: &HostFd, name: &[u8], rights: u32, options: u32) -> HostResult<Opened> {
    let name = names::component(name)?;
    create_file(files::local(dir)?, &name, rights, disposition::OPEN, options).map(Opened)
}

pub(crate) fn query<const N: usize>(file: Handle, class: u32) -> HostResult<[u8; N]> {
    let mut out = [0; N];
    let mut io = IoStatus::default();
    // SAFETY: the call writes the buffer.
    let result = unsafe { nt!(query_file, file, &mut io, out.as_mut_ptr(), N as u32, class) };
    match result {
        // The name at the end did not fit, which nobody wants.
        status::BUFFER_OVERFLOW => Ok(out),
        result => nt::check(result).map(|()| out),
    }
}

pub(crate) fn set(file: Handle, class: u32, data: &[u8]) -> HostResult<()> {
    let mut io = IoStatus::default();
    // SAFETY: the call reads the data.
    nt::check(unsafe { nt!(set_file, file, &mut io, data.as_ptr(), data.len() as u32, class) })
}

/// A number of `N` bytes at an offset.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<8>());
    field.map_or(0, |field| u64::from_le_bytes(*field))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u64_at_short(bytes, at) as u32
}

fn u64_at_short(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    field.map_or(0, |field| u64::from(u32::from_le_bytes(*field)))
}

/// Units of 100 ns between 1601 and 1970.
const EPOCH: i64 = 116_444_736_000_000_000;

fn to_unix(time: u64) -> i64 {
    time.cast_signed().saturating_sub(EPOCH).saturating_mul(100)
}

fn from_unix(time: i64) -> i64 {
    time.div_euclid(100).saturating_add(EPOCH)
}

fn stat_of(file: Handle) -> HostResult<HostStat> {
    const ALL_INFORMATION: u32 = 18;
    let all = match query::<160>(file, ALL_INFORMATION) {
        Ok(all) => all,
        // Files without a name do not tell all.
        Err(_) => nameless_information(file)?,
    };
    let attributes = u32_at(&all, 32);
    let directory = attributes & FILE_ATTRIBUTE_DIRECTORY != 0;
    let writable = attributes & FILE_ATTRIBUTE_READONLY == 0 || directory;
    let is_point = attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    let point = if is_point { links::look_at(file) } else { None };
    let (special, link_len) = point.map_or((None, 0), |(special, len)| (Some(special), len));
    let directory = directory && special.is_none();
    let plain = if directory { HostFileType::Directory } else { HostFileType::Regular };
    let size = match special {
        Some(_) => link_len,
        None if directory => 4096,
        None => u64_at(&all, 48),
    };
    Ok(HostStat {
        file_type: special.unwrap_or(plain),
        mode: if writable { 0o755 } else { 0o555 },
        uid: 0,
        gid: 0,
        dev: 1,
        ino: u64_at(&all, 64),
        nlink: if directory { 2 } else { u32_at(&all, 56).max(1) },
        rdev: 0,
        size,
        blocks: u64_at(&all, 40).div_ceil(512),
        atime: to_unix(u64_at(&all, 8)),
        mtime: to_unix(u64_at(&all, 16)),
        ctime: to_unix(u64_at(&all, 24)),
    })
}

/// `FILE_ATTRIBUTE_…` of an open file.
pub(crate) fn attributes_of(file: Handle) -> HostResult<u32> {
    const BASIC_INFORMATION: u32 = 4;
    Ok(u32_at(&query::<40>(file, BASIC_INFORMATION)?, 32))
}

/// The length of a file.
pub(crate) fn len(file: Handle) -> HostResult<u64> {
    const STANDARD_INFORMATION: u32 = 5;
    Ok(u64_at(&query::<24>(file, STANDARD_INFORMATION)?, 8))
}

/// As `FILE_ALL_INFORMATION`, without the name.
fn nameless_information(file: Handle) -> HostResult<[u8; 160]> {
    const BASIC_INFORMATION: u32 = 4;
    const STANDARD_INFORMATION: u32 = 5;
    const INTERNAL_INFORMATION: u32 = 6;
    let basic = query::<40>(file, BASIC_INFORMATION)?;
    let standard = query::<24>(file, STANDARD_INFORMATION)?;
    let internal = query::<8>(file, INTERNAL_INFORMATION)?;
    let mut all = [0; 160];
    let parts = basic.iter().chain(&standard).chain(&internal);
    all.iter_mut().zip(parts).for_each(|(to, &from)| *to = from);
    Ok(all)
}

impl HostStorage for WindowsHost {
    fn open_root(&self, path: &[u8]) -> HostResult<HostFd> {
        let name = names::path(path)?;
        let rights = access::READ_DATA | access::READ_ATTRIBUTES;
        let handle = create_file(0, &name, rights, disposition::OPEN, option::DIRECTORY)?;
        files::register(handle, Kind::Disk)
    }

    fn close(&self, raw: u64) {
        files::close(raw);
    }

    fn stat(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostStat> {
        if name.is_empty() {
            let file = files::local(dir)?;
            return match files::kind(dir) {
                Kind::Disk => stat_of(file),
                kind => Ok(stream::stat(kind)),
            };
        }
        let file = open_for(dir, name, access::READ_ATTRIBUTES, 0)?;
        stat_of(file.0)
    }

    fn open(&self, dir: &HostFd, name: &[u8], how: HostOpen) -> HostResult<HostFd> {
        let name = names::component(name)?;
        let mut rights = access::READ_ATTRIBUTES;
        if how.read || how.directory {
            rights |= access::READ_DATA;
        }
        if how.write {
            rights |= access::WRITE_DATA | access::WRITE_ATTRIBUTES;
        }
        let options = if how.directory { option::DIRECTORY } else { 0 };
        let (how_to, options) = match how.create {
            Some(_) => (disposition::CREATE, options | option::NON_DIRECTORY),
            None => (disposition::OPEN, options),
        };
        let handle = create_file(files::local(dir)?, &name, rights, how_to, options)?;
        files::register(handle, Kind::Disk)
    }

    fn read_at(&self, fd: &HostFd, offset: u64, dst: BufMut<'_>) -> HostResult<usize> {
        stream::read(fd, Some(offset), dst)
    }

    fn write_at(&self, fd: &HostFd, offset: u64, src: Buf<'_>) -> HostResult<usize> {
        stream::write(fd, Some(offset), src)
    }

    fn read(&self, fd: &HostFd, mut dst: BufMut<'_>) -> HostResult<usize> {
        if files::kind(fd) == Kind::Keyboard
            && let Some(result) = keyboard::read(files::local(fd)?, &mut dst)
        {
            return result;
        }
        stream::read(fd, None, dst)
    }

    fn write(&self, fd: &HostFd, src: Buf<'_>) -> HostResult<usize> {
        match files::kind(fd) {
            Kind::Feed => feed::write(fd, src),
            Kind::Pipe => aside::write(fd, src),
            _ => stream::write(fd, None, src),
        }
    }

    fn seek(&self, fd: &HostFd, offset: i64, whence: u32) -> HostResult<u64> {
        const POSITION_INFORMATION: u32 = 14;
        let file = files::local(fd)?;
        if files::kind(fd) != Kind::Disk {
            return Err(HostError(Errno::ESPIPE));
        }
        let base = match whence {
            0 => 0,
            1 => u64_at(&query::<8>(file, POSITION_INFORMATION)?, 0).cast_signed(),
            2 => stat_of(file)?.size.cast_signed(),
            _ => return Err(HostError(Errno::EINVAL)),
        };
        let target = base.checked_add(offset).filter(|&target| target >= 0);
        let target = target.ok_or(HostError(Errno::EINVAL))?;
        set(file, POSITION_INFORMATION, &target.to_le_bytes())?;
        Ok(target.cast_unsigned())
    }

    fn read_dir(&self, dir: &HostFd) -> HostResult<Vec<HostDirEntry>> {
        const ID_BOTH_DIRECTORY_INFORMATION: u32 = 37;
        // A handle of its own has a position of its own.
        let rights = access::READ_DATA | access::READ_ATTRIBUTES;
        let own = open_for(dir, b"", rights, option::DIRECTORY)?;
        let mut entries = Vec::new();
        let mut buffer = vec![0u8; 32 * 1024];
        loop {
            let mut io = IoStatus::default();
            // SAFETY: the call writes the buffer.
            let result = unsafe {
                nt!(
                    query_directory,
                    own.0,
                    0,
                    0,
                    0,
                    &mut io,
                    buffer.as_mut_ptr(),
                    buffer.len() as u32,
                    ID_BOTH_DIRECTORY_INFORMATION,
                    0,
                    core::ptr::null(),
                    0
                )
            };
            if result == status::NO_MORE_FILES {
                return Ok(entries);
            }
            nt::check(result)?;
            collect(&buffer, &mut entries);
        }
    }

    fn read_link(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        links::read(dir, name)
    }

    fn make_dir(&self, dir: &HostFd, name: &[u8], _mode: u32) -> HostResult<()> {
        let name = names::component(name)?;
        let root = files::local(dir)?;
        let rights = access::READ_ATTRIBUTES;
        create_file(root, &name, rights, disposition::CREATE, option::DIRECTORY).map(nt::close)
    }

    fn make_node(&self, dir: &HostFd, name: &[u8], mode: u32, _rdev: u64) -> HostResult<()> {
        links::make_node(dir, name, mode)
    }

    fn make_symlink(&self, dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()> {
        links::make(dir, name, target)
    }

    fn make_link(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        dir: &HostFd,
        name: &[u8],
    ) -> HostResult<()> {
        const LINK_INFORMATION: u32 = 11;
        let file = open_for(from_dir, from, access::WRITE_ATTRIBUTES, 0)?;
        set(file.0, LINK_INFORMATION, &names::target(files::local(dir)?, name, 0)?)
    }

    fn remove(&self, dir: &HostFd, name: &[u8], directory: bool) -> HostResult<()> {
        entries::remove(dir, name, directory)
    }

    fn rename(
        &self,
        from_dir: &HostFd,
        from: &[u8],
        to_dir: &HostFd,
        to: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        entries::rename((from_dir, from), (to_dir, to), flags)
    }

    fn set_attr(&self, dir: &HostFd, name: &[u8], change: &HostSetAttr) -> HostResult<()> {
        const BASIC_INFORMATION: u32 = 4;
        const END_OF_FILE_INFORMATION: u32 = 20;
        if let Some(size) = change.size {
            let file = open_for(dir, name, access::WRITE_DATA, option::NON_DIRECTORY)?;
            set(file.0, END_OF_FILE_INFORMATION, &size.to_le_bytes())?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let file = open_for(dir, name, access::WRITE_ATTRIBUTES, 0)?;
            // Zeros leave a time alone.
            let [access, write] =
                [change.atime, change.mtime].map(|time| time.map_or(0, from_unix));
            let mut basic = Vec::with_capacity(40);
            for time in [0, access, write, 0, 0] {
                basic.extend_from_slice(&time.to_le_bytes());
            }
            set(file.0, BASIC_INFORMATION, &basic)?;
        }
        // Owners and other permissions have no counterpart; a change of them is accepted and
        // forgotten, as on other file systems without them.
        match change.mode {
            Some(mode) => entries::protect(dir, name, mode),
            None => Ok(()),
        }
    }

    fn sync_file(&self, fd: &HostFd, _data_only: bool) -> HostResult<()> {
        let mut io = IoStatus::default();
        // SAFETY: touches no memory of ours.
        nt::check(unsafe { nt!(flush_file, files::local(fd)?, &mut io) })
    }

    fn stat_fs(&self, fd: &HostFd) -> HostResult<HostStatFs> {
        const FULL_SIZE_INFORMATION: u32 = 7;
        let file = files::local(fd)?;
        let mut out = [0u8; 32];
        let mut io = IoStatus::default();
        // SAFETY: the call writes the buffer.
        nt::check(unsafe {
            nt!(query_volume, file, &mut io, out.as_mut_ptr(), 32, FULL_SIZE_INFORMATION)
        })?;
        let unit = u64::from(u32_at(&out, 24)) * u64::from(u32_at(&out, 28));
        Ok(HostStatFs {
            block_size: unit,
            blocks: u64_at(&out, 0),
            free: u64_at(&out, 16),
            available: u64_at(&out, 8),
            files: 0,
            files_free: 0,
        })
    }

    fn drives(&self) -> Vec<HostDrive> {
        drives::all()
    }

    fn metadata(&self, dir: &HostFd, name: &[u8]) -> HostResult<HostMetadata> {
        metadata::read(dir, name)
    }

    fn set_metadata(&self, dir: &HostFd, name: &[u8], values: &HostMetadata) -> HostResult<()> {
        metadata::write(dir, name, values)
    }

    fn distinguish_case(&self, dir: &HostFd, name: &[u8]) -> HostResult<()> {
        metadata::distinguish_case(dir, name)
    }

    fn get_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<Vec<u8>> {
        xattr::get(dir, name, attribute)
    }

    fn set_xattr(
        &self,
        dir: &HostFd,
        name: &[u8],
        attribute: &[u8],
        value: &[u8],
        flags: u32,
    ) -> HostResult<()> {
        xattr::set(dir, name, attribute, value, flags)
    }

    fn list_xattr(&self, dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
        xattr::list(dir, name)
    }

    fn remove_xattr(&self, dir: &HostFd, name: &[u8], attribute: &[u8]) -> HostResult<()> {
        xattr::remove(dir, name, attribute)
    }
}

/// Takes the entries that one call has found.
fn collect(buffer: &[u8], entries: &mut Vec<HostDirEntry>) {
    const NAME: usize = 104;
    let mut at = 0;
    while let Some(entry) = buffer.get(at..) {
        let len = u32_at(entry, 60) as usize;
        let name = from_utf16(entry.get(NAME..NAME + len).unwrap_or_default());
        if name != b"." && name != b".." {
            let attributes = u32_at(entry, 56);
            let directory = attributes & FILE_ATTRIBUTE_DIRECTORY != 0;
            let plain = if directory { HostFileType::Directory } else { HostFileType::Regular };
            // What a reparse point is shows when it is looked at.
            let is_point = attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0;
            let file_type = (!is_point).then_some(plain);
            entries.push(HostDirEntry { name, ino: u64_at(entry, 96), file_type });
        }
        let next = u32_at(entry, 0) as usize;
        if next == 0 {
            return;
        }
        at += next;
    }
}
