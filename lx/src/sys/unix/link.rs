//! The connection to init: a socket, and a handle of its process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use lx_core::control::{Counter, Event, Request};
use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{program, transport};

/// The library's end of the control connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// The init process; none in tests, and on hosts without pidfds, where a kernel that hangs
    /// is not killed.
    init: Option<OwnedFd>,
}

impl Link {
    /// Starts init from the image that this library carries.
    pub(crate) fn start() -> io::Result<(Self, Child)> {
        Self::start_image(crate::image::IMAGE)
    }

    pub(crate) fn start_image(image: &[u8]) -> io::Result<(Self, Child)> {
        let (socket, control) = transport::pair()?;
        let init = program::start(image, control)?;
        let pid = Pid::from_raw(init.id().cast_signed());
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok((Self { socket, init: pidfd }, init))
    }

    /// A link to an init that is a thread of the test.
    #[cfg(test)]
    pub(crate) fn to_test_init(socket: OwnedFd) -> Self {
        Self { socket, init: None }
    }

    /// Sends a request and the descriptors that belong to it.
    pub(crate) fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        transport::send(self.socket.as_fd(), request, descriptors)
    }

    /// Waits for an event; none at the end of the connection.
    pub(crate) fn receive(&self) -> io::Result<Option<Event>> {
        Ok(transport::receive(self.socket.as_fd())?.map(|(event, _)| event))
    }

    /// Lets init live until it has ended itself, as it does anyway.
    pub(crate) fn let_init_end(&self) -> io::Result<()> {
        Ok(())
    }

    /// What the host has counted: nothing that init does not count.
    pub(crate) fn counter(&self) -> Option<Counter> {
        None
    }

    /// Ends the sending direction, which makes init kill every guest and exit. False if the
    /// connection has ended already.
    pub(crate) fn finish(&self) -> bool {
        rustix::net::shutdown(&self.socket, Shutdown::Write).is_ok()
    }

    /// Ends both directions.
    pub(crate) fn close(&self) {
        // An error means that it has ended already.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Kills init and with it the guests, which ask the host to be killed when it dies.
    pub(crate) fn kill_init(&self) {
        if let Some(init) = &self.init {
            // An error means that it is dead already.
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
    }
}
