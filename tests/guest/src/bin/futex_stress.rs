//! Two hundred threads at the locks of the C library and at raw futexes, with invariants that each
//! lost wake or double owner breaks. Without arguments a little of everything; else the name of one
//! part, and for how many rounds.

use std::cell::UnsafeCell;
use std::env;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lx_guest_tests::futex::{PRIVATE, address, futex, later, tid};
use lx_guest_tests::{Checks, call};

const THREADS: usize = 200;
/// After that long a part that does not end has lost a wake.
const LIMIT: Duration = Duration::from_secs(120);

/// Name, what each thread does, and for how many rounds.
type Part = (&'static str, fn(u32) -> Result<(), String>, u32);

const PARTS: [Part; 7] = [
    ("mutexes", mutexes, 40),
    ("inheriting", inheriting, 20),
    ("conditions", conditions, 10),
    ("barriers", barriers, 10),
    ("ring", ring, 5),
    ("requeued", requeued, 10),
    ("many", many, 10),
];

/// Runs `body` in all threads, with their numbers; an error if one says `false` or never ends.
fn all(body: impl Fn(usize) -> bool + Send + Sync + 'static) -> Result<(), String> {
    let body = Arc::new(body);
    let left = Arc::new(AtomicI32::new(THREADS as i32));
    let good = Arc::new(AtomicBool::new(true));
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let (body, left, good) = (Arc::clone(&body), Arc::clone(&left), Arc::clone(&good));
        let builder = thread::Builder::new().stack_size(64 << 10);
        let started = builder.spawn(move || {
            if !body(number) {
                good.store(false, Ordering::SeqCst);
            }
            left.fetch_sub(1, Ordering::SeqCst);
        });
        threads.push(started.map_err(|error| format!("thread {number}: {error}"))?);
    }
    let deadline = Instant::now() + LIMIT;
    while left.load(Ordering::SeqCst) != 0 {
        if Instant::now() > deadline {
            return Err(format!("{} threads wait for ever", left.load(Ordering::SeqCst)));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let joined = threads.into_iter().all(|thread| thread.join().is_ok());
    if joined && good.load(Ordering::SeqCst) { Ok(()) } else { Err("a thread failed".to_owned()) }
}

/// An error unless the numbers are equal.
fn expect(what: &str, got: u64, want: u64) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{what}: {got}, not {want}")) }
}

/// What a mutex of the C library guards; nothing else keeps the threads apart.
struct Guarded {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    changed: UnsafeCell<libc::pthread_cond_t>,
    count: UnsafeCell<u64>,
}

// SAFETY: the count is used under the mutex only; the others are made for threads.
unsafe impl Sync for Guarded {}
// SAFETY: a mutex may be made by one thread and used by others.
unsafe impl Send for Guarded {}

impl Guarded {
    fn new(protocol: i32) -> Arc<Self> {
        let it = Arc::new(Self {
            mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
            changed: UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER),
            count: UnsafeCell::new(0),
        });
        // SAFETY: nobody else knows the mutex yet; zeroes are valid attributes before `init`.
        unsafe {
            let mut attr: libc::pthread_mutexattr_t = std::mem::zeroed();
            libc::pthread_mutexattr_init(&mut attr);
            libc::pthread_mutexattr_setprotocol(&mut attr, protocol);
            libc::pthread_mutex_init(it.mutex.get(), &attr);
        }
        it
    }

    fn lock(&self) -> bool {
        // SAFETY: a mutex that has been made and is not moved.
        unsafe { libc::pthread_mutex_lock(self.mutex.get()) == 0 }
    }

    fn unlock(&self) -> bool {
        // SAFETY: as above.
        unsafe { libc::pthread_mutex_unlock(self.mutex.get()) == 0 }
    }

    fn wait(&self) -> bool {
        // SAFETY: as above, and the caller holds the mutex.
        unsafe { libc::pthread_cond_wait(self.changed.get(), self.mutex.get()) == 0 }
    }

    fn wake_all(&self) -> bool {
        // SAFETY: a condition variable that has been made.
        unsafe { libc::pthread_cond_broadcast(self.changed.get()) == 0 }
    }

    /// The count; the caller holds the mutex.
    fn count(&self) -> u64 {
        // SAFETY: the mutex keeps other threads away.
        unsafe { *self.count.get() }
    }

    /// Sets the count; the caller holds the mutex.
    fn set(&self, value: u64) {
        // SAFETY: the mutex keeps other threads away.
        unsafe { *self.count.get() = value }
    }
}

fn counting(protocol: i32, rounds: u32) -> Result<(), String> {
    let shared = Guarded::new(protocol);
    let inner = Arc::clone(&shared);
    all(move |number| {
        (0..rounds).all(|round| {
            let locked = inner.lock();
            let before = inner.count();
            if (number as u32 + round).is_multiple_of(16) {
                thread::yield_now();
            }
            inner.set(before + 1);
            locked && inner.unlock()
        })
    })?;
    expect("count", shared.count(), THREADS as u64 * u64::from(rounds))
}

/// All count under one mutex.
fn mutexes(rounds: u32) -> Result<(), String> {
    counting(libc::PTHREAD_PRIO_NONE, rounds)
}

/// The same with priority inheritance, and by time-outs and attempts on the raw word.
fn inheriting(rounds: u32) -> Result<(), String> {
    counting(libc::PTHREAD_PRIO_INHERIT, rounds)?;
    let word = Arc::new(AtomicU32::new(0));
    let (inside, entered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&entered);
    let lock = Arc::clone(&word);
    all(move |number| {
        let me = tid();
        (0..rounds).all(|round| {
            let got = if lock.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                Ok(0)
            } else {
                match (number as u32 + round) % 3 {
                    0 => futex(&lock, 8 | PRIVATE, 0, 0, 0, 0),
                    1 => {
                        let soon = later(libc::CLOCK_REALTIME, 1);
                        futex(&lock, 6 | PRIVATE, 0, address(&soon), 0, 0)
                    }
                    _ => futex(&lock, 6 | PRIVATE, 0, 0, 0, 0),
                }
            };
            match got {
                Err(libc::EAGAIN | libc::ETIMEDOUT) => return true,
                Err(_) => return false,
                Ok(_) => {}
            }
            let alone = inside.fetch_add(1, Ordering::SeqCst) == 0;
            let mine = lock.load(Ordering::SeqCst) & 0x3fff_ffff == me;
            count.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            let freed = lock.compare_exchange(me, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
                || futex(&lock, 7 | PRIVATE, 0, 0, 0, 0) == Ok(0);
            alone && mine && freed
        })
    })?;
    expect("the word", u64::from(word.load(Ordering::SeqCst) & 0x3fff_ffff), 0)?;
    if entered.load(Ordering::SeqCst) == 0 { Err("nobody had it".to_owned()) } else { Ok(()) }
}

/// Everybody waits until all have come, over and over, at a condition variable.
fn conditions(rounds: u32) -> Result<(), String> {
    for protocol in [libc::PTHREAD_PRIO_NONE, libc::PTHREAD_PRIO_INHERIT] {
        let shared = Guarded::new(protocol);
        let inner = Arc::clone(&shared);
        all(move |_| {
            (1..=u64::from(rounds)).all(|round| {
                let mut good = inner.lock();
                inner.set(inner.count() + 1);
                if inner.count() == round * THREADS as u64 {
                    good &= inner.wake_all();
                }
                while inner.count() < round * THREADS as u64 {
                    good &= inner.wait();
                }
                good && inner.unlock()
            })
        })?;
        expect("count", shared.count(), THREADS as u64 * u64::from(rounds))?;
    }
    Ok(())
}

/// A barrier of the C library; nobody is ever a round ahead of another by more than one.
fn barriers(rounds: u32) -> Result<(), String> {
    struct Barrier(UnsafeCell<libc::pthread_barrier_t>);
    // SAFETY: a barrier is made for threads.
    unsafe impl Sync for Barrier {}
    // SAFETY: as above.
    unsafe impl Send for Barrier {}
    impl Barrier {
        fn wait(&self) -> i32 {
            // SAFETY: it has been made and is not moved.
            unsafe { libc::pthread_barrier_wait(self.0.get()) }
        }
    }
    // SAFETY: zeroes until `init` makes it.
    let barrier = Arc::new(Barrier(UnsafeCell::new(unsafe { std::mem::zeroed() })));
    let _ = call!(pthread_barrier_init(barrier.0.get(), null_mut(), THREADS as u32));
    let (arrived, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let leaders = Arc::clone(&last);
    all(move |_| {
        (1..=u64::from(rounds)).all(|round| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let first = barrier.wait();
            let complete = arrived.load(Ordering::SeqCst) == round * THREADS as u64;
            if first == libc::PTHREAD_BARRIER_SERIAL_THREAD {
                leaders.fetch_add(1, Ordering::SeqCst);
            }
            // Nobody arrives for the next round before all have looked.
            barrier.wait();
            complete && (first == 0 || first == libc::PTHREAD_BARRIER_SERIAL_THREAD)
        })
    })?;
    expect("one of all is told", last.load(Ordering::SeqCst), u64::from(rounds))
}

/// A token goes round; each thread sleeps on a word of its own.
fn ring(rounds: u32) -> Result<(), String> {
    let words: Arc<Vec<AtomicU32>> = Arc::new((0..THREADS).map(|_| AtomicU32::new(0)).collect());
    words[0].store(1, Ordering::SeqCst);
    let hops = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&hops);
    all(move |number| {
        let (mine, next) = (&words[number], &words[(number + 1) % THREADS]);
        (0..rounds).all(|round| {
            while mine.swap(0, Ordering::SeqCst) == 0 {
                match futex(mine, libc::FUTEX_WAIT | PRIVATE, 0, 0, 0, 0) {
                    Ok(_) | Err(libc::EAGAIN | libc::EINTR) => {}
                    Err(_) => return false,
                }
            }
            let turn = count.fetch_add(1, Ordering::SeqCst);
            next.store(1, Ordering::SeqCst);
            let woken = futex(next, libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0);
            turn == u64::from(round) * THREADS as u64 + number as u64 && woken.is_ok()
        })
    })?;
    expect("hops", hops.load(Ordering::SeqCst), THREADS as u64 * u64::from(rounds))
}

/// Half of the threads wait on a word; the others wake one each and move one to the next word,
/// until all have gone through.
fn requeued(rounds: u32) -> Result<(), String> {
    let words: Arc<[AtomicU32; 2]> = Arc::new([const { AtomicU32::new(0) }; 2]);
    let through = Arc::new(AtomicU64::new(0));
    let want = (THREADS / 2) as u64 * u64::from(rounds);
    let count = Arc::clone(&through);
    all(move |number| {
        if number % 2 == 0 {
            return (0..rounds).all(|_| {
                let waited = futex(&words[0], libc::FUTEX_WAIT | PRIVATE, 0, 0, 0, 0);
                count.fetch_add(1, Ordering::SeqCst);
                waited == Ok(0)
            });
        }
        while count.load(Ordering::SeqCst) < want {
            let op = libc::FUTEX_CMP_REQUEUE | PRIVATE;
            let moved = futex(&words[0], op, 1, 3, address(&words[1]), 0);
            let woken = futex(&words[1], libc::FUTEX_WAKE | PRIVATE, 2, 0, 0, 0);
            if moved.is_err() || woken.is_err() {
                return false;
            }
            thread::yield_now();
        }
        true
    })?;
    expect("through", through.load(Ordering::SeqCst), want)
}

/// Each thread waits for two words at once; a wake of either must be told to one waiter exactly.
fn many(rounds: u32) -> Result<(), String> {
    let words: Arc<[AtomicU32; 4]> = Arc::new([const { AtomicU32::new(0) }; 4]);
    let told = Arc::new(AtomicU64::new(0));
    let woken = Arc::new(AtomicU64::new(0));
    let (count, sum) = (Arc::clone(&told), Arc::clone(&woken));
    let want = (THREADS / 2) as u64 * u64::from(rounds);
    all(move |number| {
        if number % 2 == 0 {
            let (a, b) = (number / 2 % 4, (number / 2 + 1) % 4);
            // `struct futex_waitv`: value, address, flags with the size in two words.
            let flags = 2 | PRIVATE as u64;
            let entries: [[u64; 3]; 2] = [a, b].map(|at| [0, words[at].as_ptr() as u64, flags]);
            return (0..rounds).all(|_| {
                let got = call!(syscall(449, entries.as_ptr(), 2, 0, 0, 0));
                count.fetch_add(1, Ordering::SeqCst);
                matches!(got, Ok(0 | 1) | Err(libc::ENOSYS))
            });
        }
        let mut at = number;
        while count.load(Ordering::SeqCst) < want {
            at += 1;
            match futex(&words[at % 4], libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0) {
                Ok(number) => sum.fetch_add(number as u64, Ordering::SeqCst),
                Err(_) => return false,
            };
            thread::yield_now();
        }
        true
    })?;
    expect("told", told.load(Ordering::SeqCst), want)
}

fn main() {
    let mut t = Checks::new();
    let mut arguments = env::args().skip(1);
    let only = arguments.next();
    let rounds = arguments.next().and_then(|text| text.parse().ok());
    for (name, part, few) in PARTS {
        if only.as_deref().is_none_or(|only| only == name) {
            t.is(name, part(rounds.unwrap_or(few)), Ok(()));
        }
    }
    t.end();
}
