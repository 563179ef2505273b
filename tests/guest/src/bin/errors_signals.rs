//! What signals, timers and sleeping fail with: `sigaction(2)`, `sigqueue(3)`, `tgkill(2)`,
//! `sigtimedwait(2)`, `sigaltstack(2)`, `timer_create(2)`, `setitimer(2)`, `clock_nanosleep(2)`.

use std::mem::zeroed;
use std::ptr::{null, null_mut};

use lx_guest_tests::errors::interrupted;
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, in_child};

/// An id that no process has.
const NO_PROCESS: i32 = 99_999_999;
/// Bytes of the kernel's set of signals.
const SET: usize = 8;

fn main() {
    let mut t = Checks::new();
    masks(&mut t);
    waiting(&mut t);
    sending(&mut t);
    queues(&mut t);
    stacks(&mut t);
    interval_timers(&mut t);
    timers(&mut t);
    clocks(&mut t);
    sleeping(&mut t);
    t.end();
}

fn masks(t: &mut Checks) {
    let mut set = 0_u64;
    let change = |how: i32, new: *const u64, old: *mut u64, size: usize| {
        call!(syscall(libc::SYS_rt_sigprocmask, how, new, old, size))
    };
    t.fails("no such way", change(3, &set, null_mut(), SET), libc::EINVAL);
    t.is("which only matters with a set", change(3, null(), &mut set, SET), Ok(0));
    t.fails("a set of another size", change(0, &set, null_mut(), 16), libc::EINVAL);
    t.fails("a set at nowhere", change(0, NOWHERE as *const _, null_mut(), SET), libc::EFAULT);
    t.fails("to nowhere", change(0, null(), NOWHERE as *mut _, SET), libc::EFAULT);
    let pending = |set: *mut u64, size: usize| call!(syscall(libc::SYS_rt_sigpending, set, size));
    t.is("half of what is pending", pending(&mut set, 4), Ok(0));
    t.fails("more than there is", pending(&mut set, 9), libc::EINVAL);
    t.fails("pending to nowhere", pending(NOWHERE as *mut _, SET), libc::EFAULT);
    let action = |signal: i32, new: usize, old: usize, size: usize| {
        call!(syscall(libc::SYS_rt_sigaction, signal, new, old, size))
    };
    t.fails("the action of no signal", action(0, 0, 0, SET), libc::EINVAL);
    t.fails("nor of signal 65", action(65, 0, 0, SET), libc::EINVAL);
    t.fails("a mask of another size", action(libc::SIGUSR1, 0, 0, 4), libc::EINVAL);
    t.fails("an action at nowhere", action(libc::SIGUSR1, NOWHERE, 0, SET), libc::EFAULT);
    t.fails("the old one to nowhere", action(libc::SIGUSR1, 0, NOWHERE, SET), libc::EFAULT);
    let ignore = [libc::SIG_IGN, 0, 0, 0];
    let action = |signal: i32| action(signal, ignore.as_ptr() as usize, 0, SET);
    t.fails("SIGKILL is not ignored", action(libc::SIGKILL), libc::EINVAL);
    t.fails("nor is SIGSTOP", action(libc::SIGSTOP), libc::EINVAL);
}

fn waiting(t: &mut Checks) {
    let none = 0_u64;
    let suspend = |set: *const u64, size: usize| call!(syscall(libc::SYS_rt_sigsuspend, set, size));
    t.fails("sigsuspend with another size", suspend(&none, 16), libc::EINVAL);
    t.fails("sigsuspend at nowhere", suspend(NOWHERE as *const _, SET), libc::EFAULT);
    t.fails("sigsuspend is interrupted", interrupted(|| suspend(&none, SET)), libc::EINTR);
    t.fails("so is pause", interrupted(|| call!(pause())), libc::EINTR);
    let usr2 = 1_u64 << (libc::SIGUSR2 - 1);
    let wait = |set: *const u64, info: usize, timeout: *const libc::timespec, size: usize| {
        call!(syscall(libc::SYS_rt_sigtimedwait, set, info, timeout, size))
    };
    let time = |tv_sec: i64, tv_nsec: i64| libc::timespec { tv_sec, tv_nsec };
    t.fails("no signal", wait(&usr2, 0, &time(0, 0), SET), libc::EAGAIN);
    t.fails("no signal for a while", wait(&usr2, 0, &time(0, 1_000_000), SET), libc::EAGAIN);
    t.fails("negative seconds", wait(&usr2, 0, &time(-1, 0), SET), libc::EINVAL);
    t.fails("too many nanoseconds", wait(&usr2, 0, &time(0, 1_000_000_000), SET), libc::EINVAL);
    t.fails("with another size", wait(&usr2, 0, null(), 4), libc::EINVAL);
    t.fails("of a set at nowhere", wait(NOWHERE as *const _, 0, null(), SET), libc::EFAULT);
    t.fails("until nowhere", wait(&usr2, 0, NOWHERE as *const _, SET), libc::EFAULT);
    let another = || wait(&usr2, 0, null(), SET);
    t.fails("another signal has a handler", interrupted(another), libc::EINTR);
    let nowhere = || {
        let _ = call!(syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &usr2, 0, SET));
        let _ = call!(raise(libc::SIGUSR2));
        let lost = wait(&usr2, NOWHERE, &time(0, 0), SET) == Err(libc::EFAULT);
        i32::from(!lost || wait(&usr2, 0, &time(0, 0), SET) != Err(libc::EAGAIN))
    };
    t.is("what is told to nowhere is lost", in_child(nowhere), Ended::Exit(0));
}

fn sending(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    t.fails("kill nobody", call!(kill(NO_PROCESS, 0)), libc::ESRCH);
    t.fails("kill no group", call!(kill(-NO_PROCESS, 0)), libc::ESRCH);
    t.fails("kill the smallest number", call!(kill(i32::MIN, 0)), libc::ESRCH);
    t.fails("kill with no such signal", call!(kill(me, 65)), libc::EINVAL);
    let tkill = |tid: i32, signal: i32| call!(syscall(libc::SYS_tkill, tid, signal));
    t.fails("tkill 0", tkill(0, 0), libc::EINVAL);
    t.fails("tkill with no such signal", tkill(me, 65), libc::EINVAL);
    t.fails("tkill nobody", tkill(NO_PROCESS, 0), libc::ESRCH);
    let tgkill =
        |tgid: i32, tid: i32, signal: i32| call!(syscall(libc::SYS_tgkill, tgid, tid, signal));
    t.fails("tgkill of process 0", tgkill(0, me, 0), libc::EINVAL);
    t.fails("tgkill of thread 0", tgkill(me, 0, 0), libc::EINVAL);
    t.fails("tgkill with no such signal", tgkill(me, me, 65), libc::EINVAL);
    t.fails("tgkill nobody", tgkill(NO_PROCESS, NO_PROCESS, 0), libc::ESRCH);
    t.fails("tgkill of another's thread", tgkill(1, me, 0), libc::ESRCH);
}

fn queues(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    // SAFETY: all zeroes is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let queue = |pid: i32, signal: i32, info: *const libc::siginfo_t| {
        call!(syscall(libc::SYS_rt_sigqueueinfo, pid, signal, info))
    };
    info.si_code = libc::SI_QUEUE;
    t.is("sigqueue asks", queue(me, 0, &info), Ok(0));
    t.fails("no such signal", queue(me, 65, &info), libc::EINVAL);
    t.fails("no such process", queue(NO_PROCESS, 0, &info), libc::ESRCH);
    t.fails("from nowhere", queue(me, libc::SIGUSR1, NOWHERE as *const _), libc::EFAULT);
    info.si_code = libc::SI_USER;
    let parent = call!(getppid()).unwrap_or(1) as i32;
    t.fails("it was not kill", queue(parent, libc::SIGCONT, &info), libc::EPERM);
    info.si_code = libc::SI_TKILL;
    t.fails("it was not tkill", queue(parent, libc::SIGCONT, &info), libc::EPERM);
    let to_thread = |tgid: i32, tid: i32, info: *const libc::siginfo_t| {
        call!(syscall(libc::SYS_rt_tgsigqueueinfo, tgid, tid, libc::SIGCONT, info))
    };
    t.fails("to thread 0", to_thread(me, 0, &info), libc::EINVAL);
    t.fails("nor to another thread", to_thread(parent, parent, &info), libc::EPERM);
    info.si_code = libc::SI_QUEUE;
    t.fails("to another's thread", to_thread(parent, me, &info), libc::ESRCH);
    // What a queue has room for is counted for each user. Signals that are not queued are not lost.
    let full = |send: &dyn Fn(i32) -> Called| {
        in_child(|| {
            let me = call!(getpid()).unwrap_or(0) as i32;
            let signal = libc::SIGRTMIN();
            let set = 1_u64 << (signal - 1);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let _ = call!(syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &set, 0, SET));
            let _ = call!(setrlimit(libc::RLIMIT_SIGPENDING, &none));
            send(me).err().unwrap_or(0)
        })
    };
    let full_queue = Ended::Exit(libc::EAGAIN);
    let real_time = libc::SIGRTMIN();
    t.is("sigqueue without room", full(&|me| queue(me, real_time, &info)), full_queue);
    t.is("tkill without room", full(&|me| tkill(me, real_time)), full_queue);
    t.is("tgkill without room", full(&|me| tgkill(me, real_time)), full_queue);
    t.is("kill does without", full(&|me| call!(kill(me, real_time))), Ended::Exit(0));
    t.is("so does a standard signal", full(&|me| tkill(me, libc::SIGCHLD)), Ended::Exit(0));
    let timer = || {
        let mut id = 0_i32;
        call!(syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &mut id))
    };
    t.is("no timer without room", full(&|_| timer()), full_queue);
}

fn tkill(tid: i32, signal: i32) -> Called {
    call!(syscall(libc::SYS_tkill, tid, signal))
}

fn tgkill(tid: i32, signal: i32) -> Called {
    call!(syscall(libc::SYS_tgkill, tid, tid, signal))
}

/// What changing the alternate stack from a handler that runs on it gives.
static mut ON_STACK: i32 = 0;

extern "C" fn change_stack(_: i32) {
    let off = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    let errno = call!(sigaltstack(&off, null_mut())).err().unwrap_or(0);
    // SAFETY: the only thread writes it here, before it reads it.
    unsafe { ON_STACK = errno };
}

fn stacks(t: &mut Checks) {
    let memory = vec![0_u8; 65_536].leak();
    let stack =
        libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    let set = |stack: libc::stack_t| call!(sigaltstack(&stack, null_mut()));
    t.fails(
        "a stack at nowhere",
        call!(sigaltstack(NOWHERE as *const _, null_mut())),
        libc::EFAULT,
    );
    t.fails("the old one to nowhere", call!(sigaltstack(null(), NOWHERE as *mut _)), libc::EFAULT);
    t.fails("no such flag", set(libc::stack_t { ss_flags: 8, ..stack }), libc::EINVAL);
    t.fails("too small", set(libc::stack_t { ss_size: 2047, ..stack }), libc::ENOMEM);
    let used = || {
        let _ = set(stack);
        // SAFETY: all zeroes is a valid sigaction.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = change_stack as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        let _ = call!(sigaction(libc::SIGUSR1, &action, null_mut()));
        let _ = call!(raise(libc::SIGUSR1));
        // SAFETY: the handler has run.
        unsafe { ON_STACK }
    };
    t.is("while it is used", in_child(used), Ended::Exit(libc::EPERM));
}

fn interval_timers(t: &mut Checks) {
    let time = |tv_sec: i64, tv_usec: i64| libc::timeval { tv_sec, tv_usec };
    let timer = |value: libc::timeval| libc::itimerval { it_interval: time(0, 0), it_value: value };
    let mut old = timer(time(0, 0));
    let get =
        |which: i32, old: *mut libc::itimerval| call!(syscall(libc::SYS_getitimer, which, old));
    let set = |which: i32, new: *const libc::itimerval, old: *mut libc::itimerval| {
        call!(syscall(libc::SYS_setitimer, which, new, old))
    };
    t.fails("getitimer of none", get(3, &mut old), libc::EINVAL);
    t.fails("getitimer to nowhere", get(0, NOWHERE as *mut _), libc::EFAULT);
    t.fails("setitimer of none", set(3, &old, null_mut()), libc::EINVAL);
    t.fails("from nowhere", set(0, NOWHERE as *const _, null_mut()), libc::EFAULT);
    t.fails("the old one to nowhere", set(0, &old, NOWHERE as *mut _), libc::EFAULT);
    let mut bad = |what: &str, value: libc::timeval| {
        t.fails(what, set(0, &timer(value), null_mut()), libc::EINVAL);
    };
    bad("negative seconds", time(-1, 0));
    bad("negative microseconds", time(1, -1));
    bad("too many microseconds", time(0, 1_000_000));
    t.is("null stops it", set(0, null(), &mut old), Ok(0));
}

/// The fields of `struct sigevent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    value: u64,
    signal: i32,
    notify: i32,
    thread: i32,
    rest: [u32; 11],
}

fn timers(t: &mut Checks) {
    let mut id = -1_i32;
    let create = |clock: i32, event: *const Event, id: *mut i32| {
        call!(syscall(libc::SYS_timer_create, clock, event, id))
    };
    let event = Event { signal: libc::SIGUSR1, ..Event::default() };
    let mut bad = |what: &str, event: Event| {
        let mut id = -1_i32;
        t.fails(what, create(libc::CLOCK_MONOTONIC, &event, &mut id), libc::EINVAL);
    };
    bad("a timer with no such signal", Event { signal: 65, ..event });
    bad("with no signal", Event { signal: 0, ..event });
    bad("with no such notification", Event { notify: 9, ..event });
    bad("for no thread", Event { notify: libc::SIGEV_THREAD_ID, thread: NO_PROCESS, ..event });
    bad("for another's thread", Event { notify: libc::SIGEV_THREAD_ID, thread: 1, ..event });
    let clock = |clock: i32| create(clock, null(), &raw const id as *mut i32);
    t.fails("of no clock", clock(99), libc::EINVAL);
    t.fails("of a raw clock", clock(libc::CLOCK_MONOTONIC_RAW), libc::EOPNOTSUPP);
    t.fails("of a coarse clock", clock(libc::CLOCK_MONOTONIC_COARSE), libc::EOPNOTSUPP);
    t.fails("an event at nowhere", create(1, NOWHERE as *const _, &mut id), libc::EFAULT);
    t.fails("its id to nowhere", create(1, &event, NOWHERE as *mut _), libc::EFAULT);
    let none = Event { notify: libc::SIGEV_NONE, ..event };
    t.is("timer_create", create(1, &none, &mut id), Ok(0));
    let time = |tv_sec: i64, tv_nsec: i64| libc::timespec { tv_sec, tv_nsec };
    let spec =
        |value: libc::timespec| libc::itimerspec { it_interval: time(0, 0), it_value: value };
    let mut now = spec(time(0, 0));
    let set = |id: i32, new: *const libc::itimerspec, old: *mut libc::itimerspec| {
        call!(syscall(libc::SYS_timer_settime, id, 0, new, old))
    };
    let get =
        |id: i32, now: *mut libc::itimerspec| call!(syscall(libc::SYS_timer_gettime, id, now));
    t.is("timer_settime", set(id, &spec(time(100, 0)), null_mut()), Ok(0));
    t.is("timer_gettime", get(id, &mut now), Ok(0));
    t.ok("it runs", (99..=100).contains(&now.it_value.tv_sec));
    t.fails("to nowhere", get(id, NOWHERE as *mut _), libc::EFAULT);
    t.fails("timer_gettime of none", get(999, &mut now), libc::EINVAL);
    t.fails("timer_settime of none", set(999, &now, null_mut()), libc::EINVAL);
    t.fails("without a time", set(id, null(), null_mut()), libc::EINVAL);
    t.fails("from nowhere", set(id, NOWHERE as *const _, null_mut()), libc::EFAULT);
    t.fails("the old time to nowhere", set(id, &now, NOWHERE as *mut _), libc::EFAULT);
    t.fails("negative", set(id, &spec(time(-1, 0)), null_mut()), libc::EINVAL);
    t.fails(
        "too many nanoseconds",
        set(id, &spec(time(0, 1_000_000_000)), null_mut()),
        libc::EINVAL,
    );
    let overrun = |id: i32| call!(syscall(libc::SYS_timer_getoverrun, id));
    t.is("timer_getoverrun", overrun(id), Ok(0));
    t.fails("of none", overrun(999), libc::EINVAL);
    let delete = |id: i32| call!(syscall(libc::SYS_timer_delete, id));
    t.is("timer_delete", delete(id), Ok(0));
    t.fails("only once", delete(id), libc::EINVAL);
    let seconds = call!(alarm(100));
    t.is("alarm and its rest", (seconds, call!(alarm(0))), (Ok(0), Ok(100)));
}

fn clocks(t: &mut Checks) {
    let mut time = [0_i64; 2];
    let get = |clock: i32, time: *mut i64| call!(syscall(libc::SYS_clock_gettime, clock, time));
    t.is("clock_gettime", get(libc::CLOCK_REALTIME, time.as_mut_ptr()), Ok(0));
    t.fails("of no clock", get(99, time.as_mut_ptr()), libc::EINVAL);
    t.fails("of a closed clock device", get(!999 << 3 | 3, time.as_mut_ptr()), libc::EINVAL);
    t.fails("of nobody's clock", get(!NO_PROCESS << 3 | 2, time.as_mut_ptr()), libc::EINVAL);
    t.fails("to nowhere", get(libc::CLOCK_REALTIME, NOWHERE as *mut _), libc::EFAULT);
    let day = |time: *mut i64, zone: *mut i64| call!(syscall(libc::SYS_gettimeofday, time, zone));
    t.is("gettimeofday", day(time.as_mut_ptr(), null_mut()), Ok(0));
    t.is("asks for nothing", day(null_mut(), null_mut()), Ok(0));
    t.fails("the time to nowhere", day(NOWHERE as *mut _, null_mut()), libc::EFAULT);
    t.fails("the zone to nowhere", day(null_mut(), NOWHERE as *mut _), libc::EFAULT);
    let seconds = call!(syscall(libc::SYS_time, time.as_mut_ptr()));
    t.ok("time", seconds == Ok(time[0]) && time[0] > 1_000_000_000);
    t.fails("time to nowhere", call!(syscall(libc::SYS_time, NOWHERE)), libc::EFAULT);
}

fn sleeping(t: &mut Checks) {
    let time = |tv_sec: i64, tv_nsec: i64| libc::timespec { tv_sec, tv_nsec };
    let (clock, short, long) = (libc::CLOCK_MONOTONIC, time(0, 1000), time(100, 0));
    let nanosleep = |time: *const libc::timespec, rest: *mut libc::timespec| {
        call!(syscall(libc::SYS_nanosleep, time, rest))
    };
    t.is("nanosleep", nanosleep(&short, null_mut()), Ok(0));
    t.fails("negative", nanosleep(&time(-1, 0), null_mut()), libc::EINVAL);
    t.fails("too many nanoseconds", nanosleep(&time(0, 1_000_000_000), null_mut()), libc::EINVAL);
    t.fails("at nowhere", nanosleep(NOWHERE as *const _, null_mut()), libc::EFAULT);
    let mut rest = time(0, 0);
    t.fails("interrupted", interrupted(|| nanosleep(&long, &mut rest)), libc::EINTR);
    t.is("the rest", rest.tv_sec, 99);
    let nowhere = || nanosleep(&long, NOWHERE as *mut _);
    t.fails("the rest to nowhere", interrupted(nowhere), libc::EFAULT);
    let sleep = |clock: i32, flags: i32, time: *const libc::timespec| {
        call!(syscall(libc::SYS_clock_nanosleep, clock, flags, time, null::<u8>()))
    };
    t.is("clock_nanosleep", sleep(clock, 0, &short), Ok(0));
    t.fails("by no clock", sleep(99, 0, &short), libc::EINVAL);
    let work = libc::CLOCK_THREAD_CPUTIME_ID;
    t.fails("by the thread's work", sleep(work, 0, &short), libc::EOPNOTSUPP);
    t.fails("by a raw clock", sleep(libc::CLOCK_MONOTONIC_RAW, 0, &short), libc::EOPNOTSUPP);
    t.fails("by a coarse clock", sleep(libc::CLOCK_REALTIME_COARSE, 0, &short), libc::EOPNOTSUPP);
    t.fails("negative", sleep(clock, 0, &time(-1, 0)), libc::EINVAL);
    t.fails("too many nanoseconds", sleep(clock, 0, &time(0, 1_000_000_000)), libc::EINVAL);
    t.fails("at nowhere", sleep(clock, 0, NOWHERE as *const _), libc::EFAULT);
    t.fails("interrupted", interrupted(|| sleep(clock, 0, &long)), libc::EINTR);
    let late = time(1 << 40, 0);
    let until = || sleep(clock, libc::TIMER_ABSTIME, &late);
    t.fails("until a late point, interrupted", interrupted(until), libc::EINTR);
    let random = |bytes: usize, len: usize, flags: u32| {
        call!(syscall(libc::SYS_getrandom, bytes, len, flags))
    };
    t.fails("random bytes to nowhere", random(NOWHERE, 8, 0), libc::EFAULT);
    t.fails("no such randomness", random(0, 0, 8), libc::EINVAL);
    t.fails("random and insecure at once", random(0, 0, 6), libc::EINVAL);
    let usage = |who: i32, usage: usize| call!(syscall(libc::SYS_getrusage, who, usage));
    t.fails("the usage of no one", usage(2, NOWHERE), libc::EINVAL);
    t.fails("the usage to nowhere", usage(0, NOWHERE), libc::EFAULT);
    t.fails("sysinfo to nowhere", call!(syscall(libc::SYS_sysinfo, NOWHERE)), libc::EFAULT);
    t.fails("uname to nowhere", call!(syscall(libc::SYS_uname, NOWHERE)), libc::EFAULT);
}
