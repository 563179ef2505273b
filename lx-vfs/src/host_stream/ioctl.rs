//! `ioctl_tty(2)` of host terminals.

use lx_core::Caller;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::{Errno, Signal, UserPtr};
use lx_core::error::Result;

use super::console::Console;
use super::port::Port;

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
    console: &Console,
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
                console.check_foreground(caller, Signal::SIGTTOU)?;
            }
            port.host().terminal_ioctl(port.fd(), request.0, bytes)?;
            return Ok(0);
        }
        None => {}
    }
    match request {
        // The number itself is the argument: its bytes go to the host.
        IoctlCmd::TCSBRK | IoctlCmd::TCSBRKP | IoctlCmd::TCFLSH | IoctlCmd::TCXONC => {
            console.check_foreground(caller, Signal::SIGTTOU)?;
            port.host().terminal_ioctl(port.fd(), request.0, &mut arg.to_ne_bytes())?;
            Ok(0)
        }
        _ => job_control(console, caller, request, arg),
    }
}

fn job_control(console: &Console, caller: &Caller<'_>, request: IoctlCmd, arg: u64) -> Result<u64> {
    let memory = caller.memory();
    match request {
        IoctlCmd::TIOCGPGRP => {
            console.controls(caller).ok_or(Errno::ENOTTY)?;
            memory.write(UserPtr::new(arg), &console.foreground())?;
        }
        IoctlCmd::TIOCGSID => {
            console.controls(caller).ok_or(Errno::ENOTTY)?;
            memory.write(UserPtr::new(arg), &console.session())?;
        }
        IoctlCmd::TIOCSPGRP => {
            let jobs = console.controls(caller).ok_or(Errno::ENOTTY)?;
            console.check_foreground(caller, Signal::SIGTTOU)?;
            let pgid: i32 = memory.read(UserPtr::new(arg))?;
            if pgid < 0 {
                return Err(Errno::EINVAL.into());
            }
            let session = jobs.session_of_group(pgid).ok_or(Errno::ESRCH)?;
            if session != jobs.session() {
                return Err(Errno::EPERM.into());
            }
            console.set_foreground(pgid);
        }
        IoctlCmd::TIOCSCTTY => {
            let jobs = caller.identity.jobs().ok_or(Errno::EPERM)?;
            if console.session() == jobs.session() && jobs.is_session_leader() {
                return Ok(0);
            }
            // Only a leader without a terminal gets one, and only one that is free.
            if !jobs.is_session_leader()
                || Console::of_session(jobs.session()).is_some()
                || console.session() != 0
            {
                return Err(Errno::EPERM.into());
            }
            console.set_session(jobs.session(), jobs.process_group());
        }
        IoctlCmd::TIOCNOTTY => {
            let jobs = console.controls(caller).ok_or(Errno::ENOTTY)?;
            if jobs.is_session_leader() {
                console.release();
            }
        }
        _ => {
            lx_core::unsupported::note("terminal ioctl", u64::from(request.0));
            return Err(Errno::ENOTTY.into());
        }
    }
    Ok(0)
}
