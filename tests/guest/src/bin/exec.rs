//! `execve(2)`, `posix_spawn(3)`, `vfork(2)`: what stays, what goes, what fails.

use std::env;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::exit;
use std::ptr::{null, null_mut};

use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, c, call, in_child, pipe, read, wait, write,
};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "--again") {
        exit(again(&arguments[2..]));
    }
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    passing(&mut t);
    inheritance(&mut t);
    memory(&mut t);
    errors(&mut t);
    vfork(&mut t);
    spawn(&mut t);
    drop(scratch);
    t.end();
}

/// This program, executed by itself: reports through its exit status.
fn again(words: &[String]) -> i32 {
    let number = |index: usize| words[index].parse::<i32>().unwrap_or(-1);
    match words[0].as_str() {
        "count" => env::args().count() as i32,
        "variable" => env::var("GIVEN").map_or(1, |value| value.len() as i32),
        "open" => i32::from(call!(fcntl(number(1), libc::F_GETFD)).is_ok()),
        "pid" => i32::from(call!(getpid()) == Ok(i64::from(number(1)))),
        "ignored" => {
            let _ = call!(raise(libc::SIGUSR1));
            4
        }
        "blocked" => {
            let _ = call!(raise(libc::SIGUSR2));
            5
        }
        "write" => write(number(1), b"executed").unwrap_or(0) as i32,
        "folder" => i32::from(env::current_dir().is_ok_and(|dir| dir.ends_with("inner"))),
        "clean" => clean(),
        "mask" => call!(umask(0)).unwrap_or(0) as i32,
        _ => 99,
    }
}

fn myself() -> CString {
    c(&fs::read_link("/proc/self/exe").unwrap_or_default().to_string_lossy())
}

/// Executes this program with `words`; returns only on failure, with 100 + errno.
fn execute(words: &[&str], environment: &[&str]) -> i32 {
    let path = myself();
    let words: Vec<CString> = ["name", "--again"].iter().chain(words).map(|word| c(word)).collect();
    let environment: Vec<CString> = environment.iter().map(|word| c(word)).collect();
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([null()]).collect()
    };
    let result =
        call!(execve(path.as_ptr(), pointers(&words).as_ptr(), pointers(&environment).as_ptr()));
    100 + result.err().unwrap_or(0)
}

fn passing(t: &mut Checks) {
    t.is("arguments", in_child(|| execute(&["count", "a", "", "c d"], &[])), Ended::Exit(6));
    t.is(
        "environment",
        in_child(|| execute(&["variable"], &["GIVEN=twelve chars"])),
        Ended::Exit(12),
    );
    t.is("only that", in_child(|| execute(&["variable"], &["OTHER=x"])), Ended::Exit(1));
    let pid = || call!(getpid()).unwrap_or(0).to_string();
    t.is("the pid stays", in_child(|| execute(&["pid", &pid()], &[])), Ended::Exit(1));
    let long = "x".repeat(100_000);
    t.is("a long argument", in_child(|| execute(&["count", &long], &[])), Ended::Exit(4));
    let many: Vec<String> = (0..200).map(|n| format!("argument {n}")).collect();
    let mut words = vec!["count"];
    words.extend(many.iter().map(String::as_str));
    t.is("many arguments", in_child(|| execute(&words, &[])), Ended::Exit(203));
    let too_long = "x".repeat(131_072);
    t.is(
        "one too long",
        in_child(|| execute(&["count", &too_long], &[])),
        Ended::Exit(100 + libc::E2BIG),
    );
}

fn inheritance(t: &mut Checks) {
    let (r, w) = pipe();
    let fd = w.to_string();
    t.is("descriptors stay open", in_child(|| execute(&["open", &fd], &[])), Ended::Exit(1));
    t.is("the child writes", in_child(|| execute(&["write", &fd], &[])), Ended::Exit(8));
    t.is("the parent reads", read::<20>(r), Ok(b"executed".to_vec()));
    let _ = call!(fcntl(w, libc::F_SETFD, libc::FD_CLOEXEC));
    t.is("but for close on exec", in_child(|| execute(&["open", &fd], &[])), Ended::Exit(0));
    t.is("which changes nothing here", call!(fcntl(w, libc::F_GETFD)), Ok(1));
    t.is(
        "ignored stays ignored",
        in_child(|| {
            let _ = call!(signal(libc::SIGUSR1, libc::SIG_IGN));
            execute(&["ignored"], &[])
        }),
        Ended::Exit(4),
    );
    extern "C" fn handler(_: i32) {}
    t.is(
        "a handler goes",
        in_child(|| {
            let _ = call!(signal(libc::SIGUSR1, handler as *const () as usize));
            execute(&["ignored"], &[])
        }),
        Ended::Signal(libc::SIGUSR1),
    );
    t.is(
        "the mask stays",
        in_child(|| {
            // SAFETY: all zeroes is a valid, empty set.
            let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
            let _ = call!(sigaddset(&mut set, libc::SIGUSR2));
            let _ = call!(sigprocmask(libc::SIG_BLOCK, &set, null_mut()));
            execute(&["blocked"], &[])
        }),
        Ended::Exit(5),
    );
    let _ = fs::create_dir("inner");
    t.is(
        "the working folder",
        in_child(|| {
            let _ = call!(chdir(c("inner").as_ptr()));
            execute(&["folder"], &[])
        }),
        Ended::Exit(1),
    );
    t.is(
        "the umask",
        in_child(|| {
            let _ = call!(umask(0o27));
            execute(&["mask"], &[])
        }),
        Ended::Exit(0o27),
    );
    t.is("an exec chain", in_child(|| execute(&["count"], &[])), Ended::Exit(3));
}

/// Where no program has anything.
const SPOT: usize = 0x1234_5670_0000;
const PAGE: usize = 4096;
const SPOT_LEN: usize = 40 * PAGE;

/// Maps memory at [`SPOT`] or some pages behind it, replacing what is there.
fn map_there(page: usize, pages: usize, protection: i32, fd: i32) -> Called {
    let kind = if fd < 0 { libc::MAP_ANONYMOUS } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | kind;
    call!(mmap((SPOT + page * PAGE) as *mut _, pages * PAGE, protection, flags, fd, 0))
}

/// Bytes at [`SPOT`] that are not zero.
fn dirty(page: usize, pages: usize) -> usize {
    // SAFETY: the callers have mapped the pages.
    let bytes =
        unsafe { std::slice::from_raw_parts((SPOT + page * PAGE) as *const u8, pages * PAGE) };
    bytes.iter().filter(|&&byte| byte != 0).count()
}

/// Whether nothing is seen of what a former program had in memory: 0, or the number of what is wrong.
fn clean() -> i32 {
    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
    let short = call!(open(c"short".as_ptr(), libc::O_RDONLY)).unwrap_or(-1) as i32;
    let (_r, w) = pipe();
    if call!(write(w, SPOT as *const _, 1)) != Err(libc::EFAULT) {
        return 2;
    }
    if map_there(0, 10, RW, -1).is_err() || dirty(0, 10) != 0 {
        return 3;
    }
    // Only the first of these pages is the file's.
    if map_there(10, 1, libc::PROT_READ, short).is_err() || dirty(10, 1) != 5 {
        return 4;
    }
    if map_there(11, 10, libc::PROT_NONE, -1).is_err() {
        return 5;
    }
    let middle = (SPOT + 14 * PAGE) as *mut libc::c_void;
    if call!(mprotect(middle, 4 * PAGE, libc::PROT_READ)) != Ok(0) || dirty(14, 4) != 0 {
        return 6;
    }
    // A private copy is overwritten by another one, and that by zeros.
    if map_there(0, 1, RW, short).is_err() || dirty(0, 2) != 5 {
        return 7;
    }
    if map_there(0, 30, RW, -1).is_err() || dirty(0, 30) != 0 {
        return 8;
    }
    let behind = (SPOT + 30 * PAGE) as *const libc::c_void;
    if call!(write(w, behind, 1)) == Err(libc::EFAULT) { 0 } else { 9 }
}

fn memory(t: &mut Checks) {
    let _ = fs::write("short", "short");
    for round in 1..=3 {
        let result = in_child(|| {
            if map_there(0, SPOT_LEN / PAGE, libc::PROT_READ | libc::PROT_WRITE, -1).is_err() {
                return 10;
            }
            // SAFETY: mapped just now.
            unsafe { (SPOT as *mut u8).write_bytes(0xaa, SPOT_LEN) };
            execute(&["clean"], &[])
        });
        t.is(&format!("a former program's memory, {round}"), result, Ended::Exit(0));
    }
}

fn errors(t: &mut Checks) {
    let arguments = [c("x").into_raw().cast_const(), null()];
    let mut run = |what: &str, path: &str, errno: i32| {
        t.fails(
            what,
            call!(execve(c(path).as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr())),
            errno,
        );
    };
    let file = |name: &str, content: &[u8], mode: u32| {
        let _ = fs::write(name, content);
        let _ = fs::set_permissions(name, fs::Permissions::from_mode(mode));
    };
    file("plain", b"#!/bin/sh\n", 0o644);
    file("empty", b"", 0o755);
    file("words", b"words", 0o755);
    file("interpreter", b"#!/nonexistent/interpreter\n", 0o755);
    file("elf", b"\x7fELF", 0o755);
    file("loop", b"#!loop\n", 0o755);
    let _ = std::os::unix::fs::symlink("circle", "circle");
    run("no file", "missing", libc::ENOENT);
    run("an empty path", "", libc::ENOENT);
    run("a folder", "/", libc::EACCES);
    run("no permission", "plain", libc::EACCES);
    run("an empty file", "empty", libc::ENOEXEC);
    run("no format", "words", libc::ENOEXEC);
    run("half a header", "elf", libc::ENOEXEC);
    run("no interpreter", "interpreter", libc::ENOENT);
    run("its own interpreter", "loop", libc::ELOOP);
    run("below a file", "plain/x", libc::ENOTDIR);
    run("a circle", "circle", libc::ELOOP);
    run("a long name", &"n".repeat(256), libc::ENAMETOOLONG);
    run("a long path", &"p/".repeat(2100), libc::ENAMETOOLONG);
    t.fails(
        "a path at nowhere",
        call!(execve(NOWHERE as *const _, arguments.as_ptr(), null())),
        libc::EFAULT,
    );
    t.fails(
        "arguments at nowhere",
        call!(execve(c("/bin/true").as_ptr(), NOWHERE as *const _, null())),
        libc::EFAULT,
    );
    let bad = [NOWHERE as *const libc::c_char, null()];
    t.fails(
        "an argument at nowhere",
        call!(execve(c("/bin/true").as_ptr(), bad.as_ptr(), null())),
        libc::EFAULT,
    );
    t.ok("all that and still running", true);
    file("script", b"#!/bin/sh\nexit 33\n", 0o755);
    t.is(
        "a script",
        in_child(|| {
            let _ = call!(execv(c("./script").as_ptr(), arguments.as_ptr()));
            1
        }),
        Ended::Exit(33),
    );
    file("argument", b"#!/bin/sh -e\nfalse\nexit 9\n", 0o755);
    t.is(
        "a script whose interpreter has an argument",
        in_child(|| {
            let _ = call!(execv(c("./argument").as_ptr(), arguments.as_ptr()));
            7
        }),
        Ended::Exit(1),
    );
    t.is(
        "fexecve",
        in_child(|| {
            let fd = call!(open(c("/bin/true").as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC))
                .unwrap_or(-1) as i32;
            let _ = call!(fexecve(fd, arguments.as_ptr(), arguments[1..].as_ptr()));
            1
        }),
        Ended::Exit(0),
    );
}

fn vfork(t: &mut Checks) {
    let path = c("/bin/sh");
    let words = [c("sh"), c("-c"), c("exit 21")];
    let arguments = [words[0].as_ptr(), words[1].as_ptr(), words[2].as_ptr(), null()];
    #[expect(deprecated, reason = "vfork is what is tested")]
    // SAFETY: the child only calls execv and _exit.
    let pid = unsafe { libc::vfork() };
    if pid == 0 {
        let _ = call!(execv(path.as_ptr(), arguments.as_ptr()));
        // SAFETY: ends the vfork child.
        unsafe { libc::_exit(1) }
    }
    t.is("vfork and exec", wait(pid), Ended::Exit(21));
    #[expect(deprecated, reason = "vfork is what is tested")]
    // SAFETY: the child only calls _exit.
    let pid = unsafe { libc::vfork() };
    if pid == 0 {
        // SAFETY: ends the vfork child.
        unsafe { libc::_exit(22) }
    }
    t.is("vfork and exit", wait(pid), Ended::Exit(22));
    let mut all = true;
    for code in 0..100 {
        #[expect(deprecated, reason = "vfork is what is tested")]
        // SAFETY: the child only calls _exit.
        let pid = unsafe { libc::vfork() };
        if pid == 0 {
            // SAFETY: ends the vfork child.
            unsafe { libc::_exit(code) }
        }
        all &= wait(pid) == Ended::Exit(code);
    }
    t.ok("a hundred times", all);
}

fn spawn(t: &mut Checks) {
    let spawn = |path: &str, word: &str| -> Result<Ended, i32> {
        let words = [c("sh"), c("-c"), c(word)];
        let arguments: Vec<*mut libc::c_char> =
            words.iter().map(|word| word.as_ptr().cast_mut()).chain([null_mut()]).collect();
        let mut pid = 0;
        match call!(posix_spawn(
            &mut pid,
            c(path).as_ptr(),
            null(),
            null(),
            arguments.as_ptr(),
            arguments[3..].as_ptr()
        )) {
            Ok(0) => Ok(wait(pid)),
            Ok(errno) => Err(errno as i32),
            Err(errno) => Err(errno),
        }
    };
    t.is("posix_spawn", spawn("/bin/sh", "exit 8"), Ok(Ended::Exit(8)));
    t.is("of a missing program", spawn("/nonexistent", ""), Err(libc::ENOENT));
    t.is("of a folder", spawn("/", ""), Err(libc::EACCES));
    t.is("killed", spawn("/bin/sh", "kill -9 $$"), Ok(Ended::Signal(9)));
    t.ok(
        "fifty of them",
        (0..50).all(|code| spawn("/bin/sh", &format!("exit {code}")) == Ok(Ended::Exit(code))),
    );
}
