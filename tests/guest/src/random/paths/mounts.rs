//! Mounts: tmpfs and bind, flags, moving, unmounting.

use std::ptr::null;

use libc::c_ulong;

use super::PATHS;
use crate::random::{PROC, pick};
use crate::{Called, call};

/// What a mount may forbid.
const FLAGS: &[c_ulong] = &[
    0,
    libc::MS_RDONLY,
    libc::MS_NOSUID | libc::MS_NODEV,
    libc::MS_NOATIME,
    libc::MS_NOEXEC,
    libc::MS_RDONLY | libc::MS_NOEXEC,
    libc::MS_NODIRATIME,
    libc::MS_STRICTATIME,
];

/// Options of tmpfs. Without a mode it would be sticky and all could write, as no folder here.
const OPTIONS: &[&str] =
    &["mode=0755", "mode=0777", "mode=1770,uid=1000", "mode=0755,gid=1001", "mode=0755,x"];

/// Most mounts: binding a tree into itself doubles it.
const MOST: usize = 12;

/// Performs one of the steps.
pub(super) fn step(name: &str, [a, b, c, d]: [u32; 4]) -> String {
    let target = crate::c(pick(a, PATHS));
    let target = target.as_ptr();
    let source = crate::c(pick(b, PATHS));
    let source = source.as_ptr();
    let flags = pick(c, FLAGS);
    let full = list().map_or(0, |lines| lines.len()) >= MOST;
    let done = match name {
        "mount" | "bind" if full => return "enough".to_owned(),
        "mount" => {
            let options = crate::c(pick(d, OPTIONS));
            let source = crate::c(pick(b, &["none", "tmpfs", "some disk"]));
            let kind = crate::c(pick(b, &["tmpfs", "tmpfs", "tmpfs", "tmpfs", "nofs"]));
            call!(mount(source.as_ptr(), target, kind.as_ptr(), flags, options.as_ptr().cast()))
        }
        "bind" => match d % 4 {
            0 => call!(mount(source, target, null(), libc::MS_MOVE, null())),
            1 => call!(mount(source, target, null(), libc::MS_BIND | libc::MS_REC, null())),
            _ => call!(mount(source, target, null(), libc::MS_BIND | flags, null())),
        },
        "remount" => {
            let bind = pick(d, &[libc::MS_BIND, 0, libc::MS_BIND]);
            call!(mount(null(), target, null(), libc::MS_REMOUNT | bind | flags, null()))
        }
        "umount" => {
            let flags = [0, libc::MNT_DETACH, libc::UMOUNT_NOFOLLOW, 0, libc::MNT_EXPIRE | 1, 32];
            call!(umount2(target, pick(d, &flags)))
        }
        _ => return format!("{:?}", list()),
    };
    format!("{done:?}")
}

/// The lines of `/proc/mounts`.
fn list() -> Result<Vec<String>, i32> {
    let opened: Called = call!(openat(PROC, c"self/mounts".as_ptr(), libc::O_RDONLY));
    let fd = opened? as i32;
    let mut text = Vec::new();
    loop {
        let part = crate::read::<4096>(fd)?;
        if part.is_empty() {
            break;
        }
        text.extend(part);
    }
    let _ = call!(close(fd));
    // What Linux says of the width of inode numbers depends on how it was built.
    let text = String::from_utf8_lossy(&text).replace(",inode64", "");
    Ok(text.lines().map(str::to_owned).collect())
}
