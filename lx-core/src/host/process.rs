//! Host processes: twins for `fork`, a pool for `exec` out of `vfork`, the supervisor's callbacks.

use alloc::sync::Arc;

use super::{HostResult, HostThreadId, Nanos, ReadyToken, TrapHandler};
use crate::abi::GuestRegs;
use crate::poll::PollEvents;

/// Processes.
pub trait HostProcess {
    /// Makes a twin of the calling host process: guest memory copied on write, only the calling
    /// thread. The twin enters the guest with `regs`, the caller's FS base and extended state.
    fn fork(&self, handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()>;
    /// Runs a child that shares the caller's memory on the caller's own host thread, with a
    /// thread block of its own, until the child executes a program or gives
    /// [`Resume::Exit`](super::Resume::Exit); only then returns. `vfork(2)`.
    fn run_borrowed(&self, handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()>;
    /// Whether the calling task runs on a borrowed thread.
    fn is_borrowed(&self) -> bool;
    /// Starts `handler` in an empty host process (from the pool): its
    /// [`TrapHandler::start`] is called there.
    fn spawn_process(&self, handler: Arc<dyn TrapHandler>) -> HostResult<()>;
    /// Makes the supervisor call [`Supervisor::next_event`] soon, from any process.
    fn notify_supervisor(&self);
    /// Ends the machine in order: every guest process is killed, the host process of the
    /// supervisor exits.
    fn shut_down(&self) -> !;
    /// Stops the whole machine after a kernel bug; `report` goes to the host's error output.
    fn stop_machine(&self, report: &str) -> !;
}

/// What the host's supervisor calls in the kernel, on a thread that runs no guest.
pub trait Supervisor: Send + Sync {
    /// The machine has booted: the host's services work.
    fn boot(&self);
    /// The monotonic clock reached the deadline of
    /// [`HostClock::set_timer`](super::HostClock::set_timer).
    fn timer_expired(&self, now: Nanos);
    /// What was armed with `token` became ready.
    fn host_ready(&self, token: ReadyToken, events: PollEvents);
    /// The host process of these blocks died without telling the kernel.
    fn host_thread_died(&self, thread: HostThreadId, signal: u8);
    /// A packet from the embedding program; `fds` came along with it.
    fn control_message(&self, packet: &[u8], fds: &mut alloc::vec::Vec<super::HostFd>);
    /// Does what [`HostProcess::notify_supervisor`] announced, before the events are sent.
    fn work(&self);
    /// The machine ends, and nothing of it will run any more.
    fn ending(&self);
    /// A packet to be sent to the embedding program, if any; called until `false`.
    fn next_event(&self, packet: &mut alloc::vec::Vec<u8>) -> bool;
}

/// Memory and load of the machine that lx runs on, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineLoad {
    /// Memory.
    pub memory: u64,
    /// Memory that nothing uses.
    pub memory_free: u64,
    /// Swap space.
    pub swap: u64,
    /// Swap space that nothing uses.
    pub swap_free: u64,
    /// Load averages over 1, 5 and 15 minutes, times 65536.
    pub loads: [u64; 3],
}

/// Counters of the host, for `--stats`, and what it knows of the machine.
pub trait HostStats {
    /// Memory that programs could get, caches included.
    fn memory_available(&self) -> u64 {
        self.machine_load().memory_free
    }
    /// Memory and load; unknown figures are plausible ones.
    fn machine_load(&self) -> MachineLoad {
        MachineLoad { memory: 4 << 30, memory_free: 2 << 30, ..MachineLoad::default() }
    }
    /// Host system calls that the calling thread has made so far.
    fn host_calls(&self) -> u64 {
        0
    }
    /// Guest system calls of the whole machine that were not rewritten and came by a trap.
    fn trapped_calls(&self) -> u64 {
        0
    }
    /// Host system calls of the whole machine by name.
    fn host_call_kinds(&self) -> alloc::vec::Vec<(&'static str, u64)> {
        alloc::vec::Vec::new()
    }
    /// Switches counting on.
    fn enable_counting(&self) {}
}
