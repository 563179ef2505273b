//! Which calls a process may make: strict mode, filters and what they decide.

use std::process::{Command, exit};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;

use lx_guest_tests::files::{is_root, sys};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, in_child, no_core, wait};

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x5_0000;
const TRAP: u32 = 0x3_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TSYNC: i64 = 1;

/// Asks the program only what a call gives.
const CONFINED: &str = "--confined";

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == CONFINED) {
        exit(getppid().err().unwrap_or(0));
    }
    let mut t = Checks::new();
    no_core();
    strict(&mut t);
    decisions(&mut t);
    what_filters_see(&mut t);
    several(&mut t);
    inherited(&mut t);
    threads(&mut t);
    trapped(&mut t);
    refused(&mut t);
    available(&mut t);
    t.end();
}

fn op(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Decides so for a call, and allows the others.
fn only(number: i64, decision: u32) -> Vec<libc::sock_filter> {
    vec![op(0x20, 0), jump(0x15, number as u32, 0, 1), op(6, decision), op(6, ALLOW)]
}

fn install(program: &[libc::sock_filter], flags: i64) -> Called {
    let program =
        libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    sys(libc::SYS_seccomp, [1, flags, &raw const program as i64])
}

fn confine(program: &[libc::sock_filter]) -> Called {
    call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).and_then(|_| install(program, 0))
}

/// What `body` returns in a child with a filter.
fn under(program: &[libc::sock_filter], body: impl FnOnce() -> i32) -> Ended {
    in_child(|| if confine(program) == Ok(0) { body() } else { 77 })
}

fn getppid() -> Called {
    sys(libc::SYS_getppid, [])
}

fn strict(t: &mut Checks) {
    let set = || call!(prctl(libc::PR_SET_SECCOMP, 1, 0, 0, 0));
    let leaves = |code| {
        let _ = sys(libc::SYS_exit, [code]);
        0
    };
    let works = in_child(|| {
        let _ = set();
        let written = call!(write(-1, null(), 0));
        leaves(if written == Err(libc::EBADF) { 5 } else { 6 })
    });
    t.is("strict: write and exit", works, Ended::Exit(5));
    let other = in_child(|| {
        let _ = set();
        leaves(i64::from(getppid().is_ok()))
    });
    t.is("strict: any other call", other, Ended::Signal(libc::SIGKILL));
    let by_call = in_child(|| {
        let done = sys(libc::SYS_seccomp, [0, 0, 0]);
        leaves(if done == Ok(0) { 7 } else { 8 })
    });
    t.is("by seccomp", by_call, Ended::Exit(7));
    t.fails("with flags", sys(libc::SYS_seccomp, [0, 1, 0]), libc::EINVAL);
    t.fails("with an argument", sys(libc::SYS_seccomp, [0, 0, 8]), libc::EINVAL);
    let after = under(&only(libc::SYS_getppid, ALLOW), || i32::from(set() != Err(libc::EINVAL)));
    t.is("not after a filter", after, Ended::Exit(0));
}

fn decisions(t: &mut Checks) {
    let errno = |decision, wanted: Called| {
        under(&only(libc::SYS_getppid, decision), || i32::from(getppid() != wanted))
    };
    t.is("an errno", errno(ERRNO | 13, Err(13)), Ended::Exit(0));
    t.is("one that nobody knows", errno(ERRNO | 1000, Err(1000)), Ended::Exit(0));
    t.is("the largest", errno(ERRNO | 0xffff, Err(4095)), Ended::Exit(0));
    t.is("none", errno(ERRNO, Ok(0)), Ended::Exit(0));
    t.is("a tracer that there is not", errno(TRACE | 5, Err(libc::ENOSYS)), Ended::Exit(0));
    t.is("a supervisor", errno(NOTIFY, Err(libc::ENOSYS)), Ended::Exit(0));
    let parent = Ok(std::process::id().into());
    t.is("noted down", errno(LOG, parent), Ended::Exit(0));
    t.is("allowed", errno(ALLOW | 9, parent), Ended::Exit(0));
    t.is("the process dies", errno(KILL_PROCESS, Ok(0)), Ended::Signal(libc::SIGSYS));
    t.is("the only thread dies", errno(KILL_THREAD, Ok(0)), Ended::Signal(libc::SIGSYS));
    t.is("an unknown decision", errno(0x1234_0000, Ok(0)), Ended::Signal(libc::SIGSYS));
    let ignored = in_child(|| {
        let _ = call!(signal(libc::SIGSYS, libc::SIG_IGN));
        let _ = confine(&only(libc::SYS_getppid, KILL_PROCESS));
        i32::from(getppid().is_ok())
    });
    t.is("whatever it does with the signal", ignored, Ended::Signal(libc::SIGSYS));
}

fn what_filters_see(t: &mut Checks) {
    // The second argument of lseek, whose halves lie at 24 and 28.
    let halves = [
        op(0x20, 0),
        jump(0x15, libc::SYS_lseek as u32, 0, 5),
        op(0x20, 28),
        jump(0x15, 5, 0, 3),
        op(0x20, 24),
        jump(0x15, 7, 0, 1),
        op(6, ERRNO | 99),
        op(6, ALLOW),
    ];
    let seen = under(&halves, || {
        let exact = call!(lseek(-1, (5 << 32) + 7, 0));
        let other = call!(lseek(-1, (4 << 32) + 7, 0));
        i32::from((exact, other) != (Err(99), Err(libc::EBADF)))
    });
    t.is("arguments of 64 bits", seen, Ended::Exit(0));
    let arch = [op(0x20, 4), jump(0x15, 0xc000_003e, 1, 0), op(6, KILL_PROCESS), op(6, ALLOW)];
    t.is("the architecture", under(&arch, || 0), Ended::Exit(0));
    // The address behind the instruction, upper half: that of the C library.
    let address = (call_site() >> 32) as u32;
    let site = [
        op(0x20, 0),
        jump(0x15, libc::SYS_getppid as u32, 0, 3),
        op(0x20, 12),
        jump(0x15, address, 0, 1),
        op(6, ERRNO | 44),
        op(6, ALLOW),
    ];
    let own = under(&site, || i32::from(getppid() != Err(44)));
    t.is("where the call is made", own, Ended::Exit(0));
    let unknown = under(&only(7777, ERRNO | 21), || i32::from(sys(7777, []) != Err(21)));
    t.is("numbers that are none", unknown, Ended::Exit(0));
}

/// An address in the library that makes calls.
fn call_site() -> u64 {
    libc::syscall as *const () as u64
}

fn several(t: &mut Checks) {
    let number = libc::SYS_getppid;
    let both = |first, second, wanted: Called| {
        under(&only(number, first), || {
            if install(&only(number, second), 0) != Ok(0) {
                return 78;
            }
            i32::from(getppid() != wanted)
        })
    };
    t.is("the stricter one of two", both(ERRNO | 3, ALLOW, Err(3)), Ended::Exit(0));
    t.is("in any order", both(ALLOW, ERRNO | 4, Err(4)), Ended::Exit(0));
    t.is("of equal ones the younger", both(ERRNO | 3, ERRNO | 4, Err(4)), Ended::Exit(0));
    let stricter = both(ERRNO | 3, KILL_PROCESS, Ok(0));
    t.is("death is the strictest", stricter, Ended::Signal(libc::SIGSYS));
    let shown = under(&only(number, ALLOW), || {
        let _ = install(&only(number, ALLOW), 0);
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mode = call!(prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0));
        let good = text.contains("Seccomp:\t2\nSeccomp_filters:\t2\n") && mode == Ok(2);
        i32::from(!good)
    });
    t.is("what is shown of them", shown, Ended::Exit(0));
    let many = under(&only(number, ALLOW), || {
        let long = vec![op(6, ALLOW); 4096];
        let results: Vec<_> = (0..12).map(|_| install(&long, 0)).collect();
        let good = results.iter().take_while(|done| **done == Ok(0)).count();
        // Linux counts what it makes of them.
        i32::from(!(1..=7).contains(&good) || results[good] != Err(libc::ENOMEM))
    });
    t.is("too many instructions", many, Ended::Exit(0));
}

fn inherited(t: &mut Checks) {
    let filter = only(libc::SYS_getppid, ERRNO | 17);
    let forked = under(&filter, || match in_child(|| i32::from(getppid() != Err(17))) {
        Ended::Exit(0) => 0,
        _ => 1,
    });
    t.is("by a child", forked, Ended::Exit(0));
    let threaded = under(&filter, || {
        let other = thread::spawn(|| getppid() == Err(17)).join();
        i32::from(!other.unwrap_or(false))
    });
    t.is("by a thread", threaded, Ended::Exit(0));
    let executed = under(&filter, || {
        let again = Command::new("/proc/self/exe").arg(CONFINED).status();
        again.ok().and_then(|status| status.code()).unwrap_or(99)
    });
    t.is("by a program", executed, Ended::Exit(17));
}

fn threads(t: &mut Checks) {
    static SEEN: AtomicI32 = AtomicI32::new(0);
    let number = libc::SYS_getppid;
    let synchronised = |flags: i64, wanted: Called| {
        in_child(|| {
            let _ = call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
            let (go, goes) = std::sync::mpsc::channel::<()>();
            let other = thread::spawn(move || {
                let _ = goes.recv();
                getppid()
            });
            let done = install(&only(number, ERRNO | 23), flags);
            let _ = go.send(());
            i32::from(done != Ok(0) || other.join().unwrap_or(Ok(-5)) != wanted)
        })
    };
    let child = std::process::id().into();
    t.is("another thread's stays", synchronised(0, Ok(child)), Ended::Exit(0));
    t.is("TSYNC", synchronised(TSYNC, Err(23)), Ended::Exit(0));
    let others = in_child(|| {
        let _ = call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            let own = install(&only(libc::SYS_getppid, ALLOW), 0);
            let _ = tell.send((own, call!(gettid())));
            let _ = goes.recv();
        });
        let (own, tid) = told.recv().unwrap_or((Err(0), Err(0)));
        let refused = install(&only(number, ALLOW), TSYNC);
        let esrch = install(&only(number, ALLOW), TSYNC | 16);
        let _ = go.send(());
        let _ = other.join();
        i32::from(own != Ok(0) || refused != tid || esrch != Err(libc::ESRCH))
    });
    t.is("a thread with other filters", others, Ended::Exit(0));
    let survives = under(&only(number, KILL_THREAD), || {
        let other = fork_thread(|| {
            SEEN.store(1, Ordering::SeqCst);
            let _ = getppid();
            SEEN.store(2, Ordering::SeqCst);
        });
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let task = format!("/proc/self/task/{other}");
        while std::path::Path::new(&task).exists() && std::time::Instant::now() < limit {
            thread::yield_now();
        }
        i32::from(SEEN.load(Ordering::SeqCst) != 1)
    });
    t.is("one of several threads dies alone", survives, Ended::Exit(0));
}

/// Starts a thread that nobody joins; its id.
fn fork_thread(body: fn()) -> i64 {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let _ = tell.send(call!(gettid()));
        body();
    });
    told.recv().unwrap_or(Err(0)).unwrap_or(0)
}

fn trapped(t: &mut Checks) {
    static NUMBER: AtomicI32 = AtomicI32::new(0);
    static DATA: AtomicI32 = AtomicI32::new(0);
    static CODE: AtomicI32 = AtomicI32::new(0);
    static ARCH: AtomicU64 = AtomicU64::new(0);
    static ADDRESS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes both.
        let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
        DATA.store(info.si_errno, Ordering::SeqCst);
        CODE.store(info.si_code, Ordering::SeqCst);
        // SAFETY: `si_call_addr`, `si_syscall` and `si_arch` come behind the first 16 bytes.
        let (address, number, arch) = unsafe {
            let fields = (&raw const *info).cast::<u8>().add(16);
            let number = fields.add(8).cast::<i32>().read();
            (fields.cast::<u64>().read(), number, fields.add(12).cast::<u32>().read())
        };
        NUMBER.store(number, Ordering::SeqCst);
        ARCH.store(arch.into(), Ordering::SeqCst);
        ADDRESS.store(address, Ordering::SeqCst);
        let registers = &mut context.uc_mcontext.gregs;
        let same = registers[libc::REG_RIP as usize] as u64 == address
            && registers[libc::REG_RAX as usize] == i64::from(number);
        registers[libc::REG_RAX as usize] = if same { 4321 } else { -1 };
    }
    let handled = in_child(|| {
        // SAFETY: zeroes are a valid structure.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let _ = call!(sigaction(libc::SIGSYS, &action, null_mut()));
        let _ = confine(&only(libc::SYS_getppid, TRAP | 56));
        let value = getppid();
        let fields = [&NUMBER, &DATA, &CODE].map(|place| place.load(Ordering::SeqCst));
        let good = value == Ok(4321)
            && fields == [libc::SYS_getppid as i32, 56, 1]
            && ARCH.load(Ordering::SeqCst) == 0xc000_003e
            && ADDRESS.load(Ordering::SeqCst) >> 32 == call_site() >> 32;
        i32::from(!good)
    });
    t.is("SIGSYS in place of a call", handled, Ended::Exit(0));
    let dies = under(&only(libc::SYS_getppid, TRAP), || i32::from(getppid().is_ok()));
    t.is("without a handler", dies, Ended::Signal(libc::SIGSYS));
}

fn refused(t: &mut Checks) {
    let allow = [op(6, ALLOW)];
    let one = |program: &[libc::sock_filter], flags: i64| {
        in_child(|| {
            let _ = call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
            install(program, flags).err().unwrap_or(0)
        })
    };
    let invalid = Ended::Exit(libc::EINVAL);
    t.is("a good one", one(&allow, 0), Ended::Exit(0));
    t.is("logged, and not slowed down", one(&allow, 6), Ended::Exit(0));
    t.is("no instructions", one(&[], 0), invalid);
    t.is("too many", one(&vec![op(6, ALLOW); 4097], 0), invalid);
    t.is("no end", one(&[op(0x20, 0)], 0), invalid);
    t.is("what sockets have", one(&[op(0x28, 0), op(6, 0)], 0), invalid);
    t.is("behind the data", one(&[op(0x20, 64), op(6, 0)], 0), invalid);
    t.is("inside a word", one(&[op(0x20, 2), op(6, 0)], 0), invalid);
    t.is("a remainder", one(&[op(0x94, 3), op(6, 0)], 0), invalid);
    t.is("a division by zero", one(&[op(0x34, 0), op(6, 0)], 0), invalid);
    t.is("a jump too far", one(&[jump(0x15, 0, 0, 1), op(6, 0)], 0), invalid);
    t.is("memory without a value", one(&[op(0x60, 1), op(6, 0)], 0), invalid);
    t.is("a flag that is none", one(&allow, 1 << 20), invalid);
    t.fails("an operation that is none", sys(libc::SYS_seccomp, [99, 0, 0]), libc::EINVAL);
    t.fails("no program", sys(libc::SYS_seccomp, [1, 0, NOWHERE as i64]), libc::EFAULT);
    let program = libc::sock_fprog { len: 1, filter: NOWHERE as *mut _ };
    let no_instructions = in_child(|| {
        let _ = call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        sys(libc::SYS_seccomp, [1, 0, &raw const program as i64]).err().unwrap_or(0)
    });
    t.is("no instructions in memory", no_instructions, Ended::Exit(libc::EFAULT));
    t.fails("no mode", call!(prctl(libc::PR_SET_SECCOMP, 3, 0, 0, 0)), libc::EINVAL);
    let by_prctl = in_child(|| {
        let _ = call!(prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        let filter = only(libc::SYS_getppid, ERRNO | 31);
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let done = call!(prctl(libc::PR_SET_SECCOMP, 2, &raw const program, 0, 0));
        i32::from(done != Ok(0) || getppid() != Err(31))
    });
    t.is("by prctl", by_prctl, Ended::Exit(0));
    if is_root() {
        let unprivileged = fork(|| {
            let _ = call!(setuid(65534));
            install(&allow, 0).err().unwrap_or(0)
        });
        t.is("without no_new_privs", wait(unprivileged), Ended::Exit(libc::EACCES));
        let privileged = in_child(|| install(&allow, 0).err().unwrap_or(0));
        t.is("root may", privileged, Ended::Exit(0));
    }
}

fn available(t: &mut Checks) {
    let ask =
        |action: u32, flags: i64| sys(libc::SYS_seccomp, [2, flags, &raw const action as i64]);
    for action in [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, TRACE, LOG, ALLOW] {
        t.is("a decision", ask(action, 0), Ok(0));
    }
    t.fails("none that is known", ask(0x1234_0000, 0), libc::EOPNOTSUPP);
    t.fails("with data", ask(ERRNO | 1, 0), libc::EOPNOTSUPP);
    t.fails("with flags", ask(ERRNO, 1), libc::EINVAL);
    t.fails("nowhere", sys(libc::SYS_seccomp, [2, 0, NOWHERE as i64]), libc::EFAULT);
}
