//! A file system of a sequence's own, with nothing outside that it could reach.

use std::ptr::null;

use super::PROC;
use crate::{Called, c, call};

/// Folders between the file system's root and where the sequence starts: a way out of a `chroot`
/// ends in empty folders.
const DEPTH: usize = 8;

/// Makes an empty tmpfs the root of this process, which has [`PROC`] open from then on. Natively
/// that takes a mount namespace, in which the old root is unmounted. lx has one namespace for all
/// processes: there the new root is in a folder, which the server unmounts.
///
/// # Errors
/// The number of what failed: it takes root.
pub(super) fn enter() -> Called {
    let here = std::env::current_dir().map_err(|_| libc::ENOENT)?;
    let here = here.to_str().ok_or(libc::EINVAL)?;
    let proc = call!(open(c"/proc".as_ptr(), libc::O_DIRECTORY | libc::O_CLOEXEC))?;
    call!(dup3(proc as i32, PROC, libc::O_CLOEXEC))?;
    let _ = call!(close(proc as i32));
    let own = call!(unshare(libc::CLONE_NEWNS)).is_ok();
    if own {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        call!(mount(c"none".as_ptr(), c"/".as_ptr(), null(), private, null()))?;
    }
    tmpfs(here)?;
    call!(chdir(c(here).as_ptr()))?;
    if own {
        call!(syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        call!(umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        call!(chdir(c"/".as_ptr()))?;
    }
    for _ in 0..DEPTH {
        call!(mkdir(c"outside".as_ptr(), 0o755))?;
        call!(chdir(c"outside".as_ptr()))?;
    }
    tmpfs(".")?;
    // A mount hides the folder from those who were in it.
    call!(chdir(c"../outside".as_ptr()))?;
    call!(chroot(c".".as_ptr()))?;
    call!(chdir(c"/".as_ptr()))
}

fn tmpfs(place: &str) -> Called {
    let (kind, options) = (c"tmpfs", c"mode=0755");
    call!(mount(kind.as_ptr(), c(place).as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()))
}
