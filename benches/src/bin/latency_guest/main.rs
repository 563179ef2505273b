//! The guest program of the latency benchmark. It runs natively and on lx without a change and
//! prints `nanoseconds operation` for each operation: the best of many batches, because anything
//! else that the machine does can only make a batch slower.
//!
//! With the argument `trees` it measures programs that walk the file system instead.

#![allow(clippy::undocumented_unsafe_blocks, reason = "a test program made of raw calls")]

mod session;

use std::ffi::CString;
use std::io::Write;
use std::process::exit;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

/// How long each operation is measured.
const SPAN: Duration = Duration::from_millis(250);

/// Measures `operation` in batches of `batch` and prints the best.
fn measure(name: &str, batch: u32, mut operation: impl FnMut()) {
    for _ in 0..batch {
        operation();
    }
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed() < SPAN {
        let start = Instant::now();
        for _ in 0..batch {
            operation();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(batch));
    }
    println!("{best:.2} {name}");
}

/// Ends the program with a message if a call failed.
fn check(what: &str, result: i64) -> i64 {
    if result < 0 {
        eprintln!("{what}: {}", std::io::Error::last_os_error());
        exit(1);
    }
    result
}

extern "C" fn on_signal(_: i32) {}

fn files(dir: &str) {
    let path = format!("{dir}/lx-latency-{}", std::process::id());
    std::fs::write(&path, vec![7_u8; 65536]).unwrap_or_else(|error| {
        eprintln!("{path}: {error}");
        exit(1);
    });
    let c_path = CString::new(path.clone()).unwrap();
    let mut buffer = [0_u8; 4096];
    let fd = check("open", unsafe { libc::open(c_path.as_ptr(), libc::O_RDONLY) }.into()) as i32;
    measure("pread 4 KB tmpfs", 1000, || {
        let count = unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 8192) };
        assert_eq!(count, 4096);
    });
    measure("stat cached path", 1000, || {
        let mut stat = unsafe { std::mem::zeroed::<libc::stat>() };
        check("stat", unsafe { libc::stat(c_path.as_ptr(), &raw mut stat) }.into());
    });
    measure("open+close", 1000, || {
        let fd = check("open", unsafe { libc::open(c_path.as_ptr(), libc::O_RDONLY) }.into());
        unsafe { libc::close(fd as i32) };
    });
    unsafe { libc::close(fd) };
    let _ = std::fs::remove_file(path);
}

fn calls() {
    measure("getppid", 10_000, || {
        unsafe { libc::getppid() };
    });
    let mut pipe = [0_i32; 2];
    check("pipe", unsafe { libc::pipe(pipe.as_mut_ptr()) }.into());
    let mut byte = 1_u8;
    measure("pipe write+read 1 B", 1000, || unsafe {
        assert_eq!(libc::write(pipe[1], (&raw const byte).cast(), 1), 1);
        assert_eq!(libc::read(pipe[0], (&raw mut byte).cast(), 1), 1);
    });
}

fn signals() {
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = on_signal as *const () as usize;
    measure("sigaction", 1000, || {
        check(
            "sigaction",
            unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, null_mut()) }.into(),
        );
    });
    let pid = unsafe { libc::getpid() };
    measure("signal to self", 500, || {
        check("kill", unsafe { libc::kill(pid, libc::SIGUSR1) }.into());
    });
}

fn memory() {
    measure("mmap+touch+munmap 4 KB", 200, || unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(null_mut(), 4096, protection, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u8>().write_volatile(1);
        libc::munmap(page, 4096);
    });
}

fn wait_for(pid: i64) {
    let mut status = 0;
    let waited = unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
    assert_eq!(i64::from(waited), pid);
    assert_eq!(status, 0);
}

#[expect(deprecated, reason = "vfork itself is what is measured")]
fn processes() {
    measure("vfork+exit+wait", 20, || {
        let pid = unsafe { libc::vfork() };
        if pid == 0 {
            unsafe { libc::_exit(0) };
        }
        wait_for(check("vfork", pid.into()));
    });
    measure("fork+exit+wait", 20, || {
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe { libc::_exit(0) };
        }
        wait_for(check("fork", pid.into()));
    });
    let spawn = |program: &str, args: &[&str]| {
        let program = CString::new(program).unwrap();
        let args: Vec<CString> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let mut argv: Vec<*const i8> = args.iter().map(|arg| arg.as_ptr()).collect();
        argv.push(null());
        let env = [null::<i8>()];
        let pid = unsafe { libc::vfork() };
        if pid == 0 {
            unsafe {
                libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr());
                libc::_exit(127);
            }
        }
        wait_for(check("vfork", pid.into()));
    };
    measure("vfork+exec+wait", 10, || spawn("/bin/true", &["true"]));
    let null_fd =
        check("open", unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY) }.into());
    let saved = unsafe { libc::dup(1) };
    let mut best = f64::INFINITY;
    unsafe { libc::dup2(null_fd as i32, 1) };
    let begin = Instant::now();
    while begin.elapsed() < 2 * SPAN {
        let start = Instant::now();
        spawn("/bin/sh", &["sh", "-c", "echo hi | cat"]);
        best = best.min(start.elapsed().as_secs_f64() * 1e9);
    }
    unsafe { libc::dup2(saved, 1) };
    println!("{best:.2} sh -c 'echo hi | cat'");
}

/// The median time of a fork of a process with 4 MB that the child could look at.
fn fork_of_4_mb() {
    const ROUNDS: usize = 31;
    let memory: Vec<u64> = (1..=(4 << 20) / 8).collect();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                unsafe { libc::_exit(0) };
            }
            wait_for(check("fork", pid.into()));
            start.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{:.2} fork of 4 MB, median", times[ROUNDS / 2]);
    std::hint::black_box(memory);
}

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == "trees") {
        return session::trees();
    }
    calls();
    files("/dev/shm");
    signals();
    memory();
    let _ = std::io::stdout().flush();
    session::threads();
    session::readiness();
    session::names("/dev/shm");
    session::throughput();
    let _ = std::io::stdout().flush();
    processes();
    fork_of_4_mb();
}
