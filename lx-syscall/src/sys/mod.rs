//! Handlers, one file per family of man pages.

mod at;
pub(crate) mod id;
pub(crate) mod open;
