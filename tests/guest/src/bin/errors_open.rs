//! The errors of opening files, but for those of a path that leads nowhere (`errors_paths`) and of
//! a file system's own (`errors_mounts`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::exit;

use lx_guest_tests::files::{
    CWD, address, as_nobody, close, is_root, path, running, sys, with_limit,
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
        symlink("loop", "loop"),
        fs::set_permissions(".", fs::Permissions::from_mode(0o777)),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    opening(&mut t);
    opening_with_resolve(&mut t);
    special_files(&mut t);
    sealed(&mut t);
    drop(scratch);
    t.end();
}

/// Closes what should not have been opened, so that later checks see the same descriptors.
fn closed(opened: Called) -> Called {
    opened.map(|fd| {
        close(fd as i32);
        0
    })
}

fn openat(name: &str, flags: i32) -> Called {
    closed(sys(libc::SYS_openat, [CWD, path(name), i64::from(flags), 0o644]))
}

fn plain_open(name: &str, flags: i32) -> Called {
    closed(sys(libc::SYS_open, [path(name), i64::from(flags), 0o644]))
}

fn creat(name: &str) -> Called {
    closed(sys(libc::SYS_creat, [path(name), 0o644]))
}

/// `openat2` with these flags, mode and restrictions.
fn openat2(name: &str, flags: i32, mode: u64, resolve: u64) -> Called {
    let mut how = [flags as u64, mode, resolve];
    closed(sys(libc::SYS_openat2, [CWD, path(name), address(&mut how), 24]))
}

/// A way to open a file with flags.
type Open = (&'static str, fn(&str, i32) -> Called);

fn opening(t: &mut Checks) {
    let forms: [Open; 3] = [
        ("open", plain_open),
        ("openat", openat),
        ("openat2", |name, flags| {
            let new = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
            openat2(name, flags, if new { 0o644 } else { 0 }, 0)
        }),
    ];
    for (name, open) in forms {
        let mut fails = |what: &str, file: &str, flags: i32, errno: i32| {
            t.fails(&format!("{name}: {what}"), open(file, flags), errno);
        };
        let (create, write) = (libc::O_CREAT, libc::O_WRONLY);
        fails("missing", "missing", 0, libc::ENOENT);
        fails("it exists", "file", create | libc::O_EXCL, libc::EEXIST);
        fails("a link exists", "loop", create | libc::O_EXCL, libc::EEXIST);
        fails("a folder to write", "folder", write, libc::EISDIR);
        fails("a folder to read and write", "folder", libc::O_RDWR, libc::EISDIR);
        fails("a folder to make", "folder", create, libc::EISDIR);
        fails("a folder to make, and write", "folder", create | write, libc::EISDIR);
        fails("a file as a folder", "file", libc::O_DIRECTORY, libc::ENOTDIR);
        fails("a link not to follow", "soft", libc::O_NOFOLLOW, libc::ELOOP);
        fails("a link as a folder", "soft", libc::O_NOFOLLOW | libc::O_DIRECTORY, libc::ENOTDIR);
        fails("a loop", "loop", 0, libc::ELOOP);
        fails("a loop to make", "loop", create | write, libc::ELOOP);
        fails("a folder to make as such", "new", create | libc::O_DIRECTORY, libc::EINVAL);
        fails("nameless, to read", ".", libc::O_TMPFILE, libc::EINVAL);
        fails("nameless, in a file", "file", libc::O_TMPFILE | write, libc::ENOTDIR);
        fails("nameless, in nothing", "missing", libc::O_TMPFILE | write, libc::ENOENT);
        let among_processes = if is_root() { libc::EOPNOTSUPP } else { libc::EACCES };
        fails("nameless, in /proc", "/proc", libc::O_TMPFILE | write, among_processes);
        let half = libc::O_TMPFILE & !libc::O_DIRECTORY;
        fails("half of O_TMPFILE", "file", half | write, libc::EINVAL);
        let exe = "/proc/self/exe";
        fails("a running program", exe, write, running());
        fails("a running program, cut", exe, libc::O_TRUNC, running());
        let mut as_nobody = |what: &str, file: &str, flags: i32, errno: i32| {
            t.fails(&format!("{name}: {what}"), as_nobody(|| open(file, flags)), errno);
        };
        as_nobody("forbidden to read", "secret", 0, libc::EACCES);
        as_nobody("forbidden to write", "secret", write, libc::EACCES);
        as_nobody("forbidden to make", "/new", create, libc::EACCES);
        as_nobody("another's access time", others(), libc::O_NOATIME, libc::EPERM);
        let full = with_limit(libc::RLIMIT_NOFILE, 0, || open("file", 0));
        t.fails(&format!("{name}: no descriptor left"), full, libc::EMFILE);
    }
    t.fails("creat: a folder", creat("folder"), libc::EISDIR);
    t.fails("creat: a loop", creat("loop"), libc::ELOOP);
    t.fails("creat: a running program", creat("/proc/self/exe"), running());
    t.fails("creat: forbidden to write", as_nobody(|| creat("secret")), libc::EACCES);
    let full = with_limit(libc::RLIMIT_NOFILE, 0, || creat("file"));
    t.fails("creat: no descriptor left", full, libc::EMFILE);
    t.is("nothing was cut", fs::metadata("file").map(|file| file.len()).ok(), Some(1));
}

/// A file that belongs to somebody else than the one `as_nobody` runs as.
fn others() -> &'static str {
    if is_root() { "file" } else { "/" }
}

fn opening_with_resolve(t: &mut Checks) {
    const NO_XDEV: u64 = 1;
    const NO_MAGICLINKS: u64 = 2;
    const NO_SYMLINKS: u64 = 4;
    const BENEATH: u64 = 8;
    const IN_ROOT: u64 = 16;
    const CACHED: u64 = 32;
    let mut fails = |what: &str, got: Called, errno: i32| {
        t.fails(&format!("openat2: {what}"), got, errno);
    };
    fails("an unknown flag", openat2("file", 1 << 30, 0, 0), libc::EINVAL);
    let mut wide = [1_u64 << 40, 0, 0];
    let wide = sys(libc::SYS_openat2, [CWD, path("file"), address(&mut wide), 24]);
    fails("a flag behind all", wide, libc::EINVAL);
    fails("an unknown restriction", openat2("file", 0, 0, 1 << 20), libc::EINVAL);
    fails("two roots", openat2("file", 0, 0, BENEATH | IN_ROOT), libc::EINVAL);
    fails("a mode of nothing new", openat2("file", 0, 0o600, 0), libc::EINVAL);
    fails("a mode with more", openat2("new", libc::O_CREAT, 0o10_0600, 0), libc::EINVAL);
    fails("O_PATH and more", openat2("file", libc::O_PATH | libc::O_RDWR, 0, 0), libc::EINVAL);
    let mut how = [0_u64; 4];
    let sized =
        |how: &mut [u64; 4], size| sys(libc::SYS_openat2, [CWD, path("file"), address(how), size]);
    fails("a short structure", sized(&mut how, 16), libc::EINVAL);
    fails("no structure", sized(&mut how, 0), libc::EINVAL);
    fails("more than a page", sized(&mut how, 4097), libc::E2BIG);
    how[3] = 1;
    fails("an extension", sized(&mut how, 32), libc::E2BIG);
    let nowhere = sys(libc::SYS_openat2, [CWD, path("file"), NOWHERE as i64, 24]);
    fails("a structure that is nowhere", nowhere, libc::EFAULT);
    fails("a link", openat2("soft", 0, 0, NO_SYMLINKS), libc::ELOOP);
    fails("a magic link", openat2("/proc/self/exe", 0, 0, NO_MAGICLINKS), libc::ELOOP);
    fails("above the start", openat2("..", 0, 0, BENEATH), libc::EXDEV);
    fails("an absolute path", openat2("/", 0, 0, BENEATH), libc::EXDEV);
    fails("another mount", openat2("/proc", 0, 0, NO_XDEV), libc::EXDEV);
    let create = libc::O_CREAT | libc::O_WRONLY;
    fails("to make in the cache", openat2("new", create, 0o600, CACHED), libc::EAGAIN);
}

fn special_files(t: &mut Checks) {
    let socket = sys(libc::SYS_mknod, [path("socket"), i64::from(libc::S_IFSOCK | 0o666), 0]);
    let fifo = sys(libc::SYS_mknod, [path("fifo"), i64::from(libc::S_IFIFO | 0o666), 0]);
    t.is("a socket and a FIFO", (socket, fifo), (Ok(0), Ok(0)));
    let nonblock = libc::O_WRONLY | libc::O_NONBLOCK;
    t.fails("open: a socket", plain_open("socket", 0), libc::ENXIO);
    t.fails("openat: a socket", openat("socket", libc::O_RDWR), libc::ENXIO);
    t.fails("openat2: a socket", openat2("socket", 0, 0, 0), libc::ENXIO);
    t.fails("creat: a socket", creat("socket"), libc::ENXIO);
    t.fails("open: no reader", plain_open("fifo", nonblock), libc::ENXIO);
    t.fails("openat: no reader", openat("fifo", nonblock), libc::ENXIO);
    // Waiting for the other end is cut short by a signal.
    let interrupted = |open: &dyn Fn() -> Called| {
        let soon = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
        let again = libc::itimerval { it_interval: soon, it_value: soon };
        let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let off = libc::itimerval { it_interval: never, it_value: never };
        let _ = call!(setitimer(0, &again, std::ptr::null_mut()));
        let result = open();
        let _ = call!(setitimer(0, &off, std::ptr::null_mut()));
        result
    };
    extern "C" fn nothing(_: i32) {}
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    t.is("a handler", call!(sigaction(libc::SIGALRM, &action, std::ptr::null_mut())), Ok(0));
    t.fails("open waits", interrupted(&|| plain_open("fifo", libc::O_WRONLY)), libc::EINTR);
    t.fails("openat waits", interrupted(&|| openat("fifo", libc::O_RDONLY)), libc::EINTR);
    t.fails("openat2 waits", interrupted(&|| openat2("fifo", 0, 0, 0)), libc::EINTR);
    t.fails("creat waits", interrupted(&|| creat("fifo")), libc::EINTR);
}

/// A file whose seals forbid to change it.
fn sealed(t: &mut Checks) {
    let flags = libc::MFD_ALLOW_SEALING;
    let fd = t.works("memfd_create", call!(memfd_create(c("m").as_ptr(), flags))) as i32;
    let _ = call!(ftruncate(fd, 4096));
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    t.is("sealed", call!(fcntl(fd, libc::F_ADD_SEALS, seals)), Ok(0));
    let name = format!("/proc/self/fd/{fd}");
    let truncate = libc::O_WRONLY | libc::O_TRUNC;
    t.fails("open: sealed", plain_open(&name, truncate), libc::EPERM);
    t.fails("openat: sealed", openat(&name, truncate), libc::EPERM);
    t.fails("creat: sealed", creat(&name), libc::EPERM);
    t.fails("truncate: sealed", sys(libc::SYS_truncate, [path(&name), 0]), libc::EPERM);
    t.fails("ftruncate: sealed", sys(libc::SYS_ftruncate, [i64::from(fd), 8192]), libc::EPERM);
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    t.fails("fallocate: sealed", call!(fallocate(fd, hole, 0, 4096)), libc::EPERM);
    close(fd);
}
