//! What every call with a path answers to a path that leads nowhere: one that cannot be read, is
//! too long, or goes through what is missing, no folder, closed or a loop; and to descriptors that
//! are no folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::exit;

use lx_guest_tests::files::{CWD, FCHMODAT2, address, as_nobody, close, open, path, sys};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, call};

/// How a call is made with a descriptor that paths start at, and a path.
type Call = fn(i64, i64) -> Called;

/// The calls that take a path from the working folder.
const PLAIN: &[(&str, Call)] = &[
    ("access", |_, p| sys(libc::SYS_access, [p, 0])),
    ("chdir", |_, p| sys(libc::SYS_chdir, [p])),
    ("chmod", |_, p| sys(libc::SYS_chmod, [p, 0o600])),
    ("chown", |_, p| sys(libc::SYS_chown, [p, -1, -1])),
    ("chroot", |_, p| sys(libc::SYS_chroot, [p])),
    ("creat", |_, p| sys(libc::SYS_creat, [p, 0o600])),
    ("getxattr", |_, p| sys(libc::SYS_getxattr, [p, path("user.a"), 0, 0])),
    ("lchown", |_, p| sys(libc::SYS_lchown, [p, -1, -1])),
    ("lgetxattr", |_, p| sys(libc::SYS_lgetxattr, [p, path("user.a"), 0, 0])),
    ("link", |_, p| sys(libc::SYS_link, [path("file"), p])),
    ("link from", |_, p| sys(libc::SYS_link, [p, path("new")])),
    ("listxattr", |_, p| sys(libc::SYS_listxattr, [p, 0, 0])),
    ("llistxattr", |_, p| sys(libc::SYS_llistxattr, [p, 0, 0])),
    ("lremovexattr", |_, p| sys(libc::SYS_lremovexattr, [p, path("user.a")])),
    ("lsetxattr", |_, p| sys(libc::SYS_lsetxattr, [p, path("user.a"), path("1"), 1, 0])),
    ("lstat", |_, p| sys(libc::SYS_lstat, [p, room()])),
    ("mkdir", |_, p| sys(libc::SYS_mkdir, [p, 0o700])),
    ("mknod", |_, p| sys(libc::SYS_mknod, [p, 0o600, 0])),
    ("open", |_, p| sys(libc::SYS_open, [p, 0, 0])),
    ("readlink", |_, p| sys(libc::SYS_readlink, [p, room(), 10])),
    ("removexattr", |_, p| sys(libc::SYS_removexattr, [p, path("user.a")])),
    ("rename", |_, p| sys(libc::SYS_rename, [p, path("new")])),
    ("rename to", |_, p| sys(libc::SYS_rename, [path("file"), p])),
    ("rmdir", |_, p| sys(libc::SYS_rmdir, [p])),
    ("setxattr", |_, p| sys(libc::SYS_setxattr, [p, path("user.a"), path("1"), 1, 0])),
    ("stat", |_, p| sys(libc::SYS_stat, [p, room()])),
    ("statfs", |_, p| sys(libc::SYS_statfs, [p, room()])),
    ("symlink", |_, p| sys(libc::SYS_symlink, [path("file"), p])),
    ("truncate", |_, p| sys(libc::SYS_truncate, [p, 0])),
    ("unlink", |_, p| sys(libc::SYS_unlink, [p])),
    ("utime", |_, p| sys(libc::SYS_utime, [p, 0])),
    ("utimes", |_, p| sys(libc::SYS_utimes, [p, 0])),
];

/// The calls that take a path from a descriptor.
const AT: &[(&str, Call)] = &[
    ("faccessat", |d, p| sys(libc::SYS_faccessat, [d, p, 0])),
    ("faccessat2", |d, p| sys(libc::SYS_faccessat2, [d, p, 0, 0])),
    ("fchmodat", |d, p| sys(libc::SYS_fchmodat, [d, p, 0o600])),
    ("fchmodat2", |d, p| sys(FCHMODAT2, [d, p, 0o600, 0])),
    ("fchownat", |d, p| sys(libc::SYS_fchownat, [d, p, -1, -1, 0])),
    ("futimesat", |d, p| sys(libc::SYS_futimesat, [d, p, 0])),
    ("linkat", |d, p| sys(libc::SYS_linkat, [CWD, path("file"), d, p, 0])),
    ("linkat from", |d, p| sys(libc::SYS_linkat, [d, p, CWD, path("new"), 0])),
    ("mkdirat", |d, p| sys(libc::SYS_mkdirat, [d, p, 0o700])),
    ("mknodat", |d, p| sys(libc::SYS_mknodat, [d, p, 0o600, 0])),
    ("newfstatat", |d, p| sys(libc::SYS_newfstatat, [d, p, room(), 0])),
    ("openat", |d, p| sys(libc::SYS_openat, [d, p, 0, 0])),
    ("openat2", |d, p| sys(libc::SYS_openat2, [d, p, address(&mut [0_u64; 3]), 24])),
    ("readlinkat", |d, p| sys(libc::SYS_readlinkat, [d, p, room(), 10])),
    ("renameat", |d, p| sys(libc::SYS_renameat, [d, p, CWD, path("new")])),
    ("renameat to", |d, p| sys(libc::SYS_renameat, [CWD, path("file"), d, p])),
    ("renameat2", |d, p| sys(libc::SYS_renameat2, [d, p, CWD, path("new"), 0])),
    ("renameat2 to", |d, p| sys(libc::SYS_renameat2, [CWD, path("file"), d, p, 0])),
    ("statx", |d, p| sys(libc::SYS_statx, [d, p, 0, 0x7ff, room()])),
    ("symlinkat", |d, p| sys(libc::SYS_symlinkat, [path("file"), d, p])),
    ("unlinkat", |d, p| sys(libc::SYS_unlinkat, [d, p, 0])),
    ("unlinkat of a folder", |d, p| sys(libc::SYS_unlinkat, [d, p, i64::from(libc::AT_REMOVEDIR)])),
    ("utimensat", |d, p| sys(libc::SYS_utimensat, [d, p, address(&mut [0_u64; 4]), 0])),
];

/// A path that goes wrong, how to call it, and the error.
const WRONG: &[(&str, &str, i32)] = &[
    ("an empty path", "", libc::ENOENT),
    ("below nothing", "missing/x", libc::ENOENT),
    ("below a link to nothing", "dangling/x", libc::ENOENT),
    ("below a file", "file/x", libc::ENOTDIR),
    ("below a device", "/dev/null/x", libc::ENOTDIR),
    ("below a loop", "loop/x", libc::ELOOP),
];

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let made = [
        fs::write("file", "1"),
        fs::create_dir_all("closed/inner"),
        std::os::unix::fs::symlink("loop", "loop"),
        std::os::unix::fs::symlink("nowhere", "dangling"),
        fs::set_permissions("closed", fs::Permissions::from_mode(0o0)),
        fs::set_permissions(".", fs::Permissions::from_mode(0o777)),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    for call in PLAIN.iter().chain(AT) {
        wrong_paths(&mut t, call);
    }
    let file = open("file", libc::O_RDONLY);
    for call in AT {
        wrong_starts(&mut t, call, file);
    }
    close(file);
    let _ = fs::set_permissions("closed", fs::Permissions::from_mode(0o700));
    t.ok("nothing was made", fs::read_dir(".").is_ok_and(|names| names.count() == 4));
    drop(scratch);
    t.end();
}

/// Room for any result, which nobody looks at.
fn room() -> i64 {
    address(Box::leak(Box::new([0_u64; 64])))
}

fn wrong_paths(t: &mut Checks, &(name, call): &(&str, Call)) {
    for &(what, wrong, errno) in WRONG {
        t.fails(&format!("{name}: {what}"), call(CWD, path(wrong)), errno);
    }
    t.fails(&format!("{name}: a path that is nowhere"), call(CWD, NOWHERE as i64), libc::EFAULT);
    let long = [(&"n".repeat(256), "a long name"), (&"./".repeat(2048), "a long path")];
    for (long, what) in long {
        t.fails(&format!("{name}: {what}"), call(CWD, path(long)), libc::ENAMETOOLONG);
    }
    let below_closed = as_nobody(|| call(CWD, path("closed/inner")));
    t.fails(&format!("{name}: below a closed folder"), below_closed, libc::EACCES);
}

fn wrong_starts(t: &mut Checks, &(name, call): &(&str, Call), file: i32) {
    t.fails(&format!("{name} from a file"), call(i64::from(file), path("x")), libc::ENOTDIR);
    t.fails(&format!("{name} from no descriptor"), call(-5, path("x")), libc::EBADF);
    t.fails(&format!("{name} from a closed one"), call(1_000_000, path("x")), libc::EBADF);
    let mut ends = [-1; 2];
    let _ = call!(pipe(ends.as_mut_ptr()));
    t.fails(&format!("{name} from a pipe"), call(i64::from(ends[0]), path("x")), libc::ENOTDIR);
    close(ends[0]);
    close(ends[1]);
}
