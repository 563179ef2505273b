//! R11: what the file system of a folder can do without rights.

use std::ffi::{OsStr, c_void};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Storage::FileSystem::{
    FileCaseSensitiveInfo, FileDispositionInfoEx, FileRenameInfoEx, GetVolumeInformationByHandleW,
    SetFileInformationByHandle,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::FSCTL_SET_REPARSE_POINT;

use super::Answer;
use crate::{check, features};

const READ_WRITE: u32 = 0xc000_0000;
const DELETE: u32 = 0x1_0000;
const SHARE_ALL: u32 = 7;
const BACKUP_SEMANTICS: u32 = 0x200_0000;
const OPEN_REPARSE_POINT: u32 = 0x20_0000;

fn open(path: &Path, rights: u32, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(rights)
        .share_mode(SHARE_ALL)
        .custom_flags(BACKUP_SEMANTICS | OPEN_REPARSE_POINT)
        .write(create)
        .create(create)
        .open(path)
}

fn set(file: &File, class: i32, data: &[u8]) -> io::Result<()> {
    let len = u32::try_from(data.len()).map_err(io::Error::other)?;
    // SAFETY: the call reads the data.
    check(unsafe {
        SetFileInformationByHandle(file.as_raw_handle(), class, data.as_ptr().cast(), len)
    })
}

/// An open file is removed, and its name is free at once.
fn posix_delete(folder: &Path) -> io::Result<()> {
    const DELETE_POSIX: u32 = 0x3;
    let path = folder.join("delete");
    fs::write(&path, "x")?;
    let file = open(&path, DELETE, false)?;
    set(&file, FileDispositionInfoEx, &DELETE_POSIX.to_le_bytes())?;
    match path.try_exists()? {
        true => Err(io::Error::other("the name stays")),
        false => Ok(()),
    }
}

/// A file replaces one that is open.
fn posix_rename(folder: &Path) -> io::Result<()> {
    const REPLACE_POSIX: u64 = 0x3;
    let (from, to) = (folder.join("from"), folder.join("to"));
    fs::write(&from, "new")?;
    fs::write(&to, "old")?;
    let _old = open(&to, READ_WRITE, false)?;
    let file = open(&from, DELETE, false)?;
    let name: Vec<u8> = to.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect();
    let len = u32::try_from(name.len()).map_err(io::Error::other)?;
    let mut data = REPLACE_POSIX.to_le_bytes().to_vec();
    data.extend(0u64.to_le_bytes());
    data.extend(len.to_le_bytes());
    data.extend(name);
    data.extend([0; 4]);
    set(&file, FileRenameInfoEx, &data)?;
    if fs::read(&to)? == b"new" { Ok(()) } else { Err(io::Error::other("nothing was replaced")) }
}

/// Names in a directory differ by their case.
fn case_flag(folder: &Path) -> io::Result<()> {
    let path = folder.join("case");
    fs::create_dir(&path)?;
    set(&open(&path, READ_WRITE, false)?, FileCaseSensitiveInfo, &1u32.to_le_bytes())?;
    fs::write(path.join("a"), "a")?;
    fs::write(path.join("A"), "A")?;
    if fs::read(path.join("a"))? == b"a" { Ok(()) } else { Err(io::Error::other("one file")) }
}

type SetEa = unsafe extern "system" fn(*mut c_void, *mut [usize; 2], *const u8, u32) -> i32;
type QueryEa = unsafe extern "system" fn(
    *mut c_void,
    *mut [usize; 2],
    *mut u8,
    u32,
    u8,
    *const u8,
    u32,
    *const u32,
    u8,
) -> i32;

/// What lx keeps of a file is kept in extended attributes: an owner as WSL has it, and an attribute of
/// Linux'.
fn attributes(folder: &Path) -> io::Result<()> {
    let service = |name| {
        let address = features::export_address("ntdll", name);
        address.ok_or_else(|| io::Error::other(format!("no service {name}")))
    };
    // SAFETY: this is the function's type.
    let set_ea: SetEa = unsafe { mem::transmute(service("NtSetEaFile")?) };
    // SAFETY: as above.
    let query_ea: QueryEa = unsafe { mem::transmute(service("NtQueryEaFile")?) };
    let good = |status: i32| match status {
        ..0 => Err(io::Error::other(format!("{status:#x}"))),
        _ => Ok(()),
    };
    let file = open(&folder.join("attribute"), READ_WRITE, true)?;
    let mut result = [0; 2];
    for (name, value) in [(&b"$LXUID"[..], &[1, 2, 3, 4][..]), (b"LX.USER.%41", b"\0value")] {
        let mut data = vec![0; 4];
        data.extend([0, name.len() as u8, value.len() as u8, 0]);
        data.extend(name);
        data.push(0);
        data.extend(value);
        let len = data.len() as u32;
        // SAFETY: the call reads the data, which is one whole entry, and writes the result.
        good(unsafe { set_ea(file.as_raw_handle(), &raw mut result, data.as_ptr(), len) })?;
        let mut list = vec![0, 0, 0, 0, name.len() as u8];
        list.extend(name);
        list.push(0);
        let mut out = [0u8; 64];
        // SAFETY: the call reads the list of one name and writes buffer and result.
        good(unsafe {
            query_ea(
                file.as_raw_handle(),
                &raw mut result,
                out.as_mut_ptr(),
                out.len() as u32,
                0,
                list.as_ptr(),
                list.len() as u32,
                ptr::null(),
                1,
            )
        })?;
        if !out.starts_with(&data) {
            return Err(io::Error::other("another value is read"));
        }
    }
    Ok(())
}

/// A symbolic link as WSL makes it.
fn symbolic_link(folder: &Path) -> io::Result<()> {
    const TAG: u32 = 0xa000_001d;
    let target = [&2u32.to_le_bytes()[..], b"/nowhere"].concat();
    let len = u16::try_from(target.len()).map_err(io::Error::other)?;
    let mut data = TAG.to_le_bytes().to_vec();
    data.extend(len.to_le_bytes());
    data.extend([0; 2]);
    data.extend(target);
    let file = open(&folder.join("link"), READ_WRITE, true)?;
    let mut returned = 0;
    // SAFETY: the call reads the data and writes the number.
    check(unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            FSCTL_SET_REPARSE_POINT,
            data.as_ptr().cast(),
            data.len() as u32,
            ptr::null_mut(),
            0,
            &raw mut returned,
            ptr::null_mut(),
        )
    })
}

/// The name of the file system.
fn system(folder: &Path) -> io::Result<String> {
    let file = open(folder, 0x80, false)?;
    let mut name = [0u16; 64];
    // SAFETY: the call writes the name, which has as many letters as it is told.
    check(unsafe {
        GetVolumeInformationByHandleW(
            file.as_raw_handle(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            name.as_mut_ptr(),
            name.len() as u32,
        )
    })?;
    let len = name.iter().position(|&letter| letter == 0).unwrap_or(name.len());
    Ok(String::from_utf16_lossy(name.get(..len).unwrap_or_default()))
}

type Feature = (&'static str, fn(&Path) -> io::Result<()>);

const FEATURES: [Feature; 5] = [
    ("POSIX delete", posix_delete),
    ("POSIX rename", posix_rename),
    ("case flag", case_flag),
    ("extended attributes", attributes),
    ("WSL's links", symbolic_link),
];

/// R11: what works in a folder that is made in `parent` for it.
pub(super) fn features(parent: &Path) -> Answer {
    let folder = parent.join(format!("lx-doctor-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let system = system(&folder).unwrap_or_else(|_| "an unknown file system".to_owned());
    let found = FEATURES.map(|(name, try_it)| match try_it(&folder) {
        Ok(()) => format!("{name} works"),
        Err(error) => format!("no {name} ({error})"),
    });
    let _ = fs::remove_dir_all(&folder);
    let place = parent.as_os_str();
    Ok(format!("on {system} at {}: {}", OsStr::display(place), found.join(", ")))
}
