//! The slave end: the terminal that programs use, `/dev/pts/N`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, Signal};
use lx_core::cred::Capabilities;
use lx_core::error::{Result, SysError};
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::Nanos;
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::WaitEnd;

use super::{CHUNK, Pty, RawRead, Wakes, ioctl, write_chunks};
use crate::inode::InodeOps;
use crate::tty::control::{self, Terminal};
use crate::tty::discipline::Cell;

/// A description of the slave.
pub struct Slave {
    pty: Arc<Pty>,
    /// The node that it was opened through.
    inode: Arc<dyn InodeOps>,
}

impl Drop for Slave {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.pty.lock();
            state.slaves = state.slaves.saturating_sub(1);
            state.slaves == 0
        };
        if gone {
            let events = PollEvents::POLLHUP | PollEvents::READABLE;
            self.pty.master.queue.wake_all(events.bits());
        }
    }
}

/// What a read found.
enum Found {
    /// So many cells were taken.
    Cells(usize),
    /// The terminal was hung up.
    HungUp,
}

impl Slave {
    /// Another description, through the node `inode`.
    ///
    /// # Errors
    /// `EIO` if the terminal is locked or hung up.
    pub fn open(pty: &Arc<Pty>, inode: &Arc<dyn InodeOps>) -> Result<Arc<Self>> {
        let mut state = pty.lock();
        state.check_connected()?;
        if state.locked {
            return Err(Errno::EIO.into());
        }
        state.slaves += 1;
        state.slave_was_open = true;
        drop(state);
        Ok(Arc::new(Self { pty: Arc::clone(pty), inode: Arc::clone(inode) }))
    }

    /// The same by `open(2)`, which may make it the caller's controlling terminal.
    ///
    /// # Errors
    /// `EIO` as [`open`](Self::open); `EBUSY` if somebody uses it exclusively.
    pub fn open_by(
        caller: &Caller<'_>,
        pty: &Arc<Pty>,
        inode: &Arc<dyn InodeOps>,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        if pty.lock().exclusive && !caller.cred().has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EBUSY.into());
        }
        let slave = Self::open(pty, inode)?;
        let terminal: Arc<dyn Terminal> = Arc::clone(pty) as _;
        control::opened(caller, &terminal, flags);
        Ok(slave)
    }

    /// The terminal.
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// Takes input if there is any; reading may make room for what was typed meanwhile.
    fn find(&self, cells: &mut [Cell], exact: bool) -> Option<Found> {
        let mut wakes = Wakes::default();
        let found = {
            let mut state = self.pty.lock();
            if state.has_input() {
                let taken = state.discipline.read(cells, exact);
                state.process_backlog(&mut wakes);
                Some(Found::Cells(taken))
            } else {
                (!state.master_open).then_some(Found::HungUp)
            }
        };
        self.pty.carry_out(wakes);
        found
    }

    /// As [`find`](Self::find), waiting for it: `None` when the time is over.
    fn wait_for(
        &self,
        caller: &Caller<'_>,
        cells: &mut [Cell],
        exact: bool,
        time: Option<Nanos>,
    ) -> Result<Option<Found>> {
        if let Some(found) = self.find(cells, exact) {
            return Ok(Some(found));
        }
        if time == Some(0) {
            return Ok(None);
        }
        let deadline = time.map(|time| caller.host.monotonic().saturating_add(time));
        let key = (PollEvents::READABLE | PollEvents::POLLHUP).bits();
        match caller.wait_until(&self.pty.slave.queue, key, deadline, || self.find(cells, exact)) {
            Ok(found) => Ok(Some(found)),
            Err(WaitEnd::TimedOut) => Ok(None),
            Err(WaitEnd::Interrupted) => Err(SysError::Restart),
        }
    }

    /// Hands cells over; the number of bytes, and whether a line has ended. Bytes that cannot be
    /// stored are put back.
    fn hand_over(&self, dst: &mut IoDst<'_>, cells: &[Cell]) -> Result<(usize, bool)> {
        let mut bytes = [0; CHUNK];
        let ended = cells.last().is_some_and(|cell| cell.ends_line);
        let mut count = 0;
        for (place, cell) in
            bytes.iter_mut().zip(cells.iter().filter(|cell| !cell.is_end_of_file()))
        {
            *place = cell.byte;
            count += 1;
        }
        let bytes = bytes.get(..count).unwrap_or_default();
        if !bytes.is_empty() && !dst.put(bytes).is_ok_and(|stored| stored == count) {
            self.pty.lock().discipline.unread(cells);
            return Err(Errno::EFAULT.into());
        }
        Ok((count, ended))
    }

    /// How long to wait for the next byte, `None` for ever; the error if not at all.
    fn patience(file: &OpenFile, raw: Option<RawRead>, done: usize) -> Option<Nanos> {
        match raw {
            _ if file.is_nonblocking() => Some(0),
            None => None,
            Some(raw) if done == 0 => raw.first,
            Some(raw) => raw.next,
        }
    }

    fn check_output(&self, caller: &Caller<'_>) -> Result<()> {
        control::check_output(&*self.pty, caller)
    }

    /// Prints; how many bytes there was room for.
    fn print(&self, bytes: &[u8]) -> Option<Result<usize>> {
        let (taken, more) = {
            let mut state = self.pty.lock();
            if let Err(error) = state.check_connected() {
                return Some(Err(error));
            }
            let before = state.discipline.output_len();
            let taken = state.discipline.write(bytes);
            (taken, state.discipline.output_len() > before)
        };
        if more {
            self.pty.master.queue.wake_all(PollEvents::READABLE.bits());
        }
        (taken > 0).then_some(Ok(taken))
    }
}

impl FileOps for Slave {
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.pty.control.check_foreground(caller, Signal::SIGTTIN)?;
        let raw = self.pty.lock().raw_read();
        let least = raw.map_or(1, |raw| raw.least).min(dst.remaining());
        let mut done = 0;
        while dst.remaining() > 0 {
            let mut cells = [Cell::default(); CHUNK];
            let room = dst.remaining();
            let part = cells.get_mut(..room.min(CHUNK)).unwrap_or_default();
            let exact = room <= CHUNK;
            // What is there is taken without waiting, once enough has come. A line is read to
            // its end.
            let time = if done >= least { Some(0) } else { Self::patience(file, raw, done) };
            let found = match self.wait_for(caller, part, exact, time) {
                Ok(Some(found)) => found,
                Ok(None) if done > 0 => break,
                Ok(None) if file.is_nonblocking() && raw.is_none_or(|raw| raw.first != Some(0)) => {
                    return Err(Errno::EAGAIN.into());
                }
                Ok(None) => return Ok(0),
                Err(error) => return partial(done, error),
            };
            let Found::Cells(taken) = found else { break };
            let (count, ended) = match self.hand_over(dst, cells.get(..taken).unwrap_or_default()) {
                Ok(result) => result,
                Err(error) => return partial(done, error),
            };
            done += count;
            if raw.is_none() && (ended || taken < CHUNK) {
                break;
            }
        }
        Ok(done)
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        self.check_output(caller)?;
        self.pty.lock().check_connected()?;
        let (queue, key) = (&self.pty.slave.queue, PollEvents::WRITABLE | PollEvents::POLLHUP);
        write_chunks(caller, file, src, (queue, key), |bytes| self.print(bytes))
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let state = self.pty.lock();
        if !state.master_open {
            return PollEvents::READABLE
                | PollEvents::WRITABLE
                | PollEvents::POLLERR
                | PollEvents::POLLHUP;
        }
        let mut events = PollEvents::empty();
        if state.can_read() {
            events |= PollEvents::READABLE;
        }
        if state.discipline.can_write() {
            events |= PollEvents::WRITABLE;
        }
        events
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.pty.slave) as Arc<dyn PollSource>);
    }

    fn ioctl(&self, caller: &Caller<'_>, _file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        ioctl::of_slave(&self.pty, caller, request, arg)
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attr(caller)?.to_stat())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        let state = self.pty.lock();
        let input = state.discipline.input();
        Ok(if state.discipline.is_canonical() { input.line_bytes() } else { input.len() })
    }
}
