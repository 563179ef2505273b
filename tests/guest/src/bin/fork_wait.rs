//! `fork(2)`, `wait(2)`, `waitid(2)`, `_exit(2)`: statuses, selection, orphans.

use std::sync::atomic::{AtomicI32, Ordering};

use lx_guest_tests::{
    Checks, Ended, NOWHERE, call, fork, in_child, no_core, pause, pipe, read, until, wait, write,
};

fn main() {
    no_core();
    let mut t = Checks::new();
    statuses(&mut t);
    selection(&mut t);
    stopped(&mut t);
    waitid(&mut t);
    family(&mut t);
    memory(&mut t);
    t.end();
}

fn statuses(t: &mut Checks) {
    for code in [0, 1, 42, 255] {
        t.is(&format!("exit {code}"), in_child(|| code), Ended::Exit(code));
    }
    t.is("only eight bits", in_child(|| 256 + 7), Ended::Exit(7));
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1, libc::SIGALRM, libc::SIGSEGV] {
        let ended = in_child(|| {
            let _ = call!(signal(signal, libc::SIG_DFL));
            let _ = call!(raise(signal));
            0
        });
        t.is(&format!("signal {signal}"), ended, Ended::Signal(signal));
    }
    t.is("abort", in_child(|| std::process::abort()), Ended::Signal(libc::SIGABRT));
}

fn selection(t: &mut Checks) {
    let mut status = 0;
    t.fails("no child", call!(wait(&mut status)), libc::ECHILD);
    t.fails("not a child", call!(waitpid(1, &mut status, 0)), libc::ECHILD);
    t.fails("bad options", call!(waitpid(-1, &mut status, 0x100)), libc::EINVAL);
    let (r, w) = pipe();
    let child = fork(|| read::<1>(r).map_or(1, |_| 9));
    t.is("WNOHANG while it runs", call!(waitpid(child, &mut status, libc::WNOHANG)), Ok(0));
    let _ = write(w, b"x");
    t.is("then it ends", wait(child), Ended::Exit(9));
    t.fails("only once", call!(waitpid(child, &mut status, 0)), libc::ECHILD);
    let mut children: Vec<i32> = (0..20).map(|code| fork(|| code)).collect();
    let mut codes = Vec::new();
    while let Ok(pid) = call!(wait(&mut status)) {
        children.retain(|child| i64::from(*child) != pid);
        codes.push(libc::WEXITSTATUS(status));
    }
    codes.sort_unstable();
    t.is("twenty children", codes, (0..20).collect());
    t.ok("each known", children.is_empty());
    // The one in front is gone, the others have ended in the opposite order.
    let [first, second, third] = [4, 5, 6].map(|code| fork(move || code));
    t.is("the first of three", wait(first), Ended::Exit(4));
    for child in [third, second] {
        // SAFETY: all zeroes is a valid siginfo.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT;
        t.is("it ends", call!(waitid(libc::P_PID, child as u32, &mut info, flags)), Ok(0));
    }
    t.is("the elder one comes first", call!(wait(&mut status)), Ok(i64::from(second)));
    t.is("and then the younger one", call!(wait(&mut status)), Ok(i64::from(third)));
    let child = fork(|| 3);
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    t.is("wait4", call!(wait4(child, &mut status, 0, &mut usage)), Ok(i64::from(child)));
    t.ok("with the resources used", usage.ru_utime.tv_sec == 0);
    let child = fork(|| 0);
    t.fails("status at nowhere", call!(waitpid(child, NOWHERE as *mut i32, 0)), libc::EFAULT);
    let group = fork(|| {
        let _ = call!(setpgid(0, 0));
        5
    });
    let _ = call!(setpgid(group, group));
    t.is("by group", call!(waitpid(-group, &mut status, 0)), Ok(i64::from(group)));
}

fn stopped(t: &mut Checks) {
    let mut status = 0;
    let (r, w) = pipe();
    let child = fork(|| {
        let _ = call!(raise(libc::SIGSTOP));
        let _ = read::<1>(r);
        6
    });
    t.is("WUNTRACED", call!(waitpid(child, &mut status, libc::WUNTRACED)), Ok(i64::from(child)));
    t.ok("stopped", libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP);
    t.is("told once", call!(waitpid(child, &mut status, libc::WUNTRACED | libc::WNOHANG)), Ok(0));
    let _ = call!(kill(child, libc::SIGCONT));
    t.is("WCONTINUED", call!(waitpid(child, &mut status, libc::WCONTINUED)), Ok(i64::from(child)));
    t.ok("continued", libc::WIFCONTINUED(status));
    let _ = write(w, b"x");
    t.is("to its end", wait(child), Ended::Exit(6));
}

fn waitid(t: &mut Checks) {
    // SAFETY: all zeroes is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let child = fork(|| 77);
    let flags = libc::WEXITED | libc::WNOWAIT;
    t.is("waitid", call!(waitid(libc::P_PID, child as u32, &mut info, flags)), Ok(0));
    // SAFETY: waitid filled in the SIGCHLD members.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    t.is("si_signo", info.si_signo, libc::SIGCHLD);
    t.is("si_code", info.si_code, libc::CLD_EXITED);
    t.is("si_status", status, 77);
    t.ok("si_pid", pid == child);
    t.is("WNOWAIT left it", wait(child), Ended::Exit(77));
    let child = fork(|| {
        let _ = call!(raise(libc::SIGKILL));
        0
    });
    t.is("killed", call!(waitid(libc::P_ALL, 0, &mut info, libc::WEXITED)), Ok(0));
    t.is("si_code", info.si_code, libc::CLD_KILLED);
    t.fails(
        "gone",
        call!(waitid(libc::P_PID, child as u32, &mut info, libc::WEXITED)),
        libc::ECHILD,
    );
    t.fails("no options", call!(waitid(libc::P_ALL, 0, &mut info, 0)), libc::EINVAL);
    t.fails("bad kind", call!(waitid(99, 0, &mut info, libc::WEXITED)), libc::EINVAL);
    let child = fork(|| {
        pause(50);
        0
    });
    info.si_signo = 1;
    t.is("WNOHANG", call!(waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG)), Ok(0));
    t.is("leaves nothing", info.si_signo, 0);
    t.is("child", wait(child), Ended::Exit(0));
}

fn family(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0);
    t.is("the parent is known", in_child(|| i32::from(call!(getppid()) != Ok(me))), Ended::Exit(0));
    t.is("an own pid", in_child(|| i32::from(call!(getpid()) == Ok(me))), Ended::Exit(0));
    t.is(
        "pid and tid agree",
        in_child(|| i32::from(call!(getpid()) != call!(gettid()))),
        Ended::Exit(0),
    );
    let (r, w) = pipe();
    let middle = fork(|| {
        let middle = call!(getpid()).unwrap_or(0);
        let _ = fork(|| {
            let adopted = until(|| call!(getppid()) != Ok(middle));
            let _ = write(w, if adopted { b"adopted" } else { b"waiting" });
            0
        });
        0
    });
    t.is("the middle one ends", wait(middle), Ended::Exit(0));
    t.is("the orphan is adopted", read::<10>(r), Ok(b"adopted".to_vec()));
    let _ = call!(signal(libc::SIGCHLD, libc::SIG_IGN));
    let child = fork(|| 0);
    let mut status = 0;
    t.fails("SIGCHLD ignored: no zombie", call!(waitpid(child, &mut status, 0)), libc::ECHILD);
    let _ = call!(signal(libc::SIGCHLD, libc::SIG_DFL));
    let depth = in_child(|| nest(10));
    t.is("ten generations", depth, Ended::Exit(10));
    let zombie = fork(|| 0);
    let stat = format!("/proc/{zombie}/stat");
    let dead = until(|| std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") Z ")));
    t.ok("a zombie shows in /proc", dead);
    t.is("a zombie takes signals", call!(kill(zombie, libc::SIGTERM)), Ok(0));
    t.is("reaped", wait(zombie), Ended::Exit(0));
    t.fails("then it is gone", call!(kill(zombie, 0)), libc::ESRCH);
}

fn nest(levels: i32) -> i32 {
    if levels == 0 {
        return 0;
    }
    match in_child(|| nest(levels - 1)) {
        Ended::Exit(code) => code + 1,
        _ => 100,
    }
}

fn memory(t: &mut Checks) {
    static VALUE: AtomicI32 = AtomicI32::new(1);
    let mut local = 1;
    let heap = vec![1u8; 1 << 20];
    let child = in_child(|| {
        VALUE.store(2, Ordering::SeqCst);
        local = 2;
        i32::from(local != 2 || heap.iter().any(|byte| *byte != 1))
    });
    t.is("the child sees a copy", child, Ended::Exit(0));
    t.is("statics stay", VALUE.load(Ordering::SeqCst), 1);
    t.is("locals stay", local, 1);
    let shared = call!(mmap(
        std::ptr::null_mut(),
        4096,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        -1,
        0
    ));
    let shared = t.works("shared memory", shared) as usize as *const AtomicI32;
    // SAFETY: the mapping is a page of zeroes that lives to the end of the program.
    let shared = unsafe { &*shared };
    let children: Vec<i32> = (0..8)
        .map(|_| {
            fork(|| {
                for _ in 0..1000 {
                    shared.fetch_add(1, Ordering::SeqCst);
                }
                0
            })
        })
        .collect();
    t.ok("eight children", children.into_iter().all(|pid| wait(pid) == Ended::Exit(0)));
    t.is("all counted", shared.load(Ordering::SeqCst), 8000);
}
