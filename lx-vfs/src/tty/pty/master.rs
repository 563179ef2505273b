//! The master end: `/dev/ptmx`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::poll::{PollEvents, PollSource, PollTable};

use super::{CHUNK, Pty, Wakes, ioctl, write_chunks};
use crate::inode::InodeOps;

/// The description of a master. There is one for each terminal.
pub struct Master {
    pty: Arc<Pty>,
    /// The node that it was opened through.
    inode: Option<Arc<dyn InodeOps>>,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.pty.hang_up();
    }
}

/// What a read of the master found.
enum Found {
    Bytes(usize),
    Status(u8),
    /// No slave is open any more.
    Gone,
}

impl Master {
    pub(super) fn new(pty: Arc<Pty>) -> Self {
        Self { pty, inode: None }
    }

    /// The same, opened through a node.
    #[must_use]
    pub fn opened_by(mut self, inode: &Arc<dyn InodeOps>) -> Self {
        self.inode = Some(Arc::clone(inode));
        self
    }

    /// The terminal.
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// Takes output, or the status if it may come now: it comes alone.
    fn find(&self, bytes: &mut [u8], first: bool) -> Option<Found> {
        let mut state = self.pty.lock();
        if state.packet.is_pending() {
            return first.then(|| Found::Status(state.packet.take()));
        }
        if state.discipline.output_len() > 0 {
            return Some(Found::Bytes(state.discipline.take_output(bytes)));
        }
        state.slaves_are_gone().then_some(Found::Gone)
    }

    /// Adds to what was typed; how much there was room for.
    fn type_in(&self, bytes: &[u8]) -> Option<usize> {
        let mut wakes = Wakes::default();
        let taken = {
            let mut state = self.pty.lock();
            let taken = bytes.len().min(state.typing_room());
            state.backlog.extend(bytes.iter().take(taken));
            state.process_backlog(&mut wakes);
            taken
        };
        self.pty.carry_out(wakes);
        (taken > 0).then_some(taken)
    }
}

impl FileOps for Master {
    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let packets = self.pty.lock().packet.is_on();
        let mut done = 0;
        if packets {
            // The byte in front of data; one with a status comes alone.
            done = 1;
        }
        let mut first = true;
        loop {
            let mut bytes = [0; CHUNK];
            let room = dst.remaining().saturating_sub(usize::from(packets && first));
            let part = bytes.get_mut(..room.min(CHUNK)).unwrap_or_default();
            let found = match self.find(part, first) {
                Some(found) => found,
                None if !first => break,
                None if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
                None => {
                    let key = PollEvents::READABLE | PollEvents::POLLHUP;
                    caller.wait(&self.pty.master.queue, key.bits(), || self.find(part, first))?
                }
            };
            let count = match found {
                Found::Status(status) => return dst.put(&[status]),
                Found::Gone if first => return Err(Errno::EIO.into()),
                Found::Gone => break,
                Found::Bytes(count) => count,
            };
            let bytes = bytes.get(..count).unwrap_or_default();
            let headed = !(packets && first) || dst.put(&[0]).is_ok();
            if !headed || !dst.put(bytes).is_ok_and(|stored| stored == count) {
                self.pty.lock().discipline.untake_output(bytes);
                return partial(if first { 0 } else { done }, Errno::EFAULT.into());
            }
            done += count;
            self.pty.slave.queue.wake_all(PollEvents::WRITABLE.bits());
            first = false;
            if dst.remaining() == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let (queue, key) = (&self.pty.master.queue, PollEvents::WRITABLE);
        write_chunks(caller, file, src, (queue, key), |bytes| self.type_in(bytes).map(Ok))
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let state = self.pty.lock();
        let mut events = PollEvents::empty();
        if state.discipline.output_len() > 0 {
            events |= PollEvents::READABLE;
        }
        if state.packet.is_pending() {
            events |= PollEvents::READABLE | PollEvents::POLLPRI;
        }
        if state.typing_room() > 0 {
            events |= PollEvents::WRITABLE;
        }
        if state.slaves_are_gone() {
            events |= PollEvents::POLLHUP;
        }
        events
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.pty.master) as Arc<dyn PollSource>);
    }

    fn ioctl(&self, caller: &Caller<'_>, _file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        ioctl::of_master(&self.pty, caller, request, arg)
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        let inode = self.inode.as_ref().ok_or(Errno::EIO)?;
        Ok(inode.attr(caller)?.to_stat())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.pty.lock().discipline.output_len())
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Weak;

    use super::*;
    use crate::fs::devpts::DevPts;

    #[test]
    fn a_status_waits_for_a_read_of_its_own() {
        let (pty, master) = Pty::new(0, Weak::<DevPts>::new(), None);
        {
            let mut state = pty.lock();
            state.packet.set(true);
            state.packet.flushed_read();
        }
        assert!(master.find(&mut [0; 8], false).is_none());
        assert!(matches!(master.find(&mut [0; 8], true), Some(Found::Status(1))));
    }
}
