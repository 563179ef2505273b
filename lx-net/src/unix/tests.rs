use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use host_mock::MockHost;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::socket::{MsgFlags, ShutdownHow, SocketKind};
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::error::{Result, SysError};
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::PollEvents;
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;
use lx_core::user_memory::UserMemory;

use super::{UnixAddress, UnixSocket};
use crate::message::{Incoming, Outgoing, Received};
use crate::options::DEFAULT_BUFFER;
use crate::{Family, Socket};

const CAPACITY: usize = DEFAULT_BUFFER as usize;

fn with_caller(test: impl FnOnce(&Caller<'_>)) {
    with_user(1, test);
}

/// Each user has files of their own on the way, and tests run at the same time.
fn with_user(uid: u32, test: impl FnOnce(&Caller<'_>)) {
    let host = MockHost::new(1);
    let (cred, waiter) = (Credentials::new(uid, uid, vec![]), Arc::new(Waiter::new()));
    let rlimits = Rlimits::new();
    test(&Caller { host, identity: &cred, waiter: &waiter, rlimits: &rlimits, tid: 1, tgid: 1 });
}

fn pair(caller: &Caller<'_>, kind: SocketKind) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    UnixSocket::pair(caller, kind, 0).unwrap()
}

fn receive(caller: &Caller<'_>, from: &UnixSocket, len: usize) -> Result<(Vec<u8>, Received)> {
    let mut bytes = vec![0; len];
    let how = Incoming { nonblocking: true, ..Incoming::default() };
    let received = from.receive(caller, &mut IoDst::kernel(&mut bytes), how)?;
    bytes.truncate(received.len);
    Ok((bytes, received))
}

fn read(caller: &Caller<'_>, from: &UnixSocket, len: usize) -> Result<Vec<u8>> {
    receive(caller, from, len).map(|(bytes, _)| bytes)
}

fn send(
    caller: &Caller<'_>,
    to: &UnixSocket,
    bytes: &[u8],
    message: Outgoing<'_>,
) -> Result<usize> {
    let message = Outgoing { nonblocking: true, ..message };
    to.send(caller, &mut IoSrc::kernel(bytes), message, None)
}

fn write(caller: &Caller<'_>, to: &UnixSocket, bytes: &[u8]) -> Result<usize> {
    send(caller, to, bytes, Outgoing::default())
}

/// Waits until a file has that many references. Another test's thread may be the one that drops what
/// is left, or may look for lost sockets just then and hold all that are on their way.
fn has_references(file: &Arc<OpenFile>, count: usize) -> bool {
    (0..1_000_000).any(|_| {
        std::thread::yield_now();
        Arc::strong_count(file) == count
    })
}

fn errno<T>(errno: Errno) -> Result<T> {
    Err(SysError::Errno(errno))
}

#[test]
fn addresses_are_decoded() {
    assert_eq!(UnixAddress::parse(&[1, 0]), Ok(UnixAddress::Unnamed));
    assert_eq!(UnixAddress::parse(b"\x01\0a/b\0rest"), Ok(UnixAddress::Path(b"a/b")));
    assert_eq!(UnixAddress::parse(b"\x01\0\0a\0b"), Ok(UnixAddress::Abstract(b"a\0b")));
    for bad in [&b"\x01"[..], b"\x02\0a", &[1; 111]] {
        assert_eq!(UnixAddress::parse(bad), errno(Errno::EINVAL));
    }
}

#[test]
fn packets_keep_their_bounds() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_SEQPACKET);
        assert_eq!(write(caller, &a, b"first"), Ok(5));
        assert_eq!(write(caller, &a, b"second"), Ok(6));
        assert_eq!(read(caller, &b, 3), Ok(b"fir".to_vec()));
        assert_eq!(read(caller, &b, 100), Ok(b"second".to_vec()));
        assert_eq!(read(caller, &b, 100), errno(Errno::EAGAIN));
        assert_eq!(write(caller, &a, &vec![0; CAPACITY + 1]), errno(Errno::EMSGSIZE));
        a.release(false);
        assert_eq!(read(caller, &b, 100), Ok(vec![]));
    });
}

#[test]
fn bytes_go_both_ways_and_end_when_the_peer_goes() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        assert_eq!(read(caller, &b, 4), errno(Errno::EAGAIN));
        assert_eq!(write(caller, &a, b"hello"), Ok(5));
        assert_eq!(read(caller, &b, 3), Ok(b"hel".to_vec()));
        assert_eq!(write(caller, &b, b"back"), Ok(4));
        assert_eq!(read(caller, &a, 10), Ok(b"back".to_vec()));
        a.release(false);
        assert_eq!(read(caller, &b, 10), Ok(b"lo".to_vec()));
        assert_eq!(read(caller, &b, 10), Ok(vec![]));
        assert_eq!(write(caller, &b, b"x"), errno(Errno::EPIPE));
        assert!(b.poll().contains(PollEvents::POLLHUP | PollEvents::POLLRDHUP));
    });
}

#[test]
fn a_full_queue_takes_no_more_until_it_is_read() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        let bytes = vec![7; CAPACITY + 10];
        assert_eq!(write(caller, &a, &bytes), Ok(CAPACITY));
        assert_eq!(write(caller, &a, b"x"), errno(Errno::EAGAIN));
        assert!(!a.poll().contains(PollEvents::POLLOUT));
        assert_eq!(read(caller, &b, 5000).map(|bytes| bytes.len()), Ok(5000));
        assert_eq!(write(caller, &a, &bytes), Ok(5000));
    });
}

#[test]
fn peeking_keeps_the_bytes_and_shutdown_ends_one_direction() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        assert_eq!(write(caller, &a, b"abc"), Ok(3));
        let mut bytes = [0; 2];
        let how = Incoming { flags: MsgFlags::MSG_PEEK, ..Incoming::default() };
        let peeked = b.receive(caller, &mut IoDst::kernel(&mut bytes), how);
        assert_eq!(peeked.map(|received| received.len), Ok(2));
        assert_eq!(read(caller, &b, 9), Ok(b"abc".to_vec()));
        a.shut_down(ShutdownHow::SHUT_WR);
        assert_eq!(read(caller, &b, 9), Ok(vec![]));
        assert_eq!(write(caller, &a, b"x"), errno(Errno::EPIPE));
        assert_eq!(write(caller, &b, b"still"), Ok(5));
        assert_eq!(read(caller, &a, 9), Ok(b"still".to_vec()));
    });
}

#[test]
fn files_come_with_the_first_byte_and_end_the_read() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        let file = Socket::open(
            caller,
            Family::Unix(UnixSocket::new(SocketKind::SOCK_DGRAM, 0).unwrap()),
            OpenFlags::empty(),
        );
        let message = Outgoing { rights: vec![Arc::clone(&file)], ..Outgoing::default() };
        write(caller, &a, b"before ").unwrap();
        send(caller, &a, b"with", message).unwrap();
        write(caller, &a, b" after").unwrap();
        let (bytes, received) = receive(caller, &b, 100).unwrap();
        assert_eq!((bytes, received.rights.len()), (b"before with".to_vec(), 1));
        drop(received);
        assert_eq!(read(caller, &b, 100), Ok(b" after".to_vec()));
        assert!(has_references(&file, 1));
    });
}

#[test]
fn files_stay_with_bytes_that_cannot_be_stored() {
    with_caller(|caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        let other = UnixSocket::new(SocketKind::SOCK_DGRAM, 0).unwrap();
        let file = Socket::open(caller, Family::Unix(other), OpenFlags::empty());
        let message = Outgoing { rights: vec![file], ..Outgoing::default() };
        send(caller, &a, b"with", message).unwrap();
        let how = Incoming { nonblocking: true, ..Incoming::default() };
        for len in [4, 2] {
            let mut nowhere = IoDst::guest(UserMemory::new(caller.host), 8, len).unwrap();
            let lost = b.receive(caller, &mut nowhere, how).map(|received| received.len);
            assert_eq!(lost, Err(SysError::Errno(Errno::EFAULT)));
        }
        write(caller, &a, b" after").unwrap();
        let (bytes, received) = receive(caller, &b, 100).unwrap();
        assert_eq!((bytes, received.rights.len()), (b"with".to_vec(), 1));
    });
}

#[test]
fn files_that_nobody_receives_are_dropped_one_after_the_other() {
    with_user(2, |caller| {
        let mut last: Option<Arc<OpenFile>> = None;
        // Each holds the one before in its queue: dropped recursively, they would need a deep stack.
        for _ in 0..1000 {
            let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
            if let Some(file) = last.take() {
                let message = Outgoing { rights: vec![file], ..Outgoing::default() };
                send(caller, &a, b"x", message).unwrap();
            }
            last = Some(Socket::open(caller, Family::Unix(b), OpenFlags::empty()));
        }
        drop(last);
    });
}

#[test]
fn more_files_on_their_way_than_may_be_open_are_refused() {
    with_user(3, |caller| {
        let (a, b) = pair(caller, SocketKind::SOCK_DGRAM);
        let file = Socket::open(
            caller,
            Family::Unix(UnixSocket::new(SocketKind::SOCK_DGRAM, 0).unwrap()),
            OpenFlags::empty(),
        );
        let mut sent = 0;
        let refused = loop {
            let rights = vec![Arc::clone(&file); 253];
            match send(caller, &a, b"x", Outgoing { rights, ..Outgoing::default() }) {
                Ok(_) => sent += 253,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, SysError::Errno(Errno::ETOOMANYREFS));
        assert!(sent > 1024 && sent < 1024 + 253 * 2, "{sent}");
        b.release(false);
        assert!(has_references(&file, 1));
    });
}

#[test]
fn sockets_in_each_others_queues_go_when_nobody_holds_them() {
    with_user(4, |caller| {
        let open = |socket| Socket::open(caller, Family::Unix(socket), OpenFlags::empty());
        let witness = open(UnixSocket::new(SocketKind::SOCK_DGRAM, 0).unwrap());
        let (a, b) = pair(caller, SocketKind::SOCK_STREAM);
        let (a_file, b_file) = (open(Arc::clone(&a)), open(Arc::clone(&b)));
        for (from, file) in [(&a, &a_file), (&b, &b_file)] {
            let rights = vec![Arc::clone(file), Arc::clone(&witness)];
            send(caller, from, b"x", Outgoing { rights, ..Outgoing::default() }).unwrap();
        }
        drop((a, b, a_file));
        assert!(has_references(&witness, 3), "one end is held, and leads to the other");
        drop(b_file);
        // It is noticed when another socket is closed, if nobody else is at it just then.
        let noticed = (0..100_000).any(|_| {
            drop(open(UnixSocket::new(SocketKind::SOCK_STREAM, 0).unwrap()));
            std::thread::yield_now();
            Arc::strong_count(&witness) == 1
        });
        assert!(noticed);
    });
}
