//! `sigaction(2)`, `kill(2)`, `signal(7)`: delivery, masks, restart, queues, stacks.

use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use lx_guest_tests::{
    Checks, Ended, NOWHERE, call, fork, in_child, no_core, pause, pipe, read, until, wait, write,
};

static COUNT: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);
static STACK: AtomicUsize = AtomicUsize::new(0);
static ORDER: Mutex<Vec<i32>> = Mutex::new(Vec::new());

extern "C" fn count(_signal: i32) {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn inform(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    let info = unsafe { &*info };
    CODE.store(info.si_code, Ordering::SeqCst);
    // SAFETY: the members overlap; which of them holds is checked by the test.
    VALUE.store(unsafe { info.si_value().sival_ptr } as usize, Ordering::SeqCst);
    if signal == libc::SIGSEGV || signal == libc::SIGFPE {
        // SAFETY: a fault carries its address.
        VALUE.store(unsafe { info.si_addr() } as usize, Ordering::SeqCst);
        // SAFETY: ends the child that the test made for this fault.
        unsafe { libc::_exit(CODE.load(Ordering::SeqCst) + 50) }
    }
    let here = 0;
    STACK.store(&raw const here as usize, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn order(signal: i32) {
    if let Ok(mut order) = ORDER.try_lock() {
        order.push(signal);
    }
}

fn action(signal: i32, handler: usize, flags: i32) -> lx_guest_tests::Called {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    call!(sigaction(signal, &action, null_mut()))
}

fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zeroes is a valid, empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    for signal in signals {
        let _ = call!(sigaddset(&mut set, *signal));
    }
    set
}

fn mask(how: i32, signals: &[i32]) {
    let _ = call!(sigprocmask(how, &set(signals), null_mut()));
}

fn counted() -> i32 {
    COUNT.swap(0, Ordering::SeqCst)
}

fn main() {
    no_core();
    let mut t = Checks::new();
    dispositions(&mut t);
    masks(&mut t);
    information(&mut t);
    interruption(&mut t);
    waiting(&mut t);
    faults(&mut t);
    sending(&mut t);
    t.end();
}

fn dispositions(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    t.is("install", action(libc::SIGUSR1, count as *const () as usize, 0), Ok(0));
    t.is("kill myself", call!(kill(me, libc::SIGUSR1)), Ok(0));
    t.is("handled before kill returns", counted(), 1);
    // SAFETY: all zeroes is a valid sigaction.
    let mut old: libc::sigaction = unsafe { zeroed() };
    t.is("ask", call!(sigaction(libc::SIGUSR1, null(), &mut old)), Ok(0));
    t.ok("the handler is told", old.sa_sigaction == count as *const () as usize);
    t.fails(
        "SIGKILL has no handler",
        action(libc::SIGKILL, count as *const () as usize, 0),
        libc::EINVAL,
    );
    t.fails("SIGSTOP has no handler", action(libc::SIGSTOP, libc::SIG_IGN, 0), libc::EINVAL);
    t.fails("no such signal", action(65, count as *const () as usize, 0), libc::EINVAL);
    t.fails("signal 0", action(0, count as *const () as usize, 0), libc::EINVAL);
    let raw = |new: usize, old: usize, size: usize| {
        call!(syscall(libc::SYS_rt_sigaction, libc::SIGUSR2, new, old, size))
    };
    t.fails("a wrong set size", raw(0, 0, 4), libc::EINVAL);
    t.fails("action at nowhere", raw(NOWHERE, 0, 8), libc::EFAULT);
    t.fails("old action at nowhere", raw(0, NOWHERE, 8), libc::EFAULT);
    t.is(
        "SA_RESETHAND",
        action(libc::SIGUSR2, count as *const () as usize, libc::SA_RESETHAND),
        Ok(0),
    );
    let _ = call!(raise(libc::SIGUSR2));
    let _ = call!(sigaction(libc::SIGUSR2, null(), &mut old));
    t.ok("reset after one", counted() == 1 && old.sa_sigaction == libc::SIG_DFL);
    t.is("ignored", action(libc::SIGUSR2, libc::SIG_IGN, 0), Ok(0));
    t.is("nothing happens", call!(raise(libc::SIGUSR2)), Ok(0));
    for signal in [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT] {
        t.is(
            "ignored by default",
            in_child(|| {
                let _ = call!(raise(signal));
                3
            }),
            Ended::Exit(3),
        );
    }
    t.is(
        "handlers are inherited by fork",
        in_child(|| {
            let _ = call!(raise(libc::SIGUSR1));
            counted()
        }),
        Ended::Exit(1),
    );
}

fn masks(t: &mut Checks) {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    for _ in 0..3 {
        let _ = call!(raise(libc::SIGUSR1));
    }
    t.is("blocked", counted(), 0);
    let mut pending = set(&[]);
    t.is("sigpending", call!(sigpending(&mut pending)), Ok(0));
    t.is("it is pending", call!(sigismember(&pending, libc::SIGUSR1)), Ok(1));
    t.is(
        "pending is not inherited",
        in_child(|| {
            let mut pending = set(&[]);
            let _ = call!(sigpending(&mut pending));
            call!(sigismember(&pending, libc::SIGUSR1)).unwrap_or(9) as i32
        }),
        Ended::Exit(0),
    );
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
    t.is("a standard signal counts once", counted(), 1);
    let real_time = libc::SIGRTMIN() + 1;
    let _ = action(real_time, count as *const () as usize, 0);
    mask(libc::SIG_BLOCK, &[real_time]);
    for _ in 0..3 {
        let _ = call!(raise(real_time));
    }
    mask(libc::SIG_UNBLOCK, &[real_time]);
    t.is("a real-time signal is queued", counted(), 3);
    let signals = [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR2, libc::SIGINT];
    for signal in signals {
        let _ = action(signal, order as *const () as usize, 0);
    }
    mask(libc::SIG_BLOCK, &signals);
    for signal in signals {
        let _ = call!(raise(signal));
    }
    mask(libc::SIG_UNBLOCK, &signals);
    let mut seen = ORDER.lock().map(|order| order.clone()).unwrap_or_default();
    seen.sort_unstable();
    t.is("each of several", seen, vec![libc::SIGHUP, libc::SIGINT, libc::SIGUSR2, libc::SIGTERM]);
    mask(libc::SIG_BLOCK, &[libc::SIGKILL, libc::SIGSTOP]);
    let mut now = set(&[]);
    let _ = call!(sigprocmask(libc::SIG_BLOCK, null(), &mut now));
    t.is("SIGKILL cannot be blocked", call!(sigismember(&now, libc::SIGKILL)), Ok(0));
    t.fails("how", call!(sigprocmask(9, &now, null_mut())), libc::EINVAL);
    t.fails(
        "set at nowhere",
        call!(syscall(libc::SYS_rt_sigprocmask, 0, NOWHERE, 0, 8)),
        libc::EFAULT,
    );
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
    t.is(
        "the mask is inherited",
        in_child(|| {
            let _ = call!(raise(libc::SIGUSR1));
            counted()
        }),
        Ended::Exit(0),
    );
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
}

fn information(t: &mut Checks) {
    let handler = inform as *const () as usize;
    let me = call!(getpid()).unwrap_or(0) as i32;
    let _ = action(libc::SIGUSR1, handler, libc::SA_SIGINFO);
    let _ = call!(kill(me, libc::SIGUSR1));
    t.is("kill", (counted(), CODE.load(Ordering::SeqCst)), (1, libc::SI_USER));
    let _ = call!(raise(libc::SIGUSR1));
    t.is("tgkill", (counted(), CODE.load(Ordering::SeqCst)), (1, libc::SI_TKILL));
    let value = libc::sigval { sival_ptr: 0x1234_5678 as *mut _ };
    t.is("sigqueue", call!(sigqueue(me, libc::SIGUSR1, value)), Ok(0));
    t.is("its code", (counted(), CODE.load(Ordering::SeqCst)), (1, libc::SI_QUEUE));
    t.is("its value", VALUE.load(Ordering::SeqCst), 0x1234_5678);
    let mut memory = vec![0u8; 65536];
    let bottom = memory.as_mut_ptr() as usize;
    let stack =
        libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    t.is("sigaltstack", call!(sigaltstack(&stack, null_mut())), Ok(0));
    let _ = action(libc::SIGUSR1, handler, libc::SA_SIGINFO | libc::SA_ONSTACK);
    let _ = call!(raise(libc::SIGUSR1));
    let on = STACK.load(Ordering::SeqCst);
    t.ok("on the other stack", (bottom..bottom + memory.len()).contains(&on));
    let _ = action(libc::SIGUSR1, handler, libc::SA_SIGINFO);
    let _ = call!(raise(libc::SIGUSR1));
    let on = STACK.load(Ordering::SeqCst);
    t.ok("not without SA_ONSTACK", !(bottom..bottom + memory.len()).contains(&on));
    let small = libc::stack_t { ss_size: 100, ..stack };
    t.fails("a stack too small", call!(sigaltstack(&small, null_mut())), libc::ENOMEM);
    let bad = libc::stack_t { ss_flags: 99, ..stack };
    t.fails("bad flags", call!(sigaltstack(&bad, null_mut())), libc::EINVAL);
    let off = libc::stack_t { ss_flags: libc::SS_DISABLE, ..stack };
    let mut old = stack;
    t.is("off", call!(sigaltstack(&off, &mut old)), Ok(0));
    t.is("the old one is told", old.ss_size, memory.len());
    counted();
}

fn interruption(t: &mut Checks) {
    let (r, w) = pipe();
    let me = call!(getpid()).unwrap_or(0) as i32;
    let poke = || {
        fork(|| {
            pause(60);
            let _ = call!(kill(me, libc::SIGUSR1));
            pause(60);
            let _ = write(w, b"x");
            0
        })
    };
    let _ = action(libc::SIGUSR1, count as *const () as usize, 0);
    let child = poke();
    t.is("read is interrupted", read::<1>(r), Err(libc::EINTR));
    t.is("by the handler", counted(), 1);
    t.is("then there is data", read::<1>(r), Ok(b"x".to_vec()));
    t.is("child", wait(child), Ended::Exit(0));
    let _ = action(libc::SIGUSR1, count as *const () as usize, libc::SA_RESTART);
    let child = poke();
    t.is("SA_RESTART: read goes on", read::<1>(r), Ok(b"x".to_vec()));
    t.is("the handler ran", counted(), 1);
    t.is("child", wait(child), Ended::Exit(0));
    let child = poke();
    let mut poll = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    t.fails("poll is never restarted", call!(poll(&mut poll, 1, 5000)), libc::EINTR);
    t.is("child", wait(child), Ended::Exit(0));
    let _ = read::<1>(r);
    counted();
    let child = poke();
    let long = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    let mut rest = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    t.fails("nanosleep", call!(nanosleep(&long, &mut rest)), libc::EINTR);
    t.ok("tells the rest", rest.tv_sec == 4 && rest.tv_nsec > 0);
    t.is("child", wait(child), Ended::Exit(0));
    counted();
}

fn waiting(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    let _ = action(libc::SIGUSR1, count as *const () as usize, 0);
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1, libc::SIGUSR2]);
    let _ = call!(raise(libc::SIGUSR1));
    t.fails("sigsuspend", call!(sigsuspend(&set(&[]))), libc::EINTR);
    t.is("lets it in", counted(), 1);
    let _ = call!(raise(libc::SIGUSR1));
    t.is("but the mask is back", counted(), 0);
    let mut got = 0;
    t.is("sigwait", call!(sigwait(&set(&[libc::SIGUSR1]), &mut got)), Ok(0));
    t.is("takes it without the handler", (got, counted()), (libc::SIGUSR1, 0));
    // SAFETY: all zeroes is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let short = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let both = set(&[libc::SIGUSR1, libc::SIGUSR2]);
    t.fails("sigtimedwait", call!(sigtimedwait(&both, &mut info, &short)), libc::EAGAIN);
    let child = fork(|| {
        pause(30);
        let _ = call!(kill(me, libc::SIGUSR2));
        0
    });
    t.is("sigwaitinfo", call!(sigwaitinfo(&both, &mut info)), Ok(i64::from(libc::SIGUSR2)));
    // SAFETY: kill fills in the sender.
    t.ok("from the child", unsafe { info.si_pid() } == child && info.si_code == libc::SI_USER);
    t.is("child", wait(child), Ended::Exit(0));
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1, libc::SIGUSR2]);
    let _ = action(libc::SIGALRM, count as *const () as usize, 0);
    let mut timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 20_000 },
    };
    t.is("setitimer", call!(setitimer(libc::ITIMER_REAL, &timer, null_mut())), Ok(0));
    t.fails("pause", call!(pause()), libc::EINTR);
    t.is("ends by the alarm", counted(), 1);
    t.is("getitimer", call!(getitimer(libc::ITIMER_REAL, &mut timer)), Ok(0));
    t.is("it ran out", (timer.it_value.tv_sec, timer.it_value.tv_usec), (0, 0));
    timer.it_value.tv_usec = 2_000_000;
    t.fails(
        "bad microseconds",
        call!(setitimer(libc::ITIMER_REAL, &timer, null_mut())),
        libc::EINVAL,
    );
    t.is("alarm", call!(alarm(100)), Ok(0));
    t.is("its rest", call!(alarm(0)), Ok(100));
}

fn faults(t: &mut Checks) {
    let handler = inform as *const () as usize;
    let fault = |code: fn()| {
        in_child(|| {
            let _ = action(libc::SIGSEGV, handler, libc::SA_SIGINFO);
            let _ = action(libc::SIGFPE, handler, libc::SA_SIGINFO);
            code();
            0
        })
    };
    t.is(
        "an unmapped page",
        fault(|| {
            // SAFETY: none: the fault is what is tested.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(NOWHERE).write_volatile(1) }
        }),
        Ended::Exit(50 + 1),
    );
    t.is(
        "a protected page",
        fault(|| {
            let page = call!(mmap(
                null_mut(),
                4096,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0
            ));
            // SAFETY: none: the fault is what is tested.
            unsafe { (page.unwrap_or(0) as *mut u8).write_volatile(1) }
        }),
        Ended::Exit(50 + 2),
    );
    t.is(
        "without a handler",
        in_child(|| {
            // SAFETY: none: the fault is what is tested.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(NOWHERE).write_volatile(1) }
            0
        }),
        Ended::Signal(libc::SIGSEGV),
    );
    t.is(
        "blocked: it ends all the same",
        in_child(|| {
            let _ = action(libc::SIGSEGV, handler, libc::SA_SIGINFO);
            mask(libc::SIG_BLOCK, &[libc::SIGSEGV]);
            // SAFETY: none: the fault is what is tested.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(NOWHERE).write_volatile(1) }
            0
        }),
        Ended::Signal(libc::SIGSEGV),
    );
}

fn sending(t: &mut Checks) {
    let me = call!(getpid()).unwrap_or(0) as i32;
    t.fails("no such process", call!(kill(99_999_999, 0)), libc::ESRCH);
    t.fails("no such signal", call!(kill(me, 65)), libc::EINVAL);
    t.fails("negative", call!(kill(me, -1)), libc::EINVAL);
    t.is("signal 0 only asks", call!(kill(me, 0)), Ok(0));
    t.fails(
        "tgkill of another's thread",
        call!(syscall(libc::SYS_tgkill, me, 99_999_999, libc::SIGUSR1)),
        libc::ESRCH,
    );
    t.fails("tgkill 0", call!(syscall(libc::SYS_tgkill, me, 0, libc::SIGUSR1)), libc::EINVAL);
    t.is("tkill", call!(syscall(libc::SYS_tkill, me, libc::SIGUSR1)), Ok(0));
    counted();
    let victim = fork(|| {
        loop {
            pause(1000)
        }
    });
    t.is("stop", call!(kill(victim, libc::SIGSTOP)), Ok(0));
    t.is("a stopped one can be killed", call!(kill(victim, libc::SIGKILL)), Ok(0));
    t.is("it is", wait(victim), Ended::Signal(libc::SIGKILL));
    let busy = fork(|| {
        let _ = call!(signal(libc::SIGTERM, libc::SIG_DFL));
        #[expect(clippy::empty_loop, reason = "no system call may be made")]
        loop {}
    });
    pause(30);
    let _ = call!(kill(busy, libc::SIGTERM));
    t.is("a loop without calls can be ended", wait(busy), Ended::Signal(libc::SIGTERM));
    let busy = fork(|| {
        let _ = action(libc::SIGUSR1, count as *const () as usize, 0);
        while COUNT.load(Ordering::Relaxed) < 5 {
            std::hint::spin_loop();
        }
        5
    });
    // Signals that meet a pending one are lost, so they go on until it ends.
    let mut status = 0;
    let ended = until(|| {
        let _ = call!(kill(busy, libc::SIGUSR1));
        call!(waitpid(busy, &mut status, libc::WNOHANG)) != Ok(0)
    });
    t.ok("it ends", ended);
    t.is("and a handler interrupts it", Ended::from_status(status), Ended::Exit(5));
    registers(t);
}

/// Registers come back from a handler whatever they hold: numbers that a kernel could take for
/// errors, for calls that are to be restarted, for the number of a call.
fn registers(t: &mut Checks) {
    const VALUES: [u64; 8] =
        [0, 15, u64::MAX, -4_i64 as u64, -512_i64 as u64, 1 << 63, 1 << 63 | 1, 1 << 63 | 2];
    let busy = fork(|| {
        let _ = action(libc::SIGUSR1, count as *const () as usize, 0);
        for value in VALUES.repeat(5) {
            COUNT.store(0, Ordering::SeqCst);
            let mut rax = value;
            // SAFETY: reads COUNT until a handler has changed it.
            unsafe {
                core::arch::asm!(
                    "2: cmp dword ptr [{count}], 0",
                    "je 2b",
                    count = in(reg) COUNT.as_ptr(),
                    inout("rax") rax,
                );
            }
            if rax != value {
                return 1;
            }
        }
        5
    });
    let mut status = 0;
    let ended = until(|| {
        let _ = call!(kill(busy, libc::SIGUSR1));
        call!(waitpid(busy, &mut status, libc::WNOHANG)) != Ok(0)
    });
    t.ok("it ends", ended);
    t.is("rax survives", Ended::from_status(status), Ended::Exit(5));
}
