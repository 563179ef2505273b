//! Terminals: pseudo terminals, their line discipline, and the part of any terminal in job control.

pub(crate) mod control;
mod discipline;
pub mod pty;

pub use control::{Control, Terminal, of_session, set_session};
