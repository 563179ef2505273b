//! A terminal of the host that the library has made raw, to show a guest's terminal there.

use lx_core::abi::ioctl::IoctlCmd;
use lx_core::abi::tty::{LocalFlags, OutputFlags, Termios};
use lx_core::control::TerminalSettings;
use lx_core::host::{Host, HostFd};
use zerocopy::{FromZeros, IntoBytes};

/// Gives the terminal its settings back, if it still is as the library has made it. Somebody else
/// may use it by now: a shell that saw the library die.
pub(crate) fn restore(host: &dyn Host, terminal: &HostFd, settings: &TerminalSettings) {
    if host.restore_terminal(terminal, settings) {
        return;
    }
    let mut now = Termios::new_zeroed();
    let known = host.terminal_ioctl(terminal, IoctlCmd::TCGETS.0, now.as_mut_bytes()).is_ok();
    if known && is_raw(&now) {
        // A terminal that cannot be set is gone.
        let mut settings = Termios::from(settings);
        let _ = host.terminal_ioctl(terminal, IoctlCmd::TCSETS.0, settings.as_mut_bytes());
    }
}

/// As `cfmakeraw(3)` leaves it. Editors of lines and screens keep some of these.
fn is_raw(settings: &Termios) -> bool {
    let cooked = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
    !settings.local().intersects(cooked) && !settings.output().contains(OutputFlags::OPOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_is_more_than_no_lines() {
        let mut settings = Termios::INITIAL;
        assert!(!is_raw(&settings));
        settings.c_lflag &= !(LocalFlags::ICANON | LocalFlags::ECHO).bits();
        assert!(!is_raw(&settings));
        (settings.c_lflag, settings.c_oflag) = (0, 0);
        assert!(is_raw(&settings));
    }
}
