//! Many processes, in a row and at once. Without arguments a little of everything; else the name of
//! one part, how often, and how often all of that.

use std::env;
use std::ptr::null_mut;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lx_guest_tests::{Checks, Ended, call, fork, in_child, pipe, read, wait};

/// Name and what is done so often.
type Part = (&'static str, fn(u32) -> Result<(), String>, u32);

const PARTS: [Part; 4] =
    [("forks", forks, 40), ("threaded", threaded, 10), ("large", large, 2), ("many", many, 20)];

/// An error unless the child ended as it should.
fn expect(round: u32, got: Ended, want: i32) -> Result<(), String> {
    if got == Ended::Exit(want) { Ok(()) } else { Err(format!("round {round}: {got:?}")) }
}

/// One child after the other.
fn forks(count: u32) -> Result<(), String> {
    for round in 0..count {
        let status = (round % 100) as i32;
        expect(round, in_child(|| status), status)?;
    }
    Ok(())
}

/// The same, while three other threads work, wait and allocate.
fn threaded(count: u32) -> Result<(), String> {
    static STOP: AtomicBool = AtomicBool::new(false);
    static WORK: AtomicU64 = AtomicU64::new(0);
    let (reader, writer) = pipe();
    let waiting = thread::spawn(move || read::<1>(reader));
    let counting = thread::spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            WORK.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
        }
    });
    let allocating = thread::spawn(|| {
        let mut sum = 0;
        while !STOP.load(Ordering::Relaxed) {
            sum += vec![1_u8; 4096].len();
            thread::yield_now();
        }
        sum
    });
    let result = (0..count).try_for_each(|round| expect(round, in_child(|| 3), 3));
    STOP.store(true, Ordering::Relaxed);
    let _ = call!(close(writer));
    let ended = waiting.join().is_ok() && counting.join().is_ok() && allocating.join().is_ok();
    result.and(if ended { Ok(()) } else { Err("a thread did not end well".to_owned()) })
}

/// A process with much memory: the child finds all of it, and what it changes stays its own.
fn large(count: u32) -> Result<(), String> {
    const WORDS: usize = (64 << 20) / 8;
    const PAGE: usize = 4096 / 8;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let start = call!(mmap(null_mut(), WORDS * 8, protection, flags, -1, 0))
        .map_err(|errno| format!("mmap: {errno}"))?;
    // SAFETY: the mapping was made for this.
    let memory = unsafe { slice::from_raw_parts_mut(start as *mut u64, WORDS) };
    for (number, word) in memory.iter_mut().enumerate() {
        *word = number as u64 + 1;
    }
    let intact = |memory: &[u64]| {
        memory
            .iter()
            .step_by(PAGE)
            .enumerate()
            .all(|(page, &word)| word == (page * PAGE) as u64 + 1)
    };
    let mut result = Ok(());
    for round in 0..count {
        let ended = in_child(|| {
            let good = intact(memory);
            memory.iter_mut().step_by(16 * PAGE).for_each(|word| *word = 0);
            if good { 5 } else { 6 }
        });
        let here = if intact(memory) { Ok(()) } else { Err("the parent's changed".to_owned()) };
        result = expect(round, ended, 5).and(here);
        if result.is_err() {
            break;
        }
    }
    let _ = call!(munmap(start as *mut libc::c_void, WORDS * 8));
    result
}

/// So many at once; all wait for the same pipe to close.
fn many(count: u32) -> Result<(), String> {
    let (reader, writer) = pipe();
    let (ready_reader, ready_writer) = pipe();
    let mut children = Vec::new();
    for _ in 0..count {
        let child = fork(|| {
            let _ = call!(close(writer));
            let _ = call!(write(ready_writer, [1_u8].as_ptr().cast(), 1));
            if read::<1>(reader) == Ok(Vec::new()) { 9 } else { 8 }
        });
        if child < 0 {
            return Err(format!("fork failed with {} children", children.len()));
        }
        children.push(child);
    }
    let mut ready = 0;
    while ready < count {
        match read::<64>(ready_reader) {
            Ok(bytes) if !bytes.is_empty() => ready += bytes.len() as u32,
            other => return Err(format!("{ready} are ready, then {other:?}")),
        }
    }
    let _ = call!(close(writer));
    let result = children.iter().zip(0..).try_for_each(|(&pid, round)| expect(round, wait(pid), 9));
    for fd in [reader, ready_reader, ready_writer] {
        let _ = call!(close(fd));
    }
    result
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let only = arguments.first().map(String::as_str);
    let count = arguments.get(1).and_then(|text| text.parse().ok());
    let times = arguments.get(2).and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut checks = Checks::new();
    for (name, part, few) in PARTS {
        if only.is_none_or(|only| only == name) {
            let result = (0..times).try_for_each(|_| part(count.unwrap_or(few)));
            checks.is(name, result, Ok(()));
        }
    }
    checks.end()
}
