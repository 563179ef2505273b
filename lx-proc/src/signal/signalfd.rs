//! `signalfd(2)`: a file that yields the pending signals of whoever reads it.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::Caller;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::siginfo::SignalfdSiginfo;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, SigSet};
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::IoDst;
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::{Mutex, WaitQueue, level};
use lx_vfs::anon::anon_stat;
use zerocopy::IntoBytes;

use super::wait;
use crate::kernel::Kernel;
use crate::task::Task;

/// Where signalfds wait, all of one kernel: a file does not know who is going to look at it, so
/// everybody looks whenever a signal has become pending for somebody.
#[derive(Default)]
pub struct SignalQueue {
    queue: WaitQueue,
    /// Number of signalfds: most machines have none.
    files: AtomicU32,
}

impl SignalQueue {
    /// A signal has become pending.
    pub(crate) fn wake(&self) {
        // Whoever sleeps on a signalfd has opened it long before.
        if self.files.load(Ordering::Relaxed) > 0 {
            self.queue.wake_all(PollEvents::READABLE.bits());
        }
    }
}

impl PollSource for SignalQueue {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// A signalfd.
pub struct SignalFile {
    mask: Mutex<SigSet, { level::FILE_OBJECT }>,
    kernel: Weak<Kernel>,
    queue: Arc<SignalQueue>,
}

impl SignalFile {
    /// A signalfd for the signals in `mask`; `flags` may hold `O_NONBLOCK`.
    pub fn open(kernel: &Arc<Kernel>, mask: SigSet, flags: OpenFlags) -> Arc<OpenFile> {
        let queue = Arc::clone(kernel.init().signal_queue());
        queue.files.fetch_add(1, Ordering::SeqCst);
        let ops = Arc::new(Self {
            mask: Mutex::new(mask.difference(SigSet::UNBLOCKABLE)),
            kernel: Arc::downgrade(kernel),
            queue,
        });
        OpenFile::new(ops, OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK), None)
    }

    /// Replaces the signals that it yields.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.lock() = mask.difference(SigSet::UNBLOCKABLE);
        self.queue.wake();
    }

    /// The signals that it yields, for `/proc/PID/fdinfo`.
    pub fn mask(&self) -> SigSet {
        *self.mask.lock()
    }

    fn reader(&self, caller: &Caller<'_>) -> Result<Arc<Task>> {
        let kernel = self.kernel.upgrade().ok_or(Errno::EINVAL)?;
        Ok(kernel.pids.task(caller.tid).ok_or(Errno::ESRCH)?)
    }
}

impl Drop for SignalFile {
    fn drop(&mut self) {
        self.queue.files.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FileOps for SignalFile {
    fn can_skip_waiting(&self, writes: bool) -> bool {
        !writes
    }

    fn ignores_positions(&self) -> bool {
        true
    }

    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        let size = size_of::<SignalfdSiginfo>();
        if dst.remaining() < size {
            return Err(Errno::EINVAL.into());
        }
        let task = self.reader(caller)?;
        let mut count = 0_usize;
        while dst.remaining() >= size {
            let taken = match wait::take(&task, self.mask()) {
                Some(taken) => taken,
                None if count > 0 => break,
                None if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
                None => {
                    let key = PollEvents::READABLE.bits();
                    caller.wait(&self.queue.queue, key, || wait::take(&task, self.mask()))?
                }
            };
            count = count.saturating_add(dst.put(SignalfdSiginfo::from(&taken.1).as_bytes())?);
        }
        Ok(count)
    }

    fn poll(&self, caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let pending = self
            .reader(caller)
            .map(|task| task.signals().pending().set().union(task.group().pending().set()));
        match pending {
            Ok(set) if !set.intersection(self.mask()).is_empty() => PollEvents::READABLE,
            _ => PollEvents::empty(),
        }
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.queue) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }
}
