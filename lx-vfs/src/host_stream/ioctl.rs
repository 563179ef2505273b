//! `ioctl_tty(2)` of host terminals.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::{Errno, Signal};
use lx_core::error::Result;

use super::console::Console;
use super::port::Port;
use crate::tty::control::{self, Terminal};

/// Which way the argument structure of a request goes.
enum Argument {
    /// To the guest, so many bytes.
    Out(usize),
    /// From the guest; changes the terminal, so it is kept from the background.
    In(usize),
}

/// The argument of requests that are the host terminal's business.
fn argument(request: IoctlCmd) -> Option<Argument> {
    Some(match request {
        IoctlCmd::TCGETS => Argument::Out(36),
        IoctlCmd::TCSETS | IoctlCmd::TCSETSW | IoctlCmd::TCSETSF => Argument::In(36),
        IoctlCmd::TCGETS2 => Argument::Out(44),
        IoctlCmd::TCSETS2 | IoctlCmd::TCSETSW2 | IoctlCmd::TCSETSF2 => Argument::In(44),
        IoctlCmd::TCGETA => Argument::Out(18),
        IoctlCmd::TCSETA | IoctlCmd::TCSETAW | IoctlCmd::TCSETAF => Argument::In(18),
        IoctlCmd::TIOCGWINSZ => Argument::Out(8),
        IoctlCmd::TIOCSWINSZ => Argument::In(8),
        IoctlCmd::TIOCOUTQ | IoctlCmd::FIONREAD | IoctlCmd::TIOCGETD => Argument::Out(4),
        _ => return None,
    })
}

pub(super) fn terminal(
    port: &Port,
    console: &Arc<Console>,
    caller: &Caller<'_>,
    request: u32,
    arg: u64,
) -> Result<u64> {
    let request = IoctlCmd(request);
    match argument(request) {
        Some(Argument::Out(len)) => {
            let mut buffer = [0; 64];
            let bytes = buffer.get_mut(..len).ok_or(Errno::EINVAL)?;
            port.host().terminal_ioctl(port.fd(), request.0, bytes)?;
            caller.memory().write_bytes(arg, bytes)?;
            return Ok(0);
        }
        Some(Argument::In(len)) => {
            let mut buffer = [0; 64];
            let bytes = buffer.get_mut(..len).ok_or(Errno::EINVAL)?;
            caller.memory().read_bytes(arg, bytes)?;
            if request != IoctlCmd::TIOCSWINSZ {
                console.control().check_foreground(caller, Signal::SIGTTOU)?;
            }
            port.host().terminal_ioctl(port.fd(), request.0, bytes)?;
            return Ok(0);
        }
        None => {}
    }
    match request {
        // The number itself is the argument: its bytes go to the host.
        IoctlCmd::TCSBRK | IoctlCmd::TCSBRKP | IoctlCmd::TCFLSH | IoctlCmd::TCXONC => {
            console.control().check_foreground(caller, Signal::SIGTTOU)?;
            port.host().terminal_ioctl(port.fd(), request.0, &mut arg.to_ne_bytes())?;
            Ok(0)
        }
        _ => {
            let terminal: Arc<dyn Terminal> = Arc::clone(console) as _;
            control::request(&terminal, caller, request, arg, true)
        }
    }
}
