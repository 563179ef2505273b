//! `setpgid(2)`, `setsid(2)`, `kill(2)` of groups, orphaned groups, identities.

use lx_guest_tests::{
    Checks, Ended, NOWHERE, call, fork, in_child, pause, pipe, read, wait, write,
};

fn main() {
    let mut t = Checks::new();
    groups(&mut t);
    sessions(&mut t);
    signals(&mut t);
    identities(&mut t);
    information(&mut t);
    t.end();
}

fn groups(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    let mine = call!(getpgrp()).unwrap_or(0) as i32;
    t.is("getpgid(0)", call!(getpgid(0)), Ok(i64::from(mine)));
    t.is("of a pid", call!(getpgid(me)), Ok(i64::from(mine)));
    t.fails("of nobody", call!(getpgid(99_999_999)), libc::ESRCH);
    t.is(
        "inherited",
        in_child(|| i32::from(call!(getpgrp()) != Ok(i64::from(mine)))),
        Ended::Exit(0),
    );
    let (r, w) = pipe();
    let child = fork(|| {
        let _ = read::<1>(r);
        i32::from(call!(getpgrp()) != call!(getpid()))
    });
    t.is("put a child into its own", call!(setpgid(child, 0)), Ok(0));
    t.is("known here", call!(getpgid(child)), Ok(i64::from(child)));
    let second = fork(|| {
        let _ = read::<1>(r);
        i32::from(call!(getpgrp()) != Ok(i64::from(child)))
    });
    t.is("join it", call!(setpgid(second, child)), Ok(0));
    t.fails("a group that is not", call!(setpgid(second, 99_999_999)), libc::EPERM);
    t.fails("negative", call!(setpgid(second, -1)), libc::EINVAL);
    t.fails("a stranger", call!(setpgid(1, 0)), libc::ESRCH);
    let of_thread = std::thread::spawn(|| call!(setpgid(call!(gettid()).unwrap_or(0) as i32, 0)));
    t.fails("a thread that is no leader", of_thread.join().unwrap_or(Ok(0)), libc::EINVAL);
    let _ = write(w, b"go");
    t.is("both", (wait(child), wait(second)), (Ended::Exit(0), Ended::Exit(0)));
    let (ready, say) = pipe();
    let executed = fork(|| {
        let _ = call!(fcntl(say, libc::F_SETFD, libc::FD_CLOEXEC));
        let words = [c"sh".as_ptr(), c"-c".as_ptr(), c"sleep 0.3".as_ptr(), std::ptr::null()];
        let _ = call!(execv(c"/bin/sh".as_ptr(), words.as_ptr()));
        1
    });
    let _ = call!(close(say));
    let _ = read::<1>(ready);
    t.fails("a child that executed", call!(setpgid(executed, 0)), libc::EACCES);
    t.is("ends", wait(executed), Ended::Exit(0));
}

fn sessions(t: &mut Checks) {
    t.is(
        "setsid",
        in_child(|| {
            let me = call!(getpid());
            i32::from(call!(setsid()) != me || call!(getsid(0)) != me || call!(getpgrp()) != me)
        }),
        Ended::Exit(0),
    );
    t.is(
        "not for a leader",
        in_child(|| {
            let _ = call!(setpgid(0, 0));
            i32::from(call!(setsid()) != Err(libc::EPERM))
        }),
        Ended::Exit(0),
    );
    t.is(
        "a session leader keeps its group",
        in_child(|| {
            let _ = call!(setsid());
            i32::from(call!(setpgid(0, 0)) != Err(libc::EPERM))
        }),
        Ended::Exit(0),
    );
    t.is(
        "inherited",
        in_child(|| {
            let me = call!(setsid());
            match in_child(|| i32::from(call!(getsid(0)) != me)) {
                Ended::Exit(code) => code,
                _ => 9,
            }
        }),
        Ended::Exit(0),
    );
    t.is(
        "no terminal",
        in_child(|| {
            let _ = call!(setsid());
            i32::from(call!(open(c"/dev/tty".as_ptr(), libc::O_RDWR)) != Err(libc::ENXIO))
        }),
        Ended::Exit(0),
    );
    t.fails("of nobody", call!(getsid(99_999_999)), libc::ESRCH);
}

fn signals(t: &mut Checks) {
    let (r, w) = pipe();
    let leader = fork(|| {
        let _ = call!(setpgid(0, 0));
        for _ in 0..3 {
            fork(|| {
                loop {
                    pause(1000)
                }
            });
        }
        let _ = call!(signal(libc::SIGTERM, libc::SIG_IGN));
        let _ = write(w, b"x");
        let mut ended = 0;
        let mut status = 0;
        while call!(wait(&mut status)).is_ok() {
            ended +=
                i32::from(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTERM);
        }
        ended
    });
    let _ = read::<1>(r);
    t.is("kill a group", call!(kill(-leader, libc::SIGTERM)), Ok(0));
    t.is("all but the one that ignores", wait(leader), Ended::Exit(3));
    t.fails("then it is empty", call!(kill(-leader, 0)), libc::ESRCH);
    t.is(
        "kill(0) is one's own group",
        in_child(|| {
            let _ = call!(setpgid(0, 0));
            let child = fork(|| {
                loop {
                    pause(1000)
                }
            });
            let _ = call!(signal(libc::SIGUSR2, libc::SIG_IGN));
            let _ = call!(kill(0, libc::SIGUSR2));
            match wait(child) {
                Ended::Signal(signal) => signal,
                _ => 0,
            }
        }),
        Ended::Exit(libc::SIGUSR2),
    );
    t.is(
        "killpg",
        in_child(|| {
            let child = fork(|| {
                let _ = call!(setpgid(0, 0));
                loop {
                    pause(1000)
                }
            });
            let _ = call!(setpgid(child, child));
            let _ = call!(killpg(child, libc::SIGKILL));
            i32::from(wait(child) != Ended::Signal(libc::SIGKILL))
        }),
        Ended::Exit(0),
    );
    let (r, w) = pipe();
    let middle = fork(|| {
        let _ = call!(setsid());
        let worker = fork(|| {
            let _ = call!(setpgid(0, 0));
            extern "C" fn hang_up(_: i32) {}
            let _ = call!(signal(libc::SIGHUP, hang_up as *const () as usize));
            let _ = call!(raise(libc::SIGSTOP));
            let _ = write(w, b"continued");
            0
        });
        let mut status = 0;
        let _ = call!(waitpid(worker, &mut status, libc::WUNTRACED));
        0
    });
    t.is("the parent of a stopped group ends", wait(middle), Ended::Exit(0));
    t.is("so it gets HUP and CONT", read::<20>(r), Ok(b"continued".to_vec()));
}

fn identities(t: &mut Checks) {
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    t.is("getresuid", call!(getresuid(&mut real, &mut effective, &mut saved)), Ok(0));
    t.ok(
        "agree",
        Ok(i64::from(real)) == call!(getuid())
            && Ok(i64::from(effective)) == call!(geteuid())
            && real == saved,
    );
    t.is("getresgid", call!(getresgid(&mut real, &mut effective, &mut saved)), Ok(0));
    t.ok(
        "agree",
        Ok(i64::from(real)) == call!(getgid()) && Ok(i64::from(effective)) == call!(getegid()),
    );
    t.is("keep them", call!(setresuid(u32::MAX, u32::MAX, u32::MAX)), Ok(0));
    t.fails(
        "to nowhere",
        call!(getresuid(NOWHERE as *mut _, &mut effective, &mut saved)),
        libc::EFAULT,
    );
    t.ok("getgroups", call!(getgroups(0, std::ptr::null_mut())).is_ok());
    t.fails("a negative count", call!(getgroups(-1, std::ptr::null_mut())), libc::EINVAL);
    t.is(
        "an unprivileged child",
        in_child(|| {
            if call!(geteuid()) != Ok(0) {
                return 0;
            }
            let gone = call!(setresgid(65534, 65534, 65534)).is_ok()
                && call!(setresuid(65534, 65534, 65534)).is_ok();
            i32::from(
                !gone
                    || call!(setuid(0)) != Err(libc::EPERM)
                    || call!(kill(1, 0)) != Err(libc::EPERM),
            )
        }),
        Ended::Exit(0),
    );
}

fn information(t: &mut Checks) {
    // SAFETY: all zeroes is a valid utsname.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    t.is("uname", call!(uname(&mut name)), Ok(0));
    t.ok("Linux", name.sysname[..6].iter().map(|byte| *byte as u8).eq(*b"Linux\0"));
    t.ok("x86_64", name.machine[..7].iter().map(|byte| *byte as u8).eq(*b"x86_64\0"));
    t.fails("to nowhere", call!(uname(NOWHERE as *mut _)), libc::EFAULT);
    // SAFETY: all zeroes is a valid sysinfo.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    t.is("sysinfo", call!(sysinfo(&mut info)), Ok(0));
    t.ok("memory", info.totalram > 0 && info.procs > 0);
    let mut bytes = [0u8; 64];
    t.is("getrandom", call!(getrandom(bytes.as_mut_ptr().cast(), 64, 0)), Ok(64));
    t.ok("random", bytes.iter().any(|byte| *byte != 0));
    t.fails("bad flags", call!(getrandom(bytes.as_mut_ptr().cast(), 1, 0x100)), libc::EINVAL);
    t.is(
        "PR_SET_NAME",
        call!(prctl(libc::PR_SET_NAME, c"a-new-name-that-is-long".as_ptr())),
        Ok(0),
    );
    t.is("PR_GET_NAME", call!(prctl(libc::PR_GET_NAME, bytes.as_mut_ptr())), Ok(0));
    t.is("fifteen bytes of it", &bytes[..16], b"a-new-name-that\0".as_slice());
    t.ok(
        "in /proc",
        std::fs::read_to_string("/proc/self/comm").is_ok_and(|name| name == "a-new-name-that\n"),
    );
    t.fails("no such prctl", call!(prctl(0x7fff_fff0)), libc::EINVAL);
    t.fails("no such call", call!(syscall(9999)), libc::ENOSYS);
    t.is("PR_SET_PDEATHSIG", call!(prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM)), Ok(0));
    t.is("PR_SET_CHILD_SUBREAPER", call!(prctl(libc::PR_SET_CHILD_SUBREAPER, 1)), Ok(0));
    let middle = fork(|| {
        fork(|| {
            pause(60);
            44
        });
        0
    });
    t.is("the middle one", wait(middle), Ended::Exit(0));
    let mut status = 0;
    t.ok("the orphan is mine", call!(wait(&mut status)).is_ok());
    t.is("with its status", Ended::from_status(status), Ended::Exit(44));
    // SAFETY: all zeroes is a valid set of processors.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    t.is(
        "sched_getaffinity",
        call!(sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set)),
        Ok(0),
    );
    t.is("sched_yield", call!(sched_yield()), Ok(0));
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    t.is("getrlimit", call!(getrlimit(libc::RLIMIT_NOFILE, &mut limit)), Ok(0));
    t.ok("soft below hard", limit.rlim_cur <= limit.rlim_max);
    t.fails("no such limit", call!(getrlimit(99, &mut limit)), libc::EINVAL);
    t.fails(
        "soft above hard",
        call!(setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 2, rlim_max: 1 })),
        libc::EINVAL,
    );
}
