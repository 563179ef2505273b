//! Terminals of the guest.

use lx_core::control::{OwnTerminal, SpawnTerminal, TerminalSettings, WindowSize};

/// A terminal of a command's own: a pseudo terminal of the guest that controls the command's
/// session. See [`Command::terminal`](crate::Command::terminal).
#[derive(Clone, Debug)]
pub struct Terminal {
    settings: TerminalSettings,
    size: WindowSize,
}

impl Terminal {
    /// A terminal of so many lines and characters, with the settings of a fresh one.
    pub fn new(rows: u16, columns: u16) -> Self {
        let size = WindowSize { rows, columns, x_pixels: 0, y_pixels: 0 };
        Self { settings: TerminalSettings::default(), size }
    }

    /// Sets what `tcgetattr(3)` tells the command at first.
    pub fn settings(mut self, settings: TerminalSettings) -> Self {
        self.settings = settings;
        self
    }

    /// As part of a request, for these standard streams.
    pub(crate) fn for_streams(&self, streams: [bool; 3]) -> SpawnTerminal {
        let streams = streams.iter().rev().fold(0, |bits, is_own| bits << 1 | u8::from(*is_own));
        let Self { settings, size } = self.clone();
        SpawnTerminal::Own(OwnTerminal { streams, settings, size })
    }
}
