//! Extended attributes of files, `xattr(7)`: all calls, and what names and values may be.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::exit;
use std::ptr::null_mut;

use libc::{
    E2BIG, EEXIST, EINVAL, ENODATA, ENOENT, EOPNOTSUPP, EPERM, ERANGE, XATTR_CREATE, XATTR_REPLACE,
};
use lx_guest_tests::files::{address, at, sys};
use lx_guest_tests::{Called, Checks, Scratch, c, call};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    t.ok("a file, a directory, a link", made());
    values(&mut t);
    flags(&mut t);
    lists(&mut t);
    names(&mut t);
    kinds(&mut t);
    descriptors(&mut t);
    moved(&mut t);
    below(&mut t);
    drop(scratch);
    t.end();
}

fn made() -> bool {
    let link = std::os::unix::fs::symlink("file", "link");
    fs::write("file", "text").is_ok() && fs::create_dir("dir").is_ok() && link.is_ok()
}

fn set(path: &str, name: &str, value: &[u8], flags: i32) -> Called {
    let (path, name) = (c(path), c(name));
    call!(setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags))
}

fn get(path: &str, name: &str) -> Result<Vec<u8>, i32> {
    let mut value = vec![0u8; 65536];
    let (path, name) = (c(path), c(name));
    let room = value.len();
    let len = call!(getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), room))?;
    value.truncate(len as usize);
    Ok(value)
}

fn remove(path: &str, name: &str) -> Called {
    call!(removexattr(c(path).as_ptr(), c(name).as_ptr()))
}

/// The names of `user.*`, in order.
fn list(path: &str) -> Result<Vec<String>, i32> {
    let mut names = vec![0u8; 65536];
    let len = call!(listxattr(c(path).as_ptr(), names.as_mut_ptr().cast(), names.len()))?;
    let names = names.get(..len as usize).unwrap_or_default().split(|&byte| byte == 0);
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("user.")).collect();
    names.sort();
    Ok(names)
}

fn values(t: &mut Checks) {
    let all: Vec<u8> = (0..=255).collect();
    for (what, value) in [("text", &b"text"[..]), ("no bytes", b""), ("all bytes", &all)] {
        t.is(what, set("file", "user.a", value, 0), Ok(0));
        t.is("they are read", get("file", "user.a"), Ok(value.to_vec()));
    }
    let long = vec![7; 1500];
    t.is("a long value replaces a short one", set("file", "user.a", &long, 0), Ok(0));
    t.is("it is read", get("file", "user.a"), Ok(long.clone()));
    t.is("a short one replaces it", set("file", "user.a", b"short", 0), Ok(0));
    t.is("it is read", get("file", "user.a"), Ok(b"short".to_vec()));
    t.fails("more than 64 KiB", set("file", "user.a", &vec![0; 65537], 0), E2BIG);
    let (path, name) = (c("file"), c("user.a"));
    let len = call!(getxattr(path.as_ptr(), name.as_ptr(), null_mut(), 0));
    t.is("without room the length is told", len, Ok(5));
    let mut four = [0u8; 4];
    let got = call!(getxattr(path.as_ptr(), name.as_ptr(), four.as_mut_ptr().cast(), 4));
    t.fails("too little room", got, ERANGE);
    t.is("it is removed", remove("file", "user.a"), Ok(0));
    t.is("and gone", get("file", "user.a"), Err(ENODATA));
    t.fails("removed once more", remove("file", "user.a"), ENODATA);
}

fn flags(t: &mut Checks) {
    t.fails("REPLACE of nothing", set("file", "user.f", b"1", XATTR_REPLACE), ENODATA);
    t.is("CREATE", set("file", "user.f", b"2", XATTR_CREATE), Ok(0));
    t.fails("CREATE of what is there", set("file", "user.f", b"3", XATTR_CREATE), EEXIST);
    t.is("REPLACE", set("file", "user.f", b"4", XATTR_REPLACE), Ok(0));
    t.is("the last one is kept", get("file", "user.f"), Ok(b"4".to_vec()));
    t.is("removed", remove("file", "user.f"), Ok(0));
}

fn lists(t: &mut Checks) {
    t.is("no attributes", list("dir"), Ok(Vec::new()));
    for name in ["user.one", "user.two", "user.three"] {
        t.is("set", set("dir", name, b"", 0), Ok(0));
    }
    let expected = ["user.one", "user.three", "user.two"].map(str::to_owned);
    t.is("all are listed", list("dir"), Ok(expected.to_vec()));
    let mut small = [0u8; 4];
    let got = call!(listxattr(c("dir").as_ptr(), small.as_mut_ptr().cast(), small.len()));
    t.fails("a list without room", got, ERANGE);
    t.is("one is removed", remove("dir", "user.two"), Ok(0));
    t.is("and not listed", list("dir").map(|names| names.len()), Ok(2));
    t.fails("a list of nothing", call!(listxattr(c("none").as_ptr(), null_mut(), 0)), ENOENT);
}

/// Names keep their case and every letter.
fn names(t: &mut Checks) {
    let long = format!("user.{}", "n".repeat(230));
    let all = ["user.name", "user.NAME", "user.a b:c/d*?", "user.ä€", "user.%41", long.as_str()];
    for (number, name) in all.into_iter().enumerate() {
        t.is("a name", set("file", name, &[number as u8], 0), Ok(0));
    }
    for (number, name) in all.into_iter().enumerate() {
        t.is("has its value", get("file", name), Ok(vec![number as u8]));
    }
    let mut sorted = all.map(str::to_owned).to_vec();
    sorted.sort();
    t.is("and is listed", list("file"), Ok(sorted));
    for name in all {
        t.is("and removed", remove("file", name), Ok(0));
    }
    t.fails("no name", set("file", "", b"", 0), ERANGE);
    t.fails("a name that is too long", set("file", &"n".repeat(256), b"", 0), ERANGE);
    t.fails("no namespace", set("file", "name", b"", 0), EOPNOTSUPP);
    t.fails("an unknown one", get("file", "other.name").map(|_| 0), EOPNOTSUPP);
}

/// Links are followed, or have no attributes of users'.
fn kinds(t: &mut Checks) {
    t.is("through a link", set("link", "user.l", b"link", 0), Ok(0));
    t.is("it is the file's", get("file", "user.l"), Ok(b"link".to_vec()));
    let (link, name) = (c("link"), c("user.l"));
    let got = call!(lsetxattr(link.as_ptr(), name.as_ptr(), b"x".as_ptr().cast(), 1, 0));
    t.fails("of a link itself", got, EPERM);
    let got = call!(lgetxattr(link.as_ptr(), name.as_ptr(), null_mut(), 0));
    t.fails("nothing is read of it", got, ENODATA);
    t.is("removed", remove("link", "user.l"), Ok(0));
}

fn descriptors(t: &mut Checks) {
    let Ok(file) = fs::File::open("file") else { return t.ok("the file is opened", false) };
    let (fd, name) = (file.as_raw_fd(), c("user.d"));
    let got = call!(fsetxattr(fd, name.as_ptr(), b"fd".as_ptr().cast(), 2, 0));
    t.is("by a descriptor that only reads", got, Ok(0));
    t.is("it is the file's", get("file", "user.d"), Ok(b"fd".to_vec()));
    t.is("its length", call!(fgetxattr(fd, name.as_ptr(), null_mut(), 0)), Ok(2));
    t.is("removed", call!(fremovexattr(fd, name.as_ptr())), Ok(0));
    t.is("and gone", get("file", "user.d"), Err(ENODATA));
}

/// They belong to the file, not to its name.
fn moved(t: &mut Checks) {
    t.is("set", set("file", "user.m", b"moved", 0), Ok(0));
    t.ok("another name", fs::hard_link("file", "second").is_ok());
    t.ok("a new one", fs::rename("file", "dir/file").is_ok());
    t.is("still there", get("dir/file", "user.m"), Ok(b"moved".to_vec()));
    t.is("by the other name too", get("second", "user.m"), Ok(b"moved".to_vec()));
    t.ok("removed", fs::remove_file("second").is_ok() && fs::remove_file("dir/file").is_ok());
    t.ok("a new file", fs::write("file", "").is_ok());
    t.is("has none", list("file"), Ok(Vec::new()));
}

/// `struct xattr_args`.
#[repr(C)]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
    more: u64,
}

/// Numbers of the calls, which libc does not know.
const SETXATTRAT: i64 = 463;
const GETXATTRAT: i64 = 464;
const LISTXATTRAT: i64 = 465;
const REMOVEXATTRAT: i64 = 466;

/// `setxattrat` or `getxattrat` of `user.at`, the whole of `args` given.
fn with_args(number: i64, dir: i32, file: &str, how: i32, args: &mut Args, size: usize) -> Called {
    let (file, name) = (c(file), c("user.at"));
    let (dir, how) = (i64::from(dir), i64::from(how));
    sys(number, [dir, at(&file), how, at(&name), address(args), size as i64])
}

/// The calls that begin at a directory.
fn below(t: &mut Checks) {
    const ARGS: usize = 16;
    let Ok(dir) = fs::File::open("dir") else { return t.ok("the folder is opened", false) };
    t.ok("a file in it", fs::write("dir/inner", "").is_ok());
    let fd = dir.as_raw_fd();
    let mut value = *b"below";
    let args = |flags: u32, value: &mut [u8; 5]| Args {
        value: value.as_mut_ptr() as u64,
        size: 5,
        flags,
        more: 0,
    };
    let mut new = args(0, &mut value);
    let set =
        |file: &str, how, args: &mut Args, size| with_args(SETXATTRAT, fd, file, how, args, size);
    t.is("set", set("inner", 0, &mut new, ARGS), Ok(0));
    t.is("it is the file's", get("dir/inner", "user.at"), Ok(b"below".to_vec()));
    t.is("a longer structure", set("inner", 0, &mut new, ARGS + 8), Ok(0));
    new.more = 1;
    t.fails("with more in it", set("inner", 0, &mut new, ARGS + 8), E2BIG);
    t.fails("a longer one than a page", set("inner", 0, &mut new, 4097), E2BIG);
    t.fails("a shorter one", set("inner", 0, &mut new, ARGS - 1), EINVAL);
    t.fails("a flag that is none", set("inner", 1, &mut new, ARGS), EINVAL);
    t.fails("one of the value's", set("inner", 0, &mut args(4, &mut value), ARGS), EINVAL);
    let create = &mut args(XATTR_CREATE as u32, &mut value);
    t.fails("it exists", set("inner", 0, create, ARGS), EEXIST);
    t.fails("no file", set("none", 0, &mut new, ARGS), ENOENT);
    t.fails("no path", set("", 0, &mut new, ARGS), ENOENT);
    t.is("the folder itself", set("", libc::AT_EMPTY_PATH, &mut new, ARGS), Ok(0));
    t.is("has it", get("dir", "user.at"), Ok(b"below".to_vec()));

    let mut room = [0_u8; 5];
    let mut wanted = args(0, &mut room);
    t.is("got", with_args(GETXATTRAT, fd, "inner", 0, &mut wanted, ARGS), Ok(5));
    t.is("the value", &room, b"below");
    let flagged = &mut args(1, &mut room);
    t.fails("it has no flags", with_args(GETXATTRAT, fd, "inner", 0, flagged, ARGS), EINVAL);
    let link =
        with_args(GETXATTRAT, libc::AT_FDCWD, "link", libc::AT_SYMLINK_NOFOLLOW, &mut wanted, ARGS);
    t.fails("a link has none", link, ENODATA);

    let (inner, empty, name) = (c("inner"), c(""), c("user.at"));
    let (fd, itself) = (i64::from(fd), i64::from(libc::AT_EMPTY_PATH));
    let mut names = [0_u8; 256];
    let listed = sys(LISTXATTRAT, [fd, at(&inner), 0, address(&mut names), 256]);
    let len = usize::try_from(listed.unwrap_or(0)).unwrap_or(0);
    let names = names.get(..len).unwrap_or_default();
    t.ok("listed", names.split(|byte| *byte == 0).any(|name| name == b"user.at"));
    t.fails("a flag to the list", sys(LISTXATTRAT, [fd, at(&inner), 1, 0, 0]), EINVAL);
    t.ok(
        "the folder's",
        sys(LISTXATTRAT, [fd, at(&empty), itself, 0, 0]).is_ok_and(|len| len >= 8),
    );
    t.is("removed", sys(REMOVEXATTRAT, [fd, at(&inner), 0, at(&name)]), Ok(0));
    t.fails("and gone", sys(REMOVEXATTRAT, [fd, at(&inner), 0, at(&name)]), ENODATA);
    t.is("the folder's, too", sys(REMOVEXATTRAT, [fd, at(&empty), itself, at(&name)]), Ok(0));
    t.fails("a flag to it", sys(REMOVEXATTRAT, [fd, at(&inner), 1, at(&name)]), EINVAL);
}
