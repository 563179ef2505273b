//! Connected pairs of stream sockets, `socketpair(2)`, `unix(7)`.

use alloc::sync::Arc;

use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::socket::{MsgFlags, ShutdownHow, Ucred};
use lx_core::abi::stat::{S_IFSOCK, Stat, makedev};
use lx_core::caller::Caller;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};

use core::sync::atomic::{AtomicU64, Ordering};

use crate::channel::Channel;

/// Device number of sockets (Linux: `sockfs`).
const SOCKET_DEV: u64 = makedev(0, 8);

static NEXT_INO: AtomicU64 = AtomicU64::new(32_768);

/// One end of a connected pair.
pub struct StreamSocket {
    ino: u64,
    receive: Arc<Channel>,
    send: Arc<Channel>,
    peer: Ucred,
}

/// Two connected sockets; `flags` may hold `O_NONBLOCK`. With `packets` they are of the kind
/// `SOCK_SEQPACKET`, which receives at once what was sent at once.
pub fn new_pair(
    caller: &Caller<'_>,
    flags: OpenFlags,
    packets: bool,
) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let channel = || Arc::new(if packets { Channel::of_packets() } else { Channel::default() });
    let (there, back) = (channel(), channel());
    let cred = caller.cred();
    let peer = Ucred { pid: caller.tgid.cast_unsigned(), uid: cred.euid, gid: cred.egid };
    let status = OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK);
    let end = |receive: &Arc<Channel>, send: &Arc<Channel>| {
        let socket = StreamSocket {
            ino: NEXT_INO.fetch_add(1, Ordering::Relaxed),
            receive: Arc::clone(receive),
            send: Arc::clone(send),
            peer,
        };
        OpenFile::new(Arc::new(socket), status, None)
    };
    (end(&back, &there), end(&there, &back))
}

impl StreamSocket {
    /// The socket behind an open file description.
    ///
    /// # Errors
    /// `ENOTSOCK`.
    pub fn of(file: &OpenFile) -> Result<&Self> {
        file.ops_as::<Self>().ok_or_else(|| Errno::ENOTSOCK.into())
    }

    /// Whether it is of the kind `SOCK_SEQPACKET`.
    pub fn keeps_packets(&self) -> bool {
        self.receive.keeps_packets()
    }

    /// Who made the other end, `SO_PEERCRED`.
    pub fn peer(&self) -> Ucred {
        self.peer
    }

    /// `send(2)`.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EFAULT`; `EOPNOTSUPP` for `MSG_OOB`.
    pub fn send(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        src: &mut IoSrc<'_>,
        flags: MsgFlags,
    ) -> Result<usize> {
        if flags.contains(MsgFlags::MSG_OOB) {
            lx_core::unsupported::note("send MSG_OOB", flags.bits().into());
            return Err(Errno::EOPNOTSUPP.into());
        }
        let nonblocking = file.is_nonblocking() || flags.contains(MsgFlags::MSG_DONTWAIT);
        self.send.send(caller, src, nonblocking)
    }

    /// `recv(2)`.
    ///
    /// # Errors
    /// `EAGAIN`, `EFAULT`; `EINVAL` for `MSG_OOB`.
    pub fn receive(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        dst: &mut IoDst<'_>,
        flags: MsgFlags,
    ) -> Result<usize> {
        if flags.contains(MsgFlags::MSG_OOB) {
            lx_core::unsupported::note("recv MSG_OOB", flags.bits().into());
            return Err(Errno::EINVAL.into());
        }
        let nonblocking = file.is_nonblocking() || flags.contains(MsgFlags::MSG_DONTWAIT);
        let peek = flags.contains(MsgFlags::MSG_PEEK);
        let mut total = self.receive.receive(caller, dst, nonblocking, peek)?;
        // MSG_WAITALL: until the buffer is full, the sender is done or a signal arrives.
        let all = flags.contains(MsgFlags::MSG_WAITALL) && !peek && !self.keeps_packets();
        while all && total > 0 && dst.remaining() > 0 {
            match self.receive.receive(caller, dst, nonblocking, false) {
                Ok(count) if count > 0 => total += count,
                _ => break,
            }
        }
        Ok(total)
    }

    /// `shutdown(2)`.
    ///
    /// # Errors
    /// `EINVAL` for an unknown `how`.
    pub fn shut_down(&self, how: ShutdownHow) -> Result<()> {
        let (reading, writing) = match how {
            ShutdownHow::SHUT_RD => (true, false),
            ShutdownHow::SHUT_WR => (false, true),
            ShutdownHow::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL.into()),
        };
        if reading {
            self.receive.refuse();
            self.receive.end();
        }
        if writing {
            self.send.end();
        }
        Ok(())
    }
}

impl Drop for StreamSocket {
    fn drop(&mut self) {
        self.send.end();
        self.receive.refuse();
    }
}

impl FileOps for StreamSocket {
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        self.receive(caller, file, dst, MsgFlags::empty())
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        self.send(caller, file, src, MsgFlags::empty())
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let (readable, ended) = self.receive.readable();
        let writable = self.send.writable();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, readable);
        events.set(PollEvents::POLLRDHUP, ended);
        events.set(PollEvents::WRITABLE, writable);
        events.set(PollEvents::POLLHUP, ended && self.send.is_over());
        events
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.receive) as Arc<dyn PollSource>);
        table.register(Arc::clone(&self.send) as Arc<dyn PollSource>);
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        let cred = caller.cred();
        Ok(Stat {
            st_dev: SOCKET_DEV,
            st_ino: self.ino,
            st_nlink: 1,
            st_mode: S_IFSOCK | 0o777,
            st_uid: cred.fsuid,
            st_gid: cred.fsgid,
            st_blksize: 4096,
            ..Stat::default()
        })
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.receive.len())
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;

    use host_mock::MockHost;
    use lx_core::abi::Errno;
    use lx_core::abi::fcntl::OpenFlags;
    use lx_core::abi::socket::{MsgFlags, ShutdownHow};
    use lx_core::caller::Caller;
    use lx_core::cred::Credentials;
    use lx_core::error::{Result, SysError};
    use lx_core::file::OpenFile;
    use lx_core::io::{IoDst, IoSrc};
    use lx_core::poll::PollEvents;
    use lx_core::rlimit::Rlimits;
    use lx_core::sync::Waiter;

    use super::{StreamSocket, new_pair};
    use crate::channel::CAPACITY;

    /// Runs `test` with a caller and a non-blocking pair.
    fn with_pair(test: impl FnOnce(&Caller<'_>, Arc<OpenFile>, Arc<OpenFile>)) {
        let host = MockHost::new(1);
        let (cred, waiter) = (Credentials::new(0, 0, vec![]), Arc::new(Waiter::new()));
        let rlimits = Rlimits::new();
        let caller =
            Caller { host, identity: &cred, waiter: &waiter, rlimits: &rlimits, tid: 1, tgid: 1 };
        let (a, b) = new_pair(&caller, OpenFlags::O_NONBLOCK, false);
        test(&caller, a, b);
    }

    #[test]
    fn packets_keep_their_bounds() {
        with_pair(|caller, _, _| {
            let (a, b) = new_pair(caller, OpenFlags::O_NONBLOCK, true);
            assert_eq!(write(caller, &a, b"first"), Ok(5));
            assert_eq!(write(caller, &a, b"second"), Ok(6));
            assert_eq!(read(caller, &b, 3), Ok(b"fir".to_vec()));
            assert_eq!(read(caller, &b, 100), Ok(b"second".to_vec()));
            assert_eq!(read(caller, &b, 100), errno(Errno::EAGAIN));
            assert_eq!(write(caller, &a, &vec![0; CAPACITY + 1]), errno(Errno::EMSGSIZE));
            drop(a);
            assert_eq!(read(caller, &b, 100), Ok(vec![]));
        });
    }

    fn read(caller: &Caller<'_>, file: &OpenFile, len: usize) -> Result<vec::Vec<u8>> {
        let mut bytes = vec![0; len];
        let count = file.read(caller, &mut IoDst::kernel(&mut bytes))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn write(caller: &Caller<'_>, file: &OpenFile, bytes: &[u8]) -> Result<usize> {
        file.write(caller, &mut IoSrc::kernel(bytes))
    }

    fn errno<T>(errno: Errno) -> Result<T> {
        Err(SysError::Errno(errno))
    }

    #[test]
    fn bytes_go_both_ways_and_end_when_the_peer_goes() {
        with_pair(|caller, a, b| {
            assert_eq!(read(caller, &b, 4), errno(Errno::EAGAIN));
            assert_eq!(write(caller, &a, b"hello"), Ok(5));
            assert_eq!(read(caller, &b, 3), Ok(b"hel".to_vec()));
            assert_eq!(write(caller, &b, b"back"), Ok(4));
            assert_eq!(read(caller, &a, 10), Ok(b"back".to_vec()));
            drop(a);
            assert_eq!(read(caller, &b, 10), Ok(b"lo".to_vec()));
            assert_eq!(read(caller, &b, 10), Ok(vec![]));
            assert_eq!(write(caller, &b, b"x"), errno(Errno::EPIPE));
            assert!(b.poll(caller).contains(PollEvents::POLLHUP | PollEvents::POLLRDHUP));
        });
    }

    #[test]
    fn a_full_queue_takes_no_more_until_it_is_read() {
        with_pair(|caller, a, b| {
            let bytes = vec![7; CAPACITY + 10];
            assert_eq!(write(caller, &a, &bytes), Ok(CAPACITY));
            assert_eq!(write(caller, &a, b"x"), errno(Errno::EAGAIN));
            assert!(!a.poll(caller).contains(PollEvents::POLLOUT));
            assert_eq!(read(caller, &b, 5000).map(|bytes| bytes.len()), Ok(5000));
            assert_eq!(write(caller, &a, &bytes), Ok(5000));
        });
    }

    #[test]
    fn peeking_keeps_the_bytes_and_shutdown_ends_one_direction() {
        with_pair(|caller, a, b| {
            assert_eq!(write(caller, &a, b"abc"), Ok(3));
            let mut bytes = [0; 2];
            let socket = StreamSocket::of(&b).unwrap();
            let peek = MsgFlags::MSG_PEEK;
            assert_eq!(socket.receive(caller, &b, &mut IoDst::kernel(&mut bytes), peek), Ok(2));
            assert_eq!(read(caller, &b, 9), Ok(b"abc".to_vec()));
            StreamSocket::of(&a).unwrap().shut_down(ShutdownHow::SHUT_WR).unwrap();
            assert_eq!(read(caller, &b, 9), Ok(vec![]));
            assert_eq!(write(caller, &a, b"x"), errno(Errno::EPIPE));
            assert_eq!(write(caller, &b, b"still"), Ok(5));
            assert_eq!(read(caller, &a, 9), Ok(b"still".to_vec()));
        });
    }
}
