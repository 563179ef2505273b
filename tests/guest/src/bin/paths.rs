//! `stat(2)`, `open(2)`, `rename(2)`, `link(2)`, `unlink(2)`, `mkdir(2)`, `getdents64(2)`, the `*at` calls.

use std::ffi::CString;
use std::fs;
use std::mem::zeroed;
use std::process::exit;

use lx_guest_tests::files::{as_nobody, is_root};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, c, call, read, write};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let _ = call!(umask(0o22));
    metadata(&mut t);
    opening(&mut t);
    links(&mut t);
    renaming(&mut t);
    folders(&mut t);
    relative(&mut t);
    attributes(&mut t);
    drop(scratch);
    t.end();
}

fn stat(path: &str) -> Result<libc::stat, i32> {
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    call!(stat(c(path).as_ptr(), &mut stat)).map(|_| stat)
}

fn lstat(path: &str) -> Result<libc::stat, i32> {
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    call!(lstat(c(path).as_ptr(), &mut stat)).map(|_| stat)
}

fn open(path: &str, flags: i32) -> Called {
    call!(open(c(path).as_ptr(), flags, 0o666))
}

fn put(path: &str, text: &str) {
    let _ = fs::write(path, text);
}

fn get(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn one(path: &str, call: impl FnOnce(*const libc::c_char) -> Called) -> Called {
    call(c(path).as_ptr())
}

fn two(
    from: &str,
    to: &str,
    call: impl Fn(*const libc::c_char, *const libc::c_char) -> Called,
) -> Called {
    call(c(from).as_ptr(), c(to).as_ptr())
}

fn mkdir(path: &str) -> Called {
    one(path, |path| call!(mkdir(path, 0o777)))
}

fn rmdir(path: &str) -> Called {
    one(path, |path| call!(rmdir(path)))
}

fn unlink(path: &str) -> Called {
    one(path, |path| call!(unlink(path)))
}

fn symlink(to: &str, path: &str) -> Called {
    two(to, path, |to, path| call!(symlink(to, path)))
}

fn link(from: &str, to: &str) -> Called {
    two(from, to, |from, to| call!(link(from, to)))
}

fn rename(from: &str, to: &str) -> Called {
    two(from, to, |from, to| call!(rename(from, to)))
}

fn metadata(t: &mut Checks) {
    put("file", "12345");
    let file = stat("file");
    t.is(
        "size and mode",
        file.map(|s| (s.st_size, s.st_mode, s.st_nlink)),
        Ok((5, libc::S_IFREG | 0o644, 1)),
    );
    t.ok("owner", file.is_ok_and(|s| Ok(i64::from(s.st_uid)) == call!(geteuid())));
    t.ok(
        "times are now",
        file.is_ok_and(|s| {
            (call!(time(std::ptr::null_mut())).unwrap_or(0) - s.st_mtime).abs() < 60
        }),
    );
    t.ok("a block size", file.is_ok_and(|s| s.st_blksize > 0));
    t.ok("an inode number", file.is_ok_and(|s| s.st_ino > 0));
    t.is("a folder", stat(".").map(|s| s.st_mode & libc::S_IFMT), Ok(libc::S_IFDIR));
    t.is(
        "a device",
        stat("/dev/null").map(|s| (s.st_mode & libc::S_IFMT, s.st_rdev)),
        Ok((libc::S_IFCHR, libc::makedev(1, 3))),
    );
    let fails = |path: &str| stat(path).map(|_| ());
    t.is("missing", fails("missing"), Err(libc::ENOENT));
    t.is("an empty path", fails(""), Err(libc::ENOENT));
    t.is("below a file", fails("file/x"), Err(libc::ENOTDIR));
    t.is("a file with a slash", fails("file/"), Err(libc::ENOTDIR));
    t.is("a long name", fails(&"n".repeat(256)), Err(libc::ENAMETOOLONG));
    t.is("the longest name", fails(&"n".repeat(255)), Err(libc::ENOENT));
    t.is("a long path", fails(&"./".repeat(2048)), Err(libc::ENAMETOOLONG));
    t.is("the longest path", fails(&format!("{}.", "./".repeat(2047))), Ok(()));
    t.is("many slashes", fails("//.//./file"), Err(libc::ENOENT));
    t.is("dots", fails(".//././file"), Ok(()));
    t.is("above the root", fails("/../../.."), Ok(()));
    let mut buffer = [0u8; 256];
    t.fails(
        "at nowhere",
        call!(stat(NOWHERE as *const _, buffer.as_mut_ptr().cast())),
        libc::EFAULT,
    );
    t.fails("to nowhere", call!(stat(c("file").as_ptr(), NOWHERE as *mut _)), libc::EFAULT);
    // SAFETY: all zeroes is a valid statx.
    let mut statx: libc::statx = unsafe { zeroed() };
    t.is(
        "statx",
        call!(statx(libc::AT_FDCWD, c("file").as_ptr(), 0, libc::STATX_BASIC_STATS, &mut statx)),
        Ok(0),
    );
    t.is(
        "says the same",
        (u64::from(statx.stx_mode), statx.stx_size),
        (u64::from(libc::S_IFREG | 0o644), 5),
    );
    t.fails(
        "statx with bad flags",
        call!(statx(libc::AT_FDCWD, c("file").as_ptr(), 0x4_0000, 0, &mut statx)),
        libc::EINVAL,
    );
    // SAFETY: all zeroes is a valid statfs.
    let mut statfs: libc::statfs = unsafe { zeroed() };
    t.is("statfs", call!(statfs(c(".").as_ptr(), &mut statfs)), Ok(0));
    t.ok("has a block size", statfs.f_bsize > 0 && statfs.f_namelen == 255);
}

fn opening(t: &mut Checks) {
    let closed = |result: Called| {
        result.map(|fd| {
            let _ = call!(close(fd as i32));
        })
    };
    t.is("read", closed(open("file", libc::O_RDONLY)), Ok(()));
    t.is("missing", closed(open("missing", libc::O_RDONLY)), Err(libc::ENOENT));
    t.is(
        "create below missing",
        closed(open("missing/x", libc::O_CREAT | libc::O_RDWR)),
        Err(libc::ENOENT),
    );
    t.is("exclusive", closed(open("file", libc::O_CREAT | libc::O_EXCL)), Err(libc::EEXIST));
    t.is("folder to write", closed(open(".", libc::O_WRONLY)), Err(libc::EISDIR));
    t.is("folder to read", closed(open(".", libc::O_RDONLY)), Ok(()));
    t.is("O_CREAT of a folder", closed(open(".", libc::O_CREAT)), Err(libc::EISDIR));
    t.is("O_DIRECTORY of a file", closed(open("file", libc::O_DIRECTORY)), Err(libc::ENOTDIR));
    t.is("trailing slash", closed(open("file/", libc::O_RDONLY)), Err(libc::ENOTDIR));
    t.is(
        "create with a trailing slash",
        closed(open("new/", libc::O_CREAT | libc::O_RDWR)),
        Err(libc::EISDIR),
    );
    let _ = symlink("file", "soft");
    t.is("a link", closed(open("soft", libc::O_RDONLY)), Ok(()));
    t.is("O_NOFOLLOW", closed(open("soft", libc::O_NOFOLLOW)), Err(libc::ELOOP));
    t.is(
        "exclusive at a link",
        closed(open("soft", libc::O_CREAT | libc::O_EXCL)),
        Err(libc::EEXIST),
    );
    let _ = symlink("made", "towards");
    t.is("create through a link", closed(open("towards", libc::O_CREAT | libc::O_RDWR)), Ok(()));
    t.ok("made what it names", stat("made").is_ok());
    put("cut", "long text");
    t.is("truncate", closed(open("cut", libc::O_WRONLY | libc::O_TRUNC)), Ok(()));
    t.is("empty", stat("cut").map(|s| s.st_size), Ok(0));
    t.is(
        "mode and umask",
        call!(open(c("masked").as_ptr(), libc::O_CREAT, 0o777))
            .and(stat("masked"))
            .map(|s| s.st_mode & 0o7777),
        Ok(0o755),
    );
    let temporary = open(".", libc::O_TMPFILE | libc::O_RDWR);
    t.ok("a file without a name", temporary.is_ok() || temporary == Err(libc::EOPNOTSUPP));
    t.fails("at nowhere", call!(open(NOWHERE as *const _, 0)), libc::EFAULT);
    t.is(
        "truncate(2)",
        one("made", |path| call!(truncate(path, 100))).and(stat("made")).map(|s| s.st_size),
        Ok(100),
    );
    t.fails(
        "truncate to a negative size",
        one("made", |path| call!(truncate(path, -1))),
        libc::EINVAL,
    );
    t.fails("truncate a folder", one(".", |path| call!(truncate(path, 0))), libc::EISDIR);
}

fn links(t: &mut Checks) {
    put("a", "A");
    t.is("link", link("a", "b"), Ok(0));
    t.is("counts", stat("a").map(|s| s.st_nlink), Ok(2));
    t.is("the same inode", stat("a").map(|s| s.st_ino), stat("b").map(|s| s.st_ino));
    t.fails("over a name", link("a", "b"), libc::EEXIST);
    t.fails("of nothing", link("missing", "x"), libc::ENOENT);
    t.fails("of a folder", link(".", "x"), libc::EPERM);
    t.is("unlink", unlink("a"), Ok(0));
    t.is("the other stays", (get("b"), stat("b").map(|s| s.st_nlink)), ("A".to_owned(), Ok(1)));
    t.fails("unlink again", unlink("a"), libc::ENOENT);
    t.fails("unlink a folder", unlink("."), libc::EISDIR);
    t.is("symlink", symlink("anywhere/at all", "s"), Ok(0));
    let mut buffer = [0u8; 100];
    t.is(
        "readlink",
        one("s", |path| call!(readlink(path, buffer.as_mut_ptr().cast(), 100))),
        Ok(15),
    );
    t.is("its text", &buffer[..15], b"anywhere/at all".as_slice());
    t.is(
        "readlink, cut",
        one("s", |path| call!(readlink(path, buffer.as_mut_ptr().cast(), 4))),
        Ok(4),
    );
    t.fails(
        "readlink of a file",
        one("b", |path| call!(readlink(path, buffer.as_mut_ptr().cast(), 9))),
        libc::EINVAL,
    );
    t.fails(
        "readlink into nothing",
        one("s", |path| call!(readlink(path, buffer.as_mut_ptr().cast(), 0))),
        libc::EINVAL,
    );
    t.is("lstat", lstat("s").map(|s| (s.st_mode, s.st_size)), Ok((libc::S_IFLNK | 0o777, 15)));
    t.is("stat of a dangling one", stat("s").map(|_| ()), Err(libc::ENOENT));
    t.fails("symlink over a name", symlink("x", "s"), libc::EEXIST);
    t.fails("symlink to nothing", symlink("", "x"), libc::ENOENT);
    let _ = (symlink("two", "one"), symlink("one", "two"));
    t.is("a circle", stat("one").map(|_| ()), Err(libc::ELOOP));
    t.is("unlink a link", unlink("s"), Ok(0));
    let fd = open("gone", libc::O_CREAT | libc::O_RDWR).unwrap_or(-1) as i32;
    let _ = (write(fd, b"still"), unlink("gone"));
    let mut byte = [0u8; 5];
    t.is("an open file outlives its name", call!(pread(fd, byte.as_mut_ptr().cast(), 5, 0)), Ok(5));
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    t.is("with no link", call!(fstat(fd, &mut stat)).map(|_| stat.st_nlink), Ok(0));
    let _ = call!(close(fd));
}

fn renaming(t: &mut Checks) {
    put("from", "F");
    put("to", "T");
    t.is("rename over a file", rename("from", "to"), Ok(0));
    t.is("the new content", (get("to"), stat("from").is_err()), ("F".to_owned(), true));
    t.fails("of nothing", rename("missing", "x"), libc::ENOENT);
    t.is("to itself", rename("to", "to"), Ok(0));
    let _ = (mkdir("d1"), mkdir("d2"), mkdir("d1/sub"));
    put("d2/file", "");
    t.fails("a folder over a full one", rename("d1", "d2"), libc::ENOTEMPTY);
    let _ = unlink("d2/file");
    t.is("a folder over an empty one", rename("d1", "d2"), Ok(0));
    t.ok("with its content", stat("d2/sub").is_ok() && stat("d1").is_err());
    t.fails("a file over a folder", rename("to", "d2"), libc::EISDIR);
    t.fails("a folder over a file", rename("d2", "to"), libc::ENOTDIR);
    t.fails("into itself", rename("d2", "d2/sub/x"), libc::EINVAL);
    let again = |from: &str, to: &str, flags: u32| {
        two(from, to, |from, to| call!(renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, flags)))
    };
    put("other", "O");
    t.fails("RENAME_NOREPLACE", again("to", "other", libc::RENAME_NOREPLACE), libc::EEXIST);
    t.is("RENAME_EXCHANGE", again("to", "other", libc::RENAME_EXCHANGE), Ok(0));
    t.is("exchanged", (get("to"), get("other")), ("O".to_owned(), "F".to_owned()));
    t.fails(
        "both",
        again("to", "other", libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE),
        libc::EINVAL,
    );
    let _ = link("to", "same");
    t.is("between two links of one file", rename("to", "same"), Ok(0));
    t.ok("both stay", stat("to").is_ok() && stat("same").is_ok());
}

fn folders(t: &mut Checks) {
    t.is("mkdir", mkdir("dir"), Ok(0));
    t.is("mode", stat("dir").map(|s| s.st_mode), Ok(libc::S_IFDIR | 0o755));
    t.fails("again", mkdir("dir"), libc::EEXIST);
    t.fails("over a file", mkdir("to"), libc::EEXIST);
    t.fails("below nothing", mkdir("missing/dir"), libc::ENOENT);
    t.fails("below a file", mkdir("to/dir"), libc::ENOTDIR);
    t.is("with a slash", mkdir("slash/"), Ok(0));
    put("dir/file", "");
    t.fails("rmdir of a full one", rmdir("dir"), libc::ENOTEMPTY);
    t.fails("rmdir of a file", rmdir("to"), libc::ENOTDIR);
    t.fails("rmdir of .", rmdir("dir/."), libc::EINVAL);
    t.fails("rmdir of ..", rmdir("dir/.."), libc::ENOTEMPTY);
    t.is("rmdir", rmdir("slash"), Ok(0));
    for n in 0..300 {
        put(&format!("dir/{n}"), "");
    }
    let count = || fs::read_dir("dir").map_or(0, |entries| entries.flatten().count());
    t.is("three hundred entries", count(), 301);
    let fd = open("dir", libc::O_RDONLY | libc::O_DIRECTORY).unwrap_or(-1) as i32;
    let mut buffer = [0u8; 512];
    let mut calls = 0;
    while call!(syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()))
        .is_ok_and(|read| read > 0)
    {
        calls += 1;
    }
    t.ok("in many small reads", calls > 10);
    t.is("rewind", call!(lseek(fd, 0, libc::SEEK_SET)), Ok(0));
    t.ok(
        "begins again",
        call!(syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()))
            .is_ok_and(|read| read > 0),
    );
    t.fails(
        "too small a buffer",
        call!(syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), 8)),
        libc::EINVAL,
    );
    t.is("fchdir", call!(fchdir(fd)), Ok(0));
    t.ok("getcwd", std::env::current_dir().is_ok_and(|dir| dir.ends_with("dir")));
    t.is("back", one("..", |path| call!(chdir(path))), Ok(0));
    t.fails("chdir to a file", one("to", |path| call!(chdir(path))), libc::ENOTDIR);
    t.fails("chdir to nothing", one("missing", |path| call!(chdir(path))), libc::ENOENT);
    t.fails(
        "getcwd into too little",
        call!(syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), 2)),
        libc::ERANGE,
    );
    t.fails("getcwd to nowhere", call!(syscall(libc::SYS_getcwd, NOWHERE, 512)), libc::EFAULT);
    let _ = call!(close(fd));
    let _ = (mkdir("leave"), one("leave", |path| call!(chdir(path))), rmdir("../leave"));
    t.is(
        "getcwd where there is no path",
        call!(syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), 512)),
        Err(libc::ENOENT),
    );
    t.fails("create there", open("x", libc::O_CREAT | libc::O_RDWR), libc::ENOENT);
    t.is("out of it", one("..", |path| call!(chdir(path))), Ok(0));
}

fn relative(t: &mut Checks) {
    let dir = open("dir", libc::O_RDONLY | libc::O_DIRECTORY).unwrap_or(-1) as i32;
    let name: CString = c("by-fd");
    t.is("mkdirat", call!(mkdirat(dir, name.as_ptr(), 0o700)), Ok(0));
    t.ok("is below it", stat("dir/by-fd").is_ok());
    t.fails("openat of a missing one", call!(openat(dir, c("missing").as_ptr(), 0)), libc::ENOENT);
    t.fails("relative to a closed one", call!(openat(99, name.as_ptr(), 0)), libc::EBADF);
    t.ok("absolute: the descriptor does not matter", call!(openat(99, c("/").as_ptr(), 0)).is_ok());
    let file = open("to", libc::O_RDONLY).unwrap_or(-1) as i32;
    t.fails("relative to a file", call!(openat(file, name.as_ptr(), 0)), libc::ENOTDIR);
    t.is("unlinkat of a folder", call!(unlinkat(dir, name.as_ptr(), 0)), Err(libc::EISDIR));
    t.is("AT_REMOVEDIR", call!(unlinkat(dir, name.as_ptr(), libc::AT_REMOVEDIR)), Ok(0));
    t.fails("bad flags", call!(unlinkat(dir, name.as_ptr(), 1)), libc::EINVAL);
    t.is("symlinkat", call!(symlinkat(c("file").as_ptr(), dir, c("sl").as_ptr())), Ok(0));
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    t.is(
        "fstatat",
        call!(fstatat(dir, c("sl").as_ptr(), &mut stat, 0)).map(|_| stat.st_mode & libc::S_IFMT),
        Ok(libc::S_IFREG),
    );
    t.is(
        "AT_SYMLINK_NOFOLLOW",
        call!(fstatat(dir, c("sl").as_ptr(), &mut stat, libc::AT_SYMLINK_NOFOLLOW))
            .map(|_| stat.st_mode & libc::S_IFMT),
        Ok(libc::S_IFLNK),
    );
    t.is(
        "AT_EMPTY_PATH",
        call!(fstatat(file, c("").as_ptr(), &mut stat, libc::AT_EMPTY_PATH))
            .map(|_| stat.st_mode & libc::S_IFMT),
        Ok(libc::S_IFREG),
    );
    t.is(
        "renameat",
        call!(renameat(dir, c("sl").as_ptr(), libc::AT_FDCWD, c("moved").as_ptr())),
        Ok(0),
    );
    t.is(
        "linkat",
        call!(linkat(libc::AT_FDCWD, c("to").as_ptr(), dir, c("hard").as_ptr(), 0)),
        Ok(0),
    );
    t.ok("faccessat", call!(faccessat(dir, c("hard").as_ptr(), libc::R_OK, 0)).is_ok());
    t.is(
        "read through it",
        read::<9>(call!(openat(dir, c("hard").as_ptr(), 0)).unwrap_or(-1) as i32),
        Ok(b"O".to_vec()),
    );
    t.is("mkfifo", one("fifo", |path| call!(mkfifo(path, 0o600))), Ok(0));
    t.is("a FIFO", lstat("fifo").map(|s| s.st_mode), Ok(libc::S_IFIFO | 0o600));
    t.fails("no reader", open("fifo", libc::O_WRONLY | libc::O_NONBLOCK), libc::ENXIO);
}

fn attributes(t: &mut Checks) {
    let mode = |path: &str| stat(path).map(|s| s.st_mode & 0o7777);
    t.is("chmod", one("file", |path| call!(chmod(path, 0o7531))).and(mode("file")), Ok(0o7531));
    t.fails("of nothing", one("missing", |path| call!(chmod(path, 0))), libc::ENOENT);
    let fd = open("file", libc::O_RDONLY).unwrap_or(-1) as i32;
    t.is("fchmod", call!(fchmod(fd, 0o600)).and(mode("file")), Ok(0o600));
    t.is("access", one("file", |path| call!(access(path, libc::R_OK | libc::W_OK))), Ok(0));
    t.fails("not executable", one("file", |path| call!(access(path, libc::X_OK))), libc::EACCES);
    t.fails(
        "access to nothing",
        one("missing", |path| call!(access(path, libc::F_OK))),
        libc::ENOENT,
    );
    t.fails("no such access", one("file", |path| call!(access(path, 8))), libc::EINVAL);
    let times =
        [libc::timespec { tv_sec: 1000, tv_nsec: 5 }, libc::timespec { tv_sec: 2000, tv_nsec: 7 }];
    t.is(
        "utimensat",
        one("file", |path| call!(utimensat(libc::AT_FDCWD, path, times.as_ptr(), 0))),
        Ok(0),
    );
    t.is(
        "both times",
        stat("file").map(|s| (s.st_atime, s.st_atime_nsec, s.st_mtime, s.st_mtime_nsec)),
        Ok((1000, 5, 2000, 7)),
    );
    let omit = [
        libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        libc::timespec { tv_sec: 3000, tv_nsec: 0 },
    ];
    t.is(
        "UTIME_OMIT",
        one("file", |path| call!(utimensat(libc::AT_FDCWD, path, omit.as_ptr(), 0))),
        Ok(0),
    );
    t.is("one time", stat("file").map(|s| (s.st_atime, s.st_mtime)), Ok((1000, 3000)));
    let bad = [libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }; 2];
    t.fails(
        "too many nanoseconds",
        one("file", |path| call!(utimensat(libc::AT_FDCWD, path, bad.as_ptr(), 0))),
        libc::EINVAL,
    );
    t.is(
        "chown to nobody in particular",
        one("file", |path| call!(chown(path, u32::MAX, u32::MAX))),
        Ok(0),
    );
    if is_root() {
        set_id_bits(t);
    }
    t.is("umask", call!(umask(0o77)), Ok(0o22));
    put("private", "");
    t.is("is obeyed", mode("private"), Ok(0o600));
    t.is("umask takes nine bits", call!(umask(0o7777)).and(call!(umask(0o22))), Ok(0o777));
    let _ = call!(close(fd));
}

/// A file that somebody else writes loses its set-id bits; the one for the group also where it has
/// no execute permission beside it, as the writer is no member.
fn set_id_bits(t: &mut Checks) {
    for (mode, left) in [(0o4755, 0o755), (0o2711, 0o711), (0o2640, 0o640), (0o6600, 0o600)] {
        put("set", "");
        let fd = open("set", libc::O_WRONLY).unwrap_or(-1) as i32;
        t.is(&format!("{mode:o}"), call!(fchmod(fd, mode)), Ok(0));
        let seen = || stat("set").map(|s| s.st_mode & 0o7777);
        let by_root = write(fd, b"1").and(seen().map(i64::from));
        t.is("written by root", by_root, Ok(i64::from(mode)));
        let by_nobody = as_nobody(|| write(fd, b"1")).and(seen().map(i64::from));
        t.is("written by nobody", by_nobody, Ok(left));
        let _ = call!(close(fd));
    }
}
