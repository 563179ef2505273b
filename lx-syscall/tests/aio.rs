//! Native asynchronous I/O between threads, under many schedules.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::sync::Arc;

use common::{call, load, run};
use host_mock::Guest;
use lx_core::abi::Sysno;

const READ: u32 = 0;
const WRITE: u32 = 1;
const PIPE: u32 = 22;
const IO_SETUP: u32 = 206;
const IO_DESTROY: u32 = 207;
const IO_GETEVENTS: u32 = 208;
const IO_SUBMIT: u32 = 209;
const IO_CANCEL: u32 = 210;
const EVENTFD: u32 = 284;
const EINVAL: i64 = -22;
const EINPROGRESS: i64 = -115;
/// What `pthread_create` asks for, without thread-local storage and ids.
const THREAD: u64 = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

/// Runs `body` in a thread of its own, which says in a pipe that it is over. What it works with
/// is there before: threads that put something into memory would take the same place.
fn spawn(guest: &mut Guest, over: u64, body: impl Fn(&mut Guest) + Send + Sync + 'static) {
    let byte = guest.put(b"x");
    let child = move |guest: &mut Guest| {
        body(guest);
        assert_eq!(call(guest, WRITE, &[over, byte, 1]), 1);
        call(guest, 60, &[0]);
    };
    let tid = guest.clone_call(Sysno(56), &[THREAD, 0x5000_0000], Arc::new(child));
    assert!(tid > 0, "clone: {tid}");
}

fn setup(guest: &mut Guest) -> u64 {
    let id = guest.put(&[0; 8]);
    assert_eq!(call(guest, IO_SETUP, &[8, id]), 0);
    load(guest, id)
}

/// A list of one `struct iocb`, that polls for input; `resfd` counts it. List and operation.
fn poll(guest: &mut Guest, fd: u64, resfd: Option<u64>) -> (u64, u64) {
    let mut iocb = [0_u8; 64];
    iocb[16] = 5;
    iocb[20..24].copy_from_slice(&(fd as u32).to_ne_bytes());
    iocb[24] = 1;
    if let Some(resfd) = resfd {
        iocb[56] = 1;
        iocb[60..64].copy_from_slice(&(resfd as u32).to_ne_bytes());
    }
    let iocb = guest.put(&iocb);
    (guest.put(&iocb.to_ne_bytes()), iocb)
}

fn pipe(guest: &mut Guest) -> (u64, u64) {
    let ends = guest.put(&[0; 8]);
    assert_eq!(call(guest, PIPE, &[ends]), 0);
    let both = load(guest, ends);
    (both & 0xffff_ffff, both >> 32)
}

/// Waits for threads.
fn until_over(guest: &mut Guest, pipe: u64, count: usize) {
    let byte = guest.put(&[0]);
    for _ in 0..count {
        assert_eq!(call(guest, READ, &[pipe, byte, 1]), 1);
    }
}

#[test]
fn a_poll_completes_once_whether_woken_or_cancelled() {
    for seed in 0..200 {
        run(seed, |guest, _| {
            let context = setup(guest);
            let (reader, writer) = pipe(guest);
            let event = call(guest, EVENTFD, &[0]) as u64;
            let (list, iocb) = poll(guest, reader, Some(event));
            let events = guest.put(&[0; 32 * 4]);
            let byte = guest.put(b"x");
            let (over, end) = pipe(guest);
            spawn(guest, end, move |guest| {
                assert_eq!(call(guest, WRITE, &[writer, byte, 1]), 1);
            });
            assert_eq!(call(guest, IO_SUBMIT, &[context, 1, list]), 1);
            let cancelled = call(guest, IO_CANCEL, &[context, iocb, 0]);
            assert!(matches!(cancelled, EINVAL | EINPROGRESS), "{cancelled}");
            assert_eq!(call(guest, IO_GETEVENTS, &[context, 1, 4, events, 0]), 1);
            until_over(guest, over, 1);
            assert_eq!(call(guest, IO_GETEVENTS, &[context, 0, 4, events, 0]), 0);
            assert_eq!(call(guest, IO_DESTROY, &[context]), 0);
        });
    }
}

#[test]
fn destruction_ends_all_waits() {
    for seed in 0..200 {
        run(seed, |guest, _| {
            let context = setup(guest);
            let (reader, writer) = pipe(guest);
            let byte = guest.put(b"x");
            let (over, end) = pipe(guest);
            let (list, _) = poll(guest, reader, None);
            let events = guest.put(&[0; 32 * 4]);
            spawn(guest, end, move |guest| {
                let got = call(guest, IO_GETEVENTS, &[context, 2, 4, events, 0]);
                assert!(matches!(got, EINVAL | 1), "{got}");
            });
            spawn(guest, end, move |guest| {
                let begun = call(guest, IO_SUBMIT, &[context, 1, list]);
                assert!(matches!(begun, EINVAL | 1), "{begun}");
                assert_eq!(call(guest, WRITE, &[writer, byte, 1]), 1);
            });
            assert_eq!(call(guest, IO_DESTROY, &[context]), 0);
            until_over(guest, over, 2);
            assert_eq!(call(guest, IO_DESTROY, &[context]), EINVAL);
        });
    }
}
