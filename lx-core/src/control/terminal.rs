//! Terminals of commands.

use alloc::vec::Vec;

use super::DecodeError;
use super::wire::{Reader, Wire, wire_enum, wire_struct};
use crate::abi::tty::{NCCS, Termios};

/// Which terminal controls the session of a new command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpawnTerminal {
    /// That of the host which is one of the standard streams, if one is.
    Standard,
    /// A new pseudo terminal.
    Own(OwnTerminal),
}

/// A terminal whose master is with the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTerminal {
    /// The standard streams that are this terminal: bit `n` for descriptor `n`. What came for them
    /// is not used.
    pub streams: u8,
    /// Its first settings.
    pub settings: TerminalSettings,
    /// Its first size.
    pub size: WindowSize,
}

/// Settings of a terminal, as in `struct termios`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalSettings {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_cflag`
    pub control: u32,
    /// `c_lflag`
    pub local: u32,
    /// `c_cc`, in Linux's order; what is missing is switched off.
    pub characters: Vec<u8>,
}

/// Size of the terminal, as in `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// Width in pixels, or 0.
    pub x_pixels: u16,
    /// Height in pixels, or 0.
    pub y_pixels: u16,
}

wire_enum!(SpawnTerminal { 0 => Standard, 1 => Own(own) });
wire_struct!(OwnTerminal { streams, settings, size });
wire_struct!(TerminalSettings { input, output, control, local, characters });
wire_struct!(WindowSize { rows, columns, x_pixels, y_pixels });

impl Default for TerminalSettings {
    /// Those of a fresh terminal.
    fn default() -> Self {
        let Termios { c_iflag, c_oflag, c_cflag, c_lflag, c_cc, .. } = Termios::INITIAL;
        let characters = c_cc.to_vec();
        Self { input: c_iflag, output: c_oflag, control: c_cflag, local: c_lflag, characters }
    }
}

impl From<&TerminalSettings> for Termios {
    fn from(settings: &TerminalSettings) -> Self {
        let mut termios = Self {
            c_iflag: settings.input,
            c_oflag: settings.output,
            c_cflag: settings.control,
            c_lflag: settings.local,
            c_cc: [0; NCCS],
            ..Self::INITIAL
        };
        for (place, character) in termios.c_cc.iter_mut().zip(&settings.characters) {
            *place = *character;
        }
        termios
    }
}
