//! Leases, `F_SETLEASE` of `fcntl(2)`: what others wait for who open the file, or truncate it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::exit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};

use lx_guest_tests::files::{CWD, OfOne, as_nobody, close, open, path, sys};
use lx_guest_tests::futex::{asleep, join, start};
use lx_guest_tests::{Called, Checks, Scratch, call, pipe};

/// How often the holder was told.
static TOLD: AtomicI32 = AtomicI32::new(0);

extern "C" fn told(_: i32) {
    TOLD.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn nothing(_: i32) {}

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    let open_to_all = fs::Permissions::from_mode(0o666);
    let made = [fs::write("file", "1"), fs::set_permissions("file", open_to_all)];
    t.ok("prepared", made.iter().all(Result::is_ok));
    handle(&mut t, libc::SIGIO, told);
    handle(&mut t, libc::SIGALRM, nothing);
    refused(&mut t);
    to_read(&mut t);
    interrupted(&mut t);
    waiting(&mut t);
    to_write(&mut t);
    drop(scratch);
    t.end();
}

fn handle(t: &mut Checks, signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    t.is("a handler", call!(sigaction(signal, &action, null_mut())), Ok(0));
}

fn lease(fd: i32, kind: i32) -> Called {
    call!(fcntl(fd, libc::F_SETLEASE, kind))
}

fn held(fd: i32) -> Called {
    call!(fcntl(fd, libc::F_GETLEASE))
}

/// Opens the file without waiting, and closes it.
fn try_to(flags: i32) -> Called {
    let flags = i64::from(flags | libc::O_NONBLOCK);
    sys(libc::SYS_openat, [CWD, path("file"), flags, 0]).map(|fd| {
        close(fd as i32);
        0
    })
}

const NONE: Called = Ok(libc::F_UNLCK as i64);
const READ: Called = Ok(libc::F_RDLCK as i64);
const WRITE: Called = Ok(libc::F_WRLCK as i64);

fn refused(t: &mut Checks) {
    let reader = open("file", libc::O_RDONLY);
    let folder = open(".", libc::O_RDONLY);
    let (read_end, write_end) = pipe();
    t.is("none", held(reader), NONE);
    t.fails("none to give up", lease(reader, libc::F_UNLCK), libc::EAGAIN);
    t.fails("no such lease", lease(reader, 99), libc::EINVAL);
    t.fails("of a folder", lease(folder, libc::F_RDLCK), libc::EINVAL);
    t.fails("of a pipe", lease(read_end, libc::F_RDLCK), libc::EINVAL);
    let null = open("/dev/null", libc::O_RDONLY);
    let errno = if call!(geteuid()) == Ok(0) { libc::EINVAL } else { libc::EACCES };
    t.fails("of a device", lease(null, libc::F_RDLCK), errno);
    if call!(geteuid()) == Ok(0) {
        t.fails("of others", as_nobody(|| lease(reader, libc::F_RDLCK)), libc::EACCES);
    }
    let writer = open("file", libc::O_RDWR);
    t.fails("to read, by a writer", lease(writer, libc::F_RDLCK), libc::EAGAIN);
    t.fails("to read, with a writer", lease(reader, libc::F_RDLCK), libc::EAGAIN);
    t.fails("to write, with a reader", lease(writer, libc::F_WRLCK), libc::EAGAIN);
    [reader, folder, read_end, write_end, null, writer].iter().for_each(|&fd| close(fd));
}

fn to_read(t: &mut Checks) {
    let reader = open("file", libc::O_RDONLY);
    t.is("to read", lease(reader, libc::F_RDLCK), Ok(0));
    t.is("to read: held", held(reader), READ);
    t.is("to read: once more", lease(reader, libc::F_RDLCK), Ok(0));
    let other = open("file", libc::O_RDONLY);
    t.is("to read: another one", lease(other, libc::F_RDLCK), Ok(0));
    t.fails("to read: none to write", lease(other, libc::F_WRLCK), libc::EAGAIN);
    t.is("to read: nobody was told", TOLD.load(Ordering::SeqCst), 0);
    t.is("to read: open to read", try_to(libc::O_RDONLY), Ok(0));
    t.fails("to read: open to write", try_to(libc::O_WRONLY), libc::EWOULDBLOCK);
    t.ok("to read: the holders were told", TOLD.load(Ordering::SeqCst) > 0);
    t.is("to read: to be given up", (held(reader), held(other)), (NONE, NONE));
    t.fails("to read: not to be taken again", lease(reader, libc::F_RDLCK), libc::EAGAIN);
    let told = TOLD.load(Ordering::SeqCst);
    t.fails("to read: open to write again", try_to(libc::O_RDWR), libc::EWOULDBLOCK);
    t.is("to read: told once", TOLD.load(Ordering::SeqCst), told);
    // Cutting alone is not what the kernel asks leases about.
    t.is("to read: open to cut", try_to(libc::O_TRUNC), Ok(0));
    t.is("to read: given up", lease(reader, libc::F_UNLCK), Ok(0));
    t.fails("to read: the other is in the way", try_to(libc::O_RDWR), libc::EWOULDBLOCK);
    close(other);
    t.is("to read: closed", try_to(libc::O_RDWR), Ok(0));
    close(reader);
}

/// Calls that wait for a lease end by a signal.
fn interrupted(t: &mut Checks) {
    t.ok("waiting: a file", fs::write("file", "1").is_ok());
    let reader = open("file", libc::O_RDONLY);
    t.is("waiting: a lease", lease(reader, libc::F_RDLCK), Ok(0));
    // The holder is told first, so that this signal comes from the timer.
    t.fails("waiting: told", try_to(libc::O_WRONLY), libc::EWOULDBLOCK);
    let write = i64::from(libc::O_WRONLY);
    let calls: [OfOne; 5] = [
        ("open", |flags| sys(libc::SYS_open, [path("file"), flags, 0])),
        ("openat", |flags| sys(libc::SYS_openat, [CWD, path("file"), flags, 0])),
        ("openat2", |flags| {
            let how = Box::leak(Box::new([flags, 0, 0]));
            sys(libc::SYS_openat2, [CWD, path("file"), how.as_ptr() as i64, 24])
        }),
        ("creat", |_| sys(libc::SYS_creat, [path("file"), 0])),
        ("truncate", |_| sys(libc::SYS_truncate, [path("file"), 0])),
    ];
    let nonblock = write | i64::from(libc::O_NONBLOCK);
    for (name, call) in &calls[..3] {
        t.fails(&format!("{name}, not to wait"), call(nonblock), libc::EWOULDBLOCK);
    }
    for (name, call) in calls {
        let soon = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
        let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let again = libc::itimerval { it_interval: soon, it_value: soon };
        let off = libc::itimerval { it_interval: never, it_value: never };
        let _ = call!(setitimer(0, &again, null_mut()));
        let result = call(write);
        let _ = call!(setitimer(0, &off, null_mut()));
        t.fails(&format!("{name} waits"), result, libc::EINTR);
    }
    close(reader);
    t.is("nothing was cut", fs::metadata("file").map(|file| file.len()).ok(), Some(1));
}

fn waiting(t: &mut Checks) {
    let _ = call!(signal(libc::SIGIO, libc::SIG_IGN));
    let reader = open("file", libc::O_RDONLY);
    t.is("another thread: a lease", lease(reader, libc::F_RDLCK), Ok(0));
    let (opener, id) = start(|| open("file", libc::O_WRONLY));
    t.ok("another thread waits", asleep(&id));
    t.is("another thread: what is left", held(reader), NONE);
    t.is("another thread: given up", lease(reader, libc::F_UNLCK), Ok(0));
    let opened = join(opener, -1);
    t.ok("another thread has opened it", opened >= 0);
    close(opened);
    close(reader);
}

fn to_write(t: &mut Checks) {
    let writer = open("file", libc::O_RDWR);
    t.is("to write", lease(writer, libc::F_WRLCK), Ok(0));
    t.is("to write: held", held(writer), WRITE);
    t.fails("to write: open to read", try_to(libc::O_RDONLY), libc::EWOULDBLOCK);
    t.is("to write: to be one to read", held(writer), READ);
    t.fails("to write: open to write", try_to(libc::O_WRONLY), libc::EWOULDBLOCK);
    t.is("to write: to be given up", held(writer), NONE);
    close(writer);
    let reader = open("file", libc::O_RDONLY);
    t.is("to write, by a reader", lease(reader, libc::F_WRLCK), Ok(0));
    t.fails("to write: open to read again", try_to(libc::O_RDONLY), libc::EWOULDBLOCK);
    t.is("to write: now to read", lease(reader, libc::F_RDLCK), Ok(0));
    t.is("to write: others read", try_to(libc::O_RDONLY), Ok(0));
    t.fails("to write: others wait to write", try_to(libc::O_WRONLY), libc::EWOULDBLOCK);
    close(reader);
    t.is("to write: free", try_to(libc::O_RDWR), Ok(0));
}
