//! Bytes between a guest's file and the host pipe of a native program.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::PollEvents;
use lx_vfs::poll::PollEntry;

/// As many bytes as a pipe takes without waiting when it says that it can be written.
const CHUNK: usize = 4096;

/// One direction. It never waits in a read or write: it moves what is ready.
pub(super) struct Pump {
    from: Arc<OpenFile>,
    to: Arc<OpenFile>,
    /// Read and not yet written.
    held: Vec<u8>,
    ended: bool,
}

impl Pump {
    pub(super) fn new(from: Arc<OpenFile>, to: Arc<OpenFile>) -> Self {
        Self { from, to, held: Vec::new(), ended: false }
    }

    /// What it waits for. At the end of its input it waits until the last bytes are gone, as the
    /// host may still be taking them.
    pub(super) fn entry(&self) -> PollEntry {
        if self.held.is_empty() && !self.ended {
            PollEntry::new(Arc::clone(&self.from), PollEvents::POLLIN)
        } else {
            PollEntry::new(Arc::clone(&self.to), PollEvents::POLLOUT)
        }
    }

    /// Moves what is ready; `false` if there will be nothing more.
    pub(super) fn step(&mut self, caller: &Caller<'_>) -> bool {
        loop {
            let wanted = self.entry();
            let Some(file) = &wanted.file else { return false };
            if (file.poll(caller) & (wanted.events | PollEvents::ALWAYS)).is_empty() {
                return true;
            }
            if self.ended && self.held.is_empty() {
                return false;
            }
            let moved = if self.held.is_empty() { self.read(caller) } else { self.write(caller) };
            match moved {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Whether there is nothing to move now.
    pub(super) fn is_idle(&self, caller: &Caller<'_>) -> bool {
        let readable = self.from.poll(caller).intersects(PollEvents::POLLIN);
        self.held.is_empty() && !readable
    }

    fn read(&mut self, caller: &Caller<'_>) -> Result<bool, Errno> {
        let mut buffer = alloc::vec![0; CHUNK];
        match self.from.read(caller, &mut IoDst::kernel(&mut buffer)).map_err(|e| e.errno()) {
            Ok(count) => {
                buffer.truncate(count);
                self.ended = count == 0;
                self.held = buffer;
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn write(&mut self, caller: &Caller<'_>) -> Result<bool, Errno> {
        match self.to.write(caller, &mut IoSrc::kernel(&self.held)).map_err(|e| e.errno()) {
            Ok(count) => {
                self.held.drain(..count.min(self.held.len()));
                Ok(true)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}
