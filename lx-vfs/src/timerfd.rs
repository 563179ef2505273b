//! `timerfd_create(2)`: a timer that is read.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::abi::time::ClockId;
use lx_core::error::Result;
use lx_core::file::{FileOps, OpenFile};
use lx_core::host::Host;
use lx_core::io::{IoDst, IoSrc};
use lx_core::poll::{PollEvents, PollSource, PollTable};
use lx_core::sync::WaitQueue;
use lx_core::timer::{TimerId, TimerQueue, TimerSetting, TimerTarget};

use crate::anon::anon_stat;

/// Expirations that have not been read.
#[derive(Default)]
struct Expirations {
    count: AtomicU64,
    queue: WaitQueue,
}

impl TimerTarget for Expirations {
    fn expired(&self, expirations: u64) {
        self.count.fetch_add(expirations, Ordering::AcqRel);
        self.queue.wake(PollEvents::READABLE.bits(), 1);
    }
}

impl PollSource for Expirations {
    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// A timerfd. Dropping it stops the timer.
pub struct TimerFile {
    timers: Arc<TimerQueue>,
    id: TimerId,
    clock: ClockId,
    expirations: Arc<Expirations>,
    /// Nanoseconds between expirations, as they were set last: it is told of a timer that does not
    /// run, too.
    interval: AtomicU64,
}

/// A new timerfd on `timers` that does not run; `flags` may hold `O_NONBLOCK`.
pub fn open(timers: &Arc<TimerQueue>, clock: ClockId, flags: OpenFlags) -> Arc<OpenFile> {
    let ops = TimerFile {
        timers: Arc::clone(timers),
        id: TimerId::new(),
        clock,
        expirations: Arc::default(),
        interval: AtomicU64::new(0),
    };
    OpenFile::new(Arc::new(ops), OpenFlags::O_RDWR | (flags & OpenFlags::O_NONBLOCK), None)
}

impl TimerFile {
    /// The clock that it was made for.
    pub fn clock(&self) -> ClockId {
        self.clock
    }

    /// Starts or stops it and forgets expirations that were not read; what was set before.
    pub fn set(&self, host: &dyn Host, setting: TimerSetting) -> TimerSetting {
        let target = Arc::clone(&self.expirations) as Arc<dyn TimerTarget>;
        let old = self.timers.set(host, self.id, TimerSetting::default(), &target);
        self.expirations.count.store(0, Ordering::Release);
        self.timers.set(host, self.id, setting, &target);
        let interval = self.interval.swap(setting.interval, Ordering::Relaxed);
        TimerSetting { interval, ..old }
    }

    /// What is set.
    pub fn get(&self) -> TimerSetting {
        let interval = self.interval.load(Ordering::Relaxed);
        TimerSetting { interval, ..self.timers.get(self.id) }
    }

    /// Expirations that have not been read, for `/proc/PID/fdinfo`.
    pub fn ticks(&self) -> u64 {
        self.expirations.count.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<u64> {
        match self.expirations.count.swap(0, Ordering::AcqRel) {
            0 => None,
            count => Some(count),
        }
    }
}

impl Drop for TimerFile {
    fn drop(&mut self) {
        self.timers.stop(self.id);
    }
}

impl FileOps for TimerFile {
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
        let count = match self.take() {
            Some(count) => count,
            None if file.is_nonblocking() => return Err(Errno::EAGAIN.into()),
            None => {
                let key = PollEvents::READABLE.bits();
                caller.wait(&self.expirations.queue, key, || self.take())?
            }
        };
        dst.put(&count.to_ne_bytes())
    }

    fn write(&self, _caller: &Caller<'_>, _file: &OpenFile, _src: &mut IoSrc<'_>) -> Result<usize> {
        Err(Errno::EINVAL.into())
    }

    fn poll(&self, _caller: &Caller<'_>, _file: &OpenFile) -> PollEvents {
        if self.ticks() > 0 { PollEvents::POLLIN } else { PollEvents::empty() }
    }

    fn poll_register(&self, _file: &OpenFile, _interest: PollEvents, table: &mut PollTable) {
        table.register(Arc::clone(&self.expirations) as Arc<dyn PollSource>);
    }

    fn stat(&self, _caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(anon_stat())
    }
}
