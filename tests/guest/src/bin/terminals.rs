//! Pseudo terminals: `pty(7)`, `termios(3)`, `ioctl_tty(2)`, job control.

use std::mem::zeroed;
use std::time::{Duration, Instant};

use lx_guest_tests::{
    Called, Checks, Ended, c, call, fork, in_child, pause, pipe, read, until, wait, write,
};

fn main() {
    let mut t = Checks::new();
    names(&mut t);
    lines(&mut t);
    editing(&mut t);
    raw(&mut t);
    raw_times(&mut t);
    output(&mut t);
    flow(&mut t);
    settings(&mut t);
    window(&mut t);
    ends(&mut t);
    readiness(&mut t);
    packets(&mut t);
    controlling(&mut t);
    keys(&mut t);
    background(&mut t);
    hang_up(&mut t);
    t.end();
}

/// A terminal: master and slave, `O_NOCTTY`.
fn terminal() -> (i32, i32) {
    let (mut master, mut slave) = (-1, -1);
    let none = std::ptr::null_mut();
    let _ = call!(openpty(&mut master, &mut slave, none, std::ptr::null(), std::ptr::null()));
    (master, slave)
}

fn close(fds: &[i32]) {
    for fd in fds {
        let _ = call!(close(*fd));
    }
}

fn get(fd: i32) -> libc::termios {
    // SAFETY: all zeroes is a valid termios.
    let mut settings = unsafe { zeroed() };
    let _ = call!(tcgetattr(fd, &mut settings));
    settings
}

fn change(fd: i32, change: impl FnOnce(&mut libc::termios)) {
    let mut settings = get(fd);
    change(&mut settings);
    let _ = call!(tcsetattr(fd, libc::TCSANOW, &settings));
}

fn make_raw(fd: i32) {
    // SAFETY: a valid structure.
    change(fd, |settings| unsafe { libc::cfmakeraw(settings) });
}

fn poll(fd: i32, events: i16, milliseconds: i32) -> i16 {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    let _ = call!(poll(&mut entry, 1, milliseconds));
    entry.revents
}

/// Reads until so many bytes have come, at most five seconds: Linux echoes a little later.
fn collect(fd: i32, len: usize) -> String {
    let mut bytes = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while bytes.len() < len && Instant::now() < deadline {
        if poll(fd, libc::POLLIN, 50) & libc::POLLIN != 0 {
            match read::<1024>(fd) {
                Ok(more) if !more.is_empty() => bytes.extend(more),
                _ => break,
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the terminal shows, which must be this.
fn shows(t: &mut Checks, what: &str, master: i32, expected: &str) {
    t.is(what, collect(master, expected.len()), expected.to_owned());
}

fn text(result: Result<Vec<u8>, i32>) -> Result<String, i32> {
    result.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn line(slave: i32) -> Result<String, i32> {
    text(read::<4096>(slave))
}

fn names(t: &mut Checks) {
    let master = t.works("posix_openpt", call!(posix_openpt(libc::O_RDWR | libc::O_NOCTTY))) as i32;
    let mut number = -1;
    t.is("TIOCGPTN", call!(ioctl(master, libc::TIOCGPTN, &mut number)), Ok(0));
    let path = format!("/dev/pts/{number}");
    t.fails("locked", call!(open(c(&path).as_ptr(), libc::O_RDWR | libc::O_NOCTTY)), libc::EIO);
    t.is("grantpt", call!(grantpt(master)), Ok(0));
    t.is("unlockpt", call!(unlockpt(master)), Ok(0));
    let slave =
        t.works("open", call!(open(c(&path).as_ptr(), libc::O_RDWR | libc::O_NOCTTY))) as i32;
    t.is("isatty, slave", call!(isatty(slave)), Ok(1));
    t.is("isatty, master", call!(isatty(master)), Ok(1));
    let mut name = [0_u8; 64];
    t.is("ttyname_r", call!(ttyname_r(slave, name.as_mut_ptr().cast(), 64)), Ok(0));
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    t.ok("its name", name[..end] == *path.as_bytes());
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { zeroed() };
    t.is("fstat", call!(fstat(slave, &mut stat)), Ok(0));
    t.is("a character device", stat.st_mode & libc::S_IFMT, libc::S_IFCHR);
    t.is("major number", libc::major(stat.st_rdev), 136);
    t.ok("minor number", libc::minor(stat.st_rdev) == number as u32);
    // SAFETY: touches no memory.
    t.ok("its owner", stat.st_uid == unsafe { libc::getuid() });
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let peer = t.works("TIOCGPTPEER", call!(ioctl(master, libc::TIOCGPTPEER, flags))) as i32;
    let mut other: libc::stat = stat;
    other.st_ino = 0;
    let _ = call!(fstat(peer, &mut other));
    t.ok("the same slave", other.st_ino == stat.st_ino && other.st_rdev == stat.st_rdev);
    t.fails("seek", call!(lseek(slave, 0, libc::SEEK_CUR)), libc::ESPIPE);
    close(&[peer, slave, master]);
    t.fails("gone", call!(open(c(&path).as_ptr(), libc::O_RDWR | libc::O_NOCTTY)), libc::ENOENT);
}

fn lines(t: &mut Checks) {
    let (master, slave) = terminal();
    t.is("type", write(master, b"one\ntwo\n"), Ok(8));
    shows(t, "echo", master, "one\r\ntwo\r\n");
    let mut waiting = 0;
    t.is("FIONREAD", call!(ioctl(slave, libc::FIONREAD, &mut waiting)), Ok(0));
    t.is("bytes of both lines", waiting, 8);
    t.is("part of a line", text(read::<2>(slave)), Ok("on".into()));
    t.is("its rest", line(slave), Ok("e\n".into()));
    t.is("the next line", line(slave), Ok("two\n".into()));
    let _ = write(master, b"ab\x04\x04");
    shows(t, "no echo of an end of file", master, "ab");
    t.is("a read that is full takes the end along", text(read::<2>(slave)), Ok("ab".into()));
    t.is("end of file", line(slave), Ok(String::new()));
    let _ = write(master, b"x\r");
    t.is("carriage return is a new line", line(slave), Ok("x\n".into()));
    let _ = collect(master, 3);
    change(slave, |settings| settings.c_cc[libc::VEOL] = b';');
    let _ = write(master, b"a;b;");
    t.is("another end of line", line(slave), Ok("a;".into()));
    t.is("and another", line(slave), Ok("b;".into()));
    shows(t, "echoed", master, "a;b;");
    close(&[master, slave]);
}

fn editing(t: &mut Checks) {
    let (master, slave) = terminal();
    let mut edit = |what: &str, keys: &[u8], shown: &str, read: &str| {
        let _ = write(master, keys);
        shows(t, &format!("{what}: shown"), master, shown);
        t.is(&format!("{what}: read"), line(slave), Ok(read.into()));
    };
    edit("erase", b"abc\x7f\x7fd\n", "abc\x08 \x08\x08 \x08d\r\n", "ad\n");
    edit("erase at the beginning", b"\x7fa\n", "a\r\n", "a\n");
    edit("erase a control character", b"a\x01\x7f\n", "a^A\x08 \x08\x08 \x08\r\n", "a\n");
    edit("erase a tabulator", b"a\t\x7f\n", "a\t\x08\x08\x08\x08\x08\x08\x08\r\n", "a\n");
    edit("kill", b"ab\x15c\n", "ab\x08 \x08\x08 \x08c\r\n", "c\n");
    edit("erase a word", b"a bc \x17\n", "a bc \x08 \x08\x08 \x08\x08 \x08\r\n", "a \n");
    edit("literal", b"\x16\x03\x16\x7f\n", "^\x08^C^\x08^?\r\n", "\x03\x7f\n");
    edit("reprint", b"ab\x12c\n", "ab^R\r\nabc\r\n", "abc\n");
    change(slave, |settings| settings.c_iflag |= libc::IUTF8);
    edit("erase UTF-8", "ä\u{20ac}\x7f\n".as_bytes(), "ä\u{20ac}\x08 \x08\r\n", "ä\n");
    change(slave, |settings| settings.c_lflag &= !libc::ECHOE);
    edit("erase without ECHOE", b"ab\x7f\n", "ab^?\r\n", "a\n");
    change(slave, |settings| settings.c_lflag &= !libc::ECHOKE);
    edit("kill without ECHOKE", b"ab\x15c\n", "ab^U\r\nc\r\n", "c\n");
    change(slave, |settings| settings.c_lflag |= libc::ECHOPRT);
    edit("ECHOPRT", b"abc\x7f\x7fd\n", "abc\\cb/d\r\n", "ad\n");
    change(slave, |settings| settings.c_lflag &= !(libc::ECHO | libc::ECHOPRT));
    edit("without echo", b"abc\x7f\n", "", "ab\n");
    change(slave, |settings| settings.c_lflag |= libc::ECHONL);
    edit("ECHONL", b"ab\n", "\r\n", "ab\n");
    change(slave, |settings| {
        settings.c_lflag &= !libc::ECHONL;
        settings.c_iflag = libc::INLCR | libc::IGNCR;
    });
    let _ = write(master, b"a\rb\nc\x04");
    t.is("INLCR, IGNCR", line(slave), Ok("ab\rc".into()));
    change(slave, |settings| settings.c_iflag = libc::ISTRIP);
    let _ = write(master, b"\xc1\n");
    t.is("ISTRIP", line(slave), Ok("A\n".into()));
    let long = vec![b'x'; 4200];
    let _ = write(master, &long);
    let _ = write(master, b"y\n");
    let result = line(slave).map(|line| (line.len(), line.ends_with("x\n")));
    t.is("a line that is too long", result, Ok((4096, true)));
    close(&[master, slave]);
}

fn raw(t: &mut Checks) {
    let (master, slave) = terminal();
    make_raw(slave);
    let _ = write(master, b"a\r\n\x03\x7f");
    t.is("all bytes", line(slave), Ok("a\r\n\x03\x7f".into()));
    t.is("no echo", poll(master, libc::POLLIN, 0), 0);
    let _ = write(slave, b"a\n");
    shows(t, "output as it is", master, "a\n");
    // What was typed before becomes a line when lines are wanted.
    let _ = write(master, b"cd");
    t.ok("there", until(|| poll(slave, libc::POLLIN, 0) != 0));
    change(slave, |settings| settings.c_lflag |= libc::ICANON);
    t.is("raw bytes become a line", line(slave), Ok("cd".into()));
    let _ = write(master, b"ef");
    pause(20);
    t.is("no line yet", poll(slave, libc::POLLIN, 0), 0);
    change(slave, |settings| settings.c_lflag &= !libc::ICANON);
    t.is("a line becomes bytes", line(slave), Ok("ef".into()));
    let _ = write(master, b"gone");
    t.ok("there", until(|| poll(slave, libc::POLLIN, 0) != 0));
    t.is("TCIFLUSH", call!(tcflush(slave, libc::TCIFLUSH)), Ok(0));
    t.is("flushed", poll(slave, libc::POLLIN, 0), 0);
    t.fails("TCFLSH of nothing", call!(tcflush(slave, 7)), libc::EINVAL);
    let _ = write(slave, b"stays");
    t.ok("there", until(|| poll(master, libc::POLLIN, 0) != 0));
    t.is("TCOFLUSH", call!(tcflush(slave, libc::TCOFLUSH)), Ok(0));
    shows(t, "what the master has already", master, "stays");
    close(&[master, slave]);
}

fn raw_times(t: &mut Checks) {
    let (master, slave) = terminal();
    make_raw(slave);
    let wait_for = |min: u8, time: u8| {
        change(slave, |settings| {
            settings.c_cc[libc::VMIN] = min;
            settings.c_cc[libc::VTIME] = time;
        });
    };
    wait_for(0, 0);
    t.is("VMIN 0, VTIME 0: nothing there", line(slave), Ok(String::new()));
    wait_for(0, 1);
    let start = Instant::now();
    t.is("VMIN 0, VTIME 1: nothing came", line(slave), Ok(String::new()));
    t.ok("it waited", start.elapsed() >= Duration::from_millis(90));
    wait_for(3, 0);
    let _ = write(master, b"a");
    pause(20);
    t.is("VMIN 3: not ready", poll(slave, libc::POLLIN, 0), 0);
    let typist = fork(|| {
        pause(20);
        let _ = write(master, b"b");
        pause(20);
        let _ = write(master, b"c");
        0
    });
    t.is("VMIN 3", line(slave), Ok("abc".into()));
    wait(typist);
    let _ = write(master, b"xyz");
    t.is("no more than there is room for", text(read::<2>(slave)), Ok("xy".into()));
    wait_for(5, 1);
    t.is("VMIN 5, VTIME 1: the time begins with a byte", line(slave), Ok("z".into()));
    let flags = libc::O_NONBLOCK | libc::O_RDWR;
    let _ = call!(fcntl(slave, libc::F_SETFL, flags));
    t.fails("O_NONBLOCK", line(slave).map(|_| 0), libc::EAGAIN);
    wait_for(0, 0);
    t.is("O_NONBLOCK, VMIN 0, VTIME 0", line(slave), Ok(String::new()));
    close(&[master, slave]);
}

fn output(t: &mut Checks) {
    let (master, slave) = terminal();
    let _ = write(slave, b"a\nb\tc\r\n");
    shows(t, "ONLCR", master, "a\r\nb\tc\r\r\n");
    change(slave, |settings| settings.c_oflag |= libc::XTABS);
    let _ = write(slave, b"ab\tc\n\td\n");
    shows(t, "XTABS", master, "ab      c\r\n        d\r\n");
    change(slave, |settings| settings.c_oflag = libc::OPOST | libc::OCRNL | libc::OLCUC);
    let _ = write(slave, b"ab\rc");
    shows(t, "OCRNL, OLCUC", master, "AB\nC");
    change(slave, |settings| settings.c_oflag = libc::OPOST | libc::ONOCR);
    let _ = write(slave, b"\n\rx\ry\r\r");
    // The first one is in the column of the C.
    shows(t, "ONOCR", master, "\n\rx\ry\r");
    close(&[master, slave]);
}

fn flow(t: &mut Checks) {
    let (master, slave) = terminal();
    let _ = call!(fcntl(slave, libc::F_SETFL, libc::O_NONBLOCK | libc::O_RDWR));
    let _ = write(master, b"\x13");
    t.ok("^S stops output", until(|| poll(slave, libc::POLLOUT, 0) == 0));
    t.fails("write", write(slave, b"x"), libc::EAGAIN);
    let _ = write(master, b"\x11");
    t.ok("^Q lets it go on", until(|| poll(slave, libc::POLLOUT, 0) != 0));
    t.is("write", write(slave, b"y"), Ok(1));
    shows(t, "output", master, "y");
    t.is("TCOOFF", call!(tcflow(slave, libc::TCOOFF)), Ok(0));
    t.fails("write", write(slave, b"x"), libc::EAGAIN);
    t.is("TCOON", call!(tcflow(slave, libc::TCOON)), Ok(0));
    t.is("write", write(slave, b"z"), Ok(1));
    shows(t, "output", master, "z");
    t.is("TCIOFF", call!(tcflow(slave, libc::TCIOFF)), Ok(0));
    shows(t, "a stop character", master, "\x13");
    t.fails("TCXONC of nothing", call!(tcflow(slave, 9)), libc::EINVAL);
    let _ = call!(fcntl(master, libc::F_SETFL, libc::O_NONBLOCK | libc::O_RDWR));
    t.is("TCOOFF at the master", call!(tcflow(master, libc::TCOOFF)), Ok(0));
    t.fails("typing waits", write(master, b"x"), libc::EAGAIN);
    t.is("TCOON at the master", call!(tcflow(master, libc::TCOON)), Ok(0));
    t.is("typing goes on", write(master, b"x\n"), Ok(2));
    shows(t, "echo", master, "x\r\n");
    t.is("TCIOFF at the master", call!(tcflow(master, libc::TCIOFF)), Ok(0));
    t.ok("stops output", until(|| poll(slave, libc::POLLOUT, 0) == 0));
    t.is("TCION at the master", call!(tcflow(master, libc::TCION)), Ok(0));
    t.ok("lets it go on", until(|| poll(slave, libc::POLLOUT, 0) != 0));
    let mut taken = 0;
    let block = [b'-'; 1000];
    // Natively a worker moves the bytes on, so that there may be room again after the first refusal.
    let is_full = until(|| {
        while let Ok(count) = write(slave, &block) {
            taken += count;
        }
        poll(slave, libc::POLLOUT, 0) == 0
    });
    t.ok("a terminal that nobody reads takes some KB", (4096..100_000).contains(&taken));
    t.ok("and is not ready", is_full);
    let _ = collect(master, taken as usize);
    t.ok("until it was read", until(|| poll(slave, libc::POLLOUT, 0) != 0));
    close(&[master, slave]);
}

fn settings(t: &mut Checks) {
    let (master, slave) = terminal();
    let first = get(slave);
    t.is("input flags", first.c_iflag, libc::ICRNL | libc::IXON);
    t.is("output flags", first.c_oflag, libc::OPOST | libc::ONLCR);
    let local = libc::ISIG
        | libc::ICANON
        | libc::ECHO
        | libc::ECHOE
        | libc::ECHOK
        | libc::ECHOCTL
        | libc::ECHOKE
        | libc::IEXTEN;
    t.is("local flags", first.c_lflag, local);
    t.is("control flags", first.c_cflag, libc::B38400 | libc::CS8 | libc::CREAD);
    t.is(
        "keys",
        first.c_cc[..17].to_vec(),
        vec![3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0],
    );
    change(slave, |settings| {
        settings.c_cflag = (settings.c_cflag & !libc::CSIZE) | libc::CS7 | libc::PARENB;
    });
    t.is("always eight bits", get(slave).c_cflag & (libc::CSIZE | libc::PARENB), libc::CS8);
    change(master, |settings| settings.c_lflag &= !libc::ECHO);
    t.is("the master changes the slave's", get(slave).c_lflag & libc::ECHO, 0);
    let mut discipline = -1;
    t.is("TIOCGETD", call!(ioctl(slave, libc::TIOCGETD, &mut discipline)), Ok(0));
    t.is("N_TTY", discipline, 0);
    let _ = write(master, b"typed\n");
    t.ok("there", until(|| poll(slave, libc::POLLIN, 0) != 0));
    t.is("TCSAFLUSH", call!(tcsetattr(slave, libc::TCSAFLUSH, &first)), Ok(0));
    t.is("flushed", poll(slave, libc::POLLIN, 0), 0);
    t.is("drain", call!(tcdrain(slave)), Ok(0));
    t.is("break", call!(tcsendbreak(slave, 0)), Ok(0));
    let nothing = std::ptr::null_mut::<libc::termios>();
    t.fails("TCGETS nowhere", call!(ioctl(slave, libc::TCGETS, nothing)), libc::EFAULT);
    t.fails("unknown request", call!(ioctl(slave, 0x54ff as libc::c_ulong, 0)), libc::ENOTTY);
    close(&[master, slave]);
}

fn window(t: &mut Checks) {
    let (master, slave) = terminal();
    let get = |fd: i32| {
        let mut size = libc::winsize { ws_row: 9, ws_col: 9, ws_xpixel: 9, ws_ypixel: 9 };
        let _ = call!(ioctl(fd, libc::TIOCGWINSZ, &mut size));
        (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel)
    };
    t.is("no size at first", get(slave), (0, 0, 0, 0));
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 1, ws_ypixel: 2 };
    t.is("TIOCSWINSZ", call!(ioctl(master, libc::TIOCSWINSZ, &size)), Ok(0));
    t.is("size of the slave", get(slave), (24, 80, 1, 2));
    t.is("and of the master", get(master), (24, 80, 1, 2));
    close(&[master, slave]);
}

fn ends(t: &mut Checks) {
    let (master, slave) = terminal();
    let _ = write(slave, b"last");
    close(&[slave]);
    shows(t, "output of a closed slave", master, "last");
    t.fails("then EIO", read::<9>(master).map(|_| 0), libc::EIO);
    t.ok("hang-up", poll(master, libc::POLLIN, 0) & libc::POLLHUP != 0);
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let slave = t.works("open again", call!(ioctl(master, libc::TIOCGPTPEER, flags))) as i32;
    t.is("no hang-up", poll(master, libc::POLLIN, 0), 0);
    close(&[master]);
    t.is("read without a master", read::<9>(slave), Ok(vec![]));
    t.fails("write", write(slave, b"x"), libc::EIO);
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    t.fails("ioctl", call!(ioctl(slave, libc::TIOCGWINSZ, &mut size)), libc::EIO);
    let all = libc::POLLIN | libc::POLLOUT;
    t.is("poll", poll(slave, all, 0), all | libc::POLLHUP | libc::POLLERR);
    close(&[slave]);
}

fn readiness(t: &mut Checks) {
    let (master, slave) = terminal();
    t.is("slave is writable", poll(slave, libc::POLLIN | libc::POLLOUT, 0), libc::POLLOUT);
    t.is("master is writable", poll(master, libc::POLLIN | libc::POLLOUT, 0), libc::POLLOUT);
    let _ = write(master, b"a");
    t.ok("echo", until(|| poll(master, libc::POLLIN, 0) == libc::POLLIN));
    t.is("no line", poll(slave, libc::POLLIN, 0), 0);
    let writer = fork(|| {
        pause(20);
        let _ = write(master, b"b\n");
        0
    });
    t.is("a poll that waits", poll(slave, libc::POLLIN, 5000), libc::POLLIN);
    wait(writer);
    t.is("line", line(slave), Ok("ab\n".into()));
    let reader = fork(|| i32::from(line(slave) != Ok("late\n".into())));
    pause(20);
    let _ = write(master, b"late\n");
    t.is("a read that waits", wait(reader), Ended::Exit(0));
    close(&[master, slave]);
}

fn packets(t: &mut Checks) {
    let (master, slave) = terminal();
    let on = 1;
    t.is("TIOCPKT", call!(ioctl(master, libc::TIOCPKT, &on)), Ok(0));
    let _ = write(slave, b"data");
    t.is("data", text(read::<64>(master)), Ok("\0data".into()));
    t.is("TCIFLUSH", call!(tcflush(slave, libc::TCIFLUSH)), Ok(0));
    let events = poll(master, libc::POLLIN | libc::POLLPRI, 1000);
    t.is("a status is urgent", events, libc::POLLIN | libc::POLLPRI);
    t.is("TIOCPKT_FLUSHREAD", read::<64>(master), Ok(vec![1]));
    change(slave, |settings| settings.c_iflag &= !libc::IXON);
    t.is("TIOCPKT_NOSTOP", read::<64>(master), Ok(vec![16]));
    close(&[master, slave]);
}

/// Runs `body` as the leader of a session whose controlling terminal is `slave`.
fn in_session(slave: i32, body: impl FnOnce() -> i32) -> i32 {
    fork(|| {
        let _ = call!(setsid());
        match call!(ioctl(slave, libc::TIOCSCTTY, 0)) {
            Ok(_) => body(),
            Err(_) => 99,
        }
    })
}

fn controlling(t: &mut Checks) {
    let (master, slave) = terminal();
    let mut pgid = 0;
    t.fails(
        "TIOCGPGRP of a terminal that is not ours",
        call!(ioctl(slave, libc::TIOCGPGRP, &mut pgid)),
        libc::ENOTTY,
    );
    let leader = in_session(slave, || {
        let mut checks = 0;
        let mut check = |good: bool| checks = checks * 2 + i32::from(!good);
        let (mut pgid, mut sid) = (0, 0);
        let me = call!(getpid()).unwrap_or(0) as i32;
        check(call!(tcgetpgrp(slave)) == Ok(i64::from(me)));
        check(call!(ioctl(slave, libc::TIOCGSID, &mut sid)) == Ok(0) && sid == me);
        check(call!(ioctl(master, libc::TIOCGPGRP, &mut pgid)) == Ok(0) && pgid == me);
        let tty = call!(open(c"/dev/tty".as_ptr(), libc::O_RDWR));
        check(tty.is_ok_and(|fd| write(fd as i32, b"tty") == Ok(3)));
        check(call!(tcsetpgrp(slave, 1)) == Err(libc::EPERM));
        check(call!(ioctl(slave, libc::TIOCNOTTY)) == Ok(0));
        check(call!(open(c"/dev/tty".as_ptr(), libc::O_RDWR)) == Err(libc::ENXIO));
        checks
    });
    // Giving the terminal up sends SIGHUP to the foreground, which is the leader itself.
    t.is("a session's terminal", wait(leader), Ended::Signal(libc::SIGHUP));
    let leader = in_session(slave, || {
        let _ = call!(signal(libc::SIGHUP, libc::SIG_IGN));
        let given_up = call!(ioctl(slave, libc::TIOCNOTTY)) == Ok(0);
        let none = call!(open(c"/dev/tty".as_ptr(), libc::O_RDWR)) == Err(libc::ENXIO);
        // Opening one without O_NOCTTY makes it the controlling terminal.
        let mut name = [0_i8; 64];
        let _ = call!(ttyname_r(slave, name.as_mut_ptr(), 64));
        let opened = call!(open(name.as_ptr(), libc::O_RDWR));
        let again = call!(open(c"/dev/tty".as_ptr(), libc::O_RDWR)).is_ok();
        i32::from(!(given_up && none && opened.is_ok() && again))
    });
    t.is("given up and taken again", wait(leader), Ended::Exit(0));
    let leader = in_session(slave, || {
        let thief = in_child(|| {
            let _ = call!(setsid());
            let refused = call!(ioctl(slave, libc::TIOCSCTTY, 0)) == Err(libc::EPERM);
            let root = call!(geteuid()) == Ok(0);
            let taken = call!(ioctl(slave, libc::TIOCSCTTY, 1));
            i32::from(!refused || taken != if root { Ok(0) } else { Err(libc::EPERM) })
        });
        i32::from(thief != Ended::Exit(0))
    });
    t.is("taken by another session", wait(leader), Ended::Exit(0));
    close(&[master, slave]);
}

fn keys(t: &mut Checks) {
    for (key, signal, shown) in
        [(3, libc::SIGINT, "^C"), (28, libc::SIGQUIT, "^\\"), (26, libc::SIGTSTP, "^Z")]
    {
        let (master, slave) = terminal();
        let (ready, tell) = pipe();
        let leader = in_session(slave, || {
            lx_guest_tests::no_core();
            // The member of an orphaned group is not stopped by a key: it needs a parent.
            let child = fork(|| {
                let _ = write(tell, b"x");
                pause(10_000);
                0
            });
            let mut status = 0;
            let _ = call!(signal(libc::SIGINT, libc::SIG_IGN));
            let _ = call!(signal(libc::SIGQUIT, libc::SIG_IGN));
            let _ = call!(signal(libc::SIGTSTP, libc::SIG_IGN));
            let _ = call!(setpgid(child, child));
            let _ = call!(signal(libc::SIGTTOU, libc::SIG_IGN));
            let _ = call!(tcsetpgrp(slave, child));
            let _ = write(tell, b"y");
            let _ = call!(waitpid(child, &mut status, libc::WUNTRACED));
            let got = if libc::WIFSTOPPED(status) {
                libc::WSTOPSIG(status)
            } else {
                libc::WTERMSIG(status)
            };
            let _ = call!(kill(child, libc::SIGKILL));
            let _ = call!(waitpid(child, &mut status, 0));
            i32::from(got != signal)
        });
        let (one, two) = (read::<1>(ready), read::<1>(ready));
        t.ok("both run", one.is_ok() && two.is_ok());
        let _ = write(master, &[b'a', b'b', key]);
        t.is(&format!("{shown} reaches the foreground"), wait(leader), Ended::Exit(0));
        let echo = collect(master, 2 + shown.len());
        t.ok(&format!("{shown} is echoed"), echo.ends_with(shown));
        close(&[master, slave, ready, tell]);
    }
    // Size changes are told, too.
    let (master, slave) = terminal();
    let (ready, tell) = pipe();
    let leader = in_session(slave, || {
        // SAFETY: a set on the stack.
        let mut set = unsafe { zeroed::<libc::sigset_t>() };
        let _ = call!(sigemptyset(&mut set));
        let _ = call!(sigaddset(&mut set, libc::SIGWINCH));
        let _ = call!(sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()));
        let _ = write(tell, b"x");
        let time = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        let got = call!(sigtimedwait(&set, std::ptr::null_mut(), &time));
        i32::from(got != Ok(i64::from(libc::SIGWINCH)))
    });
    let _ = read::<1>(ready);
    let size = libc::winsize { ws_row: 1, ws_col: 2, ws_xpixel: 0, ws_ypixel: 0 };
    let _ = call!(ioctl(master, libc::TIOCSWINSZ, &size));
    t.is("SIGWINCH", wait(leader), Ended::Exit(0));
    close(&[master, slave, ready, tell]);
}

fn background(t: &mut Checks) {
    let (master, slave) = terminal();
    // What happens to a member of a background group that does this.
    let stopped_by = |body: fn(i32) -> Called| {
        in_session(slave, || {
            let child = fork(|| {
                let _ = call!(setpgid(0, 0));
                match body(slave) {
                    Ok(_) => 0,
                    Err(errno) => errno,
                }
            });
            let mut status = 0;
            let _ = call!(setpgid(child, child));
            let _ = call!(waitpid(child, &mut status, libc::WUNTRACED));
            let _ = call!(kill(child, libc::SIGKILL));
            if libc::WIFSTOPPED(status) {
                100 + libc::WSTOPSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            }
        })
    };
    let mut check = |what: &str, code: i32, body: fn(i32) -> Called| {
        let leader = stopped_by(body);
        t.is(what, wait(leader), Ended::Exit(code));
    };
    check("reading stops", 100 + libc::SIGTTIN, |slave| read::<1>(slave).map(|_| 0));
    check("writing does not", 0, |slave| write(slave, b"x"));
    check("settings stop", 100 + libc::SIGTTOU, |slave| {
        let settings = get(slave);
        call!(tcsetattr(slave, libc::TCSANOW, &settings))
    });
    check("reading fails if SIGTTIN is ignored", libc::EIO, |slave| {
        let _ = call!(signal(libc::SIGTTIN, libc::SIG_IGN));
        read::<1>(slave).map(|_| 0)
    });
    change(slave, |settings| settings.c_lflag |= libc::TOSTOP);
    check("writing stops with TOSTOP", 100 + libc::SIGTTOU, |slave| write(slave, b"x"));
    check("but not if SIGTTOU is ignored", 0, |slave| {
        let _ = call!(signal(libc::SIGTTOU, libc::SIG_IGN));
        write(slave, b"x")
    });
    close(&[master, slave]);
}

fn hang_up(t: &mut Checks) {
    let (master, slave) = terminal();
    let (ready, tell) = pipe();
    let leader = in_session(slave, || {
        close(&[master]);
        let _ = write(tell, b"x");
        pause(10_000);
        0
    });
    let _ = read::<1>(ready);
    close(&[master]);
    t.is("the session's leader gets SIGHUP", wait(leader), Ended::Signal(libc::SIGHUP));
    close(&[slave, ready, tell]);
    let (master, slave) = terminal();
    let (ready, tell) = pipe();
    let (left, leave) = pipe();
    let leader = in_session(slave, || {
        let child = fork(|| {
            close(&[left]);
            let _ = write(tell, b"x");
            pause(10_000);
            0
        });
        close(&[leave]);
        let _ = read::<1>(ready);
        // The foreground group is the leader's own, and the child is in it.
        i32::from(child <= 0)
    });
    close(&[leave]);
    t.is("the leader ends", wait(leader), Ended::Exit(0));
    t.is("the foreground gets SIGHUP", read::<1>(left), Ok(vec![]));
    t.is("is it gone", in_child(|| 0), Ended::Exit(0));
    close(&[master, slave, ready, tell, left]);
}
