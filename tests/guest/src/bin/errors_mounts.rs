//! The errors that take a file system of one's own: read-only, full, in use, or another one; and
//! those of `mount(2)` and `umount2(2)`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::exit;
use std::ptr::null;

use lx_guest_tests::files::{
    CWD, FCHMODAT2, MemoryFs, OfOne, OfTwo, Whole, address, as_nobody, close, is_root, open, path,
    sys,
};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let made = [
        fs::write("file", "1"),
        fs::create_dir("folder"),
        fs::create_dir_all("closed/inner"),
        symlink("loop", "loop"),
        fs::set_permissions("closed", fs::Permissions::from_mode(0o0)),
        fs::set_permissions(".", fs::Permissions::from_mode(0o777)),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    wrong_paths(&mut t);
    if is_root() {
        read_only(&mut t);
        full(&mut t);
        fixed(&mut t);
        in_use(&mut t);
        another(&mut t);
        mounting(&mut t);
        unmounting(&mut t);
    }
    let _ = fs::set_permissions("closed", fs::Permissions::from_mode(0o700));
    drop(scratch);
    t.end();
}

fn mount(source: &str, target: &str, fs_type: &str, flags: u64, options: &str) -> Called {
    let (source, target, fs_type) = (c(source), c(target), c(fs_type));
    let options = c(options);
    call!(mount(source.as_ptr(), target.as_ptr(), fs_type.as_ptr(), flags, options.as_ptr().cast()))
}

fn umount(target: &str, flags: i32) -> Called {
    sys(libc::SYS_umount2, [path(target), i64::from(flags)])
}

/// Errors that come before the question whether the caller may mount.
fn wrong_paths(t: &mut Checks) {
    let long = "./".repeat(2048);
    let wrong = [
        ("an empty path", "", libc::ENOENT),
        ("nothing", "missing", libc::ENOENT),
        ("below a file", "file/x", libc::ENOTDIR),
        ("a loop", "loop", libc::ELOOP),
        ("a long path", &long, libc::ENAMETOOLONG),
    ];
    for (what, target, errno) in wrong {
        t.fails(&format!("mount on {what}"), mount("none", target, "tmpfs", 0, ""), errno);
    }
    let tmpfs = path("tmpfs");
    let nowhere = NOWHERE as i64;
    let mount_at =
        |source, target, fs_type, data| sys(libc::SYS_mount, [source, target, fs_type, 0, data]);
    t.fails("mount on nowhere", mount_at(tmpfs, nowhere, tmpfs, 0), libc::EFAULT);
    t.fails("mount from nowhere", mount_at(nowhere, path("folder"), tmpfs, 0), libc::EFAULT);
    t.fails("mount of no type", mount_at(tmpfs, path("folder"), nowhere, 0), libc::EFAULT);
    let below_closed = as_nobody(|| mount("none", "closed/inner", "tmpfs", 0, ""));
    t.fails("mount below a closed folder", below_closed, libc::EACCES);
    let refused = as_nobody(|| mount("none", "folder", "tmpfs", 0, ""));
    t.fails("mount by nobody", refused, libc::EPERM);
    t.fails("umount2 by nobody", as_nobody(|| umount("folder", 0)), libc::EPERM);
    if !is_root() {
        return;
    }
    for (what, target, errno) in wrong {
        t.fails(&format!("umount2 of {what}"), umount(target, 0), errno);
    }
    t.fails("umount2 of nowhere", sys(libc::SYS_umount2, [nowhere, 0]), libc::EFAULT);
}

/// Calls that would write in `ro`.
const WRITES: &[Whole] = &[
    ("access", || sys(libc::SYS_access, [path("ro/file"), i64::from(libc::W_OK)])),
    ("faccessat", || sys(libc::SYS_faccessat, [CWD, path("ro/file"), i64::from(libc::W_OK)])),
    ("faccessat2", || sys(libc::SYS_faccessat2, [CWD, path("ro/file"), i64::from(libc::W_OK), 0])),
    ("chmod", || sys(libc::SYS_chmod, [path("ro/file"), 0o600])),
    ("fchmodat", || sys(libc::SYS_fchmodat, [CWD, path("ro/file"), 0o600])),
    ("fchmodat2", || sys(FCHMODAT2, [CWD, path("ro/file"), 0o600, 0])),
    ("chown", || sys(libc::SYS_chown, [path("ro/file"), 0, 0])),
    ("lchown", || sys(libc::SYS_lchown, [path("ro/file"), 0, 0])),
    ("fchownat", || sys(libc::SYS_fchownat, [CWD, path("ro/file"), 0, 0, 0])),
    ("creat", || sys(libc::SYS_creat, [path("ro/new"), 0o600])),
    ("creat of a file", || sys(libc::SYS_creat, [path("ro/file"), 0o600])),
    ("open", || sys(libc::SYS_open, [path("ro/file"), i64::from(libc::O_WRONLY), 0])),
    ("openat", || sys(libc::SYS_openat, [CWD, path("ro/file"), i64::from(libc::O_RDWR), 0])),
    ("openat of a new file", || {
        sys(libc::SYS_openat, [CWD, path("ro/new"), i64::from(libc::O_CREAT), 0o600])
    }),
    ("openat to cut", || {
        sys(libc::SYS_openat, [CWD, path("ro/file"), i64::from(libc::O_TRUNC), 0])
    }),
    ("openat of no name", || {
        let flags = i64::from(libc::O_TMPFILE | libc::O_WRONLY);
        sys(libc::SYS_openat, [CWD, path("ro"), flags, 0o600])
    }),
    ("openat2", || sys(libc::SYS_openat2, [CWD, path("ro/file"), address(&mut [2_u64, 0, 0]), 24])),
    ("link", || sys(libc::SYS_link, [path("ro/file"), path("ro/new")])),
    ("linkat", || sys(libc::SYS_linkat, [CWD, path("ro/file"), CWD, path("ro/new"), 0])),
    ("linkat from elsewhere", || {
        sys(libc::SYS_linkat, [CWD, path("file"), CWD, path("ro/new"), 0])
    }),
    ("mkdir", || sys(libc::SYS_mkdir, [path("ro/new"), 0o700])),
    ("mkdirat", || sys(libc::SYS_mkdirat, [CWD, path("ro/new"), 0o700])),
    ("mknod", || sys(libc::SYS_mknod, [path("ro/new"), 0o600, 0])),
    ("mknodat", || sys(libc::SYS_mknodat, [CWD, path("ro/new"), 0o600, 0])),
    ("symlink", || sys(libc::SYS_symlink, [path("x"), path("ro/new")])),
    ("symlinkat", || sys(libc::SYS_symlinkat, [path("x"), CWD, path("ro/new")])),
    ("rename", || sys(libc::SYS_rename, [path("ro/file"), path("ro/new")])),
    ("renameat", || sys(libc::SYS_renameat, [CWD, path("ro/file"), CWD, path("ro/new")])),
    ("renameat2", || sys(libc::SYS_renameat2, [CWD, path("ro/file"), CWD, path("ro/new"), 0])),
    ("rmdir", || sys(libc::SYS_rmdir, [path("ro/folder")])),
    ("unlink", || sys(libc::SYS_unlink, [path("ro/file")])),
    ("unlinkat", || sys(libc::SYS_unlinkat, [CWD, path("ro/file"), 0])),
    ("unlinkat of a folder", || {
        sys(libc::SYS_unlinkat, [CWD, path("ro/folder"), i64::from(libc::AT_REMOVEDIR)])
    }),
    ("truncate", || sys(libc::SYS_truncate, [path("ro/file"), 0])),
    ("utime", || sys(libc::SYS_utime, [path("ro/file"), 0])),
    ("utimes", || sys(libc::SYS_utimes, [path("ro/file"), 0])),
    ("futimesat", || sys(libc::SYS_futimesat, [CWD, path("ro/file"), 0])),
    ("utimensat", || sys(libc::SYS_utimensat, [CWD, path("ro/file"), 0, 0])),
    ("setxattr", || sys(libc::SYS_setxattr, [path("ro/file"), path("trusted.a"), path("1"), 1, 0])),
    ("lsetxattr", || {
        sys(libc::SYS_lsetxattr, [path("ro/file"), path("trusted.a"), path("1"), 1, 0])
    }),
    ("removexattr", || sys(libc::SYS_removexattr, [path("ro/file"), path("trusted.a")])),
    ("lremovexattr", || sys(libc::SYS_lremovexattr, [path("ro/file"), path("trusted.a")])),
];

/// The same of an open file.
const WRITES_OPEN: &[OfOne] = &[
    ("fchmod", |fd| sys(libc::SYS_fchmod, [fd, 0o600])),
    ("fchown", |fd| sys(libc::SYS_fchown, [fd, 0, 0])),
    ("fsetxattr", |fd| sys(libc::SYS_fsetxattr, [fd, path("trusted.a"), path("1"), 1, 0])),
    ("fremovexattr", |fd| sys(libc::SYS_fremovexattr, [fd, path("trusted.a")])),
];

fn read_only(t: &mut Checks) {
    let Some(ro) = MemoryFs::mount("ro", "") else { return t.ok("mounted", false) };
    let made = [fs::write("ro/file", "1"), fs::create_dir("ro/folder")];
    t.ok("made files", made.iter().all(Result::is_ok));
    let writer = open("ro/file", libc::O_WRONLY);
    t.fails("mount read-only with a writer", ro.make_read_only(), libc::EBUSY);
    close(writer);
    t.is("mount read-only", ro.make_read_only(), Ok(0));
    for (name, write) in WRITES {
        t.fails(&format!("read-only: {name}"), write(), libc::EROFS);
    }
    let fd = open("ro/file", libc::O_RDONLY);
    for (name, write) in WRITES_OPEN {
        t.fails(&format!("read-only: {name}"), write(i64::from(fd)), libc::EROFS);
    }
    close(fd);
    // What is there, or not there, is said first.
    t.fails("mkdir: it exists", sys(libc::SYS_mkdir, [path("ro/file"), 0o700]), libc::EEXIST);
    t.fails(
        "symlink: it exists",
        sys(libc::SYS_symlink, [path("x"), path("ro/file")]),
        libc::EEXIST,
    );
    let link = sys(libc::SYS_link, [path("ro/file"), path("ro/folder")]);
    t.fails("link: it exists", link, libc::EEXIST);
    t.fails("unlink: nothing", sys(libc::SYS_unlink, [path("ro/new")]), libc::EROFS);
    t.fails("rmdir: nothing", sys(libc::SYS_rmdir, [path("ro/new")]), libc::EROFS);
    t.is("it stays", fs::metadata("ro/file").map(|file| file.len()).ok(), Some(1));
}

/// Calls that need an inode that `full` has not got.
const MAKES: &[Whole] = &[
    ("creat", || sys(libc::SYS_creat, [path("full/new"), 0o600])),
    ("open", || sys(libc::SYS_open, [path("full/new"), i64::from(libc::O_CREAT), 0o600])),
    ("openat", || sys(libc::SYS_openat, [CWD, path("full/new"), i64::from(libc::O_CREAT), 0o600])),
    ("openat of no name", || {
        let flags = i64::from(libc::O_TMPFILE | libc::O_WRONLY);
        sys(libc::SYS_openat, [CWD, path("full"), flags, 0o600])
    }),
    ("openat2", || {
        let mut how = [libc::O_CREAT as u64, 0o600, 0];
        sys(libc::SYS_openat2, [CWD, path("full/new"), address(&mut how), 24])
    }),
    ("link", || sys(libc::SYS_link, [path("full/file"), path("full/new")])),
    ("linkat", || sys(libc::SYS_linkat, [CWD, path("full/file"), CWD, path("full/new"), 0])),
    ("mkdir", || sys(libc::SYS_mkdir, [path("full/new"), 0o700])),
    ("mkdirat", || sys(libc::SYS_mkdirat, [CWD, path("full/new"), 0o700])),
    ("mknod", || sys(libc::SYS_mknod, [path("full/new"), 0o600, 0])),
    ("mknodat", || sys(libc::SYS_mknodat, [CWD, path("full/new"), 0o600, 0])),
    ("symlink", || sys(libc::SYS_symlink, [path("x"), path("full/new")])),
    ("symlinkat", || sys(libc::SYS_symlinkat, [path("x"), CWD, path("full/new")])),
];

fn full(t: &mut Checks) {
    // The root, a file and a link to it.
    let Some(_full) = MemoryFs::mount("full", "nr_inodes=3,size=8k") else {
        return t.ok("mounted", false);
    };
    t.ok("a file", fs::write("full/file", "1").is_ok());
    let link = || sys(libc::SYS_link, [path("full/file"), path("full/other")]);
    t.is("a link", link(), Ok(0));
    for (name, make) in MAKES {
        t.fails(&format!("full: {name}"), make(), libc::ENOSPC);
    }
    let attribute = |call: i64, subject: i64, size: i64| {
        let value = Box::leak(Box::new([0_u8; 4096]));
        sys(call, [subject, path("trusted.a"), address(value), size, 0])
    };
    let fd = open("full/file", libc::O_RDONLY);
    let attributes = [
        ("setxattr", libc::SYS_setxattr, path("full/file")),
        ("lsetxattr", libc::SYS_lsetxattr, path("full/file")),
        ("fsetxattr", libc::SYS_fsetxattr, fd.into()),
    ];
    for (name, call, subject) in attributes {
        t.fails(&format!("full: {name}"), attribute(call, subject, 1), libc::ENOSPC);
    }
    close(fd);
    t.is("less", sys(libc::SYS_unlink, [path("full/other")]), Ok(0));
    let large = attribute(libc::SYS_setxattr, path("full/file"), 1024);
    t.fails("full: an attribute as large as an inode", large, libc::ENOSPC);
    let small = attribute(libc::SYS_setxattr, path("full/file"), 900);
    t.is("a smaller attribute", small, Ok(0));
    t.fails("full: a link beside it", link(), libc::ENOSPC);
    let remove = sys(libc::SYS_removexattr, [path("full/file"), path("trusted.a")]);
    t.is("no attribute", remove, Ok(0));
    t.is("a link again", link(), Ok(0));
    t.fails("full again", sys(libc::SYS_mkdir, [path("full/new"), 0o700]), libc::ENOSPC);
    t.is("over the link", sys(libc::SYS_unlink, [path("full/file")]), Ok(0));
    t.is("a folder", sys(libc::SYS_mkdir, [path("full/new"), 0o700]), Ok(0));
    let fd = open("full/other", libc::O_RDWR);
    let file = i64::from(fd);
    let fallocate = |mode: i32, offset: i64, len: i64| {
        sys(libc::SYS_fallocate, [file, i64::from(mode), offset, len])
    };
    t.fails("full: fallocate", fallocate(0, 0, 12288), libc::ENOSPC);
    t.is("fallocate", fallocate(0, 0, 8192), Ok(0));
    t.fails("full: fallocate one more", fallocate(0, 8192, 1), libc::ENOSPC);
    let bytes = [1_u8; 12288];
    let pwrite = |offset: i64| call!(pwrite(fd, bytes.as_ptr().cast(), bytes.len(), offset));
    t.is("full: write what is allocated", pwrite(0), Ok(8192));
    t.fails("full: write more", pwrite(8192), libc::ENOSPC);
    t.is("a longer file", sys(libc::SYS_ftruncate, [file, 1 << 20]), Ok(0));
    // SAFETY: all zeroes is a valid statfs.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    let room = call!(fstatfs(fd, &mut stat)).map(|_| (stat.f_blocks, stat.f_bfree, stat.f_files));
    t.is("fstatfs: blocks, free ones, inodes", room, Ok((2, 0, 3)));
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    t.is("a hole", fallocate(hole, 0, 4096), Ok(0));
    t.is("room for a page", pwrite(16384), Ok(4096));
    t.is("shorter", sys(libc::SYS_ftruncate, [file, 0]), Ok(0));
    t.is("room for two", pwrite(0), Ok(8192));
    close(fd);
    t.is("gone", sys(libc::SYS_unlink, [path("full/other")]), Ok(0));
    let room = call!(statfs(c("full").as_ptr(), &mut stat)).map(|_| (stat.f_bfree, stat.f_ffree));
    t.is("statfs: all is free but folders", room, Ok((2, 1)));
}

/// Sets the flags of a file or folder of `fixed`.
fn set_flags(name: &str, flags: i32) -> Called {
    let fd = open(name, libc::O_RDONLY);
    let mut flags = flags;
    let result = sys(libc::SYS_ioctl, [fd.into(), FS_IOC_SETFLAGS, address(&mut flags)]);
    close(fd);
    result
}

const FS_IOC_GETFLAGS: i64 = 0x8008_6601;
const FS_IOC_SETFLAGS: i64 = 0x4008_6602;
const IMMUTABLE: i32 = 0x10;
const APPEND: i32 = 0x20;

/// Calls that neither an immutable nor an append-only file allows.
const FIXED: &[Whole] = &[
    ("chmod", || sys(libc::SYS_chmod, [path("fixed/file"), 0o600])),
    ("fchmodat", || sys(libc::SYS_fchmodat, [CWD, path("fixed/file"), 0o600])),
    ("chown", || sys(libc::SYS_chown, [path("fixed/file"), 0, 0])),
    ("fchownat", || sys(libc::SYS_fchownat, [CWD, path("fixed/file"), 0, 0, 0])),
    ("open", || sys(libc::SYS_open, [path("fixed/file"), i64::from(libc::O_WRONLY), 0])),
    ("openat to cut", || {
        sys(libc::SYS_openat, [CWD, path("fixed/file"), i64::from(libc::O_TRUNC), 0])
    }),
    ("creat", || sys(libc::SYS_creat, [path("fixed/file"), 0])),
    ("truncate", || sys(libc::SYS_truncate, [path("fixed/file"), 0])),
    ("link", || sys(libc::SYS_link, [path("fixed/file"), path("fixed/new")])),
    ("linkat", || sys(libc::SYS_linkat, [CWD, path("fixed/file"), CWD, path("fixed/new"), 0])),
    ("rename", || sys(libc::SYS_rename, [path("fixed/file"), path("fixed/new")])),
    ("renameat2 over it", || {
        sys(libc::SYS_renameat2, [CWD, path("fixed/other"), CWD, path("fixed/file"), 0])
    }),
    ("unlink", || sys(libc::SYS_unlink, [path("fixed/file")])),
    ("unlinkat", || sys(libc::SYS_unlinkat, [CWD, path("fixed/file"), 0])),
    ("utimensat", || {
        sys(libc::SYS_utimensat, [CWD, path("fixed/file"), address(&mut [1_i64; 4]), 0])
    }),
    ("setxattr", || {
        sys(libc::SYS_setxattr, [path("fixed/file"), path("trusted.a"), path("1"), 1, 0])
    }),
    ("removexattr", || sys(libc::SYS_removexattr, [path("fixed/file"), path("trusted.a")])),
];

fn fixed(t: &mut Checks) {
    let Some(_fixed) = MemoryFs::mount("fixed", "") else { return t.ok("mounted", false) };
    let made = [
        fs::write("fixed/file", "1"),
        fs::write("fixed/other", "1"),
        fs::create_dir("fixed/folder"),
        fs::write("fixed/folder/file", "1"),
    ];
    t.ok("made files", made.iter().all(Result::is_ok));
    let refused = as_nobody(|| set_flags("fixed/file", 0));
    t.fails("flags of others", refused, libc::EPERM);
    t.fails("an unknown flag", set_flags("fixed/file", 1 << 28), libc::EOPNOTSUPP);
    let null = open("/dev/null", libc::O_RDWR);
    let flags = sys(libc::SYS_ioctl, [null.into(), FS_IOC_GETFLAGS, address(&mut 0_i32)]);
    t.fails("flags of a device", flags, libc::ENOTTY);
    close(null);
    let writer = open("fixed/file", libc::O_RDWR);
    for (what, flags) in [("immutable", IMMUTABLE), ("append-only", APPEND)] {
        t.is(what, set_flags("fixed/file", flags), Ok(0));
        let mut told = 0;
        let told = sys(libc::SYS_ioctl, [writer.into(), FS_IOC_GETFLAGS, address(&mut told)])
            .map(|_| told);
        t.is(&format!("{what}: as set"), told, Ok(flags));
        for (name, change) in FIXED {
            t.fails(&format!("{what}: {name}"), change(), libc::EPERM);
        }
        let hole = i64::from(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE);
        let hole = sys(libc::SYS_fallocate, [writer.into(), hole, 0, 4096]);
        t.fails(&format!("{what}: a hole"), hole, libc::EPERM);
        // SAFETY: all zeroes is a valid statx.
        let mut statx: libc::statx = unsafe { std::mem::zeroed() };
        let seen = sys(libc::SYS_statx, [CWD, path("fixed/file"), 0, 0, address(&mut statx)])
            .map(|_| statx.stx_attributes & 0x30);
        t.is(&format!("{what}: statx"), seen, Ok(flags as u64));
    }
    // What is append-only may grow, and be touched.
    let append = open("fixed/file", libc::O_WRONLY | libc::O_APPEND);
    t.is("append-only: append", lx_guest_tests::write(append, b"2"), Ok(1));
    close(append);
    let access = |mode: i32| sys(libc::SYS_access, [path("fixed/file"), i64::from(mode)]);
    t.is("append-only: access", access(libc::W_OK), Ok(0));
    let touch = || sys(libc::SYS_utimensat, [CWD, path("fixed/file"), 0, 0]);
    t.is("append-only: touch", touch(), Ok(0));
    t.is("immutable again", set_flags("fixed/file", IMMUTABLE), Ok(0));
    t.fails("immutable: touch", touch(), libc::EPERM);
    t.fails("immutable: access", access(libc::W_OK), libc::EPERM);
    t.is("immutable: access to read", access(libc::R_OK), Ok(0));
    let write = i64::from(libc::W_OK);
    let faccessat = sys(libc::SYS_faccessat, [CWD, path("fixed/file"), write]);
    t.fails("immutable: faccessat", faccessat, libc::EPERM);
    let faccessat2 = sys(libc::SYS_faccessat2, [CWD, path("fixed/file"), write, 0]);
    t.fails("immutable: faccessat2", faccessat2, libc::EPERM);
    // A descriptor from before still writes.
    t.is("immutable: write", lx_guest_tests::write(writer, b"3"), Ok(1));
    close(writer);
    let (make, remove) = (libc::SYS_mkdir, libc::SYS_unlink);
    t.is("an immutable folder", set_flags("fixed/folder", IMMUTABLE), Ok(0));
    t.fails("immutable: mkdir", sys(make, [path("fixed/folder/new"), 0o700]), libc::EPERM);
    t.fails("immutable: unlink in it", sys(remove, [path("fixed/folder/file")]), libc::EPERM);
    t.fails("immutable: rmdir", sys(libc::SYS_rmdir, [path("fixed/folder")]), libc::EPERM);
    t.is("an append-only folder", set_flags("fixed/folder", APPEND), Ok(0));
    t.is("append-only: mkdir", sys(make, [path("fixed/folder/new"), 0o700]), Ok(0));
    t.fails("append-only: unlink in it", sys(remove, [path("fixed/folder/file")]), libc::EPERM);
    t.is("free", set_flags("fixed/folder", 0), Ok(0));
    t.is("free: unlink in it", sys(remove, [path("fixed/folder/file")]), Ok(0));
}

fn in_use(t: &mut Checks) {
    let Some(_used) = MemoryFs::mount("used", "") else { return t.ok("mounted", false) };
    let renames: [OfTwo; 3] = [
        ("rename", |from, to| sys(libc::SYS_rename, [from, to])),
        ("renameat", |from, to| sys(libc::SYS_renameat, [CWD, from, CWD, to])),
        ("renameat2", |from, to| sys(libc::SYS_renameat2, [CWD, from, CWD, to, 0])),
    ];
    for (name, rename) in renames {
        let from = rename(path("used"), path("new"));
        t.fails(&format!("{name} of a mount"), from, libc::EBUSY);
        let over = rename(path("folder"), path("used"));
        t.fails(&format!("{name} over a mount"), over, libc::EBUSY);
    }
    let removedir = i64::from(libc::AT_REMOVEDIR);
    t.fails("rmdir of a mount", sys(libc::SYS_rmdir, [path("used")]), libc::EBUSY);
    let unlinkat = |name: &str, flags| sys(libc::SYS_unlinkat, [CWD, path(name), flags]);
    t.fails("unlinkat of a mount", unlinkat("used", removedir), libc::EBUSY);
    t.ok("a file", fs::write("used/file", "1").is_ok());
    t.ok("a mount of a file", mount("file", "used/file", "", libc::MS_BIND, "").is_ok());
    t.fails("unlink of a mount", sys(libc::SYS_unlink, [path("used/file")]), libc::EBUSY);
    t.fails("unlinkat of a mounted file", unlinkat("used/file", 0), libc::EBUSY);
    t.fails("umount2 of one with a mount", umount("used", 0), libc::EBUSY);
    t.is("umount2 of a file", umount("used/file", 0), Ok(0));
    let fd = open("used/file", libc::O_RDONLY);
    t.fails("umount2 with an open file", umount("used", 0), libc::EBUSY);
    close(fd);
    t.is("chdir", sys(libc::SYS_chdir, [path("used")]), Ok(0));
    t.fails("umount2 of the working folder", umount("../used", 0), libc::EBUSY);
    t.is("chdir back", sys(libc::SYS_chdir, [path("..")]), Ok(0));
    t.is("umount2", umount("used", 0), Ok(0));
    t.fails("umount2 again", umount("used", 0), libc::EINVAL);
}

fn another(t: &mut Checks) {
    let Some(_far) = MemoryFs::mount("far", "") else { return t.ok("mounted", false) };
    t.ok("a file", fs::write("far/file", "1").is_ok());
    let calls: [OfTwo; 5] = [
        ("rename", |from, to| sys(libc::SYS_rename, [from, to])),
        ("renameat", |from, to| sys(libc::SYS_renameat, [CWD, from, CWD, to])),
        ("renameat2", |from, to| sys(libc::SYS_renameat2, [CWD, from, CWD, to, 0])),
        ("link", |from, to| sys(libc::SYS_link, [from, to])),
        ("linkat", |from, to| sys(libc::SYS_linkat, [CWD, from, CWD, to, 0])),
    ];
    for (name, call) in calls {
        let there = call(path("file"), path("far/new"));
        t.fails(&format!("{name} to another file system"), there, libc::EXDEV);
        let back = call(path("far/file"), path("new"));
        t.fails(&format!("{name} from another file system"), back, libc::EXDEV);
    }
    // A number that no driver has.
    let mode = i64::from(libc::S_IFCHR | 0o600);
    let device = libc::makedev(240, 77) as i64;
    t.is("a device", sys(libc::SYS_mknod, [path("far/device"), mode, device]), Ok(0));
    let device = || path("far/device");
    t.fails("open: no driver", sys(libc::SYS_open, [device(), 0, 0]), libc::ENXIO);
    t.fails("openat: no driver", sys(libc::SYS_openat, [CWD, device(), 0, 0]), libc::ENXIO);
    t.fails("creat: no driver", sys(libc::SYS_creat, [device(), 0]), libc::ENXIO);
}

fn mounting(t: &mut Checks) {
    let Some(_m) = MemoryFs::mount("m", "") else { return t.ok("mounted", false) };
    let made = [fs::create_dir("m/folder"), fs::create_dir("m/below"), fs::write("m/file", "1")];
    t.ok("made files", made.iter().all(Result::is_ok));
    let (bind, remount, moving) = (libc::MS_BIND, libc::MS_REMOUNT, libc::MS_MOVE);
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    fails("mount of no such type", mount("none", "m/folder", "nonesuch", 0, ""), libc::ENODEV);
    fails("mount on a file", mount("none", "m/file", "tmpfs", 0, ""), libc::ENOTDIR);
    fails("mount of a file on a folder", mount("m/file", "m/folder", "", bind, ""), libc::ENOTDIR);
    fails("mount of a folder on a file", mount("m/folder", "m/file", "", bind, ""), libc::ENOTDIR);
    fails("bind of nothing", mount("m/missing", "m/folder", "", bind, ""), libc::ENOENT);
    fails("bind of no path", mount("", "m/folder", "", bind, ""), libc::EINVAL);
    fails("bind of a loop", mount("loop", "m/folder", "", bind, ""), libc::ELOOP);
    fails("remount of no mount", mount("none", "m/folder", "", remount, ""), libc::EINVAL);
    fails("remount of one file", mount("none", "m/file", "", remount | bind, ""), libc::EINVAL);
    fails("move of no mount", mount("m/folder", "m/below", "", moving, ""), libc::EINVAL);
    fails("an unknown option", mount("none", "m/folder", "tmpfs", 0, "nonesuch=1"), libc::EINVAL);
    fails("a bad size", mount("none", "m/folder", "tmpfs", 0, "size=x"), libc::EINVAL);
    fails("a bad mode", mount("none", "m/folder", "tmpfs", 0, "mode=9"), libc::EINVAL);
    let two = libc::MS_PRIVATE | libc::MS_SLAVE;
    fails("two kinds of propagation", mount("", "m", "", two, ""), libc::EINVAL);
    let more = libc::MS_PRIVATE | libc::MS_RDONLY;
    fails("propagation and more", mount("", "m", "", more, ""), libc::EINVAL);
    fails("propagation of no mount", mount("", "m/folder", "", libc::MS_PRIVATE, ""), libc::EINVAL);
    let no_type = || {
        let target = c("m/folder");
        call!(mount(null(), target.as_ptr(), null(), 0, null()))
    };
    fails("mount of no type", no_type(), libc::EINVAL);
    fails("move below itself", mount("m", "m/below", "", moving, ""), libc::ELOOP);
    let writer = open("m/file", libc::O_WRONLY);
    let read_only = remount | libc::MS_RDONLY;
    fails("read-only with a writer", mount("none", "m", "", read_only, ""), libc::EBUSY);
    close(writer);
    t.is("a mount", mount("none", "m/folder", "tmpfs", 0, "mode=700"), Ok(0));
    t.is(
        "its mode",
        fs::metadata("m/folder").map(|m| m.permissions().mode() & 0o7777).ok(),
        Some(0o700),
    );
    t.is("umount2", umount("m/folder", 0), Ok(0));
    // A mount of a removed folder stays where it is.
    t.is("bind", mount("m/below", "m/folder", "", bind, ""), Ok(0));
    t.is("rmdir of what is bound", sys(libc::SYS_rmdir, [path("m/below")]), Ok(0));
    t.is("mkdir", sys(libc::SYS_mkdir, [path("m/new"), 0o700]), Ok(0));
    t.fails("bind of a removed folder", mount("m/folder", "m/new", "", bind, ""), libc::ENOENT);
    t.fails("move of its mount", mount("m/folder", "m/new", "", moving, ""), libc::ENOENT);
    t.fails("mount on it", mount("none", "m/folder", "tmpfs", 0, ""), libc::ENOENT);
    t.is("umount2 of it", umount("m/folder", 0), Ok(0));
}

fn unmounting(t: &mut Checks) {
    let Some(_u) = MemoryFs::mount("u", "") else { return t.ok("mounted", false) };
    t.ok("a folder", fs::create_dir("u/folder").is_ok());
    t.fails("umount2 of no mount", umount("u/folder", 0), libc::EINVAL);
    t.fails("umount2: an unknown flag", umount("u", 0x100), libc::EINVAL);
    let expire = libc::MNT_EXPIRE;
    t.fails("umount2: contradiction", umount("u", expire | libc::MNT_DETACH), libc::EINVAL);
    t.fails("umount2: another one", umount("u", expire | libc::MNT_FORCE), libc::EINVAL);
    t.ok("a link", symlink("u", "to_u").is_ok());
    let nofollow = libc::UMOUNT_NOFOLLOW;
    t.fails("umount2 of a link", umount("to_u", nofollow), libc::EINVAL);
    t.is("umount2 through a link", umount("to_u", 0), Ok(0));
}
