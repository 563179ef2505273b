//! The errors of reading and changing attributes of files by their paths, and of the working folder,
//! but for those of a path that leads nowhere (`errors_paths`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::exit;

use lx_guest_tests::files::{
    CWD, FCHMODAT2, OfOne, OfTwo, address, as_nobody, at, close, is_root, open, path, running, sys,
    with_limit,
};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let made = [
        fs::write("file", "1"),
        fs::write("secret", "1"),
        fs::set_permissions("secret", fs::Permissions::from_mode(0o0)),
        fs::create_dir("folder"),
        symlink("file", "soft"),
        fs::set_permissions(".", fs::Permissions::from_mode(0o777)),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    owners(&mut t);
    permissions(&mut t);
    reading_names(&mut t);
    working_folder(&mut t);
    drop(scratch);
    t.end();
}

fn owners(t: &mut Checks) {
    let nobody_may = |call: fn(i64, i64) -> Called| {
        let file = path(others());
        let fd = open(others(), libc::O_RDONLY);
        let got = as_nobody(|| call(file, i64::from(fd)));
        close(fd);
        got
    };
    let calls: &[OfTwo] = &[
        ("chmod", |p, _| sys(libc::SYS_chmod, [p, 0o777])),
        ("fchmod", |_, fd| sys(libc::SYS_fchmod, [fd, 0o777])),
        ("fchmodat", |p, _| sys(libc::SYS_fchmodat, [CWD, p, 0o777])),
        ("fchmodat2", |p, _| sys(FCHMODAT2, [CWD, p, 0o777, 0])),
        ("chown", |p, _| sys(libc::SYS_chown, [p, 1, 1])),
        ("lchown", |p, _| sys(libc::SYS_lchown, [p, 1, 1])),
        ("fchown", |_, fd| sys(libc::SYS_fchown, [fd, 1, 1])),
        ("fchownat", |p, _| sys(libc::SYS_fchownat, [CWD, p, 1, 1, 0])),
        ("utime", |p, _| sys(libc::SYS_utime, [p, address(&mut [1_i64; 2])])),
        ("utimes", |p, _| sys(libc::SYS_utimes, [p, address(&mut [1_i64; 4])])),
        ("futimesat", |p, _| sys(libc::SYS_futimesat, [CWD, p, address(&mut [1_i64; 4])])),
        ("utimensat", |p, _| sys(libc::SYS_utimensat, [CWD, p, address(&mut [1_i64; 4]), 0])),
    ];
    for &(name, call) in calls {
        t.fails(&format!("{name}: of others"), nobody_may(call), libc::EPERM);
    }
    let now: &[OfTwo] = &[
        ("utime", |p, _| sys(libc::SYS_utime, [p, 0])),
        ("utimes", |p, _| sys(libc::SYS_utimes, [p, 0])),
        ("futimesat", |p, _| sys(libc::SYS_futimesat, [CWD, p, 0])),
        ("utimensat", |p, _| sys(libc::SYS_utimensat, [CWD, p, 0, 0])),
        ("truncate", |p, _| sys(libc::SYS_truncate, [p, 0])),
    ];
    for &(name, call) in now {
        let errno = if name == "truncate" && !is_root() { libc::EISDIR } else { libc::EACCES };
        t.fails(&format!("{name}: now, of others"), nobody_may(call), errno);
    }
    t.fails("chroot: not permitted", as_nobody(|| sys(libc::SYS_chroot, [path(".")])), libc::EPERM);
}

/// A file that belongs to somebody else than the one `as_nobody` runs as.
fn others() -> &'static str {
    if is_root() { "file" } else { "/" }
}

fn permissions(t: &mut Checks) {
    let unknown = 0x4000;
    let p = || path("file");
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    for (what, mode, errno) in [
        ("to read", libc::R_OK, libc::EACCES),
        ("to write", libc::W_OK, libc::EACCES),
        ("no such mode", 8, libc::EINVAL),
    ] {
        let mode = i64::from(mode);
        let calls: [OfOne; 3] = [
            ("access", |mode| sys(libc::SYS_access, [path("secret"), mode])),
            ("faccessat", |mode| sys(libc::SYS_faccessat, [CWD, path("secret"), mode])),
            ("faccessat2", |mode| sys(libc::SYS_faccessat2, [CWD, path("secret"), mode, 0])),
        ];
        for (name, call) in calls {
            fails(&format!("{name}: {what}"), as_nobody(|| call(mode)), errno);
        }
    }
    fails("faccessat2: a flag", sys(libc::SYS_faccessat2, [CWD, p(), 0, unknown]), libc::EINVAL);
    fails("fchmodat2: a flag", sys(FCHMODAT2, [CWD, p(), 0o600, unknown]), libc::EINVAL);
    fails("fchownat: a flag", sys(libc::SYS_fchownat, [CWD, p(), -1, -1, unknown]), libc::EINVAL);
    let nofollow = i64::from(libc::AT_SYMLINK_NOFOLLOW);
    let of_link = sys(FCHMODAT2, [CWD, path("soft"), 0o600, nofollow]);
    fails("fchmodat2: of a link", of_link, libc::EOPNOTSUPP);
    let link = open("soft", libc::O_PATH | libc::O_NOFOLLOW);
    let name = format!("/proc/self/fd/{link}");
    let of_link = sys(libc::SYS_fchmodat, [CWD, path(&name), 0o600]);
    fails("fchmodat: of a link", of_link, libc::EOPNOTSUPP);
    fails("chmod: of a link", sys(libc::SYS_chmod, [path(&name), 0o600]), libc::EOPNOTSUPP);
    close(link);
    let mut times = [0, 1_000_000_000, 0, 0_i64];
    let times = address(&mut times);
    fails("utimensat: ns", sys(libc::SYS_utimensat, [CWD, p(), times, 0]), libc::EINVAL);
    fails("utimensat: a flag", sys(libc::SYS_utimensat, [CWD, p(), 0, unknown]), libc::EINVAL);
    fails("utimes: µs", sys(libc::SYS_utimes, [p(), times]), libc::EINVAL);
    fails("futimesat: µs", sys(libc::SYS_futimesat, [CWD, p(), times]), libc::EINVAL);
    let nowhere = NOWHERE as i64;
    fails("utime: nowhere", sys(libc::SYS_utime, [p(), nowhere]), libc::EFAULT);
    fails("utimes: nowhere", sys(libc::SYS_utimes, [p(), nowhere]), libc::EFAULT);
    fails("futimesat: nowhere", sys(libc::SYS_futimesat, [CWD, p(), nowhere]), libc::EFAULT);
    fails("utimensat: nowhere", sys(libc::SYS_utimensat, [CWD, p(), nowhere, 0]), libc::EFAULT);
    fails("utimensat: none", sys(libc::SYS_utimensat, [CWD, 0, 0, 0]), libc::EFAULT);
    fails("utimensat: a closed one", sys(libc::SYS_utimensat, [-5, 0, 0, 0]), libc::EBADF);
}

fn reading_names(t: &mut Checks) {
    let nowhere = NOWHERE as i64;
    let mut buffer = [0_u64; 64];
    let room = address(&mut buffer);
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    let readlink = |name: &str, out, size| sys(libc::SYS_readlink, [path(name), out, size]);
    let readlinkat =
        |name: &str, out, size| sys(libc::SYS_readlinkat, [CWD, path(name), out, size]);
    fails("readlink: no link", readlink("file", room, 10), libc::EINVAL);
    fails("readlink: no room", readlink("soft", room, 0), libc::EINVAL);
    fails("readlink: less than none", readlink("soft", room, -1), libc::EINVAL);
    fails("readlink: to nowhere", readlink("soft", nowhere, 10), libc::EFAULT);
    fails("readlinkat: no link", readlinkat("file", room, 10), libc::EINVAL);
    fails("readlinkat: no room", readlinkat("soft", room, 0), libc::EINVAL);
    fails("readlinkat: to nowhere", readlinkat("soft", nowhere, 10), libc::EFAULT);
    let p = || path("file");
    fails("stat: to nowhere", sys(libc::SYS_stat, [p(), nowhere]), libc::EFAULT);
    fails("lstat: to nowhere", sys(libc::SYS_lstat, [p(), nowhere]), libc::EFAULT);
    fails("statfs: to nowhere", sys(libc::SYS_statfs, [p(), nowhere]), libc::EFAULT);
    fails("newfstatat: a flag", sys(libc::SYS_newfstatat, [CWD, p(), room, 1]), libc::EINVAL);
    let statx = |flags, mask, out| sys(libc::SYS_statx, [CWD, p(), flags, mask, out]);
    fails("statx: a flag", statx(1, 0x7ff, room), libc::EINVAL);
    fails("statx: both ways to wait", statx(0x6000, 0x7ff, room), libc::EINVAL);
    fails("statx: the reserved bit", statx(0, 0x8000_0000, room), libc::EINVAL);
    fails("statx: to nowhere", statx(0, 0x7ff, nowhere), libc::EFAULT);
    fails("truncate: less than none", sys(libc::SYS_truncate, [p(), -1]), libc::EINVAL);
    fails("truncate: a folder", sys(libc::SYS_truncate, [path("folder"), 0]), libc::EISDIR);
    let fifo = sys(libc::SYS_mknod, [path("fifo"), i64::from(libc::S_IFIFO | 0o600), 0]);
    fails("mknod: it exists", fifo.and(sys(libc::SYS_mknod, [path("fifo"), 0, 0])), libc::EEXIST);
    fails("truncate: a FIFO", sys(libc::SYS_truncate, [path("fifo"), 0]), libc::EINVAL);
    let cut = sys(libc::SYS_truncate, [path("/proc/self/exe"), 0]);
    fails("truncate: a running program", cut, running());
    let _ = call!(signal(libc::SIGXFSZ, libc::SIG_IGN));
    let long = with_limit(libc::RLIMIT_FSIZE, 1, || sys(libc::SYS_truncate, [p(), 2]));
    fails("truncate: too long", long, libc::EFBIG);
}

fn working_folder(t: &mut Checks) {
    let mut buffer = [0_u8; 8192];
    let room = address(&mut buffer);
    let getcwd = |out, size| sys(libc::SYS_getcwd, [out, size]);
    t.fails("getcwd: no room", getcwd(room, 1), libc::ERANGE);
    t.fails("getcwd: none", getcwd(room, 0), libc::ERANGE);
    t.fails("getcwd: to nowhere", getcwd(NOWHERE as i64, 4096), libc::EFAULT);
    let folder = open("folder", libc::O_RDONLY);
    let back = open(".", libc::O_RDONLY);
    let file = open("file", libc::O_RDONLY);
    let fchdir = |fd: i32| sys(libc::SYS_fchdir, [i64::from(fd)]);
    t.fails("fchdir: no descriptor", fchdir(-1), libc::EBADF);
    t.fails("fchdir: a file", fchdir(file), libc::ENOTDIR);
    let _ = fs::set_permissions("folder", fs::Permissions::from_mode(0o0));
    t.fails("fchdir: closed", as_nobody(|| fchdir(folder)), libc::EACCES);
    let _ = fs::set_permissions("folder", fs::Permissions::from_mode(0o755));
    t.fails("chdir: a file", sys(libc::SYS_chdir, [path("file")]), libc::ENOTDIR);
    // Twenty names of 250 bytes are longer than a path may be.
    let name = c(&"n".repeat(250));
    let deep = (0..20).all(|_| {
        call!(mkdir(name.as_ptr(), 0o755)).is_ok() && sys(libc::SYS_chdir, [at(&name)]).is_ok()
    });
    t.ok("a deep folder", deep);
    t.fails("getcwd: a long path", getcwd(room, 8192), libc::ENAMETOOLONG);
    for _ in 0..20 {
        let _ = call!(chdir(c("..").as_ptr()));
        let _ = call!(rmdir(name.as_ptr()));
    }
    t.is("back", fchdir(back), Ok(0));
    let _ = fs::create_dir("gone");
    let entered = sys(libc::SYS_chdir, [path("gone")]);
    t.is("in a folder", (entered, sys(libc::SYS_rmdir, [path("../gone")])), (Ok(0), Ok(0)));
    t.fails("getcwd: removed", getcwd(room, 4096), libc::ENOENT);
    let here = i64::from(open(".", libc::O_RDONLY));
    t.fails("mkdir: in what was removed", sys(libc::SYS_mkdir, [path("x"), 0o700]), libc::ENOENT);
    t.fails("getdents64: removed", sys(libc::SYS_getdents64, [here, room, 4096]), libc::ENOENT);
    t.fails("getdents: removed", sys(libc::SYS_getdents, [here, room, 4096]), libc::ENOENT);
    t.is("back again", fchdir(back), Ok(0));
    [folder, back, file, here as i32].iter().for_each(|&fd| close(fd));
}
