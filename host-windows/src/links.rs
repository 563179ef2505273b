//! Symbolic links and special files: reparse points, in the form that WSL gives them.

use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostFd, HostFileType, HostResult};
use lx_nt::{Handle, IoStatus};

use crate::files;
use crate::names::{self, from_utf16};
use crate::nt::{self, nt};
use crate::storage::{
    Opened, access, create_file, disposition, open_for, option, query, set, u32_at,
};

/// Tags of reparse points.
mod tag {
    pub(super) const MOUNT_POINT: u32 = 0xa000_0003;
    pub(super) const SYMLINK: u32 = 0xa000_000c;
    pub(super) const LX_SYMLINK: u32 = 0xa000_001d;
    pub(super) const AF_UNIX: u32 = 0x8000_0023;
    pub(super) const LX_FIFO: u32 = 0x8000_0024;
    pub(super) const LX_CHR: u32 = 0x8000_0025;
    pub(super) const LX_BLK: u32 = 0x8000_0026;
}

/// Bytes in front of a reparse point's data: tag, length, zero.
const HEADER: usize = 8;
/// Most bytes of a reparse point.
const MOST: usize = 16 * 1024;
/// Version of WSL's links.
const LX_VERSION: u32 = 2;

/// What an open reparse point is, if it is not what it seems, and the length of a link's target.
/// Points that lead where guests cannot follow, as those of mounted volumes, are what they seem.
pub(crate) fn look_at(file: Handle) -> Option<(HostFileType, u64)> {
    const ATTRIBUTE_TAG_INFORMATION: u32 = 35;
    let tag = query::<8>(file, ATTRIBUTE_TAG_INFORMATION).map_or(0, |out| u32_at(&out, 4));
    match file_type(tag)? {
        HostFileType::Symlink => {
            read_open(file).ok().map(|target| (HostFileType::Symlink, target.len() as u64))
        }
        other => Some((other, 0)),
    }
}

/// What a reparse point with this tag is for Linux, if it is not what it seems.
fn file_type(tag: u32) -> Option<HostFileType> {
    match tag {
        tag::MOUNT_POINT | tag::SYMLINK | tag::LX_SYMLINK => Some(HostFileType::Symlink),
        tag::AF_UNIX => Some(HostFileType::Socket),
        tag::LX_FIFO => Some(HostFileType::Fifo),
        tag::LX_CHR => Some(HostFileType::CharDevice),
        tag::LX_BLK => Some(HostFileType::BlockDevice),
        _ => None,
    }
}

/// The target of a link.
pub(crate) fn read(dir: &HostFd, name: &[u8]) -> HostResult<Vec<u8>> {
    read_open(open_for(dir, name, access::READ_ATTRIBUTES, 0)?.0)
}

/// The target of an open link.
fn read_open(file: Handle) -> HostResult<Vec<u8>> {
    const GET_REPARSE_POINT: u32 = 0x9_00a8;
    let mut buffer = alloc::vec![0u8; MOST];
    let mut io = IoStatus::default();
    // SAFETY: the call writes the buffer.
    let status = unsafe {
        nt!(
            fs_control,
            file,
            0,
            0,
            0,
            &mut io,
            GET_REPARSE_POINT,
            core::ptr::null(),
            0,
            buffer.as_mut_ptr(),
            MOST as u32
        )
    };
    nt::check(status).map_err(|_| HostError(Errno::EINVAL))?;
    let len = (u32_at(&buffer, 4) & 0xffff) as usize;
    let data = buffer.get(HEADER..HEADER + len).unwrap_or_default();
    target(u32_at(&buffer, 0), data).ok_or(HostError(Errno::EINVAL))
}

/// The target that a reparse point's data tells.
fn target(tag: u32, data: &[u8]) -> Option<Vec<u8>> {
    const RELATIVE: u32 = 1;
    let half = |at| (u32_at(data, at) & 0xffff) as usize;
    let substitute = |start: usize| {
        let start = start + half(0);
        data.get(start..start + half(2)).map(from_utf16)
    };
    match tag {
        tag::LX_SYMLINK if u32_at(data, 0) == LX_VERSION => Some(data.get(4..)?.to_vec()),
        tag::MOUNT_POINT => names::to_guest(&substitute(8)?, false),
        tag::SYMLINK => names::to_guest(&substitute(12)?, u32_at(data, 8) & RELATIVE != 0),
        _ => None,
    }
}

/// Makes a link as WSL does. `EPERM` where the file system has none.
pub(crate) fn make(dir: &HostFd, name: &[u8], target: &[u8]) -> HostResult<()> {
    let mut data = LX_VERSION.to_le_bytes().to_vec();
    data.extend_from_slice(target);
    make_point(dir, name, tag::LX_SYMLINK, &data)
}

/// Makes a FIFO, socket or device as WSL does.
pub(crate) fn make_node(dir: &HostFd, name: &[u8], mode: u32) -> HostResult<()> {
    const TYPE: u32 = 0o170_000;
    let tag = match mode & TYPE {
        0o010_000 => tag::LX_FIFO,
        0o020_000 => tag::LX_CHR,
        0o060_000 => tag::LX_BLK,
        0o140_000 => tag::AF_UNIX,
        _ => return Err(HostError(Errno::EPERM)),
    };
    make_point(dir, name, tag, &[])
}

fn make_point(dir: &HostFd, name: &[u8], tag: u32, data: &[u8]) -> HostResult<()> {
    const SET_REPARSE_POINT: u32 = 0x9_00a4;
    const DISPOSITION_INFORMATION: u32 = 13;
    let mut point = tag.to_le_bytes().to_vec();
    point.extend_from_slice(&(data.len() as u32).to_le_bytes());
    point.extend_from_slice(data);
    if point.len() > MOST {
        return Err(HostError(Errno::ENAMETOOLONG));
    }
    let name = names::component(name)?;
    let rights = access::WRITE_ATTRIBUTES | access::DELETE;
    let folder = files::local(dir)?;
    let file = create_file(folder, &name, rights, disposition::CREATE, option::NON_DIRECTORY)?;
    let file = Opened(file);
    let mut io = IoStatus::default();
    // SAFETY: the call reads the data.
    let status = unsafe {
        nt!(
            fs_control,
            file.0,
            0,
            0,
            0,
            &mut io,
            SET_REPARSE_POINT,
            point.as_ptr(),
            point.len() as u32,
            core::ptr::null_mut(),
            0
        )
    };
    if status < 0 {
        let _ = set(file.0, DISPOSITION_INFORMATION, &[1]);
        return Err(HostError(Errno::EPERM));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{tag, target};
    use std::vec::Vec;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn targets_of_all_kinds_of_links() {
        assert_eq!(target(tag::LX_SYMLINK, b"\x02\0\0\0../x").unwrap(), b"../x");
        assert!(target(tag::LX_SYMLINK, b"\x01\0\0\0x").is_none());
        let name = utf16(r"\??\C:\Users\me");
        let len = (name.len() as u16).to_le_bytes();
        let junction = [&[0, 0], &len[..], &[0; 4], &name[..]].concat();
        assert_eq!(target(tag::MOUNT_POINT, &junction).unwrap(), b"/mnt/c/Users/me");
        let name = utf16(r"..\a\b");
        let len = (name.len() as u16).to_le_bytes();
        let link = [&[0, 0], &len[..], &[0; 4], &[1, 0, 0, 0], &name[..]].concat();
        assert_eq!(target(tag::SYMLINK, &link).unwrap(), b"../a/b");
    }
}
