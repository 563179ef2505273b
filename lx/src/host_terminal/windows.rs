//! The console is the guest's terminal without `-t`; there is no other.

use std::convert::Infallible;
use std::io;

use lx::{Child, Command, Machine};

/// The console in raw mode, which lx does not do yet.
pub(crate) struct HostTerminal(Infallible);

impl HostTerminal {
    /// Says that it does not work.
    pub(crate) fn find() -> io::Result<Self> {
        let reason = "-t does not work on Windows, where the console is the guest's terminal \
                      without it";
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }

    pub(crate) fn give_to(&self, _: &Machine, _: &mut Command) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn show(self, _: &mut Child) -> io::Result<Shown> {
        match self.0 {}
    }
}

/// A terminal that is shown.
pub(crate) struct Shown(Infallible);

impl Shown {
    pub(crate) fn finish(self) {
        match self.0 {}
    }
}
