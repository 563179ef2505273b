//! Run Linux programs on lx.
//!
//! A [`Machine`] is a Linux system with its own processes, file system and signals. Its kernel
//! is part of this library and runs in child processes of the program that uses it, without
//! privileges and without preparation. Commands are started in the manner of
//! [`std::process::Command`]:
//!
//! ```no_run
//! use lx::Machine;
//!
//! # fn main() -> std::io::Result<()> {
//! let machine = Machine::builder().build()?;
//! let output = machine.command("/bin/bash").args(["-c", "echo $((6 * 7))"]).output()?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"42\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! What a command starts with depends on the root file system of its machine:
//!
//! | | host's own root (default) | a directory ([`Builder::rootfs`]) | an archive ([`Builder::rootfs`]) |
//! |---|---|---|---|
//! | writes | in memory, gone with the machine | in the directory | in memory, gone with the machine |
//! | user | the calling process's ids and groups | root | root |
//! | environment | the calling process's | `PATH`, `HOME`, `HOSTNAME` and the caller's `TERM` | as in a directory |
//! | working directory | the calling process's | `/` | `/` |
//!
//! So `make` behaves on the default root as it does natively, and in a directory or an archive as
//! in a container. Windows has no root of its own for guests: there one must be given.
//!
//! # No security boundary
//!
//! A guest can do whatever the host user can do. Linux's rules (users, modes, capabilities) are
//! enforced between well-behaved guests only. Do not run programs that you do not trust.

mod archive;
mod child;
mod command;
mod connection;
mod error;
#[cfg(any(windows, test))]
mod host_env;
mod image;
mod machine;
mod names;
mod stats;
mod sys;
mod terminal;
mod users;

#[cfg(test)]
#[cfg(unix)]
mod test_init;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub use child::{Change, Child, ExitStatus, Output, Signaller};
pub use command::{Command, Stdio};
pub use error::{SpawnError, Stage};
pub use machine::{Builder, Machine};
pub use stats::{CallStats, Counter, Stats};
pub use terminal::Terminal;

pub use lx_core::control::TerminalSettings;
