//! `eventfd(2)`: a counter that can be waited for.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::{Mutex, WaitQueue, level};

use crate::anon::anon_stat;

/// Highest value of the counter.
const MAX: u64 = u64::MAX - 1;

struct Counter {
    value: Mutex<u64, { level::FILE_OBJECT }>,
    queue: WaitQueue,
}

impl PollSource for Counter {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// An eventfd.
pub struct EventFile {
    counter: Arc<Counter>,
    semaphore: bool,
}

/// A new eventfd; `flags` may hold `O_NONBLOCK`.
pub fn open(initial: u32, semaphore: bool, flags: OpenFlags) -> Arc<OpenFile> {
    let counter =
        Arc::new(Counter { value: Mutex::new(u64::from(initial)), queue: WaitQueue::new() });
    let ops = Arc::new(EventFile { counter, semaphore });
    OpenFile::new(ops, OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK), None)
}

impl EventFile {
    /// The counter's value, for `/proc/PID/fdinfo`.
    pub fn value(&self) -> u64 {
        *self.counter.value.lock()
    }

    /// Counts an event of the kernel's. Whoever waits is not told yet: see
    /// [`announce`](Self::announce).
    pub fn count(&self) {
        // A counter that is full stays so.
        let _ = self.add(1);
    }

    /// Whether somebody waits for the counter.
    pub fn is_waited_for(&self) -> bool {
        !self.counter.queue.is_empty()
    }

    /// Wakes those who wait for events.
    pub fn announce(&self) {
        self.counter.queue.wake(PollEvents::READABLE.bits(), 1);
    }

    fn take(&self) -> Option<u64> {
        let mut value = self.counter.value.lock();
        if *value == 0 {
            return None;
        }
        let taken = if self.semaphore { 1 } else { *value };
        *value -= taken;
        Some(taken)
    }

    /// Adds to the counter; `None` if that would exceed its range.
    fn add(&self, more: u64) -> Option<()> {
        let mut value = self.counter.value.lock();
        *value = value.checked_add(more).filter(|sum| *sum <= MAX)?;
        Some(())
    }

    /// One of the operations above, waiting for it as long as necessary.
    fn wait_for<T>(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        wait_for: PollEvents,
        mut step: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        match step() {
            Some(value) => Ok(value),
            None if file.is_nonblocking() => Err(Errno::EAGAIN.into()),
            None => caller.wait(&self.counter.queue, wait_for.bits(), step),
        }
    }
}

impl FileOps for EventFile {
    fn can_skip_waiting(&self, writes: bool) -> bool {
        !writes
    }

    fn ignores_positions(&self) -> bool {
        true
    }

    fn read(&self, caller: &Caller<'_>, file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        if dst.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL.into());
        }
        let taken = self.wait_for(caller, file, PollEvents::READABLE, || self.take())?;
        self.counter.queue.wake(PollEvents::WRITABLE.bits(), 1);
        dst.put(&taken.to_ne_bytes())
    }

    fn write(&self, caller: &Caller<'_>, file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let mut bytes = [0; size_of::<u64>()];
        if src.remaining() != bytes.len() {
            return Err(Errno::EINVAL.into());
        }
        if src.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT.into());
        }
        let more = u64::from_ne_bytes(bytes);
        if more == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        self.wait_for(caller, file, PollEvents::WRITABLE, || self.add(more))?;
        self.announce();
        Ok(bytes.len())
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        let value = *self.counter.value.lock();
        let mut events = PollEvents::empty();
        if value > 0 {
            events |= PollEvents::POLLIN;
        }
        if value < MAX {
            events |= PollEvents::POLLOUT;
        }
        events
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.counter) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Tester;

    fn value(result: Result<alloc::vec::Vec<u8>>) -> Result<u64> {
        result.map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()))
    }

    #[test]
    fn reading_takes_all_or_as_a_semaphore_one() {
        let t = Tester::new();
        let event = open(5, false, OpenFlags::O_NONBLOCK);
        assert_eq!(value(t.read(&event, 8)), Ok(5));
        assert_eq!(value(t.read(&event, 8)), Err(Errno::EAGAIN.into()));
        let semaphore = open(2, true, OpenFlags::O_NONBLOCK);
        assert_eq!(value(t.read(&semaphore, 9)), Ok(1));
        assert_eq!(value(t.read(&semaphore, 9)), Ok(1));
        assert_eq!(value(t.read(&semaphore, 9)), Err(Errno::EAGAIN.into()));
        assert_eq!(t.read(&semaphore, 7), Err(Errno::EINVAL.into()));
    }

    #[test]
    fn the_counter_has_a_limit() {
        let t = Tester::new();
        let event = open(1, false, OpenFlags::O_NONBLOCK);
        assert_eq!(t.write(&event, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL.into()));
        assert_eq!(t.write(&event, &MAX.to_ne_bytes()), Err(Errno::EAGAIN.into()));
        assert_eq!(t.write(&event, &(MAX - 1).to_ne_bytes()), Ok(8));
        assert_eq!(event.poll(&t.caller()), PollEvents::POLLIN);
        assert_eq!(value(t.read(&event, 8)), Ok(MAX));
        assert_eq!(event.poll(&t.caller()), PollEvents::POLLOUT);
    }
}
