//! Times that calls change besides those of their own file: of the directories whose names change,
//! of a file that gets another name. Each has to be seen at once.

use std::fs;
use std::mem::zeroed;
use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use lx_guest_tests::{Called, Checks, Scratch, c, call};

/// The time of the last change and modification, in nanoseconds.
type Times = (i64, i64);

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    for folder in ["one", "two", "one/folder"] {
        t.works("a folder", call!(mkdir(c(folder).as_ptr(), 0o755)));
    }
    new_names(&mut t);
    renaming(&mut t);
    removing(&mut t);
    fifos(&mut t);
    drop(scratch);
    t.end();
}

fn times(path: &str) -> Times {
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    match call!(lstat(c(path).as_ptr(), &mut stat)) {
        Ok(_) => (
            stat.st_ctime * 1_000_000_000 + stat.st_ctime_nsec,
            stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec,
        ),
        Err(_) => (0, 0),
    }
}

/// What goes through a FIFO moves its times.
fn fifos(t: &mut Checks) {
    t.works("a FIFO", call!(mkfifo(c("fifo").as_ptr(), 0o600)));
    let fd = t.works("open", call!(open(c("fifo").as_ptr(), libc::O_RDWR))) as i32;
    let long_ago = || {
        let past = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        let _ = call!(utimensat(libc::AT_FDCWD, c("fifo").as_ptr(), [past, past].as_ptr(), 0));
    };
    let moved = || {
        fs::metadata("fifo").map(|fifo| {
            use std::os::unix::fs::MetadataExt;
            (fifo.atime() > 1000, fifo.mtime() > 1000)
        })
    };
    long_ago();
    t.is("a write", lx_guest_tests::write(fd, b"x"), Ok(1));
    t.is("is a modification", moved().ok(), Some((false, true)));
    long_ago();
    t.is("a read", lx_guest_tests::read::<1>(fd), Ok(b"x".to_vec()));
    t.is("is an access", moved().ok(), Some((true, false)));
    let _ = call!(close(fd));
}

/// Waits until a change would get a later time than that of `path`.
fn wait_after(path: &str) {
    for _ in 0..2000 {
        let _ = fs::write("clock", "x");
        if times("clock").0 > times(path).0 {
            return;
        }
        sleep(Duration::from_millis(1));
    }
}

/// The call changes the directories' contents, and the inodes of `files`: at `.0` before, `.1` after.
fn changes(
    t: &mut Checks,
    what: &str,
    folders: &[&str],
    files: &[(&str, &str)],
    call: impl FnOnce() -> Called,
) {
    let folder_times: Vec<_> = folders.iter().map(|path| times(path)).collect();
    let file_times: Vec<_> = files.iter().map(|(path, _)| times(path)).collect();
    for path in folders.iter().chain(files.iter().map(|(path, _)| path)) {
        wait_after(path);
    }
    t.works(what, call());
    for (path, before) in folders.iter().zip(folder_times) {
        let now = times(path);
        t.ok(&format!("{what}: times of {path}"), now.0 > before.0 && now.1 > before.1);
    }
    for ((_, path), before) in files.iter().zip(file_times) {
        let now = times(path);
        t.ok(&format!("{what}: times of {path}"), now.0 > before.0 && now.1 == before.1);
    }
}

fn new_names(t: &mut Checks) {
    changes(t, "open", &["one"], &[], || {
        call!(open(c("one/file").as_ptr(), libc::O_CREAT | libc::O_RDONLY, 0o644))
    });
    changes(t, "mkdir", &["one"], &[], || call!(mkdir(c("one/empty").as_ptr(), 0o755)));
    changes(t, "mkfifo", &["one"], &[], || call!(mkfifo(c("one/fifo").as_ptr(), 0o644)));
    let to = c("file");
    changes(t, "symlink", &["one"], &[], || call!(symlink(to.as_ptr(), c("one/symlink").as_ptr())));
    for name in ["one/file", "one/fifo"] {
        let new = name.replace("one", "two");
        changes(t, "link", &["two"], &[(name, name), (name, &new)], || {
            call!(link(c(name).as_ptr(), c(&new).as_ptr()))
        });
    }
}

fn renaming(t: &mut Checks) {
    let rename = |from: &str, to: &str| call!(rename(c(from).as_ptr(), c(to).as_ptr()));
    for name in ["file", "fifo", "symlink", "folder"] {
        let (from, to) = (format!("one/{name}"), format!("two/{name}2"));
        changes(t, "rename", &["one", "two"], &[(&from, &to)], || rename(&from, &to));
    }
    let (file, folder) = ("two/file2", "two/folder2");
    changes(t, "RENAME_EXCHANGE", &["two"], &[(file, folder), (folder, file)], || {
        let exchange = libc::RENAME_EXCHANGE;
        let (from, to) = (c(file), c(folder));
        let here = libc::AT_FDCWD;
        call!(renameat2(here, from.as_ptr(), here, to.as_ptr(), exchange))
    });
    // A rename onto another name of the same file does nothing.
    let before = (times("two"), times("two/file"));
    wait_after("two");
    t.works("a link", call!(link(c("two/file").as_ptr(), c("again").as_ptr())));
    let linked = times("two/file");
    wait_after("two/file");
    t.works("rename to itself", rename("two/file", "again"));
    t.ok("nothing changed", (times("two"), times("two/file")) == (before.0, linked));
}

fn removing(t: &mut Checks) {
    let unlink = |path: &str| call!(unlink(c(path).as_ptr()));
    changes(t, "unlink", &["two"], &[("again", "again")], || unlink("two/file"));
    changes(t, "unlink of a symbolic link", &["two"], &[], || unlink("two/symlink2"));
    changes(t, "rmdir", &["one"], &[], || call!(rmdir(c("one/empty").as_ptr())));
}
