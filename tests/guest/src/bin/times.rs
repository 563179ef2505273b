//! `clock_gettime(2)`, `nanosleep(2)`, timers: relations between clocks, errors.

use std::ptr::null_mut;

use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, in_child, pause, wait};

const SECOND: i64 = 1_000_000_000;

fn main() {
    let mut t = Checks::new();
    clocks(&mut t);
    sleeping(&mut t);
    used(&mut t);
    timers(&mut t);
    limits(&mut t);
    t.end();
}

fn at(clock: i32) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    call!(clock_gettime(clock, &mut time)).map_or(-1, |_| time.tv_sec * SECOND + time.tv_nsec)
}

fn clocks(t: &mut Checks) {
    for clock in [
        libc::CLOCK_REALTIME,
        libc::CLOCK_MONOTONIC,
        libc::CLOCK_PROCESS_CPUTIME_ID,
        libc::CLOCK_THREAD_CPUTIME_ID,
        libc::CLOCK_MONOTONIC_RAW,
        libc::CLOCK_REALTIME_COARSE,
        libc::CLOCK_MONOTONIC_COARSE,
        libc::CLOCK_BOOTTIME,
        libc::CLOCK_TAI,
    ] {
        let mut resolution = libc::timespec { tv_sec: 9, tv_nsec: 0 };
        t.is(
            &format!("resolution of clock {clock}"),
            call!(clock_getres(clock, &mut resolution)),
            Ok(0),
        );
        t.ok("below a second", resolution.tv_sec == 0 && resolution.tv_nsec > 0);
        t.ok("it tells a time", at(clock) >= 0);
        let raw = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        t.is("as a system call", call!(syscall(libc::SYS_clock_gettime, clock, &raw)), Ok(0));
    }
    let readings: Vec<i64> = (0..20_000).map(|_| at(libc::CLOCK_MONOTONIC)).collect();
    t.ok("monotonic", readings.is_sorted());
    let mut raw = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut agree = true;
    for _ in 0..1000 {
        let before = at(libc::CLOCK_MONOTONIC);
        let _ = call!(syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &mut raw));
        let inside = raw.tv_sec * SECOND + raw.tv_nsec;
        agree &= before <= inside && inside <= at(libc::CLOCK_MONOTONIC);
    }
    t.ok("the vDSO and the call agree", agree);
    let coarse = at(libc::CLOCK_MONOTONIC_COARSE);
    t.ok("coarse is near", (at(libc::CLOCK_MONOTONIC) - coarse).abs() < SECOND / 2);
    let mut day = libc::timeval { tv_sec: 0, tv_usec: 0 };
    t.is("gettimeofday", call!(gettimeofday(&mut day, null_mut())), Ok(0));
    t.ok("agrees", (at(libc::CLOCK_REALTIME) / SECOND - day.tv_sec).abs() <= 2);
    t.ok("time agrees", (call!(time(null_mut())).unwrap_or(0) - day.tv_sec).abs() <= 2);
    t.fails("no such clock", call!(clock_gettime(99, &mut raw)), libc::EINVAL);
    t.fails("at nowhere", call!(syscall(libc::SYS_clock_gettime, 0, NOWHERE)), libc::EFAULT);
    t.fails("no such clock's resolution", call!(clock_getres(99, &mut raw)), libc::EINVAL);
}

fn sleeping(t: &mut Checks) {
    let short = libc::timespec { tv_sec: 0, tv_nsec: 30_000_000 };
    let start = at(libc::CLOCK_MONOTONIC);
    t.is("nanosleep", call!(nanosleep(&short, null_mut())), Ok(0));
    t.ok("long enough", at(libc::CLOCK_MONOTONIC) - start >= 30_000_000);
    let bad = |tv_sec: i64, tv_nsec: i64| {
        call!(nanosleep(&libc::timespec { tv_sec, tv_nsec }, null_mut()))
    };
    t.fails("too many nanoseconds", bad(0, SECOND), libc::EINVAL);
    t.fails("negative", bad(-1, 0), libc::EINVAL);
    t.is("none", bad(0, 0), Ok(0));
    t.fails("at nowhere", call!(nanosleep(NOWHERE as *const _, null_mut())), libc::EFAULT);
    let wake = at(libc::CLOCK_MONOTONIC) + 30_000_000;
    let until = libc::timespec { tv_sec: wake / SECOND, tv_nsec: wake % SECOND };
    t.is(
        "to a point in time",
        call!(clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, null_mut())),
        Ok(0),
    );
    t.ok("not before it", at(libc::CLOCK_MONOTONIC) >= wake);
    t.is(
        "a past one",
        call!(clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, null_mut())),
        Ok(0),
    );
    t.is(
        "no such clock",
        call!(clock_nanosleep(99, 0, &short, null_mut())),
        Ok(i64::from(libc::EINVAL)),
    );
}

fn burn(milliseconds: i64) {
    let end = at(libc::CLOCK_PROCESS_CPUTIME_ID) + milliseconds * 1_000_000;
    while at(libc::CLOCK_PROCESS_CPUTIME_ID) < end {}
}

fn used(t: &mut Checks) {
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    burn(60);
    t.is("getrusage", call!(getrusage(libc::RUSAGE_SELF, &mut usage)), Ok(0));
    let total = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
        + usage.ru_utime.tv_usec
        + usage.ru_stime.tv_usec;
    t.ok("counts what was burnt", total >= 30_000);
    t.ok("memory", usage.ru_maxrss > 0);
    t.fails("of whom?", call!(getrusage(99, &mut usage)), libc::EINVAL);
    t.is("of no child", call!(getrusage(libc::RUSAGE_CHILDREN, &mut usage)), Ok(0));
    t.is("none yet", usage.ru_utime.tv_sec, 0);
    t.is(
        "a child",
        in_child(|| {
            burn(60);
            0
        }),
        Ended::Exit(0),
    );
    let _ = call!(getrusage(libc::RUSAGE_CHILDREN, &mut usage));
    t.ok("counts a waited child", usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 30_000);
    let thread = at(libc::CLOCK_THREAD_CPUTIME_ID);
    pause(50);
    t.ok("sleep is no work", at(libc::CLOCK_THREAD_CPUTIME_ID) - thread < 40_000_000);
    // SAFETY: all zeroes is a valid tms.
    let mut tms: libc::tms = unsafe { std::mem::zeroed() };
    t.ok("times", call!(times(&mut tms)).is_ok_and(|ticks| ticks > 0));
}

fn timers(t: &mut Checks) {
    // An ignored signal would not start an interval timer again.
    extern "C" fn handler(_: i32) {}
    let _ = call!(signal(libc::SIGALRM, handler as *const () as usize));
    let tick = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
    let timer = libc::itimerval { it_interval: tick, it_value: tick };
    let mut rest = timer;
    t.is("interval timer", call!(setitimer(libc::ITIMER_REAL, &timer, null_mut())), Ok(0));
    pause(120);
    t.is("reads", call!(getitimer(libc::ITIMER_REAL, &mut rest)), Ok(0));
    t.ok(
        "starts again",
        rest.it_value.tv_usec > 0
            && rest.it_value.tv_usec <= 50_000
            && rest.it_interval.tv_usec == 50_000,
    );
    let off = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
    };
    t.is("off", call!(setitimer(libc::ITIMER_REAL, &off, &mut rest)), Ok(0));
    t.fails("no such timer", call!(getitimer(9, &mut rest)), libc::EINVAL);
    t.is(
        "not inherited",
        in_child(|| {
            let mut rest = timer;
            let _ = call!(getitimer(libc::ITIMER_REAL, &mut rest));
            i32::from(rest.it_value.tv_usec != 0)
        }),
        Ended::Exit(0),
    );
    let fd =
        t.works("timerfd", call!(timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK))) as i32;
    t.is("not armed", lx_guest_tests::read::<8>(fd), Err(libc::EAGAIN));
    let soon = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 },
    };
    t.is("arm", call!(timerfd_settime(fd, 0, &soon, null_mut())), Ok(0));
    pause(60);
    let ticks = lx_guest_tests::read::<8>(fd).map(|bytes| bytes.first().copied().unwrap_or(0));
    t.ok("ticks are counted", ticks.is_ok_and(|ticks| ticks >= 4));
    t.is("a short buffer", lx_guest_tests::read::<4>(fd), Err(libc::EINVAL));
    let killed = |called: Called| called == Ok(0);
    let child = fork(|| {
        let _ = call!(signal(libc::SIGALRM, libc::SIG_DFL));
        let _ = call!(alarm(1));
        let soon = libc::itimerval {
            it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
            it_value: libc::timeval { tv_sec: 0, tv_usec: 20_000 },
        };
        if killed(call!(setitimer(libc::ITIMER_REAL, &soon, null_mut()))) {
            pause(5000);
        }
        0
    });
    t.is("an alarm without a handler ends it", wait(child), Ended::Signal(libc::SIGALRM));
}

fn limits(t: &mut Checks) {
    t.is(
        "RLIMIT_CPU",
        in_child(|| {
            let limit = libc::rlimit { rlim_cur: 1, rlim_max: 2 };
            let _ = call!(setrlimit(libc::RLIMIT_CPU, &limit));
            let mut got = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let _ = call!(getrlimit(libc::RLIMIT_CPU, &mut got));
            i32::from(got.rlim_cur != 1 || got.rlim_max != 2)
        }),
        Ended::Exit(0),
    );
}
