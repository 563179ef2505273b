//! Runs programs natively and on lx, and compares what they did.
//!
//! - [`programs`]: the scripts of `tests/programs` and the programs that they need.
//! - [`Run`]: one bounded run of a command, with all that it printed.
//! - [`lx`]: where the `lx` command is and how to run a program on it.
//! - [`compare`]: what differs between two runs, as text for a failed test.
//! - [`processes`]: what runs on the host.
//! - [`expectations`]: the known gaps of guest programs.

pub mod compare;
pub mod expectations;
pub mod lx;
pub mod processes;
pub mod programs;
mod run;

pub use run::{LIMIT, Outcome, Run};
