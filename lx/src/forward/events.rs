//! What the events of Windows' consoles mean to a guest.

/// What the console, or the system by way of it, asks of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Break.
    Break,
    /// The console was closed, the user logs off, or the system shuts down.
    End,
}

/// Who gets the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The foreground process group, as for keys of a terminal.
    Foreground,
    /// The command, as for what its terminal tells the session's leader.
    Command,
}

impl Event {
    /// From the number that Windows gives its handler; what is unknown ends the program.
    pub(super) fn from_number(number: u32) -> Self {
        const CTRL_C: u32 = 0;
        const CTRL_BREAK: u32 = 1;
        match number {
            CTRL_C => Self::Interrupt,
            CTRL_BREAK => Self::Break,
            // `CTRL_CLOSE_EVENT`, `CTRL_LOGOFF_EVENT`, `CTRL_SHUTDOWN_EVENT`.
            _ => Self::End,
        }
    }

    /// The signal, and who gets it.
    pub(super) fn signal(self) -> (u32, Target) {
        const SIGHUP: u32 = 1;
        const SIGINT: u32 = 2;
        const SIGQUIT: u32 = 3;
        match self {
            Self::Interrupt => (SIGINT, Target::Foreground),
            Self::Break => (SIGQUIT, Target::Foreground),
            Self::End => (SIGHUP, Target::Command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_signals() {
        let signal = |number| Event::from_number(number).signal();
        assert_eq!(signal(0), (2, Target::Foreground));
        assert_eq!(signal(1), (3, Target::Foreground));
        for end in [2, 5, 6] {
            assert_eq!(signal(end), (1, Target::Command));
        }
    }
}
