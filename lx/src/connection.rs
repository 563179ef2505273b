//! The library's end of the control connection: what it knows of the commands of a machine.

use std::collections::HashMap;
use std::io;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lx_core::control::{Configure, Event, Request, Spawn, SpawnFailed, Stats, VERSION};

use crate::archive::Archive;
use crate::sys::{BorrowedHandle, Link};
use crate::users::Users;

/// How long init gets to kill its guests and exit before it is killed itself.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Shared by a machine, its commands and children, and the thread that reads events.
#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    /// The library ended the connection, so its end is no failure.
    closing: bool,
    /// The connection is over, for this reason.
    stopped: Option<String>,
    last_id: u64,
    commands: HashMap<u64, CommandState>,
    stats: Option<Stats>,
}

/// What is known of a command that was sent to init.
#[derive(Debug, Default)]
struct CommandState {
    pid: Option<u32>,
    failed: Option<SpawnFailed>,
    /// Stopped by this signal, and nobody was told yet.
    stopped_by: Option<u32>,
    /// The wait status.
    exited: Option<i32>,
    /// Nobody will ask any more: forget it when it ends.
    detached: bool,
}

/// What became of a running command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stopped(u32),
    Exited(i32),
}

impl Connection {
    /// Listens to an init that has the other end of `link`.
    pub(crate) fn start(link: Link, init: Option<process::Child>) -> io::Result<Arc<Self>> {
        let connection = Arc::new(Self { link, state: Mutex::default(), changed: Condvar::new() });
        let reader = Arc::clone(&connection);
        thread::Builder::new().name("lx-events".to_owned()).spawn(move || reader.read(init))?;
        Ok(connection)
    }

    /// Sends the root file system; the user database in it.
    pub(crate) fn populate(&self, archive: Archive) -> io::Result<Users> {
        archive.send(|request| self.send(&request, &[])).inspect_err(|_| self.close())
    }

    /// Configures the machine and waits until it is.
    pub(crate) fn configure(
        &self,
        configure: Configure,
        strace: Option<BorrowedHandle<'_>>,
    ) -> io::Result<()> {
        let descriptors: Vec<_> = strace.into_iter().collect();
        self.send(&Request::Configure(configure), &descriptors)?;
        self.wait_for(|state| state.ready.then_some(())).map(drop)
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// The machine has stopped, or the request is too long.
    pub(crate) fn send(
        &self,
        request: &Request,
        descriptors: &[BorrowedHandle<'_>],
    ) -> io::Result<()> {
        let result = self.link.send(request, descriptors);
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // The reader thread is about to learn why.
                self.wait_for(|_| None::<()>).map(drop)
            }
            result => result,
        }
    }

    /// Starts a command and waits for its id and its pid.
    ///
    /// # Errors
    ///
    /// The outer error says that the machine is in trouble, the inner one why this command
    /// cannot be started.
    pub(crate) fn spawn(
        &self,
        mut spawn: Spawn,
        stdio: &[BorrowedHandle<'_>],
    ) -> io::Result<Result<(u64, u32), SpawnFailed>> {
        let id = {
            let mut state = self.lock();
            state.last_id += 1;
            let id = state.last_id;
            state.commands.insert(id, CommandState::default());
            id
        };
        spawn.id = id;
        let answer = self.send(&Request::Spawn(spawn), stdio).and_then(|()| {
            self.wait_for(|state| {
                let command = state.commands.get_mut(&id)?;
                command.failed.take().map(Err).or(command.pid.map(Ok))
            })
        });
        match answer {
            Ok((Ok(pid), _)) => Ok(Ok((id, pid))),
            Ok((Err(failed), mut state)) => {
                state.commands.remove(&id);
                Ok(Err(failed))
            }
            Err(error) => {
                self.lock().commands.remove(&id);
                Err(error)
            }
        }
    }

    /// Waits until the command has ended or, if asked for, was stopped.
    pub(crate) fn wait(&self, id: u64, stops: bool) -> io::Result<Outcome> {
        let outcome = self.wait_for(|state| state.outcome(id, stops))?;
        Ok(outcome.0)
    }

    /// The same without waiting.
    pub(crate) fn try_wait(&self, id: u64) -> io::Result<Option<Outcome>> {
        let mut state = self.lock();
        match state.outcome(id, false) {
            Some(outcome) => Ok(Some(outcome)),
            None => state.check().map(|()| None),
        }
    }

    /// Has init do what it is to do when this process dies, before it dies as well.
    pub(crate) fn let_init_end(&self) -> io::Result<()> {
        self.link.let_init_end()
    }

    /// Nobody will ask for this command again.
    pub(crate) fn detach(&self, id: u64) {
        let mut state = self.lock();
        if let Some(command) = state.commands.get_mut(&id) {
            command.detached = true;
            if command.exited.is_some() {
                state.commands.remove(&id);
            }
        }
    }

    /// Asks for the machine's counters.
    pub(crate) fn stats(&self) -> io::Result<Stats> {
        self.lock().stats = None;
        self.send(&Request::Stats, &[])?;
        let mut stats = self.wait_for(|state| state.stats.take())?.0;
        stats.counters.extend(self.link.counter());
        Ok(stats)
    }

    /// Ends the connection, which makes init kill every guest, and waits until init is gone.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        let ended = |state: &mut State| state.stopped.is_none();
        if !self.link.finish() {
            return;
        }
        let wait = self.changed.wait_timeout_while(self.lock(), SHUTDOWN_TIMEOUT, ended);
        let (state, timeout) = wait.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if timeout.timed_out() {
            self.link.kill_init();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something, and returns it with the state, still locked.
    fn wait_for<T>(
        &self,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> io::Result<(T, MutexGuard<'_, State>)> {
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&mut state) {
                return Ok((found, state));
            }
            state.check()?;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The reader thread: takes events until the connection ends, then reaps init.
    fn read(&self, mut init: Option<process::Child>) {
        let mut reason = None;
        loop {
            match self.link.receive() {
                Ok(Some(Event::MachineStopped { reason: stopped })) => {
                    reason = Some(stopped);
                    break;
                }
                Ok(Some(Event::Ready { version })) if version != VERSION => {
                    reason = Some(format!("its kernel speaks control protocol version {version}"));
                    break;
                }
                Ok(Some(event)) => {
                    self.lock().take(event);
                    self.changed.notify_all();
                }
                Ok(None) => break,
                Err(error) => {
                    reason = Some(format!("its kernel cannot be understood: {error}"));
                    break;
                }
            }
        }
        if reason.is_some() {
            // Do not rely on a broken kernel to exit.
            self.link.kill_init();
        }
        self.link.close();
        let status = init.as_mut().map(process::Child::wait);
        let mut state = self.lock();
        state.stopped = Some(match (reason, status) {
            (Some(reason), _) => reason,
            _ if state.closing => "it was shut down".to_owned(),
            (None, Some(Ok(status))) => format!("its kernel process ended ({status})"),
            (None, _) => "its kernel closed the connection".to_owned(),
        });
        self.changed.notify_all();
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(reason) => {
                let sentence = format!("the machine has stopped: {reason}");
                Err(io::Error::new(io::ErrorKind::BrokenPipe, sentence))
            }
        }
    }

    fn outcome(&mut self, id: u64, stops: bool) -> Option<Outcome> {
        let command = self.commands.get_mut(&id)?;
        if let Some(status) = command.exited {
            return Some(Outcome::Exited(status));
        }
        if stops { command.stopped_by.take().map(Outcome::Stopped) } else { None }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ready { .. } => self.ready = true,
            Event::Spawned { id, pid } => self.update(id, |command| command.pid = Some(pid)),
            Event::SpawnFailed(failed) => {
                self.update(failed.id, |command| command.failed = Some(failed));
            }
            Event::Stopped { id, signal } => {
                self.update(id, |command| command.stopped_by = Some(signal));
            }
            Event::Exited { id, status } => {
                self.update(id, |command| command.exited = Some(status));
                if self.commands.get(&id).is_some_and(|command| command.detached) {
                    self.commands.remove(&id);
                }
            }
            Event::Stats(stats) => self.stats = Some(stats),
            // The reader's own business.
            Event::MachineStopped { .. } => {}
        }
    }

    fn update(&mut self, id: u64, update: impl FnOnce(&mut CommandState)) {
        if let Some(command) = self.commands.get_mut(&id) {
            update(command);
        }
    }
}
