//! Locks in shared memory: futexes between processes, robust mutexes, semaphores, sleeping
//! through signals and stops.

use std::ptr::{addr_of_mut, null_mut};
use std::time::{Duration, Instant};

use lx_guest_tests::{Checks, Ended, c, call, fork, pause, until, wait};

/// What the processes share.
struct Shared {
    there: libc::sem_t,
    back: libc::sem_t,
    lock: libc::pthread_mutex_t,
    robust: libc::pthread_mutex_t,
    changed: libc::pthread_cond_t,
    go: bool,
    count: u64,
}

fn main() {
    let mut t = Checks::new();
    between_processes(&mut t);
    orphans(&mut t);
    named(&mut t);
    interrupted(&mut t);
    stopped(&mut t);
    t.end();
}

/// Zeroed shared memory with its locks made.
fn shared() -> *mut Shared {
    let at = call!(mmap(
        null_mut(),
        size_of::<Shared>(),
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        -1,
        0
    ));
    let at = at.unwrap_or(0) as *mut Shared;
    // SAFETY: fresh memory of this size; all zeroes are valid attributes before `init`.
    unsafe {
        libc::sem_init(addr_of_mut!((*at).there), 1, 0);
        libc::sem_init(addr_of_mut!((*at).back), 1, 0);
        let mut attr: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attr);
        libc::pthread_mutexattr_setpshared(&mut attr, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutex_init(addr_of_mut!((*at).lock), &attr);
        libc::pthread_mutexattr_setrobust(&mut attr, libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutex_init(addr_of_mut!((*at).robust), &attr);
        let mut attr: libc::pthread_condattr_t = std::mem::zeroed();
        libc::pthread_condattr_init(&mut attr);
        libc::pthread_condattr_setpshared(&mut attr, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_cond_init(addr_of_mut!((*at).changed), &attr);
    }
    at
}

/// Counts under the lock.
fn add(s: *mut Shared, times: u32) {
    for _ in 0..times {
        // SAFETY: the memory of `shared`; the lock guards the count.
        unsafe {
            libc::pthread_mutex_lock(addr_of_mut!((*s).lock));
            (*s).count += 1;
            libc::pthread_mutex_unlock(addr_of_mut!((*s).lock));
        }
    }
}

fn between_processes(t: &mut Checks) {
    const ROUNDS: u32 = 500;
    let s = shared();
    let child = fork(|| {
        // SAFETY: as above; the semaphores are those of `shared`.
        unsafe {
            for _ in 0..ROUNDS {
                libc::sem_wait(addr_of_mut!((*s).there));
                libc::sem_post(addr_of_mut!((*s).back));
            }
            add(s, 5000);
            libc::pthread_mutex_lock(addr_of_mut!((*s).lock));
            while !(*s).go {
                libc::pthread_cond_wait(addr_of_mut!((*s).changed), addr_of_mut!((*s).lock));
            }
            libc::pthread_mutex_unlock(addr_of_mut!((*s).lock));
        }
        7
    });
    // SAFETY: as above.
    unsafe {
        for _ in 0..ROUNDS {
            libc::sem_post(addr_of_mut!((*s).there));
            libc::sem_wait(addr_of_mut!((*s).back));
        }
        add(s, 5000);
        pause(20);
        libc::pthread_mutex_lock(addr_of_mut!((*s).lock));
        (*s).go = true;
        libc::pthread_cond_broadcast(addr_of_mut!((*s).changed));
        libc::pthread_mutex_unlock(addr_of_mut!((*s).lock));
    }
    t.is("a condition variable wakes the other process", wait(child), Ended::Exit(7));
    // SAFETY: nobody else is left.
    t.is("nothing is lost", unsafe { (*s).count }, 10_000);
}

fn orphans(t: &mut Checks) {
    let s = shared();
    let child = fork(|| {
        // SAFETY: the lock of `shared`.
        unsafe {
            libc::pthread_mutex_lock(addr_of_mut!((*s).robust));
            addr_of_mut!((*s).go).write_volatile(true);
        }
        pause(50);
        0
    });
    // SAFETY: memory of `shared`.
    t.ok("the child has the lock", until(|| unsafe { addr_of_mut!((*s).go).read_volatile() }));
    // SAFETY: the lock of `shared`.
    let (first, second) = unsafe {
        let lock = addr_of_mut!((*s).robust);
        let first = libc::pthread_mutex_lock(lock);
        libc::pthread_mutex_consistent(lock);
        libc::pthread_mutex_unlock(lock);
        (first, libc::pthread_mutex_lock(lock))
    };
    t.is("the waiter inherits the lock of the dead", first, libc::EOWNERDEAD);
    t.is("the lock works again", second, 0);
    t.is("the child", wait(child), Ended::Exit(0));
}

fn named(t: &mut Checks) {
    let name = c(&format!("/lx-shared-locks-{}", std::process::id()));
    let flags = libc::O_CREAT | libc::O_EXCL;
    // SAFETY: a valid name.
    let semaphore = unsafe { libc::sem_open(name.as_ptr(), flags, 0o600, 0) };
    t.ok("sem_open", semaphore != libc::SEM_FAILED);
    let child = fork(|| {
        // SAFETY: a valid name, and the semaphore that it gives.
        unsafe {
            let other = libc::sem_open(name.as_ptr(), 0);
            pause(30);
            libc::sem_post(other)
        }
    });
    // SAFETY: an open semaphore.
    t.is("a semaphore in a file", unsafe { libc::sem_wait(semaphore) }, 0);
    t.is("its poster", wait(child), Ended::Exit(0));
    // SAFETY: a valid name.
    t.is("sem_unlink", unsafe { libc::sem_unlink(name.as_ptr()) }, 0);
}

extern "C" fn nothing(_signal: i32) {}

/// `SIGALRM` in 50 ms, with a handler that has these flags.
fn alarm_soon(flags: i32) {
    // SAFETY: zeroes are a valid action; the structures live long enough.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = flags;
        libc::sigaction(libc::SIGALRM, &action, null_mut());
        let mut value: libc::itimerval = std::mem::zeroed();
        value.it_value.tv_usec = 50_000;
        libc::setitimer(libc::ITIMER_REAL, &value, null_mut());
    }
}

fn interrupted(t: &mut Checks) {
    let s = shared();
    let long = libc::timespec { tv_sec: 2, tv_nsec: 0 };
    for (what, flags) in [("sleep", 0), ("sleep, SA_RESTART", libc::SA_RESTART)] {
        let mut rest = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        alarm_soon(flags);
        t.fails(what, call!(nanosleep(&long, &mut rest)), libc::EINTR);
        t.ok("the rest", rest.tv_sec < 2 && (rest.tv_sec, rest.tv_nsec) > (0, 0));
    }
    alarm_soon(0);
    // SAFETY: the semaphore of `shared`.
    t.fails("sem_wait", call!(sem_wait(addr_of_mut!((*s).there))), libc::EINTR);
    alarm_soon(libc::SA_RESTART);
    let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = call!(clock_gettime(libc::CLOCK_REALTIME, &mut end));
    end.tv_sec += 1;
    // SAFETY: as above.
    let waited = call!(sem_timedwait(addr_of_mut!((*s).there), &end));
    t.fails("sem_timedwait, SA_RESTART", waited, libc::EINTR);
    end.tv_sec -= 1;
    // SAFETY: as above.
    let waited = call!(sem_timedwait(addr_of_mut!((*s).there), &end));
    t.fails("sem_timedwait in the past", waited, libc::ETIMEDOUT);
}

fn stopped(t: &mut Checks) {
    let child = fork(|| {
        let start = Instant::now();
        let time = libc::timespec { tv_sec: 0, tv_nsec: 300_000_000 };
        if call!(nanosleep(&time, null_mut())).is_err() {
            return 1;
        }
        i32::from(start.elapsed() < Duration::from_millis(300)) * 2
    });
    pause(50);
    let _ = call!(kill(child, libc::SIGSTOP));
    pause(50);
    let _ = call!(kill(child, libc::SIGCONT));
    t.is("a sleep goes on after a stop", wait(child), Ended::Exit(0));
}
