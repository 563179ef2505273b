//! Finds and starts `lx-host.exe`, the program that loads the kernel image.
//!
//! It stands beside the program that uses this library, as `lx.exe` is shipped; else it is taken
//! out of the library and kept in a folder of the user, because Windows starts programs from
//! files only.

use std::env;
use std::fs;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::image::{IMAGE, LOADER};

const LOADER_NAME: &str = "lx-host.exe";
const IMAGE_NAME: &str = "lx-image.bin";

/// Ctrl-C is for lx, which forwards it.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// Starts init with pipes as its standard input and output.
///
/// Standard error is inherited and takes reports of kernel bugs.
pub(crate) fn start() -> io::Result<Child> {
    let loader = loader()?;
    let result = Command::new(&loader)
        .arg("init")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .creation_flags(CREATE_NEW_PROCESS_GROUP)
        .spawn();
    result.map_err(|error| {
        let sentence = format!("cannot start '{}': {error}", loader.display());
        io::Error::new(error.kind(), sentence)
    })
}

/// The path of `lx-host.exe`, with the image beside it.
fn loader() -> io::Result<PathBuf> {
    let folder = env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default();
    let beside = folder.join(LOADER_NAME);
    if beside.is_file() && folder.join(IMAGE_NAME).is_file() {
        return Ok(beside);
    }
    if IMAGE.is_empty() || LOADER.is_empty() {
        let reason =
            format!("this build of lx carries no kernel, and no {LOADER_NAME} is beside it");
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    let folder = cache_folder()?;
    unpack(&folder).map_err(|error| {
        let sentence = format!("cannot keep the kernel in '{}': {error}", folder.display());
        io::Error::new(error.kind(), sentence)
    })?;
    Ok(folder.join(LOADER_NAME))
}

/// A folder for this build, so that versions do not meet.
fn cache_folder() -> io::Result<PathBuf> {
    let base = env::var_os("LOCALAPPDATA").map(PathBuf::from).ok_or_else(|| {
        let reason = "there is no folder to keep the kernel in: LOCALAPPDATA is not set";
        io::Error::new(io::ErrorKind::NotFound, reason)
    })?;
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((IMAGE, LOADER));
    Ok(base.join("lx").join(format!("{hash:016x}")))
}

fn unpack(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in [(LOADER_NAME, LOADER), (IMAGE_NAME, IMAGE)] {
        let path = folder.join(name);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == content.len() as u64) {
            continue;
        }
        // Another process may do the same: a file appears whole or not at all.
        let new = folder.join(format!("{name}.{}", std::process::id()));
        let made = fs::write(&new, content).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = made {
            let _ = fs::remove_file(&new);
            if !path.is_file() {
                return Err(error);
            }
        }
    }
    Ok(())
}
