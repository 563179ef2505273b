//! The table: one line per call.
//!
//! `number name => handler, support;` — dispatch, names, strace and `docs/syscalls.md` are made
//! from these lines.

use core::fmt;

use lx_core::Result;
use lx_proc::CurrentTask;

use crate::handler::Handler;
use crate::sys;

/// How far a call is implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Everything its man page says.
    Full,
    /// Part; the note says what is missing.
    Partial(&'static str),
}

/// One line of the table.
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// Support level.
    pub support: Support,
    /// Decodes the arguments and calls the handler.
    pub call: fn(&CurrentTask<'_>, &[u64; 6]) -> Result<u64>,
    /// Prints the arguments.
    pub trace: fn(&CurrentTask<'_>, &[u64; 6], &mut fmt::Formatter<'_>) -> fmt::Result,
    /// Number of arguments.
    pub arity: fn() -> usize,
}

/// One more than the highest number in the table.
pub const TABLE_LEN: usize = 512;

macro_rules! syscalls {
    ($($number:literal $name:ident => $($handler:ident)::+, $support:expr;)*) => {
        /// The entry of each number, `None` where a call is not implemented.
        pub static TABLE: [Option<Entry>; TABLE_LEN] = {
            let mut table = [const { None }; TABLE_LEN];
            $(
                table[$number] = Some(Entry {
                    name: stringify!($name),
                    support: $support,
                    call: |task, args| Handler::call(&sys::$($handler)::+, task, args),
                    trace: |task, args, f| Handler::trace(&sys::$($handler)::+, task, args, f),
                    arity: || Handler::arity(&sys::$($handler)::+),
                });
            )*
            table
        };
    };
}

use Support::{Full, Partial};

syscalls! {
    2 open => open::sys_open, Full;
    39 getpid => id::sys_getpid, Full;
    85 creat => open::sys_creat, Full;
    102 getuid => id::sys_getuid, Full;
    104 getgid => id::sys_getgid, Full;
    107 geteuid => id::sys_geteuid, Full;
    108 getegid => id::sys_getegid, Full;
    110 getppid => id::sys_getppid, Full;
    186 gettid => id::sys_gettid, Full;
    257 openat => open::sys_openat, Full;
    437 openat2 => open::sys_openat2, Partial("RESOLVE_CACHED always gives EAGAIN");
}
