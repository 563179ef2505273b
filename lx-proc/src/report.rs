//! What the kernel tells the program that owns the machine: ends and stops of its commands, lines
//! of `--strace`.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, Signal};
use lx_core::host::{Buf, Host, HostFd};
use lx_core::sync::{Mutex, level};

/// How long a line waits for a receiver that takes nothing now, nanoseconds.
const TRACE_RETRY: u64 = 1_000_000;

/// Hears of children of init. Called without any lock held.
pub trait Reporter: Send + Sync {
    /// A child of init has ended and was reaped.
    fn ended(&self, tgid: i32, status: WaitStatus);
    /// A child of init was stopped.
    fn stopped(&self, tgid: i32, signal: Signal);
}

/// Where reports go.
#[derive(Default)]
pub struct Reports {
    targets: Mutex<Targets, { level::STATS }>,
    lost: AtomicU64,
}

#[derive(Default)]
struct Targets {
    reporter: Option<Arc<dyn Reporter>>,
    trace: Option<Arc<HostFd>>,
}

impl Reports {
    /// Sets who hears of init's children.
    pub fn set_reporter(&self, reporter: Arc<dyn Reporter>) {
        self.targets.lock().reporter = Some(reporter);
    }

    /// Sets where trace lines go.
    pub fn set_trace(&self, fd: HostFd) {
        self.targets.lock().trace = Some(Arc::new(fd));
    }

    /// A child of init has ended.
    pub fn ended(&self, tgid: i32, status: WaitStatus) {
        let reporter = self.targets.lock().reporter.clone();
        if let Some(reporter) = reporter {
            reporter.ended(tgid, status);
        }
    }

    /// A child of init was stopped.
    pub fn stopped(&self, tgid: i32, signal: Signal) {
        let reporter = self.targets.lock().reporter.clone();
        if let Some(reporter) = reporter {
            reporter.stopped(tgid, signal);
        }
    }

    /// Writes a line of `--strace`. A line that cannot be written is lost, and counted unless the
    /// receiver is gone.
    pub fn trace_line(&self, host: &dyn Host, line: &str) {
        let Some(fd) = self.targets.lock().trace.clone() else { return };
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match host.write(&fd, Buf::Kernel(rest)) {
                Ok(0) => return,
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.0 == Errno::EAGAIN => {
                    // Nobody wakes a trace.
                    let soon = host.monotonic().saturating_add(TRACE_RETRY);
                    host.park(&AtomicU32::new(0), 0, Some(soon));
                }
                Err(error) => {
                    if error.0 != Errno::EPIPE {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                    return;
                }
            }
        }
    }

    /// How many lines of `--strace` could not be written.
    pub fn lost_lines(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
