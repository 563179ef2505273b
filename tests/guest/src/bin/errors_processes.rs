//! What processes and threads fail with: `clone(2)`, `fork(2)`, `wait4(2)`, `waitid(2)`,
//! `sched_getaffinity(2)`, `sched_getattr(2)`, `set_robust_list(2)`, `arch_prctl(2)`, `rseq(2)`.

use std::ptr::{null, null_mut};

use lx_guest_tests::errors::{as_nobody, interrupted};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, call, fork, in_child, pipe, read, wait, write,
};

/// An id that no process has.
const NO_PROCESS: i32 = 99_999_999;

fn main() {
    let mut t = Checks::new();
    flags(&mut t);
    structures(&mut t);
    too_many(&mut t);
    waiting(&mut t);
    waiting_by_kind(&mut t);
    scheduling(&mut t);
    threads(&mut t);
    t.end();
}

/// `clone(2)`; a child ends at once.
fn clone(flags: i32) -> Called {
    let called = call!(syscall(libc::SYS_clone, flags, 0, 0, 0, 0));
    if called == Ok(0) {
        // SAFETY: ends the child, which has memory of its own with every flag that is tried here.
        unsafe { libc::_exit(0) }
    }
    called
}

fn flags(t: &mut Checks) {
    let mut bad = |what: &str, flags: i32| t.fails(what, clone(flags), libc::EINVAL);
    bad("handlers without memory", libc::CLONE_SIGHAND);
    bad("a thread without handlers", libc::CLONE_THREAD | libc::CLONE_VM);
    bad("one word for the id and a descriptor", libc::CLONE_PIDFD | libc::CLONE_PARENT_SETTID);
    bad("mounts of its own, shared", libc::CLONE_NEWNS | libc::CLONE_FS);
    bad("a shared folder in another user namespace", libc::CLONE_NEWUSER | libc::CLONE_FS);
    let thread = libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM;
    bad("a thread in another user namespace", libc::CLONE_NEWUSER | thread);
    bad("a thread in another pid namespace", libc::CLONE_NEWPID | thread);
    // Who may not make a namespace learns that first.
    let adjusted = libc::CLONE_NEWIPC | libc::CLONE_SYSVSEM;
    let is_root = call!(geteuid()) == Ok(0);
    let adjusted = if is_root { clone(adjusted) } else { Err(libc::EINVAL) };
    t.fails("adjustments of another namespace", adjusted, libc::EINVAL);
    for (what, flag) in [
        ("mounts", libc::CLONE_NEWNS),
        ("host names", libc::CLONE_NEWUTS),
        ("queues", libc::CLONE_NEWIPC),
        ("pids", libc::CLONE_NEWPID),
        ("networks", libc::CLONE_NEWNET),
        ("control groups", libc::CLONE_NEWCGROUP),
    ] {
        let what = format!("nobody's namespace for {what}");
        t.fails(&what, as_nobody(|| clone(flag)), libc::EPERM);
    }
    let child = clone(libc::SIGCHLD).unwrap_or(-1) as i32;
    t.is("and a child", wait(child), Ended::Exit(0));
}

/// The fields of `struct clone_args`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `clone3(2)`; a child ends at once.
fn clone3(args: *const CloneArgs, size: usize) -> Called {
    let called = call!(syscall(libc::SYS_clone3, args, size));
    if called == Ok(0) {
        // SAFETY: ends the child, which has memory of its own with every flag that is tried here.
        unsafe { libc::_exit(0) }
    }
    called
}

fn structures(t: &mut Checks) {
    const SIZE: usize = size_of::<CloneArgs>();
    let none = CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    let mut fails = |what: &str, args: CloneArgs, errno: i32| {
        t.fails(&format!("clone3: {what}"), clone3(&args, SIZE), errno);
    };
    let flags = |flags: i32| CloneArgs { flags: flags as u64, ..none };
    fails("no such signal", CloneArgs { exit_signal: 65, ..none }, libc::EINVAL);
    fails("more than a signal", CloneArgs { exit_signal: 1 << 40, ..none }, libc::EINVAL);
    fails("a signal among the flags", flags(libc::SIGCHLD), libc::EINVAL);
    fails("a flag of old", flags(libc::CLONE_DETACHED), libc::EINVAL);
    fails("a flag of the future", CloneArgs { flags: 1 << 60, ..none }, libc::EINVAL);
    fails(
        "handlers kept and cleared",
        CloneArgs { flags: 1 << 32 | (libc::CLONE_SIGHAND | libc::CLONE_VM) as u64, ..none },
        libc::EINVAL,
    );
    fails("a brother with a signal", flags(libc::CLONE_PARENT), libc::EINVAL);
    fails("a stack without a size", CloneArgs { stack: 1 << 20, ..none }, libc::EINVAL);
    fails("a size without a stack", CloneArgs { stack_size: 4096, ..none }, libc::EINVAL);
    fails("ids without a number", CloneArgs { set_tid: 8, ..none }, libc::EINVAL);
    fails("a number without ids", CloneArgs { set_tid_size: 1, ..none }, libc::EINVAL);
    fails("too many ids", CloneArgs { set_tid: 8, set_tid_size: 33, ..none }, libc::EINVAL);
    let id = 2_i32;
    let chosen = CloneArgs { set_tid: &raw const id as u64, set_tid_size: 1, ..none };
    t.fails("nobody chooses the id", as_nobody(|| clone3(&chosen, SIZE)), libc::EPERM);
    t.fails("too short", clone3(&none, 56), libc::EINVAL);
    t.fails("too long", clone3(&none, 8192), libc::E2BIG);
    t.fails("at nowhere", clone3(NOWHERE as *const _, SIZE), libc::EFAULT);
    let longer = [none, CloneArgs { flags: 1, ..CloneArgs::default() }];
    t.fails("fields of the future", clone3(longer.as_ptr(), 2 * SIZE), libc::E2BIG);
    let zeros = [none, CloneArgs::default()];
    for (what, size) in [("a child", SIZE), ("of old", 64), ("of the future", 2 * SIZE)] {
        let child = clone3(zeros.as_ptr(), size).unwrap_or(-1) as i32;
        t.is(what, wait(child), Ended::Exit(0));
    }
}

fn too_many(t: &mut Checks) {
    let mut nobody = |what: &str, make: &dyn Fn() -> Called| {
        let body = || {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let _ = call!(setrlimit(libc::RLIMIT_NPROC, &none));
            make()
        };
        t.fails(what, as_nobody(body), libc::EAGAIN);
    };
    let ended = |called: Called| {
        if called == Ok(0) {
            // SAFETY: ends a child that should not have come to be.
            unsafe { libc::_exit(0) }
        }
        called
    };
    nobody("fork of too many", &|| ended(call!(syscall(libc::SYS_fork))));
    #[expect(deprecated, reason = "vfork is what is tested")]
    nobody("vfork of too many", &|| ended(call!(vfork())));
    nobody("clone of too many", &|| clone(libc::SIGCHLD));
    let args = CloneArgs { exit_signal: libc::SIGCHLD as u64, ..CloneArgs::default() };
    nobody("clone3 of too many", &|| clone3(&args, size_of::<CloneArgs>()));
}

fn waiting(t: &mut Checks) {
    let wait4 =
        |pid: i32, status: *mut i32, options: i32| call!(wait4(pid, status, options, null_mut()));
    t.fails("no child", wait4(-1, null_mut(), 0), libc::ECHILD);
    t.fails("no such option", wait4(-1, null_mut(), 0x100), libc::EINVAL);
    t.fails("an option of waitid", wait4(-1, null_mut(), libc::WNOWAIT), libc::EINVAL);
    t.fails("the group of the smallest number", wait4(i32::MIN, null_mut(), 0), libc::ESRCH);
    let (r, w) = pipe();
    let child = fork(|| read::<1>(r).map_or(1, |_| 0));
    t.fails("not that child", wait4(child + 1, null_mut(), 0), libc::ECHILD);
    t.fails("not that group", wait4(-NO_PROCESS, null_mut(), 0), libc::ECHILD);
    t.fails("interrupted", interrupted(|| wait4(child, null_mut(), 0)), libc::EINTR);
    let _ = write(w, b"x");
    t.fails("to nowhere", wait4(child, NOWHERE as *mut i32, 0), libc::EFAULT);
    t.fails("yet it is gone", wait4(child, null_mut(), 0), libc::ECHILD);
    let ignored = || {
        let _ = call!(signal(libc::SIGCHLD, libc::SIG_IGN));
        let child = fork(|| 0);
        i32::from(wait4(child, null_mut(), 0) != Err(libc::ECHILD))
    };
    t.is("of ignored children nothing is kept", in_child(ignored), Ended::Exit(0));
}

fn waiting_by_kind(t: &mut Checks) {
    const NONBLOCK: i32 = libc::O_NONBLOCK;
    let waitid = |kind: u32, id: i32, options: i32| {
        call!(syscall(libc::SYS_waitid, kind, id, null::<u8>(), options, null::<u8>()))
    };
    let (all, exited) = (libc::P_ALL, libc::WEXITED);
    t.fails("waitid without a child", waitid(all, 0, exited), libc::ECHILD);
    t.fails("for nothing", waitid(all, 0, 0), libc::EINVAL);
    t.fails("no such option", waitid(all, 0, exited | 0x100), libc::EINVAL);
    t.fails("no such kind", waitid(9, 1, exited), libc::EINVAL);
    t.fails("process 0", waitid(libc::P_PID, 0, exited), libc::EINVAL);
    t.fails("a negative group", waitid(libc::P_PGID, -1, exited), libc::EINVAL);
    t.fails("a negative descriptor", waitid(libc::P_PIDFD, -1, exited), libc::EINVAL);
    t.fails("no descriptor", waitid(libc::P_PIDFD, 999, exited), libc::EBADF);
    t.fails("no descriptor of a process", waitid(libc::P_PIDFD, 0, exited), libc::EBADF);
    let (r, w) = pipe();
    let child = fork(|| read::<1>(r).map_or(1, |_| 0));
    let fd = t.works("pidfd_open", call!(syscall(libc::SYS_pidfd_open, child, NONBLOCK))) as i32;
    t.fails("not yet", waitid(libc::P_PIDFD, fd, exited), libc::EAGAIN);
    t.is("asked not to wait", waitid(libc::P_PIDFD, fd, exited | libc::WNOHANG), Ok(0));
    t.fails("interrupted", interrupted(|| waitid(libc::P_PID, child, exited)), libc::EINTR);
    let _ = write(w, b"x");
    let nowhere = || call!(waitid(libc::P_PID, child as u32, NOWHERE as *mut _, exited));
    t.fails("to nowhere", nowhere(), libc::EFAULT);
    t.fails("yet it is gone", waitid(libc::P_PID, child, exited), libc::ECHILD);
    let itself = call!(syscall(libc::SYS_pidfd_open, libc::getpid(), 0)).unwrap_or(-1) as i32;
    t.fails("no child by a descriptor", waitid(libc::P_PIDFD, itself, exited), libc::ECHILD);
}

fn scheduling(t: &mut Checks) {
    let mut mask = [0_u64; 16];
    let affinity = |pid: i32, len: usize, mask: *mut u64| {
        call!(syscall(libc::SYS_sched_getaffinity, pid, len, mask))
    };
    t.ok("sched_getaffinity", affinity(0, 128, mask.as_mut_ptr()).is_ok_and(|len| len >= 8));
    t.ok("at least one processor", mask.iter().any(|word| *word != 0));
    t.fails("no room", affinity(0, 0, mask.as_mut_ptr()), libc::EINVAL);
    t.fails("room for half a word", affinity(0, 12, mask.as_mut_ptr()), libc::EINVAL);
    t.fails("of nobody", affinity(NO_PROCESS, 128, mask.as_mut_ptr()), libc::ESRCH);
    t.fails("of a negative one", affinity(-1, 128, mask.as_mut_ptr()), libc::ESRCH);
    t.fails("to nowhere", affinity(0, 128, NOWHERE as *mut u64), libc::EFAULT);
    let mut attr = [0_u64; 8];
    let get = |pid: i32, attr: *mut u64, size: u32, flags: u32| {
        call!(syscall(libc::SYS_sched_getattr, pid, attr, size, flags))
    };
    t.is("sched_getattr", get(0, attr.as_mut_ptr(), 64, 0), Ok(0));
    t.is("the usual policy", (attr[0] >> 32, attr[1]), (0, 0));
    t.fails("to null", get(0, null_mut(), 64, 0), libc::EINVAL);
    t.fails("too small", get(0, attr.as_mut_ptr(), 47, 0), libc::EINVAL);
    t.fails("too large", get(0, attr.as_mut_ptr(), 4097, 0), libc::EINVAL);
    t.fails("with a flag", get(0, attr.as_mut_ptr(), 64, 1), libc::EINVAL);
    t.fails("of a negative one", get(-1, attr.as_mut_ptr(), 64, 0), libc::EINVAL);
    t.fails("of nobody", get(NO_PROCESS, attr.as_mut_ptr(), 64, 0), libc::ESRCH);
    t.fails("to nowhere", get(0, NOWHERE as *mut u64, 64, 0), libc::EFAULT);
    let getcpu =
        |cpu: *mut u32, node: *mut u32| call!(syscall(libc::SYS_getcpu, cpu, node, null::<u8>()));
    let (mut cpu, mut node) = (u32::MAX, u32::MAX);
    t.is("getcpu", getcpu(&mut cpu, &mut node), Ok(0));
    t.ok("is told", cpu != u32::MAX && node != u32::MAX);
    t.is("asks for nothing", getcpu(null_mut(), null_mut()), Ok(0));
    t.fails("a processor to nowhere", getcpu(NOWHERE as *mut u32, null_mut()), libc::EFAULT);
    t.fails("a node to nowhere", getcpu(null_mut(), NOWHERE as *mut u32), libc::EFAULT);
}

fn threads(t: &mut Checks) {
    let robust = |len: usize| call!(syscall(libc::SYS_set_robust_list, NOWHERE, len));
    t.fails("a list of another size", robust(23), libc::EINVAL);
    let mut base = 0_u64;
    let arch = |code: i32, address: usize| call!(syscall(libc::SYS_arch_prctl, code, address));
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_CPUID: i32 = 0x1011;
    const SET_CPUID: i32 = 0x1012;
    t.is("ARCH_GET_FS", arch(GET_FS, &raw mut base as usize), Ok(0));
    t.ok("the thread has a base", base != 0);
    t.fails("ARCH_GET_FS to nowhere", arch(GET_FS, NOWHERE), libc::EFAULT);
    t.fails("a base beyond the user's half", arch(SET_FS, 1 << 63), libc::EPERM);
    t.fails("no such operation", arch(0x9999, 0), libc::EINVAL);
    t.is("CPUID works", arch(GET_CPUID, 0), Ok(1));
    // Some processors can make it fault.
    t.ok("and shall", matches!(arch(SET_CPUID, 1), Ok(0) | Err(libc::ENODEV)));
    // lx has no restartable sequences, which the C library does without.
    let rseq = call!(syscall(libc::SYS_rseq, 1, 32, 0, 0));
    t.ok("no place for a restartable sequence", matches!(rseq, Err(libc::EINVAL | libc::ENOSYS)));
}
