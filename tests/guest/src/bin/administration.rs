//! What administrators ask of file systems: `swapon(2)`, `swapoff(2)`, `quotactl(2)`,
//! `quotactl_fd(2)`, `sysfs(2)`, where none has swap or quotas.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::exit;

use lx_guest_tests::files::{address, as_nobody, close, is_root, open, path, sys};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, call};

const QUOTACTL_FD: i64 = 443;
/// `Q_SYNC` of users.
const SYNC: i64 = 0x8000_0100;
/// `Q_GETQUOTA` of users.
const GET: i64 = 0x8000_0700;
/// The same, of a kind that is none.
const NO_KIND: i64 = GET + 3;

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    swap(&mut t);
    quotas(&mut t);
    names(&mut t);
    drop(scratch);
    t.end();
}

fn swap(t: &mut Checks) {
    let on = |file: i64, flags: i64| sys(libc::SYS_swapon, [file, flags]);
    let off = |file: i64| sys(libc::SYS_swapoff, [file]);
    let missing = path("missing");
    t.fails("an unknown flag", on(missing, 0x10_0000), libc::EINVAL);
    t.fails("who may not", as_nobody(|| on(missing, 0)), libc::EPERM);
    t.fails("who may not", as_nobody(|| off(missing)), libc::EPERM);
    if !is_root() {
        return;
    }
    t.ok("a file", fs::write("file", [0; 65536]).is_ok());
    for (what, file, errno) in [
        ("a file without swap", path("file"), libc::EINVAL),
        ("a device", path("/dev/null"), libc::EINVAL),
        ("a folder", path("."), libc::EISDIR),
        ("no file", missing, libc::ENOENT),
        ("no name", path(""), libc::ENOENT),
        ("nowhere", NOWHERE as i64, libc::EFAULT),
    ] {
        t.fails(what, on(file, 0), errno);
        t.fails(what, off(file), errno);
    }
    let _ = fs::remove_file("file");
}

fn quotas(t: &mut Checks) {
    let mut room = [0_u8; 256];
    let room = address(&mut room);
    let of = |command: i64, device: i64| sys(libc::SYS_quotactl, [command, device, 0, room]);
    t.works("all are written", of(SYNC, 0));
    t.fails("of no device", of(GET, 0), libc::ENODEV);
    t.fails("no kind", of(NO_KIND, path("missing")), libc::EINVAL);
    t.fails("no file", of(GET, path("missing")), libc::ENOENT);
    t.fails("no name", of(GET, path("")), libc::ENOENT);
    t.fails("nowhere", of(GET, NOWHERE as i64), libc::EFAULT);
    t.fails("no device", of(GET, path("/dev/null")), libc::ENOTBLK);
    t.fails("none to be written", of(SYNC, path(".")), libc::ENOTBLK);

    let of = |fd: i32, command: i64| -> Called { sys(QUOTACTL_FD, [fd.into(), command, 0, room]) };
    let memory = call!(memfd_create(c"file".as_ptr(), 0)).unwrap_or(-1) as i32;
    t.fails("no descriptor", of(-1, NO_KIND), libc::EBADF);
    t.fails("no kind", of(memory, NO_KIND), libc::EINVAL);
    t.fails("a file system without quotas", of(memory, GET), libc::ENOSYS);
    t.fails("none to be written", of(memory, SYNC), libc::ENOSYS);
    close(memory);
    if let Ok(process) = fs::File::open("/proc/self/status") {
        t.fails("procfs", of(process.as_raw_fd(), GET), libc::ENOSYS);
    }
    let path_only = open("/proc/self", libc::O_PATH);
    t.fails("a path only", of(path_only, GET), libc::ENOSYS);
    close(path_only);
}

fn names(t: &mut Checks) {
    let sysfs =
        |option: i64, first: i64, second: i64| sys(libc::SYS_sysfs, [option, first, second]);
    let count = t.works("how many file systems", sysfs(3, 0, 0));
    let listed = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let listed: Vec<&str> =
        listed.lines().filter_map(|line| line.split('\t').next_back()).collect();
    t.is("as many as are listed", count, listed.len() as i64);
    let index = t.works("the number of tmpfs", sysfs(1, path("tmpfs"), 0));
    let mut name = [0xff_u8; 64];
    t.works("the name of its number", sysfs(2, index, address(&mut name)));
    t.is("is its", name.get(..6), Some(&b"tmpfs\0"[..]));
    t.is("as it is listed", listed.get(index as usize), Some(&"tmpfs"));
    t.fails("no such name", sysfs(1, path("nofs"), 0), libc::EINVAL);
    t.fails("no name", sysfs(1, path(""), 0), libc::ENOENT);
    t.fails("a name nowhere", sysfs(1, NOWHERE as i64, 0), libc::EFAULT);
    t.fails("no such number", sysfs(2, 5000, address(&mut name)), libc::EINVAL);
    t.fails("a name to nowhere", sysfs(2, 0, NOWHERE as i64), libc::EFAULT);
    t.fails("no such option", sysfs(4, 0, 0), libc::EINVAL);
}
