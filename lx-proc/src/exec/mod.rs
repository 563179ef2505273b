//! `execve(2)`.

use crate::current::CurrentTask;

/// First entry of a task in an empty host process: maps the program that `execve` has prepared and
/// sets the registers.
pub fn start(current: &CurrentTask<'_>) {
    let _ = current;
}
