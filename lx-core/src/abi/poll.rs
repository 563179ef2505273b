//! Readiness: `asm-generic/poll.h`, `linux/eventpoll.h`; poll(2), epoll(7), select(2).

abi_flags! {
    /// What poll(2) waits for and reports. epoll's low bits mean the same.
    pub struct PollEvents: u32, checked by general {
        POLLIN = 0x0001,
        POLLPRI = 0x0002,
        POLLOUT = 0x0004,
        POLLERR = 0x0008,
        POLLHUP = 0x0010,
        POLLNVAL = 0x0020,
        POLLRDNORM = 0x0040,
        POLLRDBAND = 0x0080,
        POLLWRNORM = 0x0100,
        POLLWRBAND = 0x0200,
        POLLMSG = 0x0400,
        POLLRDHUP = 0x2000,
    }
}

impl PollEvents {
    /// Reported whether asked for or not.
    pub const ALWAYS: Self = Self::POLLERR.union(Self::POLLHUP);
    /// What makes a descriptor readable to select(2).
    pub const SELECT_IN: Self = Self::POLLIN
        .union(Self::POLLRDNORM)
        .union(Self::POLLRDBAND)
        .union(Self::POLLHUP)
        .union(Self::POLLERR)
        .union(Self::POLLNVAL);
    /// What makes a descriptor writable to select(2).
    pub const SELECT_OUT: Self = Self::POLLOUT
        .union(Self::POLLWRNORM)
        .union(Self::POLLWRBAND)
        .union(Self::POLLERR)
        .union(Self::POLLNVAL);
    /// What is exceptional to select(2).
    pub const SELECT_EX: Self = Self::POLLPRI.union(Self::POLLNVAL);
    /// Readable data.
    pub const READABLE: Self = Self::POLLIN.union(Self::POLLRDNORM);
    /// Room to write.
    pub const WRITABLE: Self = Self::POLLOUT.union(Self::POLLWRNORM);
    /// Room to write, as sockets other than TCP's say it.
    pub const WRITABLE_SOCKET: Self = Self::WRITABLE.union(Self::POLLWRBAND);
}

abi_struct! {
    /// `struct pollfd`. The events are the low half of [`PollEvents`].
    #[derive(PartialEq, Eq)]
    pub struct PollFd = linux_raw_sys::general::pollfd {
        /// Ignored if negative.
        pub fd: i32,
        pub events: u16,
        pub revents: u16,
    }
}

abi_flags! {
    /// What an epoll entry waits for, and how.
    pub struct EpollEvents: u32, checked by general {
        EPOLLIN = 0x0001,
        EPOLLPRI = 0x0002,
        EPOLLOUT = 0x0004,
        EPOLLERR = 0x0008,
        EPOLLHUP = 0x0010,
        EPOLLNVAL = 0x0020,
        EPOLLRDNORM = 0x0040,
        EPOLLRDBAND = 0x0080,
        EPOLLWRNORM = 0x0100,
        EPOLLWRBAND = 0x0200,
        EPOLLMSG = 0x0400,
        EPOLLRDHUP = 0x2000,
        EPOLLEXCLUSIVE = 0x1000_0000,
        EPOLLWAKEUP = 0x2000_0000,
        EPOLLONESHOT = 0x4000_0000,
        EPOLLET = 0x8000_0000,
    }
}

impl EpollEvents {
    /// The bits that are options of the entry, not events.
    pub const OPTIONS: Self = Self::EPOLLEXCLUSIVE
        .union(Self::EPOLLWAKEUP)
        .union(Self::EPOLLONESHOT)
        .union(Self::EPOLLET);

    /// The events, without the options.
    #[must_use]
    pub const fn poll_events(self) -> PollEvents {
        PollEvents::from_bits_truncate(self.bits())
    }
}

abi_flags! {
    /// Flags of epoll_create1(2).
    pub struct EpollCreateFlags: u32, checked by general { EPOLL_CLOEXEC = 0o2_000_000 }
}

strict_flags_arg!(EpollCreateFlags: u32);
trace_flags!(PollEvents, EpollEvents);

abi_values! {
    /// The operation of epoll_ctl(2).
    pub struct EpollCtl: u32, checked by general {
        EPOLL_CTL_ADD = 1,
        EPOLL_CTL_DEL = 2,
        EPOLL_CTL_MOD = 3,
    }
}

abi_struct! {
    /// `struct epoll_event`, packed on x86-64.
    #[derive(PartialEq, Eq)]
    pub packed struct EpollEvent [size 12] {
        @0 pub events: u32,
        @4 pub data: u64,
    }
}

/// `FD_SETSIZE`: how many descriptors the C library's `fd_set` holds. The kernel has no such limit.
pub const FD_SETSIZE: usize = 1024;
