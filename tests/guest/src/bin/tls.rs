//! Thread-local storage: each thread finds its own values, whatever interrupts it. The first
//! argument says for how many milliseconds.

use std::arch::asm;
use std::cell::Cell;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use lx_guest_tests::{Checks, call, errno};

const THREADS: u64 = 3;

thread_local! {
    static VALUES: [Cell<u64>; 16] = const { [const { Cell::new(0) }; 16] };
    static BUFFER: Cell<Vec<u64>> = const { Cell::new(Vec::new()) };
}

/// What the C library keeps at the thread pointer: the pointer itself, and the stack guard.
fn thread_pointer() -> [u64; 2] {
    let (pointer, guard);
    // SAFETY: reads the thread's control block.
    unsafe {
        asm!(
            "mov {}, fs:[0]",
            "mov {}, fs:[0x28]",
            out(reg) pointer,
            out(reg) guard,
            options(nostack, readonly),
        );
    }
    [pointer, guard]
}

/// One round of reads and writes: whether all were right.
fn round(seed: u64, number: u64, expected: &mut [u64; 16], pointer: [u64; 2]) -> bool {
    let mut good = thread_pointer() == pointer;
    VALUES.with(|values| {
        for (value, expected) in values.iter().zip(expected.iter_mut()) {
            good &= black_box(value).get() == *expected;
            *expected = expected.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seed ^ number);
            black_box(value).set(*expected);
        }
    });
    // The allocator's caches are thread-local, too.
    let mut buffer = BUFFER.take();
    good &= buffer.iter().all(|&value| value == seed);
    buffer = black_box(vec![seed; (number % 50) as usize]);
    BUFFER.set(buffer);
    if number.is_multiple_of(16) {
        good &= call!(close(-1)).is_err() && errno() == libc::EBADF;
    }
    good
}

/// Counts wrong rounds until the time is over.
fn run(seed: u64, span: Duration) -> (u64, u64) {
    let end = Instant::now() + span;
    let (mut expected, pointer) = ([0; 16], thread_pointer());
    let (mut number, mut wrong) = (0_u64, 0);
    while !number.is_multiple_of(64) || Instant::now() < end {
        number += 1;
        wrong += u64::from(!round(seed, number, &mut expected, pointer));
    }
    (number, wrong)
}

fn main() {
    let milliseconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let span = Duration::from_millis(milliseconds);
    let mut checks = Checks::new();
    let threads: Vec<_> =
        (1..THREADS).map(|seed| thread::spawn(move || run(seed << 40, span))).collect();
    let mut results = vec![run(0, span)];
    results.extend(threads.into_iter().map(|thread| thread.join().unwrap_or((0, 1))));
    for (rounds, wrong) in results {
        checks.ok("a thread has worked", rounds > 0);
        checks.is("wrong rounds", wrong, 0);
    }
    checks.end()
}
