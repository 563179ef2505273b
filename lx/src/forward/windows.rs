//! Console events become signals: Ctrl-C is `SIGINT`, Ctrl-Break `SIGQUIT`, and the end of the
//! console, the session or the system `SIGHUP`.

use std::io;
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use lx::Signaller;

use super::events::{Event, Target};
use crate::host_terminal;

const SIGCONT: u32 = 18;

/// How long a guest gets to act on `SIGHUP`: Windows ends lx when its handler returns, and
/// after five seconds anyway.
const HANGUP_TIME: Duration = Duration::from_secs(4);

/// Status of a program that Ctrl-C ended before there was a guest.
const INTERRUPTED: i32 = 130;

/// Catches console events from its start on, and forwards them once it knows to whom.
pub(crate) struct Forwarder {
    target: Arc<OnceLock<Signaller>>,
}

impl Forwarder {
    /// Starts to catch events.
    pub(crate) fn start() -> io::Result<Self> {
        let target = Arc::new(OnceLock::new());
        let shared: Arc<OnceLock<Signaller>> = Arc::clone(&target);
        lx_windows::on_console_event(move |number| match shared.get() {
            Some(target) => forward(target, Event::from_number(number)),
            None => {
                lx_windows::restore_console();
                process::exit(INTERRUPTED)
            }
        })?;
        Ok(Self { target })
    }

    /// Forwards events to this command from now on.
    pub(crate) fn forward_to(&self, command: Signaller) {
        // Called once.
        let _ = self.target.set(command);
    }

    /// Windows has no ignored signals.
    pub(crate) fn ignored_signals(&self) -> impl Iterator<Item = u32> {
        std::iter::empty()
    }
}

fn forward(command: &Signaller, event: Event) {
    if event == Event::Interrupt && host_terminal::type_interrupt() {
        return;
    }
    let (signal, target) = event.signal();
    // An error means that the machine has stopped, which the waiter reports.
    let _ = match target {
        Target::Foreground => command.signal_foreground(signal),
        Target::Command => command.signal(signal),
    };
    if event == Event::End {
        thread::sleep(HANGUP_TIME);
    }
}

/// The guest was stopped. No shell of the host could continue it, so it goes on at once.
pub(crate) fn guest_stopped(guest: &Signaller) -> io::Result<()> {
    guest.signal_group(SIGCONT)
}
