//! `fork(2)` while other threads write, map and unmap: the child has the memory of one instant.

use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lx_guest_tests::{Checks, Ended, call, in_child, until};

/// Pages that each writer goes through.
const PAGES: usize = 1024;
const WORDS_PER_PAGE: usize = 512;
const ROUNDS: usize = 25;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    let mut t = Checks::new();
    let areas: Vec<&[AtomicU64]> = (0..2).map(|_| area()).collect();
    let pair = Mutex::new((0_u64, 0_u64));
    t.is("room for the writers", areas.iter().map(|area| area.len()).max(), Some(PAGES * 512));
    thread::scope(|scope| {
        scope.spawn(|| upwards(areas[0]));
        scope.spawn(|| downwards(areas[1]));
        scope.spawn(mappings);
        scope.spawn(|| {
            while !STOP.load(Ordering::Relaxed) {
                if let Ok(mut pair) = pair.lock() {
                    pair.0 += 1;
                    pair.1 += 1;
                }
                thread::yield_now();
            }
        });
        let mut ends = Vec::new();
        for _ in 0..ROUNDS {
            let generations = areas.iter().map(|area| area[0].load(Ordering::Relaxed));
            let before: Vec<u64> = generations.collect();
            let moved = |(area, &old): (&&[AtomicU64], &u64)| area[0].load(Ordering::Relaxed) > old;
            until(|| areas.iter().zip(&before).all(moved));
            let held = pair.lock();
            ends.push(in_child(|| {
                let equal = held.as_ref().is_ok_and(|pair| pair.0 == pair.1);
                let first = ordered(page_words(areas[0]));
                let second = ordered(page_words(areas[1]).rev());
                i32::from(!first) | i32::from(!second) << 1 | i32::from(!equal) << 2
            }));
        }
        STOP.store(true, Ordering::Relaxed);
        let without = |bit| move |end: &Ended| matches!(end, Ended::Exit(code) if code & bit == 0);
        t.ok("what one thread wrote upwards", ends.iter().all(without(1)));
        t.ok("what another wrote downwards", ends.iter().all(without(2)));
        t.ok("what a mutex protects", ends.iter().all(without(4)));
    });
    t.end();
}

/// Private memory.
fn area() -> &'static [AtomicU64] {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let len = PAGES * WORDS_PER_PAGE;
    match call!(mmap(null_mut(), len * 8, protection, flags, -1, 0)) {
        // SAFETY: fresh memory of this size, which stays; all values are valid.
        Ok(start) => unsafe { std::slice::from_raw_parts(start as *const AtomicU64, len) },
        Err(_) => &[],
    }
}

fn page_words(area: &[AtomicU64]) -> impl DoubleEndedIterator<Item = &AtomicU64> {
    area.iter().step_by(WORDS_PER_PAGE)
}

/// Writes 1 to all pages in their order, then 2, and so on.
fn upwards(area: &[AtomicU64]) {
    let mut generation = 0;
    while !STOP.load(Ordering::Relaxed) {
        generation += 1;
        page_words(area).for_each(|word| word.store(generation, Ordering::Release));
    }
}

/// The same from the last page to the first.
fn downwards(area: &[AtomicU64]) {
    let mut generation = 0;
    while !STOP.load(Ordering::Relaxed) {
        generation += 1;
        page_words(area).rev().for_each(|word| word.store(generation, Ordering::Release));
    }
}

/// Whether the words are those of one instant, given in the order of writing.
fn ordered<'a>(words: impl Iterator<Item = &'a AtomicU64>) -> bool {
    let mut first = None;
    let mut last = u64::MAX;
    for word in words {
        let value = word.load(Ordering::Relaxed);
        if value > last {
            return false;
        }
        first.get_or_insert(value);
        last = value;
    }
    first.is_some_and(|first| first - last <= 1)
}

/// Changes the address space all the time.
fn mappings() {
    const LEN: usize = 1 << 18;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    while !STOP.load(Ordering::Relaxed) {
        let Ok(start) = call!(mmap(null_mut(), LEN, protection, flags, -1, 0)) else { return };
        // SAFETY: fresh memory.
        unsafe { (start as *mut u8).write_volatile(1) };
        let _ = call!(mprotect(start as *mut libc::c_void, LEN / 2, libc::PROT_NONE));
        let _ = call!(munmap(start as *mut libc::c_void, LEN));
        thread::yield_now();
    }
}
