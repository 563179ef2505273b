//! Time and timers.

/// Nanoseconds: of a clock's own epoch, or a span.
pub type Nanos = u64;

/// Clocks of the host.
pub trait HostClock {
    /// `CLOCK_MONOTONIC`, the clock of all deadlines in the kernel.
    fn monotonic(&self) -> Nanos;
    /// `CLOCK_REALTIME`, nanoseconds since 1970.
    fn realtime(&self) -> Nanos;
    /// `CLOCK_BOOTTIME`.
    fn boottime(&self) -> Nanos;
    /// Processor time of the calling host thread since it began to run its present guest task.
    fn thread_cpu(&self) -> Nanos;
    /// Processor time of the calling host process.
    fn process_cpu(&self) -> Nanos;
    /// Processor time of the host process that `thread` belongs to; 0 if the host cannot tell.
    fn process_cpu_of(&self, thread: super::HostThreadId) -> Nanos {
        let _ = thread;
        0
    }
    /// Resolution of the clocks above.
    fn resolution(&self) -> Nanos;
    /// Asks for [`Supervisor::timer_expired`](super::Supervisor::timer_expired) once the monotonic
    /// clock reaches `deadline`; replaces the former request; `None` cancels it.
    fn set_timer(&self, deadline: Option<Nanos>);
    /// Address in the shared region of the page that the guests' vDSO reads the clocks from, kept up
    /// to date by the host; `None` if every clock call has to enter the kernel.
    fn vdso_clock_page(&self) -> Option<u64>;
}
