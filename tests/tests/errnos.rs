//! Every call that common programs make is made by a guest program, natively and on lx, and every
//! errno of its man page that a test can provoke is provoked.
//!
//! The tables of `tests/errnos` say for each call which errnos that are, and why the others of its
//! man page are left out:
//!
//! ```toml
//! [nanosleep]
//! provoked = ["EFAULT", "EINTR"]
//! [nanosleep.not]
//! EINVAL = "a reason why no test can provoke it"
//! ```
//!
//! This test compares them with traces of all guest programs: natively with strace, on lx with
//! `lx run --strace`. A call that never fails is listed too, and must be made.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, thread};

use lx_tests::{Run, lx, programs};
use rustix::process::geteuid;
use toml::Table;

const STRACE: &str = "/usr/bin/strace";

/// Calls that bash, the core utilities and other programs of a small system make.
const TIER_1: &str = "access alarm arch_prctl bind brk chdir chown chroot clock_gettime \
    clock_nanosleep clone close close_range connect copy_file_range creat dup dup2 dup3 \
    epoll_create execve exit exit_group faccessat2 fadvise64 fallocate fchdir fchmod fchmodat \
    fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fsetxattr fstat fstatfs fsync \
    ftruncate futex getcpu getcwd getdents64 getegid geteuid getgid getgroups getpeername getpgrp \
    getpid getppid getpriority getrandom getrusage getsockname gettimeofday getuid \
    inotify_add_watch inotify_init ioctl ioprio_set kill linkat llistxattr lseek mkdir mkdirat \
    mknodat mmap mprotect munmap newfstatat openat pipe2 poll prctl pread64 prlimit64 read \
    readlink readlinkat recvfrom recvmsg rename renameat2 rmdir rseq rt_sigaction rt_sigprocmask \
    rt_sigreturn rt_sigsuspend sched_getaffinity sched_getattr sendfile sendmsg sendto \
    set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setsid \
    setsockopt setuid sigaltstack signalfd4 socket statfs statx symlinkat sync sysinfo time \
    timer_create timer_settime umask uname unlink unlinkat utimensat vfork wait4 write writev";

/// Calls that lx answers otherwise, and why.
const OTHERWISE: &[(&str, &str)] =
    &[("rseq", "always ENOSYS: the C library does without (docs/decisions/0019-no-rseq.md)")];

/// Programs that repeat the calls of others very often, or die.
const LEFT_OUT: &[&str] = &["faults", "futex_stress", "signal_races", "stress"];

/// How long one traced program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What the tables say about one call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    provoked: BTreeSet<String>,
    not: BTreeMap<String, String>,
}

/// The calls of a trace, each with the errnos that it gave.
type Seen = BTreeMap<String, BTreeSet<String>>;

/// The tables of all files in `tests/errnos`.
fn tables() -> BTreeMap<String, Expected> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("errnos");
    let mut calls = BTreeMap::new();
    for file in programs::discover(&folder).unwrap() {
        let text = fs::read_to_string(&file).unwrap();
        let table = parse(&text).map_err(|error| format!("{}: {error}", file.display()));
        for (call, expected) in table.unwrap() {
            assert!(calls.insert(call.clone(), expected).is_none(), "{call} has two tables");
        }
    }
    calls
}

fn parse(text: &str) -> Result<BTreeMap<String, Expected>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let one = |(call, keys): (String, toml::Value)| {
        let wrong = || format!("{call}: `provoked`, a list, or `not`, a table of reasons");
        let mut expected = Expected::default();
        for (key, value) in keys.as_table().ok_or_else(wrong)? {
            let text = |value: &toml::Value| value.as_str().map(str::to_owned);
            match (key.as_str(), value) {
                ("provoked", toml::Value::Array(errnos)) => {
                    let errnos: Option<_> = errnos.iter().map(text).collect();
                    expected.provoked = errnos.ok_or_else(wrong)?;
                }
                ("not", toml::Value::Table(reasons)) => {
                    let reasons =
                        reasons.iter().map(|(errno, why)| Some((errno.clone(), text(why)?)));
                    expected.not = reasons.collect::<Option<_>>().ok_or_else(wrong)?;
                }
                _ => return Err(wrong()),
            }
        }
        Ok((call, expected))
    };
    table.into_iter().map(one).collect()
}

/// The calls and errnos of a trace with the ids of threads.
fn seen(trace: &str) -> Seen {
    let mut seen = Seen::new();
    // Calls that a signal has interrupted: what they return shows when its handler does.
    let mut interrupted: BTreeMap<&str, &str> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let resumed = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"));
        let Some((name, _)) = resumed.or_else(|| call.split_once('(')) else { continue };
        // Signals and the ends of processes are no calls.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let errnos = seen.entry(name.to_owned()).or_default();
        let Some((_, result)) = call.rsplit_once(" = ") else { continue };
        let errno = result
            .split_once(' ')
            .map(|(value, rest)| (value, rest.split_whitespace().next().unwrap_or_default()));
        match errno {
            Some(("-1", "EINTR")) if name == "rt_sigreturn" => {
                if let Some(name) = interrupted.remove(thread) {
                    seen.entry(name.to_owned()).or_default().insert("EINTR".to_owned());
                }
            }
            // The value of a register of what was interrupted.
            _ if name == "rt_sigreturn" => {}
            Some(("-1", errno)) if errno.starts_with('E') => {
                errnos.insert(errno.to_owned());
            }
            Some(("?", restart)) if restart.starts_with("ERESTART") => {
                interrupted.insert(thread, name);
            }
            _ => {}
        }
    }
    seen
}

/// The guest programs that are traced.
fn guest_programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/src/bin");
    let mut programs = programs::discover(&folder).unwrap();
    programs.retain(|path| !LEFT_OUT.iter().any(|name| path.file_stem() == Some(OsStr::new(name))));
    programs
        .iter()
        .map(|path| lx::guest(path.file_stem().unwrap().to_str().unwrap()).unwrap())
        .collect()
}

/// The trace of one program.
fn trace(program: &Path, on_lx: bool) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("trace");
    let run = if on_lx {
        let mut option = OsString::from("--strace=");
        option.push(&output);
        let args = [OsStr::new("run"), &option, OsStr::new("--"), program.as_os_str()];
        Run::new(lx::command().unwrap(), scratch.path()).args(args)
    } else {
        let args = [OsStr::new("-f"), OsStr::new("-o"), output.as_os_str(), program.as_os_str()];
        Run::new(STRACE, scratch.path()).args(args)
    };
    // Checks that do not hold are another test's matter, and may not hold under strace.
    let outcome = run.limit(LIMIT).outcome().unwrap();
    assert!(outcome.defect.is_none(), "{}: {:?}", program.display(), outcome.defect);
    String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned()
}

/// What all guest programs do, natively and on lx.
fn both() -> [Seen; 2] {
    let sides = [Mutex::new(Seen::new()), Mutex::new(Seen::new())];
    let [native, on_lx] = &sides;
    let runs = |program: PathBuf| [(program.clone(), native), (program, on_lx)];
    let work = Mutex::new(guest_programs().into_iter().flat_map(runs).collect::<Vec<_>>());
    // Programs wait more than they compute.
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let take = || work.lock().unwrap().pop();
        for _ in 0..threads {
            scope.spawn(move || {
                while let Some((program, side)) = take() {
                    for (call, errnos) in seen(&trace(&program, std::ptr::eq(side, on_lx))) {
                        side.lock().unwrap().entry(call).or_default().extend(errnos);
                    }
                }
            });
        }
    });
    sides.map(|side| side.into_inner().unwrap())
}

/// What the tables promise and a trace does not show.
fn missing(tables: &BTreeMap<String, Expected>, seen: &Seen, except: &[&str]) -> Vec<String> {
    let mut missing = Vec::new();
    for (call, expected) in tables {
        let Some(errnos) = seen.get(call) else {
            missing.push(format!("{call}: is never made"));
            continue;
        };
        let lacking = expected.provoked.difference(errnos).map(|errno| format!("{call}: {errno}"));
        missing.extend(lacking.filter(|_| !except.contains(&call.as_str())));
    }
    missing
}

#[test]
fn tables_are_whole() {
    let tables = tables();
    let missing: Vec<&str> =
        TIER_1.split_whitespace().filter(|call| !tables.contains_key(*call)).collect();
    assert!(missing.is_empty(), "calls without a table: {}", missing.join(" "));
    for (call, Expected { provoked, not }) in &tables {
        for errno in provoked.iter().chain(not.keys()) {
            let is_name =
                errno.starts_with('E') && errno.bytes().all(|b| b.is_ascii_alphanumeric());
            assert!(is_name, "{call}: no name of an errno: {errno}");
        }
        for (errno, reason) in not {
            assert!(!provoked.contains(errno), "{call}: {errno} is in both lists");
            assert!(!reason.trim().is_empty(), "{call}: why not {errno}?");
        }
    }
}

#[test]
fn every_errno_is_provoked() {
    if !Path::new(STRACE).exists() || !geteuid().is_root() {
        eprintln!("skipped: needs root, and {STRACE}: apt-get install strace");
        return;
    }
    let tables = tables();
    let otherwise: Vec<&str> = OTHERWISE.iter().map(|(call, _)| *call).collect();
    let [native, on_lx] = both();
    let native = missing(&tables, &native, &[]);
    let on_lx = missing(&tables, &on_lx, &otherwise);
    assert!(
        native.is_empty() && on_lx.is_empty(),
        "no guest program provokes natively:\n{}\nno guest program provokes on lx:\n{}",
        native.join("\n"),
        on_lx.join("\n")
    );
}

#[test]
fn a_trace_is_read() {
    let trace = "\
        10    openat(AT_FDCWD, \"a = b\", O_RDONLY) = -1 ENOENT (No such file or directory)\n\
        10    fcntl(3, F_GETFL) = 0x8000 (flags O_RDONLY|O_LARGEFILE)\n\
        10    wait4(-1,  <unfinished ...>\n\
        11    read(3,  <unfinished ...>\n\
        11    <... read resumed>0x8, 1) = -1 EFAULT (Bad address)\n\
        10    <... wait4 resumed>0x1, 0, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n\
        10    --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n\
        11    rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call)\n\
        10    rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call)\n\
        10    exit_group(0) = ?\n\
        10    +++ exited with 0 +++\n";
    let seen = seen(trace);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["exit_group", "fcntl", "openat", "read", "rt_sigreturn", "wait4"]);
    let errnos: Vec<&str> = seen.values().flatten().map(String::as_str).collect();
    assert_eq!(errnos, ["ENOENT", "EFAULT", "EINTR"]);
}

#[test]
fn what_is_missing_is_named() {
    let tables = parse("[a]\nprovoked = [\"EIO\", \"EPERM\"]\n[b]\nprovoked = []\n").unwrap();
    let seen = Seen::from([("a".to_owned(), BTreeSet::from(["EPERM".to_owned()]))]);
    assert_eq!(missing(&tables, &seen, &[]), ["a: EIO", "b: is never made"]);
    assert_eq!(missing(&tables, &seen, &["a"]), ["b: is never made"]);
    assert!(parse("[a]\nprovked = []\n").is_err());
    assert!(parse("[a.not]\nEIO = 1\n").is_err());
}
