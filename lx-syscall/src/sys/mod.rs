//! Handlers, one file per family of man pages.

mod at;
pub(crate) mod futex;
pub(crate) mod id;
pub(crate) mod info;
pub(crate) mod open;
pub(crate) mod sched;
pub(crate) mod time;
pub(crate) mod mm;
pub(crate) mod stat;
