//! The errors of making, removing and renaming files, but for those of a path that leads nowhere
//! (`errors_paths`) and of a file system's own (`errors_mounts`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::exit;

use lx_guest_tests::files::{CWD, OfOne, OfTwo, as_nobody, close, is_root, open, path, sys};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let made = [
        fs::write("file", "1"),
        fs::create_dir_all("folder/inner"),
        fs::write("given", "1"),
        fs::create_dir("empty"),
        fs::create_dir("sticky"),
        fs::create_dir("sticky/folder"),
        fs::write("sticky/file", "1"),
        fs::set_permissions("sticky", fs::Permissions::from_mode(0o1777)),
        symlink("file", "soft"),
        symlink("loop", "loop"),
        fs::set_permissions(".", fs::Permissions::from_mode(0o777)),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    // Whoever owns a file may link to it.
    let _ = call!(chown(c("given").as_ptr(), 65534, 65534));
    making(&mut t);
    removing(&mut t);
    renaming(&mut t);
    drop(scratch);
    t.end();
}

fn making(t: &mut Checks) {
    let file = open("file", libc::O_RDONLY);
    let device = i64::from(libc::S_IFCHR | 0o600);
    let makers: [OfOne; 6] = [
        ("mkdir", |p| sys(libc::SYS_mkdir, [p, 0o700])),
        ("mkdirat", |p| sys(libc::SYS_mkdirat, [CWD, p, 0o700])),
        ("mknod", |p| sys(libc::SYS_mknod, [p, i64::from(libc::S_IFIFO), 0])),
        ("mknodat", |p| sys(libc::SYS_mknodat, [CWD, p, i64::from(libc::S_IFIFO), 0])),
        ("symlink", |p| sys(libc::SYS_symlink, [path("x"), p])),
        ("symlinkat", |p| sys(libc::SYS_symlinkat, [path("x"), CWD, p])),
    ];
    for (name, make) in makers {
        let mut fails = |what: &str, got: Called, errno: i32| {
            t.fails(&format!("{name}: {what}"), got, errno);
        };
        for exists in ["file", "folder", "soft", "loop", ".", "..", "/"] {
            fails(&format!("{exists} exists"), make(path(exists)), libc::EEXIST);
        }
        if is_root() {
            let refused = as_nobody(|| make(path("folder/new")));
            fails("in a folder of others", refused, libc::EACCES);
        }
        let terminal = if is_root() { libc::EPERM } else { libc::EACCES };
        fails("among terminals", make(path("/dev/pts/new")), terminal);
    }
    for (name, call) in [("symlink", 0), ("symlinkat", 1)] {
        let symlink = |target| match call {
            0 => sys(libc::SYS_symlink, [target, path("new")]),
            _ => sys(libc::SYS_symlinkat, [target, CWD, path("new")]),
        };
        t.fails(&format!("{name} to nothing"), symlink(path("")), libc::ENOENT);
        t.fails(&format!("{name} to nowhere"), symlink(NOWHERE as i64), libc::EFAULT);
        let long = "./".repeat(2048);
        t.fails(&format!("{name} to a long path"), symlink(path(&long)), libc::ENAMETOOLONG);
    }
    for (name, call) in [("mknod", libc::SYS_mknod), ("mknodat", libc::SYS_mknodat)] {
        let mknod = |name, mode: i64| match call {
            libc::SYS_mknod => sys(call, [path(name), mode, 0x103]),
            _ => sys(call, [CWD, path(name), mode, 0x103]),
        };
        t.fails(&format!("{name}: a link"), mknod("new", 0o120_000), libc::EINVAL);
        t.fails(&format!("{name}: no type"), mknod("new", 0o170_000), libc::EINVAL);
        t.fails(&format!("{name}: a folder"), mknod("new", 0o040_000), libc::EPERM);
        t.fails(&format!("{name}: a device"), as_nobody(|| mknod("new", device)), libc::EPERM);
    }
    let links: [OfTwo; 2] = [
        ("link", |from, to| sys(libc::SYS_link, [from, to])),
        ("linkat", |from, to| sys(libc::SYS_linkat, [CWD, from, CWD, to, 0])),
    ];
    for (name, link) in links {
        let mut fails = |what: &str, from: &str, to: &str, errno: i32| {
            t.fails(&format!("{name}: {what}"), link(path(from), path(to)), errno);
        };
        fails("of nothing", "missing", "new", libc::ENOENT);
        fails("it exists", "file", "soft", libc::EEXIST);
        fails("of a folder", "folder", "new", libc::EPERM);
        fails("from another mount", "/proc/version", "new", libc::EXDEV);
        fails("with a slash", "file", "new/", libc::ENOENT);
        if is_root() {
            let refused = as_nobody(|| link(path("given"), path("folder/new")));
            t.fails(&format!("{name}: in a folder of others"), refused, libc::EACCES);
        }
    }
    let linkat = |from: i64, name: &str, flags: i32| {
        sys(libc::SYS_linkat, [from, path(name), CWD, path("new"), i64::from(flags)])
    };
    t.fails("linkat: an unknown flag", linkat(CWD, "file", 1), libc::EINVAL);
    t.fails("linkat: flags of others", linkat(CWD, "file", libc::AT_REMOVEDIR), libc::EINVAL);
    let folder = open("folder", libc::O_DIRECTORY);
    let empty = libc::AT_EMPTY_PATH;
    t.fails("linkat: an open folder", linkat(i64::from(folder), "", empty), libc::EPERM);
    close(folder);
    close(file);
}

fn removing(t: &mut Checks) {
    let removedir = i64::from(libc::AT_REMOVEDIR);
    let unlinks: [OfOne; 2] = [
        ("unlink", |p| sys(libc::SYS_unlink, [p])),
        ("unlinkat", |p| sys(libc::SYS_unlinkat, [CWD, p, 0])),
    ];
    for (name, unlink) in unlinks {
        let mut fails = |what: &str, file: &str, errno: i32| {
            t.fails(&format!("{name}: {what}"), unlink(path(file)), errno);
        };
        fails("nothing", "missing", libc::ENOENT);
        fails("a folder", "folder", libc::EISDIR);
        fails("the folder itself", ".", libc::EISDIR);
        fails("the root", "/", libc::EISDIR);
        fails("a file with a slash", "file/", libc::ENOTDIR);
        fails("a link with a slash", "soft/", libc::ENOTDIR);
        if is_root() {
            let refused = as_nobody(|| unlink(path("sticky/file")));
            t.fails(&format!("{name}: sticky"), refused, libc::EPERM);
            let refused = as_nobody(|| unlink(path("folder/missing")));
            t.fails(&format!("{name}: nothing of others"), refused, libc::ENOENT);
            let _ = fs::write("folder/file", "");
            let refused = as_nobody(|| unlink(path("folder/file")));
            t.fails(&format!("{name}: in a folder of others"), refused, libc::EACCES);
            let _ = fs::remove_file("folder/file");
        }
    }
    let rmdirs: [OfOne; 2] = [
        ("rmdir", |p| sys(libc::SYS_rmdir, [p])),
        ("unlinkat", |p| sys(libc::SYS_unlinkat, [CWD, p, i64::from(libc::AT_REMOVEDIR)])),
    ];
    for (name, rmdir) in rmdirs {
        let mut fails = |what: &str, file: &str, errno: i32| {
            t.fails(&format!("{name} of a folder: {what}"), rmdir(path(file)), errno);
        };
        fails("nothing", "missing", libc::ENOENT);
        fails("a file", "file", libc::ENOTDIR);
        fails("a link", "soft", libc::ENOTDIR);
        fails("not empty", "folder", libc::ENOTEMPTY);
        fails("by a dot", "folder/.", libc::EINVAL);
        fails("by two dots", "folder/inner/..", libc::ENOTEMPTY);
        fails("the root", "/", libc::EBUSY);
        if is_root() {
            let refused = as_nobody(|| rmdir(path("sticky/folder")));
            t.fails(&format!("{name} of a folder: sticky"), refused, libc::EPERM);
            let refused = as_nobody(|| rmdir(path("folder/inner")));
            t.fails(&format!("{name} of a folder: of others"), refused, libc::EACCES);
        }
    }
    let unlinkat = |flags| sys(libc::SYS_unlinkat, [CWD, path("file"), flags]);
    t.fails("unlinkat: an unknown flag", unlinkat(1), libc::EINVAL);
    t.fails("unlinkat: a flag more", unlinkat(removedir | 0x100), libc::EINVAL);
}

fn renaming(t: &mut Checks) {
    let renames: [OfTwo; 3] = [
        ("rename", |from, to| sys(libc::SYS_rename, [from, to])),
        ("renameat", |from, to| sys(libc::SYS_renameat, [CWD, from, CWD, to])),
        ("renameat2", |from, to| sys(libc::SYS_renameat2, [CWD, from, CWD, to, 0])),
    ];
    for (name, rename) in renames {
        let mut fails = |what: &str, from: &str, to: &str, errno: i32| {
            t.fails(&format!("{name}: {what}"), rename(path(from), path(to)), errno);
        };
        fails("nothing", "missing", "new", libc::ENOENT);
        fails("into itself", "folder", "folder/new", libc::EINVAL);
        fails("deep into itself", "folder", "folder/inner/new", libc::EINVAL);
        fails("over what is above", "folder/inner", "folder", libc::ENOTEMPTY);
        fails("a file over a folder", "file", "empty", libc::EISDIR);
        fails("a folder over a file", "folder", "file", libc::ENOTDIR);
        fails("a file with a slash", "file/", "new", libc::ENOTDIR);
        fails("to a slash", "file", "new/", libc::ENOTDIR);
        fails("over a full folder", "empty", "folder", libc::ENOTEMPTY);
        fails("the folder itself", ".", "new", libc::EBUSY);
        fails("over the folder itself", "folder", ".", libc::EBUSY);
        fails("two dots", "..", "new", libc::EBUSY);
        fails("the root", "/", "new", libc::EBUSY);
        fails("from another mount", "/proc/version", "new", libc::EXDEV);
        if is_root() {
            let mut refused = |what: &str, from: &str, to: &str, errno: i32| {
                let got = as_nobody(|| rename(path(from), path(to)));
                t.fails(&format!("{name}: {what}"), got, errno);
            };
            refused("sticky", "sticky/file", "new", libc::EPERM);
            refused("from a folder of others", "folder/inner", "new", libc::EACCES);
            refused("to a folder of others", "file", "folder/new", libc::EACCES);
        }
    }
    let flags = |from: &str, to: &str, flags: i64| {
        sys(libc::SYS_renameat2, [CWD, path(from), CWD, path(to), flags])
    };
    const NOREPLACE: i64 = 1;
    const EXCHANGE: i64 = 2;
    const WHITEOUT: i64 = 4;
    let both = NOREPLACE | EXCHANGE;
    t.fails("renameat2: an unknown flag", flags("file", "new", 8), libc::EINVAL);
    t.fails("renameat2: contradiction", flags("file", "soft", both), libc::EINVAL);
    let both = WHITEOUT | EXCHANGE;
    t.fails("renameat2: another one", flags("file", "soft", both), libc::EINVAL);
    t.fails("renameat2: it exists", flags("file", "soft", NOREPLACE), libc::EEXIST);
    t.fails("renameat2: a dot exists", flags("file", ".", NOREPLACE), libc::EEXIST);
    t.fails("renameat2: nothing to exchange", flags("file", "new", EXCHANGE), libc::ENOENT);
    t.fails(
        "renameat2: with what is inside",
        flags("folder", "folder/inner", EXCHANGE),
        libc::EINVAL,
    );
    t.fails(
        "renameat2: with what is above",
        flags("folder/inner", "folder", EXCHANGE),
        libc::EINVAL,
    );
}
