//! Names: folders, links, modes, owners, attributes and mounts, under changing identities.

mod identity;
mod mounts;
mod show;

use std::process::exit;

use libc::{AT_FDCWD, c_char, c_int};

use super::{Area, World, confined, pick};
use crate::{Called, c, call};

/// Random use of names by one process in a file system of its own.
pub(super) const AREA: Area = Area {
    name: "paths",
    steps: &[
        ("open", 9),
        ("mkdir", 7),
        ("mknod", 2),
        ("symlink", 4),
        ("link", 4),
        ("unlink", 4),
        ("rmdir", 3),
        ("rename", 8),
        ("chmod", 6),
        ("chown", 6),
        ("access", 5),
        ("times", 3),
        ("attribute", 5),
        ("stat", 5),
        ("list", 4),
        ("tree", 3),
        ("read", 2),
        ("write", 2),
        ("truncate", 2),
        ("umask", 2),
        ("chdir", 4),
        ("chroot", 1),
        ("close", 1),
        ("ids", 6),
        ("groups", 2),
        ("capabilities", 3),
        ("mount", 3),
        ("bind", 3),
        ("remount", 2),
        ("umount", 3),
        ("mounts", 2),
    ],
    length: 50,
    cases: 1500,
    world: || {
        let entered = confined::enter();
        let _ = call!(umask(0o022));
        if let Err(errno) = entered {
            // There is nothing to compare, and it must not happen elsewhere.
            exit(errno);
        }
        let mut world = Paths::default();
        for path in ["a", "b"] {
            let _ = call!(mkdir(c(path).as_ptr(), 0o777));
        }
        world.step("open", [0; 4]);
        Box::new(world)
    },
};

/// What is not in the kernel: the numbers that inodes got here.
#[derive(Default)]
struct Paths {
    inodes: Vec<(u64, u64)>,
}

/// Paths, the first ones chosen more often.
const PATHS: &[&str] = &[
    "a", "b", "c", "a/a", "a/b", "b/a", "b/c", "c/a", "a", "b", "c", "a/a", "a/b", "b/a", "b/c",
    "a/b/c", "b/a/c", "a/a/a", "/a", "/b/a", "/c", "..", "../a", "../b", ".", "/", "a/", "b/",
    "a/b/", "a/.", "a/..", "a/../b", "c/b", "", "//b//a", "a/./b", "b/a/", "/../a", "c/.", "c/..",
    "./b",
];

/// What symbolic links say.
const TARGETS: &[&str] =
    &["a", "b", "/a", "/b", "../a", "..", ".", "/", "c", "a/b", "b/a/", "/c/a", "a/..", "nowhere"];

/// Modes. `protected_symlinks` differs from machine to machine: there is no folder in which all
/// may write and that is sticky.
const MODES: &[u32] = &[
    0o755, 0o777, 0o700, 0o644, 0o775, 0o1775, 0o2775, 0o2755, 0o600, 0o000, 0o711, 0o1770, 0o4755,
    0o2711, 0o6777, 0o2644, 0o444, 0o555, 0o070, 0o007, 0o1700, 0o3775,
];

/// A path and whether to start it at a descriptor: mostly not.
fn place(number: u32) -> (c_int, &'static str) {
    let path = pick(number, PATHS);
    let start = match number as usize / PATHS.len() % 8 {
        6 => (number % 4) as c_int,
        _ => AT_FDCWD,
    };
    (start, path)
}

/// A descriptor, mostly one of those in use.
fn descriptor(number: u32) -> c_int {
    (number % 5) as c_int
}

/// Calls with a path.
fn at(number: u32, call: impl FnOnce(c_int, *const c_char) -> Called) -> Called {
    let (start, path) = place(number);
    call(start, c(path).as_ptr())
}

impl World for Paths {
    fn step(&mut self, name: &str, args: [u32; 4]) -> String {
        let [a, b, c, d] = args;
        match name {
            "open" => self.open(a, b, c, d),
            "stat" => self.stat(a, b),
            "list" => show::list(a),
            "tree" => self.tree(),
            "read" => show::read(a),
            "ids" => identity::change(a, b, c),
            "groups" => identity::set_groups(a),
            "capabilities" => identity::set_capabilities(a, b),
            "mount" => {
                // Natively a new file system often has the device number of one that is gone, unless
                // somebody else on the machine has got that.
                self.inodes.clear();
                mounts::step(name, args)
            }
            "bind" | "remount" | "umount" | "mounts" => mounts::step(name, args),
            "attribute" => attribute(args),
            "times" => times(args),
            "chroot" => chroot(a),
            _ => format!("{:?}", simple(name, args)),
        }
    }
}

/// Steps that are one call and whose result says it all.
fn simple(name: &str, [a, b, c, d]: [u32; 4]) -> Called {
    let mode = pick(b, MODES);
    let nofollow = pick(d, &[0, libc::AT_SYMLINK_NOFOLLOW]);
    match name {
        "mkdir" => at(a, |fd, path| call!(mkdirat(fd, path, mode))),
        "mknod" => {
            let kind = pick(c, &[libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFREG, 0, libc::S_IFDIR]);
            at(a, |fd, path| call!(mknodat(fd, path, kind | mode, 0)))
        }
        "symlink" => {
            let target = crate::c(pick(b, TARGETS));
            at(a, |fd, path| call!(symlinkat(target.as_ptr(), fd, path)))
        }
        "link" => {
            let flags = pick(c, &[0, 0, libc::AT_SYMLINK_FOLLOW, libc::AT_SYMLINK_NOFOLLOW]);
            at(a, |from, old| at(b, |to, new| call!(linkat(from, old, to, new, flags))))
        }
        "unlink" => at(a, |fd, path| call!(unlinkat(fd, path, 0))),
        "rmdir" => at(a, |fd, path| call!(unlinkat(fd, path, libc::AT_REMOVEDIR))),
        "rename" => {
            let both = libc::RENAME_EXCHANGE | libc::RENAME_NOREPLACE;
            let kinds = [0, 0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE, both, 8];
            let flags = pick(c, &kinds);
            let rename = |from: c_int, old: *const c_char, to: c_int, new: *const c_char| {
                call!(syscall(libc::SYS_renameat2, from, old, to, new, flags))
            };
            at(a, |from, old| at(b, |to, new| rename(from, old, to, new)))
        }
        "chmod" => match c % 6 {
            0 => call!(fchmod(descriptor(a), mode)),
            1 => at(a, |fd, path| call!(syscall(libc::SYS_fchmodat2, fd, path, mode, nofollow))),
            _ => at(a, |fd, path| call!(fchmodat(fd, path, mode, 0))),
        },
        "chown" => {
            let (uid, gid) = (pick(b, IDS_OR_NONE), pick(c, IDS_OR_NONE));
            match d % 8 {
                7 => call!(fchown(descriptor(a), uid, gid)),
                _ => at(a, |fd, path| call!(fchownat(fd, path, uid, gid, nofollow))),
            }
        }
        "access" => {
            let mode = pick(b, &[0, 4, 2, 1, 6, 7, 5, 3, 8]);
            let flags = pick(c, &[0, libc::AT_EACCESS, 0, libc::AT_EACCESS]) | nofollow;
            at(a, |fd, path| call!(syscall(libc::SYS_faccessat2, fd, path, mode, flags)))
        }
        "write" => crate::write(descriptor(a), &b"some text"[..(b % 10) as usize]),
        "truncate" => {
            let length = i64::from(pick(b, &[0, 5, 4096, 5000])) - i64::from(c % 9 == 8) * 10_000;
            match d % 4 {
                0 => call!(ftruncate(descriptor(a), length)),
                _ => call!(truncate(crate::c(pick(a, PATHS)).as_ptr(), length)),
            }
        }
        "umask" => call!(umask(pick(a, &[0o022, 0, 0o077, 0o002, 0o777, 0o027]))),
        "chdir" => match b % 6 {
            5 => call!(fchdir(descriptor(a))),
            _ => call!(chdir(crate::c(pick(a, PATHS)).as_ptr())),
        },
        "close" => call!(close(descriptor(a))),
        _ => Err(-1),
    }
}

/// Owners: −1 leaves one as it is.
const IDS_OR_NONE: &[u32] = &[0, 1000, 1001, u32::MAX, 1002];

/// How files are opened. None of them waits.
const FLAGS: &[c_int] = &[
    libc::O_RDONLY,
    libc::O_RDWR | libc::O_CREAT,
    libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
    libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
    libc::O_RDWR,
    libc::O_RDONLY | libc::O_DIRECTORY,
    libc::O_PATH,
    libc::O_PATH | libc::O_NOFOLLOW,
    libc::O_RDONLY | libc::O_NOFOLLOW,
    libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW,
    libc::O_RDONLY | libc::O_NOATIME,
    libc::O_RDWR | libc::O_TMPFILE,
    libc::O_RDONLY | libc::O_CREAT | libc::O_DIRECTORY,
    libc::O_WRONLY | libc::O_APPEND,
    libc::O_RDONLY | libc::O_TRUNC,
    libc::O_WRONLY | libc::O_CREAT,
    libc::O_ACCMODE,
];

impl Paths {
    /// Opens the path. There are few descriptors: one more replaces the last.
    fn open(&mut self, a: u32, b: u32, c: u32, d: u32) -> String {
        let flags = pick(b, FLAGS) | libc::O_NONBLOCK;
        let mode = pick(c, MODES);
        let how = [flags as u64, u64::from(mode) * u64::from(flags & MAKES != 0), resolve(d)];
        let openat2 = |start: c_int, path: *const c_char| {
            call!(syscall(libc::SYS_openat2, start, path, how.as_ptr(), size_of_val(&how)))
        };
        let opened = at(a, |start, path| match how[2] {
            0 => call!(openat(start, path, flags, mode)),
            // `..` within a scope fails when anybody on the machine has just mounted or moved
            // something: one is to try again.
            _ => loop {
                match openat2(start, path) {
                    Err(libc::EAGAIN) => {}
                    opened => break opened,
                }
            },
        });
        let Ok(fd) = opened else { return format!("{opened:?}") };
        let text = self.file(fd as c_int);
        if fd > 4 {
            let _ = call!(dup2(fd as c_int, 4));
            let _ = call!(close(fd as c_int));
        }
        format!("{fd} {text}")
    }
}

/// Flags with which a mode has a meaning; `openat2` refuses one otherwise.
const MAKES: c_int = libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY);

/// What the walk of `openat2` may not do; mostly nothing, which means `openat`.
fn resolve(number: u32) -> u64 {
    let some = [
        libc::RESOLVE_NO_XDEV,
        libc::RESOLVE_NO_SYMLINKS,
        libc::RESOLVE_BENEATH,
        libc::RESOLVE_IN_ROOT,
        libc::RESOLVE_NO_MAGICLINKS,
    ];
    match number % 16 {
        number @ 11.. => some[number as usize - 11],
        _ => 0,
    }
}

/// Changes root and working folder: somebody who stayed outside could walk around for ever.
fn chroot(a: u32) -> String {
    let path = c(pick(a, PATHS));
    let root = call!(chroot(path.as_ptr()));
    let folder = root.and_then(|_| call!(chdir(c"/".as_ptr())));
    format!("{root:?} {folder:?}")
}

/// Sets times that are long ago, now, or left.
fn times([a, b, c, d]: [u32; 4]) -> String {
    let time = |number| {
        let (tv_sec, tv_nsec) = pick(
            number,
            &[
                (5, 0),
                (7, 999_999_999),
                (0, libc::UTIME_NOW),
                (0, libc::UTIME_OMIT),
                (-3, 1),
                (1, 1_000_000_000),
            ],
        );
        libc::timespec { tv_sec, tv_nsec }
    };
    let times = [time(b), time(c)];
    let list = if b % 5 == 4 { std::ptr::null() } else { times.as_ptr() };
    let done = match d % 6 {
        0 => call!(futimens(descriptor(a), list)),
        1 => at(a, |fd, path| call!(utimensat(fd, path, list, libc::AT_SYMLINK_NOFOLLOW))),
        _ => at(a, |fd, path| call!(utimensat(fd, path, list, 0))),
    };
    format!("{done:?}")
}

/// Extended attributes: sets, gets, lists, removes.
fn attribute([a, b, c, d]: [u32; 4]) -> String {
    let path = crate::c(pick(a, PATHS));
    let path = path.as_ptr();
    let name =
        crate::c(pick(b, &["user.a", "trusted.a", "security.a", "user.b", "other.a", "user."]));
    let name = name.as_ptr();
    let mut value = [0u8; 64];
    let room = pick(d, &[64, 64, 0, 3]);
    let got = match c % 8 {
        0..3 => {
            let flags = pick(d, &[0, libc::XATTR_CREATE, libc::XATTR_REPLACE, 0, 3]);
            let length = (d % 7) as usize;
            return format!(
                "{:?}",
                call!(setxattr(path, name, b"values".as_ptr().cast(), length, flags))
            );
        }
        3 => call!(getxattr(path, name, value.as_mut_ptr().cast(), room)),
        4 => call!(lgetxattr(path, name, value.as_mut_ptr().cast(), room)),
        5 => call!(fgetxattr(descriptor(a), name, value.as_mut_ptr().cast(), room)),
        6 => call!(listxattr(path, value.as_mut_ptr().cast(), room)),
        _ => return format!("{:?}", call!(removexattr(path, name))),
    };
    let stored = &value[..got.map_or(0, |length| (length as usize).min(room))];
    let mut words: Vec<_> = stored.split_inclusive(|&byte| byte == 0).collect();
    // The file system chooses the order of names.
    words.sort_unstable();
    format!("{got:?} {:?}", String::from_utf8_lossy(&words.concat()))
}
