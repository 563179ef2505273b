//! `ioctl_tty(2)` of both ends. What is asked of the master about settings, size and job control
//! concerns the terminal, too.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::tty::{
    ControlFlags, InputFlags, TCIFLUSH, TCIOFF, TCIOFLUSH, TCION, TCOFLUSH, TCOOFF, TCOON, Termio,
    Termios, Termios2, VSTART, VSTOP, Winsize,
};
use lx_core::abi::{Errno, Signal, UserPtr};
use lx_core::cred::Capabilities;
use lx_core::error::Result;
use lx_core::poll::PollEvents;

use super::{Pty, State, Wakes};
use crate::tty::control::{self, Terminal};

/// Speeds in baud by their code in `CBAUD`.
const SPEEDS: [u32; 16] =
    [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
/// The same for codes with the bit `CBAUDEX`, from 0x1001 on.
const HIGH_SPEEDS: [u32; 15] = [
    57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];
const CBAUDEX: u32 = 0x1000;

fn speed(c_cflag: u32) -> u32 {
    let code = c_cflag & ControlFlags::CBAUD.bits();
    let high = code & CBAUDEX != 0;
    let at = (code & !CBAUDEX) as usize;
    let found = if high { HIGH_SPEEDS.get(at.wrapping_sub(1)) } else { SPEEDS.get(at) };
    found.copied().unwrap_or(38400)
}

/// Requests at the slave.
pub(super) fn of_slave(pty: &Arc<Pty>, caller: &Caller<'_>, request: u32, arg: u64) -> Result<u64> {
    pty.lock().check_connected()?;
    let request = IoctlCmd(request);
    if changes(request) {
        pty.control().check_foreground(caller, Signal::SIGTTOU)?;
    }
    match request {
        IoctlCmd::TCFLSH => {
            let queues = queues(arg, false)?;
            flush(pty, queues);
            Ok(0)
        }
        IoctlCmd::TIOCSTI => type_in(pty, caller, arg),
        _ => of_either(pty, caller, request, arg, true),
    }
}

/// Requests at the master.
pub(super) fn of_master(
    pty: &Arc<Pty>,
    caller: &Caller<'_>,
    request: u32,
    arg: u64,
) -> Result<u64> {
    let memory = caller.memory();
    let request = IoctlCmd(request);
    match request {
        IoctlCmd::TIOCGPTN => memory.write(UserPtr::new(arg), &pty.number())?,
        IoctlCmd::TIOCSPTLCK => {
            let locked: i32 = memory.read(UserPtr::new(arg))?;
            pty.set_locked(locked != 0);
        }
        IoctlCmd::TIOCGPTLCK => {
            let locked = i32::from(pty.lock().locked);
            memory.write(UserPtr::new(arg), &locked)?;
        }
        IoctlCmd::TIOCPKT => {
            let on: i32 = memory.read(UserPtr::new(arg))?;
            pty.lock().packet.set(on != 0);
        }
        IoctlCmd::TIOCGPKT => {
            let on = i32::from(pty.lock().packet.is_on());
            memory.write(UserPtr::new(arg), &on)?;
        }
        IoctlCmd::TIOCSIG => {
            let signal = i32::try_from(arg).ok().and_then(Signal::new);
            let keys = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP];
            let signal = signal.filter(|signal| keys.contains(signal)).ok_or(Errno::EINVAL)?;
            pty.carry_out(Wakes { signals: alloc::vec![signal], ..Wakes::default() });
        }
        IoctlCmd::TCFLSH => flush(pty, queues(arg, true)?),
        IoctlCmd::TCXONC => control_typing(pty, arg)?,
        _ => {
            if changes(request) {
                pty.control().check_foreground(caller, Signal::SIGTTOU)?;
            }
            return of_either(pty, caller, request, arg, false);
        }
    }
    Ok(0)
}

/// Requests that the background may not make.
fn changes(request: IoctlCmd) -> bool {
    matches!(
        request,
        IoctlCmd::TCSETS
            | IoctlCmd::TCSETSW
            | IoctlCmd::TCSETSF
            | IoctlCmd::TCSETS2
            | IoctlCmd::TCSETSW2
            | IoctlCmd::TCSETSF2
            | IoctlCmd::TCSETA
            | IoctlCmd::TCSETAW
            | IoctlCmd::TCSETAF
            | IoctlCmd::TCSBRK
            | IoctlCmd::TCSBRKP
            | IoctlCmd::TCXONC
            | IoctlCmd::TCFLSH
            | IoctlCmd::TIOCSETD
    )
}

fn of_either(
    pty: &Arc<Pty>,
    caller: &Caller<'_>,
    request: IoctlCmd,
    arg: u64,
    is_slave: bool,
) -> Result<u64> {
    let memory = caller.memory();
    match request {
        IoctlCmd::TCGETS => {
            let settings = *pty.lock().discipline.settings();
            memory.write(UserPtr::new(arg), &settings)?;
        }
        IoctlCmd::TCGETS2 => {
            let settings = pty.lock().settings2();
            memory.write(UserPtr::new(arg), &settings)?;
        }
        IoctlCmd::TCGETA => {
            let settings = pty.lock().termio();
            memory.write(UserPtr::new(arg), &settings)?;
        }
        IoctlCmd::TCSETS | IoctlCmd::TCSETSW | IoctlCmd::TCSETSF => {
            let settings: Termios = memory.read(UserPtr::new(arg))?;
            pty.set_settings(settings, request == IoctlCmd::TCSETSF);
        }
        IoctlCmd::TCSETS2 | IoctlCmd::TCSETSW2 | IoctlCmd::TCSETSF2 => {
            let new: Termios2 = memory.read(UserPtr::new(arg))?;
            let Termios2 { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc, .. } = new;
            let settings = Termios { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc };
            pty.set_settings(settings, request == IoctlCmd::TCSETSF2);
        }
        IoctlCmd::TCSETA | IoctlCmd::TCSETAW | IoctlCmd::TCSETAF => {
            let new: Termio = memory.read(UserPtr::new(arg))?;
            let settings = merge(*pty.lock().discipline.settings(), &new);
            pty.set_settings(settings, request == IoctlCmd::TCSETAF);
        }
        IoctlCmd::TIOCGWINSZ => {
            let window = pty.lock().window;
            memory.write(UserPtr::new(arg), &window)?;
        }
        IoctlCmd::TIOCSWINSZ => {
            let window: Winsize = memory.read(UserPtr::new(arg))?;
            pty.resize(window);
        }
        IoctlCmd::TIOCGETD | IoctlCmd::TIOCOUTQ => memory.write(UserPtr::new(arg), &0_i32)?,
        IoctlCmd::TIOCSETD => {
            let discipline: i32 = memory.read(UserPtr::new(arg))?;
            if discipline != 0 {
                lx_core::unsupported::note(
                    "line discipline",
                    u64::from(discipline.cast_unsigned()),
                );
                return Err(Errno::EINVAL.into());
            }
        }
        IoctlCmd::TIOCEXCL => pty.lock().exclusive = true,
        IoctlCmd::TIOCNXCL => pty.lock().exclusive = false,
        IoctlCmd::TIOCGEXCL => {
            let exclusive = i32::from(pty.lock().exclusive);
            memory.write(UserPtr::new(arg), &exclusive)?;
        }
        IoctlCmd::TIOCGDEV => {
            // The kernel's encoding in 32 bits.
            let rdev = Pty::rdev(pty) as u32;
            memory.write(UserPtr::new(arg), &rdev)?;
        }
        // Output is with the master as soon as it is written, and a pty has no line to break.
        IoctlCmd::TCSBRK | IoctlCmd::TCSBRKP => {}
        IoctlCmd::TCXONC => control_flow(pty, arg)?,
        IoctlCmd::TIOCVHANGUP => {
            if !caller.cred().has(Capabilities::SYS_ADMIN) {
                return Err(Errno::EPERM.into());
            }
            lx_core::unsupported::note("ioctl TIOCVHANGUP", arg);
            return Err(Errno::ENOTTY.into());
        }
        _ => {
            let terminal: Arc<dyn Terminal> = Arc::clone(pty) as _;
            return control::request(&terminal, caller, request, arg, is_slave);
        }
    }
    Ok(0)
}

impl State {
    fn settings2(&self) -> Termios2 {
        let Termios { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc } =
            *self.discipline.settings();
        let speed = speed(c_cflag);
        let (c_ispeed, c_ospeed) = (speed, speed);
        Termios2 { c_iflag, c_oflag, c_cflag, c_lflag, c_line, c_cc, c_ispeed, c_ospeed }
    }

    fn termio(&self) -> Termio {
        let settings = self.discipline.settings();
        let mut c_cc = [0; 8];
        for (place, byte) in c_cc.iter_mut().zip(settings.c_cc) {
            *place = byte;
        }
        Termio {
            c_iflag: settings.c_iflag as u16,
            c_oflag: settings.c_oflag as u16,
            c_cflag: settings.c_cflag as u16,
            c_lflag: settings.c_lflag as u16,
            c_line: settings.c_line,
            c_cc,
            pad: 0,
        }
    }
}

/// The old structure changes the lower halves of the flags, and the first control characters.
fn merge(old: Termios, new: &Termio) -> Termios {
    let low = |old: u32, new: u16| (old & 0xffff_0000) | u32::from(new);
    let mut c_cc = old.c_cc;
    for (place, byte) in c_cc.iter_mut().zip(new.c_cc) {
        *place = byte;
    }
    Termios {
        c_iflag: low(old.c_iflag, new.c_iflag),
        c_oflag: low(old.c_oflag, new.c_oflag),
        c_cflag: low(old.c_cflag, new.c_cflag),
        c_lflag: low(old.c_lflag, new.c_lflag),
        c_line: new.c_line,
        c_cc,
    }
}

/// Whether `^S` and `^Q` stop output, which packet mode tells.
fn has_flow_keys(settings: &Termios) -> bool {
    const STOP: u8 = 0o23;
    const START: u8 = 0o21;
    settings.input().contains(InputFlags::IXON)
        && settings.cc(VSTOP) == STOP
        && settings.cc(VSTART) == START
}

impl Pty {
    /// Changes the settings, `tcsetattr(3)`; `flush` throws away what was typed.
    pub fn set_settings(&self, settings: Termios, flush: bool) {
        // A pty has eight bits and no parity.
        let fixed = (ControlFlags::CSIZE | ControlFlags::PARENB).bits();
        let always = (ControlFlags::CS8 | ControlFlags::CREAD).bits();
        let settings = Termios { c_cflag: (settings.c_cflag & !fixed) | always, ..settings };
        let mut wakes = Wakes::default();
        {
            let mut state = self.lock();
            let before = has_flow_keys(state.discipline.settings());
            if flush {
                state.backlog.clear();
                state.discipline.flush_input();
            }
            state.discipline.set_settings(settings);
            let now = has_flow_keys(&settings);
            if before != now {
                state.packet.flow_keys(now);
            }
            state.process_backlog(&mut wakes);
            // Who waited for a line may get bytes now.
            wakes.slave |= PollEvents::READABLE | PollEvents::WRITABLE;
        }
        self.carry_out(wakes);
    }

    /// Changes the size; the foreground hears of it.
    pub fn resize(&self, window: Winsize) {
        let changed = {
            let mut state = self.lock();
            let old = core::mem::replace(&mut state.window, window);
            old != window
        };
        if changed {
            self.carry_out(Wakes { signals: alloc::vec![Signal::SIGWINCH], ..Wakes::default() });
        }
    }
}

/// Which queues a `TCFLSH` empties: what programs have not read, what the master has not read.
fn queues(arg: u64, at_master: bool) -> Result<(bool, bool)> {
    let (input, output) = match u32::try_from(arg).map_err(|_| Errno::EINVAL)? {
        TCIFLUSH => (true, false),
        TCOFLUSH => (false, true),
        TCIOFLUSH => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(if at_master { (output, input) } else { (input, output) })
}

fn flush(pty: &Pty, (input, output): (bool, bool)) {
    let mut wakes = Wakes::default();
    {
        let mut state = pty.lock();
        if input {
            state.backlog.clear();
            state.discipline.flush_input();
            state.packet.flushed_read();
            wakes.master |= PollEvents::WRITABLE;
        }
        if output {
            state.discipline.flush_output();
            state.packet.flushed_write();
            wakes.slave |= PollEvents::WRITABLE;
        }
        if state.packet.is_pending() {
            wakes.master |= PollEvents::READABLE | PollEvents::POLLPRI;
        }
    }
    pty.carry_out(wakes);
}

/// `TCXONC` at the slave.
fn control_flow(pty: &Pty, arg: u64) -> Result<()> {
    let mut wakes = Wakes::default();
    {
        let mut state = pty.lock();
        let settings = *state.discipline.settings();
        let before = state.discipline.is_stopped();
        match u32::try_from(arg).map_err(|_| Errno::EINVAL)? {
            TCOOFF => state.discipline.set_stopped(true),
            TCOON => state.discipline.set_stopped(false),
            TCIOFF => drop(state.discipline.write(&[settings.cc(VSTOP)])),
            TCION => drop(state.discipline.write(&[settings.cc(VSTART)])),
            _ => return Err(Errno::EINVAL.into()),
        }
        let now = state.discipline.is_stopped();
        state.packet.flow(before, now);
        wakes.slave |= PollEvents::WRITABLE;
        wakes.master |= PollEvents::READABLE;
    }
    pty.carry_out(wakes);
    Ok(())
}

/// `TCXONC` at the master, whose own keys are always the usual ones.
fn control_typing(pty: &Pty, arg: u64) -> Result<()> {
    let mut wakes = Wakes::default();
    {
        let mut state = pty.lock();
        match u32::try_from(arg).map_err(|_| Errno::EINVAL)? {
            TCOOFF => state.master_stopped = true,
            TCOON => state.master_stopped = false,
            TCIOFF => state.backlog.push_back(Termios::INITIAL.cc(VSTOP)),
            TCION => state.backlog.push_back(Termios::INITIAL.cc(VSTART)),
            _ => return Err(Errno::EINVAL.into()),
        }
        state.process_backlog(&mut wakes);
    }
    pty.carry_out(wakes);
    Ok(())
}

/// `TIOCSTI`: as if the byte had been typed.
fn type_in(pty: &Pty, caller: &Caller<'_>, arg: u64) -> Result<u64> {
    if pty.control().controls(caller).is_none() && !caller.cred().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM.into());
    }
    let byte: u8 = caller.memory().read(UserPtr::new(arg))?;
    let mut wakes = Wakes::default();
    {
        let mut state = pty.lock();
        state.backlog.push_back(byte);
        state.process_backlog(&mut wakes);
    }
    pty.carry_out(wakes);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_by_code() {
        assert_eq!(speed(0xf), 38400);
        assert_eq!(speed(0x1002 | 0xb0), 115_200);
        assert_eq!(speed(0), 0);
    }
}
