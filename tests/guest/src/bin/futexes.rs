//! Futexes with priority inheritance, by raw calls: their order, their owners' ends, requeueing to
//! them.

use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lx_guest_tests::futex::{
    PRIVATE, REALTIME, address, asleep, futex, join, later, shared_words, start, tid,
};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, pause, until, wait};

const LOCK: i32 = 6;
const UNLOCK: i32 = 7;
const TRYLOCK: i32 = 8;
const WAIT_REQUEUE: i32 = 11;
const CMP_REQUEUE: i32 = 12;
const LOCK2: i32 = 13;
const WAITERS: u32 = 0x8000_0000;
const DIED: u32 = 0x4000_0000;
const TID: u32 = 0x3fff_ffff;
/// Larger than any thread id.
const NOBODY: u32 = 0x3fff_fff0;

fn main() {
    if std::env::args().nth(1).is_some_and(|word| word == "sleep") {
        // The other program that a child executes.
        return pause(20_000);
    }
    let mut t = Checks::new();
    alone(&mut t);
    contended(&mut t);
    priorities(&mut t);
    timeouts(&mut t);
    deadlocks(&mut t);
    mixed(&mut t);
    owners_that_end(&mut t);
    between_processes(&mut t);
    signals(&mut t);
    requeue(&mut t);
    requeue_errors(&mut t);
    t.end();
}

fn lock(word: &AtomicU32) -> Called {
    futex(word, LOCK | PRIVATE, 0, 0, 0, 0)
}

fn unlock(word: &AtomicU32) -> Called {
    futex(word, UNLOCK | PRIVATE, 0, 0, 0, 0)
}

fn try_lock(word: &AtomicU32) -> Called {
    futex(word, TRYLOCK | PRIVATE, 0, 0, 0, 0)
}

fn alone(t: &mut Checks) {
    let word = AtomicU32::new(0);
    let me = tid();
    t.is("a free lock", lock(&word), Ok(0));
    t.is("the word is the owner's id", word.load(Ordering::SeqCst), me);
    t.fails("locked twice", lock(&word), libc::EDEADLK);
    t.fails("tried by the owner", try_lock(&word), libc::EDEADLK);
    t.is("unlocked", unlock(&word), Ok(0));
    t.is("the word is free", word.load(Ordering::SeqCst), 0);
    t.fails("unlocked twice", unlock(&word), libc::EPERM);
    t.is("tried", try_lock(&word), Ok(0));
    t.is(
        "LOCK_PI2 after unlock",
        unlock(&word).and_then(|_| futex(&word, LOCK2 | PRIVATE, 0, 0, 0, 0)),
        Ok(0),
    );
    word.store(me | WAITERS, Ordering::SeqCst);
    t.is("no one waits in spite of the mark", unlock(&word), Ok(0));
    t.is("the mark is gone", word.load(Ordering::SeqCst), 0);
    word.store(DIED | WAITERS, Ordering::SeqCst);
    t.is("an orphan", lock(&word), Ok(0));
    t.is("keeps that mark alone", word.load(Ordering::SeqCst), me | DIED);
    t.is("unlocked for good", unlock(&word).map(|_| word.load(Ordering::SeqCst)), Ok(0));
    word.store(NOBODY, Ordering::SeqCst);
    t.fails("an owner that does not exist", lock(&word), libc::ESRCH);
    t.is("leaves the mark", word.load(Ordering::SeqCst), NOBODY | WAITERS);
    t.fails("tried", try_lock(&word), libc::ESRCH);
    t.fails("unlocked by another", unlock(&word), libc::EPERM);
    word.store(0, Ordering::SeqCst);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    t.fails("a bad time", futex(&word, LOCK | PRIVATE, 0, address(&bad), 0, 0), libc::EINVAL);
    t.fails("a time at nowhere", futex(&word, LOCK | PRIVATE, 0, NOWHERE, 0, 0), libc::EFAULT);
    t.is("which others do not read", futex(&word, TRYLOCK | PRIVATE, 0, NOWHERE, 0, 0), Ok(0));
    t.is("nor unlock", futex(&word, UNLOCK | PRIVATE, 0, NOWHERE, 0, 0), Ok(0));
    t.fails("LOCK_PI takes no clock", futex(&word, LOCK | REALTIME, 0, 0, 0, 0), libc::ENOSYS);
    t.fails("UNLOCK_PI takes no clock", futex(&word, UNLOCK | REALTIME, 0, 0, 0, 0), libc::ENOSYS);
    for operation in [LOCK, LOCK2, UNLOCK, TRYLOCK] {
        let raw = |at: usize| call!(syscall(libc::SYS_futex, at, operation, 0, 0, 0, 0));
        t.fails("a word at nowhere", raw(NOWHERE), libc::EFAULT);
        if operation != UNLOCK {
            t.fails("an odd word", raw(address(&word) + 2), libc::EINVAL);
        }
    }
}

fn contended(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let me = tid();
    let _ = lock(&word);
    let order = Arc::new(AtomicI32::new(0));
    let mut waiters = Vec::new();
    for place in 0..4 {
        let (word, order) = (Arc::clone(&word), Arc::clone(&order));
        let (thread, id) = start(move || {
            let locked = lock(&word);
            let owns = word.load(Ordering::SeqCst) & TID == tid();
            let turn = order.fetch_add(1, Ordering::SeqCst);
            (locked, owns, turn == place, unlock(&word))
        });
        t.ok("a thread waits", asleep(&id));
        waiters.push((thread, id));
    }
    t.is("the word is marked", word.load(Ordering::SeqCst), me | WAITERS);
    t.fails("tried by the owner", try_lock(&word), libc::EDEADLK);
    t.is("unlocked", unlock(&word), Ok(0));
    t.ok("it went to somebody", word.load(Ordering::SeqCst) & TID != me);
    let ended = (Ok(0), true, true, Ok(0));
    for (thread, _) in waiters {
        t.is("each in its turn", join(thread, (Err(0), false, false, Err(0))), ended);
    }
    t.is("the word is free", word.load(Ordering::SeqCst), 0);

    // The last waiter keeps the mark and so must unlock by a call.
    let _ = lock(&word);
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || {
        let locked = lock(&inner);
        (locked, inner.load(Ordering::SeqCst) == tid() | WAITERS, unlock(&inner))
    });
    let waits = asleep(&id);
    let other = Arc::clone(&word);
    let tried = join(thread::spawn(move || try_lock(&other)), Ok(0));
    t.ok("one waiter", waits);
    t.fails("tried by a third", tried, libc::EAGAIN);
    let other = Arc::clone(&word);
    t.fails("unlocked by a third", join(thread::spawn(move || unlock(&other)), Ok(0)), libc::EPERM);
    let _ = unlock(&word);
    t.is(
        "the mark stays with the last one",
        join(thread, (Err(0), false, Err(0))),
        (Ok(0), true, Ok(0)),
    );
}

/// Makes the calling thread a real-time one.
fn realtime(priority: i32) -> bool {
    let param = libc::sched_param { sched_priority: priority };
    call!(sched_setscheduler(0, libc::SCHED_FIFO, &param)).is_ok()
}

fn priorities(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let _ = lock(&word);
    let order = Arc::new(AtomicI32::new(0));
    let mut waiters = Vec::new();
    for (priority, place) in [(0, 3), (2, 1), (5, 0), (2, 2), (0, 4)] {
        let (word, order) = (Arc::clone(&word), Arc::clone(&order));
        let (thread, id) = start(move || {
            let allowed = priority == 0 || realtime(priority);
            let locked = lock(&word);
            let turn = order.fetch_add(1, Ordering::SeqCst);
            let _ = unlock(&word);
            (allowed, locked, turn - place)
        });
        t.ok("a thread waits", asleep(&id));
        waiters.push(thread);
    }
    let _ = unlock(&word);
    for thread in waiters {
        t.is("the highest priority first", join(thread, (false, Err(0), 0)), (true, Ok(0), 0));
    }
}

fn timeouts(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let _ = lock(&word);
    let try_with = |operation: i32, clock: i32| {
        let word = Arc::clone(&word);
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            let time = later(clock, 60);
            let result = futex(&word, operation | PRIVATE, 0, address(&time), 0, 0);
            (result, begin.elapsed() >= Duration::from_millis(55))
        });
        join(thread, (Ok(0), false))
    };
    let over = (Err(libc::ETIMEDOUT), true);
    t.is("LOCK_PI by the time of day", try_with(LOCK, libc::CLOCK_REALTIME), over);
    t.is("LOCK_PI2 by the time since the start", try_with(LOCK2, libc::CLOCK_MONOTONIC), over);
    t.is("or by that of day", try_with(LOCK2 | REALTIME, libc::CLOCK_REALTIME), over);
    let past = try_with(LOCK, libc::CLOCK_MONOTONIC);
    t.is("LOCK_PI with a time long ago", past, (Err(libc::ETIMEDOUT), false));
    t.is("the mark stays", word.load(Ordering::SeqCst), tid() | WAITERS);
    t.is("unlocked", unlock(&word).map(|_| word.load(Ordering::SeqCst)), Ok(0));
}

fn deadlocks(t: &mut Checks) {
    const RING: usize = 3;
    let words: Arc<[AtomicU32; RING]> = Arc::new([const { AtomicU32::new(0) }; RING]);
    let held = Arc::new(AtomicI32::new(0));
    let mut threads = Vec::new();
    for at in 1..RING {
        let (words, held) = (Arc::clone(&words), Arc::clone(&held));
        threads.push(start(move || {
            let _ = lock(&words[at]);
            held.fetch_add(1, Ordering::SeqCst);
            until(|| held.load(Ordering::SeqCst) == RING as i32);
            let got = lock(&words[(at + 1) % RING]);
            let _ = unlock(&words[(at + 1) % RING]);
            (got, unlock(&words[at]))
        }));
    }
    let _ = lock(&words[0]);
    held.fetch_add(1, Ordering::SeqCst);
    t.ok("two threads wait", threads.iter().all(|(_, id)| asleep(id)));
    t.fails("the third closes the ring", lock(&words[1]), libc::EDEADLK);
    t.is("and unlocks", unlock(&words[0]), Ok(0));
    for (thread, _) in threads {
        t.is("the others go on", join(thread, (Err(0), Err(0))), (Ok(0), Ok(0)));
    }
}

fn mixed(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let me = tid();
    let _ = lock(&word);
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || lock(&inner).and_then(|_| unlock(&inner)));
    t.ok("a thread waits for the lock", asleep(&id));
    t.fails(
        "woken as a plain one",
        futex(&word, libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0),
        libc::EINVAL,
    );
    let other = AtomicU32::new(0);
    t.fails(
        "requeued as a plain one",
        futex(&word, libc::FUTEX_REQUEUE | PRIVATE, 1, 1, address(&other), 0),
        libc::EINVAL,
    );
    word.store(NOBODY | WAITERS, Ordering::SeqCst);
    t.fails("another owner in the word", lock(&word), libc::EINVAL);
    word.store(me | WAITERS, Ordering::SeqCst);
    t.is("unlocked", unlock(&word), Ok(0));
    t.is("the waiter", join(thread, Err(0)), Ok(0));

    let value = NOBODY;
    word.store(value, Ordering::SeqCst);
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || futex(&inner, libc::FUTEX_WAIT | PRIVATE, value, 0, 0, 0));
    t.ok("a thread waits for a plain futex", asleep(&id));
    t.fails("locked all the same", lock(&word), libc::EINVAL);
    t.fails("tried", try_lock(&word), libc::EINVAL);
    word.store(me, Ordering::SeqCst);
    t.fails("unlocked", unlock(&word), libc::EINVAL);
    t.is("woken", futex(&word, libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), Ok(1));
    t.is("the waiter", join(thread, Err(0)), Ok(0));
}

fn owners_that_end(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let go = Arc::new(AtomicU32::new(0));
    let (inner, hold) = (Arc::clone(&word), Arc::clone(&go));
    let (owner, _) = start(move || {
        let _ = lock(&inner);
        until(|| hold.load(Ordering::SeqCst) == 1);
    });
    t.ok("another thread has the lock", until(|| word.load(Ordering::SeqCst) != 0));
    let mut waiters = Vec::new();
    for _ in 0..2 {
        let inner = Arc::clone(&word);
        let (thread, id) = start(move || {
            let locked = lock(&inner);
            let value = inner.load(Ordering::SeqCst);
            let marks = value & !TID;
            (locked, value & TID == tid(), marks, unlock(&inner))
        });
        t.ok("a thread waits", asleep(&id));
        waiters.push(thread);
    }
    go.store(1, Ordering::SeqCst);
    let _ = owner.join();
    let wants = [(Ok(0), true, WAITERS | DIED, Ok(0)), (Ok(0), true, WAITERS, Ok(0))];
    for (thread, want) in waiters.into_iter().zip(wants) {
        t.is("the lock of the dead", join(thread, (Err(0), false, 0, Err(0))), want);
    }
    t.is("the word is free", word.load(Ordering::SeqCst), 0);
    let inner = Arc::clone(&word);
    let _ = thread::spawn(move || lock(&inner)).join();
    let gone = || lock(&word) == Err(libc::ESRCH);
    t.ok("nobody waited for the dead", until(gone));
}

fn between_processes(t: &mut Checks) {
    let words = shared_words();
    let (word, ready) = (&words[0], &words[4]);
    let shared = |operation| futex(word, operation, 0, 0, 0, 0);
    let child = fork(|| {
        let locked = shared(LOCK) == Ok(0);
        ready.store(1, Ordering::SeqCst);
        let marked = until(|| word.load(Ordering::SeqCst) & WAITERS != 0);
        pause(20);
        i32::from(!(locked && marked && shared(UNLOCK) == Ok(0)))
    });
    t.ok("the child has the lock", until(|| ready.load(Ordering::SeqCst) == 1));
    t.fails("unlocked by the parent", shared(UNLOCK), libc::EPERM);
    t.is("locked by the parent", shared(LOCK), Ok(0));
    t.is("the word", word.load(Ordering::SeqCst), tid() | WAITERS);
    t.is("the child", wait(child), Ended::Exit(0));
    let inherited = fork(|| i32::from(shared(UNLOCK) != Err(libc::EPERM)));
    t.is("a child does not inherit it", wait(inherited), Ended::Exit(0));
    t.is("unlocked", shared(UNLOCK).map(|_| word.load(Ordering::SeqCst)), Ok(0));

    ready.store(0, Ordering::SeqCst);
    let child = fork(|| {
        let _ = shared(LOCK);
        ready.store(1, Ordering::SeqCst);
        pause(20_000);
        1
    });
    t.ok("a child has it", until(|| ready.load(Ordering::SeqCst) == 1));
    let killer = thread::spawn(move || {
        until(|| shared_words_marked(word));
        pause(20);
        call!(kill(child, libc::SIGKILL))
    });
    t.is("the child is killed", shared(LOCK), Ok(0));
    t.is("the word tells", word.load(Ordering::SeqCst), tid() | WAITERS | DIED);
    t.is("killed", join(killer, Err(0)), Ok(0));
    t.is("its end", wait(child), Ended::Signal(libc::SIGKILL));
    t.is("unlocked", shared(UNLOCK).map(|_| word.load(Ordering::SeqCst)), Ok(0));

    ready.store(0, Ordering::SeqCst);
    let child = fork(|| {
        let _ = shared(LOCK);
        ready.store(1, Ordering::SeqCst);
        until(|| shared_words_marked(word));
        pause(20);
        let words = [c"futexes".as_ptr(), c"sleep".as_ptr(), null()];
        let _ = call!(execv(c"/proc/self/exe".as_ptr(), words.as_ptr()));
        1
    });
    t.ok("a child has it", until(|| ready.load(Ordering::SeqCst) == 1));
    t.is("the child runs another program", shared(LOCK), Ok(0));
    t.is("the word tells", word.load(Ordering::SeqCst), tid() | WAITERS | DIED);
    t.is("unlocked", shared(UNLOCK).map(|_| word.load(Ordering::SeqCst)), Ok(0));
    let _ = call!(kill(child, libc::SIGKILL));
    t.is("its end", wait(child), Ended::Signal(libc::SIGKILL));
}

fn shared_words_marked(word: &AtomicU32) -> bool {
    word.load(Ordering::SeqCst) & WAITERS != 0
}

static HANDLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Sends `SIGUSR1` to a thread, whose handler has no `SA_RESTART`.
fn poke(id: &AtomicU32) -> Called {
    let pid = call!(getpid()).unwrap_or(0);
    call!(syscall(libc::SYS_tgkill, pid, id.load(Ordering::SeqCst), libc::SIGUSR1))
}

fn signals(t: &mut Checks) {
    // SAFETY: zeroes are a valid action; the structure lives long enough.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    let _ = call!(sigaction(libc::SIGUSR1, &action, null_mut()));
    let word = Arc::new(AtomicU32::new(0));
    let _ = lock(&word);
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || lock(&inner).and_then(|_| unlock(&inner)));
    t.ok("a thread waits", asleep(&id));
    t.is("a signal", poke(&id), Ok(0));
    t.ok("is handled", until(|| HANDLED.load(Ordering::SeqCst) == 1));
    t.ok("the thread waits again", asleep(&id));
    t.is("unlocked", unlock(&word), Ok(0));
    t.is("the waiter", join(thread, Err(0)), Ok(0));
}

/// A thread in `FUTEX_WAIT_REQUEUE_PI` at `from`, for the lock `to`; it says whether it has it.
fn condition_waiter(
    words: &Arc<[AtomicU32; 4]>,
    milliseconds: i64,
) -> (JoinHandle<(Called, bool)>, Arc<AtomicU32>) {
    let words = Arc::clone(words);
    start(move || {
        let time = later(libc::CLOCK_MONOTONIC, milliseconds);
        let to = address(&words[1]);
        let result = futex(&words[0], WAIT_REQUEUE | PRIVATE, 0, address(&time), to, 0);
        let owns = words[1].load(Ordering::SeqCst) & TID == tid();
        if owns {
            let _ = unlock(&words[1]);
        }
        (result, owns)
    })
}

fn requeue(t: &mut Checks) {
    let words: Arc<[AtomicU32; 4]> = Arc::new([const { AtomicU32::new(0) }; 4]);
    let to = address(&words[1]);
    let requeue = |count: usize| futex(&words[0], CMP_REQUEUE | PRIVATE, 1, count, to, 0);
    let nothing = (Err(0), false);
    t.is("nobody to requeue", requeue(5), Ok(0));
    let waiters: Vec<_> = (0..3).map(|_| condition_waiter(&words, 20_000)).collect();
    t.ok("three wait", waiters.iter().all(|(_, id)| asleep(id)));
    t.fails("woken", futex(&words[0], libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), libc::EINVAL);
    t.is("the lock is free: one gets it, one waits", requeue(1), Ok(2));
    t.is("the rest", until_all(&mut || requeue(5)), Ok(1));
    for (thread, _) in waiters {
        t.is("each gets it", join(thread, nothing), (Ok(0), true));
    }
    let _ = lock(&words[1]);
    let waiters: Vec<_> = (0..3).map(|_| condition_waiter(&words, 20_000)).collect();
    t.ok("three wait", waiters.iter().all(|(_, id)| asleep(id)));
    t.is("the lock is held: one more than asked for", requeue(1), Ok(2));
    t.is("the rest", requeue(0), Ok(1));
    t.is("the word", words[1].load(Ordering::SeqCst), tid() | WAITERS);
    pause(20);
    let _ = unlock(&words[1]);
    for (thread, _) in waiters {
        t.is("each gets it", join(thread, nothing), (Ok(0), true));
    }
    let (thread, id) = condition_waiter(&words, 20_000);
    let waits = asleep(&id);
    t.is("one alone", (waits, requeue(0)), (true, Ok(1)));
    t.is("gets it", join(thread, nothing), (Ok(0), true));

    let (thread, _) = condition_waiter(&words, 50);
    t.is("nobody requeues", join(thread, nothing), (Err(libc::ETIMEDOUT), false));
    let _ = lock(&words[1]);
    let (thread, id) = condition_waiter(&words, 200);
    let waits = asleep(&id);
    t.is("nobody unlocks", (waits, requeue(1)), (true, Ok(1)));
    t.is("so that time runs out", join(thread, nothing), (Err(libc::ETIMEDOUT), false));

    let (thread, id) = condition_waiter(&words, 20_000);
    t.ok("one waits", asleep(&id));
    HANDLED.store(0, Ordering::SeqCst);
    let _ = poke(&id);
    t.ok("is interrupted", until(|| HANDLED.load(Ordering::SeqCst) == 1) && asleep(&id));
    t.is("and is requeued", requeue(1), Ok(1));
    pause(20);
    let _ = poke(&id);
    t.is("and is interrupted again", join(thread, nothing), (Err(libc::EAGAIN), false));
    let _ = unlock(&words[1]);
}

/// Asks again while nothing is moved, for ten seconds at most.
fn until_all(ask: &mut impl FnMut() -> Called) -> Called {
    let mut result = Err(0);
    until(|| {
        result = ask();
        result != Ok(0)
    });
    result
}

fn requeue_errors(t: &mut Checks) {
    let words: Arc<[AtomicU32; 4]> = Arc::new([const { AtomicU32::new(0) }; 4]);
    let (from, to, other) = (&words[0], address(&words[1]), address(&words[2]));
    let cmp = CMP_REQUEUE | PRIVATE;
    t.fails("to itself", futex(from, cmp, 1, 1, address(from), 0), libc::EINVAL);
    t.fails("two to wake", futex(from, cmp, 2, 1, to, 0), libc::EINVAL);
    t.fails("none to wake", futex(from, cmp, 0, 1, to, 0), libc::EINVAL);
    t.fails("a negative count", futex(from, cmp, 1, u32::MAX as usize, to, 0), libc::EINVAL);
    t.fails("another value", futex(from, cmp, 1, 1, to, 1), libc::EAGAIN);
    t.fails("a clock", futex(from, cmp | REALTIME, 1, 1, to, 0), libc::ENOSYS);
    let wait = WAIT_REQUEUE | PRIVATE;
    t.fails("waiting for itself", futex(from, wait, 0, 0, address(from), 0), libc::EINVAL);
    t.fails("another value", futex(from, wait, 1, 0, to, 0), libc::EAGAIN);
    t.fails("a lock at nowhere", futex(from, WAIT_REQUEUE, 0, 0, NOWHERE, 0), libc::EFAULT);
    let (thread, id) = condition_waiter(&words, 20_000);
    t.ok("one waits", asleep(&id));
    t.fails("another lock", futex(from, cmp, 1, 1, other, 0), libc::EINVAL);
    t.fails(
        "requeued as a plain one",
        futex(from, libc::FUTEX_REQUEUE | PRIVATE, 0, 1, other, 0),
        libc::EINVAL,
    );
    words[1].store(id.load(Ordering::SeqCst), Ordering::SeqCst);
    t.fails("a lock that it holds", futex(from, cmp, 1, 1, to, 0), libc::EDEADLK);
    words[1].store(NOBODY, Ordering::SeqCst);
    t.fails("a lock of nobody", futex(from, cmp, 1, 1, to, 0), libc::ESRCH);
    words[1].store(0, Ordering::SeqCst);
    t.is("its own lock", futex(from, cmp, 1, 1, to, 0), Ok(1));
    t.is("the waiter", join(thread, (Err(0), false)), (Ok(0), true));
    let inner = Arc::clone(&words);
    let (thread, id) = start(move || futex(&inner[0], libc::FUTEX_WAIT | PRIVATE, 0, 0, 0, 0));
    t.ok("a plain waiter", asleep(&id));
    t.fails("is not requeued to a lock", futex(from, cmp, 1, 1, to, 0), libc::EINVAL);
    t.is("but woken", futex(from, libc::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), Ok(1));
    t.is("the waiter", join(thread, Err(0)), Ok(0));
}
