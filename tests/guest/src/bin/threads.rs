//! Threads: `clone(2)`, `futex(2)`, thread-local storage, signals to one thread, the end.

use std::arch::asm;
use std::cell::Cell;
use std::fs;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;

use lx_guest_tests::{
    Checks, Ended, NOWHERE, call, fork, in_child, pause, pipe, read, until, wait, write,
};

thread_local! {
    static LOCAL: Cell<i32> = const { Cell::new(1) };
}

static HANDLED_BY: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_signal: i32) {
    HANDLED_BY.store(call!(gettid()).unwrap_or(0) as i32, Ordering::SeqCst);
}

fn main() {
    let mut t = Checks::new();
    identities(&mut t);
    synchronisation(&mut t);
    futexes(&mut t);
    signals(&mut t);
    sharing(&mut t);
    ends(&mut t);
    fresh(&mut t);
    t.end();
}

/// The control word of the vector unit: how it rounds.
fn rounding() -> u32 {
    let mut word = 0u32;
    // SAFETY: writes the variable.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack)) };
    word & ROUND_MASK
}

fn set_rounding(mode: u32) {
    const ALL_MASKED: u32 = 0x1f80;
    let word = ALL_MASKED | mode;
    // SAFETY: a valid word, which only changes how this thread rounds.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack)) };
}

const ROUND_MASK: u32 = 0x6000;
const ROUND_UP: u32 = 0x4000;
const ROUND_TO_ZERO: u32 = 0x6000;

/// Nanoseconds of a thread's own clock.
fn used() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = call!(clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now));
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A thread has nothing of those that have ended before.
fn fresh(t: &mut Checks) {
    const LONG: i64 = 30_000_000;
    let mut all = true;
    for _ in 0..20 {
        let worker = thread::spawn(|| {
            set_rounding(ROUND_TO_ZERO);
            let _ = call!(raise(libc::SIGWINCH));
        });
        let _ = worker.join();
        set_rounding(ROUND_UP);
        all &= thread::spawn(rounding).join().is_ok_and(|mode| mode == ROUND_UP);
        set_rounding(0);
        all &= thread::spawn(rounding).join().is_ok_and(|mode| mode == 0);
    }
    t.ok("a thread rounds as the one that made it", all);
    let busy = thread::spawn(|| while used() < LONG {});
    t.ok("a thread works", busy.join().is_ok());
    let fresh = (0..10).all(|_| thread::spawn(used).join().is_ok_and(|used| used < LONG));
    t.ok("the clock of a new one begins anew", fresh);
    let masks: Vec<bool> = (0..3)
        .map(|_| {
            let worker = thread::spawn(|| {
                // SAFETY: an empty set is a valid one.
                let mut set = unsafe { std::mem::zeroed::<libc::sigset_t>() };
                let _ = call!(sigaddset(&raw mut set, libc::SIGUSR2));
                let mut old = set;
                let _ = call!(pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut old));
                // SAFETY: the set was filled by the call.
                unsafe { libc::sigismember(&raw const old, libc::SIGUSR2) == 0 }
            });
            worker.join().unwrap_or(false)
        })
        .collect();
    t.is("the mask is the maker's", masks, vec![true; 3]);
}

fn tid() -> i64 {
    call!(gettid()).unwrap_or(0)
}

fn identities(t: &mut Checks) {
    let pid = call!(getpid());
    let other = thread::spawn(move || (tid(), call!(getpid()) == pid)).join().unwrap_or_default();
    t.ok("a thread has its own tid", other.0 != tid());
    t.ok("and the same pid", other.1);
    LOCAL.set(5);
    let seen = thread::spawn(|| {
        let old = LOCAL.get();
        LOCAL.set(9);
        old
    })
    .join();
    t.is("thread-local storage", (seen.unwrap_or(0), LOCAL.get()), (1, 5));
    let (stop, wait_for_stop) = mpsc::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let running = thread::spawn(move || {
        let _ = ready.send(tid());
        let _ = wait_for_stop.recv();
    });
    let id = is_ready.recv().unwrap_or(0);
    let tasks = || fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    // Joining a thread is over a little earlier than the thread.
    t.ok("two in /proc", until(|| tasks() == 2));
    t.ok("by its tid", fs::metadata(format!("/proc/self/task/{id}")).is_ok());
    drop(stop);
    let _ = running.join();
    t.ok("one after it ended", until(|| tasks() == 1));
    t.is(
        "gone",
        call!(syscall(libc::SYS_tgkill, call!(getpid()).unwrap_or(0), id, 0)),
        Err(libc::ESRCH),
    );
}

fn synchronisation(t: &mut Checks) {
    let counter = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..5000).for_each(|_| {
                    if let Ok(mut value) = counter.lock() {
                        *value += 1
                    }
                })
            });
        }
    });
    t.is("a mutex", counter.into_inner().unwrap_or(0), 40_000);
    let atomic = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..10_000).for_each(|_| {
                    atomic.fetch_add(1, Ordering::Relaxed);
                })
            });
        }
    });
    t.is("an atomic", atomic.into_inner(), 40_000);
    let pair = (Mutex::new(0), Condvar::new());
    thread::scope(|scope| {
        for me in 0..3 {
            let (turn, changed) = &pair;
            scope.spawn(move || {
                for round in 0..50 {
                    if let Ok(mut now) = turn
                        .lock()
                        .and_then(|now| changed.wait_while(now, |now| *now != round * 3 + me))
                    {
                        *now += 1;
                        changed.notify_all();
                    }
                }
            });
        }
    });
    t.is("a condition", pair.0.into_inner().unwrap_or(0), 150);
    let barrier = Barrier::new(5);
    let leaders = AtomicI32::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                (0..20).for_each(|_| {
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                    }
                })
            });
        }
    });
    t.is("a barrier", leaders.into_inner(), 20);
    let lock = RwLock::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..500).for_each(|_| {
                    if let Ok(mut value) = lock.write() {
                        *value += 1
                    }
                    let _ = lock.read().map(|value| *value);
                })
            });
        }
    });
    t.is("a read-write lock", lock.into_inner().unwrap_or(0), 2000);
    let (sender, receiver) = mpsc::sync_channel(3);
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                (0..250).for_each(|n| {
                    let _ = sender.send(n);
                })
            })
        })
        .collect();
    drop(sender);
    t.is("a channel", receiver.iter().sum::<i32>(), 4 * 249 * 250 / 2);
    producers.into_iter().for_each(|it| {
        let _ = it.join();
    });
    let made = (0..300)
        .filter(|&n| thread::spawn(move || n * 2).join().is_ok_and(|twice| twice == n * 2))
        .count();
    t.is("three hundred threads, one by one", made, 300);
    let many: Vec<_> = (0..50)
        .map(|n| {
            thread::spawn(move || {
                pause(20);
                n
            })
        })
        .collect();
    t.is(
        "fifty at once",
        many.into_iter().filter_map(|it| it.join().ok()).sum::<i32>(),
        49 * 50 / 2,
    );
}

fn futex(
    word: &AtomicU32,
    operation: i32,
    value: u32,
    timeout: Option<&libc::timespec>,
) -> lx_guest_tests::Called {
    let timeout = timeout.map_or(0, |timeout| &raw const *timeout as usize);
    call!(syscall(libc::SYS_futex, word.as_ptr(), operation, value, timeout, 0, 0))
}

fn futexes(t: &mut Checks) {
    let word = AtomicU32::new(1);
    let short = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    t.fails("another value", futex(&word, libc::FUTEX_WAIT, 2, None), libc::EAGAIN);
    t.fails("time-out", futex(&word, libc::FUTEX_WAIT, 1, Some(&short)), libc::ETIMEDOUT);
    t.is("nobody to wake", futex(&word, libc::FUTEX_WAKE, 1, None), Ok(0));
    t.fails("no such operation", futex(&word, 99, 0, None), libc::ENOSYS);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    t.fails("a bad time-out", futex(&word, libc::FUTEX_WAIT, 1, Some(&bad)), libc::EINVAL);
    t.fails(
        "a word at nowhere",
        call!(syscall(libc::SYS_futex, NOWHERE, libc::FUTEX_WAIT, 0, 0)),
        libc::EFAULT,
    );
    t.fails(
        "an odd word",
        call!(syscall(libc::SYS_futex, word.as_ptr() as usize + 1, libc::FUTEX_WAIT, 0, 0)),
        libc::EINVAL,
    );
    let word = Arc::new(AtomicU32::new(0));
    let woken = Arc::new(AtomicI32::new(0));
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let (word, woken) = (word.clone(), woken.clone());
            thread::spawn(move || {
                let result = futex(&word, libc::FUTEX_WAIT, 0, None);
                woken.fetch_add(1, Ordering::SeqCst);
                result == Ok(0)
            })
        })
        .collect();
    let mut total = 0;
    let one = until(|| futex(&word, libc::FUTEX_WAKE, 1, None) == Ok(1));
    t.ok("wake one", one && until(|| woken.load(Ordering::SeqCst) == 1));
    pause(100);
    total += futex(&word, libc::FUTEX_WAKE, i32::MAX as u32, None).unwrap_or(0);
    t.is("wake the rest", total, 3);
    t.ok("all returned 0", waiters.into_iter().all(|it| it.join().unwrap_or(false)));
    let shared = call!(mmap(
        null_mut(),
        4096,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        -1,
        0
    ));
    // SAFETY: a page of zeroes that stays mapped.
    let shared = unsafe { &*(shared.unwrap_or(0) as *const AtomicU32) };
    let child = fork(|| i32::from(futex(shared, libc::FUTEX_WAIT, 0, None) != Ok(0)));
    t.ok("between processes", until(|| futex(shared, libc::FUTEX_WAKE, 1, None) == Ok(1)));
    t.is("the child", wait(child), Ended::Exit(0));
}

fn signals(t: &mut Checks) {
    let _ = call!(signal(libc::SIGUSR1, note as *const () as usize));
    let (sender, receiver) = mpsc::channel();
    let target = thread::spawn(move || {
        let me = tid();
        let _ = sender.send(me);
        until(|| HANDLED_BY.load(Ordering::SeqCst) != 0);
        i64::from(HANDLED_BY.load(Ordering::SeqCst)) == me
    });
    let id = receiver.recv().unwrap_or(0);
    t.is(
        "tgkill",
        call!(syscall(libc::SYS_tgkill, call!(getpid()).unwrap_or(0), id, libc::SIGUSR1)),
        Ok(0),
    );
    t.ok("handled by that thread", target.join().unwrap_or(false));
    // SAFETY: all zeroes is a valid, empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    let _ = call!(sigaddset(&mut set, libc::SIGUSR1));
    let _ = call!(pthread_sigmask(libc::SIG_BLOCK, &set, null_mut()));
    HANDLED_BY.store(0, Ordering::SeqCst);
    let _ = call!(kill(call!(getpid()).unwrap_or(0) as i32, libc::SIGUSR1));
    t.is("blocked here", HANDLED_BY.load(Ordering::SeqCst), 0);
    let open = thread::spawn(move || {
        let _ = call!(pthread_sigmask(libc::SIG_UNBLOCK, &set, null_mut()));
        until(|| HANDLED_BY.load(Ordering::SeqCst) != 0)
            && i64::from(HANDLED_BY.load(Ordering::SeqCst)) == tid()
    });
    t.ok("taken by the thread that lets it in", open.join().unwrap_or(false));
    let _ = call!(pthread_sigmask(libc::SIG_UNBLOCK, &set, null_mut()));
}

fn sharing(t: &mut Checks) {
    let (r, w) = pipe();
    let reader = thread::spawn(move || read::<5>(r));
    pause(20);
    let _ = write(w, b"hello");
    t.is("descriptors are shared", reader.join().unwrap_or(Err(0)), Ok(b"hello".to_vec()));
    let closed = thread::spawn(move || call!(close(w))).join();
    t.is("closed by a thread", closed.unwrap_or(Err(0)), Ok(0));
    t.fails("is closed for all", write(w, b"x"), libc::EBADF);
    let old = std::env::current_dir().unwrap_or_default();
    let _ = thread::spawn(|| std::env::set_current_dir("/usr")).join();
    t.ok(
        "the working folder is shared",
        std::env::current_dir().is_ok_and(|dir| dir.ends_with("usr")),
    );
    let _ = std::env::set_current_dir(old);
    let children: Vec<_> = (0..6)
        .map(|code| {
            thread::spawn(move || {
                let status = std::process::Command::new("/bin/sh")
                    .args(["-c", &format!("exit {code}")])
                    .status();
                status.is_ok_and(|status| status.code() == Some(code))
            })
        })
        .collect();
    t.ok("threads start processes", children.into_iter().all(|it| it.join().unwrap_or(false)));
    let nested = thread::spawn(|| {
        in_child(|| i32::from(fs::read_dir("/proc/self/task").map_or(0, Iterator::count) != 1))
    });
    t.is("a fork has one thread", nested.join().unwrap_or(Ended::Other(0)), Ended::Exit(0));
}

fn ends(t: &mut Checks) {
    t.is(
        "exit ends all threads",
        in_child(|| {
            for _ in 0..4 {
                thread::spawn(|| {
                    loop {
                        pause(1000)
                    }
                });
            }
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop()
                }
            });
            pause(20);
            7
        }),
        Ended::Exit(7),
    );
    t.is(
        "by any thread",
        in_child(|| {
            thread::spawn(|| {
                pause(20);
                // SAFETY: ends the child that the test made.
                unsafe { libc::_exit(8) }
            });
            loop {
                pause(1000)
            }
        }),
        Ended::Exit(8),
    );
    t.is(
        "a signal ends all",
        in_child(|| {
            thread::spawn(|| {
                pause(20);
                let _ = call!(kill(call!(getpid()).unwrap_or(0) as i32, libc::SIGKILL));
            });
            loop {
                std::hint::spin_loop()
            }
        }),
        Ended::Signal(libc::SIGKILL),
    );
    t.is(
        "exec ends all",
        in_child(|| {
            for _ in 0..3 {
                thread::spawn(|| {
                    loop {
                        pause(1000)
                    }
                });
            }
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop()
                }
            });
            pause(20);
            let words = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 9".as_ptr(), std::ptr::null()];
            let _ = call!(execv(c"/bin/sh".as_ptr(), words.as_ptr()));
            1
        }),
        Ended::Exit(9),
    );
    t.is(
        "exec by another thread keeps the pid",
        in_child(|| {
            let pid = call!(getpid()).unwrap_or(0).to_string();
            let _ = thread::spawn(move || {
                let script = lx_guest_tests::c(&format!("[ $$ = {pid} ] && exit 10"));
                let words = [c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
                call!(execv(c"/bin/sh".as_ptr(), words.as_ptr()))
            })
            .join();
            1
        }),
        Ended::Exit(10),
    );
    t.is(
        "the first thread may end before the others",
        in_child(|| {
            thread::spawn(|| {
                pause(50);
                // SAFETY: ends the child that the test made.
                unsafe { libc::_exit(11) }
            });
            // SAFETY: ends this thread only; nothing of it is used by the other.
            let _ = unsafe { libc::syscall(libc::SYS_exit, 0) };
            1
        }),
        Ended::Exit(11),
    );
}
