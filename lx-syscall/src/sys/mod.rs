//! Handlers, one file per family of man pages.

mod at;
pub(crate) mod cwd;
pub(crate) mod dir;
pub(crate) mod futex;
pub(crate) mod id;
pub(crate) mod info;
pub(crate) mod mm;
pub(crate) mod open;
pub(crate) mod path;
pub(crate) mod sched;
pub(crate) mod stat;
pub(crate) mod time;
pub(crate) mod process;
pub(crate) mod signal;
