//! The connection to init: its standard input takes requests, its standard output brings events.
//!
//! Each message is preceded by its length, and followed by the handles that belong to it. A
//! handle travels as its value in init's process, where it was opened for init.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::{Mutex, PoisonError};

use lx_core::control::{self, Counter, Event, MAX_MESSAGE, Request};
use lx_windows::Job;

use super::{AsHandle, BorrowedHandle, OwnedHandle, program};

/// The library's end of the control connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// The process that handles are opened in.
    process: OwnedHandle,
    /// Init and everything that it starts.
    job: Job,
    requests: Mutex<Option<ChildStdin>>,
    events: Mutex<Option<ChildStdout>>,
}

impl Link {
    /// Starts init.
    pub(crate) fn start() -> io::Result<(Self, Child)> {
        let job = Job::new()?;
        let mut init = program::start()?;
        // Init makes no process before it has got a request.
        job.assign(&init)?;
        let process = init.as_handle().try_clone_to_owned()?;
        let (requests, events) = (init.stdin.take(), init.stdout.take());
        let link =
            Self { process, job, requests: Mutex::new(requests), events: Mutex::new(events) };
        Ok((link, init))
    }

    /// Sends a request and the handles that belong to it.
    pub(crate) fn send(&self, request: &Request, handles: &[BorrowedHandle<'_>]) -> io::Result<()> {
        let mut message = Vec::new();
        control::encode(request, &mut message);
        if message.len() > MAX_MESSAGE {
            let reason = "the arguments and the environment are too long";
            return Err(io::Error::new(io::ErrorKind::ArgumentListTooLong, reason));
        }
        let len = u32::try_from(message.len()).map_err(io::Error::other)?;
        let mut packet = len.to_le_bytes().to_vec();
        packet.append(&mut message);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = requests.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        for handle in handles {
            packet.extend(lx_windows::duplicate_into(&self.process, handle)?.to_le_bytes());
        }
        pipe.write_all(&packet)
    }

    /// Waits for an event; none at the end of the connection.
    pub(crate) fn receive(&self) -> io::Result<Option<Event>> {
        // Only one thread reads, so nobody waits for this lock.
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = events.as_mut() else { return Ok(None) };
        let mut len = [0; 4];
        match pipe.read_exact(&mut len) {
            Err(error) if is_end(&error) => return Ok(None),
            result => result?,
        }
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        if len > MAX_MESSAGE {
            return Err(invalid_data(control::DecodeError::TooLong));
        }
        let mut message = vec![0; len];
        match pipe.read_exact(&mut message) {
            // It died in the middle of a word.
            Err(error) if is_end(&error) => return Ok(None),
            result => result?,
        }
        control::decode(&message).map(Some).map_err(invalid_data)
    }

    /// Ends the sending direction, which makes init kill every guest and exit. False if the
    /// connection has ended already.
    pub(crate) fn finish(&self) -> bool {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// Ends both directions; called by the thread that reads.
    pub(crate) fn close(&self) {
        self.finish();
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Lets init live until it has ended itself, also if this process is killed. Without this the job
    /// ends with this process, whatever init is doing.
    pub(crate) fn let_init_end(&self) -> io::Result<()> {
        lx_windows::duplicate_into(&self.process, &self.job).map(drop)
    }

    /// What Windows has counted.
    pub(crate) fn counter(&self) -> Option<Counter> {
        let name = "host memory committed at most, bytes".to_owned();
        self.job.peak_commit().map(|value| Counter { name, value })
    }

    /// Kills init and the guests.
    pub(crate) fn kill_init(&self) {
        // An error means that they are dead already.
        let _ = self.job.terminate();
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
}

fn invalid_data(error: control::DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
