//! Host descriptors whose readiness changes: the terminal, pipes given as standard streams.

use super::{HostFd, HostResult};
use crate::control::TerminalSettings;
use crate::poll::PollEvents;

/// Names a waiting object in [`Supervisor::host_ready`](super::Supervisor::host_ready).
pub type ReadyToken = u64;

/// Readiness as the host reports it.
pub type HostEvents = PollEvents;

/// Readiness and terminal control of host descriptors.
pub trait HostConsole {
    /// The events out of `interest` that hold now; never blocks.
    fn ready(&self, fd: &HostFd, interest: PollEvents) -> PollEvents;
    /// Asks for one [`Supervisor::host_ready`](super::Supervisor::host_ready) with `token` as soon
    /// as one of `interest` holds. `EPERM` means: a file that is always ready.
    fn arm(&self, fd: &HostFd, interest: PollEvents, token: ReadyToken) -> HostResult<()>;
    /// Forgets what was armed for this descriptor.
    fn disarm(&self, fd: &HostFd);
    /// Whether the descriptor is a terminal.
    fn is_terminal(&self, fd: &HostFd) -> bool;
    /// A terminal `ioctl(2)` (`TCGETS`, `TCSETS*`, `TIOCGWINSZ`, `TIOCSWINSZ`, `FIONREAD`…) passed
    /// through; `arg` is the argument structure, read and written in place. For the requests whose
    /// argument is a number (`TCSBRK`, `TCSBRKP`, `TCFLSH`, `TCXONC`) it holds that number.
    fn terminal_ioctl(&self, fd: &HostFd, request: u32, arg: &mut [u8]) -> HostResult<i32>;
    /// Gives a terminal that the library has made raw its settings back, if it still is raw and these
    /// settings are of the host's own kind. `false` where terminals have Linux' settings.
    fn restore_terminal(&self, _fd: &HostFd, _settings: &TerminalSettings) -> bool {
        false
    }
}
