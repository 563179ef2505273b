//! `mq_notify(2)`, and message queues as files of the `mqueue` file system.

use std::fs;
use std::ptr::null;

use lx_guest_tests::files::{address, close, is_root, sys};
use lx_guest_tests::mqueue::{Attr, NEW, attr, name, open, receive, send, unlink};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, c, call, fork, in_child, pipe, read, sleeps, until,
    wait, write,
};

const SIGNAL: i32 = libc::SIGUSR1;

fn main() {
    let mut t = Checks::new();
    by_signal(&mut t);
    one_at_a_time(&mut t);
    ends(&mut t);
    by_message(&mut t);
    errors(&mut t);
    files(&mut t);
    t.end();
}

/// `struct sigevent`.
#[repr(C)]
struct Event {
    value: i64,
    signal: i32,
    notify: i32,
    rest: [i32; 12],
}

fn notify(fd: i64, notify: i32, signal: i32, value: i64) -> Called {
    let mut event = Event { value, signal, notify, rest: [0; 12] };
    sys(libc::SYS_mq_notify, [fd, address(&mut event)])
}

fn notify_by_signal(fd: i64, value: i64) -> Called {
    notify(fd, libc::SIGEV_SIGNAL, SIGNAL, value)
}

/// Takes notification back.
fn silence(fd: i64) -> Called {
    sys(libc::SYS_mq_notify, [fd, 0])
}

fn blocked() -> libc::sigset_t {
    // SAFETY: the set is written before it is read.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, SIGNAL);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

/// Code, sender, user and value of the blocked signal that is pending.
fn pending() -> Option<(i32, i32, u32, i64)> {
    let set = blocked();
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: all zeroes is a valid siginfo; a queued signal has sender and value.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let signal = libc::sigtimedwait(&set, &mut info, &none);
        let seen = (info.si_code, info.si_pid(), info.si_uid(), info.si_value().sival_ptr as i64);
        (signal == SIGNAL).then_some(seen)
    }
}

/// What a read of the queue shows, without spaces at the ends of values.
fn shown(fd: i64) -> String {
    let _ = call!(lseek(fd as i32, 0, libc::SEEK_SET));
    let text = read::<100>(fd as i32).unwrap_or_default();
    String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn by_signal(t: &mut Checks) {
    let name = name("signal");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((4, 16))));
    let pid = std::process::id() as i32;
    blocked();
    t.is("notification", notify_by_signal(fd, 0x1234_5678_9abc), Ok(0));
    t.is("shown", shown(fd), format!("QSIZE:0 NOTIFY:0 SIGNO:{SIGNAL} NOTIFY_PID:{pid}"));
    t.is("a message", send(fd, "one", 0), Ok(0));
    t.is("the signal", pending(), Some((libc::SI_MESGQ, pid, own_uid(), 0x1234_5678_9abc)));
    t.is("not shown any more", shown(fd), "QSIZE:3 NOTIFY:0 SIGNO:0 NOTIFY_PID:0".to_owned());
    t.is("another message", send(fd, "two", 0), Ok(0));
    t.is("no signal", pending(), None);
    t.is("notification again", notify_by_signal(fd, 2), Ok(0));
    t.is("not for a third one", send(fd, "three", 0).map(|_| pending()), Ok(None));
    t.is("empty", (0..3).filter_map(|_| receive(fd).ok()).count(), 3);
    let child = fork(|| i32::from(send(fd, "child", 0).is_err()));
    t.is("a child sends", wait(child), Ended::Exit(0));
    t.is("the signal names it", pending(), Some((libc::SI_MESGQ, child, own_uid(), 2)));
    t.is("received", receive(fd), Ok((0, "child".to_owned())));

    t.is("once more", notify_by_signal(fd, 3), Ok(0));
    let child = fork(|| i32::from(receive(fd) != Ok((0, "direct".to_owned()))));
    t.ok("a child waits for a message", sleeps(child));
    t.is("which it gets", send(fd, "direct", 0).map(|_| wait(child)), Ok(Ended::Exit(0)));
    t.is("without a signal", pending(), None);
    t.is("for the next one", send(fd, "next", 0).map(|_| pending().is_some()), Ok(true));
    t.is("received too", receive(fd), Ok((0, "next".to_owned())));

    t.is("signal 0", notify(fd, libc::SIGEV_SIGNAL, 0, 0), Ok(0));
    t.is("is none", send(fd, "none", 0).map(|_| pending()), Ok(None));
    t.is("and used up", notify(fd, libc::SIGEV_NONE, 0, 0), Ok(0));
    t.is("nothing at all", shown(fd), format!("QSIZE:4 NOTIFY:1 SIGNO:0 NOTIFY_PID:{pid}"));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

fn own_uid() -> u32 {
    call!(getuid()).unwrap_or(0) as u32
}

fn one_at_a_time(t: &mut Checks) {
    let name = name("one");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((4, 16))));
    t.is("nothing to take back", silence(fd), Ok(0));
    t.is("notification", notify_by_signal(fd, 1), Ok(0));
    t.fails("a second one", notify_by_signal(fd, 1), libc::EBUSY);
    let child = in_child(|| {
        let busy = notify_by_signal(fd, 1) == Err(libc::EBUSY);
        i32::from(!(busy && silence(fd) == Ok(0)))
    });
    t.is("nor by a child, which cannot take it back", child, Ended::Exit(0));
    t.fails("it is still there", notify_by_signal(fd, 1), libc::EBUSY);
    t.is("taken back", silence(fd), Ok(0));
    t.is("no signal", send(fd, "x", 0).map(|_| pending()), Ok(None));
    t.is("another may", in_child(|| i32::from(notify_by_signal(fd, 1) != Ok(0))), Ended::Exit(0));
    t.is("and has ended", notify_by_signal(fd, 1), Ok(0));
    let copy = call!(dup(fd as i32)).unwrap_or(-1);
    close(copy as i32);
    t.is("a closed copy ends it, too", notify_by_signal(fd, 1), Ok(0));
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

fn ends(t: &mut Checks) {
    let name = name("ends");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((4, 16))));
    let (from, to) = pipe();
    let killed = fork(|| {
        let _ = notify_by_signal(fd, 1);
        let _ = write(to, b"x");
        loop {
            let _ = call!(pause());
        }
    });
    t.is("a child has asked", read::<1>(from), Ok(b"x".to_vec()));
    t.fails("so nobody else may", notify_by_signal(fd, 1), libc::EBUSY);
    t.is("it is killed", call!(kill(killed, libc::SIGKILL)), Ok(0));
    t.is("dead", wait(killed), Ended::Signal(libc::SIGKILL));
    t.is("now others may", notify_by_signal(fd, 1), Ok(0));
    t.is("taken back", silence(fd), Ok(0));

    // A program that is executed has not asked for the signal, which would end it.
    let executed = fork(|| {
        let _ = call!(fcntl(fd as i32, libc::F_SETFD, 0));
        // SAFETY: takes the signals out of the mask.
        unsafe {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        }
        let _ = notify_by_signal(fd, 1);
        let _ = call!(dup2(from, 0));
        close(to);
        let _ = call!(execl(c("/bin/cat").as_ptr(), c("cat").as_ptr(), null::<libc::c_char>()));
        1
    });
    let is_cat =
        || fs::read_to_string(format!("/proc/{executed}/comm")).is_ok_and(|name| name == "cat\n");
    t.ok("another program", until(is_cat));
    let pid = shown(fd).ends_with(&format!("NOTIFY_PID:{executed}"));
    t.ok("is still the one", pid);
    t.is("a message", send(fd, "x", 0), Ok(0));
    close(to);
    t.is("but no signal", wait(executed), Ended::Exit(0));
    close(from);
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

/// As the C library does for `SIGEV_THREAD`: through a netlink socket that a thread reads.
fn by_message(t: &mut Checks) {
    let name = name("message");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((4, 16))));
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let socket = t.works("a socket", call!(socket(libc::AF_NETLINK, kind, 0))) as i32;
    let mut cookie = *b"0123456789abcdef0123456789abcdef";
    let with = |cookie: &mut [u8; 32]| notify(fd, libc::SIGEV_THREAD, socket, address(cookie));
    let next = || {
        let mut bytes = [0; 64];
        let len = call!(recv(socket, bytes.as_mut_ptr().cast(), 64, libc::MSG_DONTWAIT))?;
        Ok(String::from_utf8_lossy(&bytes[..len as usize]).into_owned())
    };
    t.is("notification", with(&mut cookie), Ok(0));
    cookie[0] = b'9';
    let pid = std::process::id();
    t.is("shown", shown(fd), format!("QSIZE:0 NOTIFY:2 SIGNO:0 NOTIFY_PID:{pid}"));
    t.is("nothing yet", next(), Err(libc::EAGAIN));
    t.is("a message", send(fd, "one", 0), Ok(0));
    t.is("it comes", next(), Ok("0123456789abcdef0123456789abcde\u{1}".to_owned()));
    t.is("once", next(), Err(libc::EAGAIN));
    t.is("again", with(&mut cookie), Ok(0));
    t.fails("but once only", with(&mut cookie), libc::EBUSY);
    t.is("nothing has come of that", next(), Err(libc::EAGAIN));
    t.is("taken back", silence(fd), Ok(0));
    t.is("which is told", next(), Ok("9123456789abcdef0123456789abcde\u{2}".to_owned()));
    t.is("a third time", with(&mut cookie), Ok(0));
    close(fd as i32);
    t.is("closed, which is told", next().map(|text| text.len()), Ok(32));
    let fd = t.works("opened again", open(&name, libc::O_RDWR, 0, None));
    let other = call!(socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)).unwrap_or(-1) as i32;
    let through = |socket: i32, cookie: i64| notify(fd, libc::SIGEV_THREAD, socket, cookie);
    let to = address(&mut cookie);
    t.fails("another socket", through(other, to), libc::EINVAL);
    t.fails("no socket", through(fd as i32, to), libc::ENOTSOCK);
    t.fails("no descriptor", through(999, to), libc::EBADF);
    t.fails("nothing to say", through(999, NOWHERE as i64), libc::EFAULT);
    t.is("removed", unlink(&name), Ok(0));
    for fd in [fd as i32, socket, other] {
        close(fd);
    }
}

fn errors(t: &mut Checks) {
    let name = name("errors");
    let fd = t.works("a queue", open(&name, NEW, 0o600, Some((4, 16))));
    t.fails("another kind", notify(fd, 3, SIGNAL, 0), libc::EINVAL);
    t.fails("to a thread", notify(fd, libc::SIGEV_THREAD_ID, SIGNAL, 0), libc::EINVAL);
    t.fails("no signal", notify(fd, libc::SIGEV_SIGNAL, 65, 0), libc::EINVAL);
    t.fails("no signal either", notify(fd, libc::SIGEV_SIGNAL, -1, 0), libc::EINVAL);
    t.fails("which comes first", notify(999, libc::SIGEV_SIGNAL, 65, 0), libc::EINVAL);
    t.fails("no descriptor", notify_by_signal(999, 0), libc::EBADF);
    t.fails("no queue", notify_by_signal(0, 0), libc::EBADF);
    t.fails("nothing to take back from", silence(0), libc::EBADF);
    let nowhere = sys(libc::SYS_mq_notify, [fd, NOWHERE as i64]);
    t.fails("an event nowhere", nowhere, libc::EFAULT);
    t.is("removed", unlink(&name), Ok(0));
    close(fd as i32);
}

/// Whether the first mount of the file system is in the working folder.
fn mount(folder: &str) -> bool {
    // lx has one tree and one set of queues for all, which end with the run.
    if call!(unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC)).is_ok() {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let _ = call!(mount(null(), c("/").as_ptr(), null(), private, null()));
    }
    let (source, kind, folder) = (c("none"), c("mqueue"), c(folder));
    call!(mount(source.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, null())).is_ok()
}

fn listed(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn files(t: &mut Checks) {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    t.ok("the file system is known", known.lines().any(|line| line == "nodev\tmqueue"));
    if !is_root() {
        return;
    }
    let Ok(_scratch) = Scratch::enter() else { return t.ok("a folder", false) };
    t.ok("folders", fs::create_dir("a").and(fs::create_dir("b")).is_ok());
    t.ok("mounted", mount("a"));
    t.is("no names", listed("a"), Vec::<String>::new());
    let fd = t.works("a queue", open("first", NEW, 0o640, Some((4, 16))));
    t.is("has a name", listed("a"), vec!["first".to_owned()]);
    t.is("a message", send(fd, "12345", 3), Ok(0));
    let text = fs::read_to_string("a/first").unwrap_or_default();
    t.ok("read by its name", text.starts_with("QSIZE:5          NOTIFY:0     SIGNO:0 "));

    // SAFETY: all zeroes is a valid statfs, and a valid stat.
    let (mut of_fs, mut of_dir): (libc::statfs, libc::stat) = unsafe { std::mem::zeroed() };
    t.is("statfs", call!(statfs(c("a").as_ptr(), &mut of_fs)), Ok(0));
    let figures = (of_fs.f_type, of_fs.f_bsize, of_fs.f_namelen, of_fs.f_blocks, of_fs.f_files);
    t.is("its figures", figures, (0x1980_0202, 4096, 255, 0, 0));
    t.is("stat", call!(stat(c("a").as_ptr(), &mut of_dir)), Ok(0));
    let seen = (of_dir.st_mode, of_dir.st_nlink, of_dir.st_size);
    t.is("the folder", seen, (0o041_777, 2, 60));

    let path = c("a/second");
    let made =
        t.works("made by open", call!(open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600)));
    let want = Attr { maxmsg: 10, msgsize: 8192, ..Attr::default() };
    t.is("which is a queue", attr(made), Ok(want));
    t.is("for messages", send(made, "hello", 1), Ok(0));
    let same = t.works("known to mq_open", open("second", libc::O_RDWR, 0, None));
    t.is("too", receive(same), Ok((1, "hello".to_owned())));
    let again = call!(open(path.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600));
    t.fails("it exists", again, libc::EEXIST);
    let emptied =
        t.works("opened with O_TRUNC", call!(open(path.as_ptr(), libc::O_RDWR | libc::O_TRUNC)));
    t.is("mknod", call!(mknod(c("a/third").as_ptr(), libc::S_IFREG | 0o600, 0)), Ok(0));
    t.fails("a folder", call!(mkdir(c("a/folder").as_ptr(), 0o700)), libc::EPERM);
    t.fails("a FIFO", call!(mknod(c("a/fifo").as_ptr(), libc::S_IFIFO | 0o600, 0)), libc::EPERM);
    t.fails("a link", call!(symlink(c("x").as_ptr(), c("a/link").as_ptr())), libc::EPERM);
    t.fails("a second name", call!(link(path.as_ptr(), c("a/other").as_ptr())), libc::EPERM);
    t.fails("another name", call!(rename(path.as_ptr(), c("a/other").as_ptr())), libc::EPERM);
    t.is("all of them", listed("a"), ["first", "second", "third"].map(str::to_owned).to_vec());
    let (source, kind, folder) = (c("mqueue"), c("mqueue"), c("b"));
    let other = call!(mount(source.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, null()));
    t.is("mounted twice", other, Ok(0));
    t.is("the same", listed("b"), listed("a"));
    t.is("removed as a file", call!(unlink(c("b/third").as_ptr())), Ok(0));
    t.is("removed as a queue", unlink("second"), Ok(0));
    t.is("both are gone", listed("a"), vec!["first".to_owned()]);
    t.fails("for open as well", call!(open(path.as_ptr(), libc::O_RDWR)), libc::ENOENT);
    t.fails("in use", call!(umount2(c("a").as_ptr(), 0)), libc::EBUSY);
    for fd in [made, same, emptied] {
        close(fd as i32);
    }
    t.is("unmounted", call!(umount2(c("a").as_ptr(), 0)), Ok(0));
    t.is("and still there", receive(fd), Ok((3, "12345".to_owned())));
    t.is("the first is removed", unlink("first"), Ok(0));
    t.is("unmounted, too", call!(umount2(c("b").as_ptr(), 0)), Ok(0));
    close(fd as i32);
}
