//! `/proc/PID/mounts` and `/proc/PID/mountinfo`.

use alloc::format;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::stat::{major, minor};
use lx_core::caller::Caller;
use lx_vfs::mount::{Mount, MountFlags, MountInfo};

use super::pid::View;

/// Adds a field, with blanks and the like as octal numbers.
fn escape(text: &mut Vec<u8>, field: &[u8]) {
    for &byte in field {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => text.push(byte),
        }
    }
}

/// The options of a mount as `mount(8)` names them.
fn options(flags: MountFlags, read_only: bool) -> Vec<u8> {
    const NAMES: [(MountFlags, &str); 6] = [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
    ];
    let mut text = Vec::from(if read_only { *b"ro" } else { *b"rw" });
    for (flag, name) in NAMES {
        if flags.contains(flag) {
            text.extend_from_slice(name.as_bytes());
        }
    }
    text
}

/// The mounts that the process sees.
fn list(view: &View) -> Result<Vec<MountInfo>> {
    let fs = view.living()?.fs();
    Ok(fs.mounts().list(&fs.root()))
}

/// Options of the file system itself.
fn super_options(mount: &Mount) -> Vec<u8> {
    let mut text = Vec::from(if mount.is_fs_read_only() { *b"ro" } else { *b"rw" });
    text.extend_from_slice(mount.fs().options().as_bytes());
    text
}

/// `mounts`, as `/etc/fstab`.
pub(super) fn mounts(view: &View, _caller: &Caller<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for info in list(view)? {
        let mount = &info.mount;
        escape(&mut text, mount.source().as_bytes());
        text.push(b' ');
        escape(&mut text, &info.path);
        text.push(b' ');
        text.extend_from_slice(mount.fs().name().as_bytes());
        text.push(b' ');
        text.extend_from_slice(&options(mount.flags(), mount.is_read_only()));
        text.extend_from_slice(mount.fs().options().as_bytes());
        text.extend_from_slice(b" 0 0\n");
    }
    Ok(text)
}

/// `mountinfo`, `proc(5)`.
pub(super) fn mountinfo(view: &View, caller: &Caller<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for info in list(view)? {
        let mount = &info.mount;
        let dev = mount.root_dentry().inode().attr(caller).map_or(0, |attr| attr.dev);
        let start = format!("{} {} {}:{} ", mount.id(), info.parent_id, major(dev), minor(dev));
        text.extend_from_slice(start.as_bytes());
        escape(&mut text, &info.root);
        text.push(b' ');
        escape(&mut text, &info.path);
        text.push(b' ');
        let read_only = mount.flags().contains(MountFlags::RDONLY);
        text.extend_from_slice(&options(mount.flags(), read_only));
        text.extend_from_slice(b" - ");
        text.extend_from_slice(mount.fs().name().as_bytes());
        text.push(b' ');
        escape(&mut text, mount.source().as_bytes());
        text.push(b' ');
        text.extend_from_slice(&super_options(mount));
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_no_blanks() {
        let mut text = Vec::new();
        escape(&mut text, b"/my disk\\a");
        assert_eq!(text, b"/my\\040disk\\134a");
    }

    #[test]
    fn option_names() {
        assert_eq!(options(MountFlags::empty(), false), b"rw");
        let flags = MountFlags::RDONLY | MountFlags::NOEXEC | MountFlags::RELATIME;
        assert_eq!(options(flags, true), b"ro,noexec,relatime");
    }
}
