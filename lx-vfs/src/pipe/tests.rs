use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::fcntl::{FcntlCmd, OpenFlags};
use lx_core::error::SysError;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::PollEvents;

use super::{DEFAULT_CAPACITY, PIPE_BUF, PipeEnd, new_pair};
use crate::test_support::Tester;

const NONBLOCK: OpenFlags = OpenFlags::O_NONBLOCK;

fn errno<T>(errno: Errno) -> Result<T, SysError> {
    Err(SysError::Errno(errno))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn bytes_come_out_as_they_went_in() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    for len in [1, 2, 127, 128, 129, 4096, 5000, 20_000, 65_536] {
        let bytes = pattern(len);
        assert_eq!(t.write(&w, &bytes), Ok(len));
        assert_eq!(t.read(&r, len + 10), Ok(bytes));
        // Moves the ring's start, so that longer ones wrap around.
        assert_eq!(t.write(&w, &[1, 2, 3]), Ok(3));
        assert_eq!(t.read(&r, 2), Ok(vec![1, 2]));
        assert_eq!(t.write(&w, b"x"), Ok(1));
        assert_eq!(t.read(&r, 9), Ok(vec![3, b'x']));
    }
    assert_eq!(t.read(&r, 1), errno(Errno::EAGAIN));
}

#[test]
fn a_full_pipe_takes_nothing_and_a_small_write_is_never_split() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    assert_eq!(t.write(&w, &pattern(DEFAULT_CAPACITY - 100)), Ok(DEFAULT_CAPACITY - 100));
    assert_eq!(t.write(&w, &pattern(101)), errno(Errno::EAGAIN));
    assert_eq!(t.write(&w, &pattern(PIPE_BUF)), errno(Errno::EAGAIN));
    assert_eq!(t.write(&w, &pattern(100)), Ok(100));
    assert_eq!(w.poll(&t.caller()), PollEvents::empty());
    assert_eq!(t.read(&r, PIPE_BUF - 1).map(|b| b.len()), Ok(PIPE_BUF - 1));
    assert_eq!(w.poll(&t.caller()), PollEvents::empty());
    assert_eq!(t.read(&r, 1).map(|b| b.len()), Ok(1));
    assert_eq!(w.poll(&t.caller()), PollEvents::WRITABLE);
    // A long write takes what fits.
    assert_eq!(t.write(&w, &pattern(PIPE_BUF * 2)), Ok(PIPE_BUF));
}

#[test]
fn a_pipe_is_full_when_all_its_pages_are_in_use() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    assert_eq!(t.write(&w, &pattern(7)), Ok(7));
    assert_eq!(t.write(&w, &pattern(DEFAULT_CAPACITY)), Ok(DEFAULT_CAPACITY - PIPE_BUF));
    assert_eq!(w.poll(&t.caller()), PollEvents::empty());
    assert_eq!(t.write(&w, b"x"), errno(Errno::EAGAIN));
    // The page of the first write is free again, and takes as much as any.
    assert_eq!(t.read(&r, 7), Ok(pattern(7)));
    assert_eq!(t.write(&w, &pattern(PIPE_BUF - 1)), Ok(PIPE_BUF - 1));
    assert_eq!(t.write(&w, &pattern(2)), errno(Errno::EAGAIN));
    assert_eq!(t.write(&w, b"x"), Ok(1));
}

#[test]
fn bytes_that_are_put_back_come_first_though_the_pipe_is_full() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    let pipe = r.ops_as::<PipeEnd>().unwrap().pipe();
    let bytes = pattern(DEFAULT_CAPACITY + PIPE_BUF);
    assert_eq!(t.write(&w, &bytes), Ok(DEFAULT_CAPACITY));
    let refill = |len| {
        let taken = t.read(&r, PIPE_BUF + len).unwrap();
        assert_eq!(taken, bytes[..PIPE_BUF + len]);
        assert_eq!(t.write(&w, &bytes[DEFAULT_CAPACITY..]), Ok(PIPE_BUF));
        assert!(pipe.put_back(&taken));
        assert_eq!(pipe.len(), DEFAULT_CAPACITY + PIPE_BUF);
        assert_eq!(t.write(&w, b"x"), errno(Errno::EAGAIN));
    };
    for len in [3, 200] {
        refill(len);
        let mut all = t.read(&r, 2).unwrap();
        while let Ok(more) = t.read(&r, 1000) {
            all.extend(more);
        }
        assert!(all == bytes);
        assert_eq!(t.write(&w, &bytes), Ok(DEFAULT_CAPACITY));
    }
    refill(200);
    let larger = 2 * DEFAULT_CAPACITY;
    assert_eq!(pipe.set_capacity(&t.caller(), larger), Ok(larger));
    assert!(t.read(&r, larger).unwrap() == bytes);
}

#[test]
fn closed_ends() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    assert_eq!(t.write(&w, b"ab"), Ok(2));
    drop(w);
    assert_eq!(r.poll(&t.caller()), PollEvents::READABLE | PollEvents::POLLHUP);
    assert_eq!(t.read(&r, 9), Ok(b"ab".to_vec()));
    assert_eq!(t.read(&r, 9), Ok(vec![]));

    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    drop(r);
    assert_eq!(t.write(&w, b"ab"), errno(Errno::EPIPE));
    assert_eq!(t.write(&w, b""), Ok(0));
    assert_eq!(w.poll(&t.caller()), PollEvents::WRITABLE | PollEvents::POLLERR);
}

#[test]
fn a_failed_copy_out_leaves_the_bytes_in_the_pipe() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    for len in [5, 5000] {
        assert_eq!(t.write(&w, &pattern(len)), Ok(len));
        let mut nowhere = IoDst::guest(t.caller().memory(), 0x5000, len).unwrap();
        assert_eq!(r.read(&t.caller(), &mut nowhere), errno(Errno::EFAULT));
        assert_eq!(t.read(&r, len), Ok(pattern(len)));
        let mut nothing = IoSrc::guest(t.caller().memory(), 0x5000, len).unwrap();
        assert_eq!(w.write(&t.caller(), &mut nothing), errno(Errno::EFAULT));
        assert_eq!(t.read(&r, len), errno(Errno::EAGAIN));
    }
}

#[test]
fn capacity() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), NONBLOCK).unwrap();
    let control = |command, arg| w.ops().control(&t.caller(), &w, command, arg);
    assert_eq!(control(FcntlCmd::F_GETPIPE_SZ, 0), Ok(65_536));
    assert_eq!(t.write(&w, &pattern(6000)), Ok(6000));
    assert_eq!(control(FcntlCmd::F_SETPIPE_SZ, 1), errno(Errno::EBUSY));
    assert_eq!(control(FcntlCmd::F_SETPIPE_SZ, 6000), Ok(8192));
    assert_eq!(t.write(&w, &pattern(4096)), errno(Errno::EAGAIN));
    assert_eq!(control(FcntlCmd::F_SETPIPE_SZ, 200_000), Ok(262_144));
    assert_eq!(t.write(&w, &pattern(200_000)), Ok(200_000));
    assert_eq!(t.read(&r, 6000), Ok(pattern(6000)));
    assert_eq!(t.read(&r, 300_000), Ok(pattern(200_000)));
    // An administrator may have more.
    assert_eq!(control(FcntlCmd::F_SETPIPE_SZ, 2 << 20), Ok(2 << 20));
    assert_eq!(control(FcntlCmd::F_SETPIPE_SZ, (1 << 31) + 1), errno(Errno::EINVAL));
    assert!(r.ops_as::<PipeEnd>().is_some());
}

#[test]
fn a_sleeping_reader_and_a_sleeping_writer_are_woken() {
    const TOTAL: usize = 1 << 20;
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), OpenFlags::empty()).unwrap();
    let writer = std::sync::Mutex::new(Some(w));
    t.spawn(2, move |t| {
        let w = writer.lock().unwrap().take().unwrap();
        let bytes = pattern(TOTAL);
        let mut done = 0;
        // Every kind of write: small, atomic, longer than the pipe.
        for len in [1, 100, 3000, 4096, 70_000].into_iter().cycle() {
            let end = TOTAL.min(done + len);
            assert_eq!(t.write(&w, &bytes[done..end]), Ok(end - done));
            done = end;
            if done == TOTAL {
                break;
            }
        }
    });
    let mut seen = Vec::new();
    for len in [1, 50, 4096, 200, 100_000].into_iter().cycle() {
        let bytes = t.read(&r, len).unwrap();
        if bytes.is_empty() {
            break;
        }
        seen.extend(bytes);
    }
    assert!(seen == pattern(TOTAL));
}

#[test]
fn a_signal_ends_a_wait() {
    let t = Tester::new();
    let (r, _w) = new_pair(&t.caller(), OpenFlags::empty()).unwrap();
    t.interrupt();
    assert_eq!(t.read(&r, 1), Err(SysError::Restart));
}
