//! Mutexes of the C library with priority inheritance: errors, condition variables, owners that die,
//! processes that share them.

use std::ptr::addr_of_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use lx_guest_tests::futex::{asleep, join, later, shared_words, start};
use lx_guest_tests::{Checks, Ended, call, fork, pause, until, wait};

fn main() {
    let mut t = Checks::new();
    mutexes(&mut t);
    robust_mutexes(&mut t);
    shared_mutexes(&mut t);
    t.end();
}

/// What threads and processes share by the C library's means.
struct Shared {
    mutex: libc::pthread_mutex_t,
    changed: libc::pthread_cond_t,
    count: u64,
}

/// Shared memory with a mutex of priority inheritance.
fn shared(robust: bool, kind: i32) -> *mut Shared {
    let at = shared_words().as_ptr() as *mut Shared;
    // SAFETY: fresh memory of this size; all zeroes are valid attributes before `init`.
    unsafe {
        let mut attr: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attr);
        libc::pthread_mutexattr_settype(&mut attr, kind);
        libc::pthread_mutexattr_setprotocol(&mut attr, libc::PTHREAD_PRIO_INHERIT);
        libc::pthread_mutexattr_setpshared(&mut attr, libc::PTHREAD_PROCESS_SHARED);
        if robust {
            libc::pthread_mutexattr_setrobust(&mut attr, libc::PTHREAD_MUTEX_ROBUST);
        }
        libc::pthread_mutex_init(addr_of_mut!((*at).mutex), &attr);
        let mut attr: libc::pthread_condattr_t = std::mem::zeroed();
        libc::pthread_condattr_init(&mut attr);
        libc::pthread_condattr_setpshared(&mut attr, libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_cond_init(addr_of_mut!((*at).changed), &attr);
    }
    at
}

/// The address of [`Shared`] for a thread.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    fn at(self) -> *mut Shared {
        self.0 as *mut Shared
    }

    fn lock(self) -> i32 {
        // SAFETY: the mutex of `shared`.
        unsafe { libc::pthread_mutex_lock(addr_of_mut!((*self.at()).mutex)) }
    }

    fn unlock(self) -> i32 {
        // SAFETY: the mutex of `shared`.
        unsafe { libc::pthread_mutex_unlock(addr_of_mut!((*self.at()).mutex)) }
    }

    /// Counts under the mutex.
    fn add(self, times: u32) -> bool {
        (0..times).all(|_| {
            let locked = self.lock() == 0;
            // SAFETY: the mutex guards the count.
            unsafe { (*self.at()).count += 1 };
            locked && self.unlock() == 0
        })
    }
}

fn mutexes(t: &mut Checks) {
    let s = Place(shared(false, libc::PTHREAD_MUTEX_ERRORCHECK) as usize);
    let threads: Vec<_> = (0..6).map(|_| thread::spawn(move || s.add(2000))).collect();
    t.ok("six threads count", threads.into_iter().all(|thread| join(thread, false)));
    // SAFETY: nobody else is left.
    t.is("nothing is lost", unsafe { (*s.at()).count }, 12_000);
    t.is("locked twice", (s.lock(), s.lock()), (0, libc::EDEADLK));
    let busy = thread::spawn(move || {
        let time = later(libc::CLOCK_REALTIME, 40);
        // SAFETY: the mutex of `shared`.
        unsafe {
            let mutex = addr_of_mut!((*s.at()).mutex);
            let tried = libc::pthread_mutex_trylock(mutex);
            (tried, libc::pthread_mutex_timedlock(mutex, &time), libc::pthread_mutex_unlock(mutex))
        }
    });
    let wants = (libc::EBUSY, libc::ETIMEDOUT, libc::EPERM);
    t.is("tried by another thread", join(busy, (0, 0, 0)), wants);
    t.is("unlocked", s.unlock(), 0);

    // A ring of threads that wait for their turn.
    const ROUNDS: u64 = 30;
    // SAFETY: nobody else is left.
    unsafe { (*s.at()).count = 0 };
    let turn = move |me: u64| {
        (0..ROUNDS).all(|round| {
            let mut good = s.lock() == 0;
            // SAFETY: the condition and the count are guarded by the mutex.
            unsafe {
                let (changed, mutex) =
                    (addr_of_mut!((*s.at()).changed), addr_of_mut!((*s.at()).mutex));
                while (*s.at()).count != round * 4 + me {
                    good &= libc::pthread_cond_wait(changed, mutex) == 0;
                }
                (*s.at()).count += 1;
                libc::pthread_cond_broadcast(changed);
            }
            good && s.unlock() == 0
        })
    };
    let threads: Vec<_> = (0..4).map(|me| thread::spawn(move || turn(me))).collect();
    t.ok("a ring", threads.into_iter().all(|thread| join(thread, false)));
}

fn robust_mutexes(t: &mut Checks) {
    for waits in [false, true] {
        let s = Place(shared(true, libc::PTHREAD_MUTEX_NORMAL) as usize);
        let held = Arc::new(AtomicU32::new(0));
        let hold = Arc::clone(&held);
        let owner = thread::spawn(move || {
            let _ = s.lock();
            hold.store(1, Ordering::SeqCst);
            until(|| hold.load(Ordering::SeqCst) == 2);
        });
        let locked = until(|| held.load(Ordering::SeqCst) == 1);
        t.ok("a thread has the mutex", locked);
        let release = Arc::clone(&held);
        let finish = move || {
            release.store(2, Ordering::SeqCst);
            let _ = owner.join();
        };
        let first = if waits {
            let (waiter, id) = start(move || {
                let locked = s.lock();
                (locked, make_consistent(s), s.unlock())
            });
            t.ok("another one waits", asleep(&id));
            finish();
            join(waiter, (0, 0, 0))
        } else {
            finish();
            (s.lock(), make_consistent(s), s.unlock())
        };
        t.is("the mutex of the dead", first, (libc::EOWNERDEAD, 0, 0));
        t.is("works again", (s.lock(), s.unlock()), (0, 0));
    }
    let s = Place(shared(true, libc::PTHREAD_MUTEX_NORMAL) as usize);
    let _ = thread::spawn(move || s.lock()).join();
    t.is("not made consistent", (s.lock(), s.unlock()), (libc::EOWNERDEAD, 0));
    t.is("is lost", s.lock(), libc::ENOTRECOVERABLE);
}

fn make_consistent(s: Place) -> i32 {
    // SAFETY: the mutex of `shared`.
    unsafe { libc::pthread_mutex_consistent(addr_of_mut!((*s.at()).mutex)) }
}

fn shared_mutexes(t: &mut Checks) {
    let s = Place(shared(true, libc::PTHREAD_MUTEX_NORMAL) as usize);
    let child = fork(|| i32::from(!s.add(3000)));
    let mine = s.add(3000);
    t.is("two processes count", (mine, wait(child)), (true, Ended::Exit(0)));
    // SAFETY: nobody else is left.
    t.is("nothing is lost", unsafe { (*s.at()).count }, 6000);
    let words = shared_words();
    let child = fork(|| {
        let _ = s.lock();
        words[0].store(1, Ordering::SeqCst);
        pause(20_000);
        1
    });
    t.ok("a child has the mutex", until(|| words[0].load(Ordering::SeqCst) == 1));
    let (waiter, id) = start(move || {
        let locked = s.lock();
        (locked, make_consistent(s), s.unlock())
    });
    t.ok("a thread waits", asleep(&id));
    let _ = call!(kill(child, libc::SIGKILL));
    t.is("inherits it", join(waiter, (0, 0, 0)), (libc::EOWNERDEAD, 0, 0));
    t.is("the child", wait(child), Ended::Signal(libc::SIGKILL));
    t.is("works again", (s.lock(), s.unlock()), (0, 0));
}
