//! `inotify(7)`: watches, events, their order and what they are called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use lx_guest_tests::{Checks, Scratch, c, call, fork, pause, read, wait, write};

fn main() {
    let mut t = Checks::new();
    let scratch = Scratch::enter();
    t.ok("a folder for the test", scratch.is_ok());
    errors(&mut t);
    of_a_directory(&mut t);
    of_a_file(&mut t);
    moves(&mut t);
    ends(&mut t);
    masks(&mut t);
    waiting(&mut t);
    drop(scratch);
    t.end();
}

fn instance() -> i32 {
    call!(inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)).unwrap_or(-1) as i32
}

fn watch(fd: i32, path: &str, mask: u32) -> i32 {
    call!(inotify_add_watch(fd, c(path).as_ptr(), mask)).unwrap_or(-1) as i32
}

/// Events by name, in the order of their bits.
const NAMES: [(u32, &str); 16] = [
    (libc::IN_ACCESS, "ACCESS"),
    (libc::IN_MODIFY, "MODIFY"),
    (libc::IN_ATTRIB, "ATTRIB"),
    (libc::IN_CLOSE_WRITE, "CLOSE_WRITE"),
    (libc::IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"),
    (libc::IN_OPEN, "OPEN"),
    (libc::IN_MOVED_FROM, "MOVED_FROM"),
    (libc::IN_MOVED_TO, "MOVED_TO"),
    (libc::IN_CREATE, "CREATE"),
    (libc::IN_DELETE, "DELETE"),
    (libc::IN_DELETE_SELF, "DELETE_SELF"),
    (libc::IN_MOVE_SELF, "MOVE_SELF"),
    (libc::IN_UNMOUNT, "UNMOUNT"),
    (libc::IN_Q_OVERFLOW, "Q_OVERFLOW"),
    (libc::IN_IGNORED, "IGNORED"),
    (libc::IN_ISDIR, "ISDIR"),
];

/// What is in the queue: `wd:EVENTS name`, and `#n` for the nth cookie.
fn events(fd: i32) -> Vec<String> {
    let bytes = read::<16384>(fd).unwrap_or_default();
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .map_or(0, |four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
    };
    let (mut at, mut found, mut cookies) = (0, Vec::new(), Vec::new());
    while at + 16 <= bytes.len() {
        let (wd, mask, cookie, len) =
            (number(at) as i32, number(at + 4), number(at + 8), number(at + 12) as usize);
        let name = bytes.get(at + 16..at + 16 + len).unwrap_or_default();
        let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
        let names: Vec<&str> =
            NAMES.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
        let mut text = format!("{wd}:{}", names.join("|"));
        if len > 0 {
            text += &format!(" {}/{len}", String::from_utf8_lossy(&name));
        }
        if cookie != 0 {
            if !cookies.contains(&cookie) {
                cookies.push(cookie);
            }
            let nth = cookies.iter().position(|known| *known == cookie).unwrap_or(0);
            text += &format!(" #{nth}");
        }
        found.push(text);
        at += 16 + len;
    }
    found
}

fn are(t: &mut Checks, what: &str, fd: i32, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    t.is(what, events(fd), expected);
}

fn errors(t: &mut Checks) {
    let fd = instance();
    t.ok("inotify_init1", fd >= 0);
    t.is("close on exec", call!(fcntl(fd, libc::F_GETFD)), Ok(1));
    t.fails("unknown flag", call!(inotify_init1(1)), libc::EINVAL);
    t.fails("nothing there", read::<100>(fd).map(|_| 0), libc::EAGAIN);
    let add = |path: &str, mask: u32| call!(inotify_add_watch(fd, c(path).as_ptr(), mask));
    t.fails("no event", add(".", 0), libc::EINVAL);
    t.fails("no file", add("missing", libc::IN_OPEN), libc::ENOENT);
    let _ = fs::write("plain", "x");
    t.fails("IN_ONLYDIR", add("plain", libc::IN_OPEN | libc::IN_ONLYDIR), libc::ENOTDIR);
    t.fails(
        "no inotify descriptor",
        call!(inotify_add_watch(0, c".".as_ptr(), libc::IN_OPEN)),
        libc::EINVAL,
    );
    t.fails("bad descriptor", call!(inotify_add_watch(-1, c".".as_ptr(), 1)), libc::EBADF);
    t.fails("remove nothing", call!(inotify_rm_watch(fd, 7)), libc::EINVAL);
    t.fails("write", write(fd, b"x"), libc::EBADF);
    let both = libc::IN_MASK_ADD | libc::IN_MASK_CREATE | libc::IN_OPEN;
    t.fails("IN_MASK_ADD with IN_MASK_CREATE", add("plain", both), libc::EINVAL);
    t.is("first watch", add("plain", libc::IN_OPEN), Ok(1));
    t.is("the same one", add("plain", libc::IN_ACCESS), Ok(1));
    let create = libc::IN_OPEN | libc::IN_MASK_CREATE;
    t.fails("IN_MASK_CREATE", add("plain", create), libc::EEXIST);
    t.is("remove", call!(inotify_rm_watch(fd, 1)), Ok(0));
    are(t, "removed", fd, &["1:IGNORED"]);
    t.is("the next one", add("plain", libc::IN_OPEN), Ok(2));
    let _ = call!(close(fd));
    let _ = fs::remove_file("plain");
}

fn of_a_directory(t: &mut Checks) {
    let _ = fs::create_dir("dir");
    let fd = instance();
    watch(fd, "dir", libc::IN_ALL_EVENTS);
    let _ = fs::write("dir/file", "text");
    are(
        t,
        "a new file",
        fd,
        &["1:CREATE file/16", "1:OPEN file/16", "1:MODIFY file/16", "1:CLOSE_WRITE file/16"],
    );
    let _ = fs::read("dir/file");
    are(t, "is read", fd, &["1:OPEN file/16", "1:ACCESS file/16", "1:CLOSE_NOWRITE file/16"]);
    let _ = fs::OpenOptions::new().write(true).truncate(true).open("dir/file");
    are(t, "is truncated", fd, &["1:OPEN file/16", "1:MODIFY file/16", "1:CLOSE_WRITE file/16"]);
    let _ = call!(truncate(c"dir/file".as_ptr(), 5));
    are(t, "by its name", fd, &["1:MODIFY file/16"]);
    let _ = fs::set_permissions("dir/file", fs::Permissions::from_mode(0o600));
    are(t, "gets another mode", fd, &["1:ATTRIB file/16"]);
    let now = [libc::timespec { tv_sec: 5, tv_nsec: 0 }, libc::timespec { tv_sec: 5, tv_nsec: 0 }];
    let _ = call!(utimensat(libc::AT_FDCWD, c"dir/file".as_ptr(), now.as_ptr(), 0));
    are(t, "other times", fd, &["1:ATTRIB file/16"]);
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let only = [omit, now[1]];
    let _ = call!(utimensat(libc::AT_FDCWD, c"dir/file".as_ptr(), only.as_ptr(), 0));
    are(t, "one of them", fd, &["1:MODIFY file/16"]);
    let _ = fs::hard_link("dir/file", "dir/a-name-that-is-longer");
    are(t, "another name", fd, &["1:CREATE a-name-that-is-longer/32"]);
    let _ = symlink("file", "dir/link");
    are(t, "a symbolic link", fd, &["1:CREATE link/16"]);
    let _ = fs::create_dir("dir/inner");
    are(t, "a directory", fd, &["1:CREATE|ISDIR inner/16"]);
    let _ = fs::read_dir("dir").map(Iterator::count);
    are(t, "is listed", fd, &["1:OPEN|ISDIR", "1:ACCESS|ISDIR", "1:CLOSE_NOWRITE|ISDIR"]);
    let _ = fs::remove_dir("dir/inner");
    are(t, "a directory goes", fd, &["1:DELETE|ISDIR inner/16"]);
    let _ = fs::remove_file("dir/file");
    let _ = fs::remove_file("dir/a-name-that-is-longer");
    let _ = fs::remove_file("dir/link");
    are(
        t,
        "files go",
        fd,
        &["1:DELETE file/16", "1:DELETE a-name-that-is-longer/32", "1:DELETE link/16"],
    );
    let _ = call!(close(fd));
    let _ = fs::remove_dir("dir");
}

fn of_a_file(t: &mut Checks) {
    let _ = fs::write("file", "text");
    // A description that is older than the watch is watched, too.
    let old = call!(open(c"file".as_ptr(), libc::O_RDWR)).unwrap_or(-1) as i32;
    let fd = instance();
    watch(fd, "file", libc::IN_ALL_EVENTS);
    let _ = write(old, b"x");
    let _ = write(old, b"y");
    are(t, "two writes are one event", fd, &["1:MODIFY"]);
    let _ = read::<1>(old);
    let _ = call!(close(old));
    are(t, "read and closed", fd, &["1:ACCESS", "1:CLOSE_WRITE"]);
    let _ = fs::hard_link("file", "other");
    are(t, "another name", fd, &["1:ATTRIB"]);
    let _ = fs::write("other", "by the other name");
    are(t, "written by it", fd, &["1:OPEN", "1:MODIFY", "1:CLOSE_WRITE"]);
    let _ = fs::remove_file("other");
    are(t, "a name less", fd, &["1:ATTRIB"]);
    let _ = fs::rename("file", "moved");
    are(t, "moved", fd, &["1:MOVE_SELF"]);
    let _ = fs::remove_file("moved");
    are(t, "gone", fd, &["1:ATTRIB", "1:DELETE_SELF", "1:IGNORED"]);
    let _ = call!(close(fd));
}

fn moves(t: &mut Checks) {
    let _ = fs::create_dir("one");
    let _ = fs::create_dir("two");
    let _ = fs::write("one/a", "");
    let _ = fs::write("two/b", "");
    let fd = instance();
    let mask = libc::IN_MOVE | libc::IN_MOVE_SELF | libc::IN_DELETE_SELF | libc::IN_ATTRIB;
    watch(fd, "one", mask);
    watch(fd, "two", mask);
    watch(fd, "two/b", mask);
    let _ = fs::rename("one/a", "two/c");
    are(t, "to another directory", fd, &["1:MOVED_FROM a/16 #0", "2:MOVED_TO c/16 #0"]);
    let _ = fs::rename("two/c", "two/b");
    are(
        t,
        "over another file",
        fd,
        &["2:MOVED_FROM c/16 #0", "2:MOVED_TO b/16 #0", "3:ATTRIB", "3:DELETE_SELF", "3:IGNORED"],
    );
    let _ = fs::create_dir("one/d");
    let _ = fs::rename("one/d", "two/d");
    are(t, "a directory", fd, &["1:MOVED_FROM|ISDIR d/16 #0", "2:MOVED_TO|ISDIR d/16 #0"]);
    let _ = fs::rename("one", "three");
    are(t, "what is watched", fd, &["1:MOVE_SELF"]);
    let _ = fs::write("three/e", "");
    let _ = fs::rename("three/e", "three/f");
    are(t, "it is still watched", fd, &["1:MOVED_FROM e/16 #0", "1:MOVED_TO f/16 #0"]);
    let _ = call!(close(fd));
    let _ = (fs::remove_dir_all("three"), fs::remove_dir_all("two"));
}

fn ends(t: &mut Checks) {
    let _ = fs::create_dir("dir");
    let fd = instance();
    watch(fd, "dir", libc::IN_ALL_EVENTS);
    let _ = fs::remove_dir("dir");
    are(t, "a watched directory goes", fd, &["1:DELETE_SELF", "1:IGNORED"]);
    t.fails("its watch is gone", call!(inotify_rm_watch(fd, 1)), libc::EINVAL);
    let _ = call!(close(fd));
}

fn masks(t: &mut Checks) {
    let _ = fs::write("file", "text");
    let fd = instance();
    watch(fd, "file", libc::IN_OPEN);
    watch(fd, "file", libc::IN_CLOSE | libc::IN_MASK_ADD);
    let _ = fs::read("file");
    are(t, "IN_MASK_ADD", fd, &["1:OPEN", "1:CLOSE_NOWRITE"]);
    watch(fd, "file", libc::IN_CLOSE);
    let _ = fs::read("file");
    are(t, "another mask", fd, &["1:CLOSE_NOWRITE"]);
    watch(fd, "file", libc::IN_OPEN | libc::IN_ONESHOT);
    let _ = (fs::read("file"), fs::read("file"));
    are(t, "IN_ONESHOT", fd, &["1:OPEN", "1:IGNORED"]);
    let _ = symlink("file", "link");
    watch(fd, "link", libc::IN_ALL_EVENTS | libc::IN_DONT_FOLLOW);
    let _ = fs::read("link");
    are(t, "IN_DONT_FOLLOW", fd, &[]);
    let _ = fs::create_dir("dir");
    watch(fd, "dir", libc::IN_ALL_EVENTS | libc::IN_EXCL_UNLINK);
    let file = call!(open(c"dir/x".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    let file = file.unwrap_or(-1) as i32;
    let _ = fs::remove_file("dir/x");
    let _ = events(fd);
    let _ = write(file, b"x");
    are(t, "IN_EXCL_UNLINK", fd, &[]);
    let _ = (call!(close(file)), call!(close(fd)));
    let _ = (fs::remove_file("file"), fs::remove_file("link"), fs::remove_dir("dir"));
}

fn waiting(t: &mut Checks) {
    let _ = fs::create_dir("dir");
    let fd = call!(inotify_init()).unwrap_or(-1) as i32;
    watch(fd, "dir", libc::IN_CREATE | libc::IN_DELETE);
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    t.is("not ready", call!(poll(&mut entry, 1, 0)), Ok(0));
    let child = fork(|| {
        pause(30);
        i32::from(fs::write("dir/new", "").is_err())
    });
    t.is("a poll that waits", call!(poll(&mut entry, 1, 5000)), Ok(1));
    wait(child);
    let mut len = 0;
    t.is("FIONREAD", call!(ioctl(fd, libc::FIONREAD, &mut len)), Ok(0));
    t.is("its bytes", len, 32);
    t.fails("too little room", read::<20>(fd).map(|_| 0), libc::EINVAL);
    are(t, "the event", fd, &["1:CREATE new/16"]);
    let child = fork(|| {
        pause(30);
        i32::from(fs::remove_file("dir/new").is_err())
    });
    are(t, "a read that waits", fd, &["1:DELETE new/16"]);
    wait(child);
    let _ = call!(close(fd));
    let _ = fs::remove_dir("dir");
}
