//! The calls that came after `futex(2)`: `futex_waitv`, `futex_wake`, `futex_wait`,
//! `futex_requeue`. What this kernel does not have is said and left out.

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use lx_guest_tests::futex::{PRIVATE, address, asleep, join, later, shared_words, start};
use lx_guest_tests::{Called, Checks, Ended, NOWHERE, call, fork, until, wait};

const WAITV: i64 = 449;
const WAKE: i64 = 454;
const WAIT: i64 = 455;
const REQUEUE: i64 = 456;
/// A word of 32 bits.
const SIZE: u32 = 2;
const OWN: u32 = SIZE | PRIVATE as u32;

/// `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

fn entry(word: &AtomicU32, value: u64, flags: u32) -> Entry {
    Entry { value, address: address(word) as u64, flags, reserved: 0 }
}

fn wake(word: &AtomicU32, mask: u64, count: i32, flags: u32) -> Called {
    call!(syscall(WAKE, word.as_ptr(), mask, count, flags))
}

fn wait_for(
    word: &AtomicU32,
    value: u64,
    mask: u64,
    flags: u32,
    time: usize,
    clock: i32,
) -> Called {
    call!(syscall(WAIT, word.as_ptr(), value, mask, flags, time, clock))
}

fn requeue(entries: &[Entry; 2], flags: u32, wake: i32, moved: i32) -> Called {
    call!(syscall(REQUEUE, entries.as_ptr(), flags, wake, moved))
}

fn wait_any(entries: &[Entry], flags: u32, time: usize, clock: i32) -> Called {
    call!(syscall(WAITV, entries.as_ptr(), entries.len(), flags, time, clock))
}

fn main() {
    let mut t = Checks::new();
    for (name, number, tests) in [
        ("futex_wake", WAKE, waking as fn(&mut Checks)),
        ("futex_wait", WAIT, waiting),
        ("futex_requeue", REQUEUE, requeueing),
        ("futex_waitv", WAITV, waiting_for_many),
    ] {
        if call!(syscall(number, NOWHERE, 0, 0, u32::MAX, 0, 0)) == Err(libc::ENOSYS) {
            println!("# this kernel has no {name}");
        } else {
            tests(&mut t);
        }
    }
    t.end();
}

fn waking(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(0));
    let any = u64::from(u32::MAX);
    t.is("nobody to wake", wake(&word, any, 1, OWN), Ok(0));
    t.fails("no bit", wake(&word, 0, 1, OWN), libc::EINVAL);
    t.fails("too many bits", wake(&word, 1 << 32, 1, OWN), libc::EINVAL);
    for flags in [0, 1, 3, OWN | 16, OWN | 64, OWN | 256, u32::MAX] {
        t.fails("bad flags", wake(&word, any, 1, flags), libc::EINVAL);
    }
    t.fails("an odd word", call!(syscall(WAKE, address(&*word) + 1, any, 1, OWN)), libc::EINVAL);
    t.fails("a word at nowhere", call!(syscall(WAKE, NOWHERE, any, 1, SIZE)), libc::EFAULT);
    let waiters: Vec<_> = [1_u32, 2, 3]
        .map(|mask| {
            let inner = Arc::clone(&word);
            start(move || {
                let op = libc::FUTEX_WAIT_BITSET | PRIVATE;
                call!(syscall(libc::SYS_futex, inner.as_ptr(), op, 0, 0, 0, mask))
            })
        })
        .into();
    t.ok("three wait", waiters.iter().all(|(_, id)| asleep(id)));
    t.is("none is none", wake(&word, any, 0, OWN), Ok(0));
    t.is("by another bit", wake(&word, 4, 9, OWN), Ok(0));
    t.is("by a bit", wake(&word, 2, 9, OWN), Ok(2));
    t.is("less than none is one", wake(&word, any, -5, OWN), Ok(1));
    for (thread, _) in waiters {
        t.is("a waiter", join(thread, Err(0)), Ok(0));
    }
}

static HANDLED: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// A handler of `SIGUSR1` with these flags.
fn handle(flags: i32) {
    // SAFETY: zeroes are a valid action; the structure lives long enough.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = flags;
    let _ = call!(sigaction(libc::SIGUSR1, &action, null_mut()));
    HANDLED.store(0, Ordering::SeqCst);
}

fn poke(id: &AtomicU32) -> bool {
    let pid = call!(getpid()).unwrap_or(0);
    call!(syscall(libc::SYS_tgkill, pid, id.load(Ordering::SeqCst), libc::SIGUSR1)).is_ok()
        && until(|| HANDLED.load(Ordering::SeqCst) == 1)
}

fn waiting(t: &mut Checks) {
    let word = Arc::new(AtomicU32::new(7));
    let any = u64::from(u32::MAX);
    t.fails("another value", wait_for(&word, 8, any, OWN, 0, 0), libc::EAGAIN);
    t.fails("a value too large", wait_for(&word, 7 | 1 << 40, any, OWN, 0, 0), libc::EINVAL);
    t.fails("no bit", wait_for(&word, 7, 0, OWN, 0, 0), libc::EINVAL);
    t.fails("too many bits", wait_for(&word, 7, u64::MAX, OWN, 0, 0), libc::EINVAL);
    t.fails("bad flags", wait_for(&word, 7, any, 1, 0, 0), libc::EINVAL);
    let soon = |clock| later(clock, 40);
    let bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    t.fails("a bad time", wait_for(&word, 7, any, OWN, address(&bad), 1), libc::EINVAL);
    t.fails("a time at nowhere", wait_for(&word, 7, any, OWN, NOWHERE, 1), libc::EFAULT);
    t.fails("an unknown clock", wait_for(&word, 7, any, OWN, NOWHERE, 7), libc::EINVAL);
    t.fails("a clock without a time", wait_for(&word, 8, any, OWN, 0, 7), libc::EAGAIN);
    for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC] {
        let time = soon(clock);
        let over = wait_for(&word, 7, any, OWN, address(&time), clock);
        t.fails("time runs out", over, libc::ETIMEDOUT);
    }
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || wait_for(&inner, 7, 2, OWN, 0, 0));
    t.ok("a thread waits", asleep(&id));
    handle(libc::SA_RESTART);
    t.ok("a signal restarts it", poke(&id) && asleep(&id));
    t.is("by another bit", wake(&word, 1, 1, OWN), Ok(0));
    t.is("woken", wake(&word, 2, 1, OWN), Ok(1));
    t.is("the waiter", join(thread, Err(0)), Ok(0));
    let inner = Arc::clone(&word);
    let (thread, id) = start(move || {
        let time = later(libc::CLOCK_MONOTONIC, 20_000);
        wait_for(&inner, 7, any, OWN, address(&time), libc::CLOCK_MONOTONIC)
    });
    t.ok("a thread waits", asleep(&id));
    handle(0);
    t.ok("a signal", poke(&id));
    t.is("ends it", join(thread, Err(0)), Err(libc::EINTR));
    let shared = &shared_words()[0];
    let child = fork(|| i32::from(wait_for(shared, 0, any, SIZE, 0, 0) != Ok(0)));
    t.ok("between processes", until(|| wake(shared, any, 1, SIZE) == Ok(1)));
    t.is("the child", wait(child), Ended::Exit(0));
}

fn requeueing(t: &mut Checks) {
    let words: Arc<[AtomicU32; 2]> = Arc::new([const { AtomicU32::new(0) }; 2]);
    let pair = [entry(&words[0], 0, OWN), entry(&words[1], 0, OWN)];
    t.is("nobody", requeue(&pair, 0, 1, 1), Ok(0));
    t.fails("flags", requeue(&pair, 1, 1, 1), libc::EINVAL);
    t.fails("a negative count", requeue(&pair, 0, -1, 1), libc::EINVAL);
    t.fails("another one", requeue(&pair, 0, 1, -1), libc::EINVAL);
    let other = [entry(&words[0], 1, OWN), pair[1]];
    t.fails("another value", requeue(&other, 0, 1, 1), libc::EAGAIN);
    let unlike = [pair[0], entry(&words[1], 0, SIZE)];
    t.fails("unlike flags", requeue(&unlike, 0, 1, 1), libc::EINVAL);
    let reserved = [pair[0], Entry { reserved: 1, ..pair[1] }];
    t.fails("reserved", requeue(&reserved, 0, 1, 1), libc::EINVAL);
    t.fails("no entries", call!(syscall(REQUEUE, 0, 0, 1, 1)), libc::EINVAL);
    t.fails("entries at nowhere", call!(syscall(REQUEUE, NOWHERE, 0, 1, 1)), libc::EFAULT);
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let inner = Arc::clone(&words);
            start(move || {
                let op = libc::FUTEX_WAIT | PRIVATE;
                call!(syscall(libc::SYS_futex, inner[0].as_ptr(), op, 0, 0, 0, 0))
            })
        })
        .collect();
    t.ok("four wait", waiters.iter().all(|(_, id)| asleep(id)));
    t.is("to itself", requeue(&[pair[0]; 2], 0, 0, 2), Ok(2));
    t.is("one is woken, two are moved", requeue(&pair, 0, 1, 2), Ok(3));
    t.is("none is woken", requeue(&pair, 0, 0, 0), Ok(0));
    let wake_all =
        |word| call!(syscall(libc::SYS_futex, address(word), libc::FUTEX_WAKE | PRIVATE, 9));
    t.is("two are at the second", wake_all(&words[1]), Ok(2));
    t.is("one at the first", wake_all(&words[0]), Ok(1));
    for (thread, _) in waiters {
        t.is("a waiter", join(thread, Err(0)), Ok(0));
    }
}

fn waiting_for_many(t: &mut Checks) {
    const MOST: usize = 128;
    let words: Arc<Vec<AtomicU32>> = Arc::new((0..MOST).map(|_| AtomicU32::new(3)).collect());
    let all = |words: &[AtomicU32]| -> Vec<Entry> {
        words.iter().map(|word| entry(word, 3, OWN)).collect()
    };
    let two = all(&words[..2]);
    t.fails("flags", wait_any(&two, 1, 0, 0), libc::EINVAL);
    t.fails("none", wait_any(&[], 0, 0, 0), libc::EINVAL);
    t.fails("too many", wait_any(&vec![two[0]; MOST + 1], 0, 0, 0), libc::EINVAL);
    t.fails("no entries", call!(syscall(WAITV, 0, 1, 0, 0, 0)), libc::EINVAL);
    t.fails("entries at nowhere", call!(syscall(WAITV, NOWHERE, 1, 0, 0, 0)), libc::EFAULT);
    t.fails("a bad flag", wait_any(&[two[0], entry(&words[1], 3, 16)], 0, 0, 0), libc::EINVAL);
    t.fails("a bad size", wait_any(&[two[0], entry(&words[1], 3, 1)], 0, 0, 0), libc::EINVAL);
    t.fails("reserved", wait_any(&[Entry { reserved: 1, ..two[0] }], 0, 0, 0), libc::EINVAL);
    t.fails("a large value", wait_any(&[entry(&words[0], 1 << 33, OWN)], 0, 0, 0), libc::EINVAL);
    t.fails("another value", wait_any(&[two[0], entry(&words[1], 4, OWN)], 0, 0, 0), libc::EAGAIN);
    let nowhere = Entry { address: NOWHERE as u64, ..two[0] };
    t.fails("a word at nowhere", wait_any(&[two[0], nowhere], 0, 0, 0), libc::EFAULT);
    let odd = Entry { address: two[1].address + 1, ..two[1] };
    t.fails("an odd word", wait_any(&[two[0], odd], 0, 0, 0), libc::EINVAL);
    t.fails("an unknown clock", wait_any(&two, 0, NOWHERE, 3), libc::EINVAL);
    t.fails("a time at nowhere", wait_any(&two, 0, NOWHERE, 0), libc::EFAULT);
    let time = later(libc::CLOCK_MONOTONIC, 40);
    t.fails("time runs out", wait_any(&two, 0, address(&time), 1), libc::ETIMEDOUT);
    let time = later(libc::CLOCK_REALTIME, 40);
    t.fails("by another clock", wait_any(&two, 0, address(&time), 0), libc::ETIMEDOUT);
    let wake_one = |at: usize| {
        call!(syscall(libc::SYS_futex, words[at].as_ptr(), libc::FUTEX_WAKE | PRIVATE, 9))
    };
    for at in [0, 77, MOST - 1] {
        let inner = Arc::clone(&words);
        let (thread, id) = start(move || wait_any(&all(&inner), 0, 0, 0));
        t.ok("a thread waits for all", asleep(&id));
        t.is("one is woken", wake_one(at), Ok(1));
        t.is("the thread says which", join(thread, Err(0)), Ok(at as i64));
        t.is("and waits for no other", wake_one(5), Ok(0));
    }
    let inner = Arc::clone(&words);
    let (thread, id) = start(move || wait_any(&all(&inner), 0, 0, 0));
    t.ok("a thread waits", asleep(&id));
    handle(libc::SA_RESTART);
    t.ok("a signal restarts it", poke(&id) && asleep(&id));
    t.is("woken", wake_one(9), Ok(1));
    t.is("the waiter", join(thread, Err(0)), Ok(9));
    let inner = Arc::clone(&words);
    let (thread, id) = start(move || wait_any(&all(&inner), 0, 0, 0));
    t.ok("a thread waits", asleep(&id));
    handle(0);
    t.ok("a signal", poke(&id));
    t.is("ends it", join(thread, Err(0)), Err(libc::EINTR));
    let shared = shared_words();
    let child = fork(|| {
        let both = [entry(&shared[0], 0, SIZE), entry(&shared[1], 0, SIZE)];
        wait_any(&both, 0, 0, 0).map_or(99, |at| at as i32)
    });
    let op = libc::FUTEX_WAKE;
    t.ok(
        "between processes",
        until(|| call!(syscall(libc::SYS_futex, shared[1].as_ptr(), op, 1)) == Ok(1)),
    );
    t.is("the child", wait(child), Ended::Exit(1));
}
