//! Futexes between threads, under many schedules.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{call, load, run, timespec};
use host_mock::Guest;
use lx_core::abi::Sysno;

const FUTEX: u32 = 202;
const WAIT: u64 = 0;
const WAKE: u64 = 1;
const CMP_REQUEUE: u64 = 4;
const WAKE_OP: u64 = 5;
const LOCK_PI: u64 = 6;
const UNLOCK_PI: u64 = 7;
const WAIT_BITSET: u64 = 9;
const PRIVATE: u64 = 128;
const ESRCH: i64 = -3;
const EAGAIN: i64 = -11;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;
const ETIMEDOUT: i64 = -110;
/// What `pthread_create` asks for, without thread-local storage and ids.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

fn word(guest: &Guest, addr: u64) -> u32 {
    u32::from_ne_bytes(guest.read(addr, 4).try_into().expect("four bytes"))
}

fn set(guest: &Guest, addr: u64, value: u32) {
    guest.write(addr, &value.to_ne_bytes());
}

fn spawn(guest: &mut Guest, body: impl Fn(&mut Guest) + Send + Sync + 'static) {
    let child = move |guest: &mut Guest| {
        body(guest);
        call(guest, 60, &[0]);
    };
    let tid = guest.clone_call(Sysno(56), &[THREAD, 0x5000_0000], std::sync::Arc::new(child));
    assert!(tid > 0, "clone: {tid}");
}

#[test]
fn two_threads_take_turns() {
    for seed in 0..100 {
        run(seed, |guest, _| {
            let turn = guest.put(&[0; 8]);
            let play = move |guest: &mut Guest, me: u32| {
                for _ in 0..20 {
                    loop {
                        let now = word(guest, turn);
                        if now == me {
                            break;
                        }
                        let result = call(guest, FUTEX, &[turn, WAIT | PRIVATE, u64::from(now), 0]);
                        assert!(result == 0 || result == EAGAIN, "{result}");
                    }
                    set(guest, turn, 1 - me);
                    call(guest, FUTEX, &[turn, WAKE | PRIVATE, 1]);
                }
            };
            spawn(guest, move |guest| play(guest, 1));
            play(guest, 0);
        });
    }
}

#[test]
fn requeued_threads_wake_on_the_second_futex() {
    for seed in 0..50 {
        run(seed, |guest, _| {
            let words = guest.put(&[0; 64]);
            let (first, second, count) = (words, words + 8, words + 16);
            for _ in 0..4 {
                spawn(guest, move |guest| {
                    assert_eq!(call(guest, FUTEX, &[first, WAIT | PRIVATE, 0, 0]), 0);
                    let arrived = word(guest, count) + 1;
                    set(guest, count, arrived);
                    call(guest, FUTEX, &[count, WAKE | PRIVATE, 1]);
                });
            }
            // One is woken, the others move; those that were not there yet come with the next call.
            let mut moved = 0;
            while moved < 4 {
                let result = call(guest, FUTEX, &[first, CMP_REQUEUE | PRIVATE, 0, 9, second, 0]);
                assert!(result >= 0, "{result}");
                moved += result;
                call(guest, 24, &[]);
            }
            let wrong = call(guest, FUTEX, &[first, CMP_REQUEUE | PRIVATE, 0, 9, second, 5]);
            assert_eq!(wrong, EAGAIN);
            assert_eq!(call(guest, FUTEX, &[second, WAKE | PRIVATE, 9]), 4);
            loop {
                match word(guest, count) {
                    4 => break,
                    now => call(guest, FUTEX, &[count, WAIT | PRIVATE, u64::from(now), 0]),
                };
            }
        });
    }
}

#[test]
fn timeouts() {
    run(1, |guest, machine| {
        use lx_core::host::HostClock;
        let word = guest.put(&[0; 8]);
        let second = timespec(guest, 1, 0);
        let before = machine.host.monotonic();
        assert_eq!(call(guest, FUTEX, &[word, WAIT | PRIVATE, 0, second]), ETIMEDOUT);
        let waited = machine.host.monotonic() - before;
        assert!((1_000_000_000..1_100_000_000).contains(&waited), "{waited}");

        // Absolute, by the clock that shows the date.
        let now = machine.host.realtime() as i64;
        let later = timespec(guest, now / 1_000_000_000 + 2, 0);
        let op = WAIT_BITSET | PRIVATE | 256;
        assert_eq!(call(guest, FUTEX, &[word, op, 0, later, 0, u64::MAX]), ETIMEDOUT);
        assert!(machine.host.realtime() as i64 >= (now / 1_000_000_000 + 2) * 1_000_000_000);
    });
}

#[test]
fn errors() {
    run(1, |guest, _| {
        let word = guest.put(&[0; 16]);
        let bad = timespec(guest, 0, 1_000_000_000);
        assert_eq!(call(guest, FUTEX, &[word, WAIT | PRIVATE, 1, 0]), EAGAIN);
        assert_eq!(call(guest, FUTEX, &[word + 1, WAIT | PRIVATE, 0, 0]), EINVAL);
        assert_eq!(call(guest, FUTEX, &[word, WAIT | PRIVATE, 0, bad]), EINVAL);
        assert_eq!(call(guest, FUTEX, &[word, WAIT_BITSET | PRIVATE, 0, 0, 0, 0]), EINVAL);
        assert_eq!(call(guest, FUTEX, &[word, 14 | PRIVATE, 0, 0]), ENOSYS);
        assert_eq!(call(guest, FUTEX, &[word, WAIT | PRIVATE | 256, 0, 0]), ENOSYS);
        assert_eq!(call(guest, FUTEX, &[8, WAIT | PRIVATE, 0, 0]), -14);
        assert_eq!(call(guest, FUTEX, &[word, WAKE | PRIVATE, 1]), 0);
    });
}

#[test]
fn a_lock_with_priority_inheritance_has_one_owner() {
    for seed in 0..100 {
        run(seed, |guest, _| {
            let words = guest.put(&[0; 64]);
            let (lock, count, ended) = (words, words + 8, words + 16);
            let body = move |guest: &mut Guest| {
                for _ in 0..10 {
                    assert_eq!(call(guest, FUTEX, &[lock, LOCK_PI | PRIVATE, 0, 0]), 0);
                    let before = word(guest, count);
                    call(guest, 24, &[]);
                    set(guest, count, before + 1);
                    assert_eq!(call(guest, FUTEX, &[lock, UNLOCK_PI | PRIVATE]), 0);
                }
                assert_eq!(call(guest, FUTEX, &[lock, LOCK_PI | PRIVATE, 0, 0]), 0);
                let before = word(guest, ended);
                set(guest, ended, before + 1);
            };
            // Each ends with the lock, which the next one finds orphaned.
            for _ in 0..3 {
                spawn(guest, body);
            }
            let mut orphaned = 0;
            loop {
                match call(guest, FUTEX, &[lock, LOCK_PI | PRIVATE, 0, 0]) {
                    0 => {}
                    // Nobody waited for it when its owner ended.
                    ESRCH => {
                        set(guest, lock, 0);
                        continue;
                    }
                    other => panic!("{other}"),
                }
                orphaned += u32::from(word(guest, lock) & 0x4000_0000 != 0);
                let over = word(guest, ended) == 3;
                assert_eq!(call(guest, FUTEX, &[lock, UNLOCK_PI | PRIVATE]), 0);
                if over {
                    break;
                }
            }
            assert_eq!(word(guest, count), 30);
            assert!(orphaned <= 3, "{orphaned}");
        });
    }
}

#[test]
fn wake_op_changes_the_second_word() {
    run(1, |guest, _| {
        let words = guest.put(&[7; 16]);
        set(guest, words + 8, 5);
        // Adds 3, compares the old value with 5.
        let op = (1 << 28) | (3 << 12) | 5;
        assert_eq!(call(guest, FUTEX, &[words, WAKE_OP | PRIVATE, 1, 1, words + 8, op]), 0);
        assert_eq!(word(guest, words + 8), 8);
    });
}

#[test]
fn the_robust_list_of_a_thread_releases_its_lock() {
    run(3, |guest, _| {
        // Head, then one entry with its futex word 16 bytes behind.
        let memory = guest.put(&[0; 64]);
        let (entry, lock) = (memory + 24, memory + 40);
        let head = [entry, 16, 0].map(u64::to_ne_bytes).concat();
        guest.write(memory, &head);
        guest.write(entry, &memory.to_ne_bytes());
        spawn(guest, move |guest| {
            let tid = call(guest, 186, &[]) as u32;
            set(guest, lock, tid | 0x8000_0000);
            assert_eq!(call(guest, 273, &[memory, 24]), 0);
        });
        loop {
            let value = word(guest, lock);
            if value & 0x4000_0000 != 0 {
                assert_eq!(value, 0xc000_0000);
                break;
            }
            call(guest, 24, &[]);
        }
        assert_eq!(load(guest, memory), entry);
        assert_eq!(call(guest, 273, &[memory, 23]), EINVAL);
    });
}
