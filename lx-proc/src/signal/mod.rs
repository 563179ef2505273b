//! Signals.

use lx_core::host::FaultInfo;

use crate::current::CurrentTask;

/// How a call that a signal ended wants to be restarted, `signal(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Unless a handler without `SA_RESTART` runs (`ERESTARTSYS`).
    UnlessHandlerRefuses,
    /// Only if no handler runs (`ERESTARTNOHAND`).
    WithoutHandler,
}

/// Delivers what is pending before the guest goes on; `restart` if the call just made wants to be
/// restarted.
pub fn deliver(current: &CurrentTask<'_>, restart: Option<Restart>) {
    let _ = (current, restart);
}

/// Turns a fault of guest code into its signal.
pub fn fault(current: &CurrentTask<'_>, info: &FaultInfo) {
    let _ = (current, info);
}
