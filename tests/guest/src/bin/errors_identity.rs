//! What users, groups, limits and priorities fail with: `setuid(2)` and relatives, `setgroups(2)`,
//! `setpriority(2)`, `ioprio_set(2)`, `prlimit(2)`, `prctl(2)`.

use std::ptr::null_mut;

use lx_guest_tests::errors::as_nobody;
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, in_child};

/// An id that no process has.
const NO_PROCESS: i32 = 99_999_999;
/// The argument that leaves an id alone.
const KEEP: u32 = u32::MAX;
const NOBODY: u32 = 65534;

fn main() {
    let mut t = Checks::new();
    users(&mut t);
    file_system_ids(&mut t);
    groups(&mut t);
    priorities(&mut t);
    input_output_priorities(&mut t);
    limits(&mut t);
    signals(&mut t);
    attributes(&mut t);
    capabilities(&mut t);
    t.end();
}

fn is_root() -> bool {
    call!(geteuid()) == Ok(0)
}

/// What a call gives that fails with `errno` for root, or of what belongs to root. Who is not root
/// cannot ask.
fn of_root(errno: i32, body: impl FnOnce() -> Called) -> Called {
    if is_root() { body() } else { Err(errno) }
}

/// How a child of root's ends, which exits with 0. Who is not root cannot ask.
fn child_of_root(body: impl FnOnce() -> i32) -> Ended {
    if is_root() { in_child(body) } else { Ended::Exit(0) }
}

fn users(t: &mut Checks) {
    t.fails("setuid of no user", call!(setuid(KEEP)), libc::EINVAL);
    t.fails("setgid of no group", call!(setgid(KEEP)), libc::EINVAL);
    t.is("setreuid of none", call!(setreuid(KEEP, KEEP)), Ok(0));
    t.is("setregid of none", call!(setregid(KEEP, KEEP)), Ok(0));
    t.is("setresgid of none", call!(setresgid(KEEP, KEEP, KEEP)), Ok(0));
    t.fails("nobody's setuid", as_nobody(|| call!(setuid(0))), libc::EPERM);
    t.fails("nobody's setgid", as_nobody(|| call!(setgid(0))), libc::EPERM);
    t.fails("nobody's setreuid", as_nobody(|| call!(setreuid(0, KEEP))), libc::EPERM);
    t.fails("nobody's setreuid, effective", as_nobody(|| call!(setreuid(KEEP, 0))), libc::EPERM);
    t.fails("nobody's setregid", as_nobody(|| call!(setregid(0, KEEP))), libc::EPERM);
    t.fails("nobody's setresuid", as_nobody(|| call!(setresuid(KEEP, KEEP, 0))), libc::EPERM);
    t.fails("nobody's setresgid", as_nobody(|| call!(setresgid(KEEP, KEEP, 0))), libc::EPERM);
    let back = || {
        let away = call!(setreuid(NOBODY, 0)).is_ok() && call!(setuid(NOBODY)).is_ok();
        // For root setuid sets all three ids.
        i32::from(!away || call!(setuid(0)) != Err(libc::EPERM))
    };
    t.is("no way back", child_of_root(back), Ended::Exit(0));
    let swap = || {
        let swapped = call!(setregid(NOBODY, 0)).is_ok() && call!(setreuid(NOBODY, 0)).is_ok();
        let there = call!(getuid()) == Ok(i64::from(NOBODY)) && call!(geteuid()) == Ok(0);
        let group = call!(getgid()) == Ok(i64::from(NOBODY)) && call!(getegid()) == Ok(0);
        i32::from(!swapped || !there || !group || call!(setreuid(0, NOBODY)) != Ok(0))
    };
    t.is("real and effective swap", child_of_root(swap), Ended::Exit(0));
}

fn file_system_ids(t: &mut Checks) {
    let user = |id: u32| call!(syscall(libc::SYS_setfsuid, id));
    let group = |id: u32| call!(syscall(libc::SYS_setfsgid, id));
    let (uid, gid) = (call!(geteuid()), call!(getegid()));
    // The former id is the answer, whether it changes or not.
    t.is("setfsuid of no user", user(KEEP), uid);
    t.is("setfsgid of no group", group(KEEP), gid);
    let changed = || {
        let user = user(NOBODY) == Ok(0) && user(0) == Ok(i64::from(NOBODY)) && user(KEEP) == Ok(0);
        let group =
            group(NOBODY) == Ok(0) && group(0) == Ok(i64::from(NOBODY)) && group(KEEP) == Ok(0);
        i32::from(!user || !group)
    };
    t.is("root changes both", child_of_root(changed), Ended::Exit(0));
    let kept = || {
        let (uid, gid) = (call!(getuid()), call!(getgid()));
        let kept = user(1) == uid && user(KEEP) == uid && group(1) == gid && group(KEEP) == gid;
        if kept { Ok(0) } else { Err(1) }
    };
    t.is("nobody does not", as_nobody(kept), Ok(0));
}

fn groups(t: &mut Checks) {
    let one: u32 = 1;
    let many = vec![1_u32; 65_537];
    t.fails("nobody's setgroups", as_nobody(|| call!(setgroups(1, &one))), libc::EPERM);
    let mut fails = |what: &str, count: usize, list: *const u32, errno: i32| {
        t.fails(what, of_root(errno, || call!(setgroups(count, list))), errno);
    };
    fails("too many groups", many.len(), many.as_ptr(), libc::EINVAL);
    fails("groups at nowhere", 1, NOWHERE as *const u32, libc::EFAULT);
    fails("no such group", 1, &KEEP, libc::EINVAL);
    let two = || {
        let mut list = [0_u32; 2];
        let _ = call!(setgroups(2, [7_u32, 5].as_ptr()));
        let read = call!(getgroups(2, list.as_mut_ptr())) == Ok(2) && list == [5, 7];
        let short = call!(getgroups(1, list.as_mut_ptr())) == Err(libc::EINVAL);
        let nowhere = call!(getgroups(2, NOWHERE as *mut u32)) == Err(libc::EFAULT);
        i32::from(!read || !short || !nowhere || call!(getgroups(0, null_mut())) != Ok(2))
    };
    t.is("two groups", child_of_root(two), Ended::Exit(0));
}

fn priorities(t: &mut Checks) {
    let get = |which: u32, who: i32| call!(syscall(libc::SYS_getpriority, which, who));
    let set =
        |which: u32, who: i32, nice: i32| call!(syscall(libc::SYS_setpriority, which, who, nice));
    let (process, group, user) = (libc::PRIO_PROCESS, libc::PRIO_PGRP, libc::PRIO_USER);
    t.ok("getpriority", get(process, 0).is_ok_and(|value| (1..=40).contains(&value)));
    t.fails("of no kind", get(3, 0), libc::EINVAL);
    t.fails("of no process", get(process, NO_PROCESS), libc::ESRCH);
    t.fails("of no group", get(group, NO_PROCESS), libc::ESRCH);
    t.fails("of no user", get(user, NO_PROCESS), libc::ESRCH);
    t.fails("setpriority of no kind", set(3, 0, 0), libc::EINVAL);
    t.fails("setpriority of no process", set(process, NO_PROCESS, 0), libc::ESRCH);
    t.fails("setpriority of no group", set(group, NO_PROCESS, 0), libc::ESRCH);
    t.fails("setpriority of no user", set(user, NO_PROCESS, 0), libc::ESRCH);
    t.fails("nobody is nice to nobody only", as_nobody(|| set(process, 0, -1)), libc::EACCES);
    let parent = call!(getpid()).unwrap_or(0) as i32;
    let other = of_root(libc::EPERM, || as_nobody(|| set(process, parent, 5)));
    t.fails("nobody and root's process", other, libc::EPERM);
    let nicer = || {
        let nice = set(process, 0, 100).is_ok() && get(process, 0) == Ok(1);
        if nice && set(process, 0, 18) == Err(libc::EACCES) { Ok(0) } else { Err(1) }
    };
    t.is("nicer, up to 19, and not back", as_nobody(nicer), Ok(0));
}

fn input_output_priorities(t: &mut Checks) {
    const PROCESS: i32 = 1;
    const GROUP: i32 = 2;
    const USER: i32 = 3;
    let of = |class: i32, level: i32| class << 13 | level;
    let get = |which: i32, who: i32| call!(syscall(libc::SYS_ioprio_get, which, who));
    let set = |which: i32, who: i32, priority: i32| {
        call!(syscall(libc::SYS_ioprio_set, which, who, priority))
    };
    let both =
        || i32::from(set(PROCESS, 0, of(2, 6)) != Ok(0) || get(PROCESS, 0) != Ok(2 << 13 | 6));
    t.is("ioprio_set", in_child(both), Ended::Exit(0));
    t.fails("of no kind", set(9, 0, of(2, 4)), libc::EINVAL);
    t.fails("no such class", set(PROCESS, 0, of(7, 0)), libc::EINVAL);
    t.fails("a level without a class", set(PROCESS, 0, of(0, 1)), libc::EINVAL);
    t.fails("of no process", set(PROCESS, NO_PROCESS, of(2, 4)), libc::ESRCH);
    t.fails("of no group", set(GROUP, NO_PROCESS, of(2, 4)), libc::ESRCH);
    t.fails("of no user", set(USER, NO_PROCESS, of(2, 4)), libc::ESRCH);
    t.fails("ioprio_get of no kind", get(9, 0), libc::EINVAL);
    t.fails("ioprio_get of no process", get(PROCESS, NO_PROCESS), libc::ESRCH);
    t.fails("nobody in real time", as_nobody(|| set(PROCESS, 0, of(1, 4))), libc::EPERM);
    let parent = call!(getpid()).unwrap_or(0) as i32;
    let other = of_root(libc::EPERM, || as_nobody(|| set(PROCESS, parent, of(2, 4))));
    t.fails("nobody and root's process", other, libc::EPERM);
}

fn limits(t: &mut Checks) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let get = |resource: u32, limit: *mut libc::rlimit| {
        call!(syscall(libc::SYS_getrlimit, resource, limit))
    };
    let set = |resource: u32, limit: *const libc::rlimit| {
        call!(syscall(libc::SYS_setrlimit, resource, limit))
    };
    t.is("getrlimit", get(libc::RLIMIT_NPROC, &mut limit), Ok(0));
    t.fails("of nothing", get(16, &mut limit), libc::EINVAL);
    t.fails("to nowhere", get(libc::RLIMIT_NPROC, NOWHERE as *mut _), libc::EFAULT);
    let reversed = libc::rlimit { rlim_cur: 2, rlim_max: 1 };
    t.fails("soft above hard", set(libc::RLIMIT_CORE, &reversed), libc::EINVAL);
    t.fails("setrlimit of nothing", set(16, &limit), libc::EINVAL);
    t.fails("from nowhere", set(libc::RLIMIT_CORE, NOWHERE as *const _), libc::EFAULT);
    let raise = || {
        let [low, high] = [1, 2].map(|both| libc::rlimit { rlim_cur: both, rlim_max: both });
        let _ = set(libc::RLIMIT_CORE, &low);
        set(libc::RLIMIT_CORE, &high)
    };
    t.fails("nobody raises a hard limit", as_nobody(raise), libc::EPERM);
    let of = |pid: i32, resource: u32, new: *const libc::rlimit, old: *mut libc::rlimit| {
        call!(syscall(libc::SYS_prlimit64, pid, resource, new, old))
    };
    let none = std::ptr::null();
    t.is("prlimit", of(0, libc::RLIMIT_NPROC, none, &mut limit), Ok(0));
    t.fails("of nothing", of(0, 16, none, &mut limit), libc::EINVAL);
    t.fails("of no process", of(NO_PROCESS, 0, none, &mut limit), libc::ESRCH);
    t.fails("of a negative one", of(-1, 0, none, &mut limit), libc::ESRCH);
    t.fails("to nowhere", of(0, 0, none, NOWHERE as *mut _), libc::EFAULT);
    t.fails("from nowhere", of(0, 0, NOWHERE as *const _, null_mut()), libc::EFAULT);
    t.fails("soft above hard", of(0, 4, &reversed, null_mut()), libc::EINVAL);
    let raise = || {
        let [low, high] = [1, 2].map(|both| libc::rlimit { rlim_cur: both, rlim_max: both });
        let _ = of(0, libc::RLIMIT_CORE, &low, null_mut());
        of(0, libc::RLIMIT_CORE, &high, null_mut())
    };
    t.fails("nobody raises a hard limit", as_nobody(raise), libc::EPERM);
    let parent = call!(getpid()).unwrap_or(0) as i32;
    let other = of_root(libc::EPERM, || as_nobody(|| of(parent, 0, none, null_mut())));
    t.fails("nobody and root's process", other, libc::EPERM);
    let too_many = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    let descriptors = of(0, libc::RLIMIT_NOFILE, &too_many, null_mut());
    t.fails("more descriptors than there can be", descriptors, libc::EPERM);
}

fn signals(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    let mut others = |what: &str, body: &dyn Fn() -> Called| {
        t.fails(what, of_root(libc::EPERM, || as_nobody(body)), libc::EPERM);
    };
    others("nobody's kill", &|| call!(kill(me, 0)));
    others("nobody's tkill", &|| call!(syscall(libc::SYS_tkill, me, libc::SIGTERM)));
    others("nobody's tgkill", &|| call!(syscall(libc::SYS_tgkill, me, me, libc::SIGTERM)));
    let value = libc::sigval { sival_ptr: null_mut() };
    others("nobody's sigqueue", &|| call!(sigqueue(me, libc::SIGTERM, value)));
    t.is("nobody's kill of all that it may", as_nobody(|| call!(kill(-1, 0))), Ok(0));
}

fn attributes(t: &mut Checks) {
    let prctl = |option: i32, arguments: [usize; 4]| {
        let [a, b, c, d] = arguments;
        call!(syscall(libc::SYS_prctl, option, a, b, c, d))
    };
    let one = |option: i32, argument: usize| prctl(option, [argument, 0, 0, 0]);
    let mut bad = |what: &str, called: Called| t.fails(what, called, libc::EINVAL);
    bad("no such option", one(0x7fff_fff0, 0));
    bad("PR_SET_PDEATHSIG of no signal", one(libc::PR_SET_PDEATHSIG, 65));
    bad("PR_SET_DUMPABLE 2", one(libc::PR_SET_DUMPABLE, 2));
    bad("PR_SET_TIMING 1", one(libc::PR_SET_TIMING, 1));
    bad("PR_SET_KEEPCAPS 2", one(libc::PR_SET_KEEPCAPS, 2));
    bad("PR_SET_NO_NEW_PRIVS 0", one(libc::PR_SET_NO_NEW_PRIVS, 0));
    bad("PR_SET_NO_NEW_PRIVS with more", prctl(libc::PR_SET_NO_NEW_PRIVS, [1, 1, 0, 0]));
    bad("PR_GET_NO_NEW_PRIVS with more", one(libc::PR_GET_NO_NEW_PRIVS, 1));
    bad("PR_CAPBSET_READ of no capability", one(libc::PR_CAPBSET_READ, 64));
    bad("PR_CAP_AMBIENT without an action", prctl(libc::PR_CAP_AMBIENT, [9, 0, 0, 0]));
    bad("PR_CAP_AMBIENT of no capability", prctl(libc::PR_CAP_AMBIENT, [1, 64, 0, 0]));
    bad("PR_CAP_AMBIENT with more", prctl(libc::PR_CAP_AMBIENT, [1, 0, 1, 0]));
    bad("clearing with more", prctl(libc::PR_CAP_AMBIENT, [4, 1, 0, 0]));
    bad("PR_GET_SPECULATION_CTRL with more", prctl(libc::PR_GET_SPECULATION_CTRL, [0, 1, 0, 0]));
    bad("PR_SET_THP_DISABLE with more", prctl(libc::PR_SET_THP_DISABLE, [1, 1 << 20, 0, 0]));
    bad("PR_GET_THP_DISABLE with more", one(libc::PR_GET_THP_DISABLE, 1));
    bad("PR_MCE_KILL with more", prctl(libc::PR_MCE_KILL, [0, 1, 0, 0]));
    bad("PR_MCE_KILL_GET with more", one(libc::PR_MCE_KILL_GET, 1));
    let mut nowhere = |what: &str, option: i32| t.fails(what, one(option, NOWHERE), libc::EFAULT);
    nowhere("PR_SET_NAME from nowhere", libc::PR_SET_NAME);
    nowhere("PR_GET_NAME to nowhere", libc::PR_GET_NAME);
    nowhere("PR_GET_PDEATHSIG to nowhere", libc::PR_GET_PDEATHSIG);
    nowhere("PR_GET_CHILD_SUBREAPER to nowhere", libc::PR_GET_CHILD_SUBREAPER);
    nowhere("PR_GET_TSC to nowhere", libc::PR_GET_TSC);
    let mut tsc = 0_i32;
    t.is("PR_GET_TSC", one(libc::PR_GET_TSC, &raw mut tsc as usize), Ok(0));
    t.is("the counter can be read", tsc, libc::PR_TSC_ENABLE);
    t.is("PR_MCE_KILL_GET", one(libc::PR_MCE_KILL_GET, 0), Ok(2));
    t.is("PR_GET_THP_DISABLE", one(libc::PR_GET_THP_DISABLE, 0), Ok(0));
    t.is("PR_GET_SECCOMP", one(libc::PR_GET_SECCOMP, 0), Ok(0));
    t.is("no events are counted", one(libc::PR_TASK_PERF_EVENTS_DISABLE, 0), Ok(0));
    t.is("nor then", one(libc::PR_TASK_PERF_EVENTS_ENABLE, 0), Ok(0));
    // What the processor's errors are differs; this is none of them.
    t.fails("no such error of the processor", one(libc::PR_GET_SPECULATION_CTRL, 99), libc::ENODEV);
    t.fails("nor to be set", prctl(libc::PR_SET_SPECULATION_CTRL, [99, 1, 0, 0]), libc::ENODEV);
}

fn capabilities(t: &mut Checks) {
    const KEEP_CAPS_LOCKED: usize = 1 << 5;
    const SET_IO_FLUSHER: i32 = 57;
    let prctl =
        |option: i32, a: usize, b: usize| call!(syscall(libc::SYS_prctl, option, a, b, 0, 0));
    t.fails("nobody bounds", as_nobody(|| prctl(libc::PR_CAPBSET_DROP, 0, 0)), libc::EPERM);
    t.fails("nobody secures", as_nobody(|| prctl(libc::PR_SET_SECUREBITS, 1, 0)), libc::EPERM);
    let move_heap = || prctl(libc::PR_SET_MM, libc::PR_SET_MM_BRK as usize, 0);
    t.fails("nobody moves the heap", as_nobody(move_heap), libc::EPERM);
    t.fails("nobody writes back", as_nobody(|| prctl(SET_IO_FLUSHER, 1, 0)), libc::EPERM);
    let raise = || prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as usize, 0);
    t.fails("nobody raises", as_nobody(raise), libc::EPERM);
    let locked = || {
        let _ = prctl(libc::PR_SET_SECUREBITS, KEEP_CAPS_LOCKED, 0);
        let unlock = prctl(libc::PR_SET_SECUREBITS, 0, 0) == Err(libc::EPERM);
        let set = prctl(libc::PR_SET_KEEPCAPS, 1, 0) == Err(libc::EPERM);
        i32::from(!unlock || !set || prctl(libc::PR_GET_KEEPCAPS, 0, 0) != Ok(0))
    };
    t.is("a lock stays", child_of_root(locked), Ended::Exit(0));
}
