//! What a descriptor of a pipe refers to.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{FcntlCmd, OpenFlags};
use lx_core::abi::stat::{S_IFIFO, Stat};
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};

use super::Pipe;
use crate::anon::{AnonInode, PIPE_DEV};
use crate::inode::InodeOps;

/// Whose attributes `fstat(2)` shows.
#[derive(Clone)]
pub(super) enum Node {
    Pipe(AnonInode),
    Fifo(Arc<dyn InodeOps>),
}

/// One open description's share of a pipe: a reader, a writer, or both. Dropping it closes them.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// How many readers had ever been opened before this end.
    seen_readers: u32,
    /// How many writers: a FIFO's reader sees no hang-up before another one came.
    seen_writers: u32,
    /// The other side was open when this end was.
    met_other_side: bool,
    node: Node,
}

impl PipeEnd {
    pub(super) fn new(pipe: Arc<Pipe>, reads: bool, writes: bool, node: Node) -> Self {
        let before = pipe.attach(reads, writes);
        // A reader hangs up when no writer is left, but not before one came: one that is there
        // has come.
        let met_writer = reads && before.other_side;
        let seen_writers = before.writers_opened.wrapping_sub(met_writer.into());
        Self {
            pipe,
            reads,
            writes,
            seen_readers: before.readers_opened,
            seen_writers,
            met_other_side: before.other_side,
            node,
        }
    }

    /// Sleeps until the other side has been opened.
    pub(super) fn wait_for_other_side(&self, caller: &Caller<'_>) -> Result<()> {
        if self.met_other_side {
            Ok(())
        } else if self.reads {
            self.pipe.wait_for_writer(caller, self.seen_writers)
        } else {
            self.pipe.wait_for_reader(caller, self.seen_readers)
        }
    }

    /// Another end of the same pipe, opened through `/proc/PID/fd/N`. It does not wait for the
    /// other side.
    pub fn reopen(&self, reads: bool, writes: bool) -> Self {
        let mut end = Self::new(Arc::clone(&self.pipe), reads, writes, self.node.clone());
        end.seen_readers = self.seen_readers;
        end.seen_writers = self.seen_writers;
        end
    }

    /// The pipe.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.pipe.detach(self.reads, self.writes);
    }
}

impl FileOps for PipeEnd {
    fn can_skip_waiting(&self, _writes: bool) -> bool {
        true
    }

    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        let count = self.pipe.read(caller, file.is_nonblocking(), dst)?;
        if let Node::Fifo(inode) = &self.node
            && count > 0
        {
            inode.fifo_read(caller, file);
        }
        Ok(count)
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let count = match file.flags().contains(OpenFlags::O_DIRECT) {
            true => self.pipe.write_packets(caller, file.is_nonblocking(), src),
            false => self.pipe.write(caller, file.is_nonblocking(), src),
        };
        let count = count.inspect_err(|_| self.pipe.write_failed())?;
        if let Node::Fifo(inode) = &self.node
            && count > 0
        {
            inode.fifo_written(caller, file);
        }
        Ok(count)
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        self.pipe.poll(self.reads, self.writes, self.seen_writers)
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        // Whoever watches one end does not hear of what happens at the other.
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, self.reads);
        events.set(PollEvents::WRITABLE, self.writes);
        table.register_for(Arc::clone(&self.pipe) as Arc<dyn PollSource>, events);
        self.pipe.poll_registered();
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        match &self.node {
            Node::Pipe(inode) => Ok(inode.stat()),
            Node::Fifo(inode) => Ok(inode.attr(caller)?.to_stat()),
        }
    }

    fn control(
        &self,
        caller: &Caller<'_>,
        _file: &OpenFile,
        command: FcntlCmd,
        arg: u64,
    ) -> Result<u64> {
        let size = match command {
            FcntlCmd::F_GETPIPE_SZ => self.pipe.capacity(),
            FcntlCmd::F_SETPIPE_SZ => {
                let wanted = usize::try_from(arg).map_err(|_| Errno::EINVAL)?;
                self.pipe.set_capacity(caller, wanted)?
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        Ok(size as u64)
    }

    fn readable_bytes(&self) -> Result<usize> {
        Ok(self.pipe.len())
    }

    fn check_flags(&self, _flags: OpenFlags) -> Result<()> {
        Ok(())
    }
}

/// `pipe2(2)`: a new pipe's reading and writing description; `flags` may hold `O_NONBLOCK` and
/// `O_DIRECT`.
///
/// # Errors
/// None.
pub fn new_pair(caller: &Caller<'_>, flags: OpenFlags) -> Result<(Arc<OpenFile>, Arc<OpenFile>)> {
    let pipe = Arc::new(Pipe::new());
    let inode = AnonInode::new(caller, PIPE_DEV, S_IFIFO | 0o600);
    let status = flags & OpenFlags::O_NONBLOCK;
    let packets = flags & OpenFlags::O_DIRECT;
    let end = |reads: bool, access: OpenFlags| {
        // The reader counts as one that has seen the writer's coming: it hangs up when he leaves.
        let end = PipeEnd::new(Arc::clone(&pipe), reads, !reads, Node::Pipe(inode));
        OpenFile::new(Arc::new(end), access | status, None)
    };
    Ok((end(true, OpenFlags::O_RDONLY), end(false, OpenFlags::O_WRONLY | packets)))
}
