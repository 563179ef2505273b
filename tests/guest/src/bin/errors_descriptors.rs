//! The errors of the calls on an open file: its position, length, blocks, attributes, names.

use std::fs;
use std::process::exit;

use lx_guest_tests::files::{
    OfOne, address, as_nobody, close, is_root, open, path, sys, with_limit,
};
use lx_guest_tests::{Called, Checks, NOWHERE, Scratch, call, pipe};

const NONE: i64 = -1;
const NOWHERE_AT: i64 = NOWHERE as i64;

/// Descriptors of each kind.
struct Files {
    reader: i64,
    writer: i64,
    folder: i64,
    place: i64,
    pipe: i64,
    socket: i64,
    device: i64,
    event: i64,
}

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let made = [fs::write("file", "12345"), fs::create_dir("folder")];
    t.ok("prepared", made.iter().all(Result::is_ok));
    let (read_end, write_end) = pipe();
    let files = Files {
        reader: open("file", libc::O_RDONLY).into(),
        writer: open("file", libc::O_RDWR).into(),
        folder: open("folder", libc::O_RDONLY).into(),
        place: open("file", libc::O_PATH).into(),
        pipe: write_end.into(),
        socket: call!(socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)).unwrap_or(-1),
        device: open("/dev/null", libc::O_RDWR).into(),
        event: call!(eventfd(0, 0)).unwrap_or(-1),
    };
    no_descriptor(&mut t, &files);
    positions(&mut t, &files);
    lengths(&mut t, &files);
    blocks(&mut t, &files);
    advice(&mut t, &files);
    synchronizing(&mut t, &files);
    folders(&mut t, &files);
    metadata(&mut t, &files);
    attributes(&mut t, &files);
    close(read_end);
    drop(scratch);
    t.end();
}

/// Every call that takes a descriptor, with other arguments that are right.
const CALLS: &[OfOne] = &[
    ("fchdir", |fd| sys(libc::SYS_fchdir, [fd])),
    ("fchmod", |fd| sys(libc::SYS_fchmod, [fd, 0o644])),
    ("fchown", |fd| sys(libc::SYS_fchown, [fd, -1, -1])),
    ("fstat", |fd| sys(libc::SYS_fstat, [fd, address(&mut [0_u64; 32])])),
    ("fstatfs", |fd| sys(libc::SYS_fstatfs, [fd, address(&mut [0_u64; 32])])),
    ("fsync", |fd| sys(libc::SYS_fsync, [fd])),
    ("fdatasync", |fd| sys(libc::SYS_fdatasync, [fd])),
    ("syncfs", |fd| sys(libc::SYS_syncfs, [fd])),
    ("ftruncate", |fd| sys(libc::SYS_ftruncate, [fd, 5])),
    ("fallocate", |fd| sys(libc::SYS_fallocate, [fd, 0, 0, 1])),
    ("fadvise64", |fd| sys(libc::SYS_fadvise64, [fd, 0, 0, 0])),
    ("lseek", |fd| sys(libc::SYS_lseek, [fd, 0, 0])),
    ("getdents", |fd| sys(libc::SYS_getdents, [fd, address(&mut [0_u64; 64]), 512])),
    ("getdents64", |fd| sys(libc::SYS_getdents64, [fd, address(&mut [0_u64; 64]), 512])),
    ("fgetxattr", |fd| sys(libc::SYS_fgetxattr, [fd, path("user.a"), 0, 0])),
    ("fsetxattr", |fd| sys(libc::SYS_fsetxattr, [fd, path("user.a"), 0, 0, 0])),
    ("flistxattr", |fd| sys(libc::SYS_flistxattr, [fd, 0, 0])),
    ("fremovexattr", |fd| sys(libc::SYS_fremovexattr, [fd, path("user.a")])),
];

/// What an `O_PATH` descriptor is good for.
const OF_PLACES: &[&str] = &["fchdir", "fstat", "fstatfs"];

fn no_descriptor(t: &mut Checks, files: &Files) {
    for (name, call) in CALLS {
        t.fails(&format!("{name} of none"), call(NONE), libc::EBADF);
        t.fails(&format!("{name} of a closed one"), call(1_000_000), libc::EBADF);
        if !OF_PLACES.contains(name) {
            t.fails(&format!("{name} of a place"), call(files.place), libc::EBADF);
        }
    }
}

fn positions(t: &mut Checks, files: &Files) {
    let lseek = |fd, offset, whence: i32| sys(libc::SYS_lseek, [fd, offset, i64::from(whence)]);
    let file = files.reader;
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    fails("lseek: no such way", lseek(file, 0, 99), libc::EINVAL);
    fails("lseek: before the start", lseek(file, -1, libc::SEEK_SET), libc::EINVAL);
    fails("lseek: far before the end", lseek(file, -6, libc::SEEK_END), libc::EINVAL);
    fails("lseek: data behind the end", lseek(file, 5, libc::SEEK_DATA), libc::ENXIO);
    fails("lseek: a hole behind the end", lseek(file, 6, libc::SEEK_HOLE), libc::ENXIO);
    fails("lseek: data before the start", lseek(file, -1, libc::SEEK_DATA), libc::ENXIO);
    fails("lseek: a pipe", lseek(files.pipe, 0, libc::SEEK_SET), libc::ESPIPE);
    fails("lseek: a pipe, no such way", lseek(files.pipe, 0, 99), libc::EINVAL);
    fails("lseek: a socket", lseek(files.socket, 0, libc::SEEK_CUR), libc::ESPIPE);
    t.is("lseek: it stays", lseek(file, 0, libc::SEEK_CUR), Ok(0));
}

fn lengths(t: &mut Checks, files: &Files) {
    let ftruncate = |fd, len| sys(libc::SYS_ftruncate, [fd, len]);
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    fails("ftruncate: to read", ftruncate(files.reader, 5), libc::EINVAL);
    fails("ftruncate: a folder", ftruncate(files.folder, 5), libc::EINVAL);
    fails("ftruncate: a pipe", ftruncate(files.pipe, 5), libc::EINVAL);
    fails("ftruncate: a socket", ftruncate(files.socket, 5), libc::EINVAL);
    fails("ftruncate: a device", ftruncate(files.device, 5), libc::EINVAL);
    fails("ftruncate: less than none", ftruncate(files.writer, -1), libc::EINVAL);
    fails("ftruncate: less than none, of none", ftruncate(NONE, -1), libc::EINVAL);
    let _ = call!(signal(libc::SIGXFSZ, libc::SIG_IGN));
    let long = with_limit(libc::RLIMIT_FSIZE, 6, || ftruncate(files.writer, 7));
    fails("ftruncate: too long", long, libc::EFBIG);
    let short = with_limit(libc::RLIMIT_FSIZE, 1, || ftruncate(files.writer, 5));
    t.is("ftruncate: as long as before", short, Ok(0));
}

fn blocks(t: &mut Checks, files: &Files) {
    let fallocate = |fd, mode: i32, offset: i64, len: i64| {
        sys(libc::SYS_fallocate, [fd, i64::from(mode), offset, len])
    };
    let file = files.writer;
    let hole = libc::FALLOC_FL_PUNCH_HOLE;
    let mut fails = |what: &str, got: Called, errno: i32| t.fails(what, got, errno);
    fails("fallocate: to read", fallocate(files.reader, 0, 0, 1), libc::EBADF);
    fails("fallocate: a folder", fallocate(files.folder, 0, 0, 1), libc::EBADF);
    fails("fallocate: before the start", fallocate(file, 0, -1, 1), libc::EINVAL);
    fails("fallocate: nothing", fallocate(file, 0, 0, 0), libc::EINVAL);
    fails("fallocate: less than nothing", fallocate(file, 0, 0, -1), libc::EINVAL);
    fails("fallocate: an unknown mode", fallocate(file, 0x4000, 0, 1), libc::EOPNOTSUPP);
    fails("fallocate: a hole that grows", fallocate(file, hole, 0, 1), libc::EOPNOTSUPP);
    let far = fallocate(file, 0, i64::MAX, 1);
    fails("fallocate: behind all", far, libc::EFBIG);
    fails("fallocate: a pipe", fallocate(files.pipe, 0, 0, 1), libc::ESPIPE);
    fails("fallocate: a socket", fallocate(files.socket, 0, 0, 1), libc::ENODEV);
    fails("fallocate: a device", fallocate(files.device, 0, 0, 1), libc::ENODEV);
    fails("fallocate: an event", fallocate(files.event, 0, 0, 1), libc::ENODEV);
    let long = with_limit(libc::RLIMIT_FSIZE, 6, || fallocate(file, 0, 0, 7));
    fails("fallocate: too long", long, libc::EFBIG);
}

fn advice(t: &mut Checks, files: &Files) {
    let fadvise = |fd, len: i64, advice: i64| sys(libc::SYS_fadvise64, [fd, 0, len, advice]);
    t.fails("fadvise64: no such advice", fadvise(files.reader, 0, 99), libc::EINVAL);
    t.fails("fadvise64: less than none", fadvise(files.reader, -1, 0), libc::EINVAL);
    t.fails("fadvise64: a pipe", fadvise(files.pipe, 0, 0), libc::ESPIPE);
    t.fails("fadvise64: a pipe, no such advice", fadvise(files.pipe, 0, 99), libc::ESPIPE);
    t.fails("fadvise64: a folder, no such advice", fadvise(files.folder, 0, 99), libc::EINVAL);
    for advice in 0..6 {
        t.is(&format!("fadvise64: {advice}"), fadvise(files.reader, 0, advice), Ok(0));
    }
    t.is("fadvise64: a folder", fadvise(files.folder, 0, 0), Ok(0));
}

fn synchronizing(t: &mut Checks, files: &Files) {
    for (name, call) in [("fsync", libc::SYS_fsync), ("fdatasync", libc::SYS_fdatasync)] {
        let sync = |fd| sys(call, [fd]);
        t.fails(&format!("{name}: a pipe"), sync(files.pipe), libc::EINVAL);
        t.fails(&format!("{name}: a socket"), sync(files.socket), libc::EINVAL);
        t.fails(&format!("{name}: a device"), sync(files.device), libc::EINVAL);
        t.fails(&format!("{name}: an event"), sync(files.event), libc::EINVAL);
        t.is(&format!("{name}: a folder"), sync(files.folder), Ok(0));
        t.is(&format!("{name}: a file to read"), sync(files.reader), Ok(0));
    }
    t.is("syncfs", sys(libc::SYS_syncfs, [files.reader]), Ok(0));
    t.is("sync", sys(libc::SYS_sync, []), Ok(0));
}

fn folders(t: &mut Checks, files: &Files) {
    let mut buffer = [0_u64; 64];
    let room = address(&mut buffer);
    for (name, call) in [("getdents", libc::SYS_getdents), ("getdents64", libc::SYS_getdents64)] {
        let read = |fd, out: i64, size: i64| sys(call, [fd, out, size]);
        t.fails(&format!("{name}: a file"), read(files.reader, room, 512), libc::ENOTDIR);
        t.fails(&format!("{name}: a pipe"), read(files.pipe, room, 512), libc::ENOTDIR);
        t.fails(&format!("{name}: no room"), read(files.folder, room, 8), libc::EINVAL);
        t.fails(&format!("{name}: none"), read(files.folder, room, 0), libc::EINVAL);
        let nowhere = read(files.folder, NOWHERE_AT, 512);
        t.fails(&format!("{name}: to nowhere"), nowhere, libc::EFAULT);
    }
    let read = sys(libc::SYS_getdents, [files.folder, room, 512]);
    t.is("getdents", read, Ok(48));
    t.is("getdents: the end", sys(libc::SYS_getdents, [files.folder, room, 512]), Ok(0));
}

fn metadata(t: &mut Checks, files: &Files) {
    let nowhere = NOWHERE_AT;
    t.fails("fstat: to nowhere", sys(libc::SYS_fstat, [files.reader, nowhere]), libc::EFAULT);
    t.fails("fstatfs: to nowhere", sys(libc::SYS_fstatfs, [files.reader, nowhere]), libc::EFAULT);
    t.fails("fchdir: a pipe", sys(libc::SYS_fchdir, [files.pipe]), libc::ENOTDIR);
    let mut stat = [0_u64; 32];
    let stat = address(&mut stat);
    for (kind, fd) in [("a place", files.place), ("a pipe", files.pipe), ("an event", files.event)]
    {
        t.is(&format!("fstat: {kind}"), sys(libc::SYS_fstat, [fd, stat]), Ok(0));
        t.is(&format!("fstatfs: {kind}"), sys(libc::SYS_fstatfs, [fd, stat]), Ok(0));
    }
}

/// The forms of the calls of extended attributes: from a path, of a link, of a descriptor.
struct Form {
    name: &'static str,
    subject: i64,
    set: i64,
    get: i64,
    list: i64,
    remove: i64,
}

fn attributes(t: &mut Checks, files: &Files) {
    let forms = [
        Form {
            name: "",
            subject: path("file"),
            set: libc::SYS_setxattr,
            get: libc::SYS_getxattr,
            list: libc::SYS_listxattr,
            remove: libc::SYS_removexattr,
        },
        Form {
            name: "l",
            subject: path("file"),
            set: libc::SYS_lsetxattr,
            get: libc::SYS_lgetxattr,
            list: libc::SYS_llistxattr,
            remove: libc::SYS_lremovexattr,
        },
        Form {
            name: "f",
            subject: files.reader,
            set: libc::SYS_fsetxattr,
            get: libc::SYS_fgetxattr,
            list: libc::SYS_flistxattr,
            remove: libc::SYS_fremovexattr,
        },
    ];
    for form in &forms {
        of_form(t, form);
    }
    let fifo = sys(libc::SYS_mknod, [path("fifo"), i64::from(libc::S_IFIFO | 0o600), 0]);
    t.is("a FIFO", fifo, Ok(0));
    let set = |name: &str, attribute: &str| {
        sys(libc::SYS_setxattr, [path(name), path(attribute), path("1"), 1, 0])
    };
    t.fails("setxattr: of a FIFO", set("fifo", "user.a"), libc::EPERM);
    let get = sys(libc::SYS_getxattr, [path("fifo"), path("user.a"), 0, 0]);
    t.fails("getxattr: of a FIFO", get, libc::ENODATA);
    let trusted = as_nobody(|| set("file", "trusted.a"));
    t.fails("setxattr: trusted", trusted, libc::EPERM);
    let trusted = as_nobody(|| sys(libc::SYS_getxattr, [path("file"), path("trusted.a"), 0, 0]));
    t.fails("getxattr: trusted", trusted, libc::ENODATA);
    let security = as_nobody(|| set("file", "security.a"));
    t.fails("setxattr: security", security, libc::EPERM);
    let get = sys(libc::SYS_getxattr, [path("/proc/version"), path("user.a"), 0, 0]);
    t.fails("getxattr: in /proc", get, libc::EOPNOTSUPP);
    let set = sys(libc::SYS_fsetxattr, [files.pipe, path("user.a"), path("1"), 1, 0]);
    t.fails("fsetxattr: of a pipe", set, libc::EPERM);
    let set = sys(libc::SYS_fsetxattr, [files.pipe, path("trusted.a"), path("1"), 1, 0]);
    let refused = if is_root() { libc::EOPNOTSUPP } else { libc::EPERM };
    t.fails("fsetxattr: trusted, of a pipe", set, refused);
    let get = sys(libc::SYS_fgetxattr, [files.pipe, path("user.a"), 0, 0]);
    t.fails("fgetxattr: of a pipe", get, libc::ENODATA);
    let remove = sys(libc::SYS_fremovexattr, [files.pipe, path("user.a")]);
    t.fails("fremovexattr: of a pipe", remove, libc::EPERM);
}

fn of_form(t: &mut Checks, form: &Form) {
    let subject = form.subject;
    let mut buffer = [0_u64; 64];
    let room = address(&mut buffer);
    let named = |what: &str, call: &str| format!("{}{call}: {what}", form.name);
    let set = |name: i64, value: i64, size: i64, flags: i64| {
        sys(form.set, [subject, name, value, size, flags])
    };
    let get = |name: i64, out: i64, size: i64| sys(form.get, [subject, name, out, size]);
    let list = |out: i64, size: i64| sys(form.list, [subject, out, size]);
    let (name, value) = (path("user.a"), path("123"));
    let mut sets = |what: &str, got: Called, errno: i32| {
        t.fails(&named(what, "setxattr"), got, errno);
    };
    sets("nothing to replace", set(name, value, 3, 2), libc::ENODATA);
    t.is(&named("new", "setxattr"), set(name, value, 3, 1), Ok(0));
    let mut sets = |what: &str, got: Called, errno: i32| {
        t.fails(&named(what, "setxattr"), got, errno);
    };
    sets("it exists", set(name, value, 3, 1), libc::EEXIST);
    sets("an unknown flag", set(name, value, 3, 4), libc::EINVAL);
    sets("contradiction", set(name, value, 3, 3), libc::EEXIST);
    sets("from nowhere", set(name, NOWHERE_AT, 3, 0), libc::EFAULT);
    sets("more than there may be", set(name, value, 65537, 0), libc::E2BIG);
    sets("a name that is nowhere", set(NOWHERE_AT, value, 3, 0), libc::EFAULT);
    sets("no name", set(path(""), value, 3, 0), libc::ERANGE);
    sets("a long name", set(path(&format!("user.{}", "n".repeat(251))), value, 3, 0), libc::ERANGE);
    sets("a namespace alone", set(path("user."), value, 3, 0), libc::EINVAL);
    sets("no namespace", set(path("a"), value, 3, 0), libc::EOPNOTSUPP);
    sets("no such namespace", set(path("other.a"), value, 3, 0), libc::EOPNOTSUPP);
    t.is(&named("its length", "getxattr"), get(name, 0, 0), Ok(3));
    let mut gets = |what: &str, got: Called, errno: i32| {
        t.fails(&named(what, "getxattr"), got, errno);
    };
    gets("nothing", get(path("user.b"), room, 8), libc::ENODATA);
    gets("no room", get(name, room, 2), libc::ERANGE);
    gets("to nowhere", get(name, NOWHERE_AT, 8), libc::EFAULT);
    gets("a name that is nowhere", get(NOWHERE_AT, room, 8), libc::EFAULT);
    gets("no name", get(path(""), room, 8), libc::ERANGE);
    gets("no such namespace", get(path("other.a"), room, 8), libc::EOPNOTSUPP);
    t.is(&named("its length", "listxattr"), list(0, 0), Ok(7));
    t.fails(&named("no room", "listxattr"), list(room, 6), libc::ERANGE);
    t.fails(&named("to nowhere", "listxattr"), list(NOWHERE_AT, 100), libc::EFAULT);
    let remove = |name: i64| sys(form.remove, [subject, name]);
    t.is(&named("", "removexattr"), remove(name), Ok(0));
    let mut removes = |what: &str, got: Called, errno: i32| {
        t.fails(&named(what, "removexattr"), got, errno);
    };
    removes("again", remove(name), libc::ENODATA);
    removes("a name that is nowhere", remove(NOWHERE_AT), libc::EFAULT);
    removes("no name", remove(path("")), libc::ERANGE);
    removes("no such namespace", remove(path("other.a")), libc::EOPNOTSUPP);
}
